-- whole: files that are written whole or not at all, and values as JSON has them.
local attn = require "attn"

local m = {}

---A whole file or none: a process that dies while writing leaves the old one. nil and why if it cannot be written.
---@param path string
---@param content string
---@return true?
---@return string? why
function m.write(path, content)
    local temporary = path .. ".tmp"
    local file, why = io.open(temporary, "wb")
    local ok = file ~= nil
    if file then
        ok, why = file:write(content)
        if ok then
            ok, why = file:close()
        else
            file:close()
        end
    end
    if ok then ok, why = os.rename(temporary, path) end
    if ok then return true end
    os.remove(temporary)
    return nil, why
end

---Numbers and bytes that JSON has not become words.
---@param value any
---@return any
function m.plain(value)
    if value ~= value then return "nan" end
    if type(value) == "number" and math.abs(value) == math.huge then return tostring(value) end
    if type(value) == "table" then
        local copy = {}
        for name, entry in pairs(value) do copy[name] = m.plain(entry) end
        return copy
    elseif type(value) == "string" and not utf8.len(value) then
        return (value:gsub("[\x80-\xFF]", "?"))
    end
    return value
end

local words = {nan = 0 / 0, inf = math.huge, ["-inf"] = -math.huge}

---The number that `plain` made a word of; nil if it is none.
---@param value any
---@return number?
function m.number(value)
    if type(value) == "number" then return value end
    return words[value]
end

---What a JSON file holds; nil if it is not there or not whole.
---@param path string
---@return any
function m.read_json(path)
    local file = io.open(path, "rb")
    local content = file and file:read("a")
    if file then file:close() end
    if not content then return nil end
    local ok, value = pcall(attn.json.decode, content)
    if ok then return value end
end

---Makes a folder and those above it.
---@param path string
function m.folder(path)
    for at in path:gmatch("()/") do
        if at > 1 then attn.mkdir(path:sub(1, at - 1)) end
    end
    attn.mkdir(path)
end

return m
