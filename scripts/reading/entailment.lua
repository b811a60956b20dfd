-- entailment: word-by-word attention (Rocktaeschel et al. 2016), compare-aggregate (Wang and Jiang 2017), DiSAN beside
-- attn scripts/reading/entailment.lua [--data DIR]            3 minutes: synthetic sentences, SICK
--
-- On one's own pairs of ids, premise [B, S] and hypothesis [B, T] with their lengths [B] (attn -I scripts):
--   local entailment = require "reading.entailment"
--   local model = entailment.Compare{words = 5000, with = "mult"}    -- Attentive{words =, attention =}, Disan{words =}
--   local logits, weights = model(premise, premise_lengths, hypothesis, hypothesis_lengths)        -- [B, 3], [B, T, S]
--
-- Found: a single look is 4 points better than none after 8,000 steps, a look at every word no more than that (-5 to 4): with enough steps
-- all three learn the swaps. About a dozen sizes of the task gave no other order. Compared word by word a fifth of the steps suffices.
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"

local function linear(inputs, outputs, bias)
    local layer = attn.layer.linear{inputs = inputs, outputs = outputs, bias = bias}
    attn.init.xavier_uniform(layer.weight)
    return layer
end

-- ---- an LSTM reads the hypothesis after the premise, which is looked at never, once at the end, or at every word ----

local Attentive = attn.module "Attentive"
function Attentive:init(cfg)
    local dim, hidden = cfg.dim or 50, cfg.hidden or 50
    self.attention = cfg.attention                                      -- "none", "single" or "word"
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.premise = attn.encoder.rnn{inputs = dim, hidden = hidden, cell = "lstm"}
    self.hypothesis = attn.encoder.rnn{inputs = dim, hidden = hidden, cell = "lstm"}
    if self.attention ~= "none" then
        self.wy, self.wh, self.w = linear(hidden, hidden, false), linear(hidden, hidden), linear(hidden, 1, false)
        self.wp, self.wx = linear(hidden, hidden, false), linear(hidden, hidden)
    end
    if self.attention == "word" then self.wr, self.wt = linear(hidden, hidden, false), linear(hidden, hidden, false) end
    self.out = linear(hidden, cfg.classes or 3)
