-- attn.parameter: a tensor that is trained, for the fields of a module.
local attn = require "attn"
local internal = require "attn.internal"

attn.describe{name = "parameter", signature = "parameter(size..., {dtype =}) | parameter(tensor) -> tensor",
    help = "A tensor of its own that requires a gradient: zeros of a size (attn.init fills it), or a copy of a tensor.\n"
        .. "In a field of a module it is one of its parameters.",
    example = "local scale = attn.parameter(attn.ones(8))"}

---@return any
return function(...)
    local first = ...
    if internal.kind(first) == "tensor" then
        if select("#", ...) > 1 then error("parameter: a tensor goes alone, expected no further arguments", 2) end
        if first.dtype ~= "float32" and first.dtype ~= "float64" then
            error(("parameter: tensor is %s, expected float32 or float64"):format(first.dtype), 2)
        end
        return first:detach():clone():requires_grad_(true)
    end
    local t = attn.zeros(...)
    if t.dtype ~= "float32" and t.dtype ~= "float64" then
        error(("parameter: dtype is %s, expected float32 or float64"):format(t.dtype), 2)
    end
    return t:requires_grad_(true)
end
