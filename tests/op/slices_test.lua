local attn, t = require "attn", require "attn.test"

t.case("flip reverses a dimension, of any dtype", function()
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal(x:flip(2), {{3, 2, 1}, {6, 5, 4}})
    t.equal(x:flip(1), {{4, 5, 6}, {1, 2, 3}})
    t.equal(x:transpose(1, 2):flip(-1), {{4, 1}, {5, 2}, {6, 3}})
    t.equal(attn.arange(1, 4):flip(1), {4, 3, 2, 1})
    t.equal(attn.tensor{true, true, false}:flip(1), {false, true, true})
    t.equal(attn.zeros(2, 0):flip(2).shape, {2, 0})
end)

t.case("roll moves entry i to i + shift, around the end", function()
    t.equal(attn.arange(1, 5):roll(2, 1), {4, 5, 1, 2, 3})
    t.equal(attn.arange(1, 5):roll(-1, 1), {2, 3, 4, 5, 1})
    t.equal(attn.arange(1, 5):roll(12, 1), {4, 5, 1, 2, 3})
    t.equal(attn.arange(1, 5):roll(math.mininteger, 1), attn.arange(1, 5):roll(math.mininteger % 5, 1):totable())
    t.equal(attn.arange(1, 5):roll(0, 1), {1, 2, 3, 4, 5})
    t.equal(attn.tensor{true, false, false}:roll(1, -1), {false, true, false})
    t.equal(attn.zeros(0, 3):roll(5, 1).shape, {0, 3})
    local x = attn.randn(4, 3, 5)
    for d = 1, 3 do t.equal(x:roll(1, d):select(d, 1), x:select(d, x:size(d)):totable()) end
end)

-- What stands at place j (from 1) of a list that pad continues; nil: the value.
local from = {
    constant = function(j, n) return j >= 1 and j <= n and j or nil end,
    replicate = function(j, n) return math.max(1, math.min(n, j)) end,
    circular = function(j, n) return (j - 1) % n + 1 end,
    reflect = function(j, n)
        local p = (j - 1) % (2 * n - 2)
        return (p < n and p or 2 * n - 2 - p) + 1
    end,
}

t.case("pad continues what is left in each mode, along each dimension, and its gradient goes back", function()
    for mode, place in pairs(from) do
        for _, sides in ipairs{{1, 2}, {0, 0}, {3, 0}, {0, 5}, {7, 9}, {-1, 3}, {2, -2}, {-1, -1}} do
            local before, after = sides[1], sides[2]
            local x = attn.tensor({10, 20, 30, 40}, {dtype = "float64"}):requires_grad_(true)
            local y = x:pad(1, before, after, {mode = mode, value = 7})
            local first, left = math.max(0, -before), 4 + math.min(0, before) + math.min(0, after)
            local expected, grad = {}, {0, 0, 0, 0}
            for j = 1, 4 + before + after do
                local i = place(j - math.max(0, before), left)
                expected[j] = i and 10 * (i + first) or 7
                if i then grad[i + first] = grad[i + first] + j end
            end
            t.equal(y, expected, mode)
            y:backward(attn.arange(1, 4 + before + after):to "float64")
            t.equal(x.grad, grad, mode)
            local wide = attn.stack({x:detach(), x:detach() + 1}, 2)
            t.equal(wide:pad(1, before, after, {mode = mode, value = 7}):select(2, 1), expected)
            t.equal(wide:transpose(1, 2):pad(-1, before, after, {mode = mode, value = 7})[1], expected)
        end
    end
end)

t.case("pad takes integers and booleans, and defaults to zeros", function()
    t.equal(attn.arange(1, 2):pad(1, 1, 2), {0, 1, 2, 0, 0})
    t.equal(attn.arange(1, 2):pad(1, 1, 0, {value = -1}), {-1, 1, 2})
    t.equal(attn.tensor{true}:pad(1, 1, 1), {false, true, false})
    local bytes = attn.arange(1, 3):to "uint8"
    t.equal(bytes:pad(1, 1, 1, {value = 255}), {255, 1, 2, 3, 255})
    t.equal({bytes:flip(1):totable(), bytes:roll(1, 1):totable()}, {{3, 2, 1}, {3, 1, 2}})
    t.raises("pad: value is 256, expected an integer from 0 to 255", attn.pad, bytes, 1, 1, 1, {value = 256})
    t.equal(attn.pad(attn.zeros(2, 0), 2, 1, 1, {value = 3}), {{3, 3}, {3, 3}})
end)

t.case("errors of pad", function()
    local x = attn.zeros(2, 3)
    t.raises("pad: before is -4, expected -3..2^40 (x: float32 [2, 3])", attn.pad, x, 2, -4, 0)
    t.raises("pad: -2 and -2 cut more than the 3 entries of dimension 2", attn.pad, x, 2, -2, -2)
    t.raises("pad: 0 entries are left of dimension 2, expected at least 1 to continue", attn.pad, x, 2, -3, 2, {mode = "replicate"})
    for _, mode in ipairs{"constant", "replicate", "reflect", "circular"} do      -- cut down to one
        t.equal(attn.pad(attn.tensor{{1, 2}, {3, 4}}, 1, 0, -1, {mode = mode}), attn.tensor{{1, 2}})
        t.equal(attn.pad(attn.tensor{{1, 2}, {3, 4}}, 2, -1, 0, {mode = mode}), attn.tensor{{2}, {4}})
    end
    t.raises("pad: 1 entries are left of dimension 2, expected at least 2 to continue", attn.pad, x, 2, -2, 2, {mode = "reflect"})
    t.raises("pad: value is 0.5, expected an integer", attn.pad, attn.arange(1, 2), 1, 1, 0, {value = 0.5})
    t.raises("pad: mode is the string 'same', expected one of constant, replicate, reflect, circular", attn.pad, x, 1, 1, 1,
             {mode = "same"})
    t.raises("pad: after is missing", attn.pad, x, 1, 1)
    t.is_true(not pcall(attn.pad, x, 1, 1 << 40, 1 << 40))
    t.raises("flip: x is a scalar", attn.flip, attn.tensor(1), 1)
    t.raises("roll: shift is 0.5, expected an integer", attn.roll, x, 0.5, 1)
end)
