-- task: synthetic tasks whose answer, whose source of the answer (the gold attention) and whose best value are known.
--
-- This file is the frame: options, generator, batches, gold attention as tensors. A task (task_*.lua) says how one example
-- is drawn. Example i of a seed comes from a generator of its own (data.random(seed, i)), so attn's random state is
-- untouched and any example can be made alone; the batches are those of data.batches, with its order, state and load.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"

local m = {}

-- Gold attention of a batch: for each example a list of rows, each the list of the places that are read, all alike. A row
-- that reads nothing is zero, as the weights of a query that may attend to nothing are.
local function weights(lists, columns)
    local rows, out = 1, {}
    for _, list in ipairs(lists) do rows = math.max(rows, #list) end
    for i, list in ipairs(lists) do
        out[i] = {}
        for r = 1, rows do
            local row, places = {}, list[r] or {}
            for c = 1, columns do row[c] = 0.0 end
            for _, place in ipairs(places) do row[place] = 1 / #places end
            out[i][r] = row
        end
    end
    return attn.tensor(out)
end

local shared = {{"size", "integer", 32, least = 1}, {"count", "integer", 10000, least = 1}, {"shuffle", "boolean", true}}

-- A task: options and help, as help shows them; shown, the fields that its example prints; known, its options;
-- make(cfg) -> {draw = function(random) -> example, ...}. An example is {field = what data.batches takes, ...}; gold says which
-- fields are gold attention and what they read: the name of a field and the dimension of it, or a number. What else make
-- returns stands in the object.
local function define(name, task)
    local known, here = table.move(task.known, 1, #task.known, 1, {}), "task." .. name
    table.move(shared, 1, #shared, #known + 1, known)
    m[name] = function(options, seed)
        local cfg = fields.read(here, options == nil and {} or options, known)
        if seed == nil then seed = 1 end
        if math.type(seed) ~= "integer" then
            error(("%s: seed is %s, expected an integer"):format(here, fields.describe(seed)), 2)
        end
        if cfg.shortest and cfg.shortest > cfg.longest then
            error(("%s: shortest is %d, longest %d, expected shortest <= longest"):format(here, cfg.shortest, cfg.longest), 2)
        end
        local made = task.make(cfg)
        local gold, shift = made.gold or {gold = {"source", 2}}, made.bos and {"target"} or {}
        local function collate(examples)
            local lists, numbers = {}, {}
            for i, example in ipairs(examples) do
                numbers[i] = i
                for field, value in pairs(made.draw(data.random(seed, example.number))) do
                    lists[field] = lists[field] or {}
                    lists[field][i] = value
                end
            end
            local golds = {}
            for field in pairs(gold) do golds[field], lists[field] = lists[field], nil end
            local batch = data.batches{fields = lists, shift = shift, bos = made.bos, eos = made.eos, size = #examples,
                shuffle = false}:collate(numbers)
            for i, example in ipairs(examples) do batch.index[i] = example.index end
            for field, over in pairs(gold) do
                batch[field] = weights(golds[field], type(over) == "table" and batch[over[1]]:size(over[2]) or over)
            end
            return batch
        end
        local numbers = {}
        for i = 1, cfg.count do numbers[i] = i end
        local batches = data.batches{fields = {number = numbers}, size = cfg.size, seed = seed, shuffle = cfg.shuffle,
            bos = made.bos, eos = made.eos, collate = collate}
        for key, value in pairs(made) do
            if key ~= "draw" and key ~= "gold" then batches[key] = value end
        end
        batches.task, batches.options, batches.optimum = name, cfg, made.optimum or {accuracy = 1, loss = 0}
        return batches
    end
    attn.describe{name = here,
        signature = ("%s({%s, size = 32, count = 10000, shuffle = true}, seed = 1) -> batches"):format(name, task.options),
        help = task.help .. "\nBatches as data.batches gives them, b.optimum the best that can be reached: see attn help task.",
        example = task.example or ('local b = attn.task.%s({size = 2, count = 4}, 1)\nfor batch in b:epoch(1) do print(%s) end'):format(name,
            task.shown or "batch.source, batch.gold")}
end

-- What the tasks draw with.
local draws = {}

function draws.length(cfg, draw) return cfg.shortest - 1 + draw(cfg.longest - cfg.shortest + 1) end

function draws.words(count, of, draw)
    local list = {}
    for i = 1, count do list[i] = draw(of) end
    return list
end

-- `count` different numbers of 1..of, in random order.
function draws.different(count, of, draw) return data.first(data.permutation(of, draw), count) end

-- The options shortest and longest.
function draws.lengths(longest)
    return {"shortest", "integer", 1, least = 1}, {"longest", "integer", longest, least = 1}
end

for _, family in ipairs{"sequences", "structure", "reading", "digits"} do
    require("attn.task_" .. family)(define, draws)
end

return m
