local attn, t = require "attn", require "attn.test"

t.case("running sums along each dimension", function()
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal(x:cumsum(), {{1, 3, 6}, {4, 9, 15}})
    t.equal(x:cumsum(1), {{1, 2, 3}, {5, 7, 9}})
    t.equal(x:transpose(1, 2):cumsum(2), {{1, 5}, {2, 7}, {3, 9}})
    t.equal(attn.arange(1, 4):cumsum(1), {1, 3, 6, 10})
    t.equal(attn.arange(1, 4):cumsum(1).dtype, "int64")
    t.equal(attn.zeros(2, 0):cumsum().shape, {2, 0})
end)

t.case("a long float sum keeps its digits", function()
    t.near(attn.full({100000}, 0.1):cumsum()[100000]:item() / 10000, 1, 1e-6)
end)

t.case("errors", function() t.raises("cumsum: x is a scalar", attn.cumsum, attn.tensor(1)) end)
