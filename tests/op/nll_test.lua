local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local nll = attn.loss.nll

t.case("minus the log-probability of the target; 0 is ignored", function()
    local x = attn.tensor{{-1, -2}, {-3, -4}, {-5, -6}}
    t.equal(nll(x, ids{2, 0, 1}):item(), 3.5)
    t.equal(nll(x, ids{2, 0, 1}, {reduction = "sum"}):item(), 7)
    t.equal(nll(x, ids{2, 0, 1}, {reduction = "none"}), {2, 0, 5})
    t.equal(nll(x, ids{0, 0, 0}):item(), 0)
end)

t.case("gradients", function()
    local x = attn.zeros(3, 2):requires_grad_(true)
    nll(x, ids{2, 0, 1}):backward()
    t.equal(x.grad, {{0, -0.5}, {0, 0}, {-0.5, 0}})
end)

t.case("errors", function()
    t.raises("nll: target 3 is out of range, targets are 1..2", nll, attn.zeros(1, 2), ids{3})
    t.raises("nll: targets have shape [2], expected [1]", nll, attn.zeros(1, 2), ids{1, 1})
end)
