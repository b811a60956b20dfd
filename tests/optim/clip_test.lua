-- clip_grad_norm: the norm before, the scaling, what it passes over and refuses.
local attn, t = require "attn", require "attn.test"

local f64 = {dtype = "float64"}

local function with_gradient(gradient, dtype)
    local g = attn.tensor(gradient, {dtype = dtype or "float64"})
    local p = (g * 0):detach():requires_grad_(true);
    (p * g):sum():backward()
    return p
end

t.case("all gradients together are scaled down to the limit", function()
    local a, b = with_gradient{3}, with_gradient{{0, 4}, {0, 0}}
    t.equal(attn.clip_grad_norm({a, b}, 1), 5)
    local scale = 1 / (5 + 1e-6)
    t.near({a.grad, b.grad}, {{3 * scale}, {{0, 4 * scale}, {0, 0}}}, 1e-15)
end)

t.case("below the limit nothing changes", function()
    local a = with_gradient{3, 4}
    t.equal(attn.clip_grad_norm({a}, 6), 5)
    t.equal(a.grad:totable(), {3, 4})
    t.equal(attn.clip_grad_norm({a}, math.huge), 5)
    t.equal(a.grad:totable(), {3, 4})
end)

t.case("what is met twice counts once, what has no gradient not at all", function()
    local a, none = with_gradient{3, 4}, attn.ones(2):requires_grad_(true)
    t.equal(attn.clip_grad_norm({a, none, a}, 100), 5)
    t.equal(attn.clip_grad_norm({none}, 1), 0)
    t.equal(attn.clip_grad_norm({}, 1), 0)
end)

t.case("float32, long gradients and float types together", function()
    local a, b = with_gradient({3}, "float32"), with_gradient{4}
    t.equal(attn.clip_grad_norm({a, b}, 100), 5)
    local long = attn.full({200001}, 0.1):requires_grad_(true)
    local g = attn.full({200001}, 0.1);
    (long * g):sum():backward()
    t.near(attn.clip_grad_norm({long}, 1), (200001 * 0.01) ^ 0.5, 1e-6)
    t.near(long.grad:norm():item(), 1, 1e-4)
end)

t.case("a gradient of NaN or infinity shows in the norm", function()
    local n = attn.clip_grad_norm({with_gradient{0 / 0, 1}}, 1)
    t.is_true(n ~= n)
    t.equal(attn.clip_grad_norm({with_gradient{1 / 0, 1}}, 1), math.huge)
end)

t.case("what is refused", function()
    local a = with_gradient{3}
    t.raises("clip_grad_norm: params is nil, expected a list of tensors", attn.clip_grad_norm)
    t.raises("clip_grad_norm: max is nil, expected a number", attn.clip_grad_norm, {a})
    t.raises("clip_grad_norm: max is -1, expected a number from 0 on", attn.clip_grad_norm, {a}, -1)
    t.raises("clip_grad_norm: params[2] is 3, expected a tensor", attn.clip_grad_norm, {a, 3}, 1)
    t.raises("clip_grad_norm: params[1] is int64 [2]", attn.clip_grad_norm, {attn.arange(1, 2)}, 1)
    t.equal(a.grad:totable(), {3})
end)

t.case("clip_grad_value cuts every element, and leaves NaN", function()
    local a, b = with_gradient({3, -0.5, -4, 0 / 0}, "float32"), with_gradient{{1, -7}, {9, 2}}
    attn.clip_grad_value({a, b, a, attn.ones(1):requires_grad_(true)}, 2)
    local cut = a.grad:totable()
    t.equal({cut[1], cut[2], cut[3]}, {2, -0.5, -2})
    t.is_true(cut[4] ~= cut[4])
    t.equal(b.grad:totable(), {{1, -2}, {2, 2}})
    attn.clip_grad_value({a}, math.huge)
    t.equal(a.grad:totable()[1], 2)
end)

t.case("clip_grad_value says what is wrong", function()
    t.raises("clip_grad_value: max is -1, expected a number from 0 on", attn.clip_grad_value, {}, -1)
    t.raises("clip_grad_value: params is nil, expected a list of tensors", attn.clip_grad_value)
    t.raises("clip_grad_value: params[1] is int64 [1], expected float32 or float64", attn.clip_grad_value, {attn.arange(1, 1)}, 1)
end)
