-- attention_tour: the probe's gradient with each kind of mechanism.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Probe = require "self_attention.attention_tour".Probe

t.case("gradient of the probe", function()
    for i, change in ipairs{{}, {score = "additive", dim = 2}, {distribution = "sigmoid"}, {heads = 2}} do
        attn.seed(i)
        local model = Probe(change, {dim = 4, slots = 3, words = 3}):to "float64"
        local keys, values = attn.tensor({{1, 2, 3}}, {dtype = "int64"}), attn.tensor({{3, 1, 1}}, {dtype = "int64"})
        t.is_true(attn.checkgrad(function() return (model(keys, values, keys)) end, model:parameters()), i)
    end
end)
