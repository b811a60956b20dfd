-- Tokenisation against lines whose tokens are known, vocabularies, and byte-pair encoding against a slow learner.
local t = require "attn.test"
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
    t.raises("unknown field 'sise' (known: size, min_count, specials, words) (did you mean 'size'?)", text.vocabulary,
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
