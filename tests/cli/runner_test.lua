-- attn test: files in processes of their own, counted; whatever a file does, the others run and the last line is right.
local t = require "attn.test"
local shell = require "shell"

local head = 'local t = require "attn.test"\n'

-- Runs `attn test` on a fresh folder of files {name = text}.
local function attn_test(files, arguments)
    os.execute("rm -rf " .. shell.folder() .. "/tests && mkdir -p " .. shell.folder() .. "/tests/deep")
    for name, text in pairs(files) do shell.write("tests/" .. name, text) end
    return shell.run("attn test " .. (arguments or ""))
end

local function contains(text, expected)
    if not text:find(expected, 1, true) then error(("%q is not in %q"):format(expected, text), 2) end
end

t.case("passes, failures and skips are counted, with place and message", function()
    local out, err, code = attn_test{
        ["a_test.lua"] = head .. 't.case("one", function() end)\nt.case("two", function() t.equal(1, 2) end)\n',
        ["deep/b_test.lua"] = head .. 't.case("three", function() t.skip("not here") end)',
        ["not_a_test_file.lua"] = "error()",
    }
    t.equal({err, code}, {"", 1})
    contains(out, "FAIL tests/a_test.lua  1 passed, 1 failed  ")
    contains(out, "\n  two\n    tests/a_test.lua:3: got 1, expected 2\n")
    contains(out, "ok   tests/deep/b_test.lua  0 passed, 1 skipped  ")
    t.is_true(out:find("\n1 passed, 1 failed, 1 skipped\n$"), out)
end)

t.case("all well is status 0; a path may be a file or a folder", function()
    local files = {["a_test.lua"] = head .. 't.case("one", function() end)', ["deep/b_test.lua"] = "error()"}
    local out, _, code = attn_test(files, "tests/a_test.lua")
    t.equal(code, 0)
    t.is_true(out:find("\n1 passed, 0 failed\n$"), out)
    out, _, code = attn_test(files, "tests/deep -j 1")
    t.is_true(out:find("\n0 passed, 1 failed\n$"), out)
    t.equal(code, 1)
end)

t.case("crashes, exits, endless loops and errors outside a case fail the file and no other", function()
    local out, _, code = attn_test({
        ["crash_test.lua"] = head .. 't.case("fine", function() end) '
            .. 't.case("kills", function() os.execute("kill -KILL $PPID") end)',
        ["exit_test.lua"] = head .. 't.case("leaves", function() os.exit(0) end)',
        ["loop_test.lua"] = head .. 't.case("hangs", function() while true do end end)',
        ["deaf_test.lua"] = head .. 't.case("deaf", function() '
            .. 'while true do pcall(function() while true do end end) end end)',
        ["error_test.lua"] = head .. 't.case("fine", function() end) error("outside")',
        ["empty_test.lua"] = head,
        ["plain_test.lua"] = "print('what it said') os.exit(3)",
        ["good_test.lua"] = head .. 't.case("good", function() end)',
    }, "--timeout 2")
    t.equal(code, 1)
    contains(out, "kills\n    crashed: signal 9 (Killed)")
    contains(out, "leaves\n    the process ended inside this case")
    contains(out, "loop_test.lua:2: interrupted!")
    contains(out, "deaf\n    took longer than 2 s")
    contains(out, "error_test.lua:2: outside")
    contains(out, "no test ran: there is no case in it")
    contains(out, "ended with exit status 3\n  output:\n    | what it said")
    contains(out, "ok   tests/good_test.lua  1 passed")
    t.is_true(out:find("\n3 passed, 7 failed\n$"), out)
end)

t.case("a time limit is called that, with the place it was reached at; each case has its own", function()
    local out = attn_test({["a_test.lua"] = head .. 't.case("hangs", function() while true do end end)\n'
        .. 't.case("after", function() end)\n',
        ["b_test.lua"] = head .. ('for i = 1, 6 do t.case("short", function() os.execute "sleep 0.3" end) end')}, "--timeout 1.5")
    contains(out, "  hangs\n    took longer than 1.5 s, its time limit (--timeout)\n    tests/a_test.lua:2: interrupted!")
    contains(out, "ok   tests/b_test.lua  6 passed")
    t.equal(select(2, out:gsub("time limit", "")), 1)
end)

