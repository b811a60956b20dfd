-- attn help: the built-in documentation, from the records of operations and layers and from what is described by hand.

local attn = require "attn"
local internal = require "attn.internal"
local examples = require "attn.examples"

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
    for _, name in ipairs(modules) do pcall(require, "attn." .. name) end           -- these describe themselves when loaded
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
                    or ((f.kind == "integer" or f.kind == "number") and string.format("%.14g", f.default)) or "optional"
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
    for _, entry in pairs(all) do
        if entry.example then entry.text = entry.text .. "\n\nExample:\n    " .. entry.example:gsub("\n", "\n    ") end
    end
    return all
end

local topics = {
    conventions = [[
Indices, dimensions, token and class ids start at 1; a negative dimension counts from the end. Id 0 is padding: its embedding is
zero, a target of 0 is ignored. Batch first: [B, T, D]. Masks are bool, true means "may be attended to"; lengths are int64 [B].
A query that may attend to nothing gets a zero context, zero weights, zero gradients. dtypes: float32, float64, int64, bool,
and uint8 for storage (images, bytes): made, indexed, moved, compared, converted and saved, not computed with.]],
    environment = [[
ATTN_THREADS           how many threads compute; without it as many as there are processors. Results do not depend on it.
ATTN_SIMD              base, avx2 or avx512: the widest vectors that kernels may use; without it the widest the processor has.
ATTN_GEMM              own or openblas: what multiplies matrices; without it the faster for each shape.
ATTN_DATA              the folder where scripts look for data sets; the option --data DIR of a script comes first.
ATTN_PROGRESS=0        no line of progress on a terminal.
ATTN_HISTORY           the file of the session's history, empty for none; without it $XDG_STATE_HOME/attn/history or
                       $HOME/.attn_history.
ATTN_STDLIB            a folder whose files are taken instead of the Lua modules inside the executable.
ATTN_ALLOW_BYTECODE=1  leaves load, loadfile and dofile as Lua made them, so that they take bytecode.
ATTN_EXE               set by attn test for the files it runs: the executable.
NO_COLOR               not empty, or TERM=dumb: no colours. With COLORTERM=truecolor or 24bit finer ones.
XDG_CONFIG_HOME        the session begins with attn/init.lua in this folder; without it in $HOME/.config. attn -E leaves it out.
LUA_PATH, LUA_CPATH    where require looks. LUA_INIT: a statement, or @FILE, that runs first. LUA_PATH_5_4, LUA_CPATH_5_4 and
                       LUA_INIT_5_4 come before these. attn -E ignores all of them.]],
    task = [[
Synthetic tasks, attn.task.NAME(options, seed), whose answer, whose source of the answer (the gold attention) and whose best value
are known: batches for train.loop, for batch in b:epoch(n), #b, b:state(), b:load(state). Options of all: size (of a batch), count
(examples; another seed draws others, for testing), shuffle. attn's random state is neither used nor changed; what a rule fixes, a
dictionary say, is the same for all seeds.
A batch has the fields of the task (ids from 1, padded with 0, with NAME_lengths; target also as target_in, b.bos first, and
target_out, b.eos last) and gold, the attention that reads the answer, [B, queries, keys]: each row sums to 1, or is zero where
nothing is read (the row of eos, padding). b.vocabulary is how many ids the source has, b.targets how many the target has with bos
and eos, b.answers how many classes answer has. b.optimum is the best that can be reached: {accuracy = 1, loss = 0} where the source
decides.]],
    session = [[
An expression is printed; a trailing ; hides it; _ is the last value. ?name shows help, :time expression measures, :mem shows memory.
Tab completes names. Ctrl-C stops what runs, Ctrl-D leaves.]],
    runs = [[
A script that begins with attn.run.start keeps a folder for each run: options, metrics, checkpoints, what it printed.

]] .. require "attn.runs".usage .. [[


A run is `running` while a process holds it, `finished` once its script came to the end, else `stopped`: the script goes
on with --resume [ID]. A train.loop that has a name keeps its metrics and checkpoints in loops/NAME of the folder, and is listed
under its run. diff tells the options that differ, what was measured, and the first step where the losses part.
plot draws a measure of one or several runs over the steps, on a logarithmic scale with --log, also to an SVG file.
See run.start for what scripts write, run.list, run.find and run.metrics for reading it.]],
    report = require "attn.report".usage .. [[


The list of systems is the project's own (attn.systems); a study says which it measures: study{system = {"E9"}}, a claim with
id = "E9" is about that one alone. Maps, texts and pictures are what cells keep: cell:keep, see study:table. A file that cannot be
read is named and the rest shown. It is a report, not a test: claims that fail do not make it fail.]],
}

