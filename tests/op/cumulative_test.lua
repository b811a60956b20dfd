local attn, t = require "attn", require "attn.test"

local F64, inf = {dtype = "float64"}, math.huge

t.case("running sums and products along each dimension", function()
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal(x:cumsum(), {{1, 3, 6}, {4, 9, 15}})
    t.equal(x:cumsum(1), {{1, 2, 3}, {5, 7, 9}})
    t.equal(x:transpose(1, 2):cumsum(2), {{1, 5}, {2, 7}, {3, 9}})
    t.equal(attn.arange(1, 4):cumsum(1), {1, 3, 6, 10})
    t.equal(attn.arange(1, 4):cumsum(1).dtype, "int64")
    t.equal(attn.zeros(2, 0):cumsum().shape, {2, 0})
    t.equal(x:cumprod(), {{1, 2, 6}, {4, 20, 120}})
    t.equal(x:cumprod(1), {{1, 2, 3}, {4, 10, 18}})
    t.equal(attn.arange(1, 5):cumprod(), {1, 2, 6, 24, 120})
    t.equal(attn.tensor{2, 0, 3}:cumprod(), {2, 0, 0})
end)

t.case("a long float sum keeps its digits", function()
    t.near(attn.full({100000}, 0.1):cumsum()[100000]:item() / 10000, 1, 1e-6)
end)

t.case("the gradient of cumprod is right with none, one and two zeros", function()
    for _, list in ipairs{{2, 3, 4, 5}, {2, 0, 4, 5}, {0, 3, 0, 5}, {0, 0, 0, 0}} do
        local x, dy = attn.tensor(list, F64):requires_grad_(true), {1, -2, 3, 0.5}
        x:cumprod():backward(attn.tensor(dy, F64))
        local expected = {}
        for i = 1, 4 do
            expected[i] = 0
            for j = i, 4 do
                local others = dy[j]
                for k = 1, j do if k ~= i then others = others * list[k] end end
                expected[i] = expected[i] + others
            end
        end
        t.near(x.grad, expected, 1e-12)
    end
end)

t.case("logcumsumexp is its definition and does not overflow", function()
    local x = attn.randn(3, 50, F64)
    t.near(x:logcumsumexp(), x:exp():cumsum():log(), 1e-12)
    t.near(x:logcumsumexp(1), x:exp():cumsum(1):log(), 1e-12)
    t.near(attn.tensor{1000, 1000, -1000}:logcumsumexp(), {1000, 1000 + math.log(2), 1000 + math.log(2)}, 1e-3)
    t.equal(attn.tensor{-inf, -inf, 3, -inf}:logcumsumexp(), {-inf, -inf, 3, 3})
    t.equal(attn.tensor{1, inf, 2, inf}:logcumsumexp(), {1, inf, inf, inf})
    local y = attn.tensor{1, 0 / 0, 2}:logcumsumexp():totable()
    t.is_true(y[1] == 1 and y[2] ~= y[2] and y[3] ~= y[3])
end)

t.case("logcumsumexp has no gradient until the first finite entry, and no NaN behind it", function()
    local x = attn.tensor({-inf, -inf, 3, -inf, 4}, F64):requires_grad_(true)
    x:logcumsumexp():backward(attn.tensor({0, 1, 1, 1, 1}, F64))
    local share = 1 / (1 + math.exp(1))
    t.near(x.grad, {0, 0, 2 + share, 0, 1 - share}, 1e-12)
end)

t.case("diff is each element's successor minus the element", function()
    local x = attn.tensor{{1, 4, 9}, {2, 2, -1}}
    t.equal(x:diff(), {{3, 5}, {0, -3}})
    t.equal(x:diff(1), {{1, -2, -10}})
    t.equal(x:transpose(1, 2):diff(1), {{3, 0}, {5, -3}})
    t.equal((attn.arange(1, 4) * attn.arange(1, 4)):diff(), {3, 5, 7})
    t.equal(attn.zeros(2, 1):diff().shape, {2, 0})
    t.equal(attn.zeros(2, 0):diff().shape, {2, 0})
    local y = attn.randn(5, 7, 3)
    for d = 1, 3 do
        t.near(y:diff(d), y:narrow(d, 2, y:size(d) - 1) - y:narrow(d, 1, y:size(d) - 1), 0)
        local z = attn.cat({y:narrow(d, 1, 1), y:diff(d)}, d)
        t.near(z:cumsum(d), y, 1e-5)
    end
end)

t.case("errors", function()
    for _, name in ipairs{"cumsum", "cumprod", "logcumsumexp", "diff"} do
        t.raises(name .. ": x is a scalar", attn[name], attn.tensor(1))
        t.raises(name .. ": d is 3, expected 1..2 or -2..-1", attn[name], attn.zeros(2, 2), 3)
    end
    t.raises("logcumsumexp: x is int64", attn.logcumsumexp, attn.arange(1, 3))
end)
