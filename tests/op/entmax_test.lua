local attn, t = require "attn", require "attn.test"

local nan, inf, f64 = 0 / 0, math.huge, {dtype = "float64"}

-- max((alpha - 1) x - tau, 0)^(1 / (alpha - 1)) with a sum of 1, by bisection
local function solve(row, alpha)
    local d, low, high = alpha - 1, -1e3, 1e3
    local function at(x, tau) return math.max(d * x - tau, 0) ^ (1 / d) end
    for _ = 1, 200 do
        local middle, sum = (low + high) / 2, 0
        for _, x in ipairs(row) do sum = sum + at(x, middle) end
        if sum > 1 then low = middle else high = middle end
    end
    local y = {}
    for j, x in ipairs(row) do y[j] = at(x, low) end
    return y
end

t.case("entmax solves its equation for every alpha, along every dimension", function()
    local x = attn.randn(10, 13, f64) * 2
    for _, alpha in ipairs{1.05, 1.3, 1.5, 1.77, 2} do
        local want = x:totable()
        for i, row in ipairs(want) do want[i] = solve(row, alpha) end
        t.near(x:entmax(alpha), want, 1e-11)
        t.near(x:transpose(1, 2):entmax(alpha, 1):transpose(1, 2), want, 1e-11)
        t.near(x:to("float32"):entmax(alpha), want, 1e-5)
    end
end)

t.case("1 is softmax, 1.5 entmax15, 2 sparsemax, gradients too", function()
    for alpha, other in pairs{[1] = attn.softmax, [1.5] = attn.entmax15, [2] = attn.sparsemax} do
        local grads, dy = {}, attn.randn(6, 9, f64)
        local x = (attn.randn(6, 9, f64) * 2):requires_grad_(true)
        t.near(x:entmax(alpha), other(x):totable(), 1e-8)
        for k, y in ipairs{x:entmax(alpha), other(x)} do
            x.grad = nil
            y:backward(dy)
            grads[k] = x.grad:clone()
        end
        t.near(grads[1], grads[2]:totable(), 1e-8)
    end
end)

t.case("values and a derivative by alpha of the authors", function()      -- alpha 1.33 of (-1, 0, 0.5)
    local alpha = attn.tensor(1.33, f64):requires_grad_(true)
    local y = attn.tensor({-1, 0, 0.5}, f64):entmax(alpha)
    t.near(y, {0.0460, 0.3276, 0.6264}, 5e-5)
    y[1]:backward()
    t.near(alpha.grad, -0.2562, 5e-5)
end)

t.case("the derivative by alpha is that of bisection, near 1 too", function()
    local x = attn.tensor({0.3, -0.4, 1.1, 0, -2}, f64)
    local dy = {0.5, -1, 0.2, 2, 0.7}
    for _, at in ipairs{1.004, 1.02, 1.2, 1.5, 1.9} do
        local alpha = attn.tensor({at}, f64):requires_grad_(true)
        x:entmax(alpha):backward(attn.tensor(dy, f64))
        local h, want = 1e-4, 0
        local up, down = solve(x:totable(), at + h), solve(x:totable(), at - h)
        for j, d in ipairs(dy) do want = want + d * (up[j] - down[j]) / (2 * h) end
        t.near(alpha.grad, {want}, 1e-5)
    end
    local one = attn.tensor({1}, f64):requires_grad_(true)                  -- d y / d alpha = y (u^2 - <y, u^2>) / -2, u = log y
    local y = x:entmax(one)
    y:backward(attn.tensor(dy, f64))
    local p, mean, want = y:totable(), 0, 0
    for _, v in ipairs(p) do mean = mean + v * math.log(v) ^ 2 end
    for j, v in ipairs(p) do want = want - dy[j] * v * (math.log(v) ^ 2 - mean) / 2 end
    t.near(one.grad, {want}, 1e-6)
end)

t.case("an alpha for each head gets the gradient of its rows", function()
    local x = attn.randn(2, 3, 4, 5, f64)
    local alpha = attn.tensor({{{1.2}}, {{1.5}}, {{1.9}}}, f64):requires_grad_(true)
    local y, dy = x:entmax(alpha), attn.randn(2, 3, 4, 5, f64)
    y:backward(dy)
    for h = 1, 3 do
        local one = attn.tensor(alpha:totable()[h][1][1], f64):requires_grad_(true)
        local part = x:select(2, h):entmax(one)
        t.near(y:select(2, h), part:totable(), 0)
        part:backward(dy:select(2, h))
        t.near(alpha.grad[h], {{one.grad:item()}}, 1e-12)
    end
end)

t.case("-inf has weight 0, a row of -inf gives zeros, NaN is seen, the mask counts", function()
    t.equal(attn.tensor{{-inf, 0}, {-inf, -inf}, {nan, 1}}:entmax(1.3), {{0, 1}, {0, 0}, {nan, nan}})
    t.near(attn.full({4}, 1e4):entmax(1.3), {0.25, 0.25, 0.25, 0.25}, 1e-6)
    t.equal(attn.zeros(2, 0):entmax(1.3).shape, {2, 0})
    local mask = attn.tensor{true, false, true}
    t.near(attn.tensor{1, 9, 0}:entmax(1.7, 1, {mask = mask}), attn.tensor{1, -inf, 0}:entmax(1.7):totable(), 0)
    local alpha = attn.tensor(1.3):requires_grad_(true)
    attn.tensor{-inf, -inf}:entmax(alpha):sum():backward()
    t.equal(alpha.grad:item(), 0)
end)

t.case("attention learns an alpha a head, or has the one it is told", function()
    local q, k = attn.randn(2, 3, 4, f64), attn.randn(2, 5, 4, f64)
    local learned = attn.attention{query = 4, distribution = "entmax"}:to "float64"
    local given = attn.attention{query = 4, distribution = "entmax", alpha = 1.5}:to "float64"
    t.equal(#given:parameters(), 0)
    local logit = learned["distribution.alpha_logit"]
    t.near((learned(q, k)), (given(q, k)):totable(), 1e-12)                 -- 1.5 at first
    attn.no_grad(function() logit:fill_(0.8) end)
    local alpha = 1 + 1 / (1 + math.exp(-0.8))
    local _, weights = learned(q, k, nil, {weights = true})
    t.near(weights, (q:matmul(k:transpose(2, 3)) / 2):entmax(alpha):totable(), 1e-12)
    t.equal(attn.attention{query = 4, heads = 2, distribution = "entmax"}["distribution.alpha_logit"].shape, {2, 1})
end)

t.case("errors", function()
    local x = attn.randn(3, 4)
    t.raises("entmax: d is 3", attn.entmax, x, 1.5, 3)
    t.raises("entmax: alpha is 2.5, expected 1 to 2 (alpha: float32 [])", attn.entmax, x, 2.5)
    t.raises("entmax: alpha is 0.5, expected 1 to 2", attn.entmax, x, attn.tensor{{1.5}, {0.5}, {2}})
    t.raises("entmax: alpha has no number for each row along dimension 2", attn.entmax, x, attn.full({4}, 1.5))
    t.raises("entmax: alpha has no number for each row along dimension 1", attn.entmax, x, attn.full({3, 1}, 1.5), 1)
    t.raises("alpha belongs to distribution = \"entmax\", but distribution is \"softmax\"", attn.attention,
             {query = 4, alpha = 1.5})
    t.raises("attention: alpha is 3, expected 1 to 2", attn.attention, {query = 4, distribution = "entmax", alpha = 3})
end)
