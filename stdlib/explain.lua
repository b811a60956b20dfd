-- explain: do the weights of attention say why an answer was given? Beside them: what each word counts by the gradient and
-- when it is left out, how much the answer changes with the weights in another order (Jain and Wallace 2019), and how far
-- weights can be moved with hardly a change of it.
--
-- An answer is a function that gives probabilities [B, classes]: of vectors, of ids, of weights.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"

local m = {}

local function check(name, answer, value, dims)
    fields.read("explain." .. name, {answer = answer}, {{"answer", "function", required = true}}, 3)
    if type(value) ~= "userdata" or value:dim() ~= #dims then
        error(("explain.%s: got %s, expected a tensor [%s]"):format(name, fields.describe(value), table.concat(dims, ", ")), 3)
    end
end

---Half the sum of |p - q| over the last dimension: the total variation distance, 0 to 1.
---@param p any [..., classes]
---@param q any
---@return any
function m.tvd(p, q) return (p - q):abs():sum(-1) / 2 end

---The Jensen-Shannon divergence over the last dimension, 0 to ln 2.
---@param p any [..., T]
---@param q any
---@return any
function m.jsd(p, q)
    local middle = (p + q) / 2
    local function to(x) return (x * (x:clamp(1e-12, 1):log() - middle:clamp(1e-12, 1):log())):sum(-1) end
    return (to(p) + to(q)) / 2
end

---|dp/dx_t . x_t|, p the probability of the likeliest class.
---@param answer fun(x: any): any
---@param x any [B, T, D]
---@return any [B, T]
function m.gradients(answer, x)
    check("gradients", answer, x, {"B", "T", "D"})
    x = x:detach():requires_grad_(true)
    local g = attn.grad(answer(x):max(2):sum(), {x})[1]
    return (g * x:detach()):sum(3):abs()
end

