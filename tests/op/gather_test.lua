local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

t.case("gather picks elements along a dimension", function()
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal(x:gather(2, ids{{3, 1}, {2, 2}}), {{3, 1}, {5, 5}})
    t.equal(x:gather(1, ids{{2, 1, 2}}), {{4, 2, 6}})
    t.equal(x:gather(1, ids{{2}}), {{4}})
    t.equal(x:transpose(1, 2):gather(-1, ids{{2}, {1}, {2}}), {{4}, {2}, {6}})
    t.equal(attn.tensor{true, false}:gather(1, ids{2, 2, 1}), {false, false, true})
    local y = attn.randn(3, 4, 5)
    local places = attn.randint(1, 4, 3, 2, 5)
    local z, v, p = y:gather(2, places):totable(), y:totable(), places:totable()
    for i = 1, 3 do for j = 1, 2 do for k = 1, 5 do t.equal(z[i][j][k], v[i][p[i][j][k]][k]) end end end
end)

t.case("index_select takes whole slices, repeated ones too", function()
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal(x:index_select(1, ids{2, 1, 2}), {{4, 5, 6}, {1, 2, 3}, {4, 5, 6}})
    t.equal(x:index_select(2, ids{3}), {{3}, {6}})
    t.equal(attn.arange(10, 12):index_select(1, ids{3, 1}), {12, 10})
    t.equal(x:index_select(1, attn.zeros(0, {dtype = "int64"})).shape, {0, 3})
end)

t.case("gradients of repeated places add up", function()
    local x = attn.tensor{1, 2, 3}:requires_grad_(true);
    (x:gather(1, ids{2, 2, 3}) + x:index_select(1, ids{2, 1, 2})):sum():backward()
    t.equal(x.grad, {1, 4, 1})
end)

t.case("errors", function()
    local x = attn.zeros(2, 3)
    t.raises("gather: id 4 is out of range, expected 1..3 along dimension 2 (x: float32 [2, 3])", attn.gather, x, 2,
             ids{{4}})
    t.raises("gather: id 0 is out of range", attn.gather, x, 2, ids{{0}})
    t.raises("gather: ids has shape [3, 1], expected at most that of x in all dimensions but 2", attn.gather, x, 2,
             ids{{1}, {1}, {1}})
    t.raises("gather: ids is float32, expected int64", attn.gather, x, 2, attn.zeros(1, 1))
    t.raises("index_select: id -1 is out of range", attn.index_select, x, 1, ids{-1})
    t.raises("index_select: ids has shape [1, 1], expected a vector", attn.index_select, x, 1, ids{{1}})
end)
