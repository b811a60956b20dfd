-- A pointer network (Vinyals et al. 2015) sorts numbers: its output is its attention, over places of the input; place 1 is a
-- vector that means "end". 59 lines of code; without lengths, a decoder whose weights come back, search over any step and fit
-- the same was 193.
local attn, t = require "attn", require "attn.test"
local fit, search = require "attn.fit", require "attn.search"

-- 3 to 6 numbers: x [B, 7, 1] with a place for the end in front, lengths with it, the order as places (0: padding).
local function numbers(B)
    local n, x = attn.randint(3, 6, B), attn.rand(B, 6)
    local real = attn.mask(n, 6)
    local _, order = attn.where(real, x, 2):sort(2)
    local places = attn.cat({(order + 1):masked_fill(~real, 0), attn.zeros(B, 1, {dtype = "int64"})}, 2)
    return {x = x:pad(2, 1, 0):unsqueeze(3), lengths = n + 1,
        target = places:scatter_add(2, n:unsqueeze(2) + 1, attn.ones(B, 1, {dtype = "int64"}))}
end

local Pointer = attn.module "Pointer"
function Pointer:init(D)
    self.embed = attn.layer.linear{inputs = 1, outputs = D}
    self.encoder = attn.encoder.rnn{inputs = D, hidden = D, cell = "lstm"}
    self.decoder = attn.decoder.rnn{inputs = D, hidden = D, memory = D, cell = "lstm", style = "luong", outputs = 1,
        input_feeding = false, attention = {score = "additive", dim = D}}
    self.stop = attn.init.normal(attn.parameter(1, D))
end
function Pointer:read(b)                            -- what is pointed at, the same as inputs, the state
    local x = self.embed(b.x:narrow(2, 2, b.x:size(2) - 1))
    local memory, last = self.encoder(x, {lengths = b.lengths - 1})
    local function stopped(y) return attn.cat({self.stop:expand(y:size(1), 1, y:size(3)), y}, 2) end
    return stopped(memory), stopped(x), last
end
local function pick(x, places)                      -- x [B, S, D] at places [B, T]
    return x:gather(2, places:unsqueeze(3):expand(places:size(1), places:size(2), x:size(3)))
end
function Pointer:forward(b)                         -- log-probabilities [B, T, S]
    local memory, x, state = self:read(b)
    local said = pick(x, b.target:narrow(2, 1, 6):pad(2, 1, 0, {value = 1}))
    local _, weights = self.decoder(said, memory, {memory_lengths = b.lengths, state = state})
    return (weights + 1e-9):log()
end
function Pointer:step(places, s)
    local said = pick(s.x, places:unsqueeze(2)):squeeze(2)
    local _, state, weights = self.decoder:step(said, s.memory, s.state, {memory_lengths = s.lengths})
    return (weights + 1e-9):log(), {x = s.x, memory = s.memory, lengths = s.lengths, state = state}
end

t.case("a pointer network learns to sort numbers, more and fewer, and beam search finds the order", function()
    attn.seed(1)
    local model = Pointer(32)
    fit{model = model, steps = 500, lr = 0.01, batches = function() return numbers(64) end,
        loss = function(b) return attn.loss.nll(model(b), b.target) end}
    model:eval()
    local test = numbers(200)
    attn.no_grad(function()
        local memory, x, state = model:read(test)
        local start = {x = x, memory = memory, lengths = test.lengths, state = state}
        local function step(places, s) return model:step(places, s) end
        for _, how in ipairs{search.greedy, search.beam} do
            local found, right = how(step, {count = 200, bos = 1, eos = 1, max_length = 8, state = start}), 0
            for i, list in ipairs(found) do
                local order = test.target[{i, {1, test.lengths[i]:item() - 1}}]:totable()
                right = right + (table.concat(list[1].ids, " ") == table.concat(order, " ") and 1 or 0)
            end
            t.is_true(right > 150, right .. " of 200")
        end
    end)
end)
