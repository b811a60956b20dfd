local t = require "attn.test"
local here = arg[0]:match("^(.*)/") or "."
local shell = dofile(here .. "/../cli/shell.lua")

t.case("gdb prints a tensor's type, shape and first values, through its strides", function()
    if not os.execute "gdb --version >/dev/null 2>&1" then t.skip "there is no gdb" end
    local script = shell.write("view.lua", [[
        local attn = require "attn"
        local x = attn.tensor{{0.5, -1, 2}, {0, 0.25, 7}}:transpose(1, 2)
        attn.mul(x, attn.tensor({{true}, {true}, {false}}))
    ]])
    local commands = shell.write("commands", [[
set print elements 5
break at_call_run
run
continue
print c->in[0]
print *c->in[1]
print (at_tensor *)0
]])
    local said = shell.write("said", "")
    os.execute(("ATTN_THREADS=1 gdb -nx -batch -x %s -x %s --args %s %s >%s 2>&1"):format(
        shell.quote(here .. "/attn.py"), shell.quote(commands), shell.quote(shell.exe), shell.quote(script), shell.quote(said)))
    local out = shell.read(said)
    if not out:find("Breakpoint 1,", 1, true) then t.skip "gdb cannot run a program here" end
    t.is_true(out:find("%$1 = 0x%x+ float32 %[3, 2%] {0%.5, 0, %-1, 0%.25, 2, %.%.%.}\n"), out)
    t.is_true(out:find("$2 = bool [3, 1] {true, true, false}\n", 1, true), out)
    t.is_true(out:find("$3 = NULL\n", 1, true), out)
end)
