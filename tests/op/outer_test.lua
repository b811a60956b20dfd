local attn, t = require "attn", require "attn.test"

t.case("the products of all pairs", function()
    t.equal(attn.outer(attn.tensor{1, 2, 3}, attn.tensor{4, 5}), {{4, 5}, {8, 10}, {12, 15}})
    t.equal(attn.tensor{1, 2}:outer(attn.zeros(0)).shape, {2, 0})
    t.raises("outer: b has 2 dimensions, expected a vector (b: float32 [1, 1])", attn.outer, attn.zeros(2), attn.zeros(1, 1))
end)
