-- BLEU, ROUGE, F1, rankings, brackets against values of the scorers of reference, worked by hand, and slow definitions.
local attn, t = require "attn", require "attn.test"
local data, metric, text = require "attn.data", require "attn.metric", require "attn.text"

-- The definition, order by order, with lists instead of tables of counts.
local function slow_bleu(hypotheses, references)
    local hits, totals, c, r = {}, {}, 0, 0
    for n = 1, 4 do
        hits[n], totals[n] = 0, 0
        for i = 1, #hypotheses do
            local h, ref = text.words(hypotheses[i]), text.words(references[i])
            if n == 1 then c, r = c + #h, r + #ref end
            local used = {}
            for a = 1, #h - n + 1 do
                totals[n] = totals[n] + 1
                for b = 1, #ref - n + 1 do
                    if not used[b] and table.concat(h, " ", a, a + n - 1) == table.concat(ref, " ", b, b + n - 1) then
                        used[b], hits[n] = true, hits[n] + 1
                        break
                    end
                end
            end
        end
    end
    if hits[1] == 0 then return 0 end
    local product, k = 1, 1
    for n = 1, 4 do
        if totals[n] == 0 then return 0 end
        if hits[n] == 0 then k = k * 2 end
        product = product * (hits[n] > 0 and hits[n] / totals[n] or 1 / (k * totals[n]))
    end
    return 100 * math.min(1, c > 0 and math.exp(1 - r / c) or 0) * product ^ 0.25
end

t.case("bleu of the example of sacreBLEU's documentation, two references", function()
    local result = metric.bleu(
        {"The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."},
        {{"The dog bit the man.", "It was not unexpected.", "The man bit him first."},
         {"The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."}})
    t.equal(("%.2f"):format(result.score), "48.53")
    t.equal(("%.1f/%.1f/%.1f/%.1f"):format(table.unpack(result.precisions)), "82.4/50.0/45.5/37.5")
    t.equal(("%.3f"):format(result.brevity), "0.943")
    t.equal(result.hypothesis_length, 17)
    t.equal(result.reference_length, 18)
    t.equal(result.signature:match "^(.*)version:", "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|")
end)

