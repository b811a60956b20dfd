-- trees: a tree as a list and back, lists that are no trees mended, constituents.
local attn, t = require "attn", require "attn.test"
local metric, trees = require "attn.metric", require "attn.trees"

local tree = "(S (NP-SBJ (PRP It)) (VP (VBZ sees) (NP=2 (DT a) (NN dog))) (. .))"
local words, tags = {"It", "sees", "a", "dog", "."}, {"PRP", "VBZ", "DT", "NN", "."}

t.case("words and tags", function() t.equal({trees.words(tree)}, {words, tags}) end)

t.case("a tree is written as a list, and read again", function()
    local list = {"(S", "(NP", "XX", ")NP", "(VP", "XX", "(NP", "XX", "XX", ")NP", ")VP", "XX", ")S"}
    t.equal(trees.linear(tree), list)
    local built, balanced, complete = trees.build(list, words, tags)
    t.equal({built, balanced, complete},
        {"(TOP (S (NP (PRP It)) (VP (VBZ sees) (NP (DT a) (NN dog))) (. .)))", true, true})
    t.equal(metric.evalb({built}, {"(TOP " .. tree .. ")"}).f1, 1)
end)

t.case("what is no tree is mended, and said", function()
    local function mended(tokens, n)
        local short = {}
        for i = 1, n do short[i] = "w" .. i end
        return {trees.build(tokens, short, table.move(tags, 1, n, 1, {}))}
    end
    t.equal(mended({"(NP", "XX"}, 1), {"(TOP (NP (PRP w1)))", false, true})                         -- left open
    t.equal(mended({"XX", ")NP"}, 1), {"(TOP (PRP w1))", false, true})                              -- closes nothing
    t.equal(mended({"(S", "(NP", "XX", ")S"}, 1), {"(TOP (S (NP (PRP w1))))", false, true})         -- crossed
    t.equal(mended({"(S", "(NP", ")NP", ")S", "XX"}, 1), {"(TOP (PRP w1))", true, true})            -- without words
    t.equal(mended({"(NP", "XX", "XX", ")NP"}, 1), {"(TOP (NP (PRP w1)))", true, false})            -- a word too many
    t.equal(mended({"(NP", "XX", ")NP"}, 2), {"(TOP (NP (PRP w1)) (VBZ w2))", true, false})         -- one left out
    t.equal(mended({}, 1), {"(TOP (PRP w1))", true, false})
end)

t.case("constituents of so many words; a word with its tag is none", function()
    local whole = "(S (NP (PRP I)) (VP (VBD saw) (NP (NP (DT the) (NN dog)) (PP (IN with) (NP (CD two) (NNS tails))))))"
    t.equal(trees.constituents(whole, {shortest = 5, longest = 6}), {
        "(VP (VBD saw) (NP (NP (DT the) (NN dog)) (PP (IN with) (NP (CD two) (NNS tails)))))",
        "(NP (NP (DT the) (NN dog)) (PP (IN with) (NP (CD two) (NNS tails))))"})
    t.equal(#trees.constituents(whole), 7)
end)

t.case("errors name what came", function()
    t.raises("trees.linear: tree is 3, expected a tree in brackets", trees.linear, 3)
    t.raises("trees.linear: 1 brackets of the tree are not closed", trees.linear, "(S (NP (PRP It))")
    t.raises("trees.linear: the tree closes more brackets than it opens", trees.linear, "(S (PRP It)))")
    t.raises("trees.build: 1 tags, expected one for each of 2 words", trees.build, {}, {"a", "b"}, {"DT"})
    t.raises("trees.constituents: unknown field 'most'", trees.constituents, tree, {most = 3})
end)
