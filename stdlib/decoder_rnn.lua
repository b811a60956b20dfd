-- decoder.rnn around an attention written in Lua: attn.decoder.rnn{attention = module} comes here, since the engine calls no Lua.
--
-- The recurrence, the parameters' names and the results are those of attn/decoder/rnn.c, step by step from layer.cell. The module is
-- called once a step, in bahdanau style with s_{t-1}, in luong style with s_t:
--
--     context, weights [, tensors of the step ...] [, state] =
--         attention(query [B, hidden], memory [B, S, memory], nil, {lengths =, position = step, weights = true, state =})
--
-- so that attn.attention has the same call. context is memory wide, or attention.out wide where that is a number; weights are [B, S] or
-- [B, heads, S]. Tensors behind them (a log-probability, a penalty [B]) are handed on like the weights, all steps together. A table
-- behind these is the module's own state: options.state of the next step, state.attention of the decoder's, reordered with it.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"
local search = require "attn.search"
local kind, describe = internal.kind, fields.describe

local known = {
    {"inputs", "integer", required = true, least = 1}, {"hidden", "integer", required = true, least = 1},
    {"memory", "integer", least = 1}, {"cell", "string", "gru", choices = {"gru", "lstm", "rnn"}}, {"attention", "any"},
    {"style", "string", "bahdanau", choices = {"bahdanau", "luong"}}, {"input_feeding", "boolean", true},
    {"outputs", "integer", required = true, least = 1}, {"readout", "string", "linear", choices = {"linear", "maxout"}},
    {"dropout", "number", 0, least = 0, most = 1}}

local function refuse(format, ...) internal.raise("decoder.rnn: " .. format:format(...)) end

-- x is a tensor of these sizes; false stands for any.
local function expect(name, x, ...)
    local sizes, words, good = {...}, {}, kind(x) == "tensor" and x:dim() == select("#", ...)
    for d, size in ipairs(sizes) do
        good = good and (not size or x:size(d) == size)
        words[d] = size or "?"
    end
    if not good then refuse("%s is %s, expected a tensor [%s]", name, describe(x), table.concat(words, ", ")) end
    return x
end

local function check_lengths(name, lengths, B, most)
    if lengths == nil then return end
    expect(name, lengths, B)
    if lengths.dtype ~= "int64" then refuse("%s is %s, expected int64", name, lengths.dtype) end
    for b, n in ipairs(lengths:totable()) do
        if n < 0 or n > most then refuse("%s[%d] is %d, expected 0 to %d", name, b, n, most) end
    end
end

-- What a module keeps of its own is reordered along dimension 1, so that is the batch.
local function check_own(name, own, B)
    if type(own) ~= "table" then refuse("%s is %s, expected a table", name, describe(own)) end
    for field, x in pairs(getmetatable(own) and {} or own) do
        if kind(x) == "tensor" and x:dim() > 0 and x:size(1) ~= B then
            refuse("%s.%s has %d rows, expected %d (%s.%s: %s)", name, field, x:size(1), B, name, field, describe(x))
        end
    end
    return own
end

local Decoder = attn.module "decoder.rnn"

function Decoder:init(cfg)
    local H = cfg.hidden
    for _, name in ipairs{"inputs", "hidden", "memory", "outputs", "style", "dropout"} do self[name] = cfg[name] end
    self.context = math.type(cfg.attention.out) == "integer" and cfg.attention.out or cfg.memory
    self.luong = cfg.style == "luong"
    self.input_feeding = self.luong and cfg.input_feeding
    local extra = not self.luong and self.context or self.input_feeding and H or 0
    local width = self.luong and H or H + cfg.inputs + self.context
    self.cell = attn.layer.cell{inputs = cfg.inputs + extra, hidden = H, type = cfg.cell}
    self.attention = cfg.attention
    if self.luong then self.combine = attn.layer.linear{inputs = self.context + H, outputs = H, bias = false} end
    local maxout = cfg.readout == "maxout"
    self.readout = {maxout = maxout and attn.layer.maxout{inputs = width, outputs = H} or nil,
                    out = attn.layer.linear{inputs = maxout and H or width, outputs = cfg.outputs}}
end

-- A run of steps: memory, lengths, step, and the state as [B, hidden].
local function begin(self, y, memory, state, lengths)
    local B, H, lstm = y:size(1), self.hidden, self.cell.type == "lstm"
    expect("memory", memory, B, false, self.memory)
    check_lengths("memory_lengths", lengths, B, memory:size(2))
    local run = {memory = memory, lengths = lengths, step = 0}
    if state == nil then state = {h = attn.zeros(1, B, H, {dtype = y.dtype})} end
    if type(state) ~= "table" then
        refuse("state is %s, expected a table with h%s", describe(state), lstm and " and c" or "")
    end
    if state.c ~= nil and not lstm then refuse "state has a field c, which only cell lstm has" end
    run.h = expect("state.h", state.h, 1, B, H):squeeze(1)
    run.c = state.c and expect("state.c", state.c, 1, B, H):squeeze(1)
    if self.input_feeding then
        run.fed = state.fed and expect("state.fed", state.fed, B, H) or attn.zeros(B, H, {dtype = y.dtype})
    end
    run.step = state.step or 0
    if math.type(run.step) ~= "integer" or run.step < 0 then
        refuse("state.step is %s, expected a number of steps", describe(run.step))
    end
    if state.attention ~= nil then run.own = check_own("state.attention", state.attention, B) end
    return run
