local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local nan, inf = 0 / 0, math.huge

t.case("operators and numbers on either side", function()
    local a, b = attn.tensor{1, 2, 4}, attn.tensor{2, 4, 8}
    t.equal(a + b, {3, 6, 12})
    t.equal(a - b, {-1, -2, -4})
    t.equal(a * b, {2, 8, 32})
    t.equal(b / a, {2, 2, 2})
    t.equal(a ^ 2, {1, 4, 16})
    t.equal(-a, {-1, -2, -4})
    t.equal(1 - a, {0, -1, -3})
    t.equal(8 / a, {8, 4, 2})
    t.equal(2 ^ a, {2, 4, 16})
    t.equal(attn.minimum(a, 2), {1, 2, 2})
    t.equal(a:maximum(attn.tensor{3, 1, 1}), {3, 2, 4})
end)

t.case("shapes broadcast as in NumPy", function()
    local a, b = attn.arange(1, 3):to("float32"):view(3, 1), attn.tensor{10, 20}
    t.equal(a + b, {{11, 21}, {12, 22}, {13, 23}})
    t.equal(b - a, {{9, 19}, {8, 18}, {7, 17}})
    local x, y = attn.randn(2, 1, 3, 1), attn.randn(4, 1, 5)
    local z, xs, ys = (x * y):totable(), x:totable(), y:totable()
    t.equal((x * y).shape, {2, 4, 3, 5})
    for i = 1, 2 do for j = 1, 4 do for k = 1, 3 do for l = 1, 5 do
        t.near(z[i][j][k][l], xs[i][1][k][1] * ys[j][1][l], 1e-6)
    end end end end
    t.equal((attn.zeros(3, 0) + attn.zeros(1, 1)).shape, {3, 0})
    t.equal((attn.tensor(1) + attn.tensor(2)).shape, {})
end)

t.case("a transposed operand gives what its copy gives", function()
    local a, b = attn.randn(300, 200), attn.randn(200, 300)
    for _, name in ipairs{"add", "sub", "mul", "div", "minimum", "maximum"} do
        local f = attn[name]
        t.is_true(f(a, b:transpose(1, 2)):eq(f(a, b:transpose(1, 2):contiguous())):min():item() == 1, name)
    end
end)

t.case("int64 stays int64 and wraps around", function()
    local a = ids{7, -2, math.maxinteger}
    t.equal((a + 1).dtype, "int64")
    t.equal(a + 1, {8, -1, math.mininteger})
    t.equal(a * ids{2, 3, 2}, {14, -6, -2})
    t.equal(-a, {-7, 2, -math.maxinteger})
    t.equal(attn.minimum(a, 0), {0, -2, 0})
    t.equal(attn.tensor{true, false} + attn.tensor{true, true}, {2, 1})
end)

t.case("minimum and maximum of NaN are NaN", function()
    local a, b = attn.tensor{nan, 1, nan}, attn.tensor{1, nan, nan}
    for _, f in ipairs{attn.minimum, attn.maximum} do
        for _, x in ipairs(f(a, b):totable()) do t.is_true(x ~= x) end
    end
end)

t.case("equal elements share the gradient of maximum", function()
    local a, b = attn.tensor{1, 2}:requires_grad_(true), attn.tensor{1, 3}:requires_grad_(true)
    attn.maximum(a, b):sum():backward()
    t.equal(a.grad, {0.5, 0})
    t.equal(b.grad, {0.5, 1})
end)

t.case("the gradient of pow at 0 is finite", function()
    local a = attn.tensor{0, 0, 2}:requires_grad_(true)
    local b = attn.tensor{0, 2, 0}:requires_grad_(true);
    (a ^ b):sum():backward()
    t.equal(a.grad, {0, 0, 0})
    t.near(b.grad, {0, 0, math.log(2)})
end)

t.case("one tensor as both operands", function()
    local a = attn.tensor{2, 3}:requires_grad_(true);
    (a * a):sum():backward()
    t.equal(a.grad, {4, 6})
    a:zero_grad();
    (a + a * a - a / a):sum():backward()
    t.equal(a.grad, {5, 7})
end)

t.case("infinities", function()
    t.equal(attn.tensor{1, -1} / 0, {inf, -inf})
    t.equal(attn.tensor{inf} - 1, {inf})
end)

t.case("errors name what came", function()
    t.raises("add: the shapes do not broadcast (a: float32 [2, 3], b: float32 [4])", attn.add, attn.zeros(2, 3),
             attn.zeros(4))
    t.raises("mul: b is float64, but a is float32 (b: float64 [2])", attn.mul, attn.zeros(2),
             attn.zeros(2, {dtype = "float64"}))
    t.raises("div: a is int64, expected float32 or float64 (a: int64 [2])", attn.div, ids{1, 2}, ids{1, 2})
    t.raises("b is 1.5, expected an integer", attn.add, ids{1, 2}, 1.5)
    t.raises("add: b is missing", attn.add, attn.zeros(2))
    t.raises("add: b is the string '1'", attn.add, attn.zeros(2), "1")
end)

-- ---- Lua's // and % ----