local function sorted(t)
    local names = {}
    for name in pairs(t) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function print_columns(names, out)
    local width = 4
    for _, n in ipairs(names) do width = math.max(width, #n + 2) end
    local columns = math.max(1, 100 // width)
    for i = 1, #names, columns do
        local row = {}
        for k = i, math.min(#names, i + columns - 1) do row[#row + 1] = names[k] .. (" "):rep(width - #names[k]) end
        out("  " .. table.concat(row):gsub("%s+$", ""))
    end
end

---Prints the help of one name, or the overview. Returns false if there is none.
---@param name? string
---@param out? fun(line: string)
function help.show(name, out)
    out = out or print
    local all = help.entries()
    if not name or name == "" then
        out("attn " .. attn._VERSION .. ": attn help NAME, or ?NAME in the session")
        for _, kind in ipairs {"layer", "function", "method"} do
            local names = {}
            for _, n in ipairs(sorted(all)) do
                if all[n].kind == kind then names[#names + 1] = n end
            end
            out("\n" .. kind .. "s")
            print_columns(names, out)
        end
        out("\ntopics")
        print_columns(sorted(topics), out)
        return true
    end
    name = name:gsub("^attn%.", ""):gsub("^t:", "tensor:"):gsub("%(.*$", "")
    local found = all[name] or all["tensor:" .. name] or all["loss." .. name] or all["layer." .. name]
    if not found and name:find(":") then found = all[name:match(":(.*)$")] end
    if found then
        out(found.signature)
        if found.text ~= "" then out("") out(found.text) end
        return true
    end
    if topics[name] then
        out(topics[name])
        return true
    end
    -- names that contain or resemble what was asked for
    local near = {}
    for _, n in ipairs(sorted(all)) do
        if n:find(name, 1, true) then near[#near + 1] = n end
    end
    out("there is no help for '" .. name .. "'" .. (#near > 0 and "; perhaps " .. table.concat(near, ", ", 1, math.min(8, #near)) or ""))
    return false
end

-- LuaLS annotations of everything: `attn help --stubs`
local function stubs()
    local all = help.entries()
    print("---@meta\n\n---@class attn.Tensor\n---@operator add(attn.Tensor|number): attn.Tensor\n---@operator sub(attn.Tensor|number): "
        .. "attn.Tensor\n---@operator mul(attn.Tensor|number): attn.Tensor\n---@operator div(attn.Tensor|number): attn.Tensor\n"
        .. "---@field shape integer[]\n---@field dtype string\n---@field grad attn.Tensor?\nlocal tensor = {}\n\nlocal attn = {}")
    local made, holds = {}, {}      -- holds: names that others stand under: of a module that is called too
    for name in pairs(all) do
        for at in name:gmatch("()%.") do holds[name:sub(1, at - 1)] = true end
    end
    for _, name in ipairs(sorted(all)) do
        local class = name:match("^(%w+):")
        if class and not made[class .. ":"] and class ~= "tensor" then
            made[class .. ":"] = true
            print(("\n---@class attn.%s\nlocal %s = {}"):format(class:gsub("^%l", string.upper), class))
        end
        for table_path in name:gmatch("()%.") do
            local prefix = name:sub(1, table_path - 1)
            if not made[prefix] then
                made[prefix] = true
                print("attn." .. prefix .. " = attn." .. prefix .. " or {}")
            end
        end
        print("\n---" .. (all[name].signature .. "\n" .. all[name].text):gsub("%s+$", ""):gsub("\n", "\n---"))
        if holds[name] then
            print(("attn.%s = setmetatable({}, {__call = function(_, ...) end})"):format(name))
        else
            print("function " .. (class and "" or "attn.") .. name .. "(...) end")
        end
    end
    print("\nreturn attn")
end

---attn help [--stubs | NAME...]
---@param args string[]
function help.main(args)
    if args[1] == "--stubs" then
        stubs()
        return 0
    end
    if #args == 0 then
        help.show()
        return 0
    end
    local good = true
    for _, name in ipairs(args) do good = help.show(name) and good end
    return good and 0 or 1
end

return help
