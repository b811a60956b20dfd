-- translate: what programs that translate share: a recurrent translator, the loss, decoding, texts in two languages, alignments.
--
-- A model here has encode(ids [B, S], lengths) -> state, forward(ids, lengths, target_in [B, T]) -> logits, and
-- step(ids [R], state) -> logits, state, weights [R, S]: translate.recurrent is one, a Transformer may be another.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"
local metric = require "attn.metric"
local search = require "attn.search"
local text = require "attn.text"
local train = require "attn.train"

local m = {}

-- ---- the recurrent translator ----

local Recurrent = attn.module "Recurrent"

-- style "bahdanau": as wide an encoder in each direction as the decoder is, whose first state is made of the backward one;
-- "luong": the encoder's last state, both directions together as wide as the decoder, is the decoder's first.
function Recurrent:init(c)
    c = fields.read("translate.recurrent", c, {{"sources", "integer", required = true},
        {"targets", "integer", required = true},
        {"dim", "integer", required = true}, {"hidden", "integer", required = true}, {"dropout", "number", 0},
        {"cell", "string", "gru"}, {"style", "string", "bahdanau", choices = {"bahdanau", "luong"}},
            {"attention", "table"},
        {"feeding", "boolean", false}, {"bidirectional", "boolean", true}, {"readout", "string"},
            {"fixed", "boolean", false}})
    local luong, directions = c.style == "luong", c.bidirectional and 2 or 1
    local width, feeding = luong and c.hidden // directions or c.hidden, nil
    if luong then feeding = c.feeding end
    self.fixed = c.fixed
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.dropout = attn.layer.dropout{p = c.dropout}
    self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = width, cell = c.cell, bidirectional = c.bidirectional}
    self.bridge = not luong and attn.layer.linear{inputs = width, outputs = c.hidden} or nil
    self.decoder = attn.decoder.rnn{        -- fixed: the summary of the source is joined to every word (Cho et al. 2014)
        inputs = c.dim + (c.fixed and directions * width or 0), hidden = c.hidden, memory = directions * width,
            cell = c.cell,
        style = c.style, attention = c.attention, input_feeding = feeding, readout = c.readout,
        outputs = c.targets, dropout = c.dropout}
end

-- [directions, B, width] as [B, directions * width]
local function joined(x) return x:size(1) == 1 and x[1] or attn.cat({x[1], x[2]}, 2) end

function Recurrent:encode(ids, lengths)             -- [B, S], [B]
    local memory, last = self.encoder(self.dropout(self.source(ids)), {lengths = lengths})
    local hidden = {}
    if self.bridge then
        hidden.h = self.bridge(last.h[last.h:size(1)]):tanh():unsqueeze(1)
    else
        for name, value in pairs{h = last.h, c = last.c} do hidden[name] = joined(value):unsqueeze(1) end
    end
    return {memory = memory, lengths = lengths, hidden = hidden, summary = self.fixed and joined(last.h) or nil}
end

function Recurrent:forward(ids, lengths, target)    -- [B, S], [B], [B, T]
    local s = self:encode(ids, lengths)
    local y = self.dropout(self.target(target))
    if self.fixed then y = attn.cat({y, s.summary:unsqueeze(2):expand(y:size(1), y:size(2), s.summary:size(2))}, 3) end
    return (self.decoder(y, s.memory, {memory_lengths = lengths, state = s.hidden}))
end

function Recurrent:step(ids, s)                     -- [R]
    local y = self.target(ids)
    if self.fixed then y = attn.cat({y, s.summary}, 2) end
    local logits, hidden, weights = self.decoder:step(y, s.memory, s.hidden, {memory_lengths = s.lengths})
    return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden, summary = s.summary}, weights
end

m.recurrent = Recurrent

-- ---- training and decoding ----

---A loss for train.loop, of batches with source, target_in and target_out.
---@param model any
---@param options? {smoothing: number}
---@return fun(batch: table): any, integer
function m.loss(model, options)
    options = fields.read("translate.loss", options or {}, {{"smoothing", "number", 0}})
    return function(b)
        local logits = model(b.source, b.source_lengths, b.target_in)
        return attn.loss.cross_entropy(logits, b.target_out, {smoothing = options.smoothing}),
            b.target_lengths:sum():item() + #b.index
    end
