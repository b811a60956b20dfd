-- Two digits: gradient of what is said; the rewards and the loss by hand; the context decides where it looks first.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Reader = require "seeing.two_digits".Reader

local x, answer
local function made(context)
    attn.seed(5)
    x, answer = attn.rand(3, 1, 24, 24, {dtype = "float64"}), attn.tensor({{1, 2}, {3, 1}, {2, 2}}, {dtype = "int64"})
    return Reader{labels = 2, classes = 3, glimpses = 2, size = 3, scales = 1, canvas = 24, dim = 3, hidden = 3, std = 0.3, context = context}:to "float64"
end

t.case("gradient of the labels, the draws being the same each time", function()
    local model, list = made(true), {}
    for _, part in ipairs{model.what, model.where, model.first, model.class} do
        for _, p in ipairs(part:parameters()) do list[#list + 1] = p end
    end
    local ok, report = attn.checkgrad(function()
        attn.seed(9)
        return (model(x))
    end, list)
    t.is_true(ok, report)
end)

t.case("a place is rewarded for the label it looks for", function()
    local model = made(true)
    attn.seed(7)
    local logits, _, logp, worth = model(x)
    local loss, right = attn.loss.cross_entropy(logits, answer):item(), logits:argmax(3):eq(answer):totable()
    local sum, squares = 0, 0
    for i = 1, 3 do
        for k = 1, 4 do
            local reward, w = right[i][k <= 2 and 1 or 2] and 1 or 0, worth[i][k]:item()
            sum, squares = sum + (reward - w) * logp[i][k]:item() / 12, squares + (reward - w) ^ 2 / 12
        end
    end
    attn.seed(7)
    t.near(model:loss(x, answer):item(), loss - sum + squares, 1e-9)
end)

t.case("without a context the first look is at the same place for all pictures", function()
    for _, context in ipairs{true, false} do
        local model = made(context)
        model:eval()
        local _, path = model(x)
        t.equal(attn.allclose(path[1][1], path[2][1], {atol = 1e-9}), not context)
    end
end)
