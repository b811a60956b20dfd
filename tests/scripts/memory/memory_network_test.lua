-- Memory networks: gradients, a hop by its formula, the places of words and the ages of sentences, padding.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local Memory = require "memory.memory_network".Memory

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local story, lengths, question = ids{{{1, 2}, {3, 0}}, {{4, 5}, {0, 0}}}, ids{2, 1}, ids{{1, 3}, {2, 0}}

local function memory(c)
    attn.seed(3)
    c.words, c.dim, c.slots, c.spread = 5, 2, 3, 0.7
    return Memory(c):to "float64"
end

local kinds = {adjacent = {hops = 2}, ["key-value"] = {hops = 2, key_value = true},
    bags = {hops = 1, order = false, time = false}}
for name, c in pairs(kinds) do
    t.case(name .. ": gradient, weights that sum to 1 over what is there", function()
        local model = memory(c)
        local ok, report = attn.checkgrad(function() return (model(story, lengths, question)) end, model:parameters())
        t.is_true(ok, report)
        local _, maps = model(story, lengths, question)
        t.equal(maps.shape, {2, c.hops, 2})
        t.near(maps:select(2, 1):totable()[2], {1, 0}, 1e-12)
    end)
end

t.case("padding changes nothing", function()
    local model = memory{hops = 2}
    t.near(model(story, lengths, question)[2]:totable(), model(ids{{{4, 5}}}, ids{1}, ids{{2}})[1]:totable(), 1e-12)
end)

t.case("a sentence is sum_j l_kj e_j, l_kj = (1 - j / J) - k / d (1 - 2 j / J)", function()
    local model = memory{hops = 1}
    local e, J, d = model.words[1].weight:totable(), 2, 2
    local expected = {}
    for k = 1, d do
        expected[k] = 0
        for j, word in ipairs{4, 5} do
            expected[k] = expected[k] + ((1 - j / J) - k / d * (1 - 2 * j / J)) * e[word][k]
        end
    end
    t.near(model:encode(1, ids{{4, 5, 0}}):totable(), {expected}, 1e-12)
end)

t.case("one hop: softmax(u . m), u + sum p c, in plain Lua; the latest sentence has age 1", function()
    local model = memory{hops = 1, order = false}
    local A, C = model.words[1].weight:totable(), model.words[2].weight:totable()
    local TA, TC = model.ages[1].weight:totable(), model.ages[2].weight:totable()
    local m, c, u, p, sum = {{}, {}}, {{}, {}}, {}, {}, 0
    for k = 1, 2 do
        m[1][k], m[2][k] = A[1][k] + A[2][k] + TA[2][k], A[3][k] + TA[1][k]
        c[1][k], c[2][k] = C[1][k] + C[2][k] + TC[2][k], C[3][k] + TC[1][k]
        u[k] = A[1][k] + A[3][k]
    end
    for i = 1, 2 do
        p[i] = math.exp(u[1] * m[i][1] + u[2] * m[i][2])
        sum = sum + p[i]
    end
    for k = 1, 2 do u[k] = u[k] + (p[1] * c[1][k] + p[2] * c[2][k]) / sum end
    local logits, maps = model(story, lengths, question)
    t.near(maps[{1, 1}]:totable(), {p[1] / sum, p[2] / sum}, 1e-12)
    for word = 1, 5 do t.near(logits[{1, word}]:item(), u[1] * C[word][1] + u[2] * C[word][2], 1e-12) end
end)
