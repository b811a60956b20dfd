-- what and where (D3; Larochelle and Hinton 2010): what a fixation sees and where it was, multiplied or added
--
--     product   h = relu(U sum_k (P x_k) o (R z_k))
--     sum       h = relu(U sum_k relu(P x_k + R z_k))                            as glimpses (D1) do
--
-- Command    attn scripts/seeing/what_and_where.lua [--data DIR]
-- Time       1 minute on two cores
-- Data       MNIST: 8,000 training digits, tested on 2,000; synthetic: digits made of seven strokes
-- Found      what times where is worse, by 11 points on MNIST and 7 on made digits: a relu of each glimpse does more
--            than a product. Both still learn (256 wide, 20,000 steps: 19 against 13 %)
-- Your data  local Fusion = require("seeing.what_and_where").Fusion                    (attn -I scripts)
--            local fusion = Fusion{kind = "product", inputs = 64, dim = 64, hidden = 128}
--            local h = fusion(seen, places)      seen [B, K, 64], places [B, K, 2] -> h [B, 128]
local attn = require "attn"
local fit, init, study = require "attn.fit", require "attn.init", require "attn.study"
local task = require "attn.task"
local layer = attn.layer

local Fusion = attn.module "Fusion"
function Fusion:init(cfg)
    self.kind = cfg.kind
    self.what = layer.linear{inputs = cfg.inputs, outputs = cfg.dim}
    self.where = layer.linear{inputs = 9, outputs = cfg.dim}
    if cfg.kind == "product" then init.constant(self.where.bias, 1) end         -- at first what is seen, wherever it is
    self.hidden = layer.linear{inputs = cfg.dim, outputs = cfg.hidden}
end

-- Where, as an activity over a 3 x 3 grid of soft cells; a place between cells is shared by them.
function Fusion:cells(z)
    local centres = {}
    for y = -1, 1 do
        for x = -1, 1 do centres[#centres + 1] = {0.7 * x, 0.7 * y} end
    end
    local apart = z:unsqueeze(3) - attn.tensor(centres, {dtype = z.dtype})
    return ((apart * apart):sum(4) * -6):softmax(3)                                 -- [B, K, 9]
end

function Fusion:forward(x, z)
    local what, where = self.what(x), self.where(self:cells(z))
    local each = self.kind == "product" and what * where or (what + where):relu()
    return self.hidden(each:sum(2)):relu()
end

local Classifier = attn.module "Classifier"
function Classifier:init(cfg)
    self.size, self.glimpses = cfg.size, cfg.glimpses
    self.fusion = Fusion{kind = cfg.kind, inputs = cfg.size * cfg.size, dim = cfg.dim, hidden = cfg.hidden}
    self.class = layer.linear{inputs = cfg.hidden, outputs = 10}
end

function Classifier:forward(image)
    local B, K = image:size(1), self.glimpses
    local at, seen = attn.rand(B, K, 2, {dtype = image.dtype}) * 1.4 - 0.7, {}
    for k = 1, K do seen[k] = attn.glimpse(image, at[{{}, k}]:contiguous(), {size = self.size}):flatten(2, 5) end
    return self.class(self.fusion(attn.stack(seen, 2), at))
end

local paper = study{
    system = "D3", paper = "Larochelle, Hinton 2010, Learning to combine foveal glimpses, NeurIPS",
    options = {size = 8, glimpses = 4, dim = 96, hidden = 64, batch = 64, steps = 4000, lr = 3e-3, train = 8000,
        test = 2000},
    quick = {dim = 4, hidden = 4, batch = 4, steps = 2, train = 8, test = 8}, seeds = 3,
}

local function fusing(cfg, cell)
    local train, test = fit.parts(task.digits, cfg, cell.seed, {shift = 0})
    local model = Classifier(cfg)
    fit{model = model, batches = train, steps = cfg.steps, cell = cell, lr = cfg.lr, final = cfg.lr / 50,
        forward = function(b) return model(b.image), b.answer end}
    return {error = 100 * (1 - fit.accuracy(model, test, function(b) return model(b.image), b.answer end))}
end

local function both(options)
    options.run, options.better = fusing, {error = "less"}
    options.vary = {{"sum", kind = "sum"}, {"product", kind = "product"}}
    return paper:table(options)
end
local mnist = both{name = "digits", data = "mnist",
    about = "MNIST: error in percent, 4 glimpses of 8 x 8 at random places"}
local made = both{name = "made digits", about = "the same with digits of seven strokes", synthetic = true,
    options = {made = true}}

for _, one in ipairs{{"MNIST", mnist}, {"made digits", made}} do
    paper:claim{"D3: " .. one[1] .. ": what times where has a lower error than what plus where",
        one[2]["sum"].error - one[2]["product"].error, at_least = 0}
end

return paper:main{Fusion = Fusion, Classifier = Classifier}
