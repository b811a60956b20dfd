-- characters: attention via attention. A small network reads letters, a larger one words; the writer of letters first
-- looks for a word, then, knowing it, for a letter.
--
--   c_word = sum_i softmax score(s, word_i) word_i
--   c_letter = sum_j softmax score([s; c_word], letter_j) letter_j             output from [s; c_word; c_letter]
--
--   cognates   sentences of words whose translations differ in one letter or two: words that were never seen, too
--   forms      inflected forms from a word and its tags (SIGMORPHON 2017); tags are words of one letter
--
-- Each with words alone and with both, cognates with letters alone, too.
--
-- Command    attn scripts/reading/characters.lua [--data DIR]           2 minutes on two cores
-- System     A8; Zhao and Zhang 2018
-- Found      of the letters of unseen words 31 points more are right with both than with words alone (17 to 45: 30 is
--            undecided); inflected forms gain 35 and 23
-- Your data  local characters = require "reading.characters"                                     (attn -I scripts)
--            local model = characters.Writer{letters = 90, targets = 60, dim = 32, small = 32, hidden = 96}
--            local logits = model(source, source_lengths, ends, ends_lengths, target_in)  ends: last letters of words
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, text = require "attn.study", require "attn.text"

local Writer = attn.module "Writer"
function Writer:init(c)                 -- look: "words", "letters" or "both"
    local H, words, letters = c.hidden, c.look ~= "letters", c.look ~= "words"
    self.source = attn.layer.embedding{count = c.letters, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.letters = attn.encoder.rnn{inputs = c.dim, hidden = c.small}
    self.words = attn.encoder.rnn{inputs = c.small, hidden = H // 2, bidirectional = true}
    self.writer = attn.encoder.rnn{inputs = c.dim, hidden = H}
    if words then self.to_words = attn.attention{query = H, score = "additive", dim = H} end
    local known = words and 2 * H or H
    if letters then self.to_letters = attn.attention{query = known, key = c.small, score = "additive", dim = H} end
    self.combine = attn.layer.linear{inputs = letters and known + c.small or known, outputs = H}
    self.out = attn.layer.linear{inputs = H, outputs = c.targets}
end

-- letters [B, S], [B], places of the last letters of words [B, W] (0: none), [B], target [B, T]
-- -> logits [B, T, targets], weights of the letters [B, T, S] (of the words where letters are not looked at)
function Writer:forward(source, lengths, ends, count, target)
    local letters = self.letters(self.source(source), {lengths = lengths})
    local read = letters:gather(2, ends:unsqueeze(3):expand(#ends, ends:size(2), letters:size(3)):contiguous())
    local words, last = self.words(read, {lengths = count})
    local first = attn.cat({last.h[1], last.h[2]}, 2):unsqueeze(1)
    local known, weights, context = self.writer(self.target(target), {state = {h = first}}), nil, nil
    if self.to_words then
        context, weights = self.to_words(known, words, words, {lengths = count, weights = true})
        known = attn.cat({known, context}, 3)
    end
    if self.to_letters then
        context, weights = self.to_letters(known, letters, letters, {lengths = lengths, weights = true})
        known = attn.cat({known, context}, 3)
    end
    return self.out(self.combine(known):tanh()), weights
end

-- Cognates: a word is a list of letters; its first and its last letter become others, by two rules.
local function cognates(cfg, lexicon, count, seed)
    local records = {}
    for i = 1, count do
        local draw, source, ends, target = data.random(seed, i), {}, {}, {}
        for place = 1, cfg.shortest - 1 + draw(cfg.longest - cfg.shortest + 1) do
            local word = lexicon[draw(#lexicon)]
            if place > 1 then source[#source + 1], target[#target + 1] = cfg.letters + 1, cfg.letters + 1 end
            source, target = data.joined{source, word}, data.joined{target, word}
            local start = #target - #word + 1
            target[start] = target[start] % cfg.letters + 1                     -- a becomes b
            target[#target] = (target[#target] + 4) % cfg.letters + 1           -- a becomes f
            ends[place] = #source
        end
        records[i] = {source = source, ends = ends, target = target}
    end
    return records
end

---Two lists of words of 3 to 7 letters, all different.
local function lexicons(cfg, seed)
    local draw, known, words = data.random(seed), {}, {}
    while #words < 2 * cfg.known do
        local word = {}
        for k = 1, 2 + draw(5) do word[k] = draw(cfg.letters) end
        local key = table.concat(word, " ")
        if not known[key] then known[key], words[#words + 1] = true, word end
    end
    return data.first(words, cfg.known), table.move(words, cfg.known + 1, #words, 1, {})
end

local paper = study{
    system = {"A8"},
    paper = "Zhao, Zhang 2018, Attention-via-attention neural machine translation, AAAI",
    options = {dim = 24, small = 32, hidden = 64, lr = 5e-3, steps = 600, batch = 64, letters = 12, known = 300,
        shortest = 1, longest = 3, tests = 500},
    quick = {dim = 4, small = 4, hidden = 4, steps = 3, batch = 4, tests = 8},
}

-- Trained on sets.train; of the others the share of letters that are right given those before, and of texts all of
-- whose letters are.
local function learn(cfg, cell, letters, targets, sets, options)
    local model = Writer{letters = letters, targets = targets, dim = cfg.dim, small = cfg.small, hidden = cfg.hidden,
        look = cfg.look}
    options.size, options.seed, options.shift = cfg.batch, cell.seed, {"target"}
    local parts = data.parts(sets, options)
    local function read(b) return model(b.source, b.source_lengths, b.ends, b.ends_lengths, b.target_in) end
    fit{model = model, batches = parts.train, steps = cfg.steps, lr = cfg.lr, cell = cell,
        schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps},
        forward = function(b) return read(b), b.target_out end}
    local values = {}
    parts.train = nil
    for name, batches in pairs(parts) do
        local means = fit.means(model, batches, function(b)
            local logits, weights = read(b)
            local right, there = logits:argmax(3):eq(b.target_out), b.target_out:gt(0)
            cell:keep("weights", weights[1])
            return {letters = {right, there}, exact = (right | ~there):all(2)}
        end)
        values[name], values[name .. "_exact"] = 100 * means.letters, 100 * means.exact
    end
    return values
end

local known = paper:table{
    name = "cognates", about = "letters right given those before, whole sentences", synthetic = true,
    vary = {{"words", look = "words"}, {"letters", look = "letters"}, {"both", look = "both"}},
    run = function(cfg, cell)
        local seen, unseen = lexicons(cfg, cell.seed)
        return learn(cfg, cell, cfg.letters + 1, cfg.letters + 3,
            {train = cognates(cfg, seen, cfg.steps * cfg.batch, cell.seed),
                seen = cognates(cfg, seen, cfg.tests, 1000 + cell.seed),
                unseen = cognates(cfg, unseen, cfg.tests, 2000 + cell.seed)},
            {bos = cfg.letters + 2, eos = cfg.letters + 3})
    end}

local inflected = {}
for _, language in ipairs{"german", "turkish"} do
    for _, look in ipairs{"words", "both"} do
        inflected[#inflected + 1] = {language .. ", " .. look, look = look, language = language}
    end
end
local forms = paper:table{
    name = "forms", about = "letters right given those before, whole forms", data = "sigmorphon2017", vary = inflected,
    run = function(cfg, cell)
        local sets = corpus.sigmorphon2017(cfg.data, {language = cfg.language})
        sets.test = nil                 -- nothing is chosen by dev
        for _, r in ipairs(data.joined{sets.train, sets.dev}) do
            r.source, r.target, r.ends = data.joined{r.lemma, r.tags}, r.form, {#r.lemma}
            for i = 1, #r.tags do r.ends[i + 1] = #r.lemma + i end
        end
        local letters = text.vocabulary(sets.train, {of = {"source"}})
        local targets = text.vocabulary(sets.train, {of = {"target"}})
        return learn(cfg, cell, #letters, #targets, sets,
            {fields = {source = letters, target = targets, ends = "ends"}})
    end}

paper:claim{"letters of words never seen: words and letters beat words alone by at least 30 points",
    known.both.unseen - known.words.unseen, at_least = 30}
for _, language in ipairs{"german", "turkish"} do
    paper:claim{language .. ": words and letters write more letters right than words alone",
        forms[language .. ", both"].dev - forms[language .. ", words"].dev, at_least = 0}
end
return paper:main{Writer = Writer, cognates = cognates, lexicons = lexicons}
