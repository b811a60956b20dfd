local attn, t = require "attn", require "attn.test"

local nan = 0 / 0

t.case("sort gives values and places, in both directions, stably", function()
    local x = attn.tensor{3, 1, 2, 1, 3}
    local values, places = x:sort()
    t.equal(values, {1, 1, 2, 3, 3})
    t.equal(places, {2, 4, 3, 1, 5})
    values, places = x:sort(1, true)
    t.equal(values, {3, 3, 2, 1, 1})
    t.equal(places, {1, 5, 3, 2, 4})
    t.equal(attn.tensor{{2, 3}, {1, 4}}:sort(1), {{1, 3}, {2, 4}})
    t.equal((attn.tensor({5, -7, 0}, {dtype = "int64"}):sort()), {-7, 0, 5})
    t.equal((attn.zeros(2, 0):sort()).shape, {2, 0})
end)

t.case("it agrees with table.sort on long rows of any dimension", function()
    local x = attn.randn(4, 333)
    local want = x:totable()
    for _, row in ipairs(want) do table.sort(row) end
    t.equal((x:sort()), want)
    t.equal((x:transpose(1, 2):sort(1)):transpose(1, 2), want)
    local values, places = x:sort(2, true)
    t.equal(x:gather(2, places), values:totable())
end)

t.case("NaN comes last in both directions", function()
    local x = attn.tensor{nan, 2, nan, 1}
    local values, places = x:sort()
    t.equal(values, {1, 2, nan, nan})
    t.equal(places, {4, 2, 1, 3})
    t.equal((x:sort(1, true)), {2, 1, nan, nan})
    t.equal((x:topk(3)), {2, 1, nan})
end)

t.case("topk gives the greatest, the first of equal ones first", function()
    local x = attn.tensor{{1, 5, 5, 2}, {0, 0, 0, 0}}
    local values, places = x:topk(2)
    t.equal(values, {{5, 5}, {0, 0}})
    t.equal(places, {{2, 3}, {1, 2}})
    t.equal((x:topk(1, 1)), {{1, 5, 5, 2}})
    t.equal((x:topk(0)).shape, {2, 0})
    local y = attn.randn(3, 200)
    local sorted, order = y:sort(2, true)
    values, places = y:topk(17)
    t.equal(values, sorted:narrow(2, 1, 17):totable())
    t.equal(places, order:narrow(2, 1, 17):totable())
end)

t.case("gradients go back to the places", function()
    local x = attn.tensor{3, 1, 2}:requires_grad_(true);
    ((x:sort()) * attn.tensor{10, 20, 30}):sum():backward()
    t.equal(x.grad, {30, 10, 20})
    local y = attn.tensor{3, 1, 2}:requires_grad_(true)
    y:topk(2):sum():backward()
    t.equal(y.grad, {1, 0, 1})
end)

t.case("errors", function()
    t.raises("topk: k is 4, expected 0..3 (x: float32 [3])", attn.topk, attn.zeros(3), 4)
    t.raises("topk: k is -1", attn.topk, attn.zeros(3), -1)
    t.raises("sort: x is a scalar", attn.sort, attn.tensor(1))
end)
