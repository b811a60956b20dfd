-- transformer: translation by attention alone, beside a recurrent model with attention; and what heads, warm-up and
-- masks are for.
--
-- Command    attn scripts/self_attention/transformer.lua --data DIR
--              --only multi30k --words 0 --steps 2500 --jobs 1
--              --only multi30k/Transformer --show                   one model; sentences and where it looked
-- Time       see scripts/README.md
-- Data       Multi30k, English to German, with 2,000 words each (--words 0: all that occur twice); the other tables:
--            synthetic
-- Papers     Vaswani et al. 2017 (F1, F2, F3); Bahdanau, Cho and Bengio 2015 (A3, beside)
-- Found      700 steps: 23.1 BLEU (bf16 the same: 23.2), RNNsearch in as much time 13.9. Copying and reversing are
--            learned without a mistake up to the trained length in 80 s: of 30 symbols none is right. Eight layers
--            without warm-up: post-norm stays at chance.
-- Your own   local Transformer = require "self_attention.transformer".Transformer     -- attn -I scripts yours.lua
--            local model = Transformer{sources = 5000, targets = 6000, dim = 128, heads = 4, layers = 3, ff = 512, dropout = 0.1}
--            attn.train.loop{model = model, loss = attn.translate.loss(model, {smoothing = 0.1}), ...}; attn.translate.decode(model, sources)
local attn = require "attn"
local study = require "attn.study"
local corpus, schedule, task, translate = attn.corpus, attn.schedule, attn.task, attn.translate

local paper = study{
    system = {"F1", "F2", "F3"}, paper = "Vaswani et al. 2017, Attention is all you need, NeurIPS",
    options = {model = {dim = 128, heads = 4, layers = 3, ff = 512, dropout = 0.1},
        recurrent = {dim = 128, hidden = 128, dropout = 0.3, lr = 1e-3}, examples = 0, words = 2000, batch = 64,
        lr = 1.0, warmup = 400, smoothing = 0.1, ema = 0.995, steps = 700, beam = 4, length_penalty = 0.6, max_length = 50,
        small = {dim = 64, heads = 4, layers = 2, ff = 256, steps = 2500, lr = 3e-3, tests = 200},
        stall = {layers = 8, steps = 300, lr = 4e-3}},
    quick = {model = {dim = 8, heads = 2, layers = 1, ff = 8}, recurrent = {dim = 8, hidden = 8}, examples = 40, ema = 0.5,
        steps = 2, max_length = 8, small = {dim = 8, layers = 1, ff = 8, steps = 2, tests = 3},
        stall = {layers = 2, steps = 2}}, seeds = 3,
}

local Transformer = attn.module "Transformer"

function Transformer:init(c)
    self.scale = c.dim ^ 0.5
    self.source = attn.layer.embedding{count = c.sources, dim = c.dim}
    self.target = attn.layer.embedding{count = c.targets, dim = c.dim}
    self.place = attn.layer.positional{dim = c.dim}
    self.dropout = attn.layer.dropout{p = c.dropout or 0}
    local shape = {dim = c.dim, heads = c.heads, layers = c.layers, ff = c.ff, dropout = c.dropout or 0,
        norm = c.norm or "pre"}
    self.encoder, self.decoder = attn.encoder.transformer(shape), attn.decoder.transformer(shape)
    self.out = attn.layer.linear{inputs = c.dim, outputs = c.targets, bias = false}
    attn.no_grad(function()                 -- of length 1, so that sqrt(dim) times a word is as large as its place
        for _, embedding in ipairs{self.source, self.target} do embedding.weight:copy_(embedding.weight / self.scale) end
    end)
    self.out.weight = self.target.weight
end

function Transformer:read(embedding, ids, place)
    return self.dropout(self.place(embedding(ids) * self.scale, {position = place or 1}))
end

function Transformer:encode(ids, lengths)           -- [B, S], [B]
    return {memory = self.encoder(self:read(self.source, ids), {lengths = lengths}), lengths = lengths, place = 1}
end

function Transformer:forward(ids, lengths, target)  -- [B, S], [B], [B, T]
    local s = self:encode(ids, lengths)
    return self.out(self.decoder(self:read(self.target, target), s.memory, {memory_lengths = lengths}))
end

function Transformer:step(ids, s)                   -- [R]
    local y = self:read(self.target, ids:unsqueeze(2), s.place):squeeze(2)
    local out, hidden, weights = self.decoder:step(y, s.memory, s.hidden, {memory_lengths = s.lengths, weights = true})
    return self.out(out), {memory = s.memory, lengths = s.lengths, hidden = hidden, place = s.place + 1}, weights
end

local function adam(model, lr)
    return attn.optim.adam{params = model:parameters(), lr = lr, betas = {0.9, 0.98}, eps = 1e-9}
end

-- Translation, beside RNNsearch ---------------------------------------------------------------------------------------

