-- luong: effective approaches to attention: what each part adds, which score, and what input feeding is for.
--
-- Command    attn scripts/translation/luong.lua
-- Time       see scripts/README.md
-- Data       synthetic: made-up words and a dictionary (task.lookup: some words swap places, a word becomes none, one
--            or two), words to be sorted (task.sort), so that translation and alignment are known
-- Found      BLEU 22 (base), 20 (+ reversed), 17 (+ dropout: the model is too small to need it), 62 (+ attention), 60
--            (+ input feeding); sorting: location 19, none 32, dot 66, general 68, concat 74. Input feeding: no fewer
--            words too many, in 200 steps or in 900; a bidirectional encoder tells the model where it is without it
-- Paper      Luong, Pham and Manning 2015 (A4; on WMT: here the order of the lines is checked, not their BLEU). Local
--            attention (A5, A6) is scripts/self_attention/windows.lua, replacing unknown words (A7)
--            scripts/translation/rnnsearch.lua
-- Your own   local build = require "translation.luong".build               -- attn -I scripts yours.lua
--            local model = build({sources = 5000, targets = 6000, dim = 64, hidden = 128}, {attention = {score = "general"}, fed = true})
--            attn.train.loop{model = model, loss = attn.translate.loss(model), ...}; attn.translate.decode(model, sources)
local study, task, translate = require "attn.study", require "attn.task", require "attn.translate"

local paper = study{
    system = {"A4"},
    paper = "Luong, Pham, Manning 2015, Effective approaches to attention-based neural machine translation, EMNLP",
    options = {dim = 32, hidden = 64, dropout = 0.2, batch = 32, lr = 4e-3, steps = 900, examples = 1500, tests = 200,
        words = 60, shortest = 4, longest = 12, sort = {words = 150, examples = 3000},
        feeding = {words = 6, longest = 24, hidden = 64}},
    quick = {dim = 4, hidden = 8, steps = 2, examples = 20, tests = 3, sort = {words = 20, examples = 20}}, seeds = 3,
}

-- parts: attention, fed, dropout, bidirectional
local function build(sizes, parts)
    return translate.recurrent{sources = sizes.sources, targets = sizes.targets, dim = sizes.dim,
        hidden = sizes.hidden, cell = "lstm", style = "luong", bidirectional = parts.bidirectional or false,
        attention = parts.attention, feeding = parts.fed or false, dropout = parts.dropout or 0}
end

-- A model trained on a task, measured on examples that it has not seen.
local function experiment(make, options, cfg, cell)
    local function examples(batches) return translate.examples(batches, cfg.reversed) end
    options.count = cfg.examples
    local training = make(options, cell.seed)
    local model = build({sources = training.vocabulary, targets = training.targets, dim = cfg.dim,
        hidden = cfg.hidden}, cfg)
    translate.fit(model, examples(training), {steps = cfg.steps, lr = cfg.lr, size = cfg.batch, seed = cell.seed})
    options.count = cfg.tests
    return translate.measure(model, examples(make(options, 1000 + cell.seed)), {max_length = 4 * cfg.longest})
end

local general = {score = "general"}
local dropout = paper.options.dropout

local parts = paper:table{
    name = "parts", about = "what each part adds", synthetic = true, columns = {"bleu", "exact", "aer"},
    vary = {{"base", dropout = 0},
        {"+ reversed source", dropout = 0, reversed = true},
        {"+ dropout", dropout = dropout, reversed = true},
        {"+ attention", dropout = dropout, reversed = true, attention = general},
        {"+ input feeding", dropout = dropout, reversed = true, attention = general, fed = true}},
    run = function(cfg, cell)
        local options = {words = cfg.words, window = 4, shortest = cfg.shortest, longest = cfg.longest}
        return experiment(task.sort, options, cfg, cell)
    end,
}
paper:claim{"A4: all parts together add at least 10 BLEU", parts["+ input feeding"].bleu - parts.base.bleu,
    at_least = 10}
paper:claim{"A4: base, dropout, attention, input feeding: each adds, within the noise of the seeds", function()
    local order, words, all = {"base", "+ dropout", "+ attention", "+ input feeding"}, {}, true
    for i = 2, #order do
        local gain = parts[order[i]].bleu - parts[order[i - 1]].bleu
        local low, high = gain:interval()
        all = all and low ~= nil and high >= 0
        words[i - 1] = ("%s %.1f"):format(order[i], gain:mean())
    end
    return all, table.concat(words, ", ")
end}

local max_keys = paper.options.longest
local scores = paper:table{
    name = "scores", about = "words to be sorted: their order in the source says nothing", synthetic = true,
    columns = {"bleu", "exact", "aer"},
    vary = {{"dot", attention = {score = "dot"}}, {"general", attention = general},
        {"concat", attention = {score = "concat", dim = paper.options.hidden}},
        {"location", attention = {score = "location", max_keys = max_keys}}, {"no attention"}},
    run = function(cfg, cell)
        cfg.bidirectional, cfg.dropout, cfg.examples = true, 0, cfg.sort.examples
        local options = {words = cfg.sort.words, shortest = cfg.shortest, longest = cfg.longest}
        return experiment(task.sort, options, cfg, cell)
    end,
}
paper:claim{"A4: the location score is near the model without attention, within 10 BLEU",
    scores.location.bleu - scores["no attention"].bleu, at_most = 10}
for _, score in ipairs{"dot", "general", "concat"} do
    paper:claim{("A4: the %s score is not: at least 10 BLEU above no attention"):format(score),
        scores[score].bleu - scores["no attention"].bleu, at_least = 10}
end

local feeding = paper:table{
    name = "feeding", about = "long sentences of six words, written none to three times: words too many in 100",
    synthetic = true, vary = {{"without"}, {"with", fed = true}},
    columns = {"many", "bleu", "aer"}, better = {many = "less", aer = "less"},
    run = function(cfg, cell)
        cfg.bidirectional, cfg.attention, cfg.dropout, cfg.hidden = true, general, 0, cfg.feeding.hidden
        return experiment(task.lookup, {words = cfg.feeding.words, fertility = 3, same = true, swap = 0,
            shortest = cfg.shortest, longest = cfg.feeding.longest}, cfg, cell)
    end,
}
paper:claim{"A4: input feeding makes fewer words too many", feeding.with.many - feeding.without.many, at_most = 0}

return paper:main{build = build}
