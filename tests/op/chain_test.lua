-- attn.structured, chains: against a list of all taggings.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")
local brute = dofile(here .. "structured_cases.lua")
local S, F64, inf = attn.structured, {dtype = "float64"}, math.huge

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function no_nan(x) t.equal(x:ne(x):sum():item(), 0) end

-- Everything about every row of the batch, to 1e-10.
local function check(unary, transition, lengths)
    local options = {lengths = lengths and ids(lengths)}
    local B, T, K = table.unpack(unary.shape)
    local p, z = S.chain_marginals(unary, transition, options), S.chain_log_partition(unary, transition, options)
    local best, score = S.chain_viterbi(unary, transition, options)
    local u, s = unary:totable(), transition:totable()
    for b = 1, B do
        local n = lengths and lengths[b] or T
        local want = brute.chain(u[b], function(i) return transition:dim() == 2 and s or s[b][i] end, n)
        local zeros, row = {}, best[b]:totable()
        for k = 1, K do zeros[k] = 0 end
        for i = 1, T do
            t.near(p[b][i]:totable(), want.marginals[i] or zeros, 1e-10)
            t.equal(row[i], i <= n and want.best and want.score > -inf and want.best[i] or 0)
        end
        t.near(z[b]:item(), n > 0 and want.z or 0, 1e-10 * math.max(1, math.abs(z[b]:item())))
        t.near(score[b]:item(), n > 0 and want.score or 0, 1e-10 * math.max(1, math.abs(score[b]:item())))
    end
end

