-- squeeze and excitation (D6; Hu, Shen and Sun 2018): each channel of a map of features gets a gate, computed from the means of all channels
--
--     z_c = mean_ij u_c      s = sigmoid(W_2 relu(W_1 z)), W_1 [C / r, C]      output s_c u_c
--
-- A fifth of the channels carry noise and nothing else, drawn anew for each picture: what do their gates do, and what does it help?
--
-- Command    attn scripts/seeing/squeeze_excitation.lua [--data DIR]
-- Time       3 minutes on one core
-- Data       MNIST: 8,000 training digits, tested on 2,000; synthetic: digits made of seven strokes
-- Found      gates of noise are far below the others (0.28 against 0.77 on MNIST), not below 0.2; they do not lower the error, which the noise
--            raises by 0.2 points only: the second convolution leaves it out as well; made digits are too easy to tell; 6 % of the time
-- Your data  local gates = require("seeing.squeeze_excitation").Gates{channels = 64, reduction = 16}               (attn -I scripts)
--            local y, s = gates(x)                               x, y [B, 64, H, W], s [B, 64]
local attn = require "attn"
local fit, study, task = require "attn.fit", require "attn.study", require "attn.task"
local layer = attn.layer

local Gates = attn.module "Gates"
function Gates:init(cfg)
    local few = math.max(1, cfg.channels // cfg.reduction)
    self.first, self.second = layer.linear{inputs = cfg.channels, outputs = few}, layer.linear{inputs = few, outputs = cfg.channels}
end

function Gates:forward(x)
    local s = self.second(self.first(x:mean({3, 4})):relu()):sigmoid()
    return x * s:unsqueeze(3):unsqueeze(4), s
end

-- Two convolutions; after the first `noisy` channels of noise stand beside its own, and gates, if any, see them all.
local Network = attn.module "Network"
function Network:init(cfg)
    local C = cfg.channels
    self.noisy, self.noise = cfg.noisy, cfg.noise
    self.first = layer.conv2d{inputs = 1, outputs = C - cfg.noisy, kernel = 3, padding = 1}
    if cfg.gates then self.gates = Gates{channels = C, reduction = cfg.reduction} end
    self.second = layer.conv2d{inputs = C, outputs = C, kernel = 3, padding = 1}
    self.out = layer.linear{inputs = C * (cfg.side // 4) * (cfg.side // 4), outputs = 10}
end

function Network:forward(x)
    local h, s = self.first(x):relu():max_pool2d(2), nil
    if self.noisy > 0 then
        local noise = attn.randn(h:size(1), self.noisy, h:size(3), h:size(4), {dtype = h.dtype}) * self.noise
        h = attn.cat({h, noise}, 2)
    end
    if self.gates then h, s = self.gates(h) end
    return self.out(self.second(h):relu():max_pool2d(2):flatten(2, 4)), s
end

local paper = study{
    system = {"D6"}, paper = "Hu, Shen, Sun 2018, Squeeze-and-excitation networks, CVPR",
    options = {channels = 20, noisy = 4, noise = 2.0, reduction = 4, side = 28, batch = 32, steps = 750, lr = 2e-3,
        train = 8000, test = 2000, gates = false,
        cost = {channels = 32, batch = 32, repeats = 30}},
    quick = {channels = 5, noisy = 1, steps = 2, batch = 4, train = 8, test = 8, cost = {channels = 4, batch = 2, repeats = 1}}, seeds = 3,
}

local function run(cfg, cell)
    local function draw(part, seed, count)
        return fit.hold(task.digits({data = cfg.data, made = cfg.made, part = part, shift = 0, count = count,
            size = cfg.batch}, seed), seed)
    end
    local model, train, test = Network(cfg), draw("train", cell.seed, cfg.train), draw("test", cell.seed, cfg.test)
    fit{model = model, batches = train, steps = cfg.steps, cell = cell, schedule = attn.schedule.linear{lr = cfg.lr,
        steps = cfg.steps, final = cfg.lr / 50},
        loss = function(b) return attn.loss.cross_entropy((model(b.image)), b.answer) end}
    local out = {error = 100 * (1 - fit.accuracy(model, test, function(b) return (model(b.image)), b.answer end))}
    if cfg.gates then
        local sum, count, C = 0, 0, cfg.channels
        fit.each(model, test, function(b)
            local _, s = model(b.image)
            sum, count = sum + s:sum(1), count + #b.answer
            attn.keep(sum)
        end)
        local mean = sum / count
        cell:keep("gates, the last of noise", mean)
        out.signal = mean[{{1, C - cfg.noisy}}]:mean():item()
        if cfg.noisy > 0 then out.noise = mean[{{C - cfg.noisy + 1, C}}]:mean():item() end
    end
    return out
end

local better = {error = "less", signal = "none", noise = "less"}
local columns = {"error", "noise", "signal"}
local rows = {{"plain"}, {"gates", gates = true}, {"plain, no noise", noisy = 0}, {"gates, no noise", gates = true, noisy = 0}}
local mnist = paper:table{name = "mnist", about = "error in percent; mean gates of channels of noise and of the others",
    data = "mnist", vary = rows,
    columns = columns, better = better, run = run}
local made = paper:table{name = "made digits", about = "the same with digits of seven strokes", synthetic = true,
    columns = columns, better = better, run = run,
    vary = {{"plain", made = true}, {"gates", made = true, gates = true}}}

local cost = paper:table{
    name = "cost", about = "processor milliseconds of a training step, the best of several", synthetic = true, jobs = 1,
    vary = {{"plain"}, {"gates", gates = true}}, better = {milliseconds = "less"},
    run = function(cfg)
        attn.threads(1)
        local model = Network{channels = cfg.cost.channels, noisy = 0, reduction = cfg.reduction, side = cfg.side, gates = cfg.gates}
        local x, best = attn.randn(cfg.cost.batch, 1, cfg.side, cfg.side), math.huge
        for _ = 1, cfg.cost.repeats do
            local began = os.clock()
            attn.scope(function() model(x):sum():backward() end)
            best = math.min(best, os.clock() - began)
        end
        return {milliseconds = 1000 * best}
    end,
}

for _, one in ipairs{{"MNIST", mnist}, {"made digits", made}} do
    local name, t = one[1], one[2]
    paper:claim{name .. ": gates of noise are below 0.2 on average", t["gates"].noise, at_most = 0.2}
    paper:claim{name .. ": gates reduce the error among noise", t["plain"].error - t["gates"].error, at_least = 0}
end
paper:claim{"gates cost less than 10 % of the time of a step", cost["gates"].milliseconds / cost["plain"].milliseconds, at_most = 1.1}

return paper:main{Gates = Gates, Network = Network}
