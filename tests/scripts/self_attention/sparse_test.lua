-- sparse: entmax against known values, sparsemax, entmax15 and softmax; its gradients; the pooling; marks whose share says nothing.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local sparse = require "self_attention.sparse"

local function number(value) return attn.tensor({value}, {dtype = "float64"}) end

t.case("entmax: known values, and alpha 1.5 and 2", function()
    local e = attn.tensor({-1, 0, 0.5}, {dtype = "float64"})
    t.near(sparse.entmax(e, number(1.33)), {0.0460, 0.3276, 0.6264}, 5e-5)
    local alpha = number(1.33):requires_grad_(true)
    sparse.entmax(e, alpha)[1]:backward()
    t.near(alpha.grad:item(), -0.2562, 5e-5)
    attn.seed(1)
    local rows = attn.randn(4, 6, {dtype = "float64"})
    rows[2][3] = -math.huge
    t.near(sparse.entmax(rows, number(2)), attn.sparsemax(rows), 1e-9)
    t.near(sparse.entmax(rows, number(1.5)), attn.entmax15(rows), 1e-9)
    t.near(sparse.entmax(rows, number(1.0001)), rows:softmax(-1), 1e-3)
end)

t.case("entmax: gradients of scores and alpha", function()
    for _, alpha in ipairs{1.2, 1.5, 2, 2.5} do
        attn.seed(2)
        local value = attn.randn(3, 5, {dtype = "float64"})
        t.gradient(function(e, a) return (sparse.entmax(e, a) * value):sum() end,
            {attn.randn(3, 5, {dtype = "float64"}), number(alpha)})
    end
end)

t.case("padding weighs nothing; gradients of the pooling", function()
    local ids, lengths = attn.data.pad{{1, 4, 2}, {3, 5}}
    for _, distribution in ipairs{"softmax", "sparsemax", "entmax15", "entmax", "sigmoid"} do
        attn.seed(1)
        local model = sparse.Pool{words = 5, classes = 3, dim = 4, readout = 3, encoder = true,
            distribution = distribution}
        model:to "float64"
        local _, weights = model(ids, lengths)
        t.equal(weights[2][3]:item(), 0)
        t.is_true(attn.checkgrad(function() return (model(ids, lengths)) end, model:parameters()), distribution)
    end
end)

t.case("the share of marks is as often a half, a third and a quarter, however many there are", function()
    local seen = {}
    for b in sparse.marks({counts = 2, batch = 8}, 40, 1):epoch(1) do
        for i, n in ipairs(b.source_lengths:totable()) do
            local k = b.answer[i]:item()
            t.equal(b.source[i]:eq(2):to("int64"):sum():item(), k)
            seen[k .. "/" .. n] = true
        end
    end
    t.equal(seen, {["1/2"] = true, ["1/3"] = true, ["1/4"] = true, ["2/4"] = true, ["2/6"] = true, ["2/8"] = true})
end)
