-- corpus_childrens_cloze: a name is missing in the sentence after twenty others (in the form of Hill et al. 2016, CBT, from other books).
--
-- A record: {context = {{"Mary", "was", ...}, ... twenty}, query = {..., "XXXXX", ...}, answer = "Mary", candidates = {ten names}}. Words
-- are cut at blanks, their case is kept. options = {limit = n, numbered = seed}: the first n records of a part; with numbered the candidates of
-- each record are called "@1" to "@10", in a random order (Hermann et al. 2015), and the other words are lower-cased.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"

local function words_of(line)
    local words = {}
    for word in line:gmatch "%S+" do words[#words + 1] = word end
    return words
end

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
    local limit, sets = options.limit, {}
    for part, name in pairs{train = "train", dev = "valid", test = "test"} do
        local set, context = {}, {}
        for i, line in ipairs(attn.lines(path(name .. ".txt"))) do
            local number, rest = line:match "^(%d+) (.*)$"
            local query, answer, candidates = (rest or ""):match "^(.-)\t([^\t]*)\t\t([^\t]*)$"
            if query then
                local list = {}
                for candidate in candidates:gmatch "[^|]+" do list[#list + 1] = candidate end
                set[#set + 1] = {context = context, query = words_of(query), answer = answer, candidates = list}
                context = {}
                if options.numbered then set[#set] = numbered(set[#set], data.random(options.numbered, #set)) end
                if #set == limit then break end
            elseif number then
                context[#context + 1] = words_of(rest)
            elseif line ~= "" then
                error(("corpus.childrens_cloze: %s.txt: line %d has no number"):format(name, i), 0)
            end
        end
        sets[part] = set
    end
    return sets
end

return {folder = "childrens_cloze", files = {"train.txt", "valid.txt", "test.txt"}, read = read,
    origin = "cloze questions in the form of the Children's Book Test (Hill et al. 2016): 20 numbered sentences, then '21 query, answer, empty, "
        .. "candidates' with tabs between and | between candidates, an empty line; CBTest's NE files, or made from books, as "
        .. "train.txt, valid.txt, test.txt"}
