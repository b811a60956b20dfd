-- corpus_sigmorphon2017: letters of UTF-8, tags, one of two languages.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")
local folder = shell.folder()
attn.mkdir(folder .. "/sigmorphon2017")
for _, part in ipairs{"train", "dev", "test"} do
    shell.write(("sigmorphon2017/german_%s.tsv"):format(part),
        "Bügel\tBügeln\tN;DAT;PL\nabsetzen\tsetzten ab\tV;PST;1;PL\n")
    shell.write(("sigmorphon2017/turkish_%s.tsv"):format(part), "kuzu\tkuzunuzda\tN;LOC\n")
end

t.case("a record is the letters of lemma and form, and the tags", function()
    local sets = corpus.sigmorphon2017(folder)
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 2, 2})
    t.equal(sets.dev[1], {lemma = {"B", "ü", "g", "e", "l"}, form = {"B", "ü", "g", "e", "l", "n"},
        tags = {"N", "DAT", "PL"}})
    t.equal(sets.test[2].form[8], " ")
end)

t.case("the other language; so many records", function()
    t.equal(corpus.sigmorphon2017(folder, {language = "turkish"}).train[1].tags, {"N", "LOC"})
    t.equal(#corpus.sigmorphon2017(folder, {most = 1}).train, 1)
    t.raises("corpus.sigmorphon2017: language is 'finnish', expected one of german, turkish", corpus.sigmorphon2017,
        folder, {language = "finnish"})
end)
