-- attn help: the built-in documentation, from the records of operations and layers and from what is described by hand.

local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"
local examples, topics = require "attn.examples", require "attn.help_topics"

local help = {}

---Everything documented, by name; example: code that runs by itself in which attn is known.
---@return table<string, {signature: string, text: string, kind: string, example: string?}>
function help.entries()
    local all = {}
    local function add(name, text, kind)
        local signature, rest = text:match("^([^\n]*)\n?(.*)$")
        local before, example = rest:match "^(.-)\n*Example: (.*)$"
        all[name] = {signature = signature, text = before or rest, kind = kind, example = example or examples[name]}
    end
    local modules = internal.named_modules()
    table.move({"fields", "study", "test"}, 1, 3, #modules + 1, modules)
    local test = package.loaded["attn.test"]
    for _, name in ipairs(modules) do pcall(require, "attn." .. name) end           -- these describe themselves when loaded
    package.loaded["attn.test"] = test          -- a script with it is a test, whose result is printed at its end
    for _, op in ipairs(attn.operations()) do
        if not op.internal then add(op.name, op.help, "function") end
    end
    for _, layer in ipairs(attn.layers()) do
        local lines = {layer.help}
        if #layer.fields > 0 then
            lines[#lines + 1] = "\nFields:"
            for _, f in ipairs(layer.fields) do
                local note = f.kind == "choice" and f.choices:gsub("|", ", ") or f.kind
                local default = f.required and "required" or (f.kind == "flag" and tostring(f.default ~= 0))
                    or (f.kind == "choice" and f.choices:match(("[^|]*|"):rep(math.tointeger(f.default)) .. "([^|]*)"))
                    or ((f.kind == "integer" or f.kind == "number") and f.allowed and string.format("%.14g", f.default)) or "optional"
                lines[#lines + 1] = string.format("  %-16s %s (%s)%s", f.name, note, default, f.help and "  " .. f.help or "")
            end
        end
        for _, m in ipairs(layer.methods) do
            if m.help ~= "" then lines[#lines + 1] = "\n" .. m.help end
        end
        add(layer.name, table.concat(lines, "\n"), "layer")
    end
    for name, doc in pairs(internal.docs()) do
        if type(doc) == "string" then
            add(name, doc, name:find(":", 1, true) and "method" or "function")
        else
            all[name] = {signature = doc.signature or name, text = doc.help or "", kind = "function", example = doc.example}
        end
    end
    return all
end

---Text and example of an entry, as one text.
---@param entry {text: string, example: string?}
---@return string
function help.whole(entry)
    if not entry.example then return entry.text end
    return entry.text .. (entry.text == "" and "" or "\n\n") .. "Example:\n    " .. entry.example:gsub("\n", "\n    ")
end

local sorted = fields.names

local function print_columns(names, out, columns)
    local width = 4
    for _, n in ipairs(names) do width = math.max(width, #n + 2) end
    local across = math.max(1, (columns - 2) // width)
    for i = 1, #names, across do
        local row = {}
        for k = i, math.min(#names, i + across - 1) do row[#row + 1] = names[k] .. (" "):rep(width - #names[k]) end
        out("  " .. table.concat(row):gsub("%s+$", ""))
    end
end

-- The groups that names are listed in: what each is, or none for modules, whose first entry says it.
local about = {
    functions = "on tensors: arithmetic, products, sums, shapes, choosing; making tensors",
    tensor = "methods that are not also functions", layer = "layers, and attention, encoders, decoders", loss = "losses",
    optim = "optimizers", structured = "chains and trees: marginals, best, samples", files = "tensors, pictures, JSON",
    search = "greedy, beam, sampled and forced decoding", data = "batches, readers of files, data sets by name",
    text = "vocabularies, tokenizers, characters", metric = "BLEU, ROUGE, F1, MAP, AUC ...", train = "training loops, averages",
    run = "options and folders of runs", study = "experiments and claims", task = "synthetic tasks", show = "maps, texts, pictures, curves",
    schedule = "learning rates over the steps", penalty = "terms added to a loss", init = "initial values", dist = "distributions to draw from",
    estimate = "gradients through draws", explain = "whether weights say why", test = "assertions of test scripts", translate = "what translators share",
}

-- Small ones stand with others.
local within = {json = "files", npy = "files", safetensors = "files", image = "files", unicode = "text", fields = "functions", cache = "layer",
    optimizer = "optim", corpus = "data", fit = "train"}

local function group_of(name, entry)
    if entry.kind == "layer" then return "layer" end
    local first = name:match "^([^.:]+)[.:]"
    return first and (within[first] or first) or within[name] or "functions"
end

-- group -> sorted names
local function groups_of(all)
    local groups = {}
    for _, name in ipairs(sorted(all)) do
        local group = group_of(name, all[name])
        groups[group] = groups[group] or {}
        table.insert(groups[group], name)
    end
    for group, names in pairs(groups) do        -- a lone name is no group
        if #names == 1 and not about[group] and group ~= "functions" then
            groups[group] = nil
            table.insert(groups.functions, names[1])
        end
    end
    table.sort(groups.functions)
    return groups
end

-- As wide as the terminal; a file takes lines as they are.
local function width() return attn.isatty(1) and attn.terminal_width() or 132 end

-- Paragraphs are broken anew where a line of them is wider than that; what is indented, as code and tables are, stays as it is.
local function wrap(text, columns, out)
    local paragraph, wide = {}, false
    local function close()
        if not wide then
            for _, line in ipairs(paragraph) do out(line) end
        else
            local line
            for word in table.concat(paragraph, " "):gmatch "%S+" do
                if line and (utf8.len(line) or #line) + 1 + (utf8.len(word) or #word) > columns then
                    out(line)
                    line = nil
                end
                line = line and line .. " " .. word or word
            end
            if line then out(line) end
        end
        paragraph, wide = {}, false
    end
    for line in (text .. "\n"):gmatch "(.-)\n" do
        if line == "" or line:find "^%s" then
            close()
            out(line)
        else
            paragraph[#paragraph + 1] = line
            wide = wide or (utf8.len(line) or #line) > columns
        end
    end
    close()
end

local function first_line(text)
    local line = text:match "^%s*([^\n]*)"
    return line
end

-- A line of a list: cut where it is wider than that.
local function fit(line, columns)
    if (utf8.len(line) or #line) <= columns then return line end
    return line:sub(1, (utf8.offset(line, columns - 2) or columns - 2) - 1) .. "..."
end

---The overview: topics and groups, a line each.
local function overview(all, out, columns)
    out("attn " .. attn._VERSION .. ": attn help NAME, TOPIC or GROUP; attn help --search WORD; ?NAME in the session")
    out("\ntopics")
    print_columns(sorted(topics), out, columns)
    out("\ngroups")
    local groups = groups_of(all)
    for _, group in ipairs(sorted(groups)) do
        local line = ("  %-12s %3d  %s"):format(group, #groups[group], about[group] or first_line((all[group] or {text = ""}).text))
        out(fit(line, columns))
    end
end

local function show_group(name, names, all, out, columns)
    out(name .. ": " .. (about[name] or ""))
    for _, n in ipairs(names) do
        local line = ("  %-24s %s"):format(n, first_line(all[n].text))
        out(fit(line, columns))
    end
end

---Every name, topic and group whose name or text holds the word, with the line that does. Returns whether there are any.
---@param word string
---@param out? fun(line: string)
function help.search(word, out)
    out = out or print
    local all, columns, found = help.entries(), width(), false
    local plain = word:lower()
    local function look(name, text)
        local line
        if name:lower():find(plain, 1, true) then line = first_line(text) end
        for one in text:gmatch "[^\n]+" do
            line = line or one:lower():find(plain, 1, true) and one:match "^%s*(.*)$"
        end
        if not line then return end
        found = true
        line = ("%-24s %s"):format(name, line)
        out(fit(line, columns))
    end
    for _, name in ipairs(sorted(all)) do look(name, all[name].signature .. "\n" .. help.whole(all[name])) end
    for _, name in ipairs(sorted(topics)) do look("topic " .. name, topics[name]) end
    if not found then out("nothing in the help holds '" .. word .. "'") end
    return found
end

-- The names that are meant: as it stands, or the last part of others (linear is a function and a layer).
local function meant(name, all)
    local list = {}
    if all[name] then list[1] = name end
    for _, n in ipairs(sorted(all)) do
        if n ~= name and (n:match "[.:]([%w_]+)$" == name or name:find ":" and n == "tensor:" .. name:match ":(.*)$") then list[#list + 1] = n end
    end
    if #list > 1 and all[name] then         -- of others only what is another thing by the same name, not each module's `load`
        for i = #list, 2, -1 do
            if not list[i]:find "^layer%." and not list[i]:find "^tensor:" and not list[i]:find "^loss%." then table.remove(list, i) end
        end
    end
    return list
end

---Prints the help of one name, topic or group, or the overview. Returns false if there is none.
---@param name? string
---@param out? fun(line: string)
function help.show(name, out)
    out = out or print
    local all, columns = help.entries(), width()
    if not name or name == "" then
        overview(all, out, columns)
        return true
    end
    name = name:gsub("^attn%.", ""):gsub("^t:", "tensor:"):gsub("%(.*$", "")
    local groups = groups_of(all)
    local list = (all[name] or not groups[name] and not topics[name]) and meant(name, all) or {}
    for i, n in ipairs(list) do
        if i > 1 then out(("-"):rep(math.min(columns, 72))) end
        if n ~= name then out(n .. "\n") end
        wrap(all[n].signature, columns, out)
        local text = help.whole(all[n])
        if text ~= "" then out("") wrap(text, columns, out) end
    end
    if groups[name] and name ~= "functions" and #list > 0 then out("\nmore: " .. table.concat(groups[name], ", ")) end
    if topics[name] then
        if #list > 0 then out "" end
        wrap(topics[name], columns, out)
    elseif #list == 0 and groups[name] then
        show_group(name, groups[name], all, out, columns)
    elseif #list == 0 then
        local names, near = sorted(all), {}
        table.move(sorted(topics), 1, #sorted(topics), #names + 1, names)
        for _, n in ipairs(names) do
            if n:find(name, 1, true) then near[#near + 1] = n end
        end
        local line = "there is no help for '" .. name .. "'" .. (#near > 0 and "; perhaps " .. table.concat(near, ", ", 1, math.min(8, #near))
            or fields.suggest(name, names))
        out(line)
        return false
    end
    return true
end

help.usage = [[
usage: attn help [NAME | TOPIC | GROUP]...      what a name is: shapes, options, an example
       attn help --search WORD                  every name whose help holds the word
       attn help --html DIR                     all of it as pages, DIR/index.html
       attn help --stubs                        annotations for editors (LuaLS)
       attn help --man                          the man page
       attn help --completion bash|zsh|fish     completion for a shell
On a terminal what does not fit is shown by $PAGER (less).]]

-- Lines to the terminal, through a pager where they are more than it has.
local function paged(show)
    local lines = {}
    local result = show(function(line)
        for one in (line .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = one end
    end)
    local pager = os.getenv "PAGER" or "less -FRX"
    if attn.isatty(1) and #lines > attn.terminal_height() and pager ~= "" then
        local pipe = io.popen(pager, "w")
        if pipe then
            pipe:write(table.concat(lines, "\n"), "\n")
            if pipe:close() then return result end
        end
    end
    print(table.concat(lines, "\n"))
    return result
end

---attn help [--stubs | --search WORD | --html DIR | --man | --completion SHELL | NAME...]
---@param args string[]
function help.main(args)
    local first = args[1]
    if first == "--help" or first == "-h" then
        print(help.usage)
    elseif first == "--stubs" then
        require "attn.help_stubs"(help.entries(), help.whole, sorted)
    elseif first == "--search" and args[2] then
        return paged(function(out) return help.search(table.concat(args, " ", 2), out) end) and 0 or 1
    elseif first == "--html" and args[2] then
        return require "attn.help_pages".html(help.entries(), groups_of(help.entries()), about, topics, args[2])
    elseif first == "--man" then
        io.write(require "attn.help_pages".man())
    elseif first == "--completion" and args[2] then
        local text = require "attn.help_pages".completion(args[2], sorted(help.entries()), sorted(topics))
        if not text then
            io.stderr:write("attn help: there is completion for bash, zsh and fish, not for '", args[2], "'\n")
            return 1
        end
        io.write(text)
    elseif first and first:find "^%-" then
        local known = first == "--search" or first == "--html" or first == "--completion"
        io.stderr:write("attn help: ", known and "a value is missing after " or "unknown option ", first, "\n", help.usage, "\n")
        return 1
    elseif not first then
        paged(function(out) return help.show(nil, out) end)
    else
        return paged(function(out)
            local good = true
            for _, name in ipairs(args) do good = help.show(name, out) and good end
            return good
        end) and 0 or 1
    end
    return 0
end

return help
