-- two-level attention (D8; Xiao et al. 2015), from class labels alone: which patch of a cluttered picture holds the
-- object, and which small squares in it are its parts
--
--     object   patches p of 28 x 28 points: p(y) = sum_p a_p p(y | patch), a = softmax of a filter network's scores
--     parts    filters of the second convolution, clustered by their weights; each cluster is a detector, whose largest
--              response in the chosen patch is where a square is cut out; a network classifies the squares together
--     both     log p_object(y) + log p_parts(y)
--
-- Command    attn scripts/seeing/two_level.lua [--data DIR]
-- Time       6 minutes on one core
-- Data       MNIST: digits somewhere on 60 x 60 among 6 pieces of others; synthetic: digits made of seven strokes
-- Found      attention to patches is 13 (MNIST) and 8 points (made digits) better than their mean; parts add nothing to
--            the object (-0.2 and -0.3 points, undecided). Without normalised convolutions one seed of three never left
--            chance on MNIST, and parts added a point to made digits
-- Your data  local levels = require "seeing.two_level"                                     (attn -I scripts)
--            local object = levels.Object{classes = 10, first = 8, second = 12, attention = true}
--            local logp, a = object(pictures)  [B, 1, H, W] -> [B, classes], [B, rows, columns]: patches 8 points apart
local attn = require "attn"
local fit, study, task = require "attn.fit", require "attn.study", require "attn.task"
local layer = attn.layer

local Object = attn.module "Object"
function Object:init(cfg)
    self.first = layer.conv2d{inputs = 1, outputs = cfg.first, kernel = 5, stride = 2, padding = 2}
    self.second = layer.conv2d{inputs = cfg.first, outputs = cfg.second, kernel = 5, stride = 2, padding = 2}
    self.norms = {layer.batchnorm{channels = cfg.first}, layer.batchnorm{channels = cfg.second}}
    self.class = layer.conv2d{inputs = cfg.second, outputs = cfg.classes, kernel = 7, stride = 2}   -- of 28 x 28 points
    if cfg.attention then self.score = layer.conv2d{inputs = cfg.second, outputs = 1, kernel = 7, stride = 2} end
end

-- x [B, 1, H, W] -> log p [B, classes], a [B, rows, columns] of the patches, the second maps [B, C, H / 4, W / 4]
function Object:forward(x)
    local maps = self.norms[2](self.second(self.norms[1](self.first(x)):relu())):relu()
    local each = self.class(maps):log_softmax(2)                                                -- [B, classes, R, C]
    local B, classes, R, C = table.unpack(each.shape)
    local scores = self.score and self.score(maps):view(B, 1, R * C) or attn.zeros(B, 1, R * C, {dtype = x.dtype})
    local log_a = scores:log_softmax(3)
    return (each:view(B, classes, R * C) + log_a):logsumexp(3), log_a:exp():view(B, R, C), maps
end

---Clusters filters [n, ...] into k by the cosine of their weights, k-means on the sphere; the cluster of each, from 1.
local function cluster(weight, k)
    local n = weight:size(1)
    local rows = weight:detach():reshape(n, -1)
    rows = rows / rows:norm(2, true):clamp(1e-12)
    local centres, of = {rows[1]}, nil
    for c = 2, k do                                                 -- the filter that is least like any centre so far
        local likest = rows:matmul(attn.stack(centres, 2)):max(2)
        centres[c] = rows[likest:argmin():item()]
    end
    for _ = 1, 10 do
        of = rows:matmul(attn.stack(centres, 2)):argmax(2)
        for c = 1, k do
            local mine = of:eq(c):to(rows.dtype)
            local sum = (rows * mine:unsqueeze(2)):sum(1)
            if mine:sum():item() > 0 then centres[c] = sum / sum:norm():clamp(1e-12) end
        end
    end
    return of
end

local Parts = attn.module "Parts"
function Parts:init(cfg)
    local filters = cfg.object.second.weight
    self.detectors = cluster(filters, cfg.detectors):one_hot(cfg.detectors):to(filters.dtype)               -- [C, K]
    self.size = cfg.size
    self.first = layer.linear{inputs = cfg.detectors * (cfg.size * cfg.size + 2), outputs = cfg.hidden}
    self.second = layer.linear{inputs = cfg.hidden, outputs = cfg.classes}
end

