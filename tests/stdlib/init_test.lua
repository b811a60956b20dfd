-- attn.parameter, attn.init, attn.sequential.
local attn, t = require "attn", require "attn.test"

local function bounds(x) return x:min():item(), x:max():item() end

t.case("a parameter is a leaf of its own", function()
    local x = attn.ones(2, 3)
    local p, q = attn.parameter(x), attn.parameter(2, 3, {dtype = "float64"})
    x[1] = 5
    t.equal(p:detach():totable(), {{1, 1, 1}, {1, 1, 1}})
    t.is_true(p.requires_grad and q.requires_grad)
    t.equal(q.dtype, "float64")
    local Class = attn.module "Class"
    function Class:init() self.scale = attn.parameter(4) end
    t.equal(#Class():parameters(), 1)
    t.raises("parameter: tensor is int64, expected float32 or float64", attn.parameter, attn.arange(1, 2))
    t.raises("parameter: dtype is int64", attn.parameter, 2, {dtype = "int64"})
end)

t.case("every filler works in place and returns its tensor", function()
    attn.seed(1)
    for _, dtype in ipairs{"float32", "float64"} do
        local p = attn.parameter(200, 50, {dtype = dtype})
        local function near(x, want) t.near(x:item(), want, 0.03 * want) end
        local init = attn.init
        t.is_true(rawequal(init.uniform(p, -2, 3), p))
        local low, high = bounds(p:detach())
        t.is_true(low >= -2 and low < -1.9 and high <= 3 and high > 2.9)
        near(init.normal(p, 0, 2):detach():std(), 2)
        local a = math.sqrt(6 / 250)
        init.xavier_uniform(p)
        low, high = bounds(p:detach())
        t.is_true(low >= -a and high <= a and high > 0.98 * a)
        near(init.xavier_normal(p, 2):detach():std(), 2 * math.sqrt(2 / 250))
        init.kaiming_uniform(p, {slope = 1})
        a = math.sqrt(3 / 50)
        low, high = bounds(p:detach())
        t.is_true(low >= -a and high <= a and high > 0.98 * a)
        near(init.kaiming_normal(p, {mode = "outputs"}):detach():std(), math.sqrt(2 / 200))
        t.equal({bounds(init.constant(p, 7):detach())}, {7, 7})
        t.equal({bounds(init.zeros(p):detach())}, {0, 0})
        t.equal({bounds(init.ones(p):detach())}, {1, 1})
    end
    local std = attn.init.kaiming_normal(attn.empty(40, 10, 5)):std():item()       -- a kernel of 5 places
    t.near(std, math.sqrt(2 / 50), 0.02)
end)

t.case("orthogonal rows, or columns where there are fewer", function()
    for _, size in ipairs{{3, 7}, {7, 3}, {4, 4}, {3, 2, 4}} do
        local x = attn.init.orthogonal(attn.empty(size, {dtype = "float64"}), 2):view(size[1], -1)
        if x:size(1) > x:size(2) then x = x:transpose(1, 2) end
        t.near(x:matmul(x:transpose(1, 2)), attn.eye(x:size(1), {dtype = "float64"}) * 4, 1e-12)
    end
end)

t.case("init says what is wrong", function()
    t.raises("init.uniform: t is nil, expected a float tensor", attn.init.uniform)
    t.raises("init.xavier_normal: t has 1 dimensions, expected at least 2 (t: float32 [3])", attn.init.xavier_normal, attn.ones(3))
    t.raises("init.normal: std is -1, expected at least 0", attn.init.normal, attn.ones(3), 0, -1)
    t.raises("init.constant: value is nil, expected a number", attn.init.constant, attn.ones(3))
    t.raises("init.kaiming_normal: mode is 'fan', expected one of inputs, outputs", attn.init.kaiming_normal, attn.ones(3, 3), {mode = "fan"})
end)

t.case("sequential calls its steps in turn and names parameters by place", function()
    local one, two = attn.layer.linear{inputs = 3, outputs = 4}, attn.layer.linear{inputs = 4, outputs = 2}
    local net = attn.sequential{one, function(x) return x:tanh(), 2 end, function(x, k) return x * k end, two}
    local names = {}
    for name in net:named_parameters() do names[#names + 1] = name end
    t.equal(names, {"1.weight", "1.bias", "4.weight", "4.bias"})
    local x = attn.randn(5, 3)
    t.equal(net(x):totable(), two(one(x):tanh() * 2):totable())
    net:eval()
    t.equal(one.training, false)
    t.raises("sequential: step 2 is 2, expected a layer, a module or a function", attn.sequential, {one, 2})
    t.raises("sequential: unknown field 'a'", attn.sequential, {a = one})
    t.raises("sequential: argument is nil", attn.sequential)
end)