t.case("bleu equals the definition on random sentences, long and short", function()
    local draw = data.random(7)
    local words = {"a", "b", "c", "dog", "Dog", ",", ".", "3.5", "10,000"}
    local function sentence()
        local list = {}
        for i = 1, draw(9) - 1 do list[i] = words[draw(#words)] end
        return table.concat(list, " ")
    end
    for _ = 1, 60 do
        local hypotheses, references = {}, {}
        for i = 1, draw(4) do
            hypotheses[i], references[i] = sentence(), sentence()
        end
        t.near(metric.bleu(hypotheses, references).score, slow_bleu(hypotheses, references), 1e-9)
    end
end)

t.case("bleu: identical lines 100, nothing in common 0, no 4-gram 0, an order without match smoothed", function()
    t.near(metric.bleu({"a b c d e"}, {"a b c d e"}).score, 100, 1e-12)
    t.equal(metric.bleu({"a b c d"}, {"e f g h"}).score, 0)
    t.equal(metric.bleu({"a b c"}, {"a b c"}).score, 0)
    -- 4 of 5 words, 2 of 4, 1 of 3, 0 of 2 counted as 1/2 of 2
    t.near(metric.bleu({"a b c x e"}, {"a b c y e"}).score, 100 * (4 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ^ 0.25, 1e-9)
    t.equal(metric.bleu({""}, {"a b c d"}).score, 0)
end)

t.case("bleu: errors name the argument", function()
    t.raises("references has 1 lines, hypotheses 2", metric.bleu, {"a", "b"}, {"a"})
    t.raises("hypotheses is a string", metric.bleu, "a", {"a"})
    t.raises("line 1 of references is a boolean", metric.bleu, {"a"}, {true})
    t.raises("hypotheses is empty", metric.bleu, {}, {})
end)

t.case("bleu by length takes each sentence once", function()
    local rows = metric.bleu_by_length({"a b c d", "e f g h"}, {"a b c d", "w x y z"}, {4, 12}, {9, 12})
    t.equal(rows[1].name, "1-9")
    t.near(rows[1].score, 100, 1e-9)
    t.equal(rows[2].score, 0)
    t.equal(rows[3].count, 0)
    t.equal(rows[3].name, "13-")
end)

t.case("accuracy of logits and of ids ignores targets of 0", function()
    local targets = attn.tensor({{1, 2}, {0, 3}}, {dtype = "int64"})
    local ids = attn.tensor({{1, 3}, {0, 3}}, {dtype = "int64"})
    local share, count = metric.accuracy(ids, targets)
    t.near(share, 2 / 3, 1e-12)
    t.equal(count, 3)
    local logits = attn.tensor{{{5, 1, 0}, {0, 9, 1}}, {{1, 2, 3}, {4, 1, 1}}}
    t.near(metric.accuracy(logits, targets), 2 / 3, 1e-12)
    t.equal(metric.accuracy(ids, attn.zeros(2, 2, {dtype = "int64"})), 0)
    t.raises("metric.accuracy: targets is [2, 2], expected [2]", metric.accuracy, attn.rand(2, 3), targets)
end)

t.case("perplexity of a uniform guess is the number of choices", function()
    t.near(metric.perplexity(10 * math.log(50), 10), 50, 1e-9)
    t.near(metric.perplexity(attn.tensor(math.log(2), {dtype = "float64"}), 1), 2, 1e-12)
    t.raises("perplexity", metric.perplexity, 1, 0)
end)

t.case("alignment error rate of the definition", function()
    local sure, possible = {{1, 1}, {2, 2}}, {{2, 3}}
    t.equal(metric.alignment_error_rate(sure, possible, sure), 0)
    -- A = {1-1, 2-3, 3-3}: |A and S| = 1, |A and P| = 2, |A| = 3, |S| = 2
    t.near(metric.alignment_error_rate(sure, possible, {{1, 1}, {2, 3}, {3, 3}}), 1 - 3 / 5, 1e-12)
    -- two sentences: links of one never match those of the other
    t.near(metric.alignment_error_rate({{{1, 1}}, {}}, {{}, {}}, {{}, {{1, 1}}}), 1, 1e-12)
    t.raises("link 1 of predicted is no pair", metric.alignment_error_rate, sure, possible, {{1, "x"}})
end)

-- F1 -----------------------------------------------------------------------------------------------------------------

t.case("f1 by hand: macro is the mean of the classes' F1, micro of their counts", function()
    -- a: right 2, predicted 3, actual 2;  b: 1, 1, 2;  c: 0, 0, 1;  d: 0, 1, 0
    local guessed, gold = {"a", "a", "b", "a", "d"}, {"a", "a", "b", "b", "c"}
    local macro = metric.f1(guessed, gold)
    t.near(macro.f1, (4 / 5 + 2 / 3) / 4, 1e-12)
    t.near(macro.precision, (2 / 3 + 1) / 4, 1e-12)
    t.near(macro.recall, (1 + 1 / 2) / 4, 1e-12)
    t.near(macro.classes.a.f1, 4 / 5, 1e-12)
    t.equal(macro.classes.b.actual, 2)
    t.equal(macro.classes.c.f1, 0)
    t.equal(macro.classes.d.recall, 0)
    t.near(metric.f1(guessed, gold, {average = "micro"}).f1, 3 / 5, 1e-12)         -- accuracy
    -- without a: predicted 2, actual 3, right 1
    local micro = metric.f1(guessed, gold, {average = "micro", ignore = {"a"}})
    t.near(micro.precision, 1 / 2, 1e-12)
    t.near(micro.recall, 1 / 3, 1e-12)
    t.near(micro.f1, 2 / 5, 1e-12)
    t.equal(metric.f1({"a"}, {"a"}, {ignore = {"a"}}).f1, 0)
end)

t.case("f1 of tensors: ids and logits, targets of 0 ignored", function()
    local targets = attn.tensor({{1, 2}, {0, 2}}, {dtype = "int64"})
    local ids = attn.tensor({{1, 2}, {3, 1}}, {dtype = "int64"})
    t.near(metric.f1(ids, targets).f1, 2 / 3, 1e-12)        -- both classes: 2 of 3
    t.near(metric.f1({1, 2, 3, 1}, {1, 2, 0, 2}).f1, 2 / 3, 1e-12)
    local logits = attn.tensor{{{5, 1, 0}, {0, 9, 1}}, {{1, 2, 3}, {4, 1, 1}}}
    t.near(metric.f1(logits, targets).f1, 2 / 3, 1e-12)
    t.equal(metric.f1({1}, {0}).f1, 0)
end)

-- What semeval2010_task8_scorer-v1.2.pl printed for one run on the test set (its official part): the confusion matrix, rows
-- actual, columns as classified; xDIRx; and P, R, F1 of each relation and their macro averages, in percent.
t.case("f1 semeval: the matrix and the numbers printed by the official scorer", function()
    local names = {"Cause-Effect", "Component-Whole", "Content-Container", "Entity-Destination", "Entity-Origin",
        "Instrument-Agency", "Member-Collection", "Message-Topic", "Product-Producer", "Other"}
    local matrix = {
        {300, 0, 0, 0, 4, 1, 0, 2, 2, 12}, {1, 235, 5, 1, 1, 11, 11, 6, 3, 29}, {0, 5, 160, 7, 2, 0, 1, 1, 1, 11},
        {0, 2, 7, 264, 0, 0, 0, 1, 1, 16}, {3, 1, 1, 4, 226, 1, 0, 1, 3, 16}, {0, 4, 1, 1, 1, 118, 0, 4, 5, 21},
        {0, 4, 0, 0, 2, 0, 206, 1, 0, 19}, {1, 5, 0, 1, 2, 0, 2, 229, 1, 19}, {5, 1, 2, 0, 4, 9, 0, 3, 177, 27},
        {16, 25, 18, 23, 27, 24, 29, 33, 26, 231}}
    local wrong_direction = {3, 8, 4, 1, 1, 0, 0, 1, 2, 0}
    local printed = {"91.19 92.59 91.88", "81.03 75.56 78.20", "80.81 83.33 82.05", "87.42 90.41 88.89", "83.70 87.94 85.77",
        "71.95 76.13 73.98", "82.73 88.79 85.65", "81.21 87.74 84.35", "80.09 76.96 78.49", "57.61 51.11 54.16"}
    local function label(k, direction) return k == 10 and names[k] or names[k] .. direction end
    local guessed, gold = {}, {}
    for i, row in ipairs(matrix) do
        for j, n in ipairs(row) do
            for k = 1, n + (i == j and wrong_direction[i] or 0) do
                gold[#gold + 1] = label(i, "(e2,e1)")
                guessed[#guessed + 1] = label(j, k > n and "(e1,e2)" or "(e2,e1)")
            end
        end
    end
    t.equal(#gold, 2706)
    local result = metric.f1(guessed, gold, {average = "semeval"})
    local function show(of) return ("%.2f %.2f %.2f"):format(100 * of.precision, 100 * of.recall, 100 * of.f1) end
    for k, name in ipairs(names) do t.equal(show(result.classes[name]), printed[k]) end
    t.equal(show(result), "82.24 84.38 83.25")
end)

t.case("f1 semeval by hand: wrong direction costs precision and recall, a relation without targets no class", function()
    local gold = {"A-B(e1,e2)", "A-B(e2,e1)", "C-D(e1,e2)", "Other"}
    local guessed = {"A-B(e1,e2)", "A-B(e1,e2)", "Other", "E-F(e1,e2)"}
    -- A-B: 1 of 2 predicted, 1 of 2 actual; C-D: 0 of 1; E-F does not occur in targets
    t.near(metric.f1(guessed, gold, {average = "semeval"}).f1, (1 / 2 + 0) / 2, 1e-12)
    t.equal(metric.f1({"Other"}, {"Other"}, {average = "semeval"}).f1, 0)
end)

t.case("f1: errors name the argument", function()
    t.raises("metric.f1: targets has 1 entries, predictions 2", metric.f1, {"a", "b"}, {"a"})
    t.raises("metric.f1: targets is empty", metric.f1, {}, {})
    t.raises("metric.f1: predictions is a string, expected a list or a tensor", metric.f1, "a", {"a"})
    t.raises("metric.f1: targets[1] is 1.5, expected a string or an integer", metric.f1, {1}, {1.5})
    t.raises("metric.f1: predictions[1] is 'Cause-Effect', expected Relation", metric.f1, {"Cause-Effect"}, {"Other"},
        {average = "semeval"})
    t.raises("expected Relation", metric.f1, {"Other"}, {"Cause-Effect(e1,e1)"}, {average = "semeval"})
    t.raises("average is 'macr', expected one of macro, micro, semeval (did you mean 'macro'?)", metric.f1, {1}, {1},
        {average = "macr"})
    t.raises("ignore is given", metric.f1, {1}, {1}, {average = "semeval", ignore = {"Other"}})
end)

-- ROUGE --------------------------------------------------------------------------------------------------------------

t.case("rouge of the example of Lin (2004), section 3.1", function()
    local function of(line) return metric.rouge({line}, {"police killed the gunman"}) end
    t.near(of("police kill the gunman").rougeL.f1, 3 / 4, 1e-12)        -- printed in the paper: 0.75
    t.near(of("the gunman kill police").rougeL.f1, 2 / 4, 1e-12)        -- 0.5
    t.near(of("the gunman police killed").rougeL.f1, 2 / 4, 1e-12)
    t.near(of("police kill the gunman").rouge2.f1, 1 / 3, 1e-12)        -- the same for both, as the paper says
    t.near(of("the gunman kill police").rouge2.f1, 1 / 3, 1e-12)
    t.near(of("the gunman police killed").rouge2.f1, 2 / 3, 1e-12)      -- ROUGE-2 prefers it, as the paper says
end)

t.case("rouge: the values of rouge-score's own tests, precision, recall and F of each", function()
    local function near(got, p, r, f)
        t.near(got.precision, p, 1e-12)
        t.near(got.recall, r, 1e-12)
        t.near(got.f1, f, 1e-12)
    end
    near(metric.rouge({"testing"}, {"testing one two"}).rouge1, 1, 1 / 3, 1 / 2)
    near(metric.rouge({"testing one"}, {"testing one two"}).rouge2, 1, 1 / 2, 2 / 3)
    near(metric.rouge({"testing one"}, {"testing one two"}).rouge1, 1, 2 / 3, 4 / 5)
    near(metric.rouge({"testing two"}, {"testing one two"}).rougeL, 1, 2 / 3, 4 / 5)
    for _, of in pairs(metric.rouge({""}, {"testing one two"})) do near(of, 0, 0, 0) end
end)

t.case("rouge by hand: clipped counts, case and punctuation, the mean over lines, lists of words", function()
    -- the x3 against the x2: 2 in common of 4 and of 3
    local result = metric.rouge({"The the, THE cat!"}, {"the dog the"})
    t.near(result.rouge1.precision, 2 / 4, 1e-12)
    t.near(result.rouge1.recall, 2 / 3, 1e-12)
    t.near(result.rougeL.recall, 2 / 3, 1e-12)
    t.equal(result.rouge2.f1, 0)
    t.near(metric.rouge({"a b", "c"}, {"a b", "d"}).rougeL.f1, 1 / 2, 1e-12)
    t.near(metric.rouge({{"A", "b"}}, {{"a", "b"}}).rouge1.f1, 1 / 2, 1e-12)
    t.near(metric.rouge({{2, 5, 3, 4}}, {{1, 2, 3, 4, 5}}).rougeL.recall, 3 / 5, 1e-12)
    t.equal(metric.rouge({"!"}, {"?"}).rougeL.f1, 0)
end)

t.case("rouge: errors name the argument", function()
    t.raises("metric.rouge: references has 2 entries, hypotheses 1", metric.rouge, {"a"}, {"a", "b"})
    t.raises("metric.rouge: hypotheses is empty", metric.rouge, {}, {})
    t.raises("metric.rouge: references[1] is a boolean, expected a line or a list of words", metric.rouge, {"a"}, {true})
    t.raises("metric.rouge: word 2 of hypotheses[1] is 0.5", metric.rouge, {{"a", 0.5}}, {"a"})
end)

-- Ranking ------------------------------------------------------------------------------------------------------------

-- Worked by the definitions of `map` and `recip_rank` in trec_eval.
t.case("map_mrr by hand; questions without a right candidate do not count", function()
    local result = metric.map_mrr({{0.1, 0.9, 0.5, 0.7}, {3, 2, 1}, {1, 2}, {}}, {{1, 1, 0, 0}, {false, true, false}, {0, 0}, {}})
    -- first: right ones at ranks 1 and 4; second: at rank 2
    t.near(result.map, ((1 + 2 / 4) / 2 + 1 / 2) / 2, 1e-12)
    t.near(result.mrr, (1 + 1 / 2) / 2, 1e-12)
    t.equal(result.questions, 2)
    t.equal(result.excluded, 2)
    local none = metric.map_mrr({{1, 2}}, {{0, 0}})
    t.equal(none.map, 0)
    t.equal(none.mrr, 0)
    t.equal(none.questions, 0)
    t.near(metric.map_mrr(attn.tensor{{1, 3, 2}}, attn.tensor({{0, 0, 1}}, {dtype = "int64"})).mrr, 1 / 2, 1e-12)
end)

t.case("map_mrr: of equal scores the later candidate ranks first", function()
    t.near(metric.map_mrr({{0, 0, 0, 0}}, {{1, 0, 0, 0}}).mrr, 1 / 4, 1e-12)
    t.near(metric.map_mrr({{0, 0, 0, 0}}, {{1, 0, 0, 1}}).map, (1 + 2 / 4) / 2, 1e-12)
    t.near(metric.map_mrr({{math.huge, -math.huge, math.huge}}, {{1, 0, 0}}).mrr, 1 / 2, 1e-12)
end)

t.case("map_mrr: errors name question and candidate", function()
    t.raises("metric.map_mrr: scores[2][1] is NaN, expected a number", metric.map_mrr, {{1}, {0 / 0}}, {{1}, {1}})
    t.raises("metric.map_mrr: labels[1][2] is 2, expected true, false, 1 or 0", metric.map_mrr, {{1, 2}}, {{1, 2}})
    t.raises("metric.map_mrr: labels[1] has 1 entries, scores[1] 2", metric.map_mrr, {{1, 2}}, {{1}})
    t.raises("metric.map_mrr: labels has 0 entries, scores 1", metric.map_mrr, {{1}}, {})
    t.raises("metric.map_mrr: scores is empty", metric.map_mrr, {}, {})
    t.raises("metric.map_mrr: scores[1] is 1, expected a list", metric.map_mrr, {1}, {1})
end)

t.case("auc: scikit-learn's documented example, ties, and the share of ordered pairs on random lists", function()
    t.near(metric.auc({0.1, 0.4, 0.35, 0.8}, {0, 0, 1, 1}), 0.75, 1e-12)
    t.equal(metric.auc({1, 1, 1, 1}, {true, false, true, false}), 0.5)
    t.equal(metric.auc(attn.tensor{3, 2, 1}, {1, 1, 0}), 1)
    t.equal(metric.auc({-math.huge, math.huge}, {1, 0}), 0)
    local draw = data.random(11)
    for _ = 1, 30 do
        local scores, labels = {0, 1}, {true, false}
        for i = 3, 2 + draw(20) do scores[i], labels[i] = draw(6), draw(2) == 1 end
        local won, pairs_count = 0, 0
        for i, a in ipairs(scores) do
            for j, b in ipairs(scores) do
                if labels[i] and not labels[j] then
                    won, pairs_count = won + (a > b and 1 or a == b and 0.5 or 0), pairs_count + 1
                end
            end
        end
        t.near(metric.auc(scores, labels), won / pairs_count, 1e-12)
    end
end)

t.case("auc: errors name the argument", function()
    t.raises("metric.auc: labels has 2 positives and 0 negatives, expected at least one of each", metric.auc, {1, 2}, {1, 1})
    t.raises("labels has 0 positives and 0 negatives", metric.auc, {}, {})
    t.raises("metric.auc: scores[2] is NaN", metric.auc, {1, 0 / 0}, {1, 0})
    t.raises("metric.auc: labels has 1 entries, scores 2", metric.auc, {1, 2}, {1})
    t.raises("metric.auc: labels[1] is a string, expected true, false, 1 or 0", metric.auc, {1}, {"yes"})
end)

-- EVALB --------------------------------------------------------------------------------------------------------------

-- The sample that comes with EVALB (sample.gld, sample.tst, sample.prm) and what it prints for each sentence (sample.rsl):
-- matched, gold and test brackets, or "error" or "skip".
local sample_gold = "(S (A (P this)) (B (Q is) (A (R a) (T test))))"
local more = " (A (P this)) (B (Q is) (A (R a) (T test)))"
local long = "(S" .. more:rep(11) .. ")"
local sample = {
    {"(S (A (P this)) (B (Q is) (A (R a) (T test))))", "4 4 4"},
    {"(S (A (P this)) (B (Q is) (C (R a) (T test))))", "3 4 4"},
    {"(S (A (P this)) (B (Q is) (A (R a) (U test))))", "4 4 4"},
    {"(S (C (P this)) (B (Q is) (A (R a) (U test))))", "3 4 4"},
    {"(S (A (P this)) (B (Q is) (R a) (A (T test))))", "3 4 4"},
    {"(S (A (P this) (Q is)) (A (R a) (T test)))", "2 4 3"},
    {"(S (P this) (Q is) (R a) (T test))", "1 4 1"},
    {"(P this) (Q is) (R a) (T test)", "0 4 0"},
    {"(S (A (P this)) (B (Q is) (A (A (R a) (T test)))))", "4 4 5"},
    {"(S (A (P this)) (B (Q is) (A (A (A (A (A (R a) (T test))))))))", "4 4 8"},
    {"", "skip"},
    {"(S (A (P this)) (B (Q was) (A (A (R a) (T test)))))", "error"},
    {"(S (A (P this)) (B (Q is) (U not) (A (A (R a) (T test)))))", "error"},
    {"", "skip"},
    {"(TOP (S (A (P this)) (B (Q is) (A (R a) (T test)))))", "4 4 4"},
    {"(S (A (P this)) (NONE *) (B (Q is) (A (R a) (T test))))", "error"},
    {"(S (A (P this)) (S (NONE abc) (A (NONE *))) (B (Q is) (A (R a) (T test))))", "error"},
    {"(S (A (P this)) (B (Q is) (A (R a) (TT test))))", "4 4 4"},
    {"(S (A (P This)) (B (Q is) (A (R a) (T test))))", "4 4 4"},
    {"(S (A (P That)) (B (Q is) (A (R a) (T test))))", "error"},
    {"(S (A (P this)) (B (Q is) (A (R a) (T test))))", "4 4 4", "(S (A-SBJ-1 (P this)) (B-WHATEVER (Q is) (A (R a) (T test))))"},
    {long, "34 34 34", long},
    {"(S" .. more .. " (-NONE- *))", "4 4 4", "(S" .. more .. " (-NONE- *))"},
    {"(S" .. more .. " (: *))", "4 4 4", "(S" .. more .. " (: *))"},
}

t.case("evalb: every sentence and the summary of the sample that comes with EVALB", function()
    local options = {delete = {"TOP", "-NONE-", ",", ":", "``", "''"}, equal_labels = {{"T", "TT"}}, equal_words = {{"This", "this"}}}
    local predicted, gold = {}, {}
    for i, entry in ipairs(sample) do
        predicted[i], gold[i] = entry[1], entry[3] or sample_gold
        local one = metric.evalb({predicted[i]}, {gold[i]}, options)
        local got = ("%d %d %d"):format(one.matched, one.gold, one.predicted)
        if one.errors == 1 then got = "error" elseif one.skipped == 1 then got = "skip" end
        t.equal(i .. ": " .. got, i .. ": " .. entry[2])
    end
    local all = metric.evalb(predicted, gold, options)
    t.equal(("%d %d %d"):format(all.matched, all.gold, all.predicted), "86 98 95")
    t.equal(("%d %d %d"):format(all.errors, all.skipped, all.sentences), "5 2 17")
    t.equal(("%.2f %.2f %.2f"):format(100 * all.recall, 100 * all.precision, 100 * all.exact), "87.76 90.53 52.94")
    t.near(all.f1, 2 * 86 / (98 + 95), 1e-12)
end)

t.case("evalb: COLLINS.prm as EVALB's README explains it", function()
    -- traces go with what held nothing but them; the README's own example
    local result = metric.evalb({"(TOP (S (VP (VBD reported)) (. .)))"},
        {"(TOP (S (VP (VBD reported) (SBAR (-NONE- 0) (S (-NONE- *T*-1)))) (. .)))"})
    t.equal(result.f1, 1)
    t.equal(result.gold, 2)
    -- punctuation does not matter, neither where it hangs nor whether it is there; function tags and PRT neither
    result = metric.evalb({"(S (NP (PRP it) (, ,)) (VP (VBZ works) (ADVP (RP out))))"},
        {"(TOP (S (NP-SBJ=2 (PRP it)) (, ,) (VP (VBZ works) (PRT (RP out))) (. .)))"})
    t.equal(result.f1, 1)
    t.equal(result.exact, 1)
    -- (NP (NP the man)) against (NP the man): section 7.5 of the README
    result = metric.evalb({"(NP (NP (DT the) (NN man)))"}, {"(NP (DT the) (NN man))"})
    t.equal(result.precision, 1 / 2)
    t.equal(result.recall, 1)
    t.equal(result.exact, 0)
end)

t.case("evalb: a prediction that is no tree is an error sentence, without sentences all scores are 0", function()
    for _, line in ipairs{"(S (NP (PRP it))", "(S (NP (PRP it))))", "it", "(S (PRP it x))", "(S (PRP it (A b)))", "(S x (PRP it))"} do
        local result = metric.evalb({line}, {"(S (PRP it))"})
        t.equal(result.errors, 1)
        t.equal(result.f1, 0)
        t.equal(result.exact, 0)
    end
    t.equal(metric.evalb({"( (S (PRP it)))"}, {"(S (PRP it))"}).f1, 1)      -- a bracket without label is no constituent
    local deep = ("(A "):rep(20000) .. "(B b)" .. (")"):rep(20000)
    t.equal(metric.evalb({deep}, {deep}).matched, 20000)
    t.raises("metric.evalb: gold[1] is no tree: 1 brackets are not closed", metric.evalb, {"(S (A a))"}, {"(S (A a)"})
    t.raises("metric.evalb: gold has 2 entries, predicted 1", metric.evalb, {"(A a)"}, {"(A a)", "(A a)"})
    t.raises("metric.evalb: predicted[1] is 1, expected a tree", metric.evalb, {1}, {"(A a)"})
    t.raises("metric.evalb: predicted is empty", metric.evalb, {}, {})
    t.raises("metric.evalb: unknown field 'delte' (known: delete, equal_labels, equal_words) (did you mean 'delete'?)",
        metric.evalb, {"(A a)"}, {"(A a)"}, {delte = {}})
    t.raises("metric.evalb: equal_labels[1] is a string, expected a pair", metric.evalb, {"(A a)"}, {"(A a)"}, {equal_labels = {"A"}})
end)

-- Bits ---------------------------------------------------------------------------------------------------------------

t.case("bits: a fair coin for each character is one bit", function()
    local per_character, per_sequence = metric.bits(12 * math.log(2), 12, 3)
    t.near(per_character, 1, 1e-12)
    t.near(per_sequence, 4, 1e-12)
    t.equal(select(2, metric.bits(1, 1)), nil)
    t.near(metric.bits(attn.tensor(math.log(256), {dtype = "float64"}), 1), 8, 1e-12)
    t.raises("metric.bits: nll is NaN, expected a number", metric.bits, 0 / 0, 1)
    t.raises("metric.bits: characters is 0, expected an integer of at least 1", metric.bits, 1, 0)
    t.raises("metric.bits: characters is nil", metric.bits, 1)
    t.raises("metric.bits: sequences is 1.5", metric.bits, 1, 1, 1.5)
    t.raises("metric.bits: nll is a string", metric.bits, "1", 1)
    t.raises("metric.bits: nll is float32 [2], expected a number", metric.bits, attn.ones(2), 1)
end)

t.case("errors stand at the line that called the measure", function()
    for _, name in ipairs{"f1", "rouge", "map_mrr", "auc", "evalb"} do
        for _, arguments in ipairs{{nil, {1}}, {{1}}, {{1}, {}}, {{}, {}}, {{{}}, {{}}}, {{false}, {false}}, {{"("}, {"("}, {x = 1}}} do
            local line = debug.getinfo(1, "l").currentline + 1
            local ok, message = pcall(function() return #{metric[name](table.unpack(arguments, 1, 3))} end)
            local place = ("metric_test.lua:%d: metric.%s: "):format(line, name)
            if not ok then t.equal(message:find(place, 1, true) and place or message, place) end
        end
    end
end)

t.case("kendall: pairs in the same order less pairs in the other; tau-b takes ties out", function()
    local kendall = attn.metric.kendall
    t.equal({kendall({1, 2, 3, 4}, {10, 20, 30, 40}), kendall({1, 2, 3}, {3, 2, 1}), kendall({1, 1}, {1, 2}), kendall({5}, {7})},
        {1, -1, 0, 0})
    t.near(kendall({1, 2, 3, 4}, {1, 3, 2, 4}), (5 - 1) / 6, 1e-12)
    t.near(kendall({1, 1, 2, 3}, {1, 2, 3, 3}), 4 / 5, 1e-12)                -- 4 pairs alike, none not; a and b order 5 of 6 each
    t.raises("metric.kendall: b has 1 entries, a 2", kendall, {1, 2}, {1})
end)

t.case("pearson: a line either way, by hand, nothing to correlate, errors", function()
    t.near(metric.pearson({1, 2, 4}, {10, 20, 40}), 1, 1e-12)
    t.near(metric.pearson(attn.tensor{1, 2, 4}, {-1, -2, -4}), -1, 1e-12)
    t.near(metric.pearson({1, 2, 3}, {1, 3, 2}), 0.5, 1e-12)
    t.equal(metric.pearson({1, 1}, {1, 2}), 0)
    t.raises("metric.pearson: a[1] is NaN", metric.pearson, {0 / 0}, {1})
end)
