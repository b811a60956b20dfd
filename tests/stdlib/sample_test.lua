-- Samples over seeds: Student's intervals, pairing, verdicts, the paired bootstrap.
local t = require "attn.test"
local sample = require "attn.sample"

local nan = 0 / 0

-- P(|T| <= t) by Simpson's rule on the density, which needs no beta function: with u = atan(t / sqrt(df)) it is cos(u)^(df - 1) / c.
local function probability(x, df)
    local function area(to)
        local n, sum = 4000, 0
        for i = 0, n do
            local weight = (i == 0 or i == n) and 1 or i % 2 == 1 and 4 or 2
            sum = sum + weight * math.cos(to * i / n) ^ (df - 1)
        end
        return sum * to / n / 3
    end
    return area(math.atan(x / math.sqrt(df))) / area(math.pi / 2)
end

t.case("quantiles of Student's t: closed forms, published values, the integral of the density", function()
    t.near(sample.student(0.5, 1), 1, 1e-12)
    for _, level in ipairs{0.5, 0.9, 0.95, 0.99, 0.999999} do
        t.near(sample.student(level, 1), math.tan(math.pi * level / 2), 1e-8)
        t.near(sample.student(level, 2), level * math.sqrt(2 / (1 - level ^ 2)), 1e-9)
    end
    for df, value in pairs{[3] = 3.182446305, [4] = 2.776445105, [9] = 2.262157163, [30] = 2.042272456, [100] = 1.983971519} do
        t.near(sample.student(0.95, df), value, 1e-9)
    end
    t.near(sample.student(0.95, 1e6), 1.959963985 + 9.489e0 / 4e6, 1e-8)
    for _, df in ipairs{2.75, 3.7, 12.25, 61} do
        for _, level in ipairs{0.8, 0.95, 0.995} do t.near(probability(sample.student(level, df), df), level, 1e-7) end
    end
end)

t.case("mean, deviation and interval; what is paired has the narrower one", function()
    local a, b = sample.of{10, 20, 30}, sample.of{8, 19, 27}
    t.near({a:mean(), a:std()}, {20, 10}, 1e-12)
    local d = a - b
    t.near({d:mean(), d:std()}, {2, 1}, 1e-12)
    local low, high = d:interval()
    t.near({low, high}, {2 - 4.302652730 / math.sqrt(3), 2 + 4.302652730 / math.sqrt(3)}, 1e-9)
    low, high = d:interval(0.5)
    t.near({low, high}, {2 - 0.816496581 / math.sqrt(3), 2 + 0.816496581 / math.sqrt(3)}, 1e-9)
    local difference, from, to, df = sample.unpaired(a, b)
    t.near({difference, df}, {2, 2 * 191 ^ 2 / (100 ^ 2 + 91 ^ 2)}, 1e-12)
    t.near((to - from) / 2, sample.student(0.95, df) * math.sqrt(191 / 3), 1e-12)
    t.near(probability((to - from) / 2 / math.sqrt(191 / 3), df), 0.95, 1e-7)
    t.is_true(to - from > 7 * (d:std()))
    t.equal(sample.of{0.1, 0.1, 0.1}:mean(), 0.1)
end)

t.case("within: the means are no further apart than the values of the second are from each other", function()
    local function verdict(a, b) return sample.judge{"claim", sample.within(sample.of(a), sample.of(b))}.verdict end
    t.equal(verdict({3.9, 4.1, 4.0}, {1, 2, 3}), "holds")
    t.equal(verdict({3.9, 4.1, 4.1}, {1, 2, 3}), "fails")
    t.equal(verdict({0.1, -0.1, -0.1}, {1, 2, 3}), "fails")
    t.equal(verdict({4}, {1, 2, 3}), "holds")
    t.equal(sample.judge{"claim", sample.within(sample.of{2, 2, 2}, sample.of{1, 3})}.why, "2 seeds, a spread needs 3")
    t.raises("study.within: expected two samples", sample.within, sample.of{1}, 2)
end)

t.case("arithmetic pairs by seed, with samples and numbers on either side", function()
    local a, b = sample.of{1, 2, 3}, sample.of{4, 5, 8}
    t.equal((a + b):values(), {5, 7, 11})
    t.equal((2 * a - 1):values(), {1, 3, 5})
    t.equal((1 - a / 2):values(), {0.5, 0.0, -0.5})
    t.equal((-a * b):values(), {-4, -10, -24})
    local short = a + sample.of{1, 2}
    local values, seeds, why = short:values()
    t.equal({values, seeds, why}, {{2, 4}, {1, 2}, "seed 3 is missing: there is none"})
    t.equal({short:interval()}, {nil, "seed 3 is missing: there is none"})
end)

local function verdict(claim)
    local judged = sample.judge(claim)
    return judged.verdict, judged.why
