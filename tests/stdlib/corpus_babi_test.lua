-- Stories and questions.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/babi")
attn.mkdir(shell.folder() .. "/babi/en-1k")
attn.mkdir(shell.folder() .. "/babi/en-10k")
local story = "1 Mary moved to the hall.\n2 Where is Mary? \tHall\t1\n3 John left.\n4 Why?\tno\t3 1\n1 Tom sat.\n2 Who sat?\ttom\t1\n"
for _, file in ipairs(corpus.reader "babi".files) do shell.write("babi/" .. file, file:find "10k" and story:rep(2) or story) end

t.case("a story goes on after a question and ends where the numbers begin again; support counts sentences", function()
    local sets = corpus.babi(shell.folder())
    t.equal(sets.train[1], {story = {{"mary", "moved", "to", "the", "hall"}}, query = {"where", "is", "mary"}, answer = "hall", support = {1}})
    t.equal({sets.train[2].story[2], sets.train[2].support}, {{"john", "left"}, {2, 1}})
    t.equal({#sets.train[3].story, sets.train[3].answer}, {1, "tom"})
    t.equal(#corpus.babi(shell.folder(), {task = 20}).test, 3)
    local large = corpus.babi(shell.folder(), {task = 2, large = true})
    t.equal({#large.train, #large.test}, {6, 3})
end)

t.case("a line without a number is named", function()
    shell.write("babi/en-1k/qa3_three-supporting-facts_train.txt", story .. "Mary\n")
    t.raises("corpus.babi: en-1k/qa3_three-supporting-facts_train.txt: line 7 has no number", corpus.babi, shell.folder(), {task = 3})
end)
