-- char_lm: a language model of characters: a causal Transformer encoder writes Shakespeare.
--
-- Command    attn scripts/char_lm.lua --data DIR          a shape for two cores: d 128, 4 layers, 4 heads, T 64
--              --nanogpt                                  the shape of nanoGPT's example: d 384, 6 layers, 6 heads, 256
--              --text FILE                                another text than DIR/tinyshakespeare/input.txt.gz
--              --resume                                   goes on with the newest run
--              --sample 1000 --temperature 0.8 --top-k 40 --prompt "ROMEO:"
-- Time       three minutes on two cores; --nanogpt is a matter of days there
-- Expect     result loss 1.85 nats a character after 2,000 steps (seed 1)
-- Papers     Vaswani et al. 2017; Radford et al. 2019 (pre-norm, learned positions, tied output); Karpathy 2015 (data)
local attn = require "attn"
local data, schedule, search, show, train = require "attn.data", require "attn.schedule", require "attn.search",
    require "attn.show", require "attn.train"

local defaults = {
    model = {dim = 128, layers = 4, heads = 4, context = 64, dropout = 0.0, norm = "pre", activation = "gelu",
        tied = true},
    batch = 16, steps = 2000, lr = 1e-3, warmup = 100, final = 1e-4, decay = 0.1, clip = 1.0, accumulate = 1, seed = 1,
    every = 250, windows = 200, text = "", nanogpt = false, sample = 500, temperature = 0.8, top_k = 40, prompt = "\n"}
for _, word in ipairs(arg) do
    if word == "--nanogpt" then
        defaults.model.dim, defaults.model.layers, defaults.model.heads = 384, 6, 6
        defaults.model.context, defaults.model.dropout = 256, 0.2
        defaults.batch, defaults.steps = 64, 5000
    end
end
local job = require "attn.run".start("char_lm", defaults)
local cfg = job.options
attn.seed(cfg.seed)

-- Data: the characters of a text in the order of their bytes; the last tenth is for validation -----------------------

