-- fields: configuration tables read by a list of known fields, as the C constructors do it: an unknown field, a missing
-- one or one of the wrong type is an error that names the field. A string is never a number, 2.5 never an integer.
-- Used by the other modules of the library; scripts that offer a constructor of their own may use it too.
local attn = require "attn"
local internal = require "attn.internal"

local m = {}

---The names in a table, sorted.
---@param t table<string, any>
---@return string[]
function m.names(t)
    local list = {}
    for name in pairs(t) do list[#list + 1] = name end
    table.sort(list)
    return list
end

---The entry of `words` that `word` was probably meant to be, or nil.
---@param word string
---@param words string[]
---@return string?
function m.nearest(word, words)
    local best, least
    for _, candidate in ipairs(words) do
        local far = internal.misspelling(word, candidate)
        if far and (not best or far < least) then best, least = candidate, far end
    end
    return best
end

---" (did you mean 'x'?)" for a message, or an empty string.
---@param word any
---@param words string[]
---@return string
function m.suggest(word, words)
    local near = type(word) == "string" and m.nearest(word, words)
    return near and (" (did you mean '%s'?)"):format(near) or ""
end

local article = {integer = "an integer", any = "a value"}

---"a table", "nil", "2.5", "a layer", "float32 [2, 3]": a value for a message.
---@param value any
---@return string
function m.describe(value)
    if type(value) == "number" then return tostring(value) end
    if value == nil then return "nil" end
    local kind = internal.kind(value)
    if kind == "tensor" then return ("%s [%s]"):format(value.dtype, table.concat(value.shape, ", ")) end
    kind = kind or type(value)
    return (kind:find "^[aeiou]" and "an " or "a ") .. kind
end
local describe = m.describe

-- The first of the methods that the value has not.
local function lacking(value, methods)
    for _, name in ipairs(methods) do
        local ok, method = pcall(function() return value[name] end)
        if not ok or type(method) ~= "function" then return name end
    end
end

---One value of a kind: "integer", "number", "string", "boolean", "table", "function" (anything callable), "any".
---Returns the value (an integral float becomes an integer) or nil.
local function convert(value, kind)
    if kind == "any" then return value end
    if kind == "integer" then
        return type(value) == "number" and math.tointeger(value) or nil
    elseif kind == "function" then
        local meta = getmetatable(value)
        if type(value) == "function" or type(meta) == "table" and meta.__call then return value end
        return nil
    elseif type(value) == kind then
        return value
    end
end

---Reads a configuration table.
---@param where string the function that reads it, for messages
---@param cfg table
---@param known table[] {name, kind, default, required =, least =, above =, most =, choices =, methods =, expected =} each
---@param level? integer stack level the error points at, as in `error` (default: the caller of the caller)
---@return table read a new table with every field, defaults filled in
function m.read(where, cfg, known, level)
    level = (level or 2) + 1
    if type(cfg) ~= "table" then
        error(("%s: argument is %s, expected a table of fields"):format(where, describe(cfg)), level)
    end
    local read, names = {}, {}
    for i, field in ipairs(known) do names[i] = field[1] end
    for name in pairs(cfg) do
        local is_known = false
        for i = 1, #names do is_known = is_known or names[i] == name end
        if not is_known then
            error(("%s: unknown field '%s' (known: %s)%s"):format(where, tostring(name), table.concat(names, ", "),
                m.suggest(name, names)), level)
        end
    end
    for _, field in ipairs(known) do
        local name, kind = field[1], field[2]
        local expected = field.expected or article[kind] or "a " .. kind
        local value = cfg[name]
        if value == nil then
            if field.required then
                error(("%s: field '%s' is missing, expected %s"):format(where, name, expected), level)
            end
            read[name] = field[3]
        else
            local good = convert(value, kind)
            if good == nil then
                error(("%s: %s is %s, expected %s"):format(where, name, describe(value), expected), level)
            end
            local method = field.methods and lacking(good, field.methods)
            if method then
                error(("%s: %s is %s without a method '%s', expected %s"):format(where, name, describe(value), method, expected),
                    level)
            end
            if kind == "number" and good ~= good then error(("%s: %s is NaN"):format(where, name), level) end
            if field.least and good < field.least then
                error(("%s: %s is %s, expected at least %s"):format(where, name, good, field.least), level)
            elseif field.above and good <= field.above then
                error(("%s: %s is %s, expected more than %s"):format(where, name, good, field.above), level)
            elseif field.most and good > field.most then
                error(("%s: %s is %s, expected at most %s"):format(where, name, good, field.most), level)
            end
            if field.choices then
                local ok
                for _, choice in ipairs(field.choices) do ok = ok or choice == good end
                if not ok then
                    error(("%s: %s is '%s', expected one of %s%s"):format(where, name, good,
                        table.concat(field.choices, ", "), m.suggest(good, field.choices)), level)
                end
            end
            read[name] = good
        end
    end
    return read
end

attn.describe{name = "fields.read", signature = "read(where, cfg, known [, level]) -> table",
    help = "Reads the configuration table cfg of the function named `where`. known lists its fields as {name,\n"
        .. "kind, default, required =, least =, above =, most =, choices =, methods =, expected =}; kinds are\n"
        .. "integer, number, string, boolean, table, function, any; methods lists those an object must have, expected\n"
        .. "is what a message calls it. An unknown, missing or mistyped field is an error that names it.\n"
        .. "Returns a new table with the defaults filled in.",
    example = 'local cfg = require "attn.fields".read("ring", {size = 4}, {{"size", "integer", least = 1}})'}
attn.describe{name = "fields.nearest", signature = "nearest(word, words) -> string or nil",
    help = "The entry of the list words that word was probably meant to be (edit distance), or nil if none is near.",
    example = 'require "attn.fields".nearest("adative", {"additive", "dot"})'}

attn.describe{name = "fields.describe", signature = "describe(value) -> string",
    help = "A value for a message: \"a table\", \"nil\", \"2.5\", \"a layer\", \"float32 [2, 3]\".",
    example = 'require "attn.fields".describe(attn.ones(2))'}
attn.describe{name = "fields.suggest", signature = "suggest(word, words) -> string",
    help = "\" (did you mean 'x'?)\" for the entry x of words that word was probably meant to be, or an empty string.",
    example = 'require "attn.fields".suggest("adative", {"additive", "dot"})'}

return m
