-- Spatial transformers: gradients of all forms; they begin as the identity; the spline goes through its points and bends affine moves not at all.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.spatial_transformer"

for _, form in ipairs{"attention", "affine", "spline"} do
    t.case(form .. ": gradient away from the identity; at first the picture as it is", function()
        attn.seed(4)
        local st = paper.Transformer{form = form, height = 5, width = 4, channels = 2, hidden = 3}:to "float64"
        local x = attn.randn(2, 2, 5, 4, {dtype = "float64"})
        t.near(st(x):totable(), x:totable(), 1e-9)
        attn.no_grad(function() st.theta.weight:copy_(attn.randn(st.theta.weight.shape, {dtype = "float64"}) * 0.2) end)
        local ok, report = attn.checkgrad(function(u) return (st(u)) end, {x})
        t.is_true(ok, report)
        ok, report = attn.checkgrad(function() return (st(x)) end, {st.theta.weight, st.theta.bias, st.first.weight, st.second.bias})
        t.is_true(ok, report)
    end)
end

t.case("the spline: weights of a pixel sum to 1; control points go where they are told; an affine move stays affine", function()
    local weights, control = paper.spline_weights(3, 3)             -- pixels at -2/3, 0, 2/3
    t.near(weights:sum(2):totable(), {1, 1, 1, 1, 1, 1, 1, 1, 1}, 1e-9)
    t.near(weights[5]:totable(), {0, 0, 0, 0, 1, 0, 0, 0, 0}, 1e-9)  -- the pixel in the middle is the control point in the middle
    local moved = control:matmul(attn.tensor({{0.5, 0.2}, {-0.3, 0.8}}, {dtype = "float64"})) + 0.1
    t.near(weights:matmul(moved)[1]:totable(), {-2 / 3 * 0.5 + 2 / 3 * 0.3 + 0.1, -2 / 3 * 0.2 - 2 / 3 * 0.8 + 0.1}, 1e-9)
end)
