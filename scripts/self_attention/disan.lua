-- disan: a weight for each feature instead of one for each word; self-attention that looks forwards, and one that looks
-- backwards.
--
-- Polysemy: every word means two things, x and y. Asked are the x of the word behind one mark and the y of the word
-- behind another: one weight for each word mixes both meanings of both, a weight for each feature takes x here and y
-- there.
--
-- Command    attn scripts/self_attention/disan.lua [--data DIR] [--show]
-- Time       see scripts/README.md
-- Data       sst (two classes); marked words: synthetic
-- Paper      Shen et al. 2018, DiSAN: directional self-attention network for RNN/CNN-free language understanding (F5)
-- Found      A weight for each feature is 38 points better than one for each word, at equal parameters; two heads do as
--            well, with more. Films: 67 % with one weight for each word, 66 with one for each feature: few steps, and
--            no word vectors.
-- Your own   local Disan = require "self_attention.disan".Disan             -- attn -I scripts yours.lua
--            local model = Disan{words = 5000, dim = 50, classes = 2, vector = true}
--            local logits, weights = model(ids, lengths)                    -- [B, 2], [B, T, T] of the forward look, mean of features
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, text = require "attn.study", require "attn.text"

local paper = study{
    system = {"F5"}, paper = "Shen et al. 2018, DiSAN: directional self-attention network, AAAI",
    options = {dim = 16, meanings = 5, words = 5, batch = 32, steps = 600, lr = 1e-2, tests = 500,
        sst = {dim = 24, steps = 300, lr = 3e-3, dropout = 0.3, longest = 30}},
    quick = {dim = 4, batch = 2, steps = 2, tests = 4, sst = {dim = 4, steps = 2}},
}

local function linear(inputs, outputs, bias)
    return attn.layer.linear{inputs = inputs, outputs = outputs, bias = bias}
end

-- Marked words --------------------------------------------------------------------------------------------------------

local Reader = attn.module "Reader"     -- keys are marks, values the words behind them

function Reader:init(c)
    self.meanings = c.meanings
    self.mark = attn.layer.embedding{count = 3, dim = c.dim}
    self.word = attn.layer.embedding{count = c.meanings * c.meanings, dim = c.dim}
    self.query = (attn.randn(1, c.dim) * 0.1):requires_grad_(true)
    self.attend = attn.attention{query = c.dim, score = "additive", dim = c.score, output = c.output, heads = c.heads}
    self.out = linear(c.dim, 2 * c.meanings)
end

