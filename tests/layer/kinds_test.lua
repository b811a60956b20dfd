-- The layers one by one: their definitions. Their gradients: cases.lua. Conformance files hold the numbers in more shapes.
local attn, t = require "attn", require "attn.test"

local layer, f64 = attn.layer, {dtype = "float64"}

local function ids(...) return attn.tensor({...}, {dtype = "int64"}) end

t.case("linear", function()
    local l = layer.linear{inputs = 3, outputs = 2}
    l:load{weight = attn.tensor{{1, 2, 3}, {0, -1, 1}}, bias = attn.tensor{10, 20}}
    t.equal(l(attn.tensor{1, 1, 1}):totable(), {16, 20})
    t.equal(l(attn.ones(2, 0, 3)).shape, {2, 0, 2})
end)

t.case("embedding: id 0 is zeros and gets no gradient", function()
    local l = layer.embedding{count = 3, dim = 2}
    local ids = attn.tensor({{1, 0}, {3, 3}}, {dtype = "int64"})
    local y = l(ids)
    t.equal(y[1][2]:totable(), {0, 0})
    t.equal(y[2][1]:totable(), l.weight[3]:totable())
    y:sum():backward()
    t.equal(l.weight.grad:totable(), {{1, 1}, {0, 0}, {2, 2}})
end)

t.case("dropout: in training only, scaled, seeded", function()
    local l = layer.dropout{p = 0.25}
    local x = attn.ones(1000)
    attn.seed(3)
    local y = l(x)
    attn.seed(3)
    t.equal(l(x):totable(), y:totable())
    local kept = y:gt(0):sum():item()
    t.is_true(kept > 700 and kept < 800)
    t.near(y:max():item(), 1 / 0.75)
    l:eval()
    t.equal(l(x):totable(), x:totable())
    t.equal(layer.dropout{p = 1}(x):sum():item(), 0)
    t.equal(layer.dropout{p = 0}(x):sum():item(), 1000)
end)

t.case("layernorm and rmsnorm", function()
    local x = attn.tensor({{1, 2, 3, 6}, {0, 0, 0, 0}}, f64)
    local y = layer.layernorm{dim = 4, eps = 0}:to("float64")(x[1])
    t.near(y:totable(), {-2 / 3.5 ^ 0.5, -1 / 3.5 ^ 0.5, 0, 3 / 3.5 ^ 0.5}, 1e-12)
    t.near(layer.rmsnorm{dim = 4, eps = 0}:to("float64")(x[1]):totable(),
           {1 / 12.5 ^ 0.5, 2 / 12.5 ^ 0.5, 3 / 12.5 ^ 0.5, 6 / 12.5 ^ 0.5}, 1e-12)
    t.equal(layer.rmsnorm{dim = 4}:to("float64")(x)[2]:totable(), {0, 0, 0, 0})
end)

t.case("what the configuration of a convolution shows to be wrong is the constructor's error", function()
    t.raises("conv1d: groups is 3, expected a divisor of inputs = 4 and outputs = 6", layer.conv1d,
             {inputs = 4, outputs = 6, kernel = 2, groups = 3})
    t.raises("conv2d: stride is not 1, which padding 'same' expects", layer.conv2d,
             {inputs = 1, outputs = 1, kernel = 2, stride = {1, 2}, padding = "same"})
    t.raises("conv2d: kernel is 0, expected at least 1", layer.conv2d, {inputs = 1, outputs = 1, kernel = {2, 0}})
    t.raises("conv2d: kernel is a table, expected an integer or a table of two", layer.conv2d,
             {inputs = 1, outputs = 1, kernel = {1, 2, 3}})
    t.raises("conv1d: padding is 'casual', expected one of same, causal (did you mean 'causal'?)", layer.conv1d,
             {inputs = 1, outputs = 1, kernel = 1, padding = "casual"})
    local l = layer.conv2d{inputs = 2, outputs = 2, kernel = {1, 2}, stride = 2, padding = {0, 1}, groups = 2}
    t.equal({l.kernel, l.stride, l.padding, l.dilation, l.weight.shape}, {{1, 2}, 2, {0, 1}, 1, {2, 1, 1, 2}})
    t.equal(layer.conv1d{inputs = 1, outputs = 1, kernel = 3, padding = "causal"}.padding, "causal")
end)

