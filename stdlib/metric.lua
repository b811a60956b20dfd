-- metric: BLEU, accuracy, perplexity, bits, alignment error rate; F1, ROUGE, MAP and MRR, AUC and EVALB have files of
-- their own (metric_f1, metric_rouge, metric_ranking, metric_evalb).
--
-- BLEU (Papineni et al. 2002): BP exp(mean of log p_n, n = 1..4), p_n the clipped n-gram precision of the whole corpus,
-- BP = exp(min(0, 1 - r/c)). As the scorer of reference, sacreBLEU, does by default: on detokenised lines, its
-- tokenisation 13a, cased; a precision without a match counts as 1 / (2^k total), k counting such orders (exponential
-- smoothing); no match of any order is 0; of several references the one closest in length counts for BP, the shorter if
-- two are.
local attn = require "attn"
local fields = require "attn.fields"
local text = require "attn.text"

local m = {}
for _, name in ipairs{"f1", "rouge", "ranking", "evalb"} do
    for key, measure in pairs(require("attn.metric_" .. name)) do m[key] = measure end
end

-- Version of this implementation, in the signature where sacreBLEU names its own.
local VERSION = "attn.1"
local ORDER = 4

-- Counts of the n-grams of up to four words: one table, keys joined by a byte that no word contains.
local function ngrams(words)
    local counts = {}
    for first = 1, #words do
        local gram = words[first]
        counts[gram] = (counts[gram] or 0) + 1
        for last = first + 1, math.min(first + ORDER - 1, #words) do
            gram = gram .. "\n" .. words[last]
            counts[gram] = (counts[gram] or 0) + 1
        end
    end
    return counts
end

local function order(gram)
    local n = 1
    for _ in gram:gmatch("\n") do n = n + 1 end
    return n
end

local function check_lines(lines, name, count, level)
    if type(lines) ~= "table" then
        error(("metric.bleu: %s is a %s, expected a list of lines"):format(name, type(lines)), level + 1)
    elseif count and #lines ~= count then
        error(("metric.bleu: %s has %d lines, hypotheses %d"):format(name, #lines, count), level + 1)
    end
    for i = 1, #lines do
        if type(lines[i]) ~= "string" then
            error(("metric.bleu: line %d of %s is a %s, expected a string"):format(i, name, type(lines[i])), level + 1)
        end
    end
end

---@class Bleu
---@field score number 0..100
---@field precisions number[] of 1-grams to 4-grams, 0..100
---@field brevity number
---@field ratio number hypothesis_length / reference_length
---@field hypothesis_length integer
---@field reference_length integer
---@field signature string what was computed, in sacreBLEU's words

---BLEU of a corpus.
---@param hypotheses string[] detokenised lines
---@param references string[]|string[][] one list of lines, or several
---@return Bleu
function m.bleu(hypotheses, references)
    check_lines(hypotheses, "hypotheses", nil, 2)
    if type(references) ~= "table" then
        error(("metric.bleu: references is a %s, expected a list of lines"):format(type(references)), 2)
    end
    if #hypotheses == 0 then error("metric.bleu: hypotheses is empty", 2) end
    local sets = type(references[1]) == "table" and references or {references}
    for i, lines in ipairs(sets) do
        check_lines(lines, #sets > 1 and ("references[%d]"):format(i) or "references", #hypotheses, 2)
    end
    local correct, total, hyp_length, ref_length = {0, 0, 0, 0}, {0, 0, 0, 0}, 0, 0
    for i, line in ipairs(hypotheses) do
        local words = text.words(line)
        local most, closest = {}, nil
        for _, lines in ipairs(sets) do
            local reference = text.words(lines[i])
            local gap, best = math.abs(#reference - #words), closest and math.abs(closest - #words)
            if not closest or gap < best or gap == best and #reference < closest then closest = #reference end
            for gram, count in pairs(ngrams(reference)) do
                if count > (most[gram] or 0) then most[gram] = count end
            end
        end
        hyp_length, ref_length = hyp_length + #words, ref_length + closest
        for n = 1, ORDER do total[n] = total[n] + math.max(0, #words - n + 1) end
        for gram, count in pairs(ngrams(words)) do
            local match = math.min(count, most[gram] or 0)
            if match > 0 then
                local n = order(gram)
                correct[n] = correct[n] + match
            end
        end
    end

    local precisions, log_sum, smooth, complete = {0, 0, 0, 0}, 0, 1, true
    for n = 1, ORDER do
        if total[n] == 0 then
            complete = false
            break
        end
        if correct[n] == 0 then
            smooth = smooth * 2
            precisions[n] = 100 / (smooth * total[n])
        else
            precisions[n] = 100 * correct[n] / total[n]
        end
        log_sum = log_sum + math.log(precisions[n])
    end
    local brevity = 1
    if hyp_length < ref_length then
        brevity = hyp_length > 0 and math.exp(1 - ref_length / hyp_length) or 0
    end
    local any = correct[1] > 0
    if not any then precisions = {0, 0, 0, 0} end
    return {
        score = any and complete and brevity * math.exp(log_sum / ORDER) or 0,
        precisions = precisions, brevity = brevity, ratio = ref_length > 0 and hyp_length / ref_length or 0,
        hypothesis_length = hyp_length, reference_length = ref_length,
        signature = ("nrefs:%d|case:mixed|eff:no|tok:13a|smooth:exp|version:%s"):format(#sets, VERSION)}
end

---BLEU of the sentences whose source has a length in each of some ranges.
---@param hypotheses string[]
---@param references string[]
---@param lengths integer[] of the sources
---@param bounds integer[] the last length of each range but the open one at the end: {9, 12} is 1-9, 10-12, 13 and more
---@return {name: string, count: integer, score: number}[]
function m.bleu_by_length(hypotheses, references, lengths, bounds)
    for i, list in ipairs{hypotheses, references, lengths, bounds} do
        if type(list) ~= "table" then
            error(("metric.bleu_by_length: argument %d is a %s, expected a list"):format(i, type(list)), 2)
        end
    end
    if #lengths ~= #hypotheses or #references ~= #hypotheses then
        error(("metric.bleu_by_length: %d hypotheses, %d references, %d lengths"):format(#hypotheses, #references,
            #lengths), 2)
    end
    local rows, low = {}, 1
    for k = 1, #bounds + 1 do
        local high = bounds[k] or math.huge
        local some, ours = {}, {}
        for i, length in ipairs(lengths) do
            if length >= low and length <= high then
                some[#some + 1], ours[#ours + 1] = hypotheses[i], references[i]
            end
        end
        rows[k] = {name = bounds[k] and ("%d-%d"):format(low, high) or ("%d-"):format(low), count = #some,
            score = #some > 0 and m.bleu(some, ours).score or 0}
        low = high + 1
    end
    return rows
end

---The share of right answers, 0..1. Targets of 0 are ignored; without any other target it is 0.
---@param predictions any logits [..., V] or ids, a tensor
---@param targets any ids, int64
---@return number share, integer count of the targets that counted
function m.accuracy(predictions, targets)
    if type(predictions) ~= "userdata" or type(targets) ~= "userdata" then
        error(("metric.accuracy: expected two tensors, got a %s and a %s"):format(type(predictions), type(targets)), 2)
    end
    local ids = predictions
    if predictions.dtype ~= "int64" then ids = predictions:argmax(-1) end
    local a, b = ids.shape, targets.shape
    local same = #a == #b
    for d = 1, #a do same = same and a[d] == b[d] end
    if not same then
        error(("metric.accuracy: targets is [%s], expected [%s]"):format(table.concat(b, ", "),
            table.concat(a, ", ")), 2)
    end
    local counted = targets:ne(0):to("int64")
    local count = counted:sum():item()
    if count == 0 then return 0, 0 end
    local right = (ids:eq(targets):to("int64") * counted):sum():item()
    return right / count, count
end

---Perplexity: exp of the mean negative log-likelihood.
---@param nll number|any sum of the negative log-likelihoods (natural logarithm), a number or a tensor of one element
---@param count integer how many words it is the sum of
---@return number
function m.perplexity(nll, count)
    if type(nll) == "userdata" then nll = nll:item() end
    if type(nll) ~= "number" or type(count) ~= "number" or count <= 0 then
        error("metric.perplexity: expected a sum of negative log-likelihoods and the count of words", 2)
    end
    return math.exp(nll / count)
end

---Bits per character and per sequence: the negative log-likelihood in bits (nll / ln 2) over the count of each.
---@param nll number|any sum of the negative log-likelihoods (natural logarithm), a number or a tensor of one element
---@param characters integer how many characters it is the sum of
---@param sequences? integer how many sequences they are
---@return number per_character, number? per_sequence
function m.bits(nll, characters, sequences)
    local sum = nll
    if fields.describe(nll):find "%[" and nll:numel() == 1 then sum = nll:item() end
    if type(sum) ~= "number" or sum ~= sum then
        error(("metric.bits: nll is %s, expected a number"):format(sum ~= sum and "NaN" or fields.describe(nll)), 2)
    end
    for _, of in ipairs{{"characters", characters}, sequences ~= nil and {"sequences", sequences} or nil} do
        local name, count = of[1], of[2]
        if math.type(count) ~= "integer" or count < 1 then
            error(("metric.bits: %s is %s, expected an integer of at least 1"):format(name, fields.describe(count)), 2)
        end
    end
    local bits = sum / math.log(2)
    return bits / characters, sequences and bits / sequences
end

local function links(list, name)
    if type(list) ~= "table" then
        error(("metric.alignment_error_rate: %s is a %s, expected a list of links"):format(name, type(list)), 3)
    end
    local set = {}
    local function read(sentence, prefix)
        for i, link in ipairs(sentence) do
            if type(link) ~= "table" or math.type(link[1]) ~= "integer" or math.type(link[2]) ~= "integer" then
                error(("metric.alignment_error_rate: link %d of %s is no pair of integers"):format(i, name), 4)
            end
            set[("%s%d-%d"):format(prefix, link[1], link[2])] = true
        end
    end
    local first
    for _, entry in ipairs(list) do
        if type(entry) == "table" and entry[1] ~= nil then
            first = entry
            break
        end
    end
    if first and type(first[1]) ~= "table" then     -- one sentence: its links
        read(list, "")
    else
        for n, sentence in ipairs(list) do
            if type(sentence) ~= "table" then
                error(("metric.alignment_error_rate: sentence %d of %s is a %s, expected a list of links")
                    :format(n, name, type(sentence)), 3)
            end
            read(sentence, n .. ":")
        end
    end
    return set
end

---Alignment error rate (Och and Ney 2003): 1 - (|A and S| + |A and P|) / (|A| + |S|). P always includes S.
---@param sure integer[][]|integer[][][] links {i, j} of one sentence, or a list of such lists
---@param possible integer[][]|integer[][][]
---@param predicted integer[][]|integer[][][]
---@return number
function m.alignment_error_rate(sure, possible, predicted)
    local S, P, A = links(sure, "sure"), links(possible, "possible"), links(predicted, "predicted")
    local in_sure, in_possible, size_sure, size_predicted = 0, 0, 0, 0
    for _ in pairs(S) do size_sure = size_sure + 1 end
    for link in pairs(A) do
        size_predicted = size_predicted + 1
        if S[link] then in_sure = in_sure + 1 end
        if S[link] or P[link] then in_possible = in_possible + 1 end
    end
    if size_sure + size_predicted == 0 then return 0 end
    return 1 - (in_sure + in_possible) / (size_sure + size_predicted)
end

attn.describe{name = "metric.bleu",
    signature = "bleu(hypotheses, references) -> {score =, precisions =, brevity =, ratio =, hypothesis_length =,"
        .. " reference_length =, signature =}",
    help = "BLEU of detokenised lines, 0 to 100, equal to sacreBLEU's default (tokenisation 13a, cased,\n"
        .. "exponential smoothing). references is a list of lines, or a list of such lists when there are\n"
        .. "several.",
    example = 'require "attn.metric".bleu({"The cat sat."}, {"The cat sat down."}).score'}
attn.describe{name = "metric.bleu_by_length",
    signature = "bleu_by_length(hypotheses, references, lengths, bounds) -> list of {name =, count =, score =}",
    help = "BLEU of the sentences whose source length is in each range: bounds {9, 12} means 1-9, 10-12, 13-.",
    example = 'require "attn.metric".bleu_by_length({"a b c d"}, {"a b c d"}, {4}, {3})[2].score'}
attn.describe{name = "metric.accuracy", signature = "accuracy(logits [..., V] or ids, targets) -> share, count",
    help = "The share (0..1) of targets that are the most likely class, or equal to the ids; targets of 0 are ignored.",
    example = 'require "attn.metric".accuracy(attn.tensor{{0, 1}, {2, 1}}, attn.tensor({2, 2}, {dtype = "int64"}))'}
attn.describe{name = "metric.perplexity", signature = "perplexity(nll, count) -> number",
    help = "exp(nll / count), nll the summed negative log-likelihood of count words.",
    example = 'require "attn.metric".perplexity(69.3, 100)'}
attn.describe{name = "metric.bits", signature = "bits(nll, characters [, sequences]) -> per_character [, per_sequence]",
    help = "nll / ln 2 over the number of characters, and over that of sequences: nll is the summed negative\n"
        .. "log-likelihood (natural logarithm) of that many characters in that many sequences.",
    example = 'require "attn.metric".bits(69.3, 100, 5)'}
attn.describe{name = "metric.alignment_error_rate",
    signature = "alignment_error_rate(sure, possible, predicted) -> number",
    help = "1 - (|A and S| + |A and P|) / (|A| + |S|) of word alignments (Och and Ney 2003), each a list of\n"
        .. "links {i, j}, or one such list for each sentence. Sure links are possible ones too.",
    example = 'require "attn.metric".alignment_error_rate({{1, 1}}, {{1, 2}}, {{1, 1}, {2, 2}})'}

return m
