-- data: where data sets are, reading lines, padding, batches of similar length in a reproducible order, splits.
--
-- The order of the batches comes from a generator of its own (SplitMix64, seeded by the seed and the epoch), not from
-- the library's: adding a dropout layer does not change which sentences are seen when, and the order of an epoch is
-- known from its number alone, so that resuming needs only the epoch and the place in it.
local attn = require "attn"
local fields = require "attn.fields"
local describe = fields.describe

local m = {}

---The lines of a text file, plain or gzip.
---@param path string
---@return string[]
function m.lines(path)
    if type(path) ~= "string" then error(("data.lines: path is a %s, expected a string"):format(type(path)), 2) end
    return attn.lines(path)
end

-- Data sets that scripts of this project use and how to come by them.
local origin = {
    multi30k = "Multi30k, task 1, raw text: the files train, val and test_2016_flickr (.en.gz, .de.gz) of the folder "
        .. "data/task1/raw of the GitHub repository multi30k/dataset",
    tinyshakespeare = "tiny Shakespeare: the file data/tinyshakespeare/input.txt of the GitHub repository "
        .. "karpathy/char-rnn, compressed (input.txt.gz)",
}

local function directory()
    local args = rawget(_G, "arg")
    for i, word in ipairs(type(args) == "table" and args or {}) do
        if word == "--data" and args[i + 1] then return args[i + 1], "--data" end
        local value = word:match("^%-%-data=(.+)$")
        if value then return value, "--data" end
    end
    local value = os.getenv "ATTN_DATA"
    if value and value ~= "" then return value, "$ATTN_DATA" end
end

---The path of a file or folder of the data directory, given by `--data DIR` or `$ATTN_DATA`.
---@param name string
---@return string
function m.path(name)
    if type(name) ~= "string" then error(("data.path: name is a %s, expected a string"):format(type(name)), 2) end
    local set = name:match("^[^/]+")
    local hint = origin[set] and (".\n  " .. origin[set] .. ", in a folder named " .. set) or ""
    local root, source = directory()
    if not root then
        error(("data.path: no data directory for '%s': give --data DIR or set ATTN_DATA to the folder that holds it%s")
            :format(name, hint), 2)
    end
    local path = root:gsub("/+$", "") .. "/" .. name
    local file, why = io.open(path, "rb")
    if not file then error(("data.path: %s (from %s)%s"):format(why, source, hint), 2) end
    file:close()
    return path
end

---A generator of integers that is independent of `attn.seed`: `draw(n)` is uniform in 1..n, `draw()` in [0, 1).
---@param seed integer
---@param stream? integer different streams of one seed are independent
---@return fun(n: integer?): number
function m.random(seed, stream)
    if math.type(seed) ~= "integer" or stream ~= nil and math.type(stream) ~= "integer" then
        error("data.random: seed and stream must be integers", 2)
    end
    local state
    local function bits()       -- SplitMix64 (Steele, Lea and Flood 2014)
        state = state + 0x9E3779B97F4A7C15
        local z = state
        z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
        z = (z ~ (z >> 27)) * 0x94D049BB133111EB
        return z ~ (z >> 31)
    end
    state = seed
    state = bits() ~ (stream or 0)      -- neighbouring seeds and streams start far apart
    state = bits()
    return function(n)
        local z = bits() >> 11          -- 53 bits
        if not n then return z * 0x1p-53 end
        if math.type(n) ~= "integer" or n < 1 then error("data.random: n must be an integer of at least 1", 2) end
        return z % n + 1
    end
end

---Shuffles a list in place.
---@param list any[]
---@param draw fun(n: integer): integer as made by `random`
---@return any[] list
function m.shuffle(list, draw)
    if type(list) ~= "table" then error("data.shuffle: list is a " .. type(list) .. ", expected a table", 2) end
    for i = #list, 2, -1 do
        local j = draw(i)
        list[i], list[j] = list[j], list[i]
    end
    return list
end

