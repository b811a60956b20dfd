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
        local last = block.z and block.z.weight or block.attend["out.weight"]
        attn.no_grad(function() last:copy_(attn.randn(last.shape, {dtype = "float64"})) end)
        local ok, report = attn.checkgrad(function() return (block(x)) end, block:parameters())
        t.is_true(ok, report)
        ok, report = attn.checkgrad(function(u) return (block(u)) end, {x})
        t.is_true(ok, report)
    end)

    t.case(form .. ": f / C(x), in plain Lua", function()
        local block, x = made(form)
        local _, f = block(x, {weights = true})
        local state, places = block.attend:state(), x:flatten(3, 4):transpose(2, 3)
        local function rows(name)
            local weight = state[name .. ".weight"]
            return (weight and places:matmul(weight:transpose(1, 2)) + state[name .. ".bias"] or places)[1]:totable()
        end
        local function product(a, b, from)
            local sum = 0
            for c = 1, #a do sum = sum + a[c] * b[(from or 0) + c] end
            return sum
        end
        local q, k, e, sum = rows "query"[3], rows "key", {}, 0
        local w, b, v = state["score.weight"], state["score.bias"], state["score.v"]
        w = w and w:totable()[1]
        for j = 1, 8 do
            e[j] = w and v:item() * math.max(0, product(q, w) + product(k[j], w, #q) + b:item()) or product(q, k[j])
            sum = sum + math.exp(e[j])
        end
        for j = 1, 8 do e[j] = (form == "gaussian" or form == "embedded") and math.exp(e[j]) / sum or e[j] / 8 end
        t.near(f[1][3]:totable(), e, 1e-10)
        t.equal({#q, v and #v}, {form == "gaussian" and 4 or 2, w and 1})
    end)
end

t.case("pooled keys are a quarter as many", function()
    local block, x = made("embedded", true)
    t.equal(select(2, block(x, {weights = true})).shape, {2, 8, 2})
end)
