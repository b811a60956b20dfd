-- The gradients of a layer in float64 with respect to every input and every parameter, against finite differences.
-- call(layer, ...inputs) gives what is differentiated; without it the layer is called.
local t = require "attn.test"

return function(layer, inputs, call)
    layer:to("float64")
    local names, values, n = {}, table.move(inputs, 1, #inputs, 1, {}), #inputs
    for name, p in layer:named_parameters() do
        names[#names + 1] = name
        values[#values + 1] = p:detach():clone()
    end
    t.gradient(function(...)
        for k, name in ipairs(names) do layer[name] = select(n + k, ...) end
        if call then return call(layer, ...) end
        return layer(table.unpack({...}, 1, n))
    end, values)
end
