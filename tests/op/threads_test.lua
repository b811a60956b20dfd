-- Results do not depend on the number of threads, bit for bit: every operation whose work is split, at sizes that are
-- split.
local attn, t = require "attn", require "attn.test"

local function same(name, fn, ...)
    local inputs = {...}
    t.case(name .. " is the same on 1, 2, 3 and 7 threads", function()
        local before = attn.threads()
        local results = {}
        for k, n in ipairs{1, 2, 3, 7} do
            attn.threads(n)
            attn.seed(5)
            for _, x in ipairs(inputs) do x:requires_grad_(x.dtype == "float32"); x.grad = nil end
            local y = fn(table.unpack(inputs))
            local list = {y.dtype == "bool" and y:to "int64" or y:detach()}
            if y.requires_grad then y:backward(attn.randn(y.shape)) end
            for _, x in ipairs(inputs) do list[#list + 1] = x.grad end
            results[k] = list
        end
        attn.threads(before)
        for other = 2, #results do
            for k, x in ipairs(results[1]) do
                local y = results[other][k]
                t.equal(x.shape, y.shape)
                t.is_true(not x:ne(y):any():item(), "result " .. k .. " differs")
            end
        end
    end)
end

local function R(...) return attn.randn(...) end

for _, name in ipairs{"add", "sub", "mul", "div", "maximum", "logaddexp", "mod"} do
    same(name, attn[name], R(300, 400), R(300, 400))
    same(name .. " with a row", attn[name], R(300, 400), R(400))
    same(name .. " with a column", attn[name], R(300, 400), R(300, 1))
    same(name .. " with a scalar", attn[name], R(300, 400), R(1))
    same(name .. " of transposed", function(a, b) return attn[name](a, b:transpose(1, 2)) end, R(300, 400), R(400, 300))
end
for _, name in ipairs{"tanh", "gelu", "exp", "dropout", "erf", "expm1", "round", "leaky_relu"} do same(name, attn[name], R(300, 400)) end
local function B(...) return attn.bernoulli(0.5, {...}, {dtype = "bool"}) end
for _, name in ipairs{"eq", "lt", "ge"} do same(name, attn[name], attn.randint(0, 3, 300, 400), attn.randint(0, 3, 400)) end
for _, name in ipairs{"isnan", "isinf", "isfinite"} do same(name, attn[name], R(300, 400):round() / 0) end
for _, name in ipairs{"logical_and", "logical_or", "logical_xor"} do
    same(name, attn[name], B(300, 400), B(300, 400))
    same(name .. " with a column, transposed", function(a, b) return attn[name](a:transpose(1, 2), b) end, B(300, 400), B(400, 1))
end
same("logical_not", attn.logical_not, B(300, 400))
for _, name in ipairs{"any", "all"} do
    local rare = attn.bernoulli(name == "any" and 0.01 or 0.99, {50, 60, 40}, {dtype = "bool"})
    for d = 1, 3 do same(name .. " along " .. d, function(x) return attn[name](x, d) end, rare) end
    same(name .. " of all", attn[name], rare)
end
same("idiv", attn.idiv, R(300, 400) * 9, R(400))
same("idiv of whole numbers", attn.idiv, attn.randint(-99, 99, 300, 400), attn.randint(1, 7, 300, 1))
for _, name in ipairs{"argmax", "argmin"} do
    for d = 1, 3 do same(name .. " along " .. d, function(x) return attn[name](x, d) end, R(50, 60, 40):round()) end
end
for d = 1, 3 do same("unfold along " .. d, function(x) return x:unfold(d, 7, 3) * 2 end, R(50, 60, 40)) end
same("one_hot", function(x) return x:one_hot(40) end, attn.randint(0, 40, 3000))
same("mask", function(n) return attn.mask(n, 300) end, attn.randint(0, 300, 400))
same("nonzero", attn.nonzero, B(300, 400))
for _, name in ipairs{"sum", "mean", "var", "logsumexp", "norm", "softmax", "log_softmax", "sparsemax", "entmax15",
                      "cumsum", "cumprod", "logcumsumexp", "diff"} do
    for d = 1, 3 do same(name .. " along " .. d, function(x) return (attn[name](x, d)) end, R(50, 60, 40)) end
end
for d = 1, 3 do
    local size = {50, 60, 40}
    size[d] = 1
    same("entmax along " .. d, function(x, alpha) return x:entmax(alpha, d) end, R(50, 60, 40), attn.rand(size) * 0.8 + 1.1)
end
same("entmax with one alpha", attn.entmax, R(5000, 40), attn.full({1}, 1.7))
for _, name in ipairs{"sum", "mean", "norm"} do same(name .. " of all", attn[name], R(500, 400)) end
same("matmul", attn.matmul, R(300, 200), R(200, 400))
same("matmul of batches", attn.matmul, R(8, 1, 70, 50), R(6, 50, 60))
same("einsum", function(a, b) return attn.einsum("bihd,bjhd->bhij", a, b) end, R(4, 50, 4, 32), R(4, 60, 4, 32))
same("linear", attn.linear, R(40, 30, 64), R(100, 64), R(100))
same("layernorm", attn.layernorm, R(2000, 64), R(64), R(64))
same("rmsnorm", attn.rmsnorm, R(2000, 64), R(64))
same("conv1d", function(x, w, b) return attn.conv1d(x, w, b, 1, 2) end, R(16, 100, 32), R(48, 32, 5), R(48))
same("conv2d", function(x, w, b) return attn.conv2d(x, w, b, 1, 1) end, R(8, 8, 24, 24), R(16, 8, 3, 3), R(16))
for _, name in ipairs{"max_pool2d", "avg_pool2d"} do
    same(name, function(x) return attn[name](x, 3, {stride = 2, padding = 1}) end, R(6, 8, 40, 41))
end
for _, name in ipairs{"max_pool1d", "avg_pool1d"} do
    same(name, function(x) return attn[name](x, 3, {stride = 2, padding = 1}) end, R(6, 80, 90))
end
same("interpolate", function(x) return attn.interpolate(x, {50, 30}) end, R(6, 8, 30, 31))
same("grid_sample", attn.grid_sample, R(6, 8, 30, 31), R(6, 40, 40, 2))
same("affine_grid", function(x) return attn.affine_grid(x, {60, 70}) end, R(9, 2, 3))
same("glimpse", function(x) return attn.glimpse(x, attn.zeros(6, 2), {size = 20, scales = 3}) end, R(6, 8, 30, 31))
for dim = 1, 3 do
    local layer = attn.layer.batchnorm{channels = 60, dim = dim}
    same("batchnorm along " .. dim, function(x, w, b)
        layer.weight, layer.bias = w, b
        return layer(x)
    end, R(60, 60, 60), R(60), R(60))
end
same("groupnorm", function(x, w, b)
    local layer = attn.layer.groupnorm{channels = 60, groups = 5}
    layer.weight, layer.bias = w, b
    return layer(x)
end, R(50, 60, 40), R(60), R(60))
same("conv2d, strided, dilated, in groups", function(x, w, b)
    return attn.conv2d(x, w, b, {stride = {2, 1}, padding = {1, 4}, dilation = {1, 2}, groups = 4})
end, R(20, 8, 14, 7), R(16, 2, 3, 3), R(16))
same("conv2d, 1 x 1", function(x, w, b) return attn.conv2d(x, w, b) end, R(9, 16, 20, 20), R(24, 16, 1, 1), R(24))
local ids, targets = attn.randint(0, 500, 3000), attn.randint(0, 300, 1000)
same("embedding", function(w) return attn.embedding(ids, w) end, R(500, 40))
same("cross_entropy", function(x) return attn.loss.cross_entropy(x, targets) end, R(1000, 300))
local source, words = attn.randint(0, 330, 50, 12), attn.randint(0, 310, 50, 20)
same("copy", function(x, e, g) return attn.loss.copy(x, e:softmax(3), g, source, words) end, R(50, 20, 300), R(50, 20, 12),
    R(50, 20))
same("mse", attn.loss.mse, R(300, 400), R(300, 400))
same("sort", function(x) return (x:sort(2)) end, R(60, 700))
same("topk", function(x) return (x:topk(7, 1)) end, R(700, 60))

for d = 1, 3 do
    same("flip along " .. d, function(x) return x:flip(d) end, R(50, 60, 40))
    same("pad along " .. d, function(x) return x:pad(d, 30, 20, {mode = "reflect"}) end, R(50, 60, 40))
    local places = attn.randint(0, 40, 40, 40, 40)
    same("gather along " .. d, function(x) return x:gather(d, places) end, R(50, 60, 40))
    same("scatter_add along " .. d, function(x, s) return x:scatter_add(d, places, s) end, R(50, 60, 40), R(40, 40, 40))
    same("cosine_similarity along " .. d, function(a, b) return attn.cosine_similarity(a, b, d) end, R(50, 60, 40), R(60, 1))
end
same("cosine_similarity of pairs", function(a, b) return attn.cosine_similarity(a, b, -1) end, R(20, 60, 1, 40), R(20, 1, 50, 40))
same("cdist", attn.cdist, R(4, 50, 40), R(4, 60, 40))
same("outer", attn.outer, R(300), R(400))
same("margin", attn.loss.margin, R(300), R(300, 400))
same("huber", attn.loss.huber, R(300, 400), R(300, 400))
