-- Studies, seen from outside: cells in processes, results in files, what is printed. ATTN_KILLS=100 makes the test of kill -9 as
-- long as that.
local attn, t = require "attn", require "attn.test"
local data, internal, whole = require "attn.data", require "attn.internal", require "attn.whole"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

local folder = shell.folder()

-- Two tables of three rows; each cell leaves a line in ran.txt beside the results when it begins.
local tiny = [[
local attn = require "attn"
local study = require "attn.study"
local internal = require "attn.internal"
local paper = study{name = "tiny", options = {steps = 4, pause = 0.0, log = "ran.txt"}, quick = {steps = 1}, seeds = 3}
local function ran(cfg, cell)
    local file <close> = io.open(cfg.log, "a")
    file:write(("%s/%s/%d\n"):format(cell.table, cell.row, cell.seed))
    file:flush()
    internal.sleep(cfg.pause)
end
local first = paper:table{
    name = "first", about = "made up", synthetic = true,
    vary = {{"a", by = 1}, {"b", by = 2}, {"c", by = 3}, --[=[row]=]},
    run = function(cfg, cell)
        ran(cfg, cell)
        for step = 1, cfg.steps do cell:log{step = step, loss = 1 / step} end
        cell:keep("map", attn.randn(2, 2))
        cell:keep("said", "yes")
        return {sum = cfg.by * attn.randn(cfg.steps):sum():item(), by = cfg.by} --[=[code]=]
    end,
}
local second = paper:table{
    name = "second", grid = {by = {1, 2, 3}}, --[=[table]=]
    run = function(cfg, cell)
        ran(cfg, cell)
        local losses = {}
        for step = 1, 450 do losses[step] = step end
        cell:curve(losses)
        return {noise = cfg.by + attn.rand(1):item() + 0.001 * cell.seed}
    end,
}
paper:claim{"more", second{by = 3}.noise - second["by=1"].noise, at_least = 1}
paper:claim{"exact", first.b.by - first.a.by, between = {1, 1}, exact = true}
paper:claim{"words", function() return first.a.by:mean() == 1, "one" end}
return paper:main{answer = 42}
]]

local function script(name, from, to)
    local text = tiny
    if from then
        local at, last = text:find(from, 1, true)
        text = text:sub(1, at - 1) .. to .. text:sub(last + 1)
    end
    return shell.write(name .. ".lua", text)
end

-- What the cells of a folder gave, without when and how long.
local function results(path)
    local all, count = {}, 0
    local ok, names = pcall(attn.list_folder, path .. "/tiny")
    for _, name in ipairs(ok and names or {}) do
        local record = name:match "%-%x+%.json$" and whole.read_json(path .. "/tiny/" .. name)
        if record then
            record.took, record.options.log, record.options.pause = nil, nil, nil
            all[("%s/%s/%d"):format(record.table, record.row, record.seed)] = record
            count = count + 1
        end
    end
    return all, count
end

