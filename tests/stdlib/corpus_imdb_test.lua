-- Reviews as sentences.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/imdb")
shell.write("imdb/train.tsv", "1\t9\tI saw it. Good!<br /><br />So good\n0\t2\tBad.\n")
shell.write("imdb/dev.tsv", "0\t1\tNo\n")
shell.write("imdb/test.tsv", "1\t10\tYes\n")

t.case("sentences end at . ! ? and at line breaks; the class is 2 if the film was liked", function()
    local sets = corpus.imdb(shell.folder())
    t.equal(sets.train[1], {sentences = {{"i", "saw", "it", "."}, {"good", "!"}, {"so", "good"}}, class = 2, rating = 9})
    t.equal({#sets.train, #sets.dev, #sets.test, sets.train[2].class}, {2, 1, 1, 1})
    t.equal(#corpus.imdb(shell.folder(), {limit = 1}).train, 1)
end)

t.case("a line that is no review is named", function()
    shell.write("imdb/dev.tsv", "2\t1\tNo\n")
    t.raises("corpus.imdb: dev.tsv: line 1: expected label, rating, text", corpus.imdb, shell.folder())
end)
