local attn, t = require "attn", require "attn.test"
local copy = attn.loss.copy
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

-- -log p of one target by the formula, in plain numbers.
local function by_definition(logits, weights, gate, source, y)
    local total, mass, g = 0, 0, 1 / (1 + math.exp(-gate))
    for _, x in ipairs(logits) do total = total + math.exp(x) end
    for s, id in ipairs(source) do mass = mass + (id == y and weights[s] or 0) end
    return -math.log(g * (logits[y] and math.exp(logits[y]) / total or 0) + (1 - g) * mass)
end

local source = ids{{2, 6, 2, 0}, {5, 7, 1, 7}}
local targets = ids{{2, 6, 3}, {7, 0, 1}}

local function inputs(dtype)
    local options = {dtype = dtype}
    return attn.randn(2, 3, 5, options), attn.randn(2, 3, 4, options):softmax(3), attn.randn(2, 3, options)
end

t.case("every target costs what the definition says, and the mean is over those that count", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local x, w, g = inputs(dtype)
        local each = copy(x, w, g, source, targets, {reduction = "none"})
        local sum = 0
        for b = 1, 2 do
            for k = 1, 3 do
                local y = targets[b][k]:item()
                local want = y == 0 and 0 or by_definition(x[b][k]:totable(), w[b][k]:totable(), g[b][k]:item(),
                    source[b]:totable(), y)
                t.near(each[b][k]:item(), want, dtype == "float32" and 1e-5 or 1e-12)
                sum = sum + want
            end
        end
        t.near(copy(x, w, g, source, targets, {reduction = "sum"}):item(), sum, 1e-4)
        t.near(copy(x, w, g, source, targets):item(), sum / 5, 1e-5)
        t.near(copy(x[{{}, 1}], w[{{}, 1}], g[{{}, 1}], source, targets[{{}, 1}], {reduction = "none"}),
            each[{{}, 1}], 0)
    end
end)

t.case("it is nll of the distribution that search.copy gives, gradients too", function()
    local x, w, g = inputs "float64"
    local results = {}
    for k = 1, 2 do
        for _, v in ipairs{x, w, g} do v:requires_grad_(true); v.grad = nil end
        local loss
        if k == 1 then
            loss = copy(x, w, g, source, targets)
        else
            local rows = source:unsqueeze(2):expand(2, 3, 4):reshape(6, 4)
            local logp = attn.search.copy(x:reshape(6, 5), w:reshape(6, 4), g:reshape(6), rows, 8)
            loss = attn.loss.nll(logp, targets:reshape(6))
        end
        loss:backward()
        results[k] = {loss:item(), x.grad, w.grad, g.grad}
    end
    t.near(results[1], results[2], 1e-12)
end)

t.case("one softmax over words and places, CopyNet's, is a gate between two", function()
    local x, e = attn.randn(2, 3, 5, {dtype = "float64"}), attn.randn(2, 3, 4, {dtype = "float64"})
    local all = attn.cat({x, e}, 3):softmax(3)
    local places = source:unsqueeze(2):expand(2, 3, 4):contiguous()
    local p = all:narrow(3, 1, 5):pad(3, 0, 3):scatter_add(3, places, all:narrow(3, 6, 4))
    local want = p:gather(3, targets:unsqueeze(3)):squeeze(3)
    local got = copy(x, e:softmax(3), x:logsumexp(3) - e:logsumexp(3), source, targets, {reduction = "none"})
    t.near((-got):exp()[1], want[1], 1e-12)
end)

t.case("extreme logits, gates and weights give finite losses and gradients", function()
    for _, dtype in ipairs{"float32", "float64"} do
        local options = {dtype = dtype}
        local x = attn.tensor({{{0, -1000, 0}, {1e30, -1e30, 0}, {0, 0, 0}, {0, 0, 0}, {-500, 0, 0}}}, options)
        local w = attn.tensor({{{1, 0}, {0, 1}, {0, 0}, {1e-40, 1}, {0, 1}}}, options)
        local g = attn.tensor({{1000, -1000, -1000, -80, 3}}, options)
        for _, v in ipairs{x, w, g} do v:requires_grad_(true) end
        local loss = copy(x, w, g, ids{{4, 2}}, ids{{2, 2, 4, 4, 1}}, {reduction = "none"})
        t.is_true(loss:isfinite():all():item(), tostring(loss))
        t.near(loss[1][2]:item(), 0, 1e-6)                                  -- copied for certain
        t.near(loss[1][3]:item(), dtype == "float32" and 87.3365 or 708.3964, 1e-3)   -- no probability anywhere
        t.near(loss[1][5]:item(), 500 + math.log(2) + math.log(1 + math.exp(-3)), 1e-3)
        loss:sum():backward()
        for _, v in ipairs{x, w, g} do t.is_true(v.grad:isfinite():all():item(), tostring(v.grad)) end
        t.equal(x.grad[1][3], {0, 0, 0})
        t.equal(w.grad[1][3], {0, 0})
        t.equal(g.grad[1][3]:item(), 0)
        local scores = attn.tensor({{{0, -math.huge}}}, options):requires_grad_(true)       -- the second place is masked
        local words = attn.tensor({{{-1000, 0}}}, options)
        copy(words, scores:softmax(3), attn.zeros(1, 1, options), ids{{3, 1}}, ids{{1}}):backward()
        t.is_true(scores.grad:isfinite():all():item())
    end
end)

t.case("a NaN is not hidden", function()
    for k = 1, 3 do
        local all = {attn.zeros(1, 3), attn.ones(1, 2), attn.zeros(1)}
        all[k] = all[k] + 0 / 0
        t.is_true(copy(all[1], all[2], all[3], ids{{1, 2}}, ids{1}):isnan():item())
    end
end)

t.case("nothing that counts costs 0; no source is plain cross entropy by the gate", function()
    local x, w, g = inputs "float32"
    t.equal(copy(x, w, g, source, targets * 0):item(), 0)
    local function none(v) return v:narrow(1, 1, 0) end
    t.equal(copy(none(x), none(w), none(g), none(source), none(targets)):item(), 0)
    local words = ids{3, 5}
    x = attn.randn(2, 5)
    t.near(copy(x, attn.zeros(2, 0), attn.zeros(2), attn.zeros(2, 0, {dtype = "int64"}), words):item(),
        attn.loss.cross_entropy(x, words):item() + math.log(2), 1e-5)
end)

t.case("errors", function()
    local x, w, g = inputs "float32"
    t.raises("copy: logits has shape [2, 5], expected that of the targets, [2, 3], and one dimension more (logits: float32",
        copy, x[{{}, 1}], w, g, source, targets)
    t.raises("copy: weights has shape [2, 4], expected that of the targets, [2, 3], and one dimension more",
        copy, x, w[{{}, 1}], g, source, targets)
    t.raises("copy: gate has shape [2], expected that of the targets, [2, 3]", copy, x, w, g[{{}, 1}], source, targets)
    t.raises("copy: ids has shape [2, 3], expected [2, 4] (weights: float32 [2, 3, 4])", copy, x, w, g, targets,
        targets)
    t.raises("copy: ids hold -1, expected ids from 1 and 0 for padding (ids: int64 [2, 4])", copy, x, w, g, source - 3,
        targets)
    t.raises("copy: targets hold -2", copy, x, w, g, source, targets - 2)
    t.raises("copy: targets is a scalar, expected [B, ...]", copy, x, w, g, source, ids(1))
    t.raises("copy: logits have no classes", copy, attn.zeros(2, 3, 0), w, g, source, targets)
end)
