-- The command line is Lua's: what the reference manual (section 7) and the program `lua` promise.
local t = require "attn.test"
local shell = require "shell"
local run, write = shell.run, shell.write

local function output(expected, command, input)
    local out, err, code = run(command, input)
    if err ~= "" then error(err, 2) end
    if code ~= 0 then error("exit status " .. code, 2) end
    if out ~= expected then error(("got %q, expected %q"):format(out, expected), 2) end
end

local function fails(expected, command, input)
    local _, err, code = run(command, input)
    if not err:find(expected, 1, true) then error(("got %q, expected %q"):format(err, expected), 2) end
    if code ~= 1 then error("exit status " .. code .. ", expected 1", 2) end
end

t.case("a script from a file, from standard input by -, and from a pipe", function()
    write("a.lua", "print(1, ...)")
    output("1\tx\ty\n", "attn a.lua x y")
    output("1\t-h\n", "attn - -h", "print(1, ...)")
    output("7\n", "attn", "print(\n7)")
end)

t.case("-e runs in order, with the library as a global", function()
    output("1\n3\n", [[attn "-eprint(1)" -ea=3 -e "print(a)"]])
    output("table\n", [[attn -e "print(type(attn))"]])
    output("nil\n", "attn -", "print(attn)")
end)

t.case("-l requires into a global", function()
    write("mod.lua", "return {x = 15}")
    output("15\n", [[attn -l mod -e "print(mod.x)"]])
    output("15\n", [[attn -lm=mod -e "print(m.x)"]])
    output("0.0\nALO\n", [[attn -l s=string '-lm=math' -e 'print(m.sin(0))' -e 'print(s.upper("alo"))']])
end)

t.case("arg has what precedes the script at negative indices", function()
    write("arg.lua", "print(#arg, arg[0], arg[1], arg[-1], arg[-2], arg[-3], arg[-4] == nil)")
    output("2\targ.lua\ta\t--\t-e \t" .. shell.exe .. "\ttrue\n", [[attn "-e " -- arg.lua a b]])
    output("100\n", [[attn -e "arg[1] = 100" -]], "print(...)")
    output("x\n", "attn -e 'print(arg[0] and \"x\")'")
    fails("'arg' is not a table", [[attn -e "arg = 1" -]])
end)

t.case("LUA_INIT, its versioned name, files, and -E", function()
    write("x.lua", "print(X)")
    write("init.lua", "X = (X or 9) + 1")
    output("3.2\n", [[LUA_INIT="X=tonumber(arg[1])" attn x.lua 3.2]])
    output("10\n", [[LUA_INIT_5_4="X=10" LUA_INIT="X=3" attn x.lua]])
    output("10\n", [[LUA_INIT=@init.lua attn x.lua]])
    output("nil\n", [[LUA_INIT="error(10)" attn -E x.lua]])
    fails("LUA_INIT:1: msg", [[LUA_INIT="error('msg')" attn -e ""]])
end)

t.case("LUA_PATH and LUA_CPATH are what package.path and cpath become", function()
    write("path.lua", "print(package.path) print(package.cpath)")
    output("x\nz\n", "LUA_PATH=x LUA_CPATH=z attn path.lua")
    output("y\nz\n", "LUA_PATH_5_4=y LUA_PATH=x LUA_CPATH=z attn path.lua")
    local default = run("attn -E path.lua"):match("^[^\n]*")
    t.equal(run("LUA_PATH='a;;b' attn path.lua"):match("^[^\n]*"), "a;" .. default .. ";b")
end)

t.case("a first line that starts with # is skipped, a byte order mark too", function()
    write("sharp.lua", "#!/usr/bin/env attn\nprint(debug.getinfo(1, 'l').currentline)")
    write("bom.lua", "\xEF\xBB\xBFprint(3)")
    output("2\n", "attn sharp.lua")
    output("3\n", "attn bom.lua")
end)

t.case("wrong options and missing arguments", function()
    for _, option in ipairs{"-y", "---", "-Ex", "-vv", "-iv", "--nonsense"} do
        fails("unrecognized option '" .. option .. "'", "attn " .. option)
    end
    fails("'-e' needs argument", "attn -e")
    fails("'-l' needs argument", "attn -l")
    fails("'-l' needs argument", "attn -l -v")
    fails("cannot open nothing.lua", "attn nothing.lua")
end)

t.case("-v and --version", function()
    local out = run([[attn -v -e "print'hello'"]])
    t.is_true(out:find("^attn 0%.1  Lua 5%.4%.%d+  .-\n.-PUC%-Rio\nhello\n$"), out)
    out = run("attn --version")
    t.is_true(out:find("^attn 0%.1  Lua 5%.4%.%d+  [^\n]+\n$"), out)
end)

t.case("ATTN_GEMM chooses who multiplies matrices, and another word is an error, as for ATTN_SIMD", function()
    t.is_true(not run("ATTN_GEMM= attn --version"):find "ATTN_GEMM")
    for _, way in ipairs {"own", "openblas"} do
        local out, err = run("ATTN_GEMM=" .. way .. [[ attn -e "print(attn.blas(), attn.ones(70, 300):matmul(attn.ones(300, 70)):sum():item())"]])
        t.equal(err, "")
        t.is_true(out:find("ATTN_GEMM=" .. way .. "\t1470000.0\n", 1, true), out)
    end
    local _, err, code = run("ATTN_GEMM=blas attn -e ''")
    t.is_true(err:find("ATTN_GEMM is 'blas', expected own or openblas", 1, true), err)
    t.equal(code, 1)
end)

