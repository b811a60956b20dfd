-- fit: what every study does between its model and its numbers: a short training loop, an evaluation.
local attn = require "attn"
local data = require "attn.data"
local fields = require "attn.fields"
local internal = require "attn.internal"
local schedule = require "attn.schedule"
local train = require "attn.train"

local m = {}

-- The learning rate over the steps of a fit: a schedule that is given, or one of a name, by lr, warmup and final.
local function rates(cfg)
    local part = cfg.final and "final" or cfg.warmup and "warmup"
    local name = cfg.schedule or part and "linear"
    if type(name) ~= "string" then
        if name and part then error(("fit: %s and schedule, expected one of them"):format(part), 3) end
        return name
    elseif name ~= "linear" and name ~= "cosine" then
        error(("fit: schedule is '%s', expected linear, cosine or a function of the step"):format(name), 3)
    elseif cfg.warmup and cfg.warmup >= cfg.steps then
        error(("fit: warmup is %d, expected less than steps (%d)"):format(cfg.warmup, cfg.steps), 3)
    end
    return schedule[name]{lr = cfg.lr, steps = cfg.steps, warmup = cfg.warmup, final = cfg.final}
end

---Trains a model for some steps and logs the curve of its loss with the cell of a study.
---@param cfg table model, batches, loss(batch) or forward(batch), steps, lr = 1e-3, schedule, warmup, final, optimizer, clip = 1, cell
---@return table history as train.loop gives it
local function fit(_, cfg)
    cfg = fields.read("fit", cfg, {
        {"model", "any", required = true, expected = "a module or layer", methods = {"parameters"}},
        {"batches", "any", required = true}, {"forward", "function"}, {"loss", "function"},
        {"steps", "integer", required = true, least = 1},
        {"lr", "number", 1e-3, above = 0}, {"final", "number", least = 0}, {"optimizer", "any"},
        {"schedule", "any"}, {"warmup", "integer", least = 0}, {"clip", "number", 1, above = 0},
        {"cell", "any", methods = {"curve"}, expected = "the cell of a study"}})
    if (cfg.loss == nil) == (cfg.forward == nil) then
        error(("fit: expected either loss or forward, got %s"):format(cfg.loss and "both" or "neither"), 2)
    end
    local rate = rates(cfg)
    local function loss(batch)
        local logits, targets = cfg.forward(batch)
        return attn.loss.cross_entropy(logits, targets)
    end
    local history = train.loop{model = cfg.model, data = cfg.batches, loss = cfg.loss or loss, steps = cfg.steps, clip = cfg.clip,
        quiet = true,
        schedule = rate, optimizer = cfg.optimizer or attn.optim.adam{params = cfg.model:parameters(), lr = cfg.lr}}
    if cfg.cell then cfg.cell:curve(history.losses) end
    return history
end

