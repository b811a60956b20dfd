-- four_terms: a score is a sum of four terms; which of them does the work?
--
--   e_qk = x_q' U' V x_k  (1: content of query and key)      + x_q' U' R_{q-k}  (2: content of the query, where the key is)
--        + u' V x_k       (3: content of the key alone)      + v' R_{q-k}       (4: where the key is alone)
--
-- All sixteen subsets, in three places: self-attention that looks something up (recall), attention of a translator's
-- decoder to the source, self-attention of its encoder. Words are translated by a dictionary, none to two for each,
-- some change places.
--
-- Command    attn scripts/self_attention/four_terms.lua [--show]
-- Time       see scripts/README.md
-- Data       synthetic: pairs of a key and a value (task.recall), translation by dictionary (task.lookup)
-- Paper      Zhu et al. 2019, An empirical study of spatial attention mechanisms in deep networks (D9); terms as in Dai
--            et al. 2019
-- Found      Looked up: without term 1 63 points worse. Decoder: two points, undecided: the context says most. Encoder:
--            3.7 better without it; terms 2 and 3 alone are as good as all four, give or take 6.
-- Your own   local Terms = require "self_attention.four_terms".Terms         -- attn -I scripts yours.lua
--            local attend = Terms{terms = "124", dim = 64, span = 20}         -- places further than 20 apart count as 20
--            local context, weights = attend(x, y, lengths)                   -- [B, T, 64], [B, S, 64], of y
local attn = require "attn"
local fit, study, task = require "attn.fit", require "attn.study", require "attn.task"

local paper = study{
    system = {"D9"},
    paper = "Zhu et al. 2019, An empirical study of spatial attention mechanisms in deep networks, ICCV",
    options = {dim = 32, span = 10, batch = 16, lr = 5e-3, tests = 200, recall = {pairs = 5, steps = 400},
        lookup = {words = 20, shortest = 10, longest = 14, steps = 300}},
    quick = {dim = 4, batch = 2, tests = 2, recall = {steps = 2}, lookup = {steps = 2}},
}

local function linear(inputs, outputs, bias)
    return attn.layer.linear{inputs = inputs, outputs = outputs, bias = bias or false}
end
local function learned(...) return (attn.randn(...) * 0.1):requires_grad_(true) end

local Terms = attn.module "Terms"

function Terms:init(c)
    self.terms, self.span = c.terms, c.span
    self.value, self.out = linear(c.dim, c.dim), linear(c.dim, c.dim)
    local function has(set) return c.terms:find(set) ~= nil end
    if has "[12]" then self.query = linear(c.dim, c.dim) end
    if has "[13]" then self.key = linear(c.dim, c.dim) end
    if has "[24]" then self.place = learned(2 * c.span + 1, c.dim) end         -- R from -span to span
    if has "3" then self.u = learned(c.dim) end
    if has "4" then self.v = learned(c.dim) end
end

-- What meets the keys (terms "1" and "3") or the places ("2" and "4"): [B, T or 1, D], nil if neither is there.
local function meets(self, query, content, alone, bias)
    query = self.terms:find(content) and query or nil
    if not self.terms:find(alone) then return query end
    return query and query + bias or bias:reshape(1, 1, -1)
end

function Terms:forward(x, y, lengths)           -- [B, T, D], [B, S, D], [B]
    local B, T, S = #x, x:size(2), y:size(2)
    local query, e = self.query and self.query(x) * x:size(3) ^ -0.5, attn.zeros(B, T, S, {dtype = x.dtype})
    local keys, places = meets(self, query, "1", "3", self.u), meets(self, query, "2", "4", self.v)
    if keys then e = e + keys:matmul(self.key(y):transpose(2, 3)) end
    if places then
        local apart = (attn.arange(1, T, 1):unsqueeze(2) - attn.arange(1, S, 1):unsqueeze(1)):to "float32"
        local index = (apart:clamp(-self.span, self.span) + self.span + 1):to "int64"
        local all = places:matmul(self.place:transpose(1, 2))                   -- [B or 1, T or 1, 2 span + 1]
        e = e + all:expand(B, T, 2 * self.span + 1):gather(3, index:unsqueeze(1):expand(B, T, S))
    end
    local weights = e:masked_fill(~attn.mask(lengths, S):unsqueeze(2), -math.huge):softmax(-1)
    return self.out(weights:matmul(self.value(y))), weights
end

-- The value of a key asked for at the end of pairs.
local Recall = attn.module "Recall"
function Recall:init(c, b)
    self.keys = b.options.keys
    self.embed = attn.layer.embedding{count = b.vocabulary + b.options.keys, dim = c.dim}
    self.attend, self.out = Terms(c), linear(c.dim, b.answers, true)
