-- corpus_im2latex_sample: grey pictures of formulas and their LaTeX (a sample of Deng et al. 2017).
--
-- A record: {formula = {"\\alpha", "_", "1", ...}, image = i, width =, height =}, the size before the picture was padded with white; a
-- part's field `images` holds the pictures, uint8 [n, 1, 64, 384], image i of them. Formulas are cut into commands (\ and letters, or \
-- and one character) and single characters; blanks and \label{...}, which cannot be seen, are left out. Options longest and width leave
-- out formulas of more tokens and wider pictures, and cut the pictures to that width.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"

local function cut(formula)
    local tokens, at = {}, 1
    formula = formula:gsub("\\label%s*%b{}", "")
    while at <= #formula do
        local token = formula:match("^\\%a+", at) or formula:match("^\\.", at) or formula:match("^" .. utf8.charpattern, at)
        if not token:match "^%s$" and token ~= "\\ " then tokens[#tokens + 1] = token end
        at = at + math.max(1, #token)
    end
    return tokens
end

local function read(path, options)
    options = fields.read("corpus.im2latex_sample", options, {{"longest", "integer", math.maxinteger, least = 1},
        {"width", "integer", 384, least = 1, most = 384}}, 3)
    local sets = {}
    for part, name in pairs{train = "train", dev = "val", test = "test"} do
        local images, set, which = data.idx(path(name .. "-images-idx3-ubyte")):unsqueeze(2), {}, {}
        local rows = data.tsv(path(name .. ".tsv"), {columns = {"name", "width", "height", "formula"}})
        if #rows ~= #images then
            error(("corpus.im2latex_sample: %s has %d formulas and %d pictures"):format(name, #rows, #images), 0)
        end
        for i, row in ipairs(rows) do
            local formula, width = cut(row.formula), tonumber(row.width)
            if #formula <= options.longest and width <= options.width then
                which[#which + 1] = i
                set[#which] = {formula = formula, image = #which, width = width, height = tonumber(row.height)}
            end
        end
        set.images = images:index_select(1, attn.tensor(which, {dtype = "int64"})):narrow(4, 1, options.width)
        sets[part] = set
    end
    return sets
end

return {folder = "im2latex_sample", read = read, files = {"train-images-idx3-ubyte", "train.tsv", "val-images-idx3-ubyte", "val.tsv",
        "test-images-idx3-ubyte", "test.tsv"},
    origin = "a sample of im2latex (Deng et al. 2017): data/sample of the GitHub repository harvardnlp/im2markup, the pictures cropped to the "
        .. "formula, halved and padded with white to 64 x 384, as idx files [n, 64, 384] of bytes (train-images-idx3-ubyte ...; val, test), "
        .. "beside them train.tsv, val.tsv, test.tsv: name, width, height, formula"}
