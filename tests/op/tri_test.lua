local attn, t = require "attn", require "attn.test"

t.case("tril and triu keep one side of a diagonal", function()
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal(x:tril(), {{1, 0, 0}, {4, 5, 0}})
    t.equal(x:triu(), {{1, 2, 3}, {0, 5, 6}})
    t.equal(x:tril(1), {{1, 2, 0}, {4, 5, 6}})
    t.equal(x:tril(-1), {{0, 0, 0}, {4, 0, 0}})
    t.equal(x:triu(2), {{0, 0, 3}, {0, 0, 0}})
    t.equal(x:triu(-1), {{1, 2, 3}, {4, 5, 6}})
    t.equal(x:tril(math.maxinteger), x:totable())
    t.equal(x:tril(math.mininteger):sum():item(), 0)
    t.equal(x:triu(math.maxinteger):sum():item(), 0)
    t.equal(x:triu(math.mininteger), x:totable())
end)

t.case("batches, booleans, integers, steps", function()
    t.equal(attn.ones(2, 2, 2):tril(), {{{1, 0}, {1, 1}}, {{1, 0}, {1, 1}}})
    t.equal(attn.ones(2, 2):to("bool"):tril(), {{true, false}, {true, true}})
    t.equal(attn.arange(1, 4):view(2, 2):triu(1), {{0, 2}, {0, 0}})
    t.equal(attn.tensor{{1, 2}, {3, 4}}:transpose(1, 2):tril(), {{1, 0}, {2, 4}})
    t.equal(attn.zeros(3, 0):tril().shape, {3, 0})
end)

t.case("errors", function() t.raises("tril: x has 1 dimensions, expected at least 2 (x: float32 [3])", attn.tril,
                                     attn.zeros(3)) end)
