-- session: what the interactive prompt (vm/repl.c) shows: values as text, help, memory. Completion is complete.lua's.
require "attn"
local names = require "attn.names"
local session = {}

local getmetatable, rawget, rawlen, next, type, tostring = debug.getmetatable, rawget, rawlen, next, type, tostring
local math, string, table, utf8 = math, string, table, utf8
local loaded = package.loaded

local DEPTH, ENTRIES, WIDTH, TEXT = 3, 40, 76, 200

-- ---- values as text ----

local escapes = {["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\""] = "\\\"", ["\\"] = "\\\\"}

-- A literal of s; text that is UTF-8 stays readable, control characters never reach the terminal.
local function quote(s)
    local rest = ""
    if #s > TEXT then
        rest = (" --[[ %d bytes more ]]"):format(#s - TEXT)
        s = s:sub(1, TEXT)
    end
    local pattern = utf8.len(s) and "[%c\"\\]" or "[%c\"\\\128-\255]"
    return "\"" .. s:gsub(pattern, function(c)
        return escapes[c] or ("\\%03d"):format(c:byte())
    end) .. "\"" .. rest
end

-- Colours of values by type; empty until session.colour.
local ink = {}

local function coloured(text, kind) return ink[kind] and ink[kind] .. text .. "\27[0m" or text end

---Whether values are shown in colour.
---@param on boolean
function session.colour(on)
    ink = on and {string = "\27[32m", number = "\27[36m", boolean = "\27[35m", ["nil"] = "\27[35m", ["function"] = "\27[34m"} or {}
end

local function by_tostring(value)
    local ok, text = pcall(tostring, value)
    return ok and text or ("(error in __tostring: %s)"):format(tostring(text))
end

local function short(value)
    if type(value) == "string" then return quote(value) end
    local text = by_tostring(value)
    local line = text:match("^[^\n]*")
    if #line > 60 then line = line:sub(1, 57) .. "..." end
    if type(value) == "userdata" or line == text then return line end       -- a tensor's first line says it all
    return line .. " ..."
end

local rank = {string = 1, number = 2, boolean = 3}

-- Names, then the list as it stands, then other numbers.
local function key_order(a, b, list)
    local x, y = rank[type(a)] or 4, rank[type(b)] or 4
    local in_a = math.type(a) == "integer" and a >= 1 and a <= list
    local in_b = math.type(b) == "integer" and b >= 1 and b <= list
    if x == 2 and y == 2 and in_a ~= in_b then return in_a end
    if x ~= y then return x < y end
    if x <= 2 then return a < b end
    return tostring(a) < tostring(b)
end

-- The pieces between the braces of t, at most ENTRIES: strings, then the list part, then the rest.
local function entries(t, depth, above, format)
    local count, keys, list = 0, {}, rawlen(t)
    for key in next, t do
        count = count + 1
        keys[count] = key
    end
    table.sort(keys, function(a, b) return key_order(a, b, list) end)
    local pieces = {}
    for i = 1, math.min(count, ENTRIES) do
        local key = keys[i]
        local text = format(rawget(t, key), depth + 1, above)
        if math.type(key) == "integer" and key >= 1 and key <= list and i > 1 and math.type(keys[i - 1]) == "integer"
            and keys[i - 1] == key - 1 or key == 1 then
            pieces[i] = text
        elseif type(key) == "string" and names.is_name(key) then
            pieces[i] = key .. " = " .. text
        else
            pieces[i] = ("[%s] = %s"):format(short(key), text)
        end
    end
    if count > ENTRIES then pieces[#pieces + 1] = ("... %d more"):format(count - ENTRIES) end
    return pieces
end

-- Whether a value is shown entry by entry: a table that does not say itself what it is.
local function is_open(value)
    local meta = type(value) == "table" and getmetatable(value)
    return type(value) == "table" and not (type(meta) == "table" and rawget(meta, "__tostring") ~= nil)
end

local function format(value, depth, above)
    if not is_open(value) then return coloured(short(value), type(value)) end
    if above[value] then return "<cycle>" end
    if next(value) == nil then return "{}" end
    if depth > DEPTH then return "{...}" end
    above[value] = true
    local pieces = entries(value, depth, above, format)
    above[value] = nil
    local width = 2
    for _, piece in ipairs(pieces) do
        width = width + utf8.len((piece:gsub("\27%[[%d;]*m", "")), 1, -1, true) + 2
        if piece:find("\n", 1, true) then width = math.huge end
    end
    if width + 4 * (depth - 1) <= WIDTH then return "{" .. table.concat(pieces, ", ") .. "}" end
    local indent = (" "):rep(4 * depth)
    return "{\n" .. indent .. table.concat(pieces, ",\n" .. indent) .. "\n" .. indent:sub(5) .. "}"
end

---A value as the prompt prints it: a string as it is, a table as Lua would write it, all else by tostring.
---@param value any
---@return string
function session.format(value)
    if is_open(value) then return format(value, 1, {}) end
    -- control bytes but line ends and tabs never reach the terminal
    local text = by_tostring(value):gsub("[\0-\8\11-\31\127]", function(c) return ("\\%03d"):format(c:byte()) end)
    return coloured(text, type(value))
end

---Called when the session begins.
function session.begin() require "attn.undeclared".session() end

---Called when an entry has run.
---@param good boolean it came to its end
function session.ended(good) require "attn.undeclared".entry_ended(good) end

session.before = ""       -- the lines above, while an entry of several is read

---What Tab adds to a line: complete.lua.
---@param line string what stands before the cursor
---@return string? addition
---@return string? choices
function session.complete(line) return require "attn.complete"(session.before .. line, session.entries) end

-- ---- commands ----

-- What a dotted name or object:method stands for in the session; nil if it is no variable of it.
local function variable(name)
    local value, method = rawget(_G, name:match "^[%a_][%w_]*" or ""), name:match ":([%a_][%w_]*)$"
    for part in name:gmatch "%.([%a_][%w_]*)" do
        if value == nil then return nil end
        local ok, field = pcall(function() return value[part] end)
        value = ok and field or nil
    end
    return value, method
end

---?name, ?variable, ?object:method
---@param name string
function session.help(name)
    name = name:match "^%s*(.-)%s*$"
    local help = require "attn.help"
    local value, method = variable(name)
    if value == nil or value == loaded.attn or name:find "^attn%." then
        help.show(name)
        return
    end
    local meta = getmetatable(value)
    local class = type(meta) == "table" and rawget(meta, "__name")
    if class == "attn.tensor" then
        if method then help.show(help.entries()["tensor:" .. method] and "tensor:" .. method or method) else print(session.format(value)) help.show "tensors" end
    elseif type(value) == "userdata" then
        local kind = tostring(value):match "^[%w_.]+"
        local entries = help.entries()
        for _, candidate in ipairs{"layer." .. tostring(kind), "optim." .. tostring(kind), kind} do
            if entries[candidate] then
                help.show(candidate)
                return
            end
        end
        print(session.format(value))
    else
        print(type(value) == "function" and "a function of the session" or session.format(value))
    end
end

function session.bytes(n)
    local units, i = {"B", "KiB", "MiB", "GiB", "TiB"}, 1
    while n >= 1024 and i < #units do n, i = n / 1024, i + 1 end
    return (i == 1 and "%d %s" or "%.1f %s"):format(n, units[i])
end

local standard = {}       -- globals that were there before the session
for name in next, _G do standard[name] = true end

---:who: the names of the session, what they are, and how large
---@return string
function session.who()
    local list, lines, wide = {}, {}, 4
    for name in next, _G do
        if type(name) == "string" and not standard[name] and name ~= "_" and name ~= "attn" then
            list[#list + 1] = name
            wide = math.max(wide, #name)
        end
    end
    table.sort(list)
    for i, name in ipairs(list) do
        local value = rawget(_G, name)
        local meta = getmetatable(value)
        local class = type(value) == "userdata" and type(meta) == "table" and rawget(meta, "__name")
        local text
        if class == "attn.tensor" then
            local width = ({float64 = 8, int64 = 8, float32 = 4})[value.dtype] or 1
            text = ("tensor    %s %s  %s"):format(value.dtype, tostring(value.shape), session.bytes(value:numel() * width))
        elseif type(value) == "function" then
            text = "function"
        else
            text = ("%-9s %s"):format(type(value) == "userdata" and "object" or type(value), short(value))
        end
        lines[i] = ("%-" .. wide .. "s  %s"):format(name, text)
    end
    return #lines > 0 and table.concat(lines, "\n") or "no names yet"
end

---:prof: prints the profile of a call and returns what it returned
---@param fn function
function session.profile(fn, ...)
    local results = table.pack(require "attn".profile(fn, ...))
    print(results[1])
    return table.unpack(results, 2, results.n)
end

---:mem
---@return string
function session.memory()
    local text = "Lua " .. session.bytes(math.floor(collectgarbage("count") * 1024))
    local attn = loaded.attn
    if type(attn) == "table" and attn.memory then
        local m = attn.memory()
        text = ("%s   tensors %s live, %s peak, %s budget"):format(text, session.bytes(m.live), session.bytes(m.peak), session.bytes(m.budget))
    end
    return text
end

return session
