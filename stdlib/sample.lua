-- sample: values over seeds, their statistics, and what they say about a claim.
--
-- A sample is lazy: it is written down before anything was measured. `a - b` is paired: the difference at each seed, so that what
-- the seed does to both is not noise. The interval of a mean is Student's, mean -+ t s / sqrt(n), for at least three seeds; t is
-- computed for any (also fractional) degrees of freedom.
local attn = require "attn"
local data = require "attn.data"

local m = {}

---@class Sample
---@field seeds fun(): any[]
---@field at fun(seed): number?, string? value, or nil and why it is missing
local Sample = {__name = "sample"}
Sample.__index = Sample

-- What is wrong with the values that a claim looked at: set while one is judged.
local notes

local function new(seeds, at) return setmetatable({seeds = seeds, at = at}, Sample) end

local function is_sample(value) return getmetatable(value) == Sample end

---@param seeds fun(): any[]
---@param at fun(seed): number?, string?
---@return Sample
m.lazy = new
m.is_sample = is_sample

---A sample of numbers that are there already.
---@param values number[] one for each seed
---@return Sample
function m.of(values)
    if type(values) ~= "table" then error("study.sample: values is a " .. type(values) .. ", expected a list of numbers", 2) end
    local seeds = {}
    for i = 1, #values do
        if type(values[i]) ~= "number" then
            error(("study.sample: value %d is a %s, expected a number"):format(i, type(values[i])), 2)
        end
        seeds[i] = i
    end
    return new(function() return seeds end, function(seed)
        local value = values[seed]
        if value == nil then return nil, "there is none" end
        return value
    end)
end

-- ---- arithmetic ----

local function operand(value, op)
    if is_sample(value) then return value end
    if type(value) == "number" then
        return new(function() return {} end, function() return value end)
    end
    error(("sample: %s with a %s, expected a sample or a number"):format(op, type(value)), 3)
end

