local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

-- The definition: what every window of x[b][plane] holds, place by place.
local function windows(x, kernel, stride, padding)
    local H, W = x:size(3), x:size(4)
    local rows, columns = (H + 2 * padding - kernel) // stride + 1, (W + 2 * padding - kernel) // stride + 1
    local values, list = x:totable(), {}
    for b = 1, x:size(1) do
        for c = 1, x:size(2) do
            for i = 0, rows - 1 do
                for j = 0, columns - 1 do
                    local held = {}
                    for h = i * stride - padding + 1, i * stride - padding + kernel do
                        for w = j * stride - padding + 1, j * stride - padding + kernel do
                            if h >= 1 and h <= H and w >= 1 and w <= W then held[#held + 1] = values[b][c][h][w] end
                        end
                    end
                    list[#list + 1] = held
                end
            end
        end
    end
    return list, {x:size(1), x:size(2), rows, columns}
end

t.case("each result is the greatest or the mean of its window", function()
    for _, c in ipairs{{2, 2, 0}, {3, 2, 1}, {3, 1, 1}, {2, 3, 1}, {5, 5, 2}, {4, 1, 2}, {1, 1, 0}, {1, 3, 0}} do
        local kernel, stride, padding = table.unpack(c)
        for _, size in ipairs{{2, 3, 7, 37}, {1, 1, 5, 5}} do
            local x = attn.randn(size, F64)
            local list, shape = windows(x, kernel, stride, padding)
            local greatest, mean = {}, {}
            for k, held in ipairs(list) do
                greatest[k], mean[k] = math.max(table.unpack(held)), 0
                for _, v in ipairs(held) do mean[k] = mean[k] + v / kernel ^ 2 end
            end
            local options = {stride = stride, padding = padding}
            t.equal(attn.max_pool2d(x, kernel, options).shape, shape)
            t.near(attn.max_pool2d(x, kernel, options):reshape(-1), greatest, 0)
            t.near(attn.avg_pool2d(x, kernel, options):reshape(-1), mean, 1e-14)
        end
    end
end)

t.case("a sequence is an image of one column, channels aside", function()
    local x = attn.randn(2, 11, 3, F64)
    for _, name in ipairs{"max_pool", "avg_pool"} do
        local image = attn[name .. "2d"](x:transpose(2, 3):unsqueeze(4), {3, 1}, {stride = {2, 1}, padding = {1, 0}})
        t.near(attn[name .. "1d"](x, 3, {stride = 2, padding = 1}), image:squeeze(4):transpose(2, 3), 1e-15)
    end
end)

t.case("with lengths each row is pooled as if it ended there", function()
    for _, name in ipairs{"max_pool1d", "avg_pool1d"} do
        local x = attn.randn(4, 9, 2, F64):requires_grad_(true)
        local options = {stride = 2, padding = 1, lengths = ids{9, 4, 0, 1}}
        local y = attn[name](x, 3, options)
        y:sum():backward()
        for b, n in ipairs{9, 4, 0, 1} do
            for k = 1, y:size(2) do
                local first, last = (k - 1) * 2, math.min((k - 1) * 2 + 2, n)
                first = math.max(first, 1)
                if first > last then
                    t.equal(y[b][k], {0, 0})
                elseif name == "max_pool1d" then
                    t.equal(y[b][k], (x[b]:narrow(1, first, last - first + 1):max(1)):totable())
                end
            end
            for k = n + 1, 9 do t.equal(x.grad[b][k], {0, 0}) end
        end
    end
    t.equal(attn.avg_pool1d(attn.ones(1, 4, 1), 4, {lengths = ids{3}}), {{{1}}})
end)

t.case("the gradient of a maximum goes to the first of equals, row by row", function()
    local x = attn.ones(1, 1, 3, 4):requires_grad_(true)
    attn.max_pool2d(x, 2, {stride = 1}):sum():backward()
    t.equal(x.grad, {{{{1, 1, 1, 0}, {1, 1, 1, 0}, {0, 0, 0, 0}}}})
    local low = attn.full({1, 1, 2, 2}, -math.huge):requires_grad_(true)
    attn.max_pool2d(low, 2, {padding = 1}):backward(attn.ones(1, 1, 2, 2))
    t.equal(low.grad, {{{{1, 1}, {1, 1}}}})
end)

t.case("NaN stays, and gets the gradient", function()
    local x = attn.tensor{{{{1, 0 / 0, 3, 4}}}}:requires_grad_(true)
    local y = attn.max_pool2d(x, {1, 2})
    t.is_true(y:ne(y)[1][1][1][1]:item())
    t.equal(y[1][1][1][2]:item(), 4)
    y:backward(attn.ones(1, 1, 1, 2))
    t.equal(x.grad, {{{{0, 1, 0, 1}}}})
end)

t.case("nothing to pool", function()
    t.equal(attn.max_pool2d(attn.zeros(0, 3, 4, 4), 2).shape, {0, 3, 2, 2})
    t.equal(attn.max_pool1d(attn.zeros(2, 4, 0), 2).shape, {2, 2, 0})
    local none = attn.zeros(1, 1, 2, 0):requires_grad_(true)
    local y = attn.max_pool2d(none, 2, {padding = 1})
    t.equal(y, {{{{0}, {0}}}})
    y:sum():backward()
    t.equal(none.grad.shape, {1, 1, 2, 0})
    local short = attn.zeros(1, 0, 1):requires_grad_(true)
    attn.max_pool1d(short, 2, {padding = 1}):sum():backward()
end)

t.case("errors", function()
    t.raises("max_pool2d: x has 3 dimensions, expected [B, C, H, W] (x: float32 [1, 2, 3])", attn.max_pool2d, attn.zeros(1, 2, 3), 2)
    t.raises("avg_pool1d: x has 4 dimensions, expected [B, T, C]", attn.avg_pool1d, attn.zeros(1, 2, 3, 4), 2)
    t.raises("max_pool2d: kernel is 0, expected at least 1", attn.max_pool2d, attn.zeros(1, 1, 3, 3), {2, 0})
    t.raises("max_pool2d: stride is -1, expected at least 1", attn.max_pool2d, attn.zeros(1, 1, 3, 3), 2, {stride = -1})
    t.raises("max_pool2d: padding is 2, expected 0 to 1, half the kernel", attn.max_pool2d, attn.zeros(1, 1, 3, 3), 2, {padding = 2})
    t.raises("avg_pool2d: x has 3 places along dimension 4 with padding, expected at least the kernel's 4", attn.avg_pool2d,
             attn.zeros(1, 1, 5, 3), 4)
    t.raises("max_pool1d: kernel is a table of two, expected a number", attn.max_pool1d, attn.zeros(1, 5, 3), {2, 3})
    t.raises("max_pool1d: lengths has shape [2], expected [1]", attn.max_pool1d, attn.zeros(1, 5, 3), 2, {lengths = ids{1, 2}})
    t.raises("avg_pool1d: lengths[1] is 6, expected 0 to 5", attn.avg_pool1d, attn.zeros(1, 5, 3), 2, {lengths = ids{6}})
    t.raises("max_pool2d: unknown option 'lengths'", attn.max_pool2d, attn.zeros(1, 1, 5, 3), 2, {lengths = ids{1}})
end)
