-- Padding, batches: every example once, the same order again, exact resumption at every place.
local attn, t = require "attn", require "attn.test"
local data = require "attn.data"

local function examples(count, seed)
    local draw, source, target = data.random(seed), {}, {}
    for i = 1, count do
        source[i], target[i] = {}, {}
        for k = 1, draw(12) do source[i][k] = 3 + draw(50) end
        for k = 1, draw(12) - 1 do target[i][k] = 3 + draw(50) end
    end
    return {source = source, target = target}
end

local function run(iterator)
    local list = {}
    for batch in iterator do list[#list + 1] = batch.index end
    return list
end

t.case("pad fills with 0 and gives lengths", function()
    local ids, lengths = data.pad{{5, 6, 7}, {}, {8}}
    t.equal(ids:totable(), {{5, 6, 7}, {0, 0, 0}, {8, 0, 0}})
    t.equal(lengths:totable(), {3, 0, 1})
    t.equal(ids.dtype, "int64")
    t.equal(data.pad{{}}:totable(), {{0}})
    t.raises("data.pad: lists is empty", data.pad, {})
    t.raises("data.pad: entry 2 is a number, expected a list of ids", data.pad, {{1}, 2})
end)

t.case("a batch has the ids, shifted in and out, and the lengths", function()
    local b = data.batches{fields = {source = {{4, 5}, {6}}, target = {{7}, {8, 9}}, class = {2, 1}},
        shift = {"target"}, size = 2, shuffle = false}
    local batch = b:epoch(1)()
    t.equal(batch.source:totable(), {{4, 5}, {6, 0}})
    t.equal(batch.source_lengths:totable(), {2, 1})
    t.equal(batch.target:totable(), {{7, 0}, {8, 9}})
    t.equal(batch.target_in:totable(), {{2, 7, 0}, {2, 8, 9}})
    t.equal(batch.target_out:totable(), {{7, 3, 0}, {8, 9, 3}})
    t.equal(batch.class:totable(), {2, 1})
    t.equal(batch.class.dtype, "int64")
    t.equal(batch.source_in, nil)
    t.equal(batch.index, {1, 2})
end)

t.case("an epoch inside another of the same batches ends, and the outer one goes on and says where it is", function()
    local b = data.batches{fields = {x = attn.arange(1, 6):to "float32"}, size = 2, seed = 1}
    local outer, inner = {}, 0
    for batch in b:epoch(2) do
        outer[#outer + 1] = batch.index
        if #outer == 2 then t.equal({b:state().epoch, b:state().position}, {2, 2}) end
        for _ in b:epoch(1) do inner = inner + 1 end
        if inner > 9 then break end
    end
    local alone = {}
    for batch in b:epoch(2) do alone[#alone + 1] = batch.index end
    t.equal({outer, inner}, {alone, 9})
end)

t.case("an epoch holds every example once, in batches of like length; others are in another order", function()
    local fields = examples(1000, 1)
    local b = data.batches{fields = fields, shift = {"target"}, size = 16, seed = 5}
    t.equal(#b, 63)
    local first = run(b:epoch(1))
    t.equal(#first, 63)
    local seen, spread = {}, 0
    for _, index in ipairs(first) do
        local low, high = math.huge, 0
        for _, i in ipairs(index) do
            t.equal(seen[i], nil)
            seen[i] = true
            low, high = math.min(low, #fields.source[i]), math.max(high, #fields.source[i])
        end
        spread = math.max(spread, high - low)
    end
    t.equal(#seen, 1000)
    t.equal(spread <= 2, true)
    t.equal(run(b:epoch(1)), first)
    local function differs(other)
        for k, index in ipairs(other) do
            for j, i in ipairs(index) do
                if first[k][j] ~= i then return true end
            end
        end
        return false
    end
    t.equal(differs(run(b:epoch(2))), true)
    t.equal(differs(run(data.batches{fields = fields, size = 16, seed = 6}:epoch(1))), true)
end)

t.case("resuming at any place gives the rest of the run", function()
    local fields = examples(50, 2)
    local function new() return data.batches{fields = fields, size = 8, seed = 3} end
    local whole, one = {}, new()
    local states = {[0] = one:state()}
    for n = 1, 2 do
        for batch in one:epoch(n) do
            whole[#whole + 1] = batch.index
            states[#whole] = one:state()
        end
    end
    for k = 0, #whole do
        local again, rest = new(), {}
        again:load(states[k])
        for n = math.max(1, states[k].epoch), 2 do
            for batch in again:epoch(n) do rest[#rest + 1] = batch.index end
        end
        t.equal(rest, table.move(whole, k + 1, #whole, 1, {}))
    end
    -- without numbers epochs count on, from the saved one
    local again, rest = new(), {}
    again:load(states[3])
    for batch in again:epoch() do rest[#rest + 1] = batch.index end
    t.equal(rest, table.move(whole, 4, 7, 1, {}))
    t.equal(again:epoch()().index, whole[8])
end)

t.case("a state of other data is refused", function()
    local b = data.batches{fields = {x = {{1}, {2}}}, size = 1}
    local state = b:state()
    state.count = 3
    t.raises("batches: saved with count = 3, this one has 2", b.load, b, state)
end)

t.case("wrong fields are named", function()
    t.raises("field 'size' is missing, expected an integer", data.batches, {fields = {x = {{1}}}})
    t.raises("unknown field 'sizes'", data.batches, {fields = {x = {{1}}}, size = 1, sizes = 2})
    t.raises("size is 1.5, expected an integer", data.batches, {fields = {x = {{1}}}, size = 1.5})
    t.raises("size is a string, expected an integer", data.batches, {fields = {x = {{1}}}, size = "1"})
    t.raises("field 'y' has 2 examples, field 'x' 1", data.batches, {fields = {x = {{1}}, y = {{1}, {2}}}, size = 1})
    t.raises("shift names 'z'", data.batches, {fields = {x = {{1}}}, shift = {"z"}, size = 1})
    t.raises("field 'x': entry 2 is a string", data.batches, {fields = {x = {{1}, "a"}}, size = 1})
end)

t.case("what is in a field that is wrong is named, with its place", function()
    t.raises("field 'x' is 3, expected a list of examples", data.batches, {fields = {x = 3}, size = 1})
    t.raises("field 'x' is float32 [], expected a list of examples", data.batches, {fields = {x = attn.tensor(1)}, size = 1})
    t.raises("fields has the key 1, expected names", data.batches, {fields = {{{1}}}, size = 1})
    t.raises("field 'x': entry 1 is a string, expected a list of ids or a number", data.batches, {fields = {x = {"a"}}, size = 1})
    for _, wrong in ipairs{{"a", "a string"}, {1.5, "1.5"}, {{1}, "a table"}, {true, "a boolean"}} do
        local b = data.batches{fields = {x = {{1}, {2, wrong[1]}}, y = {{1}, {2}}}, size = 2, shuffle = false}
        t.raises(("data.batches: field 'x': entry 2 has %s at place 2, expected an integer"):format(wrong[2]), b:epoch(1))
        t.raises(("data.pad: entry 1 has %s at place 1"):format(wrong[2]), data.pad, {{wrong[1]}})
    end
    t.equal(data.pad{{3.0}}:totable(), {{3}})
end)

t.case("split divides without loss, the same way each time", function()
    local list = {}
    for i = 1, 11 do list[i] = i end
    local a, b, c = data.split(list, {0.5, 0.25, 0.25}, 4)
    t.equal(#a + #b + #c, 11)
    local all = table.move(c, 1, #c, #a + #b + 1, table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {})))
    table.sort(all)
    t.equal(all, list)
    t.equal({data.split(list, {0.5, 0.25, 0.25}, 4)}, {a, b, c})
    t.raises("sum to 1.5", data.split, list, {1, 0.5})
end)

t.case("the generator is uniform enough and its streams differ", function()
    local draw, counts = data.random(1), {0, 0, 0, 0, 0}
    for _ = 1, 10000 do
        local k = draw(5)
        counts[k] = counts[k] + 1
    end
    for k = 1, 5 do t.equal(math.abs(counts[k] - 2000) < 200, true) end
    t.equal(data.random(1, 1)(1 << 40) ~= data.random(1, 2)(1 << 40), true)
    t.equal(data.random(1)(1 << 40) ~= data.random(2)(1 << 40), true)
    local x = data.random(9)()
    t.equal(x >= 0 and x < 1, true)
end)

t.case("path says how to get what is missing", function()
    local before = rawget(_G, "arg")
    rawset(_G, "arg", {"--data=/nowhere"})
    local ok, message = pcall(data.path, "multi30k")
    rawset(_G, "arg", before)
    t.equal(ok, false)
    t.equal(message:find("/nowhere/multi30k", 1, true) ~= nil, true)
    t.equal(message:find("multi30k/dataset", 1, true) ~= nil, true)
end)

t.case("lines of a file", function()
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write("a\nb c\n\nd")
    file:close()
    local lines = data.lines(name)
    os.remove(name)
    t.equal(lines, {"a", "b c", "", "d"})
    t.raises("nowhere.txt", data.lines, "/nowhere.txt")
end)

t.case("collate takes the examples asked for", function()
    local b = data.batches{fields = {x = {{1}, {2, 3}, {4}}}, size = 2}
    t.equal(b:collate{3, 2}.x:totable(), {{4, 0}, {2, 3}})
    t.equal(attn.tensor({1, 2}, {dtype = "int64"}):totable(), b:collate{3, 2}.x_lengths:totable())
    t.raises("example 4 is outside 1..3", b.collate, b, {4})
end)

-- ---- fields of other kinds ----

t.case("tensors, floats, truth values and lists of lists become tensors", function()
    local images = attn.arange(0, 23, {dtype = "uint8"}):reshape(4, 2, 3)
    local b = data.batches{size = 3, shuffle = false, fields = {
        image = images, weight = {0.5, 1, 2, 3}, good = {true, false, true, true},
        sound = {{0.5, 2}, {1}, {}, {4.5}}, sentences = {{{4, 5}, {6}}, {{7}}, {}, {{8}}},
        frames = {attn.ones(2, 2), attn.ones(1, 2), attn.ones(0, 2), attn.ones(2, 2)},
        point = {attn.tensor{1, 2}, attn.tensor{3, 4}, attn.tensor{5, 6}, attn.tensor{7, 8}}}}
    local batch = b:epoch(1)()
    t.equal({batch.image.dtype, batch.image:totable()}, {"uint8", images[{{1, 3}}]:totable()})
    t.equal({batch.weight.dtype, batch.weight:totable()}, {"float32", {0.5, 1, 2}})
    t.equal(batch.good:totable(), {true, false, true})
    t.equal({batch.sound.dtype, batch.sound:totable(), batch.sound_lengths:totable()},
        {"float32", {{0.5, 2}, {1, 0}, {0, 0}}, {2, 1, 0}})
    t.equal(batch.sentences:totable(), {{{4, 5}, {6, 0}}, {{7, 0}, {0, 0}}, {{0, 0}, {0, 0}}})
    t.equal({batch.sentences_lengths:totable(), batch.sentences_lengths_2:totable()}, {{2, 1, 0}, {{2, 1}, {1, 0}, {0, 0}}})
    t.equal(batch.frames:totable(), {{{1, 1}, {1, 1}}, {{1, 1}, {0, 0}}, {{0, 0}, {0, 0}}})
    t.equal(batch.frames_lengths:totable(), {2, 1, 0})
    t.equal({batch.point:totable(), batch.point_lengths}, {{{1, 2}, {3, 4}, {5, 6}}})
    local ints = data.batches{size = 2, fields = {x = {{1, 2.5}, {3}}}, dtypes = {x = "float64"}, shuffle = false}:epoch(1)()
    t.equal({ints.x.dtype, ints.x:totable()}, {"float64", {{1, 2.5}, {3, 0}}})
    t.raises("field 'x': entry 2 is float32 [3], entry 1 float32 [2, 2]", data.batches, {size = 1,
        fields = {x = {attn.ones(2, 2), attn.ones(3)}}})
    t.raises("field 'y' has 4 examples, field 'x' 2", data.batches, {size = 1, fields = {x = {1, 2}, y = images}})
    t.raises("dtypes names 'z'", data.batches, {size = 1, fields = {x = {1}}, dtypes = {z = "int64"}})
end)

t.case("labels become classes from 1", function()
    local fields = {label = {"pos", "neg", "pos"}, x = {{1}, {2}, {3}}}
    local b = data.batches{fields = fields, size = 3, shuffle = false, classes = {"label"}}
    t.equal({b:epoch(1)().label:totable(), b.classes.label}, {{2, 1, 2}, {"neg", "pos"}})
    b = data.batches{fields = fields, size = 3, shuffle = false, classes = {label = {"pos", "neg", "none"}}}
    t.equal({b:epoch(1)().label:totable(), b.classes.label}, {{1, 2, 1}, {"pos", "neg", "none"}})
    t.raises("data.batches: field 'label': label 2 is 'neg', which is no class", data.batches,
        {fields = fields, size = 3, classes = {label = {"pos"}}})
    t.raises("classes names 'z', which is no field of labels", data.batches, {fields = fields, size = 3, classes = {"z"}})
    t.equal({data.classes{"b", "a", "b"}}, {{2, 1, 2}, {"a", "b"}})
    t.equal({data.classes({3, 7}, {7, 3})}, {{2, 1}, {7, 3}})
    t.raises("label 1 is 'c', which is no class", data.classes, {"c"}, {"a"})
end)

t.case("collate makes the batch of the examples, which resume as ever", function()
    local fields = {x = {{1}, {2, 3}, {4}}, any = {print, "text", {}}, image = attn.arange(1, 3)}
    local function new()
        return data.batches{fields = fields, size = 2, collate = function(examples)
            local batch = {sum = 0, count = #examples, last = examples[#examples]}
            for _, e in ipairs(examples) do batch.sum = batch.sum + e.x[1] + e.image:item() + e.index end
            return batch
        end}
    end
    local b, whole = new(), {}
    for batch in b:epoch(1) do whole[#whole + 1] = {batch.sum, batch.count, batch.index} end
    t.equal(whole[1][1] + whole[2][1], 7 + 6 + 6)
    b = new()
    b:epoch(1)()
    local again = new()
    again:load(b:state())
    local batch = again:epoch()()
    t.equal({batch.sum, batch.count, batch.index}, whole[2])
    local bad = data.batches{fields = fields, size = 2, collate = function() end}
    t.raises("batches: collate returned nil, expected a table", bad:epoch(1))
    t.raises("collate is 3, expected a function", data.batches, {fields = fields, size = 2, collate = 3})
end)

-- ---- readers ----

local function with_file(text, fn)
    local name = os.tmpname()
    local function write(s)
        local file = assert(io.open(name, "wb"))
        file:write(s)
        file:close()
    end
    write(text)
    local ok, problem = pcall(fn, name, write)
    os.remove(name)
    if not ok then error(problem, 0) end
end

-- gzip with stored blocks, of at most 65,535 bytes
local function gzip(text)
    local crc = 0xffffffff
    for i = 1, #text do
        crc = crc ~ text:byte(i)
        for _ = 1, 8 do crc = crc & 1 == 1 and crc >> 1 ~ 0xedb88320 or crc >> 1 end
    end
    return "\x1f\x8b\8\0\0\0\0\0\0\3\1" .. string.pack("<I2I2", #text, ~#text & 0xffff) .. text
        .. string.pack("<I4I4", crc ~ 0xffffffff, #text)
end

local function idx(sizes, bytes)
    local head = "\0\0\8" .. string.char(#sizes)
    for _, size in ipairs(sizes) do head = head .. string.pack(">I4", size) end
    return head .. bytes
end

t.case("bytes of a file, plain or gzip", function()
    with_file("abc\0\255", function(name, write)
        t.equal({data.bytes(name).dtype, data.bytes(name):totable()}, {"uint8", {97, 98, 99, 0, 255}})
        write(gzip "abc\0\255")
        t.equal(data.bytes(name):totable(), {97, 98, 99, 0, 255})
        write ""
        t.equal(data.bytes(name):totable(), {})
        write(gzip "" .. gzip(("x"):rep(1000)))         -- the size that its end says is another member's
        t.equal(#data.bytes(name), 1000)
        write(gzip(("x"):rep(1000)) .. gzip "y")
        t.equal({#data.bytes(name), data.bytes(name)[1001]:item()}, {1001, 121})
        local whole = gzip "some text of a file"
        for n = 2, #whole - 1 do
            write(whole:sub(1, n))
            t.raises("damaged gzip file", data.bytes, name)
        end
        write(whole:sub(1, -9) .. "\0\0\0\0" .. whole:sub(-4))
        t.raises("damaged gzip file", data.bytes, name)
        write(whole:sub(1, -5) .. "\255\255\255\255")
        t.raises("damaged gzip file", data.bytes, name)
    end)
    t.raises("cannot be read", data.bytes, "/nowhere")
    t.raises("not a regular file", data.bytes, "/")
    t.raises("path is 3, expected a string", data.bytes, 3)
end)

t.case("idx: what is damaged is an error, and sizes take no memory that the file could not fill", function()
    local good = idx({2, 1, 3}, "\0\1\2\253\254\255")
    with_file(good, function(name, write)
        t.equal({data.idx(name).dtype, data.idx(name):totable()}, {"uint8", {{{0, 1, 2}}, {{253, 254, 255}}}})
        write(gzip(good))
        t.equal(data.idx(name):totable(), {{{0, 1, 2}}, {{253, 254, 255}}})
        for n = 0, #good - 1 do
            write(good:sub(1, n))
            t.raises(name, data.idx, name)
            write(gzip(good:sub(1, n)))
            t.raises(name, data.idx, name)
        end
        local packed = gzip(good)
        for n = 2, #packed - 1 do
            write(packed:sub(1, n))
            t.raises(name, data.idx, name)
        end
        for _, wrong in ipairs{{"\1\0\8\1\0\0\0\0", "it begins with the bytes 1, 0, expected 0, 0: not an idx file"},
                               {"\0\0\13\1\0\0\0\0", "idx of type 13, expected 8 (unsigned bytes)"},
                               {"\0\0\8\0", "idx of 0 dimensions, expected 1 to 8"}, {"\0\0\8\9", "idx of 9 dimensions"},
                               {good .. "x", "there are more than the 22 bytes that it should have"},
                               {idx({1 << 31}, "x"), "sizes [2147483648] are more than the file can hold"},
                               {idx({(1 << 32) - 1, (1 << 32) - 1, (1 << 32) - 1, 3}, "x"), "are more than the file can hold"},
                               {idx({1 << 31, 1 << 31, 4}, "x"), "are more than the file can hold"}} do
            for _, text in ipairs{wrong[1], gzip(wrong[1])} do
                write(text)
                collectgarbage()
                local before = attn.memory().peak
                t.raises(wrong[2], data.idx, name)
                t.is_true(attn.memory().peak - before < 1 << 20, "memory")
            end
        end
        write(idx({0, 1 << 31}, ""))
        t.equal(data.idx(name).shape, {0, 1 << 31})
    end)
end)

t.case("mnist: pictures and digits of a folder, classes from 1", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local function write(file, text)
        local f = assert(io.open(folder .. "/" .. file, "wb"))
        f:write(text)
        f:close()
    end
    write("train-images-idx3-ubyte", idx({2, 2, 2}, "\0\1\2\3\4\5\6\7"))
    write("train-labels-idx1-ubyte.gz", gzip(idx({2}, "\9\0")))
    local images, labels = data.mnist(folder .. "/")
    t.equal({images:totable(), labels:totable()}, {{{{{0, 1}, {2, 3}}}, {{{4, 5}, {6, 7}}}}, {10, 1}})
    t.equal({images.dtype, labels.dtype}, {"uint8", "int64"})
    t.raises("t10k-images-idx3-ubyte", data.mnist, folder, "test")
    t.raises("part is 'dev', expected train or test", data.mnist, folder, "dev")
    write("train-labels-idx1-ubyte.gz", gzip(idx({2}, "\10\0")))
    t.raises("a label is 10, expected 0 to 9", data.mnist, folder)
    write("train-labels-idx1-ubyte.gz", gzip(idx({1}, "\0")))
    t.raises("images are uint8 [2, 2, 2], labels uint8 [1]", data.mnist, folder)
    os.execute("rm -r " .. folder)
end)

t.case("cifar: records of a label and a picture", function()
    local picture = {}
    for k = 0, 3071 do picture[#picture + 1] = string.char(k % 251) end
    picture = table.concat(picture)
    with_file("\3" .. picture .. "\9" .. picture:reverse(), function(name, write)
        local images, labels = data.cifar(name)
        t.equal({images.shape, labels:totable()}, {{2, 3, 32, 32}, {4, 10}})
        t.equal({images[1][2][1][3]:item(), images[2][3][32][32]:item()}, {1026 % 251, 0})
        images, labels = data.cifar{name, name}
        t.equal({#images, labels:totable()}, {4, {4, 10, 4, 10}})
        write("\3\77" .. picture)
        images, labels = data.cifar(name, {classes = 100})
        t.equal({#images, labels:totable()}, {1, {78}})
        t.raises("3074 bytes are no whole number of records of 3073", data.cifar, name)
        write("\10" .. picture)
        t.raises("a label is 10, expected 0 to 9", data.cifar, name)
        t.raises("classes is 20, expected 10 or 100", data.cifar, name, {classes = 20})
    end)
end)

t.case("cifar: what is damaged is an error that names the file, and takes no memory", function()
    local record = "\3" .. ("\7"):rep(3072)
    with_file("", function(name, write)
        t.raises(name .. ": the file is empty", data.cifar, name)
        for _, n in ipairs{1, 2, 3072, 3074, 6145} do
            for _, text in ipairs{record:rep(2):sub(1, n), gzip(record:rep(2):sub(1, n))} do
                write(text)
                t.raises(("%s: %d bytes are no whole number of records of 3073"):format(name, n), data.cifar, name)
            end
        end
        local packed = gzip(record)
        for n = 2, #packed - 1 do
            write(packed:sub(1, n))
            t.raises(name, data.cifar, name)
        end
        for label = 10, 255, 35 do
            write(record .. string.char(label) .. record:sub(2))
            t.raises(("%s: a label is %d, expected 0 to 9"):format(name, label), data.cifar, name)
        end
        write("\3" .. string.char(100) .. record:sub(2))
        t.raises(name .. ": a label is 100, expected 0 to 99", data.cifar, name, {classes = 100})
    end)
    t.raises("data.cifar: paths is empty", data.cifar, {})
    t.raises("path is 3, expected a string", data.cifar, {3})
end)

t.case("tsv: rows, or tables by the names of a header or of the script", function()
    with_file("a\tb\n1\t\n\tx y\n", function(name, write)
        t.equal({data.tsv(name)}, {{{"a", "b"}, {"1", ""}, {"", "x y"}}})
        t.equal({data.tsv(name, {header = true})}, {{{a = "1", b = ""}, {a = "", b = "x y"}}, {"a", "b"}})
        t.equal((data.tsv(name, {columns = {"p", "q"}}))[3], {p = "", q = "x y"})
        write "a\tb\nc\n"
        t.raises("line 2 has 1 fields, expected 2", data.tsv, name)
        t.equal(data.tsv(name, {ragged = true}), {{"a", "b"}, {"c"}})
        t.raises("line 1 has 2 fields, expected 3", data.tsv, name, {columns = {"a", "b", "c"}})
        t.raises("unknown field 'head'", data.tsv, name, {head = true})
    end)
end)

t.case("windows: y a place further on than x; side by side, evenly spaced, or anywhere by seed and step", function()
    local ids = attn.arange(1, 11, 1)
    local w, seen = data.windows(ids, {length = 3, size = 2}), {}
    for b in w:epoch() do seen[#seen + 1] = {b.x:totable(), b.y:totable()} end
    t.equal(seen, {{{{1, 2, 3}, {4, 5, 6}}, {{2, 3, 4}, {5, 6, 7}}}, {{{7, 8, 9}}, {{8, 9, 10}}}})
    t.equal(data.windows(ids, {length = 3, most = 2}):epoch()().x:totable(), {{1, 2, 3}, {4, 5, 6}})
    t.equal(data.windows(attn.arange(1, 13, 1), {length = 2, most = 3}):epoch()().x:totable(), {{1, 2}, {5, 6}, {9, 10}})
    local first, met = {}, {}
    for step = 1, 40 do
        local b = w:draw(step)
        t.equal((b.y - b.x):totable(), {{1, 1, 1}, {1, 1, 1}})
        for _, row in ipairs(b.x:totable()) do met[row[1]] = true end
        first[step] = b.x:totable()
    end
    t.equal({#met, met[9]}, {8})                                      -- all places but the last three
    t.equal(data.windows(ids, {length = 3, size = 2}):draw(7).x:totable(), first[7])
    t.raises("data.windows: ids has 3 places, expected more than length (3)", data.windows, attn.arange(1, 3, 1), {length = 3})
    t.raises("data.windows: ids is a table, expected a tensor [n]", data.windows, {1, 2}, {length = 1})
end)

t.case("the first of a list, lists joined", function()
    local list = {"a", "b", "c"}
    t.equal({data.first(list, 2), data.first(list, 9), data.first(list, math.huge)}, {{"a", "b"}, list, list})
    t.is_true(not rawequal(data.first(list, 9), list))
    t.equal(data.joined{{"a"}, {}, {"b", "c"}}, list)
    t.raises("data.first: list is nil, count 2, expected a list and a number", data.first, nil, 2)
    t.raises("data.joined: entry 2 is 3, expected a list", data.joined, {{}, 3})
end)

t.case("a permutation has every number once, in an order that is drawn", function()
    local list = data.permutation(50, data.random(3))
    t.is_true(list[1] ~= 1 or list[2] ~= 2)
    t.equal(data.permutation(50, data.random(3)), list)
    for _, count in ipairs{-1, 2 ^ 53 // 1 | 0, 2.5} do
        t.raises("data.permutation: count is " .. count .. ", expected an integer from 0 to 100000000", data.permutation, count, data.random(1))
    end
    table.sort(list)
    for i = 1, 50 do t.equal(list[i], i) end
end)

t.case("made examples are a function of the seed", function()
    local function draws(count, seed) return data.made(count, seed, function(draw) return {draw(1000), draw(1000)} end) end
    local draw = data.random(5)
    t.equal(draws(2, 5), {{draw(1000), draw(1000)}, {draw(1000), draw(1000)}})
    t.equal(draws(0, 5), {})
    t.raises("data.made: example 1 is nil", data.made, 1, 1, function() end)
    t.raises("data.made: count is 1.5, seed 1, expected integers", data.made, 1.5, 1, draws)
end)

t.case("columns of records are fields, functions, or ids of a vocabulary, however deep", function()
    local records = {{words = {"a", "b"}, class = 2, story = {{"b"}, {"a", "a"}}, answer = "b"},
        {words = {"c"}, class = 1, story = {}, answer = "a"}}
    local words = require "attn.text".vocabulary(records, {of = {"words"}, specials = {}})
    t.equal(data.columns(records, {answer = "class", size = function(r) return #r.words end}),
        {answer = {2, 1}, size = {2, 1}})
    t.equal(data.columns(records, {words = words, story = words, answer = words}),
        {words = {{1, 2}, {3}}, story = {{{2}, {1, 1}}, {}}, answer = {2, 1}})
    t.raises("data.columns: 'x' of record 1 is nil (its field 'label')", data.columns, records, {x = "label"})
    t.raises("data.columns: 'text' of record 1 is nil (its field 'text')", data.columns, records, {text = words})
end)

t.case("batches of records: all fields, or those named", function()
    local records = {{x = {1, 2}, y = 7}, {x = {3}, y = 8}}
    local all = data.batches{records = records, size = 2, shuffle = false}:epoch(1)()
    t.equal({all.x:totable(), all.x_lengths:totable(), all.y:totable()}, {{{1, 2}, {3, 0}}, {2, 1}, {7, 8}})
    local one = data.batches{records = records, fields = {z = "y"}, size = 2, shuffle = false}:epoch(1)()
    t.equal({one.z:totable(), one.y}, {{7, 8}})
    t.raises("data.batches: 'z' of record 1 is nil (its field 'w')", data.batches, {records = records, fields = {z = "w"}, size = 1})
    t.raises("data.batches: field 'fields' is missing", data.batches, {size = 1})
end)

t.case("parts: training examples in an order by seed, the others as they stand", function()
    local function numbers(count) return data.made(count, 1, function(draw) return {n = draw(99)} end) end
    local sets = {train = numbers(30), test = numbers(30), classes = {"a", "b"}, images = attn.ones(2, 2)}
    local parts = data.parts(sets, {size = 30, seed = 4})
    local function list(batches) return batches:epoch(1)().n:totable() end
    local names = {}
    for name in pairs(parts) do names[#names + 1] = name end
    table.sort(names)
    t.equal(names, {"test", "train"})
    t.equal(list(parts.test), data.columns(sets.test, {n = "n"}).n)
    t.equal(list(parts.train), list(data.batches{records = sets.train, size = 30, seed = 4}))
    t.raises("data.parts: train: 'x' of record 1 is nil (its field 'y')", data.parts, {train = sets.train}, {size = 1, fields = {x = "y"}})
end)
