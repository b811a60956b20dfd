local attn, t = require "attn", require "attn.test"

local T, F = true, false
local function B(list) return attn.tensor(list, {dtype = "bool"}) end

t.case("the tables of and, or, xor, not; operators are the same", function()
    local a, b = B{F, F, T, T}, B{F, T, F, T}
    t.equal(a & b, {F, F, F, T})
    t.equal(a | b, {F, T, T, T})
    t.equal(a ~ b, {F, T, T, F})
    t.equal(~a, {T, T, F, F})
    t.equal(attn.logical_and(a, b), {F, F, F, T})
    t.equal(a:logical_or(b), {F, T, T, T})
    t.equal(a:logical_xor(b), {F, T, T, F})
    t.equal((~a).dtype, "bool")
end)

t.case("shapes broadcast, steps are free, of nothing is nothing", function()
    local a, b = attn.bernoulli(0.5, 3, 1, 70, {dtype = "bool"}), attn.bernoulli(0.5, 4, 70, {dtype = "bool"})
    local y, p, q = (a & b):totable(), a:totable(), b:totable()
    for i = 1, 3 do for j = 1, 4 do for k = 1, 70 do t.equal(y[i][j][k], p[i][1][k] and q[j][k]) end end end
    t.equal(a:squeeze():transpose(1, 2) | b:narrow(1, 1, 3):transpose(1, 2),
            (a:squeeze() | b:narrow(1, 1, 3)):transpose(1, 2):totable())
    t.equal((~attn.zeros(0, 3, {dtype = "bool"})).shape, {0, 3})
    t.raises("logical_or: the shapes do not broadcast (a: bool [2], b: bool [3])", attn.logical_or, B{T, F}, B{T, F, T})
end)

t.case("any and all go over everything, a dimension or several", function()
    local x = B{{T, F, F}, {F, F, T}}
    t.equal({x:any():item(), x:all():item(), x:any().dtype}, {T, F, "bool"})
    t.equal(x:any(1), {T, F, T})
    t.equal(x:all(-2, true), {{F, F, F}})
    t.equal(x:transpose(1, 2):any(2), {T, F, T})
    t.equal(x:any{1, 2}:item(), T)
    local y = attn.bernoulli(0.6, 3, 4, 5, {dtype = "bool"})
    t.equal(y:any({1, 3}), y:any(3):any(1):totable())
    t.equal(y:all({2, 3}, true), y:all(3, true):all(2, true):totable())
    for d = 1, 3 do
        t.equal(y:any(d), y:sum(d):gt(0):totable())
        t.equal(y:all(d), y:sum(d):eq(y:size(d)):totable())
    end
end)

t.case("of nothing any is false and all is true", function()
    local x = attn.zeros(3, 0, {dtype = "bool"})
    t.equal({x:any():item(), x:all():item()}, {F, T})
    t.equal(x:any(2), {F, F, F})
    t.equal(x:all(2), {T, T, T})
    t.equal(x:all(1).shape, {0})
end)

t.case("errors name the operand and its dtype", function()
    t.raises("logical_and: b is float32, expected bool (b: float32 [2])", function() return B{T, F} & attn.zeros(2) end)
    t.raises("logical_and: b is 1, expected a bool tensor", function() return B{T} & 1 end)
    t.raises("logical_not: a is int64, expected bool", function() return ~attn.arange(1, 3) end)
    t.raises("any: x is float32, expected bool", attn.any, attn.zeros(2))
    t.raises("any: d is 3, expected 1..1 or -1..-1", attn.any, B{T}, 3)
end)
