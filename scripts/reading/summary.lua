-- attention-based summarisation, ABS (Rush, Chopra and Weston 2015, EMNLP): a neural language model of the headline,
-- whose next word also sees the text through an encoder: a bag of words, or attention by the last words of the headline
-- over smoothed embeddings
-- attn scripts/reading/summary.lua [--data DIR]      2 minutes on two cores; synthetic deletion and AG news titles
-- Where the headline is every word of the text but its fillers a bag of words tells as much (ROUGE-1 84 against 78), so
-- here it is the words of one of two sentences.
--
-- On your own texts (attn -I scripts), ids 0 beyond the end:
--   local Summary = require("reading.summary").Summary
--   local model = Summary{words = 5000, dim = 64, hidden = 128, window = 5, smooth = 2, encoder = "attention"}
--   local logits, weights = model(text, lengths, headline)              -- ids [B, S], [B], [B, T] -> [B, T, words]
--   model:write(text, lengths, {bos = 2, eos = 3, width = 5})           -- a list of hypotheses for each text
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local metric, search, study = require "attn.metric", require "attn.search", require "attn.study"
local layer = attn.layer

local Summary = attn.module "Summary"
function Summary:init(cfg)
    local function embedding()
        local e = layer.embedding{count = cfg.words, dim = cfg.dim}
        attn.init.normal(e.weight, 0, 0.3)
        return e
    end
    local function plain(inputs, outputs) return layer.linear{inputs = inputs, outputs = outputs, bias = false} end
    local wide = cfg.window * cfg.dim
    self.window, self.smooth, self.encoder = cfg.window, cfg.smooth, cfg.encoder
    self.embed, self.hidden = embedding(), layer.linear{inputs = wide, outputs = cfg.hidden}                    -- E, U
    self.of_hidden = layer.linear{inputs = cfg.hidden, outputs = cfg.words}                                     -- V
    if cfg.encoder ~= "none" then self.source, self.of_source = embedding(), plain(cfg.dim, cfg.words) end      -- F, W
    if cfg.encoder == "attention" then
        self.context = embedding()                                                                              -- G
        self.attend = attn.attention{query = wide, key = cfg.dim, score = "general"}                            -- P
    end
end

-- The last `window` words before each place: ids [B, T] -> [B, T, window], 0 before the beginning.
function Summary:windows(ids) return ids:pad(2, self.window - 1, 0):unfold(2, self.window, 1) end

-- The next word after each window [B, T, window].
function Summary:next(text, lengths, windows)
    local B, T = windows:size(1), windows:size(2)
    local logits, weights = self.of_hidden(self.hidden(self.embed(windows):reshape(B, T, -1)):tanh()), nil
    if self.encoder ~= "none" then
        local x, read = self.source(text), nil
        if self.encoder == "bag" then
            read = (x:sum(2) / lengths:to(x.dtype):unsqueeze(2)):unsqueeze(2)
        else
            local smooth = attn.avg_pool1d(x, 2 * self.smooth + 1, {stride = 1, padding = self.smooth})
            read, weights = self.attend(self.context(windows):reshape(B, T, -1), x, smooth,
                {lengths = lengths, weights = true})
        end
        logits = logits + self.of_source(read)
    end
    return logits, weights
end

function Summary:forward(text, lengths, headline) return self:next(text, lengths, self:windows(headline)) end

-- Beam search; options as those of search.beam.
function Summary:write(text, lengths, options)
    local state = {text = text, lengths = lengths, seen = attn.zeros(text:size(1), self.window, {dtype = "int64"})}
    return search.beam(function(ids, s)
        local seen = attn.cat({s.seen:narrow(2, 2, self.window - 1), ids:unsqueeze(2)}, 2)
        local logits, weights = self:next(s.text, s.lengths, seen:unsqueeze(2))
        return logits:squeeze(2), {text = s.text, lengths = s.lengths, seen = seen}, weights and weights:squeeze(2)
    end, {state = state, count = text:size(1), bos = options.bos, eos = options.eos, width = options.width,
        max_length = options.max_length, forbid = options.forbid})
end

