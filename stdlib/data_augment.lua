-- data_augment: pictures moved, turned, scaled and cluttered. data.augment does it with a set, task.digits with each example.
--
-- A picture is put into a canvas by one bilinear sampling (attn.grid_sample): at whole places, unturned and unscaled, its points
-- stay what they are, to rounding. Clutter are patches of other pictures, as in "cluttered MNIST" (Mnih et al. 2014).
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}

---Pictures in canvases of height x width, each with its centre at a place of the canvas (in points, row first), turned and scaled.
---@param images any float [n, C, H, W]
---@param height integer
---@param width integer
---@param how {y: number, x: number, angle: number, scale: number}[] of each picture; the angle in degrees
---@return any canvases [n, C, height, width]
function m.placed(images, height, width, how)
    local h, w, theta = images:size(3), images:size(4), {}
    for i, one in ipairs(how) do
        local cos, sin = math.cos(math.rad(one.angle)) / one.scale, math.sin(math.rad(one.angle)) / one.scale
        local dx, dy = width / 2 - one.x, height / 2 - one.y
        theta[i] = {{cos * width / w, sin * height / w, 2 / w * (cos * dx + sin * dy)},
            {-sin * width / h, cos * height / h, 2 / h * (-sin * dx + cos * dy)}}
    end
    return attn.grid_sample(images, attn.affine_grid(attn.tensor(theta, {dtype = images.dtype}), {height, width}))
end

---Where something is: the first and last rows and columns of points above a fifth of the brightest: {top, left, bottom, right}.
---@param canvases any [n, C, height, width]
---@return integer[][] boxes a picture without such points has {1, 1, height, width}
function m.boxes(canvases)
    local boxes, flat = {}, (canvases:max(2))
    local rows, columns = (flat:max(3)):totable(), (flat:max(2)):totable()
    local function range(list)
        local most, first, last = 0, 1, #list
        for _, value in ipairs(list) do most = math.max(most, value) end
        while first < last and list[first] <= most / 5 do first = first + 1 end
        while last > first and list[last] <= most / 5 do last = last - 1 end
        return first, last
    end
    for i = 1, #rows do
        local top, bottom = range(rows[i])
        local left, right = range(columns[i])
        boxes[i] = {top, left, bottom, right}
    end
    return boxes
end

---Puts `count` patches of pictures of the pool at places of a canvas; what is brighter stays.
---@param canvas any [C, height, width], changed
---@param pool any [n, C, H, W], floats
---@param count integer
---@param patch integer side of a patch
---@param draw fun(n: integer): integer
function m.clutter(canvas, pool, count, patch, draw)
    for _ = 1, count do
        local from = pool[draw(#pool)]:narrow(2, draw(pool:size(3) - patch + 1), patch):narrow(3,
            draw(pool:size(4) - patch + 1), patch)
        local to = canvas:narrow(2, draw(canvas:size(2) - patch + 1), patch):narrow(3,
            draw(canvas:size(3) - patch + 1), patch)
        to:copy_(attn.maximum(from, to))
    end
end

---How a picture is put: whole numbers of points from the middle of the canvas, an angle, a scale.
---@param cfg {rotate: number, scale: number}
---@param canvas integer[] height and width of the canvas
---@param size integer[] and of the picture
---@param shift integer[] how far at most from the middle, down and across
---@param draw fun(n: integer?): number
function m.draw(cfg, canvas, size, shift, draw)
    local function whole(most) return draw(2 * most + 1) - 1 - most end
    local function between(most) return (2 * draw() - 1) * most end
    local function place(d) return (canvas[d] - size[d]) // 2 + size[d] / 2 + whole(shift[d]) end
    return {y = place(1), x = place(2), angle = between(cfg.rotate), scale = 1 + between(cfg.scale)}
end

m.known = {{"rotate", "number", 0, least = 0}, {"scale", "number", 0, least = 0, most = 0.9},
    {"clutter", "integer", 0, least = 0},
    {"patch", "integer", 8, least = 1}}

---data.augment, with the generators of data.
function m.augment(data, images, options)
    if internal.kind(images) ~= "tensor" or images:dim() ~= 4 then
        error(("data.augment: images are %s, expected [n, channels, height, width]"):format(fields.describe(images)), 3)
    end
    local known = table.move(m.known, 1, #m.known, 4, {{"canvas", "integer", images:size(3), least = 1},
        {"shift", "integer", 0, least = 0}, {"seed", "integer", 1}})
    local cfg = fields.read("data.augment", options or {}, known, 3)
    local h, w, how, draws, uint8 = images:size(3), images:size(4), {}, {}, images.dtype == "uint8"
    if cfg.clutter > 0 and cfg.patch > math.min(h, w, cfg.canvas) then
        error(("data.augment: patch is %d, expected at most the pictures' sides (%d, %d)"):format(cfg.patch, h, w), 3)
    end
    for i = 1, #images do
        draws[i] = data.random(cfg.seed, i)
        how[i] = m.draw(cfg, {cfg.canvas, cfg.canvas}, {h, w}, {cfg.shift, cfg.shift}, draws[i])
    end
    local pool = uint8 and images:to "float32" or images
    local out = m.placed(pool, cfg.canvas, cfg.canvas, how)
    local boxes = m.boxes(out)
    for i, draw in ipairs(draws) do m.clutter(out[i], pool, cfg.clutter, cfg.patch, draw) end
    return uint8 and (out + 0.5):to "uint8" or out, attn.tensor(boxes, {dtype = "int64"})
end

attn.describe{name = "data.augment",
    signature = "augment(images [n, C, H, W], {canvas = H, shift = 0, rotate = 0, scale = 0, clutter = 0, patch = 8, seed = 1}) -> images, boxes",
    help = "Pictures (uint8 or floats) in canvases of canvas x canvas points, each moved by up to shift points in both directions, turned\n"
        .. "by up to rotate degrees, scaled by up to a share scale, with clutter patches of patch x patch points of other pictures.\n"
        .. "boxes [n, 4]: top, left, bottom and right of what is above a fifth of the brightest point, before the clutter. Picture i of a\n"
        .. "seed depends on the two alone.",
    example = 'local pictures, boxes = attn.data.augment(attn.rand(2, 1, 8, 8), {canvas = 12, shift = 2, rotate = 20})\nprint(pictures, boxes)'}

return m
