-- linear: the sums by hand; no point sees itself or those behind it, one by one is all at once; gradients.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local linear = require "self_attention.linear"

local function painter(score)
    attn.seed(1)
    return linear.Painter{score = score, points = 6, dim = 4, heads = 2, layers = 1}:to "float64"
end
local points = attn.tensor({{1, 2, 2, 1, 1, 2}, {2, 2, 1, 2, 1, 1}}, {dtype = "int64"})

t.case("a recurrent network whose state are the sums S and z", function()
    attn.seed(2)
    local x = attn.randn(1, 4, 3, {dtype = "float64"})
    local y = attn.attention{query = 3, score = "linear"}:to "float64"(x, x, x, {causal = true})[1]
    local S, z = attn.zeros(3, 3, {dtype = "float64"}), attn.zeros(3, {dtype = "float64"})
    for i = 1, 4 do
        local phi = x[1][i]:elu() + 1
        S, z = S + phi:outer(x[1][i]), z + phi
        t.near(y[i], phi:matmul(S) / (phi * z):sum(), 1e-10)
    end
end)

t.case("each point from those before; one by one as all at once", function()
    for _, score in ipairs{"linear", "scaled_dot"} do
        local model = painter(score)
        local all, other = model(points), points:clone()
        other:select(2, 4):fill_(2)
        t.equal(model(other)[1]:narrow(1, 1, 4):totable(), all[1]:narrow(1, 1, 4):totable())
        t.is_true(model(other)[1][5]:item() ~= all[1][5]:item())
        local before, state, y = attn.full({2}, 3, {dtype = "int64"}), nil, nil
        for step = 1, 6 do
            y, state = model:step(before, state)
            t.near(y, all:select(2, step), 1e-10)
            before = points:select(2, step)
        end
        local drawn = model:complete(points, 4)
        t.equal(drawn[{{}, {1, 3}}]:totable(), points[{{}, {1, 3}}]:totable())
        t.equal({drawn:min():item() >= 1, drawn:max():item() <= 2}, {true, true})
    end
end)

t.case("gradients", function()
    local model = painter "linear"
    t.is_true(attn.checkgrad(model, {points}))
    attn.seed(3)
    local reader = linear.Reader({keys = 3, values = 2, dim = 4, heads = 2, layers = 1}, "linear"):to "float64"
    local source, query = attn.tensor({{2, 5, 1, 4}}, {dtype = "int64"}), attn.tensor({1}, {dtype = "int64"})
    t.is_true(attn.checkgrad(reader, {source, query}))
end)

t.case("a point is black where half of the light of four falls", function()
    local image = attn.zeros(1, 1, 28, 28)
    image[1][1][1][1], image[1][1][1][2], image[1][1][1][3] = 255, 255, 255
    local p = linear.points_of(image:to "uint8")
    t.equal({p.shape[2], p[1][1]:item(), p[1][2]:item(), p[1][3]:item()}, {196, 2, 1, 1})
end)
