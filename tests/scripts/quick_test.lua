-- Every script runs with --quick: in a process and an empty folder of its own, on one thread, without data. It ends well, and
-- prints what it measured, or what is missing.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
local place = dofile(here .. "/scripts.lua")
local shell, scripts = place.shell, place.folder

local found = {}
local function look(folder)
    for _, name in ipairs(attn.list_folder(scripts .. folder)) do
        local path = folder .. "/" .. name
        if name:match "%.lua$" then
            found[#found + 1] = path:sub(2)
        elseif not name:find(".", 1, true) then
            look(path)
        end
    end
end
look ""
table.sort(found)

-- All of them, two at a time: out and status stay in the folder of each.
local function folder_of(path) return shell.folder() .. "/" .. path:gsub("%W", "_") end
local ran = false
local function run_all()
    ran = true
    local lines = {}
    for i, path in ipairs(found) do
        attn.mkdir(folder_of(path))
        lines[i] = ("cd %s && env -u ATTN_DATA ATTN_THREADS=1 %s %s --quick --jobs=1 >out 2>&1; echo $? >status"):format(
            shell.quote(folder_of(path)), shell.quote(shell.exe), shell.quote(scripts .. "/" .. path))
    end
    local list = shell.write("list", table.concat(lines, "\0") .. "\0")
    os.execute(("xargs -0 -P 2 -n 1 sh -c <%s"):format(shell.quote(list)))
end

for _, path in ipairs(found) do
    t.case(path .. " runs with --quick", function()
        if not ran then run_all() end
        local out, status = shell.read(folder_of(path) .. "/out"), shell.read(folder_of(path) .. "/status")
        if status ~= "0\n" then error(("status %s%s"):format(status, out), 0) end
        t.is_true(out:find "\nresult %S+ %S+" or out:find("\nskipped: no data directory for ", 1, true), out)
    end)
end
