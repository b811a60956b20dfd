-- The laboratory of estimators: the exact gradient is that of the sum over places, by hand; draws agree with it in the mean.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local lab = require "seeing.estimators"

local cfg = {places = 3, values = 4, dim = 2, draws = 2000, temperature = 1}
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local b = {keys = ids{{3, 1, 2}, {1, 2, 3}}, values = ids{{1, 4, 2}, {3, 3, 1}}, query = ids{1, 2}, answer = ids{4, 3}}
local function made()
    attn.seed(3)
    return lab.Hard(cfg):to "float64"
end

t.case("gradients of what is exact", function()
    local model = made()
    for _, kind in ipairs{"exact", "mean"} do
        local ok, report = attn.checkgrad(function() return lab.objective(model, {kind = kind}, b) end, model:parameters())
        t.is_true(ok, report)
    end
end)

t.case("exact is minus the sum over places of alpha_s log p(y | a_s)", function()
    local model, sum = made(), 0
    local items, log_alpha = model(b.keys, b.values, b.query)
    for i = 1, 2 do
        for s = 1, 3 do
            local p = model.out(items[i][{{s, s}}]):log_softmax(2):totable()[1]
            sum = sum - math.exp(log_alpha[i][s]:item()) * p[b.answer[i]:item()] / 2
        end
    end
    t.near(lab.objective(model, {kind = "exact"}, b):item(), sum, 1e-12)
end)

t.case("REINFORCE agrees with the exact gradient in the mean, with every baseline", function()
    local model = made()
    local function of(loss) return attn.cat({attn.grad(loss, {model.item.weight, model.v.weight})[1]:reshape(-1)}, 1) end
    local exact = of(lab.objective(model, {kind = "exact"}, b))
    for _, kind in ipairs{"none", "moving", "learned", "leave_one_out"} do
        local one = lab.estimator(kind, cfg)
        if one.predict then one.predict:to "float64" end
        lab.objective(model, one, b)                                    -- the moving mean has begun
        t.near(of(lab.objective(model, one, b)):totable(), exact:totable(), 0.03)
    end
end)
