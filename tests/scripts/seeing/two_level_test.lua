-- Two levels: the mixture over patches by hand and its gradient; like filters fall together; a part is where its detector responds most.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.two_level"

local function made(attention)
    attn.seed(4)
    return paper.Object{classes = 3, first = 2, second = 2, attention = attention}:to "float64", attn.rand(2, 1, 36, 32, {dtype = "float64"})
end

for _, attention in ipairs{true, false} do
    t.case((attention and "attention" or "mean") .. " over patches: gradient; probabilities", function()
        local model, x = made(attention)
        local logp, a = model(x)
        t.equal(a.shape, {2, 2, 1})
        t.near(logp:exp():sum(2):totable(), {1, 1}, 1e-9)
        local ok, report = attn.checkgrad(function() return (model(x)) end, {model.class.weight, model.class.bias, model.second.bias, model.first.bias})
        t.is_true(ok, report)
    end)
end

t.case("p(y) = sum over patches of a_p p(y | patch)", function()
    local model, x = made(true)
    local logp, a, maps = model(x)
    local each = model.class(maps):log_softmax(2)
    for y = 1, 3 do
        local p = 0
        for row = 1, 2 do p = p + a[2][row][1]:item() * math.exp(each[2][y][row][1]:item()) end
        t.near(math.exp(logp[2][y]:item()), p, 1e-9)
    end
end)

t.case("filters with like weights are one cluster, whatever their size", function()
    local of = paper.cluster(attn.tensor{{1, 0, 0}, {0, 3, 0.1}, {5, 0.1, 0}, {0, 1, 0}, {0, 0, -2}}, 3):totable()
    t.equal({of[1] == of[3], of[2] == of[4], of[1] ~= of[2] and of[5] ~= of[1] and of[5] ~= of[2]}, {true, true, true})
end)

t.case("a part is found inside the chosen patch, where its detector responds most", function()
    local object = made(true)
    local parts = paper.Parts{object = object, detectors = 2, size = 2, hidden = 2, classes = 3}
    parts.detectors = attn.eye(2)
    local maps, a = attn.zeros(1, 2, 15, 15), attn.zeros(1, 5, 5)
    a[1][2][3] = 1                                      -- rows 3 to 9, columns 5 to 11
    maps[1][1][1][1], maps[1][1][4][6], maps[1][2][9][11] = 9, 1, 1
    local places, inside = parts:find(a, maps)
    t.near(places:totable(), {{{2 * 5.5 / 15 - 1, 2 * 3.5 / 15 - 1}, {2 * 10.5 / 15 - 1, 2 * 8.5 / 15 - 1}}}, 1e-6)
    t.near(inside:totable(), {{{1 / 3 - 1, 1 / 3 - 1}, {1, 1}}}, 1e-6)
end)
