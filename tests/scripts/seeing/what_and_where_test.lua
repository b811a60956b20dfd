-- What and where: gradients of both fusions, the product by hand.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.what_and_where"

for _, kind in ipairs{"sum", "product"} do
    t.case(kind .. ": gradient to what and where", function()
        attn.seed(2)
        local fusion = paper.Fusion{kind = kind, inputs = 3, dim = 4, hidden = 2}:to "float64"
        local x, z = attn.randn(2, 3, 3, {dtype = "float64"}), attn.rand(2, 3, 2, {dtype = "float64"})
        local ok, report = attn.checkgrad(fusion, {x, z})
        t.is_true(ok, report)
    end)
end

t.case("the product: sum over k of (P x_k) o (R z_k), in plain Lua", function()
    attn.seed(3)
    local fusion = paper.Fusion{kind = "product", inputs = 2, dim = 3, hidden = 2}:to "float64"
    local x, z = attn.randn(1, 2, 2, {dtype = "float64"}), attn.rand(1, 2, 2, {dtype = "float64"})
    local what, where, sum = fusion.what(x)[1]:totable(), fusion.where(fusion:cells(z))[1]:totable(), {}
    for d = 1, 3 do sum[d] = what[1][d] * where[1][d] + what[2][d] * where[2][d] end
    t.near(fusion(x, z)[1]:totable(), fusion.hidden(attn.tensor({sum}, {dtype = "float64"})):relu()[1]:totable(), 1e-12)
    t.near(fusion:cells(z):sum(3):totable(), {{1, 1}}, 1e-12)
end)