t.case("conv1d and conv2d", function()
    local l = layer.conv1d{inputs = 1, outputs = 1, kernel = 2, padding = 1, stride = 2}
    l:load{weight = attn.tensor{{{1, 10}}}, bias = attn.tensor{100}}
    t.equal(l(attn.tensor{{{1}, {2}, {3}}}):totable(), {{{110}, {132}}})
    local m = layer.conv2d{inputs = 1, outputs = 1, kernel = 2, bias = false}
    m:load{weight = attn.tensor{{{{1, 2}, {3, 4}}}}}
    t.equal(m(attn.tensor{{{{1, 0, 0}, {0, 1, 0}}}}):totable(), {{{{5, 3}}}})
    t.is_true(not pcall(layer.conv1d{inputs = 1, outputs = 1, kernel = 5}, attn.ones(1, 3, 1)))
end)

t.case("positional: the definition, far places, steps one by one", function()
    local l = layer.positional{dim = 5}:to("float64")
    local function expected(place, k)      -- both from 0
        local angle = place / 10000 ^ (2 * (k // 2) / 5)
        return k % 2 == 0 and math.sin(angle) or math.cos(angle)
    end
    local function check(first, T)
        local y = l(attn.zeros(2, T, 5, f64), {position = first})
        for s = 1, T do
            for k = 0, 4 do t.near(y[{2, s, k + 1}]:item(), expected(first + s - 2, k), 1e-12) end
        end
    end
    check(1, 3)
    check(1, 70)
    check(60, 10)
    check(65535, 3)
    check(1000000000, 2)
    t.equal(l(attn.zeros(1, 0, 5, f64)).shape, {1, 0, 5})
    t.equal(l:count(), 0)
    t.equal(layer.positional{dim = 4}(attn.zeros(2, 4)).shape, {2, 4})
end)

t.case("positional: learned rows, and the end of them", function()
    local l = layer.positional{dim = 2, type = "learned", max_length = 3}
    t.equal(l(attn.zeros(1, 3, 2))[1]:totable(), l.weight:totable())
    t.equal(l(attn.zeros(1, 1, 2), {position = 3})[1][1]:totable(), l.weight[3]:totable())
    t.raises("positional: x reaches position 4, expected at most 3 (x: float32 [1, 4, 2])", l, attn.zeros(1, 4, 2))
    t.raises("reaches position 4", l, attn.zeros(1, 2, 2), {position = 3})
    t.raises("reaches position 2147483649", l, attn.zeros(1, 2, 2), {position = 2 ^ 31})
    t.raises("position is 0, expected at least 1", l, attn.zeros(1, 2, 2), {position = 0})
    t.raises("reaches position 4", layer.positional{dim = 2, max_length = 3}, attn.zeros(1, 4, 2))
end)

t.case("maxout: piece p of output o is row (o - 1) * pieces + p", function()
    local l = layer.maxout{inputs = 1, outputs = 2, pieces = 3}
    l:load{weight = attn.tensor{{1}, {2}, {3}, {-1}, {0}, {-2}}, bias = attn.zeros(6)}
    t.equal(l(attn.tensor{{2}, {-1}}):totable(), {{6, 0}, {-1, 2}})
end)

t.case("attention_pool: weights, hops, lengths", function()
    local l = layer.attention_pool{inputs = 3, dim = 2, hops = 2}
    local x, lengths = attn.randn(3, 4, 3), ids(4, 0, 2)
    local y, weights = l(x, {lengths = lengths})
    t.equal({y.shape, weights.shape}, {{3, 2, 3}, {3, 2, 4}})
    t.near(weights:sum(3):totable(), {{1, 1}, {0, 0}, {1, 1}})
    t.equal(y[2]:totable(), {{0, 0, 0}, {0, 0, 0}})
    t.near(y:totable(), weights:matmul(x):totable())
    local short = l(x:narrow(1, 3, 1):narrow(2, 1, 2))
    t.near(y[3]:totable(), short[1]:totable())
    local one, w = layer.attention_pool{inputs = 3, dim = 2, bias = false}(x)
    t.equal({one.shape, w.shape}, {{3, 3}, {3, 4}})
    t.raises("attention_pool: lengths has shape [2], expected [3]", l, x, {lengths = ids(4, 0)})
    t.raises("attention_pool: lengths[2] is 5, expected 0 to 4", l, x, {lengths = ids(4, 5, 2)})
    t.raises("attention_pool: lengths[1] is -1, expected 0 to 4", l, x, {lengths = ids(-1, 5, 2)})
    t.raises("expected an int64 tensor", l, x, {lengths = attn.ones(3)})
end)
