-- metric_evalb: labelled brackets of predicted trees against gold trees, by the conventions of EVALB (Sekine and Collins
-- 1997) with its parameters COLLINS.prm:
--
--   words        a tag (a bracket around a word) is no constituent. Tags of `delete` go with their word: traces (-NONE-)
--                and the punctuation , : `` '' . ; what dominates no word any more goes too
--   top          constituents of `delete` (TOP) lose their bracket, what they hold stays; so does a bracket without label
--   labels       function tags go: NP-SBJ and NP=2 are NP. Labels of a pair of `equal_labels` (ADVP, PRT) are the same
--   unary        every constituent counts, also several over the same words; equal label and span n times in one tree
--                and m times in the other match min(n, m) times
--   averages     precision, recall and F1 of the counts of all sentences; exact is the share of sentences whose
--                brackets all match
--   sentences    of which the words differ (after deletion), or the predicted tree is no tree, are errors; those with an
--                empty prediction are skipped. Neither counts in any score: look at the numbers of both
local attn = require "attn"
local fields = require "attn.fields"
local lists = require "attn.metric_lists"

local m = {}

local COLLINS = {delete = {"TOP", "-NONE-", ",", ":", "``", "''", "."}, equal_labels = {{"ADVP", "PRT"}}, equal_words = {}}

local function ratio(a, b) return b > 0 and a / b or 0 end

-- word -> the one that stands for all that are equal to it
local function classes(name, pairs_of)
    local same = {}
    for i, pair in ipairs(pairs_of) do
        if type(pair) ~= "table" or type(pair[1]) ~= "string" or type(pair[2]) ~= "string" then
            error(("metric.evalb: %s[%d] is %s, expected a pair of strings"):format(name, i, fields.describe(pair)), 3)
        end
        local kept, gone = same[pair[1]] or pair[1], same[pair[2]] or pair[2]
        same[kept] = kept
        same[gone] = kept
        for word, class in pairs(same) do
            if class == gone then same[word] = kept end
        end
    end
    return same
end

-- NP-SBJ=2 -> NP, -NONE- stays
local function plain(label) return label:match "^[^-=]+" or label end

