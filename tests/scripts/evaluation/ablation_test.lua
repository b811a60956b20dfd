-- Ablation: each part can be left out, with its gradient; what is left is what it says.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local Classifier = require "evaluation.ablation".Classifier

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local words, lengths = ids{{1, 2, 3}, {4, 0, 0}}, ids{3, 1}
local function classifier(without)
    attn.seed(7)
    local c = {words = 5, classes = 2, dim = 2, hidden = 2, dropout = 0}
    for _, part in ipairs{"recurrent", "both", "attention"} do c[part] = true end
    if without then c[without] = false end
    return Classifier(c):to "float64"
end

for _, without in ipairs{"nothing", "recurrent", "both", "attention"} do
    t.case("without " .. without .. ": gradient; padding changes nothing", function()
        local model = classifier(without)
        local ok, report = attn.checkgrad(function() return (model(words, lengths)) end, model:parameters())
        t.is_true(ok, report)
        t.near(model(words, lengths)[2]:totable(), model(ids{{4}}, ids{1})[1]:totable(), 1e-12)
    end)
end

t.case("without attention every word weighs the same: the mean, in plain Lua", function()
    attn.seed(7)
    local model = Classifier{words = 5, classes = 2, dim = 2, hidden = 2, dropout = 0}:to "float64"
    local e, W, b = model.embed.weight:totable(), model.out:state().weight:totable(), model.out:state().bias:totable()
    local expected = {}
    for k = 1, 2 do
        expected[k] = b[k]
        for d = 1, 2 do expected[k] = expected[k] + W[k][d] * (e[1][d] + e[2][d] + e[3][d]) / 3 end
    end
    t.near(model(words, lengths)[1]:totable(), expected, 1e-12)
end)
