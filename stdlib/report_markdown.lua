-- report_markdown: the report as Markdown: the systems, then each study's claims and tables.
local sample = require "attn.sample"
local screen = require "attn.show_screen"
local words = require "attn.report_words"

local m = {}

-- Text within a line: nothing of it is markup.
local function plain(text)
    return (screen.clean(text):gsub("[\\`*_<>|%[%]]", "\\%0"))
end

local function code(text)
    text = screen.clean(text):gsub("`", "'"):gsub("|", "\\|")
    return "`" .. text .. "`"
end

local function table_of(columns, rows, right)
    local out = {"| " .. table.concat(columns, " | ") .. " |"}
    local rule = {}
    for j = 1, #columns do rule[j] = right and right[j] and "---:" or "---" end
    out[2] = "|" .. table.concat(rule, "|") .. "|"
    for _, row in ipairs(rows) do out[#out + 1] = "| " .. table.concat(row, " | ") .. " |" end
    return table.concat(out, "\n")
end

---@param studies table[]
---@param troubles table[]
---@return string
function m.write(studies, troubles)
    local entries = words.overview(studies)
    local out = {"# Systems measured", words.total(studies, entries) .. "."}
    local rows = {}
    for i, entry in ipairs(entries) do
        local names, seconds = {}, 0
        for k, study in ipairs(entry.studies) do
            names[k] = plain(study.name)
            seconds = seconds + study.seconds
        end
        rows[i] = {plain(entry.system.id), plain(entry.system.name), plain(entry.system.paper), words.state(entry),
            table.concat(names, ", "),
            #names > 0 and words.minutes(seconds) or ""}
    end
    out[#out + 1] = table_of({"id", "system", "paper", "claims", "study", "minutes"}, rows, {[6] = true})
    for _, study in ipairs(studies) do
        out[#out + 1] = "## " .. plain(study.name)
        if study.paper then out[#out + 1] = plain(study.paper) .. "." end
        if study.about then out[#out + 1] = plain(study.about) end
        local facts = {}
        if #study.systems > 0 then facts[1] = "systems " .. plain(table.concat(study.systems, ", ")) end
        if study.command then facts[#facts + 1] = code(study.command) end
        if study.seeds then facts[#facts + 1] = ("%d seeds"):format(study.seeds) end
        facts[#facts + 1] = words.minutes(study.seconds) .. " minutes of computing"
        facts[#facts + 1] = ("%d of %d cells%s"):format(study.done, study.cells,
            study.failed > 0 and (", %d failed"):format(study.failed) or "")
        out[#out + 1] = table.concat(facts, "; ") .. "."
        if #study.claims > 0 then
            local list = {}
            for i, claim in ipairs(study.claims) do
                list[i] = {"**" .. claim.verdict .. "**", plain(claim.text), plain(words.measured(claim)),
                    words.bound(claim), words.values(claim),
                    plain(claim.why or "")}
            end
            out[#out + 1] = table_of({"verdict", "claim", "measured", "claimed", "seeds", "why"}, list)
        end
        for _, t in ipairs(study.tables) do
            out[#out + 1] = ("### %s%s%s"):format(plain(t.name), t.about and ": " .. plain(t.about) or "",
                t.synthetic and " (synthetic)" or "")
            if t.missing then out[#out + 1] = "Skipped: " .. plain(t.missing:match "[^\n]*") end
            local list, right = {}, {[2] = true}
            local columns = {"row", "seeds"}
            for j, name in ipairs(t.columns) do columns[2 + j], right[2 + j] = plain(name), true end
            for i, row in ipairs(t.rows) do
                list[i] = {plain(row.label), ("%d of %d"):format(row.done, #row.cells)}
                for j, name in ipairs(t.columns) do
                    list[i][2 + j] = words.cell(sample.statistics(row.values[name] or {}))
                end
            end
            if #t.columns > 0 then out[#out + 1] = table_of(columns, list, right) end
            for _, row in ipairs(t.rows) do
                for _, why in ipairs(row.errors) do
                    out[#out + 1] = ("%s, %s"):format(plain(row.label), plain(why:sub(1, 400)))
                end
            end
        end
    end
    if #troubles > 0 then
        local list = {}
        for i, one in ipairs(troubles) do list[i] = ("- %s: %s"):format(plain(one.path), plain(one.why)) end
        out[#out + 1] = "## Files that could not be read"
        out[#out + 1] = table.concat(list, "\n")
    end
    return table.concat(out, "\n\n") .. "\n"
end

return m
