-- hierarchical question-image co-attention (Lu, Yang, Batra and Parikh 2016, NeurIPS): where to look and which words to
-- listen to, at three levels: words, phrases (the strongest of 1-, 2- and 3-grams), the question (LSTM)
-- attn scripts/reading/coattention.lua [--data DIR]      3 minutes on two cores; synthetic, SHAPES and easy-VQA
-- Found: regions are looked at as they should be (0.93, alternating 0.91), words less (0.48 and 0.49): with one
-- distractor the image alone answers 98 of 100, which leaves 5 points no room. Regions learn to name objects first, in
-- place of VGG's features.
--
-- On your own pictures and questions (attn -I scripts):
--   local Reader = require("reading.coattention").Reader
--   local reader = Reader{words = 500, answers = 20, dim = 64, style = "parallel", patch = 16}
--   local logits, maps = reader(images, questions, lengths)           -- [B, 3, H, W], ids [B, T], [B] -> [B, 20]
--   maps.phrase.words, maps.phrase.regions       -- the weights [B, T] and [B, H/16 * W/16] of a level
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task, text = require "attn.study", require "attn.task", require "attn.text"
local layer = attn.layer

-- One level: vectors of words Q [B, T, dim] and of regions V [B, N, dim] give one vector each, and the weights.
local Level = attn.module "Level"
function Level:init(cfg)
    local function plain(outputs) return layer.linear{inputs = cfg.dim, outputs = outputs, bias = false} end
    local function attention() return attn.attention{query = cfg.dim, dim = cfg.dim, score = "additive"} end
    self.style = cfg.style
    if cfg.style == "parallel" then
        self.affinity, self.word, self.region = plain(cfg.dim), plain(cfg.dim), plain(cfg.dim)     -- W_b, W_q, W_v
        self.word_score, self.region_score = plain(1), plain(1)                                    -- w_hq, w_hv
    elseif cfg.style == "alternating" then
        self.listen, self.look, self.again = attention(), attention(), attention()          -- A(X; g), three times
    elseif cfg.style == "image" then
        self.look = attention()
    end
end

function Level:forward(Q, V, lengths)
    local seen = attn.mask(lengths, Q:size(2))
    local even = seen:to(Q.dtype) / lengths:to(Q.dtype):unsqueeze(2)
    local mean = attn.einsum("bt,btd->bd", even, Q)
    if self.style == "parallel" then
        local C = self.affinity(Q):matmul(V:transpose(2, 3)):tanh()             -- [B, T, N]
        local q, v = self.word(Q), self.region(V)
        local a = self.word_score((q + C:matmul(v)):tanh()):squeeze(3):softmax(2, {mask = seen})
        local b = self.region_score((v + C:transpose(2, 3):matmul(q)):tanh()):squeeze(3):softmax(2)
        return attn.einsum("bt,btd->bd", a, Q), attn.einsum("bn,bnd->bd", b, V), a, b
    elseif self.style == "alternating" then
        local first = self.listen(attn.zeros_like(mean), Q, {lengths = lengths})
        local v, b = self.look(first, V, {weights = true})
        local q, a = self.again(v, Q, {lengths = lengths, weights = true})
        return q, v, a, b
    end
    local v, b = V:mean(2), attn.full({V:size(1), V:size(2)}, 1 / V:size(2), {dtype = V.dtype})
    if self.style == "image" then v, b = self.look(mean, V, {weights = true}) end
    return mean, v, even, b
end

local LEVELS = {"word", "phrase", "question"}

local Reader = attn.module "Reader"
function Reader:init(cfg)
    local dim = cfg.dim
    self.see = layer.conv2d{inputs = 3, outputs = dim, kernel = cfg.patch, stride = cfg.patch}
    self.shape = layer.conv2d{inputs = dim, outputs = dim, kernel = cfg.around or 1, padding = "same"}
    self.embed = layer.embedding{count = cfg.words, dim = dim}
    self.grams = {}
    for n = 1, 3 do self.grams[n] = layer.conv1d{inputs = dim, outputs = dim, kernel = n, padding = {0, n - 1}} end
    self.lstm = attn.encoder.rnn{inputs = dim, hidden = dim, cell = "lstm"}
    self.level, self.mix = {}, {}
    for i, name in ipairs(LEVELS) do
        self.level[name] = Level(cfg)
        self.mix[name] = layer.linear{inputs = i == 1 and dim or 2 * dim, outputs = dim}        -- W_w, W_p, W_s
    end
    self.out, self.flat = layer.linear{inputs = dim, outputs = cfg.answers}, cfg.flat   -- flat: only the question level
    if cfg.things then self.name = layer.linear{inputs = dim, outputs = cfg.things} end
