-- squeeze and excitation (D6; Hu, Shen and Sun 2018): each channel of a map of features gets a gate, computed from the
-- means of all channels
--
--     z_c = mean_ij u_c      s = sigmoid(W_2 relu(W_1 z)), W_1 [C / r, C]      output s_c u_c
--
-- A share of the channels (--noise) carries noise and nothing else, drawn anew for each picture: what do their gates
-- do, and what does it help?
--
-- Command    attn scripts/seeing/squeeze_excitation.lua [--data DIR] [--noise 0.2]
-- Time       7 minutes on one core
-- Data       MNIST: 8,000 training digits, tested on 2,000; CIFAR-10: 6,000 and 2,000; synthetic: digits made here
-- Found      not run in full with these steps yet: in a third of them gates of noise came to 0.28 on MNIST, half way;
--            made digits without clutter are too easy for gates to learn anything
-- Your data  local Gates = require("seeing.squeeze_excitation").Gates                  (attn -I scripts)
--            local gates = Gates{channels = 64, reduction = 16}
--            local y, s = gates(x)                               x, y [B, 64, H, W], s [B, 64]
local attn = require "attn"
local corpus, data, fit = require "attn.corpus", require "attn.data", require "attn.fit"
local study, task = require "attn.study", require "attn.task"
local layer = attn.layer

local Gates = attn.module "Gates"
function Gates:init(cfg)
    local few = math.max(1, cfg.channels // cfg.reduction)
    self.first = layer.linear{inputs = cfg.channels, outputs = few}
    self.second = layer.linear{inputs = few, outputs = cfg.channels}
end

function Gates:forward(x)
    local s = self.second(self.first(x:mean({3, 4})):relu()):sigmoid()
    return x * s:unsqueeze(3):unsqueeze(4), s
end

-- Two convolutions; after the first stand channels of noise beside its own, and gates, if any, see them all.
local Network = attn.module "Network"
function Network:init(cfg)
    local C = cfg.channels
    self.noisy, self.std = math.floor(C * cfg.noise + 0.5), cfg.std
    self.first = layer.conv2d{inputs = cfg.inputs, outputs = C - self.noisy, kernel = 3, padding = 1}
    if cfg.gates then self.gates = Gates{channels = C, reduction = cfg.reduction} end
    self.second = layer.conv2d{inputs = C, outputs = C, kernel = 3, padding = 1}
    self.out = layer.linear{inputs = C * (cfg.side // 4) * (cfg.side // 4), outputs = 10}
end

function Network:forward(x)
    local h, s = self.first(x):relu():max_pool2d(2), nil
    if self.noisy > 0 then
        local noise = attn.randn(h:size(1), self.noisy, h:size(3), h:size(4), {dtype = h.dtype}) * self.std
        h = attn.cat({h, noise}, 2)
    end
    if self.gates then h, s = self.gates(h) end
    return self.out(self.second(h):relu():max_pool2d(2):flatten(2, 4)), s
end

local paper = study{
    system = {"D6"}, paper = "Hu, Shen, Sun 2018, Squeeze-and-excitation networks, CVPR",
    options = {channels = 20, noise = 0.2, std = 2.0, reduction = 4, inputs = 1, side = 28, batch = 32, steps = 2500,
        lr = 2e-3, clutter = 0, train = 8000, test = 2000, gates = false,
        cost = {channels = 32, batch = 32, repeats = 30}},
    quick = {channels = 5, steps = 2, batch = 4, train = 8, test = 8, cost = {channels = 4, batch = 2, repeats = 1}},
    seeds = 3,
}

local function photographs(cfg, seed)
    local parts, sets = {}, corpus.cifar10_subset(cfg.data)
    for i, part in ipairs{"train", "test"} do
        local set = sets[part]
        local count = math.min(cfg[part], #set.images)
        parts[i] = data.batches{size = cfg.batch, seed = seed, fields = {
            image = set.images:narrow(1, 1, count):to "float32" / 255, answer = set.labels:narrow(1, 1, count)}}
    end
    return table.unpack(parts)
end

local function run(cfg, cell)
    local train, test
    if cfg.inputs == 3 then
        train, test = photographs(cfg, cell.seed)
    else
        train, test = fit.parts(task.digits, cfg, cell.seed, {shift = 0, clutter = cfg.clutter})
    end
    local model = Network(cfg)
    fit{model = model, batches = train, steps = cfg.steps, cell = cell, lr = cfg.lr, final = cfg.lr / 50,
        forward = function(b) return (model(b.image)), b.answer end}
    local own, gates = cfg.channels - model.noisy, {}
    local out = fit.means(model, test, function(b)
        local logits, s = model(b.image)
        gates[#gates + 1] = s and attn.keep(s)
        return {error = 100 * logits:argmax(2):ne(b.answer):to "float32", signal = s and s:narrow(2, 1, own),
            noise = s and model.noisy > 0 and s:narrow(2, own + 1, model.noisy) or nil}
    end)
    if cfg.gates then cell:keep("gates, the last of noise", attn.cat(gates, 1):mean(1)) end
    return out
end

local function compare(name, about, fields)
    fields.name, fields.about, fields.run, fields.columns = name, about, run, {"error", "noise", "signal"}
    fields.better = {error = "less", signal = "none", noise = "less"}
    fields.vary = fields.vary or {{"plain"}, {"gates", gates = true}}
    return paper:table(fields)
end
local mnist = compare("mnist", "error in percent; mean gates of channels of noise and of the others", {data = "mnist",
    vary = {{"plain"}, {"gates", gates = true}, {"plain, no noise", noise = 0},
        {"gates, no noise", gates = true, noise = 0}}})
local cifar = compare("cifar", "the same with small photographs",
    {data = "cifar10_subset", options = {inputs = 3, side = 32}})
local made = compare("made digits", "the same with digits of seven strokes among pieces of others",
    {synthetic = true, options = {made = true, clutter = 6}})

local cost = paper:table{
    name = "cost", about = "processor milliseconds of a training step, the best of several", synthetic = true, jobs = 1,
    vary = {{"plain"}, {"gates", gates = true}}, better = {milliseconds = "less"},
    run = function(cfg)
        attn.threads(1)
        local model = Network{channels = cfg.cost.channels, inputs = 1, noise = 0, reduction = cfg.reduction,
            side = cfg.side, gates = cfg.gates}
        local x, best = attn.randn(cfg.cost.batch, 1, cfg.side, cfg.side), math.huge
        for _ = 1, cfg.cost.repeats do
            local began = os.clock()
            attn.scope(function() model(x):sum():backward() end)
            best = math.min(best, os.clock() - began)
        end
        return {milliseconds = 1000 * best}
    end,
}

for _, one in ipairs{{"MNIST", mnist}, {"photographs", cifar}, {"made digits", made}} do
    local name, t = one[1], one[2]
    paper:claim{name .. ": gates of noise are below 0.2 on average", t["gates"].noise, at_most = 0.2}
    paper:claim{name .. ": gates reduce the error among noise", t["plain"].error - t["gates"].error, at_least = 0}
end
paper:claim{"gates cost less than 10 % of the time of a step",
    cost["gates"].milliseconds / cost["plain"].milliseconds, at_most = 1.1}

return paper:main{Gates = Gates, Network = Network}
