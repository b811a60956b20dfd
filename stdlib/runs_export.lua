-- runs_export: the metrics of runs for other programs: CSV, and the event files that TensorBoard reads.
--
-- An event file is a list of records: length (8 bytes), its checksum, a message, its checksum. The message is an Event
-- of protocol buffers: wall_time = 1 (double), step = 2 (varint), file_version = 3 (string, of the first one) or summary
-- = 5, with values = 1 each, of tag = 1 (string) and simple_value = 2 (float). Checksums are CRC-32C, turned and moved so
-- that the checksum of data with checksums inside is no trap.
local attn = require "attn"
local fields = require "attn.fields"
local whole = require "attn.whole"

local m = {}

local crc_table = {}
for byte = 0, 255 do
    local x = byte
    for _ = 1, 8 do x = x & 1 == 1 and x >> 1 ~ 0x82F63B78 or x >> 1 end
    crc_table[byte] = x
end

---CRC-32C (Castagnoli) of bytes.
---@param bytes string
---@return integer
function m.crc32c(bytes)
    local x = 0xFFFFFFFF
    for i = 1, #bytes do x = x >> 8 ~ crc_table[(x ~ bytes:byte(i)) & 255] end
    return x ~ 0xFFFFFFFF
end

local function checksum(bytes)
    local x = m.crc32c(bytes)
    return string.pack("<I4", ((x >> 15 | x << 17) & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF)
end

local function framed(message)
    local length = string.pack("<I8", #message)
    return length .. checksum(length) .. message .. checksum(message)
end

local function varint(n)
    local bytes = {}
    repeat
        local rest = n >> 7
        bytes[#bytes + 1] = string.char(n & 127 | (rest ~= 0 and 128 or 0))
        n = rest
    until n == 0
    return table.concat(bytes)
end

-- Field `number` of bytes (wire type 2).
local function field(number, bytes) return string.char(number << 3 | 2) .. varint(#bytes) .. bytes end

local function event(time, rest) return framed("\x09" .. string.pack("<d", time) .. rest) end

---The bytes of an event file.
---@param started number seconds since 1970
---@param records {step: integer, seconds: number, values: table<string, number>}[]
---@return string
function m.events(started, records)
    local parts = {event(started, field(3, "brain.Event:2"))}
    for _, record in ipairs(records) do
        local values = {}
        for i, name in ipairs(fields.names(record.values)) do
            values[i] = field(1, field(1, name) .. "\x15" .. string.pack("<f", record.values[name]))
        end
        parts[#parts + 1] = event(started + record.seconds,
            "\x10" .. varint(record.step) .. field(5, table.concat(values)))
    end
    return table.concat(parts)
end

-- Seconds since 1970 of "2026-11-21T22:40:32Z"; 0 if it is none.
local function epoch(text)
    local y, month, d, h, min, s = tostring(text):match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)Z$"
    if not y then return 0 end
    y, month = tonumber(y), tonumber(month)
    if month <= 2 then y, month = y - 1, month + 12 end
    local days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * (month - 3) + 2) // 5 + tonumber(d) - 719469
    return ((days * 24 + tonumber(h)) * 60 + tonumber(min)) * 60 + tonumber(s)
end

-- The records of a run or loop that have a step, in order: {split =, step =, seconds =, values =}.
local function measured(records)
    local out = {}
    for _, record in ipairs(records) do
        local step = record.event == nil and math.tointeger(record.step)
        if step then
            local one = {split = tostring(record.split or ""), step = step,
                seconds = whole.number(record.seconds) or 0, values = {}}
            for name, value in pairs(record) do
                if name ~= "step" and name ~= "seconds" then one.values[name] = whole.number(value) end
            end
            if next(one.values) then out[#out + 1] = one end
        end
    end
    return out
end

local function cell(value)
    if math.type(value) == "float" then return value ~= value and "nan" or ("%.9g"):format(value) end
    value = tostring(value)
    return value:find "[\",\r\n]" and '"' .. value:gsub('"', '""') .. '"' or value
end

---Curves as CSV: run, loop, split, step, seconds, and a column for each measure.
---@param curves {run: string, loop: string?, records: table[]}[]
---@return string
function m.csv(curves)
    local known, lines = {}, {}
    for _, c in ipairs(curves) do
        for _, one in ipairs(measured(c.records)) do
            for name in pairs(one.values) do known[name] = true end
        end
    end
    local names = fields.names(known)
    local head = {"run", "loop", "split", "step", "seconds"}
    for i, name in ipairs(names) do head[5 + i] = cell(name) end
    lines[1] = table.concat(head, ",")
    for _, c in ipairs(curves) do
        for _, one in ipairs(measured(c.records)) do
            local row = {cell(c.run), cell(c.loop or ""), cell(one.split), one.step, cell(one.seconds)}
            for i, name in ipairs(names) do row[5 + i] = one.values[name] and cell(one.values[name]) or "" end
            lines[#lines + 1] = table.concat(row, ",")
        end
    end
    return table.concat(lines, "\n") .. "\n"
end

---Writes an event file for each split of each curve: FOLDER/RUN[/LOOP]/SPLIT/events.out.tfevents.SECONDS.attn.
---@param curves {run: string, loop: string?, started: string, records: table[]}[]
---@param folder string
---@return string[] paths
function m.tensorboard(curves, folder)
    local paths = {}
    for _, c in ipairs(curves) do
        local splits, order = {}, {}
        for _, one in ipairs(measured(c.records)) do
            local split = one.split:gsub("[^%w_.-]", "_"):gsub("^%.+", "_")
            if split == "" then split = "metrics" end
            if not splits[split] then
                splits[split] = {}
                order[#order + 1] = split
            end
            table.insert(splits[split], one)
        end
        local started = epoch(c.started)
        for _, split in ipairs(order) do
            local at = table.concat({folder, c.run, c.loop or split, c.loop and split}, "/")
            whole.folder(at)
            local path = ("%s/events.out.tfevents.%d.attn"):format(at, started)
            local ok, why = whole.write(path, m.events(started, splits[split]))
            if not ok then error(why, 0) end
            paths[#paths + 1] = path
        end
    end
    return paths
end

return m
