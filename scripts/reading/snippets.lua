-- HABCNN for questions about a story (Yin, Ebert and Schuetze 2016): question and answer become a statement; sentences,
-- then snippets of three, are compared with it by cosine, and the mean of the k that are most like it, each times its
-- likeness, stands for the story
-- attn scripts/reading/snippets.lua [--data DIR]      2 minutes on two cores; synthetic and children's cloze with four
--                                                     candidates (in place of MCTest)
-- Found: where one of twelve sentences says it k-max is 52 points better; on children's cloze all are near chance (30
-- of 25).
--
-- On your own stories (attn -I scripts), ids 0 beyond the end:
--   local Snippets = require("reading.snippets").Snippets
--   local model = Snippets{words = 5000, dim = 50, maps = 50, pool = "k-max", k = 3}
--   local scores, maps = model(story, {sentences, words}, statements, lengths)  -- ids [B, N, T], [B], [B, N]; ids
--   maps.sentence, maps.snippet      -- [B, C, T], [B, C] -> [B, C]; likeness [B, C, N] of each to each statement
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, text = require "attn.study", require "attn.text"
local layer = attn.layer

local Snippets = attn.module "Snippets"
function Snippets:init(cfg)
    self.embed = layer.embedding{count = cfg.words, dim = cfg.dim}
    attn.init.normal(self.embed.weight, 0, 0.3)
    self.words = layer.conv1d{inputs = cfg.dim, outputs = cfg.maps, kernel = 3, padding = "same"}
    self.sentences = layer.conv1d{inputs = cfg.maps, outputs = cfg.maps, kernel = 3, padding = "same"}
    self.statement = layer.linear{inputs = cfg.maps, outputs = cfg.maps}        -- a statement at the level of snippets
    self.pool, self.k = cfg.pool, cfg.k
end

