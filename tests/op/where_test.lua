local attn, t = require "attn", require "attn.test"

local nan, inf = 0 / 0, math.huge

t.case("where takes from a or b", function()
    local cond = attn.tensor{true, false, true}
    t.equal(attn.where(cond, attn.tensor{1, 2, 3}, attn.tensor{4, 5, 6}), {1, 5, 3})
    t.equal(attn.where(cond, 0, attn.tensor{4, 5, 6}), {0, 5, 0})
    t.equal(attn.where(cond, attn.arange(1, 3), -1), {1, -1, 3})
    t.equal(attn.where(cond, attn.arange(1, 3), -1).dtype, "int64")
    t.equal(attn.where(cond, cond, attn.tensor{true, true, false}), {true, true, true})
    t.equal(attn.where(attn.tensor{{true}, {false}}, attn.tensor{1, 2}, attn.tensor{{3}, {4}}), {{1, 2}, {4, 4}})
end)

t.case("a NaN on the other side does not reach the result or the gradient", function()
    local a = attn.tensor{nan, 2}:requires_grad_(true)
    local y = attn.where(attn.tensor{false, true}, a, 1)
    t.equal(y, {1, 2})
    y:sum():backward()
    t.equal(a.grad, {0, 1})
end)

t.case("masked_fill fills where the mask is true", function()
    local x, mask = attn.tensor{{1, 2}, {3, 4}}, attn.tensor{true, false}
    t.equal(x:masked_fill(mask, -inf), {{-inf, 2}, {-inf, 4}})
    t.equal(x:masked_fill(attn.tensor{{true}, {false}}, 0), {{0, 0}, {3, 4}})
    t.equal(x:transpose(1, 2):masked_fill(mask, 0), {{0, 3}, {0, 4}})
    t.equal(attn.arange(1, 2):masked_fill(mask, 9), {9, 2})
    t.equal(mask:masked_fill(mask, 0), {false, false})
    t.equal(x, {{1, 2}, {3, 4}})
end)

t.case("errors", function()
    t.raises("where: cond is float32, expected bool", attn.where, attn.zeros(2), attn.zeros(2), attn.zeros(2))
    t.raises("where: the shapes do not broadcast (a: float32 [2], b: float32 [3])", attn.where, attn.tensor{true},
             attn.zeros(2),
             attn.zeros(3))
    t.raises("where: the condition does not broadcast", attn.where, attn.tensor{true, false}, attn.zeros(3),
             attn.zeros(3))
    t.raises("masked_fill: the mask does not broadcast to x (x: float32 [2], mask: bool [2, 1])", attn.masked_fill,
             attn.zeros(2),
             attn.tensor{{true}, {false}}, 0)
    t.raises("masked_fill: value is 0.5, expected an integer", attn.masked_fill, attn.arange(1, 2),
             attn.tensor{true, false}, 0.5)
end)
