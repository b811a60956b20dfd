-- npy: round trips, files as NumPy writes them, and malformed ones.
local attn, t = require "attn", require "attn.test"

local file = dofile((arg[0]:match("^(.*)/") or ".") .. "/file.lua")
local path, write, read = file.path, file.write, file.read

local function put(dictionary, numbers, version)
    version = version or 1
    write("\x93NUMPY" .. string.char(version, 0) .. string.pack(version == 1 and "<I2" or "<I4", #dictionary)
          .. dictionary .. (numbers or ""))
end

local function dictionary(descr, fortran, shape)
    return ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"):format(descr, fortran and "True" or "False", shape)
end

t.case("tensors of every dtype and shape come back as they were", function()
    for _, x in ipairs{
        attn.tensor{{1.5, -2}, {0, 1 / 0}}, attn.tensor({1e-300}, {dtype = "float64"}), attn.tensor(3),
        attn.zeros(2, 0), attn.tensor({2 ^ 40 | 0}, {dtype = "int64"}), attn.tensor{true, false},
        attn.randn(2, 3, 4):transpose(1, 3),
    } do
        attn.npy.save(path, x)
        local y = attn.npy.load(path)
        t.equal(y.dtype, x.dtype)
        t.equal(y.shape, x.shape)
        if #x.shape == 0 then t.equal(y:item(), x:item()) else t.equal(y:totable(), x:contiguous():totable()) end
    end
end)

t.case("what is written is version 1.0, aligned to 64", function()
    attn.npy.save(path, attn.tensor{{1, 2, 3}, {4, 5, 6}})
    local bytes = read()
    t.equal(bytes:sub(1, 10), "\x93NUMPY\1\0\x76\0")
    t.equal(bytes:sub(11, 128), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" .. (" "):rep(58) .. "\n")
    t.equal(bytes:sub(129), string.pack("<ffffff", 1, 2, 3, 4, 5, 6))
    attn.npy.save(path, attn.tensor{1})
    t.is_true(read():find("'shape': (1,), }", 1, true))
    attn.npy.save(path, attn.tensor(1))
    t.is_true(read():find("'shape': (), }", 1, true))
end)

t.case("other types, orders and versions", function()
    local function one(descr, format, ...)
        put(dictionary(descr, false, "(" .. select("#", ...) .. ",)"), string.pack(format, ...))
        return attn.npy.load(path):totable()
    end
    t.equal(one("<f2", "<I2I2", 0x3c00, 0xc000), {1, -2})
    t.equal(one(">f4", ">ff", 1.5, -2), {1.5, -2})
    t.equal(one(">f8", ">d", 0.1), {0.1})
    t.equal(one(">i2", ">i2i2", -300, 5), {-300, 5})
    t.equal(one("<i4", "<i4", -7), {-7})
    t.equal(one("|i1", "b", -7), {-7})
    t.equal(one("|u1", "B", 255), {255})
    t.equal(one("<u4", "<I4", 4294967295), {4294967295})
    t.equal(one("|b1", "BB", 0, 1), {false, true})
    put(dictionary("<f8", true, "(2, 3)"), string.pack("<dddddd", 1, 4, 2, 5, 3, 6))
    t.equal(attn.npy.load(path):totable(), {{1, 2, 3}, {4, 5, 6}})
    put(dictionary("<f8", true, "(1, 2, 2)"), string.pack("<dddd", 1, 3, 2, 4), 2)
    t.equal(attn.npy.load(path):totable(), {{{1, 2}, {3, 4}}})
    put('{"shape":(2 ,),\n"fortran_order":False,"descr":"<f4"}', string.pack("<ff", 1, 2), 3)
    t.equal(attn.npy.load(path):totable(), {1, 2})
end)

t.case("a file cut off at any byte is refused", function()
    attn.npy.save(path, attn.tensor{{1, 2}, {3, 4}})
    local bytes = read()
    for n = 0, #bytes - 1 do
        write(bytes:sub(1, n))
        t.is_true(not pcall(attn.npy.load, path), "cut at byte " .. n)
    end
    write(bytes .. "\0")
    t.raises("the file has 17 bytes of numbers, which is not what shape [2, 2] needs", attn.npy.load, path)
    for n = 1, 128 do
        for _, c in ipairs{"\0", "\xff", "'", "9", "(", ")", ",", "}"} do
            write(bytes:sub(1, n - 1) .. c .. bytes:sub(n + 1))
            pcall(attn.npy.load, path)
        end
    end
end)

t.case("each rule of the header", function()
    local eight = ("\0"):rep(8)
    local function refused(message, dict, numbers, version)
        put(dict, numbers or eight, version)
        t.raises(message, attn.npy.load, path)
    end
    refused("Python objects, which are not loaded", dictionary("|O", false, "(1,)"))
    refused("Python objects, which are not loaded", dictionary("O", false, "(1,)"))
    refused("holds records, which are not loaded", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }")
    for _, descr in ipairs{"<U3", "|S8", "<c8", "|V8", "f4", "<f16", "", "<", "<f", "<f44"} do
        refused("is not supported", dictionary(descr, false, "(2,)"))
    end
    refused("npy version 4.0 is not known", dictionary("<f4", false, "(2,)"), nil, 4)
    refused("npy version 0.0 is not known", dictionary("<f4", false, "(2,)"), nil, 0)
    local message = "the header is no dictionary of descr, fortran_order and a shape"
    refused(message, "{}")
    refused(message, "{'descr': '<f4', 'shape': (2,), }")
    refused(message, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }")
    refused(message, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1, }")
    refused(message, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }")
    refused(message, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x")
    refused(message, "{'descr': '<f\n', 'fortran_order': False, 'shape': (2,), }")
    for _, shape in ipairs{
        "2", "(-2,)", "(2.0,)", "(2", "(,)", "(1, 1, 1, 1, 1, 1, 1, 1, 2)", "(99999999999999999999,)", "(2 2)",
    } do
        refused(message, dictionary("<f4", false, shape))
    end
    for _, shape in ipairs{
        "(3,)", "(4294967296, 4294967296)", "(9007199254740992,)", "(0, 4294967296, 4294967296)", "()", "(1,)",
    } do
        refused("which is not what shape", dictionary("<f4", false, shape))
    end
    write("\x93NUMPY\2\0" .. string.pack("<I4", 2 ^ 31 | 0) .. "{}")
    t.raises("the header would be 2147483648 bytes long", attn.npy.load, path)
    write("\x93NUMPX\1\0\0\0 {}")
    t.raises("not an npy file", attn.npy.load, path)
    put((" "):rep(20000))
    t.raises("the header would be 20000 bytes long", attn.npy.load, path)
    t.raises("No such file", attn.npy.load, path .. ".none")
    t.raises("npy.save: t is 3, expected a tensor", attn.npy.save, path, 3)
    t.raises("cannot be written", attn.npy.save, path .. "/x", attn.ones(1))
end)

t.case("the test's file is removed", function() t.is_true(os.remove(path)) end)
