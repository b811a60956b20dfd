-- The tiled kernel against the composed path: context, weights and every gradient, for all that it serves.
local attn, t = require "attn", require "attn.test"

local function worst_difference(config, Tq, Tk, options, dtype)
    config.query = 24
    local layer = attn.attention(config):to(dtype):eval()
    local F = {dtype = dtype}
    local q, k, v, g = attn.randn(2, Tq, 24, F), attn.randn(2, Tk, 24, F), attn.randn(2, Tk, 24, F), attn.randn(2, Tq, 24, F)
    local results = {}
    for i, path in ipairs{"auto", "composed"} do
        local inputs = {}
        for n, x in ipairs{q, k, v} do inputs[n] = x:clone():requires_grad_(true) end
        local o = {path = path}
        for name, x in pairs(options) do o[name] = x end
        if options.bias then o.bias = options.bias:to(dtype):clone():requires_grad_(true) end
        layer:zero_grad()
        local c, w = layer(inputs[1], inputs[2], inputs[3], o)
        local loss = (c * g):sum()
        if w then loss = loss + (w * w):sum() end
        loss:backward()
        results[i] = {c:detach(), inputs[1].grad, inputs[2].grad, inputs[3].grad, o.bias and o.bias.grad or c:detach(),
                      w and w:detach()}
        for name, p in layer:named_parameters() do results[i][name] = p.grad end
    end
    local worst = 0
    for name, x in pairs(results[1]) do
        local y = results[2][name]
        worst = math.max(worst, (x - y):abs():max():item() / math.max(1, y:abs():max():item()))
    end
    return worst
end

local function check(name, config, options)
    t.case("tiled equals composed: " .. name, function()
        for _, size in ipairs{{17, 17}, {40, 150}, {130, 300}} do
            local Tq, Tk = table.unpack(size)
            for dtype, bound in pairs{float64 = 1e-12, float32 = 2e-5} do
                local c = {}
                for k, x in pairs(config) do c[k] = x end
                t.is_true(worst_difference(c, Tq, Tk, options(Tq, Tk), dtype) < bound, dtype .. " " .. Tq .. " x " .. Tk)
            end
        end
    end)
end

check("plain", {}, function() return {} end)
check("heads, causal", {heads = 4}, function() return {causal = true} end)
check("grouped heads, lengths with an empty row, weights", {heads = 4, kv_heads = 2}, function(_, Tk)
    return {lengths = attn.tensor({Tk // 2, 0}, {dtype = "int64"}), weights = true}
end)
check("alibi, mask, weights", {heads = 2, position = "alibi"}, function(Tq, Tk)
    return {mask = attn.rand(Tq, Tk):gt(0.3), weights = true}
end)
check("rope, a learned bias shared by batch and heads", {heads = 2, position = "rope"}, function(Tq, Tk)
    return {bias = attn.randn(Tq, Tk)}
end)
check("a learned bias of each row of the batch", {heads = 2}, function(Tq, Tk) return {bias = attn.randn(2, Tq, Tk), causal = true} end)
check("a narrow band, key mask, weights", {score = "general", window = {type = "band", left = 3, right = 9}}, function(_, Tk)
    return {key_mask = attn.rand(2, Tk):gt(0.2), weights = true}
end)

t.case("the context has the same bits with weights and without, and for any number of threads", function()
    local layer = attn.attention{query = 16, heads = 2}:eval()
    local x, threads = attn.randn(3, 70, 16), attn.threads()
    local with = layer(x, x, nil, {causal = true, weights = true})
    local function same(a, b) return (a:ne(b)):sum():item() == 0 end
    t.is_true(same(with, (layer(x, x, nil, {causal = true}))))
    local grads = {}
    for n = 1, 3 do
        attn.threads(n)
        local q = x:clone():requires_grad_(true)
        local c = layer(q, q, nil, {causal = true})
        c:sum():backward()
        t.is_true(same(c, with))
        grads[n] = q.grad
    end
    attn.threads(threads)
    t.is_true(same(grads[1], grads[2]) and same(grads[1], grads[3]))
end)

t.case("dropout: the mask of the backward pass is that of the forward pass", function()
    local layer = attn.attention{query = 8, dropout = 0.3}:to("float64")
    local q, v = attn.randn(1, 20, 8, {dtype = "float64"}), attn.randn(1, 20, 8, {dtype = "float64"})
    t.gradient(function(a, b) return (layer(a, a, b)) end, {q, v})
end)

t.case("NaN in a key that nobody may see changes nothing", function()
    local layer = attn.attention{query = 8}:eval()
    local x = attn.randn(2, 40, 8)
    local lengths = attn.tensor({40, 30}, {dtype = "int64"})
    local clean = layer(x, x, nil, {lengths = lengths})
    local bad = x:clone()
    bad[{2, {31, 40}}] = 0 / 0
    local dirty = layer(x, bad, nil, {lengths = lengths})
    t.is_true((clean - dirty):abs():max():item() < 1e-6)
end)

t.case("nothing of size Tq x Tk is kept: 4,096 tokens, forward and backward, in little memory", function()
    local layer = attn.attention{query = 64, heads = 2}
    local x = attn.randn(1, 4096, 64):requires_grad_(true)
    collectgarbage()
    local before = attn.memory().live
    attn.reset_peak_memory()
    layer(x, x, nil, {causal = true}):sum():backward()
    t.is_true(attn.memory().peak - before < 48 * 2 ^ 20, "peak " .. attn.memory().peak - before)     -- the weights alone: 128 MiB
end)

t.case("a weight that rounding would lose beside any other is 0, and so is its gradient; what is above it stays", function()
    for dtype, below in pairs{float32 = {70, 72}, float64 = {671, 673}} do
        local F = {dtype = dtype}
        local scores = attn.full({1, 100, 1}, -1e4, F)
        scores[1][1], scores[1][2], scores[1][3] = 0, -below[1], -below[2]
        local attend = attn.attention{query = 1, score = "dot"}:to(dtype)
        local v = attn.ones(1, 100, 1, F):requires_grad_(true)
        local y, w = attend(attn.ones(1, 70, 1, F), scores, v, {weights = true})
        y:sum():backward()
        t.equal(y:totable()[1][70][1], 1)
        for _, row in ipairs{w[1][70]:totable(), v.grad[1]:squeeze():totable()} do
            t.is_true(row[2] > 0, dtype)
            t.equal({row[3], row[4]}, {0, 0}, dtype)
        end
    end
end)
