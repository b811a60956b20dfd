-- multi-grained attention for the sentiment about an aspect (Fan, Feng and Zhao 2018, EMNLP): coarse attention compares
-- the mean of the aspect with each word, fine attention each of its words with each word; two aspects of one sentence
-- that are felt differently are to look at different words
-- attn scripts/reading/multi_grained.lua [--data DIR]      2 minutes on two cores; synthetic, SemEval-2014 restaurants
-- Coarse attention does not fail where two of three words are shared (99.9 %): the mean of a recurrent layer's states
-- still tells the aspects apart. On restaurants (250 steps, no vectors trained elsewhere) fine attention adds nothing.
-- The alignment loss lowers overlap.
--
-- On your own sentences (attn -I scripts), ids 0 beyond the end:
--   local Grained = require("reading.multi_grained").Grained
--   local model = Grained{words = 5000, classes = 3, dim = 64, coarse = true, fine = true}
--   local logits, maps = model(words, lengths, aspects, aspect_lengths)   -- ids [B, S], [B], ids [B, A], [B] -> [B, 3]
--   maps.fine                                                             -- [B, S]: where the opinion was read
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local metric, study, text = require "attn.metric", require "attn.study", require "attn.text"
local layer = attn.layer

local function mean(x, lengths) return x:mean(2, false, {mask = attn.mask(lengths, x:size(2)):unsqueeze(3)}) end

