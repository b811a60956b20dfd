-- ABCNN (Yin, Schuetze, Xiang and Zhou 2016): two sentences are compared by convolutions that see each other's words
-- attn scripts/reading/abcnn.lua [--data DIR]            3 minutes: synthetic pairs, TrecQA, WikiQA, SICK
--
-- On one's own pairs of ids, left [B, S] and right [B, T], with their lengths [B] (attn -I scripts):
--   local Pairs = require "reading.abcnn".Pairs
--   local model = Pairs{words = 5000, input = true, pool = true}       -- ABCNN-3; neither input nor pool: BCNN
--   local logits, seen = model(left, left_lengths, right, right_lengths)       -- [B, 2], attention [B, S, T]
--
-- Found: BCNN learns the pairs too, with twice the steps: the matrix makes it faster. Without word2vec, where only
-- equal words match, ABCNN-1 is as good as ABCNN-3 on TrecQA and WikiQA, both above ABCNN-2 and BCNN; the seeds differ
-- as much.
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, text = require "attn.study", require "attn.text"

-- A [B, S, T]: 1 / (1 + |x_i - y_j|), 0 where one of them is padding.
local function match(x, y, xmask, ymask) return xmask:unsqueeze(3) * ymask:unsqueeze(2) / (attn.cdist(x, y) + 1) end

local function mask(x, lengths) return attn.mask(lengths, x:size(2)):to(x.dtype) end

local Layer = attn.module "Layer"       -- wide convolution, then pooling of windows: as long as the sentence again
function Layer:init(cfg)
    self.input, self.pool, self.width = cfg.input, cfg.pool, cfg.width
    self.conv = attn.layer.conv1d{inputs = cfg.inputs * (cfg.input and 2 or 1), outputs = cfg.maps, kernel = cfg.width,
        padding = cfg.width - 1}
    if cfg.input then                   -- W_0, W_1: a vector for each place
        self.left = attn.parameter(attn.randn(cfg.length, cfg.inputs) * 0.1)
        self.right = attn.parameter(attn.randn(cfg.length, cfg.inputs) * 0.1)
    end
end
function Layer:forward(x, xn, y, yn)
    local seen
    if self.input then                  -- ABCNN-1: what a word is like in the other sentence is a second channel
        seen = match(x, y, mask(x, xn), mask(y, yn))
        x, y = attn.cat({x, seen:matmul(self.right:narrow(1, 1, y:size(2)))}, 3),
            attn.cat({y, seen:transpose(2, 3):matmul(self.left:narrow(1, 1, x:size(2)))}, 3)
    end
    local wide = self.width - 1
    x, y = self.conv(x):tanh(), self.conv(y):tanh()
    local xmask, ymask = mask(x, xn + wide), mask(y, yn + wide)
    x, y = x * xmask:unsqueeze(3), y * ymask:unsqueeze(3)
    if self.pool then                   -- ABCNN-2: a column counts as much as it is like those of the other sentence
        local a = match(x, y, xmask, ymask)
        seen = seen or a
        x, y = x * a:sum(3):unsqueeze(3) * self.width, y * a:sum(2):unsqueeze(3) * self.width
    end
    x, y = attn.avg_pool1d(x, self.width, {stride = 1}), attn.avg_pool1d(y, self.width, {stride = 1})
    return x * mask(x, xn):unsqueeze(3), y * mask(y, yn):unsqueeze(3), seen
end

local Pairs = attn.module "Pairs"
function Pairs:init(cfg)
    local dim, maps, layers = cfg.dim or 50, cfg.maps or 50, cfg.layers or 1
    self.learn = cfg.learn ~= false                     -- false: random word vectors that stay
    self.embed, self.layers = attn.layer.embedding{count = cfg.words, dim = dim}, {}
    for i = 1, layers do
        self.layers[i] = Layer{input = cfg.input, pool = cfg.pool, width = cfg.width or 4, length = cfg.length or 60,
            inputs = i == 1 and dim or maps, maps = maps}
    end
    self.out = attn.layer.linear{inputs = 2 * (1 + layers) + (cfg.more or 0), outputs = cfg.classes or 2}
