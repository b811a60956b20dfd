-- attn.image: pictures of every kind, written by hand here, and hostile files.
local attn, t = require "attn", require "attn.test"

local file = dofile((arg[0]:match("^(.*)/") or ".") .. "/file.lua")
local path, write, read = file.path, file.write, file.read

-- ---- a writer of PNG files: stored blocks, so that no compression is needed ----

local crc_table = {}
for n = 0, 255 do
    local c = n
    for _ = 1, 8 do c = c & 1 == 1 and 0xedb88320 ~ c >> 1 or c >> 1 end
    crc_table[n] = c
end

local function crc(bytes)
    local c = 0xffffffff
    for i = 1, #bytes do c = crc_table[(c ~ bytes:byte(i)) & 255] ~ c >> 8 end
    return c ~ 0xffffffff
end

local function adler(bytes)
    local a, b = 1, 0
    for i = 1, #bytes do
        a = (a + bytes:byte(i)) % 65521
        b = (b + a) % 65521
    end
    return b << 16 | a
end

local function zlib(bytes)
    local parts = {"\x78\x01"}
    for at = 1, #bytes, 65535 do
        local part = bytes:sub(at, at + 65534)
        parts[#parts + 1] = string.pack("<BI2I2", at + 65535 > #bytes and 1 or 0, #part, ~#part & 0xffff) .. part
    end
    return table.concat(parts) .. string.pack(">I4", adler(bytes))
end

local function chunk(name, bytes) return string.pack(">I4", #bytes) .. name .. bytes .. string.pack(">I4", crc(name .. bytes)) end

local SIGNATURE = "\137PNG\r\n\26\n"
local function header(width, height, depth, kind, interlace)
    return chunk("IHDR", string.pack(">I4I4BBBBB", width, height, depth, kind, 0, 0, interlace or 0))
end

-- rows: strings of bytes as they stand in the file; between: further parts before the picture
local function png(width, height, depth, kind, rows, between)
    local data = {}
    for i, row in ipairs(rows) do data[i] = "\0" .. row end
    return SIGNATURE .. header(width, height, depth, kind) .. (between or "") .. chunk("IDAT", zlib(table.concat(data))) .. chunk("IEND", "")
end

local function load(bytes)
    write(bytes)
    return attn.image.load(path)
end

local GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6

t.case("samples of every depth are v / (2^b - 1)", function()
    t.near(load(png(10, 1, 1, GREY, {"\xa5\x40"})), {{{1, 0, 1, 0, 0, 1, 0, 1, 0, 1}}}, 0)
    t.near(load(png(4, 2, 2, GREY, {"\x1b", "\xe4"})), {{{0, 1 / 3, 2 / 3, 1}, {1, 2 / 3, 1 / 3, 0}}}, 1e-7)
    t.near(load(png(3, 1, 4, GREY, {"\x0f\x70"})), {{{0, 1, 7 / 15}}}, 1e-7)
    t.near(load(png(2, 1, 8, GREY, {"\x00\x80"})), {{{0, 128 / 255}}}, 1e-7)
    t.near(load(png(2, 1, 16, GREY, {"\x80\x01\xff\xff"})), {{{32769 / 65535, 1}}}, 1e-7)
    t.near(load(png(1, 1, 8, GREY_ALPHA, {"\x33\x66"})), {{{0.2}}, {{0.4}}}, 1e-7)
    t.near(load(png(2, 1, 8, RGB, {"\x00\x33\x66\x99\xcc\xff"})), {{{0, 0.6}}, {{0.2, 0.8}}, {{0.4, 1}}}, 1e-7)
    t.near(load(png(1, 1, 16, RGBA, {"\x00\x00\x33\x33\x66\x66\x99\x99"})), {{{0}}, {{0.2}}, {{0.4}}, {{0.6}}}, 1e-7)
    t.equal(load(png(1, 1, 8, GREY, {"\0"})).dtype, "float32")
end)

t.case("a palette gives 3 channels, 4 with transparency", function()
    local colours = chunk("PLTE", "\xff\x00\x00\x00\xff\x00")
    t.equal(load(png(2, 1, 1, PALETTE, {"\x40"}, colours)), {{{1, 0}}, {{0, 1}}, {{0, 0}}})
    t.equal(load(png(2, 1, 8, PALETTE, {"\0\1"}, colours .. chunk("tRNS", "\0"))), {{{1, 0}}, {{0, 1}}, {{0, 0}}, {{0, 1}}})
end)

t.case("texts, profiles and unknown extras are passed over", function()
    local extras = chunk("tEXt", "a\0b") .. chunk("zTXt", "a\0\0not compressed") .. chunk("iCCP", "x\0\0rubbish") .. chunk("gAMA", "\0")
        .. chunk("quUx", "what")
    t.equal(load(png(1, 1, 8, GREY, {"\xff"}, extras)), {{{1}}})
    t.equal(load(png(1, 1, 8, GREY, {"\xff"}) .. "more"), {{{1}}})
end)

t.case("what is saved comes back to the nearest of 256, cut to 0 and 1", function()
    for channels = 1, 4 do
        local x = attn.rand(channels, 5, 7)
        attn.image.save(path, x)
        t.near(attn.image.load(path), x, 0.5 / 255 + 1e-6)
        attn.image.save(path, x:to "float64":transpose(2, 3))
        t.equal(attn.image.load(path).shape, {channels, 7, 5})
        t.near(attn.image.load(path):transpose(2, 3), x, 0.5 / 255 + 1e-6)
    end
    attn.image.save(path, attn.tensor{{{-1, 2, 0 / 0, 1 / 0, -1 / 0, 0.499 / 255, 0.501 / 255}}})
    t.equal((attn.image.load(path) * 255):reshape(-1), {0, 255, 0, 255, 0, 0, 1})
end)

local good = png(3, 2, 8, RGB, {"abcdefghi", "jklmnopqr"})

t.case("a file that was cut off anywhere is an error", function()
    for n = 0, #good - 1 do
        write(good:sub(1, n))
        local ok, message = pcall(attn.image.load, path)
        t.is_true(not ok and message:find("image.load: " .. path, 1, true), n .. " bytes: " .. tostring(message))
    end
    t.equal(load(good).shape, {3, 2, 3})
end)

t.case("a byte that was changed anywhere is an error", function()
    for n = 1, #good do
        write(good:sub(1, n - 1) .. string.char(good:byte(n) ~ 0x10) .. good:sub(n + 1))
        local ok, message = pcall(attn.image.load, path)
        t.is_true(not ok and message:find("image.load: " .. path, 1, true), "byte " .. n .. ": " .. tostring(message))
    end
end)

t.case("rubbish behind a good checksum is an error, or a picture of the header's size", function()
    math.randomseed(7)
    for _ = 1, 2000 do
        local data = {}
        for i = 1, 40 do data[i] = string.char(math.random(0, 255)) end
        local kind, depth = math.random(0, 7), math.random(0, 17)
        write(SIGNATURE .. header(math.random(0, 9), math.random(0, 9), depth, kind, math.random(0, 1))
              .. (math.random(2) == 1 and chunk("PLTE", table.concat(data, "", 1, 3 * math.random(0, 12))) or "")
              .. chunk(math.random(3) == 1 and "tRNS" or "IDAT", table.concat(data)) .. chunk("IDAT", zlib(table.concat(data)))
              .. chunk("IEND", ""))
        local ok, x = pcall(attn.image.load, path)
        t.is_true(ok and x.shape[1] <= 4 or not ok and x:find("image.load: " .. path, 1, true))
    end
end)

t.case("a header of another part first, or twice, is an error", function()
    for _, bytes in ipairs{
        SIGNATURE .. chunk("quUx", ("x"):rep(13)) .. header(1, 1, 8, GREY) .. chunk("IDAT", zlib("\0a")) .. chunk("IEND", ""),
        SIGNATURE .. header(1, 1, 8, GREY) .. header(9, 9, 8, GREY) .. chunk("IDAT", zlib("\0a")) .. chunk("IEND", ""),
        SIGNATURE .. header(1, 1, 8, GREY) .. chunk("IEND", ""),
        SIGNATURE .. chunk("IEND", ""),
        png(2, 2, 8, GREY, {"ab"}), png(2, 1, 8, GREY, {"ab", "cd"}), png(1, 1, 8, PALETTE, {"\0"}),
        "\137PNG\r\n\26\n", "GIF89a....................", "",
    } do
        write(bytes)
        local ok, x = pcall(attn.image.load, path)
        t.is_true(ok and x:numel() == 1 or not ok and x:find("image.load: " .. path, 1, true), tostring(x))
    end
end)

t.case("sizes to 2^31 and bombs are errors that cost no memory", function()
    local before = attn.memory().live
    for _, size in ipairs{{0, 1}, {1, 0}, {0x7fffffff, 1}, {1, 0x7fffffff}, {0x7fffffff, 0x7fffffff}, {0xffffffff, 2}, {1000000, 1000000},
                          {1000001, 1}, {300000, 3000}, {70000, 70000}} do
        for _, depth in ipairs{1, 8, 16} do
            write(SIGNATURE .. header(size[1], size[2], depth, depth == 1 and GREY or RGBA) .. chunk("IDAT", zlib("\0abc")) .. chunk("IEND", ""))
            local ok, message = pcall(attn.image.load, path)
            t.is_true(not ok and message:find("image.load: " .. path, 1, true), tostring(message))
        end
    end
    t.raises("the header says 70000 x 70000 pixels, more than 72 bytes can hold", attn.image.load, path)
    -- enough bytes for the header, more numbers than are taken
    write(SIGNATURE .. header(65536, 65536, 1, GREY) .. chunk("IDAT", ("\0"):rep(600000)))
    t.raises("65536 x 65536 pixels of 1 channels, expected at most 268435456 numbers", attn.image.load, path)
    t.is_true(attn.memory().live - before < 1 << 20)
end)

t.case("a picture that does not fit into memory leaves nothing behind", function()
    local internal = require "attn.internal"
    attn.image.save(path, attn.rand(3, 20, 30))
    attn.image.load(path)
    for k = 1, 60 do
        internal.fail_allocation(k)
        local ok, message = pcall(attn.image.load, path)
        internal.fail_allocation(0)
        t.is_true(ok or tostring(message):find("memory", 1, true), tostring(message))
        internal.fail_allocation(k)
        ok, message = pcall(attn.image.save, path .. ".2", attn.rand(3, 20, 30))
        internal.fail_allocation(0)
        t.is_true(ok or tostring(message):find("memory", 1, true), tostring(message))
    end
    os.remove(path .. ".2")
end)

t.case("errors", function()
    t.raises("image.save: x has shape [5, 2, 2], expected [1 to 4 channels, H, W]", attn.image.save, path, attn.zeros(5, 2, 2))
    t.raises("image.save: x has shape [2, 2], expected", attn.image.save, path, attn.zeros(2, 2))
    t.raises("image.save: x has shape [1, 0, 2], expected 1 to 1000000 rows and columns", attn.image.save, path, attn.zeros(1, 0, 2))
    t.raises("image.save: x is int64, expected float32 or float64", attn.image.save, path, attn.zeros(1, 2, 2, {dtype = "int64"}))
    t.raises("image.load: path is empty", attn.image.load, "")
    t.raises("image.load: /nowhere/x.png: cannot be read", attn.image.load, "/nowhere/x.png")
    t.raises("image.save: /nowhere/x.png: cannot be written", attn.image.save, "/nowhere/x.png", attn.zeros(1, 2, 2))
    write("not a picture at all, but long enough")
    t.raises("image.load: " .. path .. ": not a PNG file", attn.image.load, path)
end)

t.case("the test's file is removed", function() t.is_true(os.remove(path)) end)
