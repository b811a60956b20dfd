-- attn.structured, trees: against a list of all trees.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")
local brute = dofile(here .. "structured_cases.lua")
local S, F64, inf = attn.structured, {dtype = "float64"}, math.huge

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function no_nan(x) t.equal(x:ne(x):sum():item(), 0) end

-- Everything about every row of the batch, to 1e-10.
local function check(arcs, projective, lengths)
    local options = {projective = projective, lengths = lengths and ids(lengths)}
    local B, T = table.unpack(arcs.shape)
    local p, z = S.tree_marginals(arcs, options), S.tree_log_partition(arcs, options)
    local heads, score = S.tree_best(arcs, options)
    local zeros = {}
    for i = 1, T do zeros[i] = 0 end
    for b = 1, B do
        local n = lengths and lengths[b] or T
        local want = brute.tree(arcs[b]:totable(), n, projective)
        local found = want.score > -inf and want.best or {}
        for i = 1, T do
            local row = want.marginals[i] or zeros
            for j = #row + 1, T do row[j] = 0 end
            t.near(p[b][i]:totable(), row, 1e-10)
            t.equal(heads[{b, i}]:item(), found[i] or 0)
        end
        t.near(z[b]:item(), n > 0 and want.z or 0, 1e-10 * math.max(1, math.abs(z[b]:item())))
        t.near(score[b]:item(), n > 0 and want.score or 0, 1e-10 * math.max(1, math.abs(score[b]:item())))
    end
end

