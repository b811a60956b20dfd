-- Non-local blocks: gradients of all forms, each form's weights by its formula, the identity at first.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.nonlocal"

local function made(form, pool)
    attn.seed(3)
    return paper.NonLocal{channels = 4, form = form, pool = pool}:to "float64", attn.randn(2, 4, 4, 2, {dtype = "float64"})
end

for _, form in ipairs{"gaussian", "embedded", "dot", "concat"} do
    t.case(form .. ": the identity at first; gradient when it is not", function()
        local block, x = made(form, true)
        t.equal(block(x):totable(), x:totable())
        attn.no_grad(function() block.z.weight:copy_(attn.randn(block.z.weight.shape, {dtype = "float64"})) end)
        local ok, report = attn.checkgrad(function() return (block(x)) end, block:parameters())
        t.is_true(ok, report)
        ok, report = attn.checkgrad(function(u) return (block(u)) end, {x})
        t.is_true(ok, report)
    end)

    t.case(form .. ": f / C(x), in plain Lua", function()
        local block, x = made(form)
        local _, f = block(x)
        local function rows(map) return map:flatten(3, 4):transpose(2, 3)[1]:totable() end
        local q, k = rows(block.theta and block.theta(x) or x), rows(block.phi and block.phi(x) or x)
        local u, v = block.of_query and block.of_query.weight:totable()[1], block.of_key and block.of_key.weight:totable()[1]
        local function product(a, b)
            local sum = 0
            for c = 1, #a do sum = sum + a[c] * b[c] end
            return sum
        end
        local e, sum = {}, 0
        for j = 1, 8 do
            e[j] = u and math.max(0, product(q[3], u) + product(k[j], v)) / 8 or product(q[3], k[j])
            sum = sum + math.exp(e[j])
        end
        for j = 1, 8 do e[j] = (form == "gaussian" or form == "embedded") and math.exp(e[j]) / sum or form == "dot" and e[j] / 8 or e[j] end
        t.near(f[1][3]:totable(), e, 1e-10)
    end)
end

t.case("pooled keys are a quarter as many", function()
    local block, x = made("embedded", true)
    t.equal(select(2, block(x)).shape, {2, 8, 2})
end)
