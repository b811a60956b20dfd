-- attn.allclose: whether two tensors are the same but for rounding.
local attn = require "attn"

local function check(name, value)
    if getmetatable(value) ~= "tensor" then
        error(("allclose: %s is a %s, expected a tensor"):format(name, type(value)), 3)
    end
end

---Whether |a - b| <= atol + rtol |b| everywhere, after broadcasting. Equal infinities are close, NaN is close to nothing.
---@param a any
---@param b any
---@param options? {rtol: number, atol: number}
---@return boolean
local function allclose(a, b, options)
    check("a", a)
    check("b", b)
    local tolerance = {rtol = 1e-5, atol = 1e-8}
    if options ~= nil and type(options) ~= "table" then error("allclose: options are a " .. type(options) .. ", expected a table", 2) end
    for name, value in pairs(options or {}) do
        if not tolerance[name] then
            error(("allclose: unknown option '%s' (known: rtol, atol)%s"):format(tostring(name),
                require "attn.fields".suggest(name, {"rtol", "atol"})), 2)
        elseif type(value) ~= "number" then
            error(("allclose: %s is a %s, expected a number"):format(name, type(value)), 2)
        end
        tolerance[name] = value
    end
    return attn.no_grad(function()
        if a.dtype ~= b.dtype then
            error(("allclose: b is %s, but a is %s"):format(b.dtype, a.dtype), 4)
        end
        local same = a:eq(b)
        if a.dtype == "int64" or a.dtype == "bool" then a, b = a:to("float64"), b:to("float64") end
        return (same | ((a - b):abs():le(b:abs() * tolerance.rtol + tolerance.atol) & b:isfinite())):all():item()
    end)
end

attn.describe{name = "allclose", signature = "allclose(a, b, {rtol = 1e-5, atol = 1e-8}) -> boolean",
    help = "Whether |a - b| <= atol + rtol |b| for every element, after broadcasting. Equal infinities are close, NaN never is.",
    example = 'attn.allclose(attn.ones(3), attn.ones(3) + 1e-7)   --> true'}

return allclose
