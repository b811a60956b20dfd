-- Padding, batches: every example once, the same order again, exact resumption at every place.
local attn, t = require "attn", require "attn.test"
local data = require "attn.data"

local function examples(count, seed)
    local draw, source, target = data.random(seed), {}, {}
    for i = 1, count do
        source[i], target[i] = {}, {}
        for k = 1, draw(12) do source[i][k] = 3 + draw(50) end
        for k = 1, draw(12) - 1 do target[i][k] = 3 + draw(50) end
    end
    return {source = source, target = target}
end

local function run(iterator)
    local list = {}
    for batch in iterator do list[#list + 1] = batch.index end
    return list
end

t.case("pad fills with 0 and gives lengths", function()
    local ids, lengths = data.pad{{5, 6, 7}, {}, {8}}
    t.equal(ids:totable(), {{5, 6, 7}, {0, 0, 0}, {8, 0, 0}})
    t.equal(lengths:totable(), {3, 0, 1})
    t.equal(ids.dtype, "int64")
    t.equal(data.pad{{}}:totable(), {{0}})
    t.raises("data.pad: lists is empty", data.pad, {})
    t.raises("data.pad: entry 2 is a number, expected a list of ids", data.pad, {{1}, 2})
end)

t.case("a batch has the ids, shifted in and out, and the lengths", function()
    local b = data.batches{fields = {source = {{4, 5}, {6}}, target = {{7}, {8, 9}}, class = {2, 1}},
        shift = {"target"}, size = 2, shuffle = false}
    local batch = b:epoch(1)()
    t.equal(batch.source:totable(), {{4, 5}, {6, 0}})
    t.equal(batch.source_lengths:totable(), {2, 1})
    t.equal(batch.target:totable(), {{7, 0}, {8, 9}})
    t.equal(batch.target_in:totable(), {{2, 7, 0}, {2, 8, 9}})
    t.equal(batch.target_out:totable(), {{7, 3, 0}, {8, 9, 3}})
    t.equal(batch.class:totable(), {2, 1})
    t.equal(batch.class.dtype, "int64")
    t.equal(batch.source_in, nil)
    t.equal(batch.index, {1, 2})
end)

t.case("an epoch holds every example once, in batches of like length; others are in another order", function()
    local fields = examples(1000, 1)
    local b = data.batches{fields = fields, shift = {"target"}, size = 16, seed = 5}
    t.equal(#b, 63)
    local first = run(b:epoch(1))
    t.equal(#first, 63)
    local seen, spread = {}, 0
    for _, index in ipairs(first) do
        local low, high = math.huge, 0
        for _, i in ipairs(index) do
            t.equal(seen[i], nil)
            seen[i] = true
            low, high = math.min(low, #fields.source[i]), math.max(high, #fields.source[i])
        end
        spread = math.max(spread, high - low)
    end
    t.equal(#seen, 1000)
    t.equal(spread <= 2, true)
    t.equal(run(b:epoch(1)), first)
    local function differs(other)
        for k, index in ipairs(other) do
            for j, i in ipairs(index) do
                if first[k][j] ~= i then return true end
            end
        end
        return false
    end
    t.equal(differs(run(b:epoch(2))), true)
    t.equal(differs(run(data.batches{fields = fields, size = 16, seed = 6}:epoch(1))), true)
end)

t.case("resuming at any place gives the rest of the run", function()
    local fields = examples(50, 2)
    local function new() return data.batches{fields = fields, size = 8, seed = 3} end
    local whole, one = {}, new()
    local states = {[0] = one:state()}
    for n = 1, 2 do
        for batch in one:epoch(n) do
            whole[#whole + 1] = batch.index
            states[#whole] = one:state()
        end
    end
    for k = 0, #whole do
        local again, rest = new(), {}
        again:load(states[k])
        for n = math.max(1, states[k].epoch), 2 do
            for batch in again:epoch(n) do rest[#rest + 1] = batch.index end
        end
        t.equal(rest, table.move(whole, k + 1, #whole, 1, {}))
    end
    -- without numbers epochs count on, from the saved one
    local again, rest = new(), {}
    again:load(states[3])
    for batch in again:epoch() do rest[#rest + 1] = batch.index end
    t.equal(rest, table.move(whole, 4, 7, 1, {}))
    t.equal(again:epoch()().index, whole[8])
end)

t.case("a state of other data is refused", function()
    local b = data.batches{fields = {x = {{1}, {2}}}, size = 1}
    local state = b:state()
    state.count = 3
    t.raises("batches: saved with count = 3, this one has 2", b.load, b, state)
end)

t.case("wrong fields are named", function()
    t.raises("field 'size' is missing, expected an integer", data.batches, {fields = {x = {{1}}}})
    t.raises("unknown field 'sizes'", data.batches, {fields = {x = {{1}}}, size = 1, sizes = 2})
    t.raises("size is 1.5, expected an integer", data.batches, {fields = {x = {{1}}}, size = 1.5})
    t.raises("size is a string, expected an integer", data.batches, {fields = {x = {{1}}}, size = "1"})
    t.raises("field 'y' has 2 examples, field 'x' 1", data.batches, {fields = {x = {{1}}, y = {{1}, {2}}}, size = 1})
    t.raises("shift names 'z'", data.batches, {fields = {x = {{1}}}, shift = {"z"}, size = 1})
    t.raises("field 'x': entry 2 is a string", data.batches, {fields = {x = {{1}, "a"}}, size = 1})
end)

t.case("what is in a field that is wrong is named, with its place", function()
    t.raises("field 'x' is 3, expected a list of examples", data.batches, {fields = {x = 3}, size = 1})
    t.raises("field 'x' is float32 [], expected a list of examples", data.batches, {fields = {x = attn.tensor(1)}, size = 1})
    t.raises("fields has the key 1, expected names", data.batches, {fields = {{{1}}}, size = 1})
    t.raises("field 'x': entry 1 is a string, expected a list of ids or a number", data.batches, {fields = {x = {"a"}}, size = 1})
    for _, wrong in ipairs{{"a", "a string"}, {1.5, "1.5"}, {{1}, "a table"}, {true, "a boolean"}} do
        local b = data.batches{fields = {x = {{1}, {2, wrong[1]}}, y = {{1}, {2}}}, size = 2, shuffle = false}
        t.raises(("data.batches: field 'x': entry 2 has %s at place 2, expected an integer"):format(wrong[2]), b:epoch(1))
        t.raises(("data.pad: entry 1 has %s at place 1"):format(wrong[2]), data.pad, {{wrong[1]}})
    end
    t.equal(data.pad{{3.0}}:totable(), {{3}})
end)

t.case("split divides without loss, the same way each time", function()
    local list = {}
    for i = 1, 11 do list[i] = i end
    local a, b, c = data.split(list, {0.5, 0.25, 0.25}, 4)
    t.equal(#a + #b + #c, 11)
    local all = table.move(c, 1, #c, #a + #b + 1, table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {})))
    table.sort(all)
    t.equal(all, list)
    t.equal({data.split(list, {0.5, 0.25, 0.25}, 4)}, {a, b, c})
    t.raises("sum to 1.5", data.split, list, {1, 0.5})
end)

t.case("the generator is uniform enough and its streams differ", function()
    local draw, counts = data.random(1), {0, 0, 0, 0, 0}
    for _ = 1, 10000 do
        local k = draw(5)
        counts[k] = counts[k] + 1
    end
    for k = 1, 5 do t.equal(math.abs(counts[k] - 2000) < 200, true) end
    t.equal(data.random(1, 1)(1 << 40) ~= data.random(1, 2)(1 << 40), true)
    t.equal(data.random(1)(1 << 40) ~= data.random(2)(1 << 40), true)
    local x = data.random(9)()
    t.equal(x >= 0 and x < 1, true)
end)

t.case("path says how to get what is missing", function()
    local before = rawget(_G, "arg")
    rawset(_G, "arg", {"--data=/nowhere"})
    local ok, message = pcall(data.path, "multi30k")
    rawset(_G, "arg", before)
    t.equal(ok, false)
    t.equal(message:find("/nowhere/multi30k", 1, true) ~= nil, true)
    t.equal(message:find("multi30k/dataset", 1, true) ~= nil, true)
end)

t.case("lines of a file", function()
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write("a\nb c\n\nd")
    file:close()
    local lines = data.lines(name)
    os.remove(name)
    t.equal(lines, {"a", "b c", "", "d"})
    t.raises("nowhere.txt", data.lines, "/nowhere.txt")
end)

t.case("collate takes the examples asked for", function()
    local b = data.batches{fields = {x = {{1}, {2, 3}, {4}}}, size = 2}
    t.equal(b:collate{3, 2}.x:totable(), {{4, 0}, {2, 3}})
    t.equal(attn.tensor({1, 2}, {dtype = "int64"}):totable(), b:collate{3, 2}.x_lengths:totable())
    t.raises("example 4 is outside 1..3", b.collate, b, {4})
end)
