local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

t.case("it is its definition", function()
    for _, shape in ipairs{{3, 6, 5, 7}, {2, 6}, {4, 6, 1}, {1, 6, 40}} do
        for _, groups in ipairs{1, 2, 3, 6} do
            local layer = attn.layer.groupnorm{channels = 6, groups = groups, eps = 0.1}:to "float64"
            attn.no_grad(function() layer.weight:copy_(attn.randn(6, F64)) layer.bias:copy_(attn.randn(6, F64)) end)
            local x = attn.randn(shape, F64) * 2 + 30
            local r = x:reshape(shape[1], groups, -1)
            local centred = r - r:mean(3, true)
            local h = (centred / ((centred * centred):mean(3, true) + 0.1):sqrt()):reshape(shape[1], 6, -1)
            t.near(layer(x):reshape(shape[1], 6, -1), h * layer.weight:reshape(6, 1) + layer.bias:reshape(6, 1), 1e-10)
        end
    end
end)

t.case("of nothing there is nothing", function()
    local layer = attn.layer.groupnorm{channels = 4, groups = 2}
    local x = attn.zeros(0, 4, 3):requires_grad_(true)
    layer(x):sum():backward()
    t.equal(layer.weight.grad, {0, 0, 0, 0})
    t.equal(layer(attn.zeros(2, 4, 0)).shape, {2, 4, 0})
end)

t.case("errors", function()
    t.raises("groupnorm: channels is 4, expected a multiple of groups, 3", attn.layer.groupnorm, {channels = 4, groups = 3})
    local layer = attn.layer.groupnorm{channels = 4, groups = 2}
    t.raises("groupnorm: x has 3 channels, expected 4 (x: float32 [2, 3])", function() layer(attn.zeros(2, 3)) end)
    t.raises("groupnorm: x has 1 dimension, expected at least 2", function() layer(attn.zeros(4)) end)
end)
