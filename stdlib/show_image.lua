-- show.image, show.overlay: pictures in the terminal (two pixels a character), as PNG and as SVG.
--
--   picture   [H, W], [1, H, W] grey, [3, H, W] RGB, [4, H, W] with opacity, uint8 0 .. 255 or numbers
--   weights   [h, w] of any grid, or [h w] of a square one, brought to the picture's size
--   path      places (x, y) in -1 .. 1, as attn.glimpse has them: [N, 2]
--
-- Several of each are a list, or have one dimension more.
--
-- Numbers in 0 .. 1 are shown as they are, others from the least to the largest of all pictures.
local attn = require "attn"
local internal = require "attn.internal"
local fields = require "attn.fields"
local file = require "attn.show_file"
local screen = require "attn.show_screen"

local PATH = "#f59e0b"          -- seen on light and on dark
local PATH_RGB = {245, 158, 11}
local GAP = 2                   -- pixels between pictures in a PNG

local function bad(where, message) error(where .. ": " .. message, 0) end

local function tensor_of(where, name, value)
    if type(value) == "table" then
        local ok, made = pcall(attn.tensor, value)
        value = ok and made or value
    end
    if internal.kind(value) ~= "tensor" then
        bad(where, ("%s is %s, expected a tensor"):format(name, fields.describe(value)))
    end
    return value:detach()
end

-- A list of what may be one tensor, a tensor of several or a list of tensors.
local function several(where, name, value, dims)
    if type(value) == "table" and internal.kind(value[1]) == "tensor" then
        local list = {}
        for i, one in ipairs(value) do list[i] = tensor_of(where, ("%s %d"):format(name, i), one) end
        return list
    end
    local all = tensor_of(where, name, value)
    if all:dim() <= dims then return {all} end
    local list = {}
    for i = 1, all:size(1) do list[i] = all[i] end
    return list
end

-- A picture as float32 [C, H, W], C 1, 3 or 4, not yet scaled.
local function picture_of(where, x)
    local said = fields.describe(x)
    if x:dim() == 2 then x = x:unsqueeze(1) end
    local channels = x:dim() == 3 and x:size(1)
    if channels ~= 1 and channels ~= 3 and channels ~= 4 then
        bad(where, ("expected pictures [H, W], [1, H, W], [3, H, W] or [4, H, W], got %s"):format(said))
    elseif x:numel() == 0 then
        bad(where, ("a picture is empty (%s)"):format(said))
    end
    local bytes = x.dtype == "uint8"
    x = x:to "float32"
    return bytes and x / 255 or x
end

-- All pictures in 0 .. 1 as RGB [3, H, W]; NaN is black. Opacity is laid on white.
local function scaled(list, cfg)
    local low, high = cfg.min, cfg.max
    if not low or not high then
        local least, most = 0, 1
        for _, x in ipairs(list) do
            local finite = x:masked_select(attn.isfinite(x))
            if finite:numel() > 0 then
                least, most = math.min(least, finite:min():item()), math.max(most, finite:max():item())
            end
        end
        low, high = low or least, high or most
    end
    local out = {}
    for i, x in ipairs(list) do
        x = x:masked_fill(attn.isnan(x), low)
        x = ((x - low) / (high > low and high - low or 1)):clamp(0, 1)
        if x:size(1) == 4 then
            local alpha = x:narrow(1, 4, 1)
            x = x:narrow(1, 1, 3) * alpha + (1 - alpha)
        end
        out[i] = x:size(1) == 1 and x:expand(3, x:size(2), x:size(3)):contiguous() or x:contiguous()
    end
    return out, low, high
end

local function resize(x, height, width, mode)
    if x:size(2) == height and x:size(3) == width then return x end
    return attn.interpolate(x:unsqueeze(1), {height, width}, {mode = mode}):squeeze(1)
end

-- Made smaller by the mean of blocks, so that nothing thin is lost.
local function shrink(x, width)
    local by = (x:size(3) + width - 1) // width
    if by <= 1 then return x end
    local height, wide = x:size(2), x:size(3)
    x = attn.pad(x, 2, 0, -height % by, {mode = "replicate"})
    x = attn.pad(x, 3, 0, -wide % by, {mode = "replicate"})
    return attn.avg_pool2d(x:unsqueeze(1), by):squeeze(1)
