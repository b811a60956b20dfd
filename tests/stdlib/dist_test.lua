-- Distributions to draw from and estimators of gradients through draws.
local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}
local function R(...) return attn.randn({...}, F64) end

t.case("categorical: log-probability, entropy and frequencies", function()
    attn.seed(1)
    local p = {0.1, 0.6, 0, 0.3}
    for _, d in ipairs{attn.dist.categorical{probs = attn.tensor(p, F64) * 3}, attn.dist.categorical{logits = attn.tensor(p, F64):log() + 2}} do
        t.near(d:log_prob(attn.tensor(2, {dtype = "int64"})):item(), math.log(0.6), 1e-12)
        t.near(d:entropy():item(), -(0.1 * math.log(0.1) + 0.6 * math.log(0.6) + 0.3 * math.log(0.3)), 1e-12)
    end
    local ids = attn.dist.categorical{logits = attn.tensor(p):log():unsqueeze(1):expand(20000, 4)}:sample()
    for k = 1, 4 do t.near(ids:eq(k):sum():item() / 20000, p[k], 0.015) end
end)

t.case("bernoulli: log-probability, entropy and frequencies", function()
    attn.seed(2)
    local d = attn.dist.bernoulli{probs = attn.tensor({0.2, 0.7}, F64)}
    t.near(d:log_prob(attn.tensor({1, 0}, F64)), {math.log(0.2), math.log(0.3)}, 1e-12)
    t.near(d:entropy():totable()[1], -(0.2 * math.log(0.2) + 0.8 * math.log(0.8)), 1e-12)
    local x = attn.dist.bernoulli{logits = attn.zeros(20000) - 1}:sample()
    t.near(x:mean():item(), 1 / (1 + math.exp(1)), 0.015)
end)

t.case("normal: log-probability, entropy, moments and draws with gradient", function()
    attn.seed(3)
    local d = attn.dist.normal{mean = attn.tensor({1, 2}, F64), std = attn.tensor({0.5, 2}, F64)}
    t.near(d:log_prob(attn.tensor({1, 4}, F64)),
           {-math.log(0.5) - math.log(2 * math.pi) / 2, -0.5 - math.log(2) - math.log(2 * math.pi) / 2}, 1e-12)
    t.near(d:entropy(), {0.5 + math.log(2 * math.pi) / 2 + math.log(0.5), 0.5 + math.log(2 * math.pi) / 2 + math.log(2)}, 1e-12)
    local x = attn.dist.normal{mean = attn.full({20000}, 3), std = 2}:sample()
    t.near(x:mean():item(), 3, 0.06)
    t.near(x:std():item(), 2, 0.06)
    t.equal(x.requires_grad, false)
    t.gradient(function(mean, std) return attn.dist.normal{mean = mean, std = std:exp()}:rsample() end, {R(2, 3), R(3)})
end)

t.case("log-probabilities and entropies are differentiable", function()
    attn.seed(4)
    local ids = attn.tensor({1, 3}, {dtype = "int64"})
    t.gradient(function(x)
        local d = attn.dist.categorical{logits = x}
        return d:log_prob(ids), d:entropy()
    end, {R(2, 3)})
    t.gradient(function(x) return attn.dist.categorical{probs = x:exp()}:entropy() end, {R(2, 3)})
    t.gradient(function(x)
        local d = attn.dist.bernoulli{logits = x}
        return d:log_prob(attn.tensor({1, 0, 1}, F64)), d:entropy()
    end, {R(3)})
    t.gradient(function(mean, std)
        local d = attn.dist.normal{mean = mean, std = std:exp()}
        return d:log_prob(attn.ones(3, F64)), d:entropy()
    end, {R(3), R(3)})
end)

t.case("draws are the same for any number of threads", function()
    local old, first = attn.threads(), nil
    for _, n in ipairs{1, 2, 3, 7} do
        attn.threads(n)
        attn.seed(5)
        local ids = attn.dist.categorical{logits = attn.randn(3000, 20)}:sample()
        first = first or ids
        t.equal(ids:eq(first):sum():item(), 3000)
    end
    attn.threads(old)
end)

