-- sparse: weights that may be exactly zero, weights with a temperature.
--
--   softmax  exp(e_j / t) / sum        entmax  max((alpha - 1) e_j - tau, 0)^(1 / (alpha - 1)), the sum being 1;
--                                      alpha = 1 is softmax, 1.5 entmax15, 2 sparsemax, or it is learned
--
-- A query that may attend to nothing gets weights, context and gradient of zero, whatever the distribution.
--
-- Command    attn scripts/self_attention/sparse.lua [--data DIR] [--show]
-- Time       see scripts/README.md
-- Data       trec_qc (kinds of questions), sigmorphon2017 (inflected German words); needles: synthetic
-- Papers     Martins and Astudillo 2016, From softmax to sparsemax; Peters, Niculae and Martins 2019, Sparse
--            sequence-to-sequence models; Correia, Niculae and Martins 2019, Adaptively sparse transformers (C1, C2)
-- Found      Needles: all find them; how many words softmax looks at differs by seed, in some as few as the sparse ones
--            (28 to 120 %). Questions: within two points, half to seven tenths of the weights zero.
-- Your own   local sparse = require "self_attention.sparse"               -- attn -I scripts yours.lua
--            local model = sparse.Pool{words = 900, classes = 6, dim = 32, distribution = "entmax"}
--            local logits, weights = model(ids, lengths)                  -- [B, S] -> [B, 6], [B, S]; model:alpha()
--            attn.attention{query = 32, distribution = "entmax"}          -- the same in any attention, an alpha a head
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"
local task, text, translate = require "attn.task", require "attn.text", require "attn.translate"

local Pool = attn.module "Pool"         -- a sequence, summed by weights

function Pool:init(c)
    self.distribution, self.temperature = c.distribution, 1
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    if c.encoder then self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.dim // 2, bidirectional = true} end
    self.hidden = attn.layer.linear{inputs = c.dim, outputs = c.dim}
    self.score = attn.layer.linear{inputs = c.dim, outputs = 1, bias = false}
    self.out = attn.layer.linear{inputs = c.dim, outputs = c.classes}
    if c.distribution == "entmax" then self.shape = attn.zeros(1):requires_grad_(true) end
end

function Pool:alpha() return 1 + self.shape:sigmoid() end               -- 1.5 at first

function Pool:forward(ids, lengths)     -- [B, S] -> logits [B, classes], weights [B, S]
    local words = self.embed(ids)
    if self.encoder then words = self.encoder(words, {lengths = lengths}) end
    local e = self.score(self.hidden(words):tanh()):squeeze(3):masked_fill(~attn.mask(lengths, ids:size(2)), -math.huge)
    local weights = attn[self.distribution](e / self.temperature, self.shape and self:alpha() or nil)
    return self.out(weights:unsqueeze(2):matmul(words):squeeze(2)), weights
end

local paper = study{
    system = {"C1", "C2"}, paper = "Martins, Astudillo 2016, From softmax to sparsemax, ICML",
    options = {dim = 16, lr = 1e-2, batch = 32, steps = 300, tests = 500,
        questions = {dim = 32, steps = 500, lr = 5e-3},
        forms = {dim = 16, hidden = 32, steps = 600, lr = 8e-3, examples = 3000, tests = 200}},
    quick = {dim = 4, batch = 2, steps = 2, tests = 4, questions = {dim = 4, steps = 2},
        forms = {dim = 4, hidden = 4, steps = 2, examples = 10, tests = 2}},
    seeds = 5,
}

local SMALL = 1e-3      -- what weighs less counts as nothing where weights are never zero

local function learn(model, batches, c, cell)
    fit{model = model, batches = batches, steps = c.steps, lr = c.lr, schedule = "cosine", cell = cell,
        forward = function(b) return (model(b.source, b.source_lengths)), b.answer end}
    return model
end

-- Right answers in %, places that weigh more than SMALL, share of exact zeros in %, entropy in nats.
local function measure(model, tests)
    local out = fit.means(model, tests, function(b)
        local y, w = model(b.source, b.source_lengths)
        local share = w / w:sum(-1, true):clamp(1e-12)
        return {accuracy = 100 * y:argmax(-1):eq(b.answer):to "float32", support = w:gt(SMALL):sum(-1),
            zeros = 100 * w:masked_select(attn.mask(b.source_lengths, b.source:size(2))):eq(0):to "float32",
            entropy = -(share * share:clamp(1e-12):log()):sum(-1)}
    end)
    out.alpha = model.shape and model:alpha():item()
    return out
end

local kinds = {{"softmax"}, {"sparsemax"}, {"entmax15"}, {"entmax"}}
for _, row in ipairs(kinds) do row.distribution = row[1] end
local columns = {"accuracy", "support", "zeros", "entropy", "alpha"}
local better = {support = "less", zeros = "none", entropy = "none", alpha = "none"}

local function find(cfg, cell)          -- one word of up to 40 says the answer
    local train, test = fit.drawn(task.needle, {longest = 40, size = cfg.batch, train = cfg.steps * cfg.batch,
        test = cfg.tests}, cell.seed)
    local model = Pool{words = train.vocabulary, classes = train.answers, dim = cfg.dim,
        distribution = cfg.distribution or "softmax"}
    return learn(model, train, cfg, cell), test
end