-- ids [..., T], lengths [...] -> [..., maps]
function Snippets:encode(ids, lengths)
    local shape = ids.shape
    local x = self.embed(ids:reshape(-1, shape[#shape]))
    local y = self.words(x):tanh():max(2, false, {mask = attn.mask(lengths:flatten(), shape[#shape]):unsqueeze(3)})
    shape[#shape] = y:size(2)
    return y:reshape(shape)
end

-- What stands for a story under each statement: V [B, N, D], s [B, C, D], there [B, N] -> [B, C, D], likeness
-- [B, C, N].
function Snippets:gather(V, s, there)
    local B, C, N = s:size(1), s:size(2), V:size(2)
    local like = attn.cosine_similarity(s:unsqueeze(3), V:unsqueeze(2), 4):masked_fill(~there:unsqueeze(2), 0)
    local count = there:to(V.dtype):sum(2)
    if self.pool == "average" then
        return (V:sum(2) / count:unsqueeze(2)):unsqueeze(2):expand(B, C, V:size(3)), like
    end
    if self.pool == "attention" then return like:matmul(V) / count:reshape(B, 1, 1), like end
    local k = math.min(self.k, N)
    local best, place = like:masked_fill(~there:unsqueeze(2), -2):topk(k, 3)
    local chosen = attn.zeros(B, C, N, {dtype = V.dtype}):scatter_add(3, place, best * best:gt(-2):to(V.dtype))
    return chosen:matmul(V) / count:clamp(1, k):reshape(B, 1, 1), like
end

function Snippets:forward(story, lengths, statements, statement_lengths)
    local there = attn.mask(lengths[1], story:size(2))
    local V = self:encode(story, lengths[2]) * there:to(self.embed.weight.dtype):unsqueeze(3)
    local s = self:encode(statements, statement_lengths)
    local U, high = self.sentences(V):tanh() * there:to(V.dtype):unsqueeze(3), self.statement(s):tanh()
    local x, sentence = self:gather(V, s, there)
    local y, snippet = self:gather(U, high, there)
    local scores = attn.cosine_similarity(x, s, 3) + attn.cosine_similarity(y, high, 3)
    return scores, {sentence = sentence, snippet = snippet}
end

-- Trains on records {story = lists of words, statements = four lists, the first of them true, gold = sentence or 0},
-- with a margin; share of stories whose true one is first, and of those whose sentence is most like that.
local function measure(cfg, cell, sets)
    local words = text.vocabulary(sets.train, {of = {"story", "statements"}, size = 3000})
    local parts = data.parts(sets, {fields = {story = words, statements = words, gold = "gold"}, size = cfg.batch,
        seed = cell.seed})
    local model = Snippets{words = #words, dim = cfg.dim, maps = cfg.maps, pool = cfg.pool, k = cfg.k}
    local function run(b)
        local scores, maps = model(b.story, {b.story_lengths, b.story_lengths_2}, b.statements, b.statements_lengths_2)
        return scores:select(2, 1), scores:narrow(2, 2, scores:size(2) - 1), maps.sentence
    end
    fit{model = model, batches = parts.train, steps = cfg.steps, lr = cfg.lr, cell = cell, loss = function(b)
        local right, wrong = run(b)
        return attn.loss.margin(right, wrong, {margin = 0.3})
    end}
    return fit.means(model, parts.test, function(b)
        local right, wrong, like = run(b)
        if b.index[1] == 1 then
            local said, r = {}, sets.test[1]
            for k, sentence in ipairs(r.story) do said[k] = table.concat(sentence, " ") end
            cell:keep("statement", table.concat(r.statements[1], " "))
            cell:keep("sentences", like[{1, 1}], {tokens = said})
        end
        return {accuracy = right:gt((wrong:max(2))) * 100,
            pointed = {like:select(2, 1):argmax(2):eq(b.gold), b.gold:gt(0)}}
    end)
end

local paper = study{
    system = {"E15"},
    paper = "Yin, Ebert, Schuetze 2016, Attention-based convolutional neural network for machine comprehension, "
        .. "Workshop on Human-Computer Question Answering",
    options = {dim = 24, maps = 32, k = 3, steps = 400, batch = 20, lr = 3e-3, train = 2000, test = 400, limit = 1000},
    quick = {dim = 4, maps = 4, steps = 2, batch = 4, train = 8, test = 8, limit = 8}, seeds = 3,
}
local pools = {{"average", pool = "average"}, {"attention", pool = "attention"}, {"attention, k-max", pool = "k-max"}}

-- Twelve sentences of subject, verb, object and a word; a statement repeats one of them, the wrong ones with another
-- subject of the story.
local function stories(seed, count)
    return data.made(count, seed, function(draw)
        local subjects, objects = data.permutation(12, draw), data.permutation(12, draw)
        local others, story, statements = data.permutation(12, draw), {}, {}
        for s = 1, 12 do
            story[s] = {"who" .. subjects[s], "verb" .. draw(6), "what" .. objects[s], "word" .. draw(9)}
        end
        local told = story[others[1]]
        for k = 1, 4 do statements[k] = {story[others[k]][1], told[2], told[3]} end
        return {story = story, statements = statements, gold = others[1]}
    end)
end

local synthetic = paper:table{
    name = "stories", about = "one of twelve sentences says it", synthetic = true, vary = pools,
    run = function(cfg, cell)
        return measure(cfg, cell, {train = stories(cell.seed, cfg.train), test = stories(cell.seed + 1000, cfg.test)})
    end,
}

-- A question as statements with each of four candidates in its blank, the right one first.
local function statements(r, draw)
    local names, list = {r.answer}, {}
    for _, name in ipairs(data.shuffle(data.first(r.candidates, #r.candidates), draw)) do
        if name ~= r.answer and #names < 4 then names[#names + 1] = name end
    end
    for k, name in ipairs(names) do
        list[k] = {}
        for j, word in ipairs(r.query) do list[k][j] = word == "XXXXX" and name or word end
    end
    return list
end
local cloze = paper:table{
    name = "children's cloze", about = "four candidates, chance is 25 %", data = "childrens_cloze", vary = pools,
    run = function(cfg, cell)
        local sets = corpus.childrens_cloze(cfg.data, {limit = cfg.limit, numbered = cell.seed})
        cfg.steps, sets.test, sets.dev = math.min(cfg.steps, 200), data.first(sets.test, cfg.test), nil
        for _, records in pairs(sets) do
            for i, r in ipairs(records) do
                r.story, r.statements, r.gold = r.context, statements(r, data.random(cell.seed, i)), 0
            end
        end
        return measure(cfg, cell, sets)
    end,
}

paper:claim{"children's cloze: attention with k-max beats the average by at least 3 points",
    cloze["attention, k-max"].accuracy - cloze["average"].accuracy, at_least = 3}
paper:claim{"children's cloze: and is above chance", cloze["attention, k-max"].accuracy, at_least = 25}
paper:claim{"synthetic: attention with k-max beats the average by at least 3 points",
    synthetic["attention, k-max"].accuracy - synthetic["average"].accuracy, at_least = 3}

return paper:main{Snippets = Snippets}
