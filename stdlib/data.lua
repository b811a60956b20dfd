-- data: where data sets are, reading lines, padding, batches of similar length in a reproducible order, splits.
--
-- The order of the batches comes from a generator of its own (SplitMix64, seeded by the seed and the epoch), not from
-- the library's: adding a dropout layer does not change which sentences are seen when, and the order of an epoch is
-- known from its number alone, so that resuming needs only the epoch and the place in it.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"
local describe = fields.describe

local function is_tensor(value) return internal.kind(value) == "tensor" end

local m = {}

---The lines of a text file, plain or gzip.
---@param path string
---@return string[]
function m.lines(path)
    if type(path) ~= "string" then error(("data.lines: path is a %s, expected a string"):format(type(path)), 2) end
    return attn.lines(path)
end

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

---The path of a file or folder of the data directory, plain or gzip; nil and why if it is not there.
---@param name string
---@param folder? string the data directory (default: `--data DIR` or `$ATTN_DATA`)
---@return string? path
---@return string? why
function m.find(name, folder)
    if type(name) ~= "string" then error(("data.find: name is a %s, expected a string"):format(type(name)), 2) end
    local set = name:match "^[^/]+"
    local reader = set and set:find "^[%w_]+$" and require "attn.corpus".reader(set)
    local hint = reader and (".\n  %s, in a folder named %s"):format(reader.origin:gsub("%.$", ""), reader.folder) or ""
    local root, source = folder, nil
    if not root then root, source = directory() end
    if not root then
        return nil, ("no data directory for '%s': give --data DIR or set ATTN_DATA to the folder that holds it%s"):format(name, hint)
    end
    local path, first = root:gsub("/+$", "") .. "/" .. name, nil
    for _, one in ipairs{path, path .. ".gz"} do
        local file, why = io.open(one, "rb")
        if file then
            file:close()
            return one
        end
        first = first or why
    end
    return nil, ("%s%s%s"):format(first, source and (" (from %s)"):format(source) or "", hint)
end

---The path of a file or folder of the data directory, given by `--data DIR` or `$ATTN_DATA`.
---@param name string
---@return string
function m.path(name)
    if type(name) ~= "string" then error(("data.path: name is a %s, expected a string"):format(type(name)), 2) end
    local path, why = m.find(name)
    return path or error("data.path: " .. why, 2)
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

local MOST = 100000000       -- entries of a list that is made here

---The numbers from 1 to `count` in random order.
---@param count integer
---@param draw fun(n: integer): integer as made by `random`
---@return integer[]
function m.permutation(count, draw)
    if math.type(count) ~= "integer" or count < 0 or count > MOST then
        error(("data.permutation: count is %s, expected an integer from 0 to %d"):format(describe(count), MOST), 2)
    end
    local list = {}
    for i = 1, count do list[i] = i end
    return m.shuffle(list, draw)
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

