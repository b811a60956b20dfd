-- Photographs as bytes, classes by name and number.
local attn, t = require "attn", require "attn.test"
local corpus = require "attn.corpus"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

local function picture(red, green, blue) return string.char(red):rep(1024) .. string.char(green):rep(1024) .. string.char(blue):rep(1024) end
attn.mkdir(shell.folder() .. "/cifar10_subset")
shell.write("cifar10_subset/batches.meta.txt", "airplane\nautomobile\nbird\n")
shell.write("cifar10_subset/train_batch.bin", "\0" .. picture(1, 2, 3) .. "\2" .. picture(4, 5, 6))
shell.write("cifar10_subset/test_batch.bin", "\1" .. picture(7, 8, 9))

t.case("pictures [n, 3, 32, 32] and labels from 1, which `classes` names; of one part if asked", function()
    local sets = corpus.cifar10_subset(shell.folder())
    t.equal({sets.train.images.shape, sets.train.images.dtype}, {{2, 3, 32, 32}, "uint8"})
    t.equal(sets.train.images[{2, {}, 32, 1}]:totable(), {4, 5, 6})
    t.equal({sets.train.labels:totable(), sets.test.labels:totable()}, {{1, 3}, {2}})
    t.equal(sets.classes[sets.train.labels[2]:item()], "bird")
    local one = corpus.cifar10_subset(shell.folder(), {part = "test"})
    t.equal({one.test.images.shape, one.train}, {{1, 3, 32, 32}})
    t.raises("corpus.cifar10_subset: part is 'dev', expected one of train, test", corpus.cifar10_subset, shell.folder(), {part = "dev"})
end)

t.case("a file that is cut off is an error with its name", function()
    shell.write("cifar10_subset/test_batch.bin", "\1" .. picture(7, 8, 9):sub(2))
    t.raises("test_batch.bin: 3072 bytes are no whole number of records of 3073", corpus.cifar10_subset, shell.folder())
end)
