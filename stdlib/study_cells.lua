-- study_cells: the cells of a study (a row of a table with a seed), each run in a process of its own, its result in a file.
--
--     DIR/STUDY/TABLE-ROW-SEED-DIGEST.json          what the cell gave; written whole or not at all
--     DIR/STUDY/TABLE-ROW-SEED-DIGEST.failed.json   how it ended instead; the next run of the study tries again
--     DIR/STUDY/TABLE-ROW-SEED-DIGEST.safetensors   the checkpoint of cell:train: where the next run of the cell goes on
--     DIR/STUDY/.locks/..., .output/...             who has it (flock, given back however the holder ends); what it printed
--
-- The process is the same executable with the same words and --cell INDEX/DIGEST. It takes the lock, so that the lock is held as
-- long as anything can be written, whatever becomes of the process that started it; and it looks once more whether the result is
-- there before it begins. The digest is of the options with the row's changes and of the code that `run` reaches (digest.lua): a
-- process whose own digest is another was started after the script had changed, and gives up.
local attn = require "attn"
local internal = require "attn.internal"
local digest = require "attn.digest"
local fields = require "attn.fields"
local train = require "attn.train"
local whole = require "attn.whole"

local m = {}

local TAKEN = 75                -- exit status: another process has the cell (EX_TEMPFAIL)
local OUTPUT_SHOWN = 2000

---@class Cell
---@field table table
---@field row table
---@field seed integer
---@field index integer among all cells of the study
---@field cfg table options with the row's changes
---@field key string
---@field stem string
---@field result table? the JSON of its result
---@field failure table? the JSON of its failure

local function word(text) return (tostring(text):gsub("[^%w_.]+", "_"):sub(1, 60)) end

---The digest and the file name of a cell.
function m.identify(study, cell)
    local cfg = {}
    for name, value in pairs(cell.cfg) do
        if name ~= "data" then cfg[name] = value end        -- where the data are says nothing about them
    end
    cell.table.code = cell.table.code or digest.of(cell.table.run)      -- once: it may capture much
    cell.key = digest.of(study.quick, cell.table.name, cell.row.label, cell.seed, cfg, cell.table.code)
    cell.stem = ("%s-%s-%d-%s"):format(word(cell.table.name), word(cell.row.label), cell.seed, cell.key)
    cell.path = study.folder .. "/" .. cell.stem
end

---Makes the folders of a study.
function m.open(study)
    whole.folder(study.folder)
    attn.mkdir(study.folder .. "/.locks")
    attn.mkdir(study.folder .. "/.output")
end

local function lock_path(study, cell) return ("%s/.locks/%s"):format(study.folder, cell.stem) end
local function output_path(study, cell) return ("%s/.output/%s.txt"):format(study.folder, cell.stem) end

---Reads what is known of a cell. A file that is not whole, which no process of ours leaves, counts as none.
---@return boolean done
function m.load(cell)
    cell.result, cell.failure = nil, nil
    local result = whole.read_json(cell.path .. ".json")
    if type(result) == "table" and type(result.values) == "table" and result.key == cell.key then
        for name, value in pairs(result.values) do result.values[name] = whole.number(value) end
        cell.result = result
        return true
    end
    local failure = whole.read_json(cell.path .. ".failed.json")
    if type(failure) == "table" and type(failure.error) == "string" then cell.failure = failure end
    return false
end

local function write(cell, ending, record)
    record.table, record.row, record.seed, record.key = cell.table.name, cell.row.label, cell.seed, cell.key
    return whole.write(cell.path .. ending, attn.json.encode(whole.plain(record), 2) .. "\n")
end

---Forgets what a cell gave, unless a process has it.
function m.forget(study, cell)
    local lock <close> = attn.lock(lock_path(study, cell))
    if not lock then return end
    os.remove(cell.path .. ".json")
    os.remove(cell.path .. ".failed.json")
    os.remove(cell.path .. ".safetensors")
end

-- ---- in the process of a cell ----

