-- The interactive session: with input from a pipe (-i), and in a pseudo-terminal where `script` is there to make one.
local t = require "attn.test"
local shell = require "shell"
local session = require "attn.session"

local quiet = [[XDG_CONFIG_HOME=/nothing attn -e "_PROMPT='' _PROMPT2=''" -i]]

local function contains(text, expected)
    if not text:find(expected, 1, true) then error(("%q is not in %q"):format(expected, text), 2) end
end

t.case("expressions print, statements run, input may take several lines", function()
    local out, err, code = shell.run(quiet,
        "(6*2-6) -- ===\na =\n10\nprint(a)\na\n=a + 1\nfor i = 1, 2 do\nprint('i', i)\nend\n1, 2")
    t.equal({err, code}, {"", 0})
    contains(out, "(6*2-6) -- ===\n6\na =\n10\nprint(a)\n10\na\n10\n=a + 1\n11\n")
    contains(out, "end\ni\t1\ni\t2\n1, 2\n1\t2\n\n")
end)

t.case("_ is the last value, a semicolon hides", function()
    local out = shell.run(quiet, "40 + 1\n_ + 1\n77;\n_ + 1")
    contains(out, "\n41\n")
    contains(out, "\n42\n")
    contains(out, "77;\n_ + 1\n78\n")
end)

t.case("prompts are _PROMPT and _PROMPT2, objects too", function()
    local out = shell.run("XDG_CONFIG_HOME=/nothing attn -i", "--\na = 2\n")
    t.is_true(out:find("> %-%-\n> a = 2\n> \n$"), out)
    out = shell.run([[XDG_CONFIG_HOME=/nothing attn -e "_PROMPT = 'alo'" -i]], "x = [[a\nb]] x\n")
    contains(out, "alox = [[a\n>> b]] x\n")
    shell.write("prompt.lua",
        "local n = 0\n_PROMPT = setmetatable({}, {__tostring = function() n = n + 1 return n end})")
    out = shell.run("XDG_CONFIG_HOME=/nothing attn -i prompt.lua", " --\na = 2\n")
    contains(out, "1 --\n2a = 2\n3\n")
end)

t.case("an entry may end in an expression; its locals live on; lists stay in order", function()
    local out, err = shell.run(quiet, "a = 1; a\nlocal x, y = 5, 6\nx + y\nlocal function f() return x end\nf()\n"
        .. "local s = 'a;b'\n#s\n> x\n>> y\n{1, 2, {3}, [2.5] = true}\nlocal z = 1 return z\n")
    t.equal(err, "")
    for _, text in ipairs{"a = 1; a\n1\n", "x + y\n11\n", "f()\n5\n", "#s\n3\n", "> x\n5\n", ">> y\n6\n", "\n{1, 2, {3}, [2.5] = true}\n",
        "return z\n1\n"} do contains(out, text) end
end)

t.case("?variable, ?object:method, :who, :time N, exit", function()
    local out, err, code = shell.run(quiet, "t = attn.ones(2, 3)\nnet = attn.layer.linear{inputs = 2, outputs = 1}\n:who\n:time 5 t:sum()\n"
        .. "?t:sum\n?net\n?softmax\nexit\nprint('not ' .. 'reached')\n")
    t.equal({err, code}, {"", 0})
    contains(out, "t     tensor    float32 [2, 3]  24 B\n")
    t.is_true(out:find "\n%d%.%d+ s, median of 5 %(%d%.%d+ to %d%.%d+%)\n", out)
    contains(out, "\nsum(x [, d, keepdim = false, {mask =}]) -> y\n")
    contains(out, "layer.linear{inputs =, outputs =, bias = true} -> layer\n")
    contains(out, "\nsoftmax(x, d = -1, {mask =}) -> y like x\n")
    t.is_true(not out:find "not reached")
    contains(shell.run(quiet, "exit = 7\nexit\n'after'\n"), "\nexit\n7\n")
end)

