-- run: the options of a script. One table of names and defaults; the command line overrides it.
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

local function text(value)
    if type(value) == "table" then
        local parts = {}
        for i, entry in ipairs(value) do parts[i] = tostring(entry) end
        return table.concat(parts, ",")
    end
    return tostring(value)
end

-- A word of the command line as a value of the kind of the default; nil and what was expected when it is none.
local function convert(word, default)
    if math.type(default) == "integer" then
        local n = tonumber(word)
        return n and math.tointeger(n), "an integer"
    elseif type(default) == "number" then
        return tonumber(word), "a number"
    elseif type(default) == "boolean" then
        local value = ({["true"] = true, ["false"] = false})[word]
        return value, "true or false"
    elseif type(default) == "table" then
        local list = {}
        for part in (word .. ","):gmatch("([^,]*),") do
            local value, expected = convert(part, default[1] == nil and "" or default[1])
            if value == nil then return nil, expected .. " (a list, separated by commas)" end
            list[#list + 1] = value
        end
        return list
    end
    return word
end

---Reads `--name value`, `--name=value`, `--flag` and `--no-flag` from the command line. The default gives the type:
---integer, number, boolean, string, or a list separated by commas. `-` and `_` in names are the same. `--help` lists
---the options; `--data DIR` is always taken (see `data.path`).
---@param defaults table<string, any>
---@param args? string[] (default: the global `arg`)
---@return table<string, any>
function m.options(defaults, args)
    if type(defaults) ~= "table" then
        error(("run.options: defaults is a %s, expected a table"):format(type(defaults)), 2)
    end
    args = args or rawget(_G, "arg") or {}
    local cfg, names = {}, {}
    for name, value in pairs(defaults) do
        if type(name) ~= "string" or type(value) == "function" or type(value) == "userdata" then
            error(("run.options: '%s' has no default that a command line can override"):format(tostring(name)), 2)
        end
        cfg[name] = value
        names[#names + 1] = name
    end
    table.sort(names)
    local i = 1
    while i <= #args do
        local word = args[i]
        local name, value = word:match("^%-%-([^=]+)=(.*)$")
        name = name or word:match("^%-%-(.+)$")
        if not name then
            error(("unexpected argument '%s' (options begin with --; see --help)"):format(word), 0)
        end
        name = name:gsub("-", "_")
        if name == "help" and defaults.help == nil then
            print("options, and their defaults:")
            for _, known in ipairs(names) do
                local default = defaults[known]
                print(("  --%-18s %s"):format(known:gsub("_", "-"), default == "" and '""' or text(default)))
            end
            if defaults.data == nil then print("  --data               the folder of the data sets ($ATTN_DATA)") end
            os.exit(0, true)
        end
        local default, negated = defaults[name], false
        if default == nil and name:match("^no_") and type(defaults[name:sub(4)]) == "boolean" then
            name, negated = name:sub(4), true
            default = defaults[name]
            if value then error(("--%s takes no value"):format(word:match("^%-%-([^=]+)")), 0) end
        end
        if default == nil and name == "data" then default = "" end
        if default == nil then
            local near = fields.nearest(name, names)
            error(("unknown option --%s%s"):format(name:gsub("_", "-"),
                near and (" (did you mean --%s?)"):format(near:gsub("_", "-")) or "; --help lists them"), 0)
        end
        if negated then
            cfg[name] = false
        elseif type(default) == "boolean" and not value then
            cfg[name] = true
        else
            if not value then
                i = i + 1
                value = args[i]
                if not value then error(("--%s needs a value"):format(name:gsub("_", "-")), 0) end
            end
            local good, expected = convert(value, default)
            if good == nil then
                error(("--%s is '%s', expected %s"):format(name:gsub("_", "-"), value, expected), 0)
            end
            cfg[name] = good
        end
        i = i + 1
    end
    return cfg
end

attn.describe{name = "run.options", signature = "options{name = default, ...} -> table",
    help = "The options of a script: --name value, --name=value, --flag, --no-flag override the defaults, which\n"
        .. "give the types. An unknown name or a value of the wrong type is an error; --help lists them; --data\n"
        .. "DIR is always taken.",
    example = 'local cfg = require "attn.run".options{dim = 256, lr = 1e-3, resume = false, translate = ""}'}

return m
