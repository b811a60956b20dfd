-- sparse: weights that may be exactly zero, weights with a temperature, weights that need not sum to one.
--
--   softmax      exp(e_j / t) / sum                     entmax     max((alpha - 1) e_j - tau, 0)^(1 / (alpha - 1)), the sum being 1:
--   sigmoid      1 / (1 + exp(-e_j))                               alpha = 1 softmax, 1.5 entmax15, 2 sparsemax, or learned
--
-- A query that may attend to nothing gets weights, context and gradient of zero, whatever the distribution.
--
-- Command    attn scripts/self_attention/sparse.lua [--data DIR] [--show]
-- Time       see scripts/README.md
-- Data       trec_qc (kinds of questions), sigmorphon2017 (inflected German words); needles, marks to be counted: synthetic
-- Papers     Martins and Astudillo 2016, From softmax to sparsemax; Peters, Niculae and Martins 2019, Sparse sequence-to-sequence models;
--            Correia, Niculae and Martins 2019, Adaptively sparse transformers (C1, C2); Kim et al. 2017, Structured attention networks (C3)
-- Found      Needles: all find them; how many words softmax looks at differs by seed, in some as few as the sparse ones (28 to 120 %).
--            Questions: within two points, half to seven tenths of the weights zero. Sigmoid counts, softmax does not.
-- Your own   local sparse = require "self_attention.sparse"               -- attn -I scripts yours.lua
--            local weights = sparse.entmax(scores, alpha)                 -- [..., T], a tensor of one number above 1: both learn
--            local model = sparse.Pool{words = 900, classes = 6, dim = 32, distribution = "entmax15"}
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"
local task, text, translate = require "attn.task", require "attn.text", require "attn.translate"

-- p_j = max(z_j - tau, 0)^(1 / (alpha - 1)) with z = (alpha - 1) e, tau found by halving. With s_j = p_j^(2 - alpha) on the support and
-- q = s / sum s: de = s (dp - <q, dp>); and since sum p = 1 holds for every alpha,
-- dp_j / dalpha = (p_j - q_j) / (alpha - 1)^2 - (p_j log p_j - q_j sum_k p_k log p_k) / (alpha - 1).
local entmax = attn.custom{
    forward = function(ctx, e, alpha)
        local a = alpha:item()
        local z = e * (a - 1)
        local low = z:max(-1):unsqueeze(-1) - 1                     -- there the greatest alone gives 1
        local width = 1
        local function at(tau) return (z - tau):clamp(0) ^ (1 / (a - 1)) end
        for _ = 1, 50 do
            width = width / 2
            low = low + at(low + width):sum(-1, true):ge(1):to(e.dtype) * width
        end
        local p = at(low)
        ctx.a, ctx.p = a, p / p:sum(-1, true)
        return ctx.p
    end,
    backward = function(ctx, dp)
        local a, p = ctx.a, ctx.p
        local zero, inside = attn.zeros_like(p), p:gt(0)
        local s = attn.where(inside, p ^ (2 - a), zero)
        local q, plogp = s / s:sum(-1, true), attn.where(inside, p * p:clamp(1e-30):log(), zero)
        local dalpha = (p - q) / (a - 1) ^ 2 - (plogp - q * plogp:sum(-1, true)) / (a - 1)
        return s * (dp - (q * dp):sum(-1, true)), (dp * dalpha):sum():reshape(1)
    end}

local distributions = {}
function distributions.sparsemax(e) return attn.sparsemax(e) end
function distributions.entmax15(e) return attn.entmax15(e) end
function distributions.softmax(e, pool) return (e / pool.temperature):softmax(-1) end
function distributions.sigmoid(e) return e:sigmoid() end
function distributions.entmax(e, pool) return entmax(e, pool:alpha()) end

local Pool = attn.module "Pool"         -- a sequence, summed by weights

