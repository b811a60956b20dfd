local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge

-- the projection by bisection on the threshold
local function project(row)
    local low, high = -1e3, 1e3
    for _ = 1, 200 do
        local middle, sum = (low + high) / 2, 0
        for _, x in ipairs(row) do sum = sum + math.max(x - middle, 0) end
        if sum > 1 then low = middle else high = middle end
    end
    local y = {}
    for j, x in ipairs(row) do y[j] = math.max(x - low, 0) end
    return y
end

t.case("sparsemax is the projection on the simplex", function()
    local x = attn.randn(20, 13, {dtype = "float64"})
    local want = x:totable()
    for i, row in ipairs(want) do want[i] = project(row) end
    t.near(x:sparsemax(), want, 1e-12)
    t.near(x:sparsemax():sum(2), attn.ones(20):totable(), 1e-12)
    t.near(x:transpose(1, 2):sparsemax(1):transpose(1, 2), want, 1e-12)
end)

t.case("it has exact zeros, and the gradient stays on the support", function()
    local x = attn.tensor{3, 0, 2.5}:requires_grad_(true)
    local y = x:sparsemax()
    t.equal(y, {0.75, 0, 0.25});
    (y * attn.tensor{1, 5, 2}):sum():backward()
    t.equal(x.grad, {-0.5, 0, 0.5})
end)

t.case("-inf has weight 0, a row of -inf gives zeros, NaN is seen", function()
    t.equal(attn.tensor{{-inf, 0}, {-inf, -inf}, {nan, 1}, {inf, 1}}:sparsemax(),
            {{0, 1}, {0, 0}, {nan, nan}, {nan, nan}})
    t.equal(attn.zeros(2, 0):sparsemax().shape, {2, 0})
    t.near(attn.full({5}, 1e4):sparsemax(), {0.2, 0.2, 0.2, 0.2, 0.2})
end)

t.case("errors", function() t.raises("sparsemax: x is a scalar", attn.sparsemax, attn.tensor(1)) end)
