-- explain: each rival of the weights by hand, on answers that are a function of one thing.
local attn, t = require "attn", require "attn.test"
local explain = require "attn.explain"

local double = {dtype = "float64"}
local values = attn.tensor({{{2, 0}, {0, 1}, {9, 9}}, {{1, 1}, {1, 1}, {1, 1}}}, double)        -- of three words; two texts
local weights = attn.tensor({{0.6, 0.4, 0}, {0.2, 0.5, 0.3}}, double)
local lengths = attn.tensor({2, 3}, {dtype = "int64"})
local function answer(w) return (values * w:unsqueeze(3)):sum(2):softmax(2) end

t.case("JSD: 0 of the same, ln 2 of what has nothing in common", function()
    local p = attn.tensor({{0.5, 0.5, 0}, {1, 0, 0}}, {dtype = "float64"})
    local q = attn.tensor({{0.5, 0.5, 0}, {0, 0.3, 0.7}}, {dtype = "float64"})
    t.near(explain.jsd(p, q):totable(), {0, math.log(2)}, 1e-9)
end)

t.case("TVD: half of what differs", function()
    local p = attn.tensor({{0.5, 0.5}, {1, 0}}, double)
    t.near(explain.tvd(p, attn.tensor({{0.2, 0.8}, {0, 1}}, double)):totable(), {0.3, 1}, 1e-12)
end)

t.case("gradients: of the likeliest class, times what is there", function()
    local x = attn.tensor({{{3, 0}, {1, 2}}}, double)
    local g = explain.gradients(function(v) return v:sum(2) end, x)         -- p = {4, 2}: the first counts
    t.near(g:totable(), {{3, 1}}, 1e-12)
    t.is_true(not x.requires_grad)
end)

t.case("left out: the answer without each word, in plain Lua", function()
    local scores = attn.tensor({0.3, -1, 2}, double)
    local function read(ids, n)                                             -- one class more likely by the sum of scores
        local sum = scores[ids]:sum(2):sigmoid()
        t.equal(n:totable(), #ids == 1 and {3} or {2, 2, 2})
        return attn.stack({sum, 1 - sum}, 2)
    end
    local function p(sum) return 1 / (1 + math.exp(-sum)) end
    local all = p(1.3)
    t.near(explain.left_out(read, {3, 2, 1}):totable(), {math.abs(p(-0.7) - all), math.abs(p(2.3) - all), math.abs(p(1) - all)},
        1e-12)
end)

t.case("permuted: weights of what is there change places; the median", function()
    attn.seed(2)
    local change = explain.permuted(answer, weights, lengths, {times = 60}):totable()
    local swapped = explain.tvd(answer(attn.tensor({{0.4, 0.6, 0}, {0.2, 0.5, 0.3}}, double)), answer(weights)):totable()
    t.is_true(math.abs(change[1]) < 1e-12 or math.abs(change[1] - swapped[1]) < 1e-12, tostring(change[1]))
    t.near(change[2], 0, 1e-12)
    attn.seed(2)
    local once = {}
    for k = 1, 12 do once[k] = explain.permuted(answer, weights, lengths, {times = 1})[1]:item() end
    table.sort(once)
    t.near({once[1], once[12]}, {0, swapped[1]}, 1e-12)
end)

t.case("adversary: far where no weights matter, near where all do; parameters get no gradient", function()
    attn.seed(3)
    local far = explain.adversary(answer, weights, lengths, {steps = 40}):totable()
    t.is_true(far[2] > 0.2 and far[1] < far[2], far[1] .. " " .. far[2])
    local out = attn.parameter(attn.eye(2, double))
    local function through(w) return (values:matmul(out) * w:unsqueeze(3)):sum(2):softmax(2) end
    attn.seed(3)
    t.near(explain.adversary(through, weights, lengths, {steps = 40}):totable(), far, 1e-12)
    t.equal(out.grad, nil)
    t.near(explain.adversary(answer, weights, lengths, {steps = 3, most = 0})[1]:item(), 0, 1e-12)
end)

t.case("errors name the argument", function()
    t.raises("explain.left_out: ids is a table, expected a list of at least two", explain.left_out, answer, {4})
    t.raises("explain.gradients: got float64 [2, 3], expected a tensor [B, T, D]", explain.gradients, answer, weights)
    t.raises("explain.permuted: answer is 3, expected a function", explain.permuted, 3, weights, lengths)
    t.raises("explain.adversary: got nil, expected a tensor [B, T]", explain.adversary, answer, nil, lengths)
end)
