-- readers of cloze questions: attentive and impatient (Hermann et al. 2015, NeurIPS), attention-sum (Kadlec et al. 2016, ACL) and
-- gated-attention (Dhingra et al. 2017, ACL). Names are numbered anew in every text, so that only the text can give the answer.
-- attn scripts/reading/readers.lua [--data DIR]      5 minutes on two cores; synthetic, children's cloze, bAbI 1 and 2
-- Found: after 1,500 steps attentive reader, attention sum and gates all answer every question (the sum is the quickest to learn), a deep
-- LSTM one in seven; three hops add 19 points where two facts are needed (-2 to 40).
--
-- On your own texts (attn -I scripts), ids from 1, those that may be answers first, 0 beyond the end:
--   local model = require("reading.readers").Reader{style = "gated", words = 5000, answers = 10, dim = 64, hidden = 64, hops = 3}
--   local logp, weights = model(text, text_lengths, query, query_lengths)      -- ids [B, T], [B], ids [B, Q], [B] -> [B, 10]
--   weights                                                                    -- [B, T]: where the answer was read
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task, text = require "attn.study", require "attn.task", require "attn.text"
local layer = attn.layer

local Reader = attn.module "Reader"
function Reader:init(cfg)
    local hidden, dim = cfg.hidden, cfg.dim
    local wide, hops = 2 * hidden, cfg.style == "gated" and cfg.hops or 1
    local function rnn(inputs) return attn.encoder.rnn{inputs = inputs, hidden = hidden, bidirectional = true} end
    self.style, self.gate, self.answers, self.texts, self.queries = cfg.style, cfg.gate or "product",
        cfg.answers, {}, {}
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
    if cfg.style == "attentive" or cfg.style == "impatient" then
        self.attend = attn.attention{query = cfg.style == "impatient" and 2 * wide or wide, key = wide, dim = wide,
            score = "additive"}
        self.of_text, self.of_query = plain(), plain()                              -- W_rg, W_ug
        self.again = cfg.style == "impatient" and plain()                           -- W_rr
    end
    self.out = layer.linear{inputs = wide, outputs = cfg.answers}                   -- not of those that point
end

local function ends(state) return attn.cat({state.h[1], state.h[2]}, 2) end         -- the last state of each direction, [B, 2 hidden]

-- P(w) = sum of the weights where w stands, over the answers (ids 1 to `answers`).
function Reader:point(weights, ids)
    local mine = ids * ids:le(self.answers):to "int64"
    local p = attn.zeros(weights:size(1), self.answers, {dtype = weights.dtype}):scatter_add(2, mine, weights) + 1e-9
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
    if self.style == "attentive" then
        local r, weights = self.attend(u, D, {lengths = lengths, weights = true})
        return self.out((self.of_text(r) + self.of_query(u)):tanh()):log_softmax(2), weights
    elseif self.style == "impatient" then
        local r, weights = attn.zeros_like(u), nil
        for i = 1, Q:size(2) do
            local read, now = self.attend(attn.cat({r, Q:select(2, i)}, 2), D, {lengths = lengths, weights = true})
            local goes = query_lengths:ge(i):unsqueeze(2)
            r = attn.where(goes, read + self.again(r):tanh(), r)
            weights = weights and attn.where(goes, now, weights) or now
        end
        return self.out((self.of_text(r) + self.of_query(u)):tanh()):log_softmax(2), weights
    end
    for k = 2, #self.texts do
        local there = attn.mask(query_lengths, Q:size(2)):unsqueeze(2)
        local near = D:matmul(Q:transpose(2, 3)):masked_fill(~there, -math.huge):softmax(3)           -- [B, T, |q|]
        local seen = near:matmul(Q)                                                                 -- q~_i
        D = self.gate == "product" and D * seen or self.gate == "sum" and D + seen or attn.cat({D, seen}, 3)
        D = self.texts[k](D, {lengths = lengths})
        Q, last = self.queries[k](q, {lengths = query_lengths})
        u = ends(last)
    end
    local scores = attn.einsum("btd,bd->bt", D, u)
    local weights = scores:masked_fill(~attn.mask(lengths, D:size(2)), -math.huge):softmax(2)
    return self:point(weights, ids), weights
end

