-- rnnsearch: translation by an encoder-decoder that attends to its source, against one that keeps it in one vector.
--
-- Command    attn scripts/rnnsearch.lua --data DIR            trains RNNsearch, scores it, shows two alignments
--              --minutes 15 | --steps N                       how long; the steps for the minutes are measured
--              --fixed                                        the fixed-vector model instead, as many parameters
--              --claims                                       both models and two trained on short sentences: four runs
--              --resume                                       goes on from the checkpoint
--              --translate FILE                               translates the lines of FILE with the checkpoint
-- Data       Multi30k, English to German: DIR/multi30k/{train,val,test_2016_flickr}.{en,de}.gz
-- Expect     32.6 BLEU on test2016 by greedy search, 33.9 by beam, after 4,505 steps (15 minutes on two cores, seed 1)
-- Papers     Bahdanau, Cho and Bengio 2015; Cho et al. 2014 (fixed vector); Luong et al. 2015 (unknown words)
local attn = require "attn"
local data, metric, search, show, text, train = require "attn.data", require "attn.metric", require "attn.search",
    require "attn.show", require "attn.text", require "attn.train"

local cfg = require "attn.run".options{
    dim = 256, hidden = 256, dropout = 0.3, batch = 64, lr = 1e-3, clip = 1.0, min_count = 2, max_length = 50, beam = 5,
    minutes = 15.0, steps = 0, seed = 1, fixed = false, claims = false, checkpoint = "rnnsearch.safetensors",
    resume = false, translate = "", svg = "", longest = 0}

-- Model -------------------------------------------------------------------------------------------------------------

local Translator = attn.module "Translator"

function Translator:init(c)
    self.fixed = c.fixed
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.dropout = attn.layer.dropout{p = c.dropout}
    self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden, cell = "gru", bidirectional = true}
    self.bridge = attn.layer.linear{inputs = c.hidden, outputs = c.hidden}
    self.decoder = attn.decoder.rnn{        -- fixed: the summary c of the source is joined to every y (Cho et al.)
        inputs = c.dim + (c.fixed and 2 * c.hidden or 0), hidden = c.hidden, memory = 2 * c.hidden, cell = "gru",
        style = "bahdanau", attention = not c.fixed and {score = "additive", dim = c.hidden} or nil,
        readout = "maxout", outputs = c.targets, dropout = c.dropout}
end

function Translator:encode(ids, lengths)            -- [B, S], [B]
    local memory, last = self.encoder(self.dropout(self.source(ids)), {lengths = lengths})
    return {memory = memory, lengths = lengths, hidden = {h = self.bridge(last.h[2]):tanh():unsqueeze(1)},
        summary = self.fixed and attn.cat({last.h[1], last.h[2]}, 2) or nil}
end

function Translator:forward(ids, lengths, target)   -- [B, S], [B], [B, T]
    local s = self:encode(ids, lengths)
    local y = self.dropout(self.target(target))
    if self.fixed then
        y = attn.cat({y, s.summary:unsqueeze(2):expand(y:size(1), y:size(2), s.summary:size(2))}, 3)
    end
    return (self.decoder(y, s.memory, {memory_lengths = lengths, state = s.hidden}))
end

function Translator:step(ids, s)                    -- [R]
    local y = self.target(ids)
    if self.fixed then y = attn.cat({y, s.summary}, 2) end
    local logits, hidden, weights = self.decoder:step(y, s.memory, s.hidden, {memory_lengths = s.lengths})
    return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden, summary = s.summary}, weights
end

-- The fixed-vector model has no attention to learn; it gets the parameters in a wider state.
local function build(c)
    if not c.fixed then return Translator(c) end
    local wanted = Translator{sources = c.sources, targets = c.targets, dim = c.dim, hidden = c.hidden,
        dropout = c.dropout, fixed = false}:count()
    local width, model = c.width or c.hidden, nil
    repeat
        model = Translator{sources = c.sources, targets = c.targets, dim = c.dim, hidden = width, dropout = c.dropout,
            fixed = true}
        width = width + 4
    until c.width or model:count() >= wanted
    c.width = width - 4
    return model
end

-- Translating -------------------------------------------------------------------------------------------------------

