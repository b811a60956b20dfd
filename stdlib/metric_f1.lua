-- metric_f1: precision, recall and F1 of classes, averaged.
--
-- Of one class P = right / predicted, R = right / actual, F1 = 2 P R / (P + R); a share of nothing is 0.
--   macro     the mean of the classes' P, of their R, of their F1, over classes that occur in targets or predictions
--   micro     of the counts summed over classes; with one label each and nothing ignored P = R = F1 = accuracy
--   semeval   SemEval-2010 Task 8 (Hendrickx et al. 2010), the official measure, (9+1)-way with directionality: labels are
--             Relation(e1,e2), Relation(e2,e1) or Other. A class is a relation without its direction; right is who has both.
--             The right relation in the wrong direction counts as predicted and as actual, not as right (scorer 1.2).
--             Macro over the relations of the targets (the nine, in the task's test set), Other left out.
local attn = require "attn"
local fields = require "attn.fields"
local lists = require "attn.metric_lists"

local m = {}

local function ratio(a, b) return b > 0 and a / b or 0 end

local function scores(right, predicted, actual)
    local p, r = ratio(right, predicted), ratio(right, actual)
    return {precision = p, recall = r, f1 = ratio(2 * p * r, p + r), right = right, predicted = predicted, actual = actual}
end

local function flatten(list, into)
    for _, entry in ipairs(list) do
        if type(entry) == "table" then flatten(entry, into) else into[#into + 1] = entry end
    end
    return into
end

-- Logits become ids; anything else stays.
local function ids(value)
    local logits = fields.describe(value):find "^float%d+ %[%d" and value:dim() > 1
    return logits and value:argmax(-1) or value
end

local function labels(name, list)
    if type(list[1]) == "table" then list = flatten(list, {}) end       -- ids of more than one dimension
    local read = {}
    for i = 1, #list do
        read[i] = type(list[i]) == "string" and list[i] or math.tointeger(list[i])
        if read[i] == nil then
            error(("metric.f1: %s[%d] is %s, expected a string or an integer"):format(name, i, fields.describe(list[i])), 3)
        end
    end
    return read
end

local function relation(name, list)
    local classes = {}
    for i, label in ipairs(list) do
        local class, a, b = tostring(label):match "^(.+)%(e([12]),e([12])%)$"
        if label == "Other" then
            class = label
        elseif not class or a == b then
            error(("metric.f1: %s[%d] is '%s', expected Relation(e1,e2), Relation(e2,e1) or Other"):format(name, i, label), 3)
        end
        classes[i] = class
    end
    return classes
end

---Precision, recall and F1, 0..1, of one label for each example.
---@param predictions string[]|integer[]|any labels, ids, or logits [..., V]
---@param targets string[]|integer[]|any labels or ids
---@param options? {average: "macro"|"micro"|"semeval", ignore: any[]} ignore: labels that are no class of the average
---@return {precision: number, recall: number, f1: number, classes: table<any, table>}
function m.f1(predictions, targets, options)
    local cfg = fields.read("metric.f1", options or {},
        {{"average", "string", "macro", choices = {"macro", "micro", "semeval"}}, {"ignore", "table"}})
    local semeval = cfg.average == "semeval"
    if semeval and cfg.ignore then error("metric.f1: ignore is given, expected none with average = 'semeval'", 2) end
    local guessed = lists.read("metric.f1", "predictions", ids(predictions))
    guessed = labels("predictions", guessed)
    local gold = lists.read("metric.f1", "targets", targets)
    gold = lists.read("metric.f1", "targets", labels("targets", gold), guessed, "predictions")
    if #gold == 0 then error("metric.f1: targets is empty", 2) end
    local guessed_class, gold_class = guessed, gold
    if semeval then guessed_class, gold_class = relation("predictions", guessed), relation("targets", gold) end

    local ignored = {}
    for _, label in ipairs(cfg.ignore or (semeval and {"Other"} or {})) do ignored[label] = true end
    local counts, order = {}, {}    -- order: a sum over pairs() would differ in its last bits from run to run
    local function count(class, field)
        if not counts[class] then
            counts[class] = {right = 0, predicted = 0, actual = 0}
            order[#order + 1] = class
        end
        counts[class][field] = counts[class][field] + 1
    end
    for i, label in ipairs(gold) do
        if label ~= 0 then
            count(gold_class[i], "actual")
            count(guessed_class[i], "predicted")
            if guessed[i] == label then count(gold_class[i], "right") end
        end
    end

    local classes, sum, total, n = {}, {0, 0, 0}, {0, 0, 0}, 0
    for _, class in ipairs(order) do
        local c = counts[class]
        local of = scores(c.right, c.predicted, c.actual)
        classes[class] = of
        if not ignored[class] then
            total = {total[1] + c.right, total[2] + c.predicted, total[3] + c.actual}
            if not semeval or c.actual > 0 then
                n = n + 1
                sum = {sum[1] + of.precision, sum[2] + of.recall, sum[3] + of.f1}
            end
        end
    end
    local result = scores(table.unpack(total))
    if cfg.average ~= "micro" then
        result = {precision = ratio(sum[1], n), recall = ratio(sum[2], n), f1 = ratio(sum[3], n)}
    end
    result.classes = classes
    return result
end

attn.describe{name = "metric.f1",
    signature = "f1(predictions, targets [, {average = \"macro\", ignore =}]) -> {precision =, recall =, f1 =, classes =}",
    help = "Precision, recall and F1 (0..1) of one label for each example: lists of strings or ids, or tensors of\n"
        .. "ids (predictions also logits [..., V]); targets of 0 are ignored. average is \"macro\" (the mean over\n"
        .. "the classes that occur, F1 the mean of their F1), \"micro\" (counts summed over classes) or \"semeval\",\n"
        .. "the official measure of SemEval-2010 Task 8: labels Relation(e1,e2), Relation(e2,e1) and Other,\n"
        .. "(9+1)-way with directionality, macro over the relations of the targets without Other. ignore lists\n"
        .. "labels that are left out of the average. A share of nothing is 0. classes has the numbers of each\n"
        .. "class, by label.",
    example = 'local metric = require "attn.metric"\nprint(metric.f1({"a", "b", "b"}, {"a", "a", "b"}).f1)\n'
        .. 'print(metric.f1({"Cause-Effect(e2,e1)", "Other"}, {"Cause-Effect(e1,e2)", "Other"}, {average = "semeval"}).f1)'}

return m
