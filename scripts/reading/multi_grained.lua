-- multi-grained attention for the sentiment about an aspect (Fan, Feng and Zhao 2018, EMNLP): coarse attention compares the mean of the
-- aspect with each word, fine attention each of its words with each word; two aspects of one sentence that are felt differently are to
-- look at different words
-- attn scripts/reading/multi_grained.lua [--data DIR]      2 minutes on two cores; synthetic and SemEval-2014 restaurants
-- Coarse attention does not fail where two of three words are shared (99.9 %): the mean of a recurrent layer's states still tells the
-- aspects apart. On restaurants (250 steps, no vectors trained elsewhere) fine attention adds nothing. The alignment loss lowers overlap.
--
-- On your own sentences (attn -I scripts), ids 0 beyond the end:
--   local model = require("reading.multi_grained").Grained{words = 5000, classes = 3, dim = 64, coarse = true, fine = true}
--   local logits, maps = model(words, lengths, aspects, aspect_lengths)   -- ids [B, S], [B], ids [B, A], [B] -> [B, 3]
--   maps.fine                                                             -- [B, S]: where the opinion was read
local attn = require "attn"
local corpus, data, fit, init = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.init"
local metric, study, text = require "attn.metric", require "attn.study", require "attn.text"
local layer = attn.layer

local function mean(x, lengths) return x:sum(2) / lengths:to(x.dtype):unsqueeze(2) end        -- x is zero beyond the lengths

