-- Pictures of formulas, their LaTeX cut into commands and characters.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/im2latex_sample")
for name, count in pairs{train = 2, val = 1, test = 1} do
    shell.write(("im2latex_sample/%s-images-idx3-ubyte"):format(name), "\0\0\8\3" .. string.pack(">I4I4I4", count, 64, 384)
        .. ("\255"):rep(64 * 384 - 1) .. "\7" .. ("\0"):rep(64 * 384 * (count - 1)))
    shell.write(("im2latex_sample/%s.tsv"):format(name), "a1\t30\t12\t\\alpha_1^{r 2}\\, =0\\label{one \\x}\n" .. (count == 2 and "b\t9\t8\tx\n" or ""))
end

t.case("a formula is a list of commands and characters, without blanks and labels; a picture is [1, 64, 384]", function()
    local sets = corpus.im2latex_sample(shell.folder())
    t.equal(sets.train[1], {formula = {"\\alpha", "_", "1", "^", "{", "r", "2", "}", "\\,", "=", "0"}, image = 1, width = 30, height = 12})
    t.equal(sets.train[2].formula, {"x"})
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 1, 1})
    t.equal(sets.train.images.shape, {2, 1, 64, 384})
    t.equal(sets.train.images[{1, 1, 64, {383, 384}}]:totable(), {255, 7})
end)

t.case("formulas of at most so many tokens, pictures of at most such a width, cut to it", function()
    local sets = corpus.im2latex_sample(shell.folder(), {longest = 3})
    t.equal({sets.train[1], sets.train[2]}, {{formula = {"x"}, image = 1, width = 9, height = 8}})
    t.equal({sets.train.images.shape, sets.train.images:to "float32":sum():item()}, {{1, 1, 64, 384}, 0})
    sets = corpus.im2latex_sample(shell.folder(), {width = 30})
    t.equal({#sets.train, sets.train.images.shape, #sets.test}, {2, {2, 1, 64, 30}, 1})
    t.equal(corpus.im2latex_sample(shell.folder(), {width = 29}).test.images.shape, {0, 1, 64, 29})
end)

t.case("as many formulas as pictures", function()
    shell.write("im2latex_sample/test.tsv", "")
    t.raises("corpus.im2latex_sample: test has 0 formulas and 1 pictures", corpus.im2latex_sample, shell.folder())
end)
