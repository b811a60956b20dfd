-- Candidates with their question, of both data sets of this form.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/trecqa")
attn.mkdir(shell.folder() .. "/wikiqa")

for _, name in ipairs{"trecqa", "wikiqa"} do
    shell.write(name .. "/train.tsv", "Who ?\tHe did .\t1\nWho ?\tNo\t0\nWhen ?\tIn 1900\t0\nWho ?\tAgain\t1\n")
    shell.write(name .. "/dev.tsv", "Why ?\tNo one knows .\t0\n")
    shell.write(name .. "/test.tsv", "")
    t.case(name .. ": candidates are in the order of the file, questions counted", function()
        local sets = corpus[name](shell.folder())
        t.equal(sets.train[1], {group = 1, question = {"who", "?"}, answer = {"he", "did", "."}, right = true})
        local groups, right = {}, {}
        for i, record in ipairs(sets.train) do groups[i], right[i] = record.group, record.right end
        t.equal(groups, {1, 1, 2, 3})
        t.equal(right, {true, false, false, true})
        t.equal(#sets.dev, 1)
        t.equal(sets.test, {})
        t.equal(corpus[name](shell.folder(), {most = 2}).dev[1].answer, {"no", "one"})
    end)
end

t.case("a file that is no table of three columns is refused", function()
    shell.write("trecqa/test.tsv", "only\ttwo\n")
    t.raises("line 1 has 2 fields, expected 3", corpus.trecqa, shell.folder())
end)