-- Words and constituents ("label first last" -> how many) of a line of brackets, how many those are; or nil and why not.
local function read(line, rules)
    local words, spans, count, stack = {}, {}, 0, {}
    local at = 1
    while true do
        local first, last, token = line:find("^%s*([()])", at)
        if not first then first, last, token = line:find("^%s*([^%s()]+)", at) end
        if not first then break end
        at = last + 1
        local top = stack[#stack]
        if token == "(" then
            if top and top.word then return nil, "a word and a bracket in one bracket" end
            if top then top.inner = true end
            stack[#stack + 1] = {from = #words}
        elseif not top then
            return nil, ("'%s' outside brackets"):format(token)
        elseif token == ")" then
            stack[#stack] = nil
            if top.word then
                if not rules.delete[top.label] then words[#words + 1] = rules.equal_words[top.word] or top.word end
            elseif top.label and #words > top.from then
                local label = plain(top.label)
                if not rules.delete[label] then
                    local key = ("%s %d %d"):format(rules.equal_labels[label] or label, top.from, #words)
                    spans[key], count = (spans[key] or 0) + 1, count + 1
                end
            end
        elseif top.inner or top.word then
            return nil, ("'%s' after what a bracket holds"):format(token)
        elseif top.label then
            top.word = token
        else
            top.label = token
        end
    end
    if #stack > 0 then return nil, ("%d brackets are not closed"):format(#stack) end
    return words, spans, count
end

local function same_words(a, b)
    if #a ~= #b then return false end
    for i = 1, #a do
        if a[i] ~= b[i] then return false end
    end
    return true
end

local function check_lines(name, list)
    for i = 1, #list do
        if type(list[i]) ~= "string" then
            error(("metric.evalb: %s[%d] is %s, expected a tree as a string"):format(name, i, fields.describe(list[i])), 3)
        end
    end
end

---@class Evalb
---@field precision number
---@field recall number
---@field f1 number
---@field exact number share of sentences
---@field sentences integer that count
---@field errors integer sentences
---@field skipped integer sentences
---@field matched integer brackets
---@field predicted integer brackets
---@field gold integer brackets

---Labelled bracket precision, recall, F1 and exact match, 0..1, by EVALB's conventions.
---@param predicted string[] trees: (S (NP (PRP it)) (VP (VBZ works)))
---@param gold string[]
---@param options? {delete: string[], equal_labels: string[][], equal_words: string[][]} default: COLLINS.prm
---@return Evalb
function m.evalb(predicted, gold, options)
    local cfg = fields.read("metric.evalb", options or {}, {{"delete", "table", COLLINS.delete},
        {"equal_labels", "table", COLLINS.equal_labels}, {"equal_words", "table", COLLINS.equal_words}})
    local rules = {delete = {}, equal_labels = classes("equal_labels", cfg.equal_labels),
        equal_words = classes("equal_words", cfg.equal_words)}
    for _, label in ipairs(cfg.delete) do rules.delete[label] = true end
    local ours = lists.read("metric.evalb", "predicted", predicted)
    local theirs = lists.read("metric.evalb", "gold", gold, ours, "predicted")
    if #ours == 0 then error("metric.evalb: predicted is empty", 2) end

    check_lines("predicted", ours)
    check_lines("gold", theirs)
    local matched, total, total_gold, exact, errors, skipped = 0, 0, 0, 0, 0, 0
    for i = 1, #ours do
        local gold_words, gold_spans, gold_count = read(theirs[i], rules)
        if not gold_words then error(("metric.evalb: gold[%d] is no tree: %s"):format(i, gold_spans), 2) end
        local words, spans, count = read(ours[i], rules)
        if not ours[i]:find "%S" then
            skipped = skipped + 1
        elseif not words or not same_words(words, gold_words) then
            errors = errors + 1
        else
            local common = 0
            for key, n in pairs(spans) do common = common + math.min(n, gold_spans[key] or 0) end
            if common == count and common == gold_count then exact = exact + 1 end
            matched, total, total_gold = matched + common, total + count, total_gold + gold_count
        end
    end
    local sentences = #ours - errors - skipped
    local p, r = ratio(matched, total), ratio(matched, total_gold)
    return {precision = p, recall = r, f1 = ratio(2 * p * r, p + r), exact = ratio(exact, sentences), sentences = sentences,
        errors = errors, skipped = skipped, matched = matched, predicted = total, gold = total_gold}
end

attn.describe{name = "metric.evalb",
    signature = "evalb(predicted, gold [, {delete =, equal_labels =, equal_words =}]) -> {precision =, recall =, f1 =,"
        .. " exact =, sentences =, errors =, skipped =, matched =, predicted =, gold =}",
    help = "Labelled brackets of predicted against gold trees, strings like (S (NP (PRP it)) (VP (VBZ works))), by the\n"
        .. "conventions of EVALB with COLLINS.prm; scores are 0..1, of the counts of all sentences. Tags are no\n"
        .. "brackets. delete lists tags that go with their word (traces and the punctuation , : `` '' .) and\n"
        .. "constituents that lose their bracket (TOP); what holds no word any more goes. Function tags go (NP-SBJ\n"
        .. "is NP); labels of a pair of equal_labels ({{\"ADVP\", \"PRT\"}}) and words of one of equal_words (none) are\n"
        .. "the same. Unary chains count bracket by bracket, equal ones as often as they are in both. A sentence\n"
        .. "whose words differ, or whose prediction is no tree, is one of errors, an empty prediction one of\n"
        .. "skipped; neither counts in the scores. exact is the share of the rest whose brackets all match.",
    example = 'require "attn.metric".evalb({"(TOP (S (NP (PRP it)) (VP (VBZ works)) (. .)))"},\n'
        .. '    {"(TOP (S (NP-SBJ (PRP it)) (VP (VBZ works)) (. .)))"}).f1'}

return m