-- Trains on {source =, query =, answer = lists of ids} and gives the share of right answers.
local function measure(cfg, cell, words, answers, train, test, shown)
    local function batches(set, size, shuffle)
        local fields = {source = set.source, query = set.query, answer = set.answer}
        return data.batches{fields = fields, size = size, seed = cell.seed, shuffle = shuffle}
    end
    local model = Reader{style = cfg.style, gate = cfg.gate, hops = cfg.hops, words = words, answers = answers,
        dim = cfg.dim, hidden = cfg.hidden}
    local function run(b) return model(b.source, b.source_lengths, b.query, b.query_lengths) end
    fit{model = model, batches = batches(train, cfg.batch, true), steps = cfg.steps, lr = cfg.lr, cell = cell,
        loss = function(b) return attn.loss.nll((run(b)), b.answer) end}
    local right = 0
    fit.each(model, batches(test, 50, false), function(b)
        local logp, weights = run(b)
        right = right + logp:argmax(2):eq(b.answer):sum():item()
        if shown and weights and b.index[1] == 1 then
            cell:keep("weights", weights[{1, {1, #shown}}], {tokens = shown})
        end
    end)
    return {accuracy = 100 * right / #test.answer}
end

local paper = study{
    system = {"E12", "E13", "E14"},
    paper = "Hermann et al. 2015, Teaching machines to read and comprehend, NeurIPS; "
        .. "Kadlec et al. 2016, Text understanding with the attention sum reader network, ACL; "
        .. "Dhingra et al. 2017, Gated-attention readers for text comprehension, ACL",
    options = {dim = 24, hidden = 24, steps = 1500, batch = 32, lr = 5e-3, train = 5000, test = 500, statements = 20,
        entities = 8, hops = 3, real = 100, limit = 800},
    quick = {dim = 6, hidden = 4, steps = 2, batch = 4, train = 10, test = 6, real = 2, limit = 6}, seeds = 3,
}

-- Statements subject verb object (20: 60 words), each verb and object once; six of ten subjects are the usual one of verb and object, which
-- is no help if the names are numbered anew. The query is verb, object and the blank for the subject.
local function cloze(cfg, seed, count)
    local draw, E, set = data.random(seed), cfg.entities, {source = {}, query = {}, answer = {}}
    for i = 1, count do
        local names, facts, source = {}, {}, {}
        for e = 1, E do names[e] = e end
        if cfg.permuted ~= false then data.shuffle(names, draw) end
        for k = 1, 4 * E do facts[k] = k end
        data.shuffle(facts, draw)
        for s = 1, cfg.statements do
            local verb, object = (facts[s] - 1) // E + 1, (facts[s] - 1) % E + 1
            local subject = draw() < 0.6 and (3 * verb + object) % E + 1 or draw(E)
            table.move({names[subject], E + verb, names[object]}, 1, 3, #source + 1, source)
        end
        local at = 3 * draw(cfg.statements)
        set.source[i], set.query[i], set.answer[i] = source, {E + 5, source[at - 1], source[at]}, source[at - 2]
    end
    return set
end
local function synthetic(cfg, cell)
    return measure(cfg, cell, cfg.entities + 5, cfg.entities, cloze(cfg, cell.seed, cfg.train),
        cloze(cfg, cell.seed + 1000, cfg.test))
end

local attentive, sum = {"attentive", style = "attentive"}, {"attention sum", style = "sum"}
local gated = {"gated", style = "gated"}
local entities = paper:table{
    name = "cloze", about = "60 words, names numbered anew", synthetic = true, run = synthetic,
    vary = {{"deep LSTM", style = "deep"}, attentive, {"impatient", style = "impatient"}, sum, gated,
        {"gated, sum", style = "gated", gate = "sum"}, {"gated, concat", style = "gated", gate = "concat"}},
}
local leak = paper:table{
    name = "without the text", about = "what the question alone gives", synthetic = true, run = synthetic,
    vary = {{"numbered anew", style = "query"}, {"not numbered anew", style = "query", permuted = false}},
}
local facts = paper:table{
    name = "two facts", about = "the answer to one is asked for in another", synthetic = true,
    vary = {{"1 hop", style = "gated", hops = 1}, {"3 hops", style = "gated", hops = 3}},
    run = function(cfg, cell)
        local function questions(seed, count)
            local b = task.facts({count = count, size = count, shuffle = false, words = 12}, seed):epoch(1)()
            return {source = b.source:flatten(2):totable(), query = b.query:unsqueeze(2):totable(),
                answer = b.answer:totable()}
        end
        return measure(cfg, cell, 12, 12, questions(cell.seed, cfg.train), questions(cell.seed + 1000, cfg.test))
    end,
}

-- Records {text, query, answer} as ids, the possible answers first.
local function encode(records, vocabulary, count)
    local set = {source = {}, query = {}, answer = {}}
    for i = 1, math.min(count, #records) do
        local story, query, answer = table.unpack(records[i])
        set.source[i], set.query[i], set.answer[i] = vocabulary:encode(story), vocabulary:encode(query),
            vocabulary:id(answer)
    end
    return set
end
local function flat(records, field)
    local list = {}
    for i, record in ipairs(records) do
        local words = {}
        for _, sentence in ipairs(record[field]) do table.move(sentence, 1, #sentence, #words + 1, words) end
        list[i] = {words, record.query, record.answer}
    end
    return list
end
local function real(cfg, cell, train, test, answers)
    local lists = {}
    for _, record in ipairs(train) do
        lists[#lists + 1] = record[1]
        lists[#lists + 1] = record[2]
    end
    local first = table.move(answers, 1, #answers, 1, {})
    first[#first + 1] = "<unk>"
    local vocabulary = text.vocabulary(lists, {specials = first, size = 3000})
    return measure(cfg, cell, #vocabulary, #answers, encode(train, vocabulary, math.huge),
        encode(test, vocabulary, cfg.test), test[1][1])
end

paper:table{
    name = "children's cloze", data = "childrens_cloze", vary = {attentive, sum, gated},
    run = function(cfg, cell)
        local sets = corpus.childrens_cloze(cfg.data, {limit = cfg.limit, numbered = cell.seed})
        cfg.steps, cfg.batch, cfg.hops, cfg.test = cfg.real, math.min(cfg.batch, 16), 2, math.min(cfg.test, 300)
        local answers = {}
        for k = 1, 10 do answers[k] = "@" .. k end
        return real(cfg, cell, flat(sets.train, "context"), flat(sets.test, "context"), answers)
    end,
}
for number = 1, 2 do
    paper:table{
        name = "bAbI " .. number, data = "babi", vary = {attentive, sum, gated},
        run = function(cfg, cell)
            local sets, answers = corpus.babi(cfg.data, {task = number}), {}
            for i, record in ipairs(sets.train) do answers[i] = record.answer end
            cfg.steps = 2 * cfg.real
            return real(cfg, cell, flat(sets.train, "story"), flat(sets.test, "story"),
                select(2, data.classes(answers)))
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
