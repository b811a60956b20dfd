-- synthesizer: dot and random are those of attn.attention, the others by hand; no place sees those behind it; gradients.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local synthesizer = require "self_attention.synthesizer"

attn.seed(2)
local x = attn.randn(2, 5, 4, {dtype = "float64"})
local function attention(kinds, heads)
    attn.seed(3)
    return synthesizer.Attention{kinds = kinds, dim = 4, heads = heads, length = 6, rank = 2}:to "float64"
end

-- The library's attention with the parameters of ours.
local function library(fields, ours, names)
    fields.query, fields.heads, fields.project = 4, 2, true
    local theirs, from = attn.attention(fields):to "float64", ours:state()
    local state = theirs:state()
    for name in pairs(state) do
        local other = names[name] or name
        if from[other] then state[name] = from[other]:reshape(state[name].shape) end
    end
    theirs:load(state)
    return theirs(x, x, x, {weights = true})
end

t.case("dot and random are those of the library", function()
    local dot = attention({"dot"}, 2)
    local names = {}
    for _, name in ipairs{"query.weight", "query.bias", "key.weight", "key.bias"} do names[name] = "parts.1." .. name end
    local context, weights = library({}, dot, names)
    local own, own_weights = dot(x)
    t.near(own, context, 1e-10)
    t.near(own_weights, weights, 1e-10)
    local random = attention({"random"}, 2)
    context, weights = library({score = "synthesizer_random", max_queries = 6, max_keys = 6}, random,
        {["score.weight"] = "parts.1.r"})
    own, own_weights = random(x)
    t.near(own, context, 1e-10)
    t.near(own_weights[1], weights[1], 1e-10)
end)

t.case("factorised: a product of two small ones", function()
    local model = attention({"factorised dense"}, 1)
    local state, weights = model:state(), select(2, model(x))
    local a = attn.linear(x, state["parts.1.a.weight"], state["parts.1.a.bias"])[2][3]:totable()        -- 2 x 3 = 6
    local b = attn.linear(x, state["parts.1.b.weight"], state["parts.1.b.bias"])[2][3]:totable()
    t.equal({#a, #b}, {2, 3})
    local e = attn.tensor({a[1] * b[1], a[1] * b[2], a[1] * b[3], a[2] * b[1], a[2] * b[2]}, {dtype = "float64"})
    t.near(weights[2][1][3], e:softmax(), 1e-10)
    model = attention({"factorised random"}, 1)
    state, weights = model:state(), select(2, model(x))
    e = state["parts.1.r1"][1]:matmul(state["parts.1.r2"][1]:transpose(1, 2))[{{1, 5}, {1, 5}}]
    t.near(weights[1][1], e:softmax(-1), 1e-10)
end)

t.case("a mixture of equal parts is the mean of their scores", function()
    local weights = select(2, attention({"random", "fixed"}, 1)(x))
    local state = attention({"random", "fixed"}, 1):state()
    t.near(weights[1][1], ((state["parts.1.r"] + state["parts.2.r"]) / 2)[1][{{1, 5}, {1, 5}}]:softmax(-1), 1e-10)
end)

t.case("gradients; fixed is not learned; no place sees those behind it", function()
    local ids = attn.tensor({{1, 4, 2}, {3, 5, 1}}, {dtype = "int64"})
    for _, kinds in ipairs{{"dot"}, {"dense"}, {"factorised dense"}, {"random"}, {"factorised random"},
        {"fixed", "dense"}} do
        attn.seed(1)
        local model = synthesizer.Network{kinds = kinds, words = 5, outputs = 2, dim = 4, heads = 2, layers = 1,
            length = 4, rank = 2}
        model:to "float64"
        t.is_true(attn.checkgrad(function() return (model(ids, true)) end, model:parameters()), kinds[1])
        for name in model:named_parameters() do t.is_true(kinds[1] ~= "fixed" or not name:find "parts.1", name) end
        local other = ids:clone()
        other:select(2, 3):fill_(1)
        t.equal(model(other, true):narrow(2, 1, 2):totable(), model(ids, true):narrow(2, 1, 2):totable())
    end
end)

t.case("a pair is one word, the key asked for another", function()
    local b = {source = attn.tensor({{2, 6, 1, 5}}, {dtype = "int64"}), query = attn.tensor({1}, {dtype = "int64"})}
    t.equal(synthesizer.pairs_of(b, 4, 3), {{3 + 2, 1, 12 + 1}})            -- keys 1 to 4, values 5 to 7
end)
