-- Sentences with two places and a relation.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/semeval2010_task8")
local function record(id, sentence, label) return ('%d\t"%s"\n%s\nComment: none\n\n'):format(id, sentence, label) end
local one = record(1, "The <e1>fire</e1>, caused by <e2>New York</e2>'s heat.", "Cause-Effect(e2,e1)")
shell.write("semeval2010_task8/train.txt", one:rep(802))
shell.write("semeval2010_task8/test_8001-10000.txt", record(8001, "<e1>A</e1><e2>b</e2>", "Other"))

t.case("words without marks, the places of both nominals, the class of the directed relation", function()
    local sets = corpus.semeval2010_task8(shell.folder())
    t.equal(sets.train[1], {id = 1, words = {"the", "fire", ",", "caused", "by", "new", "york", "'s", "heat", "."},
        first = {2, 2}, second = {6, 7}, class = 2, label = "Cause-Effect(e2,e1)"})
    t.equal(sets.test[1].first, {1, 1})
    t.equal(sets.test[1].second, {2, 2})
    t.equal(sets.test[1].class, 19)
    t.equal({#sets.classes, sets.classes[19]}, {19, "Other"})
end)

t.case("the last 800 sentences of training are the development set", function()
    local sets = corpus.semeval2010_task8(shell.folder())
    t.equal({#sets.train, #sets.dev}, {2, 800})
end)

t.case("a sentence without nominals is named with its line", function()
    shell.write("semeval2010_task8/train.txt", one .. record(2, "no marks", "Other"))
    t.raises("line 5: no sentence with two nominals and a relation", corpus.semeval2010_task8, shell.folder())
end)
