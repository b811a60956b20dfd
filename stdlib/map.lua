-- attn.map: an element-wise function of the script's own over tensors, in one pass, with gradient.
local attn = require "attn"
local expression = require "attn.expression"
local fields = require "attn.fields"
local internal = require "attn.internal"

attn.describe{name = "map", signature = "map(fn, tensor, ...) -> tensor",
    help = "fn(x, ...) element by element over float tensors that broadcast (numbers too), in one pass and without results in\n"
        .. "between, with gradient. fn is called with symbols: operators, comparisons (a:lt(b)), & | ~, attn.where and the\n"
        .. "element-wise functions build an expression, whose numbers may be upvalues; an if on a symbol, or a tensor that is no\n"
        .. "argument, is an error. fn may run once for many calls, so it depends on its arguments and upvalues alone.",
    example = "local function swish(x, beta) return x * (beta * x):sigmoid() end\n"
        .. "local x = attn.randn(2, 3):requires_grad_(true)\n"
        .. "attn.map(swish, x, attn.tensor{1, 2, 3}):sum():backward()"}

-- Programs by function, as long as what it captured is the same. A function that captured a table may read anything: it is called again.
local known = setmetatable({}, {__mode = "k"})

local function captures(fn)
    local values = {n = 0}
    while true do
        local name, value = debug.getupvalue(fn, values.n + 1)
        if not name then return values end
        local kind = type(value)
        if value ~= attn and kind ~= "number" and kind ~= "string" and kind ~= "boolean" and kind ~= "nil" then return nil end
        values.n = values.n + 1
        values[values.n] = value
    end
end

local function same(a, b)
    for k = 1, a.n do
        if a[k] ~= b[k] or math.type(a[k]) ~= math.type(b[k]) then return false end
    end
    return true
end

local function compile(fn, count, numbers)
    local made = expression.trace("map", fn, "float", "the arguments of fn", function()
        local symbols, input = {}, 0
        for k = 1, count do
            if numbers[k] then
                symbols[k] = numbers[k]
            else
                symbols[k] = expression.wrap(expression.leaf("input", "float", expression.PAIR, input))
                input = input + 1
            end
        end
        return symbols
    end)
    local inputs = count
    for _ in pairs(numbers) do inputs = inputs - 1 end
    return {expression.programs(made, inputs)}
end

---@return any
return function(fn, ...)
    if type(fn) ~= "function" then internal.raise("map: fn is " .. fields.describe(fn) .. ", expected a function") end
    local count, tensors, numbers = select("#", ...), {}, {}
    for k = 1, count do
        local x = select(k, ...)
        if type(x) == "number" then numbers[k] = x
        elseif internal.kind(x) == "tensor" then tensors[#tensors + 1] = x
        else internal.raise(("map: argument %d is %s, expected a tensor or a number"):format(k, fields.describe(x))) end
    end
    if #tensors == 0 then internal.raise "map: there is no tensor among the arguments" end
    local values = next(numbers) == nil and captures(fn) or nil
    local entry = values and known[fn]
    if not entry or entry.count ~= count or not same(entry.values, values) then
        entry = {count = count, values = values, programs = compile(fn, count, numbers)}
        if values then known[fn] = entry end
    end
    return internal.map(entry.programs[1], entry.programs[2], tensors)
end
