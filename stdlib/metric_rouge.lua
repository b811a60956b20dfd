-- metric_rouge: ROUGE-1, ROUGE-2, ROUGE-L (Lin 2004).
--
-- ROUGE-N: n-grams in common, counted with multiplicity, over those of the reference (recall), of the hypothesis (precision).
-- ROUGE-L: the longest common subsequence of the two lines over their lengths; sentence level, a line is one sequence. F is
-- the harmonic mean (beta = 1, alpha = 0.5 of ROUGE-1.5.5). Tokens of a line are those of ROUGE-1.5.5 and rouge-score
-- without stemming: lower case, runs of a-z and 0-9, everything else is white space. A share of nothing is 0.
-- Of a corpus: the mean over its lines of precision, of recall, of F.
local attn = require "attn"
local fields = require "attn.fields"
local lists = require "attn.metric_lists"

local m = {}

local function read(name, list)
    local all = {}
    for i = 1, #list do
        local line = list[i]
        if type(line) == "string" then
            local words = {}
            for word in line:lower():gmatch "[a-z0-9]+" do words[#words + 1] = word end
            all[i] = words
        elseif type(line) == "table" then
            for k = 1, #line do
                if type(line[k]) ~= "string" and math.type(line[k]) ~= "integer" then
                    error(("metric.rouge: word %d of %s[%d] is %s, expected a string or an id"):format(k, name, i,
                        fields.describe(line[k])), 3)
                end
            end
            all[i] = line
        else
            error(("metric.rouge: %s[%d] is %s, expected a line or a list of words"):format(name, i, fields.describe(line)), 3)
        end
    end
    return all
end

local function grams(words, n)
    local counts = {}
    for i = 1, #words - n + 1 do
        local gram = n == 1 and words[i] or words[i] .. "\n" .. words[i + 1]
        counts[gram] = (counts[gram] or 0) + 1
    end
    return counts
end

local function common_grams(a, b, n)
    local ours, theirs, common = grams(a, n), grams(b, n), 0
    for gram, count in pairs(ours) do common = common + math.min(count, theirs[gram] or 0) end
    return common
end

-- Length of the longest common subsequence, one row at a time.
local function common_subsequence(a, b)
    local row = {}
    for j = 0, #b do row[j] = 0 end
    for i = 1, #a do
        local diagonal = 0
        for j = 1, #b do
            local best = a[i] == b[j] and diagonal + 1 or math.max(row[j], row[j - 1])
            diagonal, row[j] = row[j], best
        end
    end
    return row[#b]
end

local function add(sum, common, hypothesis, reference)
    local p = hypothesis > 0 and common / hypothesis or 0
    local r = reference > 0 and common / reference or 0
    sum.precision, sum.recall = sum.precision + p, sum.recall + r
    sum.f1 = sum.f1 + (p + r > 0 and 2 * p * r / (p + r) or 0)
end

---ROUGE of lines, 0..1, the mean over lines.
---@param hypotheses string[]|any[][] lines, or lists of words or ids, taken as they are
---@param references string[]|any[][]
---@return {rouge1: table, rouge2: table, rougeL: table} each {precision =, recall =, f1 =}
function m.rouge(hypotheses, references)
    local ours = lists.read("metric.rouge", "hypotheses", hypotheses)
    local theirs = lists.read("metric.rouge", "references", references, ours, "hypotheses")
    if #ours == 0 then error("metric.rouge: hypotheses is empty", 2) end
    ours, theirs = read("hypotheses", ours), read("references", theirs)
    local result = {}
    for _, kind in ipairs{"rouge1", "rouge2", "rougeL"} do result[kind] = {precision = 0, recall = 0, f1 = 0} end
    for i, a in ipairs(ours) do
        local b = theirs[i]
        add(result.rouge1, common_grams(a, b, 1), #a, #b)
        add(result.rouge2, common_grams(a, b, 2), math.max(0, #a - 1), math.max(0, #b - 1))
        add(result.rougeL, common_subsequence(a, b), #a, #b)
    end
    for _, of in pairs(result) do
        for name, value in pairs(of) do of[name] = value / #ours end
    end
    return result
end

attn.describe{name = "metric.rouge",
    signature = "rouge(hypotheses, references) -> {rouge1 =, rouge2 =, rougeL =}, each {precision =, recall =, f1 =}",
    help = "ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), 0..1, the mean over the lines. Lines are cut into runs of\n"
        .. "a-z and 0-9 of the line in lower case, without stemming, as ROUGE-1.5.5 does; a list of words or ids\n"
        .. "instead of a line is taken as it is. ROUGE-L is that of sentences: a line is one sequence. A line without\n"
        .. "words scores 0.",
    example = 'require "attn.metric".rouge({"police kill the gunman"}, {"police killed the gunman"}).rougeL.f1'}

return m
