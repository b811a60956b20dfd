local attn, t = require "attn", require "attn.test"

-- How often each id was drawn in rows of `n`, ids [..., count].
local function counts(ids, n)
    local list = {}
    for i = 1, n do list[i] = ids:eq(i):sum():item() end
    return list
end

t.case("draws with replacement follow the probabilities, and never take a place of 0", function()
    attn.seed(1)
    for _, dtype in ipairs{"float32", "float64"} do
        local got = counts(attn.multinomial(attn.tensor({0, 1, 0, 4, 3, 0}, {dtype = dtype}), 20000), 6)
        t.equal({got[1], got[3], got[6]}, {0, 0, 0})
        for i, share in pairs{[2] = 1 / 8, [4] = 4 / 8, [5] = 3 / 8} do t.near(got[i] / 20000, share, 0.015) end
    end
end)

t.case("draws without replacement are each once, in the order of drawing", function()
    attn.seed(2)
    local p = attn.tensor{{1, 2, 3, 4}}:expand(20000, 4)
    local ids = attn.multinomial(p, 4, {replacement = false})
    t.equal(ids.shape, {20000, 4})
    t.is_true(ids:sort(2):eq(attn.arange(1, 4)):all():item())
    local first, second = counts(ids:select(2, 1), 4), counts(ids:select(2, 2), 4)
    for i = 1, 4 do
        t.near(first[i] / 20000, i / 10, 0.015)
        local share = 0         -- sum over the first of p_j p_i / (1 - p_j)
        for j = 1, 4 do if j ~= i then share = share + j / 10 * i / (10 - j) end end
        t.near(second[i] / 20000, share, 0.015)
    end
end)

t.case("without replacement places of 0 are never drawn", function()
    local ids = attn.multinomial(attn.tensor{0, 1, 0, 1e-30}, 2, {replacement = false}):sort(1)
    t.equal(ids, {2, 4})
end)

t.case("rows are drawn apart, shapes and steps are kept", function()
    local p = attn.zeros(3, 5)
    for i = 1, 3 do p[{i, i + 1}] = 0.5 end
    t.equal(p:multinomial(2), {{2, 2}, {3, 3}, {4, 4}})
    t.equal(p:transpose(1, 2)[{{2, 4}, {}}]:multinomial(1), {{1}, {2}, {3}})
    t.equal(attn.multinomial(attn.ones(2, 3, 4), 7).shape, {2, 3, 7})
    t.equal(attn.multinomial(attn.ones(2, 3), 0).shape, {2, 0})
    t.equal(attn.multinomial(attn.ones(0, 3), 2).shape, {0, 2})
    t.equal(attn.multinomial(attn.ones(3), 1).dtype, "int64")
end)

t.case("the same seed gives the same ids on 1, 2, 3 and 7 threads", function()
    local p, before, first = attn.rand(3000, 40), attn.threads(), {}
    for _, n in ipairs{1, 2, 3, 7} do
        attn.threads(n)
        for _, replacement in ipairs{true, false} do
            attn.seed(7)
            local ids = attn.multinomial(p, 9, {replacement = replacement})
            first[replacement] = first[replacement] or ids
            t.is_true(ids:eq(first[replacement]):all():item())
        end
    end
    attn.threads(before)
    t.is_true(first[true]:ne(attn.multinomial(p, 9)):any():item())
end)

t.case("errors", function()
    local multinomial = attn.multinomial
    t.raises("multinomial: p holds -1, expected finite numbers of at least 0 (p: float32 [2])", multinomial, attn.tensor{1, -1}, 1)
    t.raises("multinomial: p holds inf", multinomial, attn.tensor{1, math.huge}, 1)
    t.raises("expected finite numbers", multinomial, attn.tensor{1, 0 / 0}, 1)
    t.raises("multinomial: row 2 of p has 0 numbers above 0, expected at least 1", multinomial, attn.tensor{{1, 0}, {0, 0}}, 3)
    t.raises("multinomial: row 1 of p has 1 numbers above 0, expected at least 2", multinomial, attn.tensor{1, 0}, 2,
             {replacement = false})
    t.raises("multinomial: count is 3, but p has rows of 2", multinomial, attn.ones(2), 3, {replacement = false})
    t.raises("multinomial: count is -1, expected at least 0", multinomial, attn.ones(2), -1)
    t.raises("multinomial: p is a scalar", multinomial, attn.tensor(1), 1)
    t.raises("multinomial: count is missing", multinomial, attn.ones(2))
    t.raises("multinomial: row 1 of p has an infinite sum", multinomial, attn.full({2}, 1.5e308, {dtype = "float64"}), 1)
end)
