-- Every schedule by its formula: rate(config, step) -> what it gives, and the configurations in which schedule_test.lua
-- compares them. One that is told how evaluations went has a trace worked out by hand: values, rates.
-- tests/registry_test.lua fails for a schedule that has neither.
local function warmed(curve)
    return function(c, step)
        local warmup, lr = c.warmup or 0, c.lr or 1
        if step <= warmup then return lr * step / warmup end
        return curve(lr, c.final or 0, math.min(1, (step - warmup) / (c.steps - warmup)))
    end
end
local spans = {{steps = 12}, {steps = 12, lr = 2, warmup = 4, final = 0.5}}

return {
    noam = {
        rate = function(c, step) return 1 / math.sqrt(c.dim) * math.min(1 / math.sqrt(step), step / (c.warmup * math.sqrt(c.warmup))) end,
        configs = {{dim = 64, warmup = 5}, {dim = 2, warmup = 1}},
    },
    cosine = {
        rate = warmed(function(lr, final, t) return (lr + final) / 2 + (lr - final) / 2 * math.cos(math.pi * t) end),
        configs = spans,
    },
    linear = {rate = warmed(function(lr, final, t) return (1 - t) * lr + t * final end), configs = spans},
    step = {
        rate = function(c, step)
            local rate = c.lr or 1
            for k = 1, step - 1 do if k % c.every == 0 then rate = rate * (c.gamma or 0.1) end end
            return rate
        end,
        configs = {{every = 3}, {every = 1, lr = 0.4, gamma = 0.5}},
    },
    plateau = {
        configs = {
            {lr = 1, factor = 0.5, patience = 1, threshold = 0, minimum = 0.2,
             values = {5, 4, 4, 4, 3, 3, 3, 9, 9, 9, 9}, rates = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2}},
            {lr = 1, factor = 0.5, patience = 0, threshold = 0.1, values = {10, 9.5, 8, 7.3, 7.1}, rates = {1, 0.5, 0.5, 0.25, 0.25}},
            {lr = 1, factor = 0.5, patience = 0, threshold = 0.1, mode = "max", values = {10, 10.5, 12, 13, 14},
             rates = {1, 0.5, 0.5, 0.25, 0.25}},
        },
    },
}
