-- luong: effective approaches to attention: what each part adds, which score, and looking only at a window.
--
--   table      base, + reversed source, + dropout, + attention, + input feeding: each line adds one part
--   scores     dot, general, concat, location and none, where words are moved within windows and where all are sorted
--   feeding    words that become one to three words: how often is a source word translated once too often
--   windows    local-m (the window walks with the step), local-p (its centre is predicted) and global, with alignments
--
-- Command    attn scripts/luong.lua                       all parts, three seeds: nine minutes on two cores
--              --parts table,windows --seeds 5 --steps 600 --hidden 64
-- Data       synthetic: sentences of made-up words and a dictionary, so that translation and alignment are known
-- Expect     see scripts/README.md; every claim is printed with what was measured
-- Paper      Luong, Pham and Manning 2015 (on WMT; here the order of the lines is checked, not their BLEU)
local attn = require "attn"
local data, metric, search, show, train = require "attn.data", require "attn.metric", require "attn.search",
    require "attn.show", require "attn.train"

local cfg = require "attn.run".options{
    parts = {"table", "scores", "feeding", "windows"}, words = 60, longest = 12, shortest = 4, examples = 1500,
    tests = 200, dim = 32, hidden = 64, dropout = 0.2, radius = 3, batch = 32, lr = 4e-3, steps = 1200, seeds = 3,
    seed = 1, scores = {words = 150, examples = 3000}}

-- Tasks: a sentence, its translation, and the source word of each target word ----------------------------------------

local FIRST = 4                             -- ids 1 to 3 are unknown, begin and end

