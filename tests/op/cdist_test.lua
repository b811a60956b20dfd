local attn, t = require "attn", require "attn.test"

t.case("distances of all pairs, whatever stands in front", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local a, b = attn.randn(2, 5, 37, {dtype = dtype}), attn.randn(2, 6, 37, {dtype = dtype})
        local y, p, q = a:cdist(b):totable(), a:totable(), b:totable()
        for k = 1, 2 do for i = 1, 5 do for j = 1, 6 do
            local sum = 0
            for d = 1, 37 do sum = sum + (p[k][i][d] - q[k][j][d]) ^ 2 end
            t.near(y[k][i][j], math.sqrt(sum), dtype == "float32" and 1e-5 or 1e-12)
        end end end
        t.near(attn.cdist(a[1], b[1]), y[1], 0)
        t.near(attn.cdist(a:reshape(2, 1, 5, 37), b:reshape(2, 1, 6, 37)):squeeze(2), y, 0)
    end
end)

t.case("points far from 0 keep their distance", function()
    local a = attn.tensor{{{10000, 10000.5}}}
    t.equal(a:cdist(attn.tensor{{{10000, 10000}, {10000.5, 10000.5}}}), {{{0.5, 0.5}}})
end)

t.case("at distance 0 there is no gradient", function()
    local x = attn.tensor{{1, 2}, {1, 2}, {4, 6}}:requires_grad_(true)
    attn.cdist(x, x):sum():backward()
    t.near(x.grad, {{-1.2, -1.6}, {-1.2, -1.6}, {2.4, 3.2}}, 1e-6)
end)

t.case("errors", function()
    t.raises("cdist: a is float32 [2, 3] and b is float32 [2, 4], expected [B, N, D] and [B, M, D]", attn.cdist, attn.zeros(2, 3),
             attn.zeros(2, 4))
    t.raises("cdist: a is float32 [3] and b is float32 [3]", attn.cdist, attn.zeros(3), attn.zeros(3))
    t.raises("cdist: a is float32 [2, 1, 3] and b is float32 [1, 1, 3]", attn.cdist, attn.zeros(2, 1, 3), attn.zeros(1, 1, 3))
end)
