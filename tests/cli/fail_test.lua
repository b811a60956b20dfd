-- Allocations, mappings and threads that cannot be had, one after the other: a clean error or the right result. ATTN_LONG=1: each of
-- them, once, twice and from then on (a quarter of an hour); else a sample.
local t = require "attn.test"
local shell = require "shell"

local long = os.getenv("ATTN_LONG")
local here = arg[0]:match("^(.*/)") or ""
local compiler = os.getenv("CC") or "cc"
-- A sanitizer brings its own malloc, and reserves terabytes of addresses.
local sanitized = not os.execute("ulimit -v 2000000 && " .. shell.quote(shell.exe) .. " -e '' >/dev/null 2>&1")

local function library()
    if sanitized then t.skip("a sanitizer has its own malloc") end
    shell.write("fail.c", shell.read(here .. "fail.c"))
    local built = os.execute(("cd %s && { test -f fail.so || %s -O1 -shared -fPIC -o fail.so fail.c -ldl; } 2>/dev/null"):format(
        shell.quote(shell.folder()), compiler))
    if not built then t.skip("no C compiler to build fail.c") end
end

local function clean(err)
    return err:find("not enough memory", 1, true) or err:find("out of memory", 1, true)
        or err:find("Cannot allocate memory", 1, true)
end

-- Runs a script with failures at a sample of its calls. What it prints until then must be what it prints without.
local function drive(path, simd, seed, runs)
    library()
    local line = "ATTN_SIMD=%s ATTN_THREADS=2 FAIL_COUNT=count FAIL_AT=%d FAIL_TIMES=%d timeout 20 env LD_PRELOAD=./fail.so %s %s ."
    local function run(at, times, script)
        return shell.run(line:format(simd, at, times, shell.quote(shell.exe), script or path))
    end
    run(0, 0, shell.write("empty.lua", "require 'attn'"))
    local first = long and 1 or tonumber(shell.read(shell.folder() .. "/count")) - 10      -- the start is the same for all scripts
    local expected, err, code = run(0, 0)
    t.equal({err, code}, {"", 0})
    local count, ended = tonumber(shell.read(shell.folder() .. "/count")), 0
    for _, times in ipairs{1, 2, 0} do
        local step = long and 1 or math.max(1, (count - first) / runs)
        for at = first + (seed * 7 + times * 5) % step, count, step do
            at = at // 1 | 0
            local out
            out, err, code = run(at, times)
            local where = ("call %d of %d, %s times: status %s: %s"):format(at, count, times == 0 and "all" or times, code, err)
            t.equal(expected:sub(1, #out), out)
            if code == 0 then
                t.equal({out, err}, {expected, ""})
            else
                ended = ended + 1
                t.is_true(code == 1 and clean(err), where)
            end
        end
    end
    t.is_true(ended > 0, "nothing failed")
end

t.case("JSON, checkpoints, gzip and products: each call may fail", function()
    shell.write("text", ("a line of the text\n"):rep(2000))
    os.execute("cd " .. shell.quote(shell.folder()) .. " && gzip -f text")
    local path = shell.write("work.lua", [[
        local attn = require "attn"
        local folder = ...
        local text = '{"a": [1, 2.5, "text that needs more room than sixteen bytes, or twice that", null], "b": {"c": true}}'
        assert(attn.json.encode(attn.json.decode(text)) == text)
        print "json"
        local path = folder .. "/state.safetensors"
        local name = "long name of a field " .. ("x"):rep(60)
        attn.save(path, {step = 7, list = {1, 2, "three"}, weight = attn.ones(3, 5), [name] = 1 / 3})
        local state = attn.load(path)
        assert(state.step == 7 and #state.list == 3 and state.weight:sum():item() == 15 and state[name] == 1 / 3)
        os.remove(path)
        print "checkpoint"
        local lines = attn.lines(folder .. "/text.gz")
        assert(#lines == 2000 and lines[1] == "a line of the text" and lines[2000] == lines[1])
        print "gzip"
        local a = attn.ones(120, 130):requires_grad_(true)
        local b = a:matmul(attn.ones(130, 110) * 2)
        b:sum():backward()
        assert(b:sum():item() == 120 * 110 * 260 and a.grad:sum():item() == 120 * 130 * 220)
        print "products"]])
    drive(path, "avx512", 1, 30)
    drive(path, "base", 2, 10)
end)

t.case("a failure inside the JSON library gives the right value or an error: every one of them", function()
    local path = shell.write("json.lua", [[
        local attn = require "attn"
        for _, text in ipairs{'{"key of some length": "' .. ("z"):rep(70) .. '"}', "1" .. ("2"):rep(17), "[0.5, true, [{}] ]"} do
            local before = attn.json.encode(attn.json.decode(text))
            collectgarbage()
            io.write(before, "\n")
        end]])
    drive(path, "avx512", 3, 30)
end)

t.case("the session ends cleanly or works, whatever the limit of addresses", function()
    if sanitized then t.skip("a sanitizer needs the addresses") end
    shell.write("press.c", shell.read(here .. "press.c"))
    if not os.execute(("cd %s && %s -O1 -o press press.c -lutil 2>/dev/null"):format(shell.quote(shell.folder()), compiler)) then
        t.skip("no C compiler to build press.c")
    end
    local worked = 0
    for kib = 44000, 50000, long and 16 or 500 do
        local out = shell.run(("HOME=$PWD ATTN_HISTORY=$PWD/history XDG_CONFIG_HOME=/nothing timeout 30 ./press memory %d attn"):format(
            kib))
        local code = tonumber(out:match("^ended (%d+)\n"))
        t.is_true(code == 0 or (code == 1 or code == 127) and (clean(out) or out:find("failed to map", 1, true)
            or out:find("cannot allocate memory", 1, true)), ("%d KiB: %s"):format(kib, out))
        worked = worked + (code == 0 and 1 or 0)
    end
    t.is_true(worked > 0, "no limit lets it work")
end)
