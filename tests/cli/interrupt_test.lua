-- Ctrl-C is a Lua error wherever code runs; twice within a second it ends the process.
local t = require "attn.test"
local shell = require "shell"

-- Runs a script that prints when it is ready, then sends it SIGINT `count` times, `pause` seconds apart.
local function interrupt(text, count, pause)
    shell.write("script.lua", "io.stdout:setvbuf('no')\n" .. text)
    shell.write("go.sh", ([[
        rm -f seen complaint pipe
        mkfifo pipe
        sleep 60 >pipe &
        s=$!
        %s script.lua <pipe >seen 2>complaint &
        p=$!
        i=0
        while [ ! -s seen ] && [ $i -lt 200 ]; do sleep 0.02; i=$((i + 1)); done
        i=0
        while [ $i -lt %d ]; do sleep %g; kill -INT $p 2>/dev/null; i=$((i + 1)); done
        wait $p
        echo $?
        kill $s]]):format(shell.quote(shell.exe), count or 1, pause or 0.05))
    local code = tonumber((shell.run("sh go.sh")))
    return shell.read(shell.folder() .. "/seen"), shell.read(shell.folder() .. "/complaint"), code
end

t.case("a loop in the main chunk stops with a traceback and dies by the signal", function()
    local _, err, code = interrupt("print(1)\nwhile true do end")
    t.equal(code, 130)
    local expected = "attn: script.lua:3: interrupted!\nstack traceback:\n\tscript.lua:3: in main chunk"
    t.is_true(err:find(expected, 1, true), err)
end)

t.case("a loop in a coroutine stops, by wrap, by resume, and nested", function()
    for _, text in ipairs{
        "coroutine.wrap(function() print(1) while true do end end)()",
        "assert(coroutine.resume(coroutine.create(function() print(1) while true do end end)))",
        "local wrap = coroutine.wrap "
            .. "for _ in wrap(function() for _ in wrap(function() print(1) while true do end end) do end end) do end",
    } do
        local _, err, code = interrupt(text)
        t.equal(code, 130)
        t.is_true(err:find("script.lua:2: interrupted!\n", 1, true), err)
    end
end)

t.case("a loop that switches threads all the time stops", function()
    for i = 1, 5 do
        local _, err, code = interrupt([[
            local function gen(n)
                return coroutine.wrap(function()
                    if n == 0 then while true do coroutine.yield(1) end end
                    for v in gen(n - 1) do coroutine.yield(v) end
                end)
            end
            print(1)
            for _ in gen(5) do end]], 1, 0.03 + i / 100)
        t.equal(code, 130)
        t.is_true(err:find("interrupted!\n", 1, true), err)
    end
end)

t.case("pcall catches it and the script goes on", function()
    local out, err, code = interrupt([[
        local co = coroutine.wrap(function()
            print(1)
            local ok, e = pcall(function() while true do end end)
            coroutine.yield(ok, e)
            return "goes on"
        end)
        print(co())
        print(co())
        print(debug.gethook())]])
    t.equal({out, err, code}, {"1\nfalse\tscript.lua:4: interrupted!\ngoes on\nnil\n", "", 0})
end)

t.case("__close and finalizers run", function()
    local out, _, code = interrupt([[
        setmetatable({}, {__gc = function() print("collected") end})
        local _ <close> = setmetatable({}, {__close = function(_, e) print("closed", e:match("[^\n]*")) end})
        print(1)
        while true do end]])
    t.equal({out, code}, {"1\nclosed\tscript.lua:5: interrupted!\ncollected\n", 130})
end)

t.case("a hook of the script is put back", function()
    local out, _, code = interrupt([[
        local n = 0
        local function count() n = n + 1 end
        debug.sethook(count, "", 1000)
        print(1)
        pcall(function() while true do end end)
        print(debug.gethook() == count)]])
    t.equal({out, code}, {"1\ntrue\n", 0})
end)

t.case("a blocked read returns", function()
    local _, err, code = interrupt("print(1) io.read()", 1, 0.3)
    t.equal(code, 130)
    t.is_true(err:find("interrupted!", 1, true), err)
end)

