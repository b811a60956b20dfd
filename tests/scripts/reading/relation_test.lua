-- Relations: gradients, padding, attention pooling and the margin by hand, places.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local relation = require "reading.relation"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local words, lengths = ids{{1, 2, 3}, {4, 5, 0}}, ids{3, 2}
local first, second = ids{{3, 4, 5}, {3, 4, 0}}, ids{{1, 2, 3}, {2, 3, 0}}
local e1, e2 = ids{1, 4}, ids{3, 5}

for _, pool in ipairs{"attention", "mean", "last"} do
    local function model()
        attn.seed(9)
        return relation.Blstm{words = 5, dim = 3, hidden = 2, classes = 3, pool = pool}
    end
    t.case("Att-BLSTM, " .. pool .. ": gradients", function()
        local m = model():to "float64":eval()
        local ok, report = attn.checkgrad(function() return (m(words, lengths)) end, m:parameters())
        t.is_true(ok, report)
    end)
    t.case("Att-BLSTM, " .. pool .. ": padding changes nothing", function()
        local m = model():eval()
        t.near(m(words, lengths)[2], m(ids{{4, 5}}, ids{2})[1], 1e-5)
    end)
end

t.case("Att-BLSTM: the mean is what equal weights give; attention is softmax(w' tanh(H))", function()
    attn.seed(9)
    local m = relation.Blstm{words = 5, dim = 3, hidden = 2, classes = 3, pool = "attention"}:eval()
    local outputs = m.encoder(m.embed(words), {lengths = lengths})[1]
    local h, scores, total = {}, {}, 0
    for i = 1, 3 do
        local row = outputs[i]:totable()
        h[i] = {row[1] + row[3], row[2] + row[4]}
        scores[i] = math.exp(attn.tensor(h[i]):tanh():matmul(m.w):item())
        total = total + scores[i]
    end
    local _, weights = m(words, lengths)
    t.near(weights[1], {scores[1] / total, scores[2] / total, scores[3] / total}, 1e-5)
    m.w = nil
    t.near(select(2, m(words, lengths))[2], {0.5, 0.5, 0})
end)

for _, row in ipairs{{}, {input = true}, {pool = true}, {input = true, pool = true}} do
    local name = (row.input and "input " or "") .. (row.pool and "pool" or "")
    local function model()
        attn.seed(10)
        return relation.Cnn{words = 5, dim = 3, maps = 4, near = 2, classes = 3, input = row.input, pool = row.pool}
    end
    t.case("CNN " .. name .. ": gradients", function()
        local m = model():to "float64":eval()
        local ok, report = attn.checkgrad(function()
            return relation.margin(m(words, lengths, first, second, e1, e2), ids{2, 3})
        end, m:parameters())
        t.is_true(ok, report)
    end)
    t.case("CNN " .. name .. ": padding changes nothing", function()
        local m = model():eval()
        local alone = m(ids{{4, 5}}, ids{2}, ids{{3, 4}}, ids{{2, 3}}, ids{4}, ids{5})
        t.near(m(words, lengths, first, second, e1, e2)[2], alone[1], 1e-5)
    end)
end

t.case("CNN: the input weighs by the mean of two softmax of inner products", function()
    attn.seed(10)
    local m = relation.Cnn{words = 5, dim = 3, maps = 4, near = 2, classes = 3, input = true}:eval()
    local _, weights = m(words, lengths, first, second, e1, e2)
    local e = m.embed.weight
    local function about(k) return attn.stack({e[1], e[2], e[3]}):matmul(e[k]):softmax(1) end
    t.near(weights[1], (about(1) + about(3)) / 2, 1e-5)
end)

t.case("the margin is to the nearest wrong class", function()
    local distance = attn.tensor{{0.5, 1.2, 0.9}, {0.1, 2, 3}}
    t.near(relation.margin(distance, ids{1, 1}):item(), ((1 + 0.5 - 0.9) + 0) / 2, 1e-6)
end)

t.case("places count from the nominal, and end far away", function()
    t.equal(relation.places(6, {3, 4}, 2), {1, 2, 3, 3, 4, 5})
    t.equal(relation.places(4, {1, 1}, 2), {3, 4, 5, 5})
end)
