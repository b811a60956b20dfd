-- char_lm: a language model of characters: a causal Transformer encoder writes Shakespeare.
--
-- Command    attn scripts/language/char_lm.lua --data DIR      a shape for two cores: d 128, 4 layers, 4 heads, 64 characters
--              --nanogpt --seeds 1 --jobs 1                  the shape of nanoGPT's example: d 384, 6 layers, 6 heads, 256
--              --text FILE                                   another text than tiny Shakespeare
--              --show --sample 1000 --temperature 0.8 --top-k 40 --prompt "ROMEO:"      also what it writes
-- Time       see scripts/README.md; --nanogpt is a matter of days; a training that was interrupted goes on where it was
-- Data       tiny Shakespeare
-- Papers     Vaswani et al. 2017; Radford et al. 2019 (pre-norm, learned positions, tied output); Karpathy 2015 (data)
-- Your own   local Writer = require "language.char_lm".Writer         -- attn -I scripts yours.lua
--            local model = Writer({dim = 128, layers = 4, heads = 4, context = 64, dropout = 0, norm = "pre", activation = "gelu",
--                tied = true}, 65); model(ids [B, T]) -> logits [B, T, 65]
local attn = require "attn"
local corpus, schedule, search, study = require "attn.corpus", require "attn.schedule", require "attn.search",
    require "attn.study"

local options = {
    model = {dim = 128, layers = 4, heads = 4, context = 64, dropout = 0.0, norm = "pre", activation = "gelu",
        tied = true},
    batch = 16, steps = 1000, lr = 1e-3, warmup = 100, final = 1e-4, decay = 0.1, clip = 1.0, accumulate = 1,
        every = 250, windows = 200,
    text = "", nanogpt = false, sample = 300, temperature = 0.8, top_k = 40, prompt = "\n"}
for _, word in ipairs(arg or {}) do
    if word == "--nanogpt" then
        options.model.dim, options.model.layers, options.model.heads = 384, 6, 6
        options.model.context, options.model.dropout, options.batch, options.steps = 256, 0.2, 64, 5000
    end
end
local paper = study{
    paper = "Radford et al. 2019, Language models are unsupervised multitask learners", options = options, seeds = 3,
    quick = {model = {dim = 16, layers = 1, heads = 2, context = 16}, batch = 4, steps = 4, warmup = 1, every = 2,
        windows = 2, sample = 20},
}

local Writer = attn.module "Writer"

function Writer:init(c, characters)
    self.embed = attn.layer.embedding{count = characters, dim = c.dim}
    self.place = attn.layer.positional{dim = c.dim, type = "learned", max_length = c.context}
    self.dropout = attn.layer.dropout{p = c.dropout}
    self.blocks = attn.encoder.transformer{dim = c.dim, heads = c.heads, layers = c.layers, dropout = c.dropout,
        norm = c.norm,
        activation = c.activation}
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

-- The characters of a text, and its parts as their ids.
local function read(cfg)
    local parts, lists, ids = nil, {}, {}
    if cfg.text ~= "" then
        local text = table.concat(attn.lines(cfg.text), "\n") .. "\n"
        parts = {train = text:sub(1, #text * 9 // 10), dev = text:sub(#text * 9 // 10 + 1)}
    else
        parts = corpus.tinyshakespeare(cfg.data)
    end
    for name, text in pairs(parts) do
        if #text <= cfg.model.context then
            error(("part %s of the text has %d characters: too few for a context of %d"):format(name, #text,
                cfg.model.context), 0)
        end
        lists[name] = {}
        for i = 1, #text do lists[name][i] = text:sub(i, i) end
    end
    local alphabet = attn.text.vocabulary({lists.train, lists.dev}, {specials = {}})
    for name, list in pairs(lists) do ids[name] = attn.tensor(alphabet:encode(list), {dtype = "int64"}) end
    return alphabet, ids
end

local function windows(from, starts, T)     -- that begin there: what is read, and what comes next
    local x, y = {}, {}
    for i, start in ipairs(starts) do x[i], y[i] = from:narrow(1, start, T), from:narrow(1, start + 1, T) end
    return {x = attn.stack(x, 1), y = attn.stack(y, 1)}
end

-- Mean loss in nats over windows of a text: `most` of them, evenly spaced; 0 for all.
local function validate(model, from, T, most)
    local all = (#from - 1) // T
    local n, sum = most == 0 and all or math.min(most, all), 0
    attn.no_grad(function()
        for first = 1, n, 32 do
            local starts = {}
            for i = first, math.min(first + 31, n) do starts[#starts + 1] = (i - 1) * all // n * T + 1 end
            local b = windows(from, starts, T)
            sum = sum + attn.loss.cross_entropy(model(b.x), b.y):item() * #starts
        end
    end)
    return sum / n
end

-- Text from the model by cached steps. A learned position ends at the context: then the last half is read again.
local function write(model, cfg, alphabet)
    local written, T = {}, cfg.model.context
    for character in cfg.prompt:gmatch "." do written[#written + 1] = alphabet:id(character) end
    local prompt = #written
    local function step(x, s) return model:step(x, s) end
    while #written - prompt < cfg.sample do
        local from, state = math.max(1, #written - T // 2 + 1), {place = 1}
        for i = from, #written - 1 do
            state = select(2, attn.no_grad(step, attn.tensor({written[i]}, {dtype = "int64"}), state))
        end
        local found = search.sample(step, {state = state, count = 1, bos = written[#written], eos = #alphabet + 1,
            temperature = cfg.temperature, top_k = cfg.top_k > 0 and cfg.top_k or nil,
            max_length = math.min(T - (#written - from), cfg.sample - (#written - prompt))})
        for _, id in ipairs(found[1][1].ids) do written[#written + 1] = id end
    end
    return table.concat(alphabet:decode(written))
end

local result = paper:table{
    name = "characters", about = "loss of the validation text in nats a character",
    columns = {"loss", "bits", "parameters", "tokens_per_second"},
    data = paper.options.text == "" and "tinyshakespeare" or nil, better = {parameters = "none"},
    run = function(cfg, cell)
        local alphabet, ids = read(cfg)
        local T, model = cfg.model.context, Writer(cfg.model, #alphabet)
        local history = cell:train{
            model = model, steps = cfg.steps, every = cfg.every, clip = cfg.clip > 0 and cfg.clip or nil,
            accumulate = cfg.accumulate,
            data = function(step, part)     -- a function of seed and step alone: a training that is resumed goes on with the same
                local draw, starts = attn.data.random(cell.seed, step * 1000 + part), {}
                for i = 1, cfg.batch do starts[i] = draw(#ids.train - T) end
                return windows(ids.train, starts, T)
            end,
            optimizer = attn.optim.adamw{params = model:parameters(), lr = cfg.lr, betas = {0.9, 0.99},
                weight_decay = cfg.decay},
            schedule = schedule.cosine{steps = cfg.steps, lr = cfg.lr, warmup = math.min(cfg.warmup, cfg.steps - 1),
                final = cfg.final},
            loss = function(b) return attn.loss.cross_entropy(model(b.x), b.y), b.y:numel() end,
            evaluate = function() return {validation = validate(model, ids.dev, T, cfg.windows)} end}
        local loss = validate(model, ids.dev, T, 0)
        if cfg.sample > 0 then cell:keep("written", write(model, cfg, alphabet)) end
        return {loss = loss, bits = loss / math.log(2), parameters = model:count(), tokens_per_second = history.rate}
    end,
}
paper:claim{"a thousand steps of a small model: below 2.2 nats a character", result.characters.loss, at_most = 2.2}

return paper:main{Writer = Writer}
