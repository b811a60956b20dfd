-- corpus_cora: 2,708 papers, which words each has, which cites which (McCallum et al. 2000; parts of Yang et al. 2016).
--
-- {nodes = {{words = {20, 82, ...}, class = 1 to 7}, ...}, edges = {{1, 634}, ...}, train = {1, 2, ...}, dev =, test =, words = 1433}:
-- words are numbers from 1 to words, edges pairs of nodes, each once; train, dev and test are numbers of nodes, 1,068 are in none.
local attn = require "attn"

local PARTS = {train = "train", val = "dev", test = "test"}

local function read(path)
    local graph = {nodes = {}, edges = {}, train = {}, dev = {}, test = {}, words = 1433}
    for i, line in ipairs(attn.lines(path "nodes.tsv")) do
        local node, part, class, list = line:match "^(%d+)\t(%l+)\t([0-6])\t([%d ]*)$"
        if tonumber(node) ~= i - 1 then
            error(("corpus.cora: nodes.tsv: line %d: expected node %d, part, class 0 to 6 and words, tabs between"):format(i, i - 1), 0)
        end
        local words = {}
        for word in list:gmatch "%d+" do words[#words + 1] = math.tointeger(word) + 1 end
        graph.nodes[i] = {words = words, class = math.tointeger(class) + 1}
        if PARTS[part] then table.insert(graph[PARTS[part]], i) end
    end
    for i, line in ipairs(attn.lines(path "edges.tsv")) do
        local a, b = line:match "^(%d+)\t(%d+)$"
        a, b = math.tointeger(tonumber(a)), math.tointeger(tonumber(b))
        if not (a and b and a < #graph.nodes and b < #graph.nodes) then
            error(("corpus.cora: edges.tsv: line %d: expected two of %d nodes"):format(i, #graph.nodes), 0)
        end
        graph.edges[i] = {a + 1, b + 1}
    end
    return graph
end

return {folder = "cora", files = {"nodes.tsv", "edges.tsv"}, read = read,
    origin = "Cora (McCallum et al. 2000), data/ind.cora.* of the GitHub repository kimiyoung/planetoid as text: nodes.tsv, node, part (train, "
        .. "val, test, none), class 0 to 6 and indices of its words, tabs between, and edges.tsv, two nodes, each edge once"}
