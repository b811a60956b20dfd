local attn, t = require "attn", require "attn.test"

t.case("x W' + b over any leading dimensions", function()
    local w, b = attn.tensor{{1, 2}, {3, 4}, {5, 6}}, attn.tensor{10, 20, 30}
    t.equal(attn.linear(attn.tensor{1, 1}, w, b), {13, 27, 41})
    t.equal(attn.linear(attn.tensor{{1, 0}, {0, 1}}, w), {{1, 3, 5}, {2, 4, 6}})
    local x = attn.randn(2, 3, 4, 2)
    t.near(attn.linear(x, w, b), (attn.matmul(x, w:transpose(1, 2)) + b):totable(), 1e-5)
    t.near(attn.linear(x:transpose(1, 3), w), attn.matmul(x:transpose(1, 3), w:transpose(1, 2)):totable(), 1e-5)
    t.equal(attn.linear(attn.zeros(0, 2), w, b).shape, {0, 3})
    t.equal(attn.linear(attn.zeros(2, 0), attn.zeros(3, 0), b), {{10, 20, 30}, {10, 20, 30}})
end)

t.case("gradients of an empty batch are zero", function()
    local w, b = attn.ones(3, 2):requires_grad_(true), attn.ones(3):requires_grad_(true)
    attn.linear(attn.zeros(0, 2), w, b):sum():backward()
    t.equal(w.grad, {{0, 0}, {0, 0}, {0, 0}})
    t.equal(b.grad, {0, 0, 0})
end)

t.case("errors", function()
    local w = attn.zeros(3, 2)
    t.raises("linear: x has width 4, expected 2 (x: float32 [5, 4], weight: float32 [3, 2])", attn.linear,
             attn.zeros(5, 4), w)
    t.raises("linear: bias has shape [2], expected [3]", attn.linear, attn.zeros(2), w, attn.zeros(2))
    t.raises("linear: weight has 1 dimensions", attn.linear, attn.zeros(2), attn.zeros(2))
    t.raises("linear: weight is float64, but x is float32", attn.linear, attn.zeros(2),
             attn.zeros(3, 2, {dtype = "float64"}))
end)
