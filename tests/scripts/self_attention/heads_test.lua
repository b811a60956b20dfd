-- heads: gradient of the reader and of its penalties, as many parameters with one head as with four, how alike heads are by hand.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local heads_of = require "self_attention.heads"
local Reader = heads_of.Reader

t.case("gradient; one head has as many parameters as four", function()
    local keys, values = attn.tensor({{1, 4, 2}}, {dtype = "int64"}), attn.tensor({{3, 1, 1}}, {dtype = "int64"})
    local asked, count = attn.tensor({{4, 2}}, {dtype = "int64"}), {}
    for i, heads in ipairs{1, 4} do
        attn.seed(i)
        local model = Reader{dim = 4, heads = heads, keys = 4, values = 3}:to "float64"
        t.is_true(attn.checkgrad(function() return (model(keys, values, asked)) end, model:parameters()), heads)
        count[i] = model:count()
    end
    t.equal(count[1], count[2])
end)

t.case("what heads read is their weights times their values; gradients of the penalties", function()
    attn.seed(3)
    local keys, values = attn.tensor({{1, 4, 2}}, {dtype = "int64"}), attn.tensor({{3, 1, 1}}, {dtype = "int64"})
    local asked = attn.tensor({{4, 2}}, {dtype = "int64"})
    local model = Reader{dim = 4, heads = 2, keys = 4, values = 3}:to "float64"
    local query = model.first(asked:select(2, 1)) + model.second(asked:select(2, 2))
    local read, weights = model.attend(query:unsqueeze(2), model.key(keys), model.value(values), {weights = true})
    local state, output = model.attend:state(), model:parts(values, weights).output          -- [1, 2, 1, 2]
    t.near(attn.linear(output:transpose(2, 3):reshape(1, 1, 4), state["out.weight"], state["out.bias"]), read, 1e-12)
    for _, kind in ipairs{"subspace", "position", "output"} do
        t.is_true(attn.checkgrad(function()
            local _, a = model(keys, values, asked)
            return attn.penalty.disagreement(model:parts(values, a)[kind], kind)
        end, model:parameters()), kind)
    end
end)

t.case("how alike heads are: a mean over pairs", function()
    local x = attn.tensor{{{{1, 0}}, {{0.5, 0.5}}, {{0, 2}}}}                                -- three heads, one place
    t.near(heads_of.alike(x):item(), (0.5 + 0 + 1) / 3, 1e-6)
    t.near(heads_of.alike(x, true):item(), (0.5 ^ 0.5 + 0 + 0.5 ^ 0.5) / 3, 1e-6)
end)
