-- structured: attention whose weights are marginals of a structure: a chain of segments, a projective tree of heads.
--
--   segment    a run of 3 to 5 marks stands somewhere, its majority is the answer, other marks stray: softmax, sigmoid,
--              chain. Keys are single words (what knows the neighbours is the distribution), or recurrent states
--   brackets   the answer at each bracket is the kind of its parent: is the parent found, which nobody has shown?
--   sick       does a sentence follow from another: words alone, words with soft heads of a softmax, of a tree
--
-- Command    attn scripts/reading/structured.lua [--data DIR]           3 minutes on two cores
-- System     C4; Kim, Denton, Hoang and Rush 2017. Phrases are 3 to 5 words long
-- Found      where keys are single words the chain finds every segment, softmax and sigmoid 6 in 10; where keys know
--            their neighbours sigmoid finds them too, and softmax looks at some word that says enough. The tree finds
--            the parents, softmax 37 to 89 % of them, by seed (it says the kinds as well). On SICK a tree costs 1.5
--            points
-- Your data  local structured = require "reading.structured"                                     (attn -I scripts)
--            local model = structured.Heads{words = 900, dim = 32, hidden = 64, distribution = "tree"}
--            local words, heads, weights = model(ids, lengths)       weights [B, S, S]: how probable is j the head of i
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task, text = require "attn.study", require "attn.task", require "attn.text"

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

local paper = study{
    system = {"C4"}, seeds = 5,
    paper = "Kim, Denton, Hoang, Rush 2017, Structured attention networks, ICLR",
    options = {dim = 16, hidden = 32, lr = 1e-2, steps = 400, batch = 64, longest = {brackets = 10}, tests = 1000,
        sick = {dim = 50, hidden = 64, steps = 500, lr = 2e-3, batch = 32, dropout = 0.3}},
    quick = {dim = 4, hidden = 4, steps = 3, batch = 4, tests = 8, sick = {dim = 4, hidden = 4, steps = 3}},
}

---Trains a model; the share of right answers of the test.
local function learn(model, train, tests, c, cell, said)
    fit{model = model, batches = train, steps = c.steps, lr = c.lr, cell = cell, forward = said}
    return 100 * fit.accuracy(model, tests, said)
end
local function drawn(name, cfg, cell)
    return task[name]({size = cfg.batch, count = cfg.steps * cfg.batch, longest = cfg.longest[name]}, cell.seed),
        task[name]({size = cfg.batch, count = cfg.tests, longest = cfg.longest[name]}, 1000 + cell.seed)
end

local segment = paper:table{
    name = "segment", about = "F1 of whole segments, accuracy of the answer", synthetic = true, seeds = 3,
    vary = {{"softmax"}, {"sigmoid", distribution = "sigmoid"}, {"chain", distribution = "chain"},
        {"softmax, recurrent", encoder = true}, {"sigmoid, recurrent", distribution = "sigmoid", encoder = true},
        {"chain, recurrent", distribution = "chain", encoder = true}},
    run = function(cfg, cell)
        local train, tests = drawn("segment", cfg, cell)
        local model = Segmenter{words = train.vocabulary, answers = train.answers, dim = cfg.dim,
            encoder = cfg.encoder, distribution = cfg.distribution}
        local examples = {}
        local accuracy = learn(model, train, tests, cfg, cell, function(b)
            local logits, weights = model(b.source, b.source_lengths)
            if not model.training then
                for i, n in ipairs(b.source_lengths:totable()) do
                    examples[#examples + 1] = {weights[i]:narrow(1, 1, n):totable(), b.span[i]:totable()}
                end
                if #examples == #b.index then cell:keep("weights", weights:narrow(1, 1, math.min(8, #b.index))) end
            end
            return logits, b.answer
        end)
        return {f1 = 100 * segment_f1(examples), accuracy = accuracy}
    end}

local brackets = paper:table{
    name = "brackets", about = "parents found (argmax of the weights), kinds said", synthetic = true,
    vary = {{"softmax"}, {"tree", distribution = "tree"}},
    run = function(cfg, cell)
        local train, tests = drawn("brackets", cfg, cell)
        local model = Heads{words = train.vocabulary, dim = cfg.dim, hidden = cfg.hidden,
            distribution = cfg.distribution, answers = train.answers}
        local kinds = learn(model, train, tests, cfg, cell, function(b)
            local _, heads = model(b.source, b.source_lengths)
            return model.out(heads), b.target
        end)
        local parents = fit.accuracy(model, tests, function(b)
            local _, _, weights = model(b.source, b.source_lengths)
            local n = b.source_lengths[1]:item()
            cell:keep("weights", weights[1][{{1, n}, {1, n}}])
            return weights, b.parent
        end)
        return {parents = 100 * parents, kinds = kinds}
    end}

local sick = paper:table{
    name = "sick", about = "accuracy of the judgment", data = "sick",
    vary = {{"words", alone = true}, {"softmax"}, {"tree", distribution = "tree"}},
    run = function(cfg, cell)
        local sets, c = corpus.sick(cfg.data), cfg.sick
        local words = text.vocabulary(sets.train, {of = {"left"}, min_count = 2})
        local parts = data.parts(sets, {size = c.batch, seed = cell.seed, by = "left",
            fields = {left = words, right = words, class = "class"}})
        local model = Entailment{words = #words, dim = c.dim, hidden = c.hidden, dropout = c.dropout,
            classes = #sets.classes, distribution = cfg.distribution, alone = cfg.alone}
        return {accuracy = learn(model, parts.train, parts.test, c, cell,
            function(b) return model(b.left, b.left_lengths, b.right, b.right_lengths), b.class end)}
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
