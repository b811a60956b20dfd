-- undeclared: a global that is read and was never given a value is nearly always misspelt. attn -g says so as it happens, the session
-- behind what an entry prints; neither is an error, for `if DEBUG then` is good Lua. strict.lua makes it one.
local undeclared = {}

local told, found = {}, {}

local function line(name, info)
    return ("%s:%d: the global '%s' has no value%s"):format(info.short_src, info.currentline, name, require "attn.hints".global(name))
end

---Watches reads from chunks whose source matches a pattern and hands what is to be said to `say`, once for each name and line. A script
---that gives the globals an __index of its own goes first.
---@param pattern string
---@param say fun(text: string)
function undeclared.watch(pattern, say)
    local meta = getmetatable(_G) or {}
    if type(meta) ~= "table" or meta.__index ~= nil then return end
    function meta.__index(_, name)
        local info = debug.getinfo(2, "Sl")
        if type(name) ~= "string" or name == "_" or not info or info.what == "C" or not info.source:find(pattern) or info.source:find "^=attn/" then return nil end
        local place = name .. "\n" .. info.source .. "\n" .. info.currentline
        if not told[place] then
            told[place] = true
            say(line(name, info))
        end
    end
    setmetatable(_G, meta)
end

---attn -g
---@param program string
function undeclared.script(program)
    undeclared.watch("", function(text) io.stderr:write(program, ": ", text, "\n") end)
end

---The session: what is found waits for the entry's end, since an error says it itself.
function undeclared.session()
    undeclared.watch("^=%[%d+%]$", function(text) found[#found + 1] = text end)
end

---What the entry that has ended has read without a value; told: also to the user.
---@param tell boolean
function undeclared.entry_ended(tell)
    for i, text in ipairs(found) do
        if tell then io.stderr:write(text, "\n") end
        found[i] = nil
    end
    told = {}
end

return undeclared