end

-- Places as {column, row} in pixels of a picture of that size, from 0.
local function places(path, height, width)
    local out = {}
    for i, place in ipairs(path or {}) do out[i] = {(place[1] + 1) / 2 * width, (place[2] + 1) / 2 * height} end
    return out
end

-- ---- terminal ----

local function lines_of(p, depth, width)
    local x = shrink(p.pixels, width)
    local height, wide = x:size(2), x:size(3)
    local rgb = (x * 255):round():totable()
    local function at(i, j) return {rgb[1][i][j] // 1 | 0, rgb[2][i][j] // 1 | 0, rgb[3][i][j] // 1 | 0} end
    local marks = {}
    for i, place in ipairs(places(p.path, height, wide)) do
        local row, column = math.floor(place[2] / 2) + 1, math.floor(place[1]) + 1
        row, column = math.max(1, math.min((height + 1) // 2, row)), math.max(1, math.min(wide, column))
        marks[row * 100000 + column] = i < 10 and tostring(i) or "+"
    end
    local lines = {p.title and screen.cut(p.title, math.max(wide, 12)) or nil}
    for i = 1, height, 2 do
        local parts = {}
        local last                      -- colours that are set need not be set again
        for j = 1, wide do
            local above, below = at(i, j), i < height and at(i + 1, j) or {0, 0, 0}
            local mark = marks[(i + 1) // 2 * 100000 + j]
            if depth == "none" then
                local share = (screen.grey(above) + screen.grey(i < height and below or above)) / 2 / 255
                parts[j] = mark or screen.ramp[math.min(#screen.ramp, math.floor(share * #screen.ramp) + 1)]
            else
                if depth == "256" and not p.colourful then
                    for _, one in ipairs{above, below} do
                        local grey = math.floor(screen.grey(one) + 0.5)
                        one[1], one[2], one[3] = grey, grey, grey
                    end
                end
                if mark then above, below = {0, 0, 0}, PATH_RGB end         -- seen on any picture
                local ink = screen.ink(above, depth, 38) .. screen.ink(below, depth, 48)
                parts[j] = (ink ~= last and ink or "") .. (mark or "▀")
                last = ink
            end
        end
        local line = table.concat(parts)
        lines[#lines + 1] = depth == "none" and (line:gsub(" +$", "")) or line .. screen.reset
    end
    return lines
end

local function terminal(s, depth, width)
    local lines, across = {}, math.min(s.across, #s.pictures)
    local room = s.asked and math.max(1, (width - 2 * (across - 1)) // across) or width      -- asked for: shrunk until they fit
    for first = 1, #s.pictures, across do
        local blocks = {}
        for i = first, math.min(first + across - 1, #s.pictures) do blocks[#blocks + 1] = lines_of(s.pictures[i], depth, room) end
        if first > 1 then lines[#lines + 1] = "" end
        for _, line in ipairs(screen.beside(blocks, width)) do lines[#lines + 1] = line end
    end
    if s.note then lines[#lines + 1] = s.note end
    return table.concat(lines, "\n") .. "\n"
end

-- ---- files ----

-- Where pictures stand, `across` in a row: their places and the size of it all. Titles of a size of letters widen columns.
local function layout(s, gap, top, scale, letters)
    local across, wide, high = s.across, 0, 0
    for _, p in ipairs(s.pictures) do
        wide, high = math.max(wide, p.pixels:size(3) * scale), math.max(high, p.pixels:size(2) * scale)
        if letters and p.title then wide = math.max(wide, file.text_width(p.title) * letters / 13) end
    end
    local spots = {}
    for i = 1, #s.pictures do
        spots[i] = {(i - 1) % across * (wide + gap), (i - 1) // across * (high + gap + top) + top}
    end
    local rows = (#s.pictures + across - 1) // across
    return spots, math.min(across, #s.pictures) * (wide + gap) - gap, rows * (high + gap + top) - gap
end

-- How many points of a file a pixel is wide and high.
local function scale_of(s)
    local largest = 1
    for _, p in ipairs(s.pictures) do largest = math.max(largest, p.pixels:size(2), p.pixels:size(3)) end
    return s.scale or math.max(1, (#s.pictures == 1 and 320 or 160) // largest)
end

-- Paints what lies in [3, H, W] of a rectangle with its middle at x, y.
local function paint(pixels, x, y, wide, high)
    local function range(at, side, most)
        local first = math.max(0, math.floor(at - side / 2 + 0.5))
        return first + 1, math.min(most, math.floor(at - side / 2 + 0.5) + side) - first
    end
    local left, across = range(x, wide, pixels:size(3))
    local top, down = range(y, high, pixels:size(2))
    if across > 0 and down > 0 then
        local ink = attn.tensor(PATH_RGB, {dtype = "float32"}):reshape(3, 1, 1) / 255
        pixels:narrow(2, top, down):narrow(3, left, across):copy_(ink:expand(3, down, across))
    end
end

-- Lines from place to place, squares of size around them; the first place has the largest dot.
local function trace(pixels, p, scale)
    local path, thick, side = places(p.path, pixels:size(2), pixels:size(3)), math.min(scale, 2), (p.size or 0) * scale
    for k, b in ipairs(path) do
        local a = path[math.max(1, k - 1)]
        local steps = math.max(1, math.ceil(math.max(math.abs(b[1] - a[1]), math.abs(b[2] - a[2]))))
        for n = 0, steps do
            paint(pixels, a[1] + (b[1] - a[1]) * n / steps, a[2] + (b[2] - a[2]) * n / steps, thick, thick)
        end
        local dot = scale == 1 and 1 or k == 1 and 9 or 5
        paint(pixels, b[1], b[2], dot, dot)
        for _, way in ipairs(scale > 1 and side > 0 and {-1, 1} or {}) do
            paint(pixels, b[1] + way * side / 2, b[2], 1, side)
            paint(pixels, b[1], b[2] + way * side / 2, side, 1)
        end
    end
end

local function png(s)
    local scale = s.scale or s.drawn and scale_of(s) or 1            -- a plain picture keeps its pixels
    local spots, width, height = layout(s, GAP * scale, 0, scale)
    local all = attn.ones(3, height, width)
    for i, p in ipairs(s.pictures) do
        local h, w = p.pixels:size(2) * scale, p.pixels:size(3) * scale
        local pixels = resize(p.pixels, h, w, "nearest"):clone()
        trace(pixels, p, scale)
        all:narrow(2, spots[i][2] + 1, h):narrow(3, spots[i][1] + 1, w):copy_(pixels)
    end
    return all
end

local function svg(s)
    local scale, title = scale_of(s), 0
    for _, p in ipairs(s.pictures) do title = p.title and 18 or title end
    local spots, width, height = layout(s, 10, title, scale, 11)
    local body = {}
    for i, p in ipairs(s.pictures) do
        local x, y = spots[i][1] + 4, spots[i][2] + 4
        local h, w = p.pixels:size(2) * scale, p.pixels:size(3) * scale
        if p.title then body[#body + 1] = file.label(x, y - 5, p.title, 'font-size="11"') end
        body[#body + 1] = file.image(x, y, w, h, p.pixels)
        local points, path = {}, places(p.path, h, w)
        for k, place in ipairs(path) do
            points[k] = ("%.4g,%.4g"):format(x + place[1], y + place[2])
            if p.size then
                local side = p.size * scale
                body[#body + 1] = ('<rect x="%.4g" y="%.4g" width="%g" height="%g" fill="none" stroke="%s"/>'):format(
                    x + place[1] - side / 2, y + place[2] - side / 2, side, side, PATH)
            end
        end
        if #path > 0 then
            body[#body + 1] = ('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>')
                :format(table.concat(points, " "), PATH)
            for k, place in ipairs(path) do
                body[#body + 1] = ('<circle cx="%.4g" cy="%.4g" r="7" fill="%s"/>'):format(x + place[1], y + place[2],
                    PATH)
                body[#body + 1] = file.label(x + place[1], y + place[2] + 4, tostring(k),
                    'font-size="10" text-anchor="middle" style="fill:#000"')
            end
        end
    end
    if s.note then
        body[#body + 1] = file.label(4, height + 20, s.note, 'font-size="11" fill-opacity=".7"')
        height = height + 18
        width = math.max(width, file.text_width(s.note) * 11 / 13)
    end
    return file.svg(width + 8, height + 8, body, s.note or "pictures")
end

-- ---- what is drawn ----

local common = {{"titles", "table"}, {"across", "integer", least = 1}, {"path", "any"}, {"size", "integer", least = 1},
    {"min", "number"}, {"max", "number"}, {"scale", "integer", least = 1},
    {"color", "string", choices = screen.depths}, {"width", "integer", least = 1},
    {"write", "function", screen.write}}
table.move(file.fields, 1, #file.fields, #common + 1, common)

local function add_paths(where, s, cfg)
    if cfg.path == nil then return end
    local paths = cfg.path
    if #s.pictures == 1 or internal.kind(paths) == "tensor" and paths:dim() == 2 then
        local listed = type(paths) == "table" and internal.kind(paths[1]) == "tensor" and paths[1]:dim() == 2
        paths = listed and paths or {paths}
    end
    for i, p in ipairs(s.pictures) do
        if paths[i] ~= nil then
            local path = tensor_of(where, "path", paths[i])
            if path:dim() ~= 2 or path:size(2) ~= 2 then
                bad(where, ("path is %s, expected places [N, 2], (x, y) in -1 .. 1"):format(fields.describe(path)))
            end
            p.path, p.size, s.drawn = path:to "float64":totable(), cfg.size, true
        end
    end
end

local function state_of(where, image, weights, cfg)
    local s = {pictures = {}}
    local list = several(where, "image", image, 3)
    for i, x in ipairs(list) do list[i] = picture_of(where, x) end
    local pixels, low, high = scaled(list, cfg)
    local range = ("from %s to %s"):format(screen.number(low), screen.number(high))
    if range ~= "from 0 to 1" then s.note = range end            -- rounding is no range
    if weights ~= nil then
        local maps = several(where, "weights", weights, 2)
        if #pixels == 1 and #maps > 1 then      -- one picture, looked at several times
            for i = 2, #maps do pixels[i], list[i] = pixels[1], list[1] end
        elseif #pixels ~= #maps then
            bad(where, ("%d maps of weights for %d pictures"):format(#maps, #pixels))
        end
        local most = cfg.most or 0
        for i, map in ipairs(maps) do
            map = map:to "float32"
            if map:dim() == 1 then
                local side = math.floor(math.sqrt(map:size(1)) + 0.5)
                if side * side ~= map:size(1) then
                    bad(where, ("%d weights are no square grid; give them as [h, w]"):format(map:size(1)))
                end
                map = map:reshape(side, side)
            end
            if map:dim() ~= 2 or map:numel() == 0 then
                bad(where, ("weights is %s, expected [h, w]"):format(fields.describe(maps[i])))
            end
            maps[i] = map:masked_fill(~attn.isfinite(map), 0)
            if not cfg.most then most = math.max(most, maps[i]:max():item()) end
        end
        for i, map in ipairs(maps) do
            local x = pixels[i]
            local height, width = math.max(x:size(2), map:size(1)), math.max(x:size(3), map:size(2))
            local share = resize(map:unsqueeze(1), height, width, cfg.smooth and "bilinear" or "nearest")
            share = (share / (most > 0 and most or 1)):clamp(0, 1)
            local grey = resize(x, height, width, "nearest"):mean(1, true)
            -- dark where nothing looks, orange where all does
            local tint = attn.tensor{1, 0.45, 0}:reshape(3, 1, 1)
            pixels[i] = (grey * (0.35 + 0.45 * share) * (1 - 0.45 * share) + tint * (0.6 * share)):clamp(0, 1)
        end
        s.note = "weights: max " .. screen.number(most)
    end
    for i, x in ipairs(pixels) do
        local title = cfg.titles and cfg.titles[i]
        s.pictures[i] = {pixels = x, title = title ~= nil and screen.clean(title) or nil,
            colourful = weights ~= nil or list[i]:size(1) > 1}
    end
    s.across, s.asked, s.scale, s.drawn = cfg.across or math.min(#pixels, 8), cfg.across, cfg.scale, weights ~= nil
    add_paths(where, s, cfg)
    return s
end

local function read(where, image, weights, options, more)
    local known = table.move(more, 1, #more, #common + 1, table.move(common, 1, #common, 1, {}))
    local cfg = fields.read(where, options or {}, known, 3)
    local ok, s = pcall(state_of, where, image, weights, cfg)
    if not ok then error(s, 3) end
    return s, cfg
end

local overlay_fields = {{"most", "number", above = 0}, {"smooth", "boolean", false}}

local function draw(where, s, cfg)
    cfg.write(terminal(s, screen.depth(cfg.color), cfg.width or attn.terminal_width()))
    file.save(where, cfg, {svg = function() return svg(s) end, png = function() return png(s) end})
end

local m = {}

---The pictures as an SVG document.
---@return string
function m.image_svg(image, options) return svg((read("show.image", image, nil, options, {}))) end

---The pictures with weights over them as an SVG document.
---@return string
function m.overlay_svg(image, weights, options)
    return svg((read("show.overlay", image, weights, options, overlay_fields)))
end

---Draws pictures in the terminal, and with `file` to a file too.
---@param image any [H, W], [C, H, W], [N, C, H, W] or a list of pictures
---@param options? table titles =, across =, path =, size =, min =, max =, file =, scale =, color =, width =, write =
function m.image(image, options)
    local s, cfg = read("show.image", image, nil, options, {})
    draw("show.image", s, cfg)
end

---Draws pictures with attention weights laid over them.
---@param image any
---@param weights any [h, w] of any grid, [h w] of a square one; several
---@param options? table as show.image has them, and most =, smooth =
function m.overlay(image, weights, options)
    if weights == nil then error("show.overlay: weights is nil, expected a tensor [h, w]", 2) end
    local s, cfg = read("show.overlay", image, weights, options, overlay_fields)
    draw("show.overlay", s, cfg)
end

attn.describe{name = "show.image",
    signature = "image(x, {titles =, across =, path =, size =, min =, max =, file =, scale =, color =, width =})",
    help = "Draws a picture [H, W], [1, H, W], [3, H, W] or [4, H, W], uint8 or numbers, in the terminal: two pixels\n"
        .. "a character, in true colour where the terminal has it, else in grey or in characters. [N, C, H, W] or a\n"
        .. "list is a grid, `across` pictures in a row, with titles. Numbers in 0 .. 1 are shown as they are, others\n"
        .. "from the least to the largest, or from min to max. path draws places (x, y) in -1 .. 1, as attn.glimpse\n"
        .. "has them ([N, 2], for several pictures a list), numbered, with squares of size pixels (in files). Too\n"
        .. "wide pictures are shrunk, and so many as across asks for. file is a name in .svg or .png to write it to as\n"
        .. "well; a pixel is scale points wide there (default: so that it is seen; a PNG without path keeps its pixels).",
    example = 'require "attn.show".image(attn.rand(3, 8, 8), {path = {{-0.5, -0.5}, {0.5, 0.25}}})'}
attn.describe{name = "show.overlay", signature = "overlay(x, weights, {most =, smooth = false, titles =, path =, ...})",
    help = "Draws attention weights, [h, w] of any grid or [h w] of a square one, over a picture: dark where nothing\n"
        .. "is looked at, orange where most is. All maps share one scale, from 0 to their largest weight, which is\n"
        .. "printed, or to most. Several maps ([N, h, w] or a list) over one picture or over as many. smooth goes\n"
        .. "from place to place without steps. The other options are those of show.image.",
    example = 'require "attn.show".overlay(attn.rand(1, 12, 12), attn.rand(3, 3))\n'
        .. 'require "attn.show".overlay(attn.rand(1, 12, 12), attn.rand(2, 3, 3), {titles = {"a", "dog"}})'}

return m
