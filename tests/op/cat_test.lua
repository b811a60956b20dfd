local attn, t = require "attn", require "attn.test"

t.case("cat puts tensors side by side, whatever their dtype and steps", function()
    local a, b = attn.tensor{{1, 2}, {3, 4}}, attn.tensor{{5, 6}}
    t.equal(attn.cat({a, b}, 1), {{1, 2}, {3, 4}, {5, 6}})
    t.equal(attn.cat{a, b}, {{1, 2}, {3, 4}, {5, 6}})
    t.equal(attn.cat({a, b:transpose(1, 2)}, 2), {{1, 2, 5}, {3, 4, 6}})
    t.equal(attn.cat({a:transpose(1, 2), a}, -1), {{1, 3, 1, 2}, {2, 4, 3, 4}})
    t.equal(attn.cat({attn.tensor{true}, attn.tensor{false, true}}, 1), {true, false, true})
    t.equal(attn.cat({attn.arange(1, 2), attn.arange(7, 8)}, 1).dtype, "int64")
    t.equal(attn.cat({a, attn.zeros(0, 2)}, 1), a:totable())
    t.equal(attn.cat({attn.zeros(0, 2), attn.zeros(0, 3)}, 2).shape, {0, 5})
end)

t.case("stack makes a new dimension", function()
    local a, b = attn.tensor{1, 2}, attn.tensor{3, 4}
    t.equal(attn.stack{a, b}, {{1, 2}, {3, 4}})
    t.equal(attn.stack({a, b}, 2), {{1, 3}, {2, 4}})
    t.equal(attn.stack({a, b}, -1), {{1, 3}, {2, 4}})
    t.equal(attn.stack{attn.tensor(1), attn.tensor(2)}, {1, 2})
end)

t.case("a tensor that stands twice gets both gradients; many tensors are no more than a few", function()
    local a = attn.tensor{1, 2}:requires_grad_(true)
    local list = {}
    for k = 1, 100 do list[k] = a end
    attn.cat(list):sum():backward()
    t.equal(a.grad, {100, 100})
    local parts = {}
    for k = 1, 40 do parts[k] = attn.tensor{k}:requires_grad_(true) end;
    (attn.cat(parts) * attn.arange(1, 40):to("float32")):sum():backward()
    for k = 1, 40 do t.equal(parts[k].grad, {k}) end
end)

t.case("errors", function()
    local message = "cat: tensor 2 has shape [2, 3], expected that of tensor 1 in all dimensions but 1"
    t.raises(message .. " (tensor 1: float32 [2, 2])", attn.cat, {attn.zeros(2, 2), attn.zeros(2, 3)}, 1)
    t.raises("cat: tensor 2 is float64, but tensor 1 is float32", attn.cat,
             {attn.zeros(2), attn.zeros(2, {dtype = "float64"})})
    t.raises("stack: tensor 2 has shape [3], expected that of tensor 1", attn.stack, {attn.zeros(2), attn.zeros(3)})
    t.raises("cat: list is empty", attn.cat, {})
    t.raises("cat: x is a scalar", attn.cat, {attn.tensor(1)})
    t.raises("cat: d is 3", attn.cat, {attn.zeros(2, 2)}, 3)
end)
