-- Captions: gradients of soft attention and its penalty; the hard loss by hand; half the sentences take the mean in place of a draw.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Teller = require "seeing.captions".Teller

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local into, out = ids{{5, 1, 2}, {5, 3, 0}}, ids{{1, 2, 6}, {3, 6, 0}}
local function made(options)
    attn.seed(6)
    options.dim, options.hidden, options.words, options.channels, options.patch, options.places = 2, 3, 6, 1, 2, 4
    return Teller(options):to "float64", attn.rand(2, 1, 4, 4, {dtype = "float64"})
end

for _, one in ipairs{{"soft"}, {"gated", gate = true}, {"doubly stochastic", gate = true, doubly = 0.3}} do
    t.case(one[1] .. ": gradient; weights sum to 1", function()
        local model, x = made{gate = one.gate}
        local ok, report = attn.checkgrad(function() return model:loss(x, into, out, one.doubly or 0) end, model:parameters())
        t.is_true(ok, report)
        t.near(select(2, model(x, into)):sum(3):totable(), {{1, 1, 1}, {1, 1, 1}}, 1e-9)
    end)
end

t.case("the penalty is the sum over places of (1 - sum over words)^2, words beyond the end left out", function()
    local model, x = made{}
    local maps, sum = select(2, model(x, into)):totable(), 0
    for i, words in ipairs{3, 2} do
        for l = 1, 4 do
            local all = 0
            for w = 1, words do all = all + maps[i][w][l] end
            sum = sum + (1 - all) ^ 2 / 2
        end
    end
    t.near(model:loss(x, into, out, 0.5):item() - model:loss(x, into, out, 0):item(), 0.5 * sum, 1e-9)
end)

t.case("hard: minus log p, and minus the reward above the baseline times the draws' log-probability", function()
    local model, x = made{kind = "hard", baseline = "none"}
    attn.seed(8)
    local logits, _, logp = model(x, into)
    local said, chosen = 0, 0
    for i, words in ipairs{3, 2} do
        local of_row, draws = 0, 0
        for w = 1, words do
            of_row = of_row + logits[i][w]:log_softmax(1)[out[i][w]:item()]:item()
            draws = draws + logp[i][w]:item()
        end
        said, chosen = said + of_row, chosen + of_row * draws
    end
    attn.seed(8)
    t.near(model:loss(x, into, out, 0):item(), -(said + chosen) / 5, 1e-9)
end)

t.case("hard, trained: a sentence without draws has no log-probability; evaluated, all are drawn", function()
    local model, x = made{kind = "hard"}
    local zero, other = 0, 0
    for _ = 1, 20 do
        for _, row in ipairs(select(3, model(x, into)):totable()) do
            if row[1] == 0 and row[2] == 0 and row[3] == 0 then zero = zero + 1 else other = other + 1 end
        end
    end
    t.is_true(zero > 5 and other > 5)
    model:eval()
    t.is_true(select(3, model(x, into)):lt(0):all():item())
end)
