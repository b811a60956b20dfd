-- study_print: what a study says: tables with mean and spread, claims, result lines, and the list of --list.
local attn = require "attn"
local fields = require "attn.fields"
local pictures = require "attn.show_kept"
local sample = require "attn.sample"
local show = require "attn.show"
local words = require "attn.report_words"
local whole = require "attn.whole"

local m = {}

local number = words.number

-- The names of the values of a table: those of `columns`, else all in alphabetical order.
local function columns_of(t)
    if t.columns then return t.columns end
    local known = {}
    for _, cell in ipairs(t.cells) do
        for name in pairs(cell.result and cell.result.values or {}) do known[name] = true end
    end
    return fields.names(known)
end

m.columns = columns_of

local less = {"loss", "perplexity", "error", "bits", "seconds", "aer", "distance"}

---Which is better of each value of a table, "more" or "less"; nothing for a value of which neither is.
---@param t table
---@return table<string, string>
function m.better(t)
    local out = {}
    for _, name in ipairs(columns_of(t)) do
        local said = t.better and t.better[name]
        if not said then
            said = "more"
            for _, part in ipairs(less) do
                if name:lower():find(part, 1, true) then said = "less" end
            end
        end
        out[name] = said ~= "none" and said or nil
    end
    return out
end

local function statistics_of(t, row, name)
    local values = {}
    for _, cell in ipairs(t.cells) do
        if cell.row == row and cell.result then values[#values + 1] = cell.result.values[name] end
    end
    return sample.statistics(values)
end

local function measured(t)
    for _, cell in ipairs(t.cells) do
        if cell.result then return true end
    end
    return false
end

-- What the first cell of a row keeps: in the terminal, and as files in a folder.
local function print_kept(study, t, row)
    local result = row.cells[t.seeds[1]].result
    local kept = result and result.kept or {}
    for _, name in ipairs(fields.names(kept)) do
        local one = pictures.read(kept[name])
        if one and study.show then
            print(("\n%s, %s:"):format(row.label, name))
            pictures.terminal(one)
        end
        local ok, svg = pcall(pictures.svg, one or {})
        if study.svg and ok and svg then
            whole.folder(study.svg)
            local path = ("%s/%s.svg"):format(study.svg, (("%s-%s-%s"):format(t.name, row.label, name):gsub("[^%w_.]+", "-")))
            local written, why = whole.write(path, svg)
            print(written and path or why)
        end
    end
end

local function print_table(study, t, wanted)
    print(("\n%s%s%s%s"):format(t.name, t.about and ": " .. t.about or "", t.synthetic and "  (synthetic)" or "", study.quick and "  (quick)" or ""))
    if t.missing then
        print("skipped: " .. t.missing)
        if not measured(t) then return end
    end
    local names, better, rows, best = columns_of(t), m.better(t), {}, {}
    local summaries = {}
    for _, row in ipairs(t.rows) do
        if wanted(t, row) then summaries[#summaries + 1] = {row = row, of = {}} end
    end
    for _, name in ipairs(names) do
        local column = {}
        for _, one in ipairs(summaries) do
            one.of[name] = statistics_of(t, one.row, name)
            column[#column + 1] = one.of[name]
        end
        best[name] = sample.best(column, better[name])
    end
    local troubles = {}
    for _, one in ipairs(summaries) do
        local line, count = {one.row.label}, 0
        for _, cell in ipairs(t.cells) do
            if cell.row == one.row then
                if cell.result then
                    count = count + 1
                elseif cell.failure then
                    troubles[#troubles + 1] = ("  %s, seed %d: %s"):format(one.row.label, cell.seed, cell.failure.error)
                end
            end
        end
        line[2] = ("%d of %d"):format(count, #t.seeds)
        for i, name in ipairs(names) do
            local s = one.of[name]
            line[2 + i] = not s and "-" or words.cell(s) .. (s.mean == best[name] and " *" or "")
        end
        rows[#rows + 1] = line
    end
    show.table({"row", "seeds", table.unpack(names)}, rows)
    for _, line in ipairs(troubles) do print(line) end
    if study.show or study.svg then
        for _, one in ipairs(summaries) do print_kept(study, t, one.row) end
    end
end

local function bound(claim)
    if claim.at_least then return "at least " .. number(claim.at_least) end
    if claim.at_most then return "at most " .. number(claim.at_most) end
    return ("between %s and %s"):format(number(claim.between[1]), number(claim.between[2]))
end

local function print_claim(claim)
    local j = claim.judged
    print(("  %-12s %s"):format(j.verdict, claim[1]))
    local parts = {}
    if j.mean and j.mean == j.mean then parts[#parts + 1] = number(j.mean) end
    if j.low then parts[#parts + 1] = ("%g %% interval %s to %s"):format(100 * (claim.level or 0.95), number(j.low), number(j.high)) end
    if type(claim[2]) ~= "function" then parts[#parts + 1] = bound(claim) .. (claim.exact and ", exact" or "") end
    if j.words then parts[#parts + 1] = j.words end
    if j.values and #j.values > 0 then
        local list = {}
        for i, value in ipairs(j.values) do list[i] = number(value) end
        parts[#parts + 1] = "seeds " .. table.concat(list, " ")
    end
    if j.why then parts[#parts + 1] = j.why end
    if #parts > 0 then print(("  %-12s %s"):format("", table.concat(parts, "; "))) end
end

---Tables, claims, result lines.
---@param study table
---@param wanted fun(table: table, row: table): boolean
function m.report(study, wanted)
    for _, t in ipairs(study.tables) do
        local any = false
        for _, row in ipairs(t.rows) do any = any or wanted(t, row) end
        if any then print_table(study, t, wanted) end
    end
    if #study.claims > 0 then print "\nclaims" end
    local counts = {holds = 0, fails = 0, undecided = 0, ["not measured"] = 0}
    for _, claim in ipairs(study.claims) do
        print_claim(claim)
        counts[claim.judged.verdict] = counts[claim.judged.verdict] + 1
    end
    print()
    for _, t in ipairs(study.tables) do
        for _, row in ipairs(t.rows) do
            for _, name in ipairs(columns_of(t)) do
                local s = wanted(t, row) and statistics_of(t, row, name)
                if s then
                    show.result((("%s/%s/%s"):format(t.name, row.label, name):gsub("%s+", "_")), s.mean == s.mean and s.mean or "nan")
                end
            end
        end
    end
    if #study.claims > 0 then
        for _, verdict in ipairs{"holds", "fails", "undecided", "not measured"} do
            show.result("claims_" .. verdict:gsub(" ", "_"), counts[verdict])
        end
    end
end

---Tables, rows, cells, what is done, minutes expected.
---@param study table
---@param wanted fun(table: table, row: table): boolean
function m.list(study, wanted)
    local rows, minutes, known = {}, 0, true
    for _, t in ipairs(study.tables) do
        local spent, measured = 0, 0
        for _, cell in ipairs(t.cells) do
            local took = cell.result and cell.result.took
            if type(took) == "table" and type(took.seconds) == "number" then spent, measured = spent + took.seconds, measured + 1 end
        end
        for _, row in ipairs(t.rows) do
            if wanted(t, row) then
                local done, failed, cells = 0, 0, 0
                for _, cell in ipairs(t.cells) do
                    if cell.row == row then
                        cells = cells + 1
                        if cell.result then done = done + 1 elseif cell.failure then failed = failed + 1 end
                    end
                end
                local expected = (cells == done or t.missing) and 0 or measured > 0 and (cells - done) * spent / measured / 60
                    / math.min(study.jobs, t.jobs or study.jobs) or nil
                if expected then minutes = minutes + expected else known = false end
                rows[#rows + 1] = {t.name, row.label, ("%d"):format(cells), ("%d"):format(done), ("%d"):format(failed),
                    t.missing and cells > done and "no data" or expected and ("%.1f"):format(expected) or "?"}
            end
        end
    end
    show.table({"table", "row", "cells", "done", "failed", "minutes left"}, rows)
    print(known and ("%.1f minutes left, %d at a time"):format(minutes, study.jobs) or "minutes left: unknown until a cell of each table has run")
    for _, t in ipairs(study.tables) do
        if t.missing then print(("%s: %s"):format(t.name, t.missing)) end
    end
end

---The line that is written over while cells run; nothing if standard error is no terminal.
---@return fun(done: integer, all: integer, running: integer, seconds: number?) tell
---@return fun() clear
function m.progress()
    local on = attn.isatty(2) and os.getenv "ATTN_PROGRESS" ~= "0"
    return function(done, all, running, seconds)
        if not on then return end
        local left = seconds and done < all and (", about %s left"):format(seconds < 90 and ("%.0f s"):format(seconds)
            or ("%.0f min"):format(seconds / 60)) or ""
        io.stderr:write(("\r\27[K%d of %d cells, %d running%s"):format(done, all, running, left))
    end, function()
        if on then io.stderr:write "\r\27[K" end
    end
end

return m
