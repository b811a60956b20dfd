-- Sentences with the place of an aspect and its polarity.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/absa")
for _, domain in ipairs{"restaurants", "laptops", "twitter"} do
    shell.write(("absa/%s_train.txt"):format(domain), "The $T$ was good .\nWine list\n1\nThe wine list was $T$ .\ngood\n0\nBad $T$\n" .. domain .. "\n-1\n")
    shell.write(("absa/%s_test.txt"):format(domain), "$T$ !\nfood\n1\n")
end

t.case("the aspect stands among the words; records of one sentence say so", function()
    local sets = corpus.absa(shell.folder())
    t.equal(sets.train[1], {words = {"the", "wine", "list", "was", "good", "."}, aspect = {2, 3}, class = 3, sentence = 1})
    t.equal({sets.train[2].sentence, sets.train[2].aspect, sets.train[2].class}, {1, {5, 5}, 2})
    t.equal({sets.train[3].sentence, sets.train[3].words, sets.train[3].class}, {2, {"bad", "restaurants"}, 1})
    t.equal(sets.test[1].aspect, {1, 1})
    t.equal(corpus.absa(shell.folder(), {domain = "laptops"}).train[3].words[2], "laptops")
end)

t.case("a record that is none is named with its line", function()
    shell.write("absa/twitter_test.txt", "$T$ !\nfood\n1\nno mark\nfood\n1\n")
    t.raises("corpus.absa: twitter_test.txt: line 4: expected a sentence", corpus.absa, shell.folder(), {domain = "twitter"})
end)
