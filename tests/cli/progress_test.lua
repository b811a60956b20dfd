-- attn.progress where it is seen: in a terminal, and in a log.
local t = require "attn.test"
local shell = require "shell"

local script = [[
local attn = require "attn"
for i in attn.progress(30) do
    os.execute "sleep 0.02"
    if i == 20 then print "hello" io.write "there\n" end
end
print "end"
]]

t.case("what is printed goes above the line, which is gone at the end", function()
    if not os.execute "command -v script >/dev/null" then t.skip "there is no script(1)" end
    shell.write("loop.lua", script)
    local out = shell.run("script -qfec " .. shell.quote(shell.quote(shell.exe) .. " loop.lua") .. " /dev/null", "")
    out = out:gsub("\r\n", "\n")
    t.is_true(out:find("\r%s*%d+%% [█ ▏▎▍▌▋▊▉]*%d+/30  0:%d%d < [%d:?]+\27%[K"), out)
    local line = out:match "(\r[^\r\n]*\27%[K)\r\27%[Khello\n"
    t.is_true(line, out)
    t.is_true(out:find("hello\n" .. line .. "\r\27[Kthere\n" .. line, 1, true), out)
    t.is_true(out:find("\r\27[Kend\n", 1, true), out)
    t.equal(out:match "\n([^\n]*)$", "")
end)

t.case("a log gets whole lines, or none", function()
    shell.write("loop.lua", script)
    local out, err = shell.run("ATTN_PROGRESS=0.001 attn loop.lua")
    t.equal(out, "hello\nthere\nend\n")
    t.equal(select(2, err:gsub("\n", "")), 30)
    t.is_true(err:find("^  3%% 1/30  0:00 < %?\n") and err:find("\n100%% 30/30  0:%d%d < 0:00\n$"), err)
    t.equal(select(2, shell.run("ATTN_PROGRESS=0 attn loop.lua")), "")
    t.equal(select(2, shell.run("attn loop.lua")), "")                      -- a line every 30 seconds
end)

t.case("train.loop has the same line", function()
    shell.write("train.lua", [[
local attn = require "attn"
local model = attn.layer.linear{inputs = 2, outputs = 1}
attn.train.loop{model = model, optimizer = attn.optim.sgd{params = model:parameters(), lr = 0.1}, steps = 4,
    data = function() return attn.ones(3, 2) end, loss = function(x) return model(x):square():mean() end}
]])
    local out, err = shell.run("ATTN_PROGRESS=1e-9 attn train.lua")
    t.equal(select(2, err:gsub("\n", "")), 4)
    t.is_true(err:find(" 25%% 1/4  loss %d%.%d%d%d%d  [%d,]+ steps/s  0:00 < %?\n"), err)
    t.is_true(out:find "^step 4/4  loss ", out)
end)
