-- corpus_trecqa: questions and sentences that may answer them (Wang et al. 2007), tokenised.
--
-- A record is a candidate: {group = 3, question = {"who", "killed", ...}, answer = {...}, right = true}; group counts the questions of
-- a part, and candidates of one question stand together. Words are cut at spaces and lower-cased.
-- Options: most: only so many words of an answer.
local data = require "attn.data"
local fields = require "attn.fields"

local function words(line, most)
    local list = {}
    for word in line:lower():gmatch "%S+" do
        if #list == most then break end
        list[#list + 1] = word
    end
    return list
end

-- Pairs of a file of lines `question <tab> answer <tab> 0|1`, for data sets of this form.
local function read(path, options)
    options = fields.read("corpus.trecqa", options, {{"most", "integer", math.maxinteger, least = 1}}, 3)
    local sets = {}
    for _, part in ipairs{"train", "dev", "test"} do
        local list, last, group = {}, nil, 0
        for i, row in ipairs(data.tsv(path(part .. ".tsv"), {columns = {"question", "answer", "label"}})) do
            if row.question ~= last then last, group = row.question, group + 1 end
            list[i] = {group = group, question = words(row.question), answer = words(row.answer, options.most),
                right = row.label == "1"}
        end
        sets[part] = list
    end
    return sets
end

return {folder = "trecqa", files = {"train.tsv", "dev.tsv", "test.tsv"}, read = read,
    origin = "TREC QA, answer sentences (Wang, Smith and Mitamura 2007): data/anssel/wang of the GitHub repository "
        .. "brmson/dataset-sts, columns question, answer, label (0 or 1) apart by tabs, without header and quotes"}
