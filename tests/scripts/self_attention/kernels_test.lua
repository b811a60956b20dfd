-- kernels: weights against attn.attention's and by hand; a product of kernels; what symmetric shares; gradients.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local kernels = require "self_attention.kernels"

attn.seed(1)
local q, k = attn.randn(1, 3, 4, {dtype = "float64"}), attn.randn(1, 5, 4, {dtype = "float64"})
local there = attn.tensor{{{true, true, true, true, false}}}

t.case("exponential, rbf and polynomial are those of the library", function()
    for _, name in ipairs{"exponential", "rbf", "polynomial"} do
        local attend = attn.attention{query = 4, score = "kernel", kernel = name}:to "float64"
        local _, weights = attend(q, k, k, {mask = there:expand(1, 3, 5), weights = true})
        t.near(kernels.weigh(name, {{q, k}}, there), weights, 1e-10)
    end
end)

t.case("linear: products over their sum, of which some are negative", function()
    local keys = attn.tensor({{{2.0, 0.0}, {-1.0, 0.0}, {9.0, 9.0}}}, {dtype = "float64"})
    local weights = kernels.weigh("linear", {{attn.tensor({{{1.0, 5.0}}}, {dtype = "float64"}), keys}},
        attn.tensor{{{true, true, false}}})
    t.near(weights[1][1], {2, -1, 0}, 1e-10)
end)

t.case("a product of kernels: exponentials add up", function()
    local both = kernels.weigh("exponential", {{q, k}, {k:narrow(2, 1, 3), q:narrow(2, 1, 1):expand(1, 5, 4)}}, there)
    t.near(both, kernels.weigh("exponential", {{q, k}}, there), 1e-10)      -- the second is the same for all keys
    local square = kernels.weigh("polynomial", {{q, k}, {q, k}}, there)
    local once = kernels.weigh("polynomial", {{q, k}}, there)
    t.near(square, once ^ 2 / (once ^ 2):sum(-1, true), 1e-10)
end)

t.case("gradients; symmetric: one map for queries and keys", function()
    local source, lengths = attn.data.pad{{1, 4, 2}, {3, 2}}
    local before = attn.tensor({{5, 1, 4, 2}, {5, 3, 2, 0}}, {dtype = "int64"})
    for _, name in ipairs{"linear", "polynomial", "exponential", "rbf"} do
        local count = {}
        for i, symmetric in ipairs{false, true} do
            attn.seed(2)
            local model = kernels.Smoother{kernel = name, place = i == 1 and "product" or "sum", symmetric = symmetric,
                words = 6, places = 4, dim = 4}:to "float64"
            t.is_true(attn.checkgrad(function() return (model(source, lengths, before)) end, model:parameters()), name)
            count[i] = kernels.Smoother{kernel = name, place = "product", symmetric = symmetric, words = 6, places = 4,
                dim = 4}:count()
        end
        t.equal(count[1] - count[2], 2 * 16)
    end
end)
