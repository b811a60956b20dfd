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

-- The definition over a table of dimensions: transposed so that they are one, the last.
t.case("several dimensions are one of all their elements", function()
    local x = attn.randn(2, 3, 4, 5, {dtype = "float64"})
    for name in pairs(definitions) do
        local f = attn[name]
        t.near((f(x, {3, 4})), f(x:reshape(2, 3, 20), 3):totable(), 1e-12)
        t.near((f(x, {2, 3})), f(x:permute(1, 4, 2, 3):reshape(2, 5, 12), 3):totable(), 1e-12)
        t.near((f(x, {1, 3})), f(x:permute(2, 4, 1, 3):reshape(3, 5, 8), 3):totable(), 1e-12)
        t.near((f(x, {-1, 1, 2})), f(x:permute(3, 1, 2, 4):reshape(4, 30), 2):totable(), 1e-12)
        t.near((f(x, {1, 2, 3, 4})), f(x):item(), 1e-12)
        t.equal((f(x, {1, 3}, true)).shape, {1, 3, 1, 5})
        t.equal((f(x, {4}, true)).shape, {2, 3, 4, 1})
        t.equal(select("#", f(x, {1, 3})), 1)
    end
    t.equal(select("#", x:max({2})), 2)
    t.equal(attn.ones(2, 3, 4, {dtype = "int64"}):sum({1, 3}), {8, 8, 8})
    t.equal(attn.zeros(2, 0, 3):sum({1, 3}), attn.zeros(0))
    t.raises("sum: d names dimension 2 twice", x.sum, x, {2, -3})
    t.raises("sum: d holds 2 twice", x.sum, x, {2, 2})
    t.raises("sum: d is 5, expected 1..4", x.sum, x, {1, 5})
    t.raises("sum: d is 9, expected 1..4 or -4..-1", x.sum, x, {1, 9})
    t.raises("argmax: d names several dimensions, expected one", x.argmax, x, {1, 2})
    t.raises("max: x has no elements to choose from", attn.max, attn.zeros(2, 0), {1, 2})
end)

t.case("what a mask leaves out takes no part, whatever stands there, and has no gradient", function()
    local x = attn.tensor{{1, nan, 3}, {inf, -5, 2}, {nan, nan, inf}}:requires_grad_(true)
    local mask = attn.tensor{{true, false, true}, {false, true, true}, {false, false, false}}
    local options = {mask = mask}
    t.equal(x:sum(2, options), {4, -3, 0})
    t.equal(x:mean(2, options), {2, -1.5, 0})
    t.near(x:logsumexp(2, options), {3 + math.log(1 + math.exp(-2)), 2 + math.log(1 + math.exp(-7)), -inf}, 1e-6)
    local value, place = x:max(2, options)
    t.equal({value:totable(), place:totable()}, {{3, 2, 0}, {3, 3, 0}})
    value, place = x:min(2, true, options)
    t.equal({value:totable(), place:totable()}, {{{1}, {-5}, {0}}, {{1}, {2}, {0}}})
    t.equal(x:sum(options):item(), 1)
    t.equal(x:mean(options):item(), 0.25)
    t.equal(x:max({1, 2}, options):item(), 3)
    t.equal(x:sum(1, options), {1, -5, 5})
    local p = x:softmax(2, options)
    t.equal({p[1][2]:item(), p[3]:totable()}, {0, {0, 0, 0}})
    t.near(p[2], attn.tensor{0, 1 / (1 + math.exp(7)), 1 / (1 + math.exp(-7))}:totable(), 1e-6)
    local total = x:sum(2, options) + x:mean(2, options) + (x:max(2, options)) + (x:min(2, options)) + p:sum(2)
    total:sum():backward()
    t.near(x.grad, {{2.5, 0, 2.5}, {0, 2.5, 2.5}, {0, 0, 0}}, 1e-6)
end)

t.case("a mask broadcasts, and goes with any dimensions; of integers too", function()
    local x = attn.randn(2, 3, 4, {dtype = "float64"})
    local lengths = attn.mask(ids{3, 1}, 3):unsqueeze(3)      -- [2, 3, 1]
    local y = x:mean(2, {mask = lengths})
    t.near(y[1], x[1]:mean(1):totable(), 1e-12)
    t.near(y[2], x[2][1]:totable(), 1e-12)
    t.near(x:mean({1, 2}, {mask = lengths}), attn.cat({x[1], x[{2, {1, 1}}]}, 1):mean(1):totable(), 1e-12)
    t.near(x:mean({1, 3}, {mask = lengths})[3]:item(), x[1][3]:mean():item(), 1e-12)
    local columns = attn.tensor{true, false, false, true}
    t.near((x:max({1, 3}, {mask = columns})), x:index_select(3, ids{1, 4}):max({1, 3}):totable())
    local n = ids{{5, math.mininteger}, {math.maxinteger, 7}}
    local mask = attn.tensor{{false, true}, {false, true}}
    t.equal({n:max(2, {mask = mask})}, {{math.mininteger, 7}, {2, 2}})
    t.equal({n:min(1, {mask = mask})}, {{0, math.mininteger}, {0, 1}})
    t.equal(n:sum(1, {mask = attn.tensor{{true, true}, {false, true}}}), {5, math.mininteger + 7})
    t.equal(attn.tensor{true, true, false}:sum({mask = attn.tensor{true, false, true}}):item(), 1)
    -- what is left is as small as what was left out
    local z = attn.tensor{5, -inf, -inf}:requires_grad_(true)
    local value, place = z:max(1, {mask = attn.tensor{false, false, true}})
    t.equal({value:item(), place:item()}, {-inf, 3})
    value:backward()
    t.equal(z.grad, {0, 0, 1})
    t.raises("sum: the mask does not broadcast to x (x: float64 [2, 3, 4], mask: bool [3])", x.sum, x, 1,
        {mask = attn.tensor{true, true, false}})
    t.raises("mean: mask is float64, expected bool (mask: float64 [2, 3, 4])", function() return x:mean(1, {mask = x}) end)
    t.raises("sum: unknown option 'masks' (known: mask; did you mean 'mask'?)", x.sum, x, 1, {masks = x})
end)

t.case("short rows and long ones have one definition, whatever the dimension", function()
    for _, n in ipairs{1, 2, 3, 8, 31, 33, 63, 64, 65, 100} do
        for _, dtype in ipairs{"float32", "float64"} do
            local x = attn.randn(n, 7, {dtype = dtype})
            x[{1, 3}] = nan
            local v, i = x:max(1)
            local w, j = x:transpose(1, 2):contiguous():min(2)
            local rows = x:transpose(1, 2):totable()
            for c = 1, 7 do
                local best, least = 1, 1
                for k = 1, n do
                    if rows[c][k] > rows[c][best] then best = k end
                    if rows[c][k] < rows[c][least] then least = k end
                end
                t.equal({i[c]:item(), j[c]:item()}, c == 3 and {1, 1} or {best, least})
                t.equal({v[c]:item(), w[c]:item()}, {rows[c][best], rows[c][least]})
            end
        end
    end
end)
