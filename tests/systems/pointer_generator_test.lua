-- A pointer-generator (See et al. 2017) as a script would write it: an attention module that gives its gate as well, an
-- example's own words behind the vocabulary, the mixture as loss and as distribution of a search. It says a name it has
-- never seen.
local attn, t = require "attn", require "attn.test"
local data, search, text = require "attn.data", require "attn.search", require "attn.text"

-- The model, 28 lines, five of them its step in a search.
local Pointer = attn.module "Pointer"
function Pointer:init(cfg)
    self.attend = attn.attention{query = cfg.hidden, key = cfg.memory, score = "additive", dim = cfg.hidden}
    self.gate = attn.layer.linear{inputs = cfg.hidden + cfg.memory, outputs = 1}
end
function Pointer:forward(query, memory, value, options)
    local context, weights = self.attend(query, memory, value, options)
    return context, weights, self.gate(attn.cat({query, context}, 2)):squeeze(2)
end

local Model = attn.module "Model"
function Model:init(vocabulary, D)
    self.vocabulary, self.embed = vocabulary, attn.layer.embedding{count = #vocabulary, dim = D}
    self.encoder = attn.encoder.rnn{inputs = D, hidden = D, bidirectional = true}
    self.decoder = attn.decoder.rnn{inputs = D, hidden = D, memory = 2 * D, outputs = #vocabulary,
        attention = Pointer{hidden = D, memory = 2 * D}}
end
function Model:read(ids, lengths) return (self.encoder(self.embed(self.vocabulary:fold(ids)), {lengths = lengths})) end
function Model:forward(b)
    local memory, said = self:read(b.source, b.source_lengths), self.embed(self.vocabulary:fold(b.target_in))
    local logits, weights, gate = self.decoder(said, memory, {memory_lengths = b.source_lengths})
    return attn.loss.copy(logits, weights, gate, b.source, b.target_out)
end
function Model:step(ids, s)
    local logits, hidden, weights, gate = self.decoder:step(self.embed(self.vocabulary:fold(ids)), s.memory, s.hidden,
        {memory_lengths = s.lengths})
    return search.copy(logits, weights, gate, s.source), {memory = s.memory, lengths = s.lengths, source = s.source,
        hidden = hidden}, weights
end

-- "well my name is Zork": "hello Zork", the name another each time and never in the vocabulary.
local function examples(count, from, vocabulary)
    local draw, fillers = data.random(from), {"well", "so", "oh", "yes"}
    local lists = {source = {}, target = {}, extended = {}}
    for i = 1, count do
        local words = {}
        for _ = 1, draw(3) - 1 do words[#words + 1] = fillers[draw(4)] end
        for word in ("my name is N%d"):format(from + i):gmatch "%S+" do words[#words + 1] = word end
        for _ = 1, draw(3) - 1 do words[#words + 1] = fillers[draw(4)] end
        local extended = text.extend(vocabulary, words)
        lists.extended[i] = extended
        lists.source[i] = extended:encode(words)
        lists.target[i] = extended:encode{"hello", ("N%d"):format(from + i)}
    end
    return lists
end

t.case("a pointer-generator learns to copy a word it has never seen; greedy and beam search say it", function()
    attn.seed(1)
    local vocabulary = text.vocabulary({{"hello", "my", "name", "is", "well", "so", "oh", "yes"}})
    local model, seen = Model(vocabulary, 16), examples(64, 0, vocabulary)
    local optimizer = attn.optim.adam{params = model:parameters(), lr = 0.02}
    local batches = data.batches{fields = {source = seen.source, target = seen.target}, shift = {"target"}, size = 32,
        seed = 1}
    local first, last
    for epoch = 1, 15 do
        for batch in batches:epoch(epoch) do
            optimizer:zero_grad()
            local loss = model(batch)
            loss:backward()
            optimizer:step()
            last = loss:item()
            first = first or last
        end
    end
    t.is_true(first > 2 and last < 0.2, ("loss %.3f, then %.3f"):format(first, last))
    model:eval()
    local new = examples(20, 1000, vocabulary)
    local ids, lengths = data.pad(new.source)
    for _, how in ipairs{search.greedy, search.beam} do
        local found = attn.no_grad(how, function(last_ids, s) return model:step(last_ids, s) end,
            {state = {memory = model:read(ids, lengths), lengths = lengths, source = ids}, count = 20, max_length = 5})
        local right = 0
        for i, list in ipairs(found) do
            right = right + (table.concat(new.extended[i]:decode(list[1].ids), " ") == "hello N" .. 1000 + i and 1 or 0)
        end
        t.is_true(right >= 18, right .. " of 20")
    end
end)
