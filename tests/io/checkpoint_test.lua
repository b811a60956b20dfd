-- attn.save and attn.load: every kind of value comes back as it was, what cannot be saved is named, damage is an error.
local attn, t = require "attn", require "attn.test"

local file = dofile((arg[0]:match("^(.*)/") or ".") .. "/file.lua")
local path = file.path

local function round(value)
    attn.save(path, {value = value})
    return attn.load(path).value
end

t.case("numbers keep their kind and every bit", function()
    for _, x in ipairs{0, 1, -1, math.maxinteger, math.mininteger, 2 ^ 53 | 0} do
        local y = round(x)
        t.equal(y, x)
        t.equal(math.type(y), "integer")
    end
    for _, x in ipairs{0.0, 1.0, 0.1, -1 / 3, 1e300, 5e-324, 2.0 ^ 63, 1e15, 1e16, 123456789.0, 1 / 0, -1 / 0} do
        local y = round(x)
        t.is_true(y == x, tostring(x))
        t.equal(math.type(y), "float")
    end
    t.equal(1 / round(-0.0), -1 / 0)
    local nan = round(0 / 0)
    t.is_true(nan ~= nan and math.type(nan) == "float")
end)

t.case("numbers do not depend on the locale", function()
    local old = os.setlocale()
    if not os.setlocale("de_DE.UTF-8") and not os.setlocale("de_DE") then t.skip("no locale with a decimal comma") end
    local y = round(1.5)
    os.setlocale(old)
    t.equal(y, 1.5)
end)

t.case("strings of any bytes, booleans, nested tables and lists", function()
    local all = {}
    for k = 0, 255 do all[k + 1] = string.char(k) end
    local value = {
        text = "naïve \"x\" \\ \n\t\1\127", bytes = table.concat(all), empty = "", yes = true, no = false, none = {},
        list = {1, "two", {3, {four = 4.0}}, false}, ["key with \0 and \xff"] = {[""] = 1, ["a.b"] = 2, ["1"] = 3},
    }
    local got = round(value)
    t.equal(got, value)
    t.equal(math.type(got.list[3][2].four), "float")
    t.equal(round("\0"), "\0")
end)

t.case("tensors anywhere, also where their paths are the same or no text", function()
    local value = {
        a = {["b.c"] = attn.tensor{1}, b = {c = attn.tensor{2}}}, list = {attn.tensor{3}, attn.tensor{true}},
        ["\xff"] = attn.tensor({5}, {dtype = "int64"}), ["tensor 3"] = attn.tensor{6}, ["\n"] = attn.tensor{7},
        [("long"):rep(300)] = attn.tensor{8}, [""] = attn.tensor{9},
    }
    attn.save(path, value)
    local got = attn.load(path)
    t.equal(got, value)
    t.equal(got["\xff"].dtype, "int64")
    t.equal(got.list[2].dtype, "bool")
    attn.save(path, {["__metadata__"] = attn.tensor{1}})
    t.equal(attn.load(path)["__metadata__"]:totable(), {1})
end)

