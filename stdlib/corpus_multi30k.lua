-- corpus_multi30k: sentences about pictures and their translations (Elliott et al. 2016).
--
-- A record has, for each side, the line as it is in the file and its words (text.words: cased, punctuation apart):
-- {source = {"A", "dog", "."}, target = {...}, source_line = "A dog.", target_line = "Ein Hund."}.
-- Options: source = "en", target = "de"; most = N: only so many records of each part.
local data = require "attn.data"
local fields = require "attn.fields"
local text = require "attn.text"

local parts = {train = "train", dev = "val", test = "test_2016_flickr"}

local function read(path, options)
    local languages = {"en", "de"}
    options = fields.read("corpus.multi30k", options, {{"source", "string", "en", choices = languages},
        {"target", "string", "de", choices = languages}, {"most", "integer", 0, least = 0}}, 3)
    local sets = {}
    for part, name in pairs(parts) do
        local source = data.lines(path(name .. "." .. options.source))
        local target = data.lines(path(name .. "." .. options.target))
        if #source ~= #target then error(("corpus.multi30k: %s has %d and %d lines"):format(name, #source, #target),
            0) end
        sets[part] = {}
        for i = 1, options.most > 0 and math.min(options.most, #source) or #source do
            sets[part][i] = {source = text.words(source[i]), target = text.words(target[i]), source_line = source[i],
                target_line = target[i]}
        end
    end
    return sets
end

local files = {}
for _, name in pairs(parts) do
    for _, language in ipairs{"en", "de"} do files[#files + 1] = name .. "." .. language end
end
table.sort(files)

return {folder = "multi30k", files = files, read = read,
    origin = "Multi30k, task 1, raw text (Elliott et al. 2016): the files train, val and test_2016_flickr (.en.gz, .de.gz) "
        .. "of the folder data/task1/raw of the GitHub repository multi30k/dataset"}