-- Trains on records {source = words, target = words} and gives ROUGE (F1, 0 to 100) of what it writes.
local function measure(cfg, cell, sets)
    local words = attn.text.vocabulary(sets.train, {of = {"source", "target"}, size = cfg.words})
    local parts = data.parts(sets, {fields = {source = words, target = words}, shift = {"target"}, by = "source",
        size = cfg.batch, seed = cell.seed})
    local model = Summary{words = #words, dim = cfg.dim, hidden = cfg.hidden, window = cfg.window, smooth = cfg.smooth,
        encoder = cfg.encoder}
    fit{model = model, batches = parts.train, steps = cfg.steps, lr = cfg.lr, cell = cell,
        forward = function(b) return model(b.source, b.source_lengths, b.target_in), b.target_out end}
    local written, references = {}, data.columns(sets.test, {target = "target"}).target
    fit.each(model, parts.test, function(b)
        local options = {bos = 2, eos = 3, width = cfg.width, max_length = 20, forbid = {1}}      -- 1: <unk>
        for k, found in ipairs(model:write(b.source, b.source_lengths, options)) do
            local best = found[1]
            local said = words:decode(best.ids)
            written[b.index[k]] = said
            if b.index[k] == 1 then
                cell:keep("written", table.concat(said, " "))
                if best.weights and #said > 0 then
                    cell:keep("weights", best.weights, {rows = said, columns = sets.test[1].source})
                end
            end
        end
    end)
    local r = metric.rouge(written, references)
    return {rouge1 = 100 * r.rouge1.f1, rouge2 = 100 * r.rouge2.f1, rougeL = 100 * r.rougeL.f1}
end

local paper = study{
    system = {"A11"},
    paper = "Rush, Chopra, Weston 2015, A neural attention model for abstractive sentence summarization, EMNLP",
    options = {dim = 32, hidden = 64, window = 5, smooth = 2, steps = 1500, batch = 32, lr = 5e-3, words = 4000,
        train = 6000, test = 200, width = 3},
    quick = {dim = 4, hidden = 4, steps = 2, batch = 4, train = 8, test = 4}, seeds = 3,
}
local encoders = {{"no encoder", encoder = "none"}, {"bag of words", encoder = "bag"},
    {"attention", encoder = "attention"}}

-- Two sentences, one begins with "today", one with "yesterday"; the headline is what is left of today's when its
-- fillers are deleted.
local function deletions(seed, count)
    return data.made(count, seed, function(draw)
        local source, target = {}, {}
        for _, day in ipairs(data.shuffle({"today", "yesterday"}, draw)) do
            source[#source + 1] = day
            for _ = 1, 3 + draw(3) do
                local word = (draw(4) == 1 and "filler" or "word") .. draw(40)
                source[#source + 1] = word
                if day == "today" and word:find "word" then target[#target + 1] = word end
            end
            source[#source + 1] = "."
        end
        return {source = source, target = target}
    end)
end

local synthetic = paper:table{
    name = "deletion", about = "what one of two sentences says, without its fillers", synthetic = true,
    vary = encoders, columns = {"rouge1", "rouge2", "rougeL"},
    run = function(cfg, cell)
        return measure(cfg, cell,
            {train = deletions(cell.seed, cfg.train), test = deletions(cell.seed + 1000, cfg.test)})
    end,
}

paper:table{
    name = "titles", about = "the title of a news item from its description", data = "ag_news",
    vary = encoders, columns = {"rouge1", "rouge2", "rougeL"},
    run = function(cfg, cell)
        local sets = corpus.ag_news(cfg.data)
        sets.test, sets.dev = data.first(sets.test, cfg.test), nil
        for _, r in ipairs(data.joined{sets.train, sets.test}) do
            r.source, r.target = data.first(r.words, 40), data.first(r.title, 12)
        end
        cfg.steps, cfg.lr = math.min(cfg.steps, 400), 3e-3
        return measure(cfg, cell, sets)
    end,
}

paper:claim{"synthetic deletion: attention is at least 5 ROUGE-1 above the bag of words",
    synthetic["attention"].rouge1 - synthetic["bag of words"].rouge1, at_least = 5}

return paper:main{Summary = Summary}
