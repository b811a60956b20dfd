-- Sentences with one of five classes, or of two.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/sst")
shell.write("sst/stsa.fine.train.txt", "4 a fine film\n2 a film .\n0 bad\n")
shell.write("sst/stsa.fine.dev.txt", "1 no .\n")
shell.write("sst/stsa.fine.test.txt", "3 yes\n")

t.case("five classes", function()
    local sets = corpus.sst(shell.folder())
    t.equal(sets.train, {{words = {"a", "fine", "film"}, class = 5}, {words = {"a", "film", "."}, class = 3},
        {words = {"bad"}, class = 1}})
    t.equal(sets.dev[1].class, 2)
end)

t.case("two classes leave the neutral ones out", function()
    local sets = corpus.sst(shell.folder(), {binary = true})
    t.equal(sets.train, {{words = {"a", "fine", "film"}, class = 2}, {words = {"bad"}, class = 1}})
    t.equal({sets.dev[1].class, sets.test[1].class}, {1, 2})
end)
