-- Functions of symbols: what they become, their derivatives, and errors at the line that wrote them. attn.map shows them on tensors.
local attn, t = require "attn", require "attn.test"

local function close(a, b, options, name)
    local apart = (a:detach() - b:detach()):abs():max():item()
    local most = (options.atol or 0) + (options.rtol or 0) * b:detach():abs():max():item()
    t.is_true(apart <= most, ("%s: apart by %g"):format(name or "", apart))
end

local function rand(...) return attn.rand(..., {dtype = "float64"}) * 3 - 1.5 end

local unary = {"exp", "abs", "sign", "sin", "cos", "tanh", "sigmoid", "relu", "gelu", "silu", "elu", "softplus", "floor", "ceil", "round",
    "square", "log1p", "expm1", "tan", "atan", "erf", "leaky_relu", "neg", "clamp"}
t.case("every function of one tensor: values of attn.NAME, and its gradient", function()
    attn.seed(1)
    for _, dtype in ipairs {"float32", "float64"} do
        for _, name in ipairs(unary) do
            local x = (attn.rand(3, 37, {dtype = dtype}) * 1.4 - 0.7):requires_grad_(true)
            local z = x:detach():clone():requires_grad_(true)
            local y = attn.map(function(a) return a[name](a) end, x)
            local w = z[name](z)
            close(y, w, {atol = dtype == "float32" and 2e-6 or 1e-14}, name)
            local g = attn.randn(3, 37, {dtype = dtype})
            y:backward(g)
            w:backward(g)
            close(x.grad, z.grad, {atol = dtype == "float32" and 4e-6 or 1e-13}, name)
        end
        for _, name in ipairs {"log", "sqrt", "rsqrt"} do
            local x = attn.rand(5, 11, {dtype = dtype}) + 0.5
            close(attn.map(function(a) return attn[name](a) end, x), attn[name](x), {atol = 2e-6}, name)
        end
    end
end)

t.case("functions of two tensors that broadcast, with their gradients", function()
    attn.seed(2)
    local shapes = {{{4, 5}, {4, 5}}, {{4, 5}, {5}},
         {{4, 5}, {4, 1}}, {{2, 3, 4}, {3, 1}}, {{3, 1, 2}, {1, 4, 1}}, {{6}, {}}, {{1}, {7, 2}}}
    for _, name in ipairs {"add", "sub", "mul", "div", "pow", "minimum", "maximum", "logaddexp", "mod"} do
        for _, s in ipairs(shapes) do
            local function tensor(shape) return #shape == 0 and attn.tensor(1.3, {dtype = "float64"})
                or attn.rand(shape, {dtype = "float64"}) + 0.4 end
            local a, b = tensor(s[1]), tensor(s[2])
            local function f(x, y) return attn.map(function(p, q) return attn[name](p, q) end, x, y) end
            close(f(a, b), attn[name](a, b), {atol = 1e-13}, name)
            if name ~= "mod" then t.gradient(f, {a, b}) end
        end
    end
end)

t.case("operators, numbers on either side, where and masks", function()
    attn.seed(3)
    local x, y = rand(4, 6), rand(4, 6)
    local function f(a, b)
        return attn.where(a:lt(b) & ~b:gt(1) | a:eq(0), (2 * a - b / 3) ^ 2, -a * (1 + b)) + 1 - a // 1 + a % 2
    end
    local inside = x:lt(y) & ~y:gt(1) | x:eq(0)
    local want = attn.where(inside, (x * 2 - y / 3):square(), -x * (y + 1)) + 1 - x:floor() + x % 2
    close(attn.map(f, x, y), want, {atol = 1e-13})
    t.gradient(function(a, b) return attn.map(f, a, b) end, {x, y})
end)

t.case("a function that depends on no argument, and one that is its argument", function()
    local x = attn.randn(3):requires_grad_(true)
    local y = attn.map(function() return 2.5 end, x)
    t.equal(y:totable(), {2.5, 2.5, 2.5})
    y:sum():backward()
    t.equal(x.grad:totable(), {0, 0, 0})
    t.equal(attn.map(function(a) return a end, x:detach()):totable(), x:detach():totable())
end)

t.case("upvalues are read at each call", function()
    local x, scale = attn.tensor{1, 2}, 2
    local function f(a) return a * scale end
    t.equal(attn.map(f, x):totable(), {2, 4})
    scale = 3
    t.equal(attn.map(f, x):totable(), {3, 6})
    t.equal(attn.map(function(a, b) return a + b end, x, 0.5):totable(), {1.5, 2.5})
end)

