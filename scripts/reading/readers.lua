-- readers of cloze questions: attentive and impatient (Hermann et al. 2015), attention-sum (Kadlec et al. 2016) and
-- gated-attention (Dhingra et al. 2017). Names are numbered anew in every text, so that only the text gives the answer.
-- attn scripts/reading/readers.lua [--data DIR]      7 minutes on two cores; synthetic, children's cloze, bAbI 1 and 2
-- Found: attentive reader, attention sum and gates all answer every question (the sum is the quickest to learn; after
-- 1,500 steps one of six seeds of the attentive reader had not begun to, nor of the impatient, so it is 2,500), a deep
-- LSTM one in seven; on the children's cloze the sum is right in 41 %, the attentive reader in 11. Three hops add 16
-- points where two facts are needed (-2 to 34).
--
-- On your own texts (attn -I scripts), ids from 1, those that may be answers first, 0 beyond the end:
--   local Reader = require("reading.readers").Reader
--   local model = Reader{style = "gated", words = 5000, answers = 10, dim = 64, hidden = 64, hops = 3}
--   local logp, weights = model(text, text_lengths, query, query_lengths)      -- ids [B, T], [B], ids [B, Q], [B]
--   -- logp [B, 10]; weights [B, T]: where the answer was read
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task, text = require "attn.study", require "attn.task", require "attn.text"
local layer = attn.layer

local Reader = attn.module "Reader"
function Reader:init(cfg)
    local hidden, dim = cfg.hidden, cfg.dim
    local wide, hops = 2 * hidden, cfg.style == "gated" and cfg.hops or 1
    local function rnn(inputs) return attn.encoder.rnn{inputs = inputs, hidden = hidden, bidirectional = true} end
    self.style, self.gate, self.answers = cfg.style, cfg.gate or "product", cfg.answers
    self.texts, self.queries = {}, {}
    self.embed = layer.embedding{count = cfg.words, dim = dim}
    if cfg.style == "deep" then
        self.lstm = attn.encoder.rnn{inputs = dim, hidden = wide, cell = "lstm"}
    else
        for k = 1, hops do
            self.texts[k] = rnn(k == 1 and dim or self.gate == "concat" and 2 * wide or wide)
            self.queries[k] = rnn(dim)
        end
    end
    local function plain() return layer.linear{inputs = wide, outputs = wide, bias = false} end
    local impatient = cfg.style == "impatient"
    if impatient or cfg.style == "attentive" then
        self.attend = attn.attention{query = impatient and 2 * wide or wide, key = wide, dim = wide, score = "additive"}
        self.of_text, self.of_query, self.again = plain(), plain(), impatient and plain()       -- W_rg, W_ug, W_rr
    end
    self.out = layer.linear{inputs = wide, outputs = cfg.answers}                   -- not of those that point
end

local function ends(state) return attn.cat({state.h[1], state.h[2]}, 2) end     -- last states of both directions

