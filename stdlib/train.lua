-- train: the plain loop. For each step: a batch (or several, accumulated), the loss, its gradient, clipped, one step of
-- the optimizer; now and then an evaluation and a checkpoint. A run resumed from a checkpoint gives the same numbers,
-- bit for bit, as one that was not interrupted: model, optimizer, schedule, generator, order of the data and place in
-- it, averages and the best value so far are all in the file. Ctrl-C leaves such a file too: of the last step that is whole.
-- Progress goes to stderr (progress_bar.lua); one line for each evaluation to stdout.
local attn = require "attn"
local bars = require "attn.progress_bar"
local fields = require "attn.fields"
local internal = require "attn.internal"
local kind, raise = internal.kind, internal.raise

local m = {}

local function thousands(x)
    local digits = ("%.0f"):format(x)
    local head = (#digits - 1) % 3 + 1
    return digits:sub(1, head) .. digits:sub(head + 1):gsub("%d%d%d", ",%0")
end

-- Shortest text of a number for a log line.
local function number(x)
    if math.type(x) == "integer" then return tostring(x) end
    return ("%.4g"):format(x)
end

local function value_text(value)
    if type(value) == "number" then return "value " .. number(value) end
    if type(value) == "table" then
        local names, parts = {}, {}
        for name in pairs(value) do names[#names + 1] = tostring(name) end
        table.sort(names)
        for i, name in ipairs(names) do
            local entry = value[name]
            parts[i] = name .. " " .. (type(entry) == "number" and number(entry) or tostring(entry))
        end
        return table.concat(parts, "  ")
    end
    return value ~= nil and tostring(value) or nil
end

-- Batches without end: epoch after epoch of a `data.batches`, or a function of the step.
local function source(data)
    if type(data) == "function" then return data end
    local next_batch
    return function()
        local batch = next_batch and next_batch()
        for _ = 1, 2 do         -- an epoch gone on with may have been at its end
            if batch then break end
            next_batch = data:epoch()
            batch = next_batch()
        end
        return batch or error("train.loop: data gives no batch", 0)
    end
end

local function loss_of(where, cfg, batch, step)
    local loss, count = cfg.loss(batch)
    local tensor = kind(loss) == "tensor"
    if not tensor or loss:numel() ~= 1 then
        raise(("%s: loss returned %s, expected a tensor of one element"):format(where, tensor and fields.describe(loss)
            .. (" of %d elements"):format(loss:numel()) or "a " .. (kind(loss) or type(loss))))
    end
    local value = loss:item()
    if value ~= value or value == math.huge or value == -math.huge then
        raise(("%s: the loss is %s at step %d (attn.anomaly(true) finds the operation that made it)")
            :format(where, value, step))
    end
    return loss, value, count
end

-- The gradient of one step. Several batches are one large batch: each adds the gradient of its sum over tokens, and the
-- whole is divided by the number of all tokens, so that a batch of few tokens does not count as much as one of many.
local function gradient(cfg, draw, step, parameters)
    if cfg.accumulate == 1 then
        local loss, value, count = loss_of("train.loop", cfg, draw(step, 1), step)
        loss:backward()
        return value, type(count) == "number" and count or nil
    end
    local sum, tokens = 0, 0
    for k = 1, cfg.accumulate do
        local loss, value, count = loss_of("train.loop", cfg, draw(step, k), step)
        if type(count) ~= "number" or count < 0 then
            error(("train.loop: with accumulate, loss must return the number of tokens too, got a %s"):format(
                type(count)), 0)
        end
        (loss * count):backward()
        sum, tokens = sum + value * count, tokens + count
    end
    if tokens == 0 then error(("train.loop: no tokens in step %d"):format(step), 0) end
    attn.no_grad(function()
        for _, p in ipairs(parameters) do
            if p.grad then p.grad:copy_(p.grad / tokens) end
        end
    end)
    return sum / tokens, tokens
end

-- Exponential moving average -----------------------------------------------------------------------------------------

---@class Average
---@field decay number
local Average = {}
Average.__index = Average
Average.__name = "average"

---Takes the parameters and buffers as they are now into the average.
function Average:update()
    attn.no_grad(function()
        for i, p in ipairs(self.parameters) do
            local mean = self.means[i]
            local float = p.dtype == "float32" or p.dtype == "float64"
            mean:copy_(float and mean * self.decay + p * (1 - self.decay) or p)
        end
    end)
end

---Exchanges the parameters of the model and their averages; a second call puts them back.
function Average:swap()
    attn.no_grad(function()
        for i, p in ipairs(self.parameters) do
            local kept = p:detach():clone()
            p:copy_(self.means[i])
            self.means[i]:copy_(kept)
        end
    end)
end

---The averages by the names of the parameters.
function Average:state()
    local state = {}
    for i, name in ipairs(self.names) do state[name] = self.means[i] end
    return state
end

function Average:load(state)
    if type(state) ~= "table" then error("train.ema: state is not one that state() gave", 2) end
    for i, name in ipairs(self.names) do
        local ok = pcall(attn.no_grad, self.means[i].copy_, self.means[i], state[name])
        if not ok then error(("train.ema: state has no '%s' of the parameter's shape"):format(name), 2) end
    end
end

---An exponential moving average of a model's parameters and buffers (what is no float is taken as it is): mean = decay mean + (1 - decay) parameter at each update.
---@param cfg {model: any, decay: number?}
---@return Average
function m.ema(cfg)
    cfg = fields.read("train.ema", cfg, {
        {"model", "any", required = true, expected = "a module or layer", methods = {"named_parameters"}},
        {"decay", "number", 0.999, least = 0, most = 1}})
    local average = setmetatable({decay = cfg.decay, parameters = {}, means = {}, names = {}}, Average)
    for name, p in cfg.model:named_parameters() do
        local i = #average.names + 1
        average.names[i], average.parameters[i], average.means[i] = name, p, p:detach():clone()
    end
    local state, buffers = cfg.model:state(), {}
    for _, name in ipairs(average.names) do state[name] = nil end
    for name in pairs(state) do buffers[#buffers + 1] = name end
    table.sort(buffers)
    for _, name in ipairs(buffers) do
        local i = #average.names + 1
        average.names[i], average.parameters[i], average.means[i] = name, state[name], state[name]:clone()
    end
    return average
end

---The mean of the models of several checkpoints, for `model:load`. What is no float is taken from the last one.
---@param paths string[]
---@return table<string, any> state
function m.average(paths)
    if type(paths) ~= "table" or #paths == 0 then error("train.average: expected a list of paths", 2) end
    local sum, last
    for _, path in ipairs(paths) do
        local state = attn.load(path).model
        if type(state) ~= "table" then
            error(("train.average: %s has no 'model': not a checkpoint of train.loop"):format(path), 2)
        end
        local new = {}
        for name, tensor in pairs(state) do
            if sum and (not sum[name] or table.concat(sum[name].shape, " ") ~= table.concat(tensor.shape, " ")) then
                error(("train.average: %s and %s differ in '%s'"):format(paths[1], path, name), 2)
            end
            local float = tensor.dtype == "float32" or tensor.dtype == "float64"
            new[name] = float and (sum and sum[name] + tensor:to "float64" or tensor:to "float64") or tensor
        end
        for name in pairs(sum or {}) do
            if not new[name] then
                error(("train.average: %s and %s differ in '%s'"):format(paths[1], path, name), 2)
            end
        end
        sum, last = new, state
    end
    for name, tensor in pairs(last) do
        if tensor.dtype == "float32" or tensor.dtype == "float64" then
            sum[name] = (sum[name] / #paths):to(tensor.dtype)
        end
    end
    return sum
end

-- The loop -----------------------------------------------------------------------------------------------------------

local model_field = {"model", "any", required = true, expected = "a module or layer",
    methods = {"parameters", "named_parameters", "state", "load", "train", "eval", "zero_grad"}}
local known = {
    model_field, {"data", "any", required = true},
    {"optimizer", "any", required = true, expected = "an optimizer", methods = {"step", "zero_grad", "state", "load"}},
    {"loss", "function", required = true}, {"steps", "integer", required = true, least = 1}, {"schedule", "function"},
    {"clip", "number", above = 0}, {"accumulate", "integer", 1, least = 1}, {"ema", "number", least = 0, most = 1},
    {"every", "integer", least = 1}, {"evaluate", "function"}, {"metric", "string"},
    {"mode", "string", "min", choices = {"min", "max"}}, {"patience", "integer", least = 1},
    {"run", "any", expected = "a run of run.start", methods = {"part"}}, {"name", "string"},
    {"checkpoint", "string"}, {"resume", "boolean", false}, {"save_every", "integer", least = 1},
    {"keep", "integer", 2, least = 1}, {"best", "integer", 0, least = 0}, {"extra", "table"},
    {"quiet", "boolean", false}}

---@class LoopConfig
---@field model any
---@field optimizer any
---@field data any batches, or a function of the step (and of the number of the batch in it) that returns a batch
---@field loss fun(batch: table): any, integer? loss, and how many tokens it is the mean of
---@field steps integer
---@field schedule (fun(step: integer): number)?
---@field clip number? bound of the gradient's norm
---@field accumulate integer? batches of a step
---@field ema number? decay of an average of the parameters, which is evaluated and is the result
---@field every integer? steps between evaluations and lines of output
---@field evaluate (fun(step: integer): any, boolean?)? value to print, true to stop
---@field metric string? field of the value that says how good it is, if it is a table
---@field mode string? "min" or "max"
---@field patience integer? evaluations without a better value before the loop stops
---@field run table? of run.start: metrics and checkpoints go there
---@field name string? of this loop within its run, which keeps metrics and checkpoints of each name
---@field checkpoint string? path
---@field resume boolean?
---@field save_every integer? steps between checkpoints
---@field keep integer? newest checkpoints that stay in a run
---@field best integer? best checkpoints that stay in a run
---@field extra table? saved in the checkpoint too
---@field quiet boolean?

-- Everything that changes while the loop runs, besides model, optimizer and generator.
local function new_progress()
    return {step = 0, losses = {}, values = {}, seconds = 0, tokens = 0, window = 0, window_count = 0, bad = 0,
        best = {}}
end

-- What is kept of a buffer while a step runs, which may be interrupted: those of batch normalisation change in the forward pass. Large
-- ones are tables that do not.
local KEPT = 1 << 16

local function buffers_of(model)
    local list, parameter = {}, {}
    for name in model:named_parameters() do parameter[name] = true end
    for name, tensor in pairs(model:state()) do
        if not parameter[name] and tensor:numel() <= KEPT then list[#list + 1] = {tensor = tensor, kept = tensor:clone()} end
    end
    return list
end

-- What a checkpoint of the loop holds, at the place of a mark.
local function snapshot(cfg, mark, ema)
    local history = {}
    for name, value in pairs(mark.progress) do history[name] = value end
    history.values = table.move(history.values, 1, mark.values, 1, {})
    history.losses = attn.tensor(history.losses, {dtype = "float64"})       -- as text they are ten times longer
    return {model = cfg.model, optimizer = cfg.optimizer, random = mark.random, history = history, data = mark.data,
        ema = ema and ema:state() or nil, schedule = mark.schedule, extra = cfg.extra}
end

local function restore(cfg, saved, ema, place, path)
    for _, name in ipairs{"model", "optimizer", "random", "history"} do
        if saved[name] == nil then
            error(("train.loop: %s has no '%s': not a checkpoint of train.loop"):format(path, name), 4)
        end
    end
    if ema and not saved.ema then error(("train.loop: %s was saved without ema"):format(path), 4) end
    cfg.model:load(saved.model)
    cfg.optimizer:load(saved.optimizer)
    if ema then ema:load(saved.ema) end
    if type(cfg.schedule) == "table" and cfg.schedule.load and saved.schedule then cfg.schedule:load(saved.schedule) end
    if place and saved.data then cfg.data:load(saved.data) end
    attn.random_state(saved.random)
    local progress = new_progress()
    for name, value in pairs(saved.history) do progress[name] = value end
    if type(progress.losses) ~= "table" then progress.losses = progress.losses:totable() end
    return progress
end

-- The number of an evaluation that says how good it is.
local function measure(cfg, result)
    if type(result) == "table" then
        local names = {}
        for name, value in pairs(result) do
            if type(value) == "number" then names[#names + 1] = tostring(name) end
        end
        table.sort(names)
        if cfg.metric and type(result[cfg.metric]) == "number" then return result[cfg.metric] end
        if not cfg.metric and #names == 1 then return result[names[1]] end
        error(("train.loop: evaluate returned no number '%s' (it has %s)"):format(cfg.metric or "metric",
            table.concat(names, ", ")), 0)
    elseif type(result) ~= "number" then
        error(("train.loop: evaluate returned a %s; patience and best need a number"):format(type(result)), 0)
    end
    return result
end

-- Takes a new value into the best ones; says if it is among them and whether it is the best of all so far.
local function rank(cfg, progress, step, value)
    local sign = cfg.mode == "min" and 1 or -1
    local first = progress.top == nil or sign * value < sign * progress.top
    if first then progress.top, progress.top_step = value, step end
    if cfg.best > 0 and value == value then
        table.insert(progress.best, {step = step, value = value})
        table.sort(progress.best, function(a, b)
            if a.value ~= b.value then return sign * a.value < sign * b.value end
            return a.step < b.step
        end)
        progress.best[cfg.best + 1] = nil
    end
    for _, one in ipairs(progress.best) do
        if one.step == step then return first, true end
    end
    return first, false
end

-- What the fields of a loop must be to each other.
local function check(cfg, run)
    local function refuse(text) error("train.loop: " .. text, 5) end
    if type(cfg.data) ~= "function" then
        fields.read("train.loop", {data = cfg.data},
            {{"data", "any", expected = "batches or a function", methods = {"epoch"}}}, 4)
    end
    if cfg.name and not run then refuse("name needs the field run") end
    if cfg.resume and not cfg.checkpoint then refuse("resume needs the field checkpoint") end
    if run and cfg.checkpoint then refuse("run keeps the checkpoints, so checkpoint has no meaning") end
    if not run and cfg.best > 0 then refuse("best needs the field run") end
    if cfg.patience and not cfg.evaluate then refuse("patience needs the field evaluate") end
    if cfg.best > 0 and not cfg.evaluate then refuse("best needs the field evaluate") end
end

-- A loop while it runs. trained, tokens: of this process; progress holds those of the processes before.
local Loop = {}
Loop.__index = Loop

local function new_loop(cfg)
    check(cfg, cfg.run)
    local run = cfg.run and cfg.run:part(cfg.name)
    if run and run.taken then
        error(cfg.name and ("train.loop: the run has a loop called '%s' already; give each a name of its own"):format(cfg.name)
            or "train.loop: the run has a loop without a name already; give each loop of a run a name: name = \"...\"", 3)
    elseif run then
        run.taken = true
    end
    local every = cfg.every or cfg.steps
    return setmetatable({cfg = cfg, run = run, every = every, save_every = cfg.save_every or every,
        plateau = type(cfg.schedule) == "table" and cfg.schedule.update,
        place = type(cfg.data) ~= "function" and cfg.data.state ~= nil,
        ema = cfg.ema and m.ema{model = cfg.model, decay = cfg.ema}, progress = new_progress(),
        parameters = cfg.model:parameters(), buffers = buffers_of(cfg.model), trained = 0, tokens = 0}, Loop)
end

-- Notes all that changes besides model, optimizer and averages: from here a resumed loop goes on. due: the step's report is not made yet,
-- which changes the progress.
function Loop:note(due)
    local cfg, progress = self.cfg, self.progress
    if due then
        progress = {}
        for name, value in pairs(self.progress) do progress[name] = value end
        progress.best, progress.due = table.move(progress.best, 1, #progress.best, 1, {}), true
    end
    if #self.buffers > 0 then
        attn.no_grad(function()
            for _, buffer in ipairs(self.buffers) do buffer.kept:copy_(buffer.tensor) end
        end)
    end
    self.mark = {progress = progress, values = #progress.values, random = attn.random_state(), data = self.place and cfg.data:state() or nil,
        schedule = type(cfg.schedule) == "table" and cfg.schedule.state and cfg.schedule:state() or nil}
end

-- Whether a step ends with a report.
function Loop:reports(step) return step % self.every == 0 or step == self.cfg.steps end

-- Exchanges parameters and averages, whole.
function Loop:swap()
    internal.whole(function()
        self.ema:swap()
        self.swapped = not self.swapped
    end)
end

-- Goes on where a checkpoint ends, if that is wanted.
function Loop:resume()
    local cfg, run = self.cfg, self.run
    if run and run.resumed then
        local saved, path = run:newest()
        if saved then
            self.progress = restore(cfg, saved, self.ema, self.place, path)
            if not cfg.quiet then print(("resumed behind step %d of %d, from %s"):format(self.progress.step, cfg.steps, path)) end
        else
            print(("run: %s has no checkpoint yet: it begins at step 1"):format(run.path))
        end
        run:record{event = "resume", step = self.progress.step}
    elseif cfg.resume then
        self.progress = restore(cfg, attn.load(cfg.checkpoint), self.ema, self.place, cfg.checkpoint)
        if not cfg.quiet then print(("resumed behind step %d of %d, from %s"):format(self.progress.step, cfg.steps, cfg.checkpoint)) end
    end
end

function Loop:impatient() return self.cfg.patience and self.progress.bad >= self.cfg.patience end

-- Calls the script's evaluate; returns what it returned, and whether the step is among the best.
function Loop:evaluate(step)
    local cfg, progress, ema = self.cfg, self.progress, self.ema
    if ema then self:swap() end
    cfg.model:eval()
    local result, stop = cfg.evaluate(step)
    cfg.model:train()
    if ema then self:swap() end
    progress.values[#progress.values + 1] = {step = step, value = result}
    if self.plateau and type(result) == "number" then cfg.schedule:update(result) end
    local among = false
    if cfg.patience or cfg.best > 0 or cfg.metric then
        local first
        first, among = rank(cfg, progress, step, measure(cfg, result))
        progress.bad = first and 0 or progress.bad + 1
    end
    if self.run then
        local record = {step = step, split = "valid", seconds = progress.seconds + self.trained}
        for name, value in pairs(type(result) == "table" and result or {value = result}) do
            if type(value) ~= "table" and type(value) ~= "userdata" then record[tostring(name)] = value end
        end
        self.run:record(record)
    end
    return result, stop, among
end

function Loop:save(step)
    local cfg, progress = self.cfg, self.progress
    local state = snapshot(cfg, self.mark, self.ema)
    state.history.seconds, state.history.tokens = progress.seconds + self.trained, progress.tokens + self.tokens
    if not self.run then
        attn.save(cfg.checkpoint, state)
    else
        self.run:save(step, state)
        local best = {}
        for _, one in ipairs(state.history.best) do best[one.step] = true end
        self.run:prune(cfg.keep, best)
    end
    self.saved = self.mark
end

-- After Ctrl-C: a checkpoint of the last whole step, and how to go on.
function Loop:interrupted()
    local cfg, step = self.cfg, self.mark and self.mark.progress.step or 0
    if step == 0 or not self.run and not cfg.checkpoint then return end
    if self.swapped then self:swap() end
    attn.no_grad(function()
        for _, buffer in ipairs(self.buffers) do buffer.tensor:copy_(buffer.kept) end
    end)
    if self.saved ~= self.mark then self:save(step) end
    if not cfg.quiet then
        print(("interrupted: step %d of %d is in %s; %s goes on from there"):format(step, cfg.steps,
            self.run and self.run.path .. "/checkpoints" or cfg.checkpoint, self.run and "--resume " .. self.run.id or "resume = true"))
        io.stdout:flush()
    end
end

-- One step of the optimizer.
function Loop:step(step)
    local cfg, progress, optimizer = self.cfg, self.progress, self.cfg.optimizer
    local start = attn.clock()
    if cfg.schedule then optimizer.lr = cfg.schedule(step) end
    optimizer:zero_grad()
    local value, count = gradient(cfg, self.draw, step, self.parameters)
    local norm = cfg.clip and attn.clip_grad_norm(self.parameters, cfg.clip)
    if type(norm) == "userdata" then norm = norm:item() end
    internal.whole(function()
        optimizer:step()
        if self.ema then self.ema:update() end
        progress.step, progress.losses[step] = step, value
        self.tokens = self.tokens + (count or 1)
        progress.window = progress.window + value * (count or 1)
        progress.window_count = progress.window_count + (count or 1)
        self:note(self:reports(step))
    end)
    local seconds = attn.clock() - start
    self.trained = self.trained + seconds
    if self.run then
        self.run:record{step = step, split = "train", seconds = progress.seconds + self.trained, loss = value,
            lr = optimizer.lr, norm = norm or nil}
    end
    self.counted = count ~= nil
end

-- Evaluates and prints a line; returns whether the loop ends here, and whether the step is among the best.
function Loop:report(step, mean, rate)
    local cfg, progress = self.cfg, self.progress
    local result, stop, among = nil, false, false
    if cfg.evaluate then result, stop, among = self:evaluate(step) end
    stop = stop or self:impatient()
    if not cfg.quiet then
        local shown = value_text(result)
        print(("step %d/%d  loss %.4f  lr %s  %s  %s%s"):format(step, cfg.steps, mean, number(cfg.optimizer.lr), rate,
            bars.clock(attn.clock() - self.began), shown and "  " .. shown or ""))
        if self:impatient() then
            print(("stopped: no better value in %d evaluations; the best is %s, of step %d"):format(progress.bad,
                number(progress.top), progress.top_step))
        end
        io.stdout:flush()
    end
    progress.window, progress.window_count = 0, 0
    return stop, among
end

-- All steps that are left.
function Loop:steps()
    local cfg, progress = self.cfg, self.progress
    local due = progress.due            -- interrupted while it was reported: that is made good
    progress.due = nil
    for step = progress.step + (due and 0 or 1), self:impatient() and 0 or cfg.steps do
        if not due then self:step(step) end
        due = nil
        local rate = self.trained > 0 and ("%s %s/s"):format(thousands(self.tokens / self.trained), self.counted and "tokens" or "steps") or "resumed"
        local mean = progress.window / progress.window_count
        self.bar:update(step, ("loss %.4f  %s"):format(mean, rate))
        local stop, among = false, false
        if self:reports(step) then
            stop, among = self:report(step, mean, rate)
            internal.whole(function() self:note() end)
        end
        local wanted = step % self.save_every == 0 or step == cfg.steps or stop or among
        if wanted and (self.run or cfg.checkpoint) then self:save(step) end
        if stop then break end
    end
end

---Trains a model.
---@param cfg LoopConfig
---@return {step: integer, losses: number[], values: table[], seconds: number, tokens: number, rate: number}
function m.loop(cfg)
    cfg = fields.read("train.loop", cfg, known)
    local loop = new_loop(cfg)
    loop:resume()
    loop.draw = source(cfg.data)
    local bar <close> = bars.new(cfg.steps, {done = loop.progress.step, quiet = cfg.quiet})
    loop.bar, loop.began = bar, attn.clock()
    local on_error <close> = setmetatable({}, {__close = function(_, message)
        if type(message) == "string" and message:find("interrupted!", 1, true) then
            bar:close()
            loop:interrupted()
        end
    end})
    cfg.model:train()
    loop:note(loop.progress.due)
    loop:steps()
    if loop.ema then loop:swap() end
    cfg.model:eval()
    local progress = loop.progress
    local history = {step = progress.step, losses = progress.losses, values = progress.values,
        seconds = progress.seconds + loop.trained, tokens = progress.tokens + loop.tokens, best = progress.best,
        top = progress.top, top_step = progress.top_step}
    history.rate = history.seconds > 0 and history.tokens / history.seconds or 0
    return history
end

---Seconds that a training step takes: loss and gradient of some batches, with nothing changed by it.
---@param cfg {model: any, data: any, loss: fun(batch: table): any, batches: integer?}
---@return number
function m.pace(cfg)
    cfg = fields.read("train.pace", cfg, {
        model_field, {"data", "any", required = true, expected = "batches", methods = {"epoch", "state", "load"}},
        {"loss", "function", required = true}, {"batches", "integer", 10, least = 1}})
    local random, place = attn.random_state(), cfg.data:state()
    local training = cfg.model.training
    cfg.model:train()
    local n, began = -1, nil
    for batch in cfg.data:epoch(1) do
        cfg.model:zero_grad()
        local loss = loss_of("train.pace", cfg, batch, 0)
        loss:backward()
        n = n + 1
        if n == 0 then began = attn.clock() end         -- the first one starts threads and fills the storage pool
        if n == cfg.batches then break end
    end
    local seconds = attn.clock() - began
    cfg.model:zero_grad()
    if not training then cfg.model:eval() end
    cfg.data:load(place)
    attn.random_state(random)
    return seconds / math.max(1, n)
end

attn.describe{name = "train.loop",
    signature = "loop{model =, optimizer =, data =, loss = function(batch), steps =, schedule =, clip =,"
        .. " accumulate = 1, ema =, every =, evaluate =, metric =, mode = \"min\" | \"max\", patience =, run =, name =,"
        .. " checkpoint =, resume = false, save_every = every, keep = 2, best = 0, extra =, quiet = false} -> history",
    help = "Trains for `steps` steps. data is a data.batches or a function(step) -> batch; loss returns a tensor\n"
        .. "of one element and optionally how many tokens it is the mean of; schedule(step) sets the rate; clip\n"
        .. "bounds the gradient's norm; accumulate is the number of batches of a step, whose gradient is that of\n"
        .. "one large batch; ema is the decay of an average of the parameters, which is evaluated and is what the\n"
        .. "model holds at the end. Every `every` steps and at the end: evaluate(step) -> value [, stop] in eval\n"
        .. "mode and a line of output. The number in value (or its field `metric`) is the better the smaller\n"
        .. "(mode = \"max\": the larger) it is: after `patience` evaluations without a better one the loop stops.\n"
        .. "With run = run.start(...) metrics go to its folder, and every `save_every` steps a checkpoint, of which\n"
        .. "the newest `keep` and the `best` best ones stay; a run that is resumed goes on, bit for bit, from the\n"
        .. "newest valid one. A run with several loops gives each a name. checkpoint = path with\n"
        .. "resume = true does that with one file. Ctrl-C leaves a checkpoint of the last whole step. history has step,\n"
        .. "losses (one for each step), values ({step =, value =}), best, seconds, tokens, rate.",
    example = 'local model = attn.layer.linear{inputs = 2, outputs = 1}\n'
        .. 'attn.train.loop{model = model, optimizer = attn.optim.adam{params = model:parameters()}, steps = 20, quiet = true,\n'
        .. '    data = function() return attn.randn(8, 2) end,\n'
        .. '    loss = function(batch) return attn.loss.mse(model(batch), batch:sum(2, true)) end}'}
attn.describe{name = "train.ema", signature = "ema{model =, decay = 0.999} -> average",
    help = "An exponential moving average of a model's parameters. a:update() after each step of the optimizer;\n"
        .. "a:swap() exchanges parameters and averages, a second call puts them back; a:state(), a:load(state).",
    example = 'local model = attn.layer.linear{inputs = 2, outputs = 1}\n'
        .. 'local a = attn.train.ema{model = model, decay = 0.99}\na:update()\na:swap()'}
attn.describe{name = "train.average", signature = "average(paths) -> state",
    help = "The mean of the models in several checkpoints of train.loop, for model:load.",
    example = 'local model, path = attn.layer.linear{inputs = 2, outputs = 1}, os.tmpname()\n'
        .. 'attn.train.loop{model = model, optimizer = attn.optim.sgd{params = model:parameters(), lr = 0.1}, steps = 2, quiet = true,\n'
        .. '    data = function() return attn.randn(8, 2) end, loss = function(batch) return model(batch):square():mean() end,\n'
        .. '    checkpoint = path}\nmodel:load(attn.train.average{path})\nos.remove(path)'}
attn.describe{name = "train.pace", signature = "pace{model =, data =, loss =, batches = 10} -> seconds",
    help = "Seconds of a training step (loss and gradient), measured on some batches; model, data and random\n"
        .. "numbers are as before.",
    example = 'local model = attn.layer.linear{inputs = 2, outputs = 1}\n'
        .. 'local batches = attn.data.batches{fields = {x = {1.0, 2.0, 3.0, 4.0}}, size = 2}\n'
        .. 'local seconds = attn.train.pace{model = model, data = batches, loss = function(batch)\n'
        .. '    return model(batch.x:unsqueeze(2):expand(-1, 2)):mean() end}\nprint(10 * 60 // seconds)'}

return m
