-- Linear attention in lengths of several chunks, and not multiples of them: against running sums in plain Lua.

local attn, t = require "attn", require "attn.test"

local f64 = {dtype = "float64"}
local sizes = {{150, 150}, {33, 97}, {97, 33}, {1, 70}, {70, 1}, {64, 32}}      -- queries and keys

-- The formula place by place. q, k, v: lists of rows of one head; may(j): whether key j takes part. Rows of contexts.
local function by_hand(q, k, v, causal, may)
    local function phi(x) return x < 0 and math.exp(x) or x + 1 end
    local S, z, seen, contexts = {}, {}, 0, {}
    for d = 1, #q[1] do
        S[d], z[d] = {}, 0
        for e = 1, #v[1] do S[d][e] = 0 end
    end
    for i = 1, #q do
        for j = seen + 1, causal and math.min(i, #k) or #k do
            seen = j
            for d = 1, may(j) and #z or 0 do
                local f = phi(k[j][d])
                z[d] = z[d] + f
                for e = 1, #v[j] do S[d][e] = S[d][e] + f * v[j][e] end
            end
        end
        local total, row = 0, {}
        for d = 1, #z do total = total + phi(q[i][d]) * z[d] end
        for e = 1, #v[1] do
            local n = 0
            for d = 1, #z do n = n + phi(q[i][d]) * S[d][e] end
            row[e] = total == 0 and 0 or n / total
        end
        contexts[i] = row
    end
    return contexts
end

-- Columns of head h of width n.
local function head(x, h, n) return x[{{}, {(h - 1) * n + 1, h * n}}]:totable() end

local function masks(B, Tk)
    return {
        {},
        {lengths = attn.tensor({Tk // 2, 0, Tk}, {dtype = "int64"})},
        {key_mask = attn.rand(B, Tk):gt(0.4)},
        {key_mask = attn.rand(B, Tk):gt(0.4), lengths = attn.tensor({Tk, Tk // 3, 1}, {dtype = "int64"})},
    }
end

local function takes_part(o)
    local mask, lengths = o.key_mask and o.key_mask:totable(), o.lengths and o.lengths:totable()
    return function(b, j) return (not mask or mask[b][j]) and (not lengths or j <= lengths[b]) end
end

t.case("chunks equal the formula place by place", function()
    local B = 3
    for _, size in ipairs(sizes) do
        local Tq, Tk = table.unpack(size)
        for dtype, bound in pairs{float64 = 1e-12, float32 = 1e-5} do
            local layer = attn.attention{query = 5, key = 5, value = 19, score = "linear"}:to(dtype)
            local F = {dtype = dtype}
            local q, k, v = attn.randn(B, Tq, 5, F), attn.randn(B, Tk, 5, F), attn.randn(B, Tk, 19, F)
            for _, o in ipairs(masks(B, Tk)) do
                local may = takes_part(o)
                for _, causal in ipairs{true, false} do
                    o.causal = causal
                    local want = {}
                    for b = 1, B do
                        want[b] = by_hand(q[b]:totable(), k[b]:totable(), v[b]:totable(), causal,
                                          function(j) return may(b, j) end)
                    end
                    t.near(layer(q, k, v, o), want, bound)
                end
            end
        end
    end
end)

t.case("heads that share their keys", function()
    local B, T, heads, width = 2, 83, 4, 3
    local layer = attn.attention{query = heads * width, heads = heads, kv_heads = 2, score = "linear"}:to("float64")
    local state = layer:state()
    for name, p in pairs(state) do       -- projections that pass on the first columns
        local rows, columns = p.shape[1], p.shape[2]
        state[name] = columns and attn.eye(columns, f64)[{{1, rows}}] or attn.zeros(rows, f64)
    end
    layer:load(state)
    local q, k, v = attn.randn(B, T, 12, f64), attn.randn(B, T, 12, f64), attn.randn(B, T, 12, f64)
    for _, causal in ipairs{true, false} do
        local got = layer(q, k, v, {causal = causal})
        for b = 1, B do
            for h = 1, heads do
                local hk = (h + 1) // 2
                local want = by_hand(head(q[b], h, width), head(k[b], hk, width), head(v[b], hk, width), causal,
                                     function() return true end)
                t.near(head(got[b], h, width), want, 1e-12)
            end
        end
    end
end)

t.case("gradients", function()
    local layer = attn.attention{query = 2, value = 3, score = "linear"}:to("float64")
    for _, size in ipairs{{37, 37}, {35, 70}, {70, 35}} do
        local Tq, Tk = table.unpack(size)
        for n, o in ipairs(masks(3, Tk)) do
            o.causal = (n + Tq) % 2 == 0 or n == 1
            t.gradient(function(q, k, v) return layer(q, k, v, o) end,
                       {attn.randn(3, Tq, 2, f64), attn.randn(3, Tk, 2, f64), attn.randn(3, Tk, 3, f64)})
        end
    end
    local grouped = attn.attention{query = 4, heads = 4, kv_heads = 2, score = "linear"}:to("float64")
    for _, causal in ipairs{true, false} do
        t.gradient(function(x) return grouped(x, x, x, {causal = causal}) end, {attn.randn(1, 41, 4, f64)})
    end
end)

t.case("a state carried on: parts of any size equal the whole, with gradients", function()
    local T = 150
    for dtype, bound in pairs{float64 = 1e-11, float32 = 2e-4} do
        local layer = attn.attention{query = 6, heads = 2, score = "linear"}:to(dtype)
        local x, fixed = attn.randn(2, T, 6, {dtype = dtype}), attn.randn(2, T, 6, {dtype = dtype})
        local mask = attn.rand(2, T):gt(0.3)
        local function run(parts)
            local y, at, out, cache = x:clone():requires_grad_(true), 1, {}, layer:cache()
            for _, n in ipairs(parts) do
                local now = y[{{}, {at, at + n - 1}}]
                local o = {cache = cache, causal = true, key_mask = mask[{{}, {1, at + n - 1}}]}
                out[#out + 1] = layer(now, now, now, o)
                at = at + n
            end
            t.equal(at, T + 1)
            local all = attn.cat(out, 2);
            (all * fixed):sum():backward()
            return {all:detach(), y.grad}
        end
        local ones = {}
        for i = 1, T do ones[i] = 1 end
        local whole = run{T}
        t.near(run{31, 1, 33, 64, 1, 20}, whole, bound)
        t.near(run{2, 95, 53}, whole, bound)
        t.near(run(ones), whole, bound)
    end
end)

t.case("no keys, and no queries", function()
    local layer = attn.attention{query = 4, score = "linear"}
    for _, causal in ipairs{true, false} do
        local q = attn.randn(2, 3, 4):requires_grad_(true)
        local y = layer(q, attn.zeros(2, 0, 4), attn.zeros(2, 0, 4), {causal = causal})
        t.equal(y, attn.zeros(2, 3, 4))
        y:sum():backward()
        t.equal(q.grad, attn.zeros(2, 3, 4))
        t.equal(layer(attn.zeros(2, 0, 4), q, q, {causal = causal}).shape, {2, 0, 4})
        t.equal(layer(q[{{}, {1, 0}}], q[{{}, {1, 0}}], q[{{}, {1, 0}}], {causal = causal}).shape, {2, 0, 4})
    end
end)

t.case("masked keys are not read, and get no gradient", function()
    local B, T = 2, 75
    local layer = attn.attention{query = 5, score = "linear"}
    local mask = attn.rand(B, T):gt(0.5)
    local lengths = attn.tensor({T, 40}, {dtype = "int64"})
    local may, none = takes_part{key_mask = mask, lengths = lengths}, {0, 0, 0, 0, 0}
    for _, causal in ipairs{true, false} do
        local q, k, v, g = attn.randn(B, T, 5), attn.randn(B, T, 5), attn.randn(B, T, 5), attn.randn(B, T, 5)
        local results = {}
        for n, other in ipairs{0, 0 / 0} do
            local a, b, c = q:clone(), k:clone(), v:clone()
            for i = 1, B do
                for j = 1, T do
                    if not may(i, j) then b[{i, j}], c[{i, j}] = other, other end
                end
            end
            for _, x in ipairs{a, b, c} do x:requires_grad_(true) end
            local y = layer(a, b, c, {causal = causal, key_mask = mask, lengths = lengths});
            (y * g):sum():backward()
            results[n] = {y:detach(), a.grad, b.grad, c.grad}
            for i = 1, B do
                for j = 1, T do
                    if not may(i, j) then t.equal({b.grad[{i, j}], c.grad[{i, j}]}, {none, none}) end
                end
            end
        end
        t.equal(results[2], results[1])
    end
end)

t.case("what is not finite reaches no earlier place", function()
    local T, at = 90, 43
    local layer = attn.attention{query = 20, score = "linear"}
    local q, k, v = attn.randn(1, T, 20), attn.randn(1, T, 20), attn.randn(1, T, 20)
    local clean = layer(q, k, v, {causal = true})
    for _, bad in ipairs{0 / 0, math.huge} do
        for _, name in ipairs{"key", "value"} do
            local a, b, c = q:clone():requires_grad_(true), k:clone(), v:clone();
            (name == "key" and b or c)[{1, at, 7}] = bad
            local y = layer(a, b, c, {causal = true})
            t.near(y[{1, {1, at - 1}}], clean[{1, {1, at - 1}}], 1e-5)
            for i = at, T do t.is_true(not (math.abs(y[{1, i}]:sum():item()) < math.huge), "place " .. i) end
            y[{1, {1, at - 1}}]:sum():backward()
            t.is_true(a.grad[{1, {1, at - 1}}]:abs():max():item() < math.huge, "gradient of earlier queries")
        end
    end
end)

t.case("the same bits for any number of threads", function()
    local threads, seen = attn.threads(), nil
    local layer = attn.attention{query = 24, heads = 6, kv_heads = 3, score = "linear"}
    local x = attn.randn(3, 133, 24)
    local mask = attn.rand(3, 133):gt(0.2)
    for n = 1, 4 do
        attn.threads(n)
        local y = x:clone():requires_grad_(true)
        layer:zero_grad()
        local out = layer(y, y, y, {causal = true, key_mask = mask})
        out:pow(2):sum():backward()
        local now = {out:detach(), y.grad}
        for _, p in layer:named_parameters() do now[#now + 1] = p.grad:clone() end
        if seen then t.equal(now, seen) end
        seen = now
    end
    attn.threads(threads)
end)