local function order_of(task, source)       -- the places of the source in the order they are translated
    local places = {}
    for i = 1, #source do places[i] = i end
    if task == "reverse" then
        for i = 1, #source do places[i] = #source + 1 - i end
    elseif task == "sort" then
        table.sort(places, function(a, b) return source[a] < source[b] end)
    elseif task == "reorder" then           -- within windows of four words, the largest first
        for first = 1, #source, 4 do
            local window = table.move(places, first, math.min(first + 3, #source), 1, {})
            table.sort(window, function(a, b) return source[a] > source[b] end)
            table.move(window, 1, #window, first, places)
        end
    end
    return places
end

local function corpus(task, n, seed, stream, count)
    local draw, set = data.random(seed, stream), {source = {}, target = {}, links = {}}
    local dictionary, fertility = {}, {}
    local words = data.random(seed)
    for w = 1, count do dictionary[w], fertility[w] = FIRST - 1 + w, task == "fertility" and words(3) or 1 end
    data.shuffle(dictionary, words)
    for k = 1, n do
        local bag, source, target, links = {}, {}, {}, {}
        for w = 1, count do bag[w] = w end
        -- no word twice; but where words become several, long sentences of six words, in which places look alike
        local alike = task == "fertility"
        local six = alike and data.shuffle(bag, draw)
        for i = 1, cfg.shortest + draw((alike and 2 or 1) * cfg.longest - cfg.shortest + 1) - 1 do
            source[i] = alike and six[draw(6)] or table.remove(bag, draw(#bag))
        end
        for _, place in ipairs(order_of(task, source)) do
            for _ = 1, fertility[source[place]] do
                target[#target + 1] = dictionary[source[place]]
                links[#links + 1] = {#target, place}
            end
        end
        for i = 1, #source do source[i] = source[i] + FIRST - 1 end
        set.source[k], set.target[k], set.links[k] = source, target, links
    end
    return set
end

-- Model --------------------------------------------------------------------------------------------------------------

local Model = attn.module "Model"

function Model:init(c)
    local size, directions = FIRST - 1 + (c.words or cfg.words), c.bidirectional and 2 or 1
    self.source = attn.layer.embedding{count = size, dim = cfg.dim}
    self.target = attn.layer.embedding{count = size, dim = cfg.dim}
    self.dropout = attn.layer.dropout{p = c.dropout or 0}
    self.encoder = attn.encoder.rnn{inputs = cfg.dim, hidden = cfg.hidden // directions, cell = "lstm",
        bidirectional = c.bidirectional or false}
    self.decoder = attn.decoder.rnn{inputs = cfg.dim, hidden = cfg.hidden, memory = cfg.hidden, cell = "lstm",
        style = "luong", attention = c.attention, input_feeding = c.feeding or false, outputs = size,
        dropout = c.dropout or 0}
end

function Model:encode(ids, lengths)
    local memory, last = self.encoder(self.dropout(self.source(ids)), {lengths = lengths})
    local function state(x)                 -- [directions, B, hidden / directions] to [1, B, hidden]
        return x:size(1) == 1 and x or attn.cat({x[1], x[2]}, 2):unsqueeze(1)
    end
    return {memory = memory, lengths = lengths, hidden = {h = state(last.h), c = state(last.c)}}
end

function Model:forward(ids, lengths, target)
    local s = self:encode(ids, lengths)
    return (self.decoder(self.dropout(self.target(target)), s.memory, {memory_lengths = lengths, state = s.hidden}))
end

function Model:step(ids, s)
    local logits, hidden, weights = self.decoder:step(self.target(ids), s.memory, s.hidden,
        {memory_lengths = s.lengths})
    return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden}, weights
end

-- One experiment: trained on a task; BLEU, exact sentences, words too many in 100, alignment error rate --------------

local function backwards(lists)
    local out = {}
    for i, list in ipairs(lists) do
        out[i] = {}
        for k = #list, 1, -1 do out[i][#out[i] + 1] = list[k] end
    end
    return out
end

local function line(ids)
    local words = {}
    for i, id in ipairs(ids) do words[i] = "w" .. id end
    return table.concat(words, " ")
end

-- Mean distance between the predicted centre and the place of the gold source word: p_t = S sigmoid(v' tanh(W s_t)).
local function centre_error(model, set)
    local weights = model:state()
    local w, v = weights["decoder.attention.window.weight"], weights["decoder.attention.window.v"]
    local sum, n = 0, 0
    for k, source in ipairs(set.source) do
        local ids, lengths = data.pad{source}
        local state = model:encode(ids, lengths)
        for t, link in ipairs(set.links[k]) do
            local before = t == 1 and 2 or set.target[k][t - 1]
            state = select(2, model:step(attn.tensor({before}, {dtype = "int64"}), state))
            local p = #source * (state.hidden.h[1]:matmul(w:transpose(1, 2)):tanh() * v):sum():sigmoid():item()
            sum, n = sum + math.abs(p - link[2]), n + 1
        end
    end
    return sum / n
end

local function experiment(task, c, seed)
    attn.seed(seed)
    local words = c.words or cfg.words
    local training = corpus(task, c.examples or cfg.examples, seed, 1, words)
    local test = corpus(task, cfg.tests, seed, 2, words)
    local function sources(set) return c.reversed and backwards(set.source) or set.source end
    local model = Model(c)
    local history = train.loop{model = model, steps = cfg.steps, clip = 5, quiet = true,
        optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr},
        schedule = function(step) return cfg.lr * math.min(1, 3 * (1 - (step - 1) / cfg.steps)) end,
        data = data.batches{fields = {source = sources(training), target = training.target}, shift = {"target"},
            size = cfg.batch, seed = seed},
        loss = function(b)
            return attn.loss.cross_entropy(model(b.source, b.source_lengths, b.target_in), b.target_out)
        end}

    local function step(ids, s) return model:step(ids, s) end
    local function encode(ids, lengths) return model:encode(ids, lengths) end
    local lists = sources(test)
    local found = search.corpus(step, lists, {encode = encode, options = {max_length = 6 * cfg.longest + 5}})
    local lines, references, exact, many, total = {}, {}, 0, 0, 0
    for i, list in ipairs(found) do
        lines[i], references[i] = line(list[1].ids), line(test.target[i])
        if lines[i] == references[i] then exact = exact + 1 end
        local left = {}
        for _, id in ipairs(test.target[i]) do left[id] = (left[id] or 0) + 1 end
        for _, id in ipairs(list[1].ids) do
            left[id] = (left[id] or 0) - 1
            if left[id] < 0 then many = many + 1 end
        end
        total = total + #test.target[i]
    end
    local out = {bleu = metric.bleu(lines, references).score, exact = 100 * exact / #found, many = 100 * many / total,
        seconds = history.seconds}
    if c.attention then
        local predicted = {}
        for i, source in ipairs(lists) do
            local ids, lengths = data.pad{source}
            local forced = search.forced(step, {state = attn.no_grad(encode, ids, lengths), targets = {test.target[i]}})
            predicted[i] = {}
            for t, row in ipairs(forced[1][1].weights:totable()) do
                local best = 1
                for j = 2, #row do if row[j] > row[best] then best = j end end
                if t <= #test.target[i] then
                    predicted[i][t] = {t, c.reversed and #source + 1 - best or best}
                end
            end
        end
        out.aer = metric.alignment_error_rate(test.links, test.links, predicted)
        if c.attention.window and c.attention.window.type == "predictive" then
            out.centre = attn.no_grad(centre_error, model, test)
        end
    end
    return out
end

-- The same with several seeds: mean and half of the range of each number.
local function repeated(task, c)
    local all, mean = {}, {}
    for k = 1, cfg.seeds do
        for name, value in pairs(experiment(task, c, cfg.seed + k - 1)) do
            all[name] = all[name] or {}
            table.insert(all[name], value)
        end
    end
    for name, values in pairs(all) do
        local sum = 0
        for _, value in ipairs(values) do sum = sum + value end
        mean[name] = sum / #values
        mean[name .. "_spread"] = (math.max(table.unpack(values)) - math.min(table.unpack(values))) / 2
    end
    return mean
end

local function shown(out, name, form)
    if not out[name] then return "" end
    return ((form or "%.1f") .. " ± " .. (form or "%.1f")):format(out[name], out[name .. "_spread"])
end

local function claim(name, words, measured, holds)
    print(("claim %s: %s\n  measured (synthetic, %d seed%s): %s\n  verdict: %s\n"):format(name, words, cfg.seeds,
        cfg.seeds == 1 and "" or "s", measured, holds and "holds" or "does not hold"))
end

-- Parts --------------------------------------------------------------------------------------------------------------

local parts = {}

function parts.table()
    print("What each part adds: words in windows of four reordered, one LSTM layer each side\n")
    local lines = {
        {"base", {}},
        {"+ reversed source", {reversed = true}},
        {"+ dropout", {reversed = true, dropout = cfg.dropout}},
        {"+ global attention (general)", {reversed = true, dropout = cfg.dropout, attention = {score = "general"}}},
        {"+ input feeding", {reversed = true, dropout = cfg.dropout, attention = {score = "general"}, feeding = true}}}
    local rows, bleu, spread = {}, {}, 0
    for i, one in ipairs(lines) do
        local out = repeated("reorder", one[2])
        rows[i] = {one[1], shown(out, "bleu"), shown(out, "exact"), shown(out, "aer", "%.2f"),
            ("%.0f"):format(out.seconds)}
        bleu[i], spread = out.bleu, math.max(spread, out.bleu_spread)
        show.result("table_" .. i .. "_bleu", out.bleu)
    end
    show.table({"model", "BLEU", "exact %", "AER", "seconds"}, rows)
    print()
    local ordered = true
    for i = 2, #bleu do ordered = ordered and bleu[i] >= bleu[i - 1] - spread end
    claim("A4 table", "each part adds (within the spread of the seeds), all of them at least 10 BLEU",
        ("%.1f, %.1f, %.1f, %.1f, %.1f; largest spread %.1f"):format(bleu[1], bleu[2], bleu[3], bleu[4],
            bleu[5], spread),
        ordered and bleu[5] - bleu[1] >= 10)
end

function parts.scores()
    print(("Scores: global attention without input feeding, bidirectional encoder, %d words\n"):format(
        cfg.scores.words))
    local rows, sorted = {}, {}
    for i, score in ipairs{"dot", "general", "concat", "location", "none"} do
        local attention = score ~= "none" and {score = score, dim = score == "concat" and cfg.hidden or nil,
            max_keys = score == "location" and cfg.longest or nil} or nil
        local c = {attention = attention, bidirectional = true, words = cfg.scores.words,
            examples = cfg.scores.examples}
        local moved, all = repeated("reorder", c), repeated("sort", c)
        rows[i] = {score, shown(moved, "bleu"), shown(moved, "aer", "%.2f"), shown(all, "bleu"),
            shown(all, "aer", "%.2f")}
        sorted[score] = all.bleu
        show.result("score_" .. score .. "_bleu", all.bleu)
    end
    show.table({"score", "windows BLEU", "AER", "sorted BLEU", "AER"}, rows)
    print()
    claim("A4 location",
        "where the order is that of the words, location is no better than no attention (within 10) and content is",
        ("sorted: location %.1f, none %.1f, dot %.1f, general %.1f, concat %.1f"):format(sorted.location, sorted.none,
            sorted.dot, sorted.general, sorted.concat),
        sorted.location < sorted.none + 10
            and math.min(sorted.dot, sorted.general, sorted.concat) > math.max(sorted.location, sorted.none) + 10)
end

function parts.feeding()
    print("Input feeding: a word becomes one to three words\n")
    local rows, many = {}, {}
    for i, feeding in ipairs{false, true} do
        local out = repeated("fertility", {attention = {score = "general"}, feeding = feeding, bidirectional = true})
        rows[i] = {feeding and "with" or "without", shown(out, "bleu"), shown(out, "many", "%.2f"),
            shown(out, "aer", "%.2f")}
        many[i] = out.many
        show.result(feeding and "fed_words_too_many" or "words_too_many", out.many, "%")
    end
    show.table({"input feeding", "BLEU", "words too many in 100", "AER"}, rows)
    print()
    claim("A4 feeding", "input feeding makes fewer words too many",
        ("%.2f with, %.2f without"):format(many[2], many[1]), many[2] < many[1])
end

function parts.windows()
    print(("Windows of radius %d, with input feeding, bidirectional encoder\n"):format(cfg.radius))
    local rows, got = {}, {}
    for _, kind in ipairs{"global", "local-m", "local-p"} do
        for _, score in ipairs{"dot", "general"} do
            local window = ({["local-m"] = {type = "monotonic", radius = cfg.radius},
                ["local-p"] = {type = "predictive", radius = cfg.radius}})[kind]
            local c = {feeding = true, bidirectional = true, attention = {score = score, window = window,
                dim = kind == "local-p" and cfg.hidden or nil}}
            local along, back = repeated("monotone", c), repeated("reverse", c)
            got[kind .. " " .. score] = {along = along, back = back}
            rows[#rows + 1] = {kind .. " " .. score, shown(along, "bleu"), shown(along, "aer", "%.2f"),
                shown(back, "bleu"), shown(back, "aer", "%.2f"), shown(back, "centre", "%.2f")}
            local name = (kind .. "_" .. score):gsub("%-", "_")
            show.result(name .. "_aer_monotone", along.aer)
            show.result(name .. "_aer_reverse", back.aer)
        end
    end
    show.table({"attention", "monotone BLEU", "AER", "reverse BLEU", "AER", "|p - gold|"}, rows)
    print()
    local everywhere, walking, guessed = got["global general"], got["local-m general"], got["local-p general"]
    claim("A5", "local-m equals global where words keep their order, and fails where they move further than its radius",
        ("BLEU monotone %.1f against %.1f, reverse %.1f against %.1f"):format(walking.along.bleu, everywhere.along.bleu,
            walking.back.bleu, everywhere.back.bleu),
        math.abs(walking.along.bleu - everywhere.along.bleu) < 3 and walking.back.bleu < everywhere.back.bleu - 10)
    local dot = got["local-p dot"]
    claim("A6", "local-p finds the place on the reversed sentence to less than one word; general is no worse than dot",
        ("|p - gold| %.2f (general), %.2f (dot); BLEU %.1f, %.1f"):format(guessed.back.centre, dot.back.centre,
            guessed.back.bleu, dot.back.bleu),
        guessed.back.centre < 1 and guessed.back.bleu >= dot.back.bleu - math.max(dot.back.bleu_spread, 1))

    local times, slower = {}, {}
    for _, kind in ipairs{"global", "local-m"} do
        local decoder = attn.decoder.rnn{inputs = cfg.dim, hidden = 128, memory = 128, cell = "lstm", style = "luong",
            outputs = 50, attention = {score = "general",
                window = kind == "local-m" and {type = "monotonic", radius = 10} or nil}}
        times[kind] = {}
        for i, S in ipairs{50, 200, 800} do
            local memory, y = attn.randn(32, S, 128), attn.randn(32, cfg.dim)
            times[kind][i] = attn.no_grad(function()
                local _, state = decoder:step(y, memory)
                local best = math.huge
                for _ = 1, 15 do
                    local began = attn.clock()
                    _, state = decoder:step(y, memory, state)
                    best = math.min(best, attn.clock() - began)
                end
                return 1e6 * best
            end)
        end
        slower[kind] = times[kind][3] / times[kind][1]
    end
    local function row(kind) return ("%.0f, %.0f, %.0f us"):format(table.unpack(times[kind])) end
    claim("A5 cost",
        "a step of local-m costs the same whatever the length of the source (50, 200, 800 words, batch 32)",
        ("local-m %s; global %s"):format(row "local-m", row "global"), slower["local-m"] < 1.5)
end

for _, part in ipairs(cfg.parts) do
    if not parts[part] then
        error(("--parts: '%s' is no part (table, scores, feeding, windows)"):format(part), 0)
    end
end
for _, part in ipairs(cfg.parts) do parts[part]() end
