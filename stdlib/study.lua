-- study: an experiment stated once: options, tables of rows over seeds, claims.
--
-- Cells (a row with a seed) run in processes and leave files (study_cells.lua), values are samples over seeds (sample.lua), what is
-- printed is in study_print.lua. A script that is required runs nothing: only the file that the executable was given does.
local attn = require "attn"
local internal = require "attn.internal"
local cells = require "attn.study_cells"
local corpus = require "attn.corpus"
local digest = require "attn.digest"
local fields = require "attn.fields"
local options = require "attn.options"
local printing = require "attn.study_print"
local sample = require "attn.sample"
local whole = require "attn.whole"

local m = {sample = sample.of, unpaired = sample.unpaired, within = sample.within, bootstrap = sample.bootstrap}

local OWN = {quick = "flag", again = "flag", list = "flag", show = "flag", svg = "word", seeds = "word", only = "word", jobs = "word", threads = "word",
    shard = "word", results = "word", precision = "word", cell = "word"}
local HELP = {
    "  --quick              the quick options, one seed: every line runs once",
    "  --seeds N            how many seeds",
    "  --only TABLE[/ROW]   this table, or this row of it",
    "  --jobs N             how many cells at a time (as many as cores)",
    "  --threads N          threads of each cell (cores / jobs)",
    "  --precision bf16     products take inputs of that many bits (float32)",
    "  --shard I/N          every N-th cell, beginning with the I-th",
    "  --again              forgets results that are there",
    "  --results DIR        where results are kept (results)",
    "  --show               also texts and attention that the first cell of each row keeps",
    "  --svg DIR            these as DIR/TABLE-ROW-NAME.svg",
    "  --list               tables, rows, cells, what is done, minutes expected"}

