local attn, t = require "attn", require "attn.test"

t.case("it is its definition", function()
    local x, w = attn.randn(3, 4, 5, {dtype = "float64"}), attn.randn(5, {dtype = "float64"})
    local h = x / ((x * x):mean(3, true) + 1e-5):sqrt()
    t.near(attn.rmsnorm(x, w), (h * w):totable(), 1e-12)
    t.near(attn.rmsnorm(x), h:totable(), 1e-12)
    t.near(attn.rmsnorm(x, w, 0.1), (x / ((x * x):mean(3, true) + 0.1):sqrt() * w):totable(), 1e-12)
    t.equal(attn.rmsnorm(attn.zeros(2, 3)), {{0, 0, 0}, {0, 0, 0}})
    t.equal(attn.rmsnorm(attn.zeros(0, 3)).shape, {0, 3})
end)

t.case("errors", function()
    t.raises("rmsnorm: weight has shape [4], expected [3] (x: float32 [2, 3])", attn.rmsnorm, attn.zeros(2, 3),
             attn.zeros(4))
    t.raises("rmsnorm: x has no last dimension", attn.rmsnorm, attn.tensor(1))
end)
