-- corpus_shapes: yes/no questions about pictures of 3 x 3 coloured shapes (Andreas et al. 2016).
--
-- A record: {question = {"is", "a", "red", ...}, answer = 1 (no) or 2 (yes), image = i}; a part's field `images` holds the pictures,
-- uint8 [n, 3, 30, 30], image i of them. Words are cut at blanks.
local data = require "attn.data"
local fields = require "attn.fields"

local answers = {["false"] = 1, ["true"] = 2}

local function read(path, options)
    fields.read("corpus.shapes", options, {}, 3)
    local sets = {classes = {"no", "yes"}}
    for part, name in pairs{train = "train", dev = "val", test = "test"} do
        local set = {images = data.idx(path(name .. "-images-idx4-ubyte")):permute(1, 4, 2, 3)}
        for i, row in ipairs((data.tsv(path(name .. ".tsv"), {columns = {"image", "question", "answer", "form"}}))) do
            local words = {}
            for word in row.question:gmatch "%S+" do words[#words + 1] = word end
            set[i] = {question = words, image = tonumber(row.image) + 1,
                answer = answers[row.answer] or error(("corpus.shapes: %s.tsv: line %d: '%s' is no answer"):format(name, i, row.answer), 0)}
        end
        sets[part] = set
    end
    return sets
end

return {folder = "shapes", read = read, files = {"train-images-idx4-ubyte", "train.tsv", "val-images-idx4-ubyte", "val.tsv",
        "test-images-idx4-ubyte", "test.tsv"},
    origin = "SHAPES (Andreas et al. 2016): exp_shapes/shapes_dataset of the GitHub repository ronghanghu/n2nmn, the pictures of train.small, "
        .. "val and test as idx files [n, 30, 30, 3] of bytes (train-images-idx4-ubyte ...), beside them train.tsv, val.tsv, test.tsv with "
        .. "the number of the picture, question, true or false, logical form"}
