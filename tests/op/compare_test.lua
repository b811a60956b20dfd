local attn, t = require "attn", require "attn.test"

local nan = 0 / 0

t.case("comparisons give booleans", function()
    local a, b = attn.tensor{1, 2, 3}, attn.tensor{2, 2, 2}
    t.equal(a:eq(b), {false, true, false})
    t.equal(a:ne(b), {true, false, true})
    t.equal(a:lt(b), {true, false, false})
    t.equal(a:le(b), {true, true, false})
    t.equal(a:gt(b), {false, false, true})
    t.equal(a:ge(2), {false, true, true})
    t.equal(attn.lt(2, a), {false, false, true})
    t.equal(a:eq(b).dtype, "bool")
end)

t.case("they broadcast and take integers, booleans and steps", function()
    t.equal(attn.tensor{{1}, {2}}:lt(attn.tensor{1, 2, 3}), {{false, true, true}, {false, false, true}})
    local big = attn.tensor({math.maxinteger}, {dtype = "int64"})
    t.equal(big:eq(big - 1), {false})
    t.equal(attn.tensor{true, false}:eq(attn.tensor{true, true}), {true, false})
    t.equal(attn.tensor{{1, 2}, {3, 4}}:transpose(1, 2):gt(2), {{false, true}, {false, true}})
end)

t.case("NaN equals nothing", function()
    local a = attn.tensor{nan}
    for _, name in ipairs{"eq", "lt", "le", "gt", "ge"} do t.equal(a[name](a, a), {false}) end
    t.equal(a:ne(a), {true})
end)

t.case("errors", function()
    t.raises("lt: the shapes do not broadcast (a: float32 [2], b: float32 [3])", attn.lt, attn.zeros(2), attn.zeros(3))
    t.raises("eq: b is int64, but a is float32", attn.eq, attn.zeros(2), attn.zeros(2, {dtype = "int64"}))
end)

t.case("isnan, isinf and isfinite look at every element", function()
    local nan, inf = 0 / 0, math.huge
    for _, dtype in ipairs{"float32", "float64"} do
        local x = attn.tensor({{nan, inf, 0}, {-inf, 1e-40, -nan}}, {dtype = dtype})
        t.equal(x:isnan(), {{true, false, false}, {false, false, true}})
        t.equal(attn.isinf(x), {{false, true, false}, {true, false, false}})
        t.equal(x:transpose(1, 2):isfinite(), {{false, false}, {false, true}, {true, false}})
    end
    t.equal(attn.arange(1, 2):isfinite(), {true, true})
    t.equal(attn.arange(1, 2):isnan(), {false, false})
end)

t.case("a bool beside a float tensor is compared as 0 and 1", function()
    local mask, x = attn.tensor{true, false, true}, attn.tensor({0.5, 0, 1}, {dtype = "float64"})
    t.equal(mask:gt(x), {true, false, false})
    t.equal(x:eq(mask), {false, true, true})
    t.equal(mask:lt(0.5), {false, true, false})
end)
