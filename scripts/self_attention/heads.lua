-- heads: what several heads are for: two things that are to be told apart are read at once; and what drives heads
-- apart.
--
-- Among pairs of a key and a value two keys are asked for by one query: which value belongs to the first, which to the
-- second? A head mixes what it reads into one vector, in which the order is lost; two heads read one each. All rows
-- have equally many parameters. Disagreement regularisation adds to the loss how alike the heads are: in their values,
-- their weights or what they read.
--
-- Command    attn scripts/self_attention/heads.lua [--show]              also where the heads look
-- Time       see scripts/README.md
-- Data       synthetic
-- Papers     Vaswani et al. 2017 (F2, and F3 (d)); Li et al. 2018, Multi-head attention with disagreement
--            regularization (F4)
-- Found      One head is right in 56 %, two or more in 100 %, so that nothing is left for a penalty to better. The
--            position term lowers the overlap of the weights by two thirds; the other two do not (output: a little
--            more), but for a cosine that is 0 before.
-- Your own   local Reader = require "self_attention.heads".Reader        -- attn -I scripts yours.lua
--            local model = Reader{dim = 32, heads = 4, keys = 10, values = 10}
--            local logits = model(keys, values, asked)                   -- ids [B, P], [B, P], [B, 2] to [B, 2, values]
local attn = require "attn"
local study = require "attn.study"

local paper = study{
    system = {"F2", "F3", "F4"},
    paper = "Vaswani et al. 2017, Attention is all you need, NeurIPS; Li et al. 2018, EMNLP",
    options = {dim = 32, keys = 10, values = 10, pairs = 6, batch = 64, steps = 600, lr = 5e-3, lambda = 1, tests = 20},
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

-- What may be alike between heads, each [B, H, T, D]: their values, their weights and what they read.
function Reader:parts(values, weights)                  -- [B, P], [B, H, 1, P]
    local value = self.attend:state()
    local subspace = attn.linear(self.value(values), value["value.weight"], value["value.bias"])
    subspace = subspace:reshape(#values, values:size(2), weights:size(2), -1):transpose(2, 3)
    return {subspace = subspace, position = weights, output = weights:matmul(subspace)}
end

-- The mean over pairs of heads, batch and places of x_i . x_j, or of the cosine.
local function alike(x, cosine)
    if cosine then x = x / (x * x):sum(-1, true):sqrt() end
    local sum, B, H, T = x:sum(2), table.unpack(x.shape)
    return ((sum * sum):sum() - (x * x):sum()) / (B * T * H * (H - 1))
end

-- Keys, values, the two keys asked for and their values.
local function draw(c)
    local _, order = attn.rand(c.batch, c.keys):sort(2)
    local keys, values = order:narrow(2, 1, c.pairs):contiguous(), attn.randint(1, c.values, c.batch, c.pairs)
    local _, place = attn.rand(c.batch, c.pairs):sort(2)
    place = place:narrow(2, 1, 2):contiguous()
    return keys, values, keys:gather(2, place), values:gather(2, place)
end

local function learn(cfg, penalty)
    local model = Reader(cfg)
    local optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr}
    for step = 1, cfg.steps do
        optimizer.lr = cfg.lr * (1 - (step - 1) / cfg.steps)
        attn.scope(function()
            local keys, values, asked, targets = draw(cfg)
            local logits, weights = model(keys, values, asked)
            local loss = attn.loss.cross_entropy(logits, targets)
            if penalty then
                loss = loss + cfg.lambda * attn.penalty.disagreement(model:parts(values, weights)[penalty], penalty)
            end
            optimizer:zero_grad()
            loss:backward()
            optimizer:step()
        end)
    end
    return model:eval()
end

-- The shares of right values and of right pairs of values; for several heads also how alike they are.
local function measure(model, cfg, cell)
    local out = {accuracy = 0, both = 0}
    local function add(name, value) out[name] = (out[name] or 0) + value:item() / cfg.tests end
    attn.no_grad(function()
        for _ = 1, cfg.tests do
            local keys, values, asked, targets = draw(cfg)
            local logits, weights = model(keys, values, asked)
            local right = logits:argmax(-1):eq(targets):to "float32"
            add("accuracy", right:mean())
            add("both", right:prod(2):mean())
            if cfg.heads > 1 then
                for name, x in pairs(model:parts(values, weights)) do add(name, alike(x, name ~= "position")) end
            end
            local words, heads = {rows = {}, columns = keys[1]:totable()}, weights[1]:reshape(-1, cfg.pairs)
            for head = 1, #heads do words.rows[head] = ("%d, %d"):format(table.unpack(asked[1]:totable())) end
            cell:keep("where it looks, by head", heads, words)
        end
    end)
    return out
end

local recall = paper:table{
    name = "recall", about = "two values asked for at once: the share that is right", synthetic = true,
    columns = {"accuracy", "both"},
    vary = {{"1 head", heads = 1}, {"2 heads", heads = 2}, {"4 heads", heads = 4}},
    run = function(cfg, cell) return measure(learn(cfg), cfg, cell) end,
}
paper:claim{"F3 (d): with four heads both are found in at least 95 % of cases", recall["4 heads"].both, at_least = 0.95}
paper:claim{"F3 (d): four heads are at least 10 points better than one, with as many parameters",
    recall["4 heads"].accuracy - recall["1 head"].accuracy, at_least = 0.1}

local apart = paper:table{
    name = "disagreement",
    about = "four heads, told to differ: cosine of their values, product of weights, cosine of what they read",
    synthetic = true, columns = {"accuracy", "both", "subspace", "position", "output"},
    better = {subspace = "less", position = "less", output = "less"},
    vary = {{"none"}, {"subspace", penalty = "subspace"},
        {"position", penalty = "position"}, {"output", penalty = "output"}},
    run = function(cfg, cell)
        cfg.heads = 4
        return measure(learn(cfg, cfg.penalty), cfg, cell)
    end,
}
for _, kind in ipairs{"subspace", "position", "output"} do
    paper:claim{("F4: the %s term lowers the overlap of the heads' weights by at least 30 %%"):format(kind),
        apart[kind].position - 0.7 * apart.none.position, at_most = 0}
    if kind ~= "position" then
        paper:claim{("F4: the %s term lowers the cosine that it is about"):format(kind),
            apart[kind][kind] - apart.none[kind], at_most = 0}
    end
    paper:claim{("F4: the %s term does not lower accuracy, within a point"):format(kind),
        apart[kind].accuracy - apart.none.accuracy, at_least = -0.01}
end
for _, kind in ipairs{"subspace", "position"} do
    paper:claim{("F4: the output term alone is at least as good as the %s term, within a point"):format(kind),
        apart.output.accuracy - apart[kind].accuracy, at_least = -0.01}
end

return paper:main{Reader = Reader, alike = alike}
