-- bottom-up attention (D10): where to look, from the picture alone
--
--     selective tuning (Tsotsos et al. 1995)    a pyramid of means; the winner at the top, then at each level below the
--                                               winner among its children
--     max-pooling                               the gradient of the largest response falls on one point of the picture:
--                                               hard attention, backwards
--     saliency (Lu and Lim 2012)                co-occurrence of neighbours' colours; pairs that are rare are salient
--
-- Command    attn scripts/seeing/bottom_up.lua [--data DIR]
-- Time       1 minute on one core
-- Data       made here: a bright digit of seven strokes among dim ones; a red square among green ones. MNIST's digits
-- Found      the beam finds the bright digit always (MNIST) or in 96 % (made), if responses are sharp: to means of
--            plain light a thick dim digit is as bright as a thin bright one; max-pooling and rare pairs always
-- Your data  local bottom_up = require "seeing.bottom_up"                                  (attn -I scripts)
--            local row, column, beam = bottom_up.winner(responses, 4)    [H, W]; beam {{level, row, column}, ...}
--            local map = bottom_up.saliency(picture, 8)                  picture [3, H, W], 0 to 1; map [H, W]
local attn = require "attn"
local data, study = require "attn.data", require "attn.study"

local m = {}

---The pyramid of a map [H, W]: each level the means of 2 x 2 places of the one below, `levels` of them above the map.
function m.pyramid(map, levels)
    local list = {map:unsqueeze(1):unsqueeze(1)}
    for k = 1, levels do list[k + 1] = list[k]:avg_pool2d(2) end
    return list
end

