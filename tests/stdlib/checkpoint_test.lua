-- attn.checkpoint, and checkgrad over the parameters of a module.
local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

local function network()
    return attn.sequential{attn.layer.linear{inputs = 4, outputs = 8}, attn.tanh, attn.layer.dropout{p = 0.3},
                           attn.layer.linear{inputs = 8, outputs = 3}}
end

t.case("checkpoint: same values, gradients and random numbers afterwards, bit for bit", function()
    attn.seed(1)
    local net, X = network(), attn.randn(5, 4)
    local function run(f)
        attn.seed(7)
        local x = X:clone():requires_grad_(true)
        net:zero_grad()
        local y = f(x * 2)
        local after = attn.rand(5, 3);
        (y * after):sum():backward()
        local out = {y:detach(), after, x.grad, attn.rand(2)}
        for _, p in ipairs(net:parameters()) do out[#out + 1] = p.grad end
        return out
    end
    local plain = run(net)
    local once = run(function(x) return attn.checkpoint(net, x) end)
    local twice = run(function(x) return attn.checkpoint(function(v) return attn.checkpoint(net, v) end, x) end)
    t.equal(#once, #plain)
    for k, want in ipairs(plain) do
        t.equal(once[k]:totable(), want:totable())
        t.equal(twice[k]:totable(), want:totable())
    end
end)

t.case("checkpoint: several arguments and results, constants among them", function()
    local function f(k, a, ids, b) return a * b * k, (a + b):index_select(1, ids) end
    local ids = attn.tensor({2, 1, 1}, {dtype = "int64"})
    t.gradient(function(a, b) return attn.checkpoint(f, 3, a, ids, b) end, {attn.randn(2, 3, F64), attn.randn(2, 3, F64)})
    t.gradient(function(a) return attn.checkpoint(f, 3, a, ids, attn.ones(2, 3, F64)) end, {attn.randn(2, 3, F64)})
    t.raises("checkpoint: fn is nil, expected a function", attn.checkpoint)
    t.raises("custom: no tensor among the arguments", attn.checkpoint, function() end)
end)

t.case("checkpoint: an error of the second run is the error of the backward pass", function()
    local calls = 0
    local y = attn.checkpoint(function(x)
        calls = calls + 1
        if calls == 2 then error("second") end
        return x * 2
    end, attn.ones(2):requires_grad_(true)):sum()
    t.raises("second", y.backward, y)
end)

t.case("checkgrad: a module's parameters are checked, and their gradients put back", function()
    local Wrong = attn.module "Wrong"
    function Wrong:init() self.w = attn.parameter(attn.randn(2, F64)) end
    function Wrong:forward(x) return x * self.w:detach() + self.w end
    local wrong, right = Wrong(), attn.layer.linear{inputs = 2, outputs = 3}:to "float64"
    local x = attn.randn(2, 2, F64)
    local good, report = attn.checkgrad(wrong, {x})
    t.is_true(not good and report:find("parameter w element 1: gradient", 1, true))
    local before = attn.ones(3, 2, F64)
    right:parameters()[1].grad = before
    t.is_true(attn.checkgrad(right, {x}))
    t.equal(right:parameters()[1].grad:totable(), before:totable())
    t.raises("checkgrad: parameter weight is float32, expected float64", attn.checkgrad, attn.layer.linear{inputs = 2, outputs = 3}, {x})
end)
