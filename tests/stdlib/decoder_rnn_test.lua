-- decoder.rnn{attention = module}: a module of the script's own in place of attn.attention.
local attn, t = require "attn", require "attn.test"
local search, internal = require "attn.search", require "attn.internal"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function doubles(...) return attn.randn({...}, {dtype = "float64"}) end

local function with(fields, more)
    local out = {}
    for k, v in pairs(fields) do out[k] = v end
    for k, v in pairs(more) do out[k] = v end
    return out
end

-- attn.attention and nothing else.
local Wrap = attn.module "Wrap"
function Wrap:init(cfg) self.inner = attn.attention(with({query = 4, key = 5, value = 5}, cfg)) end
function Wrap:forward(...) return self.inner(...) end

-- Additive scores that see the sum of the weights so far (Tu et al. 2016; See et al. 2017, eq. 10 to 13); also the
-- penalty sum_j min(a_j, sum so far).
local Coverage = attn.module "Coverage"
function Coverage:init(cfg)
    self.query = attn.layer.linear{inputs = cfg.hidden, outputs = cfg.dim}
    self.key = attn.layer.linear{inputs = cfg.memory, outputs = cfg.dim, bias = false}
    self.past = attn.layer.linear{inputs = 1, outputs = cfg.dim, bias = false}
    self.v = attn.layer.linear{inputs = cfg.dim, outputs = 1, bias = false}
end
function Coverage:forward(query, memory, _, options)
    local own = options.state or {keys = self.key(memory), sum = memory:select(3, 1) * 0}
    local e = self.v((self.query(query):unsqueeze(2) + own.keys + self.past(own.sum:unsqueeze(3))):tanh()):squeeze(3)
    if options.lengths then e = e:masked_fill(~attn.mask(options.lengths, memory:size(2)), -math.huge) end
    local weights = e:softmax(2)
    local penalty = attn.minimum(weights, own.sum):sum(2)
    return weights:unsqueeze(2):matmul(memory):squeeze(2), weights, penalty, {keys = own.keys, sum = own.sum + weights}
end

local base = {inputs = 3, hidden = 4, memory = 5, outputs = 6}

-- The built-in decoder, and the same around a module, with the same parameters.
local function pair(fields, attention)
    local built = attn.decoder.rnn(with(with(base, fields), {attention = attention}))
    local own = attn.decoder.rnn(with(with(base, fields), {attention = Wrap(attention)}))
    built:to "float64"
    own:to "float64"
    local state = {}
    for name, x in pairs(built:state()) do state[name:gsub("^attention%.", "attention.inner.")] = x end
    own:load(state)
    return built, own
end

local function each(fn)
    for _, cell in ipairs{"gru", "lstm", "rnn"} do
        for _, style in ipairs{"bahdanau", "luong"} do
            for _, readout in ipairs{"linear", "maxout"} do
                for _, feeding in ipairs(style == "luong" and {true, false} or {true}) do
                    fn{cell = cell, style = style, readout = readout, input_feeding = feeding}
                end
            end
        end
    end
end

local function inputs(cell)
    local h, c = doubles(1, 3, 4):requires_grad_(true), doubles(1, 3, 4):requires_grad_(true)
    local state = {h = h, c = cell == "lstm" and c or nil}
    return doubles(3, 5, 3):requires_grad_(true), doubles(3, 4, 5):requires_grad_(true), state
end

local function coverage() return Coverage{hidden = 4, memory = 5, dim = 3} end