end

t.case("a verdict needs the whole interval; its boundary belongs to the claim", function()
    local s = sample.of{1, 2, 3}
    local low, high = s:interval()
    local below, above = low - 1e-9, high + 1e-9
    for _, case in ipairs{
        {{at_least = low}, "holds"}, {{at_least = low + 1e-9}, "undecided"}, {{at_least = high}, "undecided"}, {{at_least = above}, "fails"},
        {{at_most = high}, "holds"}, {{at_most = high - 1e-9}, "undecided"}, {{at_most = low}, "undecided"}, {{at_most = below}, "fails"},
        {{between = {low, high}}, "holds"}, {{between = {low + 1e-9, high}}, "undecided"}, {{between = {above, 9}}, "fails"},
        {{between = {-9, below}}, "fails"}, {{between = {high, 9}}, "undecided"}} do
        local claim, expected = table.unpack(case)
        claim[1], claim[2] = "x", s
        t.equal(verdict(claim), expected)
    end
    t.equal(verdict{"x", sample.of{0.1, 0.1, 0.1}, at_least = 0.1}, "holds")
    t.equal(verdict{"x", sample.of{0.1, 0.1, 0.1}, at_most = 0.09}, "fails")
    t.equal(verdict{"x", sample.of{1, 2, 3}, at_least = 1, level = 0.5}, "holds")
end)

t.case("one or two seeds are undecided, unless the claim is exact", function()
    t.equal({verdict{"x", sample.of{5}, at_least = 1}}, {"undecided", "1 seed, an interval needs 3"})
    t.equal({verdict{"x", sample.of{5, 5}, at_least = 1}}, {"undecided", "2 seeds, an interval needs 3"})
    t.equal({verdict{"x", sample.of{5}, at_least = 5, exact = true}}, {"holds"})
    t.equal({verdict{"x", sample.of{5, 4}, at_least = 5, exact = true}}, {"fails"})
    t.equal({verdict{"x", sample.of{}, at_least = 5, exact = true}}, {"undecided", "there are no values"})
end)

t.case("NaN, infinity and missing seeds are said, in functions too", function()
    t.equal({verdict{"x", sample.of{5, nan, 5}, at_least = 1}}, {"undecided", "NaN at seed 2"})
    t.equal({verdict{"x", sample.of{5, nan, 5}, at_least = 1, exact = true}}, {"undecided", "NaN at seed 2"})
    t.equal({verdict{"x", sample.of{5, 5, math.huge}, at_least = 1}}, {"undecided", "inf at seed 3"})
    local s = sample.of{5, nan, 5}
    t.equal({verdict{"x", function() return s:mean() > 1 end}}, {"undecided", "NaN at seed 2"})
    t.equal({verdict{"x", function() return sample.of{1, 2}:mean() > 1, "1.5" end}}, {"holds"})
    t.equal({verdict{"x", function() return false end}}, {"fails"})
    t.equal({verdict{"x", function() end}}, {"undecided", "the function returned nil, expected true or false"})
    t.equal({verdict{"x", function() error("no", 0) end}}, {"undecided", "no"})
end)

t.case("the paired bootstrap: equal systems, one that is always better, the same resamples from the same seed", function()
    local function mean(list)
        local sum = 0
        for _, x in ipairs(list) do sum = sum + x end
        return sum / #list
    end
    local a, b = {}, {}
    for i = 1, 50 do a[i], b[i] = i % 7 / 7, i % 5 / 7 end
    local same = sample.bootstrap(a, a, mean)
    t.equal({same.difference, same.wins, same.p, same.low, same.high}, {0.0, 0, 1.0, 0.0, 0.0})
    local better = {}
    for i = 1, 50 do better[i] = a[i] + 1 + i % 2 / 100 end
    local one = sample.bootstrap(better, a, mean, {resamples = 200})
    t.near({one.difference, one.wins, one.p}, {1.005, 1, 1 / 201}, 1e-9)
    t.is_true(one.low >= 1 and one.high <= 1.01 and one.low < one.high)
    local x = sample.bootstrap(a, b, mean, {seed = 3, level = 0.9})
    t.equal(x, sample.bootstrap(a, b, mean, {seed = 3, level = 0.9}))
    -- the spread of the mean difference is s / sqrt(n)
    local d = {}
    for i = 1, 50 do d[i] = a[i] - b[i] end
    local s = sample.of(d):std() / math.sqrt(50)
    t.near((x.high - x.low) / 2 / s, 1.645, 0.15)
    t.raises("study.bootstrap: a has 2 examples, b 1, expected as many of both", sample.bootstrap, {1, 2}, {1}, mean)
    t.raises("study.bootstrap: resamples is 0", sample.bootstrap, {1}, {1}, mean, {resamples = 0})
end)