local function lines(path)
    local list = {}
    local file = io.open(path)
    for line in (file and file:read "a" or ""):gmatch "[^\n]+" do list[#list + 1] = line end
    if file then file:close() end
    return list
end

local function run(words) return shell.run("attn " .. words) end

local function start(file, ...)
    return internal.process({shell.exe, file, ...}, folder .. "/process.txt")
end

local function wait(process)
    while true do
        local ended, how, number = internal.process_ended(process)
        if ended then return how, number end
        internal.sleep(0.005)
    end
end

script "tiny"

t.case("a study prints tables, claims and result lines", function()
    local out, err, code = run "tiny.lua --log=one.txt --results=one"
    t.equal({err, code}, {"", 0})
    t.is_true(out:find("first: made up  (synthetic)\nrow  seeds   by ", 1, true), out)
    t.is_true(out:find("\na    3 of 3  1 ± 0 ", 1, true), out)
    t.is_true(out:find("\nc    3 of 3  3 ± 0 *", 1, true), out)
    t.is_true(out:find("  holds        exact\n               1; between 1 and 1, exact; seeds 1 1 1\n", 1, true), out)
    t.is_true(out:find("  holds        words\n               one\n", 1, true), out)
    t.is_true(out:find("\nresult first/b/by 2\n", 1, true), out)
    local all, count = results(folder .. "/one")
    t.equal({count, #lines(folder .. "/one.txt")}, {18, 18})
    local record = all["first/b/2"]
    t.equal({record.values.by, record.kept.said.text, record.kept.map.size, #record.log, record.options.steps}, {2, "yes", {2, 2}, 4, 4})
    local curve = all["second/by=2/2"].log
    t.equal({#curve, curve[1], curve[225]}, {225, {step = 2, loss = 1.5}, {step = 450, loss = 449.5}})
    local summary = whole.read_json(folder .. "/one/tiny/study.json")
    t.equal({summary.claims[2].verdict, #summary.tables, summary.tables[1].rows[3].label}, {"holds", 2, "c"})
end)

t.case("the seed of a cell is set before run: rows share what they draw, values follow from it alone", function()
    local all = results(folder .. "/one")
    for seed = 1, 3 do
        attn.seed(seed)
        local map = attn.randn(2, 2):reshape(-1):totable()
        local sum = attn.randn(4):sum():item()
        for by, row in ipairs{"a", "b", "c"} do
            local record = all[("first/%s/%d"):format(row, seed)]
            t.equal(record.kept.map.values, map)
            t.equal(record.values.sum, by * sum)
        end
    end
end)

t.case("results that cannot be written are named, without a traceback", function()
    shell.write("taken", "a file")
    local _, err, code = run "tiny.lua --results=taken"
    t.equal({err:match "%-%-results.*", code ~= 0}, {"--results: mkdir: taken: File exists\n", true})
end)

t.case("precision: of a row, of the command line; float32 is what a study does without it", function()
    shell.write("precise.lua", [[
local attn = require "attn"
local paper = require "attn.study"{options = {a = 1 + 2 ^ -8}, seeds = 1}
local x, one = attn.tensor{{1 + 2 ^ -8}}, attn.ones(1, 1)
paper:table{name = "product", vary = {{"plain"}, {"short", precision = "bf16"}},
    run = function() return {value = x:matmul(one):item()} end}
return paper:main{}
]])
    local function values(words)
        local out = run("precise.lua --jobs=1 " .. words)
        return {tonumber(out:match "result product/plain/value (%S+)"), tonumber(out:match "result product/short/value (%S+)")}
    end
    t.equal(values "--results=plain", {1.004, 1.0})
    t.equal(values "--results=short --precision bf16", {1.0, 1.0})
    t.equal(select(2, results(folder .. "/plain")), 0)
    run "precise.lua --jobs=1 --results=plain --precision=float32"
    t.equal(#attn.list_folder(folder .. "/plain/precise"), #attn.list_folder(folder .. "/short/precise"))
    local _, err, code = run "precise.lua --precision half"
    t.equal({err:match "%-%-precision[^\n]*", code ~= 0}, {"--precision is 'half', expected float32 or bf16", true})
end)

t.case("options of a table hold for all its rows, group by group, but for what a row says itself", function()
    shell.write("common.lua", [[
local attn = require "attn"
local paper = require "attn.study"{options = {a = 1, b = 2, of = {x = 1, y = 2}}, seeds = 1}
local function run(cfg) return {sum = 1000 * cfg.a + 100 * cfg.b + 10 * cfg.of.x + cfg.of.y} end
local vary = {{"own"}, {"other", a = 5, of = {x = 6}}}
paper:table{name = "plain", vary = vary, run = run}
paper:table{name = "common", options = {a = 3, b = 4, of = {y = 7}}, vary = vary, run = run}
return paper:main{}
]])
    run "common.lua --jobs=1 --results=common"
    local got = {}
    for _, name in ipairs(attn.list_folder(folder .. "/common/common")) do
        local record = name:match "%-%x+%.json$" and whole.read_json(folder .. "/common/common/" .. name)
        if record then got[record.table .. " " .. record.row] = record.values.sum end
    end
    t.equal(got, {["plain own"] = 1212, ["plain other"] = 5262, ["common own"] = 3417, ["common other"] = 5467})
end)

t.case("done is done: a second run runs nothing, --again does, --list says what there is", function()
    local first = run "tiny.lua --log=one.txt --results=one"
    t.equal(#lines(folder .. "/one.txt"), 18)
    t.equal(run "tiny.lua --log=one.txt --results=one", first)
    local out = run "tiny.lua --log=one.txt --results=one --list"
    t.is_true(out:find("first   a     3      3     0       0.0\n", 1, true), out)
    run "tiny.lua --log=one.txt --results=one --only=second/by=2 --again"
    t.equal(#lines(folder .. "/one.txt"), 21)
    t.equal(select(2, results(folder .. "/one")), 18)
end)

t.case("killed at random moments and started again: the results of an uninterrupted study, no cell again once written", function()
    local draw = data.random(11)
    local file, ran = folder .. "/tiny.lua", folder .. "/one.txt"
    local began = attn.clock()
    os.remove(ran)
    t.equal({wait(start(file, "--pause=0.01", "--log=" .. ran, "--results=" .. folder .. "/whole", "--jobs=2"))}, {"exit", 0})
    local time = attn.clock() - began
    local expected = results(folder .. "/whole")
    os.remove(ran)
    local path = folder .. "/killed"
    local kills = tonumber(os.getenv "ATTN_KILLS" or 20)
    for round = 1, kills + 1 do
        local before = results(path)
        local known = #lines(ran)
        local process = start(file, "--pause=0.01", "--log=" .. ran, "--results=" .. path, "--jobs=2")
        if round <= kills then
            internal.sleep(time * draw(1000) / 1000 / 8)
            local _ <close> = process           -- closing is kill -9
        else
            t.equal({wait(process)}, {"exit", 0})
        end
        local now = lines(ran)
        for i = known + 1, #now do
            t.is_true(not before[now[i]], now[i] .. " ran again")
        end
    end
    for _, one in pairs(expected) do one.key = nil end
    local got, count = results(path)
    for _, one in pairs(got) do one.key = nil end
    t.equal(count, 18)
    t.equal(got, expected)
end)

t.case("two shards at once share the cells, so do two studies that know nothing of each other", function()
    for name, words in pairs{shards = {"--shard=1/2", "--shard=2/2"}, twins = {"--jobs=2", "--jobs=2"}} do
        local ran, path = folder .. "/" .. name .. ".txt", folder .. "/" .. name
        local list = {}
        for i, word in ipairs(words) do
            list[i] = start(folder .. "/tiny.lua", word, "--pause=0.003", "--log=" .. ran, "--results=" .. path)
        end
        for _, process in ipairs(list) do t.equal({wait(process)}, {"exit", 0}) end
        local now = lines(ran)
        table.sort(now)
        for i = 2, #now do t.is_true(now[i] ~= now[i - 1], now[i] .. " ran twice") end
        t.equal({#now, select(2, results(path))}, {18, 18})
    end
end)

t.case("a row added runs alone; changed code runs again, comments and other tables do not", function()
    local function count(from, to)
        os.remove(folder .. "/two.txt")
        script("tiny", from, to)
        local _, err = run "tiny.lua --seeds=1 --log=two.txt --results=two"
        t.equal(err, "")
        return #lines(folder .. "/two.txt")
    end
    t.equal(count(), 6)
    t.equal(count("--[=[row]=]", '\n{"d", by = 4},\n'), 1)
    t.equal(count("--[=[row]=]", "-- nothing\n\n"), 0)
    t.equal(count("--[=[code]=]", "-- nothing\n"), 0)
    t.equal(count("by = cfg.by}", "by = cfg.by + 0}"), 3)
    t.equal(count("1 / step", "2 / step"), 3)
    t.equal(count("internal.sleep(cfg.pause)", ""), 6)      -- a function that both call
    run "tiny.lua --seeds=1 --log=two.txt --results=two --steps 5"
    t.equal(#lines(folder .. "/two.txt"), 12)
    script "tiny"
end)

t.case("--quick, --seeds and --only", function()
    local out = run "tiny.lua --quick --log=three.txt --results=three"
    t.is_true(out:find("undecided    more", 1, true) and out:find("1 seed, an interval needs 3", 1, true), out)
    t.equal(#lines(folder .. "/three.txt"), 6)
    out = run "tiny.lua --seeds 2 --only first/b --log=three.txt --results=three"
    t.equal(#lines(folder .. "/three.txt"), 8)
    t.is_true(not out:find("\nsecond", 1, true) and out:find("\nb    2 of 2", 1, true), out)
    t.is_true(out:find("undecided    exact\n               between 1 and 1, exact; seed 1 is missing: first/a has not run", 1, true), out)
    for words, message in pairs{["--only=firs"] = "--only: no table 'firs' (did you mean 'first'?)",
            ["--only=first/z"] = "--only: table 'first' has no row 'z'", ["--shard=3/2"] = "--shard is '3/2', expected I/N",
            ["--seeds=0"] = "--seeds is '0', expected an integer above 0", ["--jubs=1"] = "unknown option --jubs"} do
        local _, err, code = run("tiny.lua " .. words)
        t.is_true(err:find(message, 1, true), err)
        t.equal(code, 1)
    end
end)

t.case("a cell that raises, ends, is killed or gives no numbers is shown in its place, and is tried again", function()
    shell.write("bad.lua", [[
        local study = require "attn.study"
        local paper = study{name = "bad", seeds = 1}
        local t = paper:table{name = "t", vary = {{"fine", how = "fine"}, {"raises", how = "raises"}, {"kill", how = "kill"},
            {"ends", how = "ends"}, {"nothing", how = "nothing"}, {"word", how = "word"}},
            run = function(cfg, cell)
                local file <close> = io.open("bad.txt", "a")
                file:write(cfg.how .. "\n")
                file:flush()
                if cfg.how == "raises" then error("boom") end
                if cfg.how == "kill" then os.execute("kill -9 $PPID") end
                if cfg.how == "ends" then os.exit(7) end
                if cfg.how == "nothing" then return end
                return {x = cfg.how == "word" and "y" or 1}
            end}
        paper:claim{"one", t.raises.x, at_least = 1, exact = true}
        return paper:main()]])
    local out, err, code = run "bad.lua"
    for _, line in ipairs{"fine     1 of 1  1", "raises   0 of 1  -", "  raises, seed 1: bad.lua:9: boom",
            "  kill, seed 1: killed by signal 9 (Killed)", "  ends, seed 1: ended with exit status 7",
            "  nothing, seed 1: study: run of table 't' returned nil, expected numbers by name",
            "  word, seed 1: study: run of table 't' returned x = y, expected numbers by name",
            "seed 1 is missing: t/raises failed: bad.lua:9: boom"} do
        t.is_true(out:find("\n" .. line, 1, true) or out:find(line, 1, true), line .. "\n" .. out)
    end
    t.is_true(err:find("study: 5 of 6 cells failed", 1, true), err)
    t.equal(code, 1)
    run "bad.lua"
    t.equal(#lines(folder .. "/bad.txt"), 11)
end)

t.case("a table whose data are missing is skipped, says so once, and its claims are not measured", function()
    shell.write("real.lua", [[
        package.preload["attn.corpus_made_up"] = function()
            return {folder = "made_up", files = {"x.txt"}, origin = "Made up: written by a test", read = function(path)
                return {train = require "attn".lines(path "x.txt")}
            end}
        end
        local study, corpus = require "attn.study", require "attn.corpus"
        local paper = study{name = "real", seeds = 3}
        local real = paper:table{name = "real", data = {"made_up"}, vary = {{"a", by = 1}, {"b", by = 2}},
            run = function(cfg) return {lines = cfg.by * #corpus.made_up(cfg.data).train} end}
        local other = paper:table{name = "other", run = function() return {x = 3} end}
        paper:claim{"more", real.b.lines - real.a.lines - 0 * other.other.x, at_least = 1}
        paper:claim{"words", function() return real.a.lines:mean() > 0 and real.a.lines:values()[1] + 1 > 2 end}
        paper:claim{"three", other.other.x, between = {3, 3}, exact = true}
        return paper:main()]])
    local why = "no data directory for 'made_up/x.txt': give --data DIR or set ATTN_DATA to the folder that holds it"
    local out, err, code = shell.run "env -u ATTN_DATA attn real.lua"
    t.equal({err, code}, {"", 0})
    t.equal(select(2, out:gsub("Made up: written by a test", "")), 1)
    for _, line in ipairs{"\nreal\nskipped: " .. why .. ".\n  Made up: written by a test, in a folder named made_up\n",
            "\nother  3 of 3  3 ± 0\n", "\n  not measured more\n", "\n  not measured words\n", "\n  holds        three\n",
            "\nresult claims_holds 1\n", "\nresult claims_not_measured 2\n"} do
        t.is_true(out:find(line, 1, true), line .. out)
    end
    t.is_true(not out:find("result real/", 1, true), out)
    local summary = whole.read_json(folder .. "/results/real/study.json")
    t.equal({summary.claims[1].verdict, summary.tables[1].data_missing ~= nil, summary.tables[2].data_missing},
        {"not measured", true, nil})
    out = shell.run "env -u ATTN_DATA attn real.lua --list"
    t.is_true(out:find("real   a      3      0     0       no data\n", 1, true), out)
    t.is_true(out:find("0.0 minutes left, ", 1, true) and out:find("\nreal: " .. why, 1, true), out)
    attn.mkdir(folder .. "/made_up")
    shell.write("made_up/x.txt", "one\ntwo\n")
    out = run "real.lua --data ."
    t.is_true(out:find("\nb    3 of 3  4 ± 0 *", 1, true), out)
    t.is_true(out:find("\n  holds        more\n", 1, true) and out:find("\nresult claims_not_measured 0\n", 1, true), out)
    out = shell.run "env -u ATTN_DATA attn real.lua"         -- what was measured stays measured
    t.is_true(out:find("\n  holds        more\n", 1, true), out)
end)

t.case("cell:train goes on where a killed cell was, bit for bit; --show prints what cells keep", function()
    shell.write("long.lua", [[
        local attn = require "attn"
        local study = require "attn.study"
        local paper = study{name = "long", options = {stop = ""}, seeds = 1}
        paper:table{name = "t", run = function(cfg, cell)
            local model, first = attn.layer.linear{inputs = 3, outputs = 2}, nil
            cell:train{model = model, steps = 9, save_every = 2, optimizer = attn.optim.adam{params = model:parameters(), lr = 0.1},
                evaluate = function() return 7 end, every = 3,
                data = function(step)
                    first = first or step
                    if cfg.stop == "yes" and step == 6 and first == 1 then os.exit(9) end
                    return step
                end,
                loss = function() return (model(attn.randn(4, 3)) ^ 2):mean() end}
            if cfg.stop == "twice" then cell:train{} end
            cell:keep("said", "what it said")
            cell:keep("map", attn.tensor{{1, 0}, {0, 1}}, {rows = {"a", "b"}, columns = {"x", "y"}})
            cell:keep("padded", attn.tensor{{1, 2, 0}, {3, 4, 0}, {0, 0, 0}}, {rows = {"a", "b"}, columns = {"x", "y"}})
            cell:keep("text", attn.tensor{5, 6, 0}, {tokens = {"x", "y"}})
            return {sum = model.weight:sum():item(), first = first}
        end}
        return paper:main()]])
    run "long.lua --results=smooth"
    local _, _, code = run "long.lua --results=broken --stop=yes"
    t.equal(code, 1)
    local out = run "long.lua --results=broken --stop=yes --show"
    local function result(path)
        for _, name in ipairs(attn.list_folder(folder .. "/" .. path .. "/long")) do
            if name:match "%-%x+%.json$" then return whole.read_json(folder .. "/" .. path .. "/long/" .. name) end
        end
    end
    t.is_true(run("long.lua --results=twice --stop=twice"):find("cell:train: the cell has trained already", 1, true))
    local smooth, broken = result "smooth", result "broken"
    t.equal({smooth.values.first, broken.values.first, broken.values.sum}, {1, 5, smooth.values.sum})
    t.equal(broken.log, smooth.log)
    t.equal({#broken.log, broken.log[10], broken.kept.map.rows}, {12, {step = 3, value = 7}, {"a", "b"}})
    t.equal({broken.kept.padded.size, broken.kept.padded.values, broken.kept.text.values}, {{2, 2}, {1, 2, 3, 4}, {5, 6}})
    t.is_true(out:find("\nt, said:\nwhat it said\n", 1, true) and out:find("\nt, map:\n", 1, true), out)
    out = run "long.lua --results=broken --stop=yes --svg=seen/here"
    t.is_true(out:find("\nseen/here/t-t-map.svg\nseen/here/t-t-padded.svg\nseen/here/t-t-text.svg\n", 1, true)
        and not out:find("t, map:", 1, true), out)
    t.is_true(shell.read(folder .. "/seen/here/t-t-map.svg"):find("<title>attention weights, max 1</title>", 1, true))
end)

t.case("a cell whose script changed after its study was started gives up, under the name it was given", function()
    local _, err, code = run "tiny.lua --results=four --log=four.txt --cell=1/0123456789abcdef"
    t.is_true(err:find("the script has changed since the study was started", 1, true), err)
    t.equal(code, 1)
    t.equal({select(2, results(folder .. "/four")), #lines(folder .. "/four.txt")}, {0, 0})
    local failure = whole.read_json(folder .. "/four/tiny/first-a-1-0123456789abcdef.failed.json")
    t.equal({failure.key, failure.seed}, {"0123456789abcdef", 1})
end)

t.case("a script that is required runs nothing, with -I too, and the way that comes first is looked at first", function()
    t.equal(os.execute(("mkdir -p '%s/lib'"):format(folder)), true)
    shell.write("lib/paper.lua", tiny)
    shell.write("user.lua", 'print(require "paper".answer, arg[1])')
    local out, err = run "-I lib user.lua --nothing"
    t.equal({out, err}, {"42\t--nothing\n", ""})
    t.equal(run [[-Ilib -e 'print(require "paper".answer)']], "42\n")
    t.equal(run [[-I none -I lib -e 'print(package.path:sub(1, 40))']], "none/?.lua;none/?/init.lua;lib/?.lua;lib\n")
    t.is_true(select(2, run "-I"):find("'-I' needs argument", 1, true))
end)

t.case("errors of scripts name what came and what was expected", function()
    local study = require "attn.study"
    local s = load("local study = require 'attn.study'; local s = study{options = {n = 1}}; return s", "=paper")()   -- another file
    local table1 = s:table{name = "t", vary = {{"a"}, {"b"}}, run = function() end}
    t.raises("study: unknown field 'option'", study, {option = {}})
    t.raises("study: the option 'seeds' is the study's own", study, {options = {seeds = 3}})
    t.raises("study:table: run is missing", s.table, s, {name = "u"})
    t.raises("study:table: there are two tables 't'", s.table, s, {name = "t", run = print})
    t.raises("study: table 't' has no row 'c'", function() return table1.c end)
    t.raises("study: table 'u' has two rows 'a'", s.table, s, {name = "u", vary = {{"a"}, {"a"}}, run = function() end})
    t.raises("study:table: data has 'sik', expected the name of a data set: ", s.table, s, {name = "d", run = print, data = {"sik"}})
    t.raises("study:claim: expected one of at_least, at_most, between", s.claim, s, {"x", table1.a.x})
    t.raises("study:claim: 'x' is about a number, expected a sample or a function", s.claim, s, {"x", 3, at_least = 1})
    t.raises("sample: + with a string", function() return table1.a.x + "y" end)
    t.equal(s:main{x = 1}, {x = 1})
end)
