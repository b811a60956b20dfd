-- schedule: learning rates. Functions of the number of the step, 1 for the first; `plateau` is an object that is told
-- how an evaluation went.
local fields = require "attn.fields"
local attn = require "attn"

local m = {}

---Warm up linearly, then decay with the inverse square root of the step (Vaswani et al. 2017, eq. 3).
---@param cfg {dim: integer, warmup: integer}
---@return fun(step: integer): number
function m.noam(cfg)
    cfg = fields.read("schedule.noam", cfg, {
        {"dim", "integer", required = true, least = 1}, {"warmup", "integer", required = true, least = 1}})
    local scale, ramp = cfg.dim ^ -0.5, cfg.warmup ^ -1.5
    return function(step) return scale * math.min(step ^ -0.5, step * ramp) end
end

-- lr step / warmup up to `warmup`, then curve(t), t going from 0 to 1 at step `steps`.
local function warmed(name, cfg, curve)
    cfg = fields.read("schedule." .. name, cfg, {
        {"steps", "integer", required = true, least = 1}, {"lr", "number", 1, above = 0},
        {"warmup", "integer", 0, least = 0}, {"final", "number", 0, least = 0}}, 3)
    if cfg.warmup >= cfg.steps then
        error(("schedule.%s: warmup is %d, expected less than steps (%d)"):format(name, cfg.warmup, cfg.steps), 3)
    end
    return function(step)
        if step <= cfg.warmup then return cfg.lr * step / cfg.warmup end
        return curve(cfg, math.min(1, (step - cfg.warmup) / (cfg.steps - cfg.warmup)))
    end
end

---Warm up linearly, then half a cosine from lr to final (Loshchilov and Hutter 2017, one period).
---@param cfg {steps: integer, lr: number?, warmup: integer?, final: number?}
---@return fun(step: integer): number
function m.cosine(cfg)
    return warmed("cosine", cfg, function(c, t) return c.final + (c.lr - c.final) * (1 + math.cos(math.pi * t)) / 2 end)
end

---Warm up linearly, then a straight line from lr to final.
---@param cfg {steps: integer, lr: number?, warmup: integer?, final: number?}
---@return fun(step: integer): number
function m.linear(cfg)
    return warmed("linear", cfg, function(c, t) return c.lr + (c.final - c.lr) * t end)
end

---Multiply by gamma after every `every` steps.
---@param cfg {every: integer, lr: number?, gamma: number?}
---@return fun(step: integer): number
function m.step(cfg)
    cfg = fields.read("schedule.step", cfg, {
        {"every", "integer", required = true, least = 1}, {"lr", "number", 1, above = 0},
        {"gamma", "number", 0.1, above = 0}})
    return function(step) return cfg.lr * cfg.gamma ^ ((step - 1) // cfg.every) end
end

---@class Plateau
---@field lr number
local Plateau = {}
Plateau.__index = Plateau
Plateau.__name = "plateau"

---The rate now: a plateau can stand where a function of the step is asked for.
function Plateau:__call() return self.lr end

---Tells how an evaluation went; returns the rate from here on.
---@param value number
---@return number lr
function Plateau:update(value)
    if type(value) ~= "number" then
        error(("plateau: value is a %s, expected a number"):format(type(value)), 2)
    end
    local sign = self.mode == "min" and 1 or -1
    local better = self.best == nil
        or sign * value < sign * self.best - self.threshold * math.abs(self.best)
    if better then
        self.best, self.bad = value, 0
    else
        self.bad = self.bad + 1
        if self.bad > self.patience then
            self.lr, self.bad = math.max(self.minimum, self.lr * self.factor), 0
        end
    end
    return self.lr
end

---What `load` needs, as a plain table for a checkpoint.
function Plateau:state() return {lr = self.lr, best = self.best, bad = self.bad} end

function Plateau:load(state)
    if type(state) ~= "table" or type(state.lr) ~= "number" or type(state.bad) ~= "number" then
        error("plateau: state is not one that state() gave", 2)
    end
    self.lr, self.best, self.bad = state.lr, state.best, state.bad
end

---Multiply by `factor` when more than `patience` evaluations in a row were no better than the best.
---@param cfg {lr: number?, factor: number?, patience: integer?, threshold: number?, mode: string?, minimum: number?}
---@return Plateau
function m.plateau(cfg)
    cfg = fields.read("schedule.plateau", cfg, {
        {"lr", "number", 1, above = 0}, {"factor", "number", 0.1, above = 0}, {"patience", "integer", 10, least = 0},
        {"threshold", "number", 1e-4, least = 0}, {"mode", "string", "min", choices = {"min", "max"}},
        {"minimum", "number", 0, least = 0}})
    cfg.bad = 0
    return setmetatable(cfg, Plateau)
end

attn.describe{name = "schedule.noam", signature = "noam{dim =, warmup =} -> f(step)",
    help = "dim^-0.5 min(step^-0.5, step warmup^-1.5): linear warm-up, then the inverse square root (Vaswani et\n"
        .. "al. 2017).",
    example = 'attn.schedule.noam{dim = 512, warmup = 4000}(1)'}
attn.describe{name = "schedule.cosine", signature = "cosine{steps =, lr = 1, warmup = 0, final = 0} -> f(step)",
    help = "lr step / warmup, then with t = (step - warmup) / (steps - warmup), at most 1: final + (lr - final)\n"
        .. "(1 + cos(pi t)) / 2.",
    example = 'attn.schedule.cosine{steps = 1000, lr = 1e-3, warmup = 100}(1)'}
attn.describe{name = "schedule.linear", signature = "linear{steps =, lr = 1, warmup = 0, final = 0} -> f(step)",
    help = "lr step / warmup, then with t = (step - warmup) / (steps - warmup), at most 1: lr + (final - lr) t.",
    example = 'attn.schedule.linear{steps = 1000, lr = 1e-3}(1)'}
attn.describe{name = "schedule.step", signature = "step{every =, lr = 1, gamma = 0.1} -> f(step)",
    help = "lr gamma^floor((step - 1) / every).",
    example = 'attn.schedule.step{every = 1000, lr = 0.1, gamma = 0.5}(1)'}
attn.describe{name = "schedule.plateau",
    signature = "plateau{lr = 1, factor = 0.1, patience = 10, threshold = 1e-4, mode = \"min\", minimum = 0} -> p",
    help = "p:update(value) multiplies p.lr by factor when more than patience evaluations in a row were not\n"
        .. "better than the best by threshold (relative). p() is the rate, p:state() and p:load(state) serve\n"
        .. "checkpoints.",
    example = 'local p = attn.schedule.plateau{lr = 1e-3, factor = 0.5, patience = 2}; p:update(3.1)'}

return m
