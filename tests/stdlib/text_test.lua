-- Tokenisation against lines whose tokens are known, vocabularies, and byte-pair encoding against a slow learner.
local attn, t = require "attn", require "attn.test"
local data, text = require "attn.data", require "attn.text"

local function words(line) return table.concat(text.words(line), " ") end

t.case("words as the tokenisation 13a", function()
    t.equal(words "Two men, smiling.", "Two men , smiling .")
    t.equal(words "It's 3.5 km (or 10,000 feet)...", "It's 3.5 km ( or 10,000 feet ) . . .")
    t.equal(words "A 5-year-old well-known U.S. flag", "A 5 - year-old well-known U . S . flag")
    t.equal(words "\"Hi!\" &quot;x&quot; &lt;b&gt; a&amp;b", "\" Hi ! \" \" x \" < b > a & b")
    t.equal(words "in 1990, he", "in 1990 , he")
    t.equal(words "  a\tb  ", "a b")
    t.equal(words "Zwei weiße Männer,Büsche", "Zwei weiße Männer , Büsche")
    t.equal(words "a\u{A0}b\u{3000}c\u{2009}d", "a b c d")
    t.equal(words "50% $5 a/b x_y #1 `q`", "50 % $ 5 a / b x _ y # 1 ` q `")
    t.equal(words "", "")
    t.equal(words "<skipped>a\nb", "a b")
    t.raises("text.words: line is a nil", text.words)
end)

t.case("words survive bytes that are no UTF-8", function()
    t.equal(words "a\xFFb. \xC3", "a\xFFb . \xC3")
end)

