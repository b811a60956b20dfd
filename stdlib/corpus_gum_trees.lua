-- corpus_gum_trees: constituent trees of English (GUM; Zeldes 2017), from six genres.
--
-- A record is {tree = "(ROOT (S (NP (PRP it)) ...))", words = {"it", ...}, tags = {"PRP", ...}}; words are as in the
-- tree, brackets among them as -LRB- and the like. Options: longest: only trees of so many words; most: only so many
-- of a part.
local corpus = require "attn.corpus"
local fields = require "attn.fields"
local trees = require "attn.trees"

local function read(path, options)
    options = fields.read("corpus.gum_trees", options, {{"longest", "integer", math.maxinteger, least = 1},
        {"most", "integer", math.maxinteger, least = 1}}, 3)
    return corpus.lines("gum_trees", path, {train = "train.ptb", dev = "dev.ptb", test = "test.ptb"}, function(line)
        local words, tags = trees.words(line)
        return #words <= options.longest and {tree = line, words = words, tags = tags} or nil
    end, options.most)
end

return {folder = "gum_trees", files = {"dev.ptb", "test.ptb", "train.ptb"}, read = read,
    origin = "GUM, the Georgetown University Multilayer corpus (Zeldes 2017): const/GUM_*.ptb of the GitHub repository "
        .. "amir-zeldes/gum, one tree a line, its documents of academic, court, bio, voyage, news and interview as "
        .. "train.ptb, dev.ptb and test.ptb by splits.md"}
