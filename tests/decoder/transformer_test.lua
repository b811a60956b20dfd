-- The weights of decoder.transformer; its outputs are those of tests/golden.
local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function doubles(...) return attn.randn({...}, {dtype = "float64"}) end

-- In double precision, far from uniform, without dropout.
local function make(fields)
    local cfg = {dim = 8, heads = 2, layers = 3, ff = 12}
    for name, value in pairs(fields or {}) do cfg[name] = value end
    local decoder = attn.decoder.transformer(cfg)
    decoder:to "float64"
    decoder:eval()
    attn.no_grad(function()
        for _, p in ipairs(decoder:parameters()) do p:copy_(p * 2) end
    end)
    return decoder
end

-- Short and long: composed, and tiled with blocks that are not full.
local shapes = {{B = 3, T = 5, S = 4, lengths = {4, 0, 2}}, {B = 2, T = 21, S = 19, lengths = {7, 19}}}

local function inputs(shape)
    attn.seed(5)
    return doubles(shape.B, shape.T, 8), doubles(shape.B, shape.S, 8), ids(shape.lengths)
end

t.case("rows sum to 1 over the valid memory and are exactly 0 beyond", function()
    for _, norm in ipairs{"pre", "post"} do
        for _, heads in ipairs{1, 2} do
            local decoder = make{norm = norm, heads = heads}
            for _, shape in ipairs(shapes) do
                local y, memory, lengths = inputs(shape)
                local _, weights = decoder(y, memory, {memory_lengths = lengths, weights = true})
                t.equal(weights.shape, {shape.B, shape.T, shape.S})
                for b, row in ipairs(weights:totable()) do
                    for _, values in ipairs(row) do
                        local sum = 0
                        for j, value in ipairs(values) do
                            if j > shape.lengths[b] then t.equal(value, 0) end
                            sum = sum + value
                        end
                        t.near(sum, shape.lengths[b] > 0 and 1 or 0, 1e-12)
                    end
                end
            end
        end
    end
end)

t.case("the output has the same bits with and without weights, in training too, and so have its gradients", function()
    for _, training in ipairs{false, true} do
        for _, shape in ipairs(shapes) do
            local decoder = make{dropout = 0.3}
            if training then decoder:train() end
            local y, memory, lengths = inputs(shape)
            y:requires_grad_(true)
            local plain, gradient
            for _, weights in ipairs{false, true, {layer = "all", heads = true}, {layer = 1}} do
                attn.seed(9)
                local out, found = decoder(y, memory, {memory_lengths = lengths, weights = weights})
                t.equal(found == nil, weights == false)
                out:sum():backward()
                plain, gradient = plain or out:totable(), gradient or y.grad:totable()
                t.equal(out:totable(), plain)
                t.equal(y.grad:totable(), gradient)
                y:zero_grad()
            end
            local state, again
            local one = decoder:eval():step(y:select(2, 1), memory, nil, {memory_lengths = lengths})
            again, state = decoder:step(y:select(2, 1), memory, nil, {memory_lengths = lengths, weights = true})
            t.equal(again:totable(), one:totable())
            t.equal(select("#", decoder:step(y:select(2, 2), memory, state, {memory_lengths = lengths})), 2)
        end
    end
end)

t.case("the weights are the softmax of the projected products", function()
    attn.seed(2)
    local decoder = make{layers = 1, heads = 2, norm = "post"}
    attn.no_grad(function()         -- nothing comes from the self-attention: the query is norm1(y)
        for _, name in ipairs{"l1.self.out.weight", "l1.self.out.bias"} do
            decoder:state()[name]:fill_(0)
        end
    end)
    local y, memory = doubles(2, 3, 8), doubles(2, 4, 8)
    local _, weights = decoder(y, memory, {weights = {heads = true}})
    local s = decoder:state()
    local middle = y - y:mean(3, true)
    local x = middle / ((middle ^ 2):mean(3, true) + 1e-5):sqrt() * s["l1.norm1.weight"] + s["l1.norm1.bias"]
    local q = x:matmul(s["l1.cross.query.weight"]:transpose(1, 2)) + s["l1.cross.query.bias"]
    local k = memory:matmul(s["l1.cross.key.weight"]:transpose(1, 2)) + s["l1.cross.key.bias"]
    for h = 1, 2 do
        local e = attn.einsum("btd,bsd->bts", q:narrow(3, 4 * h - 3, 4), k:narrow(3, 4 * h - 3, 4)) / 2
        t.near(weights:select(2, h), e:softmax(3), 1e-12)
    end
end)

