-- transformer: translation by attention alone, English to German, beside a recurrent model with attention.
--
-- Command    attn scripts/transformer.lua --data DIR      trains for 8 minutes, BLEU greedy and by beam, an alignment
--              --minutes 8 | --steps N                    how long; the steps for the minutes are measured
--              --beside                                   then RNNsearch for the same minutes, and both in one table
--              --claims                                   copy and reverse; post-norm without warm-up; padding
--              --resume                                   goes on with the newest run
-- Data       Multi30k: DIR/multi30k/{train,val,test_2016_flickr}.{en,de}.gz; the claims make their own, synthetic
-- Expect     see scripts/README.md
-- Papers     Vaswani et al. 2017; Bahdanau, Cho and Bengio 2015 (beside); Luong et al. 2015 (unknown words)
local attn = require "attn"
local data, metric, schedule, search, show, text, train = require "attn.data", require "attn.metric",
    require "attn.schedule", require "attn.search", require "attn.show", require "attn.text", require "attn.train"

local job = require "attn.run".start("transformer", {
    model = {dim = 128, heads = 4, layers = 3, ff = 512, dropout = 0.1, norm = "pre", tied = true},
    recurrent = {dim = 256, hidden = 256, dropout = 0.3, lr = 1e-3},
    batch = 64, lr = 1.0, warmup = 1000, smoothing = 0.1, clip = 1.0, average = 5, min_count = 2, max_length = 50,
    beam = 4, length_penalty = 0.6, minutes = 8.0, steps = 0, seed = 1, beside = false, claims = false, examples = 0,
    claim_steps = 4000, claim_tests = 500,
    stall = {layers = 8, steps = 300, lr = 4e-3}})
local cfg = job.options
attn.seed(cfg.seed)

-- Models: encode(ids, lengths) -> state; forward(ids, lengths, target) -> logits; step(ids, state) -> logits, state,
-- weights over the source ---------------------------------------------------------------------------------------------

local Transformer = attn.module "Transformer"

function Transformer:init(c)
    self.scale = c.dim ^ 0.5
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.place = attn.layer.positional{dim = c.dim}
    self.dropout = attn.layer.dropout{p = c.dropout}
    local shape = {dim = c.dim, heads = c.heads, layers = c.layers, ff = c.ff, dropout = c.dropout, norm = c.norm}
    self.encoder = attn.encoder.transformer(shape)
    self.decoder = attn.decoder.transformer(shape)
    self.out = attn.layer.linear{inputs = c.dim, outputs = c.targets, bias = false}
    attn.no_grad(function()                 -- of length 1, so that sqrt(dim) times a word is as large as its place
        for _, embedding in ipairs{self.source, self.target} do
            embedding.weight:copy_(embedding.weight / self.scale)
        end
    end)
    if c.tied then self.out.weight = self.target.weight end
end

function Transformer:read(embedding, ids, place)
    return self.dropout(self.place(embedding(ids) * self.scale, {position = place or 1}))
end

function Transformer:encode(ids, lengths)           -- [B, S], [B]
    return {memory = self.encoder(self:read(self.source, ids), {lengths = lengths}), lengths = lengths, place = 1}
end

function Transformer:forward(ids, lengths, target)  -- [B, S], [B], [B, T]
    local s = self:encode(ids, lengths)
    return self.out(self.decoder(self:read(self.target, target), s.memory, {memory_lengths = lengths}))
end

function Transformer:step(ids, s)                   -- [R]
    local y = self:read(self.target, ids:unsqueeze(2), s.place):squeeze(2)
    local out, hidden, weights = self.decoder:step(y, s.memory, s.hidden,
        {memory_lengths = s.lengths, weights = true})
    return self.out(out), {memory = s.memory, lengths = s.lengths, hidden = hidden, place = s.place + 1}, weights
end

local Recurrent = attn.module "Recurrent"           -- RNNsearch: see rnnsearch.lua

function Recurrent:init(c)
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.dropout = attn.layer.dropout{p = c.dropout}
    self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden, bidirectional = true}
    self.bridge = attn.layer.linear{inputs = c.hidden, outputs = c.hidden}
    self.decoder = attn.decoder.rnn{inputs = c.dim, hidden = c.hidden, memory = 2 * c.hidden, readout = "maxout",
        attention = {score = "additive", dim = c.hidden}, outputs = c.targets, dropout = c.dropout}
