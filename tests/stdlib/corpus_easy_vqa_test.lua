-- Pictures as bytes, questions with one word as answer.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/easy_vqa")
shell.write("easy_vqa/answers.txt", "circle\nred\n")
for _, name in ipairs{"train", "test"} do
    shell.write(("easy_vqa/%s-images-idx4-ubyte"):format(name), "\0\0\8\4" .. string.pack(">I4I4I4I4", 1, 64, 64, 3) .. ("\1\2\3"):rep(64 * 64))
    shell.write(("easy_vqa/%s.tsv"):format(name), "0\twhat color is it?\tred\n0\tis it a circle?\tcircle\n")
end

t.case("records are a question, the class of the answer and the number of a picture [3, H, W]", function()
    local sets = corpus.easy_vqa(shell.folder())
    t.equal(sets.train[1], {question = {"what", "color", "is", "it", "?"}, answer = 2, image = 1})
    t.equal({#sets.train, #sets.test, sets.train[2].image}, {2, 2, 1})
    t.equal(sets.classes, {"circle", "red"})
    t.equal(sets.test.images[{1, {}, 5, 6}]:totable(), {1, 2, 3})
end)

t.case("an answer that is none is named with its line", function()
    shell.write("easy_vqa/test.tsv", "0\twhat?\tblue\n")
    t.raises("corpus.easy_vqa: test.tsv: line 1: 'blue' is no answer", corpus.easy_vqa, shell.folder())
end)
