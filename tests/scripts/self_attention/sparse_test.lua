-- sparse: the pooling, its gradients, the alpha it learns, what is measured.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local sparse = require "self_attention.sparse"

t.case("padding weighs nothing; gradients of the pooling", function()
    local ids, lengths = attn.data.pad{{1, 4, 2}, {3, 5}}
    for _, distribution in ipairs{"softmax", "sparsemax", "entmax15", "entmax"} do
        attn.seed(1)
        local model = sparse.Pool{words = 5, classes = 3, dim = 4, encoder = true, distribution = distribution}
        model:to "float64"
        local _, weights = model(ids, lengths)
        t.equal(weights[2][3]:item(), 0)
        t.is_true(attn.checkgrad(function() return (model(ids, lengths)) end, model:parameters()), distribution)
    end
end)

t.case("measured by hand: support, zeros and entropy, padding aside", function()
    local Fixed = attn.module "Fixed"
    function Fixed:forward()
        return attn.tensor{{0, 1}, {1, 0}}, attn.tensor{{0.5, 0.5, 0, 0}, {1, 0, 0, 0}}
    end
    local batches = attn.data.batches{fields = {source = {{1, 2, 3, 4}, {5, 6}}, answer = {2, 2}}, size = 2, shuffle = false}
    local out = sparse.measure(Fixed(), batches)
    t.near({out.accuracy, out.support, out.zeros, out.entropy}, {50, 1.5, 50, math.log(2) / 2}, 1e-6)
    t.equal(out.alpha, nil)
end)

t.case("alpha is 1.5 at first and learned", function()
    attn.seed(1)
    local model = sparse.Pool{words = 5, classes = 2, dim = 4, distribution = "entmax"}
    t.near(model:alpha(), {1.5}, 1e-6)
    local batches = attn.data.batches{fields = {source = {{1, 2, 3, 4}, {5, 2, 1}}, answer = {2, 1}}, size = 2}
    sparse.learn(model, batches, {steps = 5, lr = 0.1})
    t.is_true(math.abs(model:alpha():item() - 1.5) > 1e-3)
end)
