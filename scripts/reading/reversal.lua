-- reversal: an encoder-decoder without attention reads better backwards. The last state of the encoder is all that the
-- decoder gets; with the source reversed its first word lies next to the first word of the target, and what is near is
-- learnt first.
--
--   lookup    translation by dictionary, word by word in order: reversing should help
--   reverse   the target is the source backwards: reversing should hurt
--   letters   letters to phones (cmudict), almost in order
--
-- Each with the source as it is, reversed, and twice (x x); as it is and reversed with attention too.
--
-- Command    attn scripts/reading/reversal.lua [--data DIR]
-- Time       3 minutes on two cores
-- System     A2; Sutskever, Vinyals and Le 2014; twice: Zaremba and Sutskever 2014. Here one layer, not four
-- Found      reversing adds 8 points on lookup, 7 on letters, and takes 31 on reverse; with attention nothing, but 3 on
--            letters (the last state still starts the decoder). Twice lies between on reverse, but on lookup it is 1.6
--            points below the source as it is: no word is nearer to its translation than there, and the gradient goes
--            through twice as many steps
-- Your data  local reversal = require "reading.reversal"                                         (attn -I scripts)
--            local model = reversal.Model{sources = 90, targets = 60, dim = 32, hidden = 128}    ids 1..90 to ids 1..60
--            local logits = model(source, source_lengths, target_in, "reversed")                batches of data.batches
local attn = require "attn"
local corpus, data, fit, study, task, text = require "attn.corpus", require "attn.data", require "attn.fit",
    require "attn.study", require "attn.task", require "attn.text"

---The source as it is presented, "forward", "reversed" or "twice": place j shows the word of place from[j], 0 padding.
---@return any ids, any lengths
local function present(ids, lengths, order)
    local n, times = lengths:unsqueeze(2), order == "twice" and 2 or 1
    local place = attn.arange(1, ids:size(2) * times):unsqueeze(1)
    local from = order == "reversed" and n + 1 - place or attn.where(place:le(n), place, place - n)
    return ids:gather(2, from * place:le(n * times):to "int64"), lengths * times
end

local Model = attn.module "Model"

function Model:init(c)                  -- sources, targets: vocabularies; attention: its fields, or nil for none
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden, cell = "lstm"}
    self.decoder = attn.decoder.rnn{inputs = c.dim, hidden = c.hidden, memory = c.hidden, cell = "lstm",
        style = "luong", attention = c.attention, outputs = c.targets}
end

-- ids [B, S], [B], ids [B, T] -> logits [B, T, targets], weights
function Model:forward(source, lengths, target, order)
    local ids, n = present(source, lengths, order or "reversed")
    local memory, last = self.encoder(self.source(ids), {lengths = n})
    return self.decoder(self.target(target), memory, {memory_lengths = n, state = last})
end

-- One cell: trained with one presentation; the share of the target's words that are guessed right, given those before.
local function measure(batches, tests, sizes, cfg, cell)
    local model = Model{sources = sizes.sources, targets = sizes.targets, dim = cfg.dim, hidden = cfg.hidden,
        attention = cfg.attend and {score = "general"} or nil}
    local function logits(b) return (model(b.source, b.source_lengths, b.target_in, cfg.order)) end
    fit{model = model, batches = batches, steps = cfg.steps, lr = cfg.lr, clip = 5, cell = cell,
        schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps},
        loss = function(b) return attn.loss.cross_entropy(logits(b), b.target_out) end}
    if cfg.attend then
        local b = tests:epoch(1)()
        local _, weights = attn.no_grad(model, b.source, b.source_lengths, b.target_in, cfg.order)
        cell:keep("weights", weights[1])
    end
    return {accuracy = 100 * fit.accuracy(model, tests, function(b) return logits(b), b.target_out end)}
end

local rows = {}
for _, order in ipairs{"forward", "reversed", "twice"} do
    rows[#rows + 1] = {order, order = order}
    if order ~= "twice" then rows[#rows + 1] = {order .. ", attention", order = order, attend = true} end
end

local paper = study{
    system = {"A2"}, seeds = 5,
    paper = "Sutskever, Vinyals, Le 2014, Sequence to sequence learning with neural networks, NeurIPS",
    options = {dim = 32, hidden = 64, lr = 5e-3, steps = 800, batch = 64, words = 40, shortest = 8, longest = 16,
        tests = 1000, letters = {steps = 800, train = 20000}},
    quick = {steps = 4, dim = 4, hidden = 4, batch = 8, tests = 16, letters = {steps = 4, train = 100}},
}

local function synthetic(name, seeds, more)
    local function run(cfg, cell)
        local function draw(count, seed)
            local options = {words = cfg.words, shortest = cfg.shortest, longest = cfg.longest, size = cfg.batch,
                count = count}
            for field, value in pairs(more) do options[field] = value end
            return task[name](options, seed)
        end
        local batches = draw(cfg.steps * cfg.batch, cell.seed)
        return measure(batches, draw(cfg.tests, 1000 + cell.seed),
            {sources = batches.vocabulary, targets = batches.targets}, cfg, cell)
    end
    return paper:table{name = name, about = "token accuracy", synthetic = true, vary = rows, seeds = seeds, run = run}
end
local lookup, reverse = synthetic("lookup", 5, {swap = 0, fertility = 1}), synthetic("reverse", 3, {})

local letters = paper:table{
    name = "letters", about = "letters to phones, phone accuracy", data = "cmudict", seeds = 3, vary = rows,
    run = function(cfg, cell)
        local sets = corpus.cmudict(cfg.data, {most = cfg.letters.train})
        local columns = fit.columns(sets.train, {source = "word", target = "phones"})
        local words, phones = text.vocabulary(columns.source), text.vocabulary(columns.target)
        local function batches(records)
            return data.batches{size = cfg.batch, seed = cell.seed, shift = {"target"}, fields = fit.columns(records, {
                source = function(r) return words:encode(r.word) end,
                target = function(r) return phones:encode(r.phones) end})}
        end
        cfg.steps = cfg.letters.steps
        return measure(batches(sets.train), batches(sets.dev), {sources = #words, targets = #phones}, cfg, cell)
    end}

for _, one in ipairs{{"lookup", lookup}, {"letters", letters}} do
    paper:claim{("%s, a monotone task: reversing the source raises accuracy by at least 5 points"):format(one[1]),
        one[2].reversed.accuracy - one[2].forward.accuracy, at_least = 5}
end
paper:claim{"reverse: reversing the source lowers accuracy",
    reverse.reversed.accuracy - reverse.forward.accuracy, at_most = 0}
for _, one in ipairs{{"lookup", lookup, "forward", "reversed"}, {"reverse", reverse, "reversed", "forward"}} do
    local name, t, worse, better = table.unpack(one)
    paper:claim{("%s: the source twice is better than %s"):format(name, worse),
        t.twice.accuracy - t[worse].accuracy, at_least = 0}
    paper:claim{("%s: the source twice is worse than %s"):format(name, better),
        t[better].accuracy - t.twice.accuracy, at_least = 0}
end
for _, one in ipairs{{"lookup", lookup}, {"reverse", reverse}, {"letters", letters}} do
    paper:claim{("%s: with attention, reversing the source changes accuracy by less than 1 point"):format(one[1]),
        one[2]["reversed, attention"].accuracy - one[2]["forward, attention"].accuracy, between = {-1, 1}}
end
return paper:main{Model = Model, present = present}
