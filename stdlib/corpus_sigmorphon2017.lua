-- corpus_sigmorphon2017: words and their inflected forms (CoNLL-SIGMORPHON 2017, task 1, of the large training sets).
--
-- A record is {lemma = {"k", "u", "z", "u"}, form = {"k", ...}, tags = {"N", "LOC", "SG"}}, letters as characters
-- of UTF-8. Options: language = "german" or "turkish"; most: only so many records of each part.
local data = require "attn.data"
local fields = require "attn.fields"

local function letters(word)
    local list = {}
    for letter in word:gmatch(utf8.charpattern) do list[#list + 1] = letter end
    return list
end

local function read(path, options)
    options = fields.read("corpus.sigmorphon2017", options, {
        {"language", "string", "german", choices = {"german", "turkish"}},
        {"most", "integer", math.maxinteger, least = 1}}, 3)
    local sets = {}
    for _, part in ipairs{"train", "dev", "test"} do
        local rows = data.tsv(path(("%s_%s.tsv"):format(options.language, part)), {columns = {"lemma", "form", "tags"}})
        sets[part] = {}
        for i = 1, math.min(options.most, #rows) do
            local tags = {}
            for tag in rows[i].tags:gmatch "[^;]+" do tags[#tags + 1] = tag end
            sets[part][i] = {lemma = letters(rows[i].lemma), form = letters(rows[i].form), tags = tags}
        end
    end
    return sets
end

local files = {}
for _, language in ipairs{"german", "turkish"} do
    for _, part in ipairs{"dev", "test", "train"} do files[#files + 1] = ("%s_%s.tsv"):format(language, part) end
end

return {folder = "sigmorphon2017", files = files, read = read,
    origin = "CoNLL-SIGMORPHON 2017, task 1: of the GitHub repository sigmorphon/conll2017 "
        .. "all/task1/LANGUAGE-train-high, all/task1/LANGUAGE-dev and answers/task1/LANGUAGE-uncovered-test, as "
        .. "LANGUAGE_train.tsv, LANGUAGE_dev.tsv and LANGUAGE_test.tsv, for german and turkish"}
