-- exploration: the three scores by hand, and the gradient of the translator with each of them.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Translator = require "reading.exploration".Translator

local function ids(lists) return attn.tensor(lists, {dtype = "int64"}) end
local source, lengths, target = ids{{5, 6, 7}, {3, 4, 0}}, ids{3, 2}, ids{{4, 1}, {4, 2}}

local function translator(score, layers)
    attn.seed(3)
    local model = Translator{sources = 9, targets = 5, dim = 3, hidden = 4, layers = layers or 1, score = score,
        width = 6}
    model:to "float64"
    return model
end

t.case("multiplicative and scaled weights are softmax of (W s) . (U h), plain and over sqrt(width)", function()
    for score, factor in pairs{multiplicative = 1, scaled = 6 ^ -0.5} do
        local model = translator(score)
        local _, weights = model(source, lengths, target)
        local memory, last = model.encoder(model.source(source), {lengths = lengths})
        local first = attn.cat({last.h[1], last.h[2]}, 2):unsqueeze(1)
        local states = model.decoder(model.target(target), {state = {h = first}})
        local q, k = model.query(states)[1][2]:totable(), model.key(memory)[1]:totable()
        local sum, e = 0, {}
        for j = 1, 3 do
            local dot = 0
            for d = 1, 6 do dot = dot + q[d] * k[j][d] end
            e[j] = math.exp(factor * dot)
            sum = sum + e[j]
        end
        t.near(weights[1][2], {e[1] / sum, e[2] / sum, e[3] / sum}, 1e-12)
        t.equal(weights[2][1][3]:item(), 0)
    end
end)

t.case("each layer of the decoder starts from both directions of its layer of the encoder", function()
    local model = translator("none", 2)
    local _, last = model.encoder(model.source(source), {lengths = lengths})
    local first = {attn.cat({last.h[1], last.h[2]}, 2), attn.cat({last.h[3], last.h[4]}, 2)}
    local states = model.decoder(model.target(target), {state = {h = attn.stack(first, 1)}})
    t.near((model(source, lengths, target)), model.out(model.combine(states):tanh()), 1e-12)
end)

t.case("gradient with every score, and without attention", function()
    for _, score in ipairs{"additive", "multiplicative", "scaled", "none"} do
        local model = translator(score, score == "scaled" and 2 or 1)
        local ok, report = attn.checkgrad(function()
            return attn.loss.cross_entropy((model(source, lengths, target)), ids{{1, 5}, {3, 0}})
        end, model:parameters())
        t.is_true(ok, report)
    end
end)