t.case("errors go to standard error with a traceback and status 1", function()
    write("bad.lua", "local function f() error('msg') end\nf()\n")
    local out, err, code = run("attn bad.lua")
    t.equal(out, "")
    t.equal(code, 1)
    t.is_true(err:find("attn: bad.lua:1: msg\nstack traceback:\n\t[C]: in function 'error'\n", 1, true), err)
    t.is_true(err:find("bad.lua:2: in main chunk\n\t%[C%]: in %?\n$"), err)
    fails("bad2.lua:1: syntax error", "echo 'a a' > bad2.lua; " .. shell.quote(shell.exe) .. " bad2.lua")
    fails("(command line):1: syntax error near <eof>", "attn -e a")
end)

t.case("error objects", function()
    fails("(error object is a table value)", "attn -", "error{}")
    fails("(error object is a nil value)", "attn -", "error()")
    fails("attn: it is 6\n", "attn -", "error(setmetatable({}, {__tostring = function() return 'it is 6' end}))")
    fails("attn: 12", "attn -", "error(12)")
end)

t.case("running out of memory or stack is an error like others", function()
    fails("attn: not enough memory", "ASAN_OPTIONS=allocator_may_return_null=1 attn -", "io.read(1 << 50)")
    fails("stack overflow", "attn -", "local function f() return 1 + f() end f()")
end)

t.case("os.exit and the end of the state", function()
    write("exit.lua", [[
        local a <close> = setmetatable({}, {__close = function() print("closed") end})
        setmetatable({}, {__gc = function() print("collected") end})
        os.exit(tonumber(arg[1]) or arg[1] == "true", true)]])
    local out, _, code = run("attn exit.lua 7")
    t.equal({out, code}, {"closed\ncollected\n", 7})
    t.equal(select(3, run("attn exit.lua true")), 0)
    t.equal(select(3, run("attn exit.lua false")), 1)
    output("alo", "attn -e \"io.write('alo')\"")
end)

t.case("warnings are off without -W", function()
    local _, err = run("attn -", "warn('@on', 'x') warn('y')")
    t.equal(err, "")
    write("warn.lua", "warn('a', 'b')")
    _, err = run("attn -W warn.lua")
    t.equal(err, "Lua warning: ab\n")
end)

t.case("a word of a sub-command is that sub-command, whatever files exist", function()
    write("test", "print('a file called test')")
    output("a file called test\n", "attn ./test")
    local _, err, code = run("attn test")
    t.equal(code, 1)
    t.is_true(err:find("attn test: tests: No such file", 1, true), err)
    local out
    out, _, code = run("attn help softmax")
    t.equal(code, 0)
    t.is_true(out:find("softmax(x", 1, true), out)
end)

t.case("the usage and the help name every sub-command; runs has a help", function()
    local _, usage = run("attn --nonsense")
    for _, word in ipairs{"test [paths]", "runs [show ID | diff A B | plot ID...]", "report [scripts or results] [--html FILE]", "help [name]"} do
        t.is_true(usage:find("/attn " .. word, 1, true), usage)
    end
    local out, err, code = run("attn help runs")
    t.equal({err, code}, {"", 0})
    local own = run("attn runs --help")
    t.is_true(own:find("attn runs show ID", 1, true), own)
    t.is_true(out:find(own, 1, true), out)
    t.is_true(run("attn help"):find("topics\n.-runs.-\ngroups\n"))
end)

t.case("a variable that no one can obey is an error that names it, whatever is run", function()
    for _, what in ipairs{"-e 'print(1)'", "--version", "runs", "test .", "-E -e ''"} do
        for _, word in ipairs{"abc", "0", "-1", "257", "2x", "99999999999999999999", "1.5"} do
            local out, err, code = run(("ATTN_THREADS=%s attn %s"):format(word, what))
            t.equal({out, code}, {"", 1})
            t.is_true(err:find(("ATTN_THREADS is '%s', expected an integer from 1 to 256"):format(word), 1, true), err)
        end
    end
    local _, err, code = run("ATTN_SIMD=avx3 attn -e ''")
    t.equal(code, 1)
    t.is_true(err:find("ATTN_SIMD is 'avx3', expected base, avx2 or avx512", 1, true), err)
    t.equal(run("ATTN_THREADS=3 ATTN_SIMD=BASE attn -e 'print(attn.threads(), attn.simd())'"), "3\tbase\n")
    t.equal(select(3, run("ATTN_THREADS= ATTN_SIMD= attn -e ''")), 0)
end)

t.case("--help and -h of the program and of every sub-command are the usage, on standard output, and a success", function()
    for _, what in ipairs{"--help", "-h", "test --help", "test -h", "runs --help", "report --help", "help --help", "help -h"} do
        local out, err, code = run("attn " .. what)
        t.equal({err, code}, {"", 0}, what)
        t.is_true(out:find "^usage: ", what)
    end
    local out = run "attn --licenses"
    t.is_true(out:find("^==== attn ====\n\nMIT License"), out:sub(1, 60))
end)

t.case("closed standard files do no harm", function()
    write("out.lua", "print(1) io.stderr:write(2) print(io.read())")
    t.equal(select(3, run("attn out.lua <&- >&- 2>&-")), 0)
end)

t.case("it starts within 10 ms", function()
    if os.execute("grep -q __asan_init " .. shell.quote(shell.exe)) then t.skip("built with sanitizers") end
    local best = math.huge
    for _ = 1, 10 do
        -- processor time: other work on the machine does not count, and starting waits for nothing
        local _, out = run('bash -c "TIMEFORMAT=\'%U %S\'; time ' .. shell.exe .. ' -e \'\'"')
        local user, system = out:gsub(",", "."):match("([%d.]+) ([%d.]+)")
        best = math.min(best, user and user + system or math.huge)
    end
    if best == math.huge then t.skip("no bash to measure with") end
    t.is_true(best <= 0.010, ("%.3f s"):format(best))
end)
