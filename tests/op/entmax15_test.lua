local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge

-- sum of max(x / 2 - tau, 0)^2 = 1 by bisection
local function solve(row)
    local low, high = -1e3, 1e3
    for _ = 1, 200 do
        local middle, sum = (low + high) / 2, 0
        for _, x in ipairs(row) do sum = sum + math.max(x / 2 - middle, 0) ^ 2 end
        if sum > 1 then low = middle else high = middle end
    end
    local y = {}
    for j, x in ipairs(row) do y[j] = math.max(x / 2 - low, 0) ^ 2 end
    return y
end

t.case("entmax15 solves its equation", function()
    local x = attn.randn(20, 13, {dtype = "float64"}) * 2
    local want = x:totable()
    for i, row in ipairs(want) do want[i] = solve(row) end
    t.near(x:entmax15(), want, 1e-11)
    t.near(x:transpose(1, 2):entmax15(1):transpose(1, 2), want, 1e-11)
    t.near(attn.randn(50, 40):entmax15():sum(2), attn.ones(50):totable(), 1e-5)
end)

t.case("-inf has weight 0, a row of -inf gives zeros, NaN is seen", function()
    t.equal(attn.tensor{{-inf, 0}, {-inf, -inf}, {nan, 1}}:entmax15(), {{0, 1}, {0, 0}, {nan, nan}})
    t.equal(attn.tensor{10, 0}:entmax15(), {1, 0})
    t.near(attn.full({4}, 1e4):entmax15(), {0.25, 0.25, 0.25, 0.25})
    t.equal(attn.zeros(2, 0):entmax15().shape, {2, 0})
end)

t.case("errors", function() t.raises("entmax15: d is 2", attn.entmax15, attn.zeros(3), 2) end)
