-- entailment: word-by-word attention (Rocktaeschel et al. 2016), compare-aggregate (Wang and Jiang 2017), DiSAN beside
-- attn scripts/reading/entailment.lua [--data DIR]            3 minutes: synthetic sentences, SICK
--
-- On one's own pairs of ids, premise [B, S] and hypothesis [B, T] with their lengths [B] (attn -I scripts):
--   local entailment = require "reading.entailment"
--   local model = entailment.Compare{words = 5000, with = "mult"}    -- Attentive{words =, attention =}, Disan{words =}
--   local logits, weights = model(premise, premise_lengths, hypothesis, hypothesis_lengths)        -- [B, 3], [B, T, S]
--
-- Found: a single look is 7 points better than none after 8,000 steps, a look at every word no more than that (-10 to
-- 7): with enough steps all three learn the swaps. About a dozen sizes of the task gave no other order. Compared word
-- by word a fifth of the steps suffices.
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task, text = require "attn.study", require "attn.task", require "attn.text"
local disan = require "self_attention.disan"

local function linear(inputs, outputs, bias)
    local layer = attn.layer.linear{inputs = inputs, outputs = outputs, bias = bias}
    attn.init.xavier_uniform(layer.weight)
    return layer
end

-- ---- an LSTM reads the hypothesis after the premise, which is looked at never, once at the end, or at every word ----

local Attentive = attn.module "Attentive"
function Attentive:init(cfg)
    local dim, hidden, single = cfg.dim or 50, cfg.hidden or 50, cfg.attention == "single"
    self.attention = cfg.attention                                      -- "none", "single" or "word by word"
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.premise = attn.encoder.rnn{inputs = dim, hidden = hidden, cell = "lstm"}
    self.hypothesis = attn.encoder.rnn{inputs = dim, hidden = hidden, cell = "lstm"}
    self.out = linear(hidden, cfg.classes or 3)
    if self.attention == "none" then return end
    self.look = attn.attention{query = single and hidden or 2 * hidden, key = hidden, score = "additive", dim = hidden}
    self.wp, self.wx = linear(hidden, hidden, false), linear(hidden, hidden)
    if not single then self.wt = linear(hidden, hidden, false) end
