-- corpus_semeval2010_task8: relations between two nominals of a sentence (Hendrickx et al. 2010).
--
-- A record: {words = {"the", "company", "fabricates", ...}, first = {2, 2}, second = {5, 5} (places of the first and last word of the two
-- nominals), class = 7, label = "Product-Producer(e2,e1)", id = 8002}. The parts' field `classes` lists the 19 labels. Words are cut as
-- text.words cuts them, also around a nominal, and lower-cased. There is no official development set: dev is the last 800 of training.
local data = require "attn.data"
local fields = require "attn.fields"
local text = require "attn.text"

local classes = {}
for _, relation in ipairs{"Cause-Effect", "Component-Whole", "Content-Container", "Entity-Destination", "Entity-Origin",
    "Instrument-Agency", "Member-Collection", "Message-Topic", "Product-Producer"} do
    classes[#classes + 1], classes[#classes + 2] = relation .. "(e1,e2)", relation .. "(e2,e1)"
end
classes[#classes + 1] = "Other"

local function record(id, sentence, label, class)
    local words, places = {}, {}
    local before, first, between, second, after = sentence:lower():match "^(.*)<e1>(.*)</e1>(.*)<e2>(.*)</e2>(.*)$"
    for i, piece in ipairs{before, first, between, second, after} do
        local start = #words + 1
        for _, word in ipairs(text.words(piece)) do words[#words + 1] = word end
        if i % 2 == 0 then places[i // 2] = {start, #words} end
    end
    return {id = id, words = words, first = places[1], second = places[2], label = label, class = class}
end

local function read_file(path, class)
    local list, lines = {}, data.lines(path)
    for i, line in ipairs(lines) do
        local id, sentence = line:match '^(%d+)\t"(.*)"%s*$'
        if id then
            local label = (lines[i + 1] or ""):match "^(%S+)%s*$"
            if not sentence:find "<e1>.*</e1>.*<e2>.*</e2>" or not class[label] then
                error(("corpus.semeval2010_task8: %s: line %d: no sentence with two nominals and a relation"):format(path, i),
                    0)
            end
            list[#list + 1] = record(math.tointeger(id), sentence, label, class[label])
        end
    end
    return list
end

local function read(path, options)
    fields.read("corpus.semeval2010_task8", options, {}, 3)
    local class = {}
    for i, label in ipairs(classes) do class[label] = i end
    local all = read_file(path "train.txt", class)
    local cut = math.max(0, #all - 800)
    return {train = table.move(all, 1, cut, 1, {}), dev = table.move(all, cut + 1, #all, 1, {}),
        test = read_file(path "test_8001-10000.txt", class), classes = classes}
end

return {folder = "semeval2010_task8", files = {"train.txt", "test_8001-10000.txt"}, read = read,
    origin = "SemEval-2010 task 8 (Hendrickx et al. 2010): TRAIN_FILE.TXT as train.txt, the first 2,000 sentences of "
        .. "TEST_FILE_FULL.TXT as test_8001-10000.txt (also in the GitHub repository "
        .. "sahitya0000/Relation-Classification)"}