end
function Attentive:forward(premise, pn, hypothesis, hn)
    local y, state = self.premise(self.embed(premise), {lengths = pn})
    local h, last = self.hypothesis(self.embed(hypothesis), {lengths = hn, state = state})
    last = last.h[1]
    if self.attention == "none" then return self.out(last) end
    local keys, there = self.wy(y), attn.mask(pn, premise:size(2))
    local function look(query)                                          -- a = softmax(w' tanh(W_y Y + query)), Y a
        local scores = self.w((keys + query:unsqueeze(2)):tanh()):squeeze(3)
        local a = scores:masked_fill(~there, -math.huge):softmax(2)
        return a:unsqueeze(2):matmul(y):squeeze(2), a
    end
    local r, weights = nil, {}
    if self.attention == "single" then
        r, weights[1] = look(self.wh(last))
    else
        local steps = attn.mask(hn, hypothesis:size(2)):to(y.dtype)
        for t = 1, hypothesis:size(2) do                                -- r_t = Y a_t + tanh(W_t r_{t-1})
            local query, here = self.wh(h:select(2, t)), steps:narrow(2, t, 1)
            local context
            context, weights[t] = look(r and query + self.wr(r) or query)
            local new = r and context + self.wt(r):tanh() or context
            r = r and new * here + r * (1 - here) or new
        end
    end
    return self.out((self.wp(r) + self.wx(last)):tanh()), attn.stack(weights, 2)
end

-- ---- compare-aggregate: each word with what it attends to in the premise, then a convolution over that ----

local comparisons = {}      -- name(n) -> width of the result, its layer, what makes it of a and h [B, T, n]
function comparisons.nn(n)
    return n, linear(2 * n, n), function(a, h, map) return map(attn.cat({a, h}, 3)):relu() end
end
function comparisons.tensor(n)
    return n, linear(n, n * n), function(a, h, map)
        return (map(a):reshape(a:size(1), a:size(2), n, n) * h:unsqueeze(3)):sum(4):relu()
    end
end
function comparisons.euclid_cos(n)
    return 2, nil, function(a, h)
        local square = ((a - h) * (a - h)):sum(3, true)
        return attn.cat({(square + 1e-12):sqrt(), attn.cosine_similarity(a, h, 3):unsqueeze(3)}, 3)
    end
end
function comparisons.sub(n) return n, nil, function(a, h) return (a - h) * (a - h) end end
function comparisons.mult(n) return n, nil, function(a, h) return a * h end end
function comparisons.submult_nn(n)
    return n, linear(2 * n, n), function(a, h, map) return map(attn.cat({(a - h) * (a - h), a * h}, 3)):relu() end
end

local Compare = attn.module "Compare"
function Compare:init(cfg)
    local dim, hidden = cfg.dim or 50, cfg.hidden or 50
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.gate, self.value = linear(dim, hidden), linear(dim, hidden)
    self.attend = attn.attention{query = hidden, score = "general"}
    local width, map, compare = comparisons[cfg.with](hidden)
    self.map, self.compare, self.windows = map, compare, {}
    for n = 1, 3 do
        self.windows[n] = attn.layer.conv1d{inputs = width, outputs = hidden, kernel = n, padding = "causal"}
    end
    self.out = linear(3 * hidden, cfg.classes or 3)
end
function Compare:forward(premise, pn, hypothesis, hn)
    local function read(ids)
        local x = self.embed(ids)
        return self.gate(x):sigmoid() * self.value(x):tanh()
    end
    local q, a = read(premise), read(hypothesis)
    local h, weights = self.attend(a, q, q, {lengths = pn, weights = true})
    local t, best = self.compare(a, h, self.map), {}
    t = t * attn.mask(hn, t:size(2)):to(t.dtype):unsqueeze(3)
    for n, window in ipairs(self.windows) do
        best[n] = attn.max_pool1d(window(t):relu(), t:size(2), {lengths = hn}):squeeze(2)
    end
    return self.out(attn.cat(best, 2)), weights
end

-- ---- DiSAN (Shen et al. 2018): self-attention forwards and backwards, a weight for each feature; sentences apart ----

local Directed = attn.module "Directed"
function Directed:init(cfg)
    local n = cfg.dim
    self.forwards, self.x = cfg.forwards, linear(cfg.inputs, n)
    self.w1, self.w2, self.f1, self.f2 = linear(n, n, false), linear(n, n), linear(n, n, false), linear(n, n)
end
function Directed:forward(x, there)
    local h, T = self.x(x):elu(), x:size(2)
    local e = ((self.w1(h):unsqueeze(2) + self.w2(h):unsqueeze(3)) / 5):tanh() * 5      -- [B, from j, to i, n], c = 5
    local order = attn.arange(1, T)
    local may = self.forwards and order:unsqueeze(2):gt(order) or order:unsqueeze(2):lt(order)  -- i before j, or after
    local mask = there:unsqueeze(2) & may
    local a = e:masked_fill(~mask:unsqueeze(4), -math.huge):softmax(3)
    local s = (a * h:unsqueeze(2)):sum(3)
    local f = (self.f1(s) + self.f2(h)):sigmoid()
    return f * h + (1 - f) * s
end

local Disan = attn.module "Disan"
function Disan:init(cfg)
    local dim, hidden = cfg.dim or 50, (cfg.hidden or 50) // 2
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.forwards = Directed{inputs = dim, dim = hidden, forwards = true}
    self.backwards = Directed{inputs = dim, dim = hidden, forwards = false}
    self.source1, self.source2 = linear(2 * hidden, 2 * hidden), linear(2 * hidden, 2 * hidden)
    self.hidden, self.out = linear(8 * hidden, 2 * hidden), linear(2 * hidden, cfg.classes or 3)
end
function Disan:encode(ids, lengths)
    local x, there = self.embed(ids), attn.mask(lengths, ids:size(2))
    local u = attn.cat({self.forwards(x, there), self.backwards(x, there)}, 3)
    local e = self.source2(self.source1(u):elu())                       -- source to token: a weight for each feature
    return (e:masked_fill(~there:unsqueeze(3), -math.huge):softmax(2) * u):sum(2)
end
function Disan:forward(premise, pn, hypothesis, hn)
    local p, h = self:encode(premise, pn), self:encode(hypothesis, hn)
    return self.out(self.hidden(attn.cat({p, h, (p - h):abs(), p * h}, 2)):relu())
end

local paper = study{
    system = "E18", paper = "Rocktaeschel, Grefenstette, Hermann, Kocisky, Blunsom 2016, Reasoning about "
        .. "entailment with neural attention, ICLR; Wang, Jiang 2017, A compare-aggregate model for matching text "
        .. "sequences, ICLR; Shen, Zhou, Long, Jiang, Pan, Zhang 2018, DiSAN: directional self-attention network, AAAI",
    options = {synthetic = {steps = 8000, lr = 5e-3, dim = 24, hidden = 24, pairs = 10, longest = 9, asked = 2},
        sick = {steps = 500, lr = 2e-3, dim = 50, hidden = 50}, batch = 32, count = 128000},
    quick = {synthetic = {steps = 2, dim = 4, hidden = 4}, sick = {steps = 2, dim = 4, hidden = 4}, count = 64},
}

-- Words come in pairs of opposites, each with a synonym: of pair p 4 (p - 1) + 1, 2 are one meaning, 3, 4 its opposite.
-- The hypothesis says some of the premise again, words swapped: for themselves or synonyms (2: it follows), one for its
-- opposite (3: contradiction), or one for a word that the premise has not (1: neutral).
local function sentences(cfg, seed, count)
    local draw, fields = data.random(seed), {premise = {}, hypothesis = {}, answer = {}}
    for i = 1, count do
        local order, meaning, n = {}, {}, 3 + draw(cfg.longest - 3)
        for k = 1, cfg.pairs do order[k] = k end
        data.shuffle(order, draw)
        local premise, hypothesis, places = {}, {}, {}
        for k = 1, n do
            meaning[k], places[k] = draw(2), k
            premise[k] = 4 * (order[k] - 1) + 2 * (meaning[k] - 1) + draw(2)
        end
        data.shuffle(places, draw)
        local asked = table.move(places, 1, math.min(cfg.asked, n), 1, {})
        table.sort(asked)
        local answer, swapped = draw(3), draw(#asked)
        for j, k in ipairs(asked) do
            local pair, side = order[k], meaning[k]
            if j == swapped and answer == 3 then side = 3 - side end
            if j == swapped and answer == 1 then pair = order[n + draw(cfg.pairs - n)] end
            hypothesis[j] = 4 * (pair - 1) + 2 * (side - 1) + draw(2)
        end
        fields.premise[i], fields.hypothesis[i], fields.answer[i] = premise, hypothesis, answer
    end
    return fields
end

local function run(model, train, test, cfg, options, cell)
    local function logits(b) return model(b.premise, b.premise_lengths, b.hypothesis, b.hypothesis_lengths) end
    fit{model = model, steps = options.steps, lr = options.lr, cell = cell,
        batches = data.batches{fields = train, size = cfg.batch, seed = cell.seed, by = "premise"},
        loss = function(b) return attn.loss.cross_entropy((logits(b)), b.answer) end}
    return fit.accuracy(model, data.batches{fields = test, size = 64, by = "premise"},
        function(b) return (logits(b)), b.answer end)
end

local models = {Attentive = Attentive, Compare = Compare, Disan = Disan}
local looks = {{"none", model = "Attentive", attention = "none"}, {"single", model = "Attentive", attention = "single"},
    {"word by word", model = "Attentive", attention = "word"}}
local functions = {}
for i, name in ipairs{"nn", "tensor", "euclid_cos", "sub", "mult", "submult_nn"} do
    functions[i] = {name, model = "Compare", with = name}
end
functions[7] = {"DiSAN", model = "Disan"}

local function synthetic(name, about, vary, share)
    return paper:table{name = name, about = about, synthetic = true, vary = vary, run = function(cfg, cell)
        local s = cfg.synthetic
        s.steps = math.max(1, s.steps // share)
        local model = models[cfg.model]{words = 4 * s.pairs, dim = s.dim, hidden = s.hidden, attention = cfg.attention,
            with = cfg.with}
        local train, test = sentences(s, cell.seed, cfg.count), sentences(s, 1000 + cell.seed, 1000)
        return {accuracy = run(model, train, test, cfg, s, cell)}
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
        local s, sets, lists = cfg.sick, corpus.sick(cfg.data), {}
        for _, r in ipairs(sets.train) do lists[#lists + 1], lists[#lists + 2] = r.left, r.right end
        local words = attn.text.vocabulary(lists, {min_count = 2})
        local function fields(records)
            return fit.columns(records, {premise = function(r) return words:encode(r.left) end,
                hypothesis = function(r) return words:encode(r.right) end, answer = "class"})
        end
        local model = models[cfg.model]{words = #words, dim = s.dim, hidden = s.hidden, attention = cfg.attention,
            with = cfg.with}
        local accuracy = run(model, fields(sets.train), fields(sets.test), cfg, s, cell)
        local first = sets.test[4]
        local function ids(list) return attn.tensor({words:encode(list)}, {dtype = "int64"}) end
        local function length(list) return attn.tensor({#list}, {dtype = "int64"}) end
        local _, weights = model(ids(first.left), length(first.left), ids(first.right), length(first.right))
        if weights then
            local rows = #weights[1] > 1 and first.right or {"all"}
            cell:keep("attention", weights[1], {rows = rows, columns = first.left})
        end
        return {accuracy = accuracy}
    end,
}
return paper:main{Attentive = Attentive, Compare = Compare, Disan = Disan, Directed = Directed,
    comparisons = comparisons}
