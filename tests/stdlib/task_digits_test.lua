-- task.digits and data.augment, on digits made here: digit d is an upright bar of 2 d + 2 points, bright, in the middle of 28 x 28.
local attn, t = require "attn", require "attn.test"
local data, task = attn.data, attn.task
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")
local folder = shell.folder()

local function bar(d)
    local rows = {}
    for y = 1, 28 do
        local long = 2 * d + 2
        local inside = y > 14 - long // 2 and y <= 14 + long // 2
        rows[y] = ("\0"):rep(12) .. (inside and "\255" or "\0"):rep(4) .. ("\0"):rep(12)
    end
    return table.concat(rows)
end
attn.mkdir(folder .. "/mnist")
for part, list in pairs{train = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, t10k = {3, 1}} do
    local pictures, labels = {}, {}
    for i, d in ipairs(list) do pictures[i], labels[i] = bar(d), string.char(d) end
    shell.write("mnist/" .. part .. "-images-idx3-ubyte", string.pack(">I4I4I4I4", 0x803, #list, 28, 28) .. table.concat(pictures))
    shell.write("mnist/" .. part .. "-labels-idx1-ubyte", string.pack(">I4I4", 0x801, #list) .. table.concat(labels))
end

local function one(options, seed)
    options.data, options.count, options.size = folder, options.count or 12, options.count or 12
    local b = task.digits(options, seed or 1)
    return b:epoch(1)(), b
end

-- The class of a bar, by its height; where it is.
local function solve(image, box)
    local top, left, bottom, right = table.unpack(box)
    t.equal(right - left, 3)
    t.is_true(image:narrow(1, top, bottom - top + 1):narrow(2, left, 4):min():item() > 0.99999)
    return (bottom - top + 1) // 2
end

t.case("digits: the box is where the digit is, its height the answer, gold the cells that it touches", function()
    local seen = {}
    local batch, b = one{canvas = 60, count = 40, grid = 5}
    t.equal({batch.image.shape, batch.gold.shape, b.answers, b.optimum}, {{40, 1, 60, 60}, {40, 1, 25}, 10, {accuracy = 1, loss = 0}})
    for i, boxes in ipairs(batch.box:totable()) do
        local box, answer, sum = boxes[1], batch.answer[i]:item(), 0
        t.equal(solve(batch.image[i][1], box), answer)
        seen[answer] = true
        t.is_true(math.abs(batch.image[i]:sum():item() - 8 * answer) < 1e-3)
        local row, column = table.unpack(batch.centre[i][1]:totable())
        t.is_true(math.abs((row + 1) * 30 - (box[1] + box[3] - 1) / 2) < 1e-4 and math.abs((column + 1) * 30 - (box[2] + 1)) < 1e-4)
        local touched = {}          -- cells of 12 x 12 points
        for y = box[1], box[3] do
            for x = box[2], box[4] do touched[(y - 1) // 12 * 5 + (x - 1) // 12 + 1] = true end
        end
        for cell, weight in ipairs(batch.gold[i][1]:totable()) do
            t.equal(weight > 0, touched[cell] == true)
            sum = sum + weight
        end
        t.is_true(math.abs(sum - 1) < 1e-6)
    end
    for d = 1, 10 do t.is_true(seen[d], d) end
end)

t.case("digits: on their own canvas they stay where they are; parts and seeds", function()
    local batch = one{}
    for i, answer in ipairs(batch.answer:totable()) do
        t.equal(batch.box[i][1]:totable(), {15 - answer, 13, 14 + answer, 16})
    end
    for _, answer in ipairs(one({part = "test"}).answer:totable()) do t.is_true(answer == 4 or answer == 2) end
    t.equal(one({canvas = 40, clutter = 3}, 2).image:totable(), one({canvas = 40, clutter = 3}, 2).image:totable())
    t.is_true(not attn.allclose(one({canvas = 40}, 2).image, one({canvas = 40}, 3).image))
    for _, boxes in ipairs(one{canvas = 60, shift = 2}.box:totable()) do t.is_true(math.abs(boxes[1][2] - 29) <= 2) end
end)

t.case("digits: pairs, sums, sequences stand side by side, from left to right", function()
    local batch = one{canvas = 60, pair = "two digits"}
    for i, boxes in ipairs(batch.box:totable()) do
        for k = 1, 2 do t.equal(solve(batch.image[i][1], boxes[k]), batch.answer[i][k]:item()) end
        t.is_true(boxes[1][4] <= 30 and boxes[2][2] > 30)
    end
    t.equal(batch.gold.shape, {12, 2, 16})
    local b
    batch, b = one{canvas = 60, pair = "sum"}
    for i, boxes in ipairs(batch.box:totable()) do
        t.equal(solve(batch.image[i][1], boxes[1]) + solve(batch.image[i][1], boxes[2]) - 1, batch.answer[i]:item())
    end
    t.equal({b.answers, batch.gold.shape}, {19, {12, 1, 16}})
    batch, b = one{canvas = 100, pair = "sequence", count = 30}
    local longest = 0
    for i, boxes in ipairs(batch.box:totable()) do
        local n = batch.target_lengths[i]:item()
        longest = math.max(longest, n)
        for k = 1, n do
            t.equal(solve(batch.image[i][1], boxes[k]), batch.target[i][k]:item())
            if k > 1 then t.is_true(boxes[k][2] > boxes[k - 1][4]) end
        end
        t.equal(batch.gold[i][n + 1]:sum():item(), 0)
    end
    t.equal({longest, b.bos, b.eos, b.targets, batch.gold:size(2)}, {3, 11, 12, 12, batch.target_out:size(2)})
end)

t.case("digits: a moving one walks in even steps, inside the canvas, and turns round at its edges", function()
    local batch = one{canvas = 40, moving = 15}
    t.equal({batch.image.shape, batch.gold.shape}, {{12, 15, 1, 40, 40}, {12, 15, 16}})
    for i, boxes in ipairs(batch.box:totable()) do
        local long = batch.answer[i]:item() * 2
        local speed
        for frame = 1, 15 do
            t.equal({boxes[frame][3] - boxes[frame][1], boxes[frame][4] - boxes[frame][2]}, {long - 1, 3})
            if frame > 1 then
                local across = boxes[frame][2] - boxes[frame - 1][2]
                t.is_true(math.abs(across) <= 3)
                speed = math.max(speed or 0, math.abs(across))
            end
        end
    end
end)

t.case("digits: rotated, scaled and cluttered ones are still inside; errors", function()
    local batch = one{canvas = 60, rotate = 90, scale = 0.2, clutter = 6}
    t.is_true(batch.image:max():item() <= 1 and batch.image:min():item() >= 0)
    t.raises("task.digits: canvas is 60, expected at least 84: 3 digits stand side by side", one, {canvas = 60, pair = "sequence", longest = 3})
    t.raises("task.digits: moving and pair, expected one of them", one, {canvas = 60, pair = "sum", moving = 2})
    t.raises("in a folder named mnist", task.digits, {data = folder .. "/nowhere"})
end)

t.case("augment: points stay what they are; a turn by hand; types, boxes, clutter, seeds", function()
    local picture = attn.arange(1, 9):reshape(1, 1, 3, 3):to "uint8"
    local out, boxes = data.augment(picture)
    t.equal({out:totable(), out.dtype, boxes:totable()}, {picture:totable(), "uint8", {{1, 1, 3, 3}}})
    out, boxes = data.augment(picture, {canvas = 5})
    t.equal(out[1][1]:totable(), {{0, 0, 0, 0, 0}, {0, 1, 2, 3, 0}, {0, 4, 5, 6, 0}, {0, 7, 8, 9, 0}, {0, 0, 0, 0, 0}})
    t.equal(boxes:totable(), {{2, 2, 4, 4}})
    local placed = require "attn.data_augment".placed(picture:to "float32", 3, 3, {{y = 1.5, x = 1.5, angle = 90, scale = 1}})
    t.is_true(attn.allclose(placed[1][1], attn.tensor{{7, 4, 1}, {8, 5, 2}, {9, 6, 3}}, {atol = 1e-4}), placed)
    local many = attn.rand(6, 2, 8, 8)
    local moved, places = data.augment(many, {shift = 3, rotate = 10, scale = 0.1, clutter = 2, patch = 3, seed = 4})
    t.equal({moved.shape, places.shape, moved.dtype}, {{6, 2, 8, 8}, {6, 4}, "float32"})
    t.equal(data.augment(many, {shift = 3, rotate = 10, scale = 0.1, clutter = 2, patch = 3, seed = 4}):totable(), moved:totable())
    local clear = data.augment(many, {shift = 3, rotate = 10, scale = 0.1, seed = 4})
    t.is_true(clear:le(moved):all():item() and not attn.allclose(clear, moved))     -- what is brighter stays
    t.raises("data.augment: images are float32 [2, 2], expected [n, channels, height, width]", data.augment, attn.ones(2, 2))
    t.raises("data.augment: images are a string", data.augment, "x")
    t.raises("data.augment: patch is 8, expected at most the pictures' sides (3, 3)", data.augment, picture, {clutter = 1})
    t.raises("data.augment: unknown field 'turn'", data.augment, picture, {turn = 3})
end)

t.case("made digits need no data: the same each time, other ones to test, a digit's segments bright", function()
    local made = require "attn.digits_made"
    local images, labels = made(40, 5)
    t.equal({images.shape, #labels}, {{40, 1, 28, 28}, 40})
    local again, same = made(40, 5)
    t.equal({again:totable(), same}, {images:totable(), labels})
    t.is_true(images:min():item() >= 0 and images:max():item() < 1.001)
    local ink = {}
    for i, label in ipairs(labels) do ink[label] = math.max(ink[label] or 0, images[i]:sum():item()) end
    t.is_true(ink[9] > ink[2], "an eight has more ink than a one")
    local function first(part) return task.digits({made = true, part = part, size = 2, count = 2, data = "nowhere"}):epoch(1)().image end
    t.is_true(not attn.allclose(first "train", first "test"))
end)