t.case("a module around attn.attention gives what the built-in attention gives: values, names, gradients", function()
    each(function(fields)
        local built, own = pair(fields, {score = "additive", dim = 3})
        local y, memory, state = inputs(fields.cell)
        local up, up_weights, lengths = doubles(3, 5, 6), doubles(3, 5, 4), ids{4, 0, 2}
        local found = {}
        for k, decoder in ipairs{built, own} do
            local logits, weights, more = decoder(y, memory,
                {state = state, memory_lengths = lengths, lengths = ids{5, 1, 0}})
            t.equal(more, nil)
            local total = (logits * up):sum() + (weights * up_weights):sum()
            total:backward()
            found[k] = {logits:detach(), weights:detach(), y.grad:clone(), memory.grad:clone(), state.h.grad:clone()}
            for _, x in ipairs{y, memory, state.h, state.c} do x:zero_grad() end
            local names = {}
            for name, p in decoder:named_parameters() do
                names[#names + 1] = name:gsub("attention%.inner", "attention")
                found[k][#found[k] + 1] = p.grad
            end
            found[k].names = names
        end
        t.equal(found[2].names, found[1].names)
        t.near(found[2], found[1], 1e-12)
    end)
end)

t.case("the same for heads, windows and other distributions", function()
    for _, attention in ipairs{{score = "scaled_dot", heads = 2, dim = 4, out = 7},
                               {score = "general", distribution = "sparsemax"},
                               {score = "general", window = {type = "monotonic", radius = 1}}} do
        for _, style in ipairs{"bahdanau", "luong"} do
            local wrapped = Wrap(attention)
            wrapped.out = attention.out
            local built = attn.decoder.rnn(with(base, {style = style, attention = attention}))
            local own = attn.decoder.rnn(with(base, {style = style, attention = wrapped}))
            local state = {}
            for name, x in pairs(built:state()) do state[name:gsub("^attention%.", "attention.inner.")] = x end
            own:load(state)
            local y, memory = attn.randn(3, 5, 3), attn.randn(3, 4, 5)
            local logits, weights = built(y, memory)
            local logits2, weights2 = own(y, memory)
            t.near(logits2, logits, 1e-5)
            t.near(weights2, weights, 1e-6)
        end
    end
end)

t.case("what samples: the log-probability and the probabilities come back, drawn in the same order", function()
    for _, heads in ipairs{1, 2} do
        local attention = {score = "general", distribution = "hard_sample", heads = heads, out = heads > 1 and 5 or nil}
        local built, own = pair({}, attention)
        local y, memory = doubles(3, 5, 3), doubles(3, 4, 5)
        local state = attn.random_state()
        local expected = {built(y, memory)}
        attn.random_state(state)
        local got = {own(y, memory)}
        t.equal(#got, 4)
        t.near(got, expected, 1e-12)
    end
end)

t.case("step by step equals the whole sequence, with a module that keeps a past", function()
    each(function(fields)
        local decoder = attn.decoder.rnn(with(with(base, fields), {attention = coverage()}))
        decoder:to "float64"
        local y, memory, state = inputs(fields.cell)
        local lengths = ids{4, 0, 2}
        local logits, weights, penalty = decoder(y, memory, {state = state, memory_lengths = lengths})
        t.equal(penalty.shape, {3, 5})
        t.equal(penalty:select(2, 1):totable(), {0, 0, 0})
        local now, sum = state, attn.zeros(3, 4, {dtype = "float64"})
        for k = 1, 5 do
            local one, new, a, p = decoder:step(y:select(2, k), memory, now, {memory_lengths = lengths})
            t.near(one, logits:select(2, k), 1e-12)
            t.near(a, weights:select(2, k), 1e-12)
            t.near(p, penalty:select(2, k), 1e-12)
            t.near(p, attn.minimum(a, sum):sum(2), 1e-12)
            sum, now = sum + a, new
            t.near(now.attention.sum, sum, 1e-12)
            t.equal(now.step, k)
        end
    end)
end)

t.case("gradients through a module's past", function()
    for _, style in ipairs{"bahdanau", "luong"} do
        local decoder = attn.decoder.rnn{inputs = 2, hidden = 2, memory = 3, outputs = 3, style = style, cell = "lstm",
            attention = Coverage{hidden = 2, memory = 3, dim = 2}}
        decoder:to "float64"
        local y, memory, h, c = doubles(2, 3, 2), doubles(2, 4, 3), doubles(1, 2, 2), doubles(1, 2, 2)
        t.gradient(function(y, memory, h, c)
            local logits, weights, penalty = decoder(y, memory, {memory_lengths = ids{3, 4}, state = {h = h, c = c}})
            return attn.cat({logits:flatten(1, 3), weights:flatten(1, 3), penalty:flatten(1, 2)}, 1)
        end, {y, memory, h, c})
        local good, report = attn.checkgrad(decoder, {y, memory})
        t.is_true(good, report)
    end
end)

t.case("a past makes a difference", function()
    local decoder = attn.decoder.rnn(with(base, {attention = coverage()}))
    local y, memory = attn.randn(2, 3), attn.randn(2, 4, 5)
    local _, state = decoder:step(y, memory)
    local with_past = decoder:step(y, memory, state)
    state.attention = {keys = state.attention.keys, sum = state.attention.sum * 5}
    t.is_true((decoder:step(y, memory, state) - with_past):abs():max():item() > 1e-5)
end)

t.case("reorder picks, repeats and drops rows of the module's state too", function()
    for _, style in ipairs{"bahdanau", "luong"} do
        local decoder = attn.decoder.rnn(with(base, {style = style, cell = "lstm", attention = coverage()}))
        local y, memory = attn.randn(3, 3), attn.randn(3, 4, 5)
        local _, state = decoder:step(y, memory)
        local rows = ids{3, 1, 1, 2}
        for _, picked in ipairs{decoder:reorder(state, rows), search.reorder(state, rows)} do
            t.equal(picked.attention.sum, state.attention.sum:index_select(1, rows))
            t.equal(picked.c, state.c:index_select(2, rows))
            t.equal(picked.step, 1)
            t.is_true(picked.decoder == decoder)
            local a = decoder:step(y:index_select(1, rows), memory:index_select(1, rows), picked)
            t.near(a, (decoder:step(y, memory, state)):index_select(1, rows), 1e-6)
        end
    end
end)

t.case("search finds with a module what it finds with the built-in attention: greedy, beam, sampled", function()
    for _, style in ipairs{"bahdanau", "luong"} do
        local built, own = pair({style = style, cell = "lstm"}, {score = "general"})
        local embed = attn.layer.embedding{count = 6, dim = 3}
        embed:to "float64"
        local memory, lengths = doubles(3, 4, 5), ids{4, 1, 3}
        local function run(decoder, how, more)
            attn.seed(3)
            local state = {memory = memory, lengths = lengths, hidden = {h = attn.ones(1, 3, 4, {dtype = "float64"})}}
            return how(function(last, s)
                local options = {memory_lengths = s.lengths}
                local logits, hidden, weights = decoder:step(embed(last), s.memory, s.hidden, options)
                return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden}, weights
            end, with({state = state, count = 3, max_length = 6, lengths = lengths}, more))
        end
        for _, how in ipairs{{search.greedy, {}}, {search.beam, {width = 3, nbest = 2, coverage_penalty = 0.2}},
                             {search.sample, {nbest = 2}}} do
            local a, b = run(built, how[1], how[2]), run(own, how[1], how[2])
            for i = 1, 3 do
                t.equal(#b[i], #a[i])
                for k, one in ipairs(a[i]) do
                    t.equal(b[i][k].ids, one.ids)
                    t.near(b[i][k].score, one.score, 1e-9)
                    if one.weights then t.near(b[i][k].weights, one.weights, 1e-9) end
                end
            end
        end
    end
end)

t.case("beam search carries the past of each hypothesis: its weights add up to its sum", function()
    local decoder = attn.decoder.rnn(with(base, {attention = coverage()}))
    local embed = attn.layer.embedding{count = 6, dim = 3}
    local memory = attn.randn(2, 4, 5)
    local seen = 0
    search.beam(function(last, s)
        local logits, hidden, weights = decoder:step(embed(last), s.memory, s.hidden)
        if s.sum then
            t.near(hidden.attention.sum, s.sum + weights, 1e-6)
            seen = seen + 1
        end
        return logits * 3, {memory = s.memory, hidden = hidden, sum = (s.sum or 0) + weights}, weights
    end, {state = {memory = memory}, count = 2, width = 4, max_length = 6})
    t.is_true(seen > 1)
end)

t.case("dropout of the readout: the same mask as the built-in, off in eval; the module is switched with it", function()
    local built, own = pair({dropout = 0.5}, {score = "general"})
    local y, memory = doubles(3, 5, 3), doubles(3, 4, 5)
    local function run(decoder)
        attn.seed(9)
        return (decoder(y, memory))
    end
    t.near(run(own), run(built), 1e-12)
    own:eval()
    built:eval()
    t.equal(own.attention.training, false)
    t.near(run(own), run(built), 1e-12)
    t.is_true(own:train().attention.inner.training)
end)

t.case("saved and loaded, printed and converted as any module", function()
    local decoder = attn.decoder.rnn(with(base, {attention = coverage()}))
    t.is_true(tostring(decoder):find("^decoder.rnn") ~= nil)
    t.is_true(tostring(decoder):find("attention: Coverage", 1, true) ~= nil)
    local other = attn.decoder.rnn(with(base, {attention = coverage()}))
    other:load(decoder:state())
    local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 5)
    t.equal((other(y, memory)), (decoder(y, memory)))
end)

local function returning(fn, more)
    local Returns = attn.module "Returns"
    function Returns:forward(query, memory, _, options)
        return fn(query, memory, options)
    end
    return attn.decoder.rnn(with(with(base, more or {}), {attention = Returns()}))
end

t.case("a context of another width, where the module says so; weights may be left out", function()
    local Narrow = attn.module "Narrow"
    function Narrow:init() self.out = 2 end
    function Narrow:forward(query) return query:narrow(2, 1, 2) end
    for _, style in ipairs{"bahdanau", "luong"} do
        local decoder = attn.decoder.rnn(with(base, {style = style, attention = Narrow()}))
        local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 5)
        t.equal(table.pack(decoder(y, memory))[1].shape, {2, 3, 6})
        t.equal((select(2, decoder(y, memory))), nil)
        t.equal((decoder:step(y:select(2, 1), memory)).shape, {2, 6})
    end
end)

t.case("errors say what the module returned and what was expected", function()
    local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 5)
    local c, w = attn.zeros(2, 5), attn.zeros(2, 4)
    t.raises("decoder.rnn: attention returned float32 [2, 4] as context, expected a tensor [2, 5]",
        returning(function() return attn.zeros(2, 4), w end), y, memory)
    t.raises("decoder.rnn: attention returned nil as context", returning(function() end), y, memory)
    t.raises("decoder.rnn: attention returned float32 [2, 3] as weights, expected a tensor [2, 4] or [2, heads, 4]",
        returning(function() return c, attn.zeros(2, 3) end), y, memory)
    t.raises("decoder.rnn: attention returned 5 as result 3, expected a tensor [2, ...]",
        returning(function() return c, w, 5, {} end), y, memory)
    t.raises("decoder.rnn: the state of attention is 5, expected a table", returning(function() return c, w, 5 end),
        y, memory)
    t.raises("decoder.rnn: the state of attention.sum has 3 rows, expected 2 (the state of attention.sum: float32",
        returning(function() return c, w, {sum = attn.zeros(3, 4)} end), y, memory)
    local calls = 0
    t.raises("decoder.rnn: attention returned 2 results at step 2, 3 before", returning(function()
        calls = calls + 1
        if calls == 1 then return c, w, attn.zeros(2) end
        return c, w
    end), y, memory)
    t.raises("decoder.rnn: attention is a module without a method forward", attn.decoder.rnn,
        with(base, {attention = attn.module "Nothing"()}))
end)

