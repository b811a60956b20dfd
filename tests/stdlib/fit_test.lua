-- A study's short loop: it learns, it leaves a curve, it evaluates without side effects.
local attn, t = require "attn", require "attn.test"
local data, fit = require "attn.data", require "attn.fit"

local function setup(count)
    attn.seed(1)
    local draw, source, class = data.random(3), {}, {}
    for i = 1, count do source[i], class[i] = {draw(6), draw(6)}, 0 end
    for i, row in ipairs(source) do class[i] = row[1] > 3 and 2 or 1 end
    local Tiny = attn.module "Tiny"
    function Tiny:init()
        self.embed, self.out = attn.layer.embedding{count = 6, dim = 4}, attn.layer.linear{inputs = 8, outputs = 2}
    end
    function Tiny:forward(ids) return self.out(self.embed(ids):reshape(#ids, 8)) end
    return Tiny(), data.batches{fields = {source = source, class = class}, size = 7, seed = 2}
end

t.case("it learns, and a cell gets the curve of the loss", function()
    local model, batches = setup(40)
    local losses, before = nil, fit.accuracy(model, batches, function(b) return model(b.source), b.class end)
    local history = fit{model = model, batches = batches, steps = 120, lr = 0.05,
        cell = {curve = function(_, list) losses = list end},
        loss = function(b) return attn.loss.cross_entropy(model(b.source), b.class) end}
    t.equal(#losses, 120)
    t.equal(losses, history.losses)
    local after = fit.accuracy(model, batches, function(b) return model(b.source), b.class end)
    t.is_true(before < 0.9 and after == 1, before .. " to " .. after)
end)

t.case("final, warmup, the name of a schedule: the learning rate over the steps", function()
    local One = attn.module "One"
    function One:init() self.w = attn.parameter(1) end
    local function rates(cfg)
        local model, seen = One(), {}
        local function look()
            seen[#seen + 1] = model.w:item()
            return model.w:sum()
        end
        cfg.model, cfg.batches, cfg.loss, cfg.steps, cfg.lr = model, function() return {} end, look, 4, 0.4
        cfg.optimizer = attn.optim.sgd{params = model:parameters(), lr = 1}
        fit(cfg)
        look()
        for step = 1, 4 do seen[step] = seen[step] - seen[step + 1] end
        return table.move(seen, 1, 4, 1, {})
    end
    local function expected(rate) return {rate(1), rate(2), rate(3), rate(4)} end
    local linear, cosine = attn.schedule.linear, attn.schedule.cosine
    t.near(rates{final = 0.2}, expected(linear{lr = 0.4, steps = 4, final = 0.2}), 1e-6)
    t.near(rates{warmup = 2}, expected(linear{lr = 0.4, steps = 4, warmup = 2}), 1e-6)
    t.near(rates{schedule = "cosine"}, expected(cosine{lr = 0.4, steps = 4}), 1e-6)
    t.near(rates{schedule = "cosine", warmup = 1, final = 0.1}, expected(cosine{lr = 0.4, steps = 4, warmup = 1, final = 0.1}), 1e-6)
    local rate = linear{lr = 0.4, steps = 4}
    local function refused(message, cfg)
        cfg.model, cfg.batches, cfg.steps, cfg.loss = One(), {}, 1, print
        t.raises(message, fit, cfg)
    end
    refused("fit: final and schedule, expected one of them", {final = 0, schedule = rate})
    refused("fit: warmup and schedule, expected one of them", {warmup = 0, schedule = rate})
    refused("fit: warmup is 1, expected less than steps (1)", {warmup = 1})
    refused("fit: schedule is 'noam', expected linear, cosine or a function of the step", {schedule = "noam"})
end)

t.case("drawn: so many examples for training and for tests, from seeds of their own", function()
    local train, test = fit.drawn(attn.task.recall, {pairs = 2, size = 3, train = 7, test = 4}, 5)
    t.equal({train.count, train.size, test.count, test.size}, {7, 3, 4, 3})
    local function first(b) return b:collate{1}.source:totable() end
    t.equal(first(train), first(attn.task.recall({pairs = 2, count = 7}, 5)))
    t.equal(first(test), first(attn.task.recall({pairs = 2, count = 4}, 1005)))
    t.raises("fit.drawn: field 'test' is missing, expected an integer", fit.drawn, attn.task.recall, {train = 3}, 1)
end)

t.case("parts: train and test of a task, by the options of a study", function()
    local train, test = fit.parts(attn.task.digits, {made = true, train = 5, test = 3, batch = 2}, 4, {canvas = 30})
    local seen = {}
    for k, part in ipairs{train, test} do
        seen[k] = {}
        for b in part:epoch(1) do
            t.equal({b.image:size(3), #b.answer <= 2}, {30, true})
            for i, one in ipairs(b.image:sum({2, 3, 4}):totable()) do seen[k][#seen[k] + 1] = ("%.3f %d"):format(one, b.answer[i]:item()) end
        end
        local own = {}
        for b in attn.task.digits({made = true, part = k == 1 and "train" or "test", count = 5 - 2 * (k - 1), canvas = 30}, 4):epoch(1) do
            for i, one in ipairs(b.image:sum({2, 3, 4}):totable()) do own[#own + 1] = ("%.3f %d"):format(one, b.answer[i]:item()) end
        end
        table.sort(seen[k])
        table.sort(own)
        t.equal(seen[k], own)
    end
end)

t.case("an evaluation sees every example once, in eval mode, without gradients, and leaves the mode", function()
    local model, batches = setup(20)
    local seen = {}
    model:train()
    fit.each(model, batches, function(b)
        t.equal(model.training, false)
        t.equal(model(b.source).requires_grad, false)
        for _, i in ipairs(b.index) do seen[i] = (seen[i] or 0) + 1 end
    end)
    t.equal(model.training, true)
    for i = 1, 20 do t.equal(seen[i], 1) end
end)

t.case("accuracy ignores targets of 0 and weighs batches by what counts", function()
    local model = setup(1)
    local batches = data.batches{fields = {y = {1, 2, 0, 1}, p = {1, 1, 1, 1}}, size = 3, shuffle = false}
    t.near(fit.accuracy(model, batches, function(b) return b.p, b.y end), 2 / 3, 1e-12)
end)

t.case("candidates are ranked by question, questions without a wrong or a right one left out", function()
    local batches = data.batches{size = 3, shuffle = false, fields = {score = {0.1, 0.9, 0.5, 0.3, 0.2, 0.4},
        right = {true, false, true, false, true, false}, group = {7, 7, 2, 2, 1, 3}}}
    local result = fit.ranking(setup(1), batches, function(b) return b.score, b.right, b.group end)
    t.equal(result.questions, 2)
    t.near(result.map, (1 / 2 + 1) / 2, 1e-12)
end)

t.case("forward in place of loss: the cross-entropy of its logits and targets, and the same steps", function()
    local function losses(how)
        local model, batches = setup(20)
        local history = fit{model = model, batches = batches, steps = 4, lr = 0.05, [how] = function(b)
            local logits = model(b.source)
            if how == "forward" then return logits, b.class end
            return attn.loss.cross_entropy(logits, b.class)
        end}
        return history.losses
    end
    t.equal(losses "forward", losses "loss")
    local model, batches = setup(4)
    local function none() end
    t.raises("fit: unknown field 'step'", function() return fit{step = 3} end)
    t.raises("fit: expected either loss or forward, got neither", function() return fit{model = model, batches = batches, steps = 1} end)
    t.raises("fit: expected either loss or forward, got both", function()
        return fit{model = model, batches = batches, steps = 1, loss = none, forward = none}
    end)
end)

t.case("predictions and targets stand in the order of the examples", function()
    local batches = data.batches{fields = {x = {{0.9, 0.1}, {0.2, 0.8}, {0.3, 0.7}}, y = {1, 1, 2}}, size = 2, shuffle = false}
    t.equal({fit.predictions(setup(1), batches, function(b) return b.x, b.y end)}, {{1, 2, 2}, {1, 1, 2}})
end)

t.case("means weigh every element alike, over all batches, where it counts", function()
    local model = setup(1)
    local batches = data.batches{fields = {x = {1.5, 2.5, 4}, y = {{1, 2}, {3}, {5}}}, size = 2, shuffle = false}
    local means = fit.means(model, batches, function(b)
        t.equal(model.training, false)
        return {number = b.index[1], tensor = b.x, right = b.x:gt(2), where = {b.y, b.y:gt(1)}, nothing = {b.y, b.y:gt(9)},
            list = b.index[1] == 1 and {7, 8, 9} or {}}
    end)
    t.near(means.number, (1 + 1 + 3) / 3, 1e-12)
    t.near(means.tensor, 8 / 3, 1e-12)
    t.near(means.right, 2 / 3, 1e-12)
    t.near(means.where, (2 + 3 + 5) / 3, 1e-12)
    t.near(means.list, 8, 1e-12)
    t.equal(means.nothing, nil)
    t.raises("fit.means: 'x' is a string, expected a number, a list, a tensor or {tensor, where}", fit.means, model, batches,
        function() return {x = "a"} end)
end)

t.case("held examples are those of one epoch, in batches of the same size", function()
    local held = fit.hold(data.batches{fields = {x = {5, 6, 7, 8, 9}}, size = 2}, 3)
    local seen, sizes = {}, {}
    for batch in held:epoch(1) do
        sizes[#sizes + 1] = #batch.x
        for _, x in ipairs(batch.x:totable()) do seen[#seen + 1] = x end
    end
    table.sort(seen)
    table.sort(sizes)
    t.equal({seen, sizes}, {{5, 6, 7, 8, 9}, {1, 2, 2}})
end)

t.case("percent: hits among what counts, over all batches; what never counts is left out", function()
    local model = setup(1)
    local batches = data.batches{fields = {y = {1, 2, 0, 1, 2}, p = {1, 1, 1, 1, 2}}, size = 2, shuffle = false}
    local function eq(b) return b.p:eq(b.y) end
    t.equal(fit.percent(model, batches, function(b) return {all = eq(b), some = {eq(b), b.y:gt(0)}, none = {eq(b), b.y:gt(9)}} end),
        {all = 60, some = 75})
end)
