-- Structured self-attention: gradients at both levels, rows of attention by hand, overlap, empty places of a bag.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local self_attentive = require "reading.self_attentive"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local words, lengths = ids{{1, 2, 3}, {4, 5, 0}}, ids{3, 2}
local bag, bag_lengths = ids{{{1, 2}, {3, 4}, {5, 0}}, {{2, 5}, {1, 0}, {0, 0}}}, ids{{2, 2, 1}, {2, 1, 0}}

t.case("a sentence: gradients, the penalty's too", function()
    attn.seed(11)
    local m = self_attentive.Sentence{words = 5, dim = 2, hidden = 2, score = 3, hops = 2, classes = 3}:to "float64"
    local ok, report = attn.checkgrad(function()
        local logits, weights = m(words, lengths)
        return logits:square():sum() + attn.penalty.frobenius(weights)
    end, m:parameters())
    t.is_true(ok, report)
end)

t.case("a bag: gradients at both levels", function()
    attn.seed(12)
    local m = self_attentive.Bag{words = 5, dim = 2, hidden = 2, score = 3, hops = 2, bag_hops = 2, classes = 3}
    m:to "float64"
    local ok, report = attn.checkgrad(function()
        local logits, sentences, inner = m(bag, bag_lengths)
        return logits:square():sum() + attn.penalty.frobenius(sentences) + attn.penalty.frobenius(inner)
    end, m:parameters())
    t.is_true(ok, report)
end)

t.case("a row of attention is softmax(w tanh(W H')), and the embedding A H", function()
    attn.seed(13)
    local m = self_attentive.Sentence{words = 5, dim = 2, hidden = 2, score = 3, hops = 2, classes = 3}
    local h = m.read.encoder(m.read.embed(words), {lengths = lengths})
    local rows, weights = m.read.attend(h, lengths)
    local p = m.read.attend.pool:state()
    local expected = p.context:matmul(p.weight:matmul(h[1]:transpose(1, 2)):tanh()):softmax(2)
    t.near(weights[1], expected, 1e-5)
    t.near(rows[1], expected:matmul(h[1]):reshape(-1), 1e-5)
    t.near(weights[2]:select(2, 3), {0, 0})
end)

t.case("overlap is the mean of A A' off its diagonal", function()
    local a = attn.tensor{{{1, 0}, {0.5, 0.5}, {0, 1}}}
    t.near(self_attentive.overlap(a):item(), (0.5 + 0 + 0.5) * 2 / 6, 1e-6)
    t.near(self_attentive.overlap(a:narrow(2, 1, 1)):item(), 0)
end)

t.case("places of a bag without a sentence weigh nothing", function()
    attn.seed(14)
    local m = self_attentive.Bag{words = 5, dim = 2, hidden = 2, score = 3, hops = 2, bag_hops = 1, classes = 3}
    local logits, sentences = m(bag, bag_lengths)
    t.near(sentences[2][1][3]:item(), 0)
    t.near(logits[2], m(ids{{{2, 5}, {1, 0}}}, ids{{2, 1}})[1], 1e-5)
end)
