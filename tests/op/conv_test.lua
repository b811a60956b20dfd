local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

t.case("conv1d is its definition", function()
    local x, w, b = attn.randn(2, 7, 3, F64), attn.randn(4, 3, 3, F64), attn.randn(4, F64)
    local X, W, bias = x:totable(), w:totable(), b:totable()
    for stride = 1, 3 do for padding = 0, 2 do
        local y, want = attn.conv1d(x, w, b, stride, padding), {}
        for n = 1, 2 do
            want[n] = {}
            for place = 1, (7 + 2 * padding - 3) // stride + 1 do
                want[n][place] = {}
                for o = 1, 4 do
                    local sum = bias[o]
                    for c = 1, 3 do for j = 1, 3 do
                        local row = X[n][(place - 1) * stride + j - padding]
                        if row then sum = sum + W[o][c][j] * row[c] end
                    end end
                    want[n][place][o] = sum
                end
            end
        end
        t.near(y, want, 1e-12)
    end end
end)

t.case("conv2d is its definition", function()
    local x, w, b = attn.randn(2, 3, 5, 6, F64), attn.randn(2, 3, 3, 2, F64), attn.randn(2, F64)
    local X, W, bias = x:totable(), w:totable(), b:totable()
    for stride = 1, 2 do for padding = 0, 2 do
        local y, want = attn.conv2d(x, w, b, stride, padding), {}
        for n = 1, 2 do
            want[n] = {}
            for o = 1, 2 do
                want[n][o] = {}
                for h = 1, (5 + 2 * padding - 3) // stride + 1 do
                    want[n][o][h] = {}
                    for v = 1, (6 + 2 * padding - 2) // stride + 1 do
                        local sum = bias[o]
                        for c = 1, 3 do for i = 1, 3 do for j = 1, 2 do
                            local row = X[n][c][(h - 1) * stride + i - padding]
                            local pixel = row and row[(v - 1) * stride + j - padding]
                            if pixel then sum = sum + W[o][c][i][j] * pixel end
                        end end end
                        want[n][o][h][v] = sum
                    end
                end
            end
        end
        t.near(y, want, 1e-12)
    end end
end)

t.case("a batch that is worked off in parts equals its parts", function()
    local x, w = attn.randn(24, 300, 16), attn.randn(8, 16, 11):requires_grad_(true)
    local y = attn.conv1d(x, w, nil, 1, 5)
    t.near(y[20], attn.conv1d(x:narrow(1, 20, 1), w, nil, 1, 5)[1]:totable(), 1e-4)
    y:sum():backward()
    local whole = w.grad:clone()
    w:zero_grad()
    for k = 1, 24, 6 do attn.conv1d(x:narrow(1, k, 6), w, nil, 1, 5):sum():backward() end
    t.near(w.grad / 1000, (whole / 1000):totable(), 1e-4)
end)

t.case("empty batches and transposed sequences", function()
    t.equal(attn.conv1d(attn.zeros(0, 5, 3), attn.zeros(2, 3, 3)).shape, {0, 3, 2})
    t.equal(attn.conv2d(attn.zeros(1, 0, 3, 3), attn.zeros(2, 0, 2, 2), attn.tensor{1, 2})[1][2], {{2, 2}, {2, 2}})
    local x, w = attn.randn(2, 3, 6), attn.randn(4, 3, 2)
    t.equal(attn.conv1d(x:transpose(2, 3), w), attn.conv1d(x:transpose(2, 3):contiguous(), w):totable())
end)

