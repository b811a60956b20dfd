local attn, t = require "attn", require "attn.test"

t.case("allclose allows atol + rtol |b|", function()
    local a = attn.tensor{1, 100}
    t.is_true(attn.allclose(a, a + 1e-6))
    t.is_true(not attn.allclose(a, a + 1e-2))
    t.is_true(attn.allclose(a, a + 1e-2, {rtol = 0, atol = 0.011}))
    t.is_true(attn.allclose(a, a * 1.01, {rtol = 0.02}))
    t.is_true(attn.allclose(attn.ones(2, 3), attn.ones(3)))
    t.is_true(attn.allclose(attn.arange(1, 3), attn.arange(1, 3)))
    t.is_true(not attn.allclose(attn.arange(1, 3), attn.arange(1, 3) + 1))
    t.is_true(not attn.allclose(attn.tensor{true, false}, attn.tensor{true, true}))
    t.is_true(attn.allclose(a:clone():requires_grad_(true) * 1, a))
end)

t.case("equal infinities are close, NaN and other infinities are not", function()
    local inf = math.huge
    t.is_true(attn.allclose(attn.tensor{inf, -inf}, attn.tensor{inf, -inf}))
    t.is_true(not attn.allclose(attn.tensor{inf}, attn.tensor{-inf}))
    t.is_true(not attn.allclose(attn.tensor{1}, attn.tensor{inf}))
    t.is_true(not attn.allclose(attn.tensor{0 / 0}, attn.tensor{0 / 0}))
end)

t.case("errors", function()
    local a = attn.ones(2)
    t.raises("allclose: b is a number, expected a tensor", attn.allclose, a, 1)
    t.raises("allclose: unknown option 'tol' (known: rtol, atol)", attn.allclose, a, a, {tol = 1})
    t.raises("allclose: rtol is a string, expected a number", attn.allclose, a, a, {rtol = "1"})
    t.raises("allclose: b is float64, but a is float32", attn.allclose, a, a:to "float64")
end)
