-- attention_tour: one constructor, a mechanism per line. Each is trained for a moment on four tasks whose optimum is known.
--
--   needle   one slot is marked: say what stands there            (content: the mark)
--   lookup   slots are pairs of key and value: say the value of a key     (content)
--   copy     say what stands in slot 1, 2, 3 ...                  (position, monotone)
--   reorder  say it from the last slot to the first               (position, reversed)
--
-- A mechanism is the plain one with one field changed. What cannot look at content fails where content decides, what looks near
-- the diagonal fails on reorder; support is the mean number of slots that get more than a thousandth of the weight.
--
-- Command    attn scripts/attention_tour.lua
-- Time       ten seconds on two cores
-- Expect     1.00 for most. location and synthesizer about 0.2 on needle and lookup: they do not see the slots' content. monotonic
--            0.24 on reorder: what it should look at is outside its window. A distribution with zeros can give the one slot that
--            counts none at the start, and then no gradient leads there (sparsemax on needle, seed 1; not with seed 2)
-- Papers     Bahdanau 2015, Luong 2015, Martins 2016, Vaswani 2017, Peters 2019, Katharopoulos 2020, Tay 2021
local attn = require "attn"
local show = require "attn.show"

local cfg = require "attn.run".options{steps = 250, batch = 64, slots = 10, words = 20, dim = 32, lr = 0.02, seed = 1}
local T, V, B = cfg.slots, cfg.words, cfg.batch

-- Tasks: keys [B, T], values [B, T], queries [B, Tq], targets [B, Tq] --------------------------------------------------

local places = attn.arange(1, T):unsqueeze(1):expand(B, T)

local function choose(table_, index) return table_:gather(2, index) end

local tasks = {
    needle = function()
        local marked = attn.randint(1, T, B, 1)
        local values = attn.randint(1, V, B, T)
        return places:eq(marked):to("int64") + 1, values, attn.ones(B, 1, {dtype = "int64"}), choose(values, marked)
    end,
    lookup = function()
        local _, order = attn.rand(B, 2 * T):sort(2)           -- T different keys of 2 T
        local keys, values, wanted = order:narrow(2, 1, T), attn.randint(1, V, B, T), attn.randint(1, T, B, 1)
        return keys, values, choose(keys, wanted), choose(values, wanted)
    end,
    copy = function()
        local values = attn.randint(1, V, B, T)
        return places, values, places, values
    end,
    reorder = function()
        local values = attn.randint(1, V, B, T)
        return places, values, places, choose(values, (places * -1 + (T + 1)):contiguous())
    end,
}
local order = {"needle", "lookup", "copy", "reorder"}

-- Model: embeddings, the attention, a linear layer --------------------------------------------------------------------

local Probe = attn.module "Probe"

function Probe:init(change)
    local config = {query = cfg.dim}
    for field, value in pairs(change) do config[field] = value end
    local function embedding(count)         -- small, so that scores start near 0 and every slot is seen at first
        local e = attn.layer.embedding{count = count, dim = cfg.dim}
        attn.no_grad(function() e.weight:copy_(e.weight * 0.3) end)
        return e
    end
    self.key, self.value, self.query = embedding(2 * T), embedding(V), embedding(2 * T)
    self.attend = attn.attention(config)
    self.out = attn.layer.linear{inputs = cfg.dim, outputs = V}
end

function Probe:forward(keys, values, queries)
    local context, weights = self.attend(self.query(queries), self.key(keys), self.value(values), {weights = true})
    return self.out(context), weights
end

-- The tour --------------------------------------------------------------------------------------------------------------

local stops = {
    {"dot", {score = "dot"}}, {"scaled dot", {}}, {"cosine", {score = "cosine", beta = 10}},
    {"general", {score = "general"}}, {"additive", {score = "additive", dim = cfg.dim}}, {"concat", {score = "concat", dim = cfg.dim}},
    {"location", {score = "location", max_keys = T}}, {"kernel (rbf)", {score = "kernel", kernel = "rbf"}},
    {"linear", {score = "linear"}}, {"synthesizer", {score = "synthesizer_random", max_queries = T, max_keys = T}},
    {"sparsemax", {distribution = "sparsemax"}}, {"entmax15", {distribution = "entmax15"}}, {"sigmoid", {distribution = "sigmoid"}},
    {"monotonic", {window = {type = "monotonic", radius = 2}}},
    {"predictive", {window = {type = "predictive", radius = 4}, dim = cfg.dim}},
    {"4 heads", {heads = 4}},
}

local function train(change, task)
    attn.seed(cfg.seed)
    local model = Probe(change)
    local optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr}
    for step = 1, cfg.steps do
        optimizer.lr = cfg.lr * (1 - (step - 1) / cfg.steps)
        attn.scope(function()
            local keys, values, queries, targets = task()
            optimizer:zero_grad()
            attn.loss.cross_entropy(model(keys, values, queries), targets):backward()
            optimizer:step()
        end)
    end
    model:eval()
    return attn.no_grad(function()
        local right, support, map = 0, 0, nil
        for _ = 1, 8 do
            local keys, values, queries, targets = task()
            local logits, weights = model(keys, values, queries)
            right = right + logits:argmax(-1):eq(targets):to("float32"):mean():item() / 8
            support = support + weights:gt(1e-3):to("float32"):sum(-1):mean():item() / 8
            map = weights[1]
        end
        return right, support, map:dim() == 3 and map[1] or map
    end)
end

local maps, chance = {}, 1 / V
print(("%-14s %8s %8s %8s %8s %9s %8s"):format("", "needle", "lookup", "copy", "reorder", "support", "seconds"))
for _, stop in ipairs(stops) do
    local name, change = stop[1], stop[2]
    local start, cells, support, count = attn.clock(), {}, 0, 0
    for i, task in ipairs(order) do
        local right, s, map = train(change, tasks[task])
        cells[i], support, count = ("%8.2f"):format(right), support + s, count + 1
        if task == "reorder" then maps[name] = map end
    end
    print(("%-14s %s %9.1f %8.1f"):format(name, table.concat(cells, " "), support / count, attn.clock() - start))
end
print(("(chance is %.2f)\n"):format(chance))

-- The maps of reorder, side by side: rows are what is said, columns where it was looked for ----------------------------

local ramp = {" ", ".", ":", "+", "#", "@"}
local function lines(map)
    local out = {}
    for i, row in ipairs(map:totable()) do
        local cells = {}
        for j, w in ipairs(row) do
            local c = ramp[math.min(#ramp, 1 + math.floor(math.max(0, w) * (#ramp - 1) + 0.5))]
            cells[j] = c .. c
        end
        out[i] = table.concat(cells)
    end
    return out
end
local shown = {"general", "sparsemax", "location", "monotonic", "predictive"}
local head, rows = {}, {}
for _, name in ipairs(shown) do
    head[#head + 1] = ("%-" .. 2 * T .. "s"):format(name)
    for i, line in ipairs(lines(maps[name])) do rows[i] = (rows[i] and rows[i] .. " | " or "") .. line end
end
print("reorder: " .. table.concat(head, "   "):gsub("%s+$", ""))
for _, row in ipairs(rows) do print("         " .. row) end
show.result("mechanisms", #stops)
