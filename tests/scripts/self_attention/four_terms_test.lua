-- four_terms: the sum of the four by hand, each alone, places beyond the span; gradients.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local four = require "self_attention.four_terms"

attn.seed(1)
local x, y = attn.randn(1, 2, 4, {dtype = "float64"}), attn.randn(1, 5, 4, {dtype = "float64"})
local lengths = attn.tensor({4}, {dtype = "int64"})

local function terms(set)
    attn.seed(2)
    return four.Terms{terms = set, dim = 4, span = 2}:to "float64"
end

t.case("a score is the sum of its terms; places beyond the span count as the last; padding weighs nothing", function()
    for _, set in ipairs{"", "1", "2", "3", "4", "14", "23", "1234"} do
        local model = terms(set)
        local _, weights = model(x, y, lengths)
        for q = 1, 2 do
            local e = {}
            for k = 1, 4 do
                local query = model.query and model.query(x[{{1, 1}, {q, q}}])[1][1] * 0.5        -- 1 / sqrt 4
                local key = model.key and model.key(y[{{1, 1}, {k, k}}])[1][1]
                local place = model.place and model.place[math.max(-2, math.min(2, q - k)) + 3]
                e[k] = 0
                for term, pair in pairs{["1"] = {query, key}, ["2"] = {query, place}, ["3"] = {model.u, key},
                    ["4"] = {model.v, place}} do
                    if set:find(term) then e[k] = e[k] + (pair[1] * pair[2]):sum():item() end
                end
            end
            t.near(weights[1][q][{{1, 4}}], attn.tensor(e, {dtype = "float64"}):softmax(), 1e-10)
            t.equal(weights[1][q][5]:item(), 0)
        end
    end
end)

t.case("gradients of the terms and of the models", function()
    for _, set in ipairs{"", "13", "24", "1234"} do
        local model = terms(set)
        t.is_true(attn.checkgrad(function() return (model(x, y, lengths)) end, model:parameters()), set)
    end
    local c = {terms = "1234", dim = 4, span = 2}
    local batches = attn.task.lookup({size = 2, count = 2, words = 4, shortest = 2, longest = 3}, 1)
    for _, side in ipairs{"encoder", "decoder"} do
        attn.seed(3)
        local model, b = four.Translator(c, batches, side):to "float64", batches:epoch(1)()
        t.is_true(attn.checkgrad(function() return (model(b)) end, model:parameters()), side)
    end
    batches = attn.task.recall({size = 2, count = 2, keys = 3, values = 2, pairs = 2}, 1)
    local model, b = four.Recall(c, batches):to "float64", batches:epoch(1)()
    t.is_true(attn.checkgrad(function() return (model(b)) end, model:parameters()))
end)
