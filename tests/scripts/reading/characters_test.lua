-- characters: attention via attention by hand, texts of different length, cognates letter by letter, the gradient.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local characters = require "reading.characters"

local function ids(lists) return attn.tensor(lists, {dtype = "int64"}) end
local source, lengths = ids{{5, 6, 7, 1, 2}, {3, 4, 2, 0, 0}}, ids{5, 3}
local ends, count, target = ids{{2, 3, 5}, {3, 0, 0}}, ids{3, 1}, ids{{4, 1, 3}, {4, 2, 0}}

local function writer(look)
    attn.seed(1)
    local model = characters.Writer{letters = 9, targets = 5, dim = 3, small = 3, hidden = 4, look = look}
    model:to "float64"
    return model
end

-- softmax_j v' tanh(W q + U k_j + b), and what it reads of the keys
local function look(score, query, keys)
    local w, u, b, v = score.weight_query:totable(), score.weight_key:totable(), score.bias:totable(), score.v:totable()
    local e, sum, context = {}, 0, {}
    for j, key in ipairs(keys) do
        local energy = 0
        for d = 1, #v do
            local z = b[d]
            for i, x in ipairs(query) do z = z + w[d][i] * x end
            for i, x in ipairs(key) do z = z + u[d][i] * x end
            energy = energy + v[d] * (1 - 2 / (math.exp(2 * z) + 1))
        end
        e[j] = math.exp(energy)
        sum = sum + e[j]
    end
    for j, key in ipairs(keys) do
        e[j] = e[j] / sum
        for i, x in ipairs(key) do context[i] = (context[i] or 0) + e[j] * x end
    end
    return e, context
end

t.case("first a word, then, knowing it, a letter", function()
    local model = writer "both"
    local _, weights = model(source, lengths, ends, count, target)
    local letters = model.letters(model.source(source), {lengths = lengths})
    local read = attn.stack({letters[1][2], letters[1][3], letters[1][5]}, 1):unsqueeze(1)
    local words, last = model.words(read)
    local first = attn.cat({last.h[1], last.h[2]}, 2):unsqueeze(1)
    local s = model.writer(model.target(target:narrow(1, 1, 1)), {state = {h = first}})[1][2]:totable()
    local state = model:state()
    local function score(name)
        local of = {}
        for _, field in ipairs{"weight_query", "weight_key", "bias", "v"} do
            of[field] = state[name .. ".score." .. field]
        end
        return of
    end
    local _, context = look(score "to_words", s, words[1]:totable())
    local e = look(score "to_letters", table.move(context, 1, #context, #s + 1, s), letters[1]:totable())
    t.near(weights[1][2], e, 1e-10)
end)

t.case("a short text says the same alone and beside a longer one", function()
    for _, kind in ipairs{"words", "letters", "both"} do
        local model = writer(kind)
        local logits = model(source, lengths, ends, count, target)
        local alone = model(ids{{3, 4, 2}}, ids{3}, ids{{3}}, ids{1}, ids{{4, 2}})
        t.near(alone, logits:narrow(1, 2, 1):narrow(2, 1, 2), 1e-12)
    end
end)

t.case("cognates differ in the first and the last letter of each word; the lexicons share no word", function()
    local cfg = {letters = 5, known = 8, shortest = 1, longest = 3, batch = 20}
    local seen, unseen = characters.lexicons(cfg, 1)
    local known = {}
    for _, word in ipairs(seen) do known[table.concat(word, " ")] = true end
    for _, word in ipairs(unseen) do t.equal(known[table.concat(word, " ")], nil) end
    for _, r in ipairs(characters.cognates(cfg, seen, 20, 1)) do
        local from, to, first = r.source, r.target, 1
        for _, last in ipairs(r.ends) do
            t.is_true(known[table.concat(from, " ", first, last)])
            t.equal({to[first], to[last]}, {from[first] % 5 + 1, (from[last] + 4) % 5 + 1})
            for j = first + 1, last - 1 do t.equal(to[j], from[j]) end
            first = last + 2
        end
        t.equal(#from, first - 2)
    end
end)

t.case("gradient", function()
    for _, kind in ipairs{"words", "letters", "both"} do
        local model = writer(kind)
        local ok, report = attn.checkgrad(function()
            local logits = model(source, lengths, ends, count, target)
            return attn.loss.cross_entropy(logits, ids{{1, 3, 5}, {2, 5, 0}})
        end, model:parameters())
        t.is_true(ok, report)
    end
end)
