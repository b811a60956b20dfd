-- Pictures as bytes, questions with yes or no.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.mkdir(shell.folder() .. "/shapes")
local function picture(grey) return string.char(grey, 1, 2):rep(900) end
for name, count in pairs{train = 2, val = 1, test = 1} do
    shell.write(("shapes/%s-images-idx4-ubyte"):format(name), ("\0\0\8\4" .. string.pack(">I4I4I4I4", count, 30, 30, 3)) .. picture(7):rep(count))
    shell.write(("shapes/%s.tsv"):format(name), "0\tis a red shape above a circle\ttrue\t(is)\n" .. (count == 2 and "1\tis a\tfalse\t(is)\n" or ""))
end

t.case("records are a question, an answer from 1 and the number of a picture [3, H, W]", function()
    local sets = corpus.shapes(shell.folder())
    t.equal(sets.train[1], {question = {"is", "a", "red", "shape", "above", "a", "circle"}, answer = 2, image = 1})
    t.equal(sets.train[2], {question = {"is", "a"}, answer = 1, image = 2})
    t.equal({#sets.train, #sets.dev, #sets.test}, {2, 1, 1})
    t.equal(sets.train.images.shape, {2, 3, 30, 30})
    t.equal(sets.train.images[{2, {}, 30, 30}]:totable(), {7, 1, 2})
end)

t.case("an answer that is none is named with its line", function()
    shell.write("shapes/val.tsv", "0\tis a\tperhaps\t(is)\n")
    t.raises("corpus.shapes: val.tsv: line 1: 'perhaps' is no answer", corpus.shapes, shell.folder())
end)
