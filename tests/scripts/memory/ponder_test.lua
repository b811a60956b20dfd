-- Pondering and programming: gradients, halting worked by hand, programs that are known.
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

t.case("a programmer: gradient; the sum of column 2 where column 1 is greater than 0.5", function()
    attn.seed(8)
    local model = paper.Programmer{words = 4, dim = 2, hidden = 2, columns = 2, steps = 2}:to "float64"
    local question, cells = attn.tensor({{1, 2}}, {dtype = "int64"}), double{{{1, 10}, {0, 20}, {0.7, 30}}}
    local ok, report = attn.checkgrad(function() return (model(question, double{0.5}, cells)) end, model:parameters())
    t.is_true(ok, report)
    local function say(map, choice)
        local bias = {}
        for i = 1, map:state().bias:size(1) do bias[i] = i == choice and 50 or 0 end
        map:load{weight = map:state().weight * 0, bias = double(bias)}
    end
    say(model.operation[1], 2)
    say(model.column[1], 1)
    say(model.operation[2], 4)
    say(model.column[2], 2)
    t.near(model(question, double{0.5}, cells):totable(), {40}, 1e-9)
    t.near(model:eval()(question, double{0.5}, cells):totable(), {40}, 1e-12)
    say(model.operation[1], 3)
    say(model.operation[2], 5)
    t.near(model(question, double{0.5}, cells):totable(), {1}, 1e-12)       -- one row is smaller
end)

t.case("tasks: what is wanted is right", function()
    local x, y, hard = paper.signs(attn.data.random(1), {size = 5}, 20)
    for b = 1, 20 do
        local ones, there = 0, 0
        for _, v in ipairs(x[b][1]) do ones, there = ones + (v == 1 and 1 or 0), there + (v ~= 0 and 1 or 0) end
        t.equal({y[b][1], hard[b][1]}, {ones % 2 + 1, there})
    end
    x, y = paper.sums(attn.data.random(2), {base = 3}, 20)
    for b = 1, 20 do
        local total, said = 0, y[b][1] - 1 + 3 * (y[b][2] - 1) + 9 * (y[b][3] - 1)
        for _, row in ipairs(x[b]) do
            for place = 0, 1 do
                for digit = 0, 2 do total = total + row[place * 3 + digit + 1] * digit * 3 ^ place end
            end
        end
        t.equal(said, math.tointeger(total))
    end
end)
