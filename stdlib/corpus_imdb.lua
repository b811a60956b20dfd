-- corpus_imdb: film reviews, liked or not (Maas et al. 2011).
--
-- A record: {sentences = {{"i", "saw", ...}, ...}, class = 1 (negative) or 2 (positive), rating = 1 to 10}. Sentences end after . ! or ?
-- and at line breaks (<br />), words are cut as text.words cuts them and lower-cased. options = {limit = n}: the first n records of a part.
local corpus = require "attn.corpus"
local fields = require "attn.fields"
local text = require "attn.text"

local function read(path, options)
    local limit = fields.read("corpus.imdb", options, {{"limit", "integer", math.maxinteger, least = 1}}, 3).limit
    local sets = corpus.lines("imdb", path, {train = "train.tsv", dev = "dev.tsv", test = "test.tsv"}, function(line)
        local label, rating, review = line:match "^([01])\t(%d+)\t(.*)$"
        if not label then return nil, ": expected label, rating, text" end
        local sentences = {}
        for sentence in review:gsub("<br />", "\n"):gsub("([.!?])%s", "%1\n"):gmatch "[^\n]+" do
            local words = text.words(sentence:lower())
            if #words > 0 then sentences[#sentences + 1] = words end
        end
        return {sentences = sentences, class = tonumber(label) + 1, rating = tonumber(rating)}
    end, limit)
    sets.classes = {"negative", "positive"}
    return sets
end

return {folder = "imdb", files = {"train.tsv", "dev.tsv", "test.tsv"}, read = read,
    origin = "IMDB reviews (Maas et al. 2011): the folder aclImdb of the authors' archive, its files <id>_<rating>.txt as lines label (0, 1), "
        .. "rating, text, tabs between, in train.tsv, dev.tsv, test.tsv"}