---The same examples in memory: one epoch is made, and batches of the same size are cut from it from then on.
---@param batches any
---@param seed? integer of their order
---@return any batches of data.batches
function m.hold(batches, seed)
    fields.read("fit.hold", {batches = batches}, {{"batches", "any", required = true, expected = "batches", methods = {"epoch"}}})
    local lists, size = {}, 1
    for batch in batches:epoch(1) do
        for name, value in pairs(batch) do
            if name ~= "index" then
                lists[name] = lists[name] or {}
                table.insert(lists[name], value)
            end
        end
        size = math.max(size, #batch.index)
    end
    for name, list in pairs(lists) do lists[name] = attn.cat(list, 1) end
    return data.batches{fields = lists, size = size, seed = seed}
end

---The parts of a task that has some, each made once and kept, as the options of a study say.
---@param make fun(options: table, seed: integer): any task.digits
---@param cfg {batch: integer, train: integer, test: integer, data: string?, made: boolean?}
---@param seed integer
---@param options? table what else the task is told
---@return any train, any test batches
function m.parts(make, cfg, seed, options)
    fields.read("fit.parts", {make = make, seed = seed, options = options},
        {{"make", "any", required = true}, {"seed", "integer", required = true}, {"options", "table"}})
    local function part(name)
        local all = {data = cfg.data, made = cfg.made, part = name, count = cfg[name], size = cfg.batch}
        for key, value in pairs(options or {}) do all[key] = value end
        return m.hold(make(all, seed), seed)
    end
    return part "train", part "test"
end

---Training and test examples of a task that is made up, from seeds of their own.
---@param make fun(options: table, seed: integer): any task.recall, or another that takes count
---@param options {train: integer, test: integer} how many, and the options of the task
---@param seed integer that of the tests is 1000 more
---@return any train, any test batches
function m.drawn(make, options, seed)
    fields.read("fit.drawn", {make = make, options = options, seed = seed},
        {{"make", "any", required = true}, {"options", "table", required = true}, {"seed", "integer", required = true}})
    local counts = fields.read("fit.drawn", {train = options.train, test = options.test},
        {{"train", "integer", required = true, least = 1}, {"test", "integer", required = true, least = 1}})
    local function part(count, own)
        local all = {count = count}
        for name, value in pairs(options) do if not counts[name] then all[name] = value end end
        return make(all, own)
    end
    return part(counts.train, seed), part(counts.test, seed + 1000)
end

---Calls fn(batch) for every batch, the model in eval mode, without gradients.
---@param model any
---@param batches any
---@param fn fun(batch: table)
function m.each(model, batches, fn)
    fields.read("fit.each", {model = model, batches = batches, fn = fn}, {
        {"model", "any", required = true, expected = "a module or layer", methods = {"eval", "train"}},
        {"batches", "any", required = true, expected = "batches", methods = {"epoch"}},
        {"fn", "function", required = true}})
    local training = model.training
    model:eval()
    attn.no_grad(function()
        for batch in batches:epoch(1) do attn.scope(fn, batch) end
    end)
    if training then model:train() end
end

---The share of targets that are the most likely class, over all batches.
---@param model any
---@param batches any
---@param forward fun(batch: table): any, any logits [..., V] and targets (0: ignored)
---@return number
function m.accuracy(model, batches, forward)
    local right, count = 0, 0
    m.each(model, batches, function(batch)
        local share, n = attn.metric.accuracy(forward(batch))
        right, count = right + share * n, count + n
    end)
    return count > 0 and right / count or 0
end

---The most likely classes and the targets, over all batches: what metric.f1 compares.
---@param model any
---@param batches any
---@param forward fun(batch: table): any, any logits [B, V] and targets [B]
---@return integer[] predictions
---@return integer[] targets
function m.predictions(model, batches, forward)
    local found, gold = {}, {}
    m.each(model, batches, function(batch)
        local logits, targets = forward(batch)
        table.move(logits:argmax(-1):totable(), 1, #logits, #found + 1, found)
        table.move(targets:totable(), 1, #logits, #gold + 1, gold)
    end)
    return found, gold
end

-- Sum and count of a value of a batch: a number for each of its examples, a list, a tensor, {a tensor, where it counts}.
local function total(name, value, batch)
    local kind = internal.kind(value)
    if type(value) == "number" then return value * #batch.index, #batch.index end
    local where
    if type(value) == "table" and internal.kind(value[1]) == "tensor" then
        value, where = value[1], value[2]
    elseif type(value) == "table" and not kind then
        if #value == 0 then return 0, 0 end
        value = attn.tensor(value)
    end
    if internal.kind(value) ~= "tensor" or where ~= nil and internal.kind(where) ~= "tensor" then
        error(("fit.means: '%s' is %s, expected a number, a list, a tensor or {tensor, where}"):format(name, fields.describe(value)), 0)
    end
    value = value:to "float64"
    if not where then return value:sum():item(), value:numel() end
    return value:masked_fill(where:logical_not(), 0):sum():item(), where:sum():item()
end

---Means over all batches of what a function gives for each: the numbers of an evaluation.
---@param model any
---@param batches any
---@param values fun(batch: table): table<string, any> a number, a list of numbers, a tensor of any shape, or {tensor, where}, by name
---@return table<string, number> the names of which there was anything
function m.means(model, batches, values)
    local sums, counts = {}, {}
    m.each(model, batches, function(batch)
        for name, value in pairs(values(batch)) do
            local sum, count = total(name, value, batch)
            sums[name], counts[name] = (sums[name] or 0) + sum, (counts[name] or 0) + count
        end
    end)
    local means = {}
    for name, sum in pairs(sums) do
        if counts[name] > 0 then means[name] = sum / counts[name] end
    end
    return means
end

---The means of `means`, in percent.
---@param model any
---@param batches any
---@param values fun(batch: table): table<string, any>
---@return table<string, number>
function m.percent(model, batches, values)
    local out = m.means(model, batches, values)
    for name, mean in pairs(out) do out[name] = 100 * mean end
    return out
end

---How candidates are ranked, over all batches: metric.map_mrr over the questions that have right and wrong candidates.
---@param model any
---@param batches any
---@param forward fun(batch: table): any, any, any scores [B], right [B] (bool) and the question's number [B]
---@return {map: number, mrr: number, questions: integer}
function m.ranking(model, batches, forward)
    local by_group, scores, labels = {}, {}, {}
    m.each(model, batches, function(batch)
        local score, right, group = forward(batch)
        score, right, group = score:totable(), right:totable(), group:totable()
        for i, g in ipairs(group) do
            local one = by_group[g] or {scores = {}, labels = {}}
            by_group[g] = one
            table.insert(one.scores, score[i])
            table.insert(one.labels, right[i])
            one.wrong = one.wrong or not right[i]
        end
    end)
    for _, one in pairs(by_group) do
        if one.wrong then scores[#scores + 1], labels[#labels + 1] = one.scores, one.labels end
    end
    return attn.metric.map_mrr(scores, labels)
end

m.columns = data.columns

attn.describe{name = "fit",
    signature = "fit{model =, batches =, loss = | forward =, steps =, lr = 1e-3, schedule =, warmup =, final =,"
        .. " optimizer = adam, clip = 1, cell =} -> history",
    help = "The short training loop of a study: train.loop without its output, with Adam where no optimizer is given.\n"
        .. "batches is what train.loop takes as data. loss(batch) is the loss; or forward(batch) gives logits [..., V] and targets,\n"
        .. "as fit.accuracy takes it, and the loss is their cross-entropy. schedule is a function of the step, or\n"
        .. "\"linear\" or \"cosine\": from lr to final (0) over the steps, after a warmup of so many; without a schedule final and warmup\n"
        .. "are of the linear one. With the cell of a study the loss becomes its curve.",
    example = 'local fit = require "attn.fit"\n'
        .. 'local model, batches = attn.layer.linear{inputs = 2, outputs = 2}, attn.task.parity({}, 1)\n'
        .. 'local x, y = attn.randn(8, 2), attn.randint(1, 2, 8)\n'
        .. 'fit{model = model, batches = batches, steps = 3, forward = function() return model(x), y end}'}
attn.describe{name = "fit.hold", signature = "hold(batches, seed = 1) -> batches",
    help = "The same examples, made once and kept: one epoch is drawn, from then on batches of the same size are cut from it. For a\n"
        .. "task whose examples take longer to draw than a step; its tensors must have the same sizes in all batches.",
    example = 'local held = require "attn.fit".hold(attn.task.scenes({count = 40}))\nfor batch in held:epoch(2) do print(batch.image) end'}
attn.describe{name = "fit.parts", signature = "parts(task.digits, cfg, seed [, options]) -> train, test",
    help = "The parts of a task, held in memory (fit.hold), as the options of a study say: cfg.train and cfg.test examples, cfg.batch in a\n"
        .. "batch, cfg.data the folder of data sets, cfg.made: made-up ones; options are the task's others.",
    example = 'local train, test = require "attn.fit".parts(attn.task.digits, {made = true, train = 8, test = 4, batch = 4}, 1, {canvas = 40})\n'
        .. 'for batch in train:epoch(1) do print(batch.image, batch.answer) end'}
attn.describe{name = "fit.drawn", signature = "drawn(task.recall, {train =, test =, options of the task ...}, seed) -> train, test",
    help = "Batches of so many training and test examples of a task that is made up, the tests from a seed of their own (seed + 1000).",
    example = 'local train, test = require "attn.fit".drawn(attn.task.recall, {pairs = 2, size = 4, train = 20, test = 8}, 1)\n'
        .. 'for batch in test:epoch(1) do print(batch.source, batch.answer) end'}
attn.describe{name = "fit.each", signature = "each(model, batches, fn(batch))",
    help = "Calls fn for every batch of an epoch, the model in eval mode, without gradients; what fn makes is freed after\n"
        .. "each call.",
    example = 'local model = attn.layer.embedding{count = 30, dim = 2}\n'
        .. 'require "attn.fit".each(model, attn.task.copy({count = 40}), function(batch) model(batch.source) end)'}
attn.describe{name = "fit.accuracy",
    signature = "accuracy(model, batches, forward(batch) -> logits [..., V], targets) -> share",
    help = "The share (0..1) of targets that are the most likely class, over an epoch in eval mode; targets of 0 are\n"
        .. "ignored.",
    example = 'local model = attn.layer.embedding{count = 30, dim = 30}\n'
        .. 'require "attn.fit".accuracy(model, attn.task.copy({count = 40}),\n'
        .. '    function(b) return model(b.source), b.source end)'}
attn.describe{name = "fit.predictions",
    signature = "predictions(model, batches, forward(batch) -> logits [B, V], targets [B]) -> list, list",
    help = "The most likely classes and the targets, over an epoch in eval mode, as metric.f1 takes them; in the order of the\n"
        .. "examples where batches are not shuffled.",
    example = 'local fit, b = require "attn.fit", attn.data.batches{fields = {x = {{0.9, 0.1}, {0.2, 0.8}}, y = {1, 1}}, size = 2}\n'
        .. 'local found, gold = fit.predictions(attn.layer.dropout{p = 0}, b, function(batch) return batch.x, batch.y end)\n'
        .. 'print(attn.metric.f1(found, gold).f1)'}
attn.describe{name = "fit.means", signature = "means(model, batches, values(batch) -> {NAME = value ...}) -> {NAME = mean ...}",
    help = "The numbers of an evaluation: means over an epoch in eval mode of what values gives for each batch by name: a tensor of\n"
        .. "any shape (true is 1), {tensor, where} of those of its elements where a bool tensor is true, a list of numbers, or\n"
        .. "one number for all examples of the batch. A name of which nothing was counted is left out.",
    example = 'local model = attn.layer.embedding{count = 30, dim = 30}\n'
        .. 'require "attn.fit".means(model, attn.task.copy({count = 40}), function(b)\n'
        .. '    local logits = model(b.source)\n'
        .. '    return {accuracy = {logits:argmax(3):eq(b.source), b.source:gt(0)}, greatest = logits:max(3)}\n'
        .. 'end)'}
attn.describe{name = "fit.percent", signature = "percent(model, batches, values(batch) -> {NAME = value ...}) -> {NAME = percent ...}",
    help = "How often something is so: fit.means of bool tensors, in percent.",
    example = 'local model = attn.layer.embedding{count = 30, dim = 30}\n'
        .. 'require "attn.fit".percent(model, attn.task.copy({count = 40}), function(b)\n'
        .. '    local right = model(b.source):argmax(3):eq(b.source)\n'
        .. '    return {right = right, words = {right, b.source:gt(0)}}\n'
        .. 'end)'}
attn.describe{name = "fit.ranking",
    signature = "ranking(model, batches, forward(batch) -> scores [B], right [B], group [B]) -> {map =, mrr =, questions =}",
    help = "metric.map_mrr of candidates (right: bool) that belong to questions (group: their number), over an epoch in\n"
        .. "eval mode. Questions without a right or without a wrong candidate do not count.",
    example = 'local model = attn.layer.linear{inputs = 1, outputs = 1}\n'
        .. 'local b = attn.data.batches{fields = {x = {0.1, 0.2}, right = {true, false}, group = {1, 1}}, size = 2}\n'
        .. 'require "attn.fit".ranking(model, b, function(b) return b.x, b.right, b.group end)'}

return setmetatable(m, {__call = fit})
