-- corpus_mnist: handwritten digits (LeCun and Cortes). The parts are {images = uint8 [n, 1, 28, 28], labels = int64 [n]}, a label
-- being the digit plus 1. Option part: "train" or "test" alone.
local data = require "attn.data"
local fields = require "attn.fields"

local files = {}
for i, part in ipairs{"t10k", "train"} do
    files[2 * i - 1], files[2 * i] = part .. "-images-idx3-ubyte", part .. "-labels-idx1-ubyte"
end

return {folder = "mnist", files = files,
    origin = "MNIST: the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        .. "t10k-labels-idx1-ubyte, as the GitHub repository fgnt/mnist has them, among others",
    read = function(path, options)
        options = fields.read("corpus.mnist", options, {{"part", "string", choices = {"train", "test"}}}, 3)
        local folder, sets = path(files[1]):match "^(.*)/", {}
        for _, part in ipairs{"train", "test"} do
            if part == (options.part or part) then
                local images, labels = data.mnist(folder, part)
                sets[part] = {images = images, labels = labels}
            end
        end
        return sets
    end}