local function translate(model, vocabularies, sentences, width)     -- lists of words; hypotheses in the same order
    local lists, options = {}, {max_length = cfg.max_length}
    for i, words in ipairs(sentences) do lists[i] = vocabularies.source:encode(words) end
    if width > 1 then options.width, options.length_penalty = width, 1 end
    local found = search.corpus(function(ids, state) return model:step(ids, state) end, lists, {
        encode = function(ids, lengths) return model:encode(ids, lengths) end,
        search = width > 1 and search.beam or search.greedy, options = options})
    for i, list in ipairs(found) do
        found[i] = list[1]
        found[i].words = vocabularies.target:decode(found[i].ids)
    end
    return found
end

-- Lines of hypotheses; with `sources`, unknown words are replaced by the source word they looked at.
local function lines_of(found, sources)
    local lines = {}
    for i, best in ipairs(found) do
        local words = best.words
        if sources then words = text.replace_unknown(words, sources[i], best.weights) end
        lines[i] = text.join(words):gsub("<unk>", "UNK")
    end
    return lines
end

-- Data --------------------------------------------------------------------------------------------------------------

local function read(part)
    local folder, set = data.path "multi30k", {}
    for name, language in pairs{source = "en", target = "de"} do
        set[name .. "_lines"] = data.lines(("%s/%s.%s.gz"):format(folder, part, language))
        set[name] = {}
        for i, line in ipairs(set[name .. "_lines"]) do set[name][i] = text.words(line) end
    end
    return set
end

local sets = cfg.translate == "" and {train = read "train", val = read "val", test = read "test_2016_flickr"}

-- One experiment ----------------------------------------------------------------------------------------------------

