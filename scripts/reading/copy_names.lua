-- copy_names: names for pieces of code by convolutional attention, with a gate that copies what no vocabulary has.
--
--   L1 = relu(conv(E c)), L2 = conv(L1) o h, L = L2 / |L2|             h: a GRU over the name so far
--   alpha, kappa = softmax(conv(L)), lambda = max sigmoid(conv(L))     where to look, what to copy, whether to
--   p(y) = lambda sum_i kappa_i [c_i = y] + (1 - lambda) n(y)          n = softmax(E sum_i alpha_i E c_i + b)
--
-- Bodies are made up: { noise self . FIELD noise of . OWNER noise KIND noise }, the name is VERB FIELD OWNER, the verb
-- by the kind. Half of the fields and owners are words that no vocabulary has; so are words of the noise.
--
-- Command    attn scripts/reading/copy_names.lua
-- Time       1 minute on two cores
-- System     A12; Allamanis, Peng and Sutton 2016; coverage: See, Liu and Manning 2017
-- Found      with the gate every unseen word is copied, without it none can be; coverage looks twice less often
-- Your data  local names = require "reading.copy_names"                                          (attn -I scripts)
--            local model = names.Namer{words = 900, dim = 32, features = 32, copy = true, unknown = 8}
--            local p = model(source, source_lengths, target_in)    ids above words: those of the text alone
local attn = require "attn"
local data, fit, study = require "attn.data", require "attn.fit", require "attn.study"

local UNKNOWN = 1

local Namer = attn.module "Namer"

function Namer:init(c)                  -- words: the vocabulary; unknown: how many other words a text may have
    self.words, self.unknown, self.copy = c.words, c.unknown, c.copy
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.first = attn.layer.conv1d{inputs = c.dim, outputs = c.features, kernel = c.kernel or 3, padding = "same"}
    self.second = attn.layer.conv1d{inputs = c.features, outputs = c.features, kernel = c.kernel or 3, padding = "same"}
    self.scores = attn.layer.conv1d{inputs = c.features, outputs = c.copy and 3 or 1, kernel = c.kernel or 3,
        padding = "same"}
    self.name = attn.encoder.rnn{inputs = c.dim, hidden = c.features}
    self.bias = attn.zeros(c.words):requires_grad_(true)
end

---The vocabulary's id, UNKNOWN for a word that it has not.
function Namer:known(ids) return attn.where(ids:le(self.words), ids, UNKNOWN) end

-- source [B, S], [B], target [B, T], all steps at once -> p [B, T, words + unknown], alpha, kappa [B, T, S],
-- lambda [B, T, 1]
function Namer:forward(source, lengths, target)
    local B, S, T = #source, source:size(2), target:size(2)
    local body, h = self.embed(self:known(source)), self.name(self.embed(self:known(target)))
    local inside = attn.arange(1, S):unsqueeze(1):le(lengths:unsqueeze(2))                              -- [B, S]
    local place = inside:to(h.dtype):unsqueeze(3)
    local features = self.second(self.first(body):relu() * place) * place
    features = features:unsqueeze(2) * h:unsqueeze(3)                                                   -- [B, T, S, F]
    features = features / (features:square():sum(4, true):sum(3, true) + 1e-12):sqrt()
    local scores = self.scores(features:reshape(B * T, S, h:size(3))):reshape(B, T, S, self.copy and 3 or 1)
    scores = scores:masked_fill(inside:logical_not():unsqueeze(2):unsqueeze(4), -math.huge)
    local alpha = scores:select(4, 1):softmax(3)
    local p = (alpha:matmul(body):matmul(self.embed.weight:transpose(1, 2)) + self.bias):softmax(3)
    p = attn.pad(p, 3, 0, self.unknown)
    if not self.copy then return p, alpha end
    local kappa, lambda = scores:select(4, 2):softmax(3), scores:select(4, 3):sigmoid():max(3, true)
    return (p * (1 - lambda)):scatter_add(3, source:unsqueeze(2):expand(B, T, S), kappa * lambda), alpha, kappa, lambda
end

-- Bodies and names: ids of structure, of the kinds and their verbs, of the words; above them what no vocabulary has ---

local BOS, EOS, OPEN, CLOSE, SELF, OF, DOT, STRUCTURE = 2, 3, 4, 5, 6, 7, 8, 8
local KINDS = 5

