local attn, t = require "attn", require "attn.test"

local function product(a, b)
    local c = {}
    for i = 1, #a do
        c[i] = {}
        for j = 1, #b[1] do
            local sum = 0
            for k = 1, #b do sum = sum + a[i][k] * b[k][j] end
            c[i][j] = sum
        end
    end
    return c
end

t.case("matrices, in both precisions and all ways of lying in memory", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local o, tolerance = {dtype = dtype}, dtype == "float32" and 1e-5 or 1e-12
        local a, b = attn.randn(7, 5, o), attn.randn(5, 6, o)
        local want = product(a:totable(), b:totable())
        local at, bt = a:transpose(1, 2):contiguous():transpose(1, 2), b:transpose(1, 2):contiguous():transpose(1, 2)
        local wide = attn.cat({attn.zeros(7, 1, o), a, attn.zeros(7, 2, o)}, 2):narrow(2, 2, 5)
        local apart = attn.stack({b, b}, 3):select(3, 1)
        for _, x in ipairs{a, at, wide} do
            for _, y in ipairs{b, bt, apart} do t.near(attn.matmul(x, y), want, tolerance) end
        end
    end
end)

t.case("vectors are rows on the left and columns on the right", function()
    local a, b = attn.tensor{{1, 2}, {3, 4}}, attn.tensor{5, 6}
    t.equal(a:matmul(b), {17, 39})
    t.equal(b:matmul(a), {23, 34})
    t.equal(b:matmul(b), 61)
    t.equal(attn.matmul(attn.ones(3, 2, 2), b), {{11, 11}, {11, 11}, {11, 11}})
    t.equal(a:matmul(a:select(2, 1)), {7, 15})
end)

t.case("leading dimensions broadcast", function()
    local a, b = attn.randn(2, 1, 3, 4), attn.randn(5, 4, 2)
    local c = attn.matmul(a, b)
    t.equal(c.shape, {2, 5, 3, 2})
    for i = 1, 2 do for j = 1, 5 do
        t.near(c[i][j], product(a[i][1]:totable(), b[j]:totable()), 1e-5)
    end end
    local d = attn.matmul(a:permute(4, 2, 3, 1), attn.randn(2, 6))
    t.equal(d.shape, {4, 1, 3, 6})
end)

t.case("a product over nothing is zero", function()
    t.equal(attn.matmul(attn.zeros(2, 0), attn.zeros(0, 3)), {{0, 0, 0}, {0, 0, 0}})
    t.equal(attn.matmul(attn.zeros(0, 2), attn.zeros(2, 3)).shape, {0, 3})
    t.equal(attn.matmul(attn.zeros(0, 2, 2), attn.zeros(2, 3)).shape, {0, 2, 3})
    local a = attn.zeros(2, 0):requires_grad_(true)
    attn.matmul(a, attn.zeros(0, 3)):sum():backward()
    t.equal(a.grad.shape, {2, 0})
end)

t.case("gradients of a parameter used twice add up", function()
    local w = attn.tensor{{1, 2}, {3, 4}}:requires_grad_(true)
    attn.matmul(w, w):sum():backward()
    t.equal(w.grad, {{3 + 4, 7 + 4}, {3 + 6, 7 + 6}})
end)

t.case("errors", function()
    t.raises("matmul: b has 4 rows, expected 3 (a: float32 [2, 3], b: float32 [4, 5])", attn.matmul, attn.zeros(2, 3),
             attn.zeros(4, 5))
    t.raises("matmul: the leading dimensions do not broadcast (a: float32 [2, 3, 4], b: float32 [3, 4, 5])",
             attn.matmul,
             attn.zeros(2, 3, 4), attn.zeros(3, 4, 5))
    t.raises("matmul: a is a scalar, expected at least 1 dimension", attn.matmul, attn.tensor(1), attn.zeros(2))
    t.raises("matmul: a is int64", attn.matmul, attn.zeros(2, 2, {dtype = "int64"}), attn.zeros(2, 2))
end)
