-- Places by a mask or by ids: found, read, written.
local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local nan = 0 / 0

t.case("nonzero gives the places in row order", function()
    t.equal(attn.tensor{{0, 2, nan}, {-1, 0, 0}}:nonzero(), {{1, 2}, {1, 3}, {2, 1}})
    t.equal(attn.tensor{{0, 2, 3}, {-1, 0, 0}}:transpose(1, 2):nonzero(), {{1, 2}, {2, 1}, {3, 1}})
    t.equal(attn.tensor{true, false, true}:nonzero():squeeze(2), {1, 3})
    t.equal(ids{0, 7}:nonzero(), {{2}})
    t.equal(attn.tensor({0, 9}, {dtype = "uint8"}):nonzero(), {{2}})
    t.equal(attn.zeros(2, 3):nonzero().shape, {0, 2})
    t.equal(attn.tensor(5):nonzero().shape, {1, 0})
    t.equal(attn.zeros(0, 3):nonzero().shape, {0, 2})
    t.equal(attn.ones(2):nonzero().dtype, "int64")
end)

t.case("masked_select takes what a broadcast mask leaves", function()
    local x = attn.arange(1, 6):reshape(2, 3)
    t.equal(x:masked_select(x:gt(2)), {3, 4, 5, 6})
    t.equal(x:masked_select(attn.tensor{true, false, true}), {1, 3, 4, 6})
    t.equal(x:masked_select(attn.tensor{{false}, {true}}), {4, 5, 6})
    t.equal(x:transpose(1, 2):masked_select(attn.tensor{false, true}), {4, 5, 6})
    t.equal(x:masked_select(x:gt(9)).shape, {0})
    t.equal(attn.tensor{true, false}:masked_select(attn.tensor{false, true}), {false})
    t.raises("masked_select: the mask does not broadcast to x (x: int64 [2, 3], mask: bool [2])", x.masked_select, x,
        attn.tensor{true, false})
    t.raises("masked_select: mask is int64", x.masked_select, x, x)
end)

t.case("mask is true at the first places of each row", function()
    t.equal(attn.mask(ids{2, 0, 3}, 3), {{true, true, false}, {false, false, false}, {true, true, true}})
    t.equal(ids{1, 2}:mask(), {{true, false}, {true, true}})
    t.equal(attn.mask(ids{{1, 0}, {2, 2}}, 2), {{{true, false}, {false, false}}, {{true, true}, {true, true}}})
    t.equal(attn.mask(ids{0, 0}).shape, {2, 0})
    t.raises("mask: a length is 4, expected 0..3 (lengths: int64 [2])", attn.mask, ids{1, 4}, 3)
    t.raises("mask: a length is -1, below 0", attn.mask, ids{-1})
    t.raises("mask: T is -1, expected at least 0", attn.mask, ids{0}, -1)
    t.raises("mask: lengths is float32, expected int64", attn.mask, attn.ones(2), 3)
end)

t.case("t[ids] are entries in the order of ids of any shape, with gradient", function()
    local x = attn.tensor{{1, 2}, {3, 4}, {5, 6}}:requires_grad_(true)
    t.equal(x[ids{3, 1, 3}], {{5, 6}, {1, 2}, {5, 6}})
    t.equal(x[ids{{2, 2}, {1, 3}}], {{{3, 4}, {3, 4}}, {{1, 2}, {5, 6}}})
    t.equal(x[attn.tensor(2, {dtype = "int64"})], {3, 4})
    t.equal(x:transpose(1, 2)[ids{2}], {{2, 4, 6}})
    t.equal(x[attn.zeros(0, {dtype = "int64"})].shape, {0, 2})
    x[ids{3, 1, 3}]:sum():backward()
    t.equal(x.grad, {{1, 1}, {0, 0}, {2, 2}})
    t.equal(attn.tensor{true, false}[ids{2, 1}], {false, true})
    t.raises("id 4 is out of range, expected 1..3", function() return x[ids{1, 4}] end)
    t.raises("id 0 is out of range", function() return x[ids{0}] end)
    t.raises("index: the index is float32 [1], expected int64 or bool", function() return x[attn.ones(1)] end)
    t.raises("x is a scalar", function() return attn.tensor(1)[ids{1}] end)
    t.raises("the result would have 9 dimensions", function() return x[attn.ones({1, 1, 1, 1, 1, 1, 1, 1}, {dtype = "int64"})] end)
end)

