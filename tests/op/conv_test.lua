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
    t.raises("conv2d: weight has 3 dimensions, expected [O, C, kh, kw]", attn.conv2d, attn.zeros(1, 1, 1, 1),
             attn.zeros(1, 1, 1))
end)