local arguments = rawget(_G, "arg")
arguments = type(arguments) == "table" and table.move(arguments, -100, #arguments, -100, {}) or {}
local cores = attn.threads()

---@class Study
---@field options table<string, any> as the command line made them
---@field quick boolean
---@field seeds integer
local Study = {__name = "study"}
Study.__index = Study

function Study:__tostring()
    return ("study  %s  %d tables, %d claims%s"):format(self.name, #self.tables, #self.claims, self.active and "" or "  (required: does not run)")
end

local function copy(value)
    if type(value) ~= "table" or debug.getmetatable(value) then return value end
    local new = {}
    for name, entry in pairs(value) do new[name] = copy(entry) end
    return new
end

local function is_group(value) return type(value) == "table" and type(next(value)) == "string" and not debug.getmetatable(value) end

-- Options with the changes of a row, groups field by field.
local function merge(base, changes)
    local cfg = copy(base)
    for name, value in pairs(changes) do
        cfg[name] = is_group(value) and is_group(cfg[name]) and merge(cfg[name], value) or copy(value)
    end
    return cfg
end

local function whole_number(special, name, default)
    if special[name] == nil then return default end
    local n = math.tointeger(tonumber(special[name]))
    if not n or n < 1 then options.fail(("--%s is '%s', expected an integer above 0"):format(name, special[name])) end
    return n
end

local function read_arguments(self, cfg, reader)
    local actions, special = reader:arguments(table.move(arguments, 1, #arguments, 1, {}), OWN)
    if special.help then
        reader:help(HELP)
        os.exit(0, true)
    end
    self.quick = special.quick == true
    if self.quick then reader:take(cfg.quick or {}, "", "quick") end
    reader:apply(actions, special)
    self.seeds = whole_number(special, "seeds", self.quick and 1 or cfg.seeds)
    self.cores, self.jobs, self.threads = cores, whole_number(special, "jobs", cores), whole_number(special, "threads")
    self.again, self.listing, self.only, self.cell = special.again, special.list, special.only, special.cell
    self.show, self.svg = special.show, special.svg
    self.results = (special.results or self.results):gsub("(.)/+$", "%1")
    if special.shard then
        local i, n = special.shard:match "^(%d+)/(%d+)$"
        i, n = math.tointeger(tonumber(i)), math.tointeger(tonumber(n))
        if not i or not n or i < 1 or i > n then
            options.fail(("--shard is '%s', expected I/N with I from 1 to N"):format(special.shard))
        end
        self.shard = {i, n}
    end
    if self.threads then attn.threads(self.threads) end
    self.data, self.precision = special.data, special.precision
    if self.precision and self.precision ~= "float32" and self.precision ~= "bf16" then
        options.fail(("--precision is '%s', expected float32 or bf16"):format(self.precision))
    end
end

---States a study: {options =, quick =, seeds = 3, system =, paper =, name =}.
---@param cfg table
---@return Study
local function new(_, cfg)
    cfg = fields.read("study", cfg, {{"name", "string"}, {"system", "any"}, {"paper", "string"}, {"options", "table"}, {"quick", "table"},
        {"seeds", "integer", 3}, {"about", "string"}})
    if cfg.seeds < 1 then error(("study: seeds is %d, expected at least 1"):format(cfg.seeds), 2) end
    local source = debug.getinfo(2, "S").source
    local reader = options.reader(cfg.options or {}, "study")
    for taken in pairs(OWN) do
        if reader.leaves[taken] ~= nil then error(("study: the option '%s' is the study's own"):format(taken), 2) end
    end
    local self = setmetatable({tables = {}, claims = {}, system = cfg.system, paper = cfg.paper, about = cfg.about, quick = false,
        seeds = cfg.seeds, results = "results", jobs = cores, cores = cores, arguments = arguments}, Study)
    digest.opaque[self] = true
    self.active = arguments[0] ~= nil and source == "@" .. arguments[0] and arguments[-1] ~= nil
    self.name = cfg.name or (source:match "([^/@]+)%.lua$" or source:match "([^/@=]+)$" or "study")
    if self.active then
        read_arguments(self, cfg, reader)
    end
    self.options = reader:result()
    if self.data and self.options.data == nil then self.options.data = self.data end
    if self.precision == "bf16" then self.options.precision = self.precision end      -- float32: nothing, so that results stay
    self.folder = self.results .. "/" .. self.name
    return self
end

-- ---- tables ----

local spec_of = setmetatable({}, {__mode = "k"})        -- of what scripts hold: a table, a row

local Row, Table = {__name = "study row"}, {__name = "study table"}

local function value_of(t, row, seed, name)
    local cell = row.cells and row.cells[seed]
    local where = ("%s/%s"):format(t.name, row.label)
    if not cell then return nil, where .. " has not run" end
    if not cell.result then
        if row.table.missing then return nil, sample.unmeasured(where .. " needs data: " .. row.table.missing:match "[^\n]*") end
        return nil, where .. (cell.failure and " failed: " .. cell.failure.error or " has not run")
    end
    local value = cell.result.values[name]
    if value ~= nil then return value end
    return nil, ("%s gives no '%s' (it gives %s)"):format(where, name, table.concat(fields.names(cell.result.values), ", "))
end

function Row:__index(name)
    local row = spec_of[self]
    if type(name) ~= "string" then error(("study: a value of a row has a name, not %s"):format(tostring(name)), 2) end
    return sample.lazy(function() return row.table.seeds end, function(seed) return value_of(row.table, row, seed, name) end)
end
function Row:__tostring() return ("row %s/%s"):format(spec_of[self].table.name, spec_of[self].label) end

function Table:__index(label)
    local t = spec_of[self]
    local row = t.by_label[tostring(label)]
    if row then return row.proxy end
    local labels = {}
    for i, one in ipairs(t.rows) do labels[i] = one.label end
    error(("study: table '%s' has no row '%s'%s"):format(t.name, tostring(label), fields.suggest(tostring(label), labels)), 2)
end
function Table:__call(changes)
    local t = spec_of[self]
    local found
    for _, row in ipairs(t.rows) do
        local same = type(changes) == "table"
        for name, value in pairs(same and changes or {}) do same = same and row.changes[name] == value end
        if same and found then error(("study: more than one row of table '%s' is like that"):format(t.name), 2) end
        if same then found = row end
    end
    if not found then error(("study: no row of table '%s' is like that"):format(t.name), 2) end
    return found.proxy
end
function Table:__len() return #spec_of[self].rows end
function Table:__tostring() return ("table %s, %d rows"):format(spec_of[self].name, #spec_of[self].rows) end

local function add_row(t, label, changes)
    label = tostring(label)
    if t.by_label[label] then error(("study: table '%s' has two rows '%s'"):format(t.name, label), 3) end
    local row = {label = label, changes = merge(t.options or {}, changes), table = t, proxy = setmetatable({}, Row)}
    spec_of[row.proxy] = row
    digest.opaque[row.proxy] = true
    t.rows[#t.rows + 1], t.by_label[label] = row, row
end

local function text_of(value) return type(value) == "table" and "{" .. options.text(value) .. "}" or tostring(value) end

local function add_grid(t, grid)
    local names = {}
    for name, list in pairs(grid) do
        if type(name) ~= "string" or type(list) ~= "table" or #list == 0 then
            error(("study: grid of table '%s': '%s' is no list of values"):format(t.name, tostring(name)), 3)
        end
        names[#names + 1] = name
    end
    table.sort(names)
    local function step(k, changes, words)
        local name = names[k]
        if not name then
            add_row(t, table.concat(words, " "), changes)
            return
        end
        for _, value in ipairs(grid[name]) do
            local with = table.move(words, 1, #words, 1, {})
            with[#with + 1] = name .. "=" .. text_of(value)
            local more = {[name] = value}
            for other, one in pairs(changes) do more[other] = one end
            step(k + 1, more, with)
        end
    end
    step(1, {}, {})
end

-- What is missing of the data sets that a table needs.
local function needs(self, names)
    for _, name in ipairs(type(names) == "table" and names or {names}) do
        if type(name) ~= "string" or not corpus.reader(name) then
            error(("study:table: data has %s, expected the name of a data set: %s"):format(
                type(name) == "string" and "'" .. name .. "'" or fields.describe(name), table.concat(corpus.names(), ", ")), 3)
        end
        local why = self.active and corpus.missing(name, self.options.data)
        if why then return why end
    end
end

---A table of the study: {name =, run =, vary = {{label, field = value}, ...} | grid = {field = {...}}, about =, synthetic =, data =,
---options =, jobs =, seeds =, columns =, better = {name = "more" | "less" | "none"}}.
---@param cfg table
---@return table its rows by label, their values by name
function Study:table(cfg)
    cfg = fields.read("study:table", cfg, {{"name", "string"}, {"about", "string"}, {"synthetic", "boolean"}, {"data", "any"},
        {"vary", "table"}, {"grid", "table"}, {"run", "function"}, {"jobs", "integer"}, {"seeds", "integer"}, {"columns", "table"},
        {"better", "table"}, {"options", "table"}})
    if not cfg.name or not cfg.run then error(("study:table: %s is missing"):format(cfg.name and "run" or "name"), 2) end
    if cfg.vary and cfg.grid then error(("study:table: table '%s' has vary and grid, expected one of them"):format(cfg.name), 2) end
    for _, other in ipairs(self.tables) do
        if other.name == cfg.name then error(("study:table: there are two tables '%s'"):format(cfg.name), 2) end
    end
    local t = cfg
    t.missing = needs(self, t.data == nil and {} or t.data)
    t.rows, t.by_label, t.cells = {}, {}, {}
    local count = self.seeds
    if t.seeds then count = math.min(t.seeds, count) end
    t.seeds = {}
    for seed = 1, count do t.seeds[seed] = seed end
    if t.grid then
        add_grid(t, t.grid)
    elseif t.vary then
        for i, row in ipairs(t.vary) do
            if type(row) ~= "table" or (type(row[1]) ~= "string" and type(row[1]) ~= "number") then
                error(("study:table: row %d of table '%s' has no label: expected {\"label\", field = value}"):format(i, t.name), 2)
            end
            local changes = {}
            for name, value in pairs(row) do
                if name ~= 1 then changes[name] = value end
            end
            add_row(t, row[1], changes)
        end
    else
        add_row(t, t.name, {})
    end
    self.tables[#self.tables + 1] = t
    local proxy = setmetatable({}, Table)
    spec_of[proxy] = t
    digest.opaque[proxy] = true
    return proxy
end

---A claim: {text, sample, at_least = | at_most = | between = {a, b}, exact =, level = 0.95} or {text, function}, which returns a
---boolean and the words measured.
---@param claim table
function Study:claim(claim)
    if type(claim) ~= "table" or type(claim[1]) ~= "string" then error("study:claim: expected {text, sample or function, ...}", 2) end
    local known = {at_least = "number", at_most = "number", between = "table", exact = "boolean", level = "number", id = "string"}
    for name, value in pairs(claim) do
        if name ~= 1 and name ~= 2 then
            if not known[name] then
                error(("study:claim: unknown field '%s' (known: at_least, at_most, between, exact, level, id)"):format(tostring(name)), 2)
            elseif type(value) ~= known[name] then
                error(("study:claim: %s is a %s, expected a %s"):format(name, type(value), known[name]), 2)
            end
        end
    end
    local bounds = (claim.at_least and 1 or 0) + (claim.at_most and 1 or 0) + (claim.between and 1 or 0)
    if type(claim[2]) == "function" then
        if bounds > 0 then error("study:claim: a function says itself whether it holds, at_least, at_most and between are for samples", 2) end
    elseif not sample.is_sample(claim[2]) then
        error(("study:claim: '%s' is about a %s, expected a sample or a function"):format(claim[1], type(claim[2])), 2)
    elseif bounds ~= 1 then
        error("study:claim: expected one of at_least, at_most, between", 2)
    end
    local b = claim.between
    if b and not (type(b[1]) == "number" and type(b[2]) == "number" and b[1] <= b[2]) then
        error("study:claim: between must be two numbers, the smaller first", 2)
    end
    self.claims[#self.claims + 1] = copy(claim)
end

-- ---- running ----

-- What JSON has of options; functions and objects as words.
local function plain_options(cfg)
    local out = {}
    for name, value in pairs(cfg) do
        local kind = type(value)
        if kind == "table" and not debug.getmetatable(value) then
            out[name] = plain_options(value)
        elseif kind == "number" or kind == "string" or kind == "boolean" then
            out[name] = value
        else
            out[name] = kind
        end
    end
    return out
end

local function make_cells(self)
    local list = {}
    for _, t in ipairs(self.tables) do
        for _, row in ipairs(t.rows) do
            row.cells = {}
            for _, seed in ipairs(t.seeds) do
                local cell = {table = t, row = row, seed = seed, index = #list + 1, cfg = merge(self.options, row.changes)}
                list[#list + 1], t.cells[#t.cells + 1], row.cells[seed] = cell, cell, cell
            end
        end
    end
    return list
end

-- Which rows --only names.
local function selection(self)
    if not self.only then return function() return true end end
    local name, label = self.only, nil
    local function find(wanted)
        for _, t in ipairs(self.tables) do
            if t.name == wanted then return t end
        end
    end
    local t = find(name)
    if not t then
        for at in self.only:gmatch "()/" do
            t = t or find(self.only:sub(1, at - 1))
            if t and not label then label = self.only:sub(at + 1) end
        end
    end
    local names = {}
    for i, one in ipairs(self.tables) do names[i] = one.name end
    if not t then options.fail(("--only: no table '%s'%s"):format(name:match "^[^/]*", fields.suggest(name:match "^[^/]*", names))) end
    if label and not t.by_label[label] then
        local labels = {}
        for i, row in ipairs(t.rows) do labels[i] = row.label end
        options.fail(("--only: table '%s' has no row '%s'%s"):format(t.name, label, fields.suggest(label, labels)))
    end
    return function(one, row) return one == t and (not label or row.label == label) end
end

-- What the report needs beside the cells' files.
local function summary(self)
    local out = {study = self.name, paper = self.paper, system = self.system, about = self.about, quick = self.quick,
        script = arguments[0], seeds = self.seeds, options = plain_options(self.options), attn = attn._VERSION,
        arguments = table.move(arguments, 1, #arguments, 1, {}), finished = os.date "!%Y-%m-%dT%H:%M:%SZ", tables = {}, claims = {}}
    for i, t in ipairs(self.tables) do
        local one = {name = t.name, about = t.about, synthetic = t.synthetic or false, data_missing = t.missing,
            columns = printing.columns(t), better = printing.better(t), rows = {}}
        for k, row in ipairs(t.rows) do
            local files = {}
            for j, seed in ipairs(t.seeds) do
                local cell = row.cells[seed]
                files[j] = {seed = seed, file = cell.stem .. (cell.result and ".json" or ".failed.json"),
                    state = cell.result and "done" or cell.failure and "failed" or "missing"}
            end
            one.rows[k] = {label = row.label, changes = plain_options(row.changes), cells = files}
        end
        out.tables[i] = one
    end
    for i, claim in ipairs(self.claims) do
        local j = claim.judged
        out.claims[i] = {text = claim[1], id = claim.id, at_least = claim.at_least, at_most = claim.at_most, between = claim.between,
            exact = claim.exact, level = claim.level, verdict = j.verdict, why = j.why, words = j.words, mean = j.mean, low = j.low,
            high = j.high, values = j.values, seeds = j.seeds}
    end
    return out
end

local function write_summary(self)
    local path = self.folder .. (self.quick and "/quick.json" or "/study.json")
    local text = attn.json.encode(whole.plain(summary(self)), 2) .. "\n"
    for _ = 1, 500 do               -- shards end at any time
        local lock <close> = attn.lock(self.folder .. "/.locks/study")
        if lock then
            local ok, why = whole.write(path, text)
            if not ok then options.fail(("study: %s cannot be written: %s"):format(path, why)) end
            return
        end
        internal.sleep(0.01)
    end
end

local function run(self)
    local all = make_cells(self)
    if self.cell then
        local index, key = self.cell:match "^(%d+)/(%x+)$"
        local cell = all[tonumber(index)]
        if not cell then options.fail(("--cell is '%s', which this study has not"):format(self.cell)) end
        cells.identify(self, cell)
        cells.run_here(self, cell, key)
    end
    local wanted = selection(self)
    local list = {}
    for _, cell in ipairs(all) do
        cells.identify(self, cell)
        local mine = not self.shard or (cell.index - 1) % self.shard[2] + 1 == self.shard[1]
        if mine and wanted(cell.table, cell.row) and not cell.table.missing then list[#list + 1] = cell end
    end
    if self.listing then
        for _, cell in ipairs(all) do cells.load(cell) end
        printing.list(self, wanted)
        return
    end
    local ok, why = pcall(cells.open, self)
    if not ok then options.fail(("--results: %s"):format(why)) end
    if self.again then
        for _, cell in ipairs(list) do cells.forget(self, cell) end
    end
    io.stdout:flush()
    local tell, clear = printing.progress()
    cells.run(self, list, tell)
    clear()
    for _, cell in ipairs(all) do cells.load(cell) end
    for _, claim in ipairs(self.claims) do claim.judged = sample.judge(claim) end
    printing.report(self, wanted)
    write_summary(self)
    local failed = 0
    for _, cell in ipairs(list) do
        if not cell.result then failed = failed + 1 end
    end
    if failed > 0 then
        io.stdout:flush()
        options.fail(("study: %d of %d cells failed; what they printed is in %s/.output"):format(failed, #list, self.folder))
    end
end

---Runs the study if its script is what the executable was given, and returns `exports`; only returns them if it was required.
---@param exports? table
---@return table
function Study:main(exports)
    if self.active then run(self) end
    return exports or {}
end

Study.plain_options = plain_options

attn.describe{name = "study", signature = "study{options =, quick =, seeds = 3, system =, paper =} -> study",
    help = "An experiment stated once: s.options are the options as the command line made them (see run.options), s:table adds\n"
        .. "a table, s:claim a claim, s:main runs it. Every row and seed is a cell, run in a process of its own, --jobs at a\n"
        .. "time; its result is a file in results/NAME, so that an interrupted study goes on, a new row runs alone, and code\n"
        .. "or options that were changed run again (what run does and captures counts, not comments, claims or other rows;\n"
        .. "data files and the library do not). precision = \"bf16\" in the options or a row runs cells at that (attn.precision).\n"
        .. "--quick --seeds N --only TABLE[/ROW] --jobs N --threads N --precision bf16 --shard I/N --again --results DIR --list:\n"
        .. "see --help of the script. A folder shared by machines needs locks (flock) that hold there.",
    example = 'local study = require "attn.study"\nlocal paper = study{options = {steps = 100}, quick = {steps = 5}, seeds = 3}\n'
        .. 'local t = paper:table{name = "noise", vary = {{"small", by = 0.1}, {"large", by = 2}},\n'
        .. '    run = function(cfg, cell) return {spread = (attn.randn(cfg.steps) * cfg.by):std():item()} end}\n'
        .. 'paper:claim{"large is larger", t.large.spread - t.small.spread, at_least = 1}\nreturn paper:main{}'}
attn.describe{name = "study:table",
    signature = "s:table{name =, run =, vary = | grid =, options =, about =, synthetic =, data =, jobs =, seeds =, columns =, better =}",
    help = "A table: vary is a list of rows {label, field = value, ...}, grid = {field = {values}} all combinations, labelled\n"
        .. "\"dim=4 score=dot\". run(cfg, cell) gets the options with the changes of the table (options = {...}) and of\n"
        .. "the row and returns numbers by name; attn.seed was called with cell.seed. cell:log{step =, loss =} adds to its\n"
        .. "curves, cell:curve(losses) those of all steps, as 200 points. cell:keep(name, tensor or string [, how]) keeps\n"
        .. "something for the report and --show: [T] is a curve, [Tq, Tk] to [L, H, Tq, Tk] are attention maps, how = {rows =,\n"
        .. "columns =} their words (weights of padding behind them are cut off); {tokens =} shades a text by weights [T],\n"
        .. "{as = \"image\", titles =, path =} are pictures (show.image), {over = picture} weights over one (show.overlay).\n"
        .. "cell:train(fields of train.loop) trains with a checkpoint, so that an interrupted cell goes on, and logs the losses.\n"
        .. "data = \"NAME\", or a list, says which data sets (attn.corpus) it needs: where they are missing it is skipped, and\n"
        .. "claims about it are \"not measured\"; cfg.data is --data. jobs = 1 runs its cells alone, with all threads; seeds = N at\n"
        .. "most N seeds; columns names the values to print, better = {name = \"more\" | \"less\" | \"none\"} which is best. The result\n"
        .. "has rows by label or by fields, t[\"small\"], t{by = 0.1}, and these values by name: samples over seeds (study.sample).",
    example = 'local study = require "attn.study"\nlocal paper = study{options = {steps = 100}, quick = {steps = 5}, seeds = 3}\n'
        .. 'local t = paper:table{name = "scores", grid = {score = {"dot", "additive"}, dim = {4, 8}},\n'
        .. '    run = function(cfg, cell) return {accuracy = attn.rand(1):item()} end}\nlocal gain = t["dim=4 score=dot"].accuracy - t{dim = 8, score = "dot"}.accuracy'}
attn.describe{name = "study:claim", signature = "s:claim{text, sample, at_least = | at_most = | between = {a, b}, level = 0.95, exact = false}",
    help = "A claim, with its verdict: holds or fails where the whole interval of the mean says so, else undecided, as with fewer\n"
        .. "than three seeds, NaN or a missing cell; not measured where its table's data are missing. exact = true: no chance is in it, every seed must say so, one is enough.\n"
        .. "{text, function} returns a boolean and the words measured.",
    example = 'local study = require "attn.study"\nlocal paper = study{options = {steps = 100}, quick = {steps = 5}, seeds = 3}\n'
        .. 'local t = paper:table{name = "position", vary = {{"inner"}, {"outer"}}, run = function() return {place = attn.rand(1):item()} end}\n'
        .. 'paper:claim{"inner attention is not late", t.inner.place - t.outer.place, at_most = 0}\n'
        .. 'paper:claim{"a place is a share", function() return t.inner.place:mean() < 1, "below one" end}'}
attn.describe{name = "study:main", signature = "s:main(exports) -> exports",
    help = "The end of the script: runs the study if this script is the one that was started, prints tables (the best marked *),\n"
        .. "claims and result lines, and fails if a cell did. A script that is required (attn -I DIR, LUA_PATH) only gives exports.",
    example = 'local study = require "attn.study"\nlocal paper = study{options = {steps = 100}, quick = {steps = 5}, seeds = 3}\nreturn paper:main{}'}

return setmetatable(m, {__call = new})
