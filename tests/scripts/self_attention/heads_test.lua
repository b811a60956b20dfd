-- heads: gradient of the reader, and as many parameters with one head as with four.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Reader = require "self_attention.heads".Reader

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
