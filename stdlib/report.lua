-- report: `attn report`, everything that studies measured on one page: in the terminal, as Markdown, as HTML. Only
-- files are read that studies wrote; nothing is run, and a study that is running may be looked at.
local attn = require "attn"
local read = require "attn.report_read"
local show = require "attn.show"
local whole = require "attn.whole"
local words = require "attn.report_words"

local m = {}

m.usage = [[
usage: attn report [SCRIPT or FOLDER...] [--html FILE] [--markdown FILE]
What studies measured, all systems of the project's list on top: claims with mean, interval and verdict, tables, maps.
A folder is where studies keep results (default: results), searched with those below it; SCRIPT.lua picks the study of
that name.
--html FILE       one page that needs nothing else: light and dark, narrow screens, paper
--markdown FILE   the same without pictures; - is standard output]]

local function terminal(studies)
    local entries = words.overview(studies)
    local rows = {}
    for i, entry in ipairs(entries) do
        local names, seconds = {}, 0
        for k, study in ipairs(entry.studies) do
            names[k] = study.name
            seconds = seconds + study.seconds
        end
        rows[i] = {entry.system.id, entry.system.name, words.state(entry), table.concat(names, ", "),
            #names > 0 and words.minutes(seconds) or ""}
    end
    show.table({"id", "system", "claims", "study", "minutes"}, rows)
    for _, study in ipairs(studies) do
        if #study.claims > 0 then
            print(("\n%s"):format(study.name))
            local list = {}
            for i, claim in ipairs(study.claims) do
                list[i] = {claim.verdict, words.measured(claim), words.bound(claim), claim.text}
            end
            show.table({"verdict", "measured", "claimed", "claim"}, list)
        end
    end
    print("\n" .. words.total(studies, entries))
end

local function write(path, content)
    if path == "-" then
        io.stdout:write(content)
        return true
    end
    local ok, why = whole.write(path, content)
    if not ok then io.stderr:write("attn report: ", why, "\n") end
    return ok
end

---What `attn report` does.
---@param args string[] what follows the word `report`
---@return integer status
function m.main(args)
    local folders, names, files, i = {}, {}, {}, 1
    local function refuse(message)
        io.stderr:write("attn report: ", message, "\n", m.usage, "\n")
        return 1
    end
    while i <= #args do
        local word = args[i]
        local name, value = word:match "^%-%-(%a+)=(.+)$"
        name = name or word:match "^%-%-(%a+)$"
        if name == "html" or name == "markdown" then
            if not value then
                i = i + 1
                value = args[i]
            end
            if not value then return refuse("--" .. name .. " needs a value") end
            files[name] = value
        elseif word == "--help" or word == "-h" then
            print(m.usage)
            return 0
        elseif word:match "^%-" then
            return refuse(("unknown option %s"):format(word))
        elseif word:match "%.lua$" then
            names[word:match "([^/]*)%.lua$"] = false
        else
            folders[#folders + 1] = word
        end
        i = i + 1
    end
    if #folders == 0 then folders[1] = "results" end
    local studies, troubles = read.read(folders)
    if next(names) ~= nil then
        local wanted = {}
        for _, study in ipairs(studies) do
            if names[study.name] ~= nil then
                wanted[#wanted + 1], names[study.name] = study, true
            end
        end
        studies = wanted
        local missing = {}
        for name, found in pairs(names) do
            if not found then missing[#missing + 1] = name end
        end
        table.sort(missing)
        for _, name in ipairs(missing) do
            local why = "no results of this study in " .. table.concat(folders, ", ")
            troubles[#troubles + 1] = {path = name .. ".lua", why = why}
        end
    end
    local good = true
    if files.html then good = write(files.html, require "attn.report_html".write(studies, troubles)) and good end
    if files.markdown then
        good = write(files.markdown, require "attn.report_markdown".write(studies, troubles)) and good
    end
    if not files.html and not files.markdown then terminal(studies) end
    for _, one in ipairs(troubles) do
        io.stdout:flush()
        io.stderr:write(("attn report: %s: %s\n"):format(one.path, one.why))
        good = good and not one.given
    end
    return good and 0 or 1
end

return m