local Grained = attn.module "Grained"
function Grained:init(cfg)
    local dim = cfg.dim
    local function lstm()
        return attn.encoder.rnn{inputs = dim, hidden = dim // 2, cell = "lstm", bidirectional = true}
    end
    self.embed = layer.embedding{count = cfg.words, dim = dim}
    init.normal(self.embed.weight, 0, 0.3)
    self.context, self.aspect, self.dropout = lstm(), lstm(), layer.dropout{p = cfg.dropout or 0}
    self.to_context = cfg.coarse and attn.attention{query = dim, key = dim, score = "general"}          -- W_ca
    self.to_aspect = cfg.coarse and attn.attention{query = dim, key = dim, score = "general"}           -- W_cc
    if cfg.fine then
        local function plain() return layer.linear{inputs = dim, outputs = 1, bias = false} end
        self.of_word, self.of_aspect, self.of_both = plain(), plain(), plain()                          -- w_u = [w_1; w_2; w_3]
    end
    self.differs = layer.linear{inputs = 3 * dim, outputs = 1, bias = false}                            -- W_d
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
        -- [B, S, A]
        local U = self.of_word(H) + self.of_aspect(Q):transpose(2, 3)
            + (H * self.of_both.weight):matmul(Q:transpose(2, 3))
        local here, there = attn.mask(lengths, H:size(2)), attn.mask(aspect_lengths, Q:size(2)):unsqueeze(2)
        local best = U:masked_fill(~there, -math.huge):max(3)
        maps.fine = best:masked_fill(~here, -math.huge):softmax(2)
        m[#m + 1] = attn.einsum("bs,bsd->bd", maps.fine, H)
        local each = U:masked_fill(~there, -math.huge):softmax(3) * here:to(U.dtype):unsqueeze(3)
        maps.aspect = mean(each, lengths)
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
    local function part(i) return self.differs.weight:narrow(2, (i - 1) * dim + 1, dim):transpose(1, 2) end       -- [dim, 1]
    local d = (q:matmul(part(1)) + q:matmul(part(2)):transpose(1, 2)
        + (q * part(3):transpose(1, 2)):matmul(q:transpose(1, 2))):sigmoid()
    local square = weights:square():sum(2, true)
    local distance = square + square:transpose(1, 2) - 2 * weights:matmul(weights:transpose(1, 2))
    local pairs = contrary(sentences, classes):to(q.dtype)
    return -(pairs * d * distance):sum() / pairs:sum():clamp(1)
end

-- Records {words =, aspect = {first, last}, class =, sentence =, gold = place} as batches of whole sentences, all their aspects together.
local function batches(records, vocabulary, cfg, seed, shuffle)
    local sentences, number = {}, {}
    for _, record in ipairs(records) do
        if not number[record.sentence] then
            sentences[#sentences + 1] = {}
            number[record.sentence] = #sentences
        end
        table.insert(sentences[number[record.sentence]], record)
    end
    return data.batches{fields = {records = sentences}, size = cfg.batch, seed = seed, shuffle = shuffle,
        collate = function(examples)
        local words, aspects, near, b = {}, {}, {}, {class = {}, sentence = {}, gold = {}, records = {}}
        for _, example in ipairs(examples) do
            for _, record in ipairs(example.records) do
                local k, first, last = #words + 1, record.aspect[1], record.aspect[2]
                words[k], near[k] = vocabulary:encode(record.words), {}
                aspects[k] = table.move(words[k], first, last, 1, {})
                for i = 1, #words[k] do
                    near[k][i] = 1 - math.max(first - i, i - last, 0) / (#words[k] - (last - first))
                end
                b.class[k], b.sentence[k], b.gold[k], b.records[k] = record.class, record.sentence,
                    record.gold or 0, record
            end
        end
        for _, name in ipairs{"class", "sentence", "gold"} do b[name] = attn.tensor(b[name], {dtype = "int64"}) end
        b.words, b.lengths = data.pad(words)
        b.aspects, b.aspect_lengths = data.pad(aspects)
        if cfg.near then
            for _, row in ipairs(near) do
                for i = #row + 1, b.words:size(2) do row[i] = 0.0 end
            end
            b.near = attn.tensor(near)
        end
        return b
    end}
end

local function measure(cfg, cell, classes, train, test)
    local lists = {}
    for i, record in ipairs(train) do lists[i] = record.words end
    local vocabulary = text.vocabulary(lists, {min_count = cfg.min_count})
    local model = Grained{words = #vocabulary, classes = classes, dim = cfg.dim, coarse = cfg.coarse, fine = cfg.fine,
        dropout = cfg.dropout}
    local function run(b) return model(b.words, b.lengths, b.aspects, b.aspect_lengths, b.near) end
    fit{model = model, batches = batches(train, vocabulary, cfg, cell.seed, true), steps = cfg.steps, lr = cfg.lr,
        cell = cell, loss = function(b)
        local logits, maps, q = run(b)
        local loss = attn.loss.cross_entropy(logits, b.class)
        return cfg.align == 0 and loss or loss + cfg.align * model:alignment(q, maps.fine, b.sentence, b.class)
    end}
    local predicted, truth, pointed, overlap, both = {}, {}, 0, 0, 0
    fit.each(model, batches(test, vocabulary, cfg, cell.seed, false), function(b)
        local logits, maps = run(b)
        local map = maps.fine or maps.coarse
        table.move(logits:argmax(2):totable(), 1, #logits, #predicted + 1, predicted)
        table.move(b.class:totable(), 1, #logits, #truth + 1, truth)
        pointed = pointed + map:argmax(2):eq(b.gold):sum():item()
        local pairs = contrary(b.sentence, b.class)
        overlap = overlap + (pairs * map:unsqueeze(2):minimum(map:unsqueeze(1)):sum(3)):sum():item()
        both = both + pairs:sum():item()
        if #predicted == #logits then
            local words = b.records[1].words
            cell:keep("weights", map[{1, {1, #words}}], {tokens = words})
        end
    end)
    return {accuracy = 100 * metric.accuracy(attn.tensor(predicted, {dtype = "int64"}),
        attn.tensor(truth, {dtype = "int64"})), macro_f1 = 100 * metric.f1(predicted, truth).f1,
        overlap = overlap / both, pointed = test[1].gold and pointed / #test or nil}
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

-- Two aspects of three words, of which one, anywhere among them, is their own; each is followed, after up to two words, by an opinion.
local function sentences(seed, count)
    local draw, records = data.random(seed), {}
    for s = 1, count do
        local own, shared, words, two = data.shuffle({1, 2, 3, 4, 5, 6}, draw),
            data.shuffle({1, 2, 3, 4, 5, 6}, draw), {}, {}
        for k = 1, 2 do
            for _ = 1, draw(3) - 1 do words[#words + 1] = "word" .. draw(8) end
            local first, class = #words + 1, draw(2)
            for _, word in ipairs(data.shuffle({"own" .. own[k], "shared" .. shared[1], "shared" .. shared[2]},
                draw)) do
                words[#words + 1] = word
            end
            for _ = 1, draw(3) - 1 do words[#words + 1] = "word" .. draw(8) end
            words[#words + 1] = (class == 1 and "bad" or "good") .. draw(3)
            two[k] = {words = words, aspect = {first, first + 2}, class = class, sentence = s, gold = #words}
        end
        table.move(two, 1, 2, #records + 1, records)
    end
    return records
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

return paper:main{Grained = Grained, batches = batches}
