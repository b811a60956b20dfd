-- corpus_ag_news: titles and descriptions of news (Zhang, Zhao and LeCun 2015).
--
-- A record: {title = {...}, words = {...} (the description), class = 1 (World), 2 (Sports), 3 (Business), 4 (Sci/Tech)}. Words are cut as
-- text.words cuts them and lower-cased.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"
local text = require "attn.text"

local function read(path, options)
    fields.read("corpus.ag_news", options, {}, 3)
    local sets = {classes = attn.lines(path "classes.txt")}
    for _, part in ipairs{"train", "dev", "test"} do
        sets[part] = {}
        for i, row in ipairs((data.tsv(path(part .. ".tsv"), {columns = {"class", "title", "words"}}))) do
            local class = math.tointeger(tonumber(row.class))
            if not sets.classes[class] then error(("corpus.ag_news: %s.tsv: line %d: '%s' is no class"):format(part, i, row.class), 0) end
            sets[part][i] = {title = text.words(row.title:lower()), words = text.words(row.words:lower()), class = class}
        end
    end
    return sets
end

return {folder = "ag_news", files = {"classes.txt", "train.tsv", "dev.tsv", "test.tsv"}, read = read,
    origin = "AG's news (Zhang et al. 2015): ag_news_csv of the GitHub repository mhjabreel/CharCnn_Keras, as lines class, title, description with "
        .. "tabs between: classes.txt, train.tsv, dev.tsv, test.tsv"}
