-- Applies each change of list.lua to a copy of the sources, builds what it touches, and asks the tests: `make mutants`,
-- with a part of names as arguments for some of them only. Every change must be caught; one that survives shows a test
-- that is missing. The tests named by a change run first, then all quick ones. Exit status 1 if one survives, does not
-- build, or if its text is not found exactly once.
local attn = require "attn"

local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- True if the command ends well; its output goes to the log.
local folder, log
local function run(command) return (os.execute(("{ %s; } >%s 2>&1"):format(command, quote(log)))) == true end

local function output(command)
    local pipe <close> = assert(io.popen(command))
    return (pipe:read("a"):gsub("\n$", ""))
end

local root = output("cd " .. quote(here .. "../..") .. " && pwd -P")

local function read(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read("a")
end

local function write(path, text)
    local file <close> = assert(io.open(path, "wb"))
    assert(file:write(text))
end

local function last_lines(n)
    local lines = {}
    for line in read(log):gmatch("[^\n]+") do lines[#lines + 1] = "    " .. line:sub(1, 200) end
    return table.concat(lines, "\n", math.max(1, #lines - n + 1))
end

-- ---- the copy: objects keep their times, so that make builds only what a change touches ----

folder = output("mktemp -d")
assert(folder ~= "", "no temporary folder")
folder = output("cd " .. quote(folder) .. " && pwd -P")
log = folder .. "/log"
local copy = folder .. "/copy"
local guard <close> = setmetatable({}, {__close = function() os.execute("rm -rf " .. quote(folder)) end})

local function inside(command) return ("cd %s && %s"):format(quote(copy), command) end
local function copy_tree()
    return run(("mkdir -p %s && cd %s && tar cf - --exclude=build/debug --exclude=bin/debug Makefile README.md LICENSE attn vm "
        .. "stdlib scripts tests build bin | tar xpf - -C %s"):format(quote(copy), quote(root), quote(copy)))
end

local MAKE = os.getenv("MAKE") or "make"
local function build(targets) return run(inside(MAKE .. " bin/attn " .. targets)) end

-- What was built since `stamp` goes back to what it was.
local function restore(file)
    assert(run(("cp -p %s %s"):format(quote(root .. "/" .. file), quote(copy .. "/" .. file))))
    assert(run(inside("find build bin -type f -newer ../stamp | while read -r f; do "
        .. ("if [ -e %s/\"$f\" ]; then cp -p %s/\"$f\" \"$f\"; else rm \"$f\"; fi; done"):format(quote(root), quote(root)))))
end

-- ---- tests ----

local function split(tests, programs, scripts)
    programs, scripts = programs or {}, scripts or {}
    for name in tests:gmatch("%S+") do
        local program = name:match("^c:(.*)")
        local list, path = program and programs or scripts, program and "build/tests/" .. program or name
        if not list[path] then list[#list + 1], list[path] = path, true end
    end
    return programs, scripts
end

-- The first that fails, nil if none does. One that does not end within its time fails.
local function failing(programs, scripts)
    for _, program in ipairs(programs) do
        if not run(inside("timeout 300 " .. program)) then return program end
    end
    local list = table.concat(scripts, " ")
    if #scripts > 0 and not run(inside("timeout 600 bin/attn test " .. list)) then return list end
end

-- ---- one change ----

-- "caught", "survived" or what is wrong with the change, and by what.
local function try(change)
    local _, file, from, to, tests = table.unpack(change)
    local text = read(copy .. "/" .. file)
    local first, last = text:find(from, 1, true)
    if not first then return "lost", "the text is not in " .. file end
    if text:find(from, last + 1, true) then return "lost", "the text is more than once in " .. file end
    assert(run(("touch %s && sleep 0.02"):format(quote(folder .. "/stamp"))))
    write(copy .. "/" .. file, text:sub(1, first - 1) .. to .. text:sub(last + 1))
    local programs, scripts = split(tests)
    if not build(table.concat(programs, " ")) then return "broken", "it does not build:\n" .. last_lines(5) end
    local by = failing(programs, scripts)
    if by then return "caught", by end
    if not run(inside("BIN=bin CTESTS= timeout 600 sh tests/run.sh --quick && timeout 300 bin/attn test tests/stdlib tests/golden")) then
        return "caught", "none of its own tests, but\n" .. last_lines(3)
    end
    return "survived", file
end

-- ---- all of them ----

local LEVELS = {base = 1, AVX2 = 2, ["AVX-512"] = 3}
local changes = {}
for _, change in ipairs(dofile(here .. "list.lua")) do
    local take = #arg == 0
    for _, part in ipairs(arg) do take = take or change[1]:find(part, 1, true) ~= nil end
    if take and LEVELS[change[6] or "base"] > LEVELS[attn.simd()] then
        print(("skipped   %s: this processor has no %s"):format(change[1], change[6]))
    elseif take then
        changes[#changes + 1] = change
    end
end
local programs, scripts = {}, {}
for _, change in ipairs(changes) do split(change[5], programs, scripts) end
if not copy_tree() or not build(table.concat(programs, " ")) or failing(programs, scripts) then
    print("the unchanged copy does not pass:\n" .. last_lines(10))
    os.exit(1, true)
end
local count = {caught = 0, survived = 0, lost = 0, broken = 0}
for _, change in ipairs(changes) do
    local verdict, by = try(change)
    restore(change[2])
    count[verdict] = count[verdict] + 1
    print(("%-8s  %s: %s"):format(verdict, change[1], by))
    io.stdout:flush()
end
print(("%d caught, %d survived%s"):format(count.caught, count.survived, count.lost + count.broken == 0 and ""
    or (", %d of the list do not apply"):format(count.lost + count.broken)))
os.exit(count.caught == #changes, true)
