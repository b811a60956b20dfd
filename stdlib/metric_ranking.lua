-- metric_ranking: how well scores put the positives first: MAP and MRR over questions, AUC over one list; how alike two lists of
-- scores order: Kendall's tau.
--
-- Average precision of a question: the mean over its positive candidates of (positives up to there) / rank; reciprocal
-- rank: 1 / rank of the first positive. MAP and MRR are their means over questions, as trec_eval computes `map` and
-- `recip_rank`: a question without a positive candidate does not count; of candidates with equal scores the later one in the
-- list comes first, as trec_eval puts the greater document number first. So a constant score gains nothing from a list
-- that begins with its positives.
--
-- AUC: the share of pairs of a positive and a negative in which the positive scores higher, equal ones counting half: the
-- area under the ROC curve by the trapezoidal rule, the statistic U of Mann and Whitney over the number of pairs.
local attn = require "attn"
local fields = require "attn.fields"
local lists = require "attn.metric_lists"

local m = {}

---Mean average precision and mean reciprocal rank, 0..1.
---@param scores number[][]|any a list for each question, or [N, C]
---@param labels any[][]|any true or 1 for a right candidate, in the same order
---@return {map: number, mrr: number, questions: integer, excluded: integer}
function m.map_mrr(scores, labels)
    local where = "metric.map_mrr"
    local questions = lists.read(where, "scores", scores)
    local answers = lists.read(where, "labels", labels, questions, "scores")
    if #questions == 0 then error("metric.map_mrr: scores is empty", 2) end
    local precisions, reciprocals, count = 0, 0, 0
    for q = 1, #questions do
        local name = ("scores[%d]"):format(q)
        local list = lists.read(where, name, questions[q])
        local flags = lists.read(where, ("labels[%d]"):format(q), answers[q], list, name)
        lists.check_scores(where, name, list)
        flags = lists.read_flags(where, ("labels[%d]"):format(q), flags)
        local order = {}
        for i = 1, #list do order[i] = i end
        table.sort(order, function(a, b)
            if list[a] ~= list[b] then return list[a] > list[b] end
            return a > b
        end)
        local found, sum, first = 0, 0, nil
        for rank, i in ipairs(order) do
            if flags[i] then
                found, first = found + 1, first or rank
                sum = sum + found / rank
            end
        end
        if found > 0 then
            precisions, reciprocals, count = precisions + sum / found, reciprocals + 1 / first, count + 1
        end
    end
    local any = math.max(count, 1)
    return {map = precisions / any, mrr = reciprocals / any, questions = count, excluded = #questions - count}
end

---Area under the ROC curve, 0..1; 0.5 is chance.
---@param scores number[]|any
---@param labels any[]|any true or 1 for a positive
---@return number
function m.auc(scores, labels)
    local list = lists.read("metric.auc", "scores", scores)
    local flags = lists.read("metric.auc", "labels", labels, list, "scores")
    lists.check_scores("metric.auc", "scores", list)
    flags = lists.read_flags("metric.auc", "labels", flags)
    local order, positives = {}, 0
    for i = 1, #list do
        order[i] = i
        if flags[i] then positives = positives + 1 end
    end
    local negatives = #list - positives
    if positives == 0 or negatives == 0 then
        error(("metric.auc: labels has %d positives and %d negatives, expected at least one of each"):format(positives,
            negatives), 2)
    end
    table.sort(order, function(a, b) return list[a] < list[b] end)
    local below, twice, i = 0, 0, 1             -- negatives so far; 2 U, an integer
    while i <= #order do
        local up, down, score = 0, 0, list[order[i]]
        while i <= #order and list[order[i]] == score do
            if flags[order[i]] then up = up + 1 else down = down + 1 end
            i = i + 1
        end
        twice, below = twice + up * (2 * below + down), below + down
    end
    return twice / (2 * positives * negatives)
end

---Kendall's tau-b: pairs that both lists order alike less pairs that they order differently, over the geometric mean of the
---pairs that each orders at all; 0 where a list has one value only.
---@param a number[]|any
---@param b number[]|any
---@return number -1..1
function m.kendall(a, b)
    local left = lists.read("metric.kendall", "a", a)
    local right = lists.read("metric.kendall", "b", b, left, "a")
    lists.check_scores("metric.kendall", "a", left)
    lists.check_scores("metric.kendall", "b", right)
    local sum, first, second = 0, 0, 0
    for i = 2, #left do
        for k = 1, i - 1 do
            local x, y = left[i] > left[k] and 1 or left[i] < left[k] and -1 or 0, right[i] > right[k] and 1
                or right[i] < right[k] and -1 or 0
            sum, first, second = sum + x * y, first + x * x, second + y * y
        end
    end
    return first * second == 0 and 0.0 or sum / math.sqrt(first * second)
end

---Pearson's correlation of two lists of numbers; 0 where a list has one value only.
---@param a number[]|any
---@param b number[]|any
---@return number -1..1
function m.pearson(a, b)
    local left = lists.read("metric.pearson", "a", a)
    local right = lists.read("metric.pearson", "b", b, left, "a")
    lists.check_scores("metric.pearson", "a", left)
    lists.check_scores("metric.pearson", "b", right)
    local n, x, y, xx, yy, xy = #left, 0, 0, 0.0, 0.0, 0.0
    for i = 1, n do x, y = x + left[i] / n, y + right[i] / n end
    for i = 1, n do
        local dx, dy = left[i] - x, right[i] - y
        xx, yy, xy = xx + dx * dx, yy + dy * dy, xy + dx * dy
    end
    return xx * yy == 0 and 0.0 or xy / math.sqrt(xx * yy)
end

attn.describe{name = "metric.map_mrr",
    signature = "map_mrr(scores, labels) -> {map =, mrr =, questions =, excluded =}",
    help = "Mean average precision and mean reciprocal rank (0..1) over questions, for each a list of scores of its\n"
        .. "candidates and a list of labels (true or 1: right), or tensors [N, C]. As trec_eval: questions without\n"
        .. "a right candidate are excluded, and of equal scores the later candidate of the list ranks first.\n"
        .. "Without any question that counts both are 0.",
    example = 'require "attn.metric".map_mrr({{0.9, 0.2, 0.5}}, {{0, 0, 1}}).mrr'}
attn.describe{name = "metric.auc", signature = "auc(scores, labels) -> number",
    help = "Area under the ROC curve: the share of pairs of a positive (label true or 1) and a negative (false or 0)\n"
        .. "in which the positive scores higher; equal scores count half. Needs one of each.",
    example = 'require "attn.metric".auc({0.1, 0.4, 0.35, 0.8}, {0, 0, 1, 1})'}
attn.describe{name = "metric.kendall", signature = "kendall(a, b) -> number",
    help = "How alike two lists of numbers are ordered, Kendall's tau-b: 1 for the same order, -1 for the opposite one, ties\n"
        .. "of one list taken out of its pairs; 0 where a list has one value only.",
    example = 'require "attn.metric".kendall({0.1, 0.7, 0.2}, {1, 3, 2})'}
attn.describe{name = "metric.pearson", signature = "pearson(a, b) -> number",
    help = "Pearson's correlation of two lists of numbers, or tensors [n]; 0 where a list has one value only.",
    example = 'require "attn.metric".pearson({0.1, 0.7, 0.2}, {1, 3, 2})'}

return m
