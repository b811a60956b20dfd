-- how much attention is like that of people (Sen, Hartvigsen, Yin, Kong and Rundensteiner 2020): three measures
-- attn scripts/reading/human_maps.lua [--data DIR]        1 minute: planted spans; Yelp-HAT reviews, learned with SST
--
-- On one's own texts (attn -I scripts):
--   local human = require "reading.human_maps"
--   human.behavioural(weights, map)            -- lists, a text's weights and its marks 0, 1: AUC, nil without both
--   human.lexical(marked, attended, counts)    -- how often each word is marked, attended, there: 1 as people, 0 chance
--
-- Found: people agree with one another as in the paper (0.72); a BiLSTM learned from 8,000 texts agrees with them less (0.61), an LSTM
-- a little less than that; that both agree least in long reviews three seeds do not decide (0.011 and 0.003 lost).
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local metric, study = require "attn.metric", require "attn.study"

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

local function correlation(x, y, words)
    local sx, sy, xx, yy, xy, n = 0, 0, 0, 0, 0, #words
    for _, word in ipairs(words) do
        local a, b = x[word] or 0, y[word] or 0
        sx, sy, xx, yy, xy = sx + a, sy + b, xx + a * a, yy + b * b, xy + a * b
    end
    local spread = (xx - sx * sx / n) * (yy - sy * sy / n)
    return spread > 0 and (xy - sx * sy / n) / math.sqrt(spread) or 0
