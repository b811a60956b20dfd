-- Hierarchical attention: gradients, a third tier, padding, and one tier by its formula.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "reading.hierarchical"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function hierarchy(pool, tiers)
    attn.seed(5)
    return paper.Hierarchy{words = 9, classes = 2, dim = 2, hidden = 2, pool = pool, tiers = tiers}:to "float64"
end
local documents, sentences, words = ids{{{1, 2, 3}, {4, 5, 0}}, {{6, 0, 0}, {0, 0, 0}}}, ids{2, 1}, ids{{3, 2}, {1, 0}}

for _, pool in ipairs{"attention", "mean", "max"} do
    t.case(pool .. ": gradient; weights sum to 1 where there is something", function()
        local model = hierarchy(pool)
        local ok, report = attn.checkgrad(function() return (model(documents, {sentences, words})) end, model:parameters())
        t.is_true(ok, report)
        local _, maps = model(documents, {sentences, words})
        t.near(maps[1]:sum(3):totable(), {{1, 1}, {1, 0}}, 1e-12)
        t.near(maps[2]:sum(2):totable(), {1, 1}, 1e-12)
    end)

    t.case(pool .. ": padding changes nothing", function()
        local model = hierarchy(pool)
        local logits = model(documents, {sentences, words})
        t.near(logits[2]:totable(), model(ids{{{6}}}, {ids{1}, ids{{1}}})[1]:totable(), 1e-12)
    end)
end

t.case("a third tier: the documents of a user", function()
    local model = hierarchy("attention", 3)
    local logits, maps = model(documents:unsqueeze(1), {ids{2}, sentences:unsqueeze(1), words:unsqueeze(1)})
    t.equal({logits.shape, maps[1].shape, maps[2].shape, maps[3].shape}, {{1, 2}, {1, 2, 2, 3}, {1, 2, 2}, {1, 2}})
    t.near(maps[3]:sum():item(), 1, 1e-12)
end)

t.case("a tier: u = tanh(W h + b), weights softmax(u' u_w), in plain Lua", function()
    attn.seed(6)
    local tier = paper.Tier(2, 1, "attention"):to "float64"
    local x = attn.randn(1, 2, 2, {dtype = "float64"})
    local h, W = tier.rnn(x):totable()[1], tier.attend:state()
    local weight, bias, context = W.weight:totable(), W.bias:totable(), W.context:totable()[1]
    local e = {}
    for i = 1, 2 do
        local sum = 0
        for k = 1, 2 do
            local z = math.exp(2 * (weight[k][1] * h[i][1] + weight[k][2] * h[i][2] + bias[k]))
            sum = sum + context[k] * (z - 1) / (z + 1)
        end
        e[i] = math.exp(sum)
    end
    local s, a = tier(x, ids{2})
    t.near(a[1]:totable(), {e[1] / (e[1] + e[2]), e[2] / (e[1] + e[2])}, 1e-12)
    t.near(s[{1, 1}]:item(), (e[1] * h[1][1] + e[2] * h[2][1]) / (e[1] + e[2]), 1e-12)
end)