local needle = paper:table{
    name = "needle", about = ("one word of up to 40 says the answer; support: weights above %g"):format(SMALL),
    synthetic = true, vary = kinds, columns = columns, better = better,
    run = function(cfg, cell) return measure(find(cfg, cell)) end,
}

local questions = paper:table{
    name = "trec_qc", about = "six kinds of questions, by the sum of states of a recurrent network", data = "trec_qc",
    vary = kinds, columns = columns, better = better,
    run = function(cfg, cell)
        local sets, c = corpus.trec_qc(cfg.data), cfg.questions
        local words = text.vocabulary(sets.train, {of = {"words"}, min_count = 2})
        local parts = data.parts(sets, {size = cfg.batch, seed = cell.seed, by = "source",
            fields = {answer = "class", source = function(r) return words:encode(r.words) end}})
        local model = learn(Pool{words = #words, classes = #sets.classes, dim = c.dim, encoder = true,
            distribution = cfg.distribution}, parts.train, c, cell)
        local one = parts.test:collate{1}
        local _, weights = attn.no_grad(model, one.source, one.source_lengths)
        cell:keep("where it looks", weights[1], {tokens = sets.test[1].words})
        return measure(model, parts.test)
    end,
}
for _, name in ipairs{"sparsemax", "entmax15", "entmax"} do
    paper:claim{("C2: needle: %s is as good as softmax, within a point"):format(name),
        needle[name].accuracy - needle.softmax.accuracy, at_least = -1}
    paper:claim{("C2: needle: %s looks at less than 30 %% as many words as softmax"):format(name),
        needle[name].support / needle.softmax.support, at_most = 0.3}
    paper:claim{("C2: trec_qc: %s is as good as softmax, within 1.5 points"):format(name),
        questions[name].accuracy - questions.softmax.accuracy, at_least = -1.5}
    paper:claim{("C2: trec_qc: more than half of the weights of %s are zero"):format(name),
        questions[name].zeros, at_least = 50}
end

paper:table{
    name = "sigmorphon", about = "inflected German words from letters and tags: right in %", data = "sigmorphon2017",
    vary = {kinds[1], kinds[2], kinds[3]}, columns = {"exact", "support"}, better = {support = "less"},
    run = function(cfg, cell)
        local c, sets = cfg.forms, corpus.sigmorphon2017(cfg.data, {most = cfg.forms.examples})
        for _, r in ipairs(data.joined{sets.train, sets.test}) do
            r.source, r.target = data.joined{r.lemma, r.tags}, r.form
        end
        local pair = translate.pair(sets.train)
        local tests = pair:examples(data.first(sets.test, c.tests))
        local model = translate.recurrent{sources = #pair.source, targets = #pair.target, dim = c.dim,
            hidden = c.hidden, style = "luong", feeding = true,
            attention = {score = "additive", dim = c.hidden, distribution = cfg.distribution}}
        translate.fit(model, pair:examples(sets.train),
            {steps = c.steps, lr = c.lr, size = cfg.batch, seed = cell.seed})
        local _, weights = translate.align(model, tests)
        local support, rows = 0, 0
        for _, w in ipairs(weights) do support, rows = support + w:gt(SMALL):sum():item(), rows + #w end
        cell:keep("where it looks", weights[1], {columns = sets.test[1].source})
        return {exact = translate.measure(model, tests, {max_length = 30}).exact, support = support / rows}
    end,
}

local warmth = paper:table{
    name = "temperature", about = "needles: softmax that was learned at temperature 1, at others", synthetic = true,
    columns = columns, better = better,
    vary = {{"0.25", temperature = 0.25}, {"1", temperature = 1}, {"4", temperature = 4}},
    run = function(cfg, cell)
        local model, tests = find(cfg, cell)
        model.temperature = cfg.temperature
        return measure(model, tests)
    end,
}
paper:claim{"C1: the colder, the sharper: the entropy at 0.25 is below that at 1",
    warmth["1"].entropy - warmth["0.25"].entropy, at_least = 0}
paper:claim{"C1: and that at 4 is above", warmth["4"].entropy - warmth["1"].entropy, at_least = 0}

local nothing = paper:table{
    name = "nothing", synthetic = true,
    about = "the greatest number among weights, context and gradient of a query that may attend to nothing",
    vary = {kinds[1], kinds[2], kinds[3], kinds[4], {"sigmoid", distribution = "sigmoid"}},
    run = function(cfg)
        local query, memory = attn.randn(1, 2, cfg.dim), attn.randn(1, 5, cfg.dim):requires_grad_(true)
        local mask = attn.tensor{{true, true, false, true, false}, {false, false, false, false, false}}
        local attend = attn.attention{query = cfg.dim, distribution = cfg.distribution}
        local context, weights = attend(query, memory, memory, {mask = mask, weights = true})
        local second = context[1][2]
        attn.sum(second * second + second):backward()
        local function most(x) return x:abs():max():item() end
        return {greatest = math.max(most(second), most(weights[1][2]), most(memory.grad))}
    end,
}
for _, name in ipairs{"softmax", "sparsemax", "entmax15", "entmax", "sigmoid"} do
    paper:claim{("C1: a query that may attend to nothing gets zeros of %s"):format(name),
        nothing[name].greatest, between = {0, 0}, exact = true}
end

return paper:main{Pool = Pool, learn = learn, measure = measure}
