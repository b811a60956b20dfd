-- Penalties against sums written out in plain Lua, and their gradients.
local attn, t = require "attn", require "attn.test"
local penalty = require "attn.penalty"

t.case("frobenius of one-hot hops at different places is 0, at one place hops^2 - hops", function()
    local apart = attn.tensor{{{1, 0, 0}, {0, 1, 0}}}
    t.near(penalty.frobenius(apart):item(), 0, 1e-12)
    local together = attn.tensor{{{1, 0, 0}, {1, 0, 0}, {1, 0, 0}}}
    t.near(penalty.frobenius(together):item(), 6, 1e-6)
end)

t.case("disagreement equals its sums", function()
    attn.seed(4)
    local x = attn.randn(2, 3, 4, 5, {dtype = "float64"})
    local v, cosine, position = x:totable(), 0, 0
    for b = 1, 2 do
        for k = 1, 4 do
            for i = 1, 3 do
                for j = 1, 3 do
                    local p, q, ij, ii, jj = v[b][i][k], v[b][j][k], 0, 0, 0
                    for d = 1, 5 do
                        ij, ii, jj = ij + p[d] * q[d], ii + p[d] * p[d], jj + q[d] * q[d]
                        position = position + math.abs(p[d] * q[d])
                    end
                    cosine = cosine + ij / math.sqrt(ii * jj)
                end
            end
        end
    end
    t.near(penalty.disagreement(x, "output"):item(), cosine / 72, 1e-12)
    t.near(penalty.disagreement(x, "subspace"):item(), cosine / 72, 1e-12)
    t.near(penalty.disagreement(x, "position"):item(), position / 72, 1e-12)
end)

t.case("gradients", function()
    attn.seed(5)
    local a = attn.rand(2, 2, 3, {dtype = "float64"})
    t.gradient(function(w) return penalty.frobenius(w) end, {a})
    local x = attn.randn(2, 2, 2, 3, {dtype = "float64"})
    for _, kind in ipairs{"subspace", "position", "output"} do
        t.gradient(function(w) return penalty.disagreement(w, kind) end, {x})
    end
end)

t.case("a zero vector has cosine 0 and gradient 0", function()
    local x = attn.zeros(1, 2, 1, 3):requires_grad_(true)
    local y = penalty.disagreement(x, "output")
    t.equal(y:item(), 0)
    y:backward()
    t.equal(x.grad:totable(), {{{{0, 0, 0}}, {{0, 0, 0}}}})
end)

t.case("errors name what came", function()
    t.raises("kind is 'outpt', expected one of subspace, position, output (did you mean 'output'?)",
        penalty.disagreement, attn.rand(1, 1, 1, 1), "outpt")
    t.raises("penalty.frobenius: weights has 2 dimensions, expected 3", penalty.frobenius, attn.rand(2, 2))
    t.raises("penalty.frobenius: weights is a number, expected a tensor", penalty.frobenius, 3)
end)
