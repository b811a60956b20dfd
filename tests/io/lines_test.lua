-- attn.lines: plain and gzip files, ends of lines, long lines, damage.
local attn, t = require "attn", require "attn.test"

local path = os.tmpname()

local function write(bytes, to)
    local f = assert(io.open(to or path, "wb"))
    f:write(bytes)
    f:close()
end

local function packed(bytes)
    local f = assert(io.popen("gzip -c > " .. path .. ".gz", "w"))
    f:write(bytes)
    f:close()
    f = assert(io.open(path .. ".gz", "rb"))
    local all = f:read("a")
    f:close()
    return all
end

t.case("lines come without their ends", function()
    for text, lines in pairs{
        [""] = {}, ["\n"] = {""}, ["a"] = {"a"}, ["a\n"] = {"a"}, ["a\nb"] = {"a", "b"},
        ["\n\nx\n\n"] = {"", "", "x", ""},
        ["a\r\nb\r\n\r\n"] = {"a", "b", ""}, ["a\rb\n"] = {"a\rb"}, ["\0\n\xff\0"] = {"\0", "\xff\0"}, ["a\r"] = {"a"},
    } do
        write(text)
        t.equal(attn.lines(path), lines)
        packed(text)
        t.equal(attn.lines(path .. ".gz"), lines)
    end
end)

t.case("lines of every length around the size of the buffer", function()
    local lines = {}
    for _, n in ipairs{65535, 65536, 65537, 0, 131072, 1, 200000, 3} do lines[#lines + 1] = ("x"):rep(n) end
    local text = table.concat(lines, "\n")
    write(text)
    t.is_true(table.concat(attn.lines(path), "\n") == text)
    packed(text .. "\n")
    t.is_true(table.concat(attn.lines(path .. ".gz"), "\n") == text)
end)

t.case("a gzip file is known by its bytes", function()
    write(packed("a\nb\n"))
    t.equal(attn.lines(path), {"a", "b"})
    write("plain\n", path .. ".gz")
    t.raises("not a gzip file", attn.lines, path .. ".gz")
    write("", path .. ".gz")
    t.raises("not a gzip file", attn.lines, path .. ".gz")
end)

t.case("a damaged gzip file is an error, wherever it is cut", function()
    local bytes = packed(("some text that is long enough to be packed\n"):rep(3))
    for n = 1, #bytes - 1 do
        write(bytes:sub(1, n), path .. ".gz")
        t.is_true(not pcall(attn.lines, path .. ".gz"), "cut at byte " .. n)
    end
    write(bytes:sub(1, #bytes // 2), path .. ".gz")
    t.raises("it is cut off", attn.lines, path .. ".gz")
    write(bytes:sub(1, -8) .. "\0\0\0" .. bytes:sub(-4), path .. ".gz")
    t.raises("damaged gzip file", attn.lines, path .. ".gz")
end)

t.case("a line longer than the limit is an error", function()
    local f = assert(io.popen("head -c 70000000 /dev/zero | gzip -1c > " .. path .. ".gz", "w"))
    f:close()
    t.raises("line 1 is longer than 67108864 bytes", attn.lines, path .. ".gz")
end)

t.case("what is no file", function()
    t.raises("No such file", attn.lines, path .. ".none")
    t.raises("cannot be read: a folder", attn.lines, "/tmp")
    t.raises("path is nil, expected a string", attn.lines)
end)

t.case("the test's files are removed", function()
    t.is_true(os.remove(path))
    t.is_true(os.remove(path .. ".gz"))
end)
