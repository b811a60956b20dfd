-- kernels: attention as a smoother: weights are a kernel between places, and a kernel is chosen.
--
--   c_i = sum_j k(x_i, x_j) v_j / sum_j k(x_i, x_j)      linear <q, k>, polynomial <q, k>^2, exponential exp(<q, k> / sqrt d),
--                                                        rbf exp(-|q - k|^2 / (2 sqrt d))
--   symmetric      queries and keys by one map, W_q = W_k
--   place          sum: k of word and place added; product: a kernel of the words times a kernel of the places
--
-- The words to be copied are found by their place alone; the words to be sorted, by what they are: the next after the
-- one just said, of which no symmetric kernel can know that it is the next and not the one before.
--
-- Command    attn scripts/self_attention/kernels.lua [--show]
-- Time       see scripts/README.md
-- Data       synthetic: sentences to be copied, or sorted (task.copy, task.sort)
-- Papers     Tsai et al. 2019, Transformer dissection: attention via the lens of kernel (F9); one map for queries and
--            keys (F12), as in Kitaev et al. 2020, Reformer
-- Found      Copied 99 % by exponential, rbf and polynomial alike, 12 % by linear, a fifth of whose weights are
--            negative. One map for queries and keys copies as well as two and cannot sort (57 % instead of 98). Sum or
--            product of places: no difference.
-- Your own   local Smoother = require "self_attention.kernels".Smoother         -- attn -I scripts yours.lua
--            local model = Smoother{kernel = "rbf", place = "product", symmetric = true, words = 22, places = 11, dim = 32}
--            local logits, weights = model(source, lengths, target_in)            -- [B, T, 22], [B, T, S]
local attn = require "attn"
local fit, study, task = require "attn.fit", require "attn.study", require "attn.task"

local paper = study{
    system = {"F9", "F12"}, paper = "Tsai et al. 2019, Transformer dissection: attention via the lens of kernel, EMNLP",
    options = {dim = 16, batch = 16, steps = 400, lr = 1e-2, words = 20, shortest = 4, longest = 10, tests = 200},
    quick = {dim = 4, batch = 2, steps = 2, tests = 2},
}

-- Each of queries [B, T, D] and keys [B, S, D]: log k where k is positive, else k itself.
local kernels = {}
local function dot(q, k) return q:matmul(k:transpose(2, 3)) * q:size(3) ^ -0.5 end
kernels.linear = {of = dot}
kernels.polynomial = {of = function(q, k) return dot(q, k) ^ 2 end}
kernels.exponential = {log = dot}
kernels.rbf = {log = function(q, k) return attn.cdist(q, k) ^ 2 * (-0.5 * q:size(3) ^ -0.5) end}

-- Weights [B, T, S] of one kernel, or of the product of two: pairs {queries, keys}; there [B, 1, S] is where keys are.
local function weigh(name, sides, there)
    local kernel, k = kernels[name], nil
    if kernel.log then
        for _, side in ipairs(sides) do
            local e = kernel.log(side[1], side[2])
            k = k and k + e or e
        end
        return k:masked_fill(~there, -math.huge):softmax(-1)
    end
    for _, side in ipairs(sides) do
        local one = kernel.of(side[1], side[2])
        k = k and k * one or one
    end
    k = k:masked_fill(~there, 0)
    local sum = k:sum(-1, true)
    local least = attn.where(sum:lt(0), attn.full_like(sum, -1e-2), attn.full_like(sum, 1e-2))
    return k / attn.where(sum:abs():lt(1e-2), least, sum)                   -- near zero a sum is unstable
end

local Smoother = attn.module "Smoother"         -- one look at the source, from the word just said and the place

function Smoother:init(c)
    local function linear(bias) return attn.layer.linear{inputs = c.dim, outputs = c.dim, bias = bias or false} end
    self.kernel, self.product = c.kernel, c.place == "product"
    self.embed = attn.layer.embedding{count = c.words, dim = c.dim}
    self.place = attn.randn(c.places, c.dim):requires_grad_(true)
    self.query, self.value, self.hidden = linear(), linear(), linear(true)
    self.key = c.symmetric and self.query or linear()
    if self.product then
        self.place_query = linear()
        self.place_key = c.symmetric and self.place_query or linear()
    end
    self.out = attn.layer.linear{inputs = c.dim, outputs = c.words}
end

