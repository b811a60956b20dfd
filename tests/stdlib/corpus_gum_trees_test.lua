-- corpus_gum_trees: words and tags of a line of brackets, short trees only.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")
local folder = shell.folder()
attn.mkdir(folder .. "/gum_trees")
local short, long = "(ROOT (NP (NN Introduction)))", "(ROOT (S (NP-SBJ (PRP It)) (VP (VBZ works)) (-RRB- -RRB-) (. .)))"
for part, lines in pairs{train = {short, long}, dev = {short}, test = {long}} do
    shell.write(("gum_trees/%s.ptb"):format(part), table.concat(lines, "\n") .. "\n")
end

t.case("a record is the tree, its words and their tags", function()
    local sets = corpus.gum_trees(folder)
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 1, 1})
    t.equal(sets.train[2], {tree = long, words = {"It", "works", "-RRB-", "."}, tags = {"PRP", "VBZ", "-RRB-", "."}})
end)

t.case("so long at most, so many at most", function()
    local sets = corpus.gum_trees(folder, {longest = 3})
    t.equal({#sets.train, #sets.test}, {1, 0})
    t.equal(#corpus.gum_trees(folder, {most = 1}).train, 1)
end)
