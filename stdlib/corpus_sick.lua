-- corpus_sick: pairs of sentences, how related they are and whether one follows from the other (Marelli et al. 2014).
--
-- A record: {left = {"a", "dog", ...}, right = {...}, score = 4.5 (1 to 5), class = 2, label = "ENTAILMENT"}; the parts' field `classes`
-- lists the labels. Words are cut as text.words cuts them and lower-cased.
local data = require "attn.data"
local fields = require "attn.fields"
local text = require "attn.text"

local classes = {"NEUTRAL", "ENTAILMENT", "CONTRADICTION"}

local function read(path, options)
    fields.read("corpus.sick", options, {}, 3)
    local sets, class = {classes = classes}, {}
    for i, label in ipairs(classes) do class[label] = i end
    for part, file in pairs{train = "train.tsv", dev = "trial.tsv", test = "test.tsv"} do
        sets[part] = {}
        for i, row in ipairs((data.tsv(path(file), {header = true}))) do
            sets[part][i] = {left = text.words(row.sentence_A:lower()), right = text.words(row.sentence_B:lower()),
                score = tonumber(row.relatedness_score), label = row.entailment_judgment,
                class = class[row.entailment_judgment]
                    or error(("corpus.sick: %s: line %d: '%s' is no judgment"):format(file, i + 1, row.entailment_judgment), 0)}
        end
    end
    return sets
end

return {folder = "sick", files = {"train.tsv", "trial.tsv", "test.tsv"}, read = read,
    origin = "SICK (Marelli et al. 2014): SICK_train.txt, SICK_trial.txt and SICK_test_annotated.txt of SemEval-2014 task 1, "
        .. "as train.tsv, trial.tsv and test.tsv (also data/sts/sick2014 of the GitHub repository brmson/dataset-sts)"}
