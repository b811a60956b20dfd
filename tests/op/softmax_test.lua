local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge

t.case("softmax is its definition along every dimension", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local x = attn.randn(3, 4, 5, {dtype = dtype})
        for d = 1, 3 do
            local e = x:exp()
            t.near(x:softmax(d), (e / e:sum(d, true)):totable(), dtype == "float32" and 1e-6 or 1e-14)
        end
        t.equal(x:softmax(), x:softmax(3):totable())
    end
end)

t.case("a row that may attend to nothing is zero, not NaN", function()
    local x = attn.tensor{{1, 2}, {-inf, -inf}}:requires_grad_(true)
    local y = x:softmax()
    t.equal(y[2], {0, 0})
    y:sum():backward()
    t.equal(x.grad[2], {0, 0})
end)

t.case("-inf has weight 0, huge scores do not overflow, NaN is seen", function()
    t.equal(attn.tensor{-inf, 0, 0}:softmax(), {0, 0.5, 0.5})
    t.equal(attn.tensor{10000, 0}:softmax(), {1, 0})
    t.equal(attn.tensor{nan, 0}:softmax(), {nan, nan})
end)

t.case("columns of a wide tensor equal rows of its transpose", function()
    local x = attn.randn(130, 70)
    t.equal(x:softmax(1), x:transpose(1, 2):softmax(2):transpose(1, 2):totable())
end)

t.case("empty shapes", function()
    t.equal(attn.zeros(0, 3):softmax().shape, {0, 3})
    t.equal(attn.zeros(3, 0):softmax().shape, {3, 0})
    t.equal(attn.zeros(3, 0):softmax(1).shape, {3, 0})
end)

t.case("errors name the argument and its shape", function()
    t.raises("softmax: x is a scalar, expected at least 1 dimension (x: float32 [])", attn.softmax, attn.tensor(1))
    t.raises("softmax: d is 3, expected 1..2 or -2..-1 (x: float32 [2, 2])", attn.softmax, attn.zeros(2, 2), 3)
end)

t.case("short rows, long ones, and those of other dimensions are the same function", function()
    for _, n in ipairs{1, 2, 13, 32, 33, 70} do
        for _, dtype in ipairs{"float32", "float64"} do
            local x = attn.randn(2100 // n + 3, n, {dtype = dtype}) * 5
            x[2] = -math.huge
            local y, tolerance = x:softmax(2), dtype == "float32" and 1e-6 or 1e-14
            t.near(x:transpose(1, 2):contiguous():softmax(1):transpose(1, 2), y:totable(), tolerance)
            local row = x[1]:totable()
            local sum = 0
            for j = 1, n do sum = sum + math.exp(row[j]) end
            for j = 1, n do t.near(y[1][j]:item(), math.exp(row[j]) / sum, tolerance * 10) end
            t.equal(y[2]:abs():max():item(), 0)
        end
    end
    t.equal(attn.tensor{{0 / 0, 1}, {0, -math.huge}}:softmax(2):totable(), {{0 / 0, 0 / 0}, {1, 0}})
end)