end
-- The correlation of how often words are chosen by people and by a model, above that of a random choice.
local function lexical(marked, attended, counts)
    local words = {}
    for word in pairs(counts) do words[#words + 1] = word end
    table.sort(words)
    local random = correlation(marked, counts, words)
    return (correlation(marked, attended, words) - random) / (1 - random)
end

-- The k heaviest of a list.
local function heaviest(weights, k)
    local order = {}
    for i = 1, #weights do order[i] = i end
    table.sort(order, function(a, b) return weights[a] > weights[b] end)
    return table.move(order, 1, k, 1, {})
end

local paper = study{
    system = "H1", paper = "Sen, Hartvigsen, Yin, Kong, Rundensteiner 2020, Human attention maps for text "
        .. "classification: do humans and neural networks focus on the same words?, ACL",
    options = {dim = 50, hidden = 32, batch = 32, lr = 2e-3, steps = 700,
        planted = {steps = 400, dim = 16, hidden = 16}},
    quick = {dim = 4, hidden = 4, steps = 2, planted = {steps = 2, dim = 4, hidden = 4}},
}
local variants = {{"BiLSTM", both = true}, {"LSTM", both = false}}

local function learn(model, batches, steps, cfg, cell)
    fit{model = model, batches = batches, steps = steps, lr = cfg.lr, cell = cell,
        loss = function(b) return attn.loss.cross_entropy((model(b.source, b.source_lengths)), b.answer) end}
end

paper:table{
    name = "planted", about = "a span decides, the AUC of attention to it", synthetic = true, vary = variants,
    run = function(cfg, cell)
        local p, train = cfg.planted, attn.task.segment({}, cell.seed)
        local model = Reader{words = train.vocabulary, classes = train.answers, dim = p.dim, hidden = p.hidden,
            both = cfg.both}
        learn(model, train, p.steps, cfg, cell)
        local sum, count = 0, 0
        local accuracy = fit.accuracy(model, attn.task.segment({count = 500}, 1000 + cell.seed), function(b)
            local logits, weights = model(b.source, b.source_lengths)
            for i, n in ipairs(b.source_lengths:totable()) do
                local map = b.gold[{i, 1, {1, n}}]:gt(0):to "int64":totable()
                sum, count = sum + behavioural(weights[{i, {1, n}}]:totable(), map), count + 1
            end
            return logits, b.answer
        end)
        return {accuracy = accuracy, auc = sum / count}
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

local yelp = paper:table{
    name = "yelp", about = "AUC in reviews of 50, 100, 200 words, of shuffled weights, of another person; cross: words "
        .. "chosen of the other judgment for one of its own",
    data = {"yelp_hat", "sst"}, vary = variants,
    columns = {"accuracy", "auc50", "auc100", "auc200", "shuffled", "human", "lexical", "cross", "human_cross"},
    better = {cross = "none", human_cross = "none", shuffled = "none", human = "none"},
    run = function(cfg, cell)
        local reviews, sst = corpus.yelp_hat(cfg.data), corpus.sst(cfg.data, {binary = true})
        local train, test, lists = sst.train, {}, {}
        for _, part in ipairs{"50", "100", "100b", "200"} do
            local seen, unseen = data.split(reviews[part], {2 / 3, 1 / 3}, cell.seed)
            for _, r in ipairs(seen) do train[#train + 1] = r end
            for _, r in ipairs(part ~= "100b" and unseen or {}) do r.part, test[#test + 1] = part, r end
        end
        for i, r in ipairs(train) do lists[i] = plain(r.words) end
        local words, kind = attn.text.vocabulary(lists, {min_count = 2}), lexicon(train)
        local function batches(records, seed)
            return data.batches{size = cfg.batch, by = "source", seed = seed, shuffle = seed ~= nil,
                fields = fit.columns(records, {answer = "class",
                    source = function(r) return words:encode(plain(r.words)) end})}
        end
        local model = Reader{words = #words, classes = 2, dim = cfg.dim, hidden = cfg.hidden, both = cfg.both}
        learn(model, batches(train, cell.seed), cfg.steps, cfg, cell)

        local sum, draw = {}, data.random(cell.seed)
        local function add(name, value)
            if not value then return end
            sum[name] = sum[name] or {0, 0}
            sum[name][1], sum[name][2] = sum[name][1] + value, sum[name][2] + 1
        end
        local marked, attended, counts, crossed = {}, {}, {}, {model = {0, 0}, people = {0, 0}}
        local function choose(who, times, word, class)
            times[word] = (times[word] or 0) + 1
            local side = kind[word] and (kind[word] == class and 1 or 2)
            if side then crossed[who][side] = crossed[who][side] + 1 end
        end
        local accuracy = fit.accuracy(model, batches(test), function(b)
            local logits, all = model(b.source, b.source_lengths)
            for row, i in ipairs(b.index) do
                local r = test[i]
                local weights, text = all[{row, {1, #r.words}}]:totable(), plain(r.words)
                for _, word in ipairs(text) do counts[word] = (counts[word] or 0) + 1 end
                for k, map in ipairs(r.maps) do
                    add("auc" .. r.part, behavioural(weights, map))
                    add("shuffled", behavioural(data.shuffle(table.move(weights, 1, #weights, 1, {}), draw), map))
                    add("human", behavioural(r.maps[k % #r.maps + 1], map))
                    local many = 0
                    for place, mark in ipairs(map) do
                        if mark == 1 then choose("people", marked, text[place], r.class) end
                        many = many + mark
                    end
                    for _, place in ipairs(heaviest(weights, many)) do
                        choose("model", attended, text[place], r.class)
                    end
                end
                if i <= 2 then
                    cell:keep("model " .. i, attn.tensor(weights), {tokens = r.words})
                    cell:keep("person " .. i, attn.tensor(r.maps[1]):to "float32", {tokens = r.words})
                end
            end
            return logits, b.answer
        end)
        local function ratio(sides) return sides[2] / math.max(1, sides[1]) end
        local out = {accuracy = accuracy, lexical = lexical(marked, attended, counts), cross = ratio(crossed.model),
            human_cross = ratio(crossed.people)}
        for name, value in pairs(sum) do out[name] = value[1] / value[2] end
        return out
    end,
}
local both, one = yelp["BiLSTM"], yelp["LSTM"]
paper:claim{"reviews of 50 words: attention of a BiLSTM is more like people's than that of an LSTM",
    both.auc50 - one.auc50, at_least = 0}
paper:claim{"and more than shuffled weights", both.auc50 - both.shuffled, at_least = 0}
paper:claim{"it is less alike in 100 words than in 50", both.auc50 - both.auc100, at_least = 0}
paper:claim{"and less in 200 than in 100", both.auc100 - both.auc200, at_least = 0}
return paper:main{Reader = Reader, behavioural = behavioural, lexical = lexical, heaviest = heaviest}
