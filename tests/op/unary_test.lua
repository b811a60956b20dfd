local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge

local function erf(x)       -- Abramowitz and Stegun 7.1.6: terms of one sign
    local sum, term = 0, x
    for n = 0, 150 do
        sum = sum + term
        term = term * 2 * x * x / (2 * n + 3)
    end
    return 2 / math.sqrt(math.pi) * math.exp(-x * x) * sum
end
local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
local function tanh(x) return (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1) end

local definitions = {
    exp = math.exp, sqrt = math.sqrt, log = math.log, abs = math.abs, sin = math.sin, cos = math.cos, tanh = tanh,
        sigmoid = sigmoid,
    sign = function(x) return x > 0 and 1 or x < 0 and -1 or 0 end,
    relu = function(x) return math.max(x, 0) end,
    gelu = function(x) return x * (1 + erf(x / math.sqrt(2))) / 2 end,
    silu = function(x) return x * sigmoid(x) end,
    elu = function(x) return x > 0 and x or math.exp(x) - 1 end,
    softplus = function(x) return math.log(1 + math.exp(x)) end,
    floor = function(x) return math.floor(x) + 0.0 end, ceil = function(x) return math.ceil(x) + 0.0 end,
    round = function(x) return math.floor(x + 0.5) + 0.0 end,
    square = function(x) return x * x end,
    rsqrt = function(x) return 1 / math.sqrt(x) end,
    log1p = function(x) return math.log(1 + x) end,
    expm1 = function(x) return math.exp(x) - 1 end,
    tan = function(x) return math.sin(x) / math.cos(x) end,
    atan = math.atan, erf = erf,
    leaky_relu = function(x) return x > 0 and x or 0.01 * x end,
}

for name, f in pairs(definitions) do
    t.case(name .. " is its definition, in both precisions", function()
        for _, dtype in ipairs{"float32", "float64"} do
            local x = attn.randn(7, 5, {dtype = dtype}) * 2
            if name == "log" or name == "sqrt" then x = x:abs() + 0.01 end
            if name == "rsqrt" or name == "log1p" then x = x:abs() + 0.1 end
            if name == "tan" then x = x:clamp(-1.2, 1.2) end
            local y, values = attn[name](x), x:totable()
            t.equal(y.dtype, dtype)
            for i = 1, 7 do for j = 1, 5 do values[i][j] = f(values[i][j]) end end
            t.near(y, values, dtype == "float32" and 2e-6 or 1e-12)
            t.equal(attn[name](x:transpose(1, 2)), y:transpose(1, 2):totable())
        end
        t.equal(attn[name](attn.zeros(0, 3)).shape, {0, 3})
        t.equal(attn[name](attn.tensor(1)).shape, {})
    end)
end

t.case("extremes do not overflow", function()
    t.equal(attn.tensor{-1000, 1000}:sigmoid(), {0, 1})
    t.equal(attn.tensor{-1000, 1000}:tanh(), {-1, 1})
    t.equal(attn.tensor{-1000, 1000}:softplus(), {0, 1000})
    t.equal(attn.tensor{-inf, inf}:exp(), {0, inf})
    t.equal(attn.tensor{0}:log(), {-inf})
    t.equal(attn.tensor{-1000, 1000}:silu(), {0, 1000})
    t.equal(attn.tensor{-1000, 1000}:gelu(), {0, 1000})
end)

t.case("NaN stays NaN", function()
    for _, name in ipairs{"exp", "tanh", "relu", "sign", "abs", "elu", "clamp"} do
        local y = attn[name](attn.tensor{nan}):totable()[1]
        t.is_true(y ~= y, name)
    end
end)

t.case("kinks have gradient 0", function()
    for _, name in ipairs{"abs", "relu", "sign"} do
        local x = attn.tensor{0}:requires_grad_(true)
        attn[name](x):sum():backward()
        t.equal(x.grad, {0})
    end
end)

t.case("clamp limits, and its gradient passes at the bounds", function()
    local x = attn.tensor{-2, -1, 0, 1, 2}:requires_grad_(true)
    local y = x:clamp(-1, 1)
    t.equal(y, {-1, -1, 0, 1, 1})
    y:sum():backward()
    t.equal(x.grad, {0, 1, 1, 1, 0})
    t.equal(x:clamp(0), {0, 0, 0, 1, 2})
    t.equal(x:clamp(nil, 0), {-2, -1, 0, 0, 0})
    t.raises("clamp: low is 2, expected at most high, 1", attn.clamp, x, 2, 1)
end)

t.case("int64 is refused", function()
    t.raises("exp: x is int64, expected float32 or float64 (x: int64 [2])", attn.exp, attn.zeros(2, {dtype = "int64"}))
end)

t.case("floor, ceil and round are integers, halves go to the even one", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local x = attn.tensor({-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6, inf, 1e30}, {dtype = dtype})
        t.equal(x:round(), {-2, -2, 0, 0, 2, 2, 2, -3, inf, x[10]:item()})
        t.equal(x:floor(), {-3, -2, -1, 0, 1, 2, 2, -3, inf, x[10]:item()})
        t.equal(x:ceil(), {-2, -1, 0, 1, 2, 3, 3, -2, inf, x[10]:item()})
        x:requires_grad_(true);
        (x:round() + x:floor() + x:ceil()):sum():backward()
        t.equal(x.grad, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
    end
end)

t.case("expm1, log1p and erf keep their digits near 0 and their limits far out", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local near = attn.tensor({1e-5, -3e-6, 2e-7}, {dtype = dtype})
        local limit = dtype == "float32" and 2e-7 or 1e-15
        local function same(y, f)
            local values, results = near:totable(), y:totable()
            for k, x in ipairs(values) do t.is_true(math.abs(results[k] / f(x) - 1) < 2 * limit, ("%.17g"):format(x)) end
        end
        same(near:expm1(), function(x) return x + x * x / 2 + x ^ 3 / 6 end)
        same(near:log1p(), function(x) return x - x * x / 2 + x ^ 3 / 3 end)
        same(near:erf(), erf)
        t.equal(attn.tensor({-inf, -800, inf}, {dtype = dtype}):expm1(), {-1, -1, inf})
        t.equal(attn.tensor({-inf, -30, 30, inf, 0}, {dtype = dtype}):erf(), {-1, -1, 1, 1, 0})
        t.equal(attn.tensor({0, inf, 4}, {dtype = dtype}):rsqrt(), {inf, 0, 0.5})
        local x = attn.tensor({-0.5, 0.5, 0.49999, 0.50001, 1.2, -2.7}, {dtype = dtype})
        local y, v = x:erf():totable(), x:totable()
        for k = 1, #v do t.near(y[k], erf(v[k]), 2 * limit) end
    end
end)

t.case("leaky_relu has its slope at and below 0", function()
    local x = attn.tensor{-2, 0, 3}:requires_grad_(true)
    local y = x:leaky_relu{slope = 0.25}
    t.equal(y, {-0.5, 0, 3})
    y:sum():backward()
    t.equal(x.grad, {0.25, 0.25, 1})
    t.near(attn.leaky_relu(x:detach()), {-0.02, 0, 3}, 1e-8)
end)
