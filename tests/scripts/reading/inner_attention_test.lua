-- Inner attention: gradients of all forms, the weights of a word and of a gate by hand, padding.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local inner = require "reading.inner_attention"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local question, qn, answer, an = ids{{1, 2}, {3, 0}}, ids{2, 1}, ids{{4, 5, 6}, {6, 2, 0}}, ids{3, 2}

local function model(attention, occam)
    attn.seed(3)
    return inner.Ranker{words = 6, dim = 3, hidden = 2, attention = attention, occam = occam}
end

for _, row in ipairs{{"outer"}, {"word"}, {"context"}, {"gate"}, {"context", 0.01}} do
    local name = row[1] .. (row[2] and " with Occam" or "")
    t.case(name .. ": gradients", function()
        local m = model(row[1], row[2]):to "float64"
        local ok, report = attn.checkgrad(function()
            local score, weights, price = m(question, qn, answer, an)
            local sum = score:sum() + (weights * weights):sum()
            return price and sum + price:sum() or sum
        end, m:parameters())
        t.is_true(ok, report)
    end)
    t.case(name .. ": padding changes nothing and weighs nothing", function()
        local m = model(row[1], row[2])
        local score, weights = m(question, qn, answer, an)
        local alone, of_it = m(ids{{3}}, ids{1}, ids{{6, 2}}, ids{2})
        t.near(score[2], alone[1], 1e-5)
        t.near(weights[2]:totable(), {of_it[1][1]:item(), of_it[1][2]:item(), 0}, 1e-5)
    end)
end

t.case("word: a_t = s(r' M x_t)", function()
    local m = model "word"
    local r = m.question(m.embed(ids{{1, 2}}), {lengths = ids{2}}):mean(2)[1]
    local _, weights = m(ids{{1, 2}}, ids{2}, ids{{5}}, ids{1})
    local x, to_word = m.embed(ids{5})[1], m.to_word.weight:matmul(r)
    t.near(weights[1][1]:item(), 1 / (1 + math.exp(-x:matmul(to_word):item())), 1e-5)
end)

t.case("context: the second weight sees the state after the first word", function()
    local m = model "context"
    local r = m.question(m.embed(ids{{1, 2}}), {lengths = ids{2}}):mean(2)
    local _, weights = m(ids{{1, 2}}, ids{2}, ids{{5, 4}}, ids{2})
    local h = m.answer:step(m.embed(ids{5}) * weights[1][1]:item())
    local w = m.from_question(r) + m.from_state(h)
    t.near(weights[1][2]:item(), (w * m.embed(ids{4})):sum():sigmoid():item(), 1e-5)
end)

t.case("gate: 1 - z is what makes the state out of the candidate", function()
    attn.seed(4)
    local gru = attn.encoder.rnn{inputs = 2, hidden = 1}
    local x = attn.randn(1, 2, 2)
    local h = gru(x)
    local open, p = inner.openness(gru, x, h), gru:state()
    local function gate(k, place, before)           -- W x + b + U h + c of gate k (r, z, n)
        return p.weight_ih_l1[k]:matmul(x[1][place]):item() + p.bias_ih_l1[k]:item(),
            p.weight_hh_l1[k][1]:item() * before + p.bias_hh_l1[k]:item()
    end
    local before = 0
    for place = 1, 2 do
        local a, b = gate(1, place, before)
        local r = 1 / (1 + math.exp(-a - b))
        a, b = gate(3, place, before)
        local e = math.exp(2 * (a + r * b))
        local n = (e - 1) / (e + 1)
        local now = h[1][place][1]:item()
        t.near(open[1][place]:item(), (now - before) / (n - before), 1e-4)
        before = now
    end
end)
