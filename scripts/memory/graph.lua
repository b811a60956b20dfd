-- graph: attention over the neighbours of a node: one call of the algebra, the edges being its mask.
--
--   h'_i = elu(sum_j a_ij W h_j), a_ij = softmax over j of f(h_i, h_j), j a neighbour of i or i itself
--
-- Two layers reach two steps far. What some nodes need: the rows and columns of two masks; nothing else is computed.
--
-- Command    attn scripts/memory/graph.lua [--data DIR]
-- Time       see scripts/README.md
-- Data       groups that only the graph tells, made here; Cora: papers, the words of each, which cites which
-- Papers     Velickovic et al. 2018, Graph attention networks, ICLR; the additive score is that of Brody et al. 2022
-- Found      The graph is worth 60 points in groups (25 to 87) and 20 on Cora (one seed: 57 to 78). Learned weights
--            are worth nothing beside the mean of neighbours (81 on Cora), four heads no more than one.
-- Your own   local graph = require "memory.graph"                        -- attn -I scripts yours.lua
--            local model = graph.Network{inputs = 99, classes = 7, hidden = 8, attention = {score = "general"}}
--            local near = graph.near(edges, count, nodes)                 -- nodes: those that are asked for
--            local logits, weights = model(features:index_select(1, near.ids), near)     -- features [N, inputs]
local attn = require "attn"
local corpus, data, fit, study = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.study"

local Network = attn.module "Network"

