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

t.case("class weights and smoothing are their definitions", function()
    local X, W, T = {{0.5, -1, 2}, {1, 0, -0.5}, {3, 1, 1}, {0, 0, 1}}, {0.5, 2, 3}, {3, 0, 1, 2}
    for _, dtype in ipairs{"float32", "float64"} do
        local tolerance = dtype == "float32" and 1e-5 or 1e-12
        local x, weight = attn.tensor(X, {dtype = dtype}), attn.tensor(W, {dtype = dtype})
        local targets = attn.tensor(T, {dtype = "int64"})
        for _, s in ipairs{0, 0.3} do
            local rows, total, count = {}, 0, 0
            for r, logits in ipairs(X) do
                local sum = 0
                for v = 1, 3 do sum = sum + math.exp(logits[v]) end
                rows[r] = 0
                for v = 1, T[r] > 0 and 3 or 0 do
                    rows[r] = rows[r] + ((v == T[r] and 1 - s or 0) + s / 3) * W[v] * (math.log(sum) - logits[v])
                end
                total, count = total + rows[r], count + (W[T[r]] or 0)
            end
            for _, f in ipairs{function(o) return attn.loss.cross_entropy(x, targets, o) end,
                               function(o) return attn.loss.nll(x:log_softmax(2), targets, o) end} do
                t.near(f{weight = weight, smoothing = s, reduction = "none"}, rows, tolerance)
                t.near(f{weight = weight, smoothing = s, reduction = "sum"}:item(), total, tolerance)
                t.near(f{weight = weight, smoothing = s}:item(), total / count, tolerance)
            end
            local y, want = attn.tensor({{1, 0, 0.5}}, {dtype = dtype}), {}
            for k, target in ipairs{1, 0, 0.5} do want[k] = W[k] * bce(sigmoid(X[1][k]), target * (1 - s) + s / 2) end
            t.near(attn.loss.bce_logits(x:narrow(1, 1, 1), y, {weight = weight, smoothing = s, reduction = "none"}), {want}, tolerance)
        end
    end
end)

t.case("class weights that do not fit", function()
    local x, y = attn.randn(2, 3), attn.tensor({1, 2}, {dtype = "int64"})
    for name, f in pairs{cross_entropy = function(o) return attn.loss.cross_entropy(x, y, o) end,
                         nll = function(o) return attn.loss.nll(x, y, o) end,
                         bce_logits = function(o) return attn.loss.bce_logits(x, x, o) end} do
        t.raises(name .. ": weight has shape [2], expected [3], one of each class (weight: float32 [2])", f, {weight = attn.ones(2)})
        t.raises(name .. ": weight carries a gradient, expected constants", f, {weight = attn.ones(3):requires_grad_(true)})
        t.raises(name .. ": smoothing is 2, expected 0..1", f, {smoothing = 2})
    end
    t.raises("mse: unknown option 'weight'", attn.loss.mse, x, x, {weight = attn.ones(3)})
    t.equal(attn.loss.cross_entropy(x, y, {weight = attn.zeros(3)}):item(), 0)
end)
