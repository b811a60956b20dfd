-- ABS: gradients, one word by the formulas, what is written step by step.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "reading.summary"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function summary(encoder)
    attn.seed(11)
    return paper.Summary{words = 6, dim = 2, hidden = 3, window = 2, smooth = 1, encoder = encoder}:to "float64"
end
local text, lengths, headline = ids{{1, 4, 5}, {6, 2, 0}}, ids{3, 2}, ids{{2, 4}, {2, 5}}

for _, encoder in ipairs{"none", "bag", "attention"} do
    t.case(encoder .. ": gradient", function()
        local model = summary(encoder)
        local ok, report = attn.checkgrad(function() return (model(text, lengths, headline)) end, model:parameters())
        t.is_true(ok, report)
    end)

    t.case(encoder .. ": padding changes nothing", function()
        local model = summary(encoder)
        local logits = model(text, lengths, headline)
        t.near(logits[2]:totable(), model(ids{{6, 2}}, ids{2}, ids{{2, 5}})[1]:totable(), 1e-12)
    end)

    t.case(encoder .. ": what is written is as likely as forward says", function()
        local model = summary(encoder)
        local best = model:write(text, lengths, {bos = 2, eos = 3, width = 2, max_length = 4})[2][1]
        local written = table.move(best.ids, 1, #best.ids, 2, {2})
        local logp = model(text[{{2, 2}}], ids{2}, ids{written})[1]:log_softmax(2)
        local sum = 0
        for i, id in ipairs(best.ids) do sum = sum + logp[{i, id}]:item() end
        if best.ended then sum = sum + logp[{#written, 3}]:item() end
        t.near(best.logp, sum, 1e-6)
    end)
end

t.case("attention: p = softmax(x~ P y~'), enc = sum of p_i times the mean of the embeddings around i, in plain Lua", function()
    local model = summary "attention"
    local F, G, P = model.source.weight:totable(), model.context.weight:totable(), model.attend:state()["score.weight"]:totable()      -- P [query, key]
    local y, x, e, sum = {G[2][1], G[2][2], G[4][1], G[4][2]}, {F[1], F[4], F[5]}, {}, 0
    for i = 1, 3 do
        local s = 0
        for a = 1, 4 do
            for b = 1, 2 do s = s + y[a] * P[a][b] * x[i][b] end
        end
        e[i] = math.exp(s)
        sum = sum + e[i]
    end
    local read = {0, 0}
    for i = 1, 3 do
        for d = 1, 2 do read[d] = read[d] + e[i] / sum * ((x[i - 1] or {0, 0})[d] + x[i][d] + (x[i + 1] or {0, 0})[d]) / 3 end
    end
    local logits, weights = model(text, lengths, headline)
    t.near(weights[{1, 2}]:totable(), {e[1] / sum, e[2] / sum, e[3] / sum}, 1e-12)
    local h = model.of_hidden(model.hidden(model.embed(ids{{2, 4}}):reshape(1, 4)):tanh())[1]:totable()
    local W = model.of_source.weight:totable()
    for w = 1, 6 do t.near(logits[{1, 2, w}]:item(), h[w] + W[w][1] * read[1] + W[w][2] * read[2], 1e-12) end
end)
