-- ABCNN: the attention matrix and its pooling by hand, gradients, padding.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local abcnn = require "reading.abcnn"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

t.case("the attention matrix is 1 / (1 + distance), 0 at padding", function()
    local x, y = attn.tensor{{{0, 0}, {3, 4}}}, attn.tensor{{{0, 0}, {0, 1}, {9, 9}}}
    local a = abcnn.match(x, y, attn.ones(1, 2), attn.tensor{{1, 1, 0}})
    t.near(a[1], {{1, 1 / 2, 0}, {1 / 6, 1 / (1 + math.sqrt(18)), 0}}, 1e-6)
end)

t.case("ABCNN-2 pools windows of columns, each times the sum of its row of the attention matrix", function()
    attn.seed(1)
    local layer = abcnn.Layer{inputs = 1, maps = 1, width = 2, length = 2, pool = true}
    attn.no_grad(function()
        layer.conv.weight:copy_(attn.tensor{{{0.5, 1}}})
        layer.conv.bias:fill_(0)
    end)
    local function column(a) return (1 - math.exp(-2 * a)) / (1 + math.exp(-2 * a)) end     -- tanh
    -- columns of the wide convolution: x = (1, 2) -> tanh of (1, 0.5 + 2, 1); y = (3) -> tanh of (3, 1.5)
    local x, y = {column(1), column(2.5), column(1)}, {column(3), column(1.5)}
    local sum, a = {}, {}
    for i = 1, 3 do
        sum[i] = 0
        for j = 1, 2 do sum[i] = sum[i] + 1 / (1 + math.abs(x[i] - y[j])) end
        a[i] = sum[i] * x[i]
    end
    local pooled = layer(attn.tensor{{{1}, {2}}}, ids{2}, attn.tensor{{{3}}}, ids{1})
    t.near(pooled[1], {{a[1] + a[2]}, {a[2] + a[3]}}, 1e-5)
end)

for name, variant in pairs{bcnn = {}, ["abcnn-1"] = {input = true},
    ["abcnn-2"] = {pool = true}, ["abcnn-3"] = {input = true, pool = true}} do
    local function model()
        attn.seed(2)
        return abcnn.Pairs{words = 6, dim = 3, maps = 2, width = 2, layers = 2, length = 6, input = variant.input,
            pool = variant.pool}
    end
    local left, ln, right, rn = ids{{1, 2, 3}, {4, 5, 0}}, ids{3, 2}, ids{{2, 1, 6, 3}, {5, 0, 0, 0}}, ids{4, 1}

    t.case(name .. ": gradients", function()
        local m = model():to "float64"
        local ok, report = attn.checkgrad(function() return (m(left, ln, right, rn)) end, m:parameters())
        t.is_true(ok, report)
    end)

    t.case(name .. ": padding changes nothing", function()
        local m = model()
        local alone = m(ids{{4, 5}}, ids{2}, ids{{5}}, ids{1})
        t.near(m(left, ln, right, rn)[2], alone[1], 1e-5)
    end)
end
