-- What all layers share: creation, names, calls, modes, ties, state, conversion.
local attn, t = require "attn", require "attn.test"

local layer = attn.layer

t.case("a configuration is checked by the constructor", function()
    t.raises("linear: field 'outputs' is missing (known: inputs, outputs, bias)", layer.linear, {inputs = 8})
    t.raises("linear: unknown field 'input' (known: inputs, outputs, bias; did you mean 'inputs'?)", layer.linear, {input = 8, outputs = 4})
    t.raises("linear: inputs is 0, expected at least 1", layer.linear, {inputs = 0, outputs = 4})
    t.raises("linear: inputs is 2.5, expected an integer", layer.linear, {inputs = 2.5, outputs = 4})
    t.raises("linear: inputs is '8', expected an integer", layer.linear, {inputs = "8", outputs = 4})
    t.raises("linear: bias is 1, expected true or false", layer.linear, {inputs = 8, outputs = 4, bias = 1})
    t.raises("dropout: p is 1.5, expected 0 to 1", layer.dropout, {p = 1.5})
    t.raises("positional: field 'max_length' is missing", layer.positional, {dim = 4, type = "learned"})
    t.raises("did you mean 'learned'?", layer.positional, {dim = 4, type = "lerned"})
    t.raises("too large", layer.linear, {inputs = 2 ^ 31, outputs = 2 ^ 31})
    t.raises("too large", layer.conv2d, {inputs = 2 ^ 31, outputs = 2 ^ 31, kernel = 2 ^ 31})
end)

t.case("a call says which argument is wrong, what came and what was expected", function()
    local l = layer.linear{inputs = 8, outputs = 4}
    t.raises("linear: x is missing, expected a tensor", l)
    t.raises("linear: x is 'text', expected a tensor", l, "text")
    t.raises("linear: x has width 7, expected 8 (x: float32 [2, 7])", l, attn.ones(2, 7))
    t.raises("linear: x has 0 dimensions, expected at least 1 (x: float32 [])", l, attn.tensor(1))
    t.raises("linear: x is float64, but the layer is float32 (x: float64 [8])", l, attn.ones(8, {dtype = "float64"}))
    t.raises("linear: x is int64, expected float32 (x: int64 [8])", l, attn.arange(1, 8))
    t.raises("unknown field 'mask' (there are none)", l, attn.ones(8), {mask = 1})
    local x = attn.ones(2, 8)
    x:free()
    t.raises("tensor was freed", l, x)
    t.raises("embedding: ids is float32, expected int64", layer.embedding{count = 3, dim = 2}, attn.ones(2))
    t.raises("ids are 1..3", layer.embedding{count = 3, dim = 2}, attn.tensor({4}, {dtype = "int64"}))
    t.raises("dropout: x is int64, expected float32 or float64", layer.dropout{p = 0.5}, attn.arange(1, 2))
    t.raises("layernorm: x has width 3, expected 4 (x: float32 [2, 3])", layer.layernorm{dim = 4}, attn.ones(2, 3))
    t.raises("rmsnorm: x has width 3, expected 4 (x: float32 [2, 3])", layer.rmsnorm{dim = 4}, attn.ones(2, 3))
    local c1, c2 = layer.conv1d{inputs = 3, outputs = 2, kernel = 2}, layer.conv2d{inputs = 3, outputs = 2, kernel = 2}
    t.raises("conv1d: x has 2 dimensions, expected 3", c1, attn.ones(5, 3))
    t.raises("conv1d: x has width 4, expected 3", c1, attn.ones(1, 5, 4))
    t.raises("conv2d: x has 4 channels, expected 3 (x: float32 [1, 4, 5, 5])", c2, attn.ones(1, 4, 5, 5))
    t.raises("maxout: x has width 2, expected 3", layer.maxout{inputs = 3, outputs = 2}, attn.ones(2))
end)

t.case("weights start as PyTorch's: in the bounds, spread over them", function()
    attn.seed(1)
    local function spread(x, bound)
        t.is_true(x:abs():max():item() <= bound, "within " .. bound)
        t.near(x:mean():item() / bound, 0, 0.15)
        t.near(x:std():item() / bound, 1 / 3 ^ 0.5, 0.1)
    end
    local l = layer.linear{inputs = 100, outputs = 300}
    spread(l.weight, 0.1)
    spread(l.bias, 0.1)
    spread(layer.conv1d{inputs = 20, outputs = 300, kernel = 5}.weight, 0.1)
    spread(layer.conv2d{inputs = 25, outputs = 300, kernel = 2}.weight, 0.1)
    spread(layer.maxout{inputs = 100, outputs = 300}.weight, 0.1)
    spread(layer.attention_pool{inputs = 100, dim = 300}.weight, 0.1)
    local e = layer.embedding{count = 200, dim = 100}.weight
    t.near(e:mean():item(), 0, 0.03)
    t.near(e:std():item(), 1, 0.03)
    t.equal(layer.layernorm{dim = 2}.weight:totable(), {1, 1})
    t.equal(layer.layernorm{dim = 2}.bias:totable(), {0, 0})
    t.equal(layer.rmsnorm{dim = 2}.weight:totable(), {1, 1})
end)

t.case("the same seed gives the same weights", function()
    attn.seed(7)
    local a = layer.linear{inputs = 5, outputs = 3}.weight:totable()
    attn.seed(7)
    t.equal(layer.linear{inputs = 5, outputs = 3}.weight:totable(), a)
end)