t.case("join is undone by words", function()
    local draw = data.random(3)
    local some = {"a", "Hund", "3", "3.5", "10,000", ".", ",", "!", "(", ")", '"', "-", "/", "%", "$", "don't",
        "„x“", "&", ":", "'s", "[", "]"}
    for _ = 1, 500 do
        local list = {}
        for i = 1, draw(12) do list[i] = some[draw(#some)] end
        local plain = text.words(table.concat(list, " "))
        t.equal(text.words(text.join(plain)), plain)
    end
    t.equal(text.join{"Two", "men", ",", "(", "one", "old", ")", "smile", "."}, "Two men, (one old) smile.")
    t.equal(text.join{"he", "said", '"', "go", '"', "."}, 'he said "go".')
    t.equal(text.join{}, "")
end)

t.case("a vocabulary orders by count, then by bytes, after the specials", function()
    local v = text.vocabulary{{"b", "a", "c"}, {"c", "a", "d"}}
    t.equal(v.words, {"<unk>", "<s>", "</s>", "a", "c", "b", "d"})
    t.equal(#v, 7)
    t.equal(v:id "c", 5)
    t.equal(v:id "zebra", 1)
    t.equal(v:encode{"a", "zebra"}, {4, 1})
    t.equal(v:decode{4, 0, 5, 0}, {"a", "c"})
    t.equal(v:word(7), "d")
    t.raises("id 8 is outside 1..7", v.decode, v, {8})
end)

t.case("a vocabulary counts lists however deep, and the fields of records; ids are as deep", function()
    local records = {{words = {"a", "b"}, story = {{"a"}, {"c", "a"}}, answer = "c", other = {"x"}}, {words = {"c"}}}
    local v = text.vocabulary({records}, {of = {"words", "story", "answer"}, specials = {}})
    t.equal(v.words, {"a", "c", "b"})
    t.equal(v:encode{{"a"}, {}, {{"c", "b"}}}, {{1}, {}, {{2, 3}}})
    t.equal(text.vocabulary({{{"a"}, {"b", "a"}}}, {specials = {}}).words, {"a", "b"})
    t.raises("vocabulary: unknown word 'd', and there is no <unk>", v.encode, v, {{"a"}, {"d"}})
end)

t.case("a vocabulary has at most size words, each seen min_count times; words restore it", function()
    local lists = {{"b", "a", "c", "c", "a", "a"}}
    t.equal(text.vocabulary(lists, {size = 4}).words, {"<unk>", "<s>", "</s>", "a"})
    t.equal(text.vocabulary(lists, {min_count = 2, specials = {}}).words, {"a", "c"})
    local v = text.vocabulary(nil, {words = {"<unk>", "x"}})
    t.equal(v:id "x", 2)
    t.equal(v:id "y", 1)
    t.raises("unknown word 'y', and there is no <unk>", function()
        text.vocabulary(lists, {specials = {}}):id "y"
    end)
    t.raises("unknown field 'sise' (known: of, size, min_count, specials, words) (did you mean 'size'?)", text.vocabulary,
        lists, {sise = 3})
    t.raises("entry 1 is a string", text.vocabulary, {"a b"})
end)

t.case("unknown words are replaced by what they looked at", function()
    local out, n = text.replace_unknown({"ein", "<unk>", "<unk>"}, {"a", "Xaver", "x"},
        {{1, 0, 0}, {0.1, 0.7, 0.2}, {0.1, 0.1, 0.8}}, {dictionary = {x = "iks"}})
    t.equal(out, {"ein", "Xaver", "iks"})
    t.equal(n, 2)
    t.equal(text.replace_unknown({"a"}, {"b"}, nil), {"a"})
end)

-- Learns merges by counting everything again each time.
local function slow_merges(lines, count)
    local list, merges = {}, {}
    for _, line in ipairs(lines) do
        for word in line:gmatch "%S+" do
            local units = {"\u{2581}"}
            for c in word:gmatch(utf8.charpattern) do units[#units + 1] = c end
            list[#list + 1] = units
        end
    end
    for _ = 1, count do
        local counts, best = {}, nil
        for _, units in ipairs(list) do
            for i = 1, #units - 1 do
                local key = units[i] .. "\0" .. units[i + 1]
                counts[key] = (counts[key] or 0) + 1
            end
        end
        for key, n in pairs(counts) do
            if n >= 2 and (not best or n > counts[best] or n == counts[best] and key < best) then best = key end
        end
        if not best then break end
        local left, right = best:match "^(.-)%z(.*)$"
        merges[#merges + 1] = {left, right}
        for k, units in ipairs(list) do
            local new, i = {}, 1
            while i <= #units do
                if units[i] == left and units[i + 1] == right then
                    new[#new + 1] = left .. right
                    i = i + 2
                else
                    new[#new + 1] = units[i]
                    i = i + 1
                end
            end
            list[k] = new
        end
    end
    return merges, list
end

t.case("dictionary: the largest Dice coefficient, of words that a vocabulary has not, at least so much", function()
    local sources = {{"a", "dog", "a"}, {"a", "cat"}, {"dog"}, {"a"}}
    local targets = {{"ein", "Hund"}, {"eine", "Katze"}, {"Hund"}, {"ein"}}
    local known = text.vocabulary{{"ein"}}
    -- dog, Hund 4 / 4; a, ein 4 / 5; without ein: a, Hund 2 / 5, a, Katze 2 / 4; cat: Katze and eine are alike, the first by name
    t.equal(text.dictionary(sources, targets), {dog = "Hund", a = "ein", cat = "Katze"})
    t.equal(text.dictionary(sources, targets, {without = known}), {dog = "Hund", a = "Katze", cat = "Katze"})
    t.equal(text.dictionary(sources, targets, {without = known, least = 0.6}), {dog = "Hund", cat = "Katze"})
    t.raises("text.dictionary: 1 sources, 2 targets, expected as many of both", text.dictionary, {{"a"}}, {{"b"}, {"c"}})
    t.raises("text.dictionary: without is 5 without a method 'id', expected a vocabulary", text.dictionary, {}, {}, {without = 5})
end)

t.case("bpe learns the merges that counting from scratch gives", function()
    local draw = data.random(11)
    local lines = {}
    for i = 1, 40 do
        local list = {}
        for k = 1, draw(6) do
            local letters = {}
            for j = 1, draw(7) do letters[j] = ({"a", "b", "ä", "c"})[draw(4)] end
            list[k] = table.concat(letters)
        end
        lines[i] = table.concat(list, " ")
    end
    local learned = text.bpe(lines, {merges = 60})
    local merges, units = slow_merges(lines, 60)
    t.equal(learned.merges, merges)
    local k = 0
    for _, line in ipairs(lines) do
        local expected = {}
        for _ in line:gmatch "%S+" do
            k = k + 1
            table.move(units[k], 1, #units[k], #expected + 1, expected)
        end
        t.equal(learned:encode(line), expected)
        t.equal(learned:decode(learned:encode(line)), line)
    end
end)

t.case("bpe gives lines back, also with words and bytes it never saw, and is restored from its merges", function()
    local b = text.bpe({"low lower lowest", "new newer newest, it's so"}, {merges = 20})
    local again = text.bpe(nil, {merges = b.merges})
    for _, line in ipairs{"lowest newer", "Zürich, it's (5) weiß!", "a\xFFb \x80\x80", "日本 go", ""} do
        t.equal(b:decode(b:encode(line)), line)
        t.equal(again:encode(line), b:encode(line))
    end
    t.equal(text.bpe({"low low"}, {merges = 9}):encode "low", {"\u{2581}low"})
    t.raises("merges is -1", text.bpe, {}, {merges = -1})
    t.raises("merges[1] is not a pair", text.bpe, nil, {merges = {"x"}})
end)

-- A byte-level encoder of all bytes and the tokens of some merges, as the two files of GPT-2 are written.
local function byte_files(merges)
    local names, ids, n, more = {}, {}, 0, 0
    for byte = 0, 255 do
        local plain = byte >= 33 and byte <= 126 or byte >= 161 and byte <= 172 or byte >= 174
        names[byte] = utf8.char(plain and byte or 256 + more)
        if not plain then more = more + 1 end
        ids[names[byte]] = n
        n = n + 1
    end
    local lines = {"#version: 0.2"}
    for _, pair in ipairs(merges) do
        local token = {}
        for i = 1, 2 do token[i] = pair[i]:gsub(".", function(c) return names[c:byte()] end) end
        lines[#lines + 1] = token[1] .. " " .. token[2]
        ids[token[1] .. token[2]] = n
        n = n + 1
    end
    local encoder, merged = os.tmpname(), os.tmpname()
    local f <close> = io.open(encoder, "wb")
    local g <close> = io.open(merged, "wb")
    f:write(attn.json.encode(ids))
    g:write(table.concat(lines, "\n"), "\n")
    return encoder, merged
end

t.case("byte-level encoding: pieces as GPT-2 cuts them, merges in their order, any bytes back", function()
    local encoder, merges = byte_files{{"a", "b"}, {"ab", "c"}, {" ", "abc"}, {"b", "c"}, {" ", " "}, {"'", "s"},
        {"\xC3", "\xA9"}, {"1", "2"}, {"\n", "\n"}, {".", "."}, {"a", " "}}
    local b = text.byte_bpe{encoder = encoder, merges = merges}
    local function pieces(line)
        local list = {}
        for i, id in ipairs(b:encode(line)) do list[i] = b:token(id) end
        return table.concat(list, "|")
    end
    t.equal(#b, 267)
    t.equal(b:encode " abc", {258})
    t.equal(b:encode "abcbc", {257, 259})                       -- ab before bc
    t.equal(pieces "a abc", "a| abc")                           -- never across pieces: "a " is a pair
    t.equal(pieces "   abc", "  | abc")                         -- the last space goes with the word
    t.equal(pieces "abc   ", "abc|  | ")
    t.equal(pieces "ab\n\nab", "ab|\n|\n|ab")                   -- only a space does
    t.equal(pieces "ab\n\n", "ab|\n\n")
    t.equal(pieces "abc'sab", "abc|'s|ab")
    t.equal(pieces "x'S", "x|'|S")
    t.equal(pieces "é12é..", "é|12|é|..")
    t.equal(pieces "ab\u{A0}\u{A0}abc", "ab|\xC2|\xA0|\xC2|\xA0|abc")
    t.equal(b:encode "", {})
    local draw = data.random(4)
    for _ = 1, 200 do
        local bytes = {}
        for i = 1, draw(30) do bytes[i] = string.char(draw(256) - 1) end
        local line = table.concat(bytes)
        t.equal(b:decode(b:encode(line)), line)
    end
    local shifted = text.byte_bpe{encoder = encoder, merges = merges, shift = 1}
    t.equal(shifted:encode " abc", {259})
    t.equal(shifted:decode{259, 1}, " abc\0")
    t.raises("no token has the id 999", b.decode, b, {999})
    t.raises("line 2 is not a pair of tokens", function()
        local f <close> = io.open(merges, "wb")
        f:write("#version\na b c\n")
        f:close()
        text.byte_bpe{encoder = encoder, merges = merges}
    end)
    t.raises("line 1, column", text.byte_bpe, {encoder = merges, merges = merges})
    os.remove(encoder)
    os.remove(merges)
end)

t.case("byte-level encoding: ids of GPT-2, where its files are", function()
    local folder = (os.getenv "ATTN_DATA" or "") .. "/gpt2_bpe/"
    local encoder, merges = io.open(folder .. "encoder.json.gz"), io.open(folder .. "vocab.bpe")
    if not encoder or not merges then t.skip "no $ATTN_DATA/gpt2_bpe" end
    encoder:close()
    merges:close()
    local b = text.byte_bpe{encoder = folder .. "encoder.json.gz", merges = folder .. "vocab.bpe"}
    t.equal(b:encode "Hello world", {15496, 995})
    t.equal(b:encode "  I'll pay 12 €\n", {220, 314, 1183, 1414, 1105, 10432, 198})
    t.equal(b:encode "日本 naïve e\u{301}", {33768, 98, 17312, 105, 41492, 304, 136, 223})
end)

t.case("a vocabulary grown by an example's own words: ids behind it, in order, and the way back", function()
    local v = text.vocabulary({{"my", "name", "is"}})
    local x = text.extend(v, {"i", "am", "Zork", "is", "am"})
    t.equal({#v, #x}, {6, 9})
    t.equal(x.own, {"i", "am", "Zork"})
    t.equal(x:encode{"my", "am", "Zork", "nobody", "</s>"}, {v:id "my", 8, 9, 1, 3})
    t.equal(x:decode{v:id "name", 9, 0, 7}, {"name", "Zork", "i"})
    t.equal({x:word(8), x:id "is", tostring(x)}, {"am", v:id "is", "vocabulary  9 words"})
    t.equal(v:encode{"Zork"}, {1})
    t.equal(#v.words, 6)
    t.raises("vocabulary: id 10 is outside 1..9", x.decode, x, {10})
    local more = text.extend(x, {"am", "new"})
    t.equal({#more, more:id "Zork", more:id "new", #x}, {10, 9, 10, 9})
    local ids = attn.tensor({{1, 6, 7}, {9, 0, 3}}, {dtype = "int64"})
    t.equal(v:fold(ids), {{1, 6, 1}, {1, 0, 3}})
    t.equal(x:fold(ids), ids)
end)

t.case("errors of an extended vocabulary", function()
    local v = text.vocabulary({{"a"}})
    t.raises("text.extend: vocabulary is a table, expected one of text.vocabulary", text.extend, {}, {"a"})
    t.raises("text.extend: words is a string, expected a list of words", text.extend, v, "a")
    t.raises("text.extend: word 2 is 3, expected a string", text.extend, v, {"a", 3})
    t.raises("vocabulary: ids are float32 [2], expected an int64 tensor", v.fold, v, attn.ones(2))
    local bare = text.vocabulary({{"a"}}, {specials = {}})
    t.raises("vocabulary: unknown word 'c', and there is no <unk>", function() text.extend(bare, {"b"}):encode{"c"} end)
    t.raises("vocabulary: ids above it cannot be folded, there is no <unk>", bare.fold, bare, attn.arange(1, 2, 1))
end)

t.case("characters of the parts of a text, in the order of their bytes", function()
    local ids, alphabet = text.characters{train = "bab\n", dev = "c"}
    t.equal({ids.train:totable(), ids.dev:totable(), alphabet.words}, {{3, 2, 3, 1}, {4}, {"\n", "a", "b", "c"}})
    t.equal(ids.train.dtype, "int64")
    t.raises("text.characters: part 'dev' is a number, expected a string", text.characters, {dev = 3})
end)

t.case("split cuts at blanks alone", function()
    t.equal(text.split "  it is\tn't bad. ", {"it", "is", "n't", "bad."})
    t.equal(text.split "", {})
    t.raises("text.split: line is a nil, expected a string", text.split)
end)
