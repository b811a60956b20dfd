-- corpus_yelp_hat: reviews, and the words that people marked as those that decided their judgment (Sen et al. 2020).
--
-- Parts are by length: 50, 100, 100b (part 7 of the source) and 200 words. A record is a review: {words = {"out", "in", ...}, class = 2 (1
-- negative, 2 positive), maps = {{0, 1, ...}, ...} one for each annotator, answers = {"yes", ...} what they took the review for}.
-- Words are cut as in the file, at spaces, and lower-cased.
local data = require "attn.data"
local fields = require "attn.fields"

local parts = {"50", "100", "100b", "200"}
local columns = {"review", "worker", "label", "answer", "tokens", "map"}

local function read(path, options)
    fields.read("corpus.yelp_hat", options, {}, 3)
    local sets = {}
    for _, part in ipairs(parts) do
        local list, by_name = {}, {}
        for i, row in ipairs((data.tsv(path("ham_" .. part .. ".tsv"), {columns = columns}))) do
            local review = by_name[row.review]
            if not review then
                review = {words = {}, class = math.tointeger(row.label) + 1, maps = {}, answers = {}}
                for word in row.tokens:lower():gmatch "[^ ]+" do review.words[#review.words + 1] = word end
                by_name[row.review], list[#list + 1] = review, review
            end
            local map = {}
            for mark in row.map:gmatch "[01]" do map[#map + 1] = math.tointeger(mark) end
            if #map ~= #review.words then
                error(("corpus.yelp_hat: ham_%s.tsv: line %d marks %d words of %d"):format(part, i, #map, #review.words),
                    0)
            end
            review.maps[#review.maps + 1], review.answers[#review.answers + 1] = map, row.answer
        end
        sets[part] = list
    end
    return sets
end

return {folder = "yelp_hat", files = {"ham_50.tsv", "ham_100.tsv", "ham_100b.tsv", "ham_200.tsv"}, read = read,
    origin = "Yelp-HAT (Sen et al. 2020): raw_data of the GitHub repository cansusen/Human-Attention-for-Text-Classification, "
        .. "an annotation a line: review, worker, label 0 or 1, answer, tokens apart by spaces, a map of 0 and 1, apart by "
        .. "tabs"}
