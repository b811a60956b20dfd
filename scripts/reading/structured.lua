-- structured: attention whose weights are marginals of a structure: a chain of segments, a projective tree of heads.
--
--   segment    a run of 3 to 5 marks stands somewhere, its majority is the answer, other marks stray: softmax, sigmoid,
--              chain. Keys are single words (what knows the neighbours is the distribution), or recurrent states
--   brackets   the answer at each bracket is the kind of its parent: is the parent found, which nobody has shown?
--   sick       does a sentence follow from another: words alone, words with soft heads of a softmax, of a tree
--
-- Command    attn scripts/reading/structured.lua [--data DIR]
-- Time       3 minutes on two cores
-- System     C4; Kim, Denton, Hoang and Rush 2017. Phrases are 3 to 5 words long
-- Found      where keys are single words the chain finds every segment, softmax and sigmoid 6 in 10; where keys know
--            their neighbours sigmoid finds them too, and softmax looks at some word that says enough. The tree finds
--            the parents, softmax 37 to 89 % of them, by seed (it says the kinds as well). On SICK a tree costs 1.5 points
-- Your data  local structured = require "reading.structured"                                     (attn -I scripts)
--            local model = structured.Heads{words = 900, dim = 32, hidden = 64, distribution = "tree"}
--            local words, heads, weights = model(ids, lengths)       weights [B, S, S]: how probable is j the head of i
local attn = require "attn"
local corpus, data, fit, study, task, text = require "attn.corpus", require "attn.data", require "attn.fit",
    require "attn.study", require "attn.task", require "attn.text"

local Segmenter = attn.module "Segmenter"

function Segmenter:init(c)              -- encoder: keys are states of a recurrent network
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    if c.encoder then self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.dim // 2, bidirectional = true} end
    self.query = (attn.randn(1, c.dim) * 0.1):requires_grad_(true)
    self.attend = attn.attention{query = c.dim, score = "additive", dim = c.dim, distribution = c.distribution}
    self.out = attn.layer.linear{inputs = c.dim, outputs = c.answers}
end

