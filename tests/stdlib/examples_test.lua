-- Every name that attn help knows has an example, and every example runs: in a process and an empty folder of its own, all in one.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
local shell = dofile(here .. "/../cli/shell.lua")

local script = [[
local attn = require "attn"
local entries, say, names = require "attn.help".entries(), io.stderr, {}
for name in pairs(entries) do names[#names + 1] = name end
table.sort(names)
say:write("names ", #names, "\n")
for _, name in ipairs(names) do
    local code = entries[name].example
    local chunk, why = nil, "has no example"
    if code then
        local head = "local attn = ...\n"
        chunk = load(head .. "return " .. code, "=" .. name)
        if not chunk then chunk, why = load(head .. code, "=" .. name) end
    end
    local ok, what = false, why
    if chunk then ok, what = pcall(chunk, attn) end
    if not ok then say:write("broken ", name, ": ", tostring(what), "\n") end
end
]]

t.case("every name in attn help has an example that runs", function()
    shell.write("all.lua", script)
    local _, err, code = shell.run "attn all.lua"
    t.equal(code, 0)
    t.is_true(tonumber(err:match "names (%d+)") > 350, err)
    local broken = {}
    for line in err:gmatch "broken [^\n]+" do broken[#broken + 1] = line end
    t.equal(table.concat(broken, "\n"), "")
end)
