-- counting: weights that need not sum to one, each key for itself, carry how many there are; those that sum to one
-- carry a share.
--
--   sigmoid a_j = 1 / (1 + exp(-e_j))          softmax a_j = exp(e_j) / sum_k exp(e_k)
--
-- Command    attn scripts/self_attention/counting.lua
-- Time       see scripts/README.md
-- Data       synthetic: marked words to be counted; needles
-- Paper      Kim, Denton, Hoang and Rush 2017, Structured attention networks, ICLR: sigmoid attention (C3)
-- Found      Sigmoid counts, softmax does not; both find a needle.
-- Your own   local Counter = require "self_attention.counting".Counter       -- attn -I scripts yours.lua
--            local model = Counter{words = 900, classes = 6, dim = 32, distribution = "sigmoid"}
--            local logits, weights = model(ids, lengths)                  -- [B, S] -> [B, 6], [B, S]
local attn = require "attn"
local data, fit, study, task = require "attn.data", require "attn.fit", require "attn.study", require "attn.task"

local Counter = attn.module "Counter"           -- a sequence, summed by weights, and read by one layer

function Counter:init(c)
    self.distribution = attn[c.distribution]
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.hidden = attn.layer.linear{inputs = c.dim, outputs = c.dim}
    self.score = attn.layer.linear{inputs = c.dim, outputs = 1, bias = c.distribution == "sigmoid"}
    self.readout = attn.layer.linear{inputs = c.dim, outputs = 2 * c.dim}
    self.out = attn.layer.linear{inputs = 2 * c.dim, outputs = c.classes}
end

function Counter:forward(ids, lengths)
    local words = self.embed(ids)
    local e = self.score(self.hidden(words):tanh()):squeeze(3):masked_fill(~attn.mask(lengths, ids:size(2)), -math.huge)
    local weights = self.distribution(e)
    return self.out(self.readout(weights:unsqueeze(2):matmul(words):squeeze(2)):relu()), weights
end

local paper = study{
    system = {"C3"}, paper = "Kim, Denton, Hoang, Rush 2017, Structured attention networks, ICLR",
    options = {dim = 16, lr = 1e-2, batch = 32, steps = 300, tests = 500, counts = 5, counting = 3000},
    quick = {dim = 4, batch = 2, steps = 2, tests = 4, counting = 2}, seeds = 5,
}

-- Sentences of k marks (word 2) among r k words (the others: word 1), r as often 2 as 3 or 4 whatever k: the share of
-- marks, which is all that weights of sum one can carry, says nothing about their number.
local function marks(cfg, count, seed)
    local fields = {source = {}, answer = {}}
    for i = 1, count do
        local draw, words = data.random(seed, i), {}
        local k, r = draw(cfg.counts), draw(3) + 1
        for j = 1, r * k do words[j] = j <= k and 2 or 1 end
        fields.source[i], fields.answer[i] = data.shuffle(words, draw), k
    end
    return data.batches{fields = fields, size = cfg.batch, seed = seed}
end

-- A model that has learned the answers of batches, and its answers to a batch.
local function learn(cfg, cell, steps, words, classes, batches)
    local model = Counter{words = words, classes = classes, dim = cfg.dim, distribution = cfg.distribution}
    local function answers(b) return (model(b.source, b.source_lengths)) end
    fit{model = model, batches = batches, steps = steps, cell = cell,
        schedule = attn.schedule.cosine{steps = steps, lr = cfg.lr},
        loss = function(b) return attn.loss.cross_entropy(answers(b), b.answer) end}
    return model, answers
end

local counting = paper:table{
    name = "counting", about = "how many of the words are marked, and (one) which needle is there: right in %",
    synthetic = true, columns = {"accuracy", "several", "one"},
    vary = {{"softmax", distribution = "softmax"}, {"sigmoid", distribution = "sigmoid"}},
    run = function(cfg, cell)
        local model, answers = learn(cfg, cell, cfg.counting, 2, cfg.counts, marks(cfg, 100 * cfg.batch, cell.seed))
        local out = fit.means(model, marks(cfg, cfg.tests, 1000 + cell.seed), function(b)
            local right = 100 * answers(b):argmax(-1):eq(b.answer):to "float32"
            return {accuracy = right, several = right:masked_select(b.answer:gt(1))}
        end)
        local function needles(n, seed) return task.needle({longest = 40, size = cfg.batch, count = n}, seed) end
        local made = needles(cfg.steps * cfg.batch, cell.seed)
        model, answers = learn(cfg, cell, cfg.steps, made.vocabulary, made.answers, made)
        out.one = 100 * fit.accuracy(model, needles(cfg.tests, 1000 + cell.seed),
            function(b) return answers(b), b.answer end)
        return out
    end,
}
local chance = 100 / (paper.options.counts - 1)
paper:claim{"C3: counting: sigmoid solves it, above 95 %", counting.sigmoid.accuracy, at_least = 95}
paper:claim{("C3: counting: several marks: softmax is no better than chance (%g %%), within 5 points"):format(chance),
    counting.softmax.several, at_most = chance + 5}
for _, name in ipairs{"softmax", "sigmoid"} do
    paper:claim{("C3: a single needle: %s solves it, above 99 %%"):format(name), counting[name].one, at_least = 99}
end

return paper:main{Counter = Counter, marks = marks}