---Divides a list at random into parts, `{0.8, 0.1, 0.1}`, reproducibly.
---@param list any[]
---@param fractions number[] that sum to at most 1; the last part takes what rounding leaves if they sum to 1
---@param seed integer
---@return any[] ... one list for each fraction
function m.split(list, fractions, seed)
    if type(list) ~= "table" or type(fractions) ~= "table" then
        error("data.split: expected a list and a list of fractions", 2)
    end
    local total = 0
    for i, fraction in ipairs(fractions) do
        if type(fraction) ~= "number" or not (fraction >= 0) then
            error(("data.split: fraction %d is %s, expected a number of at least 0"):format(i, tostring(fraction)), 2)
        end
        total = total + fraction
    end
    if total > 1 + 1e-9 then error(("data.split: the fractions sum to %g, more than 1"):format(total), 2) end
    local order = m.shuffle(table.move(list, 1, #list, 1, {}), m.random(seed or 1))
    local parts, first, sum = {}, 1, 0
    for i, fraction in ipairs(fractions) do
        sum = sum + fraction
        local last = i == #fractions and total > 1 - 1e-9 and #list or math.floor(sum * #list + 0.5)
        parts[i] = table.move(order, first, last, 1, {})
        first = last + 1
    end
    return table.unpack(parts)
end

-- One tensor of rows of different length, zeros after their ends. A batch of empty rows is one column wide: no tensor
-- of the library's recurrent layers is empty.
local function padded(rows, where, before, after, names)
    local width, lengths, out = 1, {}, {}
    for i, row in ipairs(rows) do
        if type(row) ~= "table" then
            error(("%s: entry %d is a %s, expected a list of ids"):format(where, i, type(row)), 3)
        end
        for j = 1, #row do
            if type(row[j]) ~= "number" or not math.tointeger(row[j]) then
                error(("%s: entry %s has %s at place %d, expected an integer"):format(where, names and names[i] or i,
                    describe(row[j]), j), 3)
            end
        end
        lengths[i] = #row
        width = math.max(width, #row + (before and 1 or 0) + (after and 1 or 0))
    end
    for i, row in ipairs(rows) do
        local new = {before}
        table.move(row, 1, #row, #new + 1, new)
        new[#new + 1] = after
        for j = #new + 1, width do new[j] = 0 end
        out[i] = new
    end
    return attn.tensor(out, {dtype = "int64"}), lengths
end

---One tensor of lists of ids, padded with 0, and their lengths.
---@param lists integer[][]
---@return any ids int64 [B, T]
---@return any lengths int64 [B]
function m.pad(lists)
    if type(lists) ~= "table" or #lists == 0 then
        error(("data.pad: lists is %s, expected a list of lists of ids"):format(
            type(lists) == "table" and "empty" or "a " .. type(lists)), 2)
    end
    local ids, lengths = padded(lists, "data.pad")
    return ids, attn.tensor(lengths, {dtype = "int64"})
end

---@class Batches
local Batches = {}
Batches.__index = Batches
Batches.__name = "batches"

---Number of batches of an epoch.
function Batches:__len() return (self.count + self.size - 1) // self.size end

function Batches:__tostring()
    return ("batches  %d of up to %d examples, %s"):format(#self, self.size, table.concat(self.names, ", "))
end

---The batch of the examples with these numbers.
---@param index integer[]
---@return table
function Batches:collate(index)
    local batch = {index = index}
    for _, name in ipairs(self.names) do
        local all, rows = self.fields[name], {}
        for i, example in ipairs(index) do
            rows[i] = all[example]
            if rows[i] == nil then
                error(("batches: example %s is outside 1..%d"):format(tostring(example), self.count), 2)
            end
        end
        if self.scalar[name] then
            batch[name] = attn.tensor(rows, {dtype = self.scalar[name]})
        else
            local where, lengths = "data.batches: field '" .. name .. "'", nil
            batch[name], lengths = padded(rows, where, nil, nil, index)
            batch[name .. "_lengths"] = attn.tensor(lengths, {dtype = "int64"})
            if self.shifted[name] then
                batch[name .. "_in"] = padded(rows, where, self.bos)
                batch[name .. "_out"] = padded(rows, where, nil, self.eos)
            end
        end
    end
    return batch
end

-- The batches of epoch n as lists of example numbers. Shuffled: examples in random order, within pools of 100 batches
-- sorted by length, so that a batch holds rows of similar length and little padding; then the batches in random order.
local function plan(self, n)
    local order = {}
    for i = 1, self.count do order[i] = i end
    local draw
    if self.shuffle then
        draw = m.random(self.seed, n)
        m.shuffle(order, draw)
        if self.by then
            local pool = 100 * self.size
            local first, second, sorted = self.fields[self.by], self.second, {}
            for start = 1, self.count, pool do
                local part, place = table.move(order, start, math.min(start + pool - 1, self.count), 1, {}), {}
                for i, example in ipairs(part) do place[example] = i end
                table.sort(part, function(a, b)
                    if #first[a] ~= #first[b] then return #first[a] < #first[b] end
                    if second and #second[a] ~= #second[b] then return #second[a] < #second[b] end
                    return place[a] < place[b]
                end)
                table.move(part, 1, #part, #sorted + 1, sorted)
            end
            order = sorted
        end
    end
    local batches = {}
    for start = 1, self.count, self.size do
        batches[#batches + 1] = table.move(order, start, math.min(start + self.size - 1, self.count), 1, {})
    end
    if draw then m.shuffle(batches, draw) end
    return batches
end

---Iterates over the batches of epoch n (from 1; nil: the next one). The first call after `load` goes on inside the
---saved epoch if n is that epoch or nil.
---@param n? integer
---@return fun(): table?
function Batches:epoch(n)
    if n ~= nil and (math.type(n) ~= "integer" or n < 1) then
        error(("batches: epoch is %s, expected an integer of at least 1"):format(tostring(n)), 2)
    end
    local position = 0
    if self.resume then
        n = n or self.at
        if n == self.at then position = self.position end
    else
        n = n or self.at + 1
    end
    self.resume, self.at, self.position = false, n, position
    local batches = plan(self, n)
    return function()
        local index = batches[self.position + 1]
        if not index then return nil end
        self.position = self.position + 1
        return self:collate(index)
    end
end

---Where the last epoch stands, as a plain table for a checkpoint.
function Batches:state()
    return {epoch = self.at, position = self.position, seed = self.seed, size = self.size, count = self.count,
        shuffle = self.shuffle}
end

---Goes back to a place given by `state`; the data must be the same.
function Batches:load(state)
    if type(state) ~= "table" then error(("batches: state is a %s, expected a table"):format(type(state)), 2) end
    for _, name in ipairs{"count", "size", "seed", "shuffle"} do
        if state[name] ~= self[name] then
            error(("batches: saved with %s = %s, this one has %s"):format(name, tostring(state[name]),
                tostring(self[name])), 2)
        end
    end
    if math.type(state.epoch) ~= "integer" or math.type(state.position) ~= "integer"
        or state.epoch < 0 or state.position < 0 or state.position > #self then
        error("batches: state has no valid epoch and position", 2)
    end
    self.at, self.position, self.resume = state.epoch, state.position, state.epoch > 0
end

---@class BatchesConfig
---@field fields table<string, table> name -> a list of ids, or a number, for each example
---@field shift string[]? fields that also come with bos before and eos after
---@field bos integer?
---@field eos integer?
---@field size integer
---@field seed integer?
---@field shuffle boolean?
---@field by string? field whose length decides what is batched together

---Batches of examples whose fields are lists of ids (or one number each), as tensors.
---@param cfg BatchesConfig
---@return Batches
function m.batches(cfg)
    cfg = fields.read("data.batches", cfg, {
        {"fields", "table", required = true}, {"shift", "table", {}}, {"bos", "integer", 2}, {"eos", "integer", 3},
        {"size", "integer", required = true, least = 1}, {"seed", "integer", 1}, {"shuffle", "boolean", true},
        {"by", "string"}})
    local names, lists, scalar, shifted, count = {}, {}, {}, {}, nil
    for name, values in pairs(cfg.fields) do
        if type(name) ~= "string" then
            error(("data.batches: fields has the key %s, expected names: {source = lists, target = lists}"):format(
                tostring(name)), 2)
        elseif type(values) ~= "table" then
            error(("data.batches: field '%s' is %s, expected a list of examples"):format(name, describe(values)), 2)
        elseif name == "index" then
            error("data.batches: a field cannot be called 'index'", 2)
        end
        names[#names + 1] = name
    end
    table.sort(names)
    if #names == 0 then error("data.batches: fields is empty", 2) end
    for _, name in ipairs(names) do
        local values = cfg.fields[name]
        if not count then
            count = #values
        elseif #values ~= count then
            error(("data.batches: field '%s' has %d examples, field '%s' %d"):format(name, #values, names[1], count), 2)
        end
        if count == 0 then error(("data.batches: field '%s' has no examples"):format(name), 2) end
        local kind = type(values[1])
        local integers = true
        for i, value in ipairs(values) do
            if type(value) ~= kind or kind ~= "table" and kind ~= "number" then
                error(("data.batches: field '%s': entry %d is a %s, expected %s"):format(name, i, type(value),
                    kind == "number" and "a number" or kind == "table" and "a list of ids" or "a list of ids or a number"), 2)
            end
            integers = integers and math.type(value) == "integer"
        end
        if kind == "number" then
            scalar[name] = integers and "int64" or "float32"
        else
            lists[#lists + 1] = name
        end
    end
    for _, name in ipairs(cfg.shift) do
        if not cfg.fields[name] or scalar[name] then
            error(("data.batches: shift names '%s', which is no field of lists"):format(tostring(name)), 2)
        end
        shifted[name] = true
    end
    local by = cfg.by
    if by and (not cfg.fields[by] or scalar[by]) then
        error(("data.batches: by names '%s', which is no field of lists"):format(by), 2)
    end
    for _, name in ipairs(lists) do         -- what is read before what is written
        if not by and not shifted[name] then by = name end
    end
    by = by or lists[1]
    local second
    for _, name in ipairs(lists) do
        if name ~= by then second = second or cfg.fields[name] end
    end
    return setmetatable({fields = cfg.fields, names = names, scalar = scalar, shifted = shifted, bos = cfg.bos,
        eos = cfg.eos, size = cfg.size, seed = cfg.seed, shuffle = cfg.shuffle, by = by, second = second, count = count,
        at = 0, position = 0, resume = false}, Batches)
end

attn.describe{name = "data.lines", signature = "lines(path) -> list of strings",
    help = "The lines of a text file, plain or gzip, without their ends.",
    example = 'local lines = require "attn.data".lines("train.en.gz")'}
attn.describe{name = "data.path", signature = "path(name) -> path",
    help = "The path of a data set, in the folder given by --data DIR or $ATTN_DATA. An error says how to get it.",
    example = 'local folder = require "attn.data".path "multi30k"'}
attn.describe{name = "data.random", signature = "random(seed [, stream]) -> draw",
    help = "A generator independent of attn.seed: draw(n) is an integer in 1..n, draw() a number in [0, 1).",
    example = 'local draw = require "attn.data".random(1); print(draw(6))'}
attn.describe{name = "data.shuffle", signature = "shuffle(list, draw) -> list",
    help = "Shuffles a list in place with a generator made by data.random.",
    example = 'local data = require "attn.data"; data.shuffle({1, 2, 3}, data.random(1))'}
attn.describe{name = "data.split", signature = "split(list, fractions, seed = 1) -> list, list ...",
    help = "Divides a list at random, reproducibly, into one part for each fraction.",
    example = 'local train, test = require "attn.data".split({1, 2, 3, 4}, {0.75, 0.25}, 1)'}
attn.describe{name = "data.pad", signature = "pad(lists) -> ids [B, T], lengths [B]",
    help = "One int64 tensor of lists of ids, padded with 0 to the longest (at least one column), and their lengths.",
    example = 'local ids, lengths = require "attn.data".pad{{5, 6, 7}, {8}}'}
attn.describe{name = "data.batches",
    signature = "batches{fields =, shift = {}, bos = 2, eos = 3, size =, seed = 1, shuffle = true, by =} -> batches",
    help = "Batches of examples. fields maps a name to one list of ids (or one number) for each example. A batch\n"
        .. "has NAME [B, T] and NAME_lengths [B], and for a field named in shift NAME_in (bos first) and\n"
        .. "NAME_out (eos last); index lists the examples. Batches hold rows of similar length of the field `by`\n"
        .. "and come in an order that seed and epoch fix; shuffle = false keeps the order given. for batch in\n"
        .. "b:epoch(n); #b; b:collate(index); b:state(), b:load(state).",
    example = 'local b = require "attn.data".batches{fields = {source = {{4, 5}, {6}}}, size = 2}\n'
        .. 'for batch in b:epoch(1) do print(batch.source, batch.source_lengths) end'}

return m