t.case("skips are printed with their reasons, -v prints every case", function()
    local files = {["a_test.lua"] = head .. 't.case("one", function() end)\nt.case("two", function() t.skip "not here" end)\n'
        .. 't.case("three", function() error("no", 0) end)'}
    contains(attn_test(files), " s\n  skipped: two: not here\n  three\n    no\n")
    local out = attn_test(files, "-v")
    t.is_true(out:find("  ok    %d%.%d%d%d s  one\n  skip  %d%.%d%d%d s  two\n  FAIL  %d%.%d%d%d s  three\n"), out)
    t.equal(attn_test(files, "--filter one"):find "skipped:", nil)
end)

t.case("--failed runs the files that failed, until they pass", function()
    local good, bad = head .. 't.case("x", function() end)', head .. 't.case("x", function() error() end)'
    t.equal(select(3, attn_test{["a_test.lua"] = good, ["b_test.lua"] = bad, ["c_test.lua"] = bad}), 1)
    t.equal(shell.read(shell.folder() .. "/.attn-failed"), "tests/b_test.lua\ntests/c_test.lua\n")
    local out = attn_test({["a_test.lua"] = good, ["b_test.lua"] = good, ["c_test.lua"] = bad}, "--failed")
    t.is_true(out:find("\n1 passed, 1 failed\n$") and not out:find("a_test", 1, true), out)
    local files = {["a_test.lua"] = good, ["c_test.lua"] = good}
    attn_test(files, "tests/a_test.lua")                                        -- c was not run: it stays
    t.equal(shell.read(shell.folder() .. "/.attn-failed"), "tests/c_test.lua\n")
    attn_test(files, "--filter x")                                              -- nor does a filter speak for a file
    t.equal(shell.read(shell.folder() .. "/.attn-failed"), "tests/c_test.lua\n")
    t.is_true(attn_test(files, "--failed"):find "^ok   tests/c_test.lua[^\n]*\n1 passed, 0 failed\n$")
    t.equal(io.open(shell.folder() .. "/.attn-failed"), nil)
    local _, err, code = attn_test(files, "--failed")
    t.equal({err, code}, {"", 0})
end)

t.case("--watch runs again when a file changes, and ends with Ctrl-C", function()
    attn_test({["a_test.lua"] = head .. 't.case("x", function() t.equal(require "m", 1) end)'}, "--filter none")
    shell.write("m.lua", "return 1")
    shell.write("watch.sh", [[
await() {
    n=0
    until grep -q "$1" shown || [ $n = 200 ]; do sleep 0.05; n=$((n + 1)); done
}
]] .. shell.quote(shell.exe) .. [[ test --watch >shown 2>&1 &
await 'waiting for a change'
echo 'return 2' >m.lua
await '1 failed'
kill -INT $!
wait $!
echo status $? >>shown]])
    shell.run("sh watch.sh")
    local shown = shell.read(shell.folder() .. "/shown")
    t.is_true(shown:find("1 passed, 0 failed\nwaiting for a change; Ctrl%-C ends\nFAIL .*got 2, expected 1.*\n0 passed, 1 failed\n"), shown)
    t.is_true(shown:find("status 130\n$"), shown)
    os.remove(shell.folder() .. "/m.lua")
end)

t.case("what a test starts ends with it", function()
    local out = attn_test{["a_test.lua"] = head .. 't.case("x", function() os.execute("sleep 30 & echo $! > pid") end)'}
    t.is_true(out:find("\n1 passed, 0 failed\n$"), out)
    local state = shell.run("sleep 0.1; grep State /proc/$(cat pid)/status")
    t.is_true(state == "" or state:find("State:%s*[ZX]"), state)
end)

t.case("--filter chooses cases, by pattern or as plain text", function()
    local files = {["a_test.lua"] = head .. 't.case("op(x): one", function() end) '
        .. 't.case("two", function() error() end)'}
    t.is_true(attn_test(files, "--filter 'op(x)'"):find("\n1 passed, 0 failed\n$"))
    t.is_true(attn_test(files, "--filter '^op.*e$'"):find("\n1 passed, 0 failed\n$"))
    local _, err, code = attn_test(files, "--filter nothing")
    contains(err, "no case matches 'nothing'")
    t.equal(code, 1)
end)

