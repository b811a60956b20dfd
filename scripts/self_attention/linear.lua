-- linear: attention whose cost for each word does not grow with what has been read.
--
-- With weights phi(q_i) . phi(k_j), phi = elu + 1, the sums S = sum_j phi(k_j) v_j' and z = sum_j phi(k_j) are all that
-- is kept of what was read: a recurrent network with a state of fixed size, which cannot tell many pairs apart.
--
-- Command    attn scripts/self_attention/linear.lua [--data DIR] [--show]         also pictures that are completed
-- Time       see scripts/README.md
-- Data       mnist, as 14 x 14 black or white points; pairs of a key and a value (task.recall): synthetic
-- Paper      Katharopoulos et al. 2020, Transformers are RNNs: fast autoregressive transformers with linear attention
-- Found      A word costs the same after 64 words and after 4096, with softmax 63 times as much. Digits: 0.008 bits a
--            point behind softmax. Of many pairs linear finds 37 points fewer.
-- Your own   local Painter = require "self_attention.linear".Painter              -- attn -I scripts yours.lua
--            local model = Painter{score = "linear", points = 196, dim = 32, heads = 4, layers = 2}
--            local logits = model(points)         -- ids [B, 196], 1 white, 2 black, to [B, 196], of being black
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task = require "attn.study", require "attn.task"

local paper = study{
    system = {"F10"}, paper = "Katharopoulos et al. 2020, Transformers are RNNs, ICML",
    options = {dim = 32, heads = 4, layers = 2, batch = 8, steps = 300, lr = 5e-3, examples = 3000, tests = 200,
        recall = {keys = 32, values = 16, batch = 32, steps = 1000, lr = 5e-3, tests = 500},
        cost = {dim = 64, batch = 16, repeats = 30}},
    quick = {dim = 4, heads = 2, layers = 1, batch = 2, steps = 2, examples = 10, tests = 2,
        recall = {batch = 2, steps = 2, tests = 2}, cost = {dim = 8, batch = 1, repeats = 1}},
}

local function encoder(c, score)
    return attn.encoder.transformer{dim = c.dim, heads = c.heads, layers = c.layers, ff = 2 * c.dim, dropout = 0,
        attention = {score = score}}
end

local Painter = attn.module "Painter"           -- each point from those before it

function Painter:init(c)
    self.embed = attn.layer.embedding{count = 3, dim = c.dim}              -- white, black, the start
    self.place = attn.layer.positional{dim = c.dim, type = "learned", max_length = c.points}
    self.encoder = encoder(c, c.score)
    self.out = attn.layer.linear{inputs = c.dim, outputs = 1}
end