t.case("parameters, names, count, modes", function()
    local l = layer.attention_pool{inputs = 3, dim = 2, hops = 4}
    local names = {}
    for name, x in l:named_parameters() do
        names[#names + 1] = name
        t.is_true(x.requires_grad)
    end
    t.equal(names, {"weight", "bias", "context"})
    t.equal(#l:parameters(), 3)
    t.equal(l:count(), 6 + 2 + 8)
    t.equal(l.training, true)
    l:eval()
    t.equal(l.training, false)
    l:train()
    t.equal(l.training, true)
    l(attn.ones(1, 2, 3)):sum():backward()
    t.is_true(l.weight.grad)
    l:zero_grad()
    t.equal(l.weight.grad, nil)
end)

t.case("state and load: strict, copying", function()
    local a, b = layer.linear{inputs = 3, outputs = 2}, layer.linear{inputs = 3, outputs = 2}
    b:load(a:state())
    t.equal(b.weight:totable(), a.weight:totable())
    attn.no_grad(function() a.weight:fill_(5) end)
    t.is_true(b.weight:max():item() < 5)
    t.is_true(not pcall(b.load, b, {weight = a.weight}))
    t.is_true(not pcall(b.load, b, {weight = a.weight, bias = attn.ones(3)}))
    t.is_true(not pcall(b.load, b, {weight = a.weight, bias = a.bias, more = a.bias}))
end)

t.case("assigning a parameter ties it; what does not fit is refused", function()
    local a, b = layer.linear{inputs = 3, outputs = 3, bias = false}, layer.linear{inputs = 3, outputs = 3}
    b.weight = a.weight
    local x = attn.randn(2, 3)
    t.near((b(x) - b.bias):totable(), a(x):totable(), 1e-6)
    a(x):sum():backward()
    t.equal(b.weight.grad:totable(), a.weight.grad:totable())
    t.raises("linear: weight is float32 [3, 2], expected float32 [3, 3]", function() b.weight = attn.ones(3, 2) end)
    t.raises("weight is the result of an operation", function() b.weight = a.weight * 2 end)
    t.raises("there is no parameter 'other'", function() b.other = a.weight end)
    t.equal(b.weight:totable(), a.weight:totable())
end)

t.case("to() changes the numbers' type under the same handles", function()
    local l = layer.linear{inputs = 3, outputs = 2}
    local weight, values = l.weight, l.weight:totable()
    l(attn.ones(3)):sum():backward()
    l:to("float64")
    t.equal(weight.dtype, "float64")
    t.equal(weight:totable(), values)
    t.equal(weight.grad, nil)
    t.equal(l.dtype, "float64")
    t.equal(l(attn.ones(3, {dtype = "float64"})).dtype, "float64")
    t.raises("x is float32, but the layer is float64", l, attn.ones(3))
    l:to("float32")
    t.equal(l.weight:totable(), values)
    t.raises("expected float32 or float64", l.to, l, "int64")
    t.is_true(not pcall(l.to, l, "float16"))
end)

t.case("a graph from before to() is refused by backward, and nothing breaks", function()
    for _, make in ipairs{
        function() return layer.linear{inputs = 3, outputs = 2}, attn.ones(4, 3) end,
        function() return layer.embedding{count = 3, dim = 2}, attn.tensor({1, 2}, {dtype = "int64"}) end,
        function() return layer.layernorm{dim = 3}, attn.randn(4, 3) end,
        function() return layer.positional{dim = 2, type = "learned", max_length = 4}, attn.ones(3, 2) end,
    } do
        local l, x = make()
        local loss = l(x):sum()
        l:to("float64")
        t.raises("changed in place", loss.backward, loss)
        local again = l(x.dtype == "int64" and x or x:to("float64")):sum()
        again:backward()
        for _, p in ipairs(l:parameters()) do t.equal(p.grad.dtype, "float64") end
    end
end)

t.case("an optimizer goes on with a layer that was converted", function()
    local l = layer.linear{inputs = 3, outputs = 2}
    local optimizer = attn.optim.adam{params = l:parameters()}
    for _, dtype in ipairs{"float32", "float64", "float32"} do
        l:to(dtype)
        optimizer:zero_grad()
        local before = l.weight:totable()[1][1]
        l(attn.ones(3, {dtype = dtype})):sum():backward()
        optimizer:step()
        t.is_true(l.weight:totable()[1][1] < before)
    end
    t.equal(optimizer:state().params[1].step, 3)
end)

t.case("to() of a module keeps ties and converts its own tensors in place", function()
    local Model = attn.module "Model"
    function Model:init()
        self.a = layer.linear{inputs = 3, outputs = 3}
        self.b = layer.linear{inputs = 3, outputs = 3}
        self.b.weight = self.a.weight
        self.scale = attn.ones(3):requires_grad_(true)
        self.ids = attn.arange(1, 3)
    end
    local model = Model()
    local scale = model.scale
    model:to("float64")
    t.equal({scale.dtype, model.ids.dtype, model.b.dtype}, {"float64", "int64", "float64"})
    model.a(attn.ones(3, {dtype = "float64"})):sum():backward()
    t.is_true(model.b.weight.grad)
    model.h = model.scale * 2
    t.raises("to: a tensor is the result of an operation", model.to, model, "float32")
end)
