local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

-- x with the channel last, as rows [n, channels]
local function rows(x, dim, channels)
    local order = {}
    for d = 1, x:dim() do
        if d ~= dim then order[#order + 1] = d end
    end
    order[#order + 1] = dim
    return x:permute(table.unpack(order)):reshape(-1, channels)
end

t.case("training is its definition, wherever the channel stands, also far from 0", function()
    for _, shape in ipairs{{3, 40, 17}, {5, 3, 2}, {700, 3}, {2, 3, 5, 7}} do
        for dim = 1, #shape do
            local C = shape[dim]
            local layer = attn.layer.batchnorm{channels = C, dim = dim, momentum = 0.3}:to "float64"
            local x = attn.randn(shape, F64) * 2 + 1000
            attn.no_grad(function() layer.weight:copy_(attn.randn(C, F64)) layer.bias:copy_(attn.randn(C, F64)) end)
            local r = rows(x, dim, C)
            local mean, var, n = r:mean(1), r:var(1), r:size(1)
            local expected = (r - mean) / (var * ((n - 1) / n) + 1e-5):sqrt() * layer.weight + layer.bias
            t.near(rows(layer(x), dim, C), expected, 1e-9)
            t.near(layer.running_mean, mean * 0.3, 1e-9)
            t.near(layer.running_var, var * 0.3 + 0.7, 1e-9)
        end
    end
end)

t.case("float32 keeps its digits far from 0", function()
    for _, dim in ipairs{2, -1} do
        local layer = attn.layer.batchnorm{channels = 4, dim = dim}
        local x = attn.randn(50, 4, dim == 2 and 300 or 4, F64) * 0.5 + 300
        local single = x:to "float32"
        local r = rows(single:to "float64", dim == 2 and 2 or 3, 4)
        local expected = (r - r:mean(1)) / (r:var(1) * ((r:size(1) - 1) / r:size(1)) + 1e-5):sqrt()
        t.near(rows(layer(single), dim == 2 and 2 or 3, 4):to "float64", expected, 1e-4)
    end
end)

t.case("evaluation uses the buffers and leaves them", function()
    local layer = attn.layer.batchnorm{channels = 2}
    layer(attn.randn(5, 2, 3) * 3 + 1)
    layer:eval()
    local mean, var = layer.running_mean:clone(), layer.running_var:clone()
    local x = attn.randn(4, 2, 3)
    t.near(layer(x), (x - mean:reshape(2, 1)) / (var:reshape(2, 1) + 1e-5):sqrt(), 1e-5)
    t.equal(layer.running_mean, mean:totable())
    t.equal(layer.running_var, var:totable())
    layer(attn.randn(1, 2))          -- one value per channel
end)

t.case("the buffers are state, no parameters, and are saved and loaded", function()
    local layer = attn.layer.batchnorm{channels = 2}
    t.equal(#layer:parameters(), 2)
    layer(attn.randn(5, 2))
    local other = attn.layer.batchnorm{channels = 2}
    other:load(layer:state())
    t.equal(other.running_var, layer.running_var:totable())
    t.equal(layer:state().running_mean.shape, {2})
end)

t.case("a buffer that is a view of another tensor is updated there", function()
    local layer, shared = attn.layer.batchnorm{channels = 2}, attn.zeros(2, 2)
    layer.running_mean = shared:select(2, 1)
    layer(attn.full({3, 2}, 5) + attn.randn(3, 2))
    t.is_true(shared[1][1]:item() > 0.2 and shared[1][2]:item() == 0)
end)

t.case("errors", function()
    local layer = attn.layer.batchnorm{channels = 3}
    t.raises("batchnorm: x has 2 channels along dimension 2, expected 3 (x: float32 [4, 2])", function() layer(attn.zeros(4, 2)) end)
    t.raises("batchnorm: x has 1 dimensions, expected dimension 2 to be the channel", function() layer(attn.zeros(3)) end)
    t.raises("batchnorm: x has 1 value per channel, expected at least 2 in training (x: float32 [1, 3])", function()
        layer(attn.zeros(1, 3))
    end)
    t.raises("batchnorm: dim is 0", attn.layer.batchnorm, {channels = 3, dim = 0})
    t.raises("batchnorm: momentum is 2", attn.layer.batchnorm, {channels = 3, momentum = 2})
    t.raises("batchnorm: x is float64, but the layer is float32", function() layer(attn.zeros(4, 3, F64)) end)
end)
