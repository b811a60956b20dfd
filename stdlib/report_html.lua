-- report_html: the report as one HTML file: no script, no network, light and dark, narrow screens, paper.
--
-- Whatever comes from results is escaped; the file forbids itself everything but its own styles and pictures
-- (Content-Security-Policy), so that even markup that slipped through would do nothing.
local fields = require "attn.fields"
local file = require "attn.show_file"
local pictures = require "attn.show_kept"
local plot = require "attn.show_plot"
local sample = require "attn.sample"
local systems = require "attn.systems"
local words = require "attn.report_words"

local m = {}

-- drawn at most: curves of a plot, plots of a table, maps of a study, bars
local CURVES, MEASURES, KEPT, ROWS = 8, 4, 40, 16

local STYLE = [[
:root{color-scheme:light dark;--ink:#222;--soft:#666;--line:#ddd;--paper:#fff;--panel:#f6f7f9;--link:#1d4ed8;
--holds:#15803d;--fails:#b91c1c;--undecided:#a16207;--none:#6b7280}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--soft:#999;--line:#3a3d44;--paper:#15171b;--panel:#1e2127;
--link:#8ab4ff;
--holds:#4ade80;--fails:#f87171;--undecided:#facc15;--none:#9ca3af}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--panel:#fff;--link:#000}
tr,figure{break-inside:avoid}h2,h3{break-after:avoid}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;padding:1.2em;
max-width:76em}
h1{font-size:1.6em;margin:.2em 0}h2{margin:2.2em 0 .2em;padding-top:.6em;border-top:2px solid var(--line)}
h3{margin:1.4em 0 .3em;font-size:1.05em}
p{margin:.3em 0}a{color:var(--link)}code{font-size:.9em;background:var(--panel);padding:.1em .3em;
overflow-wrap:anywhere}
.soft{color:var(--soft)}.min{white-space:nowrap}.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.5em 0;font-size:.92em}
th,td{text-align:left;vertical-align:top;padding:.3em .8em .3em 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}
.systems{columns:34em 2;column-gap:2.5em;margin-top:1em}
.systems table{width:100%;break-inside:avoid-column;margin:0 0 1em;font-size:.85em}
.systems td{padding:.12em .6em .12em 0}.systems td:first-child{width:2.6em}
.systems td:last-child{text-align:right;padding-right:0}
.systems th{color:var(--ink)}.claims{width:100%}.claims td{overflow-wrap:break-word}.claims svg{min-width:12em}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;padding-left:.6em}
.v{white-space:nowrap;font-weight:600}.holds{color:var(--holds)}.fails{color:var(--fails)}
.undecided{color:var(--undecided)}.none{color:var(--none);font-weight:400}
tr.missing td,tr.missing .soft{color:var(--none)}
.figures{display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start}
figure{margin:.4em 0;max-width:100%}figcaption{font-size:.85em;color:var(--soft)}
svg{max-width:100%;height:auto;display:block}
pre{margin:0;padding:.6em;background:var(--panel);overflow-x:auto;font-size:.85em;max-height:30em}
.attn-text{max-width:44em}.attn-text span{padding:.1em .2em;border-radius:.2em}
@media(max-width:640px){body{padding:.7em;font-size:14px}
table.claims,table.claims tbody,table.claims tr,table.claims td{display:block;border:0;padding:.1em 0}
table.claims thead{display:none}table.claims tr{border-bottom:1px solid var(--line);padding:.5em 0}}
]]

local escape = file.escape

local function verdict(word)
    return ('<span class="v %s">%s</span>'):format(word == "not measured" and "none" or word, word)
end

