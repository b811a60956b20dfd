-- Schedules against their formulas at chosen steps, and plateau against a trace worked out by hand.
local t = require "attn.test"
local schedule = require "attn.schedule"

for name, case in pairs(dofile(debug.getinfo(1, "S").source:match("^@(.-)[^/]*$") .. "cases.lua")) do
    t.case(name .. " follows its definition", function()
        for _, config in ipairs(case.configs) do
            local c = {}
            for k, v in pairs(config) do c[k] = v end
            local values, rates = c.values, c.rates
            c.values, c.rates = nil, nil
            local f = schedule[name](c)
            if values then
                for k, value in ipairs(values) do t.equal(f:update(value), rates[k]) end
            else
                for step = 1, 30 do t.near(f(step), case.rate(config, step), 1e-14) end
            end
        end
    end)
end

t.case("noam rises to the warm-up's end and falls with the inverse square root", function()
    local f = schedule.noam{dim = 64, warmup = 100}
    t.near(f(1), 1 / 8 * 100 ^ -1.5, 1e-15)
    t.near(f(100), 1 / 8 * 0.1, 1e-15)
    t.near(f(400), 1 / 8 * 0.05, 1e-15)
end)

t.case("cosine and linear: warm-up, the middle, the end and beyond", function()
    local f = schedule.cosine{steps = 110, lr = 2, warmup = 10, final = 1}
    t.near(f(5), 1, 1e-12)
    t.near(f(10), 2, 1e-12)
    t.near(f(60), 1.5, 1e-12)
    t.near(f(110), 1, 1e-12)
    t.near(f(500), 1, 1e-12)
    local g = schedule.linear{steps = 110, lr = 2, warmup = 10, final = 1}
    t.near(g(35), 1.75, 1e-12)
    t.near(g(110), 1, 1e-12)
    t.near(schedule.linear{steps = 4}(1), 0.75, 1e-12)
end)

t.case("step multiplies after every `every` steps", function()
    local f = schedule.step{every = 3, lr = 0.4, gamma = 0.5}
    t.equal({f(1), f(3), f(4), f(6), f(7)}, {0.4, 0.4, 0.2, 0.2, 0.1})
end)

t.case("plateau waits for more than patience bad evaluations, and is restored exactly", function()
    local p = schedule.plateau{lr = 1, factor = 0.5, patience = 1, threshold = 0, minimum = 0.2}
    local rates = {}
    for i, value in ipairs{5, 4, 4, 4, 3, 3, 3, 9, 9, 9, 9} do
        rates[i] = p:update(value)
        if i == 6 then
            local q = schedule.plateau{lr = 1, factor = 0.5, patience = 1, threshold = 0, minimum = 0.2}
            q:load(p:state())
            t.equal(q:update(3), 0.25)
        end
    end
    t.equal(rates, {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2})
    t.equal(p(7), 0.2)
    local up = schedule.plateau{lr = 1, factor = 0.1, patience = 0, mode = "max"}
    t.equal(up:update(10), 1)
    t.equal(up:update(20), 1)
    t.near(up:update(20), 0.1, 1e-12)
end)

t.case("wrong fields are named", function()
    t.raises("schedule.noam: field 'warmup' is missing, expected an integer", schedule.noam, {dim = 4})
    t.raises("schedule.cosine: unknown field 'stepps'", schedule.cosine, {stepps = 4})
    t.raises("warmup is 4, expected less than steps (4)", schedule.linear, {steps = 4, warmup = 4})
    t.raises("mode is 'mox', expected one of min, max (did you mean 'max'?)", schedule.plateau, {mode = "mox"})
end)
