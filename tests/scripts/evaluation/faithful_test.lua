-- Attention as explanation: gradients, importance worked by hand, what a probe must say where it is known.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local paper = require "evaluation.faithful"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local words, lengths = ids{{1, 2, 3}, {4, 5, 0}}, ids{3, 2}
local function reader(recurrent, uniform)
    attn.seed(9)
    return paper.Reader{words = 5, classes = 2, dim = 2, hidden = 2,
        recurrent = recurrent, uniform = uniform}:to "float64"
end

for name, recurrent in pairs{recurrent = true, words = false} do
    t.case(name .. ": gradient; weights sum to 1 and leave padding out", function()
        local model = reader(recurrent)
        local ok, report = attn.checkgrad(function() return (model(words, lengths)) end, model:parameters())
        t.is_true(ok, report)
        local _, weights = model(words, lengths)
        t.near(weights:sum(2):totable(), {1, 1}, 1e-12)
        t.equal(weights[{2, 3}]:item(), 0)
    end)
end

t.case("uniform weights do not learn; weights that are given are used", function()
    local model = reader(false, true)
    local _, weights = model(words, lengths)
    t.near(weights:totable(), {{1 / 3, 1 / 3, 1 / 3}, {0.5, 0.5, 0}}, 1e-12)
    local given = attn.tensor({{0, 1, 0}, {1, 0, 0}}, {dtype = "float64"})
    t.near(model(words, lengths, given):totable(), model.out(model.embed(ids{2, 4})):totable(), 1e-12)
end)

t.case("importance of words alone: |w_t x_t . dp/dr|, in plain Lua", function()
    local model = reader(false)
    local logits, weights = model(words, lengths)
    local p = logits:softmax(2)
    local g = require "attn.explain".gradients(function(x)
        return model:answer(model:states(x, lengths), weights:detach()):softmax(2)
    end, model.embed(words))
    local W, E = model.out:state().weight:totable(), model.embed.weight:totable()
    local w, best = weights[1]:totable(), p[1]:totable()
    local top = best[1] > best[2] and 1 or 2
    for place, id in ipairs{1, 2, 3} do             -- dp_top/dlogit_k = p_top ([k = top] - p_k)
        local sum = 0
        for k = 1, 2 do
            local slope = best[top] * ((k == top and 1 or 0) - best[k])
            for d = 1, 2 do sum = sum + slope * W[k][d] * w[place] * E[id][d] end
        end
        t.near(g[{1, place}]:item(), math.abs(sum), 1e-12)
    end
end)

t.case("where all words are the same, no weights matter", function()
    local model = reader(false)
    local set = attn.data.batches{fields = {source = {{2, 2, 2}, {2, 2}}, answer = {1, 2}}, size = 2}
    local said = paper.probe(model, set, {permutations = 3, adversary = 40})
    t.near({said.permuted, said["left out"], said.gradient}, {0, 0, 0}, 1e-9)
    t.is_true(said.adversary > 0.1, tostring(said.adversary))
end)
