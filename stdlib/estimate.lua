-- estimate: gradients through draws: REINFORCE with baselines (Williams 1992), straight-through (Bengio et al. 2013), Gumbel-softmax
-- (Jang et al. 2017).
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}

local function float(where, name, value)
    if internal.kind(value) ~= "tensor" or value.dtype ~= "float32" and value.dtype ~= "float64" then
        error(("%s: %s is %s, expected a float tensor"):format(where, name, fields.describe(value)), 3)
    end
end

local Reinforce = {__name = "reinforce"}
Reinforce.__index = Reinforce

function m.reinforce(cfg)
    cfg = fields.read("estimate.reinforce", cfg or {}, {
        {"baseline", "string", "moving", choices = {"none", "moving", "learned", "leave_one_out"}},
        {"decay", "number", 0.9, least = 0, most = 1}})
    return setmetatable(cfg, Reinforce)
end

---The loss whose gradient is that of the expected reward, turned round.
function Reinforce:__call(logp, reward, predicted)
    float("reinforce", "logp", logp)
    float("reinforce", "reward", reward)
    if table.concat(logp.shape, ",") ~= table.concat(reward.shape, ",") then
        error(("reinforce: reward is %s, expected the shape of logp (logp: %s)"):format(fields.describe(reward), fields.describe(logp)), 2)
    end
    reward = reward:detach()
    local baseline, extra = 0, nil
    if self.baseline == "moving" then
        baseline = self.mean or 0
        local mean = reward:mean():item()
        self.mean = self.mean and self.decay * self.mean + (1 - self.decay) * mean or mean
    elseif self.baseline == "learned" then
        float("reinforce", "predicted", predicted)
        extra, baseline = attn.loss.mse(predicted, reward), predicted:detach()
    elseif self.baseline == "leave_one_out" then
        local K = reward:dim() > 0 and reward:size(1) or 0
        if K < 2 then
            error("reinforce: leave_one_out needs at least 2 draws in the first dimension (reward: " .. fields.describe(reward) .. ")", 2)
        end
        baseline = (reward:sum(1, true) - reward) / (K - 1)
    end
    local loss = -((reward - baseline) * logp):mean()
    return extra and loss + extra or loss
end

function Reinforce:state() return {mean = self.mean} end

function Reinforce:load(state)
    if type(state) ~= "table" then error("reinforce: state is not one that state() gave", 2) end
    self.mean = state.mean
end

---@return any
function m.straight_through(hard, soft)
    float("estimate.straight_through", "hard", hard)
    float("estimate.straight_through", "soft", soft)
    return soft + (hard - soft):detach()
end

---@return any
function m.gumbel_softmax(logits, options)
    float("estimate.gumbel_softmax", "logits", logits)
    options = fields.read("estimate.gumbel_softmax", options or {}, {{"temperature", "number", 1, above = 0}, {"hard", "boolean", false}})
    local soft = ((logits + attn.dist.gumbel(logits)) / options.temperature):softmax(-1)
    if not options.hard then return soft end
    return m.straight_through(soft:detach():argmax(-1):one_hot(logits:size(-1)):to(logits.dtype), soft)
end

---How good an estimator of a gradient is: its mean and variance over draws and, beside the exact gradient, bias and cosine.
---@param draw fun(): any one estimate, a tensor
---@param count integer of draws
---@param exact? any
---@return {mean: any, variance: number, bias: number?, cosine: number?}
function m.quality(draw, count, exact)
    fields.read("estimate.quality", {draw = draw, count = count}, {{"draw", "function", required = true},
        {"count", "integer", required = true, least = 2}})
    if exact ~= nil then float("estimate.quality", "exact", exact) end
    local sum, squares, cosine = 0, 0, 0
    for _ = 1, count do
        local g = draw()
        float("estimate.quality", "an estimate", g)
        g = g:detach()
        sum, squares = sum + g, squares + (g * g):sum():item()
        if exact then
            cosine = cosine + (g * exact):sum():item() / math.max(1e-12, g:norm():item() * exact:norm():item()) / count
        end
    end
    local mean = sum / count
    local variance = math.max(0, (squares - count * (mean * mean):sum():item()) / (count - 1))
    if not exact then return {mean = mean, variance = variance} end
    local bias = (mean - exact):norm():item() ^ 2 - variance / count
    return {mean = mean, variance = variance, bias = math.sqrt(math.max(0, bias)), cosine = cosine}
end

attn.describe{name = "estimate.quality", signature = "quality(draw() -> tensor, count [, exact]) -> {mean =, variance =, bias =, cosine =}",
    help = "How good an estimator of a gradient is, by count draws of it: their mean, their variance (summed over all elements), and, with\n"
        .. "the exact gradient, the length of the mean's distance from it, less what chance adds, and the mean cosine of the two.",
    example = "local exact = attn.ones(3)\n"
        .. "local found = attn.estimate.quality(function() return exact + attn.randn(3) * 0.1 end, 50, exact)\n"
        .. "print(found.variance, found.bias, found.cosine)"}
attn.describe{name = "estimate.reinforce",
    signature = "reinforce{baseline = \"moving\" | \"learned\" | \"leave_one_out\" | \"none\", decay = 0.9} -> estimator",
    help = "loss = estimator(logp, reward [, predicted]): -mean((reward - b) logp), logp and reward of one shape; rewards carry no\n"
        .. "gradient (Williams 1992). b: the moving mean of the rewards before (0 at first), the prediction of a network of the\n"
        .. "script's (its mean squared error is added), or the mean of the other draws, which lie along dimension 1. :state(), :load(state).",
    example = "local estimator = attn.estimate.reinforce{baseline = \"leave_one_out\"}\n"
        .. "local loss = estimator(attn.randn(4, 2), attn.rand(4, 2))"}
attn.describe{name = "estimate.straight_through", signature = "straight_through(hard, soft) -> tensor",
    help = "The value of hard with the gradient of soft (Bengio et al. 2013).",
    example = "local x = attn.rand(3)\nattn.estimate.straight_through(x:gt(0.5):to \"float32\", x)"}
attn.describe{name = "estimate.gumbel_softmax", signature = "gumbel_softmax(logits [..., K], {temperature = 1, hard = false}) -> [..., K]",
    help = "softmax((logits + Gumbel noise) / temperature), differentiable; hard: one-hot with that gradient (Jang et al. 2017).",
    example = "attn.estimate.gumbel_softmax(attn.randn(2, 5), {hard = true})"}

return m
