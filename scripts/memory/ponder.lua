-- ponder: how long to think, learned: adaptive computation time.
--
--   s_n = cell(x, s_n-1), h_n = sigmoid(W s_n + b), N = the first n with h_1 + ... + h_n >= 1 - eps
--   p_n = h_n, p_N = R = 1 - (h_1 + ... + h_N-1), y = sum p_n y_n, s = sum p_n s_n, loss + tau (N + R)
--
-- Command    attn scripts/memory/ponder.lua [--show]
-- Time       see scripts/README.md
-- Data       made here: signs whose product is wanted, numbers to be added
-- Paper      Graves 2016, Adaptive computation time for recurrent neural networks (G3)
-- Found      Parity: 3.0 steps for one sign, 3.9 for six, 99.8 % right (95 in one step). Addition: all ten steps are
--            used, hard or easy, and are not worth it: 91 % right, 97 in one step. Three times as many batches (one
--            seed): 99.5 and 100, and now 9.1 steps for one digit, 9.8 for two; with base 10 79 and 98: one step of 48
--            units adds well, ten are harder to train.
-- Your own   local Ponder = require "memory.ponder".Ponder               -- attn -I scripts yours.lua
--            local model = Ponder{inputs = 9, outputs = 2, hidden = 32, most = 12}
--            local y, cost, steps = model(x)                     -- [B, T, inputs] to [B, T, outputs], [B, T], [B, T]
local attn = require "attn"
local fit, study = require "attn.fit", require "attn.study"

local Ponder = attn.module "Ponder"

function Ponder:init(c)                     -- most = 1: it does not ponder
    self.most, self.margin = c.most, 0.01
    self.cell = attn.encoder.rnn{inputs = c.inputs + 1, hidden = c.hidden}
    self.halt = attn.layer.linear{inputs = c.hidden, outputs = 1}
    self.out = attn.layer.linear{inputs = c.hidden, outputs = c.outputs}
    attn.init.constant(self.halt:state().bias, 1)
end

-- One step of the sequence: x [B, inputs], s [B, hidden] -> y, s, cost [B], steps [B]
function Ponder:step(x, s)
    local B, dtype = #x, x.dtype
    local still, sum = attn.ones(B, 1, {dtype = dtype}), attn.zeros(B, 1, {dtype = dtype})
    local y, mean, left, steps = 0, 0, 0, 0
    for n = 1, self.most do
        local flag = attn.full({B, 1}, n == 1 and 1 or 0, {dtype = dtype})      -- says that the input is new
        s = self.cell:step(attn.cat({x, flag}, 2), s and {h = s:unsqueeze(1)} or nil)
        local h = self.halt(s):sigmoid()
        local ends = n == self.most and still or still * (sum + h):ge(1 - self.margin):to(dtype)
        local goes = still - ends
        local p = goes * h + ends * (1 - sum)
        y, mean, left, steps = y + p * self.out(s), mean + p * s, left + ends * (1 - sum), steps + still
        sum, still = sum + goes * h, goes
        if n < self.most and still:sum():item() == 0 then break end
    end
    return y, mean, (steps + left):squeeze(2), steps:squeeze(2)
end

function Ponder:forward(x)                  -- [B, T, inputs]
    local y, cost, steps, s = {}, {}, {}, nil
    for t = 1, x:size(2) do y[t], s, cost[t], steps[t] = self:step(x:select(2, t), s) end
    return attn.stack(y, 2), attn.stack(cost, 2), attn.stack(steps, 2)
end

-- Tasks: x [B, T, inputs], y [B, digits], classes from 1, and hard [B], how hard each is.

-- Of `size` places some are 1 or -1, the others 0: is the number of ones odd?
local function signs(c, count)
    local n = attn.randint(1, c.size, count)
    local there = attn.arange(1, c.size, 1):le(n:unsqueeze(2)):to "float32"
    local x = there * (2 * attn.bernoulli(0.5, {count, c.size}) - 1)
    return {x = x:unsqueeze(2), y = x:gt(0):sum(2, true) % 2 + 1, hard = n}
