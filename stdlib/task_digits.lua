-- task: real digits (MNIST) on a canvas: moved, turned, scaled, cluttered, in pairs and rows, moving.
local attn = require "attn"
local augment = require "attn.data_augment"

local SIDE = 28

-- The digits of a part, read or made once: floats 0 to 1.
local loaded = {}
local function digits(folder, part, made)
    local key = made and "\0" .. part or (folder or "") .. "\0" .. part
    if not loaded[key] and made then
        local images, labels = require "attn.digits_made"(part == "train" and 2000 or 1000, part == "train" and 1 or 2)
        loaded[key] = {images = images, labels = labels}
    elseif not loaded[key] then
        local set = require "attn.corpus".mnist(folder, {part = part})[part]
        loaded[key] = {images = set.images:to "float32" / 255, labels = set.labels:totable()}
    end
    return loaded[key]
end

-- The cells of a grid over the canvas that a box touches.
local function cells(box, canvas, grid)
    local function cell(point) return (point - 1) * grid // canvas end
    local list = {}
    for row = cell(box[1]), cell(box[3]) do
        for column = cell(box[2]), cell(box[4]) do list[#list + 1] = row * grid + column + 1 end
    end
    return list
end

-- Centre of a box, row and column in -1 .. 1 from edge to edge.
local function centre(box, canvas)
    return {(box[1] + box[3] - 1) / canvas - 1, (box[2] + box[4] - 1) / canvas - 1}
end

return function(define, draws)
    -- One digit at a walking place: the ways it is put, frame by frame; at an edge it turns round.
    local function walk(cfg, how, draw)
        local low, high = SIDE / 2, cfg.canvas - SIDE / 2
        local step, frames = {y = draw(7) - 4, x = draw(7) - 4}, {}
        if step.y == 0 and step.x == 0 then step.x = 2 end
        for frame = 1, cfg.moving do
            frames[frame] = {y = how.y, x = how.x, angle = how.angle, scale = how.scale}
            for d, speed in pairs(step) do
                if how[d] + speed < low or how[d] + speed > high then step[d] = -speed end
                how[d] = math.max(low, math.min(high, how[d] + step[d]))
            end
        end
        return frames
    end

    define("digits", {options = 'data =, made = false, part = "train", canvas = 28, shift =, rotate = 0, scale = 0, clutter = 0, pair =, longest =, '
            .. "moving = 0, grid = 4",
        help = "MNIST's digits (attn.corpus.mnist, in the folder data: the data directory) on a canvas of canvas x canvas points: up to shift\n"
            .. "points from the middle, as far as it fits (default: as far as that), turned by up to rotate degrees, scaled by up to a share scale, among\n"
            .. "clutter patches of 8 x 8 points of other digits. answer [B]: the digit plus 1. made: digits drawn here, 2000 to train and 1000\n"
            .. "to test, which need no data. pair, digits side by side:\n"
            .. '  "two digits"   answer [B, 2]\n'
            .. '  "sum"          answer [B]: their sum plus 1\n'
            .. '  "sequence"     target [B, T]: 1 to longest digits (default: all that fit) from left to right, each plus 1\n'
            .. "moving: so many frames of one digit that walks and turns round at the edges. image [B, 1, canvas, canvas] (moving:\n"
            .. "[B, frames, 1, canvas, canvas]), 0 to 1; box [B, N, 4] (top, left, bottom, right, in points), centre [B, N, 2] (row, column,\n"
            .. "-1 to 1) of each digit or frame; gold [B, N, grid * grid]: evenly over the cells of a grid that the box touches, one row for\n"
            .. "each answer or frame (sum: one for both; sequence: rows as target_out).",
        known = {{"data", "string"}, {"made", "boolean", false}, {"part", "string", "train", choices = {"train", "test"}},
            {"canvas", "integer", SIDE, least = SIDE},
            {"shift", "integer", least = 0}, {"pair", "string", choices = {"two digits", "sum", "sequence"}},
            {"longest", "integer", least = 1}, {"moving", "integer", 0, least = 0}, {"grid", "integer", 4, least = 1},
            table.unpack(augment.known, 1, 3)},
        shown = "batch.image, batch.answer, batch.gold",
        example = 'if not attn.corpus.missing "mnist" then\n    for batch in attn.task.digits({canvas = 60, clutter = 4, size = 2, count = 4}, 1)'
            .. ":epoch(1) do print(batch.image, batch.answer, batch.gold) end\nend",
        make = function(cfg)
            local room = cfg.canvas // SIDE
            local longest = cfg.pair == "sequence" and (cfg.longest or room) or cfg.pair and 2 or 1
            if longest > room then
                error(("task.digits: canvas is %d, expected at least %d: %d digits stand side by side"):format(cfg.canvas, longest * SIDE,
                    longest), 3)
            end
            if cfg.moving > 0 and cfg.pair then error("task.digits: moving and pair, expected one of them", 3) end
            local set = digits(cfg.data, cfg.part, cfg.made)
            local function draw_example(draw)
                local n = cfg.pair == "sequence" and draw(longest) or longest
                local width, parts, boxes, labels = cfg.canvas // n, {}, {}, {}
                for k = 1, n do
                    local which, wide = draw(#set.labels), k == n and cfg.canvas - (n - 1) * width or width
                    local function reach(side) return math.min(cfg.shift or side, (side - SIDE) // 2) end
                    local how = augment.draw(cfg, {cfg.canvas, wide}, {SIDE, SIDE}, {reach(cfg.canvas), reach(wide)},
                        draw)
                    local frames = cfg.moving > 0 and walk(cfg, how, draw) or {how}
                    local put = augment.placed(set.images[which]:unsqueeze(1):expand(#frames, 1, SIDE,
                        SIDE):contiguous(), cfg.canvas,
                        wide, frames)
                    for _, box in ipairs(augment.boxes(put)) do
                        box[2], box[4] = box[2] + (k - 1) * width, box[4] + (k - 1) * width
                        boxes[#boxes + 1] = box
                    end
                    parts[k], labels[k] = put, set.labels[which]
                end
                local image = n == 1 and parts[1] or attn.cat(parts, 4)
                for frame = 1, #image do augment.clutter(image[frame], set.images, cfg.clutter, 8, draw) end
                local gold, places = {}, {}
                for i, box in ipairs(boxes) do gold[i], places[i] = cells(box, cfg.canvas, cfg.grid),
                    centre(box, cfg.canvas) end
                local example = {image = cfg.moving > 0 and image or image[1], box = boxes, centre = places,
                    gold = gold}
                if cfg.pair == "sequence" then
                    example.target, gold[#gold + 1] = labels, {}
                elseif cfg.pair == "two digits" then
                    example.answer = labels
                elseif cfg.pair == "sum" then
                    local both, known = {}, {}
                    for _, list in ipairs(gold) do
                        for _, cell in ipairs(list) do
                            if not known[cell] then both[#both + 1] = cell end
                            known[cell] = true
                        end
                    end
                    example.gold, example.answer = {both}, labels[1] + labels[2] - 1
                else
                    example.answer = labels[1]
                end
                return example
            end
            local sequence = cfg.pair == "sequence"
            return {answers = cfg.pair == "sum" and 19 or 10, targets = sequence and 12 or nil, bos = sequence and 11
                or nil,
                eos = sequence and 12 or nil, gold = {gold = cfg.grid * cfg.grid}, draw = draw_example}
        end})
end
