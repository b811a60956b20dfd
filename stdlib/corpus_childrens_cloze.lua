-- corpus_childrens_cloze: a name is missing in the sentence after twenty others (in the form of Hill et al. 2016, CBT, from other books).
--
-- A record: {context = {{"Mary", "was", ...}, ... twenty}, query = {..., "XXXXX", ...}, answer = "Mary", candidates = {ten names}}. Words
-- are cut at blanks, their case is kept. options = {limit = n, numbered = seed}: the first n records of a part; with numbered the candidates of
-- each record are called "@1" to "@10", in a random order (Hermann et al. 2015), and the other words are lower-cased.
local corpus = require "attn.corpus"
local data = require "attn.data"
local fields = require "attn.fields"
local text = require "attn.text"

local function numbered(record, draw)
    local own, order = {}, data.permutation(#record.candidates, draw)
    for i, name in ipairs(record.candidates) do own[name] = "@" .. order[i] end
    local function words(list)
        local new = {}
        for i, word in ipairs(list) do new[i] = own[word] or word == "XXXXX" and word or word:lower() end
        return new
    end
    local context = {}
    for i, sentence in ipairs(record.context) do context[i] = words(sentence) end
    return {context = context, query = words(record.query), answer = own[record.answer], candidates = words(record.candidates)}
end

local function read(path, options)
    options = fields.read("corpus.childrens_cloze", options, {{"limit", "integer", math.maxinteger, least = 1}, {"numbered", "integer"}}, 3)
    local context = {}
    return corpus.lines("childrens_cloze", path, {train = "train.txt", dev = "valid.txt", test = "test.txt"}, function(line, n)
        local number, rest = line:match "^(%d+) (.*)$"
        if not number then
            if line ~= "" then return nil, " has no number" end
            return nil
        end
        local query, answer, list = rest:match "^(.-)\t([^\t]*)\t\t([^\t]*)$"
        if not query then
            context[#context + 1] = text.split(rest)
            return nil
        end
        local record = {context = context, query = text.split(query), answer = answer, candidates = {}}
        for candidate in list:gmatch "[^|]+" do table.insert(record.candidates, candidate) end
        context = {}
        return options.numbered and numbered(record, data.random(options.numbered, n)) or record
    end, options.limit)
end

return {folder = "childrens_cloze", files = {"train.txt", "valid.txt", "test.txt"}, read = read,
    origin = "cloze questions in the form of the Children's Book Test (Hill et al. 2016): 20 numbered sentences, then '21 query, answer, empty, "
        .. "candidates' with tabs between and | between candidates, an empty line; CBTest's NE files, or made from books, as "
        .. "train.txt, valid.txt, test.txt"}