end

-- Two numbers of one or two digits, one after the other; behind the second, the sum is wanted, each of its digits.
local function sums(c, count)
    local n, place = attn.randint(1, 2, count, 2, 1), attn.arange(0, 2, 1)
    local digits = attn.randint(1, c.base, count, 2, 2) * place:narrow(1, 1, 2):lt(n):to "int64"      -- 0: none
    local worth = (c.base ^ place:to "float32"):to "int64"
    local total = ((digits - 1):maximum(0) * worth:narrow(1, 1, 2)):sum({2, 3}, true):squeeze(3)
    return {x = digits:one_hot(c.base):reshape(count, 2, -1), y = total // worth % c.base + 1, hard = n:max({2, 3})}
end

local paper = study{
    system = {"G3"}, paper = "Graves 2016, Adaptive computation time for recurrent neural networks",
    options = {hidden = 48, most = 10, cost = 1e-2, batch = 64, lr = 3e-3, tests = 1000, steps = 1500, size = 6,
        base = 4},
    quick = {hidden = 4, most = 3, batch = 4, tests = 8, steps = 2, size = 3, base = 2},
}

-- draw(cfg, count) as above, of so many inputs and digits of so many classes.
local function think(name, about, draw, sizes)
    return paper:table{
        name = name, about = about, synthetic = true, vary = {{"one step", most = 1}, {"ponders"}},
        columns = {"accuracy", "steps", "easiest", "hardest"},
        better = {steps = "none", easiest = "none", hardest = "none"},
        run = function(cfg, cell)
            local inputs, digits, classes = sizes(cfg)
            local model = Ponder{inputs = inputs, outputs = digits * classes, hidden = cfg.hidden, most = cfg.most}
            local function read(b)          -- behind the last of the sequence
                local y, cost, steps = model(b.x)
                return y:select(2, -1):reshape(#b.x, digits, classes), cost, steps:select(2, -1)
            end
            attn.seed(cell.seed)
            fit{model = model, steps = cfg.steps, lr = cfg.lr, cell = cell,
                schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps, final = cfg.lr / 20},
                batches = function() return draw(cfg, cfg.batch) end, loss = function(b)
                    local logits, cost = read(b)
                    return attn.loss.cross_entropy(logits, b.y) + cfg.cost * cost:mean()
                end}
            attn.seed(1000 + cell.seed)
            local b = draw(cfg, cfg.tests)
            local logits, _, steps = attn.no_grad(read, b)
            local curve = {}
            for hard = 1, b.hard:max():item() do
                curve[hard] = steps:masked_select(b.hard:eq(hard)):mean():item()
            end
            cell:keep("steps by difficulty", attn.tensor(curve), {as = "plot"})
            return {accuracy = 100 * logits:argmax(3):eq(b.y):all(2):to("float32"):mean():item(),
                steps = steps:mean():item(), easiest = curve[1], hardest = curve[#curve]}
        end,
    }
end

local tables = {
    parity = think("parity", "of 1 to 6 signs; right in per cent, steps of thought, for the easiest and the hardest",
        signs, function(c) return c.size, 1, 2 end),
    addition = think("addition", "of two numbers of one or two digits (base 4)", sums,
        function(c) return 2 * c.base, 3, c.base end),
}
for _, name in ipairs{"parity", "addition"} do
    local t = tables[name]
    paper:claim{name .. ": the hardest are thought about longer than the easiest",
        t.ponders.hardest - t.ponders.easiest, at_least = 0}
    paper:claim{name .. ": pondering is better than one step",
        t.ponders.accuracy - t["one step"].accuracy, at_least = 0}
end

return paper:main{Ponder = Ponder, signs = signs, sums = sums}
