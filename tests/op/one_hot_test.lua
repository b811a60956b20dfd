local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

t.case("a one at every id, nothing for padding", function()
    t.equal(attn.one_hot(ids{{1, 3}, {0, 2}}, 3), {{{1, 0, 0}, {0, 0, 1}}, {{0, 0, 0}, {0, 1, 0}}})
    t.equal(ids{2}:one_hot(2).dtype, "float32")
    t.equal(attn.one_hot(ids{2}, 2, {dtype = "bool"}), {{false, true}})
    t.equal(attn.one_hot(ids{2}, 2, {dtype = "float64"}), {{0, 1}})
    t.equal(attn.one_hot(ids{2}, 2, {dtype = "int64"}):sum().dtype, "int64")
    t.equal(attn.one_hot(ids{0}, 0).shape, {1, 0})
end)

t.case("errors", function()
    t.raises("one_hot: id 4 is out of range, ids are 1..3, 0 is padding (ids: int64 [2])", attn.one_hot, ids{1, 4}, 3)
    t.raises("one_hot: id -1 is out of range", attn.one_hot, ids{-1}, 3)
    t.raises("one_hot: count is -1", attn.one_hot, ids{1}, -1)
    t.raises("one_hot: ids is float32, expected int64", attn.one_hot, attn.zeros(2), 3)
    t.raises("one_hot: dtype is the string 'float'", attn.one_hot, ids{1}, 3, {dtype = "float"})
    t.raises("is too large", attn.one_hot, ids{1, 1}, 1 << 41)
end)
