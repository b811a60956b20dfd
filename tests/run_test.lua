-- tests/run.sh, which `make test ARGS="..."` runs
local t = require "attn.test"
local shell = dofile((arg[0]:match("^(.*)/") or ".") .. "/cli/shell.lua")
local root = arg[0]:match("^(.*)/tests/") or "."

-- what run.sh prints when the executable is a script that says its arguments, and so is the one C test
local function run(arguments)
    local bin = shell.folder() .. "/bin"
    os.execute("mkdir -p " .. bin)
    shell.write("bin/attn", '#!/bin/sh\nshift\necho "lua: $*"\necho "1 passed, 0 failed"\n')
    shell.write("bin/random_test", "#!/bin/sh\necho c >>" .. bin .. "/c\necho '10 passed, 0 failed'\n")
    shell.write("bin/c", "")
    os.execute(("chmod +x %s/attn %s/random_test"):format(bin, bin))
    local pipe <close> = io.popen(("cd '%s' && BIN=%s CTESTS=%s/random_test sh tests/run.sh %s 2>&1"):format(root, bin, bin, arguments))
    return pipe:read("a"), shell.read(bin .. "/c")
end

t.case("without a path everything runs, with options or without", function()
    for _, options in ipairs {"", "--filter rows", "-j 2"} do
        local out, c = run(options)
        t.is_true(out:find("lua: " .. options .. (options ~= "" and " " or "") .. "tests\n", 1, true), out)
        t.is_true(out:find("layers: ok", 1, true))
        t.equal(c, "c\n")
        -- the format counts where it could be checked
        local total = out:find("format: ok", 1, true) and 13 or 12
        t.is_true(out:find(("\n%d passed, 0 failed\n"):format(total), 1, true), out)
    end
end)

t.case("a path runs alone", function()
    local out, c = run("--filter rows tests/op/softmax_test.lua")
    t.equal(out, "lua: --filter rows tests/op/softmax_test.lua\n1 passed, 0 failed\n")
    t.equal(c, "")
end)

t.case("so does the path of a C test, alone or with others", function()
    local out, c = run("tests/c/random_test.c -j 2")
    t.equal(out .. c, "10 passed, 0 failed\nc\n")
    out, c = run("tests/c/random_test.c tests/op")
    t.equal(out .. c, "lua: tests/op\n11 passed, 0 failed\nc\n")
    t.equal((run("tests/c/nothing_test.c")), "tests/c/nothing_test.c: there is no such test\n")
end)
