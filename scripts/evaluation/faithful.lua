-- faithful: do weights of attention say why a text was judged so?
--
--   tau         Kendall's correlation of the weights with what each word counts: by the gradient, |dp/dx . x|, and by
--               leaving it out, TVD = sum |p - p'| / 2
--   permuted    the answer's change (median TVD) when the weights change places
--   adversary   how far weights can be moved, JSD up to ln 2, so that no answer changes by more than 0.05
--   guided      a model without a recurrent layer that is given the weights of one that has it
--
-- Command    attn scripts/evaluation/faithful.lua [--data DIR] [--show]
-- Time       see scripts/README.md
-- Data       one word in a sentence that decides, made here; films liked or not: SST, IMDB (first 60 words)
-- Papers     Jain and Wallace 2019, Attention is not explanation (the first three); Wiegreffe and Pinter 2019,
--            Attention is not not explanation (weights that do not learn, the guided model), EMNLP
-- Found      As Jain and Wallace say: films, tau 0.2 above a recurrent layer, 0.6 to 0.7 above words alone; weights
--            0.55 to 0.63 away (of 0.69) that change no answer by more than 0.05. The weights do not help a model
--            without the layer: SST 70.3 %, uniform 71.2; IMDB 69.2 both. Where one word decides, weights can be moved
--            less (0.26).
-- Your own   local faithful = require "evaluation.faithful"              -- attn -I scripts yours.lua
--            local model = faithful.Reader{words = 9999, classes = 2, dim = 32, hidden = 32, recurrent = true}
--            local logits, weights = model(ids, lengths)                  -- then faithful.probe(model, batches, {}),
--            for any model attn.explain.permuted(answer, weights, lengths), .gradients(answer, x), ...
local attn = require "attn"
local corpus, data, explain = require "attn.corpus", require "attn.data", require "attn.explain"
local fit, study, text = require "attn.fit", require "attn.study", require "attn.text"

local Reader = attn.module "Reader"

