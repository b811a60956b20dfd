-- what and where: two papers on fixations before glimpses were learned by REINFORCE
--
--     D3  Larochelle and Hinton 2010   what is seen times where it is seen:      h = relu(U sum_k (P x_k) o (R z_k))
--                                      against what plus where, as in D1:        h = relu(U sum_k relu(P x_k + R z_k))
--     D4  Denil et al. 2012            a tracker of a moving digit looks through one of 3 x 3 templates, small squares
--                                      around where it believes the digit to be; Hedge learns which:
--                                      w_k <- w_k exp(eta r_k), r_k how much narrower the belief becomes
--
-- Command    attn scripts/seeing/what_and_where.lua [--data DIR]
-- Time       8 minutes on one core
-- Data       MNIST: 8,000 training digits, tested on 2,000, and walking ones; synthetic: digits made of seven strokes
-- Found      not run in full with this recipe yet. In 1200 steps what times where learned more slowly (46 against 37 %
--            of errors); a tracker that does not know that digits turn round at the edges loses them, however it looks
-- Your data  local paper = require "seeing.what_and_where"                               (attn -I scripts)
--            local fusion = paper.Fusion{kind = "product", inputs = 64, dim = 64, hidden = 128}
--            local h = fusion(seen, places)                      seen [B, K, 64], places [B, K, 2] -> h [B, 128]
--            local tracker = paper.tracker{size = 9, reach = 8, particles = 256, sharp = 5}
--            local path = tracker:follow(frames, {30, 30}, attn.ones(9))   frames [T, 1, 60, 60]; places {x, y}: points
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

-- ---- D4: a particle filter that sees one small square a frame ----

local Tracker = {}
Tracker.__index = Tracker
local function tracker(cfg)
    return setmetatable({size = cfg.size, reach = cfg.reach, particles = cfg.particles, sharp = cfg.sharp}, Tracker)
end

-- Squares of `size` points of pictures [n, 1, H, W] around places [n, 2], in points.
local function squares(pictures, at, size)
    return attn.glimpse(pictures, at * 2 / pictures:size(4) - 1, {size = size}):flatten(2, 5)
end

