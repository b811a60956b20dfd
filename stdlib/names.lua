-- names: what may stand behind a value, x.NAME and x:NAME, for completion and for hints. Nothing of the script's is run: tables are read
-- raw and an __index is followed only where it is a table. The names behind an __index function are those of the library's own values:
-- registry["attn.methods"][metatable name] has the methods of tensors, and where it is a function of C that keeps a table of methods as its
-- first upvalue (layers, optimizers), that has them.
local attn = require "attn"
local internal = require "attn.internal"

local names = {}

local getmetatable, rawget, next, type = debug.getmetatable, rawget, next, type
local registry = debug.getregistry()

local lazy = {}         -- modules that attn.NAME loads
for _, name in ipairs(internal.named_modules()) do lazy[name] = true end

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
    until while]]):gmatch("%a+") do keywords[word] = true end
names.keywords = keywords

---Whether a string can be written as a name.
function names.is_name(s) return s:find("^[%a_][%w_]*$") and not keywords[s] end

-- What kinds of values have besides methods.
names.fields = {tensor = {"shape", "dtype", "grad", "requires_grad"}, layer = {"dtype", "training"}, optimizer = {"lr", "params"}}

local records

---The records of all kinds of layers, as attn.layers() lists them, by name.
function names.records()
    if not records then
        records = {}
        for _, record in ipairs(attn.layers()) do records[record.name] = record end
    end
    return records
end

---The record of a layer.
---@return table?
function names.record(layer)
    local name = internal.title(layer)
    return names.records()[name] or names.records()["layer." .. name]
end

local function add_table(set, t, colon)
    for key, field in next, t do
        if type(key) == "string" and names.is_name(key) and (not colon or type(field) == "function") then set[key] = true end
    end
end

-- The methods that the library lists for a class of its values, by name or one behind the other.
local function add_methods(set, methods)
    for key, name in next, methods do
        if type(key) == "string" then set[key] = true elseif type(name) == "string" then set[name] = true end
    end
end

-- The names that a record adds to those of all layers: methods, and what it was configured with.
local function add_record(set, record, colon)
    for _, method in ipairs(record.methods) do set[method.name] = true end
    for _, field in ipairs(colon and {} or record.fields) do
        if field.kind ~= "table" and field.kind ~= "value" then set[field.name] = true end
    end
end

---Adds to `set` the names behind an instance of a kind of layers that is not there yet.
function names.of_record(set, record, colon)
    add_table(set, registry["attn.protocol"] or {}, colon)
    add_record(set, record, colon)
end

---Adds those of a tensor.
function names.of_tensor(set, colon)
    add_methods(set, registry["attn.methods"]["attn.tensor"])
    for _, name in ipairs(colon and {} or names.fields.tensor) do set[name] = true end
end

local function add(set, value, colon, depth)
    local kind = internal.kind(value)
    if type(value) == "table" then add_table(set, value, colon) end
    for _, name in ipairs(not colon and names.fields[kind] or {}) do set[name] = true end
    if value == attn then
        for name in next, lazy do set[name] = true end
    elseif kind == "layer" then
        add_record(set, names.record(value), colon)
        for _, member in ipairs(colon and {} or internal.inner(value)) do
            if names.is_name(member[1]) then set[member[1]] = true end
        end
    elseif kind == "module" then
        local fields, _, class = internal.fields(value)
        add_table(set, fields, colon)
        add(set, class, colon, depth + 1)
    end
    local meta = getmetatable(value)
    if type(meta) ~= "table" or depth > 10 then return set end
    local methods = registry["attn.methods"]
    local known = type(methods) == "table" and rawget(methods, rawget(meta, "__name"))
    if type(known) == "table" then add_methods(set, known) end
    local index = rawget(meta, "__index")
    if type(index) == "function" and debug.getinfo(index, "S").what == "C" then
        local _, methods_of = debug.getupvalue(index, 1)
        if type(methods_of) == "table" then add_methods(set, methods_of) end
    end
    if type(index) == "table" then add(set, index, colon, depth + 1) end
    return set
end

---What may follow a value; for a colon only functions.
---@return table<string, boolean> set
function names.of(value, colon) return add({}, value, colon, 0) end

---Every name that is a method of one of the library's values.
function names.methods()
    local set = {}
    add_table(set, registry["attn.protocol"] or {})
    for _, methods in next, registry["attn.methods"] do add_methods(set, methods) end
    for _, record in next, names.records() do add_record(set, record, true) end
    for name in pairs(internal.docs()) do
        local method = name:match ":([%w_]+)$"
        if method then set[method] = true end
    end
    return set
end

---value[key] where nothing of the script's has to run for it, else nil.
function names.field(value, key)
    for _ = 1, 10 do
        local kind = internal.kind(value)
        if kind == "layer" or kind == "tensor" and (type(key) == "number" or key == "grad" or key == "shape") then
            local ok, field = pcall(function() return value[key] end)       -- the library's own
            return ok and field or nil
        elseif kind == "module" then
            local fields, _, class = internal.fields(value)
            if fields[key] ~= nil then return fields[key] end
            value = class
        end
        if type(value) == "table" then
            local field = rawget(value, key)
            if field ~= nil then return field end
            if value == attn and lazy[key] then return select(2, pcall(require, "attn." .. key)) end
        end
        local meta = getmetatable(value)
        value = type(meta) == "table" and rawget(meta, "__index") or nil
        if type(value) ~= "table" then return nil end
    end
end

---Sorted list of a set.
function names.list(set)
    local list = {}
    for name in next, set do
        if type(name) == "string" then list[#list + 1] = name end
    end
    table.sort(list)
    return list
end

return names
