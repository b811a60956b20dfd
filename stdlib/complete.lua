-- complete: what Tab makes of the text before the cursor: names behind a value, fields inside braces, words of a choice, files, modules.
--
-- The text is cut into tokens, brackets into groups, so that the cursor's place is known over several lines. What an expression is, is read
-- from values where they are there (names.lua: nothing of the script's runs), and from the records and the help of the library behind a
-- call: what a function returns is never computed. A type is one of
--     {value = v}   {kind = "tensor"}   {record = of a layer}   {class = of attn.module}   {object = "optimizer"}   {list = type}
--     {method = name, of = type}   {doc = name of a function in the help}
local attn = require "attn"
local internal = require "attn.internal"
local names = require "attn.names"

local WIDTH = 76
local loaded = package.loaded
local tensor, text = {kind = "tensor"}, {value = ""}
local dtypes = {"float32", "float64", "int64", "bool", "uint8"}

-- ---- the text ----

local closing = {["("] = ")", ["["] = "]", ["{"] = "}"}

-- The groups that are open at the end, outermost first, each a list of tokens {kind =, text =} or {kind = "group", open =, ...}; and what
-- stands behind an open quote, or false inside a comment.
local function scan(line)
    local stack, at = {{}}, 1
    local function add(kind, from, to)
        local group = stack[#stack]
        group[#group + 1] = {kind = kind, text = line:sub(from, to), stop = to}
        at = to + 1
    end
    while true do
        at = line:find("%S", at)
        if not at then return stack end
        local c = line:sub(at, at)
        local long = line:match("^%-%-%[(=*)%[", at) or line:match("^%[(=*)%[", at)
        local name, number = line:match("^[%a_][%w_]*()", at), line:match("^%.?%d[%w.]*()", at)
        if long then
            local comment, _, stop = c == "-", line:find("]" .. long .. "]", at, true)
            if not stop then return stack, false end
            add(comment and "comment" or "string", at, stop)
            if comment then table.remove(stack[#stack]) end
        elseif line:find("^%-%-", at) then
            at = line:find("\n", at, true)
            if not at then return stack, false end
        elseif c == '"' or c == "'" then
            local stop = at + 1
            while stop <= #line and line:sub(stop, stop) ~= c and line:sub(stop, stop) ~= "\n" do
                stop = stop + (line:sub(stop, stop) == "\\" and 2 or 1)
            end
            if stop > #line then return stack, line:sub(at + 1) end
            add("string", at, stop)
        elseif name then
            add("name", at, name - 1)
        elseif number then
            add("number", at, number - 1)
        elseif closing[c] then
            stack[#stack + 1] = {kind = "group", open = c}
            at = at + 1
        elseif c == ")" or c == "]" or c == "}" then
            local group = #stack > 1 and table.remove(stack) or {kind = "group", open = c}
            table.insert(stack[#stack], group)
            at = at + 1
        else
            local operator = line:match("^%.%.%.?", at) or line:match("^[=~<>]=", at) or line:match("^::", at) or c
            add("operator", at, at + #operator - 1)
        end
    end
end

-- ---- what the library says ----

local docs = {}         -- what is described by hand so far, anew for each Tab
local operations

local function operation(name)
    if not operations then
        operations = {}
        for _, op in ipairs(attn.operations()) do operations[op.name] = op end
    end
    return operations[name]
end

local function value_named(name)
    local value = attn
    for part in name:gmatch "[^.]+" do value = value ~= nil and names.field(value, part) or nil end
    return value
end

-- The name in the help of a function of the library, or nil.
local function doc_of(fn)
    for name in next, docs do
        if not name:find ":" and value_named(name) == fn then return name end
    end
    operation ""
    for name in next, operations do
        if value_named(name) == fn then return name end
    end
    for name in next, names.records() do
        if value_named(name) == fn then return name end
    end
end

-- Signature and help of a name, as one text.
local function help_of(name)
    local op, record = operation(name), names.records()[name]
    local doc = docs[name]
    if type(doc) == "table" then return (doc.signature or "") .. "\n" .. (doc.help or "") end
    return doc or op and op.help or record and record.help or ""
end

local function is_object(name)
    for doc in next, docs do
        if doc:find(name .. ":", 1, true) == 1 then return true end
    end
end

-- The type of the first result that a help text promises.
local function promised(help)
    local result = help:match "%->%s*([^\n]*)" or ""
    result = result:gsub("^an? ", ""):gsub("^empty ", "")
    local word = result:match "^[%a_]+"
    if word == "tensor" or word == "t" or result:find "^[%a_]* ?%[" or result:find "^%a+ tensor" or result:find "^%a+ like " then return tensor end
    if word == "string" or word == "text" then return text end
    return word and is_object(word) and {object = word} or nil
end

-- ---- types ----

-- What is known of a value: itself, or more.
local function typed(value)
    if value == nil then return nil end
    return internal.kind(value) == "tensor" and tensor or {value = value}
end

local function is_class(value)
    local meta = type(value) == "table" and debug.getmetatable(value)
    return type(meta) == "table" and rawget(meta, "attn_class")
end

-- The record of the layer that a type stands for, if it is one.
local function layer_of(t) return t.record or internal.kind(t.value) == "layer" and names.record(t.value) or nil end

local function field(t, name)
    if t.value ~= nil then return typed(names.field(t.value, name)) end
    if t == tensor then return name == "grad" and tensor or nil end
    return t.class and typed(names.field(t.class, name))
end

-- What methods of all layers and modules return.
local function protocol(t, name)
    if name == "parameters" then return {list = tensor} end
    if name == "train" or name == "eval" or name == "to" or name == "load" then return t end
end

local function call_method(t, name)
    local record = layer_of(t)
    for _, method in ipairs(record and record.methods or {}) do
        if method.name == name then return name == "forward" and tensor or promised(method.help) end
    end
    if record or t.class or internal.kind(t.value) == "module" then return protocol(t, name) end
    if t == tensor then return operation(name) and tensor or promised(help_of("tensor:" .. name)) end
    if type(t.value) == "string" then return (name == "rep" or name == "sub" or name == "upper" or name == "lower" or name == "format") and text end
    local object = t.object or internal.kind(t.value)
    return object and promised(help_of(object .. ":" .. name))
end

local function call(t)
    if t.method then return call_method(t.of, t.method) end
    if layer_of(t) then return tensor end
    if is_class(t.value) then return {class = t.value} end
    local name = t.doc or t.value ~= nil and doc_of(t.value)
    if not name then return nil end
    if names.records()[name] then return {record = names.records()[name]} end
    return operation(name) and tensor or promised(help_of(name))
end

local function index(t, group)
    local key = #group == 1 and (group[1].kind == "number" and math.tointeger(group[1].text)
        or group[1].kind == "string" and group[1].text:match "^[\"'](.*)[\"']$")
    if t == tensor then return tensor end
    if t.list then return t.list end
    if t.value == nil then return nil end
    local one = key and names.field(t.value, key) or nil
    if one == nil and type(t.value) == "table" then one = rawget(t.value, 1) end       -- the others will be as the first
    return typed(one)
end

local resolve

-- Whether an expression may end at a token.
local function ends(token)
    return token and (token.kind == "name" and not names.keywords[token.text] or token.kind == "group" or token.kind == "string")
end

-- The type of the expression whose last token is list[i]; nil if it is not known.
function resolve(list, i)
    local token, before = list[i], list[i - 1]
    if token.kind == "name" then
        local sign = before and before.kind == "operator" and before.text
        if sign ~= "." and sign ~= ":" then return typed(rawget(_G, token.text)) end
        local base = ends(list[i - 2]) and resolve(list, i - 2)
        return base and (sign == "." and field(base, token.text) or sign == ":" and {method = token.text, of = base}) or nil
    elseif token.kind == "group" and token.open == "[" then
        local base = ends(before) and resolve(list, i - 1)
        return base and index(base, token)
    elseif ends(before) then                                    -- a call, by (...), {...} or "..."
        local callee = resolve(list, i - 1)
        return callee and call(callee)
    elseif token.kind == "group" and token.open == "(" then
        return #token > 0 and ends(token[#token]) and resolve(token, #token) or nil
    end
    return token.kind == "string" and text or nil
end

-- The names that may stand behind a type.
local function behind(t, colon)
    if t.value ~= nil then return names.of(t.value, colon) end
    if t.class then return names.of(t.class, colon) end
    local set = {}
    if t == tensor then names.of_tensor(set, colon) end
    if t.record then names.of_record(set, t.record, colon) end
    for doc in next, t.object and docs or {} do
        local method = doc:match("^" .. t.object .. ":([%w_]+)$")
        if method then set[method] = true end
    end
    return set
end

-- ---- fields of a call ----

-- The function that the innermost group belongs to, which is its braces or has them among its arguments: name -> list of words, or true.
local function options(stack)
    local depth = #stack
    local parent = stack[depth - 1]
    if parent.open == "(" and not ends(parent[#parent]) then depth = depth - 1 end
    local list = stack[depth - 1]
    local callee = list and ends(list[#list]) and resolve(list, #list)
    if not callee then return {} end
    local set, direct = {}, depth == #stack
    local function take(fields)
        for _, f in ipairs(fields) do
            local words
            if f.choices then
                words = {}
                for word in f.choices:gmatch "[^|]+" do words[#words + 1] = word end
            end
            set[f.name] = words or true
        end
    end
    local method = callee.method or "forward"
    local layer = layer_of(callee.of or callee)
    for _, m in ipairs(layer and layer.methods or {}) do
        if m.name == method and not direct then take(m.options) end
    end
    if layer then return set end
    local name = callee.doc or callee.value ~= nil and doc_of(callee.value)
    if callee.method then name = callee.of == tensor and (operation(callee.method) and callee.method or "tensor:" .. callee.method) end
    if not name then return set end
    if names.records()[name] then take(names.records()[name].fields) return set end
    local signature = help_of(name):match "^[^\n]*"
    for braces in signature:gmatch "%b{}" do
        for option, rest in braces:gmatch "([%a_][%w_]*) =([^,}]*)" do
            local words = {}
            for word in rest:gmatch '"([^"]+)"' do words[#words + 1] = word end
            set[option] = set[option] or #words > 0 and words or true
        end
    end
    local op = operation(name)
    for _, arg in ipairs(op and op.args or {}) do
        if arg.choices and set[arg.name] then take{arg} end
    end
    return set
end

-- Whether the innermost group is braces in which a field may begin behind token i.
local function at_field(stack, i)
    local group = stack[#stack]
    local token = group[i]
    return #stack > 1 and group.open == "{" and (not token or token.kind == "operator" and (token.text == "," or token.text == ";"))
end

-- The words that may stand in a string that is open, or nil.
local function words_here(stack)
    local group = stack[#stack]
    local sign, name = group[#group], group[#group - 1]
    if sign and sign.kind == "operator" and name and name.kind == "name" then
        if (sign.text == "==" or sign.text == "~=" or sign.text == "=") and name.text == "dtype" then return dtypes end
        if sign.text ~= "=" or group.open ~= "{" then return nil end
        local words = options(stack)[name.text]
        if type(words) == "table" then return words end
        -- within a field, {type = "band"}: as the help of the function has it
        local outer = stack[#stack - 1]
        local callee = stack[#stack - 2]
        if outer.open ~= "{" or not ends(callee and callee[#callee]) then return nil end
        local t = resolve(callee, #callee)
        local help, list = t and t.value ~= nil and help_of(doc_of(t.value) or "") or "", {}
        for word in help:gmatch("{" .. name.text .. ' = "([%w_]+)"') do list[#list + 1] = word end
        return #list > 0 and list or nil
    end
    local callee = group.open == "(" and #group == 0 and stack[#stack - 1] or group       -- x:to("  or  x:to "
    local last = callee[#callee]
    if last and last.kind == "name" and last.text == "to" and callee[#callee - 1] and callee[#callee - 1].text == ":" then return dtypes end
end

-- ---- completion ----

local function set_of(list)
    local set = {}
    for _, word in ipairs(list) do set[word] = true end
    return set
end

local function files(open, entries)
    local folder, name = open:match("^(.*/)([^/]*)$")
    local set = {}
    for _, entry in ipairs(entries(folder or ".")) do
        if entry:sub(1, 1) ~= "." or (name or open):sub(1, 1) == "." then set[entry] = true end
    end
    return name or open, set
end

local function modules()
    local set = {}
    for _, list in ipairs{loaded, package.preload} do
        for name in next, list do if type(name) == "string" then set[name] = true end end
    end
    for _, name in ipairs(internal.modules()) do set["attn." .. name] = true end
    return set
end

-- The part of the text to complete, the names it may become, and what comes behind a name that is the only one.
local function candidates(line, entries)
    local stack, open = scan(line)
    local group = stack[#stack]
    if open == false then return "", {} end
    if open then
        local callee = group.open == "(" and #group == 0 and stack[#stack - 1] or group
        if callee[#callee] and callee[#callee].text == "require" then return open, modules() end
        local words = words_here(stack)
        if words then return open, set_of(words) end
        return files(open, entries)
    end
    local last = group[#group]
    local partial = last and last.kind == "name" and last.stop == #line and last.text or ""
    local i = partial == "" and #group or #group - 1        -- the token before
    local sign = group[i] and group[i].kind == "operator" and group[i].text
    if sign == "." or sign == ":" then
        local t = ends(group[i - 1]) and resolve(group, i - 1)
        return partial, t and behind(t, sign == ":") or {}
    end
    if partial == "" and last and last.kind ~= "operator" and not line:find "%s$" then return "", {} end    -- behind an expression
    if at_field(stack, i) then
        local set, any = {}, false
        for name in next, options(stack) do set[name] = true end
        for k = 1, i do
            if group[k].kind == "name" and group[k + 1] and group[k + 1].text == "=" then set[group[k].text] = nil end
        end
        for name in next, set do any = any or name:sub(1, #partial) == partial end
        if any then return partial, set, " = " end
    end
    local set = names.of(_G)
    for name in next, names.keywords do set[name] = true end
    for name in line:gmatch "%f[%w_]local%s+([%a_][%w_]*)%f[^%w_]." do set[name] = true end
    return partial, set
end

local function in_columns(list)
    local width = 0
    for _, name in ipairs(list) do width = math.max(width, #name + 2) end
    local columns, lines = math.max(1, WIDTH // width), {}
    for i = 1, math.min(#list, 400), columns do
        local row = table.move(list, i, math.min(i + columns - 1, #list), 1, {})
        for j = 1, #row do row[j] = row[j] .. (" "):rep(j < #row and width - #row[j] or 0) end
        lines[#lines + 1] = table.concat(row)
    end
    if #list > 400 then lines[#lines + 1] = ("... %d names in all"):format(#list) end
    return table.concat(lines, "\n") .. "\n"
end

---Completes the end of a text.
---@param line string what stands before the cursor, the entry's lines above it included
---@param entries fun(folder: string): string[] names of a folder's files
---@return string? addition what to insert
---@return string? choices a text to show, when there are several and nothing can be inserted
return function(line, entries)
    if not line:match "[^\n]*$":find "%S" then return "    " end
    docs = internal.docs()
    local partial, set, behind_it = candidates(line, entries)
    local list, common = {}, nil
    for _, name in ipairs(names.list(set)) do
        if name:sub(1, #partial) == partial and (partial ~= "" or name:sub(1, 2) ~= "__") then
            list[#list + 1] = name
            local n = common and 0 or #name
            while common and n < #common and common:byte(n + 1) == name:byte(n + 1) do n = n + 1 end
            common = name:sub(1, n)
        end
    end
    if not common then return nil end
    local addition = common:sub(#partial + 1) .. (#list == 1 and behind_it or "")
    if addition ~= "" then return addition end
    if #list == 1 then return nil end
    return nil, in_columns(list)
end
