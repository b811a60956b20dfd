-- inner attention (Wang, Liu and Zhao 2016): a question attends to an answer before a recurrent layer reads it
-- attn scripts/reading/inner_attention.lua [--data DIR]            2 minutes: synthetic answers, TrecQA
--
-- On one's own questions and answers, ids [B, S] and [B, T] with their lengths [B] (attn -I scripts):
--   local Ranker = require "reading.inner_attention".Ranker
--   local model = Ranker{words = 5000, attention = "gate"}         -- outer (OARNN), word, context, gate (IARNN)
--   local score, weights = model(question, question_lengths, answer, answer_lengths)       -- [B], [B, T]
--
-- Found: attention after a GRU is not late, nor after an LSTM or a tanh layer, nor where two words decide: the weight
-- lies on the decisive word itself, and on TrecQA around the middle.
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, text = require "attn.study", require "attn.text"

local Ranker = attn.module "Ranker"
function Ranker:init(cfg)
    local dim, hidden = cfg.dim or 50, cfg.hidden or 50
    self.attention, self.learn, self.occam = cfg.attention, cfg.learn ~= false, cfg.occam
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.question = attn.encoder.rnn{inputs = dim, hidden = hidden}
    self.answer = attn.encoder.rnn{inputs = cfg.attention == "gate" and dim + hidden or dim, hidden = hidden}
    local function map(inputs, outputs) return attn.layer.linear{inputs = inputs, outputs = outputs, bias = false} end
    if cfg.attention == "outer" then
        self.attend = attn.attention{query = hidden, key = hidden, score = "additive", dim = hidden}
    elseif cfg.attention == "word" then
        self.to_word = map(hidden, dim)
    elseif cfg.attention == "context" then
        self.from_state, self.from_question = map(hidden, dim), map(hidden, dim)
    end
    if cfg.occam then self.price = map(hidden, 1) end
end

local function mean(x, lengths) return x:mean(2, false, {mask = attn.mask(lengths, x:size(2)):unsqueeze(3)}) end

-- How much of each state is new, the mean of 1 - z, from what the GRU was given and gave (gates r, z, n).
local function openness(gru, x, h)
    local p, H = gru:state(), h:size(3)
    local before = attn.pad(h, 2, 1, -1)
    local function rows(t) return t:narrow(1, H + 1, H) end
    local z = attn.linear(x, rows(p.weight_ih_l1), rows(p.bias_ih_l1))
        + attn.linear(before, rows(p.weight_hh_l1), rows(p.bias_hh_l1))
    return (1 - z:sigmoid()):mean(3)
end

