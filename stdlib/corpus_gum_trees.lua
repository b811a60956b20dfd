-- corpus_gum_trees: constituent trees of English (GUM; Zeldes 2017), from six genres.
--
-- A record is {tree = "(ROOT (S (NP (PRP it)) ...))", words = {"it", ...}, tags = {"PRP", ...}}; words are as in the
-- tree, brackets among them as -LRB- and the like. Options: longest: only trees of so many words; most: only so many
-- of a part.
local data = require "attn.data"
local fields = require "attn.fields"
local trees = require "attn.trees"

local function read(path, options)
    options = fields.read("corpus.gum_trees", options, {{"longest", "integer", math.maxinteger, least = 1},
        {"most", "integer", math.maxinteger, least = 1}}, 3)
    local sets = {}
    for _, part in ipairs{"train", "dev", "test"} do
        local set = {}
        for _, line in ipairs(data.lines(path(part .. ".ptb"))) do
            local words, tags = trees.words(line)
            if #set < options.most and #words <= options.longest then
                set[#set + 1] = {tree = line, words = words, tags = tags}
            end
        end
        sets[part] = set
    end
    return sets
end

return {folder = "gum_trees", files = {"dev.ptb", "test.ptb", "train.ptb"}, read = read,
    origin = "GUM, the Georgetown University Multilayer corpus (Zeldes 2017): const/GUM_*.ptb of the GitHub repository "
        .. "amir-zeldes/gum, one tree a line, its documents of academic, court, bio, voyage, news and interview as "
        .. "train.ptb, dev.ptb and test.ptb by splits.md"}
