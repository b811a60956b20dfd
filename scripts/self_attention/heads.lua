-- heads: what several heads are for: two things that are to be told apart are read at once.
--
-- Among pairs of a key and a value two keys are asked for by one query: which value belongs to the first, which to the second? A head
-- mixes what it reads into one vector, in which the order is lost; two heads read one each. All rows have equally many parameters.
--
-- Command    attn scripts/self_attention/heads.lua [--show]              also where the heads look
-- Time       see scripts/README.md
-- Data       synthetic
-- Paper      Vaswani et al. 2017 (F2, and F3 (d))
-- Your own   local Reader = require "self_attention.heads".Reader        -- attn -I scripts yours.lua
--            local model = Reader{dim = 32, heads = 4, keys = 10, values = 10}
--            local logits = model(keys, values, asked)                   -- ids [B, P], [B, P], [B, 2] to [B, 2, values]
local attn = require "attn"
local study = require "attn.study"

local paper = study{
    system = {"F2", "F3"}, paper = "Vaswani et al. 2017, Attention is all you need, NeurIPS",
    options = {dim = 32, keys = 10, values = 10, pairs = 6, batch = 64, steps = 600, lr = 5e-3, tests = 20},
    quick = {dim = 8, steps = 2, batch = 4, tests = 1}, seeds = 3,
}

local Reader = attn.module "Reader"

function Reader:init(c)
    self.values = c.values
    self.key = attn.layer.embedding{count = c.keys, dim = c.dim}
    self.value = attn.layer.embedding{count = c.values, dim = c.dim}
    self.first = attn.layer.embedding{count = c.keys, dim = c.dim}
    self.second = attn.layer.embedding{count = c.keys, dim = c.dim}
    self.attend = attn.attention{query = c.dim, heads = c.heads, project = true}
    self.out = attn.layer.linear{inputs = c.dim, outputs = 2 * c.values}
end

function Reader:forward(keys, values, asked)            -- [B, P], [B, P], [B, 2]
    local query = (self.first(asked:select(2, 1)) + self.second(asked:select(2, 2))):unsqueeze(2)
    local read, weights = self.attend(query, self.key(keys), self.value(values), {weights = true})
    return self.out(read):reshape(#keys, 2, self.values), weights
end

-- Keys, values, the two keys asked for and their values.
local function draw(c)
    local _, order = attn.rand(c.batch, c.keys):sort(2)
    local keys, values = order:narrow(2, 1, c.pairs):contiguous(), attn.randint(1, c.values, c.batch, c.pairs)
    local _, place = attn.rand(c.batch, c.pairs):sort(2)
    place = place:narrow(2, 1, 2):contiguous()
    return keys, values, keys:gather(2, place), values:gather(2, place)
end

local recall = paper:table{
    name = "recall", about = "two values asked for at once: the share that is right", synthetic = true, columns = {"accuracy", "both"},
    vary = {{"1 head", heads = 1}, {"2 heads", heads = 2}, {"4 heads", heads = 4}},
    run = function(cfg, cell)
        local model, out = Reader(cfg), {accuracy = 0, both = 0}
        local optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr}
        for step = 1, cfg.steps do
            optimizer.lr = cfg.lr * (1 - (step - 1) / cfg.steps)
            attn.scope(function()
                local keys, values, asked, targets = draw(cfg)
                optimizer:zero_grad()
                attn.loss.cross_entropy(model(keys, values, asked), targets):backward()
                optimizer:step()
            end)
        end
        model:eval()
        attn.no_grad(function()
            for _ = 1, cfg.tests do
                local keys, values, asked, targets = draw(cfg)
                local logits, weights = model(keys, values, asked)
                local right = logits:argmax(-1):eq(targets):to "float32"
                out.accuracy = out.accuracy + right:mean():item() / cfg.tests
                out.both = out.both + right:prod(2):mean():item() / cfg.tests
                local words, heads = {rows = {}, columns = keys[1]:totable()}, weights[1]:reshape(-1, cfg.pairs)
                for head = 1, #heads do words.rows[head] = ("%d, %d"):format(table.unpack(asked[1]:totable())) end
                cell:keep("where it looks, by head", heads, words)
            end
        end)
        return out
    end,
}
paper:claim{"F3 (d): with four heads both are found in at least 95 % of cases", recall["4 heads"].both, at_least = 0.95}
paper:claim{"F3 (d): four heads are at least 10 points better than one, with as many parameters",
    recall["4 heads"].accuracy - recall["1 head"].accuracy, at_least = 0.1}

return paper:main{Reader = Reader}
