-- key_value: attention and N-gram by hand, what may be looked at, the mean distance; gradients.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local key_value = require "self_attention.key_value"
local ids = attn.tensor({{1, 4, 2, 3}, {3, 5, 1, 1}}, {dtype = "int64"})

local function speaker(kind)
    attn.seed(1)
    return key_value.Speaker{kind = kind, words = 5, dim = 3, hidden = 6, span = 2}:to "float64"
end

t.case("the places before, at most span of them; their mean distance", function()
    t.equal(key_value.before(4, 2):to("int64"):totable(), {{0, 0, 0, 0}, {1, 0, 0, 0}, {1, 1, 0, 0}, {0, 1, 1, 0}})
    local weights = attn.tensor{{{0, 0, 0, 0}, {1, 0, 0, 0}, {0.5, 0.5, 0, 0}, {0, 0.25, 0.75, 0}}}
    t.near(key_value.distance(weights, 2), (1.5 + 1.25) / 2, 1e-6)
end)

t.case("key, value and prediction are thirds of the state", function()
    local model = speaker "key-value-predict"
    local state, h = model:state(), model.reader(model.embed(ids))[1]       -- [4, 6]
    local k, v, p = h[{{}, {1, 2}}], h[{{}, {3, 4}}], h[{{}, {5, 6}}]
    local query = k[4]:matmul(state["attend.score.weight_query"]:transpose(1, 2))
    local keys = k[{{2, 3}}]:matmul(state["attend.score.weight_key"]:transpose(1, 2))
    local a = ((keys + query):tanh() * state["attend.score.v"]):sum(-1):softmax()
    local r = a:matmul(v[{{2, 3}}])
    local logits, weights = model(ids)
    t.near(weights[1][4][{{2, 3}}], a, 1e-10)
    t.near(logits[1][4], model.out((model.read(r:unsqueeze(1)) + model.own(p[{{4, 4}}])):tanh())[1], 1e-10)
end)

t.case("4-gram: parts of the last three states, zero before the first", function()
    local model = speaker "4-gram"
    local h = model.reader(model.embed(ids))[1]
    local second = attn.cat({h[2][{{1, 2}}], h[1][{{3, 4}}], attn.zeros(2, {dtype = "float64"})}, 1)
    local fourth = attn.cat({h[4][{{1, 2}}], h[3][{{3, 4}}], h[2][{{5, 6}}]}, 1)
    local logits = model(ids)[1]
    t.near(logits[2], model.out(model.join(second:unsqueeze(1)):tanh())[1], 1e-10)
    t.near(logits[4], model.out(model.join(fourth:unsqueeze(1)):tanh())[1], 1e-10)
end)

t.case("gradients; equally wide states", function()
    for _, kind in ipairs{"LSTM", "attention", "key-value", "key-value-predict", "4-gram"} do
        local model = speaker(kind)
        t.is_true(attn.checkgrad(function() return (model(ids)) end, model:parameters()), kind)
        t.equal(model.reader(model.embed(ids)):size(3), 6)
    end
end)
