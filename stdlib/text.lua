-- text: lines to words (tokenisation `13a` of the WMT scorers), words to ids (vocabularies), lines to subwords
-- (byte-pair encoding, Sennrich et al. 2016), and back to lines.
-- Strings are UTF-8, but any bytes are accepted: an invalid byte is a character of its own and survives.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}

-- White space outside ASCII, so that a no-break space separates words as it does for the scorers of reference.
local spaces = {"\u{85}", "\u{A0}", "\u{1680}", "\u{2028}", "\u{2029}", "\u{202F}", "\u{205F}", "\u{3000}"}
for code = 0x2000, 0x200A do spaces[#spaces + 1] = utf8.char(code) end

---Words of a line: tokenisation `13a`. Punctuation stands alone, except `.` and `,` inside numbers and `-` not after a
---digit; apostrophes stay inside words.
---@param line string
---@return string[]
function m.words(line)
    if type(line) ~= "string" then error(("text.words: line is a %s, expected a string"):format(type(line)), 2) end
    line = line:gsub("<skipped>", ""):gsub("%-\n", ""):gsub("\n", " ")
    if line:find("&", 1, true) then
        line = line:gsub("&quot;", '"'):gsub("&amp;", "&"):gsub("&lt;", "<"):gsub("&gt;", ">")
    end
    line = (" " .. line .. " "):gsub("[{-~[-` -&(-+:-@/]", " %0 ")
    line = line:gsub("([^0-9])([.,])", "%1 %2 "):gsub("([.,])([^0-9])", " %1 %2"):gsub("([0-9])%-", "%1 - ")
    if line:find("[\xC2\xE1-\xE3]") then
        for _, space in ipairs(spaces) do line = line:gsub(space, " ") end
    end
    local words = {}
    for word in line:gmatch("[^%s\x1C-\x1F]+") do words[#words + 1] = word end
    return words
end

---Words of a line that has blanks between them.
---@param line string
---@return string[]
function m.split(line)
    if type(line) ~= "string" then error(("text.split: line is a %s, expected a string"):format(type(line)), 2) end
    local words = {}
    for word in line:gmatch "%S+" do words[#words + 1] = word end
    return words
end

local closes = {}
for mark in (". , ; : ! ? ) ] } %"):gmatch("%S+") do closes[mark] = true end
local opens = {["("] = true, ["["] = true, ["{"] = true, ["$"] = true, ["#"] = true}

---A line from words: the inverse of `words` up to white space; `words(join(w))` gives w again.
---@param words string[]
---@return string
function m.join(words)
    if type(words) ~= "table" then error(("text.join: words is a %s, expected a list"):format(type(words)), 2) end
    local parts, quoted, glue = {}, false, true
    for i, word in ipairs(words) do
        local attach = glue or closes[word]
        glue = opens[word] or false
        if word == '"' then
            if quoted then attach = true else glue = true end
            quoted = not quoted
        elseif word == "-" and i > 1 and words[i - 1]:find("%d$") then
            attach, glue = true, true
        elseif word == "/" then
            attach, glue = true, true
        end
        if not attach then parts[#parts + 1] = " " end
        parts[#parts + 1] = word
    end
    return table.concat(parts)
end

-- Vocabularies ------------------------------------------------------------------------------------------------------

---@class Vocabulary
---@field words string[] the word of each id, to be saved and given back as `words`
local Vocabulary = {}
Vocabulary.__index = Vocabulary
Vocabulary.__name = "vocabulary"

function Vocabulary:__len() return #self.words end

function Vocabulary:__tostring()
    return ("vocabulary  %d words"):format(#self)
end

---The id of a word; that of `<unk>` for a word not known (an error if there is no `<unk>`).
function Vocabulary:id(word)
    local id = self.ids[word] or self.unknown
    if not id then error(("vocabulary: unknown word '%s', and there is no <unk>"):format(tostring(word)), 2) end
    return id
end

---The word of an id.
function Vocabulary:word(id)
    local word = self.words[id]
    if not word then error(("vocabulary: id %s is outside 1..%d"):format(tostring(id), #self), 2) end
    return word
end

local function encode_words(self, words, level)
    local ids, known, unknown = {}, self.ids, self.unknown
    for i, word in ipairs(words) do
        ids[i] = type(word) == "table" and encode_words(self, word, level + 1) or known[word] or unknown
            or error(("vocabulary: unknown word '%s', and there is no <unk>"):format(tostring(word)), level)
    end
    return ids
end

---Ids of a list of words, or of lists of them (sentences of a document), however deep.
function Vocabulary:encode(words) return (encode_words(self, words, 3)) end

---Words of a list of ids; 0 (padding) is left out.
function Vocabulary:decode(ids)
    local words = {}
    for _, id in ipairs(ids) do
        if id ~= 0 then
            words[#words + 1] = self.words[id]
                or error(("vocabulary: id %s is outside 1..%d"):format(tostring(id), #self), 2)
        end
    end
    return words
end

---Ids of any shape with `<unk>` for those above the vocabulary: what an embedding takes of an extended vocabulary's ids.
---@param ids any int64
---@return any
function Vocabulary:fold(ids)
    if internal.kind(ids) ~= "tensor" or ids.dtype ~= "int64" then
        error(("vocabulary: ids are %s, expected an int64 tensor"):format(fields.describe(ids)), 2)
    end
    if not self.unknown then error("vocabulary: ids above it cannot be folded, there is no <unk>", 2) end
    return ids:masked_fill(ids:gt(#self), self.unknown)
end

---A vocabulary of the words of `lists`, the most frequent first (ties in byte order), after the special words.
---@param lists table? lists of words, however deep, and with `of` records whose fields of these names are such lists
---@param options? {of: string[]?, size: integer?, min_count: integer?, specials: string[]?, words: string[]?}
---@return Vocabulary
function m.vocabulary(lists, options)
    local cfg = fields.read("text.vocabulary", options or {}, {
        {"of", "table", {}}, {"size", "integer", math.maxinteger, least = 1}, {"min_count", "integer", 1, least = 1},
        {"specials", "table", {"<unk>", "<s>", "</s>"}}, {"words", "table"}})
    local words, ids = {}, {}
    local function add(word)
        if type(word) ~= "string" then
            error(("text.vocabulary: a word is a %s, expected a string"):format(type(word)), 3)
        end
        words[#words + 1] = word
        ids[word] = #words
    end
    if cfg.words then
        for _, word in ipairs(cfg.words) do add(word) end
    else
        if type(lists) ~= "table" then
            error(("text.vocabulary: lists is a %s, expected a list of lists of words"):format(type(lists)), 2)
        end
        for _, word in ipairs(cfg.specials) do add(word) end
        local counts, found = {}, {}
        local function count(list)
            for _, name in ipairs(cfg.of) do
                if list[name] ~= nil then count(type(list[name]) == "table" and list[name] or {list[name]}) end
            end
            for _, word in ipairs(list) do
                if type(word) == "table" then
                    count(word)
                else
                    if not counts[word] then found[#found + 1] = word end
                    counts[word] = (counts[word] or 0) + 1
                end
            end
        end
        for i, list in ipairs(lists) do
            if type(list) ~= "table" then
                error(("text.vocabulary: entry %d is a %s, expected a list of words"):format(i, type(list)), 2)
            end
            count(list)
        end
        table.sort(found, function(a, b)
            if counts[a] ~= counts[b] then return counts[a] > counts[b] end
            return a < b
        end)
        for _, word in ipairs(found) do
            if #words >= cfg.size or counts[word] < cfg.min_count then break end
            if not ids[word] then add(word) end
        end
    end
    return setmetatable({words = words, ids = ids, unknown = ids["<unk>"]}, Vocabulary)
end

-- A vocabulary and words of an example behind it: the tables of the one below are looked through, not copied.
local Extended = setmetatable({__name = "vocabulary", __tostring = Vocabulary.__tostring}, {__index = Vocabulary})
Extended.__index = Extended

function Extended:__len() return #self.base + #self.own end

---Texts as ids of their characters (bytes), from 1 in the order of their values, of those that occur.
---@param parts table<string, string> texts by name
---@return table<string, any> ids int64 [n] by name
---@return Vocabulary
function m.characters(parts)
    if type(parts) ~= "table" then error(("text.characters: parts is a %s, expected texts by name"):format(type(parts)), 2) end
    local id_of, alphabet, ids = {}, {}, {}
    for name, part in pairs(parts) do
        if type(part) ~= "string" then
            error(("text.characters: part '%s' is a %s, expected a string"):format(tostring(name), type(part)), 2)
        end
        for character in part:gmatch "." do id_of[character] = 0 end
    end
    for byte = 0, 255 do
        local character = string.char(byte)
        if id_of[character] then
            alphabet[#alphabet + 1] = character
            id_of[character] = #alphabet
        end
    end
    for name, part in pairs(parts) do
        local list = {}
        for i = 1, #part do list[i] = id_of[part:sub(i, i)] end
        ids[name] = attn.tensor(list, {dtype = "int64"})
    end
    return ids, m.vocabulary(nil, {words = alphabet})
end

---A vocabulary grown by an example's own words: those of `words` that it lacks have the ids behind it, in the order in
---which they come first (the extended vocabulary of a pointer-generator, See et al. 2017).
---@param vocabulary Vocabulary
---@param words string[] of the example's source
---@return Vocabulary extended the list of its own words is extended.own
function m.extend(vocabulary, words)
    local meta = getmetatable(vocabulary)
    if meta ~= Vocabulary and meta ~= Extended then
        error(("text.extend: vocabulary is %s, expected one of text.vocabulary"):format(fields.describe(vocabulary)), 2)
    end
    if type(words) ~= "table" then
        error(("text.extend: words is %s, expected a list of words"):format(fields.describe(words)), 2)
    end
    local extended = {base = vocabulary, own = {}, unknown = vocabulary.unknown,
        words = setmetatable({}, {__index = vocabulary.words}), ids = setmetatable({}, {__index = vocabulary.ids})}
    for i, word in ipairs(words) do
        if type(word) ~= "string" then
            error(("text.extend: word %d is %s, expected a string"):format(i, fields.describe(word)), 2)
        end
        if not extended.ids[word] then
            local id = #vocabulary + #extended.own + 1
            extended.own[#extended.own + 1], extended.words[id], extended.ids[word] = word, word, id
        end
    end
    return setmetatable(extended, Extended)
end

-- The different words of a sentence that are not in `without`, in order; counts them.
local function different(words, counts, without)
    local list, here = {}, {}
    for _, word in ipairs(words) do
        if not here[word] and not without[word] then
            list[#list + 1], counts[word] = word, (counts[word] or 0) + 1
        end
        here[word] = true
    end
    return list
end

---A dictionary from sentences and their translations: for a source word the target word with the largest Dice coefficient of the two,
---2 n(both) / (n(source word) + n(target word)), n counting sentences; none below `least`.
---@param sources string[][]
---@param targets string[][]
---@param options? {without: any, least: number?} without: a vocabulary whose words are nothing to translate by
---@return table<string, string>
function m.dictionary(sources, targets, options)
    local cfg = fields.read("text.dictionary", options or {}, {
        {"without", "any", expected = "a vocabulary", methods = {"id"}}, {"least", "number", 0.1}})
    if #sources ~= #targets then
        error(("text.dictionary: %d sources, %d targets, expected as many of both"):format(#sources, #targets), 2)
    end
    local known = cfg.without and cfg.without.ids or {}
    local n_source, n_target, n_both, dictionary = {}, {}, {}, {}
    for i, source in ipairs(sources) do
        local translations = different(targets[i], n_target, known)
        for _, word in ipairs(different(source, n_source, {})) do
            local with = n_both[word] or {}
            for _, translation in ipairs(translations) do with[translation] = (with[translation] or 0) + 1 end
            n_both[word] = with
        end
    end
    for word, with in pairs(n_both) do
        local most = cfg.least
        for translation, both in pairs(with) do
            local dice = 2 * both / (n_source[word] + n_target[translation])
            if dice > most or dice == most and translation < (dictionary[word] or "\xff") then
                dictionary[word], most = translation, dice
            end
        end
    end
    return dictionary
end

---Replaces `<unk>` in a translation by the source word it looked at most (Luong et al. 2015; Jean et al. 2015).
---@param words string[] the translation
---@param source string[] the words of the source sentence
---@param weights any attention weights [T, S], a tensor or a list of lists
---@param options? {unknown: string?, dictionary: table<string, string>?} dictionary: source word -> its translation
---@return string[] words, integer replaced
function m.replace_unknown(words, source, weights, options)
    local cfg = fields.read("text.replace_unknown", options or {}, {
        {"unknown", "string", "<unk>"}, {"dictionary", "table", {}}})
    local rows, replaced, out = nil, 0, {}
    for t, word in ipairs(words) do
        out[t] = word
        if word == cfg.unknown then
            rows = rows or (type(weights) == "table" and weights or weights and weights:totable()) or {}
            local row, best = rows[t], nil
            for j = 1, row and #source or 0 do
                if row[j] and (not best or row[j] > row[best]) then best = j end
            end
            if best then
                out[t] = cfg.dictionary[source[best]] or source[best]
                replaced = replaced + 1
            end
        end
    end
    return out, replaced
end

-- Byte-pair encoding -------------------------------------------------------------------------------------------------
-- Units are characters at first; the most frequent neighbouring pair becomes a unit, again and again. A word that
-- follows a space begins with U+2581, so that a line comes back exactly from its units (runs of spaces become one; a
-- U+2581 of the text comes back as a space). Letters and punctuation are never merged with each other.

local SPACE = "\u{2581}"

local function characters(word)
    local list = {}
    local stray = word:match("^[\x80-\xBF]+")       -- continuation bytes without a first byte
    for byte in (stray or ""):gmatch(".") do list[#list + 1] = byte end
    for character in word:gmatch("[^\x80-\xBF][\x80-\xBF]*") do list[#list + 1] = character end
    return list
end

-- The pieces of a line within which pairs are merged.
local function pieces(line)
    local list = {}
    for word in line:gmatch("%S+") do
        local prefix = SPACE
        for letters, mark in word:gmatch("([%w\x80-\xFF]*)([^%w\x80-\xFF]?)") do
            if letters ~= "" then
                list[#list + 1] = prefix .. letters
                prefix = ""
            end
            if mark ~= "" then
                list[#list + 1] = prefix .. mark
                prefix = ""
            end
        end
    end
    return list
end

---@class Bpe
---@field merges string[][] pairs in the order learned, to be saved and given back as `merges`
local Bpe = {}
Bpe.__index = Bpe
Bpe.__name = "bpe"

function Bpe:__tostring() return ("bpe  %d merges"):format(#self.merges) end

-- The units with every `left` before a `right` joined to it, from the left.
local function join(units, left, right)
    local joined, i = {}, 1
    while i <= #units do
        if units[i] == left and units[i + 1] == right then
            joined[#joined + 1] = left .. right
            i = i + 2
        else
            joined[#joined + 1] = units[i]
            i = i + 1
        end
    end
    return joined
end

-- Merges the units of one piece: the pair learned first is merged first, everywhere in the piece.
local function merge(ranks, units)
    while #units > 1 do
        local best, best_rank
        for i = 1, #units - 1 do
            local after = ranks[units[i]]
            local rank = after and after[units[i + 1]]
            if rank and (not best or rank < best_rank) then best, best_rank = i, rank end
        end
        if not best then break end
        units = join(units, units[best], units[best + 1])
    end
    return units
end

-- What `units` makes of each piece of a line, in one list. Lines repeat their words: what was made is kept.
local function encode(self, name, line, split, units)
    if type(line) ~= "string" then error(("%s: line is a %s, expected a string"):format(name, type(line)), 3) end
    local list = {}
    for _, piece in ipairs(split(line)) do
        local found = self.cache[piece]
        if not found then
            if self.cached >= 100000 then self.cache, self.cached = {}, 0 end
            found = units(self, piece)
            self.cache[piece], self.cached = found, self.cached + 1
        end
        table.move(found, 1, #found, #list + 1, list)
    end
    return list
end

local function word_units(self, piece) return merge(self.rank, characters(piece)) end

---Units of a line.
---@param line string
---@return string[]
function Bpe:encode(line) return (encode(self, "bpe", line, pieces, word_units)) end

---The line of a list of units.
---@param words string[]
---@return string
function Bpe:decode(words)
    return (table.concat(words):gsub(SPACE, " "):gsub("^ ", ""))
end

-- A binary heap of pairs, largest count first, then the smaller pair in byte order. Counts in it may be out of date:
-- an entry is good only if its count is still the pair's.
local function before(a, b)
    if a.count ~= b.count then return a.count > b.count end
    local p, q = a.pair, b.pair
    if p.left ~= q.left then return p.left < q.left end
    return p.right < q.right
end

local function push(heap, entry)
    local i = #heap + 1
    heap[i] = entry
    while i > 1 do
        local parent = i // 2
        if not before(heap[i], heap[parent]) then break end
        heap[i], heap[parent] = heap[parent], heap[i]
        i = parent
    end
end

local function pop(heap)
    local top, last = heap[1], table.remove(heap)
    if #heap > 0 then
        heap[1] = last
        local i = 1
        while true do
            local child = 2 * i
            if child > #heap then break end
            if child < #heap and before(heap[child + 1], heap[child]) then child = child + 1 end
            if not before(heap[child], heap[i]) then break end
            heap[i], heap[child] = heap[child], heap[i]
            i = child
        end
    end
    return top
end

-- The best pair of a heap whose count is still its own.
local function pop_pair(heap)
    while #heap > 0 do
        local entry = pop(heap)
        if entry.count == entry.pair.count then return entry.pair end
    end
end

-- How often each piece stands in the lines, and the pieces in the order in which they are first met.
local function count_pieces(lines)
    local counts, words = {}, {}
    for i, line in ipairs(lines) do
        if type(line) ~= "string" then
            error(("text.bpe: line %d is a %s, expected a string"):format(i, type(line)), 4)
        end
        for _, piece in ipairs(pieces(line)) do
            if not counts[piece] then
                counts[piece] = 0
                words[#words + 1] = piece
            end
            counts[piece] = counts[piece] + 1
        end
    end
    return counts, words
end

local function learn(lines, count, min_count)
    local counts, words = count_pieces(lines)

    -- pairs[left][right] = {left, right, count, words = {word -> true}}; only the words that hold a pair are touched
    -- when it is merged. A set may hold words that lost the pair meanwhile: they are looked at and left.
    local known, touched, is_touched = {}, {}, {}
    local function change(left, right, word, by)
        local row = known[left]
        if not row then
            row = {}
            known[left] = row
        end
        local pair = row[right]
        if not pair then
            pair = {left = left, right = right, count = 0, words = {}}
            row[right] = pair
        end
        pair.count = pair.count + by
        if by > 0 then pair.words[word] = true end
        if not is_touched[pair] then
            is_touched[pair] = true
            touched[#touched + 1] = pair
        end
    end
    local function change_all(word, units, by)
        for k = 1, #units - 1 do change(units[k], units[k + 1], word, by) end
    end
    for i, piece in ipairs(words) do
        local word = {units = characters(piece), count = counts[piece], place = i}
        change_all(word, word.units, word.count)
    end

    local heap, merges = {}, {}
    while #merges < count do
        for _, pair in ipairs(touched) do
            if pair.count >= min_count then push(heap, {pair = pair, count = pair.count}) end
        end
        touched, is_touched = {}, {}
        local best = pop_pair(heap)
        if not best then break end
        merges[#merges + 1] = {best.left, best.right}
        local holders = best.words
        best.words = {}
        for word in pairs(holders) do       -- order does not matter: counts are sums
            local joined = join(word.units, best.left, best.right)
            if #joined < #word.units then
                change_all(word, word.units, -word.count)
                change_all(word, joined, word.count)
                word.units = joined
            end
        end
    end
    return merges
end

---Byte-pair encoding learned from lines, or restored from saved merges.
---@param lines string[]?
---@param options {merges: integer|string[][], min_count: integer?}
---@return Bpe
function m.bpe(lines, options)
    local cfg = fields.read("text.bpe", options, {
        {"merges", "any", required = true}, {"min_count", "integer", 2, least = 1}})
    local merges = cfg.merges
    if type(merges) ~= "table" then
        if type(merges) ~= "number" or not math.tointeger(merges) or merges < 0 then
            error(("text.bpe: merges is %s, expected their number or a list of pairs"):format(tostring(merges)), 2)
        elseif type(lines) ~= "table" then
            error(("text.bpe: lines is a %s, expected a list of strings"):format(type(lines)), 2)
        end
        merges = learn(lines, merges, cfg.min_count)
    end
    local rank = {}
    for i, pair in ipairs(merges) do
        if type(pair) ~= "table" or type(pair[1]) ~= "string" or type(pair[2]) ~= "string" then
            error(("text.bpe: merges[%d] is not a pair of strings"):format(i), 2)
        end
        rank[pair[1]] = rank[pair[1]] or {}
        rank[pair[1]][pair[2]] = i
    end
    return setmetatable({merges = merges, rank = rank, cache = {}, cached = 0}, Bpe)
end

-- Byte-level byte-pair encoding --------------------------------------------------------------------------------------
-- The tokens of GPT-2 (Radford et al. 2019): a line is cut into pieces by
--     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
-- and the bytes of each piece are merged, so that every string has tokens and comes back from them. In the files a byte
-- that cannot be printed stands as another character: the n-th of these bytes as U+0100 + n.

local byte_of = {}              -- character of the files -> byte
do
    local n = 0
    for byte = 0, 255 do
        local plain = byte >= 33 and byte <= 126 or byte >= 161 and byte <= 172 or byte >= 174
        byte_of[utf8.char(plain and byte or 256 + n)] = string.char(byte)
        if not plain then n = n + 1 end
    end
end

-- The bytes that a token of the files stands for, or nil.
local function token_bytes(token)
    local bytes = {}
    if not utf8.len(token) then return nil end
    for character in token:gmatch(utf8.charpattern) do
        local byte = byte_of[character]
        if not byte then return nil end
        bytes[#bytes + 1] = byte
    end
    return table.concat(bytes)
end

local LETTER, NUMBER, SPACE_CLASS, OTHER = 1, 2, 3, 4
local class_of = {}             -- filled as characters are met
for code = 9, 13 do class_of[code] = SPACE_CLASS end
class_of[32] = SPACE_CLASS
for _, space in ipairs(spaces) do class_of[utf8.codepoint(space)] = SPACE_CLASS end

local function class(code)
    local known = class_of[code]
    if not known then
        local category = attn.unicode.category(code):sub(1, 1)
        known = category == "L" and LETTER or category == "N" and NUMBER or OTHER
        class_of[code] = known
    end
    return known
end

-- Class and first byte of each character, and one place more. A byte that is not UTF-8 is a character of its own.
local function classes(line)
    local list, first, n, i = {}, {}, 0, 1
    local valid = utf8.len(line)
    while i <= #line do
        n = n + 1
        first[n] = i
        if valid or utf8.len(line, i, i) then
            local code = utf8.codepoint(line, i)
            list[n] = class(code)
            i = i + (code < 0x80 and 1 or code < 0x800 and 2 or code < 0x10000 and 3 or 4)
        else
            list[n] = OTHER
            i = i + 1
        end
    end
    first[n + 1] = #line + 1
    return list, first, n
end

local contractions = {["'s"] = true, ["'t"] = true, ["'m"] = true, ["'d"] = true, ["'re"] = true, ["'ve"] = true,
    ["'ll"] = true}

-- The pieces of a line, each as bytes.
local function byte_pieces(line)
    local list = {}
    local kind, first, n = classes(line)
    local i = 1
    while i <= n do
        local at, last = first[i], i
        local short = line:byte(at) == 39 and (contractions[line:sub(at, at + 1)] and 2
            or contractions[line:sub(at, at + 2)] and 3)
        if short then
            last = i + short - 1
        elseif kind[i] ~= SPACE_CLASS or line:byte(at) == 32 and i < n and kind[i + 1] ~= SPACE_CLASS then
            local start = kind[i] == SPACE_CLASS and i + 1 or i
            last = start
            while last < n and kind[last + 1] == kind[start] do last = last + 1 end
        else
            while last < n and kind[last + 1] == SPACE_CLASS do last = last + 1 end
            if last < n and last > i then last = last - 1 end       -- the last one goes with what follows
        end
        list[#list + 1] = line:sub(at, first[last + 1] - 1)
        i = last + 1
    end
    return list
end

---@class ByteBpe
local ByteBpe = {}
ByteBpe.__index = ByteBpe
ByteBpe.__name = "byte_bpe"

function ByteBpe:__len() return self.count end

function ByteBpe:__tostring() return ("byte_bpe  %d tokens, %d merges"):format(self.count, self.merges) end

local function byte_ids(self, piece)
    local bytes = {}
    for i = 1, #piece do bytes[i] = piece:sub(i, i) end
    local ids = merge(self.rank, bytes)
    for i, unit in ipairs(ids) do
        ids[i] = self.ids[unit] or error(("byte_bpe: the encoder has no token %q"):format(unit), 4)
    end
    return ids
end

---Ids of a text, which may be any bytes.
---@param line string
---@return integer[]
function ByteBpe:encode(line) return (encode(self, "byte_bpe", line, byte_pieces, byte_ids)) end

---The text of a list of ids.
---@param ids integer[]
---@return string
function ByteBpe:decode(ids)
    local parts = {}
    for i, id in ipairs(ids) do
        parts[i] = self.tokens[id] or error(("byte_bpe: no token has the id %s"):format(tostring(id)), 2)
    end
    return table.concat(parts)
end

---The bytes of one token.
function ByteBpe:token(id)
    return self.tokens[id] or error(("byte_bpe: no token has the id %s"):format(tostring(id)), 2)
end

---Reads the byte-level encoding of GPT-2 from its two files, plain or gzip.
---@param cfg {encoder: string, merges: string, shift: integer?}
---@return ByteBpe
function m.byte_bpe(cfg)
    cfg = fields.read("text.byte_bpe", cfg, {
        {"encoder", "string", required = true}, {"merges", "string", required = true},
        {"shift", "integer", 0, least = 0}})
    local function bad(path, ...) error(("text.byte_bpe: %s: %s"):format(path, (...):format(select(2, ...))), 3) end
    local ok, object = pcall(attn.json.decode, table.concat(attn.lines(cfg.encoder), "\n"))
    if not ok then bad(cfg.encoder, "%s", (tostring(object):gsub("^.*json%.decode: ", ""))) end
    if type(object) ~= "table" or type(next(object)) ~= "string" then
        bad(cfg.encoder, "expected a JSON object of tokens and their ids")
    end
    local self = {ids = {}, tokens = {}, rank = {}, merges = 0, count = 0, cache = {}, cached = 0}
    for token, id in pairs(object) do
        -- a special token such as <|endoftext|> is only text: encode never gives it
        local bytes = token_bytes(token)
        if math.type(id) ~= "integer" or id < 0 then bad(cfg.encoder, "the id of '%s' is no integer", token) end
        if not bytes then bad(cfg.encoder, "the token '%s' stands for no bytes", token) end
        if self.tokens[id + cfg.shift] then bad(cfg.encoder, "the id %d is given twice", id) end
        self.ids[bytes], self.tokens[id + cfg.shift] = id + cfg.shift, bytes
        self.count = self.count + 1
    end
    for i, line in ipairs(attn.lines(cfg.merges)) do
        if not (i == 1 and line:match "^#version") and line ~= "" then
            local left, right = line:match "^(%S+) (%S+)$"
            left, right = left and token_bytes(left), right and token_bytes(right)
            if not left or not right then bad(cfg.merges, "line %d is not a pair of tokens", i) end
            if not self.ids[left .. right] then bad(cfg.merges, "line %d makes a token the encoder has not", i) end
            self.merges = self.merges + 1
            self.rank[left] = self.rank[left] or {}
            self.rank[left][right] = self.rank[left][right] or self.merges
        end
    end
    return setmetatable(self, ByteBpe)
end

attn.describe{name = "text.words", signature = "words(line) -> list of strings",
    help = "Words of a line by the tokenisation 13a: punctuation stands alone, except . and , inside numbers.",
    example = 'require "attn.text".words "A man, smiling."'}
attn.describe{name = "text.split", signature = "split(line) -> list of strings",
    help = "Words of a line that has blanks between them: what a data set that is cut already needs.",
    example = 'require "attn.text".split "it is n\'t bad"'}
attn.describe{name = "text.join", signature = "join(words) -> line",
    help = "A line from words, spaces where prose has them; words(join(w)) gives w again.",
    example = 'require "attn.text".join{"A", "man", ",", "smiling", "."}'}
attn.describe{name = "text.vocabulary",
    signature = "vocabulary(lists, {of = {}, size =, min_count = 1, specials = {\"<unk>\", \"<s>\", \"</s>\"}, words =}) -> "
        .. "vocabulary",
    help = "Words of the lists with ids from 1: the specials, then the most frequent first (ties in byte order),\n"
        .. "at most size in all, each seen min_count times or more. Lists may be deep (documents of sentences); of names the\n"
        .. "fields of records that are counted: vocabulary({sets.train, sets.dev}, {of = {\"question\", \"answer\"}}).\n"
        .. "v:encode(words), however deep, v:decode(ids), v:id(word), v:word(id), v:fold(ids), #v. v.words is the list of\n"
        .. "words; vocabulary(nil, {words = list}) makes the same vocabulary again.",
    example = 'local v = require "attn.text".vocabulary({{words = {"a", "b", "a"}}}, {of = {"words"}, size = 5})\n'
        .. 'print(#v, v:id "a", #v:encode{{"a", "b"}, {"c"}})'}
attn.describe{name = "text.characters", signature = "characters{NAME = string, ...} -> {NAME = ids [n], ...}, vocabulary",
    help = "Texts (the parts of one, say) as ids of their characters, which are bytes: from 1 in the order of their values, of\n"
        .. "those that occur. With data.windows what a language model of characters reads.",
    example = 'local ids, alphabet = require "attn.text".characters{train = "to be", dev = "or not"}\n'
        .. 'print(ids.dev, table.concat(alphabet:decode(ids.dev:totable())))'}
attn.describe{name = "text.extend", signature = "extend(vocabulary, words) -> vocabulary",
    help = "The vocabulary grown by an example's own words: those of words (the source) that it lacks have the ids\n"
        .. "behind it. x:encode, x:decode, x:id and #x as of any vocabulary, for source and target alike; x.own lists\n"
        .. "its own words. v:fold(ids) turns ids above v into <unk>, for an embedding. A copying model, with search.copy:\n"
        .. "    source[i] = x[i]:encode(words), target[i] = x[i]:encode(answer)      lists, batched and padded as any\n"
        .. "    loss = attn.loss.copy(logits, weights, gate, batch.source, batch.target_out)",
    example = 'local text = require "attn.text"\n'
        .. 'local x = text.extend(text.vocabulary{{"my", "name", "is"}}, {"i", "am", "Zork"})\n'
        .. 'print(x:decode(x:encode{"my", "name", "is", "Zork"})[4])'}
attn.describe{name = "text.dictionary", signature = "dictionary(sources, targets, {without = vocabulary, least = 0.1}) -> {[word] = translation}",
    help = "A dictionary from sentences and their translations, lists of words: for a source word the target word that shares most\n"
        .. "sentences with it, by the Dice coefficient 2 n(both) / (n(source word) + n(target word)), if that is at least least.\n"
        .. "without: a vocabulary whose words are left out; what is left is what an <unk> may stand for (text.replace_unknown).",
    example = 'local text = require "attn.text"\n'
        .. 'print(text.dictionary({{"a", "dog"}, {"the", "dog"}}, {{"ein", "Hund"}, {"der", "Hund"}}).dog)'}
attn.describe{name = "text.replace_unknown",
    signature = "replace_unknown(words, source, weights [T, S], {unknown = \"<unk>\", dictionary =}) -> words, count",
    help = "Each unknown word becomes the source word with the largest weight at that step, or its entry in the\n"
        .. "dictionary (text.dictionary).",
    example = 'require "attn.text".replace_unknown({"ein", "<unk>"}, {"a", "Xy"}, {{0.9, 0.1}, {0.2, 0.8}})'}
attn.describe{name = "text.bpe", signature = "bpe(lines, {merges =, min_count = 2}) -> bpe",
    help = "Byte-pair encoding: merges is how many to learn from the lines, or the list b.merges of an earlier\n"
        .. "one (lines nil). b:encode(line) gives subword units, b:decode(units) the line.",
    example = 'local b = require "attn.text".bpe({"low lower lowest"}, {merges = 10})'}
attn.describe{name = "text.byte_bpe", signature = "byte_bpe{encoder = path, merges = path, shift = 0} -> byte_bpe",
    help = "The byte-level encoding of GPT-2, from its files encoder.json and vocab.bpe (plain or gzip).\n"
        .. "b:encode(text) gives ids, b:decode(ids) the text again, whatever its bytes; #b is the number of tokens.\n"
        .. "Ids are those of the file, which begin at 0; for an embedding, where 0 is padding, take shift = 1.",
    example = 'local data = require "attn.data"\n'
        .. 'if data.find "gpt2_bpe/vocab.bpe" then\n'
        .. '    local bpe = attn.text.byte_bpe{encoder = data.path "gpt2_bpe/encoder.json.gz", merges = data.path "gpt2_bpe/vocab.bpe"}\n'
        .. '    print(#bpe:encode "attention is all you need")\nend'}

return m