t.case("the same bits for 1, 2, 3 and 7 threads", function()
    attn.seed(4)
    local before = attn.threads()
    local x, b, g = attn.randn(300, 257), attn.randn(257), attn.randn(300, 257)
    local first
    for _, n in ipairs {1, 2, 3, 7} do
        attn.threads(n)
        local p, q = x:clone():requires_grad_(true), b:clone():requires_grad_(true)
        attn.map(function(u, v) return (u + v):gelu() * v:tanh() end, p, q):backward(g)
        local now = {p.grad:totable(), q.grad:totable()}
        if first then t.equal(now, first) end
        first = first or now
    end
    attn.threads(before)
end)

t.case("one long row is cut like rows are", function()
    attn.seed(5)
    local x, s = attn.randn(50001, {dtype = "float64"}), attn.tensor(0.7, {dtype = "float64"}):requires_grad_(true)
    local y = attn.map(function(a, b) return (a * b):tanh() end, x, s)
    close(y, (x * 0.7):tanh(), {atol = 1e-14})
    y:sum():backward()
    t.near(s.grad:item(), (x * (1 - (x * 0.7):tanh():square())):sum():item(), 1e-9)
    t.equal(attn.map(function(a) return a + 1 end, attn.zeros(0, 3)).shape, {0, 3})
end)

-- The line of the function is named, and what is wrong.
local function fails(pattern, line, fn, ...)
    local ok, message = pcall(fn, ...)
    t.is_true(not ok, "no error, expected " .. pattern)
    t.is_true(message:find(pattern, 1, true), message)
    t.is_true(message:find("expression_test.lua:" .. line .. ":", 1, true), message .. " (expected line " .. line .. ")")
end
local function here() return debug.getinfo(2, "l").currentline end