end
function Attentive:forward(premise, pn, hypothesis, hn)
    local y, state = self.premise(self.embed(premise), {lengths = pn})
    local h, last = self.hypothesis(self.embed(hypothesis), {lengths = hn, state = state})
    last = last.h[1]
    if self.attention == "none" then return self.out(last) end
    local r, weights, context = attn.zeros_like(last), {}, nil
    local function look(query, t)       -- a = softmax(w' tanh(W_y Y + W_q query)), Y a
        context, weights[t] = self.look(query, y, y, {lengths = pn, weights = true})
        return context
    end
    if self.attention == "single" then
        r = look(last, 1)
    else                                -- the query is [h_t; r_{t-1}], r_t = Y a_t + tanh(W_t r_{t-1})
        for t = 1, hypothesis:size(2) do
            local new = look(attn.cat({h:select(2, t), r}, 2), t) + self.wt(r):tanh()
            r = attn.where(hn:ge(t):unsqueeze(2), new, r)
        end
    end
    return self.out((self.wp(r) + self.wx(last)):tanh()), attn.stack(weights, 2)
end

-- ---- compare-aggregate: each word with what it attends to in the premise, then a convolution over that ----

local Comparison = attn.module "Comparison"           -- a, h [B, T, n] -> [B, T, width]
function Comparison:init(with, n)
    self.with, self.width = with, with == "euclid_cos" and 2 or n
    if with == "tensor" then self.map = linear(n, n * n) elseif with:find "nn" then self.map = linear(2 * n, n) end
end
function Comparison:forward(a, h)
    local square, product = (a - h) * (a - h), a * h
    if self.with == "sub" then return square elseif self.with == "mult" then return product end
    if self.with == "euclid_cos" then
        local distance = (square:sum(3, true) + 1e-12):sqrt()
        return attn.cat({distance, attn.cosine_similarity(a, h, 3):unsqueeze(3)}, 3)
    elseif self.with == "tensor" then
        return (self.map(a):reshape(a:size(1), a:size(2), h:size(3), h:size(3)) * h:unsqueeze(3)):sum(4):relu()
    end
    return self.map(attn.cat(self.with == "nn" and {a, h} or {square, product}, 3)):relu()
end

local Compare = attn.module "Compare"
function Compare:init(cfg)
    local dim, hidden = cfg.dim or 50, cfg.hidden or 50
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.gate, self.value = linear(dim, hidden), linear(dim, hidden)
    self.attend, self.compare = attn.attention{query = hidden, score = "general"}, Comparison(cfg.with, hidden)
    self.windows, self.out = {}, linear(3 * hidden, cfg.classes or 3)
    for n = 1, 3 do
        self.windows[n] = attn.layer.conv1d{inputs = self.compare.width, outputs = hidden, kernel = n,
            padding = "causal"}
    end
end
function Compare:forward(premise, pn, hypothesis, hn)
    local function read(ids)
        local x = self.embed(ids)
        return self.gate(x):sigmoid() * self.value(x):tanh()
    end
    local q, a = read(premise), read(hypothesis)
    local h, weights = self.attend(a, q, q, {lengths = pn, weights = true})
    local t, best = self.compare(a, h), {}
    t = t * attn.mask(hn, t:size(2)):to(t.dtype):unsqueeze(3)
    for n, window in ipairs(self.windows) do
        best[n] = attn.max_pool1d(window(t):relu(), t:size(2), {lengths = hn}):squeeze(2)
    end
    return self.out(attn.cat(best, 2)), weights
end

-- ---- DiSAN (Shen et al. 2018): the sentences apart ----

local Disan = attn.module "Disan"
function Disan:init(cfg)
    local dim = cfg.dim or 50
    self.read = disan.Disan{words = cfg.words, dim = dim, vector = true}
    self.hidden, self.out = linear(8 * dim, 2 * dim), linear(2 * dim, cfg.classes or 3)
end
function Disan:forward(premise, pn, hypothesis, hn)
    local p, h = self.read:encode(premise, pn), self.read:encode(hypothesis, hn)
    return self.out(self.hidden(attn.cat({p, h, (p - h):abs(), p * h}, 2)):relu())
end

local paper = study{
    system = "E18", paper = "Rocktaeschel, Grefenstette, Hermann, Kocisky, Blunsom 2016, Reasoning about "
        .. "entailment with neural attention, ICLR; Wang, Jiang 2017, A compare-aggregate model for matching text "
        .. "sequences, ICLR; Shen, Zhou, Long, Jiang, Pan, Zhang 2018, DiSAN: directional self-attention network, AAAI",
    options = {synthetic = {steps = 8000, lr = 5e-3, dim = 24, hidden = 24}, sick = {steps = 500, lr = 2e-3, dim = 50,
        hidden = 50}, batch = 32, count = 128000},
    quick = {synthetic = {steps = 2, dim = 4, hidden = 4}, sick = {steps = 2, dim = 4, hidden = 4}, count = 64},
}

local models = {Attentive = Attentive, Compare = Compare, Disan = Disan}
local function measure(cfg, o, cell, words, train, test, shown)
    local model = models[cfg.model]{words = words, dim = o.dim, hidden = o.hidden, attention = cfg.attention,
        with = cfg.with}
    local function said(b)
        local logits, weights = model(b.left, b.left_lengths, b.right, b.right_lengths)
        if shown and weights and not model.training and b.index[1] == 1 then
            local rows = weights:size(2) > 1 and shown.right or {"all"}
            cell:keep("attention", weights[1], {rows = rows, columns = shown.left})
        end
        return logits, b.answer
    end
    fit{model = model, batches = train, forward = said, steps = o.steps, lr = o.lr, cell = cell}
    return {accuracy = fit.accuracy(model, test, said)}
end

local looks, functions = {}, {}
for i, name in ipairs{"none", "single", "word by word"} do looks[i] = {name, model = "Attentive", attention = name} end
for i, name in ipairs{"nn", "tensor", "euclid_cos", "sub", "mult", "submult_nn"} do
    functions[i] = {name, model = "Compare", with = name}
end
functions[7] = {"DiSAN", model = "Disan"}

local function synthetic(name, about, vary, share)
    return paper:table{name = name, about = about, synthetic = true, vary = vary, run = function(cfg, cell)
        local s, train = cfg.synthetic, task.entailment({size = cfg.batch, count = cfg.count}, cell.seed)
        s.steps = math.max(1, s.steps // share)
        return measure(cfg, s, cell, train.vocabulary, train, task.entailment({count = 1000}, 1000 + cell.seed))
    end}
end
local attention = synthetic("attention", "words swapped for synonyms, an opposite or a new one", looks, 1)
synthetic("comparison", "the same, each word compared with what it attends to; a fifth of the steps", functions, 5)
paper:claim{"attention word by word is better than a single one",
    attention["word by word"].accuracy - attention["single"].accuracy, at_least = 0}
paper:claim{"a single attention is better than none", attention["single"].accuracy - attention["none"].accuracy,
    at_least = 0}

paper:table{
    name = "sick", about = "accuracy; word vectors from nothing", data = "sick",
    vary = {looks[1], looks[2], looks[3], functions[5], functions[6], functions[7]},
    run = function(cfg, cell)
        local sets = corpus.sick(cfg.data)
        local words = text.vocabulary(sets.train, {of = {"left", "right"}, min_count = 2})
        local parts = data.parts(sets, {fields = {left = words, right = words, answer = "class"}, size = cfg.batch,
            by = "left", seed = cell.seed})
        return measure(cfg, cfg.sick, cell, #words, parts.train, parts.test, sets.test[1])
    end,
}
return paper:main{Attentive = Attentive, Compare = Compare, Comparison = Comparison, Disan = Disan}
