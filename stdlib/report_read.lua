-- report_read: results as studies left them, for the report: what each measured, claimed and kept.
--
-- Files may be broken, half written, foreign or hostile: what cannot be read is a trouble {path, why} and the rest is
-- there; what is of another type than a study writes counts as absent; names of files lead to no other folder; sizes
-- are bounded.
local attn = require "attn"
local pictures = require "attn.show_kept"
local systems = require "attn.systems"
local whole = require "attn.whole"

local m = {}

local DEPTH = 6                     -- folders below the one that was given
local FOLDERS = 20000               -- looked at: links may lead in circles
local FILE = 64 * 1024 * 1024       -- bytes

local function text(value) return type(value) == "string" and value or nil end
local function list(value) return type(value) == "table" and value or {} end
local function number(value) return whole.number(value) end
local function count(value) return math.type(value) == "integer" and value >= 0 and value or nil end

local function read_json(path)
    local file, why = io.open(path, "rb")
    if not file then return nil, (why:gsub("^.*: ", "")) end        -- without the path, which the trouble has
    local size = file:seek "end"
    local content
    if not size or size > FILE then
        why = "too large"
    else
        file:seek "set"
        content, why = file:read "a"
    end
    file:close()
    if not content then return nil, why or "cannot be read" end
    local ok, value = pcall(attn.json.decode, content)
    if not ok then return nil, "not whole: " .. tostring(value) end
    if type(value) ~= "table" then return nil, "no JSON object" end
    return value
end

-- ---- cells ----

