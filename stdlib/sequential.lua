-- attn.sequential: layers, modules and functions, one behind the other.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local Sequential = attn.module "Sequential"

function Sequential:init(list)
    self.steps = #list
    for k, step in ipairs(list) do self[tostring(k)] = step end
end

function Sequential:forward(...)
    local results = table.pack(...)
    for k = 1, self.steps do
        results = table.pack(self[tostring(k)](table.unpack(results, 1, results.n)))
    end
    return table.unpack(results, 1, results.n)
end

attn.describe{name = "sequential", signature = "sequential{step, ...} -> module",
    help = "A module that calls its steps (layers, modules, functions) in turn, each with all that the one before returned.\n"
        .. "Parameters are named by place: 1.weight, 1.bias, 3.weight ...",
    example = "local net = attn.sequential{attn.layer.linear{inputs = 4, outputs = 8}, attn.tanh, attn.layer.linear{inputs = 8, outputs = 2}}"}

---@param list table
---@return any
return function(list)
    if type(list) ~= "table" then error("sequential: argument is " .. fields.describe(list) .. ", expected a list of steps", 2) end
    for key in pairs(list) do
        if math.type(key) ~= "integer" or key < 1 or key > #list then
            error(("sequential: unknown field '%s', expected a list of steps"):format(tostring(key)), 2)
        end
    end
    for k, step in ipairs(list) do
        local kind, meta = internal.kind(step), getmetatable(step)
        if kind ~= "layer" and kind ~= "module" and type(step) ~= "function" and not (type(meta) == "table" and meta.__call) then
            error(("sequential: step %d is %s, expected a layer, a module or a function"):format(k, fields.describe(step)), 2)
        end
    end
    return Sequential(list)
end
