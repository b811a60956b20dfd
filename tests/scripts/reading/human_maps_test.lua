-- Likeness to human attention: gradients of the reader, the measures by hand.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local human = require "reading.human_maps"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

for _, both in ipairs{true, false} do
    t.case(both and "BiLSTM: gradients, padding" or "LSTM: gradients, padding", function()
        attn.seed(15)
        local m = human.Reader{words = 5, dim = 2, hidden = 2, classes = 2, both = both}:to "float64":eval()
        local words, lengths = ids{{1, 2, 3}, {4, 5, 0}}, ids{3, 2}
        local ok, report = attn.checkgrad(function() return (m(words, lengths)) end, m:parameters())
        t.is_true(ok, report)
        local logits, weights = m(words, lengths)
        t.near(logits[2], m(ids{{4, 5}}, ids{2})[1], 1e-9)
        t.near(weights[2][3]:item(), 0)
    end)
end

t.case("behavioural: pairs of a marked and an unmarked word in the right order", function()
    t.near(human.behavioural({0.4, 0.1, 0.3, 0.2}, {1, 0, 0, 1}), 3 / 4)
    t.equal(human.behavioural({0.4, 0.6}, {1, 1}), nil)
    t.equal(human.behavioural({0.4, 0.6}, {0, 0}), nil)
end)

t.case("lexical: 1 for the same choice, 0 for a random one, between for one between", function()
    local counts, marked = {good = 2, the = 6, bad = 2, of = 4}, {good = 2, bad = 1}
    t.near(human.lexical(marked, marked, counts), 1)
    t.near(human.lexical(marked, counts, counts), 0)
    -- by hand, words bad, good, of, the: marked (1, 2, 0, 0), attended (1, 1, 1, 0), counts (2, 2, 4, 6)
    local random = (6 - 3 * 14 / 4) / math.sqrt((5 - 9 / 4) * (60 - 14 * 14 / 4))
    local model = (3 - 3 * 3 / 4) / math.sqrt((5 - 9 / 4) * (3 - 9 / 4))
    t.near(human.lexical(marked, {good = 1, bad = 1, of = 1}, counts), (model - random) / (1 - random))
end)

t.case("the heaviest words", function() t.equal(human.heaviest({0.1, 0.5, 0.4}, 2), {2, 3}) end)