---The winner of the top level, then the winner among its four children, down to the map: row, column, and the beam.
function m.winner(map, levels)
    local pyramid, beam = m.pyramid(map, levels), {}
    local top = pyramid[levels + 1][1][1]
    local at = top:reshape(-1):argmax():item() - 1
    local row, column = at // top:size(2) + 1, at % top:size(2) + 1
    beam[1] = {levels, row, column}
    for level = levels - 1, 0, -1 do
        local children = pyramid[level + 1][1][1]:narrow(1, 2 * row - 1, 2):narrow(2, 2 * column - 1, 2):reshape(-1)
        at = children:argmax():item() - 1
        row, column = 2 * row - 1 + at // 2, 2 * column - 1 + at % 2
        beam[#beam + 1] = {level, row, column}
    end
    return row, column, beam
end

---Where the gradient of the largest response arrives, through convolution and max-pooling: [H, W].
function m.routed(picture, kernel, levels)
    local x = picture:clone():requires_grad_(true)
    local y = attn.conv2d(x:unsqueeze(1):unsqueeze(1), kernel:unsqueeze(1):unsqueeze(1), nil, {padding = "same"})
    for _ = 1, levels do y = y:max_pool2d(2) end
    y:max():backward()
    return x.grad
end

---How rare the pairs of colours are that a point makes with its neighbours: [H, W]. Channels are cut into bins.
function m.saliency(picture, bins)
    local H, W, colours = picture:size(2), picture:size(3), bins ^ 3 // 1 | 0
    local ids = (picture * bins):floor():clamp(0, bins - 1):to "int64"
    local colour = ids[1] * bins * bins + ids[2] * bins + ids[3] + 1
    local around, pairs_of = colour:pad(1, 1, 1):pad(2, 1, 1), {}                       -- 0 beyond the edge
    for k = 0, 8 do
        local other = around:narrow(1, k // 3 + 1, H):narrow(2, k % 3 + 1, W)
        if k ~= 4 then pairs_of[#pairs_of + 1] = ((colour - 1) * colours + other) * other:gt(0):to "int64" end
    end
    local all = attn.stack(pairs_of, 1):reshape(-1)                                     -- 0: no neighbour
    local counts = attn.zeros(colours * colours):scatter_add(1, all, attn.ones(#all))
    local rare = (counts:mean({mask = counts:gt(0)}) - counts):clamp(0)     -- than the mean of those that occur
    return rare:gather(1, all):view(8, H, W):sum(1) / all:gt(0):view(8, H, W):to "float32":sum(1)
end

local paper = study{
    system = {"D10"},
    paper = "Tsotsos et al. 1995, Modeling visual attention via selective tuning; Lu, Lim 2012, Saliency modeling from "
        .. "image histograms",
    options = {pictures = 100, cells = 4, field = 32, levels = 4, sharp = 4, dim = 0.6, noise = 0.05},
    quick = {pictures = 2}, seeds = 5,
}

-- A picture of cells x cells digits, one of them bright, the others dim: [S, S], and the cell of the bright one.
local function among(cfg, images, draw)
    local side = cfg.cells * cfg.field
    local picture, bright = attn.rand(side, side) * cfg.noise, draw(cfg.cells * cfg.cells)
    for k = 1, cfg.cells * cfg.cells do
        local top, left = (k - 1) // cfg.cells * cfg.field + draw(cfg.field - 27),
            (k - 1) % cfg.cells * cfg.field + draw(cfg.field - 27)
        local place = picture:narrow(1, top, 28):narrow(2, left, 28)
        place:copy_(place + images[draw(#images)][1] * (k == bright and 1 or cfg.dim))
    end
    return picture, bright
end
local function cell_of(cfg, row, column) return (row - 1) // cfg.field * cfg.cells + (column - 1) // cfg.field + 1 end

-- Does the winner stand on the bright digit: down the pyramid, the brightest point, where max-pooling's gradient goes.
local function brightest(cfg, cell)
    local images = cfg.made and (require "attn.digits_made"(200, cell.seed))
        or attn.corpus.mnist(cfg.data, {part = "test"}).test.images[{{1, 200}}]:to "float32" / 255
    local draw, right = data.random(cell.seed), 0
    for i = 1, cfg.pictures do
        attn.scope(function()
            local picture, bright = among(cfg, images, draw)
            local row, column, beam
            if cfg.way == "pyramid" then
                row, column, beam = m.winner(picture ^ cfg.sharp, cfg.levels)   -- sharp responses: light, not ink, wins
            else
                local wide = cfg.way == "max-pooling" and attn.full({3, 3}, 1 / 9) or attn.ones(1, 1)
                local at = m.routed(picture ^ cfg.sharp, wide, cfg.levels):reshape(-1):argmax():item() - 1
                row, column = at // picture:size(2) + 1, at % picture:size(2) + 1
            end
            right = right + (cell_of(cfg, row, column) == bright and 1 or 0)
            if i == 1 then
                local path = beam and {}
                for k, b in ipairs(beam or {}) do
                    path[k] = {(2 * b[3] - 1) * 2 ^ b[1] / picture:size(2) - 1,
                        (2 * b[2] - 1) * 2 ^ b[1] / picture:size(1) - 1}
                end
                cell:keep("picture", picture:unsqueeze(1), {as = "image", path = path})
            end
        end)
    end
    return {found = 100 * right / cfg.pictures}
end

local ways = {{"pyramid", way = "pyramid"}, {"max-pooling", way = "max-pooling"}, {"brightest point", way = "point"}}
local mnist = paper:table{name = "mnist", about = "the bright digit is found, in percent", data = "mnist",
    vary = ways, run = brightest}
local made = paper:table{name = "made digits", about = "the same with digits of seven strokes; chance is 6 %",
    synthetic = true, options = {made = true}, vary = ways, run = brightest}

local colours = paper:table{
    name = "colours", synthetic = true,
    about = "one red square among green ones on grey: the largest saliency is on it, in percent; its share of all",
    run = function(cfg, cell)
        local draw, found, share = data.random(cell.seed), 0, 0
        for i = 1, cfg.pictures do
            attn.scope(function()
                local picture, odd = attn.rand(3, 32, 32) * cfg.noise + 0.45, draw(16)
                for k = 1, 16 do
                    local top, left = (k - 1) // 4 * 8 + draw(3), (k - 1) % 4 * 8 + draw(3)
                    local place = picture:narrow(2, top, 5):narrow(3, left, 5)
                    for channel = 1, 3 do
                        place[channel]:copy_(attn.full({5, 5}, channel == (k == odd and 1 or 2) and 0.9 or 0.1))
                    end
                end
                local map = m.saliency(picture, 4)
                local top, left = (odd - 1) // 4 * 8 + 1, (odd - 1) % 4 * 8 + 1
                local here, all = map:narrow(1, top, 8):narrow(2, left, 8), map:sum():item()
                found = found + (here:max():item() == map:max():item() and 1 or 0)
                share = share + here:sum():item() / all
                if i == 1 then cell:keep("saliency", map, {over = picture}) end
            end)
        end
        return {found = 100 * found / cfg.pictures, share = share / cfg.pictures}
    end,
}

for _, one in ipairs{{"MNIST", mnist}, {"made digits", made}} do
    paper:claim{one[1] .. ": a winner-take-all beam down the pyramid finds the bright digit, at least 90 %",
        one[2]["pyramid"].found, at_least = 90}
    paper:claim{one[1] .. ": max-pooling sends its gradient to the bright digit, at least 90 %",
        one[2]["max-pooling"].found, at_least = 90}
end
paper:claim{"the saliency of rare pairs of colours is largest on the odd square, at least 95 %",
    colours["colours"].found, at_least = 95}

return paper:main(m)
