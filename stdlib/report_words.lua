-- report_words: what the report says in the terminal, in Markdown and in HTML alike: numbers, claims, states, the list
-- of systems.
local systems = require "attn.systems"

local m = {verdicts = {"holds", "fails", "undecided", "not measured"}}

function m.number(value)
    if value == nil then return "" end
    if value ~= value then return "nan" end
    return ("%.4g"):format(value)
end

---What was measured of a claim: mean, interval, words, values.
function m.measured(claim)
    local parts = {}
    if claim.mean and claim.mean == claim.mean then parts[1] = m.number(claim.mean) end
    if claim.low then parts[#parts + 1] = ("[%s, %s]"):format(m.number(claim.low), m.number(claim.high)) end
    if claim.words then parts[#parts + 1] = claim.words end
    return table.concat(parts, " ")
end

function m.bound(claim)
    local text = claim.at_least and "at least " .. m.number(claim.at_least)
        or claim.at_most and "at most " .. m.number(claim.at_most)
        or claim.between and ("%s to %s"):format(m.number(claim.between[1]), m.number(claim.between[2])) or ""
    return claim.exact and text .. ", exact" or text
end

function m.values(claim)
    local out = {}
    for i, value in ipairs(claim.values) do out[i] = m.number(value) end
    return table.concat(out, " ")
end

---Mean and deviation of a row's values.
function m.cell(statistics)
    return not statistics and "" or m.number(statistics.mean) .. (statistics.std and " ± " .. m.number(statistics.std) or "")
end

function m.minutes(seconds)
    local minutes = seconds / 60
    if minutes > 0 and minutes < 0.05 then return "under 0.1" end
    return minutes < 9.95 and ("%.1f"):format(minutes) or ("%.0f"):format(minutes)
end

---"3 hold, 1 fails" of claims.
function m.counts(claims)
    local counts, parts = {}, {}
    for _, claim in ipairs(claims) do counts[claim.verdict] = (counts[claim.verdict] or 0) + 1 end
    for _, verdict in ipairs(m.verdicts) do
        if counts[verdict] then parts[#parts + 1] = ("%d %s"):format(counts[verdict], verdict) end
    end
    return counts, table.concat(parts, ", ")
end

---Every system, in the list's order, then those that only studies name: {system =, studies = {study...}, claims =
---{claim...}}. A claim whose id is a system's is about this one, else about all that its study measures.
function m.overview(studies)
    local entries, by_id = {}, {}
    local function entry(system)
        local one = {system = system, studies = {}, claims = {}}
        entries[#entries + 1], by_id[system.id] = one, one
        return one
    end
    for _, system in ipairs(systems.list) do entry(system) end
    for _, study in ipairs(studies) do
        local measures = {}
        for _, id in ipairs(study.systems) do measures[id] = true end
        for _, id in ipairs(study.systems) do
            local one = by_id[id] or entry{id = id, family = "", name = study.name, paper = study.paper or "",
                formula = study.about or ""}
            one.studies[#one.studies + 1] = study
            for _, claim in ipairs(study.claims) do
                local own, others = false, false
                for _, other in ipairs(systems.ids(claim.id or {})) do
                    own, others = own or other == id, others or measures[other] ~= nil
                end
                if own or not others then one.claims[#one.claims + 1] = claim end
            end
        end
        if #study.systems == 0 then
            local one = entry{id = "", family = "", name = study.name, paper = study.paper or "", 
                formula = study.about or ""}
            one.studies[1], one.claims = study, study.claims
        end
    end
    return entries
end

---What a system's row says instead of claims.
function m.state(entry)
    if #entry.studies == 0 then return "not measured" end
    local _, text = m.counts(entry.claims)
    if text == "" then text = "no claims" end
    local failed = 0
    for _, study in ipairs(entry.studies) do failed = failed + study.failed end
    return failed > 0 and ("%s; %d cell%s failed"):format(text, failed, failed == 1 and "" or "s") or text
end

---The sum of it all, one line.
function m.total(studies, entries)
    local claims, measured = {}, 0
    for _, study in ipairs(studies) do table.move(study.claims, 1, #study.claims, #claims + 1, claims) end
    for _, entry in ipairs(entries) do measured = measured + (#entry.studies > 0 and 1 or 0) end
    local _, text = m.counts(claims)
    return ("%d of %d systems measured by %d stud%s; claims: %s"):format(measured, #entries, #studies,
        #studies == 1 and "y" or "ies", text ~= "" and text or "none")
end

return m