t.case("layers, heads and rows are parts of the same weights", function()
    local decoder = make{heads = 4}
    for _, shape in ipairs(shapes) do
        local y, memory, lengths = inputs(shape)
        local function of(weights)
            return (select(2, decoder(y, memory, {memory_lengths = lengths, weights = weights})))
        end
        local means, all = of{layer = "all"}, of{layer = "all", heads = true}
        t.equal({#means, #all}, {3, 3})
        for k = 1, 3 do
            t.equal(all[k].shape, {shape.B, 4, shape.T, shape.S})
            t.equal(means[k]:totable(), all[k]:mean(2):totable())
            t.equal(of{layer = k}:totable(), means[k]:totable())
            t.equal(of{layer = k - 4}:totable(), means[k]:totable())
            t.equal(of{layer = k, heads = {3, 1}}:totable(),
                all[k]:index_select(2, ids{3, 1}):totable())
            t.equal(of{layer = k, rows = {2, 4}}:totable(), means[k]:narrow(2, 2, 3):totable())
        end
        t.equal(of(true):totable(), means[3]:totable())
        t.equal(of{}:totable(), means[3]:totable())
    end
end)

t.case("step by step the weights are those of the whole target, rows of states reordered or not", function()
    for _, norm in ipairs{"pre", "post"} do
        local decoder = make{norm = norm}
        for _, shape in ipairs(shapes) do
            local y, memory, lengths = inputs(shape)
            local options = {memory_lengths = lengths, weights = {layer = "all", heads = true}}
            local _, whole = decoder(y, memory, options)
            local _, mean = decoder(y, memory, {memory_lengths = lengths, weights = true})
            local state, found, again, out
            for k = 1, shape.T do
                out, again, found = decoder:step(y:select(2, k), memory, state, options)
                for layer = 1, 3 do t.near(found[layer], whole[layer]:select(3, k), 1e-12) end
                out, state, found = decoder:step(y:select(2, k), memory, state,
                    {memory_lengths = lengths, weights = true})
                t.equal(out.shape, {shape.B, 8})
                t.near(found, mean:select(2, k), 1e-12)
            end
            t.equal(again.decoder, decoder)
            local rows = ids{shape.B, 1, 1}
            out, state, found = decoder:step(y:select(2, 1):index_select(1, rows), memory:index_select(1, rows),
                decoder:reorder(select(2, decoder:step(y:select(2, 1), memory, nil, {memory_lengths = lengths})), rows),
                {memory_lengths = lengths:index_select(1, rows), weights = true})
            t.equal(found.shape, {3, shape.S})
            t.equal(found[2]:totable(), found[3]:totable())
            t.near(found:sum(2), {shape.lengths[shape.B] > 0 and 1 or 0, 1, 1}, 1e-12)
        end
    end
end)

t.case("gradients pass through the weights", function()
    attn.seed(4)
    local decoder = make{layers = 2}
    local up, y, memory = doubles(2, 3, 4), doubles(2, 3, 8), doubles(2, 4, 8)
    t.gradient(function(a, b)
        local out, weights = decoder(a, b, {memory_lengths = ids{4, 2}, weights = true})
        return (weights * up):sum() + out:sum()
    end, {y, memory})
    -- an alignment that is given can be learned: the weight of place t of the memory grows
    local optimizer = attn.optim.adam{params = decoder:parameters(), lr = 0.03}
    local first, last
    for _ = 1, 60 do
        local _, weights = decoder(y, memory, {weights = {layer = 1}})
        local right = attn.stack({weights[{{}, 1, 1}], weights[{{}, 2, 2}], weights[{{}, 3, 3}]}, 1):mean()
        last = right:item()
        first = first or last
        optimizer:zero_grad();
        (-right):backward()
        optimizer:step()
    end
    t.is_true(first < 0.5 and last > 0.9, ("%g %g"):format(first, last))
end)

t.case("wrong values of weights are told", function()
    local decoder = make()
    local y, memory = doubles(2, 3, 8), doubles(2, 4, 8)
    for _, case in ipairs{
        {5, "weights is 5, expected true or {layer =, rows = {first, last}, heads = {...}}"},
        {"last", "weights is 'last', expected true or"},
        {{layer = 0}, "weights.layer is 0, expected 1 to 3, -3 to -1 or \"all\""},
        {{layer = 4}, "weights.layer is 4, expected 1 to 3"},
        {{layer = -4}, "weights.layer is -4, expected 1 to 3"},
        {{layer = math.mininteger}, "expected 1 to 3, -3 to -1"},
        {{layer = 1.5}, "weights.layer is 1.5, expected 1 to 3"},
        {{layer = "every"}, "weights.layer is 'every', expected 1 to 3"},
        {{layer = {1}}, "expected 1 to 3, -3 to -1"},
        {{layers = 1}, "weights has an unknown field 'layers' (known: layer, rows, heads)"},
        {{1}, "weights has an unknown field '1'"},
        {{heads = false}, "weights.heads is false, expected a table"},
        {{heads = {}}, "weights.heads is empty"},
        {{heads = {3}}, "weights.heads holds 3, expected numbers from 1 to 2"},
        {{rows = {1}}, "weights.rows is no pair of numbers"},
    } do
        t.raises(case[2], decoder, y, memory, {weights = case[1]})
        t.raises(case[2], decoder.step, decoder, y:select(2, 1), memory, nil, {weights = case[1]})
    end
    t.raises("weights.rows is {2, 4}, expected a range within 1 to 3", decoder, y, memory, {weights = {rows = {2, 4}}})
    t.raises("weights has an unknown field 'layer' (known: rows, heads)", attn.attention{query = 8}, y, memory,
        {weights = {layer = 1}})
    local out, found = decoder(y, memory, {weights = false})
    t.equal({out.shape, found == nil}, {{2, 3, 8}, true})
end)
