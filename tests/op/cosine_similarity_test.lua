local attn, t = require "attn", require "attn.test"

local F64 = {dtype = "float64"}

t.case("the cosine along each dimension, after broadcasting", function()
    local a, b = attn.randn(3, 4, 5, F64), attn.randn(4, 1, F64)
    for d = 1, 3 do
        local p, q = a, b:expand(3, 4, 5)
        t.near(attn.cosine_similarity(a, b, d), (p * q):sum(d) / (p:norm(d) * q:norm(d)), 1e-12)
        t.near(b:cosine_similarity(a, d - 4), (p * q):sum(d) / (p:norm(d) * q:norm(d)), 1e-12)
    end
    t.near(attn.cosine_similarity(a:transpose(1, 2), b:unsqueeze(2)):transpose(1, 2), attn.cosine_similarity(a, b), 1e-12)
end)

t.case("vectors shorter than eps are divided by it", function()
    local a, b = attn.tensor({{3, 4}, {0, 0}}, F64), attn.tensor({{0.3, 0.4}, {1, 1}}, F64)
    t.near(attn.cosine_similarity(a, b), {1, 0}, 1e-12)
    t.near(attn.cosine_similarity(a, b, 2, {eps = 2}), {2.5 / 10, 0}, 1e-12)
    local zero = attn.zeros(1, 3):requires_grad_(true)
    attn.cosine_similarity(zero, zero):sum():backward()
    t.equal(zero.grad, {{0, 0, 0}})
    t.equal(attn.cosine_similarity(attn.zeros(2, 0), attn.zeros(2, 0)), {0, 0})
end)

t.case("errors", function()
    local x = attn.zeros(2, 3)
    t.raises("cosine_similarity: the shapes do not broadcast (a: float32 [2, 3], b: float32 [4])", attn.cosine_similarity, x, attn.zeros(4))
    t.raises("cosine_similarity: d is 3, expected 1..2 or -2..-1", attn.cosine_similarity, x, x, 3)
    t.raises("cosine_similarity: b is float64, but a is float32", attn.cosine_similarity, x, attn.zeros(2, 3, F64))
    t.raises("cosine_similarity: eps is -1, expected at least 0", attn.cosine_similarity, x, x, 1, {eps = -1})
end)
