-- show_scale: an axis: from where to where, its ticks, and where on it a value lies.
--
-- Linear ticks are multiples of 1, 2 or 5 times a power of ten; logarithmic ones powers of ten, or 1, 2 and 5 times
-- these where there are few. An axis of equal values is widened around them; one without values goes from 0 to 1, or 1
-- to 10.
local m = {}

local function finite(value) return type(value) == "number" and value == value and math.abs(value) < math.huge end

-- 1e+05 as 1e5
local function short(text) return (text:gsub("e([+-])0", "e%1"):gsub("e%+", "e")) end

-- As few digits as tell the ticks apart.
local function words(ticks, step)
    local most = 0
    for _, value in ipairs(ticks) do most = math.max(most, math.abs(value)) end
    if most ~= 0 and (most >= 1e6 or step < 1e-4) then
        local digits = math.max(0, math.floor(math.log(most, 10) + 1e-9) - math.floor(math.log(step, 10) + 1e-9))
        return function(value)
            return value == 0 and "0" or short(("%." .. digits .. "e"):format(value))
        end
    end
    local digits = math.max(0, -math.floor(math.log(step, 10) + 1e-9))
    return function(value) return ("%." .. digits .. "f"):format(value) end
end

local function linear(low, high, count)
    local rough = (high - low) / math.max(1, count)
    local power = 10.0 ^ math.floor(math.log(rough, 10))
    local step = 10 * power
    for _, factor in ipairs{1, 2, 5} do
        if factor * power >= rough * (1 - 1e-9) then
            step = factor * power
            break
        end
    end
    local values = {}
    for k = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do values[#values + 1] = k * step + 0.0 end
    local word = words(values, step)
    local ticks = {}
    for i, value in ipairs(values) do ticks[i] = {value, (word(value):gsub("^%-(0%.?0*)$", "%1"))} end
    return ticks
end

local function plain(value)
    if value >= 1e-3 and value < 1e6 then return ("%.10g"):format(value) end
    return short(("%.0e"):format(value))
end

local function logarithmic(low, high, count)
    local first, last = math.floor(math.log(low, 10) + 1e-9), math.ceil(math.log(high, 10) - 1e-9)
    local factors = last - first <= 3 and {1, 2, 5} or {1}
    local every = math.max(1, math.ceil((last - first) / math.max(1, count)))
    local ticks = {}
    for k = first, last, every do
        for _, factor in ipairs(factors) do
            local value = factor * 10.0 ^ k
            if value >= low * (1 - 1e-9) and value <= high * (1 + 1e-9) then
                ticks[#ticks + 1] = {value, plain(value)}
            end
        end
    end
    return #ticks >= 2 and ticks or linear(low, high, count)
end

---An axis over values (what is no finite number, or on a logarithmic one not above 0, does not count).
---@param values number[]
---@param cfg {log: boolean?, low: number?, high: number?, count: integer?} low, high fix an end; count of ticks
---@return {low: number, high: number, ticks: any[], share: fun(value: number): number?}
function m.new(values, cfg)
    local function usable(value) return finite(value) and (not cfg.log or value > 0) end
    local low, high = math.huge, -math.huge
    for _, value in ipairs(values) do
        if usable(value) then low, high = math.min(low, value), math.max(high, value) end
    end
    if low > high then low, high = cfg.log and 1 or 0, cfg.log and 10 or 1 end
    if usable(cfg.low) then low = cfg.low end
    if usable(cfg.high) then high = cfg.high end
    if low > high then low, high = high, low end
    if not (high - low > math.abs(high) * 1e-12) then
        if cfg.log then
            low, high = low / 2, high * 2
        else
            local by = low == 0 and 1 or math.abs(low) * 0.5
            low, high = low - by, high + by
        end
    end
    local scale = {low = low, high = high}
    scale.ticks = (cfg.log and logarithmic or linear)(low, high, cfg.count or 5)
    local a, b = cfg.log and math.log(low) or low, cfg.log and math.log(high) or high
    ---0 at the low end, 1 at the high one; nil for what has no place.
    function scale.share(value)
        if not usable(value) then return nil end
        return ((cfg.log and math.log(value) or value) - a) / (b - a)
    end
    return scale
end

return m