t.case("--junit writes the cases as XML", function()
    attn_test({["a_test.lua"] = head .. 't.case("a < b & \\1", function() end) '
        .. 't.case("f", function() error("<&>\\"", 0) end) '
        .. 't.case("s", function() t.skip("why") end)'}, "--junit result.xml")
    local xml = shell.read(shell.folder() .. "/result.xml")
    contains(xml, '<testsuites tests="3" failures="1" skipped="1">')
    contains(xml, '<testcase classname="tests/a_test.lua" name="a &lt; b &amp; ?" time="')
    contains(xml, '<failure message="&lt;&amp;&gt;&quot;')
    contains(xml, '<skipped message="why"/></testcase>')
end)

t.case("--junit is XML whatever bytes a case is called or says", function()
    attn_test({["a_test.lua"] = head .. 't.case("é → \\u{1F600} \\xff \\xe2\\x82 \\xc0\\x80 \\xef\\xbf\\xbe \\xed\\xa0\\x80.", function() '
        .. 'error("\\xe9t\\xe9 \\127 \\xf0\\x9f", 0) end)'}, "--junit result.xml")
    local xml = shell.read(shell.folder() .. "/result.xml")
    t.is_true(utf8.len(xml))
    local u = utf8.char(0xFFFD)
    contains(xml, 'name="é → \u{1F600} ' .. u .. " " .. u:rep(2) .. " " .. u:rep(2) .. " " .. u:rep(3) .. " " .. u:rep(3) .. '."')
    contains(xml, '<failure message="' .. u .. "t" .. u .. " \127 " .. u:rep(2))
end)

t.case("wrong usage", function()
    for arguments, message in pairs{
        ["-j x"] = "-j needs a number", ["-j 0"] = "-j needs a number", ["--filter"] = "missing",
        ["--bad"] = "unknown option --bad", ["--timeout -1"] = "--timeout needs", ["nowhere"] = "nowhere: No such file",
        ["tests/deep"] = "no files named *_test.lua",
    } do
        local _, err, code = attn_test({}, arguments)
        contains(err, message)
        t.equal(code, 1)
    end
end)

t.case("the process gets its share of threads, no input, and the executable's path", function()
    local text = head .. 't.case("x", function() t.equal(io.read(), nil) print(os.getenv("ATTN_EXE") == arg[-1], '
        .. 'os.getenv("ATTN_THREADS"), arg[0], #arg) error("show") end)'
    local out = attn_test({["a_test.lua"] = text, ["b_test.lua"] = text}, "-j 2")
    t.is_true(out:find("| true\t%d+\ttests/a_test.lua\t0\n"), out)
end)

t.case("undeclared globals are errors in test files", function()
    local out = attn_test{["a_test.lua"] = head .. 't.case("x", function() misspelt = 1 end)\n'
        .. 't.case("y", function() return misspelt end)'}
    contains(out, "tests/a_test.lua:2: assignment to undeclared global 'misspelt'")
    contains(out, "tests/a_test.lua:3: undeclared global 'misspelt'")
end)

t.case("run plainly, a test file prints a line per case and the closing line", function()
    shell.write("x_test.lua", head .. 't.case("one", function() end)\n'
        .. 't.case("two", function() t.is_true(false, "no") end)')
    local out, _, code = shell.run("attn x_test.lua")
    t.equal(out, "ok 1 - one\nnot ok 2 - two\n    x_test.lua:3: no\n1 passed, 1 failed\n")
    t.equal(code, 1)
    shell.write("y_test.lua", head .. 't.case("s", function() t.skip("why") end)')
    out, _, code = shell.run("attn y_test.lua")
    t.equal({out, code}, {"ok 1 - s # skip why\n0 passed, 0 failed, 1 skipped\n", 0})
    shell.write("z_test.lua", head .. 't.case("s", function() end) error("out")')
    out, _, code = shell.run("attn z_test.lua")
    t.equal({out, code}, {"ok 1 - s\n1 passed, 1 failed\n", 1})
end)

t.case("a script that is no test says nothing of tests, whatever it got wrong", function()
    shell.write("wrong.lua", 'local x = require "attn".ones(2)\nx:summ()')
    local out, _, code = shell.run("attn wrong.lua")
    t.equal({out, code}, {"", 1})
end)