local text = paper:table{
    name = "multi30k", about = "English to German, BLEU of test2016", data = "multi30k",
    columns = {"bleu", "beam", "seconds", "tokens_per_second"},
    vary = {{"Transformer"}, {"RNNsearch", beside = true}, {"Transformer, bf16", precision = "bf16"}},
    run = function(cfg, cell)
        local sets, c, r = corpus.multi30k(cfg.data, {most = cfg.examples}), cfg.model, cfg.recurrent
        local pair = translate.pair(sets.train, cfg.words > 0 and {size = cfg.words} or {min_count = 2})
        local noam, model, rate = schedule.noam{dim = c.dim, warmup = cfg.warmup}, nil, nil
        if cfg.beside then
            model = translate.recurrent{sources = #pair.source, targets = #pair.target, dim = r.dim, hidden = r.hidden,
                dropout = r.dropout, attention = {score = "additive", dim = r.hidden}, readout = "maxout"}
            rate = function(step) return r.lr * 0.5 ^ math.max(0, math.ceil(12 * step / cfg.steps) - 8) end
        else
            c.sources, c.targets = #pair.source, #pair.target
            model, rate = Transformer(c), function(step) return cfg.lr * noam(step) end
        end
        local history = cell:train{model = model, data = pair:batches(sets.train, {size = cfg.batch, seed = cell.seed}),
            loss = translate.loss(model, {smoothing = not cfg.beside and cfg.smoothing or 0}), steps = cfg.steps,
            clip = 1, save_every = math.max(1, cfg.steps // 10), optimizer = adam(model, 1e-3), schedule = rate,
            ema = not cfg.beside and cfg.ema or nil}        -- in place of the mean of the last checkpoints
        local out = pair:score(model, sets.test, {max_length = cfg.max_length, width = cfg.beam, cell = cell,
            length_penalty = cfg.length_penalty})
        out.seconds, out.tokens_per_second = history.seconds, history.rate
        return out
    end,
}

paper:claim{"bf16 ends within the spread of seeds", study.within(text["Transformer, bf16"].bleu, text["Transformer"].bleu)}

-- Sequences of symbols ------------------------------------------------------------------------------------------------

local function symbols(name, count, seed, shortest, longest)
    return task[name]({words = 20, shortest = shortest, longest = longest, size = 64, count = count}, seed)
end

-- A small model that has learned to copy or reverse up to 20 symbols; norm and rate as asked for.
local function small(name, c, norm, rate, cell)
    local batches = symbols(name, 20000, cell.seed, 1, 20)
    local model = Transformer{sources = batches.vocabulary, targets = batches.targets, dim = c.dim, heads = c.heads,
        layers = c.layers, ff = c.ff, norm = norm}
    return model, cell:train{model = model, data = batches, loss = translate.loss(model), steps = c.steps, clip = 1,
        schedule = rate, optimizer = adam(model, c.lr)}
end

local exact = paper:table{
    name = "exact", about = "copy and reverse, learned up to 20 symbols: right in % of up to 20, and of 30", synthetic = true,
    columns = {"up_to_20", "of_30", "seconds"}, vary = {{"copy", task = "copy"}, {"reverse", task = "reverse"}},
    run = function(cfg, cell)
        local c, out = cfg.small, {}
        local rate = schedule.linear{steps = c.steps, lr = c.lr, warmup = c.steps // 20}
        local model, history = small(cfg.task, c, "pre", rate, cell)
        for name, range in pairs{up_to_20 = {1, 20}, of_30 = {30, 30}} do
            local set = translate.examples(symbols(cfg.task, c.tests, 1000 + cell.seed, range[1], range[2]))
            out[name] = translate.measure(model, set, {max_length = 60}).exact
        end
        out.seconds = history.seconds
        return out
    end,
}
for _, name in ipairs{"copy", "reverse"} do
    paper:claim{("F3 (a): %s is exact up to the trained length 20"):format(name), exact[name].up_to_20, at_least = 100,
        exact = true}
    paper:claim{("F3 (a): %s fails at length 30"):format(name), exact[name].of_30, at_most = 50}
    paper:claim{("F3 (a): %s is learned in under 2 minutes"):format(name), exact[name].seconds, at_most = 120}
end

local chance = math.log(20)
local stall = paper:table{
    name = "stall", about = ("copy, 8 layers, a high rate: loss of the last steps (chance %.2f)"):format(chance),
    synthetic = true, vary = {{"post-norm", norm = "post"}, {"post-norm, warm-up", norm = "post", warm = true},
        {"pre-norm", norm = "pre"}, {"pre-norm, warm-up", norm = "pre", warm = true}},
    run = function(cfg, cell)
        local c, s, last = cfg.small, cfg.stall, 0
        c.layers, c.steps = s.layers, s.steps
        local function rate(step) return s.lr * (cfg.warm and math.min(1, 2 * step / s.steps) or 1) end
        local _, history = small("copy", c, cfg.norm, rate, cell)
        local n = math.min(50, #history.losses)
        for i = #history.losses - n + 1, #history.losses do last = last + history.losses[i] / n end
        return {loss = last}
    end,
}
paper:claim{"F3 (c): post-norm without warm-up stalls: at least 0.8 of the loss of chance", stall["post-norm"].loss,
    at_least = 0.8 * chance}
paper:claim{"F3 (c): pre-norm without warm-up does not: at most half of it", stall["pre-norm"].loss,
    at_most = 0.5 * chance}

local padding = paper:table{
    name = "padding", about = "numbers of the output that change when other symbols stand in the padding", synthetic = true,
    run = function(cfg)
        local c = cfg.small
        local model = Transformer{sources = 22, targets = 22, dim = c.dim, heads = c.heads, layers = c.layers, ff = c.ff}
        model:eval()
        local batch, changed, first = symbols("copy", 16, 1, 1, 20):epoch(1)(), 0, nil
        for trial = 0, 4 do
            local function filled(ids)
                return trial == 0 and ids or attn.where(ids:eq(0), attn.randint(1, 20, table.unpack(ids.shape)), ids)
            end
            local logits = attn.no_grad(model, filled(batch.source), batch.source_lengths, filled(batch.target_in))
            logits = logits:masked_fill(batch.target_in:eq(0):unsqueeze(3):expand(logits.shape), 0)
            first = first or logits
            changed = changed + logits:ne(first):sum():item()
        end
        return {changed = changed}
    end,
}
paper:claim{"F3 (e): what stands in the padding changes no bit of the output", padding.padding.changed,
    between = {0, 0}, exact = true}

return paper:main{Transformer = Transformer}