t.case("// and % of int64 are Lua's, whatever the signs", function()
    local list = {7, -7, 6, -6, 1, 0, math.maxinteger, math.mininteger, math.mininteger + 1}
    local a = attn.tensor(list, {dtype = "int64"})
    for _, b in ipairs{3, -3, 1, -1, 2, 7, math.maxinteger, math.mininteger} do
        local down, rest = (a // b):totable(), (a % b):totable()
        for k, x in ipairs(list) do
            t.equal(down[k], x // b, ("%d // %d"):format(x, b))
            t.equal(rest[k], x % b, ("%d %% %d"):format(x, b))
        end
    end
    t.equal(7 // attn.tensor({2, -2}, {dtype = "int64"}), {3, -4})
    t.equal(attn.mod(attn.arange(1, 4):unsqueeze(2), attn.arange(2, 3)), {{1, 1}, {0, 2}, {1, 0}, {0, 1}})
    t.equal((a // 2).dtype, "int64")
    t.equal(attn.tensor{true, false} % 2, {1, 0})
end)

t.case("// and % of floats are Lua's", function()
    local list = {7.5, -7.5, 0, 3, -3, math.huge, 0 / 0}
    for _, b in ipairs{2.0, -2.0, 0.75, math.huge} do
        local down, rest = attn.tensor(list, {dtype = "float64"}) // b, attn.tensor(list, {dtype = "float64"}) % b
        for k, x in ipairs(list) do
            for _, pair in ipairs{{down[k]:item(), x // b}, {rest[k]:item(), x % b}} do
                t.is_true(pair[1] == pair[2] or pair[1] ~= pair[1] and pair[2] ~= pair[2], ("%g by %g: %g, expected %g"):format(x, b,
                    pair[1], pair[2]))
            end
        end
    end
    local x = attn.tensor{5.5, -1}:requires_grad_(true);
    (x // 2 + x % 2):sum():backward()
    t.equal(x.grad, {1, 1})
end)

t.case("int64 by 0 is an error, also where only one divisor is 0", function()
    local x = attn.arange(1, 3)
    t.raises("idiv: b is 0, expected other divisors of int64 (b: int64 [])", function() return x // 0 end)
    t.raises("mod: b is 0 somewhere, expected other divisors of int64 (b: int64 [3])",
             function() return x % (attn.arange(1, 3) - 2) end)
    t.raises("idiv: b is 2.5, expected an integer", function() return x // 2.5 end)
end)

-- ---- bool beside floats ----

t.case("a bool beside a float tensor counts as 0 and 1, on either side", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local mask, x = attn.tensor{true, false}, attn.tensor({3, 5}, {dtype = dtype}):requires_grad_(true)
        local y = mask * x + x * mask - mask
        t.equal({y.dtype, y:totable()}, {dtype, {5, 0}})
        y:sum():backward()
        t.equal(x.grad, {2, 0})
        t.near(mask / x, {1 / 3, 0}, 1e-6)
        t.equal(attn.maximum(mask, x:detach()), {3, 5})
    end
    t.equal((attn.tensor{{true}, {false}} * attn.randn(2, 3):abs()):gt(0), {{true, true, true}, {false, false, false}})
end)

t.case("a bool beside a number is int64 if it is an integer, else float32", function()
    local mask = attn.tensor{true, false}
    t.equal({(mask * 2).dtype, (mask * 2):totable()}, {"int64", {2, 0}})
    t.equal({(1 - mask).dtype, (1 - mask):totable()}, {"int64", {0, 1}})
    t.equal({(mask * 0.5).dtype, (mask * 0.5):totable()}, {"float32", {0.5, 0}})
    t.equal((mask + mask).dtype, "int64")
end)

t.case("other kinds are not mixed all the same", function()
    local mask, x = attn.tensor{true, false}, attn.randn(2)
    t.raises("mul: b is int64, but a is float32", function() return x * attn.arange(1, 2) end)
    t.raises("where: b is bool, but a is float32", attn.where, mask, x, mask)
    t.raises("cat: tensor 2 is bool, but tensor 1 is float32", attn.cat, {x, mask})
    t.raises("div: a is bool, expected float32 or float64", function() return mask / mask end)
end)

-- ---- logaddexp ----

t.case("logaddexp is its definition and does not overflow", function()
    local a, b = attn.randn(3, 4, {dtype = "float64"}), attn.randn(4, {dtype = "float64"})
    t.near(attn.logaddexp(a, b), (a:exp() + b:exp()):log(), 1e-12)
    local inf = math.huge
    t.near(attn.logaddexp(attn.tensor{1000, -1000, -inf, 3}, attn.tensor{1000, -1000, 5, -inf}),
           {1000 + math.log(2), -1000 + math.log(2), 5, 3}, 1e-4)
    t.equal(attn.logaddexp(attn.tensor{-inf, inf, 1}, attn.tensor{-inf, inf, inf}), {-inf, inf, inf})
    local x = attn.full({2}, -inf):requires_grad_(true)
    attn.logaddexp(x, x):sum():backward()
    t.equal(x.grad, {0, 0})
end)