t.case("t[mask] are the elements, or rows, where a mask of the first dimensions is true", function()
    local x = attn.arange(1, 12):reshape(2, 3, 2)
    t.equal(x[x:gt(9)], {10, 11, 12})
    t.equal(x[attn.tensor{{true, false, true}, {false, false, true}}], {{1, 2}, {5, 6}, {11, 12}})
    t.equal(x[attn.tensor{false, true}], {{{7, 8}, {9, 10}, {11, 12}}})
    t.equal(x[x:gt(99)].shape, {0})
    t.raises("the mask has not the sizes of the first dimensions of x (x: int64 [2, 3, 2], mask: bool [3])", function()
        return x[attn.tensor{true, true, false}]
    end)
    t.raises("the mask has not the sizes", function() return x[attn.tensor(true)] end)
end)

t.case("both take numbers, tensors and what broadcasts, in place", function()
    local x = attn.zeros(3, 2)
    x[ids{3, 1}] = attn.tensor{{5, 6}, {1, 2}}
    t.equal(x, {{1, 2}, {0, 0}, {5, 6}})
    x[ids{2, 3, 2}] = attn.tensor{{1, 1}, {2, 2}, {3, 3}}       -- in order: the last stays
    t.equal(x, {{1, 2}, {3, 3}, {2, 2}})
    x[ids{{1, 3}}] = attn.tensor{8, 9}
    t.equal(x, {{8, 9}, {3, 3}, {8, 9}})
    x[x:gt(7)] = 0
    t.equal(x, {{0, 0}, {3, 3}, {0, 0}})
    x[x:eq(0)] = attn.tensor{1, 2, 3, 4}
    t.equal(x, {{1, 2}, {3, 3}, {3, 4}})
    x[attn.tensor{true, false, true}] = attn.tensor{7, 6}
    t.equal(x, {{7, 6}, {3, 3}, {7, 6}})
    x:transpose(1, 2)[ids{2}] = 0
    t.equal(x, {{7, 0}, {3, 0}, {7, 0}})
    x[ids{2, 3}] = x[{{1, 2}}]                                  -- its own storage
    t.equal(x, {{7, 0}, {7, 0}, {3, 0}})
    local n = ids{1, 2, 3}
    n[n:gt(1)] = math.maxinteger
    t.equal(n, {1, math.maxinteger, math.maxinteger})
    n[ids{1}] = attn.tensor{true}
    t.equal(n[1]:item(), 1)
    local b = attn.zeros(2, {dtype = "uint8"})
    b[ids{2}] = 200
    t.equal(b, {0, 200})
    x[attn.zeros(0, {dtype = "int64"})] = 5
    t.equal(x, {{7, 0}, {7, 0}, {3, 0}})
end)

t.case("assignment keeps the rules of in-place writes", function()
    local x = attn.zeros(3)
    local p = attn.zeros(3):requires_grad_(true)
    t.raises("assignment: the tensor requires a gradient", function() p[ids{1}] = 1 end)
    t.raises("assignment: value carries a gradient, which an in-place write would lose", function() x[ids{1, 2}] = p[{{1, 2}}] end)
end)

t.case("what is wrong with an assignment is named", function()
    local x, n = attn.zeros(3, 2), ids{1, 2}
    t.raises("assignment: id 4 is out of range, expected 1..3 (tensor: float32 [3, 2])", function() x[ids{1, 4}] = 1 end)
    t.raises("assignment: id 0 is out of range", function() x[ids{0}] = 1 end)
    t.raises("assignment: the mask has not the sizes of the first dimensions", function() x[attn.tensor{true}] = 1 end)
    t.raises("assignment: the index is float32 [3, 2], expected int64 or bool", function() x[x] = 1 end)
    t.raises("assignment: value is float32 [3], expected shape [2, 2]", function() x[ids{1, 2}] = attn.ones(3) end)
    t.raises("assignment: value is float32, the tensor int64", function() n[ids{1}] = attn.ones(1) end)
    t.raises("assignment: value is 1.5, expected an integer", function() n[ids{1}] = 1.5 end)
    t.equal(x, {{0, 0}, {0, 0}, {0, 0}})
    -- a write is a change that a backward pass notices
    local w = attn.ones(3):requires_grad_(true)
    local c = attn.tensor{1, 2, 3}
    local y = (w * c):sum()
    c[ids{1}] = 9
    t.raises("changed", y.backward, y)
end)
