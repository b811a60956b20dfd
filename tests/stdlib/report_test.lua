-- The report, on what a small study leaves; and on folders whose files are broken, foreign or hostile.
local attn, t = require "attn", require "attn.test"
local read, words, systems = require "attn.report_read", require "attn.report_words", require "attn.systems"
local html, markdown = require "attn.report_html", require "attn.report_markdown"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

local folder = shell.folder()

local script = [[
local attn = require "attn"
local study = require "attn.study"
local paper = study{name = "small", system = {"E9", "Z1"}, paper = "A <b>, B 2016", about = "a | b",
    options = {steps = 3}, seeds = 3}
local t = paper:table{name = "place", about = "where", synthetic = true,
    vary = {{"outer", by = 1}, {"inner", by = 2}, {"broken", by = 0}},
    run = function(cfg, cell)
        assert(cfg.by > 0, "no <i>by</i>")
        local _, why = pcall(cell.keep, cell, "map", attn.eye(2), {row = {"a", "b"}})
        assert(why:find("cell:keep: unknown field 'row'", 1, true), why)
        for step = 1, cfg.steps do cell:log{step = step, loss = cell.seed / step} end
        cell:keep("map", attn.eye(2), {rows = {"<script>", "b"}, columns = {"c", "d"}})
        cell:keep("words", attn.tensor{0.25, 0.75}, {tokens = {"very", "<bad>"}})
        cell:keep("digit", attn.zeros(1, 4, 4), {as = "image", path = {{0, 0}, {0.5, 0.5}}})
        cell:keep("looked", attn.ones(2, 2, 2), {over = attn.zeros(1, 4, 4), titles = {"a", "<dog>"}})
        cell:keep("said", "line <1>\nline 2")
        cell:keep("one", attn.tensor{1, 2, 3})
        return {words = cfg.by * 10 + cell.seed, loss = cfg.by}
    end}
paper:claim{"more by 10", t.inner.words - t.outer.words, at_least = 9.5, id = "E9"}
paper:claim{"less than one", t.inner.loss, at_most = 1}
paper:claim{"needs what fails", t.broken.words, between = {0, 1}}
return paper:main{}
]]
shell.write("small.lua", script)
local _, failure = shell.run "attn small.lua --jobs 2 --threads 1"
assert(failure:find("3 of 9 cells failed", 1, true), failure)

local function put(path, content)
    os.execute("mkdir -p " .. shell.quote((folder .. "/" .. path):match "^(.*)/"))
    return shell.write(path, content)
end

