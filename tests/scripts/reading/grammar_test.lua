-- grammar: made-up trees, rare words read by their endings, the gradient.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local data, trees = require "attn.data", require "attn.trees"
local grammar = require "reading.grammar"

t.case("made-up sentences are trees: `of` stands in a noun phrase, `with` in a verb phrase", function()
    local found = {of = 0, with = 0}
    for i = 1, 30 do
        local tree = grammar.made_up("S", data.random(1, i), 4)
        t.is_true(select(2, trees.build(trees.linear(tree), trees.words(tree))), tree)
        for part in table.concat(trees.constituents(tree), "\n"):gmatch "[^\n]+" do
            local label, last = part:match "^%((%S+) .*(%b())%)$"
            local preposition = last and last:match "^%(PP %(IN (%S+)%)"
            if preposition then
                t.equal(label, preposition == "of" and "NP" or "VP")
                found[preposition] = found[preposition] + 1
            end
        end
    end
    t.is_true(found.of > 0 and found.with > 0)
end)

t.case("rare words are read by their endings, the last word first", function()
    local vocabulary, ids = grammar.reader{{"the", "Walking", "dog"}, {"The", "talking", "dog"}}
    t.equal(vocabulary:decode(ids{"Dog", "the", "singing", "xyzzy"}), {"<unk>", "-ing", "the", "dog"})
end)

t.case("gradient, and one step at a time as all at once", function()
    local function ids(lists) return attn.tensor(lists, {dtype = "int64"}) end
    local source, lengths, target, out = ids{{4, 5, 6}, {2, 3, 0}}, ids{3, 2}, ids{{2, 4}, {2, 5}}, ids{{4, 3}, {5, 3}}
    for _, attend in ipairs{true, false} do
        attn.seed(1)
        local parser = grammar.Parser{words = 6, targets = 5, dim = 3, hidden = 4, attend = attend}
        parser:to "float64"
        local ok, report = attn.checkgrad(function()
            return attn.loss.cross_entropy(parser(source, lengths, target), out)
        end, parser:parameters())
        t.is_true(ok, report)
        local state, logits = parser:encode(source, lengths), nil
        for step = 1, 2 do
            logits, state = parser:step(target:select(2, step):contiguous(), state)
            t.near(logits, parser(source, lengths, target):select(2, step), 1e-12)
        end
    end
end)
