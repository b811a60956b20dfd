-- structured: the segmenter's chain and the heads' tree against sums over all taggings and all trees, segments and
-- their F1 by hand, gradients of the three models.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local structured = require "reading.structured"

local function ids(lists) return attn.tensor(lists, {dtype = "int64"}) end
local source, lengths = ids{{5, 6, 7, 1}, {3, 4, 0, 0}}, ids{4, 2}

t.case("chain: the weight of a place is the share of all taggings that have it inside", function()
    attn.seed(1)
    local model = structured.Segmenter{words = 9, answers = 3, dim = 4, distribution = "chain"}
    model:to "float64"
    local state = model:state()
    local words = model.embed(source)[1]
    local key = words:matmul(state["attend.score.weight_key"]:transpose(1, 2)) + state["attend.score.bias"]
    local query = model.query:matmul(state["attend.score.weight_query"]:transpose(1, 2))
    local e = ((key + query):tanh() * state["attend.score.v"]):sum(2):totable()
    local move = state["attend.distribution.transition"]:totable()
    local sum, inside = 0, {0, 0, 0, 0}
    for tagging = 0, 15 do
        local z, energy = {}, 0
        for j = 1, 4 do
            z[j] = tagging >> (j - 1) & 1
            energy = energy + z[j] * e[j] + (j > 1 and move[z[j - 1] + 1][z[j] + 1] or 0)
        end
        sum = sum + math.exp(energy)
        for j = 1, 4 do inside[j] = inside[j] + z[j] * math.exp(energy) end
    end
    for j = 1, 4 do inside[j] = inside[j] / sum end
    local _, weights = model(source, lengths)
    t.near(weights[1], inside, 1e-10)
end)

t.case("tree: two words have two trees", function()
    attn.seed(1)
    local model = structured.Heads{words = 9, dim = 3, hidden = 4, distribution = "tree"}
    model:to "float64"
    local words, heads, weights = model(source, lengths)
    local p = weights[2]:totable()                  -- either is the root, and then the head of the other
    t.near({p[1][1] + p[2][2], p[1][1] - p[2][1], p[2][2] - p[1][2]}, {1, 0, 0}, 1e-12)
    t.equal({p[1][3], p[3][1], p[4][4]}, {0, 0, 0})
    t.near(heads[2][1], words[2][1] * p[1][1] + words[2][2] * p[1][2], 1e-12)
end)

t.case("segments are runs of places that weigh enough; F1 takes the share that suits best", function()
    t.equal(structured.segments({0.1, 0.8, 1, 0.2, 0.5}, 0.5), {{2, 3}, {5, 5}})
    t.equal(structured.segments({0.1, 0.8, 1, 0.2, 0.5}, 0.6), {{2, 3}})
    t.equal(structured.segments({1, 1}, 0.5), {{1, 2}})
    -- from 0.55 on one segment each: the first is right, the second (1 to 1) is not: 2 * 1 / (2 + 2)
    t.equal(structured.segment_f1{{{0.1, 0.8, 1, 0.2, 0.5}, {2, 3}}, {{1, 0, 0}, {1, 2}}}, 0.5)
end)

t.case("gradients", function()
    for _, distribution in ipairs{"softmax", "sigmoid", "chain", "tree"} do
        attn.seed(2)
        local c = {words = 9, answers = 3, classes = 3, dim = 4, hidden = 4, dropout = 0, distribution = distribution,
            encoder = true}
        local tree = distribution == "tree"
        local model = tree and structured.Entailment(c) or structured.Segmenter(c)
        model:to "float64"
        local ok, report = attn.checkgrad(function()
            local logits = tree and model(source, lengths, ids{{1, 2}, {3, 0}}, ids{2, 1}) or model(source, lengths)
            return attn.loss.cross_entropy(logits, ids{1, 3})
        end, model:parameters())
        t.is_true(ok, report)
    end
end)
