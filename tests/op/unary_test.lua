local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge

local function erf(x)       -- Abramowitz and Stegun 7.1.5
    local sum, term = 0, x
    for n = 0, 60 do
        sum = sum + term / (2 * n + 1)
        term = -term * x * x / (n + 1)
    end
    return 2 / math.sqrt(math.pi) * sum
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
}

for name, f in pairs(definitions) do
    t.case(name .. " is its definition, in both precisions", function()
        for _, dtype in ipairs{"float32", "float64"} do
            local x = attn.randn(7, 5, {dtype = dtype}) * 2
            if name == "log" or name == "sqrt" then x = x:abs() + 0.01 end
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