function Network:init(c)            -- attention: fields of attn.attention; nil: none; uniform: all weigh the same
    self.uniform = c.uniform
    self.first = attn.layer.linear{inputs = c.inputs, outputs = c.hidden}
    self.layers = {}
    for k = 1, c.attention and 2 or 0 do
        self.layers[k] = {}
        for head = 1, c.heads or 1 do
            local fields = {query = c.hidden // (c.heads or 1)}
            for name, value in pairs(c.attention) do fields[name] = value end
            self.layers[k][head] = attn.attention(fields)
        end
    end
    self.dropout = attn.layer.dropout{p = c.dropout or 0}
    self.out = attn.layer.linear{inputs = c.hidden, outputs = c.classes}
end

-- x [n, inputs]: rows near.ids; near.layers[k]: rows of what is there that layer k gives, which of it each may see.
function Network:forward(x, near, with_weights)
    local h, weights = self.first(self.dropout(x)):elu(), nil
    for k, step in ipairs(near.layers) do
        local rows, heads, read, all = h:index_select(1, step.rows), self.layers[k] or {}, {}, {}
        local width = h:size(2) // math.max(1, #heads)
        for head, attend in ipairs(heads) do            -- each its own features: W h is as wide as all of them
            local q, keys = rows:narrow(2, (head - 1) * width + 1, width), h:narrow(2, (head - 1) * width + 1, width)
            if self.uniform then q = q * 0 end
            read[head], all[head] = attend(q:unsqueeze(1), keys:unsqueeze(1), nil, {mask = step.mask,
                weights = with_weights})
        end
        h = heads[1] and attn.cat(read, 3):squeeze(1):elu() or rows
        weights = all[1] and attn.stack(all, 2):squeeze(1)                              -- [heads, wanted, n]
    end
    return self.out(self.dropout(h)), weights
end

-- What `wanted` nodes need: from two steps away to one, from one to themselves.
local function near(edges, count, wanted)
    local beside = {}
    for i = 1, count do beside[i] = {i} end
    for _, edge in ipairs(edges) do
        table.insert(beside[edge[1]], edge[2])
        table.insert(beside[edge[2]], edge[1])
    end
    local layers, list = {}, wanted
    for k = 2, 1, -1 do
        local place, seen = {}, {}
        for _, node in ipairs(list) do
            for _, other in ipairs(beside[node]) do
                if not place[other] then
                    seen[#seen + 1] = other
                    place[other] = #seen
                end
            end
        end
        local rows, i, j = {}, {}, {}
        for row, node in ipairs(list) do
            rows[row] = place[node]
            for _, other in ipairs(beside[node]) do i[#i + 1] = (row - 1) * #seen + place[other] end
        end
        local ids = attn.tensor(i, {dtype = "int64"})
        layers[k] = {rows = attn.tensor(rows, {dtype = "int64"}), mask = attn.zeros(#list * #seen):scatter_add(1, ids,
            attn.ones(#i)):gt(0):reshape(#list, #seen)}
        list = seen
    end
    return {ids = attn.tensor(list, {dtype = "int64"}), layers = layers}
end

local paper = study{
    paper = "Velickovic, Cucurull, Casanova, Romero, Lio, Bengio 2018, Graph attention networks, ICLR",
    options = {hidden = 16, dropout = 0.5, lr = 1e-2, decay = 5e-4, steps = 100,
        groups = {count = 4, size = 60, words = 40, marked = 0.1, degree = 6, within = 0.75, steps = 120}},
    quick = {hidden = 4, steps = 1, groups = {size = 5, words = 6, steps = 1}},
}
local kinds = {{"no graph"}, {"mean of neighbours", uniform = true, attention = {score = "dot"}},
    {"general, 1 head", attention = {score = "general"}}, {"general, 4 heads", heads = 4,
    attention = {score = "general"}},
    {"additive, 1 head", attention = {score = "additive", activation = "relu", dim = 4}}}

-- Trains on some nodes of a graph {features, class, edges, train, test} and counts right ones of others.
local function learn(cfg, cell, graph, steps)
    local function rows(list) return attn.tensor(list, {dtype = "int64"}) end
    local network = Network{inputs = graph.features:size(2), classes = graph.classes, hidden = cfg.hidden,
        attention = cfg.attention, heads = cfg.heads, uniform = cfg.uniform, dropout = cfg.dropout}
    local part = {}
    for _, name in ipairs{"train", "test"} do
        local there = near(graph.edges, #graph.class, graph[name])
        part[name] = {near = there, x = graph.features:index_select(1, there.ids),
            answer = rows(graph.class):index_select(1, rows(graph[name]))}
    end
    fit{model = network, batches = function() return part.train end, steps = steps, cell = cell,
        optimizer = attn.optim.adam{params = network:parameters(), lr = cfg.lr, weight_decay = cfg.decay},
        loss = function(b) return attn.loss.cross_entropy((network(b.x, b.near)), b.answer) end}
    network:eval()
    return attn.no_grad(function()
        local logits, weights = network(part.test.x, part.test.near, true)
        local out = {accuracy = 100 * attn.metric.accuracy(logits, part.test.answer)}
        if weights then             -- of the second layer, the mean of heads: its share on neighbours of the same class
            local class = rows(graph.class):index_select(1, part.test.near.ids)
            local seen = class:index_select(1, part.test.near.layers[1].rows)
            local map = weights:mean(1)
            cell:keep("weights of the first nodes asked", map:narrow(1, 1, math.min(20, #map)))
            local mask = part.test.near.layers[2].mask:to(map.dtype)
            out.same = (map * part.test.answer:unsqueeze(2):eq(seen:unsqueeze(1)):to(map.dtype)):sum(2):mean():item()
            out.outside = (map * (1 - mask)):sum():item()
        end
        return out
    end)
end

-- Nodes of some groups, edges mostly within one; few nodes have a word of their group, the others only noise.
local function groups(c, seed)
    local draw, n = data.random(seed), c.count * c.size
    local graph = {class = {}, edges = {}, train = {}, test = {}, classes = c.count}
    local rows = {}
    for i = 1, n do
        local class, words = (i - 1) // c.size + 1, {}
        for w = 1, c.count + c.words do words[w] = w > c.count and draw() < 0.1 and 1.0 or 0.0 end
        if draw() < c.marked then words[class] = 1.0 end
        graph.class[i], rows[i] = class, words
        table.insert(draw() < 0.5 and graph.train or graph.test, i)
        for _ = 1, c.degree // 2 do
            local group = draw() < c.within and class or draw(c.count)
            graph.edges[#graph.edges + 1] = {i, (group - 1) * c.size + draw(c.size)}
        end
    end
    graph.features = attn.tensor(rows)
    return graph
end

local made = paper:table{
    name = "groups", synthetic = true,
    about = "four groups, one node in ten says which is its own: right in per cent; weight on the same group",
    vary = kinds, columns = {"accuracy", "same"}, better = {same = "none"},
    run = function(cfg, cell) return learn(cfg, cell, groups(cfg.groups, cell.seed), cfg.groups.steps) end,
}

-- In the paper (its table 2, test accuracy): words alone 55.1, graph convolution 81.5, attention 83.0.
local cora = paper:table{
    name = "cora", about = "140 papers known, 1,000 asked: right in per cent; weight on papers of the same class",
    data = "cora", vary = table.move(kinds, 1, 4, 1, {}), columns = {"accuracy", "same"}, better = {same = "none"},
    run = function(cfg, cell)
        local read = corpus.cora(cfg.data)
        local graph = {class = {}, edges = read.edges, train = read.train, test = read.test, classes = 7}
        local places, shares = {}, {}
        for i, node in ipairs(read.nodes) do            -- as the paper: rows sum to 1
            graph.class[i] = node.class
            for _, word in ipairs(node.words) do
                places[#places + 1], shares[#shares + 1] = (i - 1) * read.words + word, 1 / #node.words
            end
        end
        graph.features = attn.zeros(#read.nodes * read.words):scatter_add(1, attn.tensor(places, {dtype = "int64"}),
            attn.tensor(shares)):reshape(#read.nodes, read.words)
        return learn(cfg, cell, graph, cfg.steps)
    end,
}

for _, t in ipairs{{"groups", made}, {"Cora", cora}} do
    local name, rows = t[1], t[2]
    local heads = rows["general, 4 heads"]
    paper:claim{name .. ": attention to neighbours is at least 15 points above no graph",
        heads.accuracy - rows["no graph"].accuracy, at_least = 15}
    paper:claim{name .. ": it is no worse than their mean",
        heads.accuracy - rows["mean of neighbours"].accuracy, at_least = 0}
    paper:claim{name .. ": four heads are no worse than one",
        heads.accuracy - rows["general, 1 head"].accuracy, at_least = 0}
    paper:claim{name .. ": no weight falls where no edge is", heads.outside, at_most = 0, exact = true}
end

return paper:main{Network = Network, near = near, groups = groups}