t.case("marginals, log partition and best tagging are those of a list of all taggings", function()
    attn.seed(1)
    for _, size in ipairs{{1, 1}, {1, 3}, {4, 1}, {2, 2}, {5, 3}, {4, 5}} do
        local T, K = size[1], size[2]
        check(attn.randn(3, T, K, F64), attn.randn(K, K, F64))
        check(attn.randn(3, T, K, F64), attn.randn(3, T - 1, K, K, F64))
        check(attn.randn(3, T, K, F64), attn.randn(K, K, F64), {T, 0, (T + 1) // 2})
        check(attn.randn(3, T, K, F64), attn.randn(3, T - 1, K, K, F64), {0, 1, T})
    end
end)

t.case("scores of thousands lose no digits", function()
    attn.seed(2)
    for scale = 1, 4 do
        check(attn.randn(4, 5, 3, F64) * 10 ^ scale, attn.randn(3, 3, F64) * 10 ^ scale)
        check(attn.randn(4, 4, 3, F64) + 10 ^ scale, attn.randn(4, 3, 3, 3, F64) - 10 ^ scale)
    end
    check(attn.tensor({{{0, 5000}, {0, -5000}, {9e3, 9e3}}}, F64), attn.tensor({{5000, 0}, {0, -5000}}, F64))
end)

t.case("minus infinity forbids", function()
    attn.seed(3)
    local u, s = attn.randn(3, 4, 3, F64), attn.randn(3, 3, F64)
    u[{1, 2, 1}], u[{2, 1, 3}], u[{2, 4, 2}] = -inf, -inf, -inf
    s[{1, 2}], s[{3, 3}] = -inf, -inf
    check(u, s)
    u[3][2]:fill_(-inf)         -- no tagging at all
    check(u, s)
    local z = S.chain_log_partition(u:requires_grad_(true), s:requires_grad_(true))
    S.chain_marginals(u, s):sum():backward()
    z[{{1, 2}}]:sum():backward()
    S.chain_nll(u, s, ids{{2, 2, 2, 2}, {2, 2, 2, 1}, {1, 1, 1, 1}})[{{1, 2}}]:sum():backward()
    no_nan(u.grad)
    no_nan(s.grad)
    t.equal(u.grad[{1, 2, 1}]:item(), 0)
    t.equal(s.grad[{1, 2}]:item(), 0)
    t.equal(u.grad[3]:abs():sum():item(), 0)
end)

t.case("gradients with lengths, of forbidden tags and at great scores", function()
    attn.seed(4)
    local u, s, own = attn.randn(3, 4, 3, F64), attn.randn(3, 3, F64), attn.randn(3, 3, 3, 3, F64)
    local options, tags = {lengths = ids{4, 0, 2}}, ids{{1, 2, 3, 1}, {0, 0, 0, 0}, {3, 3, 0, 7}}
    for _, steps in ipairs{s, own} do
        t.gradient(function(a, b) return S.chain_marginals(a, b, options) end, {u, steps})
        t.gradient(function(a, b) return S.chain_log_partition(a, b, options) end, {u, steps})
        t.gradient(function(a, b) return S.chain_nll(a, b, tags, options) end, {u, steps})
        t.gradient(function(a, b) return S.chain_marginals(a * 3 + 200, b - 200, options) end, {u, steps})
    end
    local forbid = attn.tensor({{0, -inf, 0}, {0, 0, -inf}, {0, 0, 0}}, F64)
    t.gradient(function(a, b) return S.chain_marginals(a, b + forbid) end, {u, s})
end)

t.case("the loss is the log partition less the score of the tags", function()
    attn.seed(5)
    local u, s = attn.randn(2, 3, 2, F64), attn.randn(2, 2, F64)
    local z, loss = S.chain_log_partition(u, s), S.chain_nll(u, s, ids{{1, 2, 2}, {2, 1, 1}})
    local score = u[{1, 1, 1}] + u[{1, 2, 2}] + u[{1, 3, 2}] + s[{1, 2}] + s[{2, 2}]
    t.near(loss[1]:item(), (z[1] - score):item(), 1e-12)
    s[{1, 2}] = -inf
    t.equal(S.chain_nll(u, s, ids{{1, 2, 2}, {2, 1, 1}})[1]:item(), inf)
end)

t.case("samples follow the distribution, and the seed", function()
    attn.seed(6)
    local u, s = attn.randn(2, 3, 3, F64), attn.randn(2, 2, 3, 3, F64)
    local count, options = 20000, {count = 20000, lengths = ids{3, 2}}
    attn.seed(9)
    local draws = S.chain_sample(u, s, options)
    attn.seed(9)
    t.equal(draws:ne(S.chain_sample(u, s, options)):sum():item(), 0)
    t.equal(draws.shape, {count, 2, 3})
    for b, n in ipairs{3, 2} do
        local want = brute.chain(u[b]:totable(), function(i) return s[{b, i}]:totable() end, n)
        local seen = {}
        for _, row in ipairs(draws:select(2, b):totable()) do
            local key = table.concat(row, " ")
            seen[key] = (seen[key] or 0) + 1
        end
        for _, item in ipairs(want.list) do
            local key = table.concat(item[1], " ") .. (n == 2 and " 0" or "")
            local p = math.exp(item[2] - want.z)
            t.near((seen[key] or 0) / count, p, 5 * math.sqrt(p * (1 - p) / count) + 1e-4)
        end
    end
    local never = attn.tensor({{{0, -inf}, {-inf, 0}}}, F64)
    t.equal(S.chain_sample(never, attn.tensor({{0, -inf}, {0, 0}}, F64)):totable(), {{{0, 0}}})
    t.equal(S.chain_sample(never, attn.zeros(2, 2, F64), {count = 2}):totable(), {{{1, 2}}, {{1, 2}}})
end)

t.case("NaN comes out as NaN, and nothing breaks", function()
    local u, s = attn.tensor({{{0, 0 / 0}, {1, 2}}}, F64), attn.zeros(2, 2, F64)
    local tags, score = S.chain_viterbi(u, s)
    t.equal(tags:totable(), {{0, 0}})
    t.is_true(score:item() ~= score:item())
    t.equal(S.chain_log_partition(u, s):ne(S.chain_log_partition(u, s)):item(), true)
    S.chain_sample(u, s)
    S.chain_marginals(attn.full({1, 2, 2}, inf), attn.zeros(2, 2))
end)

t.case("nothing in a batch, nothing in a sentence", function()
    t.equal(S.chain_marginals(attn.zeros(0, 3, 2), attn.zeros(2, 2)).shape, {0, 3, 2})
    t.equal(S.chain_log_partition(attn.zeros(2, 0, 2), attn.zeros(2, 0, 2, 2)):totable(), {0, 0})
    t.equal(S.chain_viterbi(attn.zeros(2, 0, 2), attn.zeros(2, 2)).shape, {2, 0})
end)

t.case("the same bits on any number of threads", function()
    attn.seed(7)
    local u, s = attn.randn(40, 30, 5), attn.randn(5, 5)
    local before, first = attn.threads(), nil
    for _, n in ipairs{1, 2, 3, 7} do
        attn.threads(n)
        attn.seed(3)
        u.grad, s.grad = nil, nil
        u:requires_grad_(true)
        s:requires_grad_(true)
        local p = S.chain_marginals(u, s);
        (p * p):sum():backward()
        local list = {p:detach(), u.grad, s.grad, S.chain_sample(u, s), S.chain_log_partition(u, s):detach()}
        first = first or list
        for k, x in ipairs(list) do t.equal(x:ne(first[k]):sum():item(), 0) end
    end
    attn.threads(before)
end)

t.case("errors name the argument and its shape", function()
    local u, s = attn.zeros(2, 3, 4), attn.zeros(4, 4)
    t.raises("chain_marginals: unary has shape [3, 4], expected [B, T, K] (unary: float32 [3, 4])", S.chain_marginals,
             attn.zeros(3, 4), s)
    t.raises("chain_viterbi: transition has shape [3, 3], expected [4, 4] or [2, 2, 4, 4] (unary: float32 [2, 3, 4])",
             S.chain_viterbi, u, attn.zeros(3, 3))
    t.raises("chain_log_partition: lengths[2] is 4, expected 0 to 3", S.chain_log_partition, u, s, {lengths = ids{1, 4}})
    t.raises("chain_nll: tags[2, 1] is 5, expected 1..4 within the length 3", S.chain_nll, u, s,
             ids{{1, 1, 1}, {5, 1, 1}})
    t.raises("chain_nll: tags has shape [1, 3], expected [2, 3]", S.chain_nll, u, s, ids{{1, 1, 1}})
    t.raises("chain_sample: count is 0, expected at least 1", S.chain_sample, u, s, {count = 0})
end)
