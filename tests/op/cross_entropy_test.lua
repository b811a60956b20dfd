local attn, t = require "attn", require "attn.test"

local inf = math.huge
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local loss = attn.loss.cross_entropy

t.case("it is nll of log_softmax", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local x, targets = attn.randn(4, 3, 7, {dtype = dtype}), attn.randint(0, 7, 4, 3)
        for _, reduction in ipairs{"mean", "sum", "none"} do
            local options = {reduction = reduction}
            t.near(loss(x, targets, options), attn.loss.nll(x:log_softmax(), targets, options):totable(),
                   dtype == "float32" and 1e-5 or 1e-12)
        end
    end
end)

t.case("smoothing mixes in the mean over all classes", function()
    local x, targets = attn.randn(5, 4, {dtype = "float64"}), ids{1, 4, 2, 2, 3}
    local logp = x:log_softmax()
    local want = attn.loss.nll(logp, targets) * 0.9 - logp:mean() * 0.1
    t.near(loss(x, targets, {smoothing = 0.1}):item(), want:item(), 1e-12)
end)

t.case("targets of 0 count for nothing", function()
    local x = attn.tensor{{1, 2}, {3, 4}, {0, 0}}:requires_grad_(true)
    local y = loss(x, ids{0, 0, 1})
    t.near(y:item(), math.log(2))
    y:backward()
    t.equal(x.grad, {{0, 0}, {0, 0}, {-0.5, 0.5}})
    t.equal(loss(x, ids{0, 0, 0}):item(), 0)
    t.equal(loss(x, ids{0, 1, 0}, {reduction = "none"}):totable()[1], 0)
    local z = attn.ones(2, 3):requires_grad_(true)
    loss(z, ids{0, 0}):backward()
    t.equal(z.grad, {{0, 0, 0}, {0, 0, 0}})
end)

t.case("gradients add to what is there", function()
    local x = attn.tensor{{1, 2}}:requires_grad_(true)
    loss(x, ids{1}):backward()
    local once = x.grad:totable()
    loss(x, ids{1}):backward()
    t.near(x.grad, {{2 * once[1][1], 2 * once[1][2]}})
end)

t.case("huge and infinite logits", function()
    t.equal(loss(attn.tensor{{10000, 0}}, ids{1}):item(), 0)
    t.equal(loss(attn.tensor{{10000, 0}}, ids{2}):item(), 10000)
    t.near(loss(attn.tensor{{-inf, 0, 0}}, ids{2}):item(), math.log(2))
    t.equal(loss(attn.tensor{{-inf, 0, 0}}, ids{1}):item(), inf)
end)

t.case("shapes", function()
    t.equal(loss(attn.zeros(3), attn.tensor(2, {dtype = "int64"})).shape, {})
    t.equal(loss(attn.zeros(0, 3), attn.zeros(0, {dtype = "int64"})):item(), 0)
    t.equal(loss(attn.zeros(2, 0, 3), attn.zeros(2, 0, {dtype = "int64"}), {reduction = "none"}).shape, {2, 0})
end)

t.case("errors", function()
    local x = attn.zeros(2, 3)
    t.raises("cross_entropy: target 4 is out of range, targets are 1..3, 0 is ignored (targets: int64 [2])", loss, x,
             ids{1, 4})
    t.raises("cross_entropy: target -1 is out of range", loss, x, ids{1, -1})
    t.raises("cross_entropy: targets have shape [3], expected [2] (logits: float32 [2, 3])", loss, x, ids{1, 1, 1})
    t.raises("cross_entropy: logits have no classes", loss, attn.zeros(2, 0), ids{0, 0})
    t.raises("cross_entropy: targets is float32, expected int64", loss, x, attn.zeros(2))
    t.raises("cross_entropy: smoothing is 2, expected 0..1", loss, x, ids{1, 1}, {smoothing = 2})
    t.raises("cross_entropy: reduction is the string 'all', expected one of mean, sum, none", loss, x, ids{1, 1},
             {reduction = "all"})
    t.raises("cross_entropy: unknown option 'reduce' (known: weight, smoothing, reduction)", loss, x, ids{1, 1},
             {reduce = "sum"})
end)
