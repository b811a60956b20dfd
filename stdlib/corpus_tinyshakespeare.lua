-- corpus_tinyshakespeare: forty thousand lines of Shakespeare in one text (Karpathy 2015).
--
-- The parts are strings: train the first nine tenths of the characters, dev the rest, as nanoGPT cuts them.
local data = require "attn.data"

return {folder = "tinyshakespeare", files = {"input.txt"},
    origin = "tiny Shakespeare (Karpathy 2015): the file data/tinyshakespeare/input.txt of the GitHub repository "
        .. "karpathy/char-rnn, as it is or compressed (input.txt.gz)",
    read = function(path)
        local text = table.concat(data.lines(path "input.txt"), "\n") .. "\n"
        local cut = #text * 9 // 10
        return {train = text:sub(1, cut), dev = text:sub(cut + 1)}
    end}
