-- dist: distributions to draw from. Log-probabilities and entropies carry gradients; draws do not, but for normal's rsample.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}

local function float(where, name, value, level)
    if internal.kind(value) ~= "tensor" or value.dtype ~= "float32" and value.dtype ~= "float64" then
        error(("%s: %s is %s, expected a float tensor"):format(where, name, fields.describe(value)), level or 3)
    end
    return value
end

local function class(name)
    local c = {__name = "dist." .. name}
    c.__index = c
    return c
end

-- One of logits and probs.
local function one_of(where, cfg)
    cfg = fields.read(where, cfg, {{"logits", "any"}, {"probs", "any"}}, 3)
    if (cfg.logits == nil) == (cfg.probs == nil) then error(where .. ": expected one of logits and probs", 3) end
    return cfg.logits and float(where, "logits", cfg.logits, 4), cfg.probs and float(where, "probs", cfg.probs, 4)
end

local Categorical = class "categorical"

function m.categorical(cfg)
    local logits, probs = one_of("dist.categorical", cfg)
    if (logits or probs):dim() == 0 then error("dist.categorical: a scalar has no classes, expected [..., K]", 2) end
    return setmetatable({logp = logits and logits:log_softmax(-1) or (probs / probs:sum(-1, true)):log()}, Categorical)
end

-- The place of the largest of log p plus Gumbel noise.
function Categorical:sample()
    return attn.no_grad(function() return (self.logp + m.gumbel(self.logp)):argmax(-1) end)
end

function Categorical:log_prob(ids)
    if internal.kind(ids) ~= "tensor" or ids.dtype ~= "int64" then
        error("categorical:log_prob: ids is " .. fields.describe(ids) .. ", expected int64", 2)
    end
    return self.logp:gather(-1, ids:unsqueeze(-1)):squeeze(-1)
end

function Categorical:entropy()
    local p = self.logp:exp()
    return -(p * self.logp:masked_fill(p:eq(0), 0)):sum(-1)        -- 0 log 0 is 0
end

local Bernoulli = class "bernoulli"

function m.bernoulli(cfg)
    local logits, probs = one_of("dist.bernoulli", cfg)
    return setmetatable({logits = logits or probs:log() - (1 - probs):log()}, Bernoulli)
end

function Bernoulli:sample()
    return attn.no_grad(function()
        local p = self.logits:sigmoid()
        return attn.rand(p.shape, {dtype = p.dtype}):lt(p):to(p.dtype)
    end)
end

function Bernoulli:log_prob(x)
    return -attn.loss.bce_logits(self.logits, float("bernoulli:log_prob", "x", x), {reduction = "none"})
end

function Bernoulli:entropy() return attn.loss.bce_logits(self.logits, self.logits:sigmoid(), {reduction = "none"}) end

local Normal = class "normal"

function m.normal(cfg)
    cfg = fields.read("dist.normal", cfg, {{"mean", "any", required = true}, {"std", "any", required = true}})
    float("dist.normal", "mean", cfg.mean)
    if type(cfg.std) ~= "number" then float("dist.normal", "std", cfg.std) end
    local std = type(cfg.std) == "number" and attn.full({}, cfg.std, {dtype = cfg.mean.dtype}) or cfg.std
    return setmetatable({mean = cfg.mean, std = std}, Normal)
end

function Normal:rsample()
    local shape = (self.mean:detach() + self.std:detach()).shape
    return self.mean + self.std * attn.randn(shape, {dtype = self.mean.dtype})
end

function Normal:sample() return attn.no_grad(self.rsample, self):detach() end

function Normal:log_prob(x)
    local z = (float("normal:log_prob", "x", x) - self.mean) / self.std
    return -0.5 * z * z - self.std:log() - 0.5 * math.log(2 * math.pi)
end

function Normal:entropy() return self.std:log() + self.mean * 0 + 0.5 * (1 + math.log(2 * math.pi)) end

---Standard Gumbel noise, -log(-log u), like x.
---@param x any
---@return any
function m.gumbel(x)
    float("dist.gumbel", "x", x)
    local u = attn.rand(x.shape, {dtype = x.dtype}):clamp(1e-30, 1 - 2 ^ -24)
    return -((-(u:log())):log())
end

attn.describe{name = "dist.categorical", signature = "categorical{logits = | probs = [..., K]} -> distribution",
    help = "Classes 1..K. :sample() -> ids [...]; :log_prob(ids) and :entropy() -> [...], differentiable.",
    example = "local d = attn.dist.categorical{logits = attn.randn(2, 5)}\nlocal logp = d:log_prob(d:sample())"}
attn.describe{name = "dist.bernoulli", signature = "bernoulli{logits = | probs = [...]} -> distribution",
    help = "0 or 1 of each element. :sample(), :log_prob(x) and :entropy() are like logits.",
    example = "local d = attn.dist.bernoulli{logits = attn.randn(4)}\nlocal logp = d:log_prob(d:sample())"}
attn.describe{name = "dist.normal", signature = "normal{mean = [...], std = tensor | number} -> distribution",
    help = ":sample() without and :rsample() with gradient to mean and std; :log_prob(x), :entropy(), element by element.",
    example = "local d = attn.dist.normal{mean = attn.zeros(4), std = 2}\nlocal logp = d:log_prob(d:sample())"}
attn.describe{name = "dist.gumbel", signature = "gumbel(x) -> tensor like x",
    help = "Standard Gumbel noise: argmax(logits + noise) is a draw of softmax(logits).",
    example = "attn.dist.gumbel(attn.zeros(3))"}

return m
