-- Hierarchical attention (Yang et al. 2016): words make sentences, sentences make a document, both by a recurrent encoder and
-- attention, and the weights show which sentence and which word decided. 46 lines of code; without nested batches, pooling by
-- attention, lengths everywhere and fit the same was 206.
local attn, t = require "attn", require "attn.test"
local data, fit = require "attn.data", require "attn.fit"

-- Documents of 2 to 5 sentences of 2 to 6 words; one sentence has the word "rated" (1), and its judgement (2 to 4) is the
-- class. Judgements in other sentences mean nothing.
local function documents(count, seed)
    local draw, fields = data.random(seed), {text = {}, class = {}, place = {}}
    for i = 1, count do
        local text, place = {}, draw(4)
        for s = 1, math.max(place, 1 + draw(4)) do
            text[s] = {1 + draw(3)}
            for w = 2, 1 + draw(5) do text[s][w] = 4 + draw(30) end
        end
        fields.text[i], fields.class[i], fields.place[i] = text, text[place][1] - 1, place
        table.insert(text[place], draw(#text[place] + 1), 1)
    end
    return data.batches{fields = fields, size = 64, seed = seed}
end

local Level = attn.module "Level"
function Level:init(inputs, D)
    self.encoder = attn.encoder.rnn{inputs = inputs, hidden = D // 2, bidirectional = true}
    self.pool = attn.layer.attention_pool{inputs = D, dim = D}
end
function Level:forward(x, lengths) return self.pool((self.encoder(x, {lengths = lengths})), {lengths = lengths}) end

local Documents = attn.module "Documents"
function Documents:init(words, classes, D)
    self.embed = attn.layer.embedding{count = words, dim = D}
    self.words, self.sentences = Level(D, D), Level(D, D)
    self.class = attn.layer.linear{inputs = D, outputs = classes}
end
function Documents:forward(b)                                   -- ids [B, S, T] -> logits, weights [B, S] and [B, S, T]
    local B, S, T = table.unpack(b.text.shape)
    local sentences, word_weights = self.words(self.embed(b.text:view(B * S, T)), b.text_lengths_2:view(B * S))
    local document, weights = self.sentences(sentences:view(B, S, -1), b.text_lengths)
    return self.class(document), weights, word_weights:view(B, S, T)
end

t.case("hierarchical attention learns the class of documents, and its weights point to sentence and word", function()
    attn.seed(1)
    local model, test = Documents(34, 3, 24), documents(300, 2)
    fit{model = model, batches = documents(1000, 1), steps = 150, lr = 0.01,
        loss = function(b) return attn.loss.cross_entropy((model(b)), b.class) end}
    local right = fit.accuracy(model, test, function(b) return (model(b)), b.class end)
    t.is_true(right > 0.9, ("%.2f right"):format(right))
    fit.each(model, test, function(b)
        local _, weights, word_weights = model(b)
        t.is_true(weights:argmax(2):eq(b.place):to "float32":mean():item() > 0.8)
        t.near(word_weights:sum(3):ne(0):sum(2), b.text_lengths)                -- nothing in sentences that are padding
    end)
end)