t.case("modules, layers and optimizers become their state", function()
    local Model = attn.module "Model"
    function Model:init()
        self.a = attn.layer.linear{inputs = 3, outputs = 2}
        self.list = {attn.layer.linear{inputs = 2, outputs = 2, bias = false}}
        self.scale = attn.ones(2):requires_grad_(true)
    end
    local model = Model()
    local optimizer = attn.optim.adam{params = model:parameters()}
    model.a(attn.randn(4, 3)):sum():backward()
    optimizer:step()
    attn.save(path, {model = model, optimizer = optimizer, layer = model.a, step = 7, random = attn.random_state()})
    local saved = attn.load(path)
    t.equal(saved.step, 7)
    t.equal(saved.random, attn.random_state())
    local names = {}
    for name in pairs(saved.model) do names[#names + 1] = name end
    table.sort(names)
    t.equal(names, {"a.bias", "a.weight", "list.1.weight", "scale"})
    local other = Model()
    other:load(saved.model)
    for name, x in pairs(other:state()) do t.equal(x:totable(), model:state()[name]:totable()) end
    t.equal(saved.layer.weight:totable(), model.a.weight:totable())
    local again = attn.optim.adam{params = other:parameters()}
    again:load(saved.optimizer)
    t.equal(again:state(), optimizer:state())
end)

t.case("what cannot be saved is named by its path, and the old file stays", function()
    attn.save(path, {keep = 1})
    t.raises("save: argument 2 is nil, expected a table", attn.save, path)
    t.raises("save: a.b.2: a function cannot be saved", attn.save, path, {a = {b = {1, print}}})
    t.raises("save: x: a thread cannot be saved", attn.save, path, {x = coroutine.create(print)})
    t.raises("save: f: a userdata cannot be saved", attn.save, path, {f = io.stdout})
    t.raises("save: m: a table has both names and numbers as keys", attn.save, path, {m = {1, x = 2}})
    t.raises("a key is 1.5", attn.save, path, {m = {[1.5] = 2}})
    t.raises("a key is true", attn.save, path, {m = {[true] = 2}})
    t.is_true(not pcall(attn.save, path, {m = {[2] = 1}}))
    t.is_true(not pcall(attn.save, path, {m = {1, nil, 3, nil, nil, 6}}))
    t.raises("a key is 0", attn.save, path, {m = {[0] = 1}})
    local circle = {}
    circle.self = circle
    t.raises("nested more than 64 deep, or in a circle", attn.save, path, circle)
    local freed = attn.ones(1)
    freed:free()
    t.raises("save: x: tensor was freed", attn.save, path, {x = freed})
    t.equal(attn.load(path), {keep = 1})
end)

t.case("tables as deep as saving allows can be loaded", function()
    local top = {}
    local at = top
    for _ = 1, 63 do
        at.x = {}
        at = at.x
    end
    attn.save(path, top)
    t.equal(attn.load(path), top)
end)

t.case("equal tables give equal files", function()
    local function bytes(value)
        attn.save(path, value)
        local f = assert(io.open(path, "rb"))
        local all = f:read("a")
        f:close()
        return all
    end
    local a, b = {}, {}
    for k = 1, 50 do a["k" .. k] = k end
    for k = 50, 1, -1 do b["k" .. k] = k end
    t.is_true(bytes(a) == bytes(b))
end)

t.case("a damaged or foreign file is an error", function()
    attn.safetensors.save(path, {a = attn.ones(1)})
    t.raises("not a file of attn.save", attn.load, path)
    for _, tree in ipairs{
        "", "3", "nul", '"x"', "[", '{"table":[1]}', '{"table":[1,2]}', '{"table":["a",null]}', '{"a":1,"b":2}', "{}",
        '["x",{"tensor":"none"}]', '[{"bytes":"0"}]', '[{"bytes":"0x"}]', '[{"bytes":"FF"}]', '[{"number":"1"}]',
        '[{"number":1}]', '[{"tensor":1}]', '[{"tensor":[]}]', "[null]", "[1e999]", "[99999999999999999999]",
        ("["):rep(100) .. ("]"):rep(100), ("["):rep(100000), '[{"code":"os.exit()"}]', '{"table":{"a":1}}',
    } do
        attn.safetensors.save(path, {a = attn.ones(1)}, {attn = tree})
        t.raises("load: ", attn.load, path)
        t.raises("the tree of values is damaged", attn.load, path)
    end
    attn.save(path, {a = attn.ones(2), b = {1, "x"}})
    local f = assert(io.open(path, "rb"))
    local bytes = f:read("a")
    f:close()
    for n = 0, #bytes - 1 do
        f = assert(io.open(path, "wb"))
        f:write(bytes:sub(1, n))
        f:close()
        t.is_true(not pcall(attn.load, path))
    end
end)

-- A file with the bytes given, read by fn.
local function with(bytes, fn)
    local f = assert(io.open(path, "wb"))
    f:write(bytes)
    f:close()
    return pcall(fn, path)
end

t.case("any changed byte is an error: the checksum is of the whole file, the header too", function()
    attn.save(path, {a = attn.tensor{1, 2, 3}, deep = {text = "word", n = 12, yes = true}, step = 345})
    local f = assert(io.open(path, "rb"))
    local bytes = f:read("a")
    f:close()
    for i = 1, #bytes do
        for _, flip in ipairs{1, 2, 32} do
            local bad = bytes:sub(1, i - 1) .. string.char(bytes:byte(i) ~ flip) .. bytes:sub(i + 1)
            local ok, got = with(bad, attn.load)
            t.is_true(not ok, ("byte %d, ~ %d"):format(i, flip))
        end
    end
    local ok, e = with(bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1), attn.load)
    t.is_true(not ok and e:find("load: " .. path .. ": its checksum is ", 1, true), e)
    ok, e = with(bytes:gsub("attn%.crc32", "attn.crc33"), attn.load)
    t.is_true(not ok and e:find("it has no checksum", 1, true), e)
    ok, e = with(bytes:gsub('("attn%.crc32":")', "%1\\u00"), attn.load)
    t.is_true(not ok, e)
    t.is_true(with(bytes, attn.load))
end)

t.case("files without a checksum load; one that is edited by safetensors.load and save has the right one", function()
    attn.save(path, {a = attn.tensor{1, 2, 3}})
    local tensors, metadata = attn.safetensors.load(path)
    tensors.a = attn.tensor{4, 5}
    attn.safetensors.save(path, tensors, metadata)
    t.equal(attn.load(path).a:totable(), {4, 5})
    t.is_true(select(2, attn.safetensors.load(path))["attn.crc32"] ~= metadata["attn.crc32"])
    metadata["attn.crc32"], metadata.format = nil, "attn checkpoint 1"      -- as attn 0.1 wrote them
    attn.safetensors.save(path, tensors, metadata)
    t.equal(attn.load(path).a:totable(), {4, 5})
    -- a field of this name in what another wrote is no checksum unless it is one of __metadata__
    attn.safetensors.save(path, {["attn.crc32"] = attn.ones(1), [',"attn.crc32":"'] = attn.ones(1)}, {x = '{"attn.crc32":"'})
    t.equal(attn.safetensors.load(path)["attn.crc32"]:item(), 1)
    attn.safetensors.save(path, {x = attn.ones(2, 3):transpose(1, 2)}, {['{"attn.crc32":"'] = "x", ["attn.crc32"] = "wrong"})
    t.equal(attn.safetensors.load(path).x.shape, {3, 2})
end)

t.case("the test's file is removed", function() t.is_true(os.remove(path)) end)