function Painter:forward(points)                -- [B, T]
    local start = attn.full({#points, 1}, 3, {dtype = "int64"})
    local before = attn.cat({start, points:narrow(2, 1, points:size(2) - 1)}, 2)
    return self.out(self.encoder(self.place(self.embed(before)), {causal = true})):squeeze(3)
end

function Painter:step(before, state)            -- [B], nil at the start
    local t = state and state.t or 1
    local x = self.place(self.embed(before):unsqueeze(2), {position = t}):squeeze(2)
    local y, hidden = self.encoder:step(x, state and state.hidden)
    return self.out(y):squeeze(2), {t = t + 1, hidden = hidden}
end

-- The points from place `from` on are drawn from the model, one by one.
function Painter:complete(points, from)         -- [B, T] -> [B, T]
    local before, state, logits, out = attn.full({#points}, 3, {dtype = "int64"}), nil, nil, {}
    for t = 1, points:size(2) do
        logits, state = self:step(before, state)
        before = t < from and points:select(2, t) or attn.dist.bernoulli{logits = logits}:sample():to "int64" + 1
        out[t] = before
    end
    return attn.stack(out, 2)
end

local scores = {{"linear", score = "linear"}, {"softmax", score = "scaled_dot"}}

local agree = paper:table{
    name = "agree", about = "the greatest difference between all words at once and one after the other",
    synthetic = true, vary = scores, better = {difference = "none"},
    run = function(cfg)
        local layer, x = encoder(cfg, cfg.score):eval(), attn.randn(2, 200, cfg.dim)
        return attn.no_grad(function()
            local all, y, state, most = layer(x, {causal = true}), nil, nil, 0
            for t = 1, x:size(2) do
                y, state = layer:step(x:select(2, t), state)
                most = math.max(most, (y - all:select(2, t)):abs():max():item())
            end
            return {difference = most}
        end)
    end,
}
paper:claim{"F10: the parallel and the recurrent form agree to 1e-5",
    agree.linear.difference, at_most = 1e-5, exact = true}

-- Microseconds of a step when so many words have been read: the best of several.
local cost = paper:table{
    name = "cost", about = "microseconds of the next word after so many words", jobs = 1, vary = scores,
    columns = {"words_64", "words_512", "words_4096"},
    better = {words_64 = "less", words_512 = "less", words_4096 = "less"},
    run = function(cfg)
        local c, out = cfg.cost, {}
        local attend = attn.attention{query = c.dim, heads = cfg.heads, score = cfg.score}
        local function read(cache, words)
            local x = attn.randn(c.batch, words, c.dim)
            local began = attn.clock()
            attn.no_grad(attend, x, x, x, {cache = cache, causal = true})
            return 1e6 * (attn.clock() - began)
        end
        for _, words in ipairs{64, 512, 4096} do
            local cache, best = attend:cache(), math.huge
            for _ = 1, words, 64 do read(cache, 64) end
            for _ = 0, c.repeats do best = math.min(best, read(cache, 1)) end
            out["words_" .. words] = best
        end
        return out
    end,
}
paper:claim{"F10: linear: a word costs the same wherever it stands: after 4096 words at most 1.5 times that after 64",
    cost.linear.words_4096 / cost.linear.words_64, at_most = 1.5}
paper:claim{"F10: softmax with a cache: it costs more the more there is: at least 3 times as much",
    cost.softmax.words_4096 / cost.softmax.words_64, at_least = 3}

local function points_of(images)                -- uint8 [n, 1, 28, 28] -> ids [n, 196]
    return attn.avg_pool2d(images:to "float32" / 255, 2):ge(0.5):to("int64"):reshape(#images, -1) + 1
end

local digits = paper:table{
    name = "digits", about = "14 x 14 points, black or white, each from those before: bits a point", data = "mnist",
    vary = scores, columns = {"bits", "seconds"}, better = {bits = "less", seconds = "less"},
    run = function(cfg, cell)
        local function batches(part, count)
            local points = points_of(corpus.mnist(cfg.data, {part = part})[part].images:narrow(1, 1, count))
            return data.batches{fields = {points = points}, size = cfg.batch, seed = cell.seed}
        end
        cfg.points = 196
        local model = Painter(cfg)
        local function loss(b) return attn.loss.bce_logits(model(b.points), b.points:to "float32" - 1) end
        local history = fit{model = model, batches = batches("train", cfg.examples), steps = cfg.steps, lr = cfg.lr,
            schedule = "cosine", cell = cell, loss = loss}
        local tests = batches("test", cfg.tests)
        local bits = fit.means(model, tests, function(b) return {mean = loss(b):item() / math.log(2)} end).mean
        local pictures = attn.no_grad(model.complete, model:eval(), tests:epoch(1)().points, 99)
        cell:keep("lower halves drawn by the model", (2 - pictures):to "float32":reshape(-1, 1, 14, 14), {as = "image"})
        return {bits = bits, seconds = history.seconds}
    end,
}
paper:claim{"F10: digits: linear is within 0.03 bits a point of softmax",
    digits.linear.bits - digits.softmax.bits, at_most = 0.03}

local Reader = attn.module "Reader"             -- pairs, and at the end the key that is asked for

function Reader:init(c, score)
    self.key = attn.layer.embedding{count = c.keys, dim = c.dim}
    self.value = attn.layer.embedding{count = c.values, dim = c.dim}
    self.asked = attn.layer.embedding{count = c.keys, dim = c.dim}
    self.encoder = encoder(c, score)
    self.out = attn.layer.linear{inputs = c.dim, outputs = c.values}
end

function Reader:forward(source, query)          -- [B, 2 P], [B] -> [B, values]
    local two = source:reshape(#source, -1, 2)
    local keys = two:select(3, 1)
    local x = self.key(keys) + self.value(two:select(3, 2) - self.key.weight:size(1))
    return self.out(self.encoder(attn.cat({x, self.asked(query):unsqueeze(2)}, 2)):select(2, -1))
end

local recall = paper:table{
    name = "recall", about = "the value of one key among so many pairs, in %", synthetic = true,
    vary = {{"linear, 4 pairs", score = "linear", pairs = 4}, {"softmax, 4 pairs", score = "scaled_dot", pairs = 4},
        {"linear, 32 pairs", score = "linear", pairs = 32}, {"softmax, 32 pairs", score = "scaled_dot", pairs = 32}},
    run = function(cfg, cell)
        local r = cfg.recall
        local train, test = fit.drawn(task.recall, {pairs = cfg.pairs, keys = r.keys, values = r.values, size = r.batch,
            train = r.steps * r.batch, test = r.tests}, cell.seed)
        r.dim, r.heads, r.layers = cfg.dim, cfg.heads, cfg.layers
        local model = Reader(r, cfg.score)
        local function answer(b) return model(b.source, b.query), b.answer end
        fit{model = model, batches = train, steps = r.steps, lr = r.lr, schedule = "cosine", warmup = r.steps // 20,
            forward = answer, cell = cell}
        return {accuracy = 100 * fit.accuracy(model, test, answer)}
    end,
}
paper:claim{"F10: recall: among many pairs linear is worse than softmax",
    recall["softmax, 32 pairs"].accuracy - recall["linear, 32 pairs"].accuracy, at_least = 0}

return paper:main{Painter = Painter, Reader = Reader, points_of = points_of}
