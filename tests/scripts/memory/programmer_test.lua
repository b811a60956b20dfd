-- Programming: gradients, programs that are known, questions answered by hand.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local paper = require "memory.programmer"

local function double(x) return attn.tensor(x, {dtype = "float64"}) end

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

t.case("questions: the answer counted row by row", function()
    attn.seed(2)
    local b = paper.questions({columns = 3}, 40, 5)
    local question, pivot, cells, answer = b.question:totable(), b.pivot:totable(), b.cells:totable(), b.answer:totable()
    for i, q in ipairs(question) do
        local sum = 0
        for _, row in ipairs(cells[i]) do
            local filter, value = q[3] - 5, row[q[4] - 8]
            local counts = filter == 3 or filter == 1 and value > pivot[i] or filter == 2 and value < pivot[i]
            if counts then sum = sum + (q[1] == 1 and row[q[2] - 2] or 1) end
        end
        t.near(answer[i], sum, 1e-5)
    end
end)