t.case("a second one leaves code that catches the first, a third within a second ends what never looks", function()
    local start = os.time()
    local _, err, code = interrupt("print(1) while true do pcall(function() while true do end end) end", 2, 0.2)
    t.equal(code, 130)
    t.is_true(err:find("interrupted!", 1, true), err)
    _, err, code = interrupt("print(1) while true do coroutine.resume(coroutine.create(function() while true do end end)) end", 2, 0.2)
    t.equal(code, 130)
    t.is_true(err:find("interrupted!", 1, true), err)
    _, _, code = interrupt("print(1) string.find(('a'):rep(300000), ('.-'):rep(20) .. 'b')", 3, 0.2)
    t.equal(code, 130)
    t.is_true(os.time() - start < 20)
end)

t.case("a script that is interrupted dies by the signal, so that a loop of the shell around it ends", function()
    local path = shell.write("own.lua", "local p = io.popen 'sleep 0.1; kill -INT $PPID' while true do end")
    local _, how, code = os.execute(("exec %s %s 2>/dev/null"):format(shell.quote(shell.exe), shell.quote(path)))
    t.equal({how, code}, {"signal", 2})
end)

t.case("a kernel stops", function()
    local attn = require "attn"
    if not attn.matmul then t.skip("no matmul") end
    local _, err, code = interrupt([[
        local attn = require "attn"
        local a = attn.randn(1500, 1500)
        local co = coroutine.wrap(function() print(1) while true do local _ = a:matmul(a) end end)
        co()]])
    t.equal(code, 130)
    t.is_true(err:find("interrupted!\n", 1, true), err)
end)

-- Each takes seconds; the bound leaves room for a busy machine. tests/c/interrupt_test.c has the engine's loops.
local long = {
    {"ones", "", "attn.ones(600000000)"},
    {"mean of an expanded view", "local x = attn.ones(1):expand(600000000)", "x:mean()"},
    {"totable", "local x = attn.ones(1):expand(40000000)", "x:totable()"},
    {"json.decode", "local s = '[' .. ('[1,2.5],'):rep(3000000) .. '1]'", "attn.json.decode(s)"},
    {"json.encode", "local s = attn.arange(1, 4000000, 1.5):totable()", "attn.json.encode(s)"},
    {"crc32", "", "attn.crc32('/dev/zero')"},
}
for _, case in ipairs(long) do
    t.case("a long loop stops: " .. case[1], function()
        local out, err, code = interrupt(([[
            local attn = require "attn"
            local clock = attn.clock
            %s
            print("ready")
            while true do
                local begin = clock()
                local ok, e = pcall(function() local _ = {(function() return %s end)()} end)
                if not ok then print(e) print(clock() - begin < 1.2) return end
            end]]):format(case[2], case[3]), 1, 0.2)
        t.equal(err, "")
        t.is_true(out:find("script.lua:%d+: interrupted!\ntrue\n$"), out)
        t.equal(code, 0)
    end)
end

t.case("saving stops, and leaves the file as it was", function()
    local out, err, code = interrupt([[
        local attn = require "attn"
        attn.save("saved.safetensors", {x = attn.ones(3)})
        local x = attn.ones(30000000)
        print("ready")
        local ok, e repeat ok, e = pcall(attn.save, "saved.safetensors", {x = x}) until not ok
        print(e)
        print(#attn.load("saved.safetensors").x)
        print(io.popen("ls -A | grep -c saved"):read("a"))]], 1, 0.01)
    t.equal(err, "")
    t.is_true(out:find("interrupted!\n3\n1\n", 1, true) or out:find("interrupted!\n30000000\n1\n", 1, true), out)
    t.equal(code, 0)
end)

t.case("an optimizer's step that a Ctrl-C meets is whole", function()
    local out, err, code = interrupt([[
        local attn = require "attn"
        local p = attn.zeros(400, 2000)
        p.grad = attn.ones(400, 2000)
        local o = attn.optim.sgd{params = {p}, lr = 1}
        print("ready")
        while pcall(o.step, o) do end
        print(p:min():item() == p:max():item())]], 1, 0.1)
    t.equal({err, code}, {"", 0})
    t.is_true(out:find("true\n", 1, true), out)
end)