local function state(entry)
    if #entry.studies == 0 then return '<span class="v none">not measured</span>' end
    local counts, text = words.counts(entry.claims)
    local parts = {}
    for _, word in ipairs(words.verdicts) do
        if counts[word] then
            parts[#parts + 1] = ('<span class="v %s">%d %s</span>'):format(word == "not measured" and "none" or word,
                counts[word], word)
        end
    end
    if text == "" then parts[1] = '<span class="v none">no claims</span>' end
    local failed = 0
    for _, study in ipairs(entry.studies) do failed = failed + study.failed end
    if failed > 0 then
        parts[#parts + 1] = ('<span class="v fails">%d cell%s failed</span>'):format(failed, failed == 1 and "" or "s")
    end
    return table.concat(parts, ", ")
end

-- ---- the claims ----

-- Where the interval lies beside what is claimed: a strip with the region claimed, the seeds, the interval and the
-- mean.
local function strip(claim)
    local values = {claim.mean, claim.low, claim.high, claim.at_least, claim.at_most,
        claim.between and claim.between[1], claim.between and claim.between[2]}
    local low, high = math.huge, -math.huge
    local function put(value)
        if value and value == value and math.abs(value) < math.huge then
            low, high = math.min(low, value), math.max(high, value)
        end
    end
    for i = 1, 7 do put(values[i]) end
    for _, value in ipairs(claim.values) do put(value) end
    if not claim.mean or claim.mean ~= claim.mean or low > high
        or not (claim.at_least or claim.at_most or claim.between) then
        return ""
    end
    local margin = high > low and (high - low) * 0.12 or math.max(math.abs(high) * 0.1, 1e-9)
    low, high = low - margin, high + margin
    local width = 180
    local function at(value) return math.max(0, math.min(width, (value - low) / (high - low) * width)) end
    local from = at(claim.at_least or claim.between and claim.between[1] or low)
    local to = at(claim.at_most or claim.between and claim.between[2] or high)
    local body = {('<rect x="%.4g" y="3" width="%.4g" height="16" fill="#10b981" fill-opacity=".22"/>'):format(from,
        math.max(1, to - from))}
    for _, value in ipairs(claim.values) do
        if value == value and math.abs(value) < math.huge then
            body[#body + 1] = ('<path d="M%.4g 5v12" stroke="currentColor" stroke-opacity=".45"/>'):format(at(value))
        end
    end
    if claim.low and claim.low == claim.low and claim.high == claim.high then
        body[#body + 1] = ('<path d="M%.4g 11H%.4g" stroke="currentColor" stroke-width="2"/>'):format(at(claim.low),
            at(claim.high))
    end
    body[#body + 1] = ('<circle cx="%.4g" cy="11" r="4" fill="currentColor"/>'):format(at(claim.mean))
    return file.svg(width, 22, body, "interval " .. words.measured(claim) .. ", claimed " .. words.bound(claim))
end

local function claims(out, study)
    out[#out + 1] = '<table class="claims"><thead><tr><th>verdict</th><th>claim</th><th>measured</th>'
        .. "<th></th></tr></thead><tbody>"
    for _, claim in ipairs(study.claims) do
        local notes = {}
        local bound, values = words.bound(claim), words.values(claim)
        if bound ~= "" then notes[1] = "claimed " .. escape(bound) end
        if values ~= "" then notes[#notes + 1] = "seeds " .. escape(values) end
        if claim.why then notes[#notes + 1] = escape(claim.why) end
        out[#out + 1] = ('<tr><td>%s</td><td>%s</td><td>%s<div class="soft">%s</div></td><td>%s</td></tr>'):format(
            verdict(claim.verdict), escape(claim.text), escape(words.measured(claim)), table.concat(notes, "; "),
            strip(claim))
    end
    out[#out + 1] = "</tbody></table>"
end

-- ---- the tables ----

local function figure(out, caption, draw, ...)
    local ok, picture = pcall(draw, ...)
    if not ok then picture = '<p class="soft">cannot be drawn: ' .. escape(tostring(picture):sub(1, 300)) .. "</p>" end
    out[#out + 1] = ("<figure>%s<figcaption>%s</figcaption></figure>"):format(picture, escape(caption))
end

local function numbers_of(out, t)
    local statistics, best = {}, {}
    for i in ipairs(t.rows) do statistics[i] = {} end
    for _, name in ipairs(t.columns) do
        local column = {}
        for i, row in ipairs(t.rows) do
            statistics[i][name] = sample.statistics(row.values[name] or {})
            column[#column + 1] = statistics[i][name]
        end
        best[name] = sample.best(column, t.better[name])
    end
    local line = {"<tr><th>row</th>", '<th class="n">seeds</th>'}
    for _, name in ipairs(t.columns) do line[#line + 1] = ('<th class="n">%s</th>'):format(escape(name)) end
    out[#out + 1] = '<div class="wide"><table><thead>' .. table.concat(line) .. "</tr></thead><tbody>"
    for i, row in ipairs(t.rows) do
        line = {("<tr><td>%s</td>"):format(escape(row.label)),
            ('<td class="n">%d of %d</td>'):format(row.done, #row.cells)}
        for _, name in ipairs(t.columns) do
            local s = statistics[i][name]
            local text = s and escape(words.cell(s)) or ""
            if s and s.mean == best[name] then text = "<b>" .. text .. "</b>" end
            line[#line + 1] = ('<td class="n">%s</td>'):format(text)
        end
        out[#out + 1] = table.concat(line) .. "</tr>"
    end
    out[#out + 1] = "</tbody></table></div>"
    for _, row in ipairs(t.rows) do
        for _, why in ipairs(row.errors) do
            out[#out + 1] = ('<p class="fails">%s, %s</p>'):format(escape(row.label), escape(why:sub(1, 400)))
        end
    end
    return statistics
end

local function intervals(out, t, statistics)
    if #t.rows < 2 or #t.rows > ROWS then return end
    for k = 1, math.min(MEASURES, #t.columns) do
        local name = t.columns[k]
        local c, labels, any = {y = {}, low = {}, high = {}}, {}, false
        for i, row in ipairs(t.rows) do
            local s = statistics[i][name]
            if s and s.mean == s.mean then
                local at = #labels + 1
                labels[at], c.y[at], c.low[at], c.high[at] = row.label, s.mean, s.low or s.mean, s.high or s.mean
                any = any or s.low ~= nil
            end
        end
        if any then
            figure(out, name .. ": mean and 95 % interval", plot.svg, {c},
                {points = true, labels = labels, ylabel = name})
        end
    end
end

-- The mean over seeds of what rows logged, in a band from the least to the largest.
local function curve_of(row, name)
    local by_step, steps = {}, {}
    for _, cell in ipairs(row.cells) do
        for _, record in ipairs(cell.log) do
            local step, value = record.step, record[name]
            if type(step) == "number" and type(value) == "number" then
                if not by_step[step] then
                    by_step[step] = {}
                    steps[#steps + 1] = step
                end
                table.insert(by_step[step], value)
            end
        end
    end
    if #steps == 0 then return nil end
    table.sort(steps)
    local c = {name = row.label, x = steps, y = {}, low = {}, high = {}}
    for i, step in ipairs(steps) do
        local values = by_step[step]
        local sum, low, high = 0, math.huge, -math.huge
        for _, value in ipairs(values) do sum, low, high = sum + value, math.min(low, value), math.max(high, value) end
        c.y[i], c.low[i], c.high[i] = sum / #values, low, high
    end
    return c
end

local function curves(out, t)
    local first = {}
    for _, row in ipairs(t.rows) do
        for _, cell in ipairs(row.cells) do
            for name, value in pairs(cell.log[1] or {}) do
                if name ~= "step" and type(name) == "string" and type(value) == "number" then first[name] = true end
            end
        end
    end
    local names = fields.names(first)
    table.sort(names, function(a, b)
        if (a == "loss") ~= (b == "loss") then return a == "loss" end
        return a < b
    end)
    for k = 1, math.min(MEASURES, #names) do
        local list, more = {}, 0
        for _, row in ipairs(t.rows) do
            local c = curve_of(row, names[k])
            if c and #list < CURVES then list[#list + 1] = c elseif c then more = more + 1 end
        end
        local caption = names[k] .. ": mean of the seeds, from the least to the largest"
            .. (more > 0 and (" (%d more rows)"):format(more) or "")
        if #list > 0 then figure(out, caption, plot.svg, list, {ylabel = names[k], xlabel = "step"}) end
    end
end

-- ---- what was kept ----

local function kept(out, t, left)
    for _, row in ipairs(t.rows) do
        for _, cell in ipairs(row.cells) do
            if #cell.kept > 0 then          -- one seed of each row
                for _, one in ipairs(cell.kept) do
                    if left == 0 then return 0 end
                    left = left - 1
                    local caption = ("%s, seed %s: %s"):format(row.label, cell.seed, one.name)
                    figure(out, caption, pictures.html, one)
                end
                break
            end
        end
    end
    return left
end

-- ---- the page ----

local function section(out, study, i)
    out[#out + 1] = ('<section id="study-%d"><h2>%s</h2>'):format(i, escape(study.name))
    if study.paper then out[#out + 1] = "<p>" .. escape(study.paper) .. "</p>" end
    if study.about then out[#out + 1] = "<p>" .. escape(study.about) .. "</p>" end
    local facts = {}
    for _, id in ipairs(study.systems) do
        local system = systems.by_id[id]
        facts[#facts + 1] = escape(system and ("%s %s: %s"):format(id, system.name, system.formula) or id)
    end
    if #facts > 0 then out[#out + 1] = '<p class="soft">' .. table.concat(facts, "<br>") .. "</p>" end
    facts = {}
    if study.command then facts[1] = "<code>" .. escape(study.command) .. "</code>" end
    if study.seeds then facts[#facts + 1] = ("%d seed%s"):format(study.seeds, study.seeds == 1 and "" or "s") end
    facts[#facts + 1] = words.minutes(study.seconds) .. " minutes of computing"
    facts[#facts + 1] = ("%d of %d cells%s"):format(study.done, study.cells,
        study.failed > 0 and (", %d failed"):format(study.failed) or "")
    if study.finished then facts[#facts + 1] = escape(study.finished) end
    out[#out + 1] = '<p class="soft">' .. table.concat(facts, " · ") .. "</p>"
    if #study.claims > 0 then claims(out, study) end
    local left = KEPT
    for _, t in ipairs(study.tables) do
        out[#out + 1] = ("<h3>%s%s%s</h3>"):format(escape(t.name), t.about and ": " .. escape(t.about) or "",
            t.synthetic and ' <span class="soft">(synthetic)</span>' or "")
        if t.missing then out[#out + 1] = '<p class="soft">skipped: ' .. escape(t.missing) .. "</p>" end
        local statistics = #t.columns > 0 and numbers_of(out, t) or nil
        local figures = {}
        if statistics then intervals(figures, t, statistics) end
        curves(figures, t)
        left = kept(figures, t, left)
        if #figures > 0 then out[#out + 1] = '<div class="figures">' .. table.concat(figures, "\n") .. "</div>" end
    end
    out[#out + 1] = "</section>"
end

---@param studies table[]
---@param troubles table[]
---@return string
function m.write(studies, troubles)
    local entries = words.overview(studies)
    local number_of = {}
    for i, study in ipairs(studies) do number_of[study] = i end
    local out = {'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta http-equiv="Content-Security-Policy" ',
        'content="default-src \'none\'; style-src \'unsafe-inline\'; img-src data:">',
        "<title>Systems of attention, measured</title><style>" .. STYLE .. "</style></head><body>",
        "<h1>Systems of attention, measured</h1><p>" .. escape(words.total(studies, entries)) .. "</p>",
        '<div class="systems">'}
    local titles, last = {}, nil
    for _, family in ipairs(systems.families) do titles[family[1]] = family[2] end
    for _, entry in ipairs(entries) do
        local s = entry.system
        if s.family ~= last then
            if last then out[#out + 1] = "</table>" end
            out[#out + 1] = ('<table><tr><th colspan="3">%s</th></tr>'):format(escape(titles[s.family] or "Others"))
            last = s.family
        end
        local name, links, seconds = escape(s.name), {}, 0
        for k, study in ipairs(entry.studies) do
            local text = #entry.studies == 1 and name or escape(study.name)
            links[k] = ('<a href="#study-%d">%s</a>'):format(number_of[study], text)
            seconds = seconds + study.seconds
        end
        local minutes = #links > 0 and (' <span class="soft min">%s min</span>'):format(words.minutes(seconds)) or ""
        local linked = #links == 1 and links[1] or name .. " " .. table.concat(links, ", ")
        out[#out + 1] = ('<tr%s><td>%s</td><td title="%s">%s <span class="soft">%s</span></td><td>%s%s</td></tr>')
            :format(#links == 0 and ' class="missing"' or "", escape(s.id), escape(s.formula), linked, escape(s.paper),
            state(entry), minutes)
    end
    out[#out + 1] = "</table></div>"
    for i, study in ipairs(studies) do section(out, study, i) end
    if #troubles > 0 then
        out[#out + 1] = "<section><h2>Files that could not be read</h2><ul>"
        for _, one in ipairs(troubles) do
            out[#out + 1] = ("<li><code>%s</code> %s</li>"):format(escape(one.path), escape(one.why))
        end
        out[#out + 1] = "</ul></section>"
    end
    out[#out + 1] = "</body></html>\n"
    return table.concat(out, "\n")
end

return m