t.case("errors name argument, field and state", function()
    local decoder = attn.decoder.rnn(with(base, {style = "luong", attention = coverage()}))
    local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 5)
    local module = coverage()
    t.raises("decoder.rnn: memory is missing, expected its width (an attention needs it)", attn.decoder.rnn,
        {inputs = 3, hidden = 4, outputs = 6, attention = module})
    t.raises("decoder.rnn: unknown field 'hiden'", attn.decoder.rnn, with(base, {hiden = 4, attention = module}))
    t.raises("decoder.rnn: style is 'luon', expected one of bahdanau, luong (did you mean 'luong'?)", attn.decoder.rnn,
        with(base, {style = "luon", attention = module}))
    t.raises("decoder.rnn: y is float32 [2, 3, 2], expected a tensor [?, ?, 3]", decoder, attn.randn(2, 3, 2), memory)
    t.raises("decoder.rnn: y has no steps, expected at least 1", decoder, attn.zeros(2, 0, 3), memory)
    t.raises("decoder.rnn: memory is nil, expected a tensor [2, ?, 5]", decoder, y)
    t.raises("decoder.rnn: memory is float32 [3, 4, 5], expected a tensor [2, ?, 5]", decoder, y, attn.randn(3, 4, 5))
    t.raises("decoder.rnn: memory_lengths[2] is 5, expected 0 to 4", decoder, y, memory, {memory_lengths = ids{1, 5}})
    t.raises("decoder.rnn: lengths[1] is 4, expected 0 to 3", decoder, y, memory, {lengths = ids{4, 1}})
    t.raises("decoder.rnn: lengths is float32, expected int64", decoder, y, memory, {lengths = attn.ones(2)})
    t.raises("decoder.rnn: unknown field 'mask'", decoder, y, memory, {mask = 1})
    t.raises("decoder.rnn: state.h is float32 [1, 3, 4], expected a tensor [1, 2, 4]", decoder, y, memory,
        {state = {h = attn.randn(1, 3, 4)}})
    t.raises("decoder.rnn: state has a field c, which only cell lstm has", decoder, y, memory,
        {state = {h = attn.randn(1, 2, 4), c = attn.randn(1, 2, 4)}})
    local h = attn.randn(1, 2, 4)
    t.raises("decoder.rnn: state.fed is float32 [2, 3], expected a tensor [2, 4]", decoder, y, memory,
        {state = {h = h, fed = attn.randn(2, 3)}})
    t.raises("decoder.rnn: state.step is -1, expected a number of steps", decoder, y, memory,
        {state = {h = h, step = -1}})
    t.raises("decoder.rnn: state.attention.sum has 3 rows, expected 2", decoder, y, memory,
        {state = {h = h, attention = {sum = attn.zeros(3, 4)}}})
    t.raises("decoder.rnn: state is a string, expected a table", decoder.step, decoder, y:select(2, 1), memory, "state")
    t.raises("decoder.rnn: rows is float32 [2], expected int64 [M]", decoder.reorder, decoder, {h = h}, attn.ones(2))
    t.raises("decoder.rnn: state is nil, expected a table", decoder.reorder, decoder)
end)

t.case("memory that runs out is an error, and the decoder goes on afterwards", function()
    local decoder = attn.decoder.rnn(with(base, {attention = coverage()}))
    local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 5)
    local expected = decoder(y, memory):totable()
    for n = 1, 60, 3 do
        internal.fail_allocation(n, true)
        local fine, message = pcall(decoder, y, memory)
        internal.fail_allocation(0)
        t.is_true(fine or tostring(message):find "memory" ~= nil, tostring(message))
    end
    t.equal((decoder(y, memory)):totable(), expected)
end)