local function bodies(cfg, count, seed)
    local first = STRUCTURE + 2 * KINDS              -- kind k is STRUCTURE + k, its verb STRUCTURE + KINDS + k
    local total, lists = first + cfg.words, {source = {}, target = {}}
    for i = 1, count do
        local draw, fresh = data.random(seed, i), 0
        local function word(share)
            if fresh < cfg.unknown and draw() < share then
                fresh = fresh + 1
                return total + fresh                            -- told apart within its body only
            end
            return first + draw(cfg.words)
        end
        local field, owner, kind = word(0.5), word(0.5), draw(KINDS)
        local parts, body = data.shuffle({{SELF, DOT, field}, {OF, DOT, owner}, {STRUCTURE + kind}}, draw), {OPEN}
        for _, part in ipairs(parts) do
            for _ = 1, draw(cfg.noise) do body[#body + 1] = word(0.2) end
            table.move(part, 1, #part, #body + 1, body)
        end
        body[#body + 1] = CLOSE
        lists.source[i], lists.target[i] = body, {STRUCTURE + KINDS + kind, field, owner}
    end
    return data.batches{fields = lists, shift = {"target"}, bos = BOS, eos = EOS, size = cfg.batch, seed = seed}, total
end

local SPELT = {"<unk>", "<s>", "</s>", "{", "}", "self", "of", "."}

local function spell(ids, total)
    local out = {}
    for i, id in ipairs(ids) do
        local kind = id - STRUCTURE
        out[i] = SPELT[id] or kind <= KINDS and "kind" .. kind or kind <= 2 * KINDS and "verb" .. kind - KINDS
            or id <= total and "word" .. kind - 2 * KINDS or "new" .. id - total
    end
    return out
end

---How much of what is looked at had been looked at before: sum of min(a_t, a_1 + ... + a_t-1), a mean over names.
local function repeated(weights)
    return attn.minimum(weights, weights:cumsum(2) - weights):sum() / #weights
end

local paper = study{
    system = {"A12"},
    paper = "Allamanis, Peng, Sutton 2016, A convolutional attention network for extreme summarization of source "
        .. "code, ICML",
    options = {dim = 32, features = 32, words = 100, unknown = 4, noise = 4, steps = 400, batch = 64, lr = 5e-3,
        coverage = 0, tests = 1000},
    quick = {dim = 4, features = 4, steps = 3, batch = 4, tests = 8},
}

local t = paper:table{
    name = "names", about = "words of the name that are right, given those before", synthetic = true,
    vary = {{"attention"}, {"copy", copy = true}, {"copy, coverage", copy = true, coverage = 0.1}},
    better = {again = "less"},
    run = function(cfg, cell)
        local batches, total = bodies(cfg, cfg.steps * cfg.batch, cell.seed)
        local tests = bodies(cfg, cfg.tests, 1000 + cell.seed)
        local model = Namer{words = total, dim = cfg.dim, features = cfg.features, unknown = cfg.unknown,
            copy = cfg.copy}
        local function read(b) return model(b.source, b.source_lengths, b.target_in) end
        fit{model = model, batches = batches, steps = cfg.steps, lr = cfg.lr, cell = cell,
            schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps}, loss = function(b)
                local p, alpha, kappa = read(b)
                local logp = p:clamp(1e-10, 1):log()
                local loss = attn.loss.nll(logp, cfg.copy and b.target_out or model:known(b.target_out))
                return cfg.coverage == 0 and loss or loss + cfg.coverage * (repeated(alpha) + repeated(kappa))
            end}
        local right, count, again = {seen = 0, unseen = 0}, {seen = 0, unseen = 0}, 0
        fit.each(model, tests, function(b)
            local p, alpha, kappa = read(b)
            local hit, unseen = p:argmax(3):eq(b.target_out), b.target_out:gt(total)
            for name, which in pairs{unseen = unseen, seen = b.target_out:gt(0) & unseen:logical_not()} do
                right[name] = right[name] + (hit & which):sum():item()
                count[name] = count[name] + which:sum():item()
            end
            again = again + repeated(kappa or alpha):item() * #b.index / cfg.tests
            local body = b.source[1]:narrow(1, 1, b.source_lengths[1]:item()):totable()
            cell:keep("weights", (kappa or alpha)[1]:narrow(2, 1, #body), {
                rows = spell(b.target_out[1]:totable(), total), columns = spell(body, total)})
        end)
        return {unseen = 100 * right.unseen / math.max(1, count.unseen), seen = 100 * right.seen / count.seen,
            again = again}
    end}

paper:claim{"copying gives at least 90 % of the words that were never seen", t.copy.unseen, at_least = 90}
paper:claim{"plain attention gives none of them", t.attention.unseen, at_most = 0, exact = true}
return paper:main{Namer = Namer, bodies = bodies, repeated = repeated}
