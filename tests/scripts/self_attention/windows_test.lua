-- windows: the predicted centre, by hand; its gradient, which many leave out; a step looks at 2D + 1 words only.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local centre_error = require "self_attention.windows".centre_error

local function translator(window)
    return attn.translate.recurrent{sources = 6, targets = 8, dim = 3, hidden = 4, cell = "lstm", style = "luong", feeding = true,
        attention = {score = "general", window = window, dim = window.type == "predictive" and 4 or nil}}
end

t.case("with v = 0 the centre is the middle of the sentence", function()
    attn.seed(1)
    local model = translator{type = "predictive", radius = 2}
    local state = model:state()
    state["decoder.attention.window.v"] = attn.zeros(4)
    model:load(state)
    local set = {source = {{1, 2, 3, 4}, {5, 6}}, target = {{4, 3}, {6}}, links = {{{1, 4}, {2, 3}}, {{1, 2}}}, bos = 7, eos = 8}
    -- |2 - 4|, |2 - 3|, |1 - 2|
    t.equal(attn.no_grad(centre_error, model, set), 4 / 3)
end)

t.case("gradient of local-p, its v and W among the parameters", function()
    attn.seed(2)
    local model = translator{type = "predictive", radius = 2}:to "float64"
    local names = {}
    for name in model:named_parameters() do names[name] = true end
    t.is_true(names["decoder.attention.window.weight"] and names["decoder.attention.window.v"])
    local ids, lengths = attn.data.pad{{1, 4, 2, 3}, {5, 6, 2}}
    t.is_true(attn.checkgrad(model, {ids, lengths, attn.tensor({{7, 2}, {7, 3}}, {dtype = "int64"})}))
end)

t.case("a step of local-m has at most 2D + 1 weights", function()
    attn.seed(3)
    local model = translator{type = "monotonic", radius = 1}
    local set = {source = {{1, 2, 3, 4, 5, 6}}, target = {{1, 2, 3, 4, 5}}, bos = 7, eos = 8}
    local _, weights = attn.translate.align(model, set)
    for step, row in ipairs(weights[1]:totable()) do
        for place, weight in ipairs(row) do t.equal(weight > 0, math.abs(place - step) <= 1) end
    end
end)
