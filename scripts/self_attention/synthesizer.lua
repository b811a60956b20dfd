-- synthesizer: attention whose weights no key takes part in: learned from the word itself, or the same table for every
-- sentence.
--
--   dense               S_i = W2 relu(W1 x_i)                  factorised random   S = R1 R2', of rank k
--   random, fixed       S = R, learned or left as it was       mixture             S = sum_n alpha_n S_n
--   factorised dense    S_ij = A(x_i)_p B(x_i)_r, j the pair (p, r)
--
-- Command    attn scripts/self_attention/synthesizer.lua [--data DIR] [--show]
-- Time       see scripts/README.md
-- Data       tiny Shakespeare (loss in perplexity a character); pairs of a key and a value (task.recall): synthetic
-- Paper      Tay et al. 2021, Synthesizer: rethinking self-attention for Transformer models (F8)
-- Found      Characters: learned random weights say them as well as dot product (perplexity 9.0 and 9.1), fixed ones do
--            not (10.9), dense and mixtures do better. Recall: dot product always finds the value; without it one that
--            is there is guessed (20 %).
-- Your own   local Network = require "self_attention.synthesizer".Network       -- attn -I scripts yours.lua
--            local model = Network{kinds = {"random", "dot"}, words = 65, outputs = 65, dim = 32, heads = 4,
--                layers = 2, length = 32}
--            local logits, weights = model(ids, true)   -- causal, [B, T] -> [B, T, 65], of the last layer [B, H, T, T]
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"
local task, text = require "attn.task", require "attn.text"

local paper = study{
    system = {"F8"}, paper = "Tay et al. 2021, Synthesizer: rethinking self-attention for Transformer models, ICML",
    options = {dim = 32, heads = 4, layers = 2, rank = 4, length = 16, batch = 32, steps = 600, lr = 1e-2,
        windows = 300, recall = {pairs = 8, keys = 10, values = 20, batch = 32, steps = 2200, lr = 5e-3, tests = 500}},
    quick = {dim = 8, layers = 1, length = 8, batch = 2, steps = 2, windows = 2,
        recall = {batch = 2, steps = 2, tests = 4}},
}

local function linear(inputs, outputs) return attn.layer.linear{inputs = inputs, outputs = outputs} end
local function learned(deviation, ...) return (attn.randn(...) * deviation):requires_grad_(true) end

-- Scores [B or 1, H, T, T] of each kind: what it learns, and how they come from x [B, T, dim].
local kinds = {}

