-- counting: gradients, a sum that grows with what is there, marks whose share says nothing about their number.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local counting = require "self_attention.counting"

t.case("gradients, with padding", function()
    local ids, lengths = attn.data.pad{{1, 4, 2}, {3, 5}}
    for _, distribution in ipairs{"softmax", "sigmoid"} do
        attn.seed(1)
        local model = counting.Counter{words = 5, classes = 3, dim = 4, distribution = distribution}:to "float64"
        t.is_true(attn.checkgrad(function() return (model(ids, lengths)) end, model:parameters()), distribution)
    end
end)

t.case("twice the words: the same answer of softmax, weights of twice the sum of sigmoid", function()
    local ids, lengths = attn.data.pad{{1, 2}, {1, 2, 1, 2}}
    for distribution, factor in pairs{softmax = 1, sigmoid = 2} do
        local logits, weights = counting.Counter{words = 2, classes = 3, dim = 4, distribution = distribution}(ids, lengths)
        t.near(weights[2]:sum(), factor * weights[1]:sum():item(), 1e-5)
        t.equal((logits[1] - logits[2]):abs():max():item() < 1e-5, distribution == "softmax")
    end
end)

t.case("the share of marks is as often a half, a third and a quarter, however many there are", function()
    local seen = {}
    for b in counting.marks({counts = 2, batch = 8}, 40, 1):epoch(1) do
        for i, n in ipairs(b.source_lengths:totable()) do
            local k = b.answer[i]:item()
            t.equal(b.source[i]:eq(2):to("int64"):sum():item(), k)
            seen[k .. "/" .. n] = true
        end
    end
    t.equal(seen, {["1/2"] = true, ["1/3"] = true, ["1/4"] = true, ["2/4"] = true, ["2/6"] = true, ["2/8"] = true})
end)
