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
    t.raises("gather: id 4 is out of range, expected 0..3 along dimension 2 (x: float32 [2, 3])", attn.gather, x, 2,
             ids{{4}})
    t.raises("gather: id -1 is out of range", attn.gather, x, 2, ids{{-1}})
    t.raises("index_select: id 0 is out of range, expected 1..2 along dimension 1", attn.index_select, x, 1, ids{0})
    t.raises("scatter_add: id 3 is out of range", attn.scatter_add, x, 1, ids{{3}}, attn.zeros(1, 1))
    t.raises("scatter_add: source has shape [1, 2], expected that of ids, [1, 1]", attn.scatter_add, x, 1, ids{{1}}, attn.zeros(1, 2))
    t.raises("scatter_add: ids has shape [1], expected at most that of x", attn.scatter_add, x, 1, ids{1}, attn.zeros(1))
    t.raises("scatter_add: source is float64, but x is float32", attn.scatter_add, x, 1, ids{{1}}, attn.zeros(1, 1, {dtype = "float64"}))
    t.raises("scatter_add: x is bool, expected float32, float64 or int64", attn.scatter_add, attn.tensor{true}, 1, ids{1},
             attn.tensor{true})
    t.raises("gather: ids has shape [3, 1], expected at most that of x in all dimensions but 2", attn.gather, x, 2,
             ids{{1}, {1}, {1}})
    t.raises("gather: ids is float32, expected int64", attn.gather, x, 2, attn.zeros(1, 1))
    t.raises("index_select: id -1 is out of range", attn.index_select, x, 1, ids{-1})
    t.raises("index_select: ids has shape [1, 1], expected a vector", attn.index_select, x, 1, ids{{1}})
end)

t.case("gather at id 0 gives 0, without gradient, of every dtype", function()
    local x = attn.tensor{{1, 2}, {3, 4}}:requires_grad_(true)
    local y = x:gather(2, ids{{0, 2}, {1, 0}})
    t.equal(y, {{0, 2}, {3, 0}})
    y:sum():backward()
    t.equal(x.grad, {{0, 1}, {1, 0}})
    t.equal(attn.arange(5, 7):gather(1, ids{0, 3, 0}), {0, 7, 0})
    t.equal(attn.tensor{true}:gather(1, ids{0, 1}), {false, true})
    t.equal(attn.zeros(2, 0):gather(2, ids{{0}, {0}}), {{0}, {0}})
end)

t.case("bytes are gathered one by one, and not added", function()
    local x = attn.arange(1, 200):to "uint8"
    t.equal(x:gather(1, ids{200, 0, 3}), {200, 0, 3})
    t.equal(x:reshape(20, 10):gather(2, ids{{10}, {1}}), {{10}, {11}})
    t.equal({x[198]:item(), x[199]:item(), x[200]:item()}, {198, 199, 200})
    t.raises("scatter_add: x is uint8, expected float32, float64 or int64", attn.scatter_add, x, 1, ids{1}, x:narrow(1, 1, 1))
end)

t.case("scatter_add is the mirror of gather along every dimension", function()
    for d = 1, 3 do
        local shape = {4, 3, 5}
        shape[d] = 7
        local x, source = attn.randn(4, 3, 5, {dtype = "float64"}), attn.randn(shape, {dtype = "float64"})
        local places = attn.randint(0, x:size(d), shape)
        local y, p, s = x:totable(), places:totable(), source:totable()
        for i = 1, shape[1] do for j = 1, shape[2] do for k = 1, shape[3] do
            local at = {i, j, k}
            at[d] = p[i][j][k]
            if at[d] > 0 then y[at[1]][at[2]][at[3]] = y[at[1]][at[2]][at[3]] + s[i][j][k] end
        end end end
        t.near(x:scatter_add(d, places, source), y, 1e-12)
        -- <scatter(s), x> = <s, gather(x)>
        t.near((attn.zeros_like(x):scatter_add(d, places, source) * x):sum():item(), (source * x:gather(d, places)):sum():item(), 1e-10)
    end
end)

t.case("scatter_add leaves x alone, counts with int64, and takes fewer ids than x has entries", function()
    local x = attn.zeros(3, {dtype = "int64"})
    t.equal(x:scatter_add(1, ids{3, 1, 3, 0}, attn.ones(4, {dtype = "int64"})), {1, 0, 2})
    t.equal(x, {0, 0, 0})
    t.equal(attn.zeros(3, 2):scatter_add(1, ids{{2}}, attn.ones(1, 1)), {{0, 0}, {1, 0}, {0, 0}})
end)