for _, projective in ipairs{true, false} do
    local kind = projective and "projective trees: " or "all trees: "
    local options = {projective = projective}

    t.case(kind .. "marginals, log partition and best tree are those of a list of all trees", function()
        attn.seed(1)
        for n = 1, 5 do check(attn.randn(4, n, n, F64), projective) end
        check(attn.randn(4, 4, 4, F64), projective, {4, 0, 1, 3})
    end)

    t.case(kind .. "scores of thousands lose no digits", function()
        attn.seed(2)
        for scale = 1, 4 do
            check(attn.randn(6, 5, 5, F64) * 10 ^ scale, projective)
            check(attn.randn(3, 4, 4, F64) + 10 ^ scale * attn.randn(3, 4, 1, F64), projective)
        end
        -- whole numbers: many trees are as good as each other, and far better than the rest; only the sums are compared
        for _ = 1, 5 do
            local arcs = attn.randint(0, 2, 1, 5, 5):to "float64" * 1000
            local want = brute.tree(arcs[1]:totable(), 5, projective)
            t.near(S.tree_marginals(arcs, options)[1]:totable(), want.marginals, 1e-10)
            t.near(select(2, S.tree_best(arcs, options))[1]:item(), want.score, 1e-9)
        end
    end)

    t.case(kind .. "minus infinity forbids", function()
        attn.seed(3)
        for _ = 1, 12 do
            local arcs = attn.randn(4, 4, 4, F64)
            check(arcs:masked_fill(attn.rand(4, 4, 4):lt(0.5), -inf), projective)
        end
        local arcs = attn.randn(2, 3, 3, F64)
        arcs[{1, 1, 1}], arcs[{1, 2, 2}] = -inf, -inf           -- the root is known
        for i = 1, 3 do arcs[{2, i, i}] = -inf end              -- there is none
        check(arcs, projective)
        arcs:requires_grad_(true)
        local p = S.tree_marginals(arcs, options);
        (p * p):sum():backward()
        S.tree_log_partition(arcs, options):sum():backward()
        no_nan(arcs.grad)
        t.equal(arcs.grad[{1, 1, 1}]:item(), 0)
        t.equal(arcs.grad[2]:abs():sum():item(), 0)
    end)

    t.case(kind .. "gradients with lengths, of forbidden arcs and at great scores", function()
        attn.seed(4)
        local arcs, lengths = attn.randn(3, 4, 4, F64), ids{4, 0, 3}
        local forbid = attn.zeros(4, 4, F64)
        forbid[{4, 4}], forbid[{4, 3}], forbid[{4, 2}], forbid[{2, 1}] = -inf, -inf, -inf, -inf
        local root = attn.zeros(4, 4, F64)
        root[{3, 1}], root[{3, 2}], root[{3, 4}] = -inf, -inf, -inf     -- only the root for a head
        for _, f in ipairs{S.tree_marginals, S.tree_log_partition} do
            t.gradient(function(x) return f(x, {projective = projective, lengths = lengths}) end, {arcs})
            t.gradient(function(x) return f(x + forbid, options) end, {arcs})
            t.gradient(function(x) return f(x + root, options) end, {arcs})
            t.gradient(function(x) return f(x * 3 + 200, options) end, {arcs})
        end
    end)

    t.case(kind .. "every row of many words sums to 1", function()
        attn.seed(5)
        for _, scale in ipairs{0, 1, 30} do
            local p = S.tree_marginals(attn.randn(2, 60, 60, F64) * scale, options)
            t.near(p:sum(3):totable(), attn.ones(2, 60, F64):totable(), 1e-10)
            t.is_true(p:min():item() >= -1e-10)
            local roots = 0
            for i = 1, 60 do roots = roots + p[{1, i, i}]:item() end
            t.near(roots, 1, 1e-10)
        end
    end)

    t.case(kind .. "the best tree of many words is a tree of its score, no worse than any other found", function()
        attn.seed(6)
        local arcs = attn.randn(3, 30, 30, F64)
        local heads, score = S.tree_best(arcs, options)
        local p = S.tree_marginals(arcs * 3000, options)        -- almost all of it on the best
        t.near(arcs:gather(3, heads:unsqueeze(3)):sum(2):reshape(3):totable(), score:totable(), 1e-9)
        t.equal(p:argmax(3):totable(), heads:totable())
    end)

    t.case(kind .. "NaN comes out as NaN, and nothing breaks", function()
        local arcs = attn.zeros(1, 3, 3, F64)
        arcs[{1, 1, 2}] = 0 / 0
        local heads, score = S.tree_best(arcs, options)
        t.equal(heads:totable(), {{0, 0, 0}})
        t.is_true(score:item() ~= score:item())
        local z = S.tree_log_partition(arcs, options):item()
        t.is_true(z ~= z)
        S.tree_marginals(attn.full({1, 3, 3}, inf), options)
        S.tree_best(attn.full({1, 3, 3}, inf), options)
    end)

    t.case(kind .. "the same bits on any number of threads", function()
        attn.seed(7)
        local arcs = attn.randn(37, 9, 9)
        local before, first = attn.threads(), nil
        for _, n in ipairs{1, 2, 3, 7} do
            attn.threads(n)
            arcs.grad = nil
            local p = S.tree_marginals(arcs:requires_grad_(true), options);
            (p * p):sum():backward()
            local list = {p:detach(), arcs.grad, S.tree_log_partition(arcs, options):detach(), (S.tree_best(arcs, options))}
            first = first or list
            for k, x in ipairs(list) do t.equal(x:ne(first[k]):sum():item(), 0) end
        end
        attn.threads(before)
    end)

    t.case(kind .. "nothing in a batch, nothing in a sentence", function()
        t.equal(S.tree_marginals(attn.zeros(0, 3, 3), options).shape, {0, 3, 3})
        t.equal(S.tree_log_partition(attn.zeros(2, 0, 0), options):totable(), {0, 0})
        t.equal(S.tree_best(attn.zeros(2, 0, 0), options).shape, {2, 0})
    end)
end

t.case("errors name the argument and its shape", function()
    t.raises("tree_marginals: arcs has shape [2, 3, 4], expected [B, T, T] (arcs: float32 [2, 3, 4])", S.tree_marginals,
             attn.zeros(2, 3, 4))
    t.raises("tree_best: lengths[1] is -1, expected 0 to 3", S.tree_best, attn.zeros(2, 3, 3), {lengths = ids{-1, 4}})
    t.raises("tree_log_partition: lengths has shape [1], expected [2]", S.tree_log_partition, attn.zeros(2, 3, 3),
             {lengths = ids{1}})
end)
