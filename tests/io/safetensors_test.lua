-- safetensors: round trips, every rule of the format broken in turn, and writing that leaves the old file whole.
local attn, t = require "attn", require "attn.test"

local file = dofile((arg[0]:match("^(.*)/") or ".") .. "/file.lua")
local path, write, read = file.path, file.write, file.read
local save, load = attn.safetensors.save, attn.safetensors.load

-- A file with this header and these bytes of numbers.
local function put(header, numbers) write(string.pack("<I8", #header) .. header .. (numbers or "")) end

local function refused(message, header, numbers)
    put(header, numbers)
    t.raises(message, load, path)
end

t.case("tensors of every dtype and shape come back as they were", function()
    local tensors = {
        a = attn.tensor{{1.5, -2}, {3, 1 / 3}}, b = attn.tensor({1e-300, 7}, {dtype = "float64"}),
        c = attn.tensor({2 ^ 62 | 0, -1}, {dtype = "int64"}), d = attn.tensor{true, false, true}, e = attn.tensor(4),
        f = attn.zeros(2, 0, 3), g = attn.randn(3, 4, 5), h = attn.tensor{0 / 0, 1 / 0, -1 / 0},
    }
    save(path, tensors, {note = "hé \"quoted\" \\ \n\1", empty = ""})
    local got, metadata = load(path)
    local names = {}
    for name, x in pairs(got) do
        names[#names + 1] = name
        t.equal(x.dtype, tensors[name].dtype)
        t.equal(x.shape, tensors[name].shape)
        if name ~= "f" then t.equal(x:totable(), tensors[name]:totable()) end
    end
    t.equal(#names, 8)
    t.equal(metadata, {note = "hé \"quoted\" \\ \n\1", empty = ""})
end)

t.case("views are written in row order", function()
    local x = attn.arange(1, 24):reshape(2, 3, 4)
    save(path, {a = x:transpose(1, 3), b = x:narrow(2, 2, 1), c = x:expand(2, 3, 4):select(3, 2)})
    local got = load(path)
    t.equal(got.a:totable(), x:transpose(1, 3):contiguous():totable())
    t.equal(got.b:totable(), x:narrow(2, 2, 1):contiguous():totable())
    t.equal(got.c:totable(), x:select(3, 2):contiguous():totable())
end)

t.case("the file is laid out as the standard says, and equal contents give equal bytes", function()
    local tensors = {b = attn.tensor{1, 2}, a = attn.tensor{3}, y = attn.tensor{true}}
    tensors.z = attn.tensor({5}, {dtype = "int64"})
    save(path, tensors, {k2 = "v", k1 = "w"})
    local bytes = read()
    local n = string.unpack("<I8", bytes)
    t.equal(n % 8, 0)
    t.equal(bytes:sub(9, 8 + n):gsub(" *$", ""), '{"__metadata__":{"k1":"w","k2":"v"},'
        .. '"z":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},'
        .. '"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},'
        .. '"y":{"dtype":"BOOL","shape":[1],"data_offsets":[20,21]}}')
    t.equal(bytes:sub(9 + n), string.pack("<i8fffB", 5, 3, 1, 2, 1))
    save(path, tensors, {k1 = "w", k2 = "v"})
    t.equal(read(), bytes)
end)

t.case("a file without tensors", function()
    put("{}")
    t.equal({load(path)}, {{}, {}})
    save(path, {})
    t.equal({load(path)}, {{}, {}})
    put('{"__metadata__":{"a":"b"}}  \n ')
    t.equal({load(path)}, {{}, {a = "b"}})
end)

t.case("half floats become float32, integers int64", function()
    local function one(dtype, bytes, count)
        put(('{"x":{"dtype":"%s","shape":[%d],"data_offsets":[0,%d]}}'):format(dtype, count, #bytes), bytes)
        local x = load(path).x
        return x:totable(), x.dtype
    end
    local bits = {0x3c00, 0xc000, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0x8000}
    local halves, dtype = one("F16", string.pack("<I2I2I2I2I2I2I2", table.unpack(bits)), 7)
    t.equal(halves, {1, -2, 2.0 ^ -24, 1023 * 2.0 ^ -24, 65504, math.huge, -0.0})
    t.equal(dtype, "float32")
    t.is_true(one("F16", "\0\x7e", 1)[1] ~= one("F16", "\0\x7e", 1)[1])
    t.equal(one("BF16", string.pack("<I2I2", 0x3f80, 0xc040), 2), {1, -3})
    t.equal({one("I8", "\x80\x7f", 2)}, {{-128, 127}, "int64"})
    t.equal({one("U8", "\x80\xff", 2)}, {{128, 255}, "uint8"})
    t.equal(one("I16", string.pack("<i2", -300), 1), {-300})
    t.equal(one("U16", string.pack("<I2", 65535), 1), {65535})
    t.equal(one("I32", string.pack("<i4i4", -2 ^ 31 | 0, 5), 2), {-2 ^ 31 | 0, 5})
    t.equal(one("U32", string.pack("<I4", 2 ^ 32 - 1 | 0), 1), {2 ^ 32 - 1 | 0})
    t.equal(one("U64", string.pack("<I8", math.maxinteger), 1), {math.maxinteger})
    t.equal(one("BOOL", "\0\1\2", 3), {false, true, true})
    put('{"x":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}', ("\xff"):rep(8))
    t.raises("x holds a number above 2^63 - 1, which int64 has not", load, path)
end)

t.case("floats are written as BF16 and F16: to the nearest, halves to even, of either type and in row order", function()
    local function numbers(dtype, list, from)
        local x = attn.tensor(list, {dtype = from})
        save(path, {x = x, y = attn.tensor{true}}, nil, {dtype = dtype})
        local header, bytes = string.unpack("<s8", read())
        t.is_true(header:find('"x":{"dtype":"' .. dtype:upper() .. '","shape":[' .. #list .. '],"data_offsets":[0,', 1, true))
        local got = {string.unpack("<" .. ("I2"):rep(#list), read(), bytes)}
        got[#got] = nil -- the place after them
        return got
    end
    local function bits(dtype, list, expected)
        for _, from in ipairs{"float32", "float64"} do
            local got = numbers(dtype, list, from)
            for i, x in ipairs(expected) do t.equal(("%04x"):format(got[i]), ("%04x"):format(x), dtype .. " " .. list[i]) end
        end
    end
    local inf = math.huge
    bits("bf16", {1, -3, 1 + 2 ^ -8, 1 + 3 * 2 ^ -8, 1 + 2 ^ -8 + 2 ^ -20, 2 - 2 ^ -9, 0.0, -0.0, inf, -inf},
        {0x3f80, 0xc040, 0x3f80, 0x3f82, 0x3f81, 0x4000, 0, 0x8000, 0x7f80, 0xff80})
    bits("bf16", {2.0 ^ -126, 2.0 ^ -133, 2.0 ^ -134, 3 * 2.0 ^ -134, 2.0 ^ 127 * (2 - 2 ^ -7), 2.0 ^ 127 * (2 - 2 ^ -9)},
        {0x0080, 0x0001, 0x0000, 0x0002, 0x7f7f, 0x7f80})
    bits("f16", {1, -2, 2.0 ^ -24, 2.0 ^ -25, 3 * 2.0 ^ -25, 1023 * 2.0 ^ -24, 2.0 ^ -14, 65504, 65519, 65520, 1e30, -inf},
        {0x3c00, 0xc000, 0x0001, 0, 2, 0x03ff, 0x0400, 0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00})
    t.equal(numbers("f16", {1 + 2 ^ -11 + 2 ^ -40}, "float64"), {0x3c01}) -- not by way of float32, which would give the half
    for dtype, quiet in pairs{bf16 = 0x7fc0, f16 = 0x7e00} do
        t.equal(numbers(dtype, {0 / 0})[1] & 0x7fff, quiet)
    end
    local x = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    save(path, {x = x:transpose(1, 2), n = attn.tensor({7}, {dtype = "int64"})}, {k = "v"}, {dtype = "bf16"})
    local got, metadata = load(path)
    t.equal({got.x:totable(), got.x.dtype, got.n:totable(), got.n.dtype, metadata},
        {x:transpose(1, 2):contiguous():totable(), "float32", {7}, "int64", {k = "v"}})
    t.raises("dtype is the string 'float8', expected \"bf16\" or \"f16\"", save, path, {x = x}, nil, {dtype = "float8"})
    t.raises("safetensors.save: unknown option the string 'type' (known: dtype)", save, path, {x = x}, nil, {type = "bf16"})
    t.raises("safetensors.save: options is 3, expected a table {dtype =}", save, path, {x = x}, nil, 3)
end)

t.case("a file cut off at any byte is refused", function()
    save(path, {a = attn.tensor{1, 2, 3}, b = attn.tensor{true}}, {k = "v"})
    local bytes = read()
    for n = 0, #bytes - 1 do
        write(bytes:sub(1, n))
        t.is_true(not pcall(load, path), "cut at byte " .. n)
    end
    write(bytes .. "\0")
    t.raises("the tensors take 13 bytes, the file has 14", load, path)
end)

t.case("a file with any byte changed is an error or loads", function()
    save(path, {a = attn.tensor{1, 2, 3}, b = attn.tensor{true}}, {k = "v"})
    local bytes = read()
    for n = 1, #bytes do
        for _, c in ipairs{"\0", "\xff", '"', "9", "-", "{", "]", "\\"} do
            write(bytes:sub(1, n - 1) .. c .. bytes:sub(n + 1))
            pcall(load, path)
        end
    end
end)

t.case("a length of the header that the file does not have", function()
    for _, n in ipairs{0, 1, 3, 1000, 100000001, 2 ^ 31 | 0, 2 ^ 53 | 0, math.maxinteger, -1, -8} do
        write(string.pack("<i8", n) .. "{}")
        t.raises("not a safetensors file", load, path)
    end
    write("")
    t.raises("the file is empty", load, path)
    write("1234567")
    t.raises("the file has 7 bytes: not a safetensors file", load, path)
end)

t.case("a file of torch.save, a pickle: what it is, and what to do", function()
    write("PK\3\4" .. ("\0"):rep(100))
    t.raises("a zip file, as torch.save and numpy.savez write, not a safetensors file (in Python: safetensors.torch.save_file(", load, path)
    write("\x80\2}q\0K\1K\2s.")
    t.raises("a Python pickle, as torch.save wrote, not a safetensors file", load, path)
end)

t.case("hostile numbers in shape and data_offsets", function()
    for _, x in ipairs{
        "-1", "1e0", "2.0", "9007199254740993", "9223372036854775807", "9223372036854775808", "1e999", "null", '"2"',
        "true", "[2]", "-9223372036854775808", "18446744073709551616",
    } do
        put('{"x":{"dtype":"F32","shape":[' .. x .. '],"data_offsets":[0,8]}}', ("\0"):rep(8))
        t.is_true(not pcall(load, path), "shape " .. x)
        put('{"x":{"dtype":"F32","shape":[2],"data_offsets":[' .. x .. ',8]}}', ("\0"):rep(8))
        t.is_true(not pcall(load, path), "begin " .. x)
        put('{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,' .. x .. ']}}', ("\0"):rep(8))
        t.is_true(not pcall(load, path), "end " .. x)
    end
    local large = "4294967296"      -- products wrap to 0 or to what the file has
    for _, shape in ipairs{
        large .. "," .. large, large .. "," .. large .. ",2", "9007199254740992,2048", "9007199254740992,2049",
        "0," .. large .. "," .. large, "2305843009213693952",
    } do
        put('{"x":{"dtype":"F32","shape":[' .. shape .. '],"data_offsets":[0,0]}}')
        t.is_true(not pcall(load, path), shape)
    end
end)

t.case("each rule of the header", function()
    local eight = ("\0"):rep(8)
    local function x(dtype, shape, offsets)
        return ('"x":{"dtype":"%s","shape":[%s],"data_offsets":[%s]}'):format(dtype, shape, offsets)
    end
    refused("does not begin with '{'", " {}")
    refused("does not begin with '{'", "[1]")
    refused("not valid JSON", "{" .. x("F32", "2", "0,8"), eight)
    refused("a name appears twice", "{" .. x("F32", "2", "0,8") .. "," .. x("F32", "2", "0,8") .. "}", eight)
    refused("a name appears twice", '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"dtype":"F32"}}', eight)
    refused("byte 0", "{}\0\0")
    refused("byte 0", '{"x":1\0}')
    refused("not valid JSON", '{"\xff":1}')
    refused("not described by dtype, shape and data_offsets", '{"x":3}')
    refused("not described by dtype, shape and data_offsets", '{"x":{"dtype":"F32","shape":[2]}}', eight)
    refused("not described by dtype, shape and data_offsets",
            '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}}', eight)
    refused("has the dtype 'F8_E4M3', which is not supported", "{" .. x("F8_E4M3", "8", "0,8") .. "}", eight)
    refused("has the dtype '?', which is not supported", "{" .. x("\\u0001", "8", "0,8") .. "}", eight)
    refused("has 9 dimensions, expected at most 8", "{" .. x("F32", "1,1,1,1,1,1,1,1,2", "0,8") .. "}", eight)
    refused("data_offsets has 3 entries, expected 2", "{" .. x("F32", "2", "0,8,8") .. "}", eight)
    refused("does not take the bytes", "{" .. x("F32", "3", "0,8") .. "}", eight)
    refused("does not take the bytes", "{" .. x("F32", "2", "8,0") .. "}", eight)
    refused("begins at byte 1 of the data, expected 0", "{" .. x("U8", "7", "1,8") .. "}", eight)
    refused("the tensors take 4 bytes, the file has 8", "{" .. x("F32", "1", "0,4") .. "}", eight)
    refused("begins at byte 2 of the data, expected 4",
            "{" .. x("U8", "4", "0,4") .. ',"y":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}}', eight)
    refused("the name of a tensor is empty", '{"":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}', eight)
    refused("control characters", '{"a\\nb":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}', eight)
    refused("longer than 1024", '{"' .. ("a"):rep(1025) .. '":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}', eight)
    refused("__metadata__ is not an object", '{"__metadata__":[]}')
    refused("__metadata__ has a value that is not a string", '{"__metadata__":{"a":1}}')
    refused("nested more than 32 deep", '{"x":' .. ("["):rep(40) .. ("]"):rep(40) .. "}")
    refused("nested more than 32 deep", "{" .. ('"x":{'):rep(50000))
    refused("too many values", '{"x":[' .. ("0,"):rep(5000000) .. "0]}")
    refused("too many values", '{"x":[' .. ("{},"):rep(1000000) .. "{}]}")
end)

t.case("as many tensors as are allowed, and one more", function()
    local tensors, one = {}, attn.tensor(1)
    for k = 1, 100000 do tensors[("tensor %06d"):format(k)] = one end
    save(path, tensors)
    local n = 0
    for _ in pairs((load(path))) do n = n + 1 end
    t.equal(n, 100000)
    tensors.more = one
    t.raises("100001 tensors, expected at most 100000", save, path, tensors)
end)

t.case("an empty tensor may share its place with a neighbour", function()
    put('{"e":{"dtype":"F32","shape":[0,5],"data_offsets":[4,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        .. '"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', string.pack("<ff", 1, 2))
    local got = load(path)
    t.equal({got.e.shape, got.a:item(), got.b:item()}, {{0, 5}, 1, 2})
end)

t.case("what is no file", function()
    t.raises("No such file", load, path .. ".none")
    t.raises("not a regular file", load, "/")
    t.raises("not a regular file", load, "/dev/zero")
    t.raises("path is 3, expected a string", load, 3)
    t.raises("byte 0", load, "a\0b")
end)

t.case("what cannot be saved", function()
    t.raises("tensors is nil, expected a table of tensors", save, path)
    t.raises("tensors['a'] is 3, expected a tensor", save, path, {a = 3})
    t.raises("a name in tensors is 1", save, path, {attn.ones(1)})
    t.raises("cannot be the name of a tensor", save, path, {["__metadata__"] = attn.ones(1)})
    t.raises("cannot be the name of a tensor", save, path, {["a\nb"] = attn.ones(1)})
    t.raises("cannot be the name of a tensor", save, path, {["\xff"] = attn.ones(1)})
    t.raises("metadata['k'] is 1, expected a string", save, path, {}, {k = 1})
    t.raises("metadata 'k' is not valid UTF-8", save, path, {}, {k = "\xff"})
    local freed = attn.ones(1)
    freed:free()
    t.raises("tensor was freed", save, path, {a = freed})
end)

t.case("a place that cannot be written leaves the old file whole", function()
    save(path, {a = attn.tensor{1}})
    local bytes = read()
    t.raises("cannot be written", save, path .. "/x", {a = attn.ones(1)})
    t.raises("cannot be written", save, path .. ".none/x", {a = attn.ones(1)})
    t.raises("not a regular file", save, "/dev/full", {a = attn.ones(1)})
    t.raises("not a regular file", save, "/tmp", {a = attn.ones(1)})
    t.equal(read(), bytes)
end)

t.case("a disk that fills up leaves the old file whole and nothing beside it", function()
    save(path, {a = attn.tensor{1}})
    local bytes = read()
    -- a limit of 8 KiB or so on the size of files stands for the full disk
    local script = ([[local attn = require "attn"
        local ok, e = pcall(attn.safetensors.save, "%s", {a = attn.zeros(100000)})
        os.exit(not ok and e:find("cannot be written") and 7 or 1)]]):format(path)
    local _, _, code = os.execute("trap '' XFSZ; ulimit -f 8; \"$(readlink /proc/$PPID/exe)\" -e '" .. script .. "'")
    t.equal(code, 7)
    t.equal(read(), bytes)
    local left = io.popen("ls -a \"$(dirname " .. path .. ")\" | grep -F \"$(basename " .. path .. ")\"")
    t.equal(left:read("a"), path:match("[^/]+$") .. "\n")
    left:close()
end)

t.case("what a dead process left is removed, a symbolic link stays one, the mode is kept", function()
    local folder, name = path:match("^(.*)/([^/]+)$")
    local stale = folder .. "/." .. name .. ".999999999.tmp"
    assert(io.open(stale, "w")):close()
    os.execute("chmod 640 " .. path .. "; ln -sf " .. path .. " " .. path .. ".link")
    save(path .. ".link", {a = attn.tensor{2}})
    t.equal(io.open(stale), nil)
    t.equal(load(path).a:item(), 2)
    local look = io.popen("stat -c %a " .. path .. "; readlink " .. path .. ".link")
    t.equal(look:read("a"), "640\n" .. path .. "\n")
    look:close()
    os.remove(path .. ".link")
end)

t.case("saving through a link whose file is missing makes that file, and the link stays", function()
    local name = path:match("[^/]+$")
    os.execute(("mkdir -p %s.d && ln -sf %s.d/second %s.link && ln -sf ../%s.target %s.d/second"):format(path, name, path,
        name, path))
    save(path .. ".link", {a = attn.tensor{3}})
    t.equal(load(path .. ".target").a:item(), 3)
    save(path .. ".link", {a = attn.tensor{4}})
    t.equal(load(path .. ".target").a:item(), 4)
    local look = io.popen(("readlink %s.link %s.d/second"):format(path, path))
    t.equal(look:read("a"), name .. ".d/second\n../" .. name .. ".target\n")
    look:close()
    os.execute(("ln -sf %s.link %s.link"):format(name, path))
    t.raises("cannot be written", save, path .. ".link", {a = attn.ones(1)})
    os.execute(("ln -sfn %s.nowhere/file %s.link"):format(name, path))
    t.raises("cannot be written: No such file", save, path .. ".link", {a = attn.ones(1)})
    os.execute(("rm -r %s.link %s.target %s.d"):format(path, path, path))
end)

t.case("the test's file is removed", function() t.is_true(os.remove(path)) end)
