local attn, t = require "attn", require "attn.test"

local inf = math.huge

t.case("log_softmax is the logarithm of softmax along every dimension", function()
    local x = attn.randn(3, 4, 5, {dtype = "float64"})
    for d = 1, 3 do t.near(x:log_softmax(d), x:softmax(d):log():totable(), 1e-13) end
end)

t.case("no overflow, and -inf stays -inf without a gradient", function()
    t.near(attn.tensor{1000, 0}:log_softmax(), {0, -1000})
    local x = attn.tensor{{0, -inf}, {-inf, -inf}}:requires_grad_(true)
    local y = x:log_softmax()
    t.equal(y, {{0, -inf}, {-inf, -inf}})
    y:narrow(2, 1, 1):narrow(1, 1, 1):sum():backward()
    t.equal(x.grad, {{0, 0}, {0, 0}})
end)

t.case("errors", function()
    t.raises("log_softmax: x is a scalar", attn.log_softmax, attn.tensor(1))
    t.raises("log_softmax: x is int64", attn.log_softmax, attn.zeros(2, {dtype = "int64"}))
end)
