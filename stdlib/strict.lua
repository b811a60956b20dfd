-- strict: a global that was never given a value is an error, and so is giving one to a new global: it is nearly
-- always a misspelt local. In force from the moment it is required; `attn test` requires it before each file.
--
-- What is global on purpose is declared first: strict.declare("name", value), or rawset(_G, "name", value).
local strict = {}

local declared = {}

local meta = getmetatable(_G) or {}

function meta.__newindex(globals, name, value)
    if not declared[name] then
        error(("assignment to undeclared global '%s' (local is missing?)"):format(tostring(name)), 2)
    end
    rawset(globals, name, value)
end

function meta.__index(_, name)
    if not declared[name] then error(("undeclared global '%s'%s"):format(tostring(name), require "attn.hints".global(name)), 2) end
end

setmetatable(_G, meta)

---Makes a global known, so that it may be read and given values, nil too.
---@param name string
---@param value any
function strict.declare(name, value)
    declared[name] = true
    rawset(_G, name, value)
end

strict.declare("_PROMPT", rawget(_G, "_PROMPT"))
strict.declare("_PROMPT2", rawget(_G, "_PROMPT2"))

return strict
