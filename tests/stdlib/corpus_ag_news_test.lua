-- News with their titles.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/ag_news")
shell.write("ag_news/classes.txt", "World\nSports\n")
for _, name in ipairs{"train", "dev", "test"} do shell.write(("ag_news/%s.tsv"):format(name), "2\tTeam wins (AP)\tThe team won, again.\n") end

t.case("records are a title, the words of the description and a class", function()
    local sets = corpus.ag_news(shell.folder())
    t.equal(sets.train[1], {title = {"team", "wins", "(", "ap", ")"}, words = {"the", "team", "won", ",", "again", "."}, class = 2})
    t.equal({#sets.train, #sets.dev, #sets.test, sets.classes[2]}, {1, 1, 1, "Sports"})
end)

t.case("a class that is none is named with its line", function()
    shell.write("ag_news/dev.tsv", "3\tTeam\tWon\n")
    t.raises("corpus.ag_news: dev.tsv: line 1: '3' is no class", corpus.ag_news, shell.folder())
end)
