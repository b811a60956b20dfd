-- Questions with one of six classes.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/trec_qc")
shell.write("trec_qc/train.txt", "0 What is It ?\n5 How far ?\n")
shell.write("trec_qc/test.txt", "2 What is the full form of .com ?\n")

t.case("classes count from 1, words are lower-cased", function()
    local sets = corpus.trec_qc(shell.folder())
    t.equal(sets.train, {{words = {"what", "is", "it", "?"}, class = 1, label = "DESC"},
        {words = {"how", "far", "?"}, class = 6, label = "NUM"}})
    t.equal(sets.test[1].label, "ABBR")
end)

t.case("a line without a class is named", function()
    shell.write("trec_qc/test.txt", "2 What\n6 Who\n")
    t.raises("corpus.trec_qc: test.txt: line 2 has no class 0 to 5", corpus.trec_qc, shell.folder())
end)
