-- One file to write to and read from, in memory where there is such a folder: files that are flushed to a disk take long.
local path = os.tmpname()
local shared = "/dev/shm" .. path:match "/[^/]+$"
local there = io.open(shared, "w")
if there then
    there:close()
    os.remove(path)
    path = shared
end

local m = {path = path}

function m.write(bytes)
    local file <close> = assert(io.open(path, "wb"))
    file:write(bytes)
end

function m.read()
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
end

return m
