-- The API fuzzer: calls.lua in a process of its own, in a folder of its own. See there for the variables that steer it.
local t = require "attn.test"

local exe = os.getenv "ATTN_EXE" or arg[-1]
local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function command(line)
    local pipe = assert(io.popen(line))
    local out = pipe:read("a")
    return pipe:close(), out:gsub("%s+$", "")
end

local function fuzz(variables)
    local _, place = command "mktemp -d"
    local log = os.getenv "ATTN_FUZZ_LOG" or place .. "/log"
    local ok, out = command(table.concat({
        "exe=" .. quote(exe), "script=" .. quote(folder .. "/calls.lua"),
        '[ -x "$PWD/$exe" ] && exe=$PWD/$exe', '[ -f "$PWD/$script" ] && script=$PWD/$script',
        "cd " .. quote(place), variables .. " ATTN_FUZZ_LOG=" .. quote(log) .. ' "$exe" "$script" 2>&1 </dev/null'}, "; "))
    local last
    for line in io.lines(log) do last = line end
    os.execute("rm -rf " .. quote(place))
    t.is_true(ok, ("%s\nlast: %s"):format(out:sub(-4000), tostring(last):sub(1, 1000)))
end

t.case("random calls of every function, method and metamethod raise nothing but Lua errors", function() fuzz "" end)

t.case("the same while finalizers free, close, clear and replace what the calls were given", function()
    fuzz("ATTN_FUZZ_FINALIZERS=1 ATTN_FUZZ_CALLS=" .. (tonumber(os.getenv "ATTN_FUZZ_CALLS") or 20000) // 20)
end)
