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

t.case("near: in the order asked for, without edges each sees itself", function()
    local near = graph.near({}, 6, {5, 2})
    t.equal(near.ids:totable(), {2, 5})
    t.equal(near.layers[2].rows:totable(), {2, 1})
    t.equal(near.layers[2].mask:totable(), {{false, true}, {true, false}})
end)

local function network(c)
    attn.seed(4)
    c.inputs, c.classes, c.hidden = 3, 2, 4
    return graph.Network(c):to "float64"
end

for name, c in pairs{["one head"] = {}, ["two heads"] = {heads = 2}, mean = {uniform = true}} do
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
        t.is_true(moved(3)[1][1] ~= before[1][1])
    end)
end

t.case("some nodes by themselves answer as in the whole graph", function()
    local model, x = network{heads = 2}, attn.randn(6, 3, {dtype = "float64"})
    local function logits(nodes)
        local near = graph.near(edges, 6, nodes)
        return (model(x:index_select(1, near.ids), near)):totable()
    end
    local all, some = logits{1, 2, 3, 4, 5, 6}, logits{4, 1}
    t.near(some, {all[4], all[1]}, 1e-12)
end)

t.case("a layer of two heads by its formula, in plain Lua", function()
    attn.seed(4)
    local layer = graph.Layer{inputs = 3, outputs = 4, heads = 2}:to "float64"
    local x, step = attn.randn(3, 3, {dtype = "float64"}), graph.near(edges, 6, {1}).layers[1]     -- 1 and 2 of 1, 2, 3
    local read, weights = layer(x, step, true)
    local h, mask, rows = layer.project(x):totable(), step.mask:totable(), step.rows:totable()
    for head = 1, 2 do
        local left, right = layer.left[head]:totable(), layer.right[head]:totable()
        local function part(node, with)
            return h[node][2 * head - 1] * with[1][1] + h[node][2 * head] * with[2][1]
        end
        for i, node in ipairs(rows) do
            local e, sum, first, second = {}, 0, 0, 0
            for j = 1, 3 do
                local score = part(node, left) + part(j, right)
                e[j] = mask[i][j] and math.exp(score > 0 and score or 0.2 * score) or 0
                sum, first, second = sum + e[j], first + e[j] * h[j][2 * head - 1], second + e[j] * h[j][2 * head]
            end
            t.near(weights[head][i]:totable(), {e[1] / sum, e[2] / sum, e[3] / sum}, 1e-12)
            t.near(read[i]:narrow(1, 2 * head - 1, 2):totable(), {first / sum, second / sum}, 1e-12)
        end
    end
end)

t.case("uniform: all neighbours weigh the same", function()
    local model, near = network{uniform = true}, graph.near({{1, 2}}, 2, {1, 2})
    local _, weights = model(attn.randn(2, 3, {dtype = "float64"}), near, true)
    t.near(weights:totable(), {{{0.5, 0.5}, {0.5, 0.5}}}, 1e-12)
end)