function Pool:init(c)
    self.distribution, self.temperature = c.distribution, c.temperature or 1
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    if c.encoder then self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.dim // 2, bidirectional = true} end
    self.hidden = attn.layer.linear{inputs = c.dim, outputs = c.dim}
    self.score = attn.layer.linear{inputs = c.dim, outputs = 1, bias = c.distribution == "sigmoid"}
    if c.readout then self.readout = attn.layer.linear{inputs = c.dim, outputs = c.readout} end
    self.out = attn.layer.linear{inputs = c.readout or c.dim, outputs = c.classes}
    if c.distribution == "entmax" then self.shape = attn.zeros(1):requires_grad_(true) end
end

function Pool:alpha() return 1.01 + 1.98 * self.shape:sigmoid() end     -- 2 at first, between 1 and 3

function Pool:forward(ids, lengths)     -- [B, S] -> logits [B, classes], weights [B, S]
    local words = self.embed(ids)
    if self.encoder then words = self.encoder(words, {lengths = lengths}) end
    local e = self.score(self.hidden(words):tanh()):squeeze(3):masked_fill(~attn.mask(lengths, ids:size(2)), -math.huge)
    local weights = distributions[self.distribution](e, self)
    local sum = weights:unsqueeze(2):matmul(words):squeeze(2)
    return self.out(self.readout and self.readout(sum):relu() or sum), weights
end

local paper = study{
    system = {"C1", "C2", "C3"}, paper = "Martins, Astudillo 2016, From softmax to sparsemax, ICML",
    options = {dim = 16, lr = 1e-2, batch = 32, steps = 300, tests = 500, counts = 5, counting = 3000,
        questions = {dim = 32, steps = 500, lr = 5e-3},
        forms = {dim = 16, hidden = 32, steps = 600, lr = 8e-3, examples = 3000, tests = 200}},
    quick = {dim = 4, batch = 2, steps = 2, tests = 4, counting = 2, questions = {dim = 4, steps = 2},
        forms = {dim = 4, hidden = 4, steps = 2, examples = 10, tests = 2}},
    seeds = 5,
}

local SMALL = 1e-3      -- what weighs less counts as nothing where weights are never zero

-- Trains a model; right answers in %, places that weigh more than SMALL, share of exact zeros in %, entropy in nats.
local function learn(model, batches, tests, c, cell)
    local function logits(b) return model(b.source, b.source_lengths) end
    fit{model = model, batches = batches, steps = c.steps, lr = c.lr, cell = cell,
        schedule = attn.schedule.cosine{steps = c.steps, lr = c.lr},
        loss = function(b) return attn.loss.cross_entropy((logits(b)), b.answer) end}
    return function(temperature)        -- measures it
        model.temperature = temperature or model.temperature
        local out, n = {accuracy = 0, support = 0, zeros = 0, entropy = 0}, 0
        fit.each(model, tests, function(b)
            local y, w = logits(b)
            local valid = attn.mask(b.source_lengths, b.source:size(2)):to "float32"
            local rows = #b.answer
            local share = w / w:sum(-1, true):clamp(1e-12)
            local function add(name, value) out[name] = out[name] + value:item() * rows end
            add("accuracy", 100 * y:argmax(-1):eq(b.answer):to("float32"):mean())
            add("support", (w:gt(SMALL):to "float32" * valid):sum(-1):mean())
            add("zeros", 100 * (w:eq(0):to "float32" * valid):sum() / valid:sum())
            add("entropy", -(share * share:clamp(1e-12):log()):sum(-1):mean())
            n = n + rows
        end)
        for name, sum in pairs(out) do out[name] = sum / n end
        if model.shape then out.alpha = model:alpha():item() end
        return out
    end
end

-- C2: the needle, and questions ---------------------------------------------------------------------------------------------

local kinds = {{"softmax"}, {"sparsemax"}, {"entmax15"}, {"entmax"}}
for _, row in ipairs(kinds) do row.distribution = row[1] end
local columns = {"accuracy", "support", "zeros", "entropy", "alpha"}
local better = {support = "less", zeros = "none", entropy = "none", alpha = "none"}

