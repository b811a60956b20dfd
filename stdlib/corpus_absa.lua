-- corpus_absa: what is felt about an aspect of a sentence: restaurants and laptops (SemEval-2014 task 4), Twitter (Dong et al. 2014).
--
-- A record: {words = {...}, aspect = {first, last}, class = 1 (negative), 2 (neutral), 3 (positive), sentence = s}: aspect is where the
-- aspect stands among the words; records of the same sentence have the same s. Words are cut at blanks and lower-cased. There is no
-- development set. options = {domain = "restaurants" | "laptops" | "twitter"}.
local attn = require "attn"
local fields = require "attn.fields"

local polarity = {["-1"] = 1, ["0"] = 2, ["1"] = 3}

local function append(words, line)
    for word in line:lower():gmatch "%S+" do words[#words + 1] = word end
end

local function read(path, options)
    local domain = fields.read("corpus.absa", options, {{"domain", "string", "restaurants"}}, 3).domain
    local sets = {classes = {"negative", "neutral", "positive"}}
    for _, part in ipairs{"train", "test"} do
        local file, set, seen, count = domain .. "_" .. part .. ".txt", {}, {}, 0
        local lines = attn.lines(path(file))
        for i = 1, #lines, 3 do
            local before, after = lines[i]:match "^(.-)%$[Tt]%$(.*)$"
            local class = lines[i + 2] and polarity[lines[i + 2]:match "%-?%d"]
            if not before or not class then
                error(("corpus.absa: %s: line %d: expected a sentence with $T$, an aspect, -1, 0 or 1"):format(file, i), 0)
            end
            local words, aspect = {}, {}
            append(words, before)
            aspect[1] = #words + 1
            append(words, lines[i + 1])
            aspect[2] = #words
            append(words, after)
            local whole = table.concat(words, " ")
            if not seen[whole] then
                count = count + 1
                seen[whole] = count
            end
            set[#set + 1] = {words = words, aspect = aspect, class = class, sentence = seen[whole]}
        end
        sets[part] = set
    end
    return sets
end

return {folder = "absa", read = read, files = {"restaurants_train.txt", "restaurants_test.txt", "laptops_train.txt", "laptops_test.txt",
        "twitter_train.txt", "twitter_test.txt"},
    origin = "aspect sentiment, SemEval-2014 task 4 (Pontiki et al. 2014) and Twitter (Dong et al. 2014): datasets/semeval14/*.xml.seg and "
        .. "datasets/acl-14-short-data/*.raw of the GitHub repository songyouwei/ABSA-PyTorch, as restaurants_train.txt, "
        .. "restaurants_test.txt, laptops_... and twitter_..."}
