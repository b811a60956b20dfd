-- Glimpses: gradients of what is seen; the reward and its baseline by hand; places stay inside.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Glimpses = require "seeing.glimpses".Glimpses

local function made(options)
    attn.seed(2)
    options.classes, options.dim, options.hidden, options.size = 3, 3, 4, 2
    return Glimpses(options):to "float64"
end

t.case("gradient, the draws being the same each time", function()
    local model, x = made{glimpses = 3, scales = 2, std = 0.3}, attn.rand(4, 1, 6, 6, {dtype = "float64"})
    local seen = {model.what, model.where, model.from_what, model.from_where, model.class}
    local list = {}
    for _, one in ipairs(seen) do table.move(one:parameters(), 1, 9, #list + 1, list) end
    local ok, report = attn.checkgrad(function()
        attn.seed(9)
        return (model(x))
    end, list)
    t.is_true(ok, report)
end)

t.case("the loss: cross-entropy, minus advantage times log-density, and the baseline's error, by hand", function()
    local model, x, answer = made{glimpses = 2, std = 0.3}, attn.rand(1, 1, 6, 6, {dtype = "float64"}), attn.tensor({2}, {dtype = "int64"})
    attn.seed(5)
    local logits, path, logp, worth = model(x)
    local reward, w = logits:argmax(2):item() == 2 and 1 or 0, worth[1]:item()
    local known = attn.no_grad(function() return model.input(model:sense(x, attn.zeros(1, 2, {dtype = "float64"}))):relu() end)
    local mean, at = model.place(model.place_hidden(known):relu()):tanh():totable()[1], path[1][2]:totable()
    local density = 0
    for d = 1, 2 do density = density - (at[d] - mean[d]) ^ 2 / (2 * 0.09) - math.log(0.3 * math.sqrt(2 * math.pi)) end
    t.near(logp[1]:item(), density, 1e-9)
    attn.seed(5)
    t.near(model:loss(x, answer):item(), attn.loss.cross_entropy(logits, answer):item() - (reward - w) * density + (w - reward) ^ 2, 1e-9)
end)

t.case("evaluated it looks where the mean is, always at the same places, inside the picture", function()
    local model, x = made{glimpses = 5, std = 5}, attn.rand(2, 1, 6, 6, {dtype = "float64"})
    local _, drawn = model(x)
    t.is_true(drawn:abs():le(1):all():item())
    model:eval()
    local _, a = model(x)
    local _, b = model(x)
    t.equal(a:totable(), b:totable())
end)