function Reader:forward(marks, words)   -- [B, S], [B, S] -> [B, 2, meanings], weights
    local query = self.query:expand(#marks, self.query:size(2)):unsqueeze(2)
    local read, weights = self.attend(query, self.mark(marks), self.word(words), {weights = true})
    return self.out(read):reshape(#marks, 2, self.meanings), weights
end

-- Sentences of words (x, y), word (x - 1) meanings + y; mark 1 stands before one, mark 2 before another, mark 3 before
-- the rest.
local function marked(c, count, seed)
    local fields = {marks = {}, words = {}, answer = {}}
    for i = 1, count do
        local draw, marks, words, answer = data.random(seed, i), {}, {}, {}
        for j = 1, c.words do marks[j] = math.min(j, 3) end
        data.shuffle(marks, draw)
        for j, mark in ipairs(marks) do
            local x, y = draw(c.meanings), draw(c.meanings)
            words[j] = (x - 1) * c.meanings + y
            if mark < 3 then answer[mark] = mark == 1 and x or y end
        end
        fields.marks[i], fields.words[i], fields.answer[i] = marks, words, answer
    end
    return data.batches{fields = fields, size = c.batch, seed = seed}
end

local polysemy = paper:table{
    name = "polysemy", about = "the x of one word and the y of another, in %", synthetic = true,
    columns = {"accuracy", "parameters"}, better = {parameters = "none"},
    vary = {{"scalar", score = 1.5}, {"vector", score = 1, output = "multi_dimensional"},
        {"scalar, 2 heads", score = 1, heads = 2}},
    run = function(cfg, cell)
        local model = Reader{dim = cfg.dim, meanings = cfg.meanings, score = math.floor(cfg.score * cfg.dim),
            output = cfg.output, heads = cfg.heads}
        local function said(b) return (model(b.marks, b.words)) end
        fit{model = model, batches = marked(cfg, 100 * cfg.batch, cell.seed), steps = cfg.steps, cell = cell,
            schedule = attn.schedule.cosine{steps = cfg.steps, lr = cfg.lr},
            loss = function(b) return attn.loss.cross_entropy(said(b), b.answer) end}
        local tests = marked(cfg, cfg.tests, 1000 + cell.seed)
        return {accuracy = 100 * fit.accuracy(model, tests, function(b) return said(b), b.answer end),
            parameters = model.attend:count()}
    end,
}
paper:claim{"F5: polysemy: a weight for each feature beats one for each word by at least 5 points, at equal parameters",
    polysemy.vector.accuracy - polysemy.scalar.accuracy, at_least = 5}

-- Sentiment -----------------------------------------------------------------------------------------------------------

local Directed = attn.module "Directed"         -- e_ij = 5 tanh((W1 h_j + W2 h_i + b) / 5), vector: of each feature

function Directed:init(c, forwards)
    self.forwards, self.x = forwards, linear(c.dim, c.dim)
    self.w1, self.w2 = linear(c.dim, c.dim, false), linear(c.dim, c.dim)
    self.f1, self.f2 = linear(c.dim, c.dim, false), linear(c.dim, c.dim)
    if not c.vector then self.v = linear(c.dim, 1, false) end
end

function Directed:forward(x, there)             -- [B, T, D], [B, T]
    local h, place = self.x(x):elu(), attn.arange(1, x:size(2), 1)
    local e = ((self.w1(h):unsqueeze(2) + self.w2(h):unsqueeze(3)) / 5):tanh() * 5          -- [B, from j, to i, D]
    if self.v then e = self.v(e) end
    local may = self.forwards and place:unsqueeze(2):gt(place) or place:unsqueeze(2):lt(place)
    local weights = e:masked_fill(~(there:unsqueeze(2) & may):unsqueeze(4), -math.huge):softmax(3)
    local s = (weights * h:unsqueeze(2)):sum(3)
    local gate = (self.f1(s) + self.f2(h)):sigmoid()
    return gate * h + (1 - gate) * s, weights
end

local Disan = attn.module "Disan"

function Disan:init(c)
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.dropout = attn.layer.dropout{p = c.dropout or 0}
    self.forwards, self.backwards = Directed(c, true), Directed(c, false)
    self.source1, self.source2 = linear(2 * c.dim, 2 * c.dim), linear(2 * c.dim, c.vector and 2 * c.dim or 1)
    if c.classes then self.out = linear(2 * c.dim, c.classes) end
end

function Disan:encode(ids, lengths)             -- -> [B, 2 dim], weights of the forward look
    local there, x = attn.mask(lengths, ids:size(2)), self.dropout(self.embed(ids))
    local before, weights = self.forwards(x, there)
    local u = attn.cat({before, (self.backwards(x, there))}, 3)
    local e = self.source2(self.source1(u):elu()):masked_fill(~there:unsqueeze(3), -math.huge)  -- source to token
    return (e:softmax(2) * u):sum(2), weights:mean(-1)
end

function Disan:forward(ids, lengths)
    local read, weights = self:encode(ids, lengths)
    return self.out(self.dropout(read)), weights
end

paper:table{
    name = "sst", about = "good or bad, in %", data = "sst",
    columns = {"accuracy", "parameters"}, better = {parameters = "none"},
    vary = {{"scalar", vector = false}, {"vector", vector = true}},
    run = function(cfg, cell)
        local c, sets = cfg.sst, corpus.sst(cfg.data, {binary = true})
        local words = text.vocabulary(fit.columns(sets.train, {words = "words"}).words, {min_count = 3})
        local function batches(records)
            local function ids(r) return words:encode(table.move(r.words, 1, math.min(#r.words, c.longest), 1, {})) end
            return data.batches{size = cfg.batch, seed = cell.seed, by = "ids",
                fields = fit.columns(records, {answer = "class", ids = ids})}
        end
        local model = Disan{words = #words, dim = c.dim, classes = 2, vector = cfg.vector, dropout = c.dropout}
        local function said(b) return (model(b.ids, b.ids_lengths)) end
        fit{model = model, batches = batches(sets.train), steps = c.steps, lr = c.lr, cell = cell,
            loss = function(b) return attn.loss.cross_entropy(said(b), b.answer) end}
        local list = sets.test[1].words
        local ids, lengths = data.pad{words:encode(list)}
        model:eval()
        local _, weights = attn.no_grad(function() return model(ids, lengths) end)
        cell:keep("forwards", weights[1], {rows = list, columns = list})
        return {accuracy = 100 * fit.accuracy(model, batches(sets.test), function(b) return said(b), b.answer end),
            parameters = model:count()}
    end,
}

return paper:main{Reader = Reader, Disan = Disan, Directed = Directed, marked = marked}
