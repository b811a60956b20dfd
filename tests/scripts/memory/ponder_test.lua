-- Pondering: gradients, halting worked by hand, the tasks.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local paper = require "memory.ponder"

local function double(x) return attn.tensor(x, {dtype = "float64"}) end
local function ponder(most, bias)
    attn.seed(6)
    local model = paper.Ponder{inputs = 2, outputs = 1, hidden = 2, most = most}:to "float64"
    attn.init.constant(model.halt:state().bias, bias)
    return model
end

t.case("gradient of answer and cost, over two inputs", function()
    local model, x = ponder(4, -1), attn.randn(2, 2, 2, {dtype = "float64"})
    local ok, report = attn.checkgrad(function()
        local y, cost = model(x)
        return y:sum() + cost:sum()
    end, model:parameters())
    t.is_true(ok, report)
end)

t.case("halting by its formula: y = sum p_n y_n, cost N + R, in plain Lua", function()
    local model, x = ponder(5, -1.2), double{{0.5, -1}}
    local s, y, mean, sum, n = nil, 0, 0, 0, 0
    repeat
        n = n + 1
        s = model.cell:step(attn.cat({x, double{{n == 1 and 1 or 0}}}, 2), s and {h = s:unsqueeze(1)} or nil)
        local h = model.halt(s):sigmoid():item()
        local last = n == 5 or sum + h >= 1 - 0.01
        local p = last and 1 - sum or h
        y, mean, sum = y + p * model.out(s):item(), mean + p * s, sum + p
        if last then
            local got, state, cost, steps = model:step(x)
            t.is_true(n > 2, "the case is to take several steps")
            t.near({got:item(), cost:item(), steps:item()}, {y, n + p, n}, 1e-12)
            t.near(state:totable(), mean:totable(), 1e-12)
        end
    until last
end)

t.case("rows of a batch halt by themselves; the most steps is the most", function()
    local model, x = ponder(3, -0.5), attn.randn(3, 1, 2, {dtype = "float64"})
    local y = model(x)
    for b = 1, 3 do t.near(y[b]:item(), (model(x:narrow(1, b, 1))):item(), 1e-12) end
    local _, _, steps = ponder(3, -20)(x)
    t.equal(steps:totable(), {{3}, {3}, {3}})
    _, _, steps = ponder(3, 20)(x)
    t.equal(steps:totable(), {{1}, {1}, {1}})
end)

t.case("tasks: what is wanted is right", function()
    attn.seed(1)
    local b = paper.signs({size = 5}, 20)
    local x, y, hard = b.x:totable(), b.y:totable(), b.hard:totable()
    for i = 1, 20 do
        local ones, there = 0, 0
        for _, v in ipairs(x[i][1]) do ones, there = ones + (v == 1 and 1 or 0), there + (v ~= 0 and 1 or 0) end
        t.equal({y[i][1], hard[i]}, {ones % 2 + 1, there})
    end
    b = paper.sums({base = 3}, 20)
    x, y, hard = b.x:totable(), b.y:totable(), b.hard:totable()
    for i = 1, 20 do
        local total, most, said = 0, 0, y[i][1] - 1 + 3 * (y[i][2] - 1) + 9 * (y[i][3] - 1)
        for _, row in ipairs(x[i]) do
            for place = 0, 1 do
                for digit = 0, 2 do
                    local there = row[place * 3 + digit + 1]
                    total, most = total + there * digit * 3 ^ place, math.max(most, there * (place + 1))
                end
            end
        end
        t.equal({said, hard[i]}, {total // 1 | 0, most // 1 | 0})
    end
end)
