local attn, t = require "attn", require "attn.test"

-- the definition: a loop over all labels
local function define(equation, operands)
    local left, out = equation:match("^(.-)%->(.*)$")
    local terms, labels, size, data, index, sums = {}, {}, {}, {}, {}, {}
    for term in (left .. ","):gmatch("(.-),") do terms[#terms + 1] = term end
    for k, term in ipairs(terms) do
        data[k] = operands[k]:totable()
        for d = 1, #term do
            local c = term:sub(d, d)
            if not size[c] then labels[#labels + 1] = c end
            size[c] = operands[k].shape[d]
        end
    end
    local function walk(n)
        if n <= #labels then
            for i = 1, size[labels[n]] do
                index[labels[n]] = i
                walk(n + 1)
            end
            return
        end
        local x = 1
        for k, term in ipairs(terms) do
            local v = data[k]
            for d = 1, #term do v = v[index[term:sub(d, d)]] end
            x = x * v
        end
        local place = 1
        for d = 1, #out do place = (place - 1) * size[out:sub(d, d)] + index[out:sub(d, d)] end
        sums[place] = (sums[place] or 0) + x
    end
    walk(1)
    return sums
end

local size = {a = 2, b = 3, c = 4, d = 2, e = 3, h = 2, i = 3, j = 4}
for _, equation in ipairs{"bid,bjd->bij", "bij,bjd->bid", "bhid,bhjd->bhij", "ab,abc,ac->a", "ab,bc,cd,de->ae",
                          "aa->a", "aa->", "ab->ba",
                          "ab->a", "ab->", "ab,ab->ab", "a,b->ab", "a,a->", "ab,ac->b", "abc->cab", "aab->b",
                              "ab,cd->dbca",
                          "bdi,bdj->bji", "ba,b->ab", "ab,bc,ca->", "hbd,hcd->bhc", "ab,c->b"} do
    t.case(equation, function()
        local operands, turned = {}, {}
        for term in equation:match("^(.-)%->"):gmatch("[^,]+") do
            local shape, back = {}, {}
            for d = 1, #term do shape[d], back[d] = size[term:sub(d, d)], #term - d + 1 end
            local x = attn.randn(shape, {dtype = "float64"})
            operands[#operands + 1] = x
            turned[#turned + 1] = #term > 1 and x:permute(back):contiguous():permute(back) or x
        end
        local want = define(equation, operands)
        t.near(attn.einsum(equation, table.unpack(operands)):reshape(-1), want, 1e-12)
        t.near(attn.einsum(equation, table.unpack(turned)):reshape(-1), want, 1e-12)
        t.near(attn.einsum(equation, operands):reshape(-1), want, 1e-12)
    end)
end

t.case("an ellipsis stands for the rest and broadcasts", function()
    local a, b = attn.randn(2, 1, 3, 4), attn.randn(5, 4, 2)
    t.near(attn.einsum("...ij,...jk->...ik", a, b), attn.matmul(a, b):totable(), 1e-5)
    t.near(attn.einsum("...i->...", a), a:sum(4):totable(), 1e-5)
    t.near(attn.einsum("b...,b->...", attn.ones(2, 3, 4), attn.tensor{1, 2}), attn.full({3, 4}, 3):totable())
end)

t.case("without an arrow the output has the labels that occur once", function()
    local a, b = attn.randn(2, 3), attn.randn(3, 4)
    t.near(attn.einsum("zy,yx", a, b), attn.matmul(a, b):transpose(1, 2):totable(), 1e-5)
    t.near(attn.einsum("ij,ij", a, a):item(), (a * a):sum():item(), 1e-5)
    t.near(attn.einsum(" i j , j k -> i k ", a, b), attn.matmul(a, b):totable(), 1e-5)
end)

t.case("sums over nothing", function()
    t.equal(attn.einsum("ab,bc->ac", attn.zeros(2, 0), attn.zeros(0, 3)), {{0, 0, 0}, {0, 0, 0}})
    t.equal(attn.einsum("ab->a", attn.zeros(2, 0)), {0, 0})
    t.equal(attn.einsum("ab->b", attn.zeros(2, 0)).shape, {0})
end)

t.case("errors say what is wrong with the equation", function()
    local a, b = attn.zeros(2, 3), attn.zeros(3, 4)
    t.raises("einsum: the equation has 1 operand, but 2 tensors are given", attn.einsum, "ab->a", a, b)
    t.raises("einsum: the equation has more operands than the 1 tensors given", attn.einsum, "ab,bc->ac", a)
    t.raises("einsum: operand 1 has 2 dimensions, but 3 labels (operand 1: float32 [2, 3])", attn.einsum, "abc,bc->a",
             a, b)
    t.raises("einsum: label 'b' has size 3 in operand 2, expected 4", attn.einsum, "ab,bc->ac", b, b)
    t.raises("einsum: output label 'x' is in no operand", attn.einsum, "ab,bc->ax", a, b)
    t.raises("einsum: output label 'a' stands twice", attn.einsum, "ab,bc->aa", a, b)
    t.raises("einsum: '1' in the equation", attn.einsum, "a1->a", a)
    t.raises("einsum: '-' in the equation", attn.einsum, "ab-a", a)
    t.raises("einsum: equation is float32 [2, 3], expected a string", attn.einsum, a)
    t.raises("einsum: operands is empty", attn.einsum, "ab->a")
    t.raises("the dimensions of '...' do not broadcast", attn.einsum, "...,...->...", a, b)
end)
