-- dates: an encoder-decoder with additive attention rewrites written dates as ISO dates, character by character.
--
--   "am 5. März 1987", "viernes, 5 de marzo de 1987", "March 5th, 1987"  ->  "1987-03-05"
--
-- Command    attn scripts/translation/dates.lua [--seeds 1 --show]       the demonstration: make demo
-- Time       a minute for each seed on one core
-- Data       made here, from the seed of the cell
-- Found      seed 1: 99.9 % of dates that were not in training are exactly right
-- Paper      Bahdanau, Cho and Bengio 2015 (A3)
-- Your own   local translate = require "attn.translate"                  -- sources and targets: lists of lists of ids
--            local model = translate.recurrent{sources = 99, targets = 40, dim = 32, hidden = 96, attention = {score = "additive", dim = 96}}
--            attn.train.loop{model = model, loss = translate.loss(model), ...}; translate.decode(model, sources)
local attn = require "attn"
local data, study, translate = require "attn.data", require "attn.study", require "attn.translate"

local paper = study{
    system = {"A3"},
    paper = "Bahdanau, Cho, Bengio 2015, Neural machine translation by jointly learning to align and translate, ICLR",
    options = {steps = 1200, batch = 64, dim = 32, hidden = 96, lr = 4e-3, examples = 30000, tests = 1000},
    quick = {steps = 2, dim = 4, hidden = 8, examples = 600, tests = 20}, seeds = 3,
}

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
        for word in language[field]:gmatch "%S+" do list[#list + 1] = word end
        language[field] = list
    end
end

local function characters(line)
    local list = {}
    for character in line:gmatch(utf8.charpattern) do list[#list + 1] = character end
    return list
end

local function written(draw)        -- a date between 1900 and 2099: as written, and in ISO form
    local time = os.time{year = 1899 + draw(200), month = draw(12), day = draw(28) + draw(4) - 1, hour = 12}
    local date = os.date("*t", time)
    local language = languages[draw(#languages)]
    local month, day = language.months[date.month], language.days[(date.wday + 5) % 7 + 1]
    local ending = date.day // 10 ~= 1 and ({"st", "nd", "rd"})[date.day % 10] or "th"
    local parts = {y = date.year, d = date.day, M = month, D = day, m = table.concat(characters(month), "", 1, 3),
        dth = date.day .. ending, ["0"] = ("%02d"):format(date.day), ["1"] = ("%02d"):format(date.month)}
    local form = language.forms[draw(#language.forms)]
    return (form:gsub("%w+", parts)), ("%04d-%02d-%02d"):format(date.year, date.month, date.day)
end

-- Records as translate.pair takes them; no date of the test is in training.
local function dates(cfg, seed)
    local draw, seen, sets = data.random(seed), {}, {train = {}, test = {}}
    for i = 1, cfg.examples + cfg.tests do
        local part = i <= cfg.examples and "train" or "test"
        local source, target = written(draw)
        while part == "test" and seen[target] do source, target = written(draw) end
        if part == "train" then seen[target] = true end
        table.insert(sets[part], {source = characters(source), target = characters(target), line = source,
            answer = target})
    end
    return sets
end

-- The study ---------------------------------------------------------------------------------------------------------

local result = paper:table{
    name = "dates", about = "dates that were not in training, all characters right", synthetic = true,
    columns = {"exact", "seconds"},
    run = function(cfg, cell)
        local sets = dates(cfg, cell.seed)
        local pair = translate.pair(sets.train)
        local model = translate.recurrent{sources = #pair.source, targets = #pair.target, dim = cfg.dim,
            hidden = cfg.hidden, attention = {score = "additive", dim = cfg.hidden}}
        local history = cell:train{
            model = model, data = pair:batches(sets.train, {size = cfg.batch, seed = cell.seed}),
            loss = translate.loss(model),
            optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr}, clip = 1, steps = cfg.steps,
            schedule = attn.schedule.cosine{steps = cfg.steps, lr = cfg.lr, warmup = math.min(50, cfg.steps - 1),
                final = 1e-5}}
        local found = pair:translate(model, sets.test, {max_length = 12})
        local right, longest, lines = 0, 1, {}
        for i, best in ipairs(found) do
            local answer, one = table.concat(best.words), sets.test[i]
            if answer == one.answer then right = right + 1 end
            if i <= 5 then
                lines[i] = ("  %s%s %s"):format(one.line, (" "):rep(32 - #one.source), answer)
                if #one.source > #sets.test[longest].source then longest = i end
            end
        end
        cell:keep("answers", table.concat(lines, "\n"))
        if #found[longest].words > 0 then
            local words = {rows = found[longest].words, columns = sets.test[longest].source}
            cell:keep("where it looked", found[longest].weights, words)
        end
        return {exact = 100 * right / #found, seconds = history.seconds}
    end,
}
paper:claim{"at least 98 % of dates are exactly right", result.dates.exact, at_least = 98}

return paper:main{dates = dates}