end

function Reader:regions(images)                                                 -- [B, N, dim]
    return self.shape(self.see(images):relu()):tanh():flatten(3):transpose(2, 3)
end

function Reader:forward(images, questions, lengths)
    local V = self:regions(images)
    local words = self.embed(questions)
    local phrases = self.grams[1](words):tanh()
    for n = 2, 3 do phrases = phrases:maximum(self.grams[n](words):tanh()) end
    phrases = phrases * attn.mask(lengths, words:size(2)):to(words.dtype):unsqueeze(3)
    local Q = {word = words, phrase = phrases, question = self.lstm(phrases, {lengths = lengths})}
    local h, maps = nil, {}
    for _, name in ipairs(LEVELS) do
        local q, v, a, b = self.level[name](Q[name], V, lengths)
        maps[name] = {words = a, regions = b}
        if self.flat and name ~= "question" then q, v = q * 0, v * 0 end
        h = self.mix[name](h and attn.cat({q + v, h}, 2) or q + v):tanh()
    end
    return self.out(h), maps
end

-- Trains on records {image, question = words, answer}, synthetic ones with {words, regions}, the places to look at, and
-- things, what each region shows: the share of right answers and, of the level that does it best, how often the most
-- weight is on the right option (its letter or its name), on the region asked for. The paper's regions come from a
-- network that knows objects: here they first learn to name theirs.
local function measure(cfg, cell, answers, sets)
    local words = text.vocabulary(sets.train, {of = {"question"}})
    local function gold(name) return function(r) return r[name] or 0 end end
    local parts = data.parts(sets, {size = cfg.batch, seed = cell.seed, fields = {image = "image", question = words,
        answer = "answer", words = gold "words", regions = gold "regions", things = gold "things"}})
    local model = Reader{words = #words, answers = answers, dim = cfg.dim, style = cfg.style, patch = cfg.patch,
        around = cfg.around, flat = cfg.flat, things = cfg.things}
    local function images(b) return b.image:to "float32" / (cfg.white or 1) end
    local function run(b) return model(images(b), b.question, b.question_lengths) end
    if cfg.things then
        fit{model = model, steps = cfg.known, lr = 5e-3, batches = parts.train,
            forward = function(b) return model.name(model:regions(images(b))), b.things end}
    end
    fit{model = model, batches = parts.train, steps = cfg.steps, cell = cell,
        schedule = attn.schedule.linear{steps = cfg.steps, lr = cfg.lr, final = cfg.lr / 100},
        forward = function(b) return run(b), b.answer end}
    local values, best = fit.means(model, parts.test, function(b)
        local logits, maps = run(b)
        local out = {accuracy = logits:argmax(2):eq(b.answer) * 100}
        for _, name in ipairs(LEVELS) do
            local word, region = maps[name].words:argmax(2), maps[name].regions:argmax(2)
            out[name .. " words"] = {word:eq(b.words) | word:eq(b.words - 1), b.words:gt(0)}
            out[name .. " regions"] = {region:eq(b.regions), b.regions:gt(0)}
            if b.index[1] == 1 then
                cell:keep(name .. ": words", maps[name].words[1], {tokens = sets.test[1].question})
                cell:keep(name .. ": regions", maps[name].regions[1], {over = images(b)[1]})
            end
        end
        return out
    end), {}
    for name, value in pairs(values) do
        name = name:match "%a+$"
        best[name] = math.max(best[name] or 0, value)
    end
    return best
end

