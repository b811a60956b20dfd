-- Entailment: gradients, padding, comparison functions and a recurrent look by hand.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local entailment = require "reading.entailment"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local premise, pn, hypothesis, hn = ids{{1, 2, 3}, {4, 5, 0}}, ids{3, 2}, ids{{2, 6}, {5, 0}}, ids{2, 1}

local models = {}
for _, attention in ipairs{"none", "single", "word by word"} do
    models[attention] = function()
        return entailment.Attentive{words = 6, dim = 3, hidden = 2, attention = attention}
    end
end
for _, name in ipairs{"nn", "tensor", "euclid_cos", "sub", "mult", "submult_nn"} do
    models[name] = function() return entailment.Compare{words = 6, dim = 3, hidden = 2, with = name} end
end
models.disan = function() return entailment.Disan{words = 6, dim = 3, hidden = 4} end

for name, make in pairs(models) do
    t.case(name .. ": gradients", function()
        attn.seed(5)
        local m = make():to "float64"
        local ok, report = attn.checkgrad(function() return (m(premise, pn, hypothesis, hn)) end, m:parameters())
        t.is_true(ok, report)
    end)
    t.case(name .. ": padding changes nothing", function()
        attn.seed(6)
        local m = make()
        local alone = m(ids{{4, 5}}, ids{2}, ids{{5}}, ids{1})
        t.near(m(premise, pn, hypothesis, hn)[2], alone[1], 1e-5)
    end)
end

t.case("the six comparison functions", function()
    local a, h = attn.tensor{{{1, 2}}}, attn.tensor{{{3, -1}}}
    local function result(name)
        local compare = entailment.Comparison(name, 2)
        if compare.map then     -- every output: the sum of what the layer is given
            attn.no_grad(function()
                compare.map.weight:fill_(1)
                compare.map.bias:fill_(0)
            end)
        end
        local y = compare(a, h)
        t.equal(y:size(3), compare.width)
        return y[1][1]
    end
    t.near(result "nn", {5, 5})
    t.near(result "tensor", {6, 6})                         -- sum_ij a_i h_j = 3 * 2
    t.near(result "euclid_cos", {math.sqrt(13), 1 / (math.sqrt(5) * math.sqrt(10))})
    t.near(result "sub", {4, 9})
    t.near(result "mult", {3, -2})
    t.near(result "submult_nn", {14, 14})
end)

t.case("word by word: the second look knows the first", function()
    attn.seed(7)
    local m = models["word by word"]()
    local _, weights = m(premise, pn, hypothesis, hn)
    local y, state = m.premise(m.embed(ids{{1, 2, 3}}))
    local h = m.hypothesis(m.embed(ids{{2, 6}}), {state = state})
    local r = weights[1][1]:unsqueeze(1):matmul(y[1])                               -- r_1 = Y a_1
    local p = m.look:state()
    local query = attn.linear(attn.cat({h[1][2]:unsqueeze(1), r}, 2), p["score.weight_query"])
    local scores = (attn.linear(y[1], p["score.weight_key"], p["score.bias"]) + query):tanh():matmul(p["score.v"])
    t.near(weights[1][2], scores:softmax(1), 1e-5)
    t.near(weights[2][1][3]:item(), 0)
end)