local function kept_value(name, value)
    if type(name) ~= "string" then error("cell:keep: name is a " .. type(name) .. ", expected a string", 3) end
    if type(value) == "string" then return {text = value} end
    local ok, record = pcall(function()
        return {dtype = value.dtype, size = table.move(value.shape, 1, #value.shape, 1, {}), values = value:detach():reshape(-1):totable()}
    end)
    if not ok then error(("cell:keep: '%s' is a %s, expected a tensor or a string"):format(name, type(value)), 3) end
    return record
end

---What `run` is given beside its options.
local Api = {__name = "cell"}
Api.__index = Api

---Adds a record to the curves of this cell.
---@param record table numbers, words and booleans by name, `step` among them
function Api:log(record)
    if type(record) ~= "table" then error("cell:log: record is a " .. type(record) .. ", expected a table", 2) end
    local copy = {}
    for name, value in pairs(record) do copy[name] = value end
    self.logged[#self.logged + 1] = copy
end

local HOW = {{"rows", "table"}, {"columns", "table"}, {"tokens", "table"}, {"titles", "table"}, {"over", "any"}, {"path", "any"},
    {"as", "string", choices = {"attention", "image", "text", "plot"}}}

-- Weights without those of the padding behind their words.
local function unpadded(value, how)
    if internal.kind(value) ~= "tensor" then return value end
    local last = value:dim()
    for d, words in pairs{[last] = how.tokens or how.columns, [last - 1] = how.rows} do
        if d > 0 and #words > 0 and #words < value:size(d) then value = value:narrow(d, 1, #words) end
    end
    return value
end

---Keeps a tensor or a text for the report. `how` says how a tensor is drawn: weights with the words of their rows and columns (what
---is padding behind them is cut off), a text shaded by its weights (tokens), pictures with titles, a path over them (show.image),
---weights over a picture; without it [T] is a curve, what has more dimensions attention maps.
---@param name string
---@param value any
---@param how? {rows: string[]?, columns: string[]?, tokens: string[]?, titles: string[]?, as: string?, over: any?, path: any?}
function Api:keep(name, value, how)
    how = fields.read("cell:keep", how or {}, HOW)
    local record = kept_value(name, unpadded(value, how))
    for field, said in pairs(how) do
        if field == "over" or field == "path" then
            said = kept_value(name, type(said) == "table" and attn.tensor(said) or said)
        end
        record[field] = said
    end
    self.kept[name] = record
end

local CURVE = 200               -- points

---Logs the losses of all steps as a curve: means of as many steps as leave 200 points or a few more.
---@param losses number[]
function Api:curve(losses)
    local every, sum = math.max(1, #losses // CURVE), 0.0
    for step, loss in ipairs(losses) do
        sum = sum + loss
        if step % every == 0 then
            self:log{step = step, loss = sum / every}
            sum = 0.0
        end
    end
end

---Trains as train.loop does, quietly; the losses become a curve of the cell, and a checkpoint stays beside its result, every
---`save_every` steps: a cell that was interrupted goes on there, bit for bit. Once in a cell.
---@param cfg LoopConfig
---@return table history
function Api:train(cfg)
    if self.trained then error("cell:train: the cell has trained already; use train.loop for what needs no checkpoint", 2) end
    self.trained = true
    local copy = {checkpoint = self.path .. ".safetensors", quiet = true}
    for name, value in pairs(cfg) do copy[name] = value end
    local file = io.open(copy.checkpoint, "rb")
    copy.resume = file ~= nil
    if file then file:close() end
    local history = train.loop(copy)
    self:curve(history.losses)
    for _, one in ipairs(history.values) do
        local record = {step = one.step}
        for name, value in pairs(type(one.value) == "table" and one.value or {value = one.value}) do record[name] = value end
        self:log(record)
    end
    return history
end

local function check_values(cell, values)
    local where = ("study: run of table '%s'"):format(cell.table.name)
    if type(values) ~= "table" then error(("%s returned %s, expected numbers by name"):format(where, tostring(values)), 0) end
    local copy = {}
    for name, value in pairs(values) do
        if type(name) ~= "string" or type(value) ~= "number" then
            error(("%s returned %s = %s, expected numbers by name"):format(where, tostring(name), tostring(value)), 0)
        end
        copy[name] = value
    end
    if next(copy) == nil then error(where .. " returned no numbers", 0) end
    return copy
end

---Runs one cell here and ends the process.
function m.run_here(study, cell, key)
    m.open(study)
    local lock = attn.lock(lock_path(study, cell))
    if not lock then os.exit(TAKEN, true) end
    if key == cell.key and m.load(cell) then os.exit(0, true) end
    os.remove(cell.path .. ".failed.json")
    local began = attn.clock()
    local api = setmetatable({seed = cell.seed, table = cell.table.name, row = cell.row.label, quick = study.quick, path = cell.path,
        logged = {}, kept = {}}, Api)
    local ok, values = xpcall(function()
        if key ~= cell.key then
            error("the script has changed since the study was started, or captures what differs from process to process", 0)
        end
        attn.seed(cell.seed)
        if cell.cfg.precision then attn.precision(cell.cfg.precision) end
        return check_values(cell, cell.table.run(cell.cfg, api))
    end, function(e) return {message = tostring(e), trace = debug.traceback(tostring(e), 2)} end)
    local took = {seconds = attn.clock() - began, finished = os.date "!%Y-%m-%dT%H:%M:%SZ", threads = attn.threads(), attn = attn._VERSION}
    local wrong
    if ok then
        ok, wrong = write(cell, ".json", {quick = study.quick, options = study.plain_options(cell.cfg), values = values,
            log = #api.logged > 0 and api.logged or nil, kept = next(api.kept) and api.kept or nil, took = took})
        if ok then os.exit(0, true) end
        values = {message = ("%s.json cannot be written: %s"):format(cell.path, wrong), trace = ""}
    end
    if key ~= cell.key then cell.path = study.folder .. "/" .. cell.stem:sub(1, -17) .. key end
    cell.key = key
    write(cell, ".failed.json", {error = values.message, trace = values.trace, took = took})
    io.stderr:write(values.trace, "\n")
    os.exit(1, true)
end

-- ---- in the process of the study ----

local function tail(path)
    local file = io.open(path, "rb")
    if not file then return "" end
    local size = file:seek "end"
    file:seek("set", math.max(0, size - OUTPUT_SHOWN))
    local text = file:read "a" or ""
    file:close()
    return text
end

local function start(study, cell, threads)
    local words = {}
    local first = 0
    while study.arguments[first - 1] ~= nil do first = first - 1 end
    for i = first, #study.arguments do words[#words + 1] = study.arguments[i] end
    words[#words + 1] = ("--cell=%d/%s"):format(cell.index, cell.key)
    words[#words + 1] = ("--threads=%d"):format(threads)
    cell.process = internal.process(words, output_path(study, cell))
    cell.began = attn.clock()
end

-- A cell whose process ended: true if that is all there is to it.
local function settle(study, cell, how, number, name)
    cell.process = nil
    if m.load(cell) then
        if tail(output_path(study, cell)) == "" then os.remove(output_path(study, cell)) end
        return true
    end
    if how == "exit" and number == TAKEN then
        cell.wait, cell.taken = attn.clock() + 0.2, true
        return false
    end
    if not cell.failure or how == "signal" then
        local why = how == "signal" and ("killed by signal %d (%s)"):format(number, name) or ("ended with exit status %d"):format(number)
        write(cell, ".failed.json", {error = why, trace = tail(output_path(study, cell))})
        m.load(cell)
    end
    return true
end

-- Whether another process has the cell.
local function taken(study, cell)
    local lock <close> = attn.lock(lock_path(study, cell))
    return lock == nil
end

---Runs those of the cells that have no result, `jobs` at a time, and waits for those that other processes have.
---@param study table
---@param list Cell[]
---@param tell fun(done: integer, all: integer, running: integer, seconds: number?) called when something has changed
function m.run(study, list, tell)
    local pending, running, done, all, spent = {}, {}, 0, #list, 0
    for _, cell in ipairs(list) do
        if m.load(cell) then done = done + 1 else pending[#pending + 1] = cell end
    end
    local ran = 0
    local function left()
        return ran > 0 and spent / ran * (all - done) / study.jobs or nil
    end
    local function room(cell)
        local most = math.min(study.jobs, cell.table.jobs or study.jobs)
        for _, other in ipairs(running) do most = math.min(most, other.table.jobs or most) end
        return #running < most
    end
    while #pending + #running > 0 do
        local changed = false
        for i = #running, 1, -1 do
            local cell = running[i]
            local ended, how, number, name = internal.process_ended(cell.process)
            if ended then
                table.remove(running, i)
                if settle(study, cell, how, number, name) then
                    done, ran, spent, changed = done + 1, ran + 1, spent + attn.clock() - cell.began, true
                    cell.fresh = true
                else
                    table.insert(pending, cell)
                end
            end
        end
        local i = 1
        while i <= #pending do
            local cell, gone = pending[i], false
            if (not cell.wait or attn.clock() >= cell.wait) and room(cell) then
                if m.load(cell) or cell.taken and cell.failure and not taken(study, cell) then
                    done, gone, changed = done + 1, true, true
                elseif taken(study, cell) then
                    cell.wait, cell.taken = attn.clock() + 0.2, true
                else
                    local jobs = math.min(study.jobs, cell.table.jobs or study.jobs)
                    start(study, cell, study.threads or math.max(1, study.cores // jobs))
                    running[#running + 1], gone, changed = cell, true, true
                end
            end
            if gone then table.remove(pending, i) else i = i + 1 end
        end
        if changed then tell(done, all, #running, left()) end
        if #pending + #running > 0 then internal.sleep(0.01) end
    end
end

return m
