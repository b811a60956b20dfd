-- translate: the recurrent translator's gradient in all its forms, decoding and alignment of a model that is known, texts.
local attn, t = require "attn", require "attn.test"
local translate = require "attn.translate"

local function small(more)
    local c = {sources = 5, targets = 6, dim = 2, hidden = 4}
    for name, value in pairs(more) do c[name] = value end
    return translate.recurrent(c)
end

t.case("gradient: Bahdanau's, Luong's with and without feeding, and the fixed vector", function()
    local ids, target = attn.tensor({{1, 4, 2}, {3, 5, 0}}, {dtype = "int64"}), attn.tensor({{2, 4}, {2, 6}}, {dtype = "int64"})
    local lengths = attn.tensor({3, 2}, {dtype = "int64"})
    for i, more in ipairs{{attention = {score = "additive", dim = 3}, readout = "maxout"}, {fixed = true}, {bidirectional = false},
            {style = "luong", cell = "lstm", attention = {score = "general"}, feeding = true},
            {style = "luong", cell = "lstm", attention = {score = "dot"}, bidirectional = false}} do
        attn.seed(i)
        local model = small(more):to "float64"
        t.is_true(attn.checkgrad(model, {ids, lengths, target}), i)
    end
end)

t.case("step is forward word by word, whatever the form", function()
    local ids, lengths = attn.data.pad{{1, 4, 2}, {3}}
    local target = attn.tensor({{2, 4, 1}, {2, 6, 6}}, {dtype = "int64"})
    for i, more in ipairs{{attention = {score = "additive", dim = 3}}, {fixed = true}, {style = "luong", cell = "lstm",
            attention = {score = "general"}, feeding = true}, {style = "luong", attention = {score = "general"}}} do
        attn.seed(i)
        local model = small(more)
        model:eval()
        attn.no_grad(function()
            local all, state = model(ids, lengths, target), model:encode(ids, lengths)
            for step = 1, 3 do
                local logits
                logits, state = model:step(target:select(2, step), state)
                t.is_true(attn.allclose(logits, all:select(2, step), {atol = 1e-5}), ("form %d step %d"):format(i, step))
            end
        end)
    end
end)

-- Writes the source from its end, with all weight on the word it writes; bos 21, eos 22 as task.reverse has them.
local Backwards = {}
function Backwards.encode(_, ids, lengths) return {ids = ids, lengths = lengths, at = lengths + 0} end
function Backwards.step(_, words, s)
    local logits, weights = attn.zeros(#words, 22), attn.zeros(#words, s.ids:size(2))
    for i = 1, #words do
        local at = s.at[i]:item()
        logits[i][at > 0 and s.ids[i][at]:item() or 22] = 5
        if at > 0 then weights[i][at] = 1 end
    end
    return logits, {ids = s.ids, lengths = s.lengths, at = s.at - 1}, weights
end

t.case("examples, decode, align and measure: a model that is right is right", function()
    local set = translate.examples(attn.task.reverse{count = 7, size = 3, words = 20})
    t.equal({#set.source, #set.target, set.bos, set.eos}, {7, 7, 21, 22})
    for i, source in ipairs(set.source) do
        for k, link in ipairs(set.links[i]) do t.equal(link, {k, #source + 1 - k}) end
        for k, word in ipairs(set.target[i]) do t.equal(word, source[#source + 1 - k]) end
    end
    t.equal(translate.measure(Backwards, set), {exact = 100, bleu = translate.measure(Backwards, set).bleu, many = 0, aer = 0})
    t.equal(translate.align(Backwards, set), set.links)
    -- the sources backwards: the model copies their ends, which come first in the target
    local turned = translate.examples(attn.task.reverse{count = 7, size = 3, words = 20}, true)
    for i, source in ipairs(turned.source) do
        t.equal(source, set.target[i])
        t.equal(turned.links[i][1], {1, 1})
    end
    local wrong = {source = {{1, 2, 2}}, target = {{2, 1, 3, 3}}, links = {{{1, 2}, {2, 1}, {3, 1}, {4, 1}}}, bos = 21, eos = 22}
    local out = translate.measure(Backwards, wrong)     -- writes 2 2 1: one 2 too many of four words
    t.equal({out.exact, out.many}, {0, 25})
    wrong.links = nil
    t.equal(translate.measure(Backwards, wrong), {exact = 0, bleu = out.bleu, many = 25})
end)

t.case("fit learns", function()
    attn.seed(1)
    local set = translate.examples(attn.task.copy{count = 64, words = 3, longest = 2})
    local model = translate.recurrent{sources = 3, targets = 5, dim = 8, hidden = 8, attention = {score = "additive", dim = 8}}
    local history = translate.fit(model, set, {steps = 60, lr = 2e-2, size = 16})
    t.is_true(history.losses[60] < 0.3 * history.losses[1], history.losses[60])
end)

t.case("pair: vocabularies, batches up to a length, lines with unknown words replaced, BLEU by length", function()
    local records = {{source = {"a", "Xu", "b"}, target = {"c", "Xu", "d"}, target_line = "c Xu d"},
        {source = {"a"}, target = {"c"}, target_line = "c"}, {source = {"a", "b"}, target = {"c", "d"}, target_line = "c d"}}
    local pair = translate.pair(records, {min_count = 2})
    t.equal({pair.source.words, pair.target.words}, {{"<unk>", "<s>", "</s>", "a", "b"}, {"<unk>", "<s>", "</s>", "c", "d"}})
    t.equal(#pair:batches(records, {size = 1}), 3)
    t.equal(pair:examples{records[1]}, {source = {{4, 1, 5}}, target = {{4, 1, 5}}, bos = 2, eos = 3})
    t.equal(#pair:batches(records, {size = 1, longest = 2}), 2)
    local found = {{words = {"c", "<unk>", "d"}, weights = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}}
    t.equal(pair:lines(found), {"c UNK d"})
    t.equal(pair:lines(found, records), {"c Xu d"})
    records[1].target[2] = "Zu"
    t.equal(translate.pair(records, {min_count = 2}):lines(found, records), {"c Zu d"})
    local score, by_length = pair:bleu({"c Xu d", "c", "c"}, records, {1, 2})
    t.is_true(score < 100)
    t.equal({by_length[1].count, by_length[2].count, by_length[3].count}, {1, 1, 1})
    t.raises("pair:batches: field 'size' is missing", pair.batches, pair, records, {})
end)
