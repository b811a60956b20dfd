-- BLEU against values of the scorer of reference and against a slow implementation written from the definition.
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