-- P(w) = sum of the weights where w stands, over the answers (ids 1 to `answers`).
function Reader:point(weights, ids)
    local mine = ids * ids:le(self.answers):to "int64"
    local p = attn.zeros(#ids, self.answers, {dtype = weights.dtype}):scatter_add(2, mine, weights) + 1e-9
    return (p / p:sum(2, true)):log()
end

function Reader:forward(ids, lengths, query, query_lengths)
    local x, q = self.embed(ids), self.embed(query)
    if self.style == "deep" then
        local _, state = self.lstm(x, {lengths = lengths})
        return self.out(select(2, self.lstm(q, {lengths = query_lengths, state = state})).h[1]):log_softmax(2)
    end
    local Q, last = self.queries[1](q, {lengths = query_lengths})
    local u = ends(last)
    if self.style == "query" then return self.out(u):log_softmax(2) end
    local D = self.texts[1](x, {lengths = lengths})
    if self.attend then
        local r, weights, how = attn.zeros_like(u), nil, {lengths = lengths, weights = true}
        if self.style == "attentive" then r, weights = self.attend(u, D, D, how) end
        for i = 1, self.again and Q:size(2) or 0 do             -- impatient: at every word of the query
            local read, now = self.attend(attn.cat({r, Q:select(2, i)}, 2), D, D, how)
            local goes = query_lengths:ge(i):unsqueeze(2)
            r, weights = attn.where(goes, read + self.again(r):tanh(), r), attn.where(goes, now, weights or now)
        end
        return self.out((self.of_text(r) + self.of_query(u)):tanh()):log_softmax(2), weights
    end
    for k = 2, #self.texts do
        local there = attn.mask(query_lengths, Q:size(2)):unsqueeze(2)
        local seen = D:matmul(Q:transpose(2, 3)):softmax(3, {mask = there}):matmul(Q)       -- q~_i
        D = self.gate == "product" and D * seen or self.gate == "sum" and D + seen or attn.cat({D, seen}, 3)
        D = self.texts[k](D, {lengths = lengths})
        Q, last = self.queries[k](q, {lengths = query_lengths})
        u = ends(last)
    end
    local weights = attn.einsum("btd,bd->bt", D, u):softmax(2, {mask = attn.mask(lengths, D:size(2))})
    return self:point(weights, ids), weights
end

local paper = study{
    system = {"E12", "E13", "E14"},
    paper = "Hermann et al. 2015, Teaching machines to read and comprehend, NeurIPS; "
        .. "Kadlec et al. 2016, Text understanding with the attention sum reader network, ACL; "
        .. "Dhingra et al. 2017, Gated-attention readers for text comprehension, ACL",
    options = {dim = 24, hidden = 24, steps = 2500, batch = 32, lr = 5e-3, train = 5000, test = 500, statements = 20,
        entities = 8, hops = 3, real = 100, limit = 800},
    quick = {dim = 6, hidden = 4, steps = 2, batch = 4, train = 10, test = 6, real = 2, limit = 6}, seeds = 3,
}

local function plain(b) return b.source, b.source_lengths, b.query, b.query_lengths end
local function measure(cfg, cell, words, answers, train, test, read, shown)
    local model = Reader{style = cfg.style, gate = cfg.gate, hops = cfg.hops, words = words, answers = answers,
        dim = cfg.dim, hidden = cfg.hidden}
    local function said(b)
        local logp, weights = model(read(b))
        if shown and weights and not model.training and b.index[1] == 1 then
            cell:keep("weights", weights[1], {tokens = shown})
        end
        return logp, b.answer
    end
    fit{model = model, batches = train, forward = said, steps = cfg.steps, lr = cfg.lr, cell = cell}
    return {accuracy = 100 * fit.accuracy(model, test, said)}
end

local function synthetic(make, read)
    return function(cfg, cell)
        local train, test = make(cfg, cfg.train, cell.seed), make(cfg, cfg.test, cell.seed + 1000)
        return measure(cfg, cell, train.vocabulary, train.answers, train, test, read)
    end
end
-- Statements subject verb object (20: 60 words), each verb and object once; six of ten subjects are the usual one of
-- verb and object, which is no help if the names are numbered anew.
local cloze = synthetic(function(cfg, count, seed)
    return task.cloze({entities = cfg.entities, verbs = 4, statements = cfg.statements, usual = 0.6, anew = cfg.anew,
        size = cfg.batch, count = count}, seed)
end, plain)

local attentive, sum = {"attentive", style = "attentive"}, {"attention sum", style = "sum"}
local gated = {"gated", style = "gated"}
local entities = paper:table{
    name = "cloze", about = "60 words, names numbered anew", synthetic = true, run = cloze,
    vary = {{"deep LSTM", style = "deep"}, attentive, {"impatient", style = "impatient"}, sum, gated,
        {"gated, sum", style = "gated", gate = "sum"}, {"gated, concat", style = "gated", gate = "concat"}},
}
local leak = paper:table{
    name = "without the text", about = "what the question alone gives", synthetic = true, run = cloze,
    vary = {{"numbered anew", style = "query"}, {"not numbered anew", style = "query", anew = false}},
}
local facts = paper:table{
    name = "two facts", about = "the answer to one is asked for in another", synthetic = true,
    vary = {{"1 hop", style = "gated", hops = 1}, {"3 hops", style = "gated", hops = 3}},
    run = synthetic(function(cfg, count, seed)
        return task.facts({words = 12, size = cfg.batch, count = count}, seed)
    end, function(b)
        return b.source:flatten(2), b.source_lengths * 2, b.query:unsqueeze(2), attn.ones_like(b.query)
    end),
}

local function real(cfg, cell, sets, answers)
    for _, part in ipairs{"train", "test"} do
        for _, r in ipairs(sets[part]) do r.source = data.joined(r.story or r.context) end
    end
    local words = text.vocabulary(sets.train, {of = {"source", "query"}, size = 3000,
        specials = data.joined{answers, {"<unk>"}}})
    local parts = data.parts({train = sets.train, test = data.first(sets.test, cfg.test)}, {size = cfg.batch,
        seed = cell.seed, fields = {source = words, query = words, answer = words}})
    return measure(cfg, cell, #words, #answers, parts.train, parts.test, plain, sets.test[1].source)
end
paper:table{
    name = "children's cloze", data = "childrens_cloze", vary = {attentive, sum, gated},
    run = function(cfg, cell)
        cfg.steps, cfg.batch, cfg.hops, cfg.test = cfg.real, math.min(cfg.batch, 16), 2, math.min(cfg.test, 300)
        local answers = {}
        for k = 1, 10 do answers[k] = "@" .. k end
        return real(cfg, cell, corpus.childrens_cloze(cfg.data, {limit = cfg.limit, numbered = cell.seed}), answers)
    end,
}
for number = 1, 2 do
    paper:table{
        name = "bAbI " .. number, data = "babi", vary = {attentive, sum, gated},
        run = function(cfg, cell)
            local sets = corpus.babi(cfg.data, {task = number})
            cfg.steps = 2 * cfg.real
            return real(cfg, cell, sets, select(2, data.classes(data.columns(sets.train, {answer = "answer"}).answer)))
        end,
    }
end

local function better(row, by) return entities[row].accuracy - entities[by].accuracy end
paper:claim{"attentive beats deep LSTM by at least 15 points", better("attentive", "deep LSTM"), at_least = 15}
paper:claim{"without the text, names that keep their numbers give answers away (at least 5 points)",
    leak["not numbered anew"].accuracy - leak["numbered anew"].accuracy, at_least = 5}
paper:claim{"the attention sum beats the attentive reader by at least 3 points", better("attention sum", "attentive"),
    at_least = 3}
paper:claim{"gating by product beats gating by sum", better("gated", "gated, sum"), at_least = 0}
paper:claim{"gating by sum beats gating by concatenation", better("gated, sum", "gated, concat"), at_least = 0}
paper:claim{"three hops beat one where two facts are needed", facts["3 hops"].accuracy - facts["1 hop"].accuracy,
    at_least = 0}

return paper:main{Reader = Reader}