function Segmenter:forward(ids, lengths)        -- ids [B, S] -> logits [B, answers], weights [B, S]
    local words = self.embed(ids)
    local keys = self.encoder and self.encoder(words, {lengths = lengths}) or words
    local query = self.query:expand(#ids, self.query:size(2))
    local context, weights = self.attend(query, keys, words, {lengths = lengths, weights = true})
    return self.out(context), weights
end

local Heads = attn.module "Heads"       -- each word with the words it may depend on

function Heads:init(c)
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.encoder = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden // 2, cell = "lstm", bidirectional = true}
    self.attend = attn.attention{query = c.hidden, value = c.dim, score = "additive", dim = c.hidden,
        distribution = c.distribution}
    if c.answers then self.out = attn.layer.linear{inputs = c.dim, outputs = c.answers} end
end

function Heads:forward(ids, lengths)    -- ids [B, S] -> words [B, S, dim], heads [B, S, dim], weights [B, S, S]
    local words = self.embed(ids)
    local states = self.encoder(words, {lengths = lengths})
    return words, self.attend(states, states, words, {lengths = lengths, weights = true})
end

local Entailment = attn.module "Entailment"     -- two sentences, each the greatest of its words with their heads

function Entailment:init(c)
    self.heads, self.alone = Heads(c), c.alone
    self.word = attn.layer.linear{inputs = 2 * c.dim, outputs = c.hidden}
    self.dropout = attn.layer.dropout{p = c.dropout}
    self.out = attn.layer.linear{inputs = 4 * c.hidden, outputs = c.classes}
end

function Entailment:read(ids, lengths)          -- -> [B, hidden]; padding is 0, as what relu drops is
    local words, heads = self.heads(ids, lengths)
    local each = self.word(self.dropout(attn.cat({words, self.alone and words or heads}, 3))):relu()
    return (each * ids:gt(0):to(each.dtype):unsqueeze(3)):max(2)
end

function Entailment:forward(left, left_lengths, right, right_lengths)       -- -> logits [B, classes]
    local a, b = self:read(left, left_lengths), self:read(right, right_lengths)
    return self.out(self.dropout(attn.cat({a, b, (a - b):abs(), a * b}, 2)))
end

---Segments [{first, last}] of weights: runs of places that weigh at least a share of the greatest.
local function segments(weights, share)
    local most, list = math.max(table.unpack(weights)), {}
    for i, weight in ipairs(weights) do
        local last = list[#list]
        if weight >= share * most then
            if last and last[2] == i - 1 then last[2] = i else list[#list + 1] = {i, i} end
        end
    end
    return list
end

---F1 of whole segments, for the share that suits these weights best: examples {weights, {first, last}}.
local function segment_f1(examples)
    local best = 0
    for percent = 5, 95, 5 do
        local right, found = 0, 0
        for _, one in ipairs(examples) do
            for _, s in ipairs(segments(one[1], percent / 100)) do
                found, right = found + 1, right + (s[1] == one[2][1] and s[2] == one[2][2] and 1 or 0)
            end
        end
        best = math.max(best, 2 * right / (found + #examples))
    end
    return best
end

---Trains a model; the share of right answers of the test.
local function learn(model, batches, tests, c, cell, logits, answer)
    fit{model = model, batches = batches, steps = c.steps, lr = c.lr, cell = cell,
        loss = function(b) return attn.loss.cross_entropy(logits(b), b[answer]) end}
    return 100 * fit.accuracy(model, tests, function(b) return logits(b), b[answer] end)
end

local paper = study{
    system = {"C4"}, seeds = 5,
    paper = "Kim, Denton, Hoang, Rush 2017, Structured attention networks, ICLR",
    options = {dim = 16, hidden = 32, lr = 1e-2, steps = 400, batch = 64, longest = 10, tests = 1000,
        sick = {dim = 50, hidden = 64, steps = 500, lr = 2e-3, batch = 32, dropout = 0.3}},
    quick = {dim = 4, hidden = 4, steps = 3, batch = 4, tests = 8, sick = {dim = 4, hidden = 4, steps = 3}},
}

local segment = paper:table{
    name = "segment", about = "F1 of whole segments, accuracy of the answer", synthetic = true, seeds = 3,
    vary = {{"softmax"}, {"sigmoid", distribution = "sigmoid"}, {"chain", distribution = "chain"},
        {"softmax, recurrent", encoder = true}, {"sigmoid, recurrent", distribution = "sigmoid", encoder = true},
        {"chain, recurrent", distribution = "chain", encoder = true}},
    run = function(cfg, cell)
        local batches = task.segment({size = cfg.batch, count = cfg.steps * cfg.batch}, cell.seed)
        local tests = task.segment({size = cfg.batch, count = cfg.tests}, 1000 + cell.seed)
        local model = Segmenter{words = batches.vocabulary, answers = batches.answers, dim = cfg.dim,
            encoder = cfg.encoder, distribution = cfg.distribution}
        local function logits(b) return (model(b.source, b.source_lengths)) end
        local accuracy = learn(model, batches, tests, cfg, cell, logits, "answer")
        local examples = {}
        fit.each(model, tests, function(b)
            local _, weights = model(b.source, b.source_lengths)
            for i, n in ipairs(b.source_lengths:totable()) do
                examples[#examples + 1] = {weights[i]:narrow(1, 1, n):totable(), b.span[i]:totable()}
            end
            if #examples == #b.index then cell:keep("weights", weights:narrow(1, 1, math.min(8, #b.index))) end
        end)
        return {f1 = 100 * segment_f1(examples), accuracy = accuracy}
    end}

local brackets = paper:table{
    name = "brackets", about = "parents found (argmax of the weights), kinds said", synthetic = true,
    vary = {{"softmax"}, {"tree", distribution = "tree"}},
    run = function(cfg, cell)
        local function draw(count, seed)
            return task.brackets({size = cfg.batch, count = count, longest = cfg.longest}, seed)
        end
        local batches, tests = draw(cfg.steps * cfg.batch, cell.seed), draw(cfg.tests, 1000 + cell.seed)
        local model = Heads{words = batches.vocabulary, dim = cfg.dim, hidden = cfg.hidden,
            distribution = cfg.distribution, answers = batches.answers}
        local function read(b)          -- logits, weights
            local _, heads, weights = model(b.source, b.source_lengths)
            return model.out(heads), weights
        end
        local kinds = learn(model, batches, tests, cfg, cell, function(b) return (read(b)) end, "target")
        local b = tests:epoch(1)()
        local n = b.source_lengths[1]:item()
        cell:keep("weights", attn.no_grad(function() return select(2, read(b))[1][{{1, n}, {1, n}}] end))
        local parents = fit.accuracy(model, tests, function(x) return select(2, read(x)), x.parent end)
        return {parents = 100 * parents, kinds = kinds}
    end}

local sick = paper:table{
    name = "sick", about = "accuracy of the judgment", data = "sick",
    vary = {{"words", alone = true}, {"softmax"}, {"tree", distribution = "tree"}},
    run = function(cfg, cell)
        local sets, c = corpus.sick(cfg.data), cfg.sick
        local words = text.vocabulary(fit.columns(sets.train, {left = "left"}).left, {min_count = 2})
        local function batches(records)
            return data.batches{size = c.batch, seed = cell.seed, by = "left", fields = fit.columns(records, {
                class = "class", left = function(r) return words:encode(r.left) end,
                right = function(r) return words:encode(r.right) end})}
        end
        local model = Entailment{words = #words, dim = c.dim, hidden = c.hidden, dropout = c.dropout,
            classes = #sets.classes, distribution = cfg.distribution, alone = cfg.alone}
        return {accuracy = learn(model, batches(sets.train), batches(sets.test), c, cell,
            function(b) return (model(b.left, b.left_lengths, b.right, b.right_lengths)) end, "class")}
    end}

for _, keys in ipairs{"", ", recurrent"} do
    for _, other in ipairs{"softmax", "sigmoid"} do
        paper:claim{("chain finds segments at least 10 points of F1 better than %s%s"):format(other, keys),
            segment["chain" .. keys].f1 - segment[other .. keys].f1, at_least = 10}
    end
end
paper:claim{"tree: more than 80 % of the parents of brackets are found", brackets.tree.parents, at_least = 80}
paper:claim{"softmax: fewer than 80 % are", brackets.softmax.parents, at_most = 80}
paper:claim{"sick: heads in a tree are no worse than heads without structure",
    sick.tree.accuracy - sick.softmax.accuracy, at_least = 0}
return paper:main{Segmenter = Segmenter, Heads = Heads, Entailment = Entailment, segments = segments,
    segment_f1 = segment_f1}
