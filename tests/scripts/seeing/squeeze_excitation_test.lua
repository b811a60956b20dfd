-- Squeeze and excitation: gradient, a gate by its formula; channels of noise are those at the end.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.squeeze_excitation"

t.case("gates: gradient; sigmoid(W2 relu(W1 mean)), in plain Lua", function()
    attn.seed(1)
    local gates = paper.Gates{channels = 4, reduction = 2}:to "float64"
    local x = attn.randn(2, 4, 2, 3, {dtype = "float64"})
    local ok, report = attn.checkgrad(function(u) return (gates(u)) end, {x})
    t.is_true(ok, report)
    ok, report = attn.checkgrad(function() return (gates(x)) end, gates:parameters())
    t.is_true(ok, report)
    local function apply(linear, z, f)
        local W, b, out = linear.weight:totable(), linear.bias:totable(), {}
        for i = 1, #W do
            out[i] = b[i]
            for c = 1, #z do out[i] = out[i] + W[i][c] * z[c] end
            out[i] = f(out[i])
        end
        return out
    end
    local hidden = apply(gates.first, x[2]:mean({2, 3}):totable(), function(v) return math.max(0, v) end)
    local s = apply(gates.second, hidden, function(v) return 1 / (1 + math.exp(-v)) end)
    local y, got = gates(x)
    t.near(got[2]:totable(), s, 1e-12)
    t.near(y[2][3]:totable(), (x[2][3] * s[3]):totable(), 1e-12)
end)

t.case("the network: gradient; noise reaches the last channels only", function()
    attn.seed(2)
    local model = paper.Network{channels = 3, inputs = 1, noise = 0.3, std = 2, reduction = 1, side = 4, gates = true}:to "float64"
    local x = attn.rand(2, 1, 4, 4, {dtype = "float64"})
    local ok, report = attn.checkgrad(function()
        attn.seed(7)
        return (model(x))
    end, model:parameters())
    t.is_true(ok, report)
    t.equal(model.first.weight.shape, {2, 1, 3, 3})
    local seen, gates = nil, model.gates
    model.gates = setmetatable({}, {__call = function(_, h)
        seen = h
        return gates(h)
    end})
    model(x * 0)
    t.near(seen[1][1]:totable(), seen[2][1]:totable(), 1e-12)           -- the same picture: only the last channel differs
    t.is_true((seen[1][3] - seen[2][3]):abs():min():item() > 0)
end)