t.case("what a study leaves is read: values by seed, claims, curves, what was kept", function()
    local studies, troubles = read.read{folder .. "/results"}
    t.equal({#studies, #troubles}, {1, 0})
    local s = studies[1]
    t.equal({s.name, s.cells, s.done, s.failed, s.seeds}, {"small", 9, 6, 3, 3})
    t.equal(s.systems, {"E9", "Z1"})
    t.equal(s.command, "attn small.lua")
    t.equal(s.tables[1].columns, {"loss", "words"})
    t.equal(s.tables[1].better, {loss = "less", words = "more"})
    t.equal(s.tables[1].rows[2].values.words, {21, 22, 23})
    t.equal(#s.tables[1].rows[3].errors, 3)
    t.equal(s.tables[1].rows[1].cells[2].log[3], {step = 3, loss = 2 / 3})
    local names = {}
    for i, one in ipairs(s.tables[1].rows[1].cells[1].kept) do names[i] = one.name end
    t.equal(names, {"digit", "looked", "map", "one", "said", "words"})
    t.equal({s.claims[1].verdict, s.claims[2].verdict, s.claims[3].verdict}, {"holds", "fails", "undecided"})
    t.equal({s.claims[1].mean, s.claims[1].low, s.claims[1].values}, {10, 10, {10, 10, 10}})
end)

t.case("the table of systems has all, the measured with their own claims, those of no list behind", function()
    local studies = read.read{folder .. "/results"}
    local by_id, entries = {}, words.overview(studies)
    for _, entry in ipairs(entries) do by_id[entry.system.id] = entry end
    t.equal(#entries, #systems.list + 1)
    t.equal(words.state(by_id.E9), "1 holds, 1 fails, 1 undecided; 3 cells failed")
    t.equal(words.state(by_id.Z1), "1 fails, 1 undecided; 3 cells failed")         -- the first claim is E9's
    t.equal(words.state(by_id.A1), "not measured")
    t.equal(words.total(studies, entries), ("2 of %d systems measured by 1 study; claims: 1 holds, 1 fails, 1 undecided"):format(#entries))
end)

t.case("the list of systems: every id once, from A1 to H4, with paper and formula", function()
    t.equal(#systems.list, 67)
    for _, s in ipairs(systems.list) do
        t.equal(systems.by_id[s.id], s)
        t.is_true(#s.name > 0 and #s.paper > 0 and #s.formula > 0, s.id)
    end
    t.equal(systems.ids{"E1-E3", "A5, A6", "E2"}, {"E1", "E2", "E3", "A5", "A6"})
    t.equal(systems.ids "D9-D7 D1-E4", {"D9-D7", "D1-E4"})
end)

t.case("attn report: terminal, Markdown and HTML from the command line", function()
    local out, err, code = shell.run "attn report"
    t.equal({err, code}, {"", 0})
    t.is_true(out:match "E9 +Inner attention +1 holds, 1 fails, 1 undecided; 3 cells failed +small", out)
    t.is_true(out:match "F3 +Transformer +not measured", out)
    t.is_true(out:match "holds +10 %[10, 10%] +at least 9.5 +more by 10", out)
    out, err, code = shell.run "attn report results --html r.html --markdown -"
    t.equal({err, code}, {"", 0})
    t.is_true(out:find("| **holds** | more by 10 | 10 \\[10, 10\\] | at least 9.5 | 10 10 10 |  |", 1, true), out)
    t.is_true(out:find("| inner | 3 of 3 | 2 ± 0 | 22 ± 1 |", 1, true), out)
    t.is_true(out:find("A \\<b\\>, B 2016.", 1, true) and out:find("a \\| b", 1, true), out)
    t.is_true(shell.read(folder .. "/r.html"):find("</html>", 1, true))
    out = shell.run "attn report small.lua"
    t.is_true(out:find("more by 10", 1, true), out)
    out, err, code = shell.run "attn report other.lua"
    t.equal(code, 0)
    t.is_true(err:find("other.lua: no results of this study in results", 1, true)
        and not out:find("more by 10", 1, true), err)
    _, err, code = shell.run "attn report nowhere"
    t.equal({err, code}, {"attn report: nowhere: there is no such folder\n", 1})
    _, err, code = shell.run "attn report --htlm x"
    t.equal(code, 1)
    t.is_true(err:find("unknown option --htlm", 1, true), err)
    _, err, code = shell.run "attn report --html /nowhere/x.html"
    t.equal(code, 1)
    t.is_true(err:find("/nowhere/x.html", 1, true), err)
    out, _, code = shell.run "attn report --help"
    t.equal(code, 0)
    t.is_true(out:find("usage: attn report", 1, true), out)
end)

t.case("the page has tables, curves, maps, texts and pictures, and nothing from outside", function()
    local page = html.write(read.read{folder .. "/results"})
    t.equal(page:find("http", 1, true) ~= nil and page:gsub("http://www.w3.org/2000/svg", ""):gsub("http%-equiv",
        ""):find("http", 1, true), nil)
    t.equal(page:find("<script", 1, true), nil)
    t.is_true(page:find("default-src 'none'", 1, true) and page:find("prefers-color-scheme", 1, true)
        and page:find("@media print", 1, true))
    t.is_true(page:find("&lt;script&gt;", 1, true) and page:find("&lt;bad&gt;", 1, true)
        and page:find("A &lt;b&gt;, B 2016", 1, true))
    t.is_true(page:find('<a href="#study-1">Inner attention</a>', 1, true) and page:find('<section id="study-1">', 1, true))
    t.is_true(page:find("no &lt;i&gt;by&lt;/i&gt;", 1, true) and page:find("line &lt;1&gt;\nline 2", 1, true))
    -- the best of each column
    t.is_true(page:find("<b>22 ± 1</b>", 1, true) and page:find("<b>1 ± 0</b>", 1, true))
    t.equal(page:find("cannot be drawn", 1, true), nil)
    -- of two rows: map, picture and two overlays as PNG, the words shaded, a kept curve; of the table: two plots of
    -- intervals, one of losses
    t.equal(select(2, page:gsub("<image", "")), 8)
    t.equal(select(2, page:gsub("<polyline", "")), 2)
    t.equal(select(2, page:gsub("&lt;dog&gt;</text>", "")), 2)
    t.equal(select(2, page:gsub('class="attn%-text"', "")), 2)
    t.equal(select(2, page:gsub("mean and 95 %% interval", "")), 2)
    t.equal(select(2, page:gsub("loss: mean of the seeds", "")), 1)
    -- strips of claims with a mean
    t.equal(select(2, page:gsub('fill="#10b981"', "")), 2)
    local open, close = select(2, page:gsub("<svg", "")), select(2, page:gsub("</svg>", ""))
    t.equal(open, close)
end)

t.case("broken, half-written, foreign and hostile files are named, the rest is shown", function()
    put("odd/empty/study.json", "")
    put("odd/half/study.json", '{"study": "half", "tables": [{"na')
    put("odd/foreign/study.json", '{"name": "of another program"}')
    put("odd/list/study.json", "[1, 2]")
    put("odd/running/place-outer-1-0123456789abcdef.json", "{}")
    put("odd/quick/quick.json", '{"tables": [], "claims": []}')
    put("odd/types/study.json", '{"study": 3, "paper": {}, "system": [{}, 1e99, true], "script": [], "arguments": "x", "seeds": -1, "tables": [1, '
        .. '{"name": 7, "rows": [2, {"label": false, "cells": [{"file": 5, "state": "done"}, {"state": []}, 3]}]}], '
        .. '"claims": ["x", {"text": 1, "verdict": "<b>holds", "mean": "nan", "low": "inf", "high": {}, "between": [1], "values": ["nan", "x", 2]}]}')
    put("odd/lead/study.json", '{"study": "<img src=x onerror=alert(1)>", "tables": [{"name": "t", "rows": [{"label": "\\u001b[2J", "cells": ['
        .. '{"seed": 1, "state": "done", "file": "../../small.lua"}, {"seed": 2, "state": "done", "file": "gone.json"},'
        .. '{"seed": 3, "state": "done", "file": "kept.json"}]}]}], "claims": []}')
    put("odd/lead/kept.json", '{"values": {"a": 1, "b": "x", "c": {}, "</td>": 2}, "log": [1, {"step": "x"}, {"step": 1, "loss": {}}, {"step": 2, "loss": 1}],'
        .. ' "kept": {"a": 1, "b": {"size": [1e9, 1e9], "values": []}, "c": {"size": [2, 2], "values": [1, 2, 3]}, "d": {"size": [-1], "values": [1]},'
        .. ' "e": {"size": [2, 2], "values": [1, "nan", true, 0], "rows": [1, 2, 3], "as": 4}, "f": {"text": "\\u001b]0;x\\u0007"}}}')
    os.execute(("cd %s/odd && ln -s . a && ln -s . b && ln -s .. half/c"):format(shell.quote(folder)))
    put("odd/small/study.json", shell.read(folder .. "/results/small/study.json"))
    local studies, troubles = read.read{folder .. "/odd", folder .. "/odd/none"}
    local names, seen = {}, {}
    for i, s in ipairs(studies) do names[i] = s.name end
    t.equal(names, {"small", "<img src=x onerror=alert(1)>", "types"})          -- in the order of the systems
    for _, one in ipairs(troubles) do
        seen[#seen + 1] = one.path:sub(#folder + 6) .. ": " .. one.why:gsub("\n.*", "")
    end
    local all = table.concat(seen, "\n")
    for _, wanted in ipairs{"empty/study.json: not whole", "half/study.json: not whole",
        "foreign/study.json: no summary of a study",
        "list/study.json: ", "running: 1 cells, but no study.json",
            "lead/study.json: names a cell's file that is none", "lead/gone.json: No such file or directory",
        "types/study.json: names a cell's file that is none", "small/place%-outer", "none: there is no such folder"} do
        t.is_true(all:find(wanted), wanted .. " in\n" .. all)
    end
    local page, text = html.write(studies, troubles), markdown.write(studies, troubles)
    t.equal(page:find("<img", 1, true), nil)
    t.equal(page:find("\27", 1, true) or text:find("\27", 1, true), nil)
    t.equal(text:find "[^\\]<img", nil)
    t.is_true(page:find("cannot be drawn: show.attention: rows has 3 labels", 1, true))
    t.is_true(page:find("half/study.json", 1, true) and text:find("half/study.json", 1, true))
    local _, err, code = shell.run "attn report odd"
    t.equal(code, 0)
    t.is_true(err:find("odd/half/study.json: not whole", 1, true), err)
end)

t.case("nothing measured is a report, too", function()
    os.execute("mkdir -p " .. shell.quote(folder .. "/nothing"))
    local out, err, code = shell.run "attn report nothing --markdown -"
    t.equal({err, code}, {"", 0})
    t.is_true(out:find(("0 of %d systems measured by 0 studies; claims: none"):format(#systems.list), 1, true), out)
end)

t.case("the command says what to type again, without where and how fast it ran", function()
    put("again/s/study.json", '{"study": "s", "script": "a b.lua", "arguments": ["--data", "/home/x", "--steps=3", "--jobs", "1", "--results=/tmp/r",'
        .. ' "--again", "--threads", "2", "it\'s"], "tables": [], "claims": []}')
    t.equal(read.read{folder .. "/again"}[1].command, [[attn 'a b.lua' --data DIR --steps=3 'it'\''s']])
end)