local function experiment(name, variant)        -- variant: fixed, longest, steps; returns what was measured
    attn.seed(cfg.seed)
    local saved = cfg.resume and attn.load(cfg.checkpoint).extra or nil
    local vocabularies = {}
    for _, side in ipairs{"source", "target"} do
        vocabularies[side] = saved and text.vocabulary(nil, {words = saved[side]})
            or text.vocabulary(sets.train[side], {min_count = cfg.min_count})
    end
    local shape = saved and saved.shape or {fixed = variant.fixed, dim = cfg.dim, hidden = cfg.hidden,
        dropout = cfg.dropout, sources = #vocabularies.source, targets = #vocabularies.target}
    local model = build(shape)
    local fields = {source = {}, target = {}}
    for i, words in ipairs(sets.train.source) do
        if variant.longest == 0 or #words <= variant.longest and #sets.train.target[i] <= variant.longest then
            table.insert(fields.source, vocabularies.source:encode(words))
            table.insert(fields.target, vocabularies.target:encode(sets.train.target[i]))
        end
    end
    local batches = data.batches{fields = fields, shift = {"target"}, size = cfg.batch, seed = cfg.seed}
    local function loss(b)
        local logits = model(b.source, b.source_lengths, b.target_in)
        return attn.loss.cross_entropy(logits, b.target_out), b.target_lengths:sum():item() + #b.index
    end
    local steps = saved and saved.steps or variant.steps
    if not steps or steps == 0 then
        local pace = train.pace{model = model, data = batches, loss = loss, batches = 20}
        steps = math.max(1, math.floor(cfg.minutes * 60 / pace))
        print(("calibration: %.0f ms a step, %d steps (%.1f epochs) in %g minutes"):format(1000 * pace, steps,
            steps / #batches, cfg.minutes))
    end
    print(("%s: %d parameters, %d sentence pairs, %d steps, seed %d"):format(name, model:count(), #fields.source, steps,
        cfg.seed))
    local function rate(step)                   -- halved four times, in the last third
        return cfg.lr * 0.5 ^ math.max(0, math.ceil(12 * step / steps) - 8)
    end
    local history = train.loop{
        model = model, data = batches, loss = loss, steps = steps, schedule = rate, clip = cfg.clip,
        optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr}, every = math.max(1, (steps + 5) // 6),
        evaluate = function()
            local found = translate(model, vocabularies, sets.val.source, 1)
            return {["val bleu"] = metric.bleu(lines_of(found), sets.val.target_lines).score}
        end,
        checkpoint = not cfg.claims and cfg.checkpoint or nil, resume = cfg.resume,
        extra = {source = vocabularies.source.words, target = vocabularies.target.words, shape = shape, steps = steps}}
    print("loss  " .. show.spark(history.losses))

    local out = {name = name, steps = steps, rate = history.rate, seconds = history.seconds}
    for kind, width in pairs{greedy = 1, beam = cfg.beam} do
        local found = translate(model, vocabularies, sets.test.source, width)
        local lines, lengths = lines_of(found), {}
        for i, words in ipairs(sets.test.source) do lengths[i] = #words end
        out[kind] = metric.bleu(lines, sets.test.target_lines)
        out[kind .. "_lengths"] = metric.bleu_by_length(lines, sets.test.target_lines, lengths, {9, 12, 16})
        if not shape.fixed then
            out[kind .. "_replaced"] = metric.bleu(lines_of(found, sets.test.source), sets.test.target_lines).score
        end
        if kind == "greedy" then out.found = found end
    end
    return out
end

local function report(results)
    local columns, rows = {"model", "search", "bleu", "unk replaced"}, {}
    for _, out in ipairs(results) do
        for _, kind in ipairs{"greedy", "beam"} do
            local row = {out.name, kind, out[kind].score, out[kind .. "_replaced"] or ""}
            for k, range in ipairs(out[kind .. "_lengths"]) do
                columns[4 + k] = ("%s (%d)"):format(range.name, range.count)
                row[4 + k] = range.score
            end
            rows[#rows + 1] = row
        end
    end
    print("\nBLEU on test2016, overall and by source length   " .. results[1].greedy.signature)
    show.table(columns, rows)
end

local function claim(letter, words, measured, holds)
    print(("claim A3 (%s): %s\n  measured: %s\n  verdict: %s"):format(letter, words, measured,
        holds and "holds" or "does not hold"))
end

-- What the command line asks for ------------------------------------------------------------------------------------

if cfg.translate ~= "" then
    local saved = attn.load(cfg.checkpoint)
    local extra = saved.extra
    local model = build(extra.shape)
    model:load(saved.model)
    model:eval()
    local sentences = {}
    for i, line in ipairs(data.lines(cfg.translate)) do sentences[i] = text.words(line) end
    local vocabularies = {source = text.vocabulary(nil, {words = extra.source}),
        target = text.vocabulary(nil, {words = extra.target})}
    local found = translate(model, vocabularies, sentences, cfg.beam)
    for _, line in ipairs(lines_of(found, not extra.shape.fixed and sentences or nil)) do print(line) end
    return
end

if cfg.claims then
    local with = experiment("RNNsearch", {fixed = false, longest = 0, steps = cfg.steps})
    local without = experiment("fixed vector", {fixed = true, longest = 0, steps = with.steps})
    local short = experiment("RNNsearch <= 15", {fixed = false, longest = 15, steps = with.steps})
    local medium = experiment("fixed <= 25", {fixed = true, longest = 25, steps = with.steps})
    report{with, without, short, medium}
    local a, b = with.greedy.score, without.greedy.score
    claim("a", "RNNsearch beats the fixed vector by at least 5 BLEU at equal parameters and steps",
        ("%.1f against %.1f"):format(a, b), a >= b + 5)
    claim("b", "RNNsearch trained on up to 15 words beats the fixed vector trained on up to 25",
        ("%.1f against %.1f"):format(short.greedy.score, medium.greedy.score), short.greedy.score > medium.greedy.score)
    local function fall(out) return out.greedy_lengths[1].score - out.greedy_lengths[4].score end
    claim("c", "from short to long sources the fixed vector loses at least 5 BLEU more than RNNsearch",
        ("%.1f against %.1f"):format(fall(without), fall(with)), fall(without) >= fall(with) + 5)
    show.result("bleu", a)
    show.result("bleu_fixed", b)
    return
end

local out = experiment(cfg.fixed and "fixed vector" or "RNNsearch",
    {fixed = cfg.fixed, longest = cfg.longest, steps = cfg.steps})
report{out}
for i = 1, out.found[1].weights and 2 or 0 do
    local best = out.found[i]
    print("\n" .. sets.test.source_lines[i] .. "\n" .. text.join(best.words))
    show.attention(best.weights, {rows = best.words, columns = sets.test.source[i],
        svg = cfg.svg ~= "" and ("%s-%d.svg"):format((cfg.svg:gsub("%.svg$", "")), i) or nil})
end
show.result("bleu", out.greedy.score)
show.result("bleu_beam", out.beam.score)
show.result("tokens_per_second", out.rate)
