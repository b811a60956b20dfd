-- A graph of papers.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/cora")
shell.write("cora/nodes.tsv", "0\ttrain\t3\t19 81\n1\tnone\t0\t\n2\tval\t6\t0\n3\ttest\t1\t1432\n")
shell.write("cora/edges.tsv", "0\t2\n1\t3\n")

t.case("nodes, words and classes count from 1; parts are lists of nodes", function()
    local graph = corpus.cora(shell.folder())
    t.equal(graph.nodes, {{words = {20, 82}, class = 4}, {words = {}, class = 1}, {words = {1}, class = 7}, {words = {1433}, class = 2}})
    t.equal({graph.train, graph.dev, graph.test, graph.edges, graph.words}, {{1}, {3}, {4}, {{1, 3}, {2, 4}}, 1433})
end)

t.case("lines that are none are named", function()
    shell.write("cora/edges.tsv", "0\t2\n1\t4\n")
    t.raises("corpus.cora: edges.tsv: line 2: expected two of 4 nodes", corpus.cora, shell.folder())
    shell.write("cora/nodes.tsv", "0\ttrain\t3\t19 81\n2\tval\t6\t0\n")
    t.raises("corpus.cora: nodes.tsv: line 2: expected node 1, part, class 0 to 6 and words, tabs between", corpus.cora, shell.folder())
end)