end

function Recurrent:encode(ids, lengths)
    local memory, last = self.encoder(self.dropout(self.source(ids)), {lengths = lengths})
    return {memory = memory, lengths = lengths, hidden = {h = self.bridge(last.h[2]):tanh():unsqueeze(1)}}
end

function Recurrent:forward(ids, lengths, target)
    local s = self:encode(ids, lengths)
    return (self.decoder(self.dropout(self.target(target)), s.memory, {memory_lengths = lengths, state = s.hidden}))
end

function Recurrent:step(ids, s)
    local logits, hidden, weights = self.decoder:step(self.target(ids), s.memory, s.hidden,
        {memory_lengths = s.lengths})
    return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden}, weights
end

local function with(c, more)
    local out = {}
    for name, value in pairs(c) do out[name] = value end
    for name, value in pairs(more) do out[name] = value end
    return out
end

-- Best hypothesis of each source.
local function decode(model, lists, width, longest)
    local options = {max_length = longest}
    if width > 1 then options.width, options.length_penalty = width, cfg.length_penalty end
    local found = search.corpus(function(ids, state) return model:step(ids, state) end, lists, {
        encode = function(ids, lengths) return model:encode(ids, lengths) end,
        search = width > 1 and search.beam or search.greedy, options = options})
    for i, list in ipairs(found) do found[i] = list[1] end
    return found
end

local function batch_loss(model, smoothing)
    return function(b)
        local logits = model(b.source, b.source_lengths, b.target_in)
        return attn.loss.cross_entropy(logits, b.target_out, {smoothing = smoothing}),
            b.target_lengths:sum():item() + #b.index
    end
end

-- Adam as in the paper; its rate is the schedule's.
local function adam(model, lr)
    return attn.optim.adam{params = model:parameters(), lr = lr, betas = {0.9, 0.98}, eps = 1e-9}
end

-- Translation --------------------------------------------------------------------------------------------------------