local function heads_of(x, heads) return x:reshape(#x, x:size(2), heads, -1):transpose(2, 3) end     -- [B, H, T, .]

kinds.dot = {init = function(c) return {query = linear(c.dim, c.dim), key = linear(c.dim, c.dim)} end,
    scores = function(p, x, c)
        local q, k = heads_of(p.query(x), c.heads), heads_of(p.key(x), c.heads)
        return q:matmul(k:transpose(3, 4)) * (c.dim // c.heads) ^ -0.5
    end}

kinds.dense = {init = function(c) return {first = linear(c.dim, c.dim), second = linear(c.dim, c.heads * c.length)} end,
    scores = function(p, x, c, T) return heads_of(p.second(p.first(x):relu()), c.heads):narrow(4, 1, T) end}

kinds["factorised dense"] = {
    init = function(c)                  -- the length is a product of a and b, as near to one another as can be
        local a = math.floor(c.length ^ 0.5)
        while c.length % a > 0 do a = a - 1 end
        return {a = linear(c.dim, c.heads * a), b = linear(c.dim, c.heads * (c.length // a))}
    end,
    scores = function(p, x, c, T)
        local a, b = heads_of(p.a(x), c.heads), heads_of(p.b(x), c.heads)
        local product = a:unsqueeze(5) * b:unsqueeze(4)                         -- [B, H, T, a, b]
        return product:reshape(#x, c.heads, T, c.length):narrow(4, 1, T)
    end}

local function corner(s, T) return s:narrow(2, 1, T):narrow(3, 1, T):unsqueeze(1) end
kinds.random = {init = function(c) return {r = learned(0.1, c.heads, c.length, c.length)} end,
    scores = function(p, _, _, T) return corner(p.r, T) end}
kinds.fixed = {init = function(c) return {r = attn.randn(c.heads, c.length, c.length)} end,
    scores = kinds.random.scores}
kinds["factorised random"] = {
    init = function(c)                  -- products of deviation 0.1
        local deviation = 0.1 ^ 0.5 * c.rank ^ -0.25
        return {r1 = learned(deviation, c.heads, c.length, c.rank), r2 = learned(deviation, c.heads, c.length, c.rank)}
    end,
    scores = function(p, _, _, T) return corner(p.r1:matmul(p.r2:transpose(2, 3)), T) end}

local Attention = attn.module "Attention"

function Attention:init(c)
    self.c, self.parts = {kinds = c.kinds, dim = c.dim, heads = c.heads, length = c.length}, {}
    for i, kind in ipairs(c.kinds) do self.parts[i] = kinds[kind].init(c) end
    if #c.kinds > 1 then self.mixture = attn.zeros(#c.kinds):requires_grad_(true) end
    self.value, self.out = linear(c.dim, c.dim), linear(c.dim, c.dim)
end

function Attention:forward(x, causal)
    local c, T, sum = self.c, x:size(2), nil
    local alpha = self.mixture and self.mixture:softmax()
    for i, kind in ipairs(c.kinds) do
        local s = kinds[kind].scores(self.parts[i], x, c, T)
        if alpha then s = s * alpha[i] end
        sum = sum and sum + s or s
    end
    if causal then sum = sum:masked_fill(attn.ones(T, T):tril():eq(0), -math.huge) end
    local weights = sum:softmax(-1)
    local read = weights:matmul(heads_of(self.value(x), c.heads))
    return self.out(read:transpose(2, 3):reshape(#x, T, c.dim)), weights
end

local Network = attn.module "Network"

function Network:init(c)
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.place = attn.layer.positional{dim = c.dim, type = "learned", max_length = c.length}
    self.blocks = {}
    for i = 1, c.layers do
        self.blocks[i] = {attention = Attention(c),
            norm1 = attn.layer.layernorm{dim = c.dim}, norm2 = attn.layer.layernorm{dim = c.dim},
            ff1 = linear(c.dim, 2 * c.dim), ff2 = linear(2 * c.dim, c.dim)}
    end
    self.norm, self.out = attn.layer.layernorm{dim = c.dim}, linear(c.dim, c.outputs)
end

function Network:forward(ids, causal)           -- [B, T]
    local x, weights = self.place(self.embed(ids)), nil
    for _, block in ipairs(self.blocks) do
        local read
        read, weights = block.attention(block.norm1(x), causal)
        x = x + read
        x = x + block.ff2(block.ff1(block.norm2(x)):relu())
    end
    return self.out(self.norm(x)), weights
end

local rows = {{"dot"}, {"random + dot", kinds = {"random", "dot"}}, {"dense + dot", kinds = {"dense", "dot"}},
    {"dense"}, {"factorised dense"}, {"random"}, {"factorised random"}, {"fixed"}}
for _, row in ipairs(rows) do row.kinds = row.kinds or {row[1]} end

local characters = paper:table{
    name = "characters", about = "perplexity a character of the text's end", data = "tinyshakespeare", vary = rows,
    columns = {"perplexity", "seconds", "parameters"},
    better = {perplexity = "less", seconds = "less", parameters = "none"},
    run = function(cfg, cell)
        local ids, alphabet = text.characters(corpus.tinyshakespeare(cfg.data))
        cfg.words, cfg.outputs = #alphabet, #alphabet
        local model, T = Network(cfg), cfg.length
        local training = data.windows(ids.train, {length = T, size = cfg.batch, seed = cell.seed})
        local history = fit{model = model, steps = cfg.steps, lr = cfg.lr, schedule = "cosine", cell = cell,
            warmup = cfg.steps // 20, batches = function(step) return training:draw(step) end,
            forward = function(b) return (model(b.x, true)), b.y end}
        local nats = fit.means(model, data.windows(ids.dev, {length = T, most = cfg.windows}), function(b)
            local logits, weights = model(b.x, true)
            cell:keep("weights of the last layer", weights[1])
            return {mean = attn.loss.cross_entropy(logits, b.y, {reduction = "none"})}
        end).mean
        return {perplexity = math.exp(nats), seconds = history.seconds, parameters = model:count()}
    end,
}
paper:claim{"F8: characters: learned random weights are within 10 % of the perplexity of dot product",
    characters.random.perplexity / characters.dot.perplexity, at_most = 1.1}
paper:claim{"F8: characters: learned random weights are better than fixed ones",
    characters.fixed.perplexity - characters.random.perplexity, at_least = 0}
paper:claim{"F8: characters: random and dot product together are no worse than dot product, within 1 %",
    characters["random + dot"].perplexity / characters.dot.perplexity, at_most = 1.01}

-- A pair is one word, so that a single look finds the key and its value; the key asked for stands at the end.
local function pairs_of(b, keys, values)
    local source = b.source:reshape(#b.source, -1, 2)
    local key, value = source:select(3, 1), source:select(3, 2) - keys
    return attn.cat({(key - 1) * values + value, (b.query + keys * values):unsqueeze(2)}, 2)
end

local recall = paper:table{
    name = "recall", about = "the value of one of eight keys, in % (a value that is there: 12.5)", synthetic = true,
    vary = {rows[1], rows[2], rows[4], rows[6]},
    run = function(cfg, cell)
        local r = cfg.recall
        local train, test = fit.drawn(task.recall, {pairs = r.pairs, keys = r.keys, values = r.values, size = r.batch,
            train = r.steps * r.batch, test = r.tests}, cell.seed)
        cfg.words, cfg.outputs, cfg.length = r.keys * r.values + r.keys, r.values, r.pairs + 1
        local model = Network(cfg)
        local function answer(b) return model(pairs_of(b, r.keys, r.values)):select(2, -1), b.answer end
        fit{model = model, batches = train, steps = r.steps, lr = r.lr, schedule = "cosine", warmup = r.steps // 20,
            forward = answer, cell = cell}
        return {accuracy = 100 * fit.accuracy(model, test, answer)}
    end,
}
paper:claim{"F8: recall: dot product solves it, above 99 %", recall.dot.accuracy, at_least = 99}
for _, kind in ipairs{"random", "dense"} do
    paper:claim{("F8: recall: %s alone does not: below 30 %%"):format(kind), recall[kind].accuracy, at_most = 30}
end

return paper:main{Network = Network, Attention = Attention, pairs_of = pairs_of}
