-- corpus_cmudict: letters and phones, with stress and without, a part spread over the alphabet.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")
local folder = shell.folder()
attn.mkdir(folder .. "/cmudict")
for _, part in ipairs{"train", "dev", "test"} do
    shell.write("cmudict/" .. part .. ".tsv", "abadi\tAH0 B AE1 D IY0\nit's\tIH1 T S\nox\tAA1 K S\nzip\tZ IH1 P\n")
end

t.case("a record is the letters of a word and its phones", function()
    local sets = corpus.cmudict(folder)
    t.equal({#sets.train, #sets.dev, #sets.test}, {4, 4, 4})
    t.equal(sets.dev[1], {word = {"a", "b", "a", "d", "i"}, phones = {"AH0", "B", "AE1", "D", "IY0"}})
    t.equal(sets.test[2].word, {"i", "t", "'", "s"})
end)

t.case("without stress; so many of each part, from the first to the last quarter", function()
    local sets = corpus.cmudict(folder, {stress = false, most = 2})
    t.equal(sets.train, {{word = {"a", "b", "a", "d", "i"}, phones = {"AH", "B", "AE", "D", "IY"}},
        {word = {"o", "x"}, phones = {"AA", "K", "S"}}})
    t.raises("corpus.cmudict: unknown field 'stres'", corpus.cmudict, folder, {stres = false})
end)
