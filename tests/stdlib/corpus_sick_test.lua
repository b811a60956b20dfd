-- Pairs with their score and class.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/sick")
local head = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
shell.write("sick/train.tsv", head
    .. "1\tA man's dog runs\tNo dog, it runs\t3.5\tCONTRADICTION\n2\tA\tB\t4\tENTAILMENT\n")
shell.write("sick/trial.tsv", head)
shell.write("sick/test.tsv", head .. "3\tA\tA\t5\tNEUTRAL\n")

t.case("records are pairs of words, a score and a class", function()
    local sets = corpus.sick(shell.folder())
    t.equal(sets.train[1], {left = {"a", "man's", "dog", "runs"}, right = {"no", "dog", ",", "it", "runs"}, score = 3.5,
        class = 3, label = "CONTRADICTION"})
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 0, 1})
    t.equal(sets.classes[sets.train[2].class], "ENTAILMENT")
end)

t.case("an unknown judgment is named with its line", function()
    shell.write("sick/test.tsv", head .. "3\tA\tA\t5\tMAYBE\n")
    t.raises("corpus.sick: test.tsv: line 2: 'MAYBE' is no judgment", corpus.sick, shell.folder())
end)