t.case("errors are shown and the session goes on", function()
    local out, err, code = shell.run(quiet,
        "error('one')\nx = = 1\nlocal function f() error(nil) end f()\nprint('on')\nif x then")
    t.equal(code, 0)
    contains(out, "\non\n")
    contains(err, "[1]:1: one\nstack traceback:")
    contains(err, "[2]:1: unexpected symbol near '='\n")
    contains(err, "(error object is a nil value)")
    contains(err, "[5]:1: 'end' expected near <eof>\n")
    local _, complaint = shell.run([[attn -e "print=nil" -i]], "10")
    contains(complaint, "error calling 'print'")
end)

t.case("-i after a script, the library as a global, init.lua unless -E", function()
    shell.write("s.lua", "x = 5")
    t.is_true(os.execute("mkdir -p " .. shell.folder() .. "/config/attn"))
    shell.write("config/attn/init.lua", "y = 6 error('in init')")
    local out, err = shell.run("XDG_CONFIG_HOME=$PWD/config attn -i s.lua", "print(x, y, type(attn))")
    contains(out, "5\t6\ttable\n")
    contains(err, "init.lua:1: in init")
    contains(shell.run("XDG_CONFIG_HOME=$PWD/config attn -E -i s.lua", "print(x, y)"), "5\tnil\n")
end)

t.case("commands: ?name, :time, :mem", function()
    local out, err = shell.run(quiet, ":time 20 + 1\n:mem\n:other\n?no.such.name")
    contains(out, "\n21\n")
    t.is_true(out:find("\n%d+%.%d+ s\n"), out)
    t.is_true(out:find("\nLua %d+%.%d KiB"), out)
    contains(err, "commands: ?NAME")
end)

t.case(":prof shows where the time of an expression goes, and its value; its locals live on", function()
    local out, err = shell.run(quiet, ":prof attn.ones(30, 40):matmul(attn.ones(40, 2)):sum():item()\n:prof local m = attn.tanh(attn.ones(3))\n#m + 4\n:prof 1 +\n")
    contains(out, "matmul")
    contains(out, "\n2400.0\n")
    contains(out, "tanh")
    contains(out, "#m + 4\n7\n")
    contains(err, "[4]:1: unexpected symbol near")
end)

-- ---- values as text ----

t.case("tables print as Lua: strings first, list, other numbers", function()
    local f = session.format
    t.equal(f{3, 2, 1}, "{3, 2, 1}")
    t.equal(f{b = 1, a = "x\n\"", 7, [10] = true, [2.5] = 0}, '{a = "x\\n\\"", b = 1, 7, [2.5] = 0, [10] = true}')
    t.equal(f{["end"] = 1, ["a b"] = 2, [true] = 3}, '{["a b"] = 2, ["end"] = 1, [true] = 3}')
    t.equal(f{nil, 2}, "{[2] = 2}")
    t.equal({f{}, f"text", f(nil), f(1.5)}, {"{}", "text", "nil", "1.5"})
end)

t.case("depth 3, 40 entries, cycles marked, long ones broken into lines", function()
    local f = session.format
    t.equal(f{a = {b = {c = {d = 1}, e = {}}}}, "{a = {b = {c = {...}, e = {}}}}")
    local cycle = {1}
    cycle.me, cycle.twice = cycle, {{}, {}}
    t.equal(f(cycle), "{me = <cycle>, twice = {{}, {}}, 1}")
    local long = {}
    for i = 1, 50 do long[i] = i end
    t.is_true(f(long):find("39,\n    40,\n    ... 10 more\n}", 1, true), f(long))
    t.is_true(f{("x"):rep(1000)}:find("--[[ 800 bytes more ]]", 1, true))
end)

t.case("control characters and bad UTF-8 never reach the terminal from a table", function()
    t.equal(session.format{"\27[31m", "é", "\xFF"}, '{"\\027[31m", "é", "\\255"}')
end)

t.case("metatables: __tostring is used and its errors shown; __index and __pairs are not", function()
    local loud = {__index = function() error "called" end, __pairs = function() error "called" end, __len = error}
    t.equal(session.format(setmetatable({x = 1}, loud)), "{x = 1}")
    t.equal(session.format(setmetatable({}, {__tostring = function() return "me" end})), "me")
    contains(session.format(setmetatable({}, {__tostring = function() error("no", 0) end})), "error in __tostring: no")
end)

-- ---- completion ----

