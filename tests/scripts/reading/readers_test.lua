-- Readers: gradients, the pointer sum and a gate by hand, padding.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "reading.readers"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local source, lengths = ids{{1, 4, 2, 1}, {3, 5, 1, 0}}, ids{4, 3}
local query, query_lengths = ids{{6, 4, 2}, {6, 5, 0}}, ids{3, 2}
local kinds = {{"deep"}, {"query"}, {"attentive"}, {"impatient"}, {"sum"}, {"gated", "product"}, {"gated", "sum"}, {"gated", "concat"}}

for _, kind in ipairs(kinds) do
    local name = kind[1] .. (kind[2] and ", " .. kind[2] or "")
    local function reader()
        attn.seed(7)
        return paper.Reader{style = kind[1], gate = kind[2], words = 6, answers = 3, dim = 2, hidden = 1, hops = 2}:to "float64"
    end

    t.case(name .. ": gradient", function()
        local model = reader()
        local ok, report = attn.checkgrad(function() return (model(source, lengths, query, query_lengths)) end, model:parameters())
        t.is_true(ok, report)
    end)

    t.case(name .. ": probabilities sum to 1, padding changes nothing", function()
        local model = reader()
        local logp, weights = model(source, lengths, query, query_lengths)
        t.near(logp:exp():sum(2):totable(), {1, 1}, 1e-12)
        if weights then t.near(weights:sum(2):totable(), {1, 1}, 1e-12) end
        local alone = model(ids{{3, 5, 1}}, ids{3}, ids{{6, 5}}, ids{2})
        t.near(logp[2]:totable(), alone[1]:totable(), 1e-12)
    end)
end

t.case("the pointer sum adds the weights of all places of an answer; other words have none", function()
    local model = paper.Reader{style = "sum", words = 6, answers = 3, dim = 2, hidden = 1}
    local weights = attn.tensor({{0.1, 0.5, 0.1, 0.3}, {0.5, 0.25, 0.25, 0}}, {dtype = "float64"})
    local p = model:point(weights, source):exp()
    t.near(p:totable(), {{0.4 / 0.5, 0.1 / 0.5, 0}, {0.25 / 0.75, 0, 0.5 / 0.75}}, 1e-7)
end)

t.case("gated by product: what the second layer reads is d_i times the query that d_i attends to", function()
    attn.seed(8)
    local model = paper.Reader{style = "gated", words = 6, answers = 3, dim = 2, hidden = 1, hops = 2}:to "float64"
    local D = model.texts[1](model.embed(source), {lengths = lengths})
    local Q = model.queries[1](model.embed(query), {lengths = query_lengths})
    local d, q, x = D:totable(), Q:totable(), {}
    for b = 1, 2 do
        x[b] = {}
        for i = 1, 4 do
            local e, sum, seen = {}, 0, {0, 0}
            for j = 1, 4 - b do
                e[j] = math.exp(d[b][i][1] * q[b][j][1] + d[b][i][2] * q[b][j][2])
                sum = sum + e[j]
            end
            for j = 1, #e do
                for k = 1, 2 do seen[k] = seen[k] + e[j] / sum * q[b][j][k] end
            end
            x[b][i] = {d[b][i][1] * seen[1], d[b][i][2] * seen[2]}
        end
    end
    local last = model.texts[2](attn.tensor(x, {dtype = "float64"}), {lengths = lengths})
    local _, state = model.queries[2](model.embed(query), {lengths = query_lengths})
    local scores = attn.einsum("btd,bd->bt", last, attn.cat({state.h[1], state.h[2]}, 2))
    local weights = scores:masked_fill(~attn.mask(lengths, 4), -math.huge):softmax(2)
    t.near(select(2, model(source, lengths, query, query_lengths)):totable(), weights:totable(), 1e-12)
end)
