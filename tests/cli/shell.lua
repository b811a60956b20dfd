-- Helper of the tests in this folder: runs the executable under test through the shell.
local shell = {exe = os.getenv("ATTN_EXE") or arg[-1]}

local folder

---A word that the shell takes as it is.
function shell.quote(s)
    return "'" .. s:gsub("'", "'\\''") .. "'"
end

---A folder for this test file, removed at its end.
function shell.folder()
    if not folder then
        local pipe <close> = io.popen("mktemp -d")
        folder = setmetatable({path = pipe:read("l")}, {__gc = function(f)
            os.execute("rm -rf " .. shell.quote(f.path))
        end})
    end
    return folder.path
end

---Writes a file into that folder; its path.
function shell.write(name, text)
    local path = shell.folder() .. "/" .. name
    local f <close> = assert(io.open(path, "wb"))
    f:write(text)
    return path
end

function shell.read(path)
    local f <close> = assert(io.open(path, "rb"))
    return f:read("a")
end

---Runs a command line; `attn` at its start (after variables) stands for the executable. Standard input is `input` or
---empty. Returns standard output, standard error, and the exit status (128 + n for signal n).
function shell.run(command, input)
    local base = shell.folder()
    command = (" " .. command):gsub("%f[%S]attn%f[%s\0]", function() return shell.quote(shell.exe) end, 1)
    local line = ("cd %s; %s >out 2>err <%s"):format(shell.quote(base), command,
        input and shell.quote(shell.write("in", input)) or "/dev/null")
    local _, how, code = os.execute(line)
    return shell.read(base .. "/out"), shell.read(base .. "/err"), how == "signal" and 128 + code or code
end

return shell
