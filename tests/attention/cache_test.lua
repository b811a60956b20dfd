-- Key and value caches: step by step equals the whole, with and without gradients; forks and reordered rows.

local attn, t = require "attn", require "attn.test"

local f64 = {dtype = "float64"}

local configurations = {
    {query = 4}, {query = 4, score = "additive", dim = 3}, {query = 4, score = "linear"}, {query = 4, heads = 2},
    {query = 8, heads = 4, kv_heads = 2, position = "rope"}, {query = 4, heads = 2, position = "alibi"},
    {query = 4, score = "additive", dim = 3, output = "multi_dimensional"},
    {query = 4, score = "location", max_keys = 40},
    {query = 4, score = "synthesizer_random", max_keys = 40, max_queries = 40},
    {query = 4, window = {type = "monotonic", radius = 2}},
    {query = 4, heads = 2, window = {type = "band", left = 3, right = 0}},
}

local function step_all(attend, x, sizes)
    local cache, parts, at = attend:cache(), {}, 1
    for _, n in ipairs(sizes) do
        local now = x[{{}, {at, at + n - 1}}]
        parts[#parts + 1] = attend(now, now, now, {cache = cache, causal = true})
        at = at + n
    end
    return attn.cat(parts, 2), cache
end

t.case("steps of one and of several keys equal the whole", function()
    for _, cfg in ipairs(configurations) do
        local attend = attn.attention(cfg):to("float64")
        local x = attn.randn(2, 36, cfg.query, f64)
        attn.no_grad(function()
            local whole = attend(x, x, x, {causal = true})
            local one = {}
            for i = 1, 36 do one[i] = 1 end
            local steps, cache = step_all(attend, x, one)
            t.near(steps, whole, 1e-12)
            t.equal(#cache, 36)
            t.near(step_all(attend, x, {5, 1, 17, 13}), whole, 1e-12)
        end)
    end
end)

t.case("gradients run through the cache", function()
    for _, cfg in ipairs(configurations) do
        local attend = attn.attention(cfg):to("float64")
        local x, y = attn.randn(2, 6, cfg.query, f64):requires_grad_(true), nil
        y = x:detach():clone():requires_grad_(true)
        local fixed = attn.randn(2, 6, cfg.query, f64)
        local function gradients(z, out)
            attend:zero_grad();
            (out * fixed):sum():backward()
            local list = {z.grad}
            for _, p in attend:named_parameters() do list[#list + 1] = p.grad and p.grad:clone() or 0 end
            return list
        end
        local whole = gradients(x, attend(x, x, x, {causal = true}))
        t.near(gradients(y, (step_all(attend, y, {1, 2, 1, 2}))), whole, 1e-12)
    end
end)

t.case("a past without gradients goes on with them, and back", function()
    local attend = attn.attention{query = 4}:to("float64")
    local x = attn.randn(2, 6, 4, f64)
    local whole = attn.no_grad(attend, x, x, x, {causal = true})
    local cache, z = attend:cache(), nil
    for i = 1, 6 do
        local now = x[{{}, {i, i}}]:clone()
        if i % 3 == 0 then now:requires_grad_(true) end
        if i == 5 then
            z = attn.no_grad(attend, now, now, now, {cache = cache, causal = true})
        else
            z = attend(now, now, now, {cache = cache, causal = true})
        end
        t.near(z[{{}, 1}], whole[{{}, i}], 1e-12)
    end
end)

t.case("forks share the past and part ways", function()
    for _, cfg in ipairs(configurations) do
        local attend = attn.attention(cfg):to("float64")
        attn.no_grad(function()
            local x = attn.randn(2, 5, cfg.query, f64)
            local a, b = attn.randn(2, 1, cfg.query, f64), attn.randn(2, 1, cfg.query, f64)
            local _, cache = step_all(attend, x, {5})
            local other = cache:fork()
            local ya = attend(a, a, a, {cache = cache, causal = true})
            local yb = attend(b, b, b, {cache = other, causal = true})
            local function last(z)
                local all = attn.cat({x, z}, 2)
                return attend(all, all, all, {causal = true})[{{}, {6, 6}}]
            end
            t.near(ya, last(a), 1e-12)
            t.near(yb, last(b), 1e-12)
            t.equal({#cache, #other}, {6, 6})
            local yc = attend(b, b, b, {cache = cache, causal = true})      -- what the fork put behind is not there
            local all = attn.cat({x, a, b}, 2)
            t.near(yc, attend(all, all, all, {causal = true})[{{}, {7, 7}}], 1e-12)
        end)
    end
end)

t.case("rows of a cache are picked, repeated and dropped", function()
    local rows = attn.tensor({3, 1, 3, 2}, {dtype = "int64"})
    for _, graph in ipairs{false, true} do
        for _, cfg in ipairs(configurations) do
            local attend = attn.attention(cfg):to("float64")
            local function body()
                local x, n = attn.randn(3, 5, cfg.query, f64), attn.randn(4, 1, cfg.query, f64)
                local _, cache = step_all(attend, x, {5})
                local picked = cache:reorder(rows)
                t.equal(#picked, 5)
                local y = attend(n, n, n, {cache = picked, causal = true})
                local all = attn.cat({x:index_select(1, rows), n}, 2)
                t.near(y, attend(all, all, all, {causal = true})[{{}, {6, 6}}], 1e-12)
                t.equal(#cache, 5)
                t.equal(#attn.search.reorder({c = cache}, rows).c, 5)
            end
            if graph then body() else attn.no_grad(body) end
        end
    end
    local attend = attn.attention{query = 4}
    local x = attn.randn(3, 2, 4)
    local _, cache = step_all(attend, x, {2})
    t.raises("reorder: row 2 is 4, expected 1 to 3", function()
        cache:reorder(attn.tensor({1, 4}, {dtype = "int64"}))
    end)
    t.raises("reorder: rows is float32 [1], expected int64 [M]", function() cache:reorder(attn.tensor{1}) end)
end)

t.case("lengths and masks count what the cache holds", function()
    for _, cfg in ipairs{{query = 4}, {query = 4, score = "linear"}} do
        local attend = attn.attention(cfg):to("float64")
        attn.no_grad(function()
            local x = attn.randn(2, 4, 4, f64)
            local lengths = attn.tensor({2, 4}, {dtype = "int64"})
            local keys = attn.tensor{{true, true, true, true}, {true, false, true, true}}
            local whole = attend(x, x, x, {causal = true, lengths = lengths, key_mask = keys})
            local cache, y = attend:cache(), nil
            for i = 1, 4 do
                local now = x[{{}, {i, i}}]
                y = attend(now, now, now, {cache = cache, causal = true,
                    lengths = attn.tensor({math.min(2, i), i}, {dtype = "int64"}),
                    key_mask = keys[{{}, {1, i}}]})
            end
            t.near(y[{{}, 1}], whole[{{}, 4}], 1e-12)
        end)
    end
end)

t.case("what does not go on is refused, and a call that fails leaves the cache as it was", function()
    local attend = attn.attention{query = 4}
    local x = attn.randn(2, 3, 4)
    local cache = attend:cache()
    attend(x, x, x, {cache = cache})
    local z = attn.randn(3, 1, 4)
    t.raises("attention: cache holds float32 [2, 3, 1, 4], which", attend, z, z, nil, {cache = cache})
    local lengths = attn.tensor({9, 1}, {dtype = "int64"})
    t.raises("attention: lengths[1] is 9", attend, x, x, x, {cache = cache, lengths = lengths})
    t.equal(#cache, 3)
    t.raises("attention: cache is a layer, expected one made by attend:cache()", attend, x, x, x, {cache = attend})
    t.raises("attention: cache is true, expected one made by attend:cache()", attend, x, x, x, {cache = true})
    local linear = attn.attention{query = 4, score = "linear"}
    t.raises("attention: cache holds what another kind of attention put there", linear, x, x, x, {cache = cache})
    t.raises("attention: weights of keys in the cache are gone", function()
        local c = linear:cache()
        linear(x, x, x, {cache = c})
        linear(x, x, x, {cache = c, weights = true})
    end)
    t.equal(tostring(cache), "cache  3 keys")
end)

t.case("memory may run out anywhere in a step: an error, no leak, and the cache as it was", function()
    local internal = require "attn.internal"
    local function live()
        collectgarbage()
        collectgarbage()
        return attn.memory().live
    end
    for _, cfg in ipairs{{query = 4, heads = 2, position = "rope"}, {query = 4, score = "linear"},
                         {query = 4, score = "additive", dim = 3, window = {type = "predictive", radius = 2}}} do
        local attend = attn.attention(cfg)
        local x, lengths = attn.randn(2, 5, 4):requires_grad_(true), attn.tensor({5, 3}, {dtype = "int64"})
        local n, ok, message = 0, nil, nil
        local function step(cache)
            local y = attend(x, x, x, {cache = cache, lengths = lengths, weights = true})
            y:sum():backward()
        end
        step(attend:cache())
        attend:zero_grad()
        x:zero_grad()
        local before = live()
        repeat
            n = n + 1
            local cache <close> = attend:cache()
            internal.fail_allocation(n, true)
            ok, message = pcall(step, cache)
            internal.fail_allocation(0)
            attend:zero_grad()
            x:zero_grad()
            if not ok then
                t.equal(tostring(message):find("memory", 1, true) ~= nil, true)
                t.equal(#cache == 0 or #cache == 5, true)
            end
        until ok or n > 2000
        t.equal(live(), before)
        t.equal(n > 10 and n <= 2000, true)
    end
end)
