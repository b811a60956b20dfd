-- Readers of data sets: found by name, missing files named with their origin, and what they read of files made here.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")
local folder = shell.folder()

local function write(name, text)
    attn.mkdir(folder .. "/" .. name:match "^(.*)/")
    shell.write(name, text)
end

t.case("every reader says its folder, its files, its origin, and reads", function()
    local names = corpus.names()
    t.is_true(#names > 0)
    for _, name in ipairs(names) do
        local reader = corpus.reader(name)
        t.equal({type(reader.folder), type(reader.origin), type(reader.read)}, {"string", "string", "function"})
        t.is_true(#reader.files > 0, name)
        for _, file in ipairs(reader.files) do t.equal(type(file), "string") end
        for field in pairs(reader) do
            t.is_true(({folder = 1, files = 1, origin = 1, read = 1})[field], name .. "." .. field)
        end
        local why = corpus.missing(name, folder .. "/nowhere")
        t.is_true(why:find("nowhere/" .. reader.folder .. "/", 1, true), why)
        t.is_true(why:find(reader.origin:sub(1, 20), 1, true), why)
    end
end)

t.case("a reader of one's own; its files may be plain or gzip", function()
    package.preload["attn.corpus_mine"] = function()
        return {folder = "mine", files = {"a.txt", "b.txt"}, origin = "Mine: made here", read = function(path, options)
            return {train = {{text = attn.lines(path "a.txt"), more = options.more}, {text = attn.lines(path "b.txt")}},
                open = options.open and path(options.open)}
        end}
    end
    t.raises(("corpus.mine: %s/mine/a.txt: No such file or directory.\n  Mine: made here, in a folder named mine"):format(folder),
        corpus.mine, folder)
    write("mine/a.txt", "one\ntwo\n")
    t.is_true(corpus.missing("mine", folder):find("/mine/b.txt: No such file", 1, true))
    write("mine/b.txt", "three\n")
    os.execute("gzip " .. shell.quote(folder .. "/mine/b.txt"))
    t.equal(corpus.missing("mine", folder), nil)
    t.equal(corpus.mine(folder, {more = 3}), {train = {{text = {"one", "two"}, more = 3}, {text = {"three"}}}})
    t.raises("corpus.mine: 'c.txt' is none of the reader's files", corpus.mine, folder, {open = "c.txt"})
    t.raises("corpus.mine: folder is 3, expected the data directory", corpus.mine, 3)
end)

t.case("an unknown name is an error that names the known ones; a reader that fails says so", function()
    t.raises("corpus: there is no data set 'multi3k' (did you mean 'multi30k'?)", function() return corpus.multi3k end)
    t.raises("corpus.missing: there is no data set 'multi3k'", corpus.missing, "multi3k")
    t.equal(corpus.reader "multi3k", nil)
    package.preload["attn.corpus_broken"] = function() error("broken reader", 0) end
    t.raises("broken reader", corpus.reader, "broken")
end)

t.case("multi30k: words and lines of both sides", function()
    local parts = {train = {"A dog, running.", "Two men."}, val = {"A man."}, test_2016_flickr = {"A cat."}}
    for name, lines in pairs(parts) do
        write("multi30k/" .. name .. ".en", table.concat(lines, "\n") .. "\n")
        write("multi30k/" .. name .. ".de", ("Ein Hund.\n"):rep(#lines))
    end
    local sets = corpus.multi30k(folder)
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 1, 1})
    t.equal(sets.train[1], {source = {"A", "dog", ",", "running", "."}, target = {"Ein", "Hund", "."},
        source_line = "A dog, running.", target_line = "Ein Hund."})
    sets = corpus.multi30k(folder, {source = "de", target = "en", most = 1})
    t.equal({#sets.train, sets.test[1].target_line}, {1, "A cat."})
    t.raises("corpus.multi30k: source is 'fr', expected one of en, de", corpus.multi30k, folder, {source = "fr"})
    write("multi30k/val.de", "a\nb\n")
    t.raises("corpus.multi30k: val has 1 and 2 lines", corpus.multi30k, folder)
end)

t.case("tinyshakespeare: nine tenths and one", function()
    write("tinyshakespeare/input.txt", "To be, or\nnot to be.\n")
    t.equal(corpus.tinyshakespeare(folder), {train = "To be, or\nnot to b", dev = "e.\n"})
end)

t.case("mnist: pictures and classes, of one part if asked", function()
    for part, labels in pairs{train = "\3\0", t10k = "\9"} do
        write("mnist/" .. part .. "-images-idx3-ubyte", string.pack(">I4I4I4I4", 0x803, #labels, 1, 2) .. ("\1\2"):rep(#labels))
        write("mnist/" .. part .. "-labels-idx1-ubyte", string.pack(">I4I4", 0x801, #labels) .. labels)
    end
    local sets = corpus.mnist(folder)
    t.equal({sets.train.images:totable(), sets.train.labels:totable()}, {{{{{1, 2}}}, {{{1, 2}}}}, {4, 1}})
    t.equal({sets.test.labels:totable(), corpus.mnist(folder, {part = "test"}).train}, {{10}, nil})
end)

t.case("lines: records that end with a line, at most so many of a part, wrong lines with their place", function()
    write("made/a.txt", "x\ny\n\nz\n\n")
    write("made/b.txt", "v\n\n?\n")
    local function read(files, limit)
        local list = {}
        return corpus.lines("made", function(file) return folder .. "/made/" .. file end, files, function(line, number)
            if line == "?" then return nil, " asks" end
            list[#list + 1] = line
            if line == "" then
                local record = {words = table.concat(list), number = number}
                list = {}
                return record
            end
        end, limit)
    end
    t.equal(read{train = "a.txt"}, {train = {{words = "xy", number = 1}, {words = "z", number = 2}}})
    t.equal(read({train = "a.txt", dev = "b.txt"}, 1), {train = {{words = "xy", number = 1}}, dev = {{words = "v", number = 1}}})
    t.raises("corpus.made: b.txt: line 3 asks", read, {dev = "b.txt"})
end)
