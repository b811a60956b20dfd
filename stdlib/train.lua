-- train: the plain loop. For each step: a batch, the loss, its gradient, clipped, one step of the optimizer; now and
-- then an evaluation and a checkpoint. A run resumed from a checkpoint gives the same numbers, bit for bit, as one that
-- was not interrupted: model, optimizer, schedule, generator, order of the data and place in it are all in the file.
-- Progress goes to stderr and only to a terminal; one line for each evaluation to stdout.
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

local function clock_text(seconds)
    if seconds ~= seconds or seconds >= 360000 then return "?" end
    local s = math.floor(seconds + 0.5)
    if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
    return ("%d:%02d"):format(s // 60, s % 60)
end

local function thousands(x)
    local digits = ("%.0f"):format(x)
    local head = (#digits - 1) % 3 + 1
    return digits:sub(1, head) .. digits:sub(head + 1):gsub("%d%d%d", ",%0")
end

local blocks = {"▏", "▎", "▍", "▌", "▋", "▊", "▉"}

local function bar_text(share, width)
    local eighths = math.floor(share * width * 8)
    local full = eighths // 8
    local rest = blocks[eighths % 8] or ""
    return ("█"):rep(full) .. rest .. (" "):rep(width - full - (rest == "" and 0 or 1))
end

-- One line of the terminal that is written over. Closed on errors too, so that a traceback begins on a line of its own.
local Bar = {}
Bar.__index = Bar

local function new_bar(quiet)
    local on = not quiet and attn.isatty(2) and os.getenv "ATTN_PROGRESS" ~= "0"
    return setmetatable({on = on, last = -1, shown = false}, Bar)
end

function Bar:show(share, text)
    if not self.on then return end
    local now = attn.clock()
    if now - self.last < 0.1 then return end
    self.last = now
    local width = attn.terminal_width()
    local room = math.max(0, math.min(24, width - #text - 10))
    local line = ("%3d%% "):format(math.floor(share * 100)) .. (room > 4 and bar_text(share, room) .. " " or "") .. text
    io.stderr:write("\r", #text + 5 <= width and line or text:sub(1, math.max(1, width - 1)), "\27[K")
    io.stderr:flush()
    self.shown = true
end

function Bar:clear()
    if self.shown then
        io.stderr:write("\r\27[K")
        io.stderr:flush()
        self.shown = false
    end
end

Bar.__close = Bar.clear

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
        if not batch then
            next_batch = data:epoch()
            batch = next_batch() or error("train.loop: data gives no batch", 0)
        end
        return batch
    end
end

local function loss_of(cfg, batch, step)
    local loss, count = cfg.loss(batch)
    if type(loss) ~= "userdata" then
        error(("train.loop: loss returned a %s, expected a tensor of one element"):format(type(loss)), 0)
    end
    local value = loss:item()
    if value ~= value or value == math.huge or value == -math.huge then
        error(("train.loop: the loss is %s at step %d (attn.anomaly(true) finds the operation that made it)")
            :format(value, step), 0)
    end
    return loss, value, count
end

local known = {
    {"model", "any", required = true}, {"optimizer", "any", required = true}, {"data", "any", required = true},
    {"loss", "function", required = true}, {"steps", "integer", required = true, least = 1}, {"schedule", "function"},
    {"clip", "number", above = 0}, {"every", "integer", least = 1}, {"evaluate", "function"},
    {"checkpoint", "string"}, {"resume", "boolean", false}, {"extra", "table"}, {"quiet", "boolean", false}}

---@class LoopConfig
---@field model any
---@field optimizer any
---@field data any batches, or a function of the step that returns a batch
---@field loss fun(batch: table): any, integer? loss, and how many tokens it is the mean of
---@field steps integer
---@field schedule (fun(step: integer): number)?
---@field clip number? bound of the gradient's norm
---@field every integer? steps between evaluations, checkpoints and lines of output
---@field evaluate (fun(step: integer): any, boolean?)? value to print, true to stop
---@field checkpoint string? path
---@field resume boolean?
---@field extra table? saved in the checkpoint too
---@field quiet boolean?

---Trains a model.
---@param cfg LoopConfig
---@return {step: integer, losses: number[], values: table[], seconds: number, tokens: number, rate: number}
function m.loop(cfg)
    cfg = fields.read("train.loop", cfg, known)
    if cfg.resume and not cfg.checkpoint then error("train.loop: resume needs the field checkpoint", 2) end
    local model, optimizer, schedule = cfg.model, cfg.optimizer, cfg.schedule
    local stateful = type(schedule) == "table" and schedule.state and schedule.load
    local keeps_place = type(cfg.data) ~= "function" and cfg.data.state
    local every = cfg.every or cfg.steps
    local history = {step = 0, losses = {}, values = {}, seconds = 0, tokens = 0}

    if cfg.resume then
        local saved = attn.load(cfg.checkpoint)
        for _, name in ipairs{"model", "optimizer", "random", "history"} do
            if saved[name] == nil then
                error(("train.loop: %s has no '%s': not a checkpoint of train.loop"):format(cfg.checkpoint, name), 2)
            end
        end
        model:load(saved.model)
        optimizer:load(saved.optimizer)
        if stateful and saved.schedule then schedule:load(saved.schedule) end
        if keeps_place and saved.data then cfg.data:load(saved.data) end
        history = saved.history
        attn.random_state(saved.random)
    end

    local parameters = model:parameters()
    local draw = source(cfg.data)
    local bar <close> = new_bar(cfg.quiet)
    local began, first = attn.clock(), history.step
    local trained, tokens, smooth, window, window_count = 0, 0, nil, 0, 0
    model:train()
    for step = first + 1, cfg.steps do
        local start = attn.clock()
        if schedule then optimizer.lr = schedule(step) end
        local batch = draw(step)
        optimizer:zero_grad()
        local loss, value, count = loss_of(cfg, batch, step)
        loss:backward()
        if cfg.clip then attn.clip_grad_norm(parameters, cfg.clip) end
        optimizer:step()
        history.step, history.losses[step] = step, value
        count = type(count) == "number" and count or nil
        tokens = tokens + (count or 1)
        window, window_count = window + value * (count or 1), window_count + (count or 1)
        local seconds = attn.clock() - start
        trained = trained + seconds
        smooth = smooth and 0.98 * smooth + 0.02 * seconds or seconds

        local rate = ("%s %s/s"):format(thousands(tokens / trained), count and "tokens" or "steps")
        bar:show(step / cfg.steps, ("%d/%d  loss %.4f  %s  %s < %s"):format(step, cfg.steps, window / window_count,
            rate, clock_text(attn.clock() - began), clock_text((cfg.steps - step) * smooth)))

        if step % every == 0 or step == cfg.steps then
            local result, stop
            if cfg.evaluate then
                model:eval()
                result, stop = cfg.evaluate(step)
                model:train()
                history.values[#history.values + 1] = {step = step, value = result}
                if stateful and schedule.update and type(result) == "number" then schedule:update(result) end
            end
            bar:clear()
            if not cfg.quiet then
                local shown = value_text(result)
                print(("step %d/%d  loss %.4f  lr %s  %s  %s%s"):format(step, cfg.steps, window / window_count,
                    number(optimizer.lr), rate, clock_text(attn.clock() - began), shown and "  " .. shown or ""))
                io.stdout:flush()
            end
            window, window_count = 0, 0
            if cfg.checkpoint then
                local shown = {step = step, losses = history.losses, values = history.values,
                    seconds = history.seconds + trained, tokens = history.tokens + tokens}
                attn.save(cfg.checkpoint, {model = model, optimizer = optimizer, random = attn.random_state(),
                    history = shown, data = keeps_place and cfg.data:state() or nil,
                    schedule = stateful and schedule:state() or nil, extra = cfg.extra})
            end
            if stop then break end
        end
    end
    model:eval()
    history.seconds, history.tokens = history.seconds + trained, history.tokens + tokens
    history.rate = history.seconds > 0 and history.tokens / history.seconds or 0
    return history
end

---Seconds that a training step takes: loss and gradient of some batches, with nothing changed by it.
---@param cfg {model: any, data: any, loss: fun(batch: table): any, batches: integer?}
---@return number
function m.pace(cfg)
    cfg = fields.read("train.pace", cfg, {
        {"model", "any", required = true}, {"data", "any", required = true}, {"loss", "function", required = true},
        {"batches", "integer", 10, least = 1}})
    local random, place = attn.random_state(), cfg.data:state()
    local training = cfg.model.training
    cfg.model:train()
    local n, began = -1, nil
    for batch in cfg.data:epoch(1) do
        cfg.model:zero_grad()
        local loss = loss_of(cfg, batch, 0)
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
    signature = "loop{model =, optimizer =, data =, loss = function(batch), steps =, schedule =, clip =, every =, "
        .. "evaluate =,"
        .. " checkpoint =, resume = false, extra =, quiet = false} -> history",
    help = "Trains for `steps` steps. data is a data.batches or a function(step) -> batch; loss returns a tensor\n"
        .. "of one element and optionally how many tokens it is the mean of; schedule(step) sets the rate; clip\n"
        .. "bounds the gradient's norm. Every `every` steps and at the end: evaluate(step) -> value [, stop] in\n"
        .. "eval mode, a line of output, and the checkpoint, with the table `extra` in it. resume = true goes on\n"
        .. "from the checkpoint, bit for bit. history has step, losses (one for each step), values ({step =,\n"
        .. "value =}), seconds, tokens, rate.",
    example = 'attn.train.loop{model = model, optimizer = optimizer, data = batches, steps = 1000,\n'
        .. '  loss = function(batch) return attn.loss.cross_entropy(model(batch.source), batch.target) end}'}
attn.describe{name = "train.pace", signature = "pace{model =, data =, loss =, batches = 10} -> seconds",
    help = "Seconds of a training step (loss and gradient), measured on some batches; model, data and random\n"
        .. "numbers are as before.",
    example = 'local steps = minutes * 60 // attn.train.pace{model = model, data = batches, loss = loss}'}

return m