-- Question and answer as vectors, and what each word of the answer weighs [B, T].
function Ranker:read(question, qn, answer, an)
    local q, x = self.embed(question), self.embed(answer)
    if not self.learn then q, x = q:detach(), x:detach() end
    local r = mean(self.question(q, {lengths = qn}), qn)
    local there, how = attn.mask(an, x:size(2)):to(x.dtype), self.attention
    local weights, states
    if how == "outer" then
        return r, self.attend(r, self.answer(x, {lengths = an}), nil, {lengths = an, weights = true})
    elseif how == "word" then                   -- a_t = s(r' M x_t)
        weights = (x * self.to_word(r):unsqueeze(2)):sum(3):sigmoid() * there
        states = self.answer(x * weights:unsqueeze(3), {lengths = an})
    elseif how == "context" then                -- a_t = s((M_h h_{t-1} + M_q r)' x_t)
        local asked, state, h, all, outputs = self.from_question(r), nil, nil, {}, {}
        for t = 1, x:size(2) do
            local word = x:select(2, t)
            local w = h and asked + self.from_state(h) or asked
            all[t] = (w * word):sum(2):sigmoid() * there:select(2, t)
            h, state = self.answer:step(word * all[t]:unsqueeze(2), state)
            outputs[t] = h
        end
        weights, states = attn.stack(all, 2), attn.stack(outputs, 2)
    else                                        -- the question in every gate: W x_t + M r is a product with [x_t; r]
        x = attn.cat({x, r:unsqueeze(2):expand(x:size(1), x:size(2), r:size(2))}, 3)
        states = self.answer(x, {lengths = an})
        weights = openness(self.answer, x, states) * there
    end
    return r, mean(states, an), weights
end

function Ranker:forward(question, qn, answer, an)
    local r, a, weights = self:read(question, qn, answer, an)
    local score = attn.cosine_similarity(r, a, 2)
    if not self.occam then return score, weights end
    return score, weights, self.price(r):squeeze(2):clamp(self.occam) * weights:sum(2)  -- n_q sum_t a_t, n_q >= occam
end

-- A question is a topic; its answer has, anywhere, the word that belongs to the topic, a wrong one that of another.
local function answers(cfg, seed, count)
    return data.made(count, seed, function(draw)
        local topic, place = draw(cfg.topics), draw(cfg.length)
        local function sentence(about, at)
            local list = {}
            for i = 1, cfg.length do list[i] = i == at and cfg.topics + about or 2 * cfg.topics + draw(cfg.fillers) end
            return list
        end
        return {question = {topic}, place = place, right = sentence(topic, place),
            wrong = sentence((topic + draw(cfg.topics - 1) - 1) % cfg.topics + 1, draw(cfg.length))}
    end)
end

local paper = study{
    system = "E9", paper = "Wang, Liu, Zhao 2016, Inner attention based recurrent neural networks for answer "
        .. "selection, ACL",
    options = {position = {steps = 450, lr = 5e-3, dim = 16, hidden = 24, length = 40, topics = 10, fillers = 40},
        trecqa = {steps = 400, lr = 3e-3, dim = 50, hidden = 50, most = 40}, margin = 0.2},
    quick = {position = {steps = 2, dim = 4, hidden = 4}, trecqa = {steps = 2, dim = 4, hidden = 4}},
}
local variants = {{"outer", attention = "outer"}, {"word", attention = "word"}, {"context", attention = "context"},
    {"gate", attention = "gate"}, {"Occam", attention = "context", occam = 1e-3}}

-- Margin ranking: trained to put the right answer of each question before a wrong one. field: right, wrong or answer.
local function score(model, b, field) return model(b.question, b.question_lengths, b[field], b[field .. "_lengths"]) end
local function trained(cfg, o, cell, words, learn, batches)
    cfg.words, cfg.dim, cfg.hidden, cfg.learn = words, o.dim, o.hidden, learn
    local model = Ranker(cfg)
    fit{model = model, batches = batches, steps = o.steps, lr = o.lr, cell = cell, loss = function(b)
        local right, _, dear = score(model, b, "right")
        local loss = attn.loss.margin(right, (score(model, b, "wrong")), {margin = cfg.margin})
        return dear and loss + dear:mean() or loss
    end}
    return model
end

-- How far behind a place the weights of each row have their centre.
local function late(weights, place)
    local at = attn.arange(1, weights:size(2)):to(weights.dtype)
    return (weights * at):sum(2) / weights:sum(2) - place:to(weights.dtype)
end

local position = paper:table{
    name = "position", about = "answers of 40 words, the decisive one anywhere; late: attention centred behind it",
    synthetic = true, vary = variants, columns = {"accuracy", "late"}, better = {late = "none"},
    run = function(cfg, cell)
        local p = cfg.position
        local parts = data.parts({train = answers(p, cell.seed, 10000), test = answers(p, 1000 + cell.seed, 500)},
            {size = 32, seed = cell.seed})
        local model = trained(cfg, p, cell, 2 * p.topics + p.fillers, true, parts.train)
        return fit.means(model, parts.test, function(b)
            local right, weights = score(model, b, "right")
            return {accuracy = right:gt((score(model, b, "wrong"))), late = late(weights, b.place)}
        end)
    end,
}
paper:claim{"attention after the recurrent layer is centred at least 5 words late", position["outer"].late,
    at_least = 5}
for _, name in ipairs{"word", "context", "gate", "Occam"} do
    paper:claim{"inner attention is not: " .. name, position[name].late, at_most = 5}
end

local trecqa = paper:table{
    name = "trecqa", about = "which sentences answer a question; word vectors are random; late: behind the middle",
    data = "trecqa", vary = variants, columns = {"map", "mrr", "late"}, better = {late = "none"},
    run = function(cfg, cell)
        local p, draw, wrong, pairs_of = cfg.trecqa, data.random(cell.seed), {}, {}
        local sets = corpus.trecqa(cfg.data, {most = p.most})
        local words = text.vocabulary({sets.train, sets.dev, sets.test}, {of = {"question", "answer"}})
        for _, r in ipairs(sets.train) do
            wrong[r.group] = wrong[r.group] or {}
            if not r.right then table.insert(wrong[r.group], r.answer) end
        end
        for _, r in ipairs(sets.train) do           -- each right answer with ten wrong ones
            local others = wrong[r.group]
            for _ = 1, r.right and #others > 0 and 10 or 0 do
                table.insert(pairs_of, {question = r.question, right = r.answer, wrong = others[draw(#others)]})
            end
        end
        local model = trained(cfg, p, cell, #words, false, data.batches{records = pairs_of, size = 32, by = "right",
            seed = cell.seed, fields = {question = words, right = words, wrong = words}})
        local test = data.batches{records = sets.test, size = 64, shuffle = false,
            fields = {question = words, answer = words, right = "right", group = "group"}}
        local result = fit.ranking(model, test, function(b)
            local said, weights = score(model, b, "answer")
            if b.index[1] == 1 then cell:keep("attention", weights[1], {tokens = sets.test[1].answer}) end
            return said, b.right, b.group
        end)
        local values = fit.means(model, test, function(b)
            local _, weights = score(model, b, "answer")
            return {late = late(weights, (b.answer_lengths:to "float32" + 1) / 2)}
        end)
        return {map = result.map, mrr = result.mrr, late = values.late}
    end,
}
for _, name in ipairs{"word", "context", "gate", "Occam"} do
    paper:claim{"TrecQA, MAP: inner attention is not below the outer: " .. name, trecqa[name].map - trecqa["outer"].map,
        at_least = 0}
end
return paper:main{Ranker = Ranker, openness = openness}
