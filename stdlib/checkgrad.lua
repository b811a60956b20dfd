-- attn.checkgrad: the gradients of a function against central differences, in float64.

-- Of a layer or module the parameters are checked too.

local attn = require "attn"
local internal = require "attn.internal"

--- One number of a tensor without dimensions or of one element.
local function number(t) return t:item() end

-- sum over the outputs of output * fixed random weights: one scalar that depends on every element
local function scalar(fn, inputs, weights)
    local outputs = table.pack(fn(table.unpack(inputs)))
    local total
    for k = 1, outputs.n do
        local y = outputs[k]
        if type(y) == "userdata" and (y.dtype == "float64" or y.dtype == "float32") then
            if not weights[k] then weights[k] = attn.randn(y.shape, {dtype = y.dtype}) end
            local term = (y * weights[k]):sum()
            total = total and total + term or term
        end
    end
    return total
end

-- "a tensor": a value, for messages
local function describe(value)
    return getmetatable(value) == "tensor" and "a tensor" or value == nil and "nil" or "a " .. type(value)
end

attn.describe{name = "checkgrad", signature = "checkgrad(fn, inputs, {eps = 1e-6, atol = 1e-6, rtol = 1e-5}) -> good, report",
    help = "Whether the gradients of fn(inputs ...) agree with central differences, and where they do not. inputs is a list of\n"
        .. "float64 tensors; of a layer or module as fn the parameters are checked too.",
    example = 'local x = attn.randn(2, 3, {dtype = "float64"})\nprint(attn.checkgrad(attn.softmax, {x}))'}

---@param fn function
---@param inputs table
---@param options? {eps: number, atol: number, rtol: number}
return function(fn, inputs, options)
    local call = getmetatable(fn)
    if type(fn) ~= "function" and not (type(call) == "table" and call.__call) and (type(fn) ~= "userdata" or call == "tensor") then
        error("checkgrad: fn is " .. describe(fn) .. ", expected a function", 2)
    end
    if type(inputs) ~= "table" then error("checkgrad: inputs are " .. describe(inputs) .. ", expected a list", 2) end
    if options ~= nil and type(options) ~= "table" then
        error("checkgrad: options are " .. describe(options) .. ", expected a table", 2)
    end
    options = options or {}
    for name in pairs(options) do
        if name ~= "eps" and name ~= "atol" and name ~= "rtol" then
            error(("checkgrad: unknown option '%s' (known: eps, atol, rtol)%s"):format(tostring(name),
                require "attn.fields".suggest(name, {"eps", "atol", "rtol"})), 2)
        end
    end
    local eps, atol, rtol = options.eps or 1e-6, options.atol or 1e-6, options.rtol or 1e-5
    local state = attn.random_state()
    local given, copies = {}, {}
    for k, x in ipairs(inputs) do
        local float = type(x) == "userdata" and (x.dtype == "float64" or x.dtype == "float32")
        if float and x.dtype ~= "float64" then
            error("checkgrad: input " .. k .. " is " .. x.dtype .. ", expected float64", 2)
        end
        copies[k] = float and x:detach():clone() or x
        given[k] = float
    end
    -- what is moved: inputs, and the parameters of a module; their gradients are put back
    local targets, kept = {}, {}
    for k, x in ipairs(copies) do
        if given[k] then targets[#targets + 1] = {"input " .. k, x} end
    end
    local kind = internal.kind(fn)
    if kind == "layer" or kind == "module" then
        for name, p in fn:named_parameters() do
            if p.dtype ~= "float64" then
                error(("checkgrad: parameter %s is %s, expected float64 (module:to \"float64\")"):format(name, p.dtype), 2)
            end
            targets[#targets + 1], kept[#kept + 1] = {"parameter " .. name, p}, {p, p.grad}
            p.grad = nil
        end
    end
    local weights = {}
    local report, good = {}, true
    -- weights are drawn after the state is noted, so that a function that draws numbers draws the same ones each time
    if not attn.no_grad(scalar, fn, copies, weights) then error("checkgrad: the function returned no float tensor", 2) end
    local function value()
        attn.random_state(state)
        return number(attn.no_grad(scalar, fn, copies, weights))
    end
    for k in ipairs(copies) do
        if given[k] then copies[k]:requires_grad_(true) end
    end
    attn.random_state(state)
    scalar(fn, copies, weights):backward()
    for _, target in ipairs(targets) do
        local what, x = target[1], target[2]
        local grad = x.grad and x.grad:clone() or attn.zeros(x.shape, {dtype = "float64"})
        local flat, g = x:detach():view(-1), grad:contiguous():view(-1)
        for i = 1, x:numel() do
            local before = flat[i]:item()
            local h = eps * math.max(1, math.abs(before))
            flat[i] = before + h
            local above = value()
            flat[i] = before - h
            local below = value()
            flat[i] = before
            local numeric, analytic = (above - below) / (2 * h), g[i]:item()
            local error_ = math.abs(numeric - analytic)
            if not (error_ <= atol + rtol * math.abs(numeric)) then
                good = false
                if #report < 8 then
                    report[#report + 1] = string.format("%s element %d: gradient %.10g, by differences %.10g", what, i,
                                                        analytic, numeric)
                end
            end
        end
    end
    for _, entry in ipairs(kept) do entry[1].grad = entry[2] end
    return good, table.concat(report, "\n")
end
