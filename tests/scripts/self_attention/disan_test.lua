-- disan: a directed look by hand, marked words, equal parameters, gradients.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local disan = require "self_attention.disan"

t.case("forwards each place looks at those before it, a weight for each feature; the first at nothing", function()
    attn.seed(1)
    local x, there = attn.randn(1, 3, 4, {dtype = "float64"}), attn.tensor{{true, true, true}}
    local layer = disan.Directed({dim = 4, vector = true}, true):to "float64"
    local y, weights = layer(x, there)
    local h = layer.x(x):elu()
    local key, query, e = layer.w1(h)[1], layer.w2(h)[1][3], {}
    for j = 1, 2 do e[j] = ((key[j] + query) / 5):tanh() * 5 end
    local a = attn.stack(e, 1):softmax(1)                                       -- [2, 4]
    t.near(weights[1][3][{{1, 2}}], a, 1e-10)
    t.equal(weights[1][1]:abs():max():item(), 0)
    local s = (a * h[1][{{1, 2}}]):sum(1):unsqueeze(1)
    local own = h[1][{{3, 3}}]
    local gate = (layer.f1(s) + layer.f2(own)):sigmoid()
    t.near(y[1][{{3, 3}}], gate * own + (1 - gate) * s, 1e-10)
    local _, back = disan.Directed({dim = 4}, false):to "float64"(x, there)     -- one for each word
    t.equal(back[1][2]:gt(0):to("int64"):totable(), {{0}, {0}, {1}})
end)

t.case("the answer is the x behind one mark and the y behind the other", function()
    for b in disan.marked({meanings = 3, words = 4, batch = 5}, 20, 1):epoch(1) do
        for i, marks in ipairs(b.marks:totable()) do
            local seen = {0, 0, 0}
            for j, mark in ipairs(marks) do
                local word = b.words[i][j]:item()
                seen[mark] = seen[mark] + 1
                if mark == 1 then t.equal(b.answer[i][1]:item(), (word - 1) // 3 + 1) end
                if mark == 2 then t.equal(b.answer[i][2]:item(), (word - 1) % 3 + 1) end
            end
            t.equal(seen, {1, 1, 2})
        end
    end
end)

t.case("gradients", function()
    local ids, lengths = attn.data.pad{{1, 4, 2}, {3, 5}}
    for _, vector in ipairs{true, false} do
        attn.seed(2)
        local model = disan.Disan{words = 5, dim = 3, classes = 2, vector = vector}:to "float64"
        t.is_true(attn.checkgrad(function() return (model(ids, lengths)) end, model:parameters()), vector)
        local reader = disan.Reader{dim = 4, meanings = 2, score = 4, output = vector and "multi_dimensional" or nil}
        reader:to "float64"
        local marks, words = attn.data.pad{{1, 3, 2}}, attn.data.pad{{4, 1, 2}}
        t.is_true(attn.checkgrad(function() return (reader(marks, words)) end, reader:parameters()), vector)
    end
end)
