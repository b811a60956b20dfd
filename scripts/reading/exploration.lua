-- exploration: additive against multiplicative attention over the width of the space they compare in: a grid of a study
--
--   additive        v' tanh(W s + U h)              W, U [width, hidden]
--   multiplicative  (W s) . (U h)                   its variance grows with the width
--   scaled          (W s) . (U h) / sqrt(width)
--
-- A translator by dictionary, words and neighbours exchanged: a bidirectional GRU reads, a GRU writes, and what it
-- writes comes from its state and what the state attends to. The second table varies the depth of both.
--
-- Command    attn scripts/reading/exploration.lua
-- Time       2 minutes on two cores
-- System     A9; Britz, Goldie, Luong and Le 2017, who spent 250,000 hours of graphics cards on it
-- Found      multiplicative attention loses 3.7 points from width 64 to 256 (1.1 to 6.3: more seeds would decide
--            whether 3), scaled nothing; the margins of 3 and 1 are ours, the paper has BLEU
-- Your data  local exploration = require "reading.exploration"                                   (attn -I scripts)
--            local model = exploration.Translator{sources = 900, targets = 900, dim = 64, hidden = 128, layers = 2,
--                score = "scaled", width = 128}
--            local logits, weights = model(source, source_lengths, target_in)             batches of data.batches
local attn = require "attn"
local fit, study, task = require "attn.fit", require "attn.study", require "attn.task"

local Translator = attn.module "Translator"

function Translator:init(c)
    local H = c.hidden
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = H // 2, layers = c.layers, bidirectional = true}
    self.decoder = attn.encoder.rnn{inputs = c.dim, hidden = H, layers = c.layers}
    if c.score == "additive" then
        self.attend = attn.attention{query = H, score = "additive", dim = c.width}
    elseif c.score ~= "none" then
        self.query = attn.layer.linear{inputs = H, outputs = c.width, bias = false}
        self.key = attn.layer.linear{inputs = H, outputs = c.width, bias = false}
        self.attend = attn.attention{query = c.width, value = H, score = c.score == "scaled" and "scaled_dot" or "dot"}
    end
    self.combine = attn.layer.linear{inputs = self.attend and 2 * H or H, outputs = H}
    self.out = attn.layer.linear{inputs = H, outputs = c.targets}
end

-- ids [B, S], [B], ids [B, T] -> logits [B, T, targets], weights [B, T, S]
function Translator:forward(source, lengths, target)
    local memory, last = self.encoder(self.source(source), {lengths = lengths})
    local layers, B, half = last.h:size(1) // 2, last.h:size(2), last.h:size(3)
    local first = last.h:reshape(layers, 2, B, half):transpose(2, 3):reshape(layers, B, 2 * half)  -- both directions
    local states = self.decoder(self.target(target), {state = {h = first}})
    if not self.attend then return self.out(self.combine(states):tanh()) end
    local query, key = states, memory
    if self.query then query, key = self.query(states), self.key(memory) end
    local context, weights = self.attend(query, key, memory, {lengths = lengths, weights = true})
    return self.out(self.combine(attn.cat({context, states}, 3)):tanh()), weights
end

local paper = study{
    system = {"A9"},
    paper = "Britz, Goldie, Luong, Le 2017, Massive exploration of neural machine translation architectures, EMNLP",
    options = {dim = 32, hidden = 64, layers = 1, width = 64, score = "additive", lr = 4e-3, steps = 500, batch = 64,
        words = 100, shortest = 5, longest = 15, tests = 1000},
    quick = {steps = 2, dim = 4, hidden = 4, batch = 4, tests = 8},
}

local function run(cfg, cell)
    local function draw(count, seed)
        return task.lookup({words = cfg.words, shortest = cfg.shortest, longest = cfg.longest, size = cfg.batch,
            count = count}, seed)
    end
    local batches, tests = draw(cfg.steps * cfg.batch, cell.seed), draw(cfg.tests, 1000 + cell.seed)
    local model = Translator{sources = batches.vocabulary, targets = batches.targets, dim = cfg.dim,
        hidden = cfg.hidden, layers = cfg.layers, score = cfg.score, width = cfg.width}
    local function logits(b) return (model(b.source, b.source_lengths, b.target_in)) end
    local history = fit{model = model, batches = batches, steps = cfg.steps, lr = cfg.lr, cell = cell,
        schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps},
        loss = function(b) return attn.loss.cross_entropy(logits(b), b.target_out) end}
    if model.attend then
        local b = tests:epoch(1)()
        local _, weights = attn.no_grad(model, b.source, b.source_lengths, b.target_in)
        cell:keep("weights", weights[1])
    end
    return {accuracy = 100 * fit.accuracy(model, tests, function(b) return logits(b), b.target_out end),
        loss = history.losses[cfg.steps], parameters = model:count()}
end

local widths, scores = {32, 64, 128, 256}, {"additive", "multiplicative", "scaled"}
local width = paper:table{name = "width", about = "token accuracy", synthetic = true, run = run,
    better = {parameters = "none"}, grid = {score = scores, width = widths}}
paper:table{name = "depth", about = "token accuracy", synthetic = true, run = run,
    better = {parameters = "none"}, grid = {score = {"additive", "none"}, layers = {1, 2}}}

-- The variance over the widths: the mean of the squares less the square of the mean, seed by seed.
local function variance(score)
    local sum, squares = 0, 0
    for _, w in ipairs(widths) do
        local accuracy = width{score = score, width = w}.accuracy
        sum, squares = sum + accuracy, squares + accuracy * accuracy
    end
    return squares / #widths - sum * sum / (#widths) ^ 2
end
paper:claim{"additive attention is less sensitive to the width than multiplicative: less variance over the widths",
    variance "multiplicative" - variance "additive", at_least = 0}
paper:claim{"multiplicative attention collapses: at width 256 it is at least 3 points below width 64",
    width{score = "multiplicative", width = 64}.accuracy - width{score = "multiplicative", width = 256}.accuracy,
    at_least = 3}
paper:claim{"scaled by 1 / sqrt(width) it does not: at most 1 point",
    width{score = "scaled", width = 64}.accuracy - width{score = "scaled", width = 256}.accuracy, at_most = 1}
return paper:main{Translator = Translator}
