-- learning where to attend (D4; Denil, Bazzani, Larochelle and de Freitas 2012): a tracker of a moving digit looks
-- through one of 3 x 3 templates, small squares around where it believes the digit to be; which, Hedge learns
--
--     w_k <- w_k exp(eta r_k), r_k how much narrower template k makes the belief
--
-- Command    attn scripts/seeing/tracking.lua [--data DIR]
-- Time       4 minutes on two cores
-- Data       walking MNIST digits in clutter; synthetic: walking digits made of seven strokes
-- Found      Hedge halves the error of random templates on MNIST: it comes to look in the middle of the belief, which
--            does best
-- Your data  local tracker = require("seeing.tracking").tracker{size = 9, reach = 8, particles = 256, sharp = 5}
--            local path = tracker:follow(frames, {30, 30}, attn.ones(9))   frames [T, 1, 60, 60]; places {x, y}: points
local attn = require "attn"
local study, task = require "attn.study", require "attn.task"

-- A particle filter that sees one small square a frame.
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
    system = "D4", paper = "Denil, Bazzani, Larochelle, de Freitas 2012, Learning where to attend with deep "
        .. "architectures for image tracking, Neural Computation",
    options = {size = 9, reach = 8, particles = 256, canvas = 60, sharp = 5, frames = 15, clutter = 3, learn = 25,
        test = 300, eta = 0.3, weights = {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    quick = {particles = 4, frames = 3, learn = 1, test = 2}, seeds = 5,
}

-- fn(frames, where the digit is in each, {x, y} in points) for so many walks.
local function walks(cfg, seed, count, fn)
    local batches = task.digits({data = cfg.data, made = cfg.made, canvas = cfg.canvas, clutter = cfg.clutter,
        moving = cfg.frames, count = count, size = 1}, seed)
    attn.no_grad(function()
        for b in batches:epoch(1) do
            attn.scope(fn, b.image[1], ((b.centre[1]:flip(2) + 1) * (cfg.canvas / 2)):totable())
        end
    end)
end

local function tracking(cfg, cell)
    local one, weights, error, count = tracker(cfg), attn.tensor(cfg.weights), 0, 0
    if cfg.hedge then
        walks(cfg, cell.seed, cfg.learn, function(frames, truth)
            one:follow(frames, truth[1], weights, function(rewards)
                weights:copy_((weights:log() + attn.tensor(rewards) * cfg.eta):softmax(1))
            end)
        end)
        cell:keep("templates", weights:view(3, 3))
    end
    walks(cfg, 1000 + cell.seed, cfg.test, function(frames, truth)
        for t, at in ipairs(one:follow(frames, truth[1], weights)) do
            error, count = error + math.sqrt((at[1] - truth[t][1]) ^ 2 + (at[2] - truth[t][2]) ^ 2), count + 1
        end
    end)
    return {error = error / count}
end

local function both(options)
    options.run, options.better = tracking, {error = "less"}
    options.vary = {{"random"}, {"Hedge", hedge = true}, {"middle", weights = {0, 0, 0, 0, 1, 0, 0, 0, 0}}}
    return paper:table(options)
end
local mnist = both{name = "walking digits", data = "mnist",
    about = "MNIST: mean distance of belief and digit, in points"}
local made = both{name = "made walking digits", about = "the same with digits of seven strokes", synthetic = true,
    options = {made = true}}

for _, one in ipairs{{"MNIST", mnist}, {"made digits", made}} do
    paper:claim{"D4: " .. one[1] .. ": templates learned by Hedge track better than random ones",
        one[2]["random"].error - one[2]["Hedge"].error, at_least = 0}
end

return paper:main{tracker = tracker}
