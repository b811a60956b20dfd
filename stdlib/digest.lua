-- digest: sixteen hexadecimal digits for a value and all it reaches, so that a result can be told from that of other code.
--
-- A function counts by what it does: its code without names and line numbers, and the values that it captures, functions and
-- modules of the script's own among them. So a comment, or what stands elsewhere in the file, changes nothing. The library,
-- Lua's functions and what is put in `opaque` count by being there, methods that the library gives a class not at all: a result is
-- none of another model because the library has learned something. Tensors count by type, shape and two sums; other userdata by
-- its class.
local attn = require "attn"

local m = {}

---Tables that are not looked into.
---@type table<table, true>
m.opaque = setmetatable({}, {__mode = "k"})

local standard = {}             -- names of globals that are not the script's
for name, value in next, _G do
    standard[name] = true
    if type(value) == "table" then m.opaque[value] = true end
end

-- The code of a function, from its bytecode (lundump.c of Lua 5.4): without lines, and without the places of what it captures,
-- which are registers of the function around it.
local function code(f)
    local dump = string.dump(f, true)
    local at, parts = 33, {}    -- after the header and the count of captured values
    local function size()
        local n, byte = 0, nil
        repeat
            byte = dump:byte(at)
            n, at = n << 7 | byte & 0x7F, at + 1
        until byte & 0x80 ~= 0
        return n
    end
    local function take(n)
        parts[#parts + 1] = dump:sub(at, at + n - 1)
        at = at + n
    end
    local function text()
        local n = size()
        parts[#parts + 1] = n .. ":"
        take(math.max(0, n - 1))
    end
    local function body(inner)
        text()
        size()
        size()
        take(3)
        local n = size()
        parts[#parts + 1] = "code" .. n
        take(4 * n)
        n = size()
        parts[#parts + 1] = "constants" .. n
        for _ = 1, n do
            local tag = dump:byte(at)
            take(1)
            if tag & 0x0F == 3 then take(8) elseif tag & 0x0F == 4 then text() end
        end
        n = size()
        parts[#parts + 1] = "captured" .. n
        if inner then take(3 * n) else at = at + 3 * n end
        n = size()
        parts[#parts + 1] = "functions" .. n
        for _ = 1, n do body(true) end
        for _ = 1, 4 do size() end      -- lines and names: stripped, so none
    end
    body(false)
    assert(at == #dump + 1, "digest: bytecode of an unknown form")
    return table.concat(parts)
end

local function of_library(f)
    local info = debug.getinfo(f, "S")
    return info.what == "C" or info.source:match "^=attn/" ~= nil
end

local function sum(text)
    local h = 0xcbf29ce484222325
    text = text .. ("\0"):rep(-#text % 8)
    for at = 1, #text, 8 do
        h = (h ~ string.unpack("<I8", text, at)) * 0x100000001b3
        h = h ~ h >> 29
    end
    return ("%016x"):format(h)
end

---@param ... any
---@return string
function m.of(...)
    local parts, seen, count = {}, {}, 0
    local function put(text) parts[#parts + 1] = text end
    local feed

    local function globals()
        local names = {}
        for name in next, _G do
            if not standard[name] and type(name) == "string" then names[#names + 1] = name end
        end
        table.sort(names)
        for _, name in ipairs(names) do
            put("global " .. name)
            feed(rawget(_G, name))
        end
    end

    local function fields(value, of_class)
        local keys, others = {}, 0
        for key, entry in next, value do
            if of_class and type(entry) == "function" and of_library(entry) then goto continue end
            if type(key) == "string" or type(key) == "number" or type(key) == "boolean" then
                keys[#keys + 1] = key
            else
                others = others + 1
            end
            ::continue::
        end
        table.sort(keys, function(a, b)
            if type(a) ~= type(b) then return type(a) < type(b) end
            if type(a) == "boolean" then return a and not b end
            return a < b
        end)
        put("{" .. others)
        for _, key in ipairs(keys) do
            feed(key)
            feed(rawget(value, key), key == "__index")
        end
        put("}")
        local meta = debug.getmetatable(value)
        if meta then feed(meta) end
    end

    local function tensor(value)
        put(("tensor %s %s"):format(value.dtype, table.concat(value.shape, ",")))
        local flat = value:detach():reshape(-1):to("float64")
        if #flat == 0 then return end
        feed(flat:sum():item())
        feed((flat * attn.arange(1, #flat):to("float64")):sum():item())
    end

    function feed(value, of_class)
        local kind = type(value)
        if kind == "number" then
            put(math.type(value) == "integer" and "i" .. value or ("f%a"):format(value))
        elseif kind == "string" then
            put("s" .. #value .. ":" .. value)
        elseif kind == "nil" or kind == "boolean" then
            put(tostring(value))
        elseif seen[value] then
            put("seen " .. seen[value])
        else
            count = count + 1
            seen[value] = count
            if value == _G then
                globals()
            elseif kind == "function" then
                if of_library(value) then
                    put "library"
                else
                    put(code(value))
                    for i = 1, debug.getinfo(value, "u").nups do
                        local _, captured = debug.getupvalue(value, i)
                        feed(captured)
                    end
                end
            elseif kind == "table" and not m.opaque[value] then
                fields(value, of_class)
            else
                local meta = debug.getmetatable(value)
                local class = type(meta) == "table" and rawget(meta, "__name")
                if kind == "userdata" and class == "attn.tensor" then tensor(value) else put(kind .. " " .. tostring(class)) end
            end
        end
    end

    for name, value in next, package.loaded do
        if type(value) == "table" and (name == "attn" or type(name) == "string" and name:match "^attn%.") then m.opaque[value] = true end
    end
    for i = 1, select("#", ...) do feed((select(i, ...))) end
    return sum(table.concat(parts, "\0"))
end

return m
