-- Each synthetic task: a solution by hand that sees no gold reaches the optimum, and what the gold attention reads is the answer.
local attn, t = require "attn", require "attn.test"
local task = attn.task

local options = {lookup = {fertility = 3, swap = 0.5, words = 8}}

-- Entry e of a padded tensor of ids: a list (of lists), without what is padding.
local function trimmed(list)
    local out = {}
    for _, id in ipairs(list) do
        if type(id) == "table" then out[#out + 1] = trimmed(id) elseif id ~= 0 then out[#out + 1] = id end
    end
    return out
end

-- f(batch, e, example) of all examples of three seeds; example has the fields of e as Lua values.
local function each(name, f)
    for seed = 1, 3 do
        local cfg = {size = 16, count = 40}
        for key, value in pairs(options[name] or {}) do cfg[key] = value end
        local b = task[name](cfg, seed)
        for batch in b:epoch(1) do
            for e = 1, #batch.index do
                local example = {}
                for field, value in pairs(batch) do
                    if field ~= "index" then example[field] = value[e] end
                    if field ~= "index" and type(example[field]) ~= "number" then
                        example[field] = example[field]:dim() == 0 and example[field]:item() or example[field]:totable()
                    end
                end
                for _, field in ipairs{"source", "target", "left", "right"} do
                    if example[field] then example[field] = trimmed(example[field]) end
                end
                f(b, example, batch)
            end
        end
    end
end

-- What a row of gold reads of values: value(key) of the places.
local function read(row, value)
    local sum = 0
    for place, weight in ipairs(row) do
        if weight ~= 0 then sum = sum + weight * value(place) end
    end
    return sum
end
local function nearest(x) return math.floor(x + 0.5) end

local function sorted(list)
    list = table.move(list, 1, #list, 1, {})
    table.sort(list)
    return list
end
local function index_of(list, found)
    for i, value in ipairs(list) do
        if found(value, i) then return i end
    end
end
-- The target's words as the gold rows read the source's.
local function read_words(b, x)
    local out = {}
    for i = 1, #x.target do out[i] = nearest(read(x.gold[i], function(place) return x.source[place] end)) end
    return out
end

-- The colour that a cell of a picture has, and of how many points.
local function colour_of(b, x, cell)
    local top, left, colour, points = (cell - 1) // b.options.grid * 6, (cell - 1) % b.options.grid * 6, 0, 0
    for y = top + 1, top + 6 do
        for column = left + 1, left + 6 do
            local here = 0
            for channel = 1, 3 do here = here + (nearest(x.image[channel][y][column]) << channel - 1) end
            colour, points = math.max(colour, here), points + (here > 0 and 1 or 0)
        end
    end
    return colour, points
end

-- solve(b, x) from the source alone, read(b, x) by the gold attention; both give the target or the answer.
local tasks = {
    copy = {solve = function(_, x) return x.source end, read = read_words},
    reverse = {solve = function(_, x)
        local out = {}
        for i = #x.source, 1, -1 do out[#out + 1] = x.source[i] end
        return out
    end, read = read_words},
    sort = {solve = function(_, x) return sorted(x.source) end, read = read_words},
    needle = {solve = function(b, x) return math.max(table.unpack(x.source)) - b.options.words end,
        read = function(b, x) return nearest(read(x.gold[1], function(p) return x.source[p] end)) - b.options.words end},
    recall = {solve = function(b, x)
        return x.source[index_of(x.source, function(id) return id == x.query end) + 1] - b.options.keys
    end, read = function(b, x) return nearest(read(x.gold[1], function(p) return x.source[p] end)) - b.options.keys end},
    count = {solve = function(_, x)
        local n = 0
        for _, id in ipairs(x.source) do n = n + (id == x.source[#x.source] and 1 or 0) end
        return n
    end, read = function(_, x) return nearest(1 / read(x.gold[1], function(p) return p == #x.source and 1 or 0 end)) end},
    parity = {solve = function(_, x)
        local n = 0
        for _, id in ipairs(x.source) do n = n + (id == 2 and 1 or 0) end
        return n % 2 + 1
    end, read = function(_, x) return (nearest(1 / read(x.gold[1], function(p) return p == 1 and 1 or 0 end)) - 1) % 2 + 1 end},
    lookup = {solve = function(b, x)
        local out, i = {}, 1
        local function put(word) table.move(b.dictionary[word], 1, #b.dictionary[word], #out + 1, out) end
        while i <= #x.source do
            local word, after = x.source[i], x.source[i + 1]
            if after and b.swaps[word] and not b.swaps[after] then
                put(after)
                i = i + 1
            end
            put(word)
            i = i + 1
        end
        return out
    end, read = function(b, x)
        local out, last, part = {}, nil, 0
        for i = 1, #x.target do
            local place = nearest(read(x.gold[i], function(p) return p end))
            part = place == last and part + 1 or 1
            last, out[i] = place, b.dictionary[x.source[place]][part]
        end
        return out
    end},
    segment = {solve = function(b, x)
        local best, run = {}, {}
        for i = 1, #x.source + 1 do
            if (x.source[i] or 0) > b.options.words then
                run[#run + 1] = x.source[i] - b.options.words
            else
                best, run = #run > #best and run or best, {}
            end
        end
        for mark = 1, b.answers do
            local n = 0
            for _, id in ipairs(best) do n = n + (id == mark and 1 or 0) end
            if 2 * n > #best then return mark end
        end
    end, read = function(b, x)
        for mark = 1, b.answers do
            if read(x.gold[1], function(p) return x.source[p] == b.options.words + mark and 1 or 0 end) > 0.5 then return mark end
        end
    end},
    brackets = {solve = function(b, x)
        local out = {}
        for i = 1, #x.source do
            local depth = 0
            for j = i - 1, 1, -1 do
                depth = depth + (x.source[j] > b.options.kinds and -1 or 1)
                if depth > 0 then
                    out[#out + 1] = x.source[j]
                    break
                end
            end
        end
        return out
    end, read = function(_, x)
        local out = {}
        for i = 1, #x.source do
            local kind = nearest(read(x.gold[i], function(p) return x.source[p] end))
            if kind ~= 0 then out[#out + 1] = kind end
            t.equal(nearest(read(x.gold[i], function(p) return p end)), x.parent[i])
        end
        return out
    end},
    facts = {solve = function(b, x)
        local word = x.query
        for _ = 1, b.options.hops do word = x.source[index_of(x.source, function(fact) return fact[1] == word end)][2] end
        return word
    end, read = function(b, x)
        local word = x.query
        for hop = 1, b.options.hops do
            t.equal(nearest(read(x.gold[hop], function(p) return x.source[p][1] end)), word)
            word = nearest(read(x.gold[hop], function(p) return x.source[p][2] end))
        end
        return word
    end},
    documents = {solve = function(b, x)
        local topic = b.vocabulary
        local sentence = x.source[index_of(x.source, function(s) return index_of(s, function(id) return id == topic end) end)]
        return sentence[index_of(sentence, function(id) return id > b.options.words and id < topic end)] - b.options.words
    end, read = function(b, x)
        return nearest(read(x.gold[1], function(i)
            return read(x.gold_word[i], function(p) return x.source[i][p] end)
        end)) - b.options.words
    end},
    pairs = {solve = function(b, x)
        local function meanings(list)
            local out = {}
            for i, word in ipairs(list) do out[i] = (word - 1) // b.options.synonyms end
            return table.concat(sorted(out), " ")
        end
        return meanings(x.left) == meanings(x.right) and 1 or 2
    end, read = function(b, x)
        local answer = 1
        for i, word in ipairs(x.right) do
            local function meaning(w) return (w - 1) // b.options.synonyms + 1 end
            local found = nearest(read(x.gold[i], function(p) return meaning(x.left[p]) end))
            if found ~= meaning(word) then answer = 2 end
        end
        return answer
    end},
    entailment = {solve = function(_, x)
        local answer = 2
        for _, word in ipairs(x.right) do
            local about = index_of(x.left, function(other) return (other - 1) // 4 == (word - 1) // 4 end)
            if not about then return 1 end
            if (x.left[about] - 1) // 2 ~= (word - 1) // 2 then answer = 3 end
        end
        return answer
    end, read = function(_, x)
        local answer = 2
        for j, word in ipairs(x.right) do
            local about = nearest(read(x.gold[j], function(p) return x.left[p] end))
            if about == 0 then return 1 end
            t.equal((about - 1) // 4, (word - 1) // 4)
            if (about - 1) // 2 ~= (word - 1) // 2 then answer = 3 end
        end
        return answer
    end},
    cloze = {solve = function(_, x)
        return x.source[index_of(x.source, function(_, i)
            return i % 3 == 1 and x.source[i + 1] == x.query[1] and x.source[i + 2] == x.query[2]
        end)]
    end, read = function(_, x) return nearest(read(x.gold[1], function(p) return x.source[p] end)) end},
    aspects = {solve = function(b, x)
        local n, found = b.options.aspects, nil
        for _, id in ipairs(x.source) do
            if id <= n then found = id == x.query elseif found and id <= n + b.options.opinions then return (id - n - 1) % 2 + 1 end
        end
    end, read = function(b, x)
        return (nearest(read(x.gold[1], function(p) return x.source[p] end)) - b.options.aspects - 1) % 2 + 1
    end},
    -- How many points of its cell each of the first four shapes fills.
    scenes = {solve = function(b, x)
        for cell = 1, b.options.grid ^ 2 // 1 | 0 do
            local colour, points = colour_of(b, x, cell)
            if points == ({25, 13, 9, 16})[x.query] then return colour end
        end
    end, read = function(b, x) return nearest(read(x.gold[1], function(cell) return (colour_of(b, x, cell)) end)) end},
}

local names = {}
for name in pairs(tasks) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
    t.case(name .. ": a solution by hand reaches the optimum", function()
        local right, all, optimum = 0, 0, nil
        each(name, function(b, x)
            local got, expected = tasks[name].solve(b, x), x.target or x.answer
            if type(got) == "table" then got, expected = table.concat(got, " "), table.concat(expected, " ") end
            right, all, optimum = right + (got == expected and 1 or 0), all + 1, b.optimum
        end)
        t.equal(right / all, optimum.accuracy)
        t.equal(all, 120)
    end)

    t.case(name .. ": what gold reads is the answer, its rows sum to 1 or are zero", function()
        each(name, function(b, x, batch)
            t.equal(tasks[name].read(b, x), x.target or x.answer)
            local sums = batch.gold:sum(-1)
            t.is_true((sums * (sums - 1)):abs():max():item() < 1e-6)
            if batch.target_out then
                t.equal(batch.gold.shape, {#batch.index, batch.target_out:size(2), batch.source:size(2)})
                t.equal(x.target_in[1], b.bos)
            end
            if x.answer and type(x.answer) == "number" then t.is_true(x.answer >= 1 and x.answer <= b.answers) end
        end)
    end)

    t.case(name .. ": the seed decides, attn's random state does not and is left alone", function()
        local function all(seed)
            local out = {}
            for batch in task[name]({size = 4, count = 12}, seed):epoch(2) do
                local fields = {}
                for field, value in pairs(batch) do
                    if field ~= "index" then fields[field] = value:totable() end
                end
                out[#out + 1] = {batch.index, fields}
            end
            return out
        end
        attn.seed(1)
        local state = attn.random_state()
        local first = all(5)
        t.equal(attn.random_state(), state)
        attn.seed(2)
        t.equal(all(5), first)
        t.is_true(not pcall(t.equal, all(6), first))
    end)

    t.case(name .. ": the example of its help runs", function()
        local example = require "attn.internal".docs()["task." .. name]
        assert(load("local attn = require 'attn'; local function print() end\n" .. example.example))()
    end)
end

t.case("every task is tested", function()
    local all = {}
    for name in pairs(task) do
        if name ~= "digits" then all[#all + 1] = name end       -- task_digits_test.lua
    end
    t.equal(sorted(all), names)
end)

t.case("batches go on where a saved place stands, and a loop trains on them", function()
    local b = task.copy({size = 4, count = 20}, 3)
    local next_batch = b:epoch(1)
    next_batch()
    local place = b:state()
    local expected = next_batch().source:totable()
    local again = task.copy({size = 4, count = 20}, 3)
    again:load(place)
    t.equal(again:epoch()().source:totable(), expected)
    local model = attn.layer.linear{inputs = 1, outputs = 2}
    attn.train.loop{model = model, data = task.parity({size = 4, count = 8}, 1), steps = 3, quiet = true,
        optimizer = attn.optim.sgd{params = model:parameters(), lr = 0.1}, loss = function(batch)
            return attn.loss.cross_entropy(model(batch.source_lengths:to "float32":unsqueeze(2)), batch.answer)
        end}
end)

t.case("options that make no sense are errors that name them", function()
    t.raises("task.copy: unknown field 'word' (known: words, shortest, longest, size, count, shuffle) (did you mean 'words'",
        function() task.copy{word = 3} end)
    t.raises("task.copy: shortest is 4, longest 3", function() task.copy{shortest = 4, longest = 3} end)
    t.raises("task.sort: words is 3, expected at least longest (4)", function() task.sort{words = 3, longest = 4} end)
    local message = t.raises("task.copy: words is 0, expected at least 1", function() task.copy{words = 0} end)
    t.is_true(message:find("task_test.lua:%d+: task.copy") ~= nil, message)      -- the script's own line
    t.raises("task.recall: pairs is 4, expected at most keys (3)", function() task.recall{pairs = 4, keys = 3} end)
    t.raises("task.copy: seed is 1.5, expected an integer", function() task.copy({}, 1.5) end)
    t.raises("task.segment: shortest is 3, expected at least span (5)", function() task.segment{shortest = 3} end)
    t.raises("task.facts: words is 5, expected at least chains * (hops + 1), 9", function() task.facts{words = 5} end)
    t.raises("task.pairs: meanings is 8, expected more than longest (8)", function() task.pairs{meanings = 8} end)
    t.raises("task.entailment: opposites is 9, expected more than longest (9)", function() task.entailment{opposites = 9} end)
    t.raises("task.cloze: statements is 4, expected at most entities * verbs (2)", function() task.cloze{entities = 2, verbs = 1} end)
    t.raises("task.aspects: mentioned is 6, expected at most aspects (5)", function() task.aspects{mentioned = 6} end)
    t.raises("task.scenes: objects is 5, expected at most shapes (4) and cells (9)", function() task.scenes{objects = 5} end)
    t.raises("task.needle: size is 0, expected at least 1", function() task.needle{size = 0} end)
end)

t.case("scenes as captions: colours and shapes from left to right, each word with its cell", function()
    local b = task.scenes({caption = true, size = 30, count = 30, grid = 3}, 4)
    t.equal({b.targets, b.bos, b.eos}, {10, 9, 10})
    local lengths = {}
    for batch in b:epoch(1) do
        local target, gold, images = batch.target:totable(), batch.gold:totable(), batch.image:totable()
        for i, words in ipairs(target) do
            local x, before = {image = images[i]}, -1
            lengths[batch.target_lengths[i]:item()] = true
            for k = 1, batch.target_lengths[i]:item(), 2 do
                local cell = index_of(gold[i][k], function(weight) return weight == 1 end)
                local colour, points = colour_of(b, x, cell)
                t.equal({words[k], words[k + 1], gold[i][k + 1]},
                    {colour, 4 + index_of({25, 13, 9, 16}, function(n) return n == points end), gold[i][k]})
                local place = (cell - 1) % 3 * 3 + (cell - 1) // 3
                t.is_true(place > before)
                before = place
            end
            local drawn = 0         -- nothing is left out
            for cell = 1, 9 do drawn = drawn + (select(2, colour_of(b, x, cell)) > 0 and 1 or 0) end
            t.equal(batch.target_lengths[i]:item(), 2 * drawn)
        end
        t.equal(batch.gold.shape, {30, batch.target_out:size(2), 9})
    end
    t.equal(lengths, {[2] = true, [4] = true, [6] = true})
end)

t.case("scenes as captions, joined: the same scenes, colour and shape of an object in one word", function()
    local options = {caption = true, size = 30, count = 30, shapes = 5, colours = 3}
    local apart = task.scenes(options, 4)
    options.joined = true
    local joined = task.scenes(options, 4)
    t.equal({joined.targets, joined.bos, joined.eos}, {17, 16, 17})
    local a, b = apart:epoch(1)(), joined:epoch(1)()
    t.equal(attn.allclose(a.image, b.image), true)
    for i, n in ipairs(b.target_lengths:totable()) do
        t.equal(a.target_lengths[i]:item(), 2 * n)
        for k = 1, n do
            local colour, shape = a.target[i][2 * k - 1]:item(), a.target[i][2 * k]:item() - 3
            t.equal(b.target[i][k]:item(), (colour - 1) * 5 + shape)
            t.equal(b.gold[i][k]:totable(), a.gold[i][2 * k]:totable())
        end
        t.equal(b.gold[i][n + 1]:sum():item(), 0)
    end
end)

t.case("sort by windows: each window of places has its own words in order", function()
    for batch in task.sort({words = 30, shortest = 7, longest = 7, window = 3, count = 8}, 3):epoch(1) do
        local source, target, gold = batch.source:totable(), batch.target:totable(), batch.gold:argmax(3):totable()
        for i, words in ipairs(source) do
            local expected = {}
            for first = 1, 7, 3 do
                local window = table.move(words, first, math.min(first + 2, 7), 1, {})
                table.sort(window)
                table.move(window, 1, #window, #expected + 1, expected)
            end
            t.equal(target[i], expected)
            for k = 1, 7 do t.equal(words[gold[i][k]], target[i][k]) end
        end
    end
end)

t.case("lookup of the same words: each has one word of its own, so many times", function()
    local b, seen, most = task.lookup({words = 30, fertility = 3, same = true, count = 4}), {}, 0
    for word = 1, 30 do
        local list = b.dictionary[word]
        for _, id in ipairs(list) do t.equal(id, list[1]) end
        t.is_true(not seen[list[1] or 0])
        if list[1] then seen[list[1]] = true end
        most = math.max(most, #list)
    end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    t.equal({most, b.bos}, {3, count + 1})
end)

t.case("cloze: the usual subject is told by verb and object only where names are not numbered anew", function()
    local function most_frequent(anew)
        local seen, right, count = {}, 0, 0
        for batch in task.cloze({entities = 6, verbs = 3, statements = 6, usual = 1, anew = anew, count = 300}, 1):epoch(1) do
            for i, query in ipairs(batch.query:totable()) do
                local key, answer = table.concat(query, " "), batch.answer[i]:item()
                if seen[key] then right, count = right + (seen[key] == answer and 1 or 0), count + 1 end
                seen[key] = seen[key] or answer
            end
        end
        return right / count
    end
    t.equal(most_frequent(false), 1)
    t.is_true(most_frequent(true) < 0.4)
end)
