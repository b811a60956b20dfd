-- how much attention is like that of people (Sen, Hartvigsen, Yin, Kong and Rundensteiner 2020): three measures
-- attn scripts/reading/human_maps.lua [--data DIR]        1 minute: planted spans; Yelp-HAT reviews, learned with SST
--
-- On one's own texts (attn -I scripts):
--   local human = require "reading.human_maps"
--   human.behavioural(weights, map)            -- lists, a text's weights and its marks 0, 1: AUC, nil without both
--   human.lexical(marked, attended, counts)    -- how often each word is marked, attended, there: 1 as people, 0 chance
--
-- Found: people agree with one another as in the paper (0.72); a BiLSTM learned from 8,000 texts agrees with them less
-- (0.61), an LSTM a little less than that; that both agree least in long reviews three seeds do not decide (0.011 and
-- 0.003 lost).
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local metric, study, text = require "attn.metric", require "attn.study", require "attn.text"

local Reader = attn.module "Reader"
function Reader:init(cfg)
    local dim, hidden = cfg.dim or 50, cfg.hidden or 50
    self.embed = attn.layer.embedding{count = cfg.words, dim = dim}
    self.encoder = attn.encoder.rnn{inputs = dim, hidden = hidden, cell = "lstm", bidirectional = cfg.both}
    local width = cfg.both and 2 * hidden or hidden
    self.attend = attn.layer.attention_pool{inputs = width, dim = width}
    self.drop = attn.layer.dropout{p = cfg.drop or 0.3}
    self.out = attn.layer.linear{inputs = width, outputs = cfg.classes}
end
function Reader:forward(ids, lengths)
    local h = self.encoder(self.drop(self.embed(ids)), {lengths = lengths})
    local pooled, weights = self.attend(h, {lengths = lengths})
    return self.out(self.drop(pooled)), weights
end

-- Is a marked word heavier than one that is not? The area under the curve; nil if all or none are marked.
local function behavioural(weights, map)
    local marked = 0
    for _, mark in ipairs(map) do marked = marked + mark end
    if marked == 0 or marked == #map then return nil end
    return metric.auc(weights, map)
end

-- The correlation of how often words are chosen by people and by a model, above that of a random choice.
local function lexical(marked, attended, counts)
    local x, y, all = {}, {}, {}
    for word, count in pairs(counts) do
        local k = #all + 1
        x[k], y[k], all[k] = marked[word] or 0, attended[word] or 0, count
    end
    local random = metric.pearson(x, all)
    return (metric.pearson(x, y) - random) / (1 - random)
end

-- The k heaviest of a list.
local function heaviest(weights, k) return k > 0 and select(2, attn.tensor(weights):topk(k)):totable() or {} end

local paper = study{
    system = "H1", paper = "Sen, Hartvigsen, Yin, Kong, Rundensteiner 2020, Human attention maps for text "
        .. "classification: do humans and neural networks focus on the same words?, ACL",
    options = {dim = 50, hidden = 32, batch = 32, lr = 2e-3, steps = 700,
        planted = {steps = 400, dim = 16, hidden = 16}},
    quick = {dim = 4, hidden = 4, steps = 2, planted = {steps = 2, dim = 4, hidden = 4}},
}
local variants = {{"BiLSTM", both = true}, {"LSTM", both = false}}

local function trained(cfg, o, cell, words, classes, batches)
    local model = Reader{words = words, classes = classes, dim = o.dim, hidden = o.hidden, both = cfg.both}
    fit{model = model, batches = batches, steps = o.steps, lr = cfg.lr, cell = cell,
        forward = function(b) return model(b.source, b.source_lengths), b.answer end}
    return model
end

paper:table{
    name = "planted", about = "a span decides, the AUC of attention to it", synthetic = true, vary = variants,
    run = function(cfg, cell)
        local train = attn.task.segment({}, cell.seed)
        local model = trained(cfg, cfg.planted, cell, train.vocabulary, train.answers, train)
        return fit.means(model, attn.task.segment({count = 500}, 1000 + cell.seed), function(b)
            local logits, weights = model(b.source, b.source_lengths)
            local auc = {}
            for i, n in ipairs(b.source_lengths:totable()) do
                local map = b.gold[{i, 1, {1, n}}]:gt(0):to "int64":totable()
                auc[i] = behavioural(weights[{i, {1, n}}]:totable(), map)
            end
            return {accuracy = logits:argmax(2):eq(b.answer), auc = auc}
        end)
    end,
}

-- Words without the marks around them, as SST has them.
local function plain(words)
    local list = {}
    for i, word in ipairs(words) do
        local bare = word:gsub("^%p+", ""):gsub("%p+$", "")
        list[i] = bare == "" and word or bare
    end
    return list