local function read(part, most)
    local folder, set = data.path "multi30k", {}
    for name, language in pairs{source = "en", target = "de"} do
        local lines = data.lines(("%s/%s.%s.gz"):format(folder, part, language))
        set[name .. "_lines"] = table.move(lines, 1, most > 0 and math.min(most, #lines) or #lines, 1, {})
        set[name] = {}
        for i, line in ipairs(set[name .. "_lines"]) do set[name][i] = text.words(line) end
    end
    return set
end

local function translation()
    local sets = {train = read("train", cfg.examples), val = read("val", cfg.examples),
        test = read("test_2016_flickr", cfg.examples)}
    local words, fields = {}, {}
    for _, side in ipairs{"source", "target"} do
        words[side] = text.vocabulary(sets.train[side], {min_count = cfg.min_count})
        fields[side] = {}
        for i, line in ipairs(sets.train[side]) do fields[side][i] = words[side]:encode(line) end
    end

    local function translate(model, set, width)
        local lists = {}
        for i, line in ipairs(set.source) do lists[i] = words.source:encode(line) end
        local found = decode(model, lists, width, cfg.max_length)
        for _, best in ipairs(found) do best.words = words.target:decode(best.ids) end
        return found
    end

    -- With `replaced`, an unknown word becomes the source word it looked at.
    local function bleu(found, set, replaced)
        local lines = {}
        for i, best in ipairs(found) do
            local line = replaced and text.replace_unknown(best.words, set.source[i], best.weights) or best.words
            lines[i] = text.join(line):gsub("<unk>", "UNK")
        end
        return metric.bleu(lines, set.target_lines)
    end

    local function experiment(name, model, rate, keeps)
        local batches = data.batches{fields = fields, shift = {"target"}, size = cfg.batch, seed = cfg.seed}
        local loss = batch_loss(model, keeps and cfg.smoothing or 0)
        local steps = cfg.steps
        if steps == 0 then
            steps = job:once(name .. " steps", function()
                local pace = train.pace{model = model, data = batches, loss = loss, batches = 20}
                print(("calibration: %.0f ms a step"):format(1000 * pace))
                return math.max(1, math.floor(cfg.minutes * 60 / pace))
            end)
        end
        print(("%s: %d parameters, %d sentence pairs, %d steps (%.1f epochs), seed %d"):format(name, model:count(),
            #fields.source, steps, steps / #batches, cfg.seed))
        local history = train.loop{
            run = keeps and job or nil, keep = math.max(1, cfg.average), save_every = math.max(1, steps // 40),
            model = model, data = batches, loss = loss, steps = steps, clip = cfg.clip,
            schedule = function(step) return rate(step, steps) end, optimizer = adam(model, 1e-3),
            every = math.max(1, (steps + 5) // 6),
            evaluate = function() return {["val bleu"] = bleu(translate(model, sets.val, 1), sets.val).score} end}
        print("loss  " .. show.spark(history.losses))
        if keeps and cfg.average > 1 then
            local paths = {}
            for i, one in ipairs(job:checkpoints()) do paths[i] = i <= cfg.average and one.path or nil end
            model:load(train.average(paths))
            print(("the last %d checkpoints, averaged"):format(#paths))
        end
        local out = {name = name, parameters = model:count(), steps = steps, rate = history.rate}
        for kind, width in pairs{greedy = 1, beam = cfg.beam} do
            local found = translate(model, sets.test, width)
            out[kind] = bleu(found, sets.test)
            out[kind .. "_replaced"] = bleu(found, sets.test, true).score
            if kind == "greedy" then out.found = found end
        end
        return out
    end

    local sizes = {sources = #words.source, targets = #words.target}
    local noam = schedule.noam{dim = cfg.model.dim, warmup = cfg.warmup}
    local results = {experiment("Transformer", Transformer(with(cfg.model, sizes)),
        function(step) return cfg.lr * noam(step) end, true)}
    if cfg.beside then
        attn.seed(cfg.seed)
        results[2] = experiment("RNNsearch", Recurrent(with(cfg.recurrent, sizes)), function(step, steps)
            return cfg.recurrent.lr * 0.5 ^ math.max(0, math.ceil(12 * step / steps) - 8)   -- as rnnsearch.lua
        end, false)
    end
    local rows = {}
    for i, out in ipairs(results) do
        rows[i] = {out.name, out.parameters, out.steps, out.rate, out.greedy.score, out.greedy_replaced,
            out.beam.score, out.beam_replaced}
    end
    print("\nBLEU on test2016   " .. results[1].greedy.signature)
    show.table({"model", "parameters", "steps", "tokens/s", "greedy", "unk replaced", ("beam %d"):format(cfg.beam),
        "unk replaced"}, rows)
    for i, best in ipairs{results[1].found[1], results[1].found[2]} do
        print(("\n%s\n%s"):format(sets.test.source_lines[i], text.join(best.words)))
        if i == 1 and best.weights then
            show.attention(best.weights, {rows = best.words, columns = sets.test.source[i]})
        end
    end
    print()
    for i, out in ipairs(results) do
        local suffix = i == 1 and "" or "_rnnsearch"
        show.result("bleu" .. suffix, out.greedy.score)
        show.result("bleu_beam" .. suffix, out.beam.score)
        show.result("bleu_replaced" .. suffix, out.greedy_replaced)
        show.result("bleu_beam_replaced" .. suffix, out.beam_replaced)
        show.result("tokens_per_second" .. suffix, out.rate)
        show.result("parameters" .. suffix, out.parameters)
    end
    if results[2] then
        print(("claim F3 (b): BLEU after equal time is printed beside RNNsearch's\n  measured: %.1f against %.1f")
            :format(results[1].greedy.score, results[2].greedy.score))
    end
end

-- Claims, on sequences of symbols (synthetic) ------------------------------------------------------------------------

local SYMBOLS = 20

-- n sequences of symbols 4 .. 3 + SYMBOLS, of `from` to `to` of them, and what is to be written.
local function sequences(task, n, from, to, stream)
    local draw, source, target = data.random(cfg.seed, stream), {}, {}
    for i = 1, n do
        local row, out = {}, {}
        for k = 1, from + draw(to - from + 1) - 1 do row[k] = 3 + draw(SYMBOLS) end
        for k = 1, #row do out[k] = task == "copy" and row[k] or row[#row + 1 - k] end
        source[i], target[i] = row, out
    end
    return {source = source, target = target}
end

local function exact(model, set)
    local right = 0
    for i, best in ipairs(decode(model, set.source, 1, 2 * 30)) do
        if best.ended and table.concat(best.ids, " ") == table.concat(set.target[i], " ") then right = right + 1 end
    end
    return 100 * right / #set.source
end

local symbols = {sources = 3 + SYMBOLS, targets = 3 + SYMBOLS, dropout = 0.0}

local function small(task, change, steps, rate)
    attn.seed(cfg.seed)
    local model = Transformer(with(with(cfg.model, symbols), change))
    local batches = data.batches{fields = sequences(task, 20000, 1, 20, 1), shift = {"target"}, size = cfg.batch,
        seed = cfg.seed}
    local history = train.loop{model = model, data = batches, loss = batch_loss(model, 0), steps = steps,
        clip = cfg.clip, schedule = rate, optimizer = adam(model, 1e-3), quiet = true}
    local last, n = 0, math.min(50, #history.losses)
    for i = #history.losses - n + 1, #history.losses do last = last + history.losses[i] / n end
    return model, last, history.seconds
end

local function claim(letter, words, measured, holds)
    print(("claim F3 (%s): %s\n  measured (synthetic): %s\n  verdict: %s"):format(letter, words, measured,
        holds and "holds" or "does not hold"))
end

local function claims()
    local shape = {dim = 64, heads = 4, layers = 2, ff = 256, norm = "pre"}
    local parts, inside, outside, longest = {}, true, 0, 0
    for _, task in ipairs{"copy", "reverse"} do
        local model, _, seconds = small(task, shape, cfg.claim_steps,
            schedule.linear{steps = cfg.claim_steps, lr = 3e-3, warmup = cfg.claim_steps // 20})
        local short, long = exact(model, sequences(task, cfg.claim_tests, 1, 20, 2)),
            exact(model, sequences(task, cfg.claim_tests, 30, 30, 3))
        parts[#parts + 1] = ("%s %.1f %% up to 20, %.1f %% at 30, %.0f s of training"):format(task, short, long,
            seconds)
        inside, outside, longest = inside and short == 100, math.max(outside, long), math.max(longest, seconds)
        show.result(task .. "_exact", short, "%")
        show.result(task .. "_exact_at_30", long, "%")
    end
    claim("a", "copy and reverse are exact up to the trained length 20 in under 2 minutes, and fail at 30",
        table.concat(parts, "; "), inside and outside < 50 and longest < 120)

    local lost = {}
    for _, norm in ipairs{"post", "pre"} do
        for _, warm in ipairs{false, true} do
            local change = {dim = 64, heads = 4, layers = cfg.stall.layers, ff = 256, norm = norm}
            local _, last = small("copy", change, cfg.stall.steps, function(step)
                return cfg.stall.lr * (warm and math.min(1, 2 * step / cfg.stall.steps) or 1)
            end)
            lost[norm .. (warm and " with" or " without")] = last
        end
    end
    local chance = math.log(SYMBOLS)
    claim("c", "post-norm without warm-up stalls or diverges, pre-norm does not",
        ("%d layers, rate %g, loss of the last steps: post %.3f without, %.3f with warm-up; pre %.3f without, %.3f "
            .. "with; chance %.2f"):format(cfg.stall.layers, cfg.stall.lr, lost["post without"], lost["post with"],
            lost["pre without"], lost["pre with"], chance),
        lost["post without"] > 0.8 * chance and lost["pre without"] < 0.5 * chance)

    attn.seed(cfg.seed)
    local model = Transformer(with(with(cfg.model, symbols), shape))
    model:eval()
    local set = sequences("copy", 16, 1, 20, 4)
    local ids, lengths = data.pad(set.source)
    local target = data.pad(set.target)
    local changed, outputs = 0, {}
    for trial = 1, 5 do
        local noise = attn.randint(4, 3 + SYMBOLS, ids:size(1), ids:size(2))
        local pad = ids:eq(0)
        local function filled(t) return trial == 1 and t or attn.where(pad, noise, t) end
        local logits = attn.no_grad(function() return model(filled(ids), lengths, filled(target)) end)
        outputs[trial] = logits:masked_fill(pad:unsqueeze(3):expand(logits.shape), 0)
        if trial > 1 then changed = changed + outputs[trial]:ne(outputs[1]):sum():item() end
    end
    claim("e", "what stands in the padding changes no bit of the output",
        ("%d of %d numbers changed in 4 trials"):format(changed, 4 * outputs[1]:numel()), changed == 0)
end

if cfg.claims then claims() else translation() end
job:finish()
