-- Multi-grained attention: its gradient, the fine weights and the alignment loss by hand, padding.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "reading.multi_grained"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function grained()
    attn.seed(2)
    return paper.Grained{words = 8, classes = 2, dim = 4, coarse = true, fine = true}:to "float64"
end
local words, lengths, aspects, aspect_lengths = ids{{1, 2, 3, 4}, {5, 6, 7, 0}}, ids{4, 3}, ids{{2, 3}, {6, 0}}, ids{2, 1}
local near = attn.tensor({{0.5, 1, 1, 0.5}, {0.75, 1, 0.75, 0}}, {dtype = "float64"})

t.case("gradient, the alignment loss among it", function()
    local model = grained()
    local ok, report = attn.checkgrad(function()
        local logits, maps, q = model(words, lengths, aspects, aspect_lengths, near)
        return logits:square():sum() + model:alignment(q, maps.fine, ids{1, 1}, ids{1, 2})
    end, model:parameters())
    t.is_true(ok, report)
end)

t.case("fine weights: the softmax over words of the greatest U_ij, in plain Lua", function()
    local model = grained()
    local H, Q = model.context(model.embed(words), {lengths = lengths}):totable(), model.aspect(model.embed(aspects), {lengths = aspect_lengths}):totable()
    local w1, w2, w3 = model.of_word.weight:totable()[1], model.of_aspect.weight:totable()[1], model.of_both.weight:totable()[1]
    local e, sum = {}, 0
    for i = 1, 4 do
        local best = -math.huge
        for j = 1, 2 do
            local u = 0
            for d = 1, 4 do u = u + w1[d] * H[1][i][d] + w2[d] * Q[1][j][d] + w3[d] * H[1][i][d] * Q[1][j][d] end
            best = math.max(best, u)
        end
        e[i] = math.exp(best)
        sum = sum + e[i]
    end
    for i = 1, 4 do e[i] = e[i] / sum end
    local _, maps = model(words, lengths, aspects, aspect_lengths)
    t.near(maps.fine[1]:totable(), e, 1e-12)
    t.near(maps.aspect[2]:totable(), {1, 0}, 1e-12)
end)

t.case("the alignment loss is over pairs of one sentence and two classes", function()
    local model = grained()
    attn.no_grad(function() model.differs.weight:fill_(0) end)              -- d_ij = 1 / 2
    local q = attn.randn(4, 4, {dtype = "float64"})
    local weights = attn.tensor({{1, 0}, {0.25, 0.75}, {0, 1}, {1, 0}}, {dtype = "float64"})
    local loss = model:alignment(q, weights, ids{1, 1, 1, 2}, ids{1, 2, 2, 2})       -- pairs 1 2 (0.5625 + 0.5625) and 1 3 (2)
    t.near(loss:item(), -0.5 * (1.125 + 2) / 2, 1e-12)
end)

t.case("padding changes nothing", function()
    local model = grained()
    local logits = model(words, lengths, aspects, aspect_lengths, near)
    local alone = model(ids{{5, 6, 7}}, ids{3}, ids{{6}}, ids{1}, near[{{2, 2}, {1, 3}}])
    t.near(logits[2]:totable(), alone[1]:totable(), 1e-12)
end)