-- Where each detector responds most in the patch with the largest weight: places [B, K, 2], x and y in -1 .. 1 of the
-- picture, and in the patch.
function Parts:find(a, maps)
    local B, R, C = table.unpack(a.shape)
    local best = (a:view(B, R * C):argmax(2) - 1)
    local response = attn.einsum("bchw,ck->bkhw", maps, self.detectors)
    local K, H, W, places, inside = response:size(2), maps:size(3), maps:size(4), {}, {}
    for i, patch in ipairs(best:totable()) do
        local top, left = 2 * (patch // C), 2 * (patch % C)
        places[i], inside[i] = {}, {}
        local here = response[i]:narrow(2, top + 1, 7):narrow(3, left + 1, 7):reshape(K, 49)
        for k, at in ipairs(here:argmax(2):totable()) do
            local y, x = (at - 1) // 7, (at - 1) % 7
            places[i][k] = {2 * (left + x + 0.5) / W - 1, 2 * (top + y + 0.5) / H - 1}
            inside[i][k] = {x / 3 - 1, y / 3 - 1}
        end
    end
    return attn.tensor(places, {dtype = a.dtype}), attn.tensor(inside, {dtype = a.dtype})
end

function Parts:forward(x, a, maps)
    local places, inside = self:find(a, maps)
    local squares = {inside:flatten(2, 3)}
    for k = 1, places:size(2) do
        squares[k + 1] = attn.glimpse(x, places[{{}, k}]:contiguous(), {size = self.size}):flatten(2, 5)
    end
    return self.second(self.first(attn.cat(squares, 2)):relu()):log_softmax(2), places
end

local paper = study{
    system = {"D8"},
    paper = "Xiao, Xu, Yang, Zhang, Peng, Zhang 2015, The application of two-level attention models in deep "
        .. "convolutional neural network, CVPR",
    options = {canvas = 60, clutter = 6, classes = 10, first = 8, second = 12, detectors = 4, size = 14, hidden = 64,
        batch = 32, steps = 1500, lr = 3e-3, part_steps = 2000, train = 6000, test = 1000, attention = true},
    quick = {first = 2, second = 3, detectors = 2, size = 4, hidden = 4, steps = 2, part_steps = 2, batch = 4,
        train = 8, test = 8}, seeds = 3,
}

local function run(cfg, cell)
    local train, test = fit.parts(task.digits, cfg, cell.seed, {canvas = cfg.canvas, clutter = cfg.clutter})
    local object = Object(cfg)
    local function nll(logp, answer) return -logp:gather(2, answer:unsqueeze(2)):mean() end
    fit{model = object, batches = train, steps = cfg.steps, cell = cell, lr = cfg.lr, final = cfg.lr / 50,
        loss = function(b) return nll((object(b.image)), b.answer) end}
    object:eval()
    cfg.object = object
    local parts, shown = Parts(cfg), false
    fit{model = parts, batches = train, steps = cfg.part_steps, cell = cell, lr = cfg.lr / 2, final = cfg.lr / 100,
        loss = function(b)
            local _, a, maps = attn.no_grad(object, b.image)
            return nll((parts(b.image, a, maps)), b.answer)
        end}
    return fit.means(parts, test, function(b)
        local of_object, a, maps = object(b.image)
        local of_parts, places = parts(b.image, a, maps)
        if not shown then
            cell:keep("parts", b.image[{{1, 4}}], {as = "image", path = places[{{1, 4}}]})
            cell:keep("object", a[{{1, 4}}], {over = b.image[{{1, 4}}]})
            shown = true
        end
        local function error(logp) return 100 * logp:argmax(2):ne(b.answer):to "float32" end
        local on, C = {}, a:size(3)
        for i, patch in ipairs(a:flatten(2, 3):argmax(2):totable()) do           -- its middle is on the digit
            local y, x, box = (patch - 1) // C * 8 + 14.5, (patch - 1) % C * 8 + 14.5, b.box[i][1]:totable()
            on[i] = (y >= box[1] and y <= box[3] and x >= box[2] and x <= box[4]) and 100 or 0
        end
        return {error = error(of_object + of_parts), object = error(of_object), parts = error(of_parts), patch = on}
    end)
end

local function both(fields)
    fields.vary, fields.run = {{"attention"}, {"mean of the patches", attention = false}}, run
    fields.columns = {"error", "object", "parts", "patch"}
    fields.better = {error = "less", object = "less", parts = "less"}
    return paper:table(fields)
end
local mnist = both{name = "mnist", data = "mnist",
    about = "error in percent of both levels, of each; the chosen patch's middle on the digit"}
local made = both{name = "made digits", about = "the same with digits of seven strokes", synthetic = true,
    options = {made = true}}

for _, one in ipairs{{"MNIST", mnist}, {"made digits", made}} do
    local t = one[2]
    paper:claim{one[1] .. ": two levels beat the object's alone",
        t["attention"].object - t["attention"].error, at_least = 0}
    paper:claim{one[1] .. ": attention to patches beats their mean",
        t["mean of the patches"].object - t["attention"].object, at_least = 0}
end

return paper:main{Object = Object, Parts = Parts, cluster = cluster}
