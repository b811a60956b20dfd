-- char_lm: a language model of characters: a causal Transformer encoder writes Shakespeare.
--
-- Command    attn scripts/language/char_lm.lua --data DIR      a shape for two cores: d 128, 4 layers, 4 heads, 64 characters
--              --nanogpt --seeds 1 --jobs 1                  the shape of nanoGPT's example: d 384, 6 layers, 6 heads, 256
--              --text FILE                                   another text than tiny Shakespeare
--              --show --sample 1000 --temperature 0.8 --top-k 40 --prompt "ROMEO:"      also what it writes
-- Time       see scripts/README.md; --nanogpt is a matter of days; a training that was interrupted goes on where it was
-- Data       tiny Shakespeare
-- Papers     Vaswani et al. 2017; Radford et al. 2019 (pre-norm, learned positions, tied output); Karpathy 2015 (data)
-- Found      2.05 nats a character after a thousand steps, 2.96 bits, by bf16 too; 18,000 characters a second on two
--            cores.
-- Your own   local Writer = require "language.char_lm".Writer         -- attn -I scripts yours.lua
--            local model = Writer({dim = 128, layers = 4, heads = 4, context = 64, dropout = 0, norm = "pre", activation = "gelu",
--                tied = true}, 65); model(ids [B, T]) -> logits [B, T, 65]
local attn = require "attn"
local corpus, data, fit, schedule = require "attn.corpus", require "attn.data", require "attn.fit", require "attn.schedule"
local search, study, text = require "attn.search", require "attn.study", require "attn.text"

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

-- The parts of the text as ids, and its characters.
local function read(cfg)
    if cfg.text == "" then return text.characters(corpus.tinyshakespeare(cfg.data)) end
    local all = table.concat(attn.lines(cfg.text), "\n") .. "\n"
    return text.characters{train = all:sub(1, #all * 9 // 10), dev = all:sub(#all * 9 // 10 + 1)}
end

-- Mean loss in nats over windows of a text.
local function validate(model, windows)
    local sum, n = 0, 0
    fit.each(model, windows, function(b)
        sum, n = sum + attn.loss.cross_entropy(model(b.x), b.y):item() * b.y:numel(), n + b.y:numel()
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
    vary = {{"characters"}, {"bf16", precision = "bf16"}},
    columns = {"loss", "bits", "parameters", "tokens_per_second"},
    data = paper.options.text == "" and "tinyshakespeare" or nil, better = {parameters = "none"},
    run = function(cfg, cell)
        local ids, alphabet = read(cfg)
        local T, model = cfg.model.context, Writer(cfg.model, #alphabet)
        local training = data.windows(ids.train, {length = T, size = cfg.batch, seed = cell.seed})
        local some = data.windows(ids.dev, {length = T, most = cfg.windows})
        local history = cell:train{
            model = model, steps = cfg.steps, every = cfg.every, clip = cfg.clip > 0 and cfg.clip or nil,
            accumulate = cfg.accumulate,
            data = function(step, part) return training:draw(step * 1000 + part) end,
            optimizer = attn.optim.adamw{params = model:parameters(), lr = cfg.lr, betas = {0.9, 0.99},
                weight_decay = cfg.decay},
            schedule = schedule.cosine{steps = cfg.steps, lr = cfg.lr, warmup = math.min(cfg.warmup, cfg.steps - 1),
                final = cfg.final},
            loss = function(b) return attn.loss.cross_entropy(model(b.x), b.y), b.y:numel() end,
            evaluate = function() return {validation = validate(model, some)} end}
        local loss = validate(model, data.windows(ids.dev, {length = T}))
        if cfg.sample > 0 then cell:keep("written", write(model, cfg, alphabet)) end
        return {loss = loss, bits = loss / math.log(2), parameters = model:count(), tokens_per_second = history.rate}
    end,
}
paper:claim{"a thousand steps of a small model: below 2.2 nats a character", result.characters.loss, at_most = 2.2}
paper:claim{"bf16 ends within the spread of seeds", study.within(result.bf16.loss, result.characters.loss)}

return paper:main{Writer = Writer}
