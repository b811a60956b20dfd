-- corpus: data sets read into tables, from the folder that --data or $ATTN_DATA names. Nothing is downloaded.
--
-- A reader is a file of its own, corpus_NAME.lua (a script's own: package.preload["attn.corpus_NAME"]), and returns
--
--     {folder = "sick",                   of the data directory
--      files = {"train.tsv", ...},        that must be there, plain or gzip
--      origin = "SICK (...): ...",        what it is and where to get it, in words
--      read = function(path, options)     path(file) is where that file is
--          return {train = {record, ...}, dev = {...}, test = {...}}
--      end}
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}

---The names of the readers that this build has, sorted.
---@return string[]
function m.names()
    local list = {}
    for _, module in ipairs(internal.modules()) do list[#list + 1] = module:match "^corpus_([%w_]+)$" end
    table.sort(list)
    return list
end

---The reader of a data set; nil if there is none.
---@param name string
---@return {folder: string, files: string[], origin: string, read: function}?
function m.reader(name)
    if type(name) ~= "string" then
        error(("corpus.reader: name is %s, expected a string"):format(fields.describe(name)), 2)
    end
    local module = "attn.corpus_" .. name
    local ok, reader = pcall(require, module)
    if ok then return reader end
    if not tostring(reader):find(("module '%s' not found"):format(module), 1, true) then error(reader, 0) end
end

local function known(where, name)
    local reader = m.reader(name)
    if reader then return reader end
    local names = m.names()
    error(("%s: there is no data set '%s'%s (known: %s)"):format(where, name, fields.suggest(name, names),
        table.concat(names, ", ")), 3)
end

-- Where the files of a data set are; nil and what to do if one is not there.
local function find(reader, folder)
    local data, paths = require "attn.data", {}
    for _, file in ipairs(reader.files) do
        local path, why = data.find(reader.folder .. "/" .. file, folder)
        if not path then return nil, why end
        paths[file] = path
    end
    return paths
end

---What is missing of a data set, and where it comes from; nil if all its files are there.
---@param name string
---@param folder? string the data directory (default: --data or $ATTN_DATA)
---@return string?
function m.missing(name, folder)
    local paths, why = find(known("corpus.missing", name), folder)
    return not paths and why or nil
end

---The parts of a data set whose files have a record a line, or some lines a record.
---@param name string the reader's, for messages
---@param path fun(file: string): string as `read` of a reader has it
---@param files table<string, string> part -> file
---@param parse fun(line: string, number: integer): any, string? the record that ends with this line, which is the number-th of its
---part; nil if none does; nil and why (" has no number") if the line is wrong
---@param limit? integer so many records of a part
---@return table<string, any[]>
function m.lines(name, path, files, parse, limit)
    local sets = {}
    for part, file in pairs(files) do
        local set = {}
        for i, line in ipairs(attn.lines(path(file))) do
            if #set == limit then break end
            local record, why = parse(line, #set + 1)
            if why then error(("corpus.%s: %s: line %d%s"):format(name, file, i, why), 0) end
            set[#set + 1] = record
        end
        sets[part] = set
    end
    return sets
end

setmetatable(m, {__index = function(_, name)
    if type(name) ~= "string" then return nil end
    local here, reader = "corpus." .. name, known("corpus", name)
    local function read(folder, options)
        if folder ~= nil and type(folder) ~= "string" then
            error(("%s: folder is %s, expected the data directory"):format(here, fields.describe(folder)), 2)
        end
        local paths, why = find(reader, folder)
        if not paths then error(("%s: %s"):format(here, why), 2) end
        return reader.read(function(file)
            return paths[file] or error(("%s: '%s' is none of the reader's files"):format(here, tostring(file)), 2)
        end, options or {})
    end
    m[name] = read
    return read
end})

attn.describe{name = "corpus", signature = "corpus.NAME([folder [, options]]) -> {train = {record, ...}, dev =, test =}",
    help = "A data set, read from the folder of its name in the data directory: folder, or what --data DIR or $ATTN_DATA\n"
        .. "name. Records are tables by name, a text is a list of words, classes count from 1; some readers have more parts,\n"
        .. "or take options. Where files are missing the error says what they are and where to get them. A table of a study\n"
        .. "says data = \"NAME\" and is skipped without them.",
    example = 'local corpus = require "attn.corpus"\n'
        .. 'for _, name in ipairs(corpus.names()) do print(name, corpus.reader(name).origin) end\n'
        .. 'if not corpus.missing "multi30k" then print(#corpus.multi30k().train) end'}
attn.describe{name = "corpus.names", signature = "names() -> list of strings",
    help = "The data sets that this build has a reader for, sorted.",
    example = 'print(table.concat(require "attn.corpus".names(), " "))'}
attn.describe{name = "corpus.missing", signature = "missing(name [, folder]) -> nil or message",
    help = "What is missing of a data set, and where it comes from; nil if all its files are there.",
    example = 'print(require "attn.corpus".missing("multi30k", "no/such/folder"))'}
attn.describe{name = "corpus.lines", signature = "lines(name, path, {PART = file ...}, parse(line, number) [, limit]) -> {PART = records ...}",
    help = "What a reader of files with a record a line, or some lines a record, returns: parse gives the record that ends with a\n"
        .. "line and is to be the number-th of its part, nil if none does, or nil and why (\" has no label\") if the line is wrong,\n"
        .. "which is an error that names the reader, file and line; at most limit records of a part.",
    example = 'local path = os.tmpname()\nio.open(path, "w"):write("1 a good film\\n0 a bad one\\n"):close()\n'
        .. 'local sets = require "attn.corpus".lines("films", function() return path end, {train = "train.txt"}, function(line)\n'
        .. '    local label, words = line:match "^([01]) (.*)$"\n'
        .. '    if not label then return nil, " has no label" end\n'
        .. '    return {class = label + 1, words = attn.text.split(words)}\nend)\nprint(#sets.train)\nos.remove(path)'}
attn.describe{name = "corpus.reader", signature = "reader(name) -> {folder =, files =, origin =, read =} or nil",
    help = "The reader of a data set: its folder in the data directory, the files that must be there, plain or gzip, where\n"
        .. "they come from, and read(path, options), path(file) being where a file is. One of your own: a file\n"
        .. "corpus_NAME.lua in a folder attn of LUA_PATH, or package.preload[\"attn.corpus_NAME\"].",
    example = 'print(require "attn.corpus".reader("multi30k").origin)'}

return m