end

local function functions(model)
    return function(ids, state) return model:step(ids, state) end, function(ids, lengths) return model:encode(ids,
        lengths) end
end

---The best hypothesis for each source.
---@param model any
---@param sources integer[][]
---@param options? {width: integer, length_penalty: number, max_length: integer, bos: integer, eos: integer}
---@return Hypothesis[]
function m.decode(model, sources, options)
    local cfg = fields.read("translate.decode", options or {}, {{"width", "integer", 1, least = 1},
        {"length_penalty", "number", 1},
        {"max_length", "integer", 50}, {"bos", "integer", 2}, {"eos", "integer", 3}})
    local step, encode = functions(model)
    local beam = cfg.width > 1
    local found = search.corpus(step, sources, {encode = encode, search = beam and search.beam or search.greedy,
        options = {width = beam and cfg.width or nil, length_penalty = beam and cfg.length_penalty or nil,
            max_length = cfg.max_length,
            bos = cfg.bos, eos = cfg.eos}})
    for i, list in ipairs(found) do found[i] = list[1] end
    return found
end

---Where the model looks while it is made to write the targets: for each word of each target the place of the largest weight.
---@param model any
---@param set {source: integer[][], target: integer[][], bos: integer?, eos: integer?}
---@return integer[][][] links {word, place}, as metric.alignment_error_rate takes them
---@return any[] weights of each sentence, [T, S]; false if its target is empty
function m.align(model, set)
    local step, encode = functions(model)
    local links, weights, size = {}, {}, 50
    for first = 1, #set.source, size do
        local last = math.min(first + size - 1, #set.source)
        local ids, lengths = data.pad(table.move(set.source, first, last, 1, {}))
        local forced = search.forced(step, {state = attn.no_grad(encode, ids, lengths), lengths = lengths,
            bos = set.bos, eos = set.eos,
            targets = table.move(set.target, first, last, 1, {})})
        for i, list in ipairs(forced) do
            local one, target = {}, set.target[first + i - 1]
            local place = #target > 0 and list[1].weights:argmax(2):totable()
            for t = 1, #target do one[t] = {t, place[t]} end
            links[first + i - 1], weights[first + i - 1] = one, list[1].weights or false
        end
    end
    return links, weights
end

-- ---- tasks ----

---The examples of a task as lists: sources and targets of ids, and the links {word, place} that its gold attention says;
---reversed: the sources backwards.
---@param batches any as attn.task makes them
---@param reversed? boolean
---@return {source: integer[][], target: integer[][], links: integer[][][], bos: integer, eos: integer}
function m.examples(batches, reversed)
    local set = {source = {}, target = {}, links = {}, bos = batches.bos, eos = batches.eos}
    for batch in batches:epoch(1) do
        local place = batch.gold:argmax(3):totable()
        for _, side in ipairs{"source", "target"} do
            local ids, lengths = batch[side]:totable(), batch[side .. "_lengths"]:totable()
            for i, k in ipairs(batch.index) do
                local list, n = {}, lengths[i]
                for t = 1, n do list[t] = ids[i][reversed and side == "source" and n + 1 - t or t] end
                set[side][k] = list
            end
        end
        for i, k in ipairs(batch.index) do
            set.links[k] = {}
            for t = 1, #set.target[k] do
                set.links[k][t] = {t, reversed and #set.source[k] + 1 - place[i][t] or place[i][t]}
            end
        end
    end
    return set
end

---Trains a model on such examples: Adam, at its rate for two thirds of the steps, then evenly down to none.
---@param model any
---@param set {source: integer[][], target: integer[][], bos: integer, eos: integer}
---@param options {steps: integer, lr: number, size: integer?, seed: integer?}
---@return table history
function m.fit(model, set, options)
    local cfg = fields.read("translate.fit", options, {{"steps", "integer", required = true},
        {"lr", "number", required = true},
        {"size", "integer", 32}, {"seed", "integer", 1}})
    return train.loop{model = model, steps = cfg.steps, clip = 5, quiet = true, loss = m.loss(model),
        optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr},
        schedule = function(step) return cfg.lr * math.min(1, 3 * (1 - (step - 1) / cfg.steps)) end,
        data = data.batches{fields = {source = set.source, target = set.target}, shift = {"target"}, bos = set.bos,
            eos = set.eos,
            size = cfg.size, seed = cfg.seed}}
end

---What a model does on such examples: sentences that are right in %, BLEU of ids as words, words that are too many in % of
---those wanted, and, if it has attention and the links are known, the alignment error rate.
---@param model any
---@param set {source: integer[][], target: integer[][], links: integer[][][]?, bos: integer, eos: integer}
---@param options? {max_length: integer}
---@return {exact: number, bleu: number, many: number, aer: number?}
function m.measure(model, set, options)
    local cfg = fields.read("translate.measure", options or {}, {{"max_length", "integer", 50}})
    local found = m.decode(model, set.source, {max_length = cfg.max_length, bos = set.bos, eos = set.eos})
    local lines, references, right, many, total, weights = {}, {}, 0, 0, 0, false
    for i, best in ipairs(found) do
        lines[i], references[i] = "w" .. table.concat(best.ids, " w"), "w" .. table.concat(set.target[i], " w")
        if best.ended and lines[i] == references[i] then right = right + 1 end
        local left = {}
        for _, id in ipairs(set.target[i]) do left[id] = (left[id] or 0) + 1 end
        for _, id in ipairs(best.ids) do
            left[id] = (left[id] or 0) - 1
            if left[id] < 0 then many = many + 1 end
        end
        total, weights = total + #set.target[i], weights or best.weights ~= nil
    end
    return {exact = 100 * right / #found, bleu = metric.bleu(lines, references).score, many = 100 * many / total,
        aer = weights and set.links and metric.alignment_error_rate(set.links, set.links, (m.align(model, set))) or nil}
end

-- ---- texts in two languages ----

local Pair = {__name = "translate pair"}
Pair.__index = Pair

---Vocabularies of both sides of records {source = words, target = words, target_line =}.
---@param records table[]
---@param options? {min_count: integer, size: integer}
function m.pair(records, options)
    options = fields.read("translate.pair", options or {}, {{"min_count", "integer", 1}, {"size", "integer"}})
    local self = setmetatable({lists = {}}, Pair)
    for _, side in ipairs{"source", "target"} do
        local lists = {}
        for i, record in ipairs(records) do lists[i] = record[side] end
        self[side], self.lists[side] = text.vocabulary(lists, options), lists
    end
    return self
end

---What words of the source are in the target, of those that its vocabulary has not (text.dictionary).
---@return table<string, string>
function Pair:dictionary()
    self.entries = self.entries or text.dictionary(self.lists.source, self.lists.target, {without = self.target})
    return self.entries
end

---Batches of records; longest: without those that have more words on a side.
---@param records table[]
---@param options {size: integer, seed: integer?, longest: integer?}
function Pair:batches(records, options)
    local cfg = fields.read("pair:batches", options, {{"size", "integer", required = true}, {"seed", "integer", 1},
        {"longest", "integer", math.maxinteger}})
    local lists = {source = {}, target = {}}
    for _, record in ipairs(records) do
        if #record.source <= cfg.longest and #record.target <= cfg.longest then
            for side, list in pairs(lists) do list[#list + 1] = self[side]:encode(record[side]) end
        end
    end
    return data.batches{fields = lists, shift = {"target"}, size = cfg.size, seed = cfg.seed}
end

---Records as lists of ids, as translate.fit, measure and align take them.
---@param records table[]
function Pair:examples(records)
    local set = {source = {}, target = {}, bos = self.target:id "<s>", eos = self.target:id "</s>"}
    for i, record in ipairs(records) do
        for _, side in ipairs{"source", "target"} do set[side][i] = self[side]:encode(record[side]) end
    end
    return set
end

---Translations of records: hypotheses with words.
---@param model any
---@param records table[]
---@param options? table as translate.decode's
function Pair:translate(model, records, options)
    local lists = {}
    for i, record in ipairs(records) do lists[i] = self.source:encode(record.source) end
    local found = m.decode(model, lists, options)
    for _, best in ipairs(found) do best.words = self.target:decode(best.ids) end
    return found
end

---Lines of hypotheses; with `records`, an unknown word becomes the source word it looked at, or what that is in the dictionary
---(Luong et al. 2015).
---@param found table[]
---@param records? table[]
---@return string[]
function Pair:lines(found, records)
    local lines = {}
    for i, best in ipairs(found) do
        local words = best.words
        if records then
            words = text.replace_unknown(words, records[i].source, best.weights, {dictionary = self:dictionary()})
        end
        lines[i] = text.join(words):gsub("<unk>", "UNK")
    end
    return lines
end

---BLEU of lines against target_line of the records; with `bounds` also by length of the source.
---@param lines string[]
---@param records table[]
---@param bounds? integer[]
---@return number score
---@return {name: string, count: integer, score: number}[]? by_length
function Pair:bleu(lines, records, bounds)
    local references, lengths = {}, {}
    for i, record in ipairs(records) do references[i], lengths[i] = record.target_line, #record.source end
    return metric.bleu(lines, references).score, bounds and metric.bleu_by_length(lines, references, lengths, bounds)
end

---BLEU of a model on records: greedy, with unknown words replaced, by beam, of the shortest and the longest sources; in the cell
---of a study the first sentences are kept, and where the model looked.
---@param model any
---@param records table[]
---@param options {max_length: integer?, width: integer?, length_penalty: number?, bounds: integer[]?, cell: any}
---@return {bleu: number, replaced: number?, beam: number, short: number, long: number}
function Pair:score(model, records, options)
    local cfg = fields.read("pair:score", options or {}, {{"max_length", "integer", 50}, {"width", "integer", 5},
        {"length_penalty", "number", 1}, {"bounds", "table", {9, 12, 16}}, {"cell", "any"}})
    local found = self:translate(model, records, {max_length = cfg.max_length})
    local lines, out = self:lines(found), {}
    local by_length
    out.bleu, by_length = self:bleu(lines, records, cfg.bounds)
    out.short, out.long = by_length[1].score, by_length[#by_length].score
    local looked
    for _, best in ipairs(found) do looked = looked or best.weights ~= nil end
    if looked then out.replaced = self:bleu(self:lines(found, records), records) end
    out.beam = self:bleu(self:lines(self:translate(model, records, {max_length = cfg.max_length, width = cfg.width,
        length_penalty = cfg.length_penalty})), records)
    if cfg.cell then
        local kept = {}
        for i = 1, math.min(3, #records) do kept[i] = ("%s\n  %s"):format(records[i].source_line, lines[i]) end
        cfg.cell:keep("translations", table.concat(kept, "\n"))
        if found[1].weights then
            cfg.cell:keep("where it looked", found[1].weights, {rows = found[1].words, columns = records[1].source})
        end
    end
    return out
end

local model_help = "A model has encode(ids [B, S], lengths) -> state, forward(ids, lengths, target_in) -> logits, step(ids [R], state)\n"
    .. "-> logits, state, weights [R, S]."
local made = 'local translate = require "attn.translate"\n'
    .. 'local model = translate.recurrent{sources = 9, targets = 9, dim = 4, hidden = 4, attention = {score = "additive", dim = 4}}\n'

attn.describe{name = "translate.recurrent", signature = "recurrent{sources =, targets =, dim =, hidden =, dropout = 0, cell = \"gru\", "
        .. "style = \"bahdanau\", attention =, feeding = false, bidirectional = true, readout =, fixed = false} -> model",
    help = "An encoder-decoder of encoder.rnn and decoder.rnn. style \"bahdanau\": the first state of the decoder is tanh of a linear\n"
        .. "map of the backward encoder's last; \"luong\": it is the encoder's, hidden wide in both directions together. fixed joins\n"
        .. "the encoder's last state to every word (Cho et al. 2014), for models without attention.\n"
        .. "model(ids [B, S], lengths, target_in [B, T]) -> logits [B, T, targets]; model:encode, model:step as search takes them.",
    example = made .. 'print(model:count())'}
attn.describe{name = "translate.loss", signature = "loss(model, {smoothing = 0}) -> function(batch)",
    help = "For train.loop: the cross entropy of target_out, given source, source_lengths and target_in. "
        .. model_help,
    example = made .. 'print(type(translate.loss(model)))'}
attn.describe{name = "translate.decode", signature = "decode(model, lists of ids, {width = 1, length_penalty = 1, max_length = 50, bos = 2, "
        .. "eos = 3}) -> hypotheses",
    help = "The best hypothesis of each source (see search.greedy; width above 1: search.beam). " .. model_help,
    example = made .. 'print(#translate.decode(model, {{5, 6}, {7}}, {max_length = 3}))'}
attn.describe{name = "translate.align", signature = "align(model, {source = lists, target = lists, bos = 2, eos = 3}) -> links, weights",
    help = "The places that a model looks at while it is made to write the targets: links {word, place} of each sentence, as\n"
        .. "metric.alignment_error_rate takes them, and its weights [T, S].",
    example = made .. 'print(translate.align(model, {source = {{5, 6}}, target = {{4, 5}}})[1][1][2])'}
attn.describe{name = "translate.examples", signature = "examples(batches, reversed = false) -> {source =, target =, links =, bos =, eos =}",
    help = "The examples of a task (attn.task, one with a target) as lists of ids, and the links {word, place} of its gold attention;\n"
        .. "reversed: the sources backwards.",
    example = 'local set = require "attn.translate".examples(attn.task.reverse{count = 2})\nprint(set.links[1][1][2] == #set.source[1])'}
attn.describe{name = "translate.fit", signature = "fit(model, examples, {steps =, lr =, size = 32, seed = 1}) -> history",
    help = "Trains a model on translate.examples: Adam, at its rate for two thirds of the steps, then evenly down to none.",
    example = 'local set = attn.translate.examples(attn.task.copy{count = 20})\n'
        .. 'local model = attn.translate.recurrent{sources = 20, targets = 22, dim = 4, hidden = 4, attention = {score = "dot"}, style = "luong"}\n'
        .. 'attn.translate.fit(model, set, {steps = 2, lr = 1e-3})\nprint(attn.translate.measure(model, set).exact)'}
attn.describe{name = "translate.measure", signature = "measure(model, examples, {max_length = 50}) -> {exact =, bleu =, many =, aer =}",
    help = "What a model does on translate.examples, decoded greedily: sentences that are right in %, BLEU with ids as words, words\n"
        .. "too many in % of those wanted, and the alignment error rate if it has attention and examples links.",
    example = 'local set = attn.translate.examples(attn.task.copy{count = 2})\n'
        .. 'local model = attn.translate.recurrent{sources = 20, targets = 22, dim = 4, hidden = 4}\nprint(attn.translate.measure(model, set).bleu)'}
attn.describe{name = "translate.pair", signature = "pair(records, {min_count = 1, size =}) -> pair",
    help = "Vocabularies of records {source = words, target = words, target_line =}: p.source, p.target;\n"
        .. "p:dictionary() of the words that the vocabulary of the target has not (text.dictionary),\n"
        .. "p:batches(records, {size =, seed = 1, longest =}), p:examples(records) as translate.examples,\n"
        .. "p:translate(model, records, options of decode) -> hypotheses with words,\n"
        .. "p:lines(hypotheses [, records]) -> lines, with records unknown words replaced by what they looked at, translated by\n"
        .. "the dictionary or as it is,\n"
        .. "p:bleu(lines, records [, bounds]) -> score, and by length of the source;\n"
        .. "p:score(model, records, {max_length = 50, width = 5, length_penalty = 1, bounds = {9, 12, 16}, cell =}) -> {bleu =, replaced =,\n"
        .. "beam =, short =, long =}: greedy, with unknown words replaced, by beam, of the shortest and the longest sources.",
    example = 'local p = require "attn.translate".pair{{source = {"a"}, target = {"b", "c"}, target_line = "b c"}}\n'
        .. 'print(#p.target, p:bleu({"b c"}, {{source = {"a"}, target_line = "b c"}}))'}

return m
