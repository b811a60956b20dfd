-- Co-attention: its gradient, and its weights by the formulas of the paper.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "reading.coattention"

local function reader(style)
    attn.seed(3)
    return paper.Reader{words = 6, answers = 3, dim = 2, style = style, patch = 2}:to "float64"
end
local images = attn.randn(2, 3, 4, 4, {dtype = "float64"})
local questions = attn.tensor({{1, 2, 3}, {4, 5, 0}}, {dtype = "int64"})
local lengths = attn.tensor({3, 2}, {dtype = "int64"})

for _, style in ipairs{"parallel", "alternating", "image", "none"} do
    t.case(style .. ": gradient", function()
        local model = reader(style)
        local ok, report = attn.checkgrad(function() return (model(images, questions, lengths)) end, model:parameters())
        t.is_true(ok, report)
    end)

    t.case(style .. ": weights sum to 1; what is beyond the question has none and changes nothing", function()
        local model = reader(style)
        local logits, maps = model(images, questions, lengths)
        local alone = model(images:narrow(1, 2, 1), questions[{{2, 2}, {1, 2}}], attn.tensor({2}, {dtype = "int64"}))
        t.near(logits[2]:totable(), alone[1]:totable(), 1e-12)
        for _, map in pairs(maps) do
            t.near(map.words:sum(2):totable(), {1, 1}, 1e-12)
            t.near(map.regions:sum(2):totable(), {1, 1}, 1e-12)
            t.equal(map.words[{2, 3}]:item(), 0)
        end
    end)
end

t.case("parallel: C = tanh(Q W_b V'), H and the weights in plain Lua", function()
    attn.seed(4)
    local level = paper.Level{dim = 2, style = "parallel"}:to "float64"
    local Q, V = attn.randn(1, 2, 2, {dtype = "float64"}), attn.randn(1, 3, 2, {dtype = "float64"})
    local _, v, a, b = level(Q, V, attn.tensor({2}, {dtype = "int64"}))
    local function of(layer) return layer.weight:totable() end
    local function times(W, x) return {W[1][1] * x[1] + W[1][2] * x[2], W[2][1] * x[1] + W[2][2] * x[2]} end
    local function tanh(x) return (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1) end
    local q, r, C = Q:totable()[1], V:totable()[1], {}
    for i = 1, 2 do
        C[i] = {}
        local one = times(of(level.affinity), q[i])
        for n = 1, 3 do C[i][n] = tanh(one[1] * r[n][1] + one[2] * r[n][2]) end
    end
    local function weights(own, others, mine, theirs, score, affinity)
        local e, sum = {}, 0
        for i, x in ipairs(own) do
            local h = times(mine, x)
            for j, y in ipairs(others) do
                local z = times(theirs, y)
                for d = 1, 2 do h[d] = h[d] + affinity(i, j) * z[d] end
            end
            e[i] = math.exp(score[1][1] * tanh(h[1]) + score[1][2] * tanh(h[2]))
            sum = sum + e[i]
        end
        for i = 1, #e do e[i] = e[i] / sum end
        return e
    end
    local words = weights(q, r, of(level.word), of(level.region), of(level.word_score), function(i, j) return C[i][j] end)
    local regions = weights(r, q, of(level.region), of(level.word), of(level.region_score), function(i, j) return C[j][i] end)
    t.near(a[1]:totable(), words, 1e-12)
    t.near(b[1]:totable(), regions, 1e-12)
    t.near(v[{1, 1}]:item(), regions[1] * r[1][1] + regions[2] * r[2][1] + regions[3] * r[3][1], 1e-12)
end)
