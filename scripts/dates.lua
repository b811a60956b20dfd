-- dates: an encoder-decoder with additive attention learns to rewrite written dates as ISO dates.
--
--   "am 5. März 1987", "viernes, 5 de marzo de 1987", "March 5th, 1987"  ->  "1987-03-05"
--
-- Command    attn scripts/dates.lua
-- Time       under a minute of training on two cores
-- Expect     result exact_match 98 % or more, on dates that were not in training
-- Paper      Bahdanau, Cho and Bengio 2015 (attention); the data are made here, from a seed
local attn = require "attn"
local data, metric, search, show, text, train = require "attn.data", require "attn.metric", require "attn.search",
    require "attn.show", require "attn.text", require "attn.train"

local cfg = require "attn.run".options{
    steps = 1200, batch = 64, dim = 32, hidden = 96, lr = 4e-3, examples = 30000, seed = 1, svg = ""}
attn.seed(cfg.seed)

-- Data: one date in one of several forms ----------------------------------------------------------------------------

local languages = {
    {   months = "January February March April May June July August September October November December",
        days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        forms = {"M d, y", "d M y", "D, M d, y", "m d, y", "M dth, y", "the dth of M y"}},
    {   months = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        days = "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        forms = {"d. M y", "D, d. M y", "d. m y", "0.1.y", "am d. M y"}},
    {   months = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        days = "lunes martes miércoles jueves viernes sábado domingo",
        forms = {"d de M de y", "D, d de M de y", "el d de M de y", "y/1/0"}},
}
for _, language in ipairs(languages) do
    for _, field in ipairs{"months", "days"} do
        local list = {}
        for word in language[field]:gmatch("%S+") do list[#list + 1] = word end
        language[field] = list
    end
end

local function characters(line)
    local list = {}
    for character in line:gmatch(utf8.charpattern) do list[#list + 1] = character end
    return list
end

local function ordinal(d)
    local ending = d // 10 ~= 1 and ({"st", "nd", "rd"})[d % 10] or "th"
    return d .. ending
end

local draw = data.random(cfg.seed)

local function written()        -- a date between 1900 and 2099: as written, and in ISO form
    local time = os.time{year = 1899 + draw(200), month = draw(12), day = draw(28) + draw(4) - 1, hour = 12}
    local date = os.date("*t", time)
    local language = languages[draw(#languages)]
    local month, day = language.months[date.month], language.days[(date.wday + 5) % 7 + 1]
    local short = table.concat(characters(month), "", 1, 3)
    local parts = {y = date.year, d = date.day, M = month, D = day, m = short, dth = ordinal(date.day),
        ["0"] = ("%02d"):format(date.day), ["1"] = ("%02d"):format(date.month)}
    local form = language.forms[draw(#language.forms)]
    return (form:gsub("%w+", parts)), ("%04d-%02d-%02d"):format(date.year, date.month, date.day)
end

local sets, seen = {train = {source = {}, target = {}}, test = {source = {}, target = {}}}, {}
for i = 1, cfg.examples + 1000 do
    local part = i <= cfg.examples and "train" or "test"
    local source, target = written()
    while part == "test" and seen[target] do source, target = written() end
    if part == "train" then seen[target] = true end
    table.insert(sets[part].source, characters(source))
    table.insert(sets[part].target, characters(target))
end
local sources = text.vocabulary(sets.train.source)
local targets = text.vocabulary(sets.train.target)

local function encode(vocabulary, lists)
    local all = {}
    for i, list in ipairs(lists) do all[i] = vocabulary:encode(list) end
    return all
end

-- Model -------------------------------------------------------------------------------------------------------------

local Rewriter = attn.module "Rewriter"

function Rewriter:init()
    self.source = attn.layer.embedding{count = #sources, dim = cfg.dim}
    self.target = attn.layer.embedding{count = #targets, dim = cfg.dim}
    self.encoder = attn.encoder.rnn{inputs = cfg.dim, hidden = cfg.hidden, cell = "gru", bidirectional = true}
    self.bridge = attn.layer.linear{inputs = cfg.hidden, outputs = cfg.hidden}
    self.decoder = attn.decoder.rnn{
        inputs = cfg.dim, hidden = cfg.hidden, memory = 2 * cfg.hidden, cell = "gru", style = "bahdanau",
        attention = {score = "additive", dim = cfg.hidden}, outputs = #targets}
end

function Rewriter:encode(ids, lengths)
    local memory, last = self.encoder(self.source(ids), {lengths = lengths})
    return {memory = memory, lengths = lengths, hidden = {h = self.bridge(last.h[2]):tanh():unsqueeze(1)}}
end

function Rewriter:forward(ids, lengths, target)
    local s = self:encode(ids, lengths)
    return (self.decoder(self.target(target), s.memory, {memory_lengths = s.lengths, state = s.hidden}))
end

function Rewriter:step(ids, s)
    local logits, hidden, weights = self.decoder:step(self.target(ids), s.memory, s.hidden,
        {memory_lengths = s.lengths})
    return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden}, weights
end

local model = Rewriter()

-- Training and test -------------------------------------------------------------------------------------------------

local batches = data.batches{fields = {source = encode(sources, sets.train.source),
    target = encode(targets, sets.train.target)}, shift = {"target"}, size = cfg.batch, seed = cfg.seed}
print(("%s parameters, %d dates to learn from"):format(model:count(), cfg.examples))
local history = train.loop{
    model = model, data = batches, optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr}, clip = 1,
    steps = cfg.steps, every = (cfg.steps + 3) // 4,
    schedule = attn.schedule.cosine{steps = cfg.steps, lr = cfg.lr, warmup = math.min(50, cfg.steps - 1), final = 1e-5},
    loss = function(b)
        local logits = model(b.source, b.source_lengths, b.target_in)
        return attn.loss.cross_entropy(logits, b.target_out), #b.index * 11
    end}
print("loss  " .. show.spark(history.losses))

local found, right = search.corpus(function(ids, state) return model:step(ids, state) end,
    encode(sources, sets.test.source), {options = {max_length = 12},
    encode = function(ids, lengths) return model:encode(ids, lengths) end}), 0
local longest = 1
for i, list in ipairs(found) do
    local answer = table.concat(targets:decode(list[1].ids))
    if answer == table.concat(sets.test.target[i]) then right = right + 1 end
    if i <= 5 then
        print(("  %-32s %s"):format(table.concat(sets.test.source[i]), answer))
        if #sets.test.source[i] > #sets.test.source[longest] then longest = i end
    end
end
print("\nwhere it looked:")
local best = found[longest][1]
show.attention(best.weights, {rows = targets:decode(best.ids), columns = sets.test.source[longest],
    svg = cfg.svg ~= "" and cfg.svg or nil})
show.result("exact_match", 100 * right / #found, "%")
show.result("train_time", history.seconds, "s")