local function kept_of(record)
    local out = {}
    for name, value in pairs(list(record.kept)) do
        local one = type(name) == "string" and pictures.read(value)
        if one then
            one.name = name
            out[#out + 1] = one
        end
    end
    table.sort(out, function(a, b) return a.name < b.name end)
    return out
end

local function read_cell(folder, said, troubles)
    local cell = {seed = number(said.seed) or 0, state = text(said.state) or "missing", values = {}, log = {},
        kept = {}}
    local name = text(said.file)
    if cell.state == "missing" then return cell end
    local path = folder .. "/" .. (name or "")
    if not name or not name:match "^[%w_.%-]+%.json$" or name:sub(1, 1) == "." then
        troubles[#troubles + 1] = {path = folder .. "/study.json", why = "names a cell's file that is none"}
        cell.state = "missing"
        return cell
    end
    local record, why = read_json(path)
    if not record then
        troubles[#troubles + 1] = {path = path, why = why}
        cell.state = "missing"
        return cell
    end
    if cell.state == "failed" then
        cell.error = text(record.error) or "failed"
    else
        for key, value in pairs(list(record.values)) do
            if type(key) == "string" then cell.values[key] = number(value) end
        end
        for _, entry in ipairs(list(record.log)) do
            if type(entry) == "table" and number(entry.step) then cell.log[#cell.log + 1] = entry end
        end
        cell.kept = kept_of(record)
    end
    cell.seconds = number(list(record.took).seconds)
    return cell
end

-- ---- studies ----

local verdicts = {holds = true, fails = true, undecided = true, ["not measured"] = true}

local function claim_of(said)
    local claim = {text = text(said.text) or "", id = text(said.id), at_least = number(said.at_least),
        at_most = number(said.at_most),
        level = number(said.level) or 0.95, exact = said.exact == true, why = text(said.why),
        verdict = verdicts[said.verdict] and said.verdict or "undecided", words = text(said.words),
        mean = number(said.mean), low = number(said.low), high = number(said.high), values = {}}
    local between = list(said.between)
    if number(between[1]) and number(between[2]) then claim.between = {number(between[1]), number(between[2])} end
    for _, value in ipairs(list(said.values)) do claim.values[#claim.values + 1] = number(value) end
    return claim
end

local function row_of(folder, said, troubles)
    local row = {label = text(said.label) or "?", cells = {}, values = {}, errors = {}, done = 0}
    for _, one in ipairs(list(said.cells)) do
        if type(one) == "table" then row.cells[#row.cells + 1] = read_cell(folder, one, troubles) end
    end
    for _, cell in ipairs(row.cells) do
        if cell.state == "done" then row.done = row.done + 1 end
        if cell.error then row.errors[#row.errors + 1] = ("seed %s: %s"):format(cell.seed, cell.error) end
        for name, value in pairs(cell.values) do
            row.values[name] = row.values[name] or {}
            table.insert(row.values[name], value)
        end
    end
    return row
end

local function shell_word(word)
    return word:match "^[%w_./=,:%-]+$" and word or "'" .. word:gsub("'", "'\\''") .. "'"
end

-- The command again, without what says only where and how fast it ran.
local function command_of(script, arguments)
    local words, i = {"attn", shell_word(script)}, 1
    local place = {data = "DIR", results = false, jobs = false, threads = false}
    while arguments[i] ~= nil do
        local word = text(arguments[i]) or ""
        local name, joined = word:match "^%-%-(%a+)(=?)"
        if name and place[name] ~= nil then
            if place[name] then words[#words + 1] = ("--%s %s"):format(name, place[name]) end
            if joined == "" then i = i + 1 end
        elseif word ~= "--again" then
            words[#words + 1] = shell_word(word)
        end
        i = i + 1
    end
    return table.concat(words, " ")
end

local function study_of(folder, said, troubles)
    local study = {folder = folder, name = text(said.study) or folder:match "[^/]*$", paper = text(said.paper),
        about = text(said.about),
        systems = systems.ids(said.system or {}), script = text(said.script), finished = text(said.finished),
        seeds = count(said.seeds), tables = {}, claims = {}, seconds = 0, cells = 0, done = 0, failed = 0}
    study.command = study.script and command_of(study.script, list(said.arguments)) or nil
    for _, one in ipairs(list(said.tables)) do
        if type(one) == "table" then
            local t = {name = text(one.name) or "?", about = text(one.about), synthetic = one.synthetic == true,
                missing = text(one.data_missing),
                rows = {}, columns = {}}
            local known = {}
            for _, entry in ipairs(list(one.rows)) do
                if type(entry) == "table" then
                    local row = row_of(folder, entry, troubles)
                    t.rows[#t.rows + 1] = row
                    for name in pairs(row.values) do
                        if not known[name] then t.columns[#t.columns + 1] = name end
                        known[name] = true
                    end
                    for _, cell in ipairs(row.cells) do
                        study.cells = study.cells + 1
                        study.done = study.done + (cell.state == "done" and 1 or 0)
                        study.failed = study.failed + (cell.state == "failed" and 1 or 0)
                        study.seconds = study.seconds + (cell.seconds or 0)
                    end
                end
            end
            table.sort(t.columns)
            local order = {}
            for _, name in ipairs(list(one.columns)) do
                if known[name] then order[#order + 1] = name end
            end
            if #order > 0 then t.columns = order end
            t.better = list(one.better)
            study.tables[#study.tables + 1] = t
        end
    end
    for _, one in ipairs(list(said.claims)) do
        if type(one) == "table" then study.claims[#study.claims + 1] = claim_of(one) end
    end
    return study
end

-- `above` are the listings of the folders that led here: what lists the same as one of them is a link back to it.
local function find(path, depth, found, troubles, above)
    found.folders = found.folders + 1
    if found.folders > FOLDERS then return end
    local ok, names = pcall(attn.list_folder, path)
    if not ok then
        if depth == 0 then troubles[#troubles + 1] = {path = path, why = "there is no such folder", given = true} end
        return
    end
    table.sort(names)
    local listing = #names > 1 and table.concat(names, "\0")
    if listing and above[listing] then return end
    local cells, summary = 0, false
    for _, name in ipairs(names) do
        if name == "study.json" then summary = true end
        if name:match "%-%d+%-%x+%.json$" and #name:match "%x+%.json$" == 21 then cells = cells + 1 end
    end
    if summary then
        local said, why = read_json(path .. "/study.json")
        if not said then
            troubles[#troubles + 1] = {path = path .. "/study.json", why = why}
        elseif type(said.tables) ~= "table" or type(said.claims) ~= "table" then
            troubles[#troubles + 1] = {path = path .. "/study.json", why = "no summary of a study"}
        elseif said.quick ~= true then
            found[#found + 1] = study_of(path, said, troubles)
        end
    elseif cells > 0 then
        local why = ("%d cells, but no study.json: the study has not come to its end"):format(cells)
        troubles[#troubles + 1] = {path = path, why = why}
    end
    if depth == DEPTH then return end
    for _, name in ipairs(names) do
        if name:sub(1, 1) ~= "." and not name:match "%.json$" then
            local below = setmetatable({}, {__index = above})
            if listing then below[listing] = true end
            find(path .. "/" .. name, depth + 1, found, troubles, below)
        end
    end
end

---The studies whose results are in folders.
---@param folders string[]
---@return table[] studies
---@return {path: string, why: string, given: boolean?}[] troubles
function m.read(folders)
    local found, troubles = {folders = 0}, {}
    for _, folder in ipairs(folders) do find((folder:gsub("(.)/+$", "%1")), 0, found, troubles, {}) end
    if found.folders > FOLDERS then
        local why = ("more than %d folders, the rest is left out"):format(FOLDERS)
        troubles[#troubles + 1] = {path = folders[#folders], why = why}
    end
    local place = {}
    for i, system in ipairs(systems.list) do place[system.id] = i end
    table.sort(found, function(a, b)            -- in the order of the systems
        local i, j = place[a.systems[1]] or math.huge, place[b.systems[1]] or math.huge
        if i ~= j then return i < j end
        if a.name ~= b.name then return a.name < b.name end
        return a.folder < b.folder
    end)
    return found, troubles
end

return m
