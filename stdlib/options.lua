-- options: the options of a script, read from the command line; run.options and run.start are made of it.
--
-- Options are one table of names and defaults, tables in it groups; a file (--config) and the command line override
-- them, typed by the defaults. What came from where is kept for --print-config.
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

-- An error of whoever typed the command, not of the script: shown without the way through the script that led there.
local Failure = {__name = "failure", __tostring = function(e) return e.message end}
function Failure.__concat(a, b) return tostring(a) .. tostring(b) end

local function fail(message) error(setmetatable({message = message}, Failure), 0) end

local function is_group(value)
    if type(value) ~= "table" then return false end
    local name = next(value)
    return type(name) == "string"
end

local function text(value)
    if type(value) == "table" then
        local parts = {}
        for i, entry in ipairs(value) do parts[i] = tostring(entry) end
        return table.concat(parts, ",")
    end
    return value == "" and '""' or tostring(value)
end

-- A word of the command line as a value of the kind of the default; nil and what was expected when it is none.
local function convert(word, default)
    if math.type(default) == "integer" then
        local n = tonumber(word)
        return n and math.tointeger(n), "an integer"
    elseif type(default) == "number" then
        local n = tonumber(word)
        return n and n + 0.0, "a number"
    elseif type(default) == "boolean" then
        local value = ({["true"] = true, ["false"] = false})[word]
        return value, "true or false"
    elseif type(default) == "table" then
        local list = {}
        if word == "" then return list end
        for part in (word .. ","):gmatch("([^,]*),") do
            local value, expected = convert(part, default[1] == nil and "" or default[1])
            if value == nil then return nil, expected .. " (a list, separated by commas)" end
            list[#list + 1] = value
        end
        return list
    end
    return word
end

-- A value of a JSON file, likewise.
local function accept(value, default)
    if math.type(default) == "integer" then
        return type(value) == "number" and math.tointeger(value) or nil, "an integer"
    elseif type(default) == "number" then
        return type(value) == "number" and value + 0.0 or nil, "a number"
    elseif type(default) == "table" then
        if type(value) ~= "table" or is_group(value) then return nil, "a list" end
        local list = {}
        for i, entry in ipairs(value) do
            local good, expected = accept(entry, default[1] == nil and "" or default[1])
            if good == nil then return nil, "a list of which each entry is " .. expected end
            list[i] = good
        end
        return list
    elseif type(value) == type(default) then
        return value
    end
    return nil, "a " .. type(default)
end

local function kind_of(value)
    if type(value) == "string" then
        return ("the string '%s'"):format(#value > 40 and value:sub(1, 40) .. "..." or value)
    end
    if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
    if type(value) == "table" then return is_group(value) and "an object" or "a list" end
    return "null"
end

-- The leaves of the defaults: path -> default, and their names in order.
local function flatten(defaults, prefix, leaves, names, where)
    for name, value in pairs(defaults) do
        if type(name) ~= "string" or type(value) == "function" or type(value) == "userdata" or name:find("[.=%s]") then
            error(("%s: '%s' has no default that a command line can override"):format(where, prefix .. tostring(name)),
                4)
        elseif is_group(value) then
            flatten(value, prefix .. name .. ".", leaves, names, where)
        else
            leaves[prefix .. name] = value
            names[#names + 1] = prefix .. name
        end
    end
end

-- Options while they are read: leaves (defaults), names, value and source of each.
local Reader = {}
Reader.__index = Reader

local function new_reader(defaults, where)
    local reader = setmetatable({leaves = {}, names = {}, value = {}, source = {}}, Reader)
    flatten(defaults, "", reader.leaves, reader.names, where)
    table.sort(reader.names)
    for name, value in pairs(reader.leaves) do
        reader.value[name] = type(value) == "table" and table.move(value, 1, #value, 1, {}) or value
        reader.source[name] = "default"
    end
    return reader
end

function Reader:unknown(what, shown)
    local near = fields.nearest(what, self.names)
    if not near then                    -- `heads` for `model.heads`
        for _, name in ipairs(self.names) do
            if name:match("([^.]+)$") == what then near = near or name end
        end
    end
    return near and (" (did you mean %s?)"):format(shown(near)) or "; --help lists them"
end

local function dashed(name) return "--" .. name:gsub("_", "-") end

-- Takes the fields of a JSON object.
function Reader:take(object, prefix, source)
    if type(object) ~= "table" or next(object) ~= nil and not is_group(object) then
        fail(("%s: %s is %s, expected an object of options"):format(source, prefix == "" and "the text"
            or prefix:sub(1, -2), kind_of(object)))
    end
    for _, name in ipairs(fields.names(object)) do
        local path, value = prefix .. name, object[name]
        if self.leaves[path] ~= nil then
            local good, expected = accept(value, self.leaves[path])
            if good == nil then
                fail(("%s: %s is %s, expected %s"):format(source, path, kind_of(value), expected))
            end
            self.value[path], self.source[path] = good, source
        else
            local inside = false
            for _, known in ipairs(self.names) do inside = inside or known:sub(1, #path + 1) == path .. "." end
            if not inside then
                fail(("%s: unknown option '%s'%s"):format(source, path,
                    self:unknown(path, function(near) return "'" .. near .. "'" end)))
            end
            self:take(value, path .. ".", source)
        end
    end
end

local function read_json(path, what)
    local file, why = io.open(path, "rb")
    if not file then fail(("%s: %s"):format(what, why)) end
    local content = file:read("a")
    file:close()
    if not content then fail(("%s: %s cannot be read"):format(what, path)) end
    local ok, value = pcall(attn.json.decode, content)
    if not ok then fail(("%s: %s: %s"):format(what, path, (tostring(value):gsub("^.*json%.decode: ", "")))) end
    return value
end

-- A file of options, or the config.json of a run.
function Reader:file(path)
    local object = read_json(path, "--config")
    if type(object) == "table" and type(object.options) == "table" and type(object.attn) == "string" then
        object = object.options
    end
    self:take(object, "", "--config " .. path)
end

function Reader:set(name, word, source, shown)
    local good, expected = convert(word, self.leaves[name])
    if good == nil then fail(("%s is '%s', expected %s"):format(shown, word, expected)) end
    self.value[name], self.source[name] = good, source
end

function Reader:print()
    local width = 0
    for _, name in ipairs(self.names) do width = math.max(width, #name) end
    for _, name in ipairs(self.names) do
        print(("%-" .. width .. "s = %-16s %s"):format(name, text(self.value[name]), self.source[name]))
    end
end

-- Nested as the defaults are.
function Reader:result()
    local cfg = {}
    for _, path in ipairs(self.names) do
        local at, rest = cfg, path
        while true do
            local group, inner = rest:match("^([^.]+)%.(.+)$")
            if not group then break end
            at[group] = at[group] or {}
            at, rest = at[group], inner
        end
        at[rest] = self.value[path]
    end
    return cfg
end

-- The words of the command line as a list of actions; what stands on its own (help, config, resume ...) comes first,
-- because a file must not override what is given by hand.
function Reader:arguments(args, extra)
    local actions, special, i = {}, {config = {}}, 1
    local function following(name)
        i = i + 1
        if not args[i] then fail(("%s needs a value"):format(dashed(name))) end
        return args[i]
    end
    while i <= #args do
        local word = args[i]
        local name, value = word:match("^%-%-([^=]+)=(.*)$")
        name = name or word:match("^%-%-(.+)$")
        if not name then
            fail(("unexpected argument '%s' (options begin with --; see --help)"):format(word))
        end
        name = name:gsub("-", "_")
        local default, negated = self.leaves[name], false
        if default == nil and name:match("^no_") and type(self.leaves[name:sub(4)]) == "boolean" then
            name, negated = name:sub(4), true
            default = self.leaves[name]
            if value then fail(("--%s takes no value"):format(word:match("^%-%-([^=]+)"))) end
        end
        if default ~= nil then
            if negated then
                value = "false"
            elseif type(default) == "boolean" and not value then
                value = "true"
            end
            actions[#actions + 1] = {name, value or following(name), "command line", dashed(name)}
        elseif name == "help" or name == "print_config" or extra and extra[name] == "flag" then
            if value then fail(("--%s takes no value"):format(word:match("^%-%-([^=]+)"))) end
            special[name] = true
        elseif name == "config" then
            table.insert(special.config, value or following(name))
        elseif name == "set" then
            value = value or following(name)
            local path, inner = value:match("^([^=]+)=(.*)$")
            if not path then fail(("--set is '%s', expected name=value"):format(value)) end
            path = path:gsub("-", "_")
            if self.leaves[path] == nil then
                fail(("--set: unknown option '%s'%s"):format(path,
                    self:unknown(path, function(near) return "'" .. near .. "'" end)))
            end
            actions[#actions + 1] = {path, inner, "--set", "--set " .. path}
        elseif name == "data" then
            special.data = value or following(name)
        elseif extra and extra[name] == "word" then
            special[name] = value or following(name)
        elseif extra and extra[name] == "optional" then         -- --resume, --resume ID, --resume=ID
            if not value and args[i + 1] and not args[i + 1]:match("^%-%-") then value = following(name) end
            special[name] = value or ""
        else
            local known = table.move(self.names, 1, #self.names, 1, {})
            for more in pairs(extra or {}) do known[#known + 1] = more end
            fail(("unknown option %s%s"):format(dashed(name),
                Reader.unknown({names = known}, name, dashed)))
        end
        i = i + 1
    end
    return actions, special
end

-- more: lines about what is not an option of the script
function Reader:help(more)
    print("options, and their defaults:")
    for _, known in ipairs(self.names) do
        print(("  --%-18s %s"):format(known:gsub("_", "-"), text(self.leaves[known])))
    end
    if self.leaves.data == nil then print("  --data               the folder of the data sets ($ATTN_DATA)") end
    print("  --set NAME=VALUE     the same as --NAME VALUE")
    print("  --config FILE        options as a JSON object, or the config.json of a run; comes before the rest")
    print("  --print-config       the options as they are, and where each comes from")
    for _, line in ipairs(more or {}) do print(line) end
end

-- Files first, then the command line. Returns true if the script has been told to do no more.
function Reader:apply(actions, special)
    for _, path in ipairs(special.config) do self:file(path) end
    for _, action in ipairs(actions) do self:set(table.unpack(action)) end
    if special.print_config then
        self:print()
        os.exit(0, true)
    end
end

local function check(where, defaults, args)
    if type(defaults) ~= "table" then
        error(("%s: defaults is a %s, expected a table"):format(where, type(defaults)), 3)
    elseif args ~= nil and type(args) ~= "table" then
        error(("%s: args is a %s, expected a list of words"):format(where, type(args)), 3)
    end
    return args or rawget(_G, "arg") or {}
end

---Reads the options of a script from the command line: `--name value`, `--name=value`, `--flag`, `--no-flag`,
---`--set group.name=value`, `--config FILE`. The default gives the type: integer, number, boolean, string, a list
---separated by commas, or a table of options (a group). `-` and `_` in names are the same. `--help` and
---`--print-config` print and leave; `--data DIR` is always taken (see `data.path`).
---@param defaults table<string, any>
---@param args? string[] (default: the global `arg`)
---@return table<string, any>
function m.read(defaults, args)
    args = check("run.options", defaults, args)
    local reader = new_reader(defaults, "run.options")
    local actions, special = reader:arguments(args)
    if special.help then
        reader:help()
        os.exit(0, true)
    end
    reader:apply(actions, special)
    local cfg = reader:result()
    if special.data and defaults.data == nil then cfg.data = special.data end
    return cfg
end

m.fail, m.text, m.reader, m.read_json, m.check = fail, text, new_reader, read_json, check

attn.describe{name = "run.options", signature = "options{name = default, ...} -> table",
    help = "The options of a script: --name value, --name=value, --flag, --no-flag override the defaults, which\n"
        .. "give the types; a table of names in the defaults is a group: --group.name value. --set NAME=VALUE is\n"
        .. "the same, --config FILE reads a JSON object first, --print-config says what holds and where it comes\n"
        .. "from. An unknown name or a value of the wrong type is an error; --help lists them; --data DIR is\n"
        .. "always taken.",
    example = 'local cfg = require "attn.run".options{model = {heads = 4, dim = 256}, lr = 1e-3, words = {"a", "b"}}'}

return m
