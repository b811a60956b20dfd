-- Every optimizer by its formula, for one number: step(config, state, p, g) -> p after the step, and the configurations in
-- which optim_test.lua follows it; single: the rule is one of whole parameters, here of one number each. tests/registry_test.lua fails for an optimizer that has none.
local function decayed(c, p, g) return g + (c.weight_decay or 0) * p end

-- adam and adamw differ in what decays
local function adam(c, s, p, g)
    local b1, b2 = table.unpack(c.betas or {0.9, 0.999})
    s.t, s.m, s.v = (s.t or 0) + 1, b1 * (s.m or 0) + (1 - b1) * g, b2 * (s.v or 0) + (1 - b2) * g * g
    return p - c.lr * (s.m / (1 - b1 ^ s.t)) / ((s.v / (1 - b2 ^ s.t)) ^ 0.5 + (c.eps or 1e-8))
end

return {
    sgd = {
        step = function(c, s, p, g)
            g = decayed(c, p, g)
            if (c.momentum or 0) == 0 then return p - c.lr * g end
            s.m = s.m and c.momentum * s.m + (1 - (c.dampening or 0)) * g or g
            return p - c.lr * (c.nesterov and g + c.momentum * s.m or s.m)
        end,
        configs = {
            {lr = 0.1}, {lr = 0.1, momentum = 0.9, weight_decay = 0.1}, {lr = 0.1, momentum = 0.9, nesterov = true},
            {lr = 0.1, momentum = 0.9, dampening = 0.3},
        },
    },
    adam = {
        step = function(c, s, p, g) return adam(c, s, p, decayed(c, p, g)) end,
        configs = {{lr = 0.1}, {lr = 0.1, betas = {0.5, 0.6}, weight_decay = 0.2, eps = 0.1}},
    },
    adamw = {
        step = function(c, s, p, g) return adam(c, s, p - c.lr * (c.weight_decay or 0.01) * p, g) end,
        configs = {{lr = 0.1}, {lr = 0.1, weight_decay = 0.3, betas = {0.5, 0.6}}},
    },
    adagrad = {
        step = function(c, s, p, g)
            g = decayed(c, p, g)
            s.s = (s.s or 0) + g * g
            return p - c.lr * g / (s.s ^ 0.5 + (c.eps or 1e-10))
        end,
        configs = {{lr = 0.1}, {lr = 0.1, eps = 0.2, weight_decay = 0.1}},
    },
    adadelta = {
        step = function(c, s, p, g)
            local rho, eps = c.rho or 0.9, c.eps or 1e-6
            g = decayed(c, p, g)
            s.s = rho * (s.s or 0) + (1 - rho) * g * g
            local x = ((s.u or 0) + eps) ^ 0.5 / (s.s + eps) ^ 0.5 * g
            s.u = rho * (s.u or 0) + (1 - rho) * x * x
            return p - c.lr * x
        end,
        configs = {{lr = 1}, {lr = 1, rho = 0.5, eps = 0.1, weight_decay = 0.1}},
    },
    rmsprop = {
        step = function(c, s, p, g)
            local alpha = c.alpha or 0.99
            g = decayed(c, p, g)
            s.s = alpha * (s.s or 0) + (1 - alpha) * g * g
            s.c = c.centered and alpha * (s.c or 0) + (1 - alpha) * g or 0
            s.m = (c.momentum or 0) * (s.m or 0) + g / ((s.s - s.c * s.c) ^ 0.5 + (c.eps or 1e-8))
            return p - c.lr * s.m
        end,
        configs = {{lr = 0.1}, {lr = 0.1, momentum = 0.5, centered = true}, {lr = 0.1, alpha = 0.5, eps = 0.1, weight_decay = 0.1}},
    },
    lion = {
        step = function(c, s, p, g)
            local b1, b2 = table.unpack(c.betas or {0.9, 0.99})
            local d = b1 * (s.m or 0) + (1 - b1) * g
            s.m = b2 * (s.m or 0) + (1 - b2) * g
            return p - c.lr * ((d > 0 and 1 or d < 0 and -1 or 0) + (c.weight_decay or 0) * p)
        end,
        configs = {{lr = 0.1}, {lr = 0.1, betas = {0.3, 0.6}, weight_decay = 0.2}},
    },
    radam = {        -- 0.7 leaves r at most 5.7: some of the steps are scaled, some are not
        step = function(c, s, p, g)
            local b1, b2 = table.unpack(c.betas or {0.9, 0.999})
            g = decayed(c, p, g)
            s.t, s.m, s.v = (s.t or 0) + 1, b1 * (s.m or 0) + (1 - b1) * g, b2 * (s.v or 0) + (1 - b2) * g * g
            local m, most = s.m / (1 - b1 ^ s.t), 2 / (1 - b2) - 1
            local r = most - 2 * s.t * b2 ^ s.t / (1 - b2 ^ s.t)
            if r <= 5 then return p - c.lr * m end
            local k = ((r - 4) * (r - 2) * most / ((most - 4) * (most - 2) * r)) ^ 0.5
            return p - c.lr * m * k * (1 - b2 ^ s.t) ^ 0.5 / (s.v ^ 0.5 + (c.eps or 1e-8))
        end,
        configs = {{lr = 0.1}, {lr = 0.1, betas = {0.5, 0.9}, weight_decay = 0.2, eps = 0.1}, {lr = 0.1, betas = {0.5, 0.6}}},
    },
    adan = {
        step = function(c, s, p, g)
            local b1, b2, b3 = table.unpack(c.betas or {0.98, 0.92, 0.99})
            local d = g - (s.g or g)
            s.t, s.g = (s.t or 0) + 1, g
            s.m, s.v = b1 * (s.m or 0) + (1 - b1) * g, b2 * (s.v or 0) + (1 - b2) * d
            s.n = b3 * (s.n or 0) + (1 - b3) * (g + b2 * d) ^ 2
            local ahead = s.m / (1 - b1 ^ s.t) + b2 * s.v / (1 - b2 ^ s.t)
            local root = (s.n / (1 - b3 ^ s.t)) ^ 0.5 + (c.eps or 1e-8)
            return (p - c.lr * ahead / root) / (1 + c.lr * (c.weight_decay or 0))
        end,
        configs = {{lr = 0.1}, {lr = 0.1, betas = {0.5, 0.6, 0.7}, weight_decay = 0.2, eps = 0.1}},
    },
    lamb = {         -- of a parameter of one number the norms are absolute values
        single = true,
        step = function(c, s, p, g)
            local b1, b2 = table.unpack(c.betas or {0.9, 0.999})
            s.t, s.m, s.v = (s.t or 0) + 1, b1 * (s.m or 0) + (1 - b1) * g, b2 * (s.v or 0) + (1 - b2) * g * g
            local r = s.m / (1 - b1 ^ s.t) / ((s.v / (1 - b2 ^ s.t)) ^ 0.5 + (c.eps or 1e-6)) + (c.weight_decay or 0) * p
            local ratio = p ~= 0 and r ~= 0 and math.abs(p) / math.abs(r) or 1
            return p - c.lr * ratio * r
        end,
        configs = {{lr = 0.1}, {lr = 0.1, betas = {0.5, 0.6}, weight_decay = 0.2, eps = 0.1}},
    },
}
