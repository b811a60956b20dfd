-- score_mod and mask_mod: the functions of the FlexAttention paper and blog, tiled, composed and by hand, alone and with everything they
-- combine with; gradients, also of captured tensors; indices, errors, threads.
local attn, t = require "attn", require "attn.test"

local T = 40
local ids = function(values) return attn.tensor(values, {dtype = "int64"}) end
local function list(n, f)
    local out = {}
    for i = 1, n do out[i] = f(i) end
    return out
end

-- Each: fields of the configuration for H heads and a dtype; by hand, the score and whether a pair is seen: by(s, b, h, i, j).
local functions = {
    causal = function()
        return {mask_mod = function(at) return at.query:ge(at.key) end}, function(s, _, _, i, j) return s, i >= j end
    end,
    sliding_window = function()
        return {mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(7) end},
            function(s, _, _, i, j) return s, i >= j and i - j < 7 end
    end,
    prefix = function()
        return {mask_mod = function(at) return at.key:le(9) | at.query:ge(at.key) end},
            function(s, _, _, i, j) return s, j <= 9 or i >= j end
    end,
    documents = function()
        local doc = list(2, function(b) return list(T, function(i) return (i + b) // 9 end) end)
        return {mask_mod = function(at) return at.doc[at.batch][at.query]:eq(at.doc[at.batch][at.key]) & at.query:ge(at.key) end,
            tensors = {doc = ids(doc)}}, function(s, b, _, i, j) return s, doc[b][i] == doc[b][j] and i >= j end
    end,
    soft_cap = function()
        return {score_mod = function(s) return 2 * (s / 2):tanh() end}, function(s)
            local e = math.exp(s)
            return 2 * (e - 1) / (e + 1), true
        end
    end,
    alibi = function(H, F)
        local slopes = list(H, function(h) return 2.0 ^ -h end)
        return {score_mod = function(s, at) return s - at.slope[at.head] * (at.query - at.key):abs() end,
            tensors = {slope = attn.tensor(slopes, F):requires_grad_(true)}},
            function(s, _, h, i, j) return s - slopes[h] * math.abs(i - j), true end
    end,
    relative_bias = function(H, F)
        local table_ = attn.randn(H, 2 * 8 + 1, F)
        local values = table_:totable()
        return {score_mod = function(s, at) return s + at.bias[at.head][(at.query - at.key):clamp(-8, 8) + 9] end,
            tensors = {bias = table_:requires_grad_(true)}},
            function(s, _, h, i, j) return s + values[h][math.max(-8, math.min(8, i - j)) + 9], true end
    end,
    turned_bias = function(_, F)
        local table_ = attn.randn(T + 3, F)
        local values = table_:totable()
        return {score_mod = function(s, at) return s + at.bias[6 - (at.query - at.key):clamp(3 - T, 5)] end,
            tensors = {bias = table_:requires_grad_(true)}},
            function(s, _, _, i, j) return s + values[6 - math.max(3 - T, math.min(5, i - j))], true end
    end,
    neighbourhood = function()
        local W = 8
        return {mask_mod = function(at)
            local q, k = at.query - 1, at.key - 1
            return (q // W - k // W):abs():le(1) & (q % W - k % W):abs():le(2)
        end}, function(s, _, _, i, j)
            i, j = i - 1, j - 1
            return s, math.abs(i // W - j // W) <= 1 and math.abs(i % W - j % W) <= 2
        end
    end,
    dilated = function()
        return {mask_mod = function(at) return at.query:ge(at.key) & ((at.query - at.key) % 3):eq(0) end},
            function(s, _, _, i, j) return s, i >= j and (i - j) % 3 == 0 end
    end,
    paged = function(_, F)
        local logical = list(T, function(j) return (j * 7) % T + 1 end)        -- where the key of a physical place belongs
        local decay = attn.tensor(list(T, function(i) return -0.01 * i end), F):requires_grad_(true)
        return {mask_mod = function(at) return at.query:ge(at.logical[at.key]) end,
            score_mod = function(s, at) return s + at.decay[(at.query - at.logical[at.key] + 1):clamp(1, T)] end,
            tensors = {logical = ids(logical), decay = decay}},
            function(s, _, _, i, j)
                return s - 0.01 * math.max(1, math.min(T, i - logical[j] + 1)), i >= logical[j]
            end
    end,
}
local names = {}
for name in pairs(functions) do names[#names + 1] = name end
table.sort(names)

local function worst(a, b) return (a - b):abs():max():item() end

-- By the definition, with one head and without projections.
t.case("each function gives what its definition says, tiled and composed", function()
    attn.seed(1)
    local F = {dtype = "float64"}
    local q, k, v = attn.randn(2, T, 3, F), attn.randn(2, T, 3, F), attn.randn(2, T, 2, F)
    local scores = (attn.matmul(q, k:transpose(2, 3)) / 3 ^ 0.5):totable()
    for _, name in ipairs(names) do
        local config, by = functions[name](1, F)
        local biased, seen = {}, {}
        for b = 1, 2 do
            biased[b], seen[b] = {}, {}
            for i = 1, T do
                biased[b][i], seen[b][i] = {}, {}
                for j = 1, T do biased[b][i][j], seen[b][i][j] = by(scores[b][i][j], b, 1, i, j) end
            end
        end
        local e = attn.tensor(biased, F):masked_fill(~attn.tensor(seen), -math.huge)
        local want = attn.matmul(e:softmax(3), v)
        config.query, config.value = 3, 2
        local attend = attn.attention(config):to("float64")
        for _, path in ipairs {"auto", "composed"} do
            local y, w = attend(q, k, v, {path = path, weights = true})
            t.is_true(worst(y, want) < 1e-12, name .. " " .. path)
            t.is_true(worst(w, e:softmax(3)) < 1e-12, name .. " " .. path)
        end
    end
end)

-- Context and all gradients by two paths.
local function both(config, q, k, v, g, options, seed)
    local results = {}
    for n, path in ipairs {"auto", "composed"} do
        local attend = config.layer
        attend:zero_grad()
        local x = {q:clone():requires_grad_(true), k:clone():requires_grad_(true), v:clone():requires_grad_(true)}
        local o = {path = path}
        for key, value in pairs(options) do o[key] = value end
        if options.bias then o.bias = options.bias:clone():requires_grad_(true) end
        attn.seed(seed or 1)
        local y = attend(x[1], x[2], x[3], o)
        y:backward(g)
        results[n] = {y = y:detach(), q = x[1].grad, k = x[2].grad, v = x[3].grad, bias = o.bias and o.bias.grad}
        for name, p in attend:named_parameters() do results[n][name] = p.grad end
    end
    return results[1], results[2]
end

t.case("tiled equals composed with heads, grouped heads, lengths, masks, bias, alibi, causal order, several tiles", function()
    local long = 150
    local combinations = {
        {{}, {}},
        {{heads = 4}, {causal = true}},
        {{heads = 4, kv_heads = 2}, {lengths = ids {T, 11}}},
        {{heads = 2, position = "alibi"}, {mask = true, key_mask = true}},
        {{heads = 2, position = "rope"}, {bias = true, lengths = ids {T - 3, 0}}},
        {{score = "general"}, {}},
    }
    for dtype, bound in pairs {float64 = 1e-11, float32 = 3e-5} do
        local F = {dtype = dtype}
        for _, name in ipairs(names) do
            for n, c in ipairs(combinations) do
                attn.seed(n)
                local H = c[1].heads or 1
                local config = functions[name](H, F)
                config.query = 8
                for field, value in pairs(c[1]) do config[field] = value end
                local layer = attn.attention(config):to(dtype)
                local options = {}
                for field, value in pairs(c[2]) do options[field] = value end
                if options.mask then options.mask = attn.rand(2, T, T):gt(0.2) end
                if options.key_mask then options.key_mask = attn.rand(2, T):gt(0.2) end
                if options.bias then options.bias = attn.randn(T, T, F) end
                local q, k, v, g = attn.randn(2, T, 8, F), attn.randn(2, T, 8, F), attn.randn(2, T, 8, F), attn.randn(2, T, 8, F)
                local a, b = both({layer = layer}, q, k, v, g, options)
                for key, x in pairs(b) do
                    t.is_true(worst(a[key], x) / math.max(1, x:abs():max():item()) < bound,
                        ("%s, combination %d, %s, %s: %g"):format(name, n, dtype, key, worst(a[key], x)))
                end
            end
        end
    end
    local F = {dtype = "float64"}
    local config = functions.alibi(2, F)
    config.query, config.heads = 8, 2
    config.mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(20) end
    config.score_mod = function(s, at) return 3 * ((s - at.slope[at.head] * (at.query - at.key):abs()) / 3):tanh() end
    local layer = attn.attention(config):to("float64")
    local q, k, v, g = attn.randn(1, long, 8, F), attn.randn(1, 2 * long, 8, F), attn.randn(1, 2 * long, 8, F), attn.randn(1, long, 8, F)
    local a, b = both({layer = layer}, q, k, v, g, {})
    for key, x in pairs(b) do t.is_true(worst(a[key], x) < 1e-11, key) end
end)

t.case("distances that run, jump and turn, by the tile: what they read and its gradient are those of pairs", function()
    local Tq, Tk = 150, 300
    -- the base of the distances: even, in pages out of order, backwards, far apart but for a few, beyond what 32 bits hold less a place
    local bases = {
        function(j) return j end,
        function(j) return (j - 1) // 16 * 7 % 19 * 16 + (j - 1) % 16 + 1 end,
        function(j) return -j end,
        function(j) return j % 40 < 12 and j or j * 7919 % 50021 end,
        function(j) return j % 3 == 0 and 2147483647 or j % 3 == 1 and -2147483647 or j end,
    }
    for n, base in ipairs(bases) do
        for dtype, bound in pairs {float64 = 1e-11, float32 = 3e-5} do
            attn.seed(n)
            local F = {dtype = dtype}
            local bias = attn.randn(2, 41, F):requires_grad_(true)
            local layer = attn.attention{query = 4, heads = 2,
                tensors = {bias = bias, base = ids(list(Tk, base)), from = ids {3, -2}},
                score_mod = function(s, at)
                    local d = at.query + at.from[at.head] - (at.base[at.key] - 2)
                    return s * at.bias[at.head][1 + d % 40] - 0.1 * at.bias[at.head][d:clamp(-20, 20) + 21] * (at.base[at.key] - at.query):clamp(-3, 2)
                end,
                mask_mod = function(at) return at.key:le(at.query) | (at.query - at.base[at.key]):abs():lt(30) end}:to(dtype)
            local q, k, v, g = attn.randn(2, Tq, 4, F), attn.randn(2, Tk, 4, F), attn.randn(2, Tk, 4, F), attn.randn(2, Tq, 4, F)
            local a, b = both({layer = layer}, q, k, v, g, {lengths = ids {Tk, 170}})
            for key, x in pairs(b) do
                t.is_true(worst(a[key], x) / math.max(1, x:abs():max():item()) < bound, ("base %d, %s, %s"):format(n, dtype, key))
            end
        end
    end
end)

t.case("a distance that nobody sees gives no NaN to what is captured", function()
    attn.seed(9)
    local slope, bias = attn.ones(1):requires_grad_(true), attn.randn(100):requires_grad_(true)
    local attend = attn.attention{query = 4, tensors = {slope = slope, bias = bias}, mask_mod = function(at) return at.query:gt(at.key) end,
        score_mod = function(s, at)
            local d = at.query - at.key
            return s + at.bias[d:clamp(1, 100)] - at.slope[1] * d:log()
        end}
    local x = attn.randn(1, 100, 4)
    for _, path in ipairs {"auto", "composed"} do
        attend:zero_grad()
        attend(x, x, x, {path = path}):square():sum():backward()
        t.is_true(slope.grad:isfinite():all():item() and bias.grad:isfinite():all():item(), path)
        t.is_true(slope.grad:abs():min():item() > 0 and bias.grad:narrow(1, 1, 98):abs():min():item() > 0, path)
    end
end)

t.case("gradients pass the finite-difference check, by both paths, with dropout too", function()
    attn.seed(3)
    local F = {dtype = "float64"}
    for _, name in ipairs {"soft_cap", "alibi", "relative_bias", "paged"} do
        local config = functions[name](2, F)
        config.query, config.heads, config.dropout = 4, 2, 0.3
        local attend = attn.attention(config):to("float64")
        local q, k = attn.randn(1, 17, 4, F), attn.randn(1, 19, 4, F)
        for _, path in ipairs {"auto", "composed"} do
            local inputs = {q, k}
            for key, p in attend:named_parameters() do
                if key:find "^tensors" then inputs[#inputs + 1] = p end
            end
            t.gradient(function(x, y)
                attn.seed(7)
                return attend(x, y, y, {path = path, causal = true})
            end, inputs)
        end
    end
end)

t.case("every distribution and score takes a function on the composed path", function()
    attn.seed(4)
    local F = {dtype = "float64"}
    for _, distribution in ipairs {"sparsemax", "entmax15", "sigmoid", "hard_max"} do
        local attend = attn.attention{query = 4, distribution = distribution, score = "additive", dim = 3,
            score_mod = function(s, at) return s - 0.1 * (at.query - at.key):abs() end,
            mask_mod = function(at) return at.key:le(at.query) end}:to("float64")
        local x = attn.randn(1, 6, 4, F)
        local _, w = attend(x, x, x, {weights = true})
        t.equal(w:triu(1):abs():max():item(), 0)
        if distribution ~= "hard_max" then t.gradient(function(y) return attend(y, y) end, {x}) end
    end
end)

t.case("a captured tensor is a parameter if it requires a gradient, else a buffer", function()
    local attend = attn.attention{query = 4, score_mod = function(s, at) return s * at.a + at.b[at.key] end,
        tensors = {a = attn.tensor(1.5):requires_grad_(true), b = attn.zeros(9)}}
    t.equal(#attend:parameters(), 1)
    t.is_true(attend:state()["tensors.b"] ~= nil and attend:state()["tensors.a"] ~= nil)
    t.is_true(tostring(attend):find("score_mod", 1, true))
end)

t.case("places go on with a cache", function()
    attn.seed(5)
    local attend = attn.attention{query = 4, heads = 2, mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(4) end,
        score_mod = function(s, at) return s - 0.3 * (at.query - at.key) end}
    local x, cache = attn.randn(2, 20, 4), attend:cache()
    local whole = attend(x, x)
    for i = 1, 20 do
        local y = attend(x:narrow(2, i, 1), x:narrow(2, i, 1), {cache = cache})
        t.is_true(worst(y, whole:narrow(2, i, 1)) < 1e-5)
    end
end)

t.case("a query that mask_mod leaves nothing gets zeros, and no NaN", function()
    attn.seed(6)
    local attend = attn.attention{query = 4, mask_mod = function(at) return at.query:gt(5) & at.key:gt(3) end}
    for _, path in ipairs {"auto", "composed"} do
        local x = attn.randn(1, 20, 4):requires_grad_(true)
        local y = attend(x, x, x, {path = path})
        t.equal(y[1][2]:totable(), {0, 0, 0, 0})
        y:sum():backward()
        t.is_true(x.grad:isfinite():all():item())
    end
end)

t.case("the same bits for 1, 2, 3 and 7 threads", function()
    attn.seed(7)
    local before, F = attn.threads(), {dtype = "float32"}
    local config = functions.relative_bias(4, F)
    config.query, config.heads, config.kv_heads = 16, 4, 2
    local attend = attn.attention(config)
    local x, g = attn.randn(3, 150, 16), attn.randn(3, 150, 16)
    for _, path in ipairs {"auto", "composed"} do
        local first
        for _, n in ipairs {1, 2, 3, 7} do
            attn.threads(n)
            attend:zero_grad()
            attend(x, x, x, {path = path}):backward(g)
            local now = attend:state()["tensors.bias"]
            now = attend:parameters()[#attend:parameters()].grad:totable()
            if first then t.equal(now, first) end
            first = first or now
        end
    end
    attn.threads(before)
end)

local function fails(pattern, line, fn, ...)
    local ok, message = pcall(fn, ...)
    t.is_true(not ok, "no error, expected " .. pattern)
    t.is_true(message:find(pattern, 1, true), message)
    t.is_true(message:find("modify_test.lua:" .. line .. ":", 1, true), message .. " (expected line " .. line .. ")")
end
local function here() return debug.getinfo(2, "l").currentline end

t.case("mistakes in a function are errors at their lines", function()
    local slopes = attn.ones(2)
    local function make(score, mask, tensors)
        return attn.attention{query = 4, heads = 2, score_mod = score, mask_mod = mask, tensors = tensors}
    end
    fails("score_mod: at.slopes is not there (did you mean 'slope'?)", here() + 1, make, function(s, at)
        return s * at.slopes[at.head] end, nil, {slope = slopes})
    fails("score_mod: mul: a tensor, float32 [2], stands in the expression", here() + 1, make, function(s)
        return s * slopes end)
    fails("index is no element-wise function", here() + 1, make, function(s, at)
        return s * slopes[at.head] end)
    fails("score_mod: < or > of a symbol", here() + 1, make, function(s, at)
        if at.query < at.key then return s end return 2 * s end)
    fails("mask_mod: the function returned an integer symbol, expected a bool symbol", here() + 1, make, nil,
        function(at) return at.query end)
    fails("score_mod: the function returned the tensor at.slope with 0 of 1 indices", here() + 1, make,
        function(_, at) return at.slope end, nil, {slope = slopes})
    fails("at.slope: index 1 is a float symbol, expected an integer", here() + 1, make, function(s, at)
        return s + at.slope[s] end, nil, {slope = slopes})
    fails("at.slope: place 3 of dimension 1, expected 1 to 2", here() + 1, make, function(s, at)
        return s + at.slope[3] end, nil, {slope = slopes})
    fails("mod: the divisor is 0", here() + 1, make, nil, function(at)
        return (at.query % 0):eq(0) end)
    t.raises("attention: score_mod is 'x', expected a function", make, "x")
    t.raises("attention: tensors.slope is 1, expected a tensor", make, function(s) return s end, nil, {slope = 1})
    t.raises("attention: tensors belong to score_mod and mask_mod, and neither is given", make, nil, nil, {slope = slopes})
    t.raises("attention: linear attention never forms the pair", attn.attention, {query = 4, score = "linear", score_mod = function(s)
        return s end})
end)

t.case("a place beyond a captured tensor is an error, unless no one may see it", function()
    local attend = attn.attention{query = 4, score_mod = function(s, at) return s + at.b[at.query - at.key + 1] end,
        tensors = {b = attn.zeros(20)}}
    local x, long = attn.randn(1, 20, 4), attn.randn(1, 21, 4)
    for _, path in ipairs {"auto", "composed"} do
        t.raises("attention: score_mod: place 0 of dimension 1 of a captured tensor, expected 1 to 20 (float32 [20])", attend, x, x, x,
            {path = path})
        attend(x, x, x, {path = path, causal = true})
        attend(x, x, x, {path = path, mask = attn.ones(20, 20):tril():gt(0)})
        t.raises("place 21 of dimension 1", attend, long, long, long, {path = path, causal = true})
    end
    local masked = attn.attention{query = 4, score_mod = function(s, at) return s + at.b[at.query - at.key + 1] end,
        mask_mod = function(at) return at.query:ge(at.key) end, tensors = {b = attn.zeros(20)}}
    for _, path in ipairs {"auto", "composed"} do
        masked(x, x, x, {path = path})
        t.raises("place 21 of dimension 1", masked, long, long, long, {path = path})
    end
end)

t.case("memory is flat in T x T", function()
    local attend = attn.attention{query = 8, heads = 1, project = false, score_mod = function(s) return 5 * (s / 5):tanh() end,
        mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(64) end}
    local x = attn.randn(1, 4096, 8):requires_grad_(true)
    local before = attn.memory().peak
    attend(x, x):sum():backward()
    t.is_true(attn.memory().peak - before < 16 * 2 ^ 20, "a matrix of 4096 x 4096 takes 64 MiB")
end)

t.case("quotients and rests of integers are Lua's, also near the ends of 32 bits and by a divisor for each pair", function()
    local values = {}
    for _, x in ipairs{0, 1, 2, 48, 49, 50, 97, 98, 46341, 2 ^ 24 + 1, 2 ^ 30, 2 ^ 31 - 2, 2 ^ 31 - 1} do
        values[#values + 1] = math.tointeger(x)
        values[#values + 1] = -math.tointeger(x)
    end
    for _, F in ipairs{{dtype = "float32"}, {dtype = "float64"}} do
        local q, k = attn.ones(1, 40, 1, F), attn.ones(1, #values, 1, F)
        for _, divisor in ipairs{1, 2, 3, 7, 49, 46341, 2 ^ 31 - 1, -3} do
            divisor = math.tointeger(divisor)
            local score = attn.attention{query = 1, tensors = {value = ids(values), divisor = ids(list(40, function() return divisor end))},
                mask_mod = function(at)
                    local x, d = at.value[at.key] + 0 * at.query, at.divisor[at.query]
                    local rest = x % divisor
                    return (x // divisor):eq(x // d) & (x % divisor):eq(x % d) & ((x // divisor) * divisor + x % divisor):eq(x)
                        & (divisor > 0 and rest:ge(0) & rest:lt(divisor) or rest:le(0) & rest:gt(divisor))
                end}:to(F.dtype)
            local _, w = score(q, k, nil, {weights = true})
            t.is_true(w:min():item() > 0, divisor)
        end
    end
end)

t.case("places are those of the keys in a window, where scores are kept by span", function()
    attn.seed(8)
    local q, bias = attn.randn(1, 20, 2), attn.randn(20)
    local attend = attn.attention{query = 2, score = "dot", window = {type = "band", left = 3, right = 1}, tensors = {bias = bias},
        score_mod = function(s, at) return s + at.bias[at.key] end}
    local _, w = attend(q, q, q, {path = "composed", weights = true})
    local i = attn.arange(1, 20)
    local apart = i:unsqueeze(2) - i:unsqueeze(1)
    local e = (attn.matmul(q, q:transpose(2, 3)) + bias):masked_fill(apart:gt(3) | apart:lt(-1), -math.huge)
    t.is_true(worst(w, e:softmax(-1)) < 1e-6)
end)