t.case("completion of globals, fields, methods and modules", function()
    local function becomes(line) return line .. (session.complete(line) or "") end
    t.equal(becomes("string.for"), "string.format")
    t.equal(becomes("x = coro"), "x = coroutine")
    t.equal(becomes("func"), "function")
    t.equal(becomes('require "attn.strict'), 'require "attn.strict')
    t.equal(becomes('require "attn.stri'), 'require "attn.strict')
    local _, choices = session.complete("math.m")
    t.equal(choices, "max         maxinteger  min         mininteger  modf\n")
    rawset(_G, "sample", "text")
    t.equal(becomes("sample:uppe"), "sample:upper")
    local base = setmetatable({inherited = print}, {__index = function() error "called" end})
    rawset(_G, "sample", setmetatable({}, {__index = base}))
    t.equal(becomes("sample:inh"), "sample:inherited")
    t.equal(becomes("sample.nothing.x"), "sample.nothing.x")
    t.equal(becomes("f().x"), "f().x")
    rawset(_G, "sample", nil)
    t.equal(session.complete("  "), "    ")
end)

t.case("completion knows the methods of userdata", function()
    local attn = require "attn"
    if not attn.zeros then t.skip("no tensors") end
    rawset(_G, "sample", attn.zeros(2))
    t.equal(session.complete("sample:toTABLE"), nil)
    t.equal(session.complete("sample:totab"), "le")
    rawset(_G, "sample", attn.layer.linear{inputs = 1, outputs = 1})
    t.equal(session.complete("sample:named_"), "parameters")
    rawset(_G, "sample", nil)
end)

-- ---- in a terminal ----

local has_script = os.execute("script --version >/dev/null 2>&1")

