-- Convolutions by minimal filtering: 3 x 3 taps and enough channels. Blocks of a few channels are too small for it: their sum is
-- the independent side here.
local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}
local FEW = 4

local function in_blocks(x, w, b, o)
    local groups, each, O, list = o.groups or 1, w:size(2), w:size(1), {}
    local options = {padding = o.padding}
    for g = 1, groups do
        local sum
        for c = 1, each, FEW do
            local n = math.min(FEW, each - c + 1)
            local y = attn.conv2d(x:narrow(2, (g - 1) * each + c, n):contiguous(),
                                  w:narrow(1, (g - 1) * O // groups + 1, O // groups):narrow(2, c, n):contiguous(), nil, options)
            sum = sum and sum + y or y
        end
        list[g] = sum
    end
    return attn.cat(list, 2) + b:reshape(1, O, 1, 1)
end

-- y and the gradients of x, w, b
local function pass(fn, x, w, b, g, o)
    local leaves = {x:clone(), w:clone(), b:clone()}
    for _, leaf in ipairs(leaves) do leaf:requires_grad_(true) end
    local y = fn(leaves[1], leaves[2], leaves[3], o)
    y:backward(g)
    return {y:detach(), leaves[1].grad, leaves[2].grad, leaves[3].grad}
end

local function inputs(B, C, O, H, W, o)
    local x, w = attn.randn(B, C, H, W, F64), attn.randn(O, C // (o.groups or 1), 3, 3, F64) / (9 * C) ^ 0.5
    local b, p = attn.randn(O, F64), o.padding or 0
    local down, across = type(p) == "table" and p[1] or p, type(p) == "table" and p[2] or p
    return x, w, b, attn.randn(B, O, H + 2 * down - 2, W + 2 * across - 2, F64)
end

local SHAPES = {        -- B, C, O, H, W: images together, bands, stripes, odd sizes, channels beyond a tile of columns
    {24, 32, 32, 7, 7, {padding = 1}}, {3, 40, 48, 9, 12, {padding = {0, 2}}}, {2, 17, 150, 30, 31, {padding = {1, 0}}},
    {1, 64, 16, 3, 1000, {padding = 2}}, {5, 64, 96, 9, 7, {padding = 1, groups = 2}}, {2, 80, 70, 12, 10, {}},
    {2, 40, 40, 16, 16, {padding = {3, 4}}}, {19, 48, 48, 6, 5, {padding = 1}},
}

t.case("results and gradients are those of the sum", function()
    attn.seed(1)
    for _, s in ipairs(SHAPES) do
        local o = s[6]
        local x, w, b, g = inputs(s[1], s[2], s[3], s[4], s[5], o)
        local got, want = pass(attn.conv2d, x, w, b, g, o), pass(in_blocks, x, w, b, g, o)
        for k = 1, 4 do
            local scale = want[k]:abs():max():item()
            t.is_true((got[k] - want[k]):abs():max():item() < 1e-13 * scale, ("%d of %s"):format(k, table.concat(s, " ", 1, 5)))
        end
    end
end)

t.case("errors in float32 are within 3 times those of the sum", function()
    attn.seed(2)
    for _, s in ipairs(SHAPES) do
        local o = s[6]
        local x, w, b, g = inputs(s[1], s[2], s[3], s[4], s[5], o)
        local exact = pass(in_blocks, x, w, b, g, o)
        local function errors(fn)
            local list = pass(fn, x:to "float32", w:to "float32", b:to "float32", g:to "float32", o)
            for k, y in ipairs(list) do list[k] = ((y:to "float64" - exact[k]) ^ 2):mean():item() ^ 0.5 end
            return list
        end
        local got, sum = errors(attn.conv2d), errors(in_blocks)
        for k = 1, 3 do t.is_true(got[k] < 3 * sum[k], ("%d: %g, the sum %g"):format(k, got[k], sum[k])) end
    end
end)

t.case("gradients by finite differences", function()
    attn.seed(3)
    local x, w, b = inputs(1, 32, 32, 9, 11, {padding = 1})
    -- directions: the result is linear in each
    local dx, dw = attn.randn(x.shape, F64), attn.randn(w.shape, F64)
    t.gradient(function(s, r, bias) return attn.conv2d(x + s * dx, w + r * dw, bias, {padding = 1}) end,
               {attn.tensor({0.5}, F64), attn.tensor({-0.5}, F64), b})
end)

t.case("gradients add to what is there", function()
    attn.seed(4)
    local x, w, b, g = inputs(2, 32, 32, 9, 11, {padding = 1})
    local once = pass(attn.conv2d, x, w, b, g, {padding = 1})
    x:requires_grad_(true)
    w:requires_grad_(true)
    for _ = 1, 2 do attn.conv2d(x, w, b, {padding = 1}):backward(g) end
    t.is_true((x.grad - 2 * once[2]):abs():max():item() < 1e-13)
    t.is_true((w.grad - 2 * once[3]):abs():max():item() < 1e-12)
end)

t.case("the same bits on 1, 2, 3 and 7 threads", function()
    attn.seed(5)
    local before = attn.threads()
    for _, s in ipairs{{24, 32, 32, 7, 7, {padding = 1}}, {1, 48, 80, 40, 40, {padding = {1, 2}}}} do
        local x, w, b, g = inputs(s[1], s[2], s[3], s[4], s[5], s[6])
        local first
        for _, n in ipairs{1, 2, 3, 7} do
            attn.threads(n)
            local list = pass(attn.conv2d, x:to "float32", w:to "float32", b:to "float32", g:to "float32", s[6])
            first = first or list
            for k, y in ipairs(list) do t.equal(y:ne(first[k]):sum():item(), 0) end
        end
    end
    attn.threads(before)
end)

-- NaN and each infinity at the same places, other numbers near
local function same_places(got, want)
    t.equal(attn.isnan(got):ne(attn.isnan(want)):sum():item(), 0, "the places of NaN")
    t.is_true(attn.isnan(want):sum():item() + attn.isfinite(want):logical_not():sum():item() > 0, "something is not finite")
    local a, b = got:reshape(-1):totable(), want:reshape(-1):totable()
    for i, x in ipairs(b) do
        if x == x and not (a[i] == x or math.abs(a[i] - x) < 1e-10) then
            error(("%d: %g, expected %g"):format(i, a[i], x), 2)
        end
    end
end

t.case("NaN and infinity reach what sees them and no more", function()
    attn.seed(6)
    for _, size in ipairs{{16, 32, 32, 7, 7}, {1, 40, 33, 20, 11}} do
        local o = {padding = 1}
        for _, bad in ipairs{0 / 0, math.huge, -math.huge} do
            local x, w, b, g = inputs(size[1], size[2], size[3], size[4], size[5], o)
            local function put(tensor, ...)
                local hurt = tensor:clone()
                hurt[{...}] = bad
                return hurt
            end
            local hurt = put(x, 1, 3, 4, 5)
            same_places(attn.conv2d(hurt, w, b, o), in_blocks(hurt, w, b, o))
            hurt = put(x, 1, 3, 1, 1)
            same_places(attn.conv2d(hurt, w, b, o), in_blocks(hurt, w, b, o))
            hurt = put(w, 5, 7, 2, 3)
            same_places(attn.conv2d(x, hurt, b, o), in_blocks(x, hurt, b, o))
            hurt = put(w, 5, 7, 1, 1)
            same_places(attn.conv2d(x, hurt, b, o), in_blocks(x, hurt, b, o))
            hurt = put(g, 1, 2, size[4], 3)
            same_places(pass(attn.conv2d, x, w, b, hurt, o)[2], pass(in_blocks, x, w, b, hurt, o)[2])
        end
    end
end)

t.case("the weight's gradient from a pixel that is NaN or infinite: the taps that see it", function()
    attn.seed(7)
    for _, bad in ipairs{0 / 0, math.huge} do
        local x, w, b, g = inputs(3, 32, 32, 9, 8, {padding = 1})
        x[{2, 5, 1, 1}] = bad       -- a corner: of the 9 taps 4 come there
        local padded = attn.zeros(3, 32, 11, 10, F64)
        padded[{{}, {}, {2, 10}, {2, 9}}] = x
        local want = attn.zeros(32, 32, 3, 3, F64)
        for i = 1, 3 do for j = 1, 3 do
            local seen = padded:narrow(3, i, 9):narrow(4, j, 8):permute(2, 1, 3, 4):reshape(32, -1)
            want[{{}, {}, i, j}] = g:permute(2, 1, 3, 4):reshape(32, -1):matmul(seen:transpose(1, 2))
        end end
        local got = pass(attn.conv2d, x, w, b, g, {padding = 1})[3]
        t.equal(attn.isfinite(got):logical_not():sum():item(), 4 * 32)
        same_places(got, want)
    end
end)

t.case("numbers near the largest are summed as they are", function()
    local x, w = attn.full({1, 32, 12, 12}, 3e38), attn.zeros(32, 32, 3, 3)
    w[{{}, 1, 2, 2}] = 1
    t.equal(attn.conv2d(x, w, nil, {padding = 1}):ne(attn.full({1, 32, 12, 12}, 3e38)):sum():item(), 0)
end)
