-- ablation: what each part is worth: with it and without, the same seed, the same order of data, differences in pairs.
--
-- Rows of a study share their seeds: initial values and batches are those of the seed, so that with minus without is
-- a sample of pairs (a - b; study.unpaired says that they are none). The whole model stands twice in each table: where
-- the two differ, nothing else may be compared.
--
-- Command    attn scripts/evaluation/ablation.lua [--data DIR]
-- Time       see scripts/README.md
-- Data       a translator: sentences by a dictionary, made here; a classifier: films liked or not (SST, two classes)
-- Papers     H3, what Luong et al. 2015 (table 1) and Lin et al. 2017 (section 4) do
-- Found      Twice the same model: the same to the last bit. Attention is worth 39 BLEU to the translator, feeding
--            nothing; dropout and a second direction cost 5 and 4: the model is small. The classifier of films (75.5 %)
--            loses by no part, and gains 2 points without dropout: 400 steps are few.
-- Your own   local t = paper:table{vary = {{"all"}, {"without it", it = false}}, run = function(cfg, cell) ... end}
--            paper:claim{"it is worth something", t.all.bleu - t["without it"].bleu, at_least = 0}
--            local model = require("evaluation.ablation").Classifier{words = 999, classes = 2, dim = 32, ...}
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"
local task, text, translate = require "attn.task", require "attn.text", require "attn.translate"

local Classifier = attn.module "Classifier"

function Classifier:init(c)             -- recurrent, both, attention = false: without that part
    local width = c.dim
    self.embed, self.dropout = attn.layer.embedding{count = c.words, dim = c.dim}, attn.layer.dropout{p = c.dropout}
    if c.recurrent then
        local directions = c.both and 2 or 1
        self.rnn = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden // directions, bidirectional = c.both}
        width = c.hidden
    end
    if c.attention then self.pool = attn.layer.attention_pool{inputs = width, dim = width} end
    self.out = attn.layer.linear{inputs = width, outputs = c.classes}
end

function Classifier:forward(ids, lengths)               -- [B, T], [B] -> [B, classes], weights [B, T]
    local h = self.dropout(self.embed(ids))
    if self.rnn then h = self.rnn(h, {lengths = lengths}) end
    local read, weights
    if self.pool then
        read, weights = self.pool(h, {lengths = lengths})
    else
        weights = attn.mask(lengths, ids:size(2)):to(h.dtype) / lengths:to(h.dtype):unsqueeze(2)
        read = (h * weights:unsqueeze(3)):sum(2)
    end
    return self.out(self.dropout(read)), weights
end

local paper = study{
    system = {"H3"},
    paper = "Luong, Pham, Manning 2015 (table 1); Lin et al. 2017, A structured self-attentive sentence embedding",
    options = {dropout = 0.2, attention = true, both = true,
        fed = true, recurrent = true, classifier = {dim = 32, hidden = 32, steps = 400, lr = 5e-3, batch = 32},
        translator = {dim = 16, hidden = 32, words = 30, longest = 10, examples = 2000, tests = 150, steps = 800,
            lr = 8e-3}},
    quick = {translator = {dim = 4, hidden = 4, examples = 10, tests = 2, steps = 2},
        classifier = {dim = 4, hidden = 4, steps = 2}},
}

local translator = paper:table{
    name = "translator", about = "BLEU of translations by a dictionary, some words changing places", synthetic = true,
    vary = {{"all"}, {"all, again"}, {"without attention", attention = false}, {"without feeding", fed = false},
        {"without one direction", both = false}, {"without dropout", dropout = 0}},
    columns = {"bleu", "exact", "aer"},
    run = function(cfg, cell)
        local p = cfg.translator
        local function examples(count, seed)
            return task.lookup({words = p.words, shortest = 3, longest = p.longest, count = count}, seed)
        end
        local training, tests = examples(p.examples, cell.seed), examples(p.tests, 1000 + cell.seed)
        local model = translate.recurrent{sources = training.vocabulary, targets = training.targets, dim = p.dim,
            hidden = p.hidden, style = "luong", bidirectional = cfg.both, dropout = cfg.dropout, feeding = cfg.fed,
            attention = cfg.attention and {score = "general"} or nil}
        translate.fit(model, translate.examples(training), {steps = p.steps, lr = p.lr, seed = cell.seed})
        return translate.measure(model, translate.examples(tests), {max_length = 3 * p.longest})
    end,
}

local classifier = paper:table{
    name = "classifier", about = "films liked or not: right in per cent", data = "sst",
    vary = {{"all"}, {"all, again"}, {"without attention", attention = false},
        {"without one direction", both = false}, {"without dropout", dropout = 0},
        {"without a recurrent layer", recurrent = false}},
    run = function(cfg, cell)
        local p, sets, lists = cfg.classifier, corpus.sst(cfg.data, {binary = true}), {}
        for i, record in ipairs(sets.train) do lists[i] = record.words end
        local words = text.vocabulary(lists, {min_count = 2})
        local function batches(records, shuffle)
            return data.batches{size = p.batch, seed = cell.seed, shuffle = shuffle, by = "words",
                fields = fit.columns(records, {words = function(r) return words:encode(r.words) end, class = "class"})}
        end
        local model = Classifier{words = #words, classes = 2, dim = p.dim, hidden = p.hidden, dropout = cfg.dropout,
            attention = cfg.attention, both = cfg.both, recurrent = cfg.recurrent}
        fit{model = model, batches = batches(sets.train, true), steps = p.steps, lr = p.lr, cell = cell,
            loss = function(b) return attn.loss.cross_entropy((model(b.words, b.words_lengths)), b.class) end}
        return {accuracy = 100 * fit.accuracy(model, batches(sets.test, false), function(b)
            local logits, weights = model(b.words, b.words_lengths)
            if b.index[1] == 1 then
                local one = sets.test[1].words
                cell:keep("weights", weights[1]:narrow(1, 1, #one), {tokens = one})
            end
            return logits, b.class
        end)}
    end,
}

paper:claim{"translator: without attention at least 10 BLEU are lost",
    translator.all.bleu - translator["without attention"].bleu, at_least = 10}
for _, part in ipairs{"feeding", "one direction", "dropout"} do
    paper:claim{("translator: without %s something is lost"):format(part),
        translator.all.bleu - translator["without " .. part].bleu, at_least = 0}
end
for _, part in ipairs{"attention", "one direction", "dropout", "a recurrent layer"} do
    paper:claim{("classifier: without %s something is lost"):format(part),
        classifier.all.accuracy - classifier["without " .. part].accuracy, at_least = 0}
end
paper:claim{"the same twice: the translator to the last bit", translator.all.bleu - translator["all, again"].bleu,
    between = {0, 0}, exact = true}
paper:claim{"the same twice: the classifier to the last bit",
    classifier.all.accuracy - classifier["all, again"].accuracy, between = {0, 0}, exact = true}

return paper:main{Classifier = Classifier}
