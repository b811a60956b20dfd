-- A process that may have little memory, or no thread: it does its work or says why not, and ends.
local t = require "attn.test"
local shell = require "shell"

-- A sanitizer reserves terabytes of addresses.
local sanitized = not os.execute("ulimit -v 2000000 && " .. shell.quote(shell.exe) .. " -e '' >/dev/null 2>&1")

-- Runs `command` with so many KiB of addresses: it prints `expected`, or fails with a message of its own or the loader's.
local function within(kib, command, expected)
    local out, err, code = shell.run(("ulimit -v %d; timeout 20 %s"):format(kib, command))
    if code == 0 then
        t.equal({out, err}, {expected, ""})
    else
        t.is_true(code == 1 or code == 127, ("%d KiB: status %d: %s"):format(kib, code, err))
        t.is_true(err:find("not enough memory", 1, true) or err:find("out of memory", 1, true)
            or err:find("failed to map segment", 1, true) or err:find("cannot allocate memory", 1, true), err)
    end
    return code
end

t.case("a script ends, whatever the limit of addresses", function()
    if sanitized then t.skip("a sanitizer needs the addresses") end
    local one = shell.quote(shell.exe) .. " -e 'print(1)'"
    for kib = 45000, 54000, 3000 do within(kib, one, "1\n") end      -- with less the kernel cannot map the file
    for _, kib in ipairs{55000, 70000, 85000, 100000, 120000, 140000, 160000, 200000, 250000, 300000} do
        t.equal(within(kib, one, "1\n"), 0)
    end
end)

t.case("a matrix product ends, whatever the limit of addresses: OpenBLAS's kernels and ours", function()
    if sanitized then t.skip("a sanitizer needs the addresses") end
    local path = shell.write("product.lua", [[
        local attn = require "attn"
        local a = attn.ones(200, 200)
        print(attn.matmul(a, a):sum():item())]])
    for _, simd in ipairs{"base", "avx512"} do
        for _, kib in ipairs{55000, 100000, 160000, 220000, 300000} do
            within(kib, ("env ATTN_SIMD=%s ATTN_THREADS=2 %s %s"):format(simd, shell.quote(shell.exe), path), "8000000.0\n")
        end
    end
end)

t.case("a process without the right to threads computes alone", function()
    if not os.execute("prlimit --version >/dev/null 2>&1") then t.skip("no `prlimit`") end
    -- the superuser always has it
    local as = os.execute("test $(id -u) = 0") and "setpriv --reuid=65534 --clear-groups " or ""
    local line = ("exec timeout 20 prlimit --nproc=0 %s%s -e %s"):format(as, shell.quote(shell.exe),
        shell.quote("print(attn.ones(300, 300):matmul(attn.ones(300, 300)):sum():item())"))
    if as ~= "" and not os.execute(as .. shell.quote(shell.exe) .. " --version >/dev/null 2>&1") then
        t.skip("no other user can run the program")
    end
    t.equal({shell.run("ATTN_THREADS=4 sh -c " .. shell.quote(line))}, {"27000000.0\n", "", 0})
end)
