-- attn.checkpoint: a function whose activations are computed again in the backward pass instead of being kept (Chen et al. 2016).
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

attn.describe{name = "checkpoint", signature = "checkpoint(fn, ...) -> results",
    help = "fn(...), of which the graph keeps the arguments only: backward calls fn once more, with the same random numbers, so the\n"
        .. "gradients have the same bits. Results are tensors. A tensor among the arguments must carry a gradient for fn's\n"
        .. "parameters to get theirs; fn itself must not depend on anything that changes in between.",
    example = "local layer = attn.layer.linear{inputs = 4, outputs = 4}\n"
        .. "attn.checkpoint(layer, attn.randn(2, 4):requires_grad_(true)):sum():backward()"}

local function is_float(x) return internal.kind(x) == "tensor" and (x.dtype == "float32" or x.dtype == "float64") end

-- Runs fn with the generator in a state of before, and puts it back where it was.
local function replay(random, fn, ...)
    local now = attn.random_state()
    attn.random_state(random)
    local results = table.pack(pcall(fn, ...))
    attn.random_state(now)
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
end

local call = attn.custom{
    forward = function(ctx, fn, ...)
        ctx.fn, ctx.arguments, ctx.random = fn, table.pack(...), attn.random_state()
        return attn.no_grad(fn, ...)
    end,
    backward = function(ctx, ...)
        local gradients, inputs = table.pack(...), {n = ctx.arguments.n}
        for k = 1, inputs.n do
            local x = ctx.arguments[k]
            inputs[k] = is_float(x) and x:detach():requires_grad_(x.requires_grad) or x
        end
        replay(ctx.random, internal.recorded, function()
            local results = table.pack(ctx.fn(table.unpack(inputs, 1, inputs.n)))
            local total
            for k = 1, results.n do
                if gradients[k] and is_float(results[k]) then
                    local term = (results[k] * gradients[k]):sum()
                    total = total and total + term or term
                end
            end
            if total then total:backward() end
        end)
        local out = {}
        local n = 0
        for k = 1, inputs.n do              -- one of each tensor, other arguments have none
            if internal.kind(inputs[k]) == "tensor" then
                n = n + 1
                out[n] = is_float(inputs[k]) and inputs[k].grad or nil
            end
        end
        return table.unpack(out, 1, n)
    end,
}

---@return any
return function(fn, ...)
    local kind, meta = internal.kind(fn), getmetatable(fn)
    if type(fn) ~= "function" and kind ~= "layer" and kind ~= "module" and not (type(meta) == "table" and meta.__call) then
        error("checkpoint: fn is " .. fields.describe(fn) .. ", expected a function", 2)
    end
    return call(fn, ...)
end