function Reader:init(c)                 -- uniform: weights that do not learn
    local width = c.recurrent and c.hidden or c.dim
    self.embed, self.uniform = attn.layer.embedding{count = c.words, dim = c.dim}, c.uniform
    self.rnn = c.recurrent and attn.encoder.rnn{inputs = c.dim, hidden = c.hidden // 2, bidirectional = true} or nil
    self.attend = attn.attention{query = 1, key = width, score = "additive", dim = width}
    self.out = attn.layer.linear{inputs = width, outputs = c.classes}
end

-- Vectors [B, T, dim] to states and their weights [B, T].
function Reader:states(x, lengths)
    local h = self.rnn and self.rnn(x, {lengths = lengths}) or x
    if self.uniform then
        return h, attn.mask(lengths, h:size(2)):to(h.dtype) / lengths:to(h.dtype):unsqueeze(2)
    end
    local _, weights = self.attend(attn.ones(#h, 1, {dtype = h.dtype}), h, nil, {lengths = lengths, weights = true})
    return h, weights
end

function Reader:answer(h, weights) return self.out((h * weights:unsqueeze(3)):sum(2)) end

function Reader:forward(ids, lengths, weights)          -- [B, T], [B] -> [B, classes], [B, T]
    local h, own = self:states(self.embed(ids), lengths)
    return self:answer(h, weights or own), weights or own
end

-- What the weights of a trained reader say, over texts: b.source, b.source_lengths.
local function probe(model, batches, options)
    local said = {gradient = {}, ["left out"] = {}, permuted = {}, adversary = {}}
    local function add(name, values) said[name] = data.joined{said[name], values} end
    local function read(ids, lengths) return (model(ids, lengths)):softmax(2) end
    model:eval()
    for b in batches:epoch(1) do
        local n, words = b.source_lengths, model.embed(b.source):detach()
        local h, weights = attn.no_grad(model.states, model, words, n)
        local function answer(w) return model:answer(h, w):softmax(2) end
        add("permuted", explain.permuted(answer, weights, n, {times = options.permutations}):totable())
        add("adversary", explain.adversary(answer, weights, n, {steps = options.adversary}):totable())
        local g = explain.gradients(function(x) return model:answer(model:states(x, n), weights):softmax(2) end, words)
        for i, length in ipairs(n:totable()) do
            local w, there = weights[{i, {1, length}}]:totable(), {i, {1, length}}
            add("gradient", {attn.metric.kendall(w, g[there]:totable())})
            local changes = length > 1 and explain.left_out(read, b.source[there]:totable()):totable()
            add("left out", {changes and attn.metric.kendall(w, changes) or 0})
        end
    end
    for name, list in pairs(said) do said[name] = attn.tensor(list, {dtype = "float64"}):mean():item() end
    return said
end

local paper = study{
    paper = "Jain, Wallace 2019, Attention is not explanation, NAACL; Wiegreffe, Pinter 2019, Attention is not not "
        .. "explanation, EMNLP",
    options = {dim = 24, hidden = 24, steps = 250, lr = 5e-3, batch = 32, longest = 60, train = 3000, test = 600,
        probed = 100, permutations = 21, adversary = 60},
    quick = {dim = 4, hidden = 4, steps = 2, batch = 4, train = 8, test = 8, probed = 4, permutations = 3,
        adversary = 2},
}
local kinds = {{"recurrent", recurrent = true}, {"recurrent, uniform", recurrent = true, uniform = true},
    {"words", recurrent = false}, {"words, uniform", uniform = true}, {"words, guided", guided = true}}

-- batches(part, count, size): of b.source and b.answer.
local function measure(cfg, cell, words, classes, batches)
    local train, test = batches("train", cfg.train, cfg.batch), batches("test", cfg.test, 100)
    local function learn(c, guide)
        attn.seed(cell.seed)
        local model = Reader{words = words, classes = classes, dim = cfg.dim, hidden = cfg.hidden,
            recurrent = c.recurrent, uniform = c.uniform}
        local function read(b)
            local weights = guide and select(2, attn.no_grad(guide, b.source, b.source_lengths))
            return (model(b.source, b.source_lengths, weights)), b.answer
        end
        fit{model = model, batches = train, steps = cfg.steps, lr = cfg.lr, cell = cell, forward = read}
        return model:eval(), 100 * fit.accuracy(model, test, read)
    end
    local model, accuracy = learn(cfg, cfg.guided and learn{recurrent = true} or nil)
    local out = (cfg.uniform or cfg.guided) and {} or probe(model, batches("test", cfg.probed, 50), cfg)
    out.accuracy = accuracy
    return out, model
end

local function add(name, run)
    return paper:table{
        name = name, vary = kinds, synthetic = name == "needle", data = name ~= "needle" and name or nil, run = run,
        about = "right in %; tau of weights with gradient and leaving out; change when permuted; JSD of the adversary",
        columns = {"accuracy", "gradient", "left out", "permuted", "adversary"},
        better = {gradient = "none", ["left out"] = "none", permuted = "none", adversary = "none"},
    }
end

local tables = {}
tables.needle = add("needle", function(cfg, cell)
    local made = attn.task.needle({count = 1, shortest = 5}, cell.seed)
    return (measure(cfg, cell, made.vocabulary, made.answers, function(part, count, size)
        local seed = part == "train" and cell.seed or 1000 + cell.seed
        return attn.task.needle({count = count, size = size, shortest = 5}, seed)
    end))
end)
for _, name in ipairs{"sst", "imdb"} do
    tables[name] = add(name, function(cfg, cell)
        local sets = corpus[name](cfg.data, name == "sst" and {binary = true} or {limit = cfg.train})
        for _, r in ipairs(data.joined{sets.train, sets.test}) do
            r.source = data.first(r.words or data.joined(r.sentences), cfg.longest)
        end
        local vocabulary = text.vocabulary(sets.train, {of = {"words", "sentences"}, min_count = 3})
        local out, model = measure(cfg, cell, #vocabulary, 2, function(part, count, size)
            return data.batches{records = data.first(sets[part], count), size = size, by = "source", seed = cell.seed,
                fields = {source = vocabulary, answer = "class"}}
        end)
        local one = sets.test[1].source
        local _, weights = attn.no_grad(model, data.pad{vocabulary:encode(one)})
        cell:keep("weights", weights[1], {tokens = one})
        return out
    end)
end

for _, name in ipairs{"needle", "sst", "imdb"} do
    local t = tables[name]
    paper:claim{name .. ": above a recurrent layer weights and gradients agree little, tau at most 0.5",
        t.recurrent.gradient, at_most = 0.5}
    paper:claim{name .. ": they agree more above words alone", t.words.gradient - t.recurrent.gradient, at_least = 0}
    paper:claim{name .. ": above a recurrent layer quite other weights, JSD at least 0.35, give the same answer",
        t.recurrent.adversary, at_least = 0.35}
    if name ~= "needle" then
        paper:claim{name .. ": yet they help a model of words alone, more than uniform ones",
            t["words, guided"].accuracy - t["words, uniform"].accuracy, at_least = 0}
    end
end

return paper:main{Reader = Reader, probe = probe}
