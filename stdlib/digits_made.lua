-- digits_made: digits drawn with strokes, in place of MNIST's where those are not at hand: the seven segments of a pocket calculator,
-- each digit slanted, stretched, turned a little, and written with a thick or a thin pen.
local attn = require "attn"
local data = require "attn.data"

local SIDE = 28
-- Segments from (row, column) to (row, column): top, the upper two, the middle, the lower two, bottom.
local segments = {{6, 9, 6, 19}, {6, 9, 14, 9}, {6, 19, 14, 19}, {14, 9, 14, 19}, {14, 9, 22, 9}, {14, 19, 22, 19}, {22, 9, 22, 19}}
local written = {[0] = "123567", "36", "13457", "13467", "2346", "12467", "124567", "136", "1234567", "123467"}

-- A picture of a digit, its strokes `thick` points wide with soft edges, as a list of SIDE * SIDE values.
local function drawn(digit, thick)
    local picture = {}
    for y = 1, SIDE do
        for x = 1, SIDE do
            local near = math.huge
            for k in written[digit]:gmatch "." do
                local s = segments[tonumber(k)]
                local dy, dx = math.max(s[1] - y, y - s[3], 0), math.max(s[2] - x, x - s[4], 0)
                near = math.min(near, math.sqrt(dy * dy + dx * dx))
            end
            picture[#picture + 1] = math.max(0, math.min(1, thick / 2 + 0.5 - near))
        end
    end
    return picture
end

---So many made-up digits.
---@param count integer
---@param seed integer
---@return any images float32 [count, 1, 28, 28], 0 to 1
---@return integer[] labels the digit plus 1
return function(count, seed)
    local draw, masters, theta, labels, which = data.random(seed), {}, {}, {}, {}
    for digit = 0, 9 do
        for thick = 1, 3 do masters[3 * digit + thick] = drawn(digit, thick + 1) end
    end
    local function between(most) return (2 * draw() - 1) * most end
    for i = 1, count do
        labels[i] = draw(10)
        which[i] = 3 * (labels[i] - 1) + draw(3)
        local angle, slant, wide, high = math.rad(between(10)), between(0.3), 1 + between(0.25), 1 + between(0.2)
        local cos, sin = math.cos(angle), math.sin(angle)
        theta[i] = {{wide * cos, wide * (slant * cos - sin), between(0.1)}, {high * sin, high * (slant * sin + cos), between(0.1)}}
    end
    local pool = attn.tensor(masters):view(30, 1, SIDE, SIDE):index_select(1, attn.tensor(which, {dtype = "int64"}))
    return attn.grid_sample(pool, attn.affine_grid(attn.tensor(theta), {SIDE, SIDE})), labels
end