end

-- Context, and weights and whatever tensors the module gives with them.
local function attend(self, run, query)
    local B, S = query:size(1), run.memory:size(2)
    local results = table.pack(self.attention(query, run.memory, nil,
        {lengths = run.lengths, position = run.step, weights = true, state = run.own}))
    local context, weights = results[1], results[2]
    if kind(context) ~= "tensor" or context:dim() ~= 2 or context:size(1) ~= B or context:size(2) ~= self.context then
        refuse("attention returned %s as context, expected a tensor [%d, %d]", describe(context), B, self.context)
    end
    local last = results[results.n]
    run.own = nil
    if results.n > 2 and last ~= nil and kind(last) ~= "tensor" then
        run.own, results.n = check_own("the state of attention", last, B), results.n - 1
    end
    if weights ~= nil then
        local dims = kind(weights) == "tensor" and weights:dim()
        if dims ~= 2 and dims ~= 3 or weights:size(1) ~= B or weights:size(-1) ~= S then
            refuse("attention returned %s as weights, expected a tensor [%d, %d] or [%d, heads, %d]", describe(weights),
                B, S, B, S)
        end
    end
    for k = 3, results.n do
        local x = results[k]
        if kind(x) ~= "tensor" or x:dim() == 0 or x:size(1) ~= B then
            refuse("attention returned %s as result %d, expected a tensor [%d, ...]%s", describe(x), k, B,
                k == results.n and " or a table, its state" or "")
        end
    end
    return context, {n = results.n - 1, table.unpack(results, 2, results.n)}
end

-- One step of a run: y [B, inputs] -> what the readout takes, what was found.
local function advance(self, run, y)
    run.step = run.step + 1
    if self.luong then
        run.h, run.c = self.cell(self.input_feeding and attn.cat({y, run.fed}, 2) or y, run.h, run.c)
        local context, found = attend(self, run, run.h)
        local combined = self.combine(attn.cat({context, run.h}, 2)):tanh()
        run.fed = self.input_feeding and combined or nil
        return combined, found
    end
    local context, found = attend(self, run, run.h)
    run.h, run.c = self.cell(attn.cat({y, context}, 2), run.h, run.c)
    return attn.cat({run.h, y, context}, 2), found
end

local function logits(self, x)
    if self.training and self.dropout > 0 then x = x:dropout(self.dropout) end
    return self.readout.out(self.readout.maxout and self.readout.maxout(x) or x)
end

local function read(options, names) return fields.read("decoder.rnn", options or {}, names, 4) end

function Decoder:forward(y, memory, options)
    options = read(options, {{"lengths", "any"}, {"memory_lengths", "any"}, {"state", "any"}})
    expect("y", y, false, false, self.inputs)
    local T, n = y:size(2), 0
    if T == 0 then refuse("y has no steps, expected at least 1 (y: %s)", describe(y)) end
    check_lengths("lengths", options.lengths, y:size(1), T)
    local run = begin(self, y, memory, options.state, options.memory_lengths)
    local features, steps = {}, {}
    for t = 1, T do
        features[t], steps[t] = advance(self, run, y:select(2, t))
        if t > 1 and steps[t].n ~= n then
            refuse("attention returned %d results at step %d, %d before", steps[t].n + 1, run.step, n + 1)
        end
        n = steps[t].n
    end
    local all, time = {}, steps[1][1] and steps[1][1]:dim() or 2        -- [B, T, S], with heads [B, heads, T, S]
    for k = 1, n do
        local list = {}
        for t = 1, T do list[t] = steps[t][k] end
        all[k] = list[1] and attn.stack(list, math.min(time, list[1]:dim() + 1))
    end
    return logits(self, attn.stack(features, 2)), table.unpack(all, 1, n)
end

function Decoder:step(y, memory, state, options)
    options = read(options, {{"memory_lengths", "any"}})
    expect("y", y, false, self.inputs)
    local run = begin(self, y, memory, state, options.memory_lengths)
    local features, found = advance(self, run, y)
    local new = {decoder = self, h = run.h:unsqueeze(1), c = run.c and run.c:unsqueeze(1), fed = run.fed, step = run.step,
        attention = run.own}
    return logits(self, features), new, table.unpack(found, 1, found.n)
end

function Decoder:reorder(state, rows)
    if type(state) ~= "table" then refuse("state is %s, expected a table", describe(state)) end
    if kind(rows) ~= "tensor" or rows.dtype ~= "int64" or rows:dim() ~= 1 then
        refuse("rows is %s, expected int64 [M]", describe(rows))
    end
    local new = {}
    for name, value in pairs(state) do
        if name == "h" or name == "c" then new[name] = value:index_select(2, rows)      -- [1, B, hidden]
        else new[name] = search.reorder(value, rows) end
    end
    return new
end

---@param cfg table the fields of attn.decoder.rnn; attention is a module
---@return any
return function(cfg)
    cfg = fields.read("decoder.rnn", cfg, known, 3)
    if not cfg.memory then refuse "memory is missing, expected its width (an attention needs it)" end
    if type(cfg.attention.forward) ~= "function" then
        refuse "attention is a module without a method forward, expected one with the call of attn.attention"
    end
    return Decoder(cfg)
end
