-- interpolate and glimpse.
local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

t.case("nearest takes row floor(i H / h), exactly", function()
    local x = attn.arange(0, 48):to "float64":reshape(1, 1, 1, 49)
    for _, w in ipairs{1, 7, 48, 49, 50, 98, 1000} do
        local expected = {}
        for i = 0, w - 1 do expected[i + 1] = i * 49 // w end
        t.equal(attn.interpolate(x, {1, w}, {mode = "nearest"}):reshape(-1), expected)
    end
end)

t.case("a plane is a plane in any size", function()
    local H, W, h, w = 5, 7, 11, 4
    local row, column = attn.arange(0, H - 1):to "float64":reshape(H, 1), attn.arange(0, W - 1):to "float64"
    local x = (row * 2 + column * -3 + 1):reshape(1, 1, H, W)
    local y = attn.interpolate(x, {h, w}, {align_corners = true})
    local i, j = attn.arange(0, h - 1):to "float64":reshape(h, 1) * ((H - 1) / (h - 1)), attn.arange(0, w - 1):to "float64" * ((W - 1) / (w - 1))
    t.near(y[1][1], i * 2 + j * -3 + 1, 1e-12)
    t.near(attn.interpolate(x, {H, W}), x, 1e-15)
    t.near(attn.interpolate(x, {H * 2, W * 2})[1][1][{{2, 2 * H - 1}, {2, 2 * W - 1}}],
           (attn.arange(2, 2 * H - 1):to "float64":reshape(-1, 1) - 1.5) + (attn.arange(2, 2 * W - 1):to "float64" - 1.5) * -1.5 + 1, 1e-12)
end)

t.case("what has no weight has no say", function()
    local x = attn.tensor{{{{1, math.huge}, {1, 1}}}}
    t.equal(attn.interpolate(x, {3, 3}, {align_corners = true})[1][1][1][1]:item(), 1)
end)

t.case("glimpses are means of blocks, zero outside of the image", function()
    local H, W, size = 6, 9, 3
    local x = attn.randn(2, 2, H, W, F64)
    local centre = attn.tensor({{-0.9, 0.3}, {1.7, -1}}, F64)
    local y = attn.glimpse(x, centre, {size = size, scales = 3})
    t.equal(y.shape, {2, 3, 2, size, size})
    for b = 1, 2 do
        for s = 1, 3 do
            local n = size * 2 ^ (s - 1) | 0
            local left = math.floor((centre[b][1]:item() + 1) * W / 2 - n / 2 + 0.5)
            local top = math.floor((centre[b][2]:item() + 1) * H / 2 - n / 2 + 0.5)
            local cut, k = {}, n // size
            for i = 1, size do
                cut[i] = {}
                for j = 1, size do
                    local sum = 0
                    for r = top + (i - 1) * k, top + i * k - 1 do
                        for c = left + (j - 1) * k, left + j * k - 1 do
                            if r >= 0 and r < H and c >= 0 and c < W then sum = sum + x[b][2][r + 1][c + 1]:item() end
                        end
                    end
                    cut[i][j] = sum / k ^ 2
                end
            end
            t.near(y[b][s][2], cut, 1e-14)
        end
    end
end)

t.case("glimpses far away, of many scales, cost nothing", function()
    local x = attn.ones(1, 1, 2, 2):requires_grad_(true)
    for _, at in ipairs{1e30, -1e30, math.huge, -math.huge, 0 / 0} do
        local y = attn.glimpse(x, attn.tensor{{at, 0}}, {size = 2, scales = 30})
        y:sum():backward()
        t.equal(y:sum():item(), 0)
    end
    t.equal(x.grad:sum():item(), 0)
    t.near(attn.glimpse(x, attn.zeros(1, 2), {size = 1, scales = 30})[1][30], {{{4 / 2 ^ 58}}}, 1e-20)
end)

t.case("errors", function()
    t.raises("interpolate: x has 2 dimensions, expected [B, C, H, W]", attn.interpolate, attn.zeros(2, 2), 2)
    t.raises("interpolate: size is {2, -1}, expected at least {1, 1}", attn.interpolate, attn.zeros(1, 1, 2, 2), {2, -1})
    t.raises("interpolate: x has no pixels", attn.interpolate, attn.zeros(1, 1, 0, 2), 2)
    t.raises('interpolate: align_corners goes with mode "bilinear" only', attn.interpolate, attn.zeros(1, 1, 2, 2), 2,
             {mode = "nearest", align_corners = true})
    local x, centre = attn.zeros(2, 1, 3, 3), attn.zeros(2, 2)
    t.raises("glimpse: size is missing, expected an integer", attn.glimpse, x, centre)
    t.raises("glimpse: size is 0, expected 1 to", attn.glimpse, x, centre, {size = 0})
    t.raises("glimpse: scales is 31, expected 1 to 30", attn.glimpse, x, centre, {size = 1, scales = 31})
    t.raises("glimpse: centre has shape [2, 1], expected [2, 2]", attn.glimpse, x, centre:narrow(2, 1, 1), {size = 1})
end)
