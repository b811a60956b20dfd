local attn, t = require "attn", require "attn.test"

t.case("it keeps a share 1 - p and the mean", function()
    local y = attn.ones(200000):dropout(0.3)
    local kept = y:ne(0):sum():item() / 200000
    t.near(kept, 0.7, 0.01)
    t.near(y:max():item(), 1 / 0.7, 1e-6)
    t.near(y:mean():item(), 1, 0.01)
end)

t.case("the backward pass drops the same elements", function()
    local x = attn.ones(50000):requires_grad_(true)
    local y = x:dropout(0.5)
    attn.seed(99)       -- the stretch of the stream was reserved before
    y:sum():backward()
    t.equal(x.grad:eq(y):min():item(), 1)
end)

t.case("a seed gives the same mask, two calls give two masks", function()
    local x = attn.ones(1000)
    attn.seed(7)
    local a, b = x:dropout(0.5), x:dropout(0.5)
    attn.seed(7)
    t.equal(x:dropout(0.5), a:totable())
    t.is_true(a:ne(b):sum():item() > 300)
end)

t.case("the extremes", function()
    t.equal(attn.ones(5):dropout(0), {1, 1, 1, 1, 1})
    t.equal(attn.ones(5):dropout(1), {0, 0, 0, 0, 0})
    t.raises("dropout: p is 1.5, expected 0..1", attn.dropout, attn.ones(2), 1.5)
    t.raises("dropout: p is -0.1, expected 0..1", attn.dropout, attn.ones(2), -0.1)
end)
