-- layer.cell: the steps of an encoder, states in a search, errors.
local attn, t = require "attn", require "attn.test"

t.case("steps are those of encoder.rnn with the same parameters", function()
    for _, type in ipairs{"gru", "lstm", "rnn"} do
        attn.seed(1)
        local encoder = attn.encoder.rnn{inputs = 3, hidden = 4, cell = type}
        local cell = attn.layer.cell{inputs = 3, hidden = 4, type = type}
        local state = {}
        for name, p in pairs(encoder:state()) do state[name:gsub("_l1", "")] = p end
        cell:load(state)
        local x, h, c = attn.randn(2, 5, 3), nil, nil
        local want = encoder(x)
        for k = 1, 5 do
            h, c = cell(x:select(2, k), h, c)
            t.near(h, want:select(2, k), 1e-6)
        end
        t.equal(c ~= nil, type == "lstm")
        local picked = attn.search.reorder({h = h, c = c}, attn.tensor({2, 2, 1}, {dtype = "int64"}))
        t.equal(picked.h[1]:totable(), h[2]:totable())
        t.equal(#picked.h, 3)
    end
end)

t.case("same bits for any number of threads", function()
    attn.seed(2)
    local cell, x, h = attn.layer.cell{inputs = 40, hidden = 64}, attn.randn(70, 40), attn.randn(70, 64)
    local old, first = attn.threads(), nil
    for _, n in ipairs{1, 2, 3, 7} do
        attn.threads(n)
        local y = cell(x, h):detach()
        first = first or y
        t.equal(y:eq(first):sum():item(), y:numel())
    end
    attn.threads(old)
end)

t.case("errors", function()
    local cell, x = attn.layer.cell{inputs = 3, hidden = 4}, attn.randn(2, 3)
    t.raises("cell: x has width 4, expected 3 (x: float32 [2, 4])", cell, attn.randn(2, 4))
    t.raises("cell: h has 3 rows, but x has 2 (h: float32 [3, 4])", cell, x, attn.randn(3, 4))
    t.raises("cell: c is given, which only type lstm has", cell, x, attn.randn(2, 4), attn.randn(2, 4))
    t.raises("cell: type is 'gruu'", attn.layer.cell, {inputs = 3, hidden = 4, type = "gruu"})
end)
