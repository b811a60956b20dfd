-- affine_grid and grid_sample.
local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

-- One result by the definition: x a table of rows, (gx, gy) in -1 .. 1.
local function at(x, gx, gy, options)
    local H, W = #x, #x[1]
    local function place(g, n)
        local v = options.align_corners and (g + 1) / 2 * (n - 1) or ((g + 1) * n - 1) / 2
        return options.padding == "border" and math.max(0, math.min(n - 1, v)) or v
    end
    local px, py = place(gx, W), place(gy, H)
    local sum = 0
    for i = 1, H do
        for j = 1, W do
            local wx, wy = math.max(0, 1 - math.abs(px - (j - 1))), math.max(0, 1 - math.abs(py - (i - 1)))
            sum = sum + wx * wy * x[i][j]
        end
    end
    return sum
end

t.case("each result is the weighted sum of the pixels around", function()
    for _, C in ipairs{1, 3, 16, 37} do
        for _, options in ipairs{{}, {align_corners = true}, {padding = "border"}, {padding = "border", align_corners = true}} do
            local x, grid = attn.randn(2, C, 5, 4, F64), attn.randn(2, 9, 11, 2, F64)
            local y, values, places = attn.grid_sample(x, grid, options):totable(), x:totable(), grid:totable()
            for b = 1, 2 do
                for c = 1, C, 7 do
                    for i = 1, 9, 4 do
                        for j = 1, 11 do
                            local expected = at(values[b][c], places[b][i][j][1], places[b][i][j][2], options)
                            t.is_true(math.abs(y[b][c][i][j] - expected) < 1e-12)
                        end
                    end
                end
            end
        end
    end
end)

t.case("the identity gives the image back", function()
    local x = attn.randn(2, 3, 5, 7)
    local theta = attn.tensor{{1, 0, 0}, {0, 1, 0}}:unsqueeze(1):expand(2, 2, 3)
    for _, align in ipairs{false, true} do
        local options = {align_corners = align}
        t.near(attn.grid_sample(x, attn.affine_grid(theta, {5, 7}, options), options), x, 1e-5)
        t.equal(attn.grid_sample(x, attn.affine_grid(theta, {5, 7}, options), {mode = "nearest", align_corners = align}), x:totable())
    end
    t.equal(attn.affine_grid(theta:narrow(1, 1, 1), {1, 2}, {align_corners = true}), {{{{-1, 0}, {1, 0}}}})
    t.equal(attn.affine_grid(theta:narrow(1, 1, 1), 2), {{{{-0.5, -0.5}, {0.5, -0.5}}, {{-0.5, 0.5}, {0.5, 0.5}}}})
end)

t.case("places that are far away, infinite or no number are outside; what is outside touches nothing", function()
    local x = attn.ones(1, 2, 3, 3):requires_grad_(true)
    local far = {{1e30, 0}, {0, -1e30}, {math.huge, 0}, {0, 0 / 0}, {-math.huge, 1 / 0}}
    local grid = attn.tensor{{far}}:requires_grad_(true)
    for _, mode in ipairs{"bilinear", "nearest"} do
        local y = attn.grid_sample(x, grid, {mode = mode})
        t.equal(y, {{{{0, 0, 0, 0, 0}}, {{0, 0, 0, 0, 0}}}})
        y:sum():backward()
    end
    t.equal(x.grad:sum():item(), 0)
    t.equal(grid.grad:abs():sum():item(), 0)
    t.equal(attn.grid_sample(x, grid, {padding = "border"}):sum():item(), 10)
    local bright = attn.tensor{{{{math.huge, 1}, {1, 1}}}}
    t.equal(attn.grid_sample(bright, attn.tensor{{{{1.4, 0.5}}}}):item(), attn.grid_sample(attn.ones(1, 1, 2, 2), attn.tensor{{{{1.4, 0.5}}}}):item())
end)

t.case("gradients are added to what is there", function()
    local x, grid = attn.randn(2, 3, 4, 5, F64):requires_grad_(true), attn.randn(2, 3, 70, 2, F64):requires_grad_(true)
    attn.grid_sample(x, grid):sum():backward()
    local dx, dgrid = x.grad:clone(), grid.grad:clone();
    (attn.grid_sample(x, grid):sum()):backward()
    t.near(x.grad, dx * 2, 1e-12)
    t.near(grid.grad, dgrid * 2, 1e-12)
    x.grad, grid.grad = nil, nil;
    (attn.grid_sample(x, grid):sum() + attn.grid_sample(x, grid):sum()):backward()
    t.near(x.grad, dx * 2, 1e-12)
end)

t.case("nothing to sample", function()
    t.equal(attn.grid_sample(attn.zeros(0, 3, 4, 4), attn.zeros(0, 2, 2, 2)).shape, {0, 3, 2, 2})
    t.equal(attn.grid_sample(attn.zeros(2, 0, 4, 4), attn.zeros(2, 2, 2, 2)).shape, {2, 0, 2, 2})
    local x = attn.zeros(1, 3, 4, 4):requires_grad_(true)
    attn.grid_sample(x, attn.zeros(1, 0, 2, 2)):sum():backward()
    t.equal(x.grad:sum():item(), 0)
end)

t.case("errors", function()
    local x, grid = attn.zeros(2, 3, 4, 4), attn.zeros(2, 5, 5, 2)
    t.raises("grid_sample: x has 3 dimensions, expected [B, C, H, W] (x: float32 [3, 4, 4])", attn.grid_sample, x[1], grid)
    t.raises("grid_sample: grid has shape [1, 5, 5, 2], expected [2, H', W', 2]", attn.grid_sample, x, grid:narrow(1, 1, 1))
    t.raises("grid_sample: grid has shape [2, 5, 5, 1]", attn.grid_sample, x, grid:narrow(4, 1, 1))
    t.raises("grid_sample: grid is float64, but x is float32", attn.grid_sample, x, grid:to "float64")
    t.raises("grid_sample: mode is the string 'cubic', expected one of bilinear, nearest", attn.grid_sample, x, grid, {mode = "cubic"})
    t.raises("grid_sample: x has no pixels", attn.grid_sample, attn.zeros(2, 3, 0, 4), grid)
    t.raises("affine_grid: theta has shape [2, 3], expected [B, 2, 3]", attn.affine_grid, attn.zeros(2, 3), {2, 2})
    t.raises("affine_grid: size is {0, 2}, expected at least {1, 1}", attn.affine_grid, attn.zeros(1, 2, 3), {0, 2})
end)