local function find(cfg, cell)          -- one word of up to 40 says the answer
    local function needles(count, seed) return task.needle({longest = 40, size = cfg.batch, count = count}, seed) end
    local batches, tests = needles(cfg.steps * cfg.batch, cell.seed), needles(cfg.tests, 1000 + cell.seed)
    return learn(Pool{words = batches.vocabulary, classes = batches.answers, dim = cfg.dim,
        distribution = cfg.distribution}, batches, tests, cfg, cell)
end

local needle = paper:table{
    name = "needle", about = ("one word of up to 40 says the answer; support: weights above %g"):format(SMALL),
    synthetic = true, vary = kinds, columns = columns, better = better,
    run = function(cfg, cell) return find(cfg, cell)() end,
}

local questions = paper:table{
    name = "trec_qc", about = "six kinds of questions, by the sum of states of a recurrent network", data = "trec_qc",
    vary = kinds, columns = columns, better = better,
    run = function(cfg, cell)
        local sets, c = corpus.trec_qc(cfg.data), cfg.questions
        local words = text.vocabulary(fit.columns(sets.train, {words = "words"}).words, {min_count = 2})
        local function batches(records)
            return data.batches{size = cfg.batch, seed = cell.seed, by = "source", fields = fit.columns(records,
                {answer = "class", source = function(r) return words:encode(r.words) end})}
        end
        local model = Pool{words = #words, classes = #sets.classes, dim = c.dim, encoder = true,
            distribution = cfg.distribution}
        local out = learn(model, batches(sets.train), batches(sets.test), c, cell)()
        local ids, lengths = data.pad{words:encode(sets.test[1].words)}
        local _, weights = attn.no_grad(function() return model(ids, lengths) end)
        cell:keep("where it looks", weights[1], {tokens = sets.test[1].words})
        return out
    end,
}
for _, name in ipairs{"sparsemax", "entmax15", "entmax"} do
    paper:claim{("C2: needle: %s is as good as softmax, within a point"):format(name),
        needle[name].accuracy - needle.softmax.accuracy, at_least = -1}
    paper:claim{("C2: needle: %s looks at less than 30 %% as many words as softmax"):format(name),
        needle[name].support / needle.softmax.support, at_most = 0.3}
    paper:claim{("C2: trec_qc: %s is as good as softmax, within 1.5 points"):format(name),
        questions[name].accuracy - questions.softmax.accuracy, at_least = -1.5}
    paper:claim{("C2: trec_qc: more than half of the weights of %s are zero"):format(name), questions[name].zeros,
        at_least = 50}
end

