-- run: the folder of a run. The options of its script are options.lua's.
--
-- A run is a folder, runs/NAME-DATE-ID:
--     config.json      options as they were, program, machine
--     metrics.jsonl    one object a line, only ever added to; a torn last line is passed over by readers
--     log.txt          what was printed
--     checkpoints/     step-NNNNNN-CRC.safetensors: the name holds the checksum of the file, so that the newest valid
--                      one can be told without an index that could disagree with the files
--     loops/NAME/      metrics.jsonl and checkpoints/ of a train.loop that has a name
--     script.lua       a copy
--     lock             held by the process that writes here, given back by the system however that process ends
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"
local options = require "attn.options"
local whole = require "attn.whole"

local m = {options = options.read}
local fail, plain = options.fail, whole.plain

local function exists(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

local function write_whole(path, content)
    local ok, why = whole.write(path, content)
    if not ok then fail(("run: %s cannot be written: %s"):format(path, why)) end
end

---The runs in a folder, the oldest first: what their config.json says, with `folder` and `path`.
---@param root string
---@return table[]
function m.list(root)
    local list = {}
    local ok, names = pcall(attn.list_folder, root)
    if not ok then return list end
    table.sort(names)
    for _, name in ipairs(names) do
        local path = root .. "/" .. name
        if exists(path .. "/config.json") then
            local good, config = pcall(options.read_json, path .. "/config.json", "run")
            if good and type(config) == "table" and type(config.id) == "string" and type(config.options) == "table" then
                config.folder, config.path = name, path
                list[#list + 1] = config
            end
        end
    end
    table.sort(list, function(a, b)
        local x, y = tostring(a.started), tostring(b.started)
        if x ~= y then return x < y end
        return a.folder < b.folder
    end)
    return list
end

---The run that a word means: its folder's path or name, its id, or the beginning or end of its name.
---@param root string
---@param word string
---@return table config as `list` gives it
function m.find(root, word)
    word = word:gsub("/+$", "")
    local found, list = {}, m.list(root)
    for _, config in ipairs(list) do
        if config.folder == word or config.path == word or config.id == word then return config end
        if config.folder:sub(1, #word) == word or config.folder:sub(-#word) == word then found[#found + 1] = config end
    end
    if #found == 1 then return found[1] end
    if exists(word .. "/config.json") then
        local parent, folder = word:match("^(.*)/([^/]+)$")
        for _, config in ipairs(m.list(parent or ".")) do
            if config.folder == (folder or word) then return config end
        end
        fail(("run: %s/config.json is not that of a run"):format(word))
    end
    if #found > 1 then
        local names = {}
        for i, config in ipairs(found) do names[i] = config.folder end
        fail(("run: '%s' can be %s"):format(word, table.concat(names, " or ")))
    end
    local names = {}
    for _, config in ipairs(list) do
        names[#names + 1] = config.folder
        names[#names + 1] = config.id
    end
    fail(("run: no run '%s' in %s%s"):format(word, root, fields.suggest(word, names)))
end

---The records of a metrics.jsonl. Lines that are torn are passed over; what a run wrote after the checkpoint from
---which it was resumed later was written again, and counts once.
---@param path string
---@return table[]
function m.metrics(path)
    local records = {}
    local file = io.open(path, "rb")
    local content = file and file:read("a")
    if file then file:close() end
    for line in (content or ""):gmatch("[^\n]+") do        -- a folder of that name has no content
        local ok, record = pcall(attn.json.decode, line)
        if ok and type(record) == "table" then
            if record.event == "resume" and math.type(record.step) == "integer" then
                local kept = {}
                for _, one in ipairs(records) do
                    if one.event or math.type(one.step) ~= "integer" or one.step <= record.step then
                        kept[#kept + 1] = one
                    end
                end
                records = kept
            end
            records[#records + 1] = record
        end
    end
    return records
end

-- Metrics and checkpoints of one loop, in a folder. A run is one itself; its loops that have names are others.
---@class Part
---@field path string the folder
---@field id string of the run
---@field resumed boolean
---@field sound table<string, boolean> checkpoints that were looked at in this life of the run: true if read, false if damaged
---@field written table<string, boolean> checkpoints that this life wrote
---@field began number when this life began, by attn.clock
local Part = {}
Part.__index = Part
Part.__name = "run"

---@class Run : Part
---@field name string
---@field options table<string, any>
---@field parts table<string, Part>
local Run = setmetatable({}, {__index = Part})
Run.__index = Run
Run.__name = "run"

function Run:__tostring() return ("run  %s%s"):format(self.path, self.resumed and "  resumed" or "") end

---Adds a record to metrics.jsonl; one without `seconds` gets those since the run was started or resumed.
---@param record table of numbers, strings, booleans; fields `step` and `split` by custom
function Part:record(record)
    if record.seconds == nil then
        local timed = {seconds = attn.clock() - self.began}
        for name, value in pairs(record) do timed[name] = value end
        record = timed
    end
    local path = self.path .. "/metrics.jsonl"
    if not self.file then
        local torn = false
        local old = io.open(path, "rb")
        if old then
            torn = old:seek("end") > 0 and old:seek("end", -1) and old:read(1) ~= "\n"
            old:close()
        end
        local file, why = io.open(path, "ab")
        if not file then fail(("run: %s"):format(why)) end
        self.file = file
        if torn then file:write("\n") end
    end
    local ok, why = self.file:write(attn.json.encode(plain(record)), "\n")
    if ok then ok, why = self.file:flush() end
    if not ok then fail(("run: %s cannot be written: %s"):format(path, why)) end
end

---The checkpoints, the newest first. Only names are looked at; a name that `save` does not give is passed over.
---@return {step: integer, path: string, sum: string}[]
function Part:checkpoints()
    local list, folder = {}, self.path .. "/checkpoints"
    for _, name in ipairs(attn.list_folder(folder)) do
        local digits, sum = name:match("^step%-(%d+)%-(%x%x%x%x%x%x%x%x)%.safetensors$")
        local step = digits and math.tointeger(tonumber(digits))
        if step and ("%06d"):format(step) == digits then
            list[#list + 1] = {step = step, path = folder .. "/" .. name, sum = sum}
        end
    end
    table.sort(list, function(a, b)
        if a.step ~= b.step then return a.step > b.step end
        return a.path < b.path
    end)
    return list
end

-- What a checkpoint holds, or nil and how its checksum is wrong. Whatever else is in the way (memory, rights, a disk that
-- fails, a checkpoint of another run) says nothing against the file, so it is an error.
local function read_checkpoint(self, one)
    local sum = attn.crc32(one.path)
    if sum ~= one.sum then
        self.sound[one.path] = false
        return nil, ("its checksum is %s, not %s"):format(sum, one.sum)
    end
    local ok, saved = pcall(attn.load, one.path)
    if not ok then fail(("run: %s cannot be used: %s"):format(one.path, tostring(saved))) end
    if saved.run == nil or saved.step ~= one.step then
        fail(("run: %s is not a checkpoint of step %d of a run"):format(one.path, one.step))
    end
    if saved.run ~= self.id then
        fail(("run: %s belongs to the run %s, this one is %s"):format(one.path, tostring(saved.run), self.id))
    end
    self.sound[one.path] = true
    return saved
end

-- Whether this checkpoint may go: this life of the run wrote it, or one that is as new has been read back.
local function dispensable(self, one, list)
    if self.written[one.path] then return true end
    for _, other in ipairs(list) do
        if other.step < one.step then break end
        if self.written[other.path] and self.sound[other.path] == nil and not list.unread then
            local ok, saved, why = pcall(read_checkpoint, self, other)
            if not (ok and saved) then
                list.unread = true          -- for this once: what failed may have been no more than memory
                print(("run: older checkpoints stay: %s"):format(ok and other.path .. ": " .. why or tostring(saved)))
            end
        end
        if other.path ~= one.path and self.sound[other.path] then return true end
    end
    return false
end

---Saves a checkpoint of a step. The file gets its name when it is whole on the disk.
---@param step integer
---@param state table see `attn.save`
---@return string path
function Part:save(step, state)
    if math.type(step) ~= "integer" or step < 0 then
        error(("run:save: step is %s, expected an integer of at least 0"):format(tostring(step)), 2)
    end
    local saved = {run = self.id, step = step}
    for name, value in pairs(state) do saved[name] = value end
    local folder = self.path .. "/checkpoints/"
    local partial = folder .. ("step-%06d.partial"):format(step)
    attn.save(partial, saved)
    local sum = attn.crc32(partial)
    local path = folder .. ("step-%06d-%s.safetensors"):format(step, sum)
    local ok, why = os.rename(partial, path)
    if not ok then fail(("run: %s cannot be written: %s"):format(path, why)) end
    self.written[path], self.sound[path] = true, nil
    local list = self:checkpoints()
    for _, other in ipairs(list) do
        if other.step == step and other.path ~= path and dispensable(self, other, list) then os.remove(other.path) end
    end
    return path
end

---Removes all checkpoints but the newest `count` and those of the steps in `steps`. What an earlier life of the run wrote stays
---until a newer one has been read back; damaged ones do not count.
---@param count integer
---@param steps? table<integer, any>
function Part:prune(count, steps)
    local list, kept = self:checkpoints(), 0
    for _, one in ipairs(list) do
        if self.sound[one.path] ~= false then kept = kept + 1 end
        local wanted = kept <= count and self.sound[one.path] ~= false or steps and steps[one.step]
        if not wanted and dispensable(self, one, list) then os.remove(one.path) end
    end
end

---What the checkpoint of a step holds; an error if it is not there or damaged.
---@param step integer
---@return table
function Part:at(step)
    local why
    for _, one in ipairs(self:checkpoints()) do
        if one.step == step then
            local saved, wrong = read_checkpoint(self, one)
            if saved then return saved end
            why = ("run: %s cannot be used: %s"):format(one.path, wrong)
        end
    end
    fail(why or ("run: %s has no checkpoint of step %s"):format(self.path, tostring(step)))
end

---What the newest valid checkpoint holds; those whose checksum is wrong are named and passed over. nil if there is none,
---an error if there are some and none can be used.
---@return table?
---@return string? path
function Part:newest()
    local list = self:checkpoints()
    for _, one in ipairs(list) do
        local saved, why = read_checkpoint(self, one)
        if saved then return saved, one.path end
        print(("run: %s is not used: %s"):format(one.path, why))
    end
    if #list > 0 then
        fail(("run: no checkpoint in %s can be used; move them away to begin again"):format(self.path .. "/checkpoints"))
    end
end

-- Metrics and checkpoints in a folder, which is made; what was being written when a process died is removed.
local function new_part(class, path, id, resumed)
    attn.mkdir(path .. "/checkpoints")
    for _, name in ipairs(attn.list_folder(path .. "/checkpoints")) do
        if name:match("%.partial$") then os.remove(path .. "/checkpoints/" .. name) end
    end
    return setmetatable({path = path, id = id, resumed = resumed, sound = {}, written = {}, began = attn.clock()},
        class)
end

---Metrics and checkpoints of the loop of that name, in a folder of their own; without a name the run's own.
---@param name? string
---@return Part
function Run:part(name)
    if name == nil then return self end
    if type(name) ~= "string" or name:find "[/%c]" or name:find "^%.?$" or name:find "^%." or #name > 100 then
        internal.raise(("run: a loop is called %s, expected up to 100 characters without '/', the first no '.'"):format(
            type(name) == "string" and ("'%s'"):format(name) or tostring(name)))
    end
    if not self.parts[name] then
        local path = self.path .. "/loops/" .. name
        attn.mkdir(self.path .. "/loops")
        attn.mkdir(path)
        self.parts[name] = new_part(Part, path, self.id, self.resumed)
    end
    return self.parts[name]
end

---A value that is found once in the life of a run (a number of steps for so many minutes, a split), and is the same
---when the run is resumed.
---@param name string
---@param make fun(): any what JSON has
---@return any
function Run:once(name, make)
    local path = self.path .. "/once.json"
    local known = exists(path) and options.read_json(path, "run") or {}
    if known[name] == nil then
        known[name] = make()
        write_whole(path, attn.json.encode(plain(known), 2) .. "\n")
    end
    return known[name]
end

---Tells `attn runs` that the run came to its end; what a script does not call is called when it comes to its own.
function Run:finish()
    if self.ended then return end
    self.ended = true
    self:record{event = "end", time = os.date("!%Y-%m-%dT%H:%M:%SZ")}
end

local function random_id()
    local file = io.open("/dev/urandom", "rb")
    local bytes = file and file:read(2)
    if file then file:close() end
    if not bytes then bytes = string.pack("<I2", math.floor(attn.clock() * 1e6) & 0xFFFF) end
    return ("%02x%02x"):format(bytes:byte(1, 2))
end

local function copy_script(folder)
    local args = rawget(_G, "arg")
    local source = type(args) == "table" and args[0]
    local file = type(source) == "string" and source ~= "-" and args[-1] ~= nil and io.open(source, "rb")
    local content = file and file:read("a")
    if file then file:close() end
    if content then write_whole(folder .. "/script.lua", content) end
    return type(source) == "string" and source:match("[^/]+$") or nil
end

local function take_lock(path)
    local lock, holder = attn.lock(path .. "/lock")
    if not lock then
        fail(("run: %s is in use%s"):format(path, holder and holder > 0 and " by process " .. holder or ""))
    end
    return lock
end

local function changed(a, b)
    if type(a) == "table" and type(b) == "table" then
        return attn.json.encode(a) ~= attn.json.encode(b)
    end
    return a ~= b
end

local function go_on(name, reader, special, actions)
    local config
    if special.resume == "" then
        for _, one in ipairs(m.list(special.runs)) do
            if one.name == name then config = one end
        end
        if not config then fail(("run: no run of %s in %s to resume"):format(name, special.runs)) end
    else
        config = m.find(special.runs, special.resume)
        if config.name ~= name then
            fail(("run: %s is a run of %s, not of %s"):format(config.path, tostring(config.name), name))
        end
    end
    reader:take(config.options, "", config.path .. "/config.json")
    local before = {}
    for option, value in pairs(reader.value) do before[option] = value end
    reader:apply(actions, special)
    local lock = take_lock(config.path)
    local self = new_part(Run, config.path, config.id, true)
    self.lock = lock
    internal.tee(self.path .. "/log.txt")
    print(("run %s, resumed"):format(self.path))
    for _, option in ipairs(reader.names) do
        if changed(before[option], reader.value[option]) then
            print(("  %s = %s, was %s"):format(option, options.text(reader.value[option]), options.text(before[option])))
        end
    end
    return self
end

-- A folder with all that is in it. os.remove takes files and empty folders.
local function remove(path)
    if not os.remove(path) then
        local ok, names = pcall(attn.list_folder, path)
        for _, name in ipairs(ok and names or {}) do remove(path .. "/" .. name) end
        os.remove(path)
    end
end

-- What stands in the folder of a run before the script has done anything.
local function fill(path, name, id, reader)
    local lock = take_lock(path)
    local self = new_part(Run, path, id, false)
    self.lock = lock
    local script = copy_script(self.path)
    local arguments = rawget(_G, "arg")
    write_whole(self.path .. "/config.json", attn.json.encode(plain{
        name = name, id = id, started = os.date("!%Y-%m-%dT%H:%M:%SZ"), attn = attn._VERSION, script = script,
        arguments = type(arguments) == "table" and table.move(arguments, 1, #arguments, 1, {}) or nil,
        threads = attn.threads(), simd = attn.simd(), blas = attn.blas(), options = reader:result(),
        from = reader.source}, 2) .. "\n")
    internal.tee(self.path .. "/log.txt")
    print(("run %s"):format(self.path))
    return self
end

-- A run that has nothing to show for itself: no metrics but that it was started, no checkpoint, no file of the script's.
local function empty(path)
    local own = {["config.json"] = 1, ["metrics.jsonl"] = 1, ["log.txt"] = 1, ["script.lua"] = 1, lock = 1,
        checkpoints = 1}
    for _, name in ipairs(attn.list_folder(path)) do
        if not own[name] then return false end
    end
    return #attn.list_folder(path .. "/checkpoints") == 0 and #m.metrics(path .. "/metrics.jsonl") <= 1
end

local function begin(name, reader, special, actions)
    reader:apply(actions, special)
    local made = attn.mkdir(special.runs)
    local id, path
    repeat
        id = random_id()
        path = ("%s/%s-%s-%s"):format(special.runs, name, os.date("%Y%m%d-%H%M%S"), id)
    until attn.mkdir(path)
    local ok, self = pcall(fill, path, name, id, reader)
    if ok then
        self.folder_made = made
        return self
    end
    remove(path)
    if made then os.remove(special.runs) end            -- unless another run is in it
    error(self, 0)
end

-- The script ended, by an error: what never began is not kept.
function Run:__gc()
    if self.ended or self.resumed or not self.path then return end
    local ok, nothing = pcall(empty, self.path)
    if ok and nothing then
        remove(self.path)
        io.stderr:write(("run %s: nothing was measured, the folder is removed\n"):format(self.path))
        if self.folder_made then os.remove((self.path:gsub("/[^/]*$", ""))) end
    end
end

---Reads the options of a script (as `options` does) and makes the folder of this run, or with `--resume [ID]` goes on
---with an earlier one, whose options hold where the command line gives none. `train.loop{run = ...}` keeps metrics and
---checkpoints there. `--runs DIR` says where folders are made.
---@param name string
---@param defaults table<string, any>
---@param args? string[]
---@return Run
function m.start(name, defaults, args)
    if type(name) ~= "string" or not name:match("^[%w_.]+$") then
        error("run.start: name must be one word of letters, digits, '_' and '.'", 2)
    end
    args = options.check("run.start", defaults, args)
    local extra = {runs = "word", resume = "optional"}
    for taken in pairs(extra) do
        if defaults[taken] ~= nil then error(("run.start: the option '%s' is run.start's own"):format(taken), 2) end
    end
    local reader = options.reader(defaults, "run.start")
    local actions, special = reader:arguments(args, extra)
    if special.help then
        reader:help{"  --runs DIR           where the folder of the run is made (runs)",
            "  --resume [ID]        goes on with a run: the newest, or that one"}
        os.exit(0, true)
    end
    special.runs = (special.runs or "runs"):gsub("(.)/+$", "%1")
    local make = special.resume and go_on or begin
    local self = make(name, reader, special, actions)
    self.name, self.options, self.parts = name, reader:result(), {}
    if special.data and defaults.data == nil then self.options.data = special.data end
    self:record{event = self.resumed and "process" or "start", time = os.date("!%Y-%m-%dT%H:%M:%SZ")}
    internal.at_end(function() self:finish() end)
    return self
end

attn.describe{name = "run.start", signature = "start(name, {option = default, ...}) -> run",
    help = "The options of a script, and a folder for this run: runs/NAME-DATE-ID with config.json, metrics.jsonl,\n"
        .. "log.txt, checkpoints, script.lua. --resume [ID] goes on with the newest run of that name, or the one\n"
        .. "named. run.options are the options, run.path the folder; give run to train.loop. run:record{step =, ...}\n"
        .. "adds to metrics.jsonl (with its seconds), run:save(step, table) makes a checkpoint, run:newest() reads the\n"
        .. "newest valid one, run:at(step) that of a step (history.best lists the best), run:part(name) has these of a\n"
        .. "loop with a name, run:once(name, make) keeps what must be the same after a resume. `attn runs` lists them: finished\n"
        .. "is what called run:finish() or came to the end of its script. A script that fails before it measured, saved\n"
        .. "or wrote anything leaves no folder.",
    example = 'local job = attn.run.start("tagger", {dim = 4, steps = 10, seed = 1})\n'
        .. 'local model = attn.layer.linear{inputs = job.options.dim, outputs = 1}\n'
        .. 'attn.train.loop{run = job, model = model, optimizer = attn.optim.adam{params = model:parameters()},\n'
        .. '    steps = job.options.steps, data = function() return attn.randn(8, job.options.dim) end,\n'
        .. '    loss = function(batch) return model(batch):square():mean() end}'}
attn.describe{name = "run.list", signature = "list(folder) -> list of runs",
    help = "The runs in a folder, the oldest first: the table of each config.json, with folder and path.",
    example = 'for _, one in ipairs(attn.run.list "runs") do print(one.folder, one.options.lr) end'}
attn.describe{name = "run.find", signature = "find(folder, word) -> run",
    help = "The run that a word means: its folder, its id, or the beginning or end of its folder's name.",
    example = 'for _, one in ipairs(attn.run.list("runs")) do print(attn.run.find("runs", one.id).id) end'}
attn.describe{name = "run.metrics", signature = "metrics(path) -> list of records",
    help = "The records of a metrics.jsonl; torn lines are passed over, steps that were repeated after a resume\n"
        .. "count once.",
    example = 'for _, r in ipairs(attn.run.metrics "runs/x/metrics.jsonl") do print(r.step, r.loss) end'}

return m