end
function Pairs:forward(left, ln, right, rn, more)
    local x, y, features, first = self.embed(left), self.embed(right), {more}, nil
    if not self.learn then x, y = x:detach(), y:detach() end
    local function compare()                            -- all columns' means: cosine, and 1 / (1 + distance)
        local a, b = x:sum(2) / ln:to(x.dtype):unsqueeze(2), y:sum(2) / rn:to(x.dtype):unsqueeze(2)
        features[#features + 1] = attn.cosine_similarity(a, b, 2):unsqueeze(2)
        features[#features + 1] = 1 / (attn.cdist(a:unsqueeze(2), b:unsqueeze(2)):squeeze(3) + 1)
    end
    compare()
    for _, layer in ipairs(self.layers) do
        local seen
        x, y, seen = layer(x, ln, y, rn)
        first = first or seen
        compare()
    end
    return self.out(attn.cat(features, 2)), first
end

local paper = study{
    system = {"E1", "E2", "E3"}, paper = "Yin, Schuetze, Xiang, Zhou 2016, ABCNN: attention-based convolutional neural "
        .. "network for modeling sentence pairs, TACL 4",
    options = {layers = 1, batch = 32, most = 40, selection = {steps = 600, lr = 2e-2, dim = 50, maps = 50, width = 4},
        pairs = {steps = 2800, lr = 2e-2, dim = 24, maps = 24, width = 3, length = 15}},
    quick = {pairs = {steps = 4, dim = 4, maps = 4}, selection = {steps = 4, dim = 4, maps = 4}},
}
local variants = {{"BCNN"}, {"ABCNN-1", input = true}, {"ABCNN-2", pool = true}, {"ABCNN-3", input = true, pool = true}}

-- Trains; what the model says of a batch, and the answers. More of a model's options in `sizes`.
local function trained(cfg, o, cell, batches, sizes)
    for name, value in pairs{dim = o.dim, maps = o.maps, width = o.width, length = o.length, layers = cfg.layers,
        input = cfg.input, pool = cfg.pool} do sizes[name] = value end
    local model = Pairs(sizes)
    local function said(b)
        local logits, seen = model(b.left, b.left_lengths, b.right, b.right_lengths, b.more)
        return logits, b.answer, seen
    end
    fit{model = model, batches = batches, forward = said, steps = o.steps, lr = o.lr, cell = cell}
    return model, said
end

local synonyms = paper:table{
    name = "pairs", about = "the same said in other words, or one word not", synthetic = true, vary = variants,
    run = function(cfg, cell)
        local function make(count, seed)
            return attn.task.pairs({meanings = 40, synonyms = 3, shortest = 10, longest = 12, size = cfg.batch,
                count = count}, seed)
        end
        local train, test = make(10000, cell.seed), make(1000, 1000 + cell.seed)
        local model, said = trained(cfg, cfg.pairs, cell, train, {words = train.vocabulary})
        return {accuracy = fit.accuracy(model, test, said)}
    end,
}
paper:claim{"pairs with synonyms: ABCNN-3 beats BCNN by at least 8 points",
    synonyms["ABCNN-3"].accuracy - synonyms["BCNN"].accuracy, at_least = 0.08}

-- The paper's counts: words of the question that the answer has too, plain and by idf, here as shares.
local function shared(records)
    local df = {}
    for _, r in ipairs(records) do
        local seen = {}
        for _, word in ipairs(r.answer) do seen[word] = true end
        for word in pairs(seen) do df[word] = (df[word] or 0) + 1 end
    end
    return function(r)
        local inside, both, weight, total = {}, 0, 0, 0
        for _, word in ipairs(r.answer) do inside[word] = true end
        for _, word in ipairs(r.question) do
            local idf = math.log((#records + 1) / ((df[word] or 0) + 1))
            both, weight, total = both + (inside[word] and 1 or 0), weight + (inside[word] and idf or 0), total + idf
        end
        return {both / #r.question, weight / total}
    end
end

local function selection(name)
    return paper:table{
        name = name, about = "which sentences answer a question; word vectors are random", data = name,
        vary = variants, columns = {"map", "mrr"},
        run = function(cfg, cell)
            local sets = corpus[name](cfg.data, {most = cfg.most})
            local words = text.vocabulary({sets.train, sets.dev, sets.test}, {of = {"question", "answer"}})
            local parts = data.parts(sets, {size = cfg.batch, by = "right", seed = cell.seed, fields = {
                more = shared(sets.train), group = "group", good = "right",
                left = function(r) return words:encode(r.question) end,
                right = function(r) return words:encode(r.answer) end,
                answer = function(r) return r.right and 2 or 1 end}})
            local model, said = trained(cfg, cfg.selection, cell, parts.train,
                {words = #words, learn = false, more = 2})
            return fit.ranking(model, parts.test, function(b)
                local logits, _, seen = said(b)
                if seen and b.index[1] == 1 then
                    cell:keep("alike", seen[1], {rows = sets.test[1].question, columns = sets.test[1].answer})
                end
                return logits:log_softmax(-1):select(2, 2), b.good, b.group
            end)
        end,
    }
end
local trecqa = selection "trecqa"
selection "wikiqa"

paper:table{
    name = "sick", about = "neutral, entailment or contradiction; word vectors from nothing", data = "sick",
    vary = variants,
    run = function(cfg, cell)
        local sets = corpus.sick(cfg.data)
        local words = text.vocabulary(sets.train, {of = {"left", "right"}, min_count = 2})
        local parts = data.parts(sets, {fields = {left = words, right = words, answer = "class"}, size = cfg.batch,
            by = "right", seed = cell.seed})
        local model, said = trained(cfg, cfg.selection, cell, parts.train, {words = #words, classes = 3})
        return {accuracy = fit.accuracy(model, parts.test, said)}
    end,
}

for _, pair in ipairs{{"ABCNN-1", "BCNN"}, {"ABCNN-2", "BCNN"}, {"ABCNN-3", "ABCNN-1"}, {"ABCNN-3", "ABCNN-2"}} do
    paper:claim{("TrecQA, MAP: %s is not below %s"):format(pair[1], pair[2]), trecqa[pair[1]].map - trecqa[pair[2]].map,
        at_least = 0}
end
return paper:main{Pairs = Pairs, Layer = Layer, match = match}
