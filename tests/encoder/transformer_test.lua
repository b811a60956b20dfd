-- The weights of encoder.transformer; its outputs are those of tests/golden.
local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

local function make(fields)
    local cfg = {dim = 8, heads = 2, layers = 2, ff = 12}
    for name, value in pairs(fields or {}) do cfg[name] = value end
    local encoder = attn.encoder.transformer(cfg)
    encoder:to "float64"
    encoder:eval()
    return encoder
end

t.case("weights over the tokens: sums, lengths, causal order, the same output", function()
    for _, attention in ipairs{{}, {distribution = "sparsemax"}, {position = "rope"}, {score = "linear"}} do
        local encoder = make{attention = attention}
        for _, n in ipairs{5, 18} do
            local x, lengths = attn.randn({2, n, 8}, {dtype = "float64"}), ids{n, 3}
            for _, causal in ipairs{false, true} do
                local plain = encoder(x, {lengths = lengths, causal = causal})
                local y, weights = encoder(x, {lengths = lengths, causal = causal, weights = true})
                t.equal(y:totable(), plain:totable())
                t.equal(weights.shape, {2, n, n})
                local values = weights:totable()
                for b, last in ipairs{n, 3} do
                    for i = 1, last do
                        local sum = 0
                        for j = 1, n do
                            if j > last or causal and j > i then t.equal(values[b][i][j], 0) end
                            sum = sum + values[b][i][j]
                        end
                        t.near(sum, 1, 1e-12)
                    end
                end
            end
        end
    end
end)

t.case("step by step: a row over the tokens so far", function()
    local encoder = make{heads = 4}
    local x = attn.randn({2, 6, 8}, {dtype = "float64"})
    local _, whole = encoder(x, {causal = true, weights = {layer = "all", heads = true}})
    local y, state, found
    for k = 1, 6 do
        y, state, found = encoder:step(x:select(2, k), state, {weights = {layer = -2, heads = {2, 3}}})
        t.equal(y.shape, {2, 8})
        t.near(found, whole[1]:narrow(2, 2, 2):select(3, k):narrow(3, 1, k), 1e-12)
    end
    y, state, found = encoder:step(x:select(2, 1), state, {weights = {layer = "all"}})
    t.equal({#found, found[2].shape, y.shape}, {2, {2, 7}, {2, 8}})
    t.equal(select("#", encoder:step(x:select(2, 1), state)), 2)
end)

t.case("one weight for each feature keeps its features", function()
    local encoder = make{heads = 1, attention = {score = "additive", output = "multi_dimensional"}}
    local _, weights = encoder(attn.randn({2, 3, 8}, {dtype = "float64"}), {weights = true})
    t.equal(weights.shape, {2, 3, 3, 8})
    t.near(weights:sum(3), attn.full({2, 3, 8}, 1.0):to "float64", 1e-12)
end)

t.case("what cannot be had is told", function()
    for _, kind in ipairs{"encoder", "decoder"} do
        t.raises(kind .. ".transformer: hard_sample learns through its log-probability, which blocks have no place for",
                 attn[kind].transformer, {dim = 8, attention = {distribution = "hard_sample"}})
    end
    local encoder = make{attention = {score = "linear"}}
    local x = attn.randn({1, 8}, {dtype = "float64"})
    local _, state = encoder:step(x)
    t.raises("weights of keys in the cache are gone", encoder.step, encoder, x, state, {weights = true})
    t.raises("weights is 3, expected true or", encoder, x:unsqueeze(1), {weights = 3})
    t.raises("weights.layer is 3, expected 1 to 2", encoder, x:unsqueeze(1), {weights = {layer = 3}})
    t.raises("weights.layer is 3, expected 1 to 2", encoder.step, encoder, x, nil, {weights = {layer = 3}})
end)
