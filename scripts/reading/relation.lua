-- relations of two nominals: Att-BLSTM (Zhou et al. 2016) and the CNN with attention at two levels (Wang et al. 2016)
-- attn scripts/reading/relation.lua --data DIR            2 minutes: SemEval-2010 task 8, the official F1
--
-- On one's own sentences, ids [B, T] with their lengths [B] (attn -I scripts):
--   local relation = require "reading.relation"
--   local model = relation.Blstm{words = 5000, classes = 19, pool = "attention"}            -- or "mean", "last"
--   local logits, weights = model(ids, lengths)             -- [B, 19], [B, T]
--   local model = relation.Cnn{words = 5000, classes = 19, input = true, pool = true}       -- both attentions
--   local distance = model(ids, lengths, first, second, e1, e2)         -- see Cnn; [B, 19], the nearest is the answer
--
-- Found: attention of the LSTM beats the last state by 17 F1, the mean by 4 (-0.6 to 8); nominals weigh about the
-- average. Of the CNN no level of attention shows a gain (71 to 73) with word vectors that start from nothing.
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local metric, study, text = require "attn.metric", require "attn.study", require "attn.text"

local Blstm = attn.module "Blstm"
function Blstm:init(cfg)
    local dim, hidden = cfg.dim or 50, cfg.hidden or 50
    self.pool, self.embed = cfg.pool or "attention", attn.layer.embedding{count = cfg.words, dim = dim}
    self.encoder = attn.encoder.rnn{inputs = dim, hidden = hidden, cell = "lstm", bidirectional = true}
    if self.pool == "attention" then self.w = attn.parameter(attn.randn(hidden) * 0.1) end
    self.drop1, self.drop2 = attn.layer.dropout{p = 0.3}, attn.layer.dropout{p = 0.3}
    self.drop3 = attn.layer.dropout{p = 0.5}
    self.out = attn.layer.linear{inputs = hidden, outputs = cfg.classes}
