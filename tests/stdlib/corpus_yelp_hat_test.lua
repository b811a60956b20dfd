-- Reviews with the maps of their annotators.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/yelp_hat")
shell.write("yelp_hat/ham_50.tsv", "50-0\t1\t1\tyes\tVery good food\t110\n50-0\t2\t1\tidk\tVery good food\t010\n"
    .. "50-1\t1\t0\tno\tBad\t1\n")
for _, part in ipairs{"100", "100b", "200"} do
    shell.write("yelp_hat/ham_" .. part .. ".tsv", part .. "-0\t1\t0\tno\tso so\t01\n")
end

t.case("annotations of one review are its maps", function()
    local sets = corpus.yelp_hat(shell.folder())
    t.equal(sets["50"], {
        {words = {"very", "good", "food"}, class = 2, maps = {{1, 1, 0}, {0, 1, 0}}, answers = {"yes", "idk"}},
        {words = {"bad"}, class = 1, maps = {{1}}, answers = {"no"}}})
    t.equal(sets["100b"][1].maps, {{0, 1}})
end)

t.case("a map of another length than the review is refused", function()
    shell.write("yelp_hat/ham_200.tsv", "200-0\t1\t0\tno\tso so\t011\n")
    t.raises("ham_200.tsv: line 1 marks 3 words of 2", corpus.yelp_hat, shell.folder())
end)
