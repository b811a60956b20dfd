local attn, t = require "attn", require "attn.test"

t.case("it is its definition", function()
    local x, w, b = attn.randn(3, 4, 5, {dtype = "float64"}), attn.randn(5, {dtype = "float64"}),
        attn.randn(5, {dtype = "float64"})
    local centred = x - x:mean(3, true)
    local h = centred / ((centred * centred):mean(3, true) + 1e-5):sqrt()
    t.near(attn.layernorm(x, w, b), (h * w + b):totable(), 1e-12)
    t.near(attn.layernorm(x), h:totable(), 1e-12)
    t.near(attn.layernorm(x, w), (h * w):totable(), 1e-12)
    t.near(attn.layernorm(x, w, b, 0.1),
           (centred / ((centred * centred):mean(3, true) + 0.1):sqrt() * w + b):totable(), 1e-12)
    t.near(attn.layernorm(x:transpose(1, 2)):transpose(1, 2), h:totable(), 1e-12)
end)

t.case("equal elements and empty batches", function()
    t.equal(attn.layernorm(attn.full({2, 3}, 7)), {{0, 0, 0}, {0, 0, 0}})
    t.equal(attn.layernorm(attn.zeros(0, 3)).shape, {0, 3})
    local w = attn.ones(3):requires_grad_(true)
    attn.layernorm(attn.zeros(0, 3), w):sum():backward()
    t.equal(w.grad, {0, 0, 0})
end)

t.case("errors", function()
    t.raises("layernorm: weight has shape [4], expected [3] (x: float32 [2, 3])", attn.layernorm, attn.zeros(2, 3),
             attn.zeros(4))
    t.raises("layernorm: bias has shape [4], expected [3]", attn.layernorm, attn.zeros(2, 3), attn.zeros(3),
             attn.zeros(4))
    t.raises("layernorm: x has no last dimension", attn.layernorm, attn.tensor(1))
    t.raises("layernorm: x has no last dimension", attn.layernorm, attn.zeros(2, 0))
end)