-- The definition for any options, one number at a time.
local function by_definition(x, w, b, o)
    local B, C, H, W = table.unpack(x.shape)
    local O, c_each, kh, kw = table.unpack(w.shape)
    local flat, weight = x:reshape(-1):totable(), w:reshape(-1):totable()
    local Ho = (H + 2 * o.padding[1] - o.dilation[1] * (kh - 1) - 1) // o.stride[1] + 1
    local Wo = (W + 2 * o.padding[2] - o.dilation[2] * (kw - 1) - 1) // o.stride[2] + 1
    local y = {}
    for n = 0, B - 1 do for out = 0, O - 1 do for h = 0, Ho - 1 do for v = 0, Wo - 1 do
        local sum, first = b[out + 1]:item(), out // (O // o.groups) * c_each
        for c = 0, c_each - 1 do for i = 0, kh - 1 do for j = 0, kw - 1 do
            local r, s = h * o.stride[1] + i * o.dilation[1] - o.padding[1], v * o.stride[2] + j * o.dilation[2] - o.padding[2]
            if r >= 0 and r < H and s >= 0 and s < W then
                sum = sum + weight[((out * c_each + c) * kh + i) * kw + j + 1] * flat[((n * C + first + c) * H + r) * W + s + 1]
            end
        end end end
        y[#y + 1] = sum
    end end end end
    return attn.tensor(y, F64):reshape(B, O, Ho, Wo)
end

t.case("conv2d is its definition for every stride, padding, dilation and number of groups", function()
    attn.seed(5)
    for _, o in ipairs {
        {stride = {2, 3}, padding = {1, 0}, dilation = {1, 2}, groups = 1}, {stride = {3, 2}, padding = {4, 5}, dilation = {2, 3}, groups = 2},
        {stride = {4, 4}, padding = {0, 0}, dilation = {1, 1}, groups = 4}, {stride = {1, 1}, padding = {6, 7}, dilation = {5, 6}, groups = 1},
        {stride = {6, 4}, padding = {3, 2}, dilation = {4, 6}, groups = 2}, {stride = {1, 2}, padding = {0, 9}, dilation = {1, 9}, groups = 1},
    } do
        local x, w, b = attn.randn(3, 4, 9, 11, F64), attn.randn(8, 4 // o.groups, 3, 2, F64), attn.randn(8, F64)
        local y = by_definition(x, w, b, o)
        t.near(attn.conv2d(x, w, b, o), y:totable(), 1e-12)
        t.near(attn.conv2d(x:to "float32", w:to "float32", b:to "float32", o), y:totable(), 1e-4)
    end
end)

t.case("gradients for every stride, padding, dilation and number of groups", function()
    attn.seed(6)
    for _, o in ipairs {
        {stride = {2, 3}, padding = {1, 0}, dilation = {1, 2}}, {stride = {3, 1}, padding = {4, 3}, dilation = {2, 3}, groups = 2},
        {stride = {4, 5}, groups = 4}, {padding = {2, 3}, dilation = {5, 6}}, {stride = 6, padding = 3, dilation = 4}, {padding = "same"},
    } do
        local groups = o.groups or 1
        t.gradient(function(x, w, b) return attn.conv2d(x, w, b, o) end,
                   {attn.randn(2, 4, 5, 6, F64), attn.randn(4, 4 // groups, 2, 2, F64), attn.randn(4, F64)})
    end
    for _, o in ipairs {{padding = "causal", stride = 2, dilation = 2}, {padding = {0, 3}, groups = 3}, {padding = "same", dilation = 3}} do
        t.gradient(function(x, w) return attn.conv1d(x, w, nil, o) end,
                   {attn.randn(2, 6, 3, F64), attn.randn(3, 3 // (o.groups or 1), 3, F64)})
    end
end)

t.case("images too large for one grid, in bands of rows and of columns, equal a product of windows", function()
    attn.seed(7)
    for _, size in ipairs {{1, 2, 300, 400}, {1, 1, 3, 70000}, {1, 300, 4, 300}, {9, 3, 40, 40}, {17, 3, 6, 32}, {1, 3, 200, 64}} do
        local B, C, H, W = table.unpack(size)
        local x, w = attn.randn(B, C, H, W), attn.randn(2, C, 3, 3) / C ^ 0.5
        local xg, wg = x:clone():requires_grad_(true), w:clone():requires_grad_(true)
        local y = attn.conv2d(xg, wg, nil, {padding = 1})
        -- the same, one tap at a time, from slices
        local padded = attn.zeros(B, C, H + 2, W + 2)
        padded[{{}, {}, {2, H + 1}, {2, W + 1}}] = x
        padded:requires_grad_(true)
        local w2, sum = w:clone():requires_grad_(true), nil
        for i = 1, 3 do for j = 1, 3 do
            local part = padded:narrow(3, i, H):narrow(4, j, W):permute(1, 3, 4, 2):matmul(w2[{{}, {}, i, j}]:transpose(1, 2))
            sum = sum and sum + part or part
        end end
        local g = attn.randn(B, 2, H, W)
        local want = sum:permute(1, 4, 2, 3)
        t.is_true((y - want):abs():max():item() < 1e-4)
        y:backward(g)
        want:backward(g)
        t.is_true((xg.grad - padded.grad[{{}, {}, {2, H + 1}, {2, W + 1}}]):abs():max():item() < 1e-4)
        local scale = w2.grad:abs():max():item()
        t.is_true((wg.grad - w2.grad):abs():max():item() < 1e-4 * scale)
    end
end)

t.case("small images of a large batch, a pixel of many at a time, equal those of one: strides, padding, dilation, groups", function()
    for _, c in ipairs{
        {B = 16, side = {7, 7}, stride = 1, padding = 1, dilation = 1, groups = 1},
        {B = 31, side = {6, 9}, stride = 1, padding = 0, dilation = 1, groups = 1},
        {B = 30, side = {7, 5}, stride = 2, padding = 1, dilation = 1, groups = 1},
        {B = 16, side = {9, 8}, stride = {1, 2}, padding = {2, 0}, dilation = 2, groups = 1},
        {B = 32, side = {5, 5}, stride = 1, padding = 2, dilation = 1, groups = 2},
        {B = 16, side = {4, 16}, stride = 3, padding = 1, dilation = 1, groups = 1},
    } do
        for _, dtype in ipairs{"float32", "float64"} do
            local o = {dtype = dtype}
            local x, w, b = attn.randn(c.B, 4, c.side[1], c.side[2], o), attn.randn(10, 4 // c.groups, 3, 3, o), attn.randn(10, o)
            local options = {stride = c.stride, padding = c.padding, dilation = c.dilation, groups = c.groups}
            local function pass(first, count)
                local list = {x:narrow(1, first, count):clone(), w:clone(), b:clone()}
                for _, leaf in ipairs(list) do leaf:requires_grad_(true) end
                local y = attn.conv2d(list[1], list[2], list[3], options)
                local g = (attn.arange(1, y:numel() // count):reshape(1, y:size(2), y:size(3), y:size(4)) % 7 - 3):to(dtype)
                y:backward((g * attn.arange(first, first + count - 1):reshape(count, 1, 1, 1):to(dtype)):expand(y.shape))
                return y:detach(), list[1].grad, list[2].grad, list[3].grad
            end
            local y, dx, dw, db = pass(1, c.B)
            local sum_w, sum_b = attn.zeros_like(w), attn.zeros_like(b)
            for i = 1, c.B do
                local one = {pass(i, 1)}
                t.equal(y[i], one[1][1], "the same bits")
                t.near(dx[i], one[2][1], dtype == "float32" and 1e-2 or 1e-9)
                sum_w, sum_b = sum_w + one[3], sum_b + one[4]
            end
            t.near(dw / c.B ^ 2, sum_w / c.B ^ 2, dtype == "float32" and 1e-4 or 1e-11)
            t.near(db / c.B ^ 2, sum_b / c.B ^ 2, dtype == "float32" and 1e-4 or 1e-11)
        end
    end
end)

t.case("gradients add to what is there", function()
    local x, w = attn.randn(2, 3, 5, 5, F64):requires_grad_(true), attn.randn(4, 3, 3, 3, F64):requires_grad_(true)
    local once = attn.conv2d(x, w, nil, {stride = 2, padding = 1})
    once:sum():backward()
    local dx, dw = x.grad:clone(), w.grad:clone()
    attn.conv2d(x, w, nil, {stride = 2, padding = 1}):sum():backward()
    t.near(x.grad, (dx * 2):totable(), 1e-12)
    t.near(w.grad, (dw * 2):totable(), 1e-12)
end)

t.case("a dilation or a padding far beyond x takes no memory", function()
    local x, w = attn.randn(1, 6, 2, F64), attn.randn(2, 2, 3, F64)
    local y = attn.conv1d(x, w, nil, {padding = "same", dilation = 1 << 29})
    t.near(y, attn.conv1d(x, w[{{}, {}, {2, 2}}]:contiguous()):totable(), 1e-12)
    t.equal(attn.conv1d(x, w, nil, {padding = 1 << 29, stride = 1 << 29}).shape, {1, 3, 2})
end)

t.case("errors", function()
    local x, w = attn.zeros(2, 5, 3), attn.zeros(4, 3, 3)
    t.raises("conv1d: x has 2 dimensions, expected [B, T, C]", attn.conv1d, attn.zeros(5, 3), w)
    t.raises("conv1d: x has 2 channels, expected 3 (x: float32 [2, 5, 2], weight: float32 [4, 3, 3])", attn.conv1d,
             attn.zeros(2, 5, 2), w)
    t.raises("conv1d: x has 2 places along dimension 2 with padding, expected at least the kernel's 3", attn.conv1d,
             attn.zeros(2, 2, 3), w)
    t.raises("conv1d: stride is 0", attn.conv1d, x, w, nil, 0)
    t.raises("conv1d: padding is -1", attn.conv1d, x, w, nil, 1, -1)
    t.raises("conv1d: bias has shape [3], expected [4]", attn.conv1d, x, w, attn.zeros(3))
    t.raises("conv1d: the kernel is empty", attn.conv1d, x, attn.zeros(4, 3, 0))
    t.raises("too large", attn.conv2d, attn.zeros(1, 1, 1, 1), attn.zeros(1, 1, 1, 1), nil, 1, 1 << 30)
    t.raises("conv2d: weight has 3 dimensions, expected [O, C / groups, kh, kw]", attn.conv2d, attn.zeros(1, 1, 1, 1),
             attn.zeros(1, 1, 1))
    t.raises("conv1d: stride is {1, 2}, expected a number", attn.conv1d, x, w, nil, {stride = {1, 2}})
    t.raises("conv1d: dilation is 0, expected at least 1", attn.conv1d, x, w, nil, {dilation = 0})
    t.raises("conv1d: groups is 0, expected at least 1", attn.conv1d, x, w, nil, {groups = 0})
    t.raises("conv1d: weight has 4 outputs, expected a multiple of groups = 3", attn.conv1d, x, w, nil, {groups = 3})
    t.raises("conv1d: x has 3 channels, expected groups = 2 times 3", attn.conv1d, x, w, nil, {groups = 2})
    t.raises("conv1d: stride is not 1, which padding 'same' expects", attn.conv1d, x, w, nil, 2, "same")
    t.raises("conv1d: padding is the string 'some', expected one of same, causal", attn.conv1d, x, w, nil, {padding = "some"})
    t.raises("conv2d: padding is the string 'causal', expected one of same", attn.conv2d, attn.zeros(1, 1, 1, 1), attn.zeros(1, 1, 1, 1), nil,
             {padding = "causal"})
    t.raises("conv1d: padding is -1, expected at least 0", attn.conv1d, x, w, nil, {padding = {0, -1}})
end)
