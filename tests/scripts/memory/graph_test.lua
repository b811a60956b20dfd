-- Graph attention: gradients, who sees whom, a layer by its formula.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local graph = require "memory.graph"

local edges = {{1, 2}, {2, 3}, {3, 4}, {5, 6}}           -- a path of four nodes, and a pair

t.case("near: one step and two steps away, each its rows and its mask", function()
    local near = graph.near(edges, 6, {1})
    t.equal(near.ids:totable(), {1, 2, 3})
    t.equal(near.layers[2].rows:totable(), {1})
    t.equal(near.layers[2].mask:totable(), {{true, true}})
    t.equal(near.layers[1].rows:totable(), {1, 2})
    t.equal(near.layers[1].mask:totable(), {{true, true, false}, {true, true, true}})
end)

local function network(c)
    attn.seed(4)
    c.inputs, c.classes, c.hidden = 3, 2, 4
    return graph.Network(c):to "float64"
end

local kinds = {none = {}, heads = {heads = 2, attention = {score = "general"}},
    mean = {uniform = true, attention = {score = "dot"}}}
for name, c in pairs(kinds) do
    t.case(name .. ": gradient; two steps away counts, three do not", function()
        local model, near = network(c), graph.near(edges, 6, {1, 5})
        local x = attn.randn(6, 3, {dtype = "float64"})
        local function logits(features) return (model(features:index_select(1, near.ids), near)) end
        local ok, report = attn.checkgrad(function() return logits(x) end, model:parameters())
        t.is_true(ok, report)
        local before = logits(x):totable()
        local function moved(node)
            local y = x:clone()
            y[node] = y[node] + 1
            return logits(y):totable()
        end
        t.equal(moved(4), before)
        t.equal(moved(3)[2], before[2])
        t.equal(moved(3)[1][1] ~= before[1][1], name ~= "none")
    end)
end

t.case("all of the same weight: elu of the mean over neighbours, in plain Lua", function()
    local model, near = network(kinds.mean), graph.near({{1, 2}}, 2, {1, 2})
    local x = attn.randn(2, 3, {dtype = "float64"})
    local function elu(v) return v > 0 and v or math.exp(v) - 1 end
    local h = model.first(x):elu():totable()
    for _ = 1, 2 do
        local mean = {}
        for k = 1, 4 do mean[k] = elu((h[1][k] + h[2][k]) / 2) end
        h = {mean, mean}
    end
    local _, weights = model(x, near, true)
    t.near(model(x, near):totable(), model.out(attn.tensor(h, {dtype = "float64"})):totable(), 1e-12)
    t.near(weights:totable(), {{{0.5, 0.5}, {0.5, 0.5}}}, 1e-12)
end)
