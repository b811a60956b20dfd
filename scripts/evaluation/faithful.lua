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
--            local logits, weights = model(ids, lengths)                  -- then faithful.probe(model, batches, {})
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"
local text = require "attn.text"

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

local function tvd(p, q) return (p - q):abs():sum(-1) / 2 end

local function jsd(p, q)
    local middle = (p + q) / 2
    local function to(x) return (x * (x:clamp(1e-12, 1):log() - middle:clamp(1e-12, 1):log())):sum(-1) end
    return (to(p) + to(q)) / 2
end

-- |dp/dx_t . x_t| of the answer given; the weights are taken as they are.
local function gradients(model, ids, lengths)
    local x = model.embed(ids):detach():requires_grad_(true)
    local h, weights = model:states(x, lengths)
    local p = model:answer(h, weights:detach()):softmax(2)
    local g = attn.grad(p:max(2):sum(), {x})[1]
    return (g * x:detach()):sum(3):abs(), weights:detach(), p:detach()
end

-- The answer's change without each word of one text.
local function left_out(model, ids, p)
    local lists = {}
    for t = 1, #ids do
        lists[t] = table.move(ids, 1, #ids, 1, {})
        table.remove(lists[t], t)
    end
    local rows, lengths = data.pad(lists)
    return tvd((model(rows, lengths)):softmax(2), p:unsqueeze(1)):totable()
end

local function permuted(model, h, weights, lengths, p, times)
    local outside, changes = attn.mask(lengths, h:size(2)):logical_not(), {}
    for k = 1, times do
        local _, order = attn.rand(weights.shape):masked_fill(outside, 2):sort(2)
        changes[k] = tvd(model:answer(h, weights:gather(2, order)):softmax(2), p)
    end
    return (attn.stack(changes, 1):sort(1)):select(1, (times + 1) // 2)
end

-- The farthest weights (JSD) found that change the answer by at most `most`.
local function adversary(model, h, weights, lengths, p, steps, most)
    local outside = attn.mask(lengths, h:size(2)):logical_not()
    local noise = attn.randn(weights.shape, {dtype = weights.dtype})
    local scores = (weights:clamp(1e-6, 1):log() + noise):requires_grad_(true)
    local optimizer, best = attn.optim.adam{params = {scores}, lr = 0.3}, nil
    for _ = 1, steps do
        local moved = scores:masked_fill(outside, -math.huge):softmax(2)
        local change, far = tvd(model:answer(h, moved):softmax(2), p), jsd(moved, weights)
        local allowed = attn.where(change:detach():le(most), far:detach(), 0)
        best = best and attn.maximum(best, allowed) or allowed
        optimizer:zero_grad();
        (10 * (change - most):relu() - far):sum():backward()
        optimizer:step()
    end
    return best
end

-- What the weights of a trained reader say, over texts: b.source, b.source_lengths.
local function probe(model, batches, options)
    local sums, count = {gradient = 0, ["left out"] = 0, permuted = 0, adversary = 0}, 0
    local function add(name, value) sums[name] = sums[name] + value end
    model:eval()
    for b in batches:epoch(1) do
        local n = b.source_lengths
        local g, weights, p = gradients(model, b.source, n)
        local h = attn.no_grad(function() return (model:states(model.embed(b.source), n)) end)
        add("permuted", attn.no_grad(permuted, model, h, weights, n, p, options.permutations or 20):sum():item())
        add("adversary", adversary(model, h, weights, n, p, options.steps or 60, 0.05):sum():item())
        for i, length in ipairs(n:totable()) do
            local function row(x) return x[i]:narrow(1, 1, length):totable() end
            local w = row(weights)
            add("gradient", attn.metric.kendall(w, row(g)))
            if length > 1 then
                add("left out", attn.metric.kendall(w, attn.no_grad(left_out, model, row(b.source), p[i])))
            end
            count = count + 1
        end
    end
    for name, sum in pairs(sums) do sums[name] = sum / count end
    return sums
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
    local function learn(changes, guide)
        attn.seed(cell.seed)
        local model = Reader{words = words, classes = classes, dim = cfg.dim, hidden = cfg.hidden,
            recurrent = changes.recurrent, uniform = changes.uniform}
        local function read(b)
            local _, weights
            if guide then _, weights = attn.no_grad(guide, b.source, b.source_lengths) end
            return (model(b.source, b.source_lengths, weights))
        end
        fit{model = model, batches = train, steps = cfg.steps, lr = cfg.lr, cell = cell,
            loss = function(b) return attn.loss.cross_entropy(read(b), b.answer) end}
        return model:eval(), 100 * fit.accuracy(model, test, function(b) return read(b), b.answer end)
    end
    local model, accuracy = learn(cfg, cfg.guided and learn{recurrent = true} or nil)
    local out = {}
    if not (cfg.uniform or cfg.guided) then
        out = probe(model, batches("test", cfg.probed, 50), {permutations = cfg.permutations, steps = cfg.adversary})
    end
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

local tables = {needle = add("needle", function(cfg, cell)
    local function batches(part, count, size)
        local seed = part == "train" and cell.seed or 1000 + cell.seed
        return attn.task.needle({count = count, size = size, shortest = 5}, seed)
    end
    local made = batches("train", 1, 1)
    return (measure(cfg, cell, made.vocabulary, made.answers, batches))
end)}

local function films(name, options, words_of)
    tables[name] = add(name, function(cfg, cell)
        local function text_of(record)
            local words = words_of(record)
            return table.move(words, 1, math.min(#words, cfg.longest), 1, {})
        end
        options.limit = name == "imdb" and cfg.train or nil
        local sets = corpus[name](cfg.data, options)
        local vocabulary = text.vocabulary(fit.columns(sets.train, {words = words_of}).words, {min_count = 3})
        local function ids(record) return vocabulary:encode(text_of(record)) end
        local out, model = measure(cfg, cell, #vocabulary, 2, function(part, count, size)
            local some = table.move(sets[part], 1, math.min(count, #sets[part]), 1, {})
            return data.batches{fields = fit.columns(some, {source = ids, answer = "class"}), size = size,
                by = "source", seed = cell.seed}
        end)
        local one = sets.test[1]
        local _, weights = attn.no_grad(model, data.pad{ids(one)})
        cell:keep("weights", weights[1], {tokens = text_of(one)})
        return out
    end)
end
films("sst", {binary = true}, function(record) return record.words end)
films("imdb", {}, function(record)
    local all = {}
    for _, sentence in ipairs(record.sentences) do table.move(sentence, 1, #sentence, #all + 1, all) end
    return all
end)

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

return paper:main{Reader = Reader, probe = probe, jsd = jsd, gradients = gradients}