local lines = data.lines(cfg.text ~= "" and cfg.text or data.path "tinyshakespeare/input.txt.gz")
local text = table.concat(lines, "\n") .. "\n"
local alphabet, id_of, ids = {}, {}, {}
do
    local seen = {}
    for byte in text:gmatch "." do seen[byte] = true end
    for byte = 0, 255 do
        local character = string.char(byte)
        if seen[character] then
            alphabet[#alphabet + 1] = character
            id_of[character] = #alphabet
        end
    end
    for i = 1, #text do ids[i] = id_of[text:sub(i, i)] end
end
local T = cfg.model.context
ids = attn.tensor(ids, {dtype = "int64"})
local count = math.floor(0.9 * #text)
if #text - count <= T then error(("the text has %d characters: too few for a context of %d"):format(#text, T), 0) end
local training, validation = ids:narrow(1, 1, count), ids:narrow(1, count + 1, #text - count)

local function rows(from, starts)           -- windows that begin there: what is read, and what comes next
    local x, y = {}, {}
    for i, start in ipairs(starts) do
        x[i], y[i] = from:narrow(1, start, T), from:narrow(1, start + 1, T)
    end
    return {x = attn.stack(x, 1), y = attn.stack(y, 1)}
end

local function batch(step, part)            -- a function of the seed and the step alone, so that a run can be resumed
    local draw, starts = data.random(cfg.seed, step * 1000 + part), {}
    for i = 1, cfg.batch do starts[i] = draw(count - T) end
    return rows(training, starts)
end

-- Model -------------------------------------------------------------------------------------------------------------

local Writer = attn.module "Writer"

function Writer:init(c, characters)
    self.embed = attn.layer.embedding{count = characters, dim = c.dim}
    self.place = attn.layer.positional{dim = c.dim, type = "learned", max_length = c.context}
    self.dropout = attn.layer.dropout{p = c.dropout}
    self.blocks = attn.encoder.transformer{dim = c.dim, heads = c.heads, layers = c.layers, dropout = c.dropout,
        norm = c.norm, activation = c.activation}
    self.out = attn.layer.linear{inputs = c.dim, outputs = characters, bias = false}
    if c.tied then self.out.weight = self.embed.weight end
    attn.no_grad(function()                 -- as GPT-2: deviation 0.02, less where blocks add to the residual stream
        for name, p in self:named_parameters() do
            if p:dim() == 2 then
                local deep = name:match "attention%.out%.weight$" or name:match "ff2%.weight$"
                p:copy_(attn.randn(p.shape) * (0.02 / (deep and (2 * c.layers) ^ 0.5 or 1)))
            elseif name:match "bias$" then
                p:fill_(0)
            end
        end
    end)
end

function Writer:forward(x)                  -- [B, T]
    return self.out(self.blocks(self.dropout(self.place(self.embed(x))), {causal = true}))
end

function Writer:step(x, s)                  -- [R], {place =, hidden =}
    local placed = self.place(self.embed(x):unsqueeze(2), {position = s.place}):squeeze(2)
    local y, hidden = self.blocks:step(placed, s.hidden)
    return self.out(y), {place = s.place + 1, hidden = hidden}
end

local model = Writer(cfg.model, #alphabet)
print(("%s parameters, %d characters of text, %d kinds, %d steps of %d x %d, seed %d"):format(model:count(), #text,
    #alphabet, cfg.steps, cfg.batch * cfg.accumulate, T, cfg.seed))

-- Mean loss in nats over windows of the validation text: `most` of them, evenly spaced; 0 for all.
local function validate(most)
    local all = (#validation - 1) // T
    local n, sum, done = most == 0 and all or math.min(most, all), 0, 0
    attn.no_grad(function()
        for first = 1, n, 32 do
            local starts = {}
            for i = first, math.min(first + 31, n) do starts[#starts + 1] = (i - 1) * all // n * T + 1 end
            local b = rows(validation, starts)
            sum = sum + attn.loss.cross_entropy(model(b.x), b.y):item() * #starts
            done = done + #starts
        end
    end)
    return sum / done
end

-- Text from the model by cached steps. A learned position ends at the context: then the last half is read again.
local function write(length, temperature, top_k)
    local written, state, last, made = {}, nil, nil, 0
    for character in cfg.prompt:gmatch "." do
        written[#written + 1] = id_of[character] or error(("the text has no character %q"):format(character), 0)
    end
    local prompt = #written
    local function step(x, s) return model:step(x, s) end
    local began = attn.clock()
    while #written - prompt < length do
        local from = math.max(1, #written - T // 2 + 1)
        state = {place = 1}
        for i = from, #written - 1 do
            state = select(2, attn.no_grad(step, attn.tensor({written[i]}, {dtype = "int64"}), state))
        end
        last = written[#written]
        local found = search.sample(step, {state = state, count = 1, bos = last, eos = #alphabet + 1, top_k = top_k,
            max_length = math.min(T - (#written - from), length - (#written - prompt)), temperature = temperature})
        for _, id in ipairs(found[1][1].ids) do written[#written + 1] = id end
        made = #written - prompt
    end
    local parts = {}
    for i, id in ipairs(written) do parts[i] = alphabet[id] end
    return table.concat(parts), made / (attn.clock() - began)
end

-- The run ------------------------------------------------------------------------------------------------------------

local history = train.loop{
    run = job, model = model, data = batch, steps = cfg.steps, every = cfg.every,
    clip = cfg.clip > 0 and cfg.clip or nil, accumulate = cfg.accumulate, metric = "loss", best = 1,
    optimizer = attn.optim.adamw{params = model:parameters(), lr = cfg.lr, betas = {0.9, 0.99},
        weight_decay = cfg.decay},
    schedule = schedule.cosine{steps = cfg.steps, lr = cfg.lr, warmup = math.min(cfg.warmup, cfg.steps - 1),
        final = cfg.final},
    loss = function(b) return attn.loss.cross_entropy(model(b.x), b.y), b.y:numel() end,
    evaluate = function() return {loss = validate(cfg.windows)} end}
print("loss  " .. show.spark(history.losses))
local loss = validate(0)
if cfg.sample > 0 then
    attn.seed(cfg.seed)
    local sample, rate = write(cfg.sample, cfg.temperature, cfg.top_k > 0 and cfg.top_k or nil)
    print("\n" .. sample .. "\n")
    show.result("characters_written_per_second", rate)
end
show.result("loss", loss, "nats")
show.result("bits_per_character", loss / math.log(2))
show.result("parameters", model:count())
show.result("tokens_per_second", history.rate)
job:finish()