paper:table{
    name = "sigmorphon", about = "inflected German words from letters and tags: right in %", data = "sigmorphon2017",
    vary = {kinds[1], kinds[2], kinds[3]}, columns = {"exact", "support"}, better = {support = "less"},
    run = function(cfg, cell)
        local c = cfg.forms
        local sets = corpus.sigmorphon2017(cfg.data, {most = c.examples})
        local function records(set)
            return fit.columns(set, {target = "form", source = function(r)
                return table.move(r.tags, 1, #r.tags, #r.lemma + 1, {table.unpack(r.lemma)})
            end})
        end
        local train, test = records(sets.train), records(table.move(sets.test, 1, c.tests, 1, {}))
        local sources, targets = text.vocabulary(train.source), text.vocabulary(train.target)
        local function examples(set)
            local out = {source = {}, target = {}, bos = targets:id "<s>", eos = targets:id "</s>"}
            for i, words in ipairs(set.source) do
                out.source[i], out.target[i] = sources:encode(words), targets:encode(set.target[i])
            end
            return out
        end
        local model = translate.recurrent{sources = #sources, targets = #targets, dim = c.dim, hidden = c.hidden,
            style = "luong", feeding = true,
            attention = {score = "additive", dim = c.hidden, distribution = cfg.distribution}}
        translate.fit(model, examples(train), {steps = c.steps, lr = c.lr, size = cfg.batch, seed = cell.seed})
        local set, support, rows = examples(test), 0, 0
        local _, weights = translate.align(model, set)
        for i, w in ipairs(weights) do
            support, rows = support + w:gt(SMALL):to("float32"):sum():item(), rows + #w
            if i == 1 then cell:keep("where it looks", w, {columns = test.source[1]}) end
        end
        return {exact = translate.measure(model, set, {max_length = 30}).exact, support = support / rows}
    end,
}

-- C1: temperature, and nothing to look at --------------------------------------------------------------------------------------

local warmth = paper:table{
    name = "temperature", about = "needles: softmax that was learned at temperature 1, at others", synthetic = true,
    columns = columns, better = better,
    vary = {{"0.25", temperature = 0.25}, {"1", temperature = 1}, {"4", temperature = 4}},
    run = function(cfg, cell)
        cfg.distribution = "softmax"
        return find(cfg, cell)(cfg.temperature)
    end,
}
paper:claim{"C1: the colder, the sharper: the entropy at 0.25 is below that at 1",
    warmth["1"].entropy - warmth["0.25"].entropy, at_least = 0}
paper:claim{"C1: and that at 4 is above", warmth["4"].entropy - warmth["1"].entropy, at_least = 0}

local nothing = paper:table{
    name = "nothing", synthetic = true,
    about = "the greatest number among weights, context and gradient of a query that may attend to nothing",
    vary = {kinds[1], kinds[2], kinds[3], {"sigmoid", distribution = "sigmoid"}},
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
for _, name in ipairs{"softmax", "sparsemax", "entmax15", "sigmoid"} do
    paper:claim{("C1: a query that may attend to nothing gets zeros of %s"):format(name), nothing[name].greatest,
        between = {0, 0}, exact = true}
end

-- C3: counting --------------------------------------------------------------------------------------------------------------

-- Sentences of k marks (word 2) among r k words (the others: word 1), r as often 2 as 3 or 4 whatever k: the share of marks, which
-- is all that weights of sum one can carry, says nothing about their number.
local function marks(cfg, count, seed)
    local fields = {source = {}, answer = {}}
    for i = 1, count do
        local draw, words = data.random(seed, i), {}
        local k, r = draw(cfg.counts), draw(3) + 1
        for j = 1, r * k do words[j] = j <= k and 2 or 1 end
        fields.source[i], fields.answer[i] = data.shuffle(words, draw), k
    end
    return data.batches{fields = fields, size = cfg.batch, seed = seed}
end

local counting = paper:table{
    name = "counting", about = "how many of the words are marked, and (one) which needle is there: right in %",
    synthetic = true, columns = {"accuracy", "several", "one"},
    vary = {{"softmax", distribution = "softmax"}, {"sigmoid", distribution = "sigmoid"}},
    run = function(cfg, cell)
        local tests = marks(cfg, cfg.tests, 1000 + cell.seed)
        local model = Pool{words = 2, classes = cfg.counts, dim = cfg.dim, readout = 2 * cfg.dim,
            distribution = cfg.distribution}
        local long = {steps = cfg.counting, lr = cfg.lr}
        local out = learn(model, marks(cfg, 100 * cfg.batch, cell.seed), tests, long, cell)()
        out.several = 100 * fit.accuracy(model, tests, function(b)
            return model(b.source, b.source_lengths), b.answer * b.answer:gt(1):to "int64"
        end)
        out.one = find(cfg, cell)().accuracy
        return out
    end,
}
local chance = 100 / (paper.options.counts - 1)
paper:claim{"C3: counting: sigmoid solves it, above 95 %", counting.sigmoid.accuracy, at_least = 95}
paper:claim{("C3: counting: several marks: softmax is no better than chance (%g %%), within 5 points"):format(chance),
    counting.softmax.several, at_most = chance + 5}
for _, name in ipairs{"softmax", "sigmoid"} do
    paper:claim{("C3: a single needle: %s solves it, above 99 %%"):format(name), counting[name].one, at_least = 99}
end

return paper:main{Pool = Pool, entmax = entmax, marks = marks}
