local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

-- rows of a tensor [a, b, c] along dimension d, as lists, in the order of the result
local function rows(x, d)
    local v, s, out = x:totable(), x.shape, {}
    local order = d == 1 and {2, 3, 1} or d == 2 and {1, 3, 2} or {1, 2, 3}
    local at = {}
    for i = 1, s[order[1]] do
        for j = 1, s[order[2]] do
            local row = {}
            for k = 1, s[order[3]] do
                at[order[1]], at[order[2]], at[order[3]] = i, j, k
                row[k] = v[at[1]][at[2]][at[3]]
            end
            out[#out + 1] = row
        end
    end
    return out
end

local function fold(row, start, f)
    for _, x in ipairs(row) do start = f(start, x) end
    return start
end
local function sum(row) return fold(row, 0, function(a, b) return a + b end) end
local function mean(row) return sum(row) / #row end
local function var(row)
    local m = mean(row)
    return fold(row, 0, function(a, b) return a + (b - m) ^ 2 end) / (#row - 1)
end
local definitions = {
    sum = sum, mean = mean, var = var,
    max = function(row) return math.max(table.unpack(row)) end,
    min = function(row) return math.min(table.unpack(row)) end,
    prod = function(row) return fold(row, 1, function(a, b) return a * b end) end,
    std = function(row) return math.sqrt(var(row)) end,
    norm = function(row) return math.sqrt(fold(row, 0, function(a, b) return a + b * b end)) end,
    logsumexp = function(row) return math.log(fold(row, 0, function(a, b) return a + math.exp(b) end)) end,
}

for name, f in pairs(definitions) do
    t.case(name .. " is its definition along every dimension and over all", function()
        for _, dtype in ipairs{"float32", "float64"} do
            local x, tolerance = attn.randn(3, 4, 5, {dtype = dtype}), dtype == "float32" and 1e-5 or 1e-12
            for d = 1, 3 do
                local want = {}
                for i, row in ipairs(rows(x, d)) do want[i] = f(row) end
                local y = attn[name](x, d)
                local shape = x.shape
                table.remove(shape, d)
                t.equal(y.shape, shape)
                t.equal(y.dtype, dtype)
                t.near(y:reshape(-1), want, tolerance)
                t.near(attn[name](x, d - 4):reshape(-1), want, tolerance)
                shape = x.shape
                shape[d] = 1
                t.equal((attn[name](x, d, true)).shape, shape)
            end
            local all = x:reshape(-1):totable()
            local y = attn[name](x)
            t.equal(y.shape, {})
            t.near(y:item(), f(all), tolerance)
            t.near((attn[name](x:transpose(1, 3))):item(), f(all), tolerance)
        end
    end)
end

t.case("max and min give the first place, and the gradient goes there", function()
    local x = attn.tensor{{1, 5, 5}, {2, 2, 0}}:requires_grad_(true)
    local values, places = x:max(2)
    t.equal(values, {5, 2})
    t.equal(places, {2, 1})
    t.equal(places.dtype, "int64")
    values:sum():backward()
    t.equal(x.grad, {{0, 1, 0}, {1, 0, 0}})
    local least, at = x:min(1, true)
    t.equal(least, {{1, 2, 0}})
    t.equal(at, {{1, 2, 2}})
    t.equal(x:argmax(2), {2, 1})
    t.equal(x:argmin(1), {1, 2, 2})
    t.equal(x:argmax():item(), 2)
    t.equal(x:argmax(2, true).shape, {2, 1})
end)

t.case("a NaN is the greatest and the least", function()
    local x = attn.tensor{{1, nan, 3, nan}, {1, 2, 3, 4}}
    local values, places = x:max(2)
    t.equal(values, {nan, 4})
    t.equal(places, {2, 4})
    t.equal(x:argmin(2), {2, 1})
    t.equal(x:min():item(), nan)
end)

t.case("integers and booleans", function()
    local x = ids{{3, -1}, {7, 2}}
    t.equal(x:sum().dtype, "int64")
    t.equal(x:sum(1), {10, 1})
    t.equal(x:sum(2), {2, 9})
    t.equal(x:max():item(), 7)
    t.equal(x:argmin():item(), 2)
    t.equal(ids{math.maxinteger, math.maxinteger - 1}:max():item(), math.maxinteger)
    t.equal(attn.tensor{{true, true}, {false, true}}:sum(2), {2, 1})
    t.equal(attn.tensor{true, false, true}:sum().dtype, "int64")
end)

t.case("sums over nothing", function()
    local x = attn.zeros(2, 0)
    t.equal(x:sum(2), {0, 0})
    t.equal(x:sum(1).shape, {0})
    t.equal(x:prod(2), {1, 1})
    t.equal(x:norm(2), {0, 0})
    t.equal(x:logsumexp(2), {-inf, -inf})
    t.equal(x:mean(2), {nan, nan})
    t.equal(x:var(2), {nan, nan})
    t.raises("max: x has no elements to choose from (x: float32 [2, 0])", attn.max, x, 2)
    t.raises("argmin: x has no elements", attn.argmin, x)
end)

t.case("edges: one element, equal elements, rows of -inf, huge and tiny numbers", function()
    t.equal(attn.tensor{5}:var(), nan)
    local x = attn.tensor{3, 3, 3}:requires_grad_(true);
    (x:std() + (x - 3):norm()):backward()
    t.equal(x.grad, {0, 0, 0})
    local y = attn.tensor{{-inf, -inf}, {1, -inf}}:requires_grad_(true)
    local z = y:logsumexp(2)
    t.equal(z, {-inf, 1})
    z:sum():backward()
    t.equal(y.grad, {{0, 0}, {1, 0}})
    t.near(attn.tensor{1000, 1000}:logsumexp(), 1000 + math.log(2))
    t.near(attn.tensor{3e30, 4e30}:norm():item() / 5e30, 1)
    t.near(attn.tensor{3e-30, 4e-30}:norm():item() / 5e-30, 1)
end)

t.case("equal numbers do not deviate, whatever they are: var and std are 0, and so is their gradient", function()
    for _, dtype in ipairs{"float32", "float64"} do
        for _, value in ipairs{0.1, 0.3, 1 / 3, -2.7, 1e10 + 0.1, 1e-30} do
            for _, n in ipairs{2, 3, 5, 7, 10, 33, 1001} do
                local x = attn.full({2, n}, value, {dtype = dtype}):requires_grad_(true)
                local std, var = x:std(2), x:var(2);
                (std + var):sum():backward()
                local text = ("%s, %d times %.17g"):format(dtype, n, value)
                t.equal({std:totable(), var:totable()}, {{0, 0}, {0, 0}}, text)
                t.equal(x.grad:abs():max():item(), 0, text)
            end
        end
    end
end)

t.case("a long float sum keeps its digits", function()
    local n = 1000000
    t.near(attn.full({n}, 0.1):sum():item() / (n * 0.1), 1, 1e-6)
    t.near(attn.full({20000, 3}, 0.1):sum(1), {2000, 2000, 2000}, 1e-5)
    t.near(attn.full({3, 20000}, 0.1):mean(2), {0.1, 0.1, 0.1}, 1e-6)
end)

t.case("errors", function()
    t.raises("sum: d is 3, expected 1..2 or -2..-1 (x: float32 [2, 3])", attn.sum, attn.zeros(2, 3), 3)
    t.raises("sum: d is 0, expected 1..2 or -2..-1", attn.sum, attn.zeros(2, 3), 0)
    t.raises("sum: x is a scalar", attn.sum, attn.tensor(1), 1)
    t.raises("mean: x is int64", attn.mean, ids{1, 2})
    t.raises("sum: d is 1.5, expected an integer", attn.sum, attn.zeros(2), 1.5)
end)