---The first entries of a list: all of them where there are no more than `count`.
---@param list any[]
---@param count number
---@return any[]
function m.first(list, count)
    if type(list) ~= "table" or type(count) ~= "number" then
        error(("data.first: list is %s, count %s, expected a list and a number"):format(describe(list), describe(count)), 2)
    end
    return table.move(list, 1, math.floor(math.min(count, #list)), 1, {})
end

---The entries of lists one after another, as one list.
---@param lists any[][]
---@return any[]
function m.joined(lists)
    local all = {}
    for i, list in ipairs(lists) do
        if type(list) ~= "table" then
            error(("data.joined: entry %d is %s, expected a list"):format(i, describe(list)), 2)
        end
        table.move(list, 1, #list, #all + 1, all)
    end
    return all
end

---Examples that are made up, reproducibly, one after another.
---@param count integer
---@param seed integer
---@param make fun(draw: function): any one example, from what it draws (see data.random)
---@return any[]
function m.made(count, seed, make)
    if math.type(count) ~= "integer" or count < 0 or math.type(seed) ~= "integer" then
        error(("data.made: count is %s, seed %s, expected integers"):format(describe(count), describe(seed)), 2)
    end
    local draw, examples = m.random(seed), {}
    for i = 1, count do
        examples[i] = make(draw)
        if examples[i] == nil then error(("data.made: example %d is nil"):format(i), 2) end
    end
    return examples
end

-- A field of a record, as columns say it.
local function column(record, name, from)
    if type(from) == "function" then return from(record) end
    if type(from) == "string" then return record[from] end
    local words = record[name]          -- from is a vocabulary
    if type(words) == "string" then return from:id(words) end
    return words and from:encode(words)
end

local function columns(where, records, spec, level)
    local out = {}
    for name, from in pairs(spec) do
        local list = {}
        for i, record in ipairs(records) do
            list[i] = column(record, name, from)
            if list[i] == nil then
                local which = type(from) ~= "function" and (" (its field '%s')"):format(type(from) == "string" and from or name) or ""
                error(("%s: '%s' of record %d is nil%s"):format(where, name, i, which), level + 1)
            end
        end
        out[name] = list
    end
    return out
end

---Fields of data.batches from a list of records: for each name a field of the record, a function of it, or a vocabulary, which
---makes ids of the field of that name.
---@param records table[]
---@param spec table<string, any>
---@return table<string, any[]>
function m.columns(records, spec) return (columns("data.columns", records, spec, 2)) end

---The bytes of a file, plain or gzip.
---@param path string
---@return any bytes uint8 [n]
function m.bytes(path) return internal.bytes(path) end

---An idx file of unsigned bytes (the format of MNIST), plain or gzip.
---@param path string
---@return any tensor uint8, of the sizes that the file says
function m.idx(path) return internal.idx(path) end

-- The first of these files that is there.
local function existing(where, ...)
    for _, path in ipairs{...} do
        local file = io.open(path, "rb")
        if file then
            file:close()
            return path
        end
    end
    error(("%s: there is neither %s"):format(where, table.concat({...}, " nor ")), 3)
end

-- Labels that count from 0, as uint8 [n], as classes from 1.
local function labels_of(bytes, count, where)
    local labels = bytes:to "int64"
    if #labels > 0 and labels:max():item() >= count then
        error(("%s: a label is %d, expected 0 to %d"):format(where, labels:max():item(), count - 1), 3)
    end
    return labels + 1
end

---The digits of MNIST, from a folder with its four files, plain or gzip.
---@param folder string
---@param part? string "train" (the default) or "test"
---@return any images uint8 [n, 1, 28, 28]
---@return any labels int64 [n], the digit plus 1
function m.mnist(folder, part)
    part = part == nil and "train" or part
    if type(folder) ~= "string" then error(("data.mnist: folder is %s, expected a string"):format(describe(folder)), 2) end
    if part ~= "train" and part ~= "test" then
        error(("data.mnist: part is '%s', expected train or test"):format(tostring(part)), 2)
    end
    local start = folder:gsub("/+$", "") .. "/" .. (part == "train" and "train" or "t10k")
    local files = {}
    for i, name in ipairs{"-images-idx3-ubyte", "-labels-idx1-ubyte"} do
        files[i] = existing("data.mnist", start .. name .. ".gz", start .. name)
    end
    local images, labels = m.idx(files[1]), m.idx(files[2])
    if images:dim() ~= 3 or labels:dim() ~= 1 or #images ~= #labels then
        error(("data.mnist: images are %s, labels %s, expected [n, height, width] and [n]"):format(describe(images),
            describe(labels)), 2)
    end
    return images:unsqueeze(2), labels_of(labels, 10, "data.mnist: " .. files[2])
end

---Pictures and labels of CIFAR, from files in its binary layout, plain or gzip.
---@param paths string|string[]
---@param options? {classes: integer} 10 (the default), or 100: a coarse label stands before the fine one
---@return any images uint8 [n, 3, 32, 32]
---@return any labels int64 [n], from 1
function m.cifar(paths, options)
    options = fields.read("data.cifar", options or {}, {{"classes", "integer", 10}})
    if options.classes ~= 10 and options.classes ~= 100 then
        error(("data.cifar: classes is %d, expected 10 or 100"):format(options.classes), 2)
    end
    local before = options.classes == 10 and 1 or 2
    local record, images, labels = before + 3072, {}, {}
    paths = type(paths) == "table" and paths or {paths}
    if #paths == 0 then error("data.cifar: paths is empty", 2) end
    for i, path in ipairs(paths) do
        local bytes = m.bytes(path)
        if #bytes == 0 then error(("data.cifar: %s: the file is empty"):format(path), 2) end
        if #bytes % record ~= 0 then
            error(("data.cifar: %s: %d bytes are no whole number of records of %d"):format(path, #bytes, record), 2)
        end
        local rows = bytes:view(#bytes // record, record)
        images[i] = rows:narrow(2, before + 1, 3072):reshape(#rows, 3, 32, 32)
        labels[i] = labels_of(rows:select(2, before), options.classes, "data.cifar: " .. path)
    end
    if #paths == 1 then return images[1], labels[1] end
    return attn.cat(images, 1), attn.cat(labels, 1)
end

---The rows of a file of tab-separated values, plain or gzip.
---@param path string
---@param options? {header: boolean, columns: string[], ragged: boolean}
---@return table[] rows lists of strings, or with names tables by name
---@return string[]? names
function m.tsv(path, options)
    options = fields.read("data.tsv", options or {}, {{"header", "boolean", false}, {"columns", "table"},
        {"ragged", "boolean", false}})
    if type(path) ~= "string" then error(("data.tsv: path is %s, expected a string"):format(describe(path)), 2) end
    local names, rows, count = options.columns, {}, options.columns and #options.columns
    for i, line in ipairs(attn.lines(path)) do
        local row = {}
        for field in (line .. "\t"):gmatch "([^\t]*)\t" do row[#row + 1] = field end
        count = count or #row
        if #row ~= count and (names or options.header or not options.ragged) then
            error(("data.tsv: %s: line %d has %d fields, expected %d"):format(path, i, #row, count), 2)
        end
        if i == 1 and options.header then
            names = names or row
        elseif names then
            local named = {}
            for k, name in ipairs(names) do named[name] = row[k] end
            rows[#rows + 1] = named
        else
            rows[#rows + 1] = row
        end
    end
    return rows, names
end

---Labels as classes that count from 1.
---@param labels any[] strings, say
---@param names? any[] the labels in the order of their classes (default: those there are, sorted)
---@return integer[] classes
---@return any[] names
function m.classes(labels, names)
    if type(labels) ~= "table" or names ~= nil and type(names) ~= "table" then
        error("data.classes: expected a list of labels, and perhaps a list of names", 2)
    end
    local class, out = {}, {}
    if not names then
        names = {}
        for _, label in ipairs(labels) do
            if type(label) ~= "string" and type(label) ~= "number" then
                error(("data.classes: a label is %s, expected a string or a number"):format(describe(label)), 2)
            end
            if not class[label] then
                class[label] = true
                names[#names + 1] = label
            end
        end
        table.sort(names, function(a, b)
            if type(a) ~= type(b) then return type(a) < type(b) end
            return a < b
        end)
    end
    class = {}
    for i, name in ipairs(names) do class[name] = i end
    for i, label in ipairs(labels) do
        out[i] = class[label]
        if not out[i] then error(("data.classes: label %d is '%s', which is no class"):format(i, tostring(label)), 2) end
    end
    return out, names
end

-- One tensor of rows of different length, zeros after their ends. A batch of empty rows is one column wide: no tensor
-- of the library's recurrent layers is empty.
local function padded(rows, where, before, after, names, dtype)
    local width, lengths, out = 1, {}, {}
    local float = dtype and dtype ~= "int64"
    for i, row in ipairs(rows) do
        if type(row) ~= "table" then
            error(("%s: entry %d is a %s, expected a list of ids"):format(where, i, type(row)), 3)
        end
        for j = 1, #row do
            if type(row[j]) ~= "number" or not (float or math.tointeger(row[j])) then
                error(("%s: entry %s has %s at place %d, expected %s"):format(where, names and names[i] or i,
                    describe(row[j]), j, float and "a number" or "an integer"), 3)
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
    return attn.tensor(out, {dtype = dtype or "int64"}), lengths
end

-- The same for lists of lists, `depth` deep below an example: the tensor, and for each depth the lengths of what is there.
local function padded_deep(rows, where, depth, names, dtype)
    local width, lengths = {}, {}
    for d = 1, depth do width[d] = 1 end
    local function measure(row, d, name)
        if type(row) ~= "table" then
            error(("%s: entry %s has %s where a list is expected"):format(where, name, describe(row)), 4 + d)
        end
        width[d] = math.max(width[d], #row)
        if d < depth then for _, inner in ipairs(row) do measure(inner, d + 1, name) end end
    end
    for i, row in ipairs(rows) do measure(row, 1, names[i]) end
    local function fill(row, d, list)
        list[d] = #row
        if d == depth then return (table.move(row, 1, #row, 1, {})) end
        local out, below = {}, {}
        for k = d + 1, depth do below[k] = {} end
        for j = 1, width[d] do
            local inner = {}
            out[j] = fill(row[j] or {}, d + 1, inner)
            for k = d + 1, depth do below[k][j] = inner[k] end
        end
        for k = d + 1, depth do list[k] = below[k] end
        return out
    end
    local out = {}
    for d = 1, depth do lengths[d] = {} end
    for i, row in ipairs(rows) do
        local list = {}
        out[i] = fill(row, 1, list)
        for d = 1, depth do lengths[d][i] = list[d] end
    end
    -- the innermost lists side by side
    local flat = {}
    local function gather(x, d)
        if d == depth then flat[#flat + 1] = x else for _, inner in ipairs(x) do gather(inner, d + 1) end end
    end
    for _, x in ipairs(out) do gather(x, 1) end
    local ids = padded(flat, where, nil, nil, nil, dtype)
    local size = {#rows}
    for d = 1, depth do size[d + 1] = width[d] end
    return ids:reshape(size), lengths
end

-- Tensors of the examples along a new first dimension; where their first sizes differ padded with zeros.
local function stacked(rows, same)
    if same then return attn.stack(rows, 1) end
    local width, lengths, out = 1, {}, {}
    for i, row in ipairs(rows) do
        lengths[i] = #row
        width = math.max(width, #row)
    end
    for i, row in ipairs(rows) do
        local size = row.shape
        size[1] = width - #row
        out[i] = size[1] == 0 and row or attn.cat({row, attn.zeros(size, {dtype = row.dtype})}, 1)
    end
    return attn.stack(out, 1), lengths
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

local function int64(list) return attn.tensor(list, {dtype = "int64"}) end

---The batch of the examples with these numbers.
---@param index integer[]
---@return table
function Batches:collate(index)
    for _, example in ipairs(index) do
        if math.type(example) ~= "integer" or example < 1 or example > self.count then
            error(("batches: example %s is outside 1..%d"):format(tostring(example), self.count), 2)
        end
    end
    local examples = {}
    if self.by_hand then
        for i, example in ipairs(index) do
            examples[i] = {index = example}
            for _, name in ipairs(self.names) do examples[i][name] = self.fields[name][example] end
        end
        local batch = self.by_hand(examples)
        if type(batch) ~= "table" then
            error(("batches: collate returned %s, expected a table"):format(describe(batch)), 2)
        end
        if batch.index == nil then batch.index = index end
        return batch
    end
    local batch = {index = index}
    for _, name in ipairs(self.names) do
        local all, kind, rows = self.fields[name], self.kinds[name], {}
        local where = "data.batches: field '" .. name .. "'"
        if kind.tensor then
            batch[name] = all[int64(index)]
        else
            for i, example in ipairs(index) do rows[i] = all[example] end
            local lengths
            if kind.tensors then
                batch[name], lengths = stacked(rows, kind.same)
            elseif kind.scalar then
                batch[name] = attn.tensor(rows, {dtype = kind.dtype})
            elseif kind.depth > 1 then
                local deep
                batch[name], deep = padded_deep(rows, where, kind.depth, index, kind.dtype)
                lengths = deep[1]
                for d = 2, kind.depth do batch[name .. "_lengths_" .. d] = int64(deep[d]) end
            else
                batch[name], lengths = padded(rows, where, nil, nil, index, kind.dtype)
                if self.shifted[name] then
                    batch[name .. "_in"] = padded(rows, where, self.bos)
                    batch[name .. "_out"] = padded(rows, where, nil, self.eos)
                end
            end
            if lengths then batch[name .. "_lengths"] = int64(lengths) end
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
    return function()                       -- its place is its own: another may run inside it
        local index = batches[position + 1]
        if not index then return nil end
        position = position + 1
        self.at, self.position = n, position
        return self:collate(index)
    end
end

---Where the epoch stands that gave the last batch, as a plain table for a checkpoint.
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
---@field records table[]? examples as tables by name; fields then says what is made of them (data.columns), nil: all their fields
---@field fields table<string, any>? name -> for each example a list of ids or numbers, a list of lists, a number, a truth value, a
---label (see classes) or a tensor; or one tensor whose first dimension counts the examples
---@field shift string[]? fields that also come with bos before and eos after
---@field bos integer?
---@field eos integer?
---@field size integer
---@field seed integer?
---@field shuffle boolean?
---@field by string? field whose length decides what is batched together
---@field classes table? fields of labels, or field -> its labels in the order of their classes
---@field dtypes table<string, string>? field -> dtype, of fields of numbers (default: int64 if the first is an integer, else float32)
---@field collate fun(examples: table[]): table makes the batch of a list of examples {field = value, index = number}

-- The first number of nested lists, and how deep it stands.
local function first_number(value, depth)
    if type(value) ~= "table" then return value, depth end
    for _, inner in ipairs(value) do
        local found, at = first_number(inner, depth + 1)
        if found ~= nil then return found, at end
    end
end

-- What a field of examples is: {tensor =, tensors =, same =, scalar =, depth =, dtype =, list = (its entries have lengths)}.
local function kind_of(name, values, dtype)
    if is_tensor(values) then return {tensor = true} end
    local kind = is_tensor(values[1]) and "tensor" or type(values[1])
    local integers, same, first = true, true, values[1]
    for i, value in ipairs(values) do
        local is = is_tensor(value) and "tensor" or type(value)
        if is ~= kind or kind ~= "table" and kind ~= "number" and kind ~= "boolean" and kind ~= "tensor" then
            error(("data.batches: field '%s': entry %d is a %s, expected %s"):format(name, i, is,
                kind == "number" and "a number" or kind == "table" and "a list of ids" or kind == "boolean" and "true or false"
                or kind == "tensor" and "a tensor" or "a list of ids or a number"), 4)
        end
        integers = integers and math.type(value) == "integer"
        if kind == "tensor" then
            local a, b = first.shape, value.shape
            same = same and table.concat(a, ",") == table.concat(b, ",")
            if first.dtype ~= value.dtype or #a ~= #b or table.concat(a, ",", 2) ~= table.concat(b, ",", 2) then
                error(("data.batches: field '%s': entry %d is %s, entry 1 %s: only the first size may differ"):format(name, i,
                    describe(value), describe(first)), 4)
            end
        end
    end
    if kind == "tensor" then return {tensors = true, same = same, list = #first.shape > 0} end
    if kind == "boolean" then return {scalar = true, dtype = dtype or "bool"} end
    if kind == "number" then return {scalar = true, dtype = dtype or integers and "int64" or "float32"} end
    local number, depth
    for _, value in ipairs(values) do
        number, depth = first_number(value, 0)
        if number ~= nil then break end
    end
    return {list = true, depth = depth or 1, dtype = dtype or math.type(number) == "float" and "float32" or "int64"}
end

-- Lists of examples by name, and their names in order.
local function read_lists(cfg)
    local names, values = {}, {}
    for name, list in pairs(cfg.fields) do
        if type(name) ~= "string" then
            error(("data.batches: fields has the key %s, expected names: {source = lists, target = lists}"):format(
                tostring(name)), 3)
        elseif type(list) ~= "table" and not (is_tensor(list) and list:dim() > 0) then
            error(("data.batches: field '%s' is %s, expected a list of examples"):format(name, describe(list)), 3)
        elseif name == "index" then
            error("data.batches: a field cannot be called 'index'", 3)
        end
        names[#names + 1] = name
        values[name] = list
    end
    table.sort(names)
    if #names == 0 then error("data.batches: fields is empty", 3) end
    return names, values
end

-- Labels become numbers in `values`; the lists of labels by field.
local function read_classes(cfg, values)
    local classes = {}
    for key, of in pairs(cfg.classes) do
        local name = type(key) == "string" and key or of
        if type(values[name]) ~= "table" or name ~= of and type(of) ~= "table" then
            error(("data.batches: classes names '%s', which is no field of labels"):format(tostring(name)), 3)
        end
        local ok, ids, list = pcall(m.classes, values[name], name ~= of and of or nil)
        if not ok then error(("data.batches: field '%s': %s"):format(name, (tostring(ids):gsub("^.-data%.classes: ", ""))), 3) end
        values[name], classes[name] = ids, list
    end
    return classes
end

-- What each field holds, and the number of examples, which all share.
local function read_kinds(cfg, names, values)
    local kinds, count = {}, nil
    for name in pairs(cfg.dtypes) do
        if not values[name] then error(("data.batches: dtypes names '%s', which is no field"):format(tostring(name)), 3) end
    end
    for _, name in ipairs(names) do
        local list = values[name]
        count = count or #list
        if #list ~= count then
            error(("data.batches: field '%s' has %d examples, field '%s' %d"):format(name, #list, names[1], count), 3)
        end
        if count == 0 then error(("data.batches: field '%s' has no examples"):format(name), 3) end
        if cfg.collate then     -- what the values are is its own affair
            kinds[name] = {list = type(list) == "table"}
            for i = 1, kinds[name].list and count or 0 do
                kinds[name].list = kinds[name].list and type(list[i]) == "table"
            end
        else
            kinds[name] = kind_of(name, list, cfg.dtypes[name])
        end
    end
    return kinds, count
end

-- The fields that are shifted, the one whose lengths order the batches, and another one of lists, if there is.
local function read_order(cfg, names, kinds)
    local shifted, by, second = {}, cfg.by, nil
    for _, name in ipairs(cfg.shift) do
        if cfg.collate or not kinds[name] or kinds[name].depth ~= 1 or kinds[name].dtype ~= "int64" then
            error(("data.batches: shift names '%s', which is no field of lists"):format(tostring(name)), 3)
        end
        shifted[name] = true
    end
    if by and not (kinds[by] and kinds[by].list) then
        error(("data.batches: by names '%s', which is no field of lists"):format(by), 3)
    end
    local lists = {}
    for _, name in ipairs(names) do
        if kinds[name].list then lists[#lists + 1] = name end
    end
    for _, name in ipairs(lists) do         -- what is read before what is written
        if not by and not shifted[name] then by = name end
    end
    by = by or lists[1]
    for _, name in ipairs(lists) do
        if name ~= by then second = second or name end
    end
    return shifted, by, second
end

---Batches of examples, as tensors.
---@param cfg BatchesConfig
---@return Batches
function m.batches(cfg)
    local records = type(cfg) == "table" and cfg.records ~= nil
    cfg = fields.read("data.batches", cfg, {{"records", "table"}, {"fields", "table", required = not records}, {"shift", "table", {}}, {"bos", "integer", 2},
        {"eos", "integer", 3}, {"size", "integer", required = true, least = 1}, {"seed", "integer", 1}, {"shuffle", "boolean", true},
        {"by", "string"}, {"classes", "table", {}}, {"dtypes", "table", {}}, {"collate", "function"}})
    if records then
        local spec = cfg.fields or {}
        if not cfg.fields then
            for name in pairs(cfg.records[1] or {}) do spec[name] = name end
        end
        cfg.fields = columns("data.batches", cfg.records, spec, 2)
    end
    local names, values = read_lists(cfg)
    local classes = read_classes(cfg, values)
    local kinds, count = read_kinds(cfg, names, values)
    local shifted, by, second = read_order(cfg, names, kinds)
    return setmetatable({fields = values, names = names, kinds = kinds, shifted = shifted, classes = classes, bos = cfg.bos,
        eos = cfg.eos, size = cfg.size, seed = cfg.seed, shuffle = cfg.shuffle, by = by, second = second and values[second],
        count = count, by_hand = cfg.collate, at = 0, position = 0, resume = false}, Batches)
end

---Batches of each part of a data set, those of `train` in an order by seed, the others as they stand.
---@param sets table<string, any> lists of records by the name of the part; what is no list of records is left out
---@param cfg BatchesConfig without records and shuffle
---@return table<string, Batches>
function m.parts(sets, cfg)
    if type(sets) ~= "table" or type(cfg) ~= "table" then
        error(("data.parts: sets is %s, cfg %s, expected tables"):format(describe(sets), describe(cfg)), 2)
    end
    local parts = {}
    for part, records in pairs(sets) do
        if type(records) == "table" and type(records[1]) == "table" then
            local one = {records = records, shuffle = part == "train"}
            for name, value in pairs(cfg) do one[name] = value end
            local ok, made = pcall(m.batches, one)
            if not ok then error(("data.parts: %s: %s"):format(part, tostring(made):match "data%.batches: (.*)" or made), 2) end
            parts[part] = made
        end
    end
    return parts
end

---Pictures moved, turned, scaled and cluttered: see data_augment.lua.
---@param images any uint8 or float [n, C, H, W]
---@param options? {canvas: integer, shift: integer, rotate: number, scale: number, clutter: integer, patch: integer, seed: integer}
---@return any images [n, C, canvas, canvas]
---@return any boxes int64 [n, 4]
function m.augment(images, options) return require "attn.data_augment".augment(m, images, options) end

-- Windows of a long text: what a language model reads and, a place further on, what it is to say.
local Windows = {__name = "windows"}
Windows.__index = Windows

function Windows:__len() return self.count end

function Windows:__tostring() return ("windows  %d of %d ids"):format(self.count, self.length) end

local function windows_at(self, starts)
    local x, y = {}, {}
    for i, start in ipairs(starts) do
        x[i], y[i] = self.ids:narrow(1, start, self.length), self.ids:narrow(1, start + 1, self.length)
    end
    return {x = attn.stack(x, 1), y = attn.stack(y, 1)}
end

---Windows that begin anywhere, a function of the seed and the step alone.
---@param step integer
---@return {x: any, y: any}
function Windows:draw(step)
    local draw, starts = m.random(self.seed, step), {}
    for i = 1, self.size do starts[i] = draw(self.ids:size(1) - self.length) end
    return windows_at(self, starts)
end

---Windows side by side in order: all, or `most` of them, evenly spaced.
---@return fun(): {x: any, y: any}?
function Windows:epoch()
    local next = 1
    return function()
        if next > self.count then return nil end
        local starts = {}
        for i = next, math.min(next + self.size - 1, self.count) do
            starts[#starts + 1] = (i - 1) * self.all // self.count * self.length + 1
        end
        next = next + #starts
        return windows_at(self, starts)
    end
end

---@param ids any int64 [n]
---@param cfg {length: integer, size: integer?, seed: integer?, most: integer?}
function m.windows(ids, cfg)
    if not is_tensor(ids) or ids:dim() ~= 1 then
        error(("data.windows: ids is %s, expected a tensor [n]"):format(describe(ids)), 2)
    end
    cfg = fields.read("data.windows", cfg, {{"length", "integer", required = true, least = 1}, {"size", "integer", 32, least = 1},
        {"seed", "integer", 1}, {"most", "integer", 0, least = 0}})
    if ids:size(1) <= cfg.length then
        error(("data.windows: ids has %d places, expected more than length (%d)"):format(ids:size(1), cfg.length), 2)
    end
    local all = (ids:size(1) - 1) // cfg.length
    return setmetatable({ids = ids, length = cfg.length, size = cfg.size, seed = cfg.seed, all = all,
        count = cfg.most == 0 and all or math.min(cfg.most, all)}, Windows)
end

attn.describe{name = "data.lines", signature = "lines(path) -> list of strings",
    help = "The lines of a text file, plain or gzip, without their ends.",
    example = 'local path = os.tmpname()\nio.open(path, "w"):write("a man\\na dog\\n"):close()\n'
        .. 'print(#require "attn.data".lines(path))\nos.remove(path)'}
attn.describe{name = "data.find", signature = "find(name [, folder]) -> path, or nil and why",
    help = "The path of a file or folder of the data directory (folder, or what --data DIR or $ATTN_DATA name), plain or gzip; nil\n"
        .. "and what is missing, and how to get it, if it is not there.",
    example = 'print(require "attn.data".find("multi30k/train.en", "no/such/folder"))'}
attn.describe{name = "data.path", signature = "path(name) -> path",
    help = "The path of a data set, in the folder given by --data DIR or $ATTN_DATA. An error says how to get it.",
    example = 'local data = require "attn.data"\nif data.find "multi30k" then print(data.path "multi30k") end'}
attn.describe{name = "data.random", signature = "random(seed [, stream]) -> draw",
    help = "A generator independent of attn.seed: draw(n) is an integer in 1..n, draw() a number in [0, 1).",
    example = 'local draw = require "attn.data".random(1); print(draw(6))'}
attn.describe{name = "data.shuffle", signature = "shuffle(list, draw) -> list",
    help = "Shuffles a list in place with a generator made by data.random.",
    example = 'local data = require "attn.data"; data.shuffle({1, 2, 3}, data.random(1))'}
attn.describe{name = "data.permutation", signature = "permutation(count, draw) -> list",
    help = "The numbers from 1 to count in random order, drawn from a generator made by data.random.",
    example = 'local data = require "attn.data"; data.permutation(5, data.random(1))'}
attn.describe{name = "data.split", signature = "split(list, fractions, seed = 1) -> list, list ...",
    help = "Divides a list at random, reproducibly, into one part for each fraction.",
    example = 'local train, test = require "attn.data".split({1, 2, 3, 4}, {0.75, 0.25}, 1)'}
attn.describe{name = "data.first", signature = "first(list, count) -> list",
    help = "The first entries of a list: all of them where there are no more than count, which may be math.huge.",
    example = 'require "attn.data".first({"a", "long", "review"}, 2)'}
attn.describe{name = "data.joined", signature = "joined(lists) -> list",
    help = "The entries of lists one after another, as one list: the words of a document of sentences.",
    example = 'require "attn.data".joined{{"a", "dog"}, {"it", "barks"}}'}
attn.describe{name = "data.made", signature = "made(count, seed, make(draw) -> example) -> list",
    help = "Examples that are made up: make is called count times with a generator (data.random) of its own seed.",
    example = 'local records = require "attn.data".made(4, 1, function(draw) return {words = {draw(9), draw(9)}, class = draw(2)} end)\n'
        .. 'print(#records, records[1].class)'}
attn.describe{name = "data.columns", signature = "columns(records, {NAME = \"field\" | function(record) | vocabulary}) -> {NAME = list}",
    help = "Records, those of a corpus, as fields of data.batches: each a field of the record, what a function makes of it, or the\n"
        .. "ids that a vocabulary has for the record's field of that name, be it a word, words or sentences.",
    example = 'local words = require "attn.text".vocabulary{{"a", "b"}}\n'
        .. 'require "attn.data".columns({{text = {"a", "b"}, label = 1}},\n'
        .. '    {text = words, class = "label", size = function(r) return #r.text end})'}
attn.describe{name = "data.parts", signature = "parts({train = records, test = records ...}, fields of data.batches) -> {train = batches, test = batches ...}",
    help = "data.batches of each part of a data set: the training examples in an order by seed, those of the other parts as they\n"
        .. "stand, so that the first batch begins with the first record. What is no list of records (the names of classes) is left out.",
    example = 'local data = require "attn.data"\n'
        .. 'local sets = {train = {{words = {"a"}, class = 1}, {words = {"b", "a"}, class = 2}}, test = {{words = {"a", "b"}, class = 2}}}\n'
        .. 'local words = require "attn.text".vocabulary(sets.train, {of = {"words"}})\n'
        .. 'local parts = data.parts(sets, {fields = {words = words, class = "class"}, size = 2, seed = 1})\n'
        .. 'for b in parts.train:epoch(1) do print(b.words, b.words_lengths, b.class) end'}
attn.describe{name = "data.pad", signature = "pad(lists) -> ids [B, T], lengths [B]",
    help = "One int64 tensor of lists of ids, padded with 0 to the longest (at least one column), and their lengths.",
    example = 'local ids, lengths = require "attn.data".pad{{5, 6, 7}, {8}}'}
attn.describe{name = "data.bytes", signature = "bytes(path) -> uint8 [n]",
    help = "The bytes of a file, plain or gzip.",
    example = 'local bytes = require "attn.data".bytes(arg[0])'}
attn.describe{name = "data.idx", signature = "idx(path) -> uint8 tensor",
    help = "An idx file of unsigned bytes (the format of MNIST), plain or gzip, with the sizes it says.",
    example = 'local path = os.tmpname()\nio.open(path, "wb"):write("\\0\\0\\8\\1\\0\\0\\0\\2\\7\\9"):close()\n'
        .. 'print(require "attn.data".idx(path))\nos.remove(path)'}
attn.describe{name = "data.mnist", signature = "mnist(folder, part = \"train\") -> images [n, 1, 28, 28], labels [n]",
    help = "The digits of MNIST: pictures as uint8 (:to \"float32\" / 255 is what a layer takes), labels as int64 from 1: the\n"
        .. "digit plus 1. part is \"train\" or \"test\". The folder has the four files train-... and t10k-..., plain or gzip.",
    example = 'local data = require "attn.data"\nif data.find "mnist" then local images, labels = data.mnist(data.path "mnist") end'}
attn.describe{name = "data.cifar", signature = "cifar(path or paths, {classes = 10}) -> images [n, 3, 32, 32], labels [n]",
    help = "Pictures (uint8) and labels (int64 from 1) of files in CIFAR-10's binary layout, or CIFAR-100's (classes = 100: the\n"
        .. "fine labels), plain or gzip.",
    example = 'local data, file = require "attn.data", "cifar10_subset/train_batch.bin.gz"\n'
        .. 'if data.find(file) then local images, labels = data.cifar(data.path(file)) end'}
attn.describe{name = "data.tsv", signature = "tsv(path, {header = false, columns =, ragged = false}) -> rows, names",
    help = "The rows of a file of tab-separated values, plain or gzip: lists of strings, or tables by name if the first line\n"
        .. "(header = true) or columns, a list, names the fields. All rows must have equally many, unless ragged.",
    example = 'local path = os.tmpname()\nio.open(path, "w"):write("1\\ta good film\\n2\\ta bad one\\n"):close()\n'
        .. 'print(require "attn.data".tsv(path, {columns = {"class", "text"}})[1].text)\nos.remove(path)'}
attn.describe{name = "data.classes", signature = "classes(labels [, names]) -> ids, names",
    help = "Labels (strings, or numbers) as classes that count from 1: their places in names, by default all labels that occur,\n"
        .. "sorted. A label that is not in names is an error.",
    example = 'local ids, names = require "attn.data".classes{"pos", "neg", "pos"}'}
attn.describe{name = "data.windows", signature = "windows(ids [n], {length =, size = 32, seed = 1, most = 0}) -> windows",
    help = "Windows of a long text for a language model: {x =, y =}, both [size, length], y a place further on than x. w:draw(step)\n"
        .. "begins anywhere, a function of seed and step alone, as train.loop takes it; w:epoch() gives them side by side, all\n"
        .. "or `most` of them, evenly spaced, the last batch perhaps smaller; #w is how many an epoch has.",
    example = 'local w = require "attn.data".windows(attn.arange(1, 100), {length = 8, size = 2})\n'
        .. 'for batch in w:epoch() do print(batch.x, batch.y) end'}
attn.describe{name = "data.batches",
    signature = "batches{fields = | records =, shift = {}, bos = 2, eos = 3, size =, seed = 1, shuffle = true, by =, classes = {}, "
        .. "dtypes = {}, collate =} -> batches",
    help = "Batches of examples. fields maps a name to what it is for each example, and a batch has for it\n"
        .. "  a list of ids or numbers    NAME [B, T], padded with 0, and NAME_lengths [B]; for a field in shift also\n"
        .. "                              NAME_in (bos first) and NAME_out (eos last)\n"
        .. "  a list of lists             NAME [B, S, T], NAME_lengths [B], NAME_lengths_2 [B, S], and so on deeper\n"
        .. "  a number, true or false     NAME [B]\n"
        .. "  a tensor                    NAME [B, ...]; if their first sizes differ padded, with NAME_lengths\n"
        .. "  a label, if classes has the field (classes = {\"label\"} or {label = {\"neg\", \"pos\"}})\n"
        .. "                              NAME [B] from 1; b.classes.NAME lists the labels\n"
        .. "or to one tensor whose first dimension counts the examples (NAME [B, ...]). With records, a list of examples as tables\n"
        .. "by name, fields is as data.columns has it, or left out: all fields of the records. Numbers are int64 if the first is an\n"
        .. "integer, else float32; dtypes = {NAME = ...} says otherwise. index lists the examples. collate =\n"
        .. "function(examples) makes the batch itself, of a list of {field = value, index = number}. Batches hold rows of\n"
        .. "similar length of the field `by` and come in an order that seed and epoch fix; shuffle = false keeps the order\n"
        .. "given. for batch in b:epoch(n); #b; b:collate(index); b:state(), b:load(state).",
    example = 'local b = require "attn.data".batches{fields = {source = {{4, 5}, {6}}}, size = 2}\n'
        .. 'for batch in b:epoch(1) do print(batch.source, batch.source_lengths) end'}

return m