local function operator(op, f)
    return function(a, b)
        a, b = operand(a, op), operand(b, op)
        return new(function()
            local seeds, known = {}, {}
            for _, list in ipairs{a.seeds(), b.seeds()} do
                for _, seed in ipairs(list) do
                    if not known[seed] then seeds[#seeds + 1] = seed end
                    known[seed] = true
                end
            end
            table.sort(seeds)
            return seeds
        end, function(seed)
            local x, why = a.at(seed)
            if x == nil then return nil, why end
            local y
            y, why = b.at(seed)
            if y == nil then return nil, why end
            return f(x, y)
        end)
    end
end

Sample.__add = operator("+", function(x, y) return x + y end)
Sample.__sub = operator("-", function(x, y) return x - y end)
Sample.__mul = operator("*", function(x, y) return x * y end)
Sample.__div = operator("/", function(x, y) return x / y end)
function Sample.__unm(a) return new(a.seeds, function(seed)
    local x, why = a.at(seed)
    if x == nil then return nil, why end
    return -x
end) end

-- ---- statistics ----

---Says that a claim is about what was not measured at all, and why; for `at` of a sample.
---@param why string
---@return string why
function m.unmeasured(why)
    if notes then notes.unmeasured = notes.unmeasured or why end
    return why
end

local function note(text)
    if notes and not notes[text] then
        notes[text] = true
        notes[#notes + 1] = text
    end
end

---The values that are there, in order of their seeds; the seeds; and why others are not usable, if some are not.
---@return number[] values
---@return any[] seeds
---@return string? why
function Sample:values()
    local values, seeds, wrong = {}, {}, nil
    for _, seed in ipairs(self.seeds()) do
        local value, why = self.at(seed)
        local problem
        if value == nil then
            problem = ("seed %s is missing: %s"):format(seed, why or "no value")
        else
            values[#values + 1], seeds[#seeds + 1] = value, seed
            if value ~= value then
                problem = ("NaN at seed %s"):format(seed)
            elseif math.abs(value) == math.huge then
                problem = ("%s at seed %s"):format(value, seed)
            end
        end
        if problem then
            note(problem)
            wrong = wrong or problem
        end
    end
    if #values == 0 then
        wrong = wrong or "there are no values"
        note(wrong)
    end
    return values, seeds, wrong
end

local function mean(values)
    local n, sum = #values, 0.0
    for _, value in ipairs(values) do sum = sum + value end
    local first, rest = sum / n, 0.0
    if math.abs(first) == math.huge then return first end
    for _, value in ipairs(values) do rest = rest + (value - first) end
    return first + rest / n         -- what rounding lost: equal values have themselves as mean
end

local function variance(values)
    local n, centre, sum = #values, mean(values), 0.0
    if n < 2 then return 0 / 0 end
    for _, value in ipairs(values) do sum = sum + (value - centre) ^ 2 end
    return sum / (n - 1)
end

---The mean of the values that are there; NaN if none is.
---@return number
function Sample:mean() return mean((self:values())) end

---The standard deviation (n - 1); NaN for fewer than two values.
---@return number
function Sample:std() return math.sqrt(variance((self:values()))) end

-- log Gamma(x), x > 0 (Lanczos, g = 7, nine terms: 15 digits)
local lanczos = {676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7}
local function log_gamma(x)
    if x < 0.5 then return math.log(math.pi / math.sin(math.pi * x)) - log_gamma(1 - x) end
    x = x - 1
    local sum = 0.99999999999980993
    for i, c in ipairs(lanczos) do sum = sum + c / (x + i) end
    local t = x + 7.5
    return 0.5 * math.log(2 * math.pi) + (x + 0.5) * math.log(t) - t + math.log(sum)
end

-- The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method.
local function beta_fraction(a, b, x)
    local tiny = 1e-300
    local function keep(v) return math.abs(v) < tiny and tiny or v end
    local c, d = 1.0, 1 / keep(1 - (a + b) * x / (a + 1))
    local h = d
    for k = 1, 100000 do
        local even = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        d, c = 1 / keep(1 + even * d), keep(1 + even / c)
        h = h * d * c
        local odd = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        d, c = 1 / keep(1 + odd * d), keep(1 + odd / c)
        h = h * d * c
        if math.abs(d * c - 1) < 1e-16 then break end
    end
    return h
end

-- I_x(a, b); y is 1 - x, exact where x is near 1
local function incomplete_beta(a, b, x, y)
    if x <= 0 then return 0.0 end
    if y <= 0 then return 1.0 end
    local front = math.exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * math.log(x) + b * math.log(y))
    if x < (a + 1) / (a + b + 2) then return front * beta_fraction(a, b, x) / a end
    return 1 - front * beta_fraction(b, a, y) / b
end

---The t of Student's distribution with which P(|T| <= t) = level.
---@param level number between 0 and 1
---@param df number degrees of freedom, above 0
---@return number
function m.student(level, df)
    local outside = 1 - level
    local function tail(t)
        local all = df + t * t
        return incomplete_beta(df / 2, 0.5, df / all, t * t / all)
    end
    local low, high = 0.0, 1.0
    while tail(high) > outside and high < 1e300 do low, high = high, 2 * high end
    for _ = 1, 200 do
        local middle = (low + high) / 2
        if middle <= low or middle >= high then break end
        if tail(middle) > outside then low = middle else high = middle end
    end
    return (low + high) / 2
end

local function check_level(level, where)
    level = level or 0.95
    if type(level) ~= "number" or not (level > 0 and level < 1) then
        error(("%s: level is %s, expected a number between 0 and 1"):format(where, tostring(level)), 3)
    end
    return level
end

---The interval that holds the mean with that probability, for at least three values; else nil and why there is none.
---@param level? number (0.95)
---@return number? low
---@return number|string high
function Sample:interval(level)
    level = check_level(level, "sample:interval")
    local values, _, why = self:values()
    if not why and #values < 3 then
        why = ("%d seed%s, an interval needs 3"):format(#values, #values == 1 and "" or "s")
        note(why)
    end
    if why then return nil, why end
    local half = m.student(level, #values - 1) * math.sqrt(variance(values) / #values)
    local centre = mean(values)
    return centre - half, centre + half
end

---The difference of two means whose samples have nothing in common, not even seeds (Welch 1947): difference and interval.
---@param a Sample
---@param b Sample
---@param level? number (0.95)
---@return number difference
---@return number? low
---@return number|string high
---@return number? df
function m.unpaired(a, b, level)
    level = check_level(level, "study.unpaired")
    if not is_sample(a) or not is_sample(b) then error("study.unpaired: expected two samples", 2) end
    local x, _, wrong_x = a:values()
    local y, _, wrong_y = b:values()
    local difference = mean(x) - mean(y)
    if wrong_x or wrong_y then return difference, nil, wrong_x or wrong_y end
    if #x < 2 or #y < 2 or #x + #y < 6 then return difference, nil, "an interval needs 3 seeds each" end
    local u, v = variance(x) / #x, variance(y) / #y
    if u + v == 0 then return difference, difference, difference end
    local df = (u + v) ^ 2 / (u ^ 2 / (#x - 1) + v ^ 2 / (#y - 1))
    local half = m.student(level, df) * math.sqrt(u + v)
    return difference, difference - half, difference + half, df
end

---What a claim may be judged by: the mean of a is no further from that of b than b's values are from each other.
---@param a Sample
---@param b Sample at least 3 seeds
---@return fun(): boolean?, string?
function m.within(a, b)
    if not is_sample(a) or not is_sample(b) then error("study.within: expected two samples", 2) end
    return function()
        local x, y = a:values(), b:values()
        if #y < 3 then
            note(("%d seed%s, a spread needs 3"):format(#y, #y == 1 and "" or "s"))
            return nil
        end
        local low, high = math.min(table.unpack(y)), math.max(table.unpack(y))
        return math.abs(mean(x) - mean(y)) <= high - low, ("%.4g; the other %.4g, %.4g to %.4g"):format(mean(x), mean(y), low, high)
    end
end

local function short(value) return ("%.4g"):format(value) end

function Sample:__tostring()
    local ok, values = pcall(self.values, self)
    if not ok or #values == 0 then return "sample, not measured" end
    local low, high = self:interval()
    return ("sample  %s%s  (%d seeds)"):format(short(mean(values)), low and (" [%s, %s]"):format(short(low), short(high)) or "", #values)
end

---Number, mean, deviation and interval of values, as tables show them; nothing of none.
---@return {n: integer, mean: number, std: number?, low: number?, high: number?}?
function m.statistics(values)
    if #values == 0 then return nil end
    local all = m.of(values)
    local low, high = all:interval()
    return {n = #values, mean = all:mean(), std = #values > 1 and all:std() or nil, low = low, high = low and high or nil}
end

---The best mean of a column of statistics, nothing where none is better than another.
---@param column {mean: number}[]
---@param better "more" | "less" | nil
---@return number?
function m.best(column, better)
    local least, most = math.huge, -math.huge
    for _, statistics in ipairs(column) do
        if statistics.mean == statistics.mean then
            least, most = math.min(least, statistics.mean), math.max(most, statistics.mean)
        end
    end
    return least < most and (better == "more" and most or better == "less" and least) or nil
end

-- ---- verdicts ----

local function against(claim, low, high)
    if claim.at_least then return low >= claim.at_least, high < claim.at_least end
    if claim.at_most then return high <= claim.at_most, low > claim.at_most end
    return low >= claim.between[1] and high <= claim.between[2], high < claim.between[1] or low > claim.between[2]
end

local function judge_sample(claim, sample)
    local values, seeds, why = sample:values()
    local out = {values = values, seeds = seeds, mean = mean(values), verdict = "undecided"}
    if why then
        out.why = why
        return out
    end
    local low, high
    if claim.exact then             -- no chance in it: every value must say so
        low, high = math.min(table.unpack(values)), math.max(table.unpack(values))
        local holds = against(claim, low, high)
        out.verdict = holds and "holds" or "fails"
        return out
    end
    low, high = sample:interval(claim.level)
    if not low then
        out.why = high
        return out
    end
    out.low, out.high = low, high
    local holds, fails = against(claim, low, high)
    out.verdict = holds and "holds" or fails and "fails" or "undecided"
    return out
end

local function judge_function(f)
    local ok, value, words = pcall(f)
    local seen = notes
    local out = {verdict = "undecided", words = ok and words ~= nil and tostring(words) or nil}
    if not ok then
        out.why = tostring(value)
    elseif #seen > 0 then
        out.why = table.concat(seen, "; ")
    elseif type(value) ~= "boolean" then
        out.why = ("the function returned %s, expected true or false"):format(tostring(value))
    else
        out.verdict = value and "holds" or "fails"
    end
    return out
end

---What the values say of a claim {text, sample | function, at_least = | at_most = | between =, level =, exact =}.
---@param claim table
---@return {verdict: "holds"|"fails"|"undecided"|"not measured", why: string?, words: string?, mean: number?, low: number?, high: number?}
function m.judge(claim)
    local outer = notes
    notes = {}
    local out = type(claim[2]) == "function" and judge_function(claim[2]) or judge_sample(claim, claim[2])
    if notes.unmeasured then out = {verdict = "not measured", why = notes.unmeasured} end
    notes = outer
    return out
end

-- ---- the paired bootstrap ----

---Two systems on the same test examples (Koehn 2004): `metric` of both on resampled test sets. `wins` is the share of them on which
---a is better; `p` the probability of a difference as large if there were none, from the spread of the differences.
---@param a any[] what system a did on each example
---@param b any[] what system b did on the same
---@param metric fun(items: any[]): number more is better
---@param options? {resamples: integer?, seed: integer?, level: number?}
---@return {a: number, b: number, difference: number, low: number, high: number, wins: number, p: number}
function m.bootstrap(a, b, metric, options)
    options = options or {}
    if type(a) ~= "table" or type(b) ~= "table" then error("study.bootstrap: a and b must be lists of what was done on each example", 2) end
    if #a ~= #b or #a == 0 then
        error(("study.bootstrap: a has %d examples, b %d, expected as many of both"):format(#a, #b), 2)
    end
    if type(metric) ~= "function" then error("study.bootstrap: metric is a " .. type(metric) .. ", expected a function", 2) end
    for name in pairs(options) do
        if name ~= "resamples" and name ~= "seed" and name ~= "level" then
            error(("study.bootstrap: unknown option '%s' (known: resamples, seed, level)%s"):format(tostring(name),
                require "attn.fields".suggest(name, {"resamples", "seed", "level"})), 2)
        end
    end
    local count, level = options.resamples or 1000, check_level(options.level, "study.bootstrap")
    if math.type(count) ~= "integer" or count < 1 then
        error(("study.bootstrap: resamples is %s, expected an integer above 0"):format(tostring(count)), 2)
    end
    local out = {a = metric(a), b = metric(b), wins = 0}
    out.difference = out.a - out.b
    local draw, n, differences = data.random(options.seed or 1), #a, {}
    for r = 1, count do
        local x, y = {}, {}
        for i = 1, n do
            local k = draw(n)
            x[i], y[i] = a[k], b[k]
        end
        differences[r] = metric(x) - metric(y)
        if differences[r] > 0 then out.wins = out.wins + 1 / count end
    end
    local centre, beyond = mean(differences), 0
    for _, d in ipairs(differences) do
        if d ~= d then error("study.bootstrap: metric gave NaN on a resampled test set", 2) end
        if math.abs(d - centre) >= math.abs(out.difference) then beyond = beyond + 1 end
    end
    out.p = (beyond + 1) / (count + 1)
    table.sort(differences)
    local function quantile(q) return differences[math.max(1, math.min(count, math.ceil(q * count)))] end
    out.low, out.high = quantile((1 - level) / 2), quantile((1 + level) / 2)
    return out
end

attn.describe{name = "study.sample", signature = "sample{value, ...} -> sample over seeds",
    help = "A sample of numbers, one for each seed, as the values of a table's row are: + - * / pair by seed, s:mean(),\n"
        .. "s:std() (n - 1), s:interval(level = 0.95) is Student's for at least 3 seeds, else nil and why; s:values().",
    example = 'local study = require "attn.study"\nlocal gain = study.sample{0.8, 0.9, 0.85} - study.sample{0.7, 0.75, 0.8}\nprint(gain:mean(), gain:interval())'}
attn.describe{name = "study.unpaired", signature = "unpaired(a, b, level = 0.95) -> difference, low, high, df",
    help = "The difference of the means of two samples that share no seeds, with the interval of Welch (1947). What shares\n"
        .. "seeds is paired: (a - b):interval() is narrower.",
    example = 'local study = require "attn.study"\nprint(study.unpaired(study.sample{1, 2, 3}, study.sample{2, 4, 6}))'}
attn.describe{name = "study.within", signature = "within(a, b) -> function",
    help = "For study:claim: that the mean of sample a is no further from b's than b's values are from each other (their range over at\n"
        .. "least 3 seeds): a cheaper way of doing the same ends where it did.",
    example = 'local study = require "attn.study"\nlocal same = study.within(study.sample{2.05, 2.04, 2.06}, study.sample{2.04, 2.06, 2.05})\n'
        .. 'print(same())'}
attn.describe{name = "study.bootstrap", signature = "bootstrap(a, b, metric, {resamples = 1000, seed = 1, level = 0.95}) -> table",
    help = "Compares two systems on the same test examples (Koehn 2004): a and b are lists of what each did on an example,\n"
        .. "metric(list) a number, more is better. Gives a, b, difference, low and high (its interval over resampled test\n"
        .. "sets), wins (the share of them on which a is better) and p (of so large a difference if there were none).",
    example = 'local study = require "attn.study"\nlocal function accuracy(list)\n    local sum = 0\n    for _, right in ipairs(list) do sum = sum + right end\n'
        .. '    return sum / #list\nend\nprint(study.bootstrap({1, 1, 0, 1}, {0, 1, 0, 1}, accuracy).p)'}

return m