-- Types {text, answer} pairs into a session: each answer is waited for before the next text. What the terminal
-- showed, and a line with the exit status; the same with colours.
local function type_in(pairs_of_text, variables)
    if not has_script then t.skip("no `script` to make a terminal") end
    local lines = {[[
        at=0
        await() {
            i=0
            while [ $i -lt 500 ] && ! tail -c +$((at + 1)) shown | grep -aqF -e "$1"; do sleep 0.02; i=$((i + 1)); done
            at=$(wc -c <shown)
        }
        await '> ']]}
    for _, pair in ipairs(pairs_of_text) do
        lines[#lines + 1] = "printf " .. shell.quote((pair[1]:gsub("%%", "%%%%")))
        if pair[2] then lines[#lines + 1] = "await " .. shell.quote(pair[2]) end
    end
    shell.write("shown", "")
    shell.write("type.sh", table.concat(lines, "\n"))
    -- exec: a shell that stayed between would get each Ctrl-C too, and some end of it after the session did
    shell.write("terminal.sh", ("sh type.sh | HOME=$PWD XDG_STATE_HOME= XDG_CONFIG_HOME=/nothing TERM=xterm %s "
        .. "script -qfec %s /dev/null >>shown\necho status $? >>shown"):format(
            variables or "", shell.quote("exec " .. shell.quote(shell.exe))))
    shell.run("sh terminal.sh")
    local shown = shell.read(shell.folder() .. "/shown"):gsub("\r", ""):gsub("\27%[%?2004[hl]", "")       -- paste is bracketed
    return (shown:gsub("\27%[[%d;]*m", "")), shown
end

t.case("a terminal: banner, values one per line, Ctrl-C while typing, Ctrl-D", function()
    local shown = type_in{
        {"1, 'tw'..'o'\\n", "two"}, {"abc", "abc"}, {"\\003", "^C"}, {"6 * 7\\n", "42"}, {"\\004"}}
    t.is_true(shown:find("attn 0%.1  Lua 5%.4  [^\n]*%?name for help\n"), shown)
    contains(shown, "\n1\ntwo\n")
    contains(shown, "^C\n")
    contains(shown, "\n42\n")
    t.is_true(shown:find("status 0\n$"), shown)
end)

t.case("a terminal: a second Ctrl-C leaves a loop that catches the first, variables are kept", function()
    local shown = type_in{{"v = 6 while true do pcall(function() print('g'..'o') while true do end end) end\\n", "go"}, {"\\003", "go"},
        {"\\003", "[C]: in ?"}, {"v * 7\\n", "42"}, {"\\004"}}
    contains(shown, "interrupted!")
    contains(shown, "\n42\n")
end)

t.case("a terminal: what is pasted is one entry, tabs and line ends included; Up goes through what begins alike", function()
    local shown = type_in{
        {"\\033[200~local a = 1\\nlocal b = {\\n\\ta,\\n}\\nprint(#b + 40)\\033[201~", "41"}, {"a + 1\\n", "2"},
        {"\\033[200~6 * 6\\033[201~ + 6\\n", "42"}, {"x1 = 5\\n", "x1"}, {"y = 7\\n", "y"}, {"x1\\n", "5"},
        {"y\\033[A\\n", "y = 7"}, {"'la\\\\27st'\\n", "st"}, {"\\004"}}
    contains(shown, "\nla\\027st\n")
    for _, text in ipairs{"\n41\n", "\n2\n", "\n42\n"} do contains(shown, text) end
end)

t.case("a terminal: Ctrl-C stops a loop, in a coroutine too, and the session goes on", function()
    local shown = type_in{{"print('g'..'o') while true do end\\n", "go"}, {"\\003", "[C]: in ?"},
        {"coroutine.wrap(function() print('g'..'o') while true do end end)()\\n", "go"}, {"\\003", "main chunk"},
        {"6 * 7\\n", "42"}, {"\\004"}}
    t.equal(select(2, shown:gsub("interrupted!", "")), 2)
    contains(shown, "\n42\n")
    t.is_true(shown:find("status 0\n$"), shown)
end)

t.case("a terminal: history is kept, an entry of several lines as one, private, and off on request", function()
    os.remove(shell.folder() .. "/.attn_history")
    type_in{{"x = 1 --[[ \\\\ ]]\\n", "> "}, {"for i = 1, 1 do\\n", ">> "}, {"end\\n", "> "}, {"\\004"}}
    t.equal(shell.read(shell.folder() .. "/.attn_history"), "x = 1 --[[ \\\\ ]]\nfor i = 1, 1 do\\nend\n")
    t.equal(shell.run("ls -l .attn_history"):sub(1, 10), "-rw-------")
    local shown = type_in{{"\\033[A\\033[A\\n", "> "}, {"x + 10\\n", "11"}, {"\\004"}}
    contains(shown, "\n11\n")
    type_in({{"y = 2\\n", "> "}, {"\\004"}}, "ATTN_HISTORY=")
    t.is_true(not shell.read(shell.folder() .. "/.attn_history"):find("y = 2", 1, true))
    type_in({{"y = 2\\n", "> "}, {"\\004"}}, "XDG_STATE_HOME=$PWD/state")
    t.equal(shell.read(shell.folder() .. "/state/attn/history"), "y = 2\n")
end)

t.case("a terminal: tab completes, characters beyond ASCII arrive whole", function()
    local shown = type_in{
        {"string.for\\t", "mat"}, {"('%d', 6 * 7)\\n", "42"},
        {"'h\\303\\251 \\342\\206\\222 o'..'k'\\n", "ok"}, {"\\004"}}
    contains(shown, "\n42\n")
    contains(shown, "\nhé → ok\n")
end)

t.case("a terminal: tab completes fields over the lines of an entry, behind a paste that is not whole too", function()
    local shown = type_in{
        {"net = attn.layer.linear{inp\\t2,\\n", ">> "}, {"outp\\t3}\\n", "> "}, {"attn.softmax(net.wei\\t):tota\\t()[1][1] > 0\\n", "true"},
        {"\\033[200~more = attn.layer.linear{\\n\\tinputs = 4,\\n\\033[201~", ">> "}, {"outp\\t5}\\n", "> "}, {"more.outp\\t\\n", "5"}, {"\\004"}}
    contains(shown, "uts = 2,\n")
    contains(shown, "\ntrue\n")
    contains(shown, "\n5\n")
end)

t.case("a terminal: values and errors are coloured, unless NO_COLOR or a dumb terminal", function()
    local typed = {{"40 + 2\\n", "42"}, {"{1, 'a', true}\\n", "true"}, {"error 'no' .. ''\\n", "[3]:1"}, {"\\004"}}
    local _, shown = type_in(typed)
    contains(shown, "\n\27[36m42\27[0m\n")
    contains(shown, '\n{\27[36m1\27[0m, \27[32m"a"\27[0m, \27[35mtrue\27[0m}\n')
    contains(shown, "\27[31m[3]:1: no\27[0m\n")
    for _, variable in ipairs{"NO_COLOR=1", "TERM=dumb"} do
        local plain, all = type_in(typed, variable)
        contains(plain, '\n42\n')
        t.is_true(not all:find("\27[36m", 1, true) and not all:find("\27[31m", 1, true), all)
    end
end)

t.case("--color=always and never; a wide table breaks into lines where it would without", function()
    local out, err = shell.run("XDG_CONFIG_HOME=/nothing attn --color=always -i", "6 * 7\n{'abcdefghijklmnopqrstuvwxyz', 'abcdefghijklmnopqrstuvwxyz', 1}\nerror 'no'\n")
    contains(out, "\n\27[36m42\27[0m\n")
    contains(out, '\n{\27[32m"abcdefghijklmnopqrstuvwxyz"\27[0m, \27[32m"abcdefghijklmnopqrstuvwxyz"\27[0m, \27[36m1\27[0m}\n')
    contains(err, "\27[31m[3]:1: no\27[0;2m\nstack traceback:")
    out, err = shell.run("XDG_CONFIG_HOME=/nothing attn --color=never -e 'print(os.getenv \"NO_COLOR\")' -i", "6 * 7\nerror 'no'\n")
    contains(out, "\n1\n")
    t.is_true(not (out .. err):find "\27")
    local _, complaint, code = shell.run "attn --color=some -e ''"
    t.equal(code, 1)
    contains(complaint, "unrecognized option '--color=some'")
end)

t.case("-i stays behind a script that failed, with its globals and the locals of its main chunk", function()
    shell.write("fails.lua", "local weights, lr = {1, 2}, 0.5\nglobal = 4\nlocal function train() local inner = 7 error('boom') end\ntrain()")
    local out, err, code = shell.run("XDG_CONFIG_HOME=/nothing attn -i fails.lua", "weights\nlr + global\nrawget(_G, 'inner')\nlocal kept = 8 error 'x'\nkept\n")
    t.equal(code, 0)
    for _, text in ipairs{"> lr + global\n4.5\n", "rawget(_G, 'inner')\nnil\n", "> kept\n8\n"} do contains(out, text) end
    contains(err, "fails.lua:3: boom\nstack traceback:")
    shell.write("wrong.lua", "x = = 1")
    out, err, code = shell.run("XDG_CONFIG_HOME=/nothing attn -i wrong.lua", "6 * 7\n")
    t.equal(code, 0)
    contains(out, "\n42\n")
    contains(err, "wrong.lua:1: unexpected symbol")
    shell.write("fails.lua", "error 'alone'")
    t.equal(select(3, shell.run "attn fails.lua"), 1)
end)

-- ---- presses at times that a shell cannot hold; ATTN_LONG=1: 300 of each ----

local compiler = os.getenv("CC") or "cc"

local function press(kind, count)
    local source = shell.read((arg[0]:match("^(.*/)") or "") .. "press.c")
    shell.write("press.c", source)
    if not os.execute(("cd %s && { test -x press || %s -O1 -o press press.c -lutil; } 2>/dev/null"):format(
        shell.quote(shell.folder()), compiler)) then
        t.skip("no C compiler to build press.c")
    end
    local out = shell.run(("HOME=$PWD XDG_CONFIG_HOME=/nothing ATTN_HISTORY= ./press %s %d attn"):format(kind, count))
    t.equal(out, count .. " answered\n")
end

local presses = os.getenv("ATTN_LONG") and 300 or 40

t.case("a terminal: no Ctrl-C is lost that comes with typed input", function() press("typed", presses) end)

t.case("a terminal: no Ctrl-C is lost between Enter and the start of the chunk", function() press("enter", presses) end)

t.case("a terminal: no Ctrl-C is lost at a chunk's end", function() press("end", presses) end)

t.case("a terminal: a line longer than the window, which shrinks", function()
    press("resize", os.getenv("ATTN_LONG") and 60 or 4)
end)
