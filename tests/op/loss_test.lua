local attn, t = require "attn", require "attn.test"

local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
local function bce(p, target) return -(target * math.log(p) + (1 - target) * math.log(1 - p)) end

local definitions = {
    mse = function(x, target) return (x - target) ^ 2 end,
    bce_logits = function(x, target) return bce(sigmoid(x), target) end,
    bce = function(x, target) return bce(x, target) end,
    kl = function(x, target) return target == 0 and 0 or target * (math.log(target) - x) end,
}

for name, f in pairs(definitions) do
    t.case(name .. " is its definition under each reduction", function()
        for _, dtype in ipairs{"float32", "float64"} do
            local x, target = attn.rand(3, 4, {dtype = dtype}) * 0.8 + 0.1, attn.rand(3, 4, {dtype = dtype})
            local want, sum, X, T = {}, 0, x:totable(), target:totable()
            for i = 1, 3 do
                want[i] = {}
                for j = 1, 4 do
                    want[i][j] = f(X[i][j], T[i][j])
                    sum = sum + want[i][j]
                end
            end
            local tolerance = dtype == "float32" and 1e-5 or 1e-12
            t.near(attn.loss[name](x, target, {reduction = "none"}), want, tolerance)
            t.near(attn.loss[name](x, target, {reduction = "sum"}):item(), sum, tolerance)
            t.near(attn.loss[name](x, target):item(), sum / 12, tolerance)
            t.near(attn.loss[name](x:transpose(1, 2), target:transpose(1, 2)):item(), sum / 12, tolerance)
        end
        t.raises(name .. ": target has shape [2, 1], expected [2]", attn.loss[name], attn.zeros(2), attn.zeros(2, 1))
        t.raises(name .. ": reduction is the string 'avg'", attn.loss[name], attn.zeros(2), attn.zeros(2),
                 {reduction = "avg"})
    end)
end

t.case("certain and impossible probabilities are finite", function()
    t.equal(attn.loss.bce(attn.tensor{0, 1}, attn.tensor{0, 1}):item(), 0)
    t.equal(attn.loss.bce(attn.tensor{0, 1}, attn.tensor{1, 0}):item(), 100)
    t.equal(attn.loss.bce_logits(attn.tensor{1000, -1000}, attn.tensor{0, 1}):item(), 1000)
    t.equal(attn.loss.kl(attn.tensor{-1, -2}, attn.tensor{0, 0}):item(), 0)
end)

t.case("l1 and huber are their definitions, with gradients to both sides", function()
    local x, y = attn.tensor{1, 2, -3, 0.5}, attn.tensor{1, 0, 1, 0}
    t.equal(attn.loss.l1(x, y, {reduction = "none"}), {0, 2, 4, 0.5})
    t.equal(attn.loss.huber(x, y, {reduction = "none"}), {0, 1.5, 3.5, 0.125})
    t.equal(attn.loss.huber(x, y, {reduction = "none", delta = 3}), {0, 2, 7.5, 0.125})
    t.equal(attn.loss.l1(x, y):item(), 6.5 / 4)
    x:requires_grad_(true)
    y:requires_grad_(true)
    attn.loss.l1(x, y, {reduction = "sum"}):backward()
    t.equal({x.grad:totable(), y.grad:totable()}, {{0, 1, -1, 1}, {0, -1, 1, -1}})
    t.raises("huber: delta is 0, expected more than 0", attn.loss.huber, x, y, {delta = 0})
    t.raises("l1: y has shape [2], expected [4] (x: float32 [4])", attn.loss.l1, x, attn.zeros(2))
end)
