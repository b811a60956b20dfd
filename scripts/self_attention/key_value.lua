-- key_value: a language model that looks back at its own outputs, each of which is key, value and prediction at once,
-- or has a part for each.
--
--   h_t = [k_t; v_t; p_t]         a_t = softmax over j = t - L .. t - 1 of w' tanh(W_Y k_j + W_h k_t)
--   r_t = sum_j a_tj v_j          h*_t = tanh(W_r r_t + W_x p_t), from which the next word is said
--
-- attention: k = v = p = h. key-value: p = v. N-gram: h* = tanh(W [h_t's first part; h_{t-1}'s second; h_{t-2}'s
-- third]), no attention. The state h is equally wide in all.
--
-- Command    attn scripts/self_attention/key_value.lua --data DIR [--show]
-- Time       see scripts/README.md
-- Data       tiny Shakespeare: words in lower case, the thousand most frequent
-- Paper      Daniluk et al. 2017, Frustratingly short attention spans in neural language modeling (F11)
-- Found      (500 steps) Parts for key, value and prediction lower perplexity (25, -6 to 55, undecided), but attention
--            looks back 10.5 of 20 words: it has not learned where to look in so few steps. Three states without
--            attention are 14 % behind.
-- Your own   local Speaker = require "self_attention.key_value".Speaker          -- attn -I scripts yours.lua
--            local model = Speaker{kind = "key-value-predict", words = 1000, dim = 24, hidden = 60, span = 20}
--            local logits, weights = model(ids)               -- [B, T] to [B, T, 1000], [B, T, T]
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, text = require "attn.study", require "attn.text"

local paper = study{
    system = {"F11"}, paper = "Daniluk, Rocktaeschel, Welbl, Riedel 2017, Frustratingly short attention spans, ICLR",
    options = {dim = 24, hidden = 60, span = 20, length = 40, batch = 32, steps = 400, lr = 1e-2,
        vocabulary = 1000, windows = 200},
    quick = {dim = 4, hidden = 6, span = 3, length = 6, batch = 2, steps = 2, vocabulary = 10, windows = 2},
}

local roles = {attention = 1, ["key-value"] = 2, ["key-value-predict"] = 3, ["4-gram"] = 3}    -- parts of the state

local Speaker = attn.module "Speaker"

function Speaker:init(c)
    local part = c.hidden // (roles[c.kind] or 1)
    self.kind, self.part, self.span = c.kind, part, c.span
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.reader = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden, cell = "lstm"}
    if c.kind == "4-gram" then
        self.join = attn.layer.linear{inputs = c.hidden, outputs = c.hidden}
    elseif c.kind ~= "LSTM" then
        self.attend = attn.attention{query = part, score = "additive", dim = part, bias = false}
        self.read = attn.layer.linear{inputs = part, outputs = c.hidden}
        self.own = attn.layer.linear{inputs = part, outputs = c.hidden, bias = false}
    end
    self.out = attn.layer.linear{inputs = c.hidden, outputs = c.words}
end

-- Where the places may look: at the `span` before them.
local function before(T, span)
    local ones = attn.ones(T, T)
    return (ones:tril(-1) - ones:tril(-span - 1)):gt(0)
end

-- The i-th part of the states, of i - 1 places ago.
local function shifted(h, i, part)
    local x, none = h:narrow(3, (i - 1) * part + 1, part), attn.zeros(#h, i - 1, part, {dtype = h.dtype})
    return attn.cat({none, x}, 2):narrow(2, 1, h:size(2))
end

function Speaker:forward(ids)           -- [B, T] -> logits [B, T, words], weights [B, T, T]
    local h, weights, r = self.reader(self.embed(ids)), nil, nil
    local n = roles[self.kind]
    if self.kind == "4-gram" then
        local parts = {}
        for i = 1, n do parts[i] = shifted(h, i, self.part) end
        h = self.join(attn.cat(parts, 3)):tanh()
    elseif n then
        local function role(i) return h:narrow(3, (math.min(i, n) - 1) * self.part + 1, self.part) end
        r, weights = self.attend(role(1), role(1), role(2), {mask = before(ids:size(2), self.span), weights = true})
        h = (self.read(r) + self.own(role(3))):tanh()
    end
    return self.out(h), weights
end

---How far back the weights [B, T, T] look on average, over the places that have `span` others before them.
local function distance(weights, span)
    local T = weights:size(2)
    local place = attn.arange(1, T, 1):to "float32"
    local back = place:unsqueeze(2) - place:unsqueeze(1)
    return (weights * back):sum(-1):narrow(2, span + 1, T - span):mean():item()
end

local rows = {}
for i, kind in ipairs{"LSTM", "attention", "key-value", "key-value-predict", "4-gram"} do
    rows[i] = {kind, kind = kind}
end

local result = paper:table{
    name = "words", about = "perplexity a word of the text's end; how many words back it looks",
    data = "tinyshakespeare", vary = rows, columns = {"perplexity", "distance", "parameters", "seconds"},
    better = {perplexity = "less", distance = "none", parameters = "none", seconds = "less"},
    run = function(cfg, cell)
        local lists, ids = {}, {}
        for name, part in pairs(corpus.tinyshakespeare(cfg.data)) do
            lists[name] = {}
            for word in part:lower():gmatch "[%a']+" do table.insert(lists[name], word) end
        end
        local vocabulary = text.vocabulary({lists.train}, {size = cfg.vocabulary})
        for name, list in pairs(lists) do ids[name] = attn.tensor(vocabulary:encode(list), {dtype = "int64"}) end
        cfg.words = #vocabulary
        local model, T = Speaker(cfg), cfg.length
        local training = data.windows(ids.train, {length = T, size = cfg.batch, seed = cell.seed})
        local history = fit{model = model, steps = cfg.steps, cell = cell,
            batches = function(step) return training:draw(step) end,
            schedule = attn.schedule.cosine{steps = cfg.steps, lr = cfg.lr, warmup = cfg.steps // 20},
            loss = function(b) return attn.loss.cross_entropy(model(b.x), b.y) end}
        local sum, far, n = 0, 0, 0
        fit.each(model, data.windows(ids.dev, {length = T, most = cfg.windows}), function(b)
            local logits, weights = model(b.x)
            sum, n = sum + attn.loss.cross_entropy(logits, b.y):item() * #b.y, n + #b.y
            if weights then
                far = far + distance(weights, cfg.span) * #b.y
                local words = vocabulary:decode(b.x[1]:totable())
                cell:keep("where it looks", weights[1], {rows = words, columns = words})
            end
        end)
        return {perplexity = math.exp(sum / n), distance = far > 0 and far / n or nil, parameters = model:count(),
            seconds = history.seconds}
    end,
}
local single = result.attention.perplexity
paper:claim{"F11: key and value apart: lower perplexity than attention with one vector for both",
    single - result["key-value"].perplexity, at_least = 0}
paper:claim{"F11: key, value and prediction apart: lower than with one vector for all",
    single - result["key-value-predict"].perplexity, at_least = 0}
for _, kind in ipairs{"attention", "key-value", "key-value-predict"} do
    paper:claim{("F11: %s looks back at most 8 words on average, of %d"):format(kind, paper.options.span),
        result[kind].distance, at_most = 8}
end
paper:claim{"F11: without attention, parts of the last three states are as good: within 2 % of key-value-predict",
    result["4-gram"].perplexity / result["key-value-predict"].perplexity, at_most = 1.02}

return paper:main{Speaker = Speaker, before = before, distance = distance}