---How much the answer changes (tvd) without each word of a text.
---@param answer fun(ids: any, lengths: any): any
---@param ids integer[] at least two
---@return any [T]
function m.left_out(answer, ids)
    if type(ids) ~= "table" or #ids < 2 then
        error(("explain.left_out: ids is %s, expected a list of at least two"):format(fields.describe(ids)), 2)
    end
    local lists = {}
    for t = 1, #ids do
        lists[t] = table.move(ids, 1, #ids, 1, {})
        table.remove(lists[t], t)
    end
    return attn.no_grad(function() return m.tvd(answer(data.pad(lists)), answer(data.pad{ids})) end)
end

---The median change of the answer (tvd) when the weights change places.
---@param answer fun(weights: any): any
---@param weights any [B, T]
---@param lengths any int64 [B]
---@param options? {times: integer}
---@return any [B]
function m.permuted(answer, weights, lengths, options)
    check("permuted", answer, weights, {"B", "T"})
    local times = fields.read("explain.permuted", options or {}, {{"times", "integer", 20, least = 1}}).times
    return attn.no_grad(function()
        local p, outside, changes = answer(weights), attn.mask(lengths, weights:size(2)):logical_not(), {}
        for k = 1, times do
            local _, order = attn.rand(weights.shape):masked_fill(outside, 2):sort(2)
            changes[k] = m.tvd(answer(weights:gather(2, order)), p)
        end
        return (attn.stack(changes, 1):sort(1)):select(1, (times + 1) // 2)
    end)
end

---The farthest weights (jsd) found that change the answer (tvd) by at most `most`.
---@param answer fun(weights: any): any
---@param weights any [B, T]
---@param lengths any int64 [B]
---@param options? {steps: integer, most: number}
---@return any [B] how far they are
function m.adversary(answer, weights, lengths, options)
    check("adversary", answer, weights, {"B", "T"})
    local cfg = fields.read("explain.adversary", options or {}, {{"steps", "integer", 60, least = 1}, {"most", "number", 0.05, least = 0}})
    local outside, p = attn.mask(lengths, weights:size(2)):logical_not(), attn.no_grad(answer, weights)
    weights = weights:detach()
    local noise = attn.randn(weights.shape, {dtype = weights.dtype})
    local scores = (weights:clamp(1e-6, 1):log() + noise):requires_grad_(true)
    local optimizer, best = attn.optim.adam{params = {scores}, lr = 0.3}, attn.zeros(#weights, {dtype = weights.dtype})
    for _ = 1, cfg.steps do
        local moved = scores:masked_fill(outside, -math.huge):softmax(2)
        local change, far = m.tvd(answer(moved), p), m.jsd(moved, weights)
        best = attn.maximum(best, attn.where(change:detach():le(cfg.most), far:detach(), 0))
        local g = attn.grad((10 * (change - cfg.most):relu() - far):sum(), {scores})[1]
        optimizer:zero_grad();
        (scores * g):sum():backward()           -- of scores alone: parameters that answer reads get no gradient
        optimizer:step()
    end
    return best
end

attn.describe{name = "explain.tvd", signature = "tvd(p, q [..., classes]) -> [...]",
    help = "The total variation distance of distributions, half the sum of |p - q|: 0 to 1.",
    example = 'attn.explain.tvd(attn.tensor{0.5, 0.5}, attn.tensor{0.2, 0.8})'}
attn.describe{name = "explain.jsd", signature = "jsd(p, q [..., T]) -> [...]",
    help = "The Jensen-Shannon divergence of distributions: 0 to ln 2.",
    example = 'attn.explain.jsd(attn.tensor{1, 0}, attn.tensor{0.5, 0.5})'}
attn.describe{name = "explain.gradients", signature = "gradients(answer(x) -> p [B, classes], x [B, T, D]) -> [B, T]",
    help = "What each word counts by the gradient: |dp/dx_t . x_t|, p the probability of the likeliest class. Weights of attention that\n"
        .. "answer detaches are taken as they are.",
    example = 'local out = attn.layer.linear{inputs = 4, outputs = 2}\n'
        .. 'attn.explain.gradients(function(x) return out(x:mean(2)):softmax(2) end, attn.randn(3, 5, 4))'}
attn.describe{name = "explain.left_out", signature = "left_out(answer(ids [T, T - 1], lengths [T]) -> p, {ids ...}) -> [T]",
    help = "How much the answer changes (tvd) without each word of a text.",
    example = 'local words = attn.layer.embedding{count = 9, dim = 2}\n'
        .. 'attn.explain.left_out(function(ids) return words(ids):mean(2):softmax(2) end, {4, 8, 2})'}
attn.describe{name = "explain.permuted",
    signature = "permuted(answer(weights) -> p [B, classes], weights [B, T], lengths [B], {times = 20}) -> [B]",
    help = "The median change of the answer (tvd) when the weights change places, so many times at random (Jain and Wallace 2019).",
    example = 'local values, weights = attn.randn(3, 5, 2), attn.rand(3, 5):softmax(2)\n'
        .. 'local function answer(w) return (values * w:unsqueeze(3)):sum(2):softmax(2) end\n'
        .. 'attn.explain.permuted(answer, weights, attn.tensor({5, 2, 4}, {dtype = "int64"}))'}
attn.describe{name = "explain.adversary",
    signature = "adversary(answer(weights) -> p [B, classes], weights [B, T], lengths [B], {steps = 60, most = 0.05}) -> [B]",
    help = "How far weights can be moved (jsd) so that the answer changes (tvd) by at most most: the farthest found by so many steps of\n"
        .. "gradient ascent from the weights and noise. 0: none was found.",
    example = 'local values, weights = attn.randn(3, 5, 2), attn.rand(3, 5):softmax(2)\n'
        .. 'local function answer(w) return (values * w:unsqueeze(3)):sum(2):softmax(2) end\n'
        .. 'attn.explain.adversary(answer, weights, attn.tensor({5, 2, 4}, {dtype = "int64"}))'}

return m