local paper = study{
    system = {"E4", "E5", "E6"}, paper = "Lu, Yang, Batra, Parikh 2016, "
        .. "Hierarchical question-image co-attention for visual question answering, NeurIPS",
    options = {dim = 48, steps = 2000, batch = 32, lr = 2e-3, train = 6000, test = 400, known = 200, distractors = 1,
        patch = 6},
    quick = {dim = 8, steps = 3, batch = 8, train = 20, test = 10, known = 2}, seeds = 3,
}

-- "what colour is a ring b cross", "which is there a ring b cross": the only one of these that the picture has.
local SHAPES, LETTERS = {"square", "diamond", "cross", "ring"}, {"a", "b", "c"}
local function scenes(cfg, seed, count)
    local all = task.scenes({shapes = 4, colours = 4, objects = 2, count = count, size = count, shuffle = false}, seed)
    local b, draw, records = all:epoch(1)(), data.random(seed, -1), {}
    local there, colour, region = b.shape:totable(), b.answer:totable(), b.gold:squeeze(2):argmax(2):totable()
    local things = attn.zeros(count, 9, {dtype = "int64"}):scatter_add(2, b.cell, (b.shape - 1) * 4 + b.colour)
    for i, shape in ipairs(b.query:totable()) do
        local options, other, which = {shape}, {}, draw(2) == 1
        for _, seen in ipairs(there[i]) do other[seen] = true end
        for _, absent in ipairs(data.permutation(4, draw)) do
            if not other[absent] and #options <= cfg.distractors then options[#options + 1] = absent end
        end
        local words, place = which and {"which", "is", "there"} or {"what", "colour", "is"}, nil
        for k, option in ipairs(data.shuffle(options, draw)) do
            table.move({LETTERS[k], SHAPES[option]}, 1, 2, #words + 1, words)
            if option == shape then place = k end
        end
        records[i] = {image = b.image[i], things = things[i], question = words, words = which and 3 + 2 * place,
            regions = not which and region[i], answer = which and 4 + place or colour[i]}
    end
    return records
end

local image, alternating = {"image only", style = "image"}, {"alternating", style = "alternating"}
local parallel = {"parallel", style = "parallel"}

local distractors = paper:table{
    name = "distractors", synthetic = true, columns = {"accuracy", "words", "regions"},
    about = "of the shapes a question names one is in the picture: its colour, or its letter",
    vary = {image, parallel, alternating, {"parallel, question level", style = "parallel", flat = true}},
    run = function(cfg, cell)
        cfg.things = 16
        return measure(cfg, cell, 7,
            {train = scenes(cfg, cell.seed, cfg.train), test = scenes(cfg, cell.seed + 1000, cfg.test)})
    end,
}

-- At most limit questions of a corpus, with their pictures.
local function questions(records, limit)
    local some = data.first(records, limit)
    for _, r in ipairs(some) do r.image = records.images[r.image] end
    return some
end
for _, real in ipairs{{name = "shapes", patch = 10, steps = 100}, {name = "easy_vqa", patch = 16, steps = 300}} do
    paper:table{name = real.name, data = real.name, vary = {image, parallel, alternating}, run = function(cfg, cell)
        local sets = corpus[real.name](cfg.data)
        cfg.patch, cfg.steps, cfg.around, cfg.white = real.patch, math.min(real.steps, cfg.steps), 3, 255
        return measure(cfg, cell, #sets.classes,
            {train = questions(sets.train, cfg.train), test = questions(sets.test, 1024)})
    end}
end

local function better(row, by) return distractors[row].accuracy - distractors[by].accuracy end
paper:claim{"with distractor words parallel co-attention beats attention to the image alone by at least 5 points",
    better("parallel", "image only"), at_least = 5}
paper:claim{"and so does alternating co-attention", better("alternating", "image only"), at_least = 5}
paper:claim{"parallel and alternating are within 3 points", better("parallel", "alternating"), between = {-3, 3}}
for _, row in ipairs{"parallel", "alternating"} do
    paper:claim{row .. ": words: the greatest weight is on the right option (0.8)", distractors[row].words,
        at_least = 0.8}
    paper:claim{row .. ": regions: it is on the shape asked for (0.8)", distractors[row].regions, at_least = 0.8}
end

return paper:main{Reader = Reader, Level = Level}
