-- The loop: it learns, it resumes bit for bit, and measuring the pace changes nothing.
local attn, t = require "attn", require "attn.test"
local data, schedule, train = require "attn.data", require "attn.schedule", require "attn.train"

-- The parity of the number of 4s in a row of 4s and 5s, with dropout so that the generator matters.
local function setup(seed)
    attn.seed(seed)
    local draw, source, class = data.random(1), {}, {}
    for i = 1, 64 do
        local row, sum = {}, 0
        for k = 1, 3 do
            row[k] = 3 + draw(2)
            sum = sum + row[k]
        end
        source[i], class[i] = row, sum % 2 + 1
    end
    local Tiny = attn.module "Tiny"
    function Tiny:init()
        self.embed = attn.layer.embedding{count = 5, dim = 6}
        self.hidden = attn.layer.linear{inputs = 18, outputs = 16}
        self.dropout = attn.layer.dropout{p = 0.1}
        self.out = attn.layer.linear{inputs = 16, outputs = 2}
    end
    function Tiny:forward(ids)
        local x = self.embed(ids)
        return self.out(self.dropout(self.hidden(x:reshape(x:size(1), 18)):tanh()))
    end
    local model = Tiny()
    return {model = model, optimizer = attn.optim.adam{params = model:parameters(), lr = 0.02},
        data = data.batches{fields = {source = source, class = class}, size = 10, seed = 2}, clip = 1, quiet = true,
        loss = function(b) return attn.loss.cross_entropy(model(b.source), b.class), #b.index end}
end

t.case("the loop learns, and says what happened", function()
    local cfg = setup(1)
    cfg.steps, cfg.every = 150, 60
    local asked = {}
    cfg.evaluate = function(step)
        t.equal(cfg.model.training, false)
        asked[#asked + 1] = step
        return step / 10
    end
    local history = train.loop(cfg)
    t.equal(asked, {60, 120, 150})
    t.equal(#history.losses, 150)
    t.equal(history.values[2], {step = 120, value = 12.0})
    t.equal(history.losses[150] < 0.5 * history.losses[1], true)
    t.equal(history.tokens > 1000, true)
    t.equal(cfg.model.training, false)
end)

t.case("a resumed run gives the same losses and parameters, bit for bit", function()
    local path = os.tmpname()
    local whole = setup(3)
    whole.steps, whole.every, whole.schedule = 40, 10, schedule.cosine{steps = 40, lr = 0.02}
    local expected = train.loop(whole)
    local first = setup(3)
    first.steps, first.every, first.schedule, first.checkpoint = 40, 10, whole.schedule, path
    first.evaluate = function(step) return nil, step == 20 end          -- stops in the middle of an epoch
    t.equal(train.loop(first).step, 20)
    local second = setup(99)
    second.steps, second.every, second.schedule, second.checkpoint = 40, 10, whole.schedule, path
    second.resume = true
    local history = train.loop(second)
    os.remove(path)
    t.equal(history.losses, expected.losses)
    local got = second.model:state()
    for name, tensor in pairs(whole.model:state()) do t.equal(got[name]:totable(), tensor:totable()) end
end)

t.case("a plateau lowers the rate and is resumed", function()
    local path = os.tmpname()
    local function new()
        local cfg = setup(4)
        cfg.steps, cfg.every, cfg.checkpoint = 6, 1, path
        cfg.schedule = schedule.plateau{lr = 0.01, factor = 0.5, patience = 1}
        cfg.evaluate = function() return 1.0 end
        return cfg
    end
    local cfg = new()
    cfg.steps = 3
    train.loop(cfg)
    t.equal(cfg.schedule.lr, 0.005)
    cfg = new()
    cfg.resume = true
    train.loop(cfg)
    os.remove(path)
    t.equal(cfg.schedule.lr, 0.0025)
    t.equal(cfg.optimizer.lr, 0.0025)
end)

t.case("measuring the pace changes nothing", function()
    local expected = setup(5)
    expected.steps = 8
    local losses = train.loop(expected).losses
    local cfg = setup(5)
    cfg.steps = 8
    local seconds = train.pace{model = cfg.model, data = cfg.data, loss = cfg.loss, batches = 3}
    t.equal(seconds > 0, true)
    t.equal(train.loop(cfg).losses, losses)
end)

t.case("data may be a function of the step", function()
    local cfg, seen = setup(6), {}
    local batches = cfg.data
    cfg.steps = 3
    cfg.data = function(step)
        seen[#seen + 1] = step
        return batches:collate{step, step + 1}
    end
    train.loop(cfg)
    t.equal(seen, {1, 2, 3})
end)

t.case("errors name what is wrong", function()
    local cfg = setup(7)
    t.raises("train.loop: field 'steps' is missing", train.loop, cfg)
    cfg.steps, cfg.resume = 1, true
    t.raises("resume needs the field checkpoint", train.loop, cfg)
    cfg.resume = nil
    cfg.loss = function() return 3 end
    t.raises("loss returned a number, expected a tensor", train.loop, cfg)
    cfg.loss = function() return attn.tensor(0 / 0) end
    t.raises("the loss is", train.loop, cfg)
end)
