local attn, t = require "attn", require "attn.test"

local margin = attn.loss.margin

t.case("what scores lack, one or many others a row", function()
    local score = attn.tensor{2, 0.5}
    t.equal(margin(score, attn.tensor{1.5, -1}, {reduction = "none"}), {0.5, 0})
    t.equal(margin(score, attn.tensor{{1, 3}, {0, 1}}, {reduction = "none"}), {{0, 2}, {0.5, 1.5}})
    t.equal(margin(score, attn.tensor{{1, 3}, {0, 1}}):item(), 1)
    t.equal(margin(score, attn.tensor{{1, 3}, {0, 1}}, {reduction = "sum", margin = 0}):item(), 1.5)
    t.equal(margin(attn.zeros(2), attn.zeros(2, 0), {reduction = "sum"}):item(), 0)
end)

t.case("gradients go to both; none where the margin is kept, or just kept", function()
    local score, other = attn.tensor{2, 1}:requires_grad_(true), attn.tensor{{1, 3}, {-1, 2}}:requires_grad_(true)
    margin(score, other):backward()
    t.equal(score.grad, {-0.25, -0.25})
    t.equal(other.grad, {{0, 0.25}, {0, 0.25}})
end)

t.case("errors", function()
    t.raises("margin: score has 2 dimensions, expected [B] (score: float32 [2, 2])", margin, attn.zeros(2, 2), attn.zeros(2))
    t.raises("margin: other has shape [3], expected [2] or [2, N] (other: float32 [3])", margin, attn.zeros(2), attn.zeros(3))
end)
