-- corpus_easy_vqa: questions about pictures of one coloured shape (Zhou 2019, easy-VQA); there is no development set.
--
-- A record: {question = {"what", "color", ...}, answer = class, image = i}; a part's field `images` holds the pictures, uint8
-- [n, 3, 64, 64], image i of them; `classes` lists the 13 answers. Words are cut as text.words cuts them.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"
local text = require "attn.text"

local function read(path, options)
    fields.read("corpus.easy_vqa", options, {}, 3)
    local sets, class = {classes = attn.lines(path "answers.txt")}, {}
    for i, answer in ipairs(sets.classes) do class[answer] = i end
    for _, part in ipairs{"train", "test"} do
        local set = {images = data.idx(path(part .. "-images-idx4-ubyte")):permute(1, 4, 2, 3)}
        for i, row in ipairs((data.tsv(path(part .. ".tsv"), {columns = {"image", "question", "answer"}}))) do
            set[i] = {question = text.words(row.question), image = tonumber(row.image) + 1,
                answer = class[row.answer] or error(("corpus.easy_vqa: %s.tsv: line %d: '%s' is no answer"):format(part, i, row.answer), 0)}
        end
        sets[part] = set
    end
    return sets
end

return {folder = "easy_vqa", read = read, files = {"answers.txt", "train-images-idx4-ubyte", "train.tsv", "test-images-idx4-ubyte", "test.tsv"},
    origin = "easy-VQA: easy_vqa/data of the GitHub repository vzhou842/easy-VQA, the pictures of train and test as idx files [n, 64, 64, 3] of "
        .. "bytes (train-images-idx4-ubyte, test-images-idx4-ubyte), the questions as train.tsv and test.tsv: picture, question, answer"}