local Grained = attn.module "Grained"
function Grained:init(cfg)
    local dim = cfg.dim
    local function lstm()
        return attn.encoder.rnn{inputs = dim, hidden = dim // 2, cell = "lstm", bidirectional = true}
    end
    self.embed = layer.embedding{count = cfg.words, dim = dim}
    attn.init.normal(self.embed.weight, 0, 0.3)
    self.context, self.aspect, self.dropout = lstm(), lstm(), layer.dropout{p = cfg.dropout or 0}
    self.to_context = cfg.coarse and attn.attention{query = dim, key = dim, score = "general"}      -- W_ca
    self.to_aspect = cfg.coarse and attn.attention{query = dim, key = dim, score = "general"}       -- W_cc
    if cfg.fine then
        local function plain() return layer.linear{inputs = dim, outputs = 1, bias = false} end
        self.of_word, self.of_aspect, self.of_both = plain(), plain(), plain()              -- w_u = [w_1; w_2; w_3]
    end
    self.differs = layer.linear{inputs = 3 * dim, outputs = 1, bias = false}                -- W_d
    self.out = layer.linear{inputs = ((cfg.coarse and 2 or 0) + (cfg.fine and 2 or 0)) * dim, outputs = cfg.classes}
end

-- near [B, S]: how much a word counts for standing near the aspect (optional).
function Grained:forward(words, lengths, aspects, aspect_lengths, near)
    local H = self.context(self.dropout(self.embed(words)), {lengths = lengths})
    local Q = self.aspect(self.dropout(self.embed(aspects)), {lengths = aspect_lengths})
    if near then H = H * near:unsqueeze(3) end
    local q, m, maps = mean(Q, aspect_lengths), {}, {}
    if self.to_context then
        m[1], maps.coarse = self.to_context(q, H, {lengths = lengths, weights = true})
        m[2] = self.to_aspect(mean(H, lengths), Q, {lengths = aspect_lengths})
    end
    if self.of_word then
        local U = self.of_word(H) + self.of_aspect(Q):transpose(2, 3)                       -- [B, S, A]
            + (H * self.of_both.weight):matmul(Q:transpose(2, 3))
        local here, there = attn.mask(lengths, H:size(2)), attn.mask(aspect_lengths, Q:size(2)):unsqueeze(2)
        maps.fine = U:max(3, false, {mask = there}):softmax(2, {mask = here})
        m[#m + 1] = attn.einsum("bs,bsd->bd", maps.fine, H)
        maps.aspect = U:softmax(3, {mask = there}):mean(2, false, {mask = here:unsqueeze(3)})
        m[#m + 1] = attn.einsum("ba,bad->bd", maps.aspect, Q)
    end
    return self.out(self.dropout(attn.cat(m, 2))), maps, q
end

-- 1 where two aspects are of one sentence and differ in class, each pair once: [B, B].
local function contrary(sentences, classes)
    local same = sentences:unsqueeze(2):eq(sentences:unsqueeze(1))
    return (same & classes:unsqueeze(2):ne(classes:unsqueeze(1))):to "float32":triu(1)
end

-- The alignment loss: over pairs of aspects of a sentence that differ in class, -d_ij |a_i - a_j|^2, where
-- d_ij = sigmoid(W_d [q_i; q_j; q_i o q_j]).
function Grained:alignment(q, weights, sentences, classes)
    local dim = q:size(2)
    local function part(i) return self.differs.weight:narrow(2, (i - 1) * dim + 1, dim) end            -- [1, dim]
    local d = (attn.linear(q, part(1)) + attn.linear(q, part(2)):transpose(1, 2)
        + (q * part(3)):matmul(q:transpose(1, 2))):sigmoid()
    local square = weights:square():sum(2, true)
    local distance = square + square:transpose(1, 2) - 2 * weights:matmul(weights:transpose(1, 2))
    local pairs = contrary(sentences, classes):to(q.dtype)
    return -(pairs * d * distance):sum() / pairs:sum():clamp(1)
end

-- Records {words, aspect = {first, last}, class, sentence, gold = place} as batches of whole sentences, their aspects
-- together. near [B, S]: 1 at the aspect, less the further a word stands from it.
local function batches(records, words, cfg, seed)
    local sentences = {}
    for _, r in ipairs(records) do
        sentences[r.sentence] = sentences[r.sentence] or {}
        table.insert(sentences[r.sentence], r)
    end
    local fields = {words = words, class = "class", sentence = "sentence", gold = function(r) return r.gold or 0 end}
    function fields.aspect(r) return words:encode(table.move(r.words, r.aspect[1], r.aspect[2], 1, {})) end
    function fields.near(r)
        local near, first, last = {}, r.aspect[1], r.aspect[2]
        for i = 1, #r.words do near[i] = 1 - math.max(first - i, i - last, 0) / (#r.words - (last - first)) end
        return near
    end
    return data.batches{fields = {records = sentences}, size = cfg.batch, seed = seed, shuffle = seed ~= nil,
        collate = function(examples)
            local all = data.joined(data.columns(examples, {records = "records"}).records)
            return data.batches{records = all, fields = fields, size = #all, shuffle = false}:epoch(1)()
        end}
end

local function measure(cfg, cell, classes, train, test)
    local words = text.vocabulary(train, {of = {"words"}, min_count = cfg.min_count})
    local model = Grained{words = #words, classes = classes, dim = cfg.dim, coarse = cfg.coarse, fine = cfg.fine,
        dropout = cfg.dropout}
    local function run(b) return model(b.words, b.words_lengths, b.aspect, b.aspect_lengths, cfg.near and b.near) end
    fit{model = model, batches = batches(train, words, cfg, cell.seed), steps = cfg.steps, lr = cfg.lr, cell = cell,
        loss = function(b)
            local logits, maps, q = run(b)
            local loss = attn.loss.cross_entropy(logits, b.class)
            return cfg.align == 0 and loss or loss + cfg.align * model:alignment(q, maps.fine, b.sentence, b.class)
        end}
    local tests = batches(test, words, cfg)
    local values = fit.means(model, tests, function(b)
        local logits, maps = run(b)
        local map, pairs = maps.fine or maps.coarse, contrary(b.sentence, b.class):gt(0)
        cell:keep("weights", map[1], {tokens = words:decode(b.words[1]:totable())})
        return {accuracy = 100 * logits:argmax(2):eq(b.class), pointed = {map:argmax(2):eq(b.gold), b.gold:gt(0)},
            overlap = {map:unsqueeze(2):minimum(map:unsqueeze(1)):sum(3), pairs}}
    end)
    values.macro_f1 = 100 * metric.f1(fit.predictions(model, tests, function(b) return run(b), b.class end)).f1
    return values
end

local paper = study{
    system = {"E7", "E8"},
    paper = "Fan, Feng, Zhao 2018, Multi-grained attention network for aspect-level sentiment classification, EMNLP",
    options = {dim = 48, steps = 1000, batch = 32, lr = 5e-3, train = 2000, test = 300, align = 0, min_count = 1,
        dropout = 0},
    quick = {dim = 8, steps = 3, batch = 4, train = 8, test = 8}, seeds = 3,
}
local rows = {{"coarse", coarse = true}, {"fine", fine = true}, {"coarse and fine", coarse = true, fine = true},
    {"and alignment loss", coarse = true, fine = true, align = 0.5}}

-- Two aspects of three words, of which one, anywhere among them, is their own; each is followed, after up to two words,
-- by an opinion.
local function sentences(seed, count)
    local s = 0
    return data.joined(data.made(count, seed, function(draw)
        local own, shared, words, two = data.permutation(6, draw), data.permutation(6, draw), {}, {}
        s = s + 1
        for k = 1, 2 do
            for _ = 2, draw(3) do words[#words + 1] = "word" .. draw(8) end
            local first, class = #words + 1, draw(2)
            local aspect = data.shuffle({"own" .. own[k], "shared" .. shared[1], "shared" .. shared[2]}, draw)
            table.move(aspect, 1, 3, first, words)
            for _ = 2, draw(3) do words[#words + 1] = "word" .. draw(8) end
            words[#words + 1] = (class == 1 and "bad" or "good") .. draw(3)
            two[k] = {words = words, aspect = {first, first + 2}, class = class, sentence = s, gold = #words}
        end
        return two
    end))
end

local synthetic = paper:table{
    name = "two aspects", about = "of three words, two of them shared, in one sentence", synthetic = true, vary = rows,
    run = function(cfg, cell)
        return measure(cfg, cell, 2, sentences(cell.seed, cfg.train), sentences(cell.seed + 1000, cfg.test))
    end,
}
local restaurants = paper:table{
    name = "restaurants", data = "absa", vary = rows,
    run = function(cfg, cell)
        local sets = corpus.absa(cfg.data)
        cfg.near, cfg.min_count, cfg.dropout, cfg.lr, cfg.steps = true, 2, 0.5, 2e-3, math.min(cfg.steps, 250)
        return measure(cfg, cell, 3, sets.train, sets.test)
    end,
}

paper:claim{"synthetic: fine attention reaches 95 %", synthetic["fine"].accuracy, at_least = 95}
paper:claim{"synthetic: coarse attention fails on aspects of several words (below 95 %)", synthetic["coarse"].accuracy,
    at_most = 95}
paper:claim{"synthetic: the alignment loss lowers the overlap of the maps of two aspects",
    synthetic["coarse and fine"].overlap - synthetic["and alignment loss"].overlap, at_least = 0}
paper:claim{"restaurants: coarse and fine are at least 0.5 points better than coarse alone",
    restaurants["coarse and fine"].accuracy - restaurants["coarse"].accuracy, at_least = 0.5}

return paper:main{Grained = Grained}