end
function Recall:forward(b)
    local two = b.source:reshape(#b.source, -1, 2)
    local x = self.embed(two:select(3, 1)) + self.embed(two:select(3, 2))
    x = attn.cat({x, self.embed(b.query + self.embed.weight:size(1) - self.keys):unsqueeze(2)}, 2)
    local read, weights = self.attend(x, x, attn.full({#x}, x:size(2), {dtype = "int64"}))
    return self.out(read:select(2, -1)), b.answer, weights
end

-- A Transformer of one block on either side; the terms are those of its encoder, or of its decoder's look at the
-- source.
local Translator = attn.module "Translator"
function Translator:init(c, b, side)
    local function terms(of) return Terms{terms = of == side and c.terms or "1234", dim = c.dim, span = c.span} end
    local function norm() return attn.layer.layernorm{dim = c.dim} end
    local function ff() return {norm(), linear(c.dim, 2 * c.dim, true), linear(2 * c.dim, c.dim, true)} end
    self.side = side
    self.source = attn.layer.embedding{count = b.vocabulary, dim = c.dim}
    self.target = attn.layer.embedding{count = b.targets, dim = c.dim}
    self.encoder, self.encoder_norm, self.encoder_ff = terms "encoder", norm(), ff()
    self.own, self.own_norm = attn.attention{query = c.dim, heads = 2, position = "rope"}, norm()
    self.decoder, self.decoder_norm, self.decoder_ff = terms "decoder", norm(), ff()
    self.out = linear(c.dim, b.targets, true)
end
local function feed(parts, x) return x + parts[3](parts[2](parts[1](x)):relu()) end
function Translator:forward(b)
    local x, y = self.source(b.source), self.target(b.target_in)
    local z = self.encoder_norm(x)
    local read, inside = self.encoder(z, z, b.source_lengths)
    x = feed(self.encoder_ff, x + read)
    z = self.own_norm(y)
    y = y + self.own(z, z, z, {causal = true})
    local across
    read, across = self.decoder(self.decoder_norm(y), x, b.source_lengths)
    y = feed(self.decoder_ff, y + read)
    return self.out(y), b.target_out, self.side == "encoder" and inside or across
end

local rows = {}
for set = 0, 15 do
    local terms = ""
    for term = 1, 4 do terms = terms .. (set >> (term - 1) & 1 == 1 and term or "") end
    rows[#rows + 1] = {terms == "" and "none" or terms, terms = terms}
end
table.sort(rows, function(a, b) return #a.terms < #b.terms or #a.terms == #b.terms and a.terms < b.terms end)

local result = paper:table{
    name = "terms", about = "right in %: values looked up; words translated, with such a decoder, with such an encoder",
    synthetic = true, vary = rows, columns = {"recall", "decoder", "encoder"},
    run = function(cfg, cell)
        local out = {}
        for _, name in ipairs{"recall", "decoder", "encoder"} do
            local c = name == "recall" and cfg.recall or cfg.lookup
            local function draw(count, seed)
                if c.pairs then return task.recall({size = cfg.batch, count = count, pairs = c.pairs}, seed) end
                return task.lookup({size = cfg.batch, count = count, words = c.words, shortest = c.shortest,
                    longest = c.longest}, seed)
            end
            local batches, tests = draw(c.steps * cfg.batch, cell.seed), draw(cfg.tests, 1000 + cell.seed)
            attn.seed(cell.seed)
            local model = (name == "recall" and Recall or Translator)(cfg, batches, name)
            fit{model = model, batches = batches, steps = c.steps, cell = name == "recall" and cell or nil,
                schedule = attn.schedule.cosine{steps = c.steps, lr = cfg.lr},
                loss = function(b)
                    local logits, target = model(b)
                    return attn.loss.cross_entropy(logits, target)
                end}
            out[name] = 100 * fit.accuracy(model, tests, function(b) return model(b) end)
            fit.each(model, tests, function(b) cell:keep(name, select(3, model(b))[1]) end)
        end
        return out
    end,
}
paper:claim{"D9: recall: content of query and key is vital: without it at least 20 points worse",
    result["1234"].recall - result["234"].recall, at_least = 20}
paper:claim{"D9: decoder: without content of query and key more than a point worse",
    result["1234"].decoder - result["234"].decoder, at_least = 1}
paper:claim{"D9: encoder: without content of query and key less than a point worse",
    result["1234"].encoder - result["234"].encoder, at_most = 1}
paper:claim{"D9: encoder: terms 2 and 3 do most of the work: alone less than a point worse than all four",
    result["1234"].encoder - result["23"].encoder, at_most = 1}

return paper:main{Terms = Terms, Recall = Recall, Translator = Translator}
