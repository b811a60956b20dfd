-- Cloze questions: context, query, answer, candidates.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/childrens_cloze")
local one = "1 Mary saw Tom .\n2 Tom ran .\n3 Then XXXXX ran .\tMary\t\tMary|Tom\n\n"
for _, name in ipairs{"train", "valid", "test"} do shell.write(("childrens_cloze/%s.txt"):format(name), one:rep(2)) end

t.case("records have their sentences, the query with its blank, the answer and the candidates", function()
    local sets = corpus.childrens_cloze(shell.folder())
    t.equal(sets.dev[2], {context = {{"Mary", "saw", "Tom", "."}, {"Tom", "ran", "."}}, query = {"Then", "XXXXX", "ran", "."}, answer = "Mary",
        candidates = {"Mary", "Tom"}})
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 2, 2})
    t.equal(#corpus.childrens_cloze(shell.folder(), {limit = 1}).train, 1)
end)

t.case("numbered: candidates are called @1 and @2, otherwise in other records, the rest is lower-cased", function()
    shell.write("childrens_cloze/train.txt", one:rep(20))
    local seen = {}
    for _, record in ipairs(corpus.childrens_cloze(shell.folder(), {numbered = 5}).train) do
        local mary, tom = table.unpack(record.candidates)
        t.equal(record, {context = {{mary, "saw", tom, "."}, {tom, "ran", "."}}, query = {"then", "XXXXX", "ran", "."}, answer = mary,
            candidates = {mary, tom}})
        seen[mary .. tom] = true
    end
    t.equal(seen, {["@1@2"] = true, ["@2@1"] = true})
end)

t.case("a line without a number is named", function()
    shell.write("childrens_cloze/test.txt", one .. "Mary\n")
    t.raises("corpus.childrens_cloze: test.txt: line 5 has no number", corpus.childrens_cloze, shell.folder())
end)