t.case("reinforce: each baseline by its definition", function()
    local reward = attn.tensor({{1, 2}, {3, 6}}, F64)
    local function gradient(estimator, ...)
        local logp = attn.zeros(2, 2, F64):requires_grad_(true)
        estimator(logp, reward, ...):backward()
        return (logp.grad * -4):totable()
    end
    local estimate = attn.estimate.reinforce
    t.near(gradient(estimate{baseline = "none"}), {{1, 2}, {3, 6}}, 1e-12)
    t.near(gradient(estimate{baseline = "leave_one_out"}), {{-2, -4}, {2, 4}}, 1e-12)
    local moving = estimate{decay = 0.5}
    t.near(gradient(moving), {{1, 2}, {3, 6}}, 1e-12)
    t.near(gradient(moving), {{-2, -1}, {0, 3}}, 1e-12)
    local other = estimate{}
    other:load(moving:state())
    t.near(gradient(other), {{-2, -1}, {0, 3}}, 1e-12)
    local predicted = attn.full({2, 2}, 2, F64):requires_grad_(true)
    t.near(gradient(estimate{baseline = "learned"}, predicted), {{-1, 0}, {1, 4}}, 1e-12)
    t.near(predicted.grad, {{0.5, 0}, {-0.5, -2}}, 1e-12)
end)

t.case("straight-through and Gumbel-softmax", function()
    local soft = attn.tensor({0.2, 0.8}, F64):requires_grad_(true)
    local y = attn.estimate.straight_through(attn.tensor({0, 1}, F64), soft)
    t.near(y:detach(), {0, 1}, 1e-15);
    (y * attn.tensor({2, 3}, F64)):sum():backward()
    t.equal(soft.grad:totable(), {2, 3})
    attn.seed(6)
    local hard = attn.estimate.gumbel_softmax(attn.tensor{1, 0, -1}:unsqueeze(1):expand(9000, 3), {hard = true})
    t.near(hard:mean(1), attn.softmax(attn.tensor{1, 0, -1}), 0.02)
    t.near(hard:max(2):min():item(), 1, 1e-6)
    t.gradient(function(x) return attn.estimate.gumbel_softmax(x, {temperature = 0.5}) end, {R(2, 3)})
end)

t.case("errors", function()
    t.raises("dist.categorical: expected one of logits and probs", attn.dist.categorical, {})
    t.raises("dist.categorical: logits is 1, expected a float tensor", attn.dist.categorical, {logits = 1})
    t.raises("dist.normal: field 'std' is missing", attn.dist.normal, {mean = attn.ones(1)})
    t.raises("categorical:log_prob: ids is float32 [1], expected int64", function()
        attn.dist.categorical{logits = attn.ones(1, 2)}:log_prob(attn.ones(1))
    end)
    t.raises("reinforce: leave_one_out needs at least 2 draws", attn.estimate.reinforce{baseline = "leave_one_out"}, attn.ones(1), attn.ones(1))
    t.raises("reinforce: reward is float32 [2], expected the shape of logp (logp: float32 [1])", attn.estimate.reinforce(), attn.ones(1), attn.ones(2))
    t.raises("estimate.gumbel_softmax: temperature is 0, expected more than 0", attn.estimate.gumbel_softmax, attn.ones(2), {temperature = 0})
end)

t.case("the quality of an estimator: mean, variance, bias less chance, cosine, by hand", function()
    local list, n = {{1, 0}, {3, 0}, {2, 2}}, 0
    local function draw()
        n = n % 3 + 1
        return attn.tensor(list[n], {dtype = "float64"})
    end
    local exact = attn.tensor({2, -2}, {dtype = "float64"})
    local found = attn.estimate.quality(draw, 3, exact)
    t.near(found.mean:totable(), {2, 2 / 3}, 1e-12)
    local variance = (1 + 4 / 9 + 1 + 4 / 9 + 16 / 9) / 2
    t.near(found.variance, variance, 1e-12)
    t.near(found.bias, math.sqrt((8 / 3) ^ 2 - variance / 3), 1e-12)
    t.near(found.cosine, (1 / math.sqrt(2) + 1 / math.sqrt(2) + 0) / 3, 1e-12)
    t.equal(attn.estimate.quality(draw, 3).bias, nil)
    t.near(attn.estimate.quality(function() return exact * 1 end, 2, exact).bias, 0, 1e-12)
    t.raises("estimate.quality: count is 1, expected at least 2", attn.estimate.quality, draw, 1)
    t.raises("estimate.quality: an estimate is 3, expected a float tensor", attn.estimate.quality, function() return 3 end, 2)
end)