-- How likely each particle is after a look through template k (1 to 9): what is seen beside what would be, were the
-- digit at the particle.
function Tracker:look(frame, appearance, place, believed, k)
    local gaze = believed + attn.tensor{((k - 1) % 3 - 1) * self.reach, ((k - 1) // 3 - 1) * self.reach}
    local seen = squares(frame:unsqueeze(1), gaze:unsqueeze(1), self.size)
    local N, side = place:size(1), appearance:size(3)
    local everywhere = appearance:unsqueeze(1):expand(N, 1, side, side):contiguous()
    local expected = squares(everywhere, gaze - place + side / 2, self.size)
    return (((expected - seen) ^ 2):mean(2) * (-self.sharp * self.sharp)):softmax(1)
end

local function spread(place, weight)
    local mean = (place * weight:unsqueeze(2)):sum(1)
    return (((place - mean) ^ 2):sum(2) * weight):sum():item() ^ 0.5, mean
end

---Follows a digit from where it is first. weights [9]: of the templates; rewarded(r), if given, hears how much each
---would have narrowed the belief.
function Tracker:follow(frames, first, weights, rewarded)
    local N, start = self.particles, attn.tensor{first}
    local appearance = squares(frames[{{1, 1}}], start, 28):view(1, 28, 28)
    local place, speed, path = start:expand(N, 2):contiguous(), attn.randn(N, 2) * 2, {first}
    for t = 2, frames:size(1) do
        local ahead = place + speed                         -- what reaches an edge turns round
        speed = attn.where(ahead:lt(14) | ahead:gt(frames:size(4) - 14), -speed, speed)
        place = (place + speed + attn.randn(N, 2)):clamp(14, frames:size(4) - 14)
        speed = speed + attn.randn(N, 2) * 0.5
        local before, believed = spread(place, attn.full({N}, 1 / N))
        local function look(k) return self:look(frames[t], appearance, place, believed, k) end
        if rewarded then
            local rewards = {}
            for k = 1, 9 do rewards[k] = math.max(0, 1 - spread(place, look(k)) / before) end
            rewarded(rewards)
        end
        local weight = look(attn.multinomial(weights, 1):item())
        path[t] = select(2, spread(place, weight)):totable()
        local which = attn.multinomial(weight, N, {replacement = true})
        place, speed = place:index_select(1, which), speed:index_select(1, which)
    end
    return path
end

local paper = study{
    system = {"D3", "D4"},
    paper = "Larochelle, Hinton 2010, NeurIPS; Denil, Bazzani, Larochelle, de Freitas 2012, Neural Computation",
    options = {size = 8, glimpses = 4, dim = 96, hidden = 64, batch = 64, steps = 4000, lr = 3e-3, train = 8000,
        test = 2000, track = {size = 9, reach = 8, particles = 256, canvas = 60, sharp = 5, frames = 15, clutter = 3,
            learn = 25, test = 300, eta = 0.3}, weights = {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    quick = {dim = 4, hidden = 4, batch = 4, steps = 2, train = 8, test = 8,
        track = {particles = 4, frames = 3, learn = 1, test = 2}}, seeds = 3,
}

local function fusing(cfg, cell)
    local train, test = fit.parts(task.digits, cfg, cell.seed, {shift = 0})
    local model = Classifier(cfg)
    fit{model = model, batches = train, steps = cfg.steps, cell = cell, lr = cfg.lr, final = cfg.lr / 50,
        forward = function(b) return model(b.image), b.answer end}
    return {error = 100 * (1 - fit.accuracy(model, test, function(b) return model(b.image), b.answer end))}
end

-- fn(frames, where the digit is in each, {x, y} in points) for so many walks.
local function walks(cfg, seed, count, fn)
    local c = cfg.track
    local batches = task.digits({data = cfg.data, made = cfg.made, canvas = c.canvas, clutter = c.clutter,
        moving = c.frames, count = count, size = 1}, seed)
    attn.no_grad(function()
        for b in batches:epoch(1) do
            attn.scope(fn, b.image[1], ((b.centre[1]:flip(2) + 1) * (c.canvas / 2)):totable())
        end
    end)
end

local function tracking(cfg, cell)
    local c, one = cfg.track, tracker(cfg.track)
    local weights, error, count = attn.tensor(cfg.weights), 0, 0
    if cfg.hedge then
        walks(cfg, cell.seed, c.learn, function(frames, truth)
            one:follow(frames, truth[1], weights, function(rewards)
                weights:copy_((weights:log() + attn.tensor(rewards) * c.eta):softmax(1))
            end)
        end)
        cell:keep("templates", weights:view(3, 3))
    end
    walks(cfg, 1000 + cell.seed, c.test, function(frames, truth)
        for t, at in ipairs(one:follow(frames, truth[1], weights)) do
            error, count = error + math.sqrt((at[1] - truth[t][1]) ^ 2 + (at[2] - truth[t][2]) ^ 2), count + 1
        end
    end)
    return {error = error / count}
end

-- The same with MNIST's digits and with made ones.
local function both(name, about, run, vary)
    local better = {error = "less"}
    return paper:table{name = name, about = about, data = "mnist", vary = vary, better = better, run = run},
        paper:table{name = "made " .. name, about = "the same with digits of seven strokes", synthetic = true,
            options = {made = true}, vary = vary, better = better, run = run}
end
local still, made = both("digits", "D3: error in percent, 4 glimpses of 8 x 8 at random places", fusing,
    {{"sum", kind = "sum"}, {"product", kind = "product"}})
local walking, made_walking = both("walking digits", "D4: mean distance of belief and digit, in points", tracking,
    {{"random"}, {"Hedge", hedge = true}, {"middle", weights = {0, 0, 0, 0, 1, 0, 0, 0, 0}}})

for _, one in ipairs{{"MNIST", still, walking}, {"made digits", made, made_walking}} do
    paper:claim{"D3: " .. one[1] .. ": what times where has a lower error than what plus where",
        one[2]["sum"].error - one[2]["product"].error, at_least = 0}
    paper:claim{"D4: " .. one[1] .. ": templates learned by Hedge track better than random ones",
        one[3]["random"].error - one[3]["Hedge"].error, at_least = 0}
end

return paper:main{Fusion = Fusion, Classifier = Classifier, tracker = tracker}