t.case("a branch on a symbol is an error at its line", function()
    local x, bias = attn.randn(3), attn.randn(3)
    fails("map: < or > of a symbol", here() + 1, attn.map, function(a)
        if a < 0 then return -a end return a end, x)
    fails("map: <= or >= of a symbol", here() + 1, attn.map, function(a)
        return a >= 1 and a or 2 * a end, x)
    fails("map: == or ~= of a symbol", here() + 1, attn.map, function(a)
        return a == 2 * a and a or 1 end, x)
    fails("a symbol is one number and has no length", here() + 1, attn.map, function(a)
        return #a end, x)
    fails("map: add: a tensor, float32 [3], stands in the expression", here() + 1, attn.map, function(a)
        return a + bias end, x)
    fails("map: mul: a tensor, float32 [3], stands in the expression", here() + 1, attn.map, function(a)
        return bias * a end, x)
    fails("map: softmax is no element-wise function", here() + 1, attn.map, function(a)
        return attn.softmax(a, 1) end, x)
    fails("a symbol has no function 'sigmoi' (did you mean 'sigmoid'?)", here() + 1, attn.map, function(a)
        return a:sigmoi() end, x)
    fails("logical_and: an operand is float, expected bool", here() + 1, attn.map, function(a)
        return a & a:lt(1) end, x)
    fails("mul: an operand is bool, expected a number", here() + 1, attn.map, function(a)
        return a * a:lt(1) end, x)
    fails("the function returned a bool symbol, expected one number", here() + 1, attn.map, function(a)
        return a:lt(1) end, x)
    fails("the function returned nil, expected one number", here(), attn.map, function() return nil end, x)
    fails("the function returned 2 values, expected 1", here(), attn.map, function(a) return a, a end, x)
end)

t.case("arguments of map", function()
    t.raises("map: fn is a string, expected a function", attn.map, "x", attn.ones(2))
    t.raises("map: there is no tensor among the arguments", attn.map, function(a) return a end, 1)
    t.raises("map: argument 1 is a table, expected a tensor or a number", attn.map, function(a) return a end, {})
    t.raises("map: the shapes do not broadcast", attn.map, function(a, b) return a + b end, attn.ones(2), attn.ones(3))
    t.raises("map: tensor 2 is float64", attn.map, function(a, b) return a + b end, attn.ones(2), attn.ones(2, {dtype = "float64"}))
end)

t.case("a symbol that is kept is of no use later", function()
    local kept
    attn.map(function(a) kept = a return a end, attn.ones(2))
    t.is_true(not pcall(function() return kept + 1 end))
    t.is_true(not pcall(attn.map, function(a) return a + kept end, attn.ones(2)))
    t.equal(attn.map(function(a) return a + 1 end, attn.ones(2)):totable(), {2, 2})
end)

t.case("a function may map inside: the outer one goes on", function()
    local x = attn.ones(2)
    local inner
    local y = attn.map(function(a)
        inner = attn.map(function(b) return b * 3 end, x)
        return a + inner[1]:item()
    end, x)
    t.equal(y:totable(), {4, 4})
end)

t.case("quotients by one number have the bits of division, also where numbers run out", function()
    attn.seed(11)
    for _, dtype in ipairs {"float32", "float64"} do
        local near = attn.randn(4000, {dtype = dtype})
        local wide = near * (attn.randn(4000, {dtype = dtype}) * 40):exp()
        local odd = attn.tensor({0, -0.0, math.huge, -math.huge, 0 / 0, 1e-40, 1e-310, 3e38, 1, -1}, {dtype = dtype})
        for _, divisor in ipairs {1, 3, 49, -20, 0.1, 1 / 3, 2 ^ 24 - 1, 1 + 2 ^ -23, 2 - 2 ^ -23, 2 - 2 ^ -52, 1e-11, 1e30, 0, math.huge} do
            for _, x in ipairs {near, near:abs() + 1, wide, odd} do
                local a, b = attn.map(function(v) return v / divisor end, x), x / divisor
                t.is_true((a:eq(b) & (1 / a):eq(1 / b) | a:isnan() & b:isnan()):all():item(), divisor)
            end
        end
    end
end)

t.case("what commutes is one node in either order, in the function and in its derivative", function()
    local expression = require "attn.expression"
    local function lengths(fn)
        local made = expression.trace("map", fn, "float", "the arguments of fn", function()
            local list = {}
            for k = 0, 1 do list[k + 1] = expression.wrap(expression.leaf("input", "float", expression.PAIR, k)) end
            return list
        end)
        local forward, backward = expression.programs(made, 2)
        return {forward:numel(), backward:numel()}
    end
    local same = lengths(function(a, b) return ((a + b) * (a + b)):exp() end)
    t.equal(lengths(function(a, b) return ((a + b) * (b + a)):exp() end), same)
    t.is_true(lengths(function(a, b) return ((a + b) * (b - a)):exp() end)[1] > same[1])
end)

t.case("integers that depend on less are added first, and what the distance says takes no number for each pair", function()
    local expression = require "attn.expression"
    local function of_pairs(fn)
        local made = expression.trace("score_mod", fn, "float", "its arguments", function()
            return {expression.wrap(expression.leaf("query", "integer", expression.QUERY)),
                expression.wrap(expression.leaf("key", "integer", expression.KEY))}
        end)
        local program, n = (expression.programs(made, 0)):totable(), 0
        for r = 1, program[1] do n = n + (program[2 + r] == expression.PAIR and 1 or 0) end
        return n
    end
    t.equal(of_pairs(function(q, k) return (q - k) * 1.0 end), 0)
    t.equal(of_pairs(function(q, k) return (q - k + 5):clamp(1, 9) * 1.0 end), 0)
    t.equal(of_pairs(function(q, k) return (7 + (q - k) - 2 - k) * 1.0 end), 0)
    t.equal(of_pairs(function(q, k) return attn.where(q:ge(k) & (3 - (k % 5 - q)):lt(4), 1.0, 2.0) end), 2)
    local plain = of_pairs(function(q, k) return (q // 3 - k // 3) * 1.0 end)
    t.is_true(plain > 0)
    t.equal(of_pairs(function(q, k) return (q // 3 - k // 3 + 5) * 1.0 end), plain)
    t.equal(of_pairs(function(q, k) return (k + q - 2 * q + 1) * 1.0 end), plain)
    local seen = attn.attention{query = 1, score_mod = function(_, at) return (3 + (at.query - at.key) - 2 * at.key - 1) * 1.0 end}
    local _, w = seen(attn.ones(1, 2, 1), attn.ones(1, 3, 1), nil, {weights = true})
    t.near(w:totable()[1][2], attn.softmax(attn.tensor{1, -2, -5}):totable(), 1e-6)
end)
