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

-- A model without dropout in float64, on rows of different length: batches of unlike numbers of tokens.
local function sequences(size, accumulate, clip)
    attn.seed(8)
    local draw, source = data.random(2), {}
    for i = 1, 24 do
        source[i] = {}
        for k = 1, 1 + draw(9) do source[i][k] = 3 + draw(4) end
    end
    local Next = attn.module "Next"
    function Next:init()
        self.embed = attn.layer.embedding{count = 7, dim = 6}
        self.rnn = attn.encoder.rnn{inputs = 6, hidden = 8}
        self.out = attn.layer.linear{inputs = 8, outputs = 7}
    end
    function Next:forward(ids, lengths) return self.out((self.rnn(self.embed(ids), {lengths = lengths}))) end
    local model = Next():to "float64"
    local batches = data.batches{fields = {source = source}, shift = {"source"}, size = size, shuffle = false}
    return {model = model, optimizer = attn.optim.adam{params = model:parameters(), lr = 0.02}, data = batches,
        accumulate = accumulate, clip = clip, quiet = true, steps = 6,
        loss = function(b)
            local loss = attn.loss.cross_entropy(model(b.source_in, b.source_lengths + 1), b.source_out)
            return loss, b.source_lengths:sum():item() + #b.index
        end}
end

t.case("accumulated batches are one large batch, whatever their numbers of tokens", function()
    local whole, parts = sequences(12, 1, 0.5), sequences(3, 4, 0.5)
    local expected, got = train.loop(whole), train.loop(parts)
    t.near(attn.tensor(got.losses, {dtype = "float64"}), attn.tensor(expected.losses, {dtype = "float64"}), 1e-10)
    t.equal(got.tokens, expected.tokens)
    local state = parts.model:state()
    for name, tensor in pairs(whole.model:state()) do t.near(state[name], tensor, 1e-9) end
    parts = sequences(3, 4)
    local loss = parts.loss
    parts.loss = function(b) return (loss(b)) end
    t.raises("with accumulate, loss must return the number of tokens too", train.loop, parts)
end)

t.case("an exponential moving average follows its definition, and is what the loop leaves", function()
    local cfg = sequences(12)
    local names, mean = {}, {}
    for name, p in cfg.model:named_parameters() do
        names[#names + 1], mean[name] = name, p:detach():clone()
    end
    local step = cfg.optimizer
    cfg.optimizer = setmetatable({}, {__index = function(_, key)
        if key ~= "step" then
            local value = step[key]
            return type(value) == "function" and function(_, ...) return value(step, ...) end or value
        end
        return function()
            step:step()
            attn.no_grad(function()
                for name, p in cfg.model:named_parameters() do mean[name] = mean[name] * 0.8 + p * 0.2 end
            end)
        end
    end})
    cfg.ema = 0.8
    local seen
    cfg.evaluate = function()
        seen = cfg.model:state()[names[1]]:clone()
        return 1.0
    end
    train.loop(cfg)
    for name, p in cfg.model:named_parameters() do t.near(p, mean[name], 1e-12) end
    t.near(seen, mean[names[1]], 1e-12)
    local other = train.ema{model = cfg.model, decay = 0.5}
    t.raises("has no 'embed.weight'", other.load, other, {})
end)

t.case("checkpoints are averaged; unlike ones are refused", function()
    local a, b, c = os.tmpname(), os.tmpname(), os.tmpname()
    attn.save(a, {model = {w = attn.tensor{1, 2}, n = attn.tensor({3}, {dtype = "int64"})}})
    attn.save(b, {model = {w = attn.tensor{3, 6}, n = attn.tensor({5}, {dtype = "int64"})}})
    attn.save(c, {model = {w = attn.tensor{3, 6, 7}}})
    local state = train.average{a, b}
    t.equal(state.w:totable(), {2, 4})
    t.equal(state.w.dtype, "float32")
    t.equal(state.n:totable(), {5})
    t.raises("differ in", train.average, {a, c})
    attn.save(c, {x = 1})
    t.raises("has no 'model'", train.average, {a, c})
    for _, path in ipairs{a, b, c} do os.remove(path) end
end)

t.case("the loop stops when it gets no better", function()
    local cfg = setup(5)
    cfg.steps, cfg.every, cfg.patience, cfg.metric, cfg.mode = 100, 5, 2, "bleu", "max"
    cfg.evaluate = function(step) return {bleu = step == 10 and 9 or step / 100, loss = 1} end
    local history = train.loop(cfg)
    t.equal(history.step, 20)
    t.equal({history.top, history.top_step}, {9, 10})
    cfg = setup(5)
    cfg.steps, cfg.patience = 5, 1
    t.raises("patience needs the field evaluate", train.loop, cfg)
    cfg.evaluate = function() return {a = 1, b = 2} end
    t.raises("evaluate returned no number 'metric' (it has a, b)", train.loop, cfg)
    cfg.evaluate, cfg.patience, cfg.best = nil, nil, 1
    t.raises("best needs the field run", train.loop, cfg)
end)

t.case("a loss that is no single number, and objects that are none, are named", function()
    local cfg = setup(6)
    cfg.steps = 1
    cfg.loss = function() return attn.ones(3) end
    local line = debug.getinfo(1, "l").currentline + 2
    local e = t.raises("train.loop: loss returned float32 [3] of 3 elements, expected a tensor of one element",
        function() train.loop(cfg) end)
    t.is_true(e:find(("train_test.lua:%d: "):format(line), 1, true), e)
    cfg.loss = function() return cfg.model end
    t.raises("train.loop: loss returned a module, expected a tensor", train.loop, cfg)
    cfg.loss = function() return attn.ones(3) end
    t.raises("train.pace: loss returned float32 [3]", train.pace, {model = cfg.model, data = cfg.data, loss = cfg.loss})
    for _, one in ipairs{
        {"optimizer", {}, "optimizer is a table without a method 'step', expected an optimizer"},
        {"optimizer", 3, "optimizer is 3 without a method 'step', expected an optimizer"},
        {"optimizer", cfg.model, "optimizer is a module without a method 'step', expected an optimizer"},
        {"model", {}, "model is a table without a method 'parameters', expected a module or layer"},
        {"model", attn.ones(2), "model is float32 [2] without a method 'parameters'"},
        {"data", {}, "data is a table without a method 'epoch', expected batches or a function"},
        {"data", "x", "data is a string without a method 'epoch'"},
        {"run", {}, "run is a table without a method 'part', expected a run of run.start"},
        {"name", "x", "name needs the field run"},
    } do
        local wrong = setup(6)
        wrong.steps = 1
        wrong[one[1]] = one[2]
        t.raises("train.loop: " .. one[3], train.loop, wrong)
    end
    t.raises("train.pace: model is a table without", train.pace, {model = {}, data = cfg.data, loss = cfg.loss})
    t.raises("train.ema: model is 3 without", train.ema, {model = 3})
end)

t.case("ema: buffers are averaged too, whole numbers are taken as they are", function()
    local Class = attn.module "Class"
    function Class:init()
        self.weight = attn.parameter(attn.zeros(1))
        self.mean, self.seen = attn.zeros(2), attn.tensor({0}, {dtype = "int64"})
    end
    local model = Class()
    local ema = attn.train.ema{model = model, decay = 0.5}
    model.mean:fill_(4)
    model.seen:fill_(3)
    ema:update()
    ema:swap()
    t.equal(model.mean:totable(), {2, 2})
    t.equal(model.seen:totable(), {3})
    ema:swap()
    t.equal(model.mean:totable(), {4, 4})
    t.is_true(ema:state().mean)
end)