end

-- Words that are in sentences of one judgment at least three times as often as in those of the other.
local function lexicon(records)
    local seen, kind = {}, {}
    for _, r in ipairs(records) do
        for _, word in ipairs(r.words) do
            seen[word] = seen[word] or {0, 0}
            seen[word][r.class] = seen[word][r.class] + 1
        end
    end
    for word, n in pairs(seen) do
        if n[1] + n[2] >= 8 then kind[word] = n[1] > 3 * n[2] and 1 or n[2] > 3 * n[1] and 2 or nil end
    end
    return kind
end

-- How often words are chosen, and of those of a judgment how many of the other judgment for one of its own.
local function chooser(kind)
    local times, sides = {}, {0, 0}
    return times, function(word, class)
        times[word] = (times[word] or 0) + 1
        local side = kind[word] and (kind[word] == class and 1 or 2)
        if side then sides[side] = sides[side] + 1 end
    end, function() return sides[2] / math.max(1, sides[1]) end
end

local yelp = paper:table{
    name = "yelp", about = "AUC in reviews of 50, 100, 200 words, of shuffled weights, of another person; cross: words "
        .. "chosen of the other judgment for one of its own",
    data = {"yelp_hat", "sst"}, vary = variants,
    columns = {"accuracy", "auc50", "auc100", "auc200", "shuffled", "human", "lexical", "cross", "human_cross"},
    better = {cross = "none", human_cross = "none", shuffled = "none", human = "none"},
    run = function(cfg, cell)
        local reviews, train, test = corpus.yelp_hat(cfg.data), corpus.sst(cfg.data, {binary = true}).train, {}
        for _, part in ipairs{"50", "100", "100b", "200"} do
            local seen, unseen = data.split(reviews[part], {2 / 3, 1 / 3}, cell.seed)
            train = data.joined{train, seen}
            for _, r in ipairs(part ~= "100b" and unseen or {}) do r.part, test[#test + 1] = part, r end
        end
        for _, r in ipairs(data.joined{train, test}) do r.source = plain(r.words) end
        local words, kind = text.vocabulary(train, {of = {"source"}, min_count = 2}), lexicon(train)
        local parts = data.parts({train = train, test = test}, {fields = {source = words, answer = "class"},
            size = cfg.batch, seed = cell.seed})
        local model = trained(cfg, cfg, cell, #words, 2, parts.train)

        local draw, counts = data.random(cell.seed), {}
        local marked, mark, human_cross = chooser(kind)
        local attended, attend, cross = chooser(kind)
        local values = fit.means(model, parts.test, function(b)
            local logits, all = model(b.source, b.source_lengths)
            local out = {accuracy = logits:argmax(2):eq(b.answer), shuffled = {}, human = {}}
            for _, part in ipairs{"50", "100", "200"} do out["auc" .. part] = {} end
            for row, i in ipairs(b.index) do
                local r = test[i]
                local weights = all[{row, {1, #r.words}}]:totable()
                for _, word in ipairs(r.source) do counts[word] = (counts[word] or 0) + 1 end
                for k, map in ipairs(r.maps) do
                    local many, others = 0, data.shuffle(data.first(weights, #weights), draw)
                    table.insert(out["auc" .. r.part], behavioural(weights, map))
                    table.insert(out.shuffled, behavioural(others, map))
                    table.insert(out.human, behavioural(r.maps[k % #r.maps + 1], map))
                    for place, is in ipairs(map) do
                        if is == 1 then mark(r.source[place], r.class) end
                        many = many + is
                    end
                    for _, place in ipairs(heaviest(weights, many)) do attend(r.source[place], r.class) end
                end
                if i <= 2 then
                    cell:keep("model " .. i, attn.tensor(weights), {tokens = r.words})
                    cell:keep("person " .. i, attn.tensor(r.maps[1]):to "float32", {tokens = r.words})
                end
            end
            return out
        end)
        values.lexical, values.cross, values.human_cross = lexical(marked, attended, counts), cross(), human_cross()
        return values
    end,
}
local both, one = yelp["BiLSTM"], yelp["LSTM"]
paper:claim{"reviews of 50 words: attention of a BiLSTM is more like people's than that of an LSTM",
    both.auc50 - one.auc50, at_least = 0}
paper:claim{"and more than shuffled weights", both.auc50 - both.shuffled, at_least = 0}
paper:claim{"it is less alike in 100 words than in 50", both.auc50 - both.auc100, at_least = 0}
paper:claim{"and less in 200 than in 100", both.auc100 - both.auc200, at_least = 0}
return paper:main{Reader = Reader, behavioural = behavioural, lexical = lexical, heaviest = heaviest}