function Smoother:forward(source, lengths, before)      -- [B, S], [B], [B, T]
    local x, y = self.embed(source), self.embed(before)
    local function places(z) return self.place:narrow(1, 1, z:size(2)):unsqueeze(1) end
    local at_x, at_y, sides = places(x), places(y), nil
    if self.product then
        sides = {{self.query(y), self.key(x)}, {self.place_query(at_y), self.place_key(at_x)}}
    else
        sides = {{self.query(y + at_y), self.key(x + at_x)}}
    end
    local weights = weigh(self.kernel, sides, attn.mask(lengths, source:size(2)):unsqueeze(2))
    return self.out(self.hidden(y + weights:matmul(self.value(x))):relu()), weights
end

local rows = {}
for _, place in ipairs{"product", "sum"} do
    for _, kernel in ipairs{"linear", "polynomial", "exponential", "rbf"} do
        for _, symmetric in ipairs{false, true} do
            rows[#rows + 1] = {("%s, %s%s"):format(kernel, place, symmetric and ", symmetric" or ""), kernel = kernel,
                place = place, symmetric = symmetric}
        end
    end
end

local result = paper:table{
    name = "kernels", about = "words that are right in %, copied and sorted; weights below zero in %",
    synthetic = true, vary = rows, columns = {"copy", "sort", "negative"}, better = {negative = "less"},
    run = function(cfg, cell)
        local out = {negative = 0}
        for _, name in ipairs{"copy", "sort"} do
            local function draw(count, seed)
                return task[name]({words = cfg.words, shortest = cfg.shortest, longest = cfg.longest, size = cfg.batch,
                    count = count}, seed)
            end
            local batches, tests = draw(cfg.steps * cfg.batch, cell.seed), draw(cfg.tests, 1000 + cell.seed)
            attn.seed(cell.seed)
            local model = Smoother{kernel = cfg.kernel, place = cfg.place, symmetric = cfg.symmetric,
                words = batches.targets, places = cfg.longest + 1, dim = cfg.dim}
            local function said(b) return model(b.source, b.source_lengths, b.target_in), b.target_out end
            fit{model = model, batches = batches, steps = cfg.steps, cell = name == "copy" and cell or nil,
                schedule = attn.schedule.cosine{steps = cfg.steps, lr = cfg.lr},
                loss = function(b)
                    local logits, target = said(b)
                    return attn.loss.cross_entropy(logits, target)
                end}
            out[name] = 100 * fit.accuracy(model, tests, said)
            local below, all = 0, 0
            fit.each(model, tests, function(b)
                local _, weights = model(b.source, b.source_lengths, b.target_in)
                below, all = below + weights:lt(0):to("float32"):sum():item(), all + weights:numel()
                local n = b.source_lengths[1]:item()
                cell:keep(name, weights[1][{{1, n + 1}, {1, n}}], {columns = b.source[1]:narrow(1, 1, n):totable()})
            end)
            out.negative = out.negative + 50 * below / all
        end
        return out
    end,
}
local function best(kernel) return result[kernel .. ", product"] end
for _, name in ipairs{"copy", "sort"} do
    paper:claim{("F9: %s: exponential and rbf are alike, within 2 points"):format(name),
        best "exponential"[name] - best "rbf"[name], between = {-2, 2}}
    paper:claim{("F9: %s: exponential is no worse than polynomial, within a point"):format(name),
        best "exponential"[name] - best "polynomial"[name], at_least = -1}
    paper:claim{("F9: %s: polynomial is better than linear"):format(name),
        best "polynomial"[name] - best "linear"[name], at_least = 0}
    paper:claim{("F9: %s: a product of kernels is no worse than a kernel of sums, within a point"):format(name),
        best "exponential"[name] - result["exponential, sum"][name], at_least = -1}
end
for _, kernel in ipairs{"polynomial", "exponential", "rbf"} do
    paper:claim{("F9: no weight of %s is negative"):format(kernel), best(kernel).negative, between = {0, 0},
        exact = true}
end
paper:claim{"F9: linear has negative weights", best "linear".negative, at_least = 1}
paper:claim{"F12: copy: one map for queries and keys is as good as two (exponential, product), within 2 points",
    result["exponential, product, symmetric"].copy - best "exponential".copy, at_least = -2}
paper:claim{"F12: sort: it is worse, by 5 points at least",
    best "exponential".sort - result["exponential, product, symmetric"].sort, at_least = 5}

return paper:main{Smoother = Smoother, weigh = weigh}