end
function Blstm:forward(ids, lengths)
    local outputs, state = self.encoder(self.drop1(self.embed(ids)), {lengths = lengths})
    local both = outputs:chunk(2, 3)
    local h = self.drop2(both[1] + both[2])                     -- H = h forwards + h backwards
    if self.pool == "last" then return self.out(self.drop3(self.drop2(state.h[1] + state.h[2]):tanh())) end
    local scores = self.w and h:tanh():matmul(self.w) or attn.zeros(ids.shape, {dtype = h.dtype})
    local weights = scores:softmax(2, {mask = attn.mask(lengths, ids:size(2))})             -- a = softmax(w' tanh(H))
    return self.out(self.drop3(weights:unsqueeze(2):matmul(h):squeeze(2):tanh())), weights      -- r = H a'
end

-- first, second [B, T]: places relative to the nominals, as ids from 1 (see places); e1, e2 [B]: the nominals' words.
local Cnn = attn.module "Cnn"
function Cnn:init(cfg)
    local dim, maps, near = cfg.dim or 50, cfg.maps or 100, cfg.near or 30
    self.input, self.pool = cfg.input, cfg.pool
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.first = attn.layer.embedding{count = 2 * near + 1, dim = 10}
    self.second = attn.layer.embedding{count = 2 * near + 1, dim = 10}
    for _, layer in ipairs{self.embed, self.first, self.second} do attn.init.normal(layer.weight, 0, 0.1) end
    self.conv = attn.layer.conv1d{inputs = dim + 20, outputs = maps, kernel = 3, padding = "same"}
    if cfg.pool then self.u = attn.parameter(attn.eye(maps)) end
    self.classes = attn.parameter(attn.init.orthogonal(attn.empty(cfg.classes, maps)))      -- W_L
    self.drop = attn.layer.dropout{p = cfg.drop or 0.3}
end
function Cnn:forward(ids, lengths, first, second, e1, e2)
    local word, there = self.embed(ids), attn.mask(lengths, ids:size(2))
    local z, weights = attn.cat({word, self.first(first), self.second(second)}, 3), nil
    if self.input then      -- a_i^j = softmax(e_j . w_i), r_i = z_i (a_i^1 + a_i^2) / 2, here times the length
        local function about(e)
            return word:matmul(self.embed(e):unsqueeze(3)):squeeze(3):softmax(2, {mask = there})
        end
        weights = (about(e1) + about(e2)) / 2
        z = z * (weights * lengths:to(z.dtype):unsqueeze(2)):unsqueeze(3)
    end
    local r, best, words = self.conv(self.drop(z)):tanh(), nil, {mask = there:unsqueeze(3)}     -- r [B, T, maps]
    if self.pool then       -- G = R' U W_L, softmax over the words for each class, the best class of each map
        local a = r:matmul(self.u):matmul(self.classes:transpose(1, 2)):softmax(2, words)
        best = a:transpose(2, 3):matmul(r):max(2)
    else
        best = r:max(2, false, words)
    end
    local o = self.drop(best)
    o = o / (o:square():sum(2, true) + 1e-12):sqrt()
    local classes = self.classes:unsqueeze(1):expand(#o, table.unpack(self.classes.shape))
    return attn.cdist(o:unsqueeze(2), classes):squeeze(2), weights
end

-- The distance to the right class and to the nearest wrong one, a margin of 1 apart.
local function margin(distance, class)
    local right = distance:gather(2, class:unsqueeze(2))
    local wrong = distance:masked_fill(attn.one_hot(class, distance:size(2)):gt(0), math.huge):min(2)
    return attn.loss.margin(-right:squeeze(2), -wrong, {margin = 1})
end

-- Places relative to a span as ids: 1 to near before it, near + 1 in it, then after it.
local function places(length, span, near)
    local list = {}
    for i = 1, length do
        local away = i < span[1] and i - span[1] or i > span[2] and i - span[2] or 0
        list[i] = math.max(-near, math.min(near, away)) + near + 1
    end
    return list
end

local paper = study{
    system = {"E16", "E17"}, paper = "Zhou, Shi, Tian, Qi, Li, Hao, Xu 2016, Attention-based bidirectional LSTM "
        .. "networks for relation classification, ACL; Wang, Cao, de Melo, Liu 2016, Relation classification via "
        .. "multi-level attention CNNs, ACL",
    options = {dim = 50, hidden = 50, maps = 100, near = 30, batch = 32, steps = {blstm = 1200, cnn = 900}, lr = 2e-3,
        decay = 1e-5},
    quick = {dim = 4, hidden = 4, maps = 4, steps = {blstm = 2, cnn = 2}},
}

-- The words with the four marks of Zhou et al. around the nominals, and 1 for each that is one.
local function marked(r)
    local words, nominal = {}, {}
    local function add(word, is) words[#words + 1], nominal[#nominal + 1] = word, is and 1 or 0 end
    for i, word in ipairs(r.words) do
        local k = i >= r.first[1] and i <= r.first[2] and 1 or i >= r.second[1] and i <= r.second[2] and 2
        local span = k == 1 and r.first or r.second
        if k and i == span[1] then add("<e" .. k .. ">") end
        add(word, k)
        if k and i == span[2] then add("</e" .. k .. ">") end
    end
    return words, nominal
end

-- Trains with loss(logits(model, b), classes): the official F1, and what it was measured with.
local function measure(cfg, cell, Model, steps, logits, loss)
    local sets = corpus.semeval2010_task8(cfg.data)
    sets.train, sets.dev = data.joined{sets.train, sets.dev}, nil           -- nothing is chosen by dev
    for _, r in ipairs(data.joined{sets.train, sets.test}) do r.marked, r.nominal = marked(r) end
    local words = text.vocabulary(sets.train, {of = {"marked"}, min_count = 2})
    local parts = data.parts(sets, {size = cfg.batch, by = "words", seed = cell.seed, fields = {class = "class",
        marked = words, nominal = "nominal", words = words,
        first = function(r) return places(#r.words, r.first, cfg.near) end,
        second = function(r) return places(#r.words, r.second, cfg.near) end,
        e1 = function(r) return words:id(r.words[r.first[2]]) end,
        e2 = function(r) return words:id(r.words[r.second[2]]) end}})
    cfg.words, cfg.classes = #words, #sets.classes
    local model = Model(cfg)
    fit{model = model, batches = parts.train, steps = steps, cell = cell, clip = 5,
        loss = function(b) return loss(logits(model, b), b.class) end,
        optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr, weight_decay = cfg.decay}}
    local said = {fit.predictions(model, parts.test, function(b) return logits(model, b), b.class end)}
    for _, list in ipairs(said) do
        for i, class in ipairs(list) do list[i] = sets.classes[class] end
    end
    return 100 * metric.f1(said[1], said[2], {average = "semeval"}).f1, model, parts.test, sets.test
end

local blstm = paper:table{
    name = "blstm", about = "Att-BLSTM: official macro F1; entity: how much nominals weigh, 1 is the average",
    data = "semeval2010_task8",
    vary = {{"attention", pool = "attention"}, {"last", pool = "last"}, {"mean", pool = "mean"}},
    run = function(cfg, cell)
        local f1, model, batches, test = measure(cfg, cell, Blstm, cfg.steps.blstm,
            function(model, b) return (model(b.marked, b.marked_lengths)) end, attn.loss.cross_entropy)
        local values = fit.means(model, batches, function(b)
            local _, weights = model(b.marked, b.marked_lengths)
            if not weights then return {entity = 1} end
            for i = 1, b.index[1] == 1 and 3 or 0 do
                cell:keep("attention " .. i, weights[i], {tokens = test[i].marked})
            end
            return {entity = {weights * b.marked_lengths:to(weights.dtype):unsqueeze(2), b.nominal:gt(0)}}
        end)
        return {f1 = f1, entity = values.entity}
    end,
}
for _, other in ipairs{"last", "mean"} do
    paper:claim{"Att-BLSTM: attention beats " .. other .. " by at least 1 F1", blstm["attention"].f1 - blstm[other].f1,
        at_least = 1}
end
paper:claim{"nominals receive more than the average weight", blstm["attention"].entity, at_least = 1}

local cnn = paper:table{
    name = "cnn", about = "attention at two levels: official macro F1", data = "semeval2010_task8",
    vary = {{"both", input = true, pool = true}, {"no input attention", pool = true},
        {"no attention pooling", input = true}, {"neither"}},
    run = function(cfg, cell)
        return {f1 = (measure(cfg, cell, Cnn, cfg.steps.cnn,
            function(model, b) return -model(b.words, b.words_lengths, b.first, b.second, b.e1, b.e2) end,
            function(logits, class) return margin(-logits, class) end))}
    end,
}
for _, less in ipairs{"no input attention", "no attention pooling"} do
    paper:claim{"multi-level CNN: F1 is lower with " .. less, cnn["both"].f1 - cnn[less].f1, at_least = 0}
end
return paper:main{Blstm = Blstm, Cnn = Cnn, margin = margin, places = places}
