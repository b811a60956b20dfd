-- corpus_cmudict: words and how they are spoken (the Carnegie Mellon Pronouncing Dictionary).
--
-- A record is {word = {"a", "b", "a", "d", "i"}, phones = {"AH0", "B", ...}}: letters (lower case, and the apostrophe),
-- phones of ARPAbet, vowels with their stress. Options: stress = false takes the stress away; most: so many records of
-- each part, spread evenly over it (the files are in the order of the alphabet).
local data = require "attn.data"
local fields = require "attn.fields"

local function read(path, options)
    options = fields.read("corpus.cmudict", options, {{"stress", "boolean", true},
        {"most", "integer", math.maxinteger, least = 1}}, 3)
    local sets = {}
    for _, part in ipairs{"train", "dev", "test"} do
        local rows, set = data.tsv(path(part .. ".tsv"), {columns = {"word", "phones"}}), {}
        local count = math.min(options.most, #rows)
        for i = 1, count do
            local row, record = rows[(i - 1) * #rows // count + 1], {word = {}, phones = {}}
            for letter in row.word:gmatch "." do record.word[#record.word + 1] = letter end
            for phone in (options.stress and row.phones or row.phones:gsub("%d", "")):gmatch "%S+" do
                record.phones[#record.phones + 1] = phone
            end
            set[i] = record
        end
        sets[part] = set
    end
    return sets
end

return {folder = "cmudict", files = {"dev.tsv", "test.tsv", "train.tsv"}, read = read,
    origin = "The CMU Pronouncing Dictionary: cmudict.dict of the GitHub repository cmusphinx/cmudict, words of "
        .. "letters and \"'\", as train.tsv, dev.tsv, test.tsv: a word, a tab and its phones a line (by the MD5 of "
        .. "the word modulo 20: 0 test, 1 dev)"}
