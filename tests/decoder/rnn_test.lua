local attn, t = require "attn", require "attn.test"
local cells, styles = {"gru", "lstm", "rnn"}, {"bahdanau", "luong"}
local scores = {{score = "additive", dim = 3}, {score = "general"}, {score = "dot"}}
-- the same sum, but no longer an attention that is fused
local EVERYWHERE = {type = "band", left = 100, right = 100}

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function doubles(...) return attn.randn({...}, {dtype = "float64"}) end

local function with(fields, more)
    local out = {}
    for k, v in pairs(fields) do out[k] = v end
    for k, v in pairs(more) do out[k] = v end
    return out
end

local function make(fields)
    local decoder = attn.decoder.rnn(with({inputs = 3, hidden = 4, memory = 4, outputs = 5}, fields))
    decoder:to "float64"
    return decoder
end

local function names_of(layer)
    local names, values = {}, {}
    for name, value in layer:named_parameters() do
        names[#names + 1], values[#values + 1] = name, value
    end
    return names, values
end

-- Every cell, style, score and feeding, with and without lengths.
local function each(fn)
    for _, cell in ipairs(cells) do
        for _, style in ipairs(styles) do
            for _, attention in ipairs(scores) do
                for _, feeding in ipairs(style == "luong" and {true, false} or {true}) do
                    for _, lengths in ipairs{false, {4, 0, 2}} do
                        local fields = {cell = cell, style = style, attention = attention, input_feeding = feeding}
                        fn(fields, lengths and ids(lengths) or nil)
                    end
                end
            end
        end
    end
end

-- Inputs of three rows, 5 steps of y, 4 places of memory, and a state for a cell.
local function inputs(cell)
    local y, memory = doubles(3, 5, 3):requires_grad_(true), doubles(3, 4, 4):requires_grad_(true)
    local h, c = doubles(1, 3, 4):requires_grad_(true), doubles(1, 3, 4):requires_grad_(true)
    return y, memory, {h = h, c = cell == "lstm" and c or nil}
end

local function gradients(decoder, y, memory, state)
    local all = {y.grad:clone(), memory.grad:clone(), state.h.grad:clone(), state.c and state.c.grad:clone() or false}
    for _, p in ipairs(decoder:parameters()) do all[#all + 1] = p.grad and p.grad:clone() or false end
    for _, x in ipairs{y, memory, state.h, state.c} do x:zero_grad() end
    decoder:zero_grad()
    return all
end

t.case("fused equals composed, values and gradients", function()
    each(function(fields, lengths)
        local fused = make(fields)
        local composed = make(with(fields, {attention = with(fields.attention, {window = EVERYWHERE})}))
        composed:load(fused:state())
        local y, memory, state = inputs(fields.cell)
        local up, up_weights = doubles(3, 5, 5), doubles(3, 5, 4)
        local results = {}
        for k, decoder in ipairs{fused, composed} do
            local logits, weights = decoder(y, memory, {memory_lengths = lengths, state = state})
            local loss = (logits * up):sum() + (weights * up_weights):sum()
            loss:backward()
            results[k] = {logits:detach(), weights:detach(), gradients(decoder, y, memory, state)}
        end
        t.near(results[1], results[2], 1e-12)
    end)
end)

t.case("step by step equals teacher forcing, and its gradients do", function()
    each(function(fields, lengths)
        local decoder = make(with(fields, {readout = "maxout"}))
        local y, memory, state = inputs(fields.cell)
        local up = doubles(3, 5, 5)
        local logits, weights = decoder(y, memory, {memory_lengths = lengths, state = state})
        local loss = (logits * up):sum()
        loss:backward()
        local expected = gradients(decoder, y, memory, state)
        local now, one, a, total = state, nil, nil, 0
        for k = 1, 5 do
            one, now, a = decoder:step(y:select(2, k), memory, now, {memory_lengths = lengths})
            t.near(one, logits:select(2, k), 1e-12)
            t.near(a, weights:select(2, k), 1e-12)
            t.equal(now.step, k)
            total = total + (one * up:select(2, k)):sum()
        end
        total:backward()
        t.near(gradients(decoder, y, memory, state), expected, 1e-12)
    end)
end)

t.case("gradients against finite differences", function()
    for _, fields in ipairs{
        {cell = "gru", style = "bahdanau", attention = scores[1]},
        {cell = "lstm", style = "bahdanau", attention = scores[2], readout = "maxout"},
        {cell = "lstm", style = "luong", attention = scores[1]},
        {cell = "rnn", style = "luong", attention = scores[3]},
        {cell = "gru", style = "luong", attention = scores[2], input_feeding = false},
        {cell = "gru", style = "bahdanau"},
        {cell = "lstm", style = "luong"},
    } do
        local decoder = make(fields)
        local names, values = names_of(decoder)
        table.move(values, 1, #values, 5)
        values[1], values[2] = doubles(2, 3, 3), doubles(2, 4, 4)
        values[3], values[4] = doubles(1, 2, 4), doubles(1, 2, 4)
        t.gradient(function(y, memory, h, c, ...)
            for k, name in ipairs(names) do decoder[name] = select(k, ...) end
            local state = {h = h, c = fields.cell == "lstm" and c or nil}
            return decoder(y, memory, {memory_lengths = ids{3, 4}, state = state})
        end, values)
    end
end)

t.case("gradients add to what is there", function()
    for _, style in ipairs(styles) do
        local decoder = make{cell = "lstm", style = style, attention = scores[1]}
        local y, memory, state = inputs "lstm"
        local function pass() (decoder(y, memory, {state = state})):sum():backward() end
        pass()
        local once = {}
        local all = {y, memory, state.h, state.c, table.unpack(decoder:parameters())}
        for k, p in ipairs(all) do once[k] = p.grad:clone() end
        pass()
        for k, p in ipairs(all) do t.near(p.grad, once[k] * 2, 1e-13) end
    end
end)

t.case("without attention the memory is ignored and there are no weights", function()
    for _, style in ipairs(styles) do
        local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, outputs = 5, style = style}
        local y, state = attn.randn(2, 3, 3), {h = attn.randn(1, 2, 4)}
        local results = table.pack(decoder(y, nil, {state = state}))
        t.equal(results.n, 1)
        t.equal((decoder(y, attn.randn(2, 7, 9), {state = state})), results[1])
        t.equal((decoder(y, {state = state})), results[1])
        local logits, new, weights = decoder:step(y:select(2, 1), nil, state)
        t.near(logits, results[1]:select(2, 1), 1e-6)
        t.equal(weights, nil)
        t.equal(new.h.shape, {1, 2, 4})
        t.equal(decoder["combine.weight"], nil)
    end
end)

t.case("an empty memory gives zero weights and zero context, no NaN", function()
    for _, style in ipairs(styles) do
        for _, window in ipairs{false, EVERYWHERE} do
            local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 4, outputs = 5, style = style,
                attention = {score = "additive", dim = 3, window = window or nil}}
            local memory = attn.randn(2, 3, 4):requires_grad_(true)
            local logits, weights = decoder(attn.randn(2, 4, 3), memory, {memory_lengths = ids{0, 3}})
            t.equal(weights[1]:totable(), attn.zeros(4, 3):totable())
            logits:sum():backward()
            t.equal(memory.grad[1]:totable(), attn.zeros(3, 4):totable())
            for _, p in ipairs(decoder:parameters()) do
                t.is_true(not p.grad or p.grad:sum():item() == p.grad:sum():item())
            end
            t.equal(logits:sum():item(), logits:sum():item())
        end
    end
end)

t.case("what stands beyond a memory's length does not matter", function()
    local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 4, outputs = 5,
        attention = {score = "additive", dim = 3}}
    local y, memory = attn.randn(2, 4, 3), attn.randn(2, 5, 4)
    local logits = decoder(y, memory, {memory_lengths = ids{2, 5}})
    memory[{1, {3, 5}}] = 7
    t.equal((decoder(y, memory, {memory_lengths = ids{2, 5}})), logits)
end)

t.case("a row of a batch is a batch of one", function()
    for _, style in ipairs(styles) do
        local decoder = attn.decoder.rnn{inputs = 5, hidden = 33, memory = 20, outputs = 11, style = style,
            readout = "maxout", attention = {score = "additive", dim = 17}}
        local y, memory, lengths = attn.randn(64, 6, 5), attn.randn(64, 9, 20), {}
        for b = 1, 64 do lengths[b] = b % 10 end
        local logits, weights = decoder(y, memory, {memory_lengths = ids(lengths)})
        for b = 1, 64, 7 do
            local one, a = decoder(y[{{b, b}}], memory[{{b, b}}], {memory_lengths = ids{lengths[b]}})
            t.near(one[1], logits[b], 1e-6)
            t.near(a[1], weights[b], 1e-6)
        end
    end
end)

t.case("the number of threads changes no bit", function()
    local before = attn.threads()
    local function results(threads, style)
        attn.threads(threads)
        attn.seed(3)
        local decoder = attn.decoder.rnn{inputs = 6, hidden = 24, memory = 30, outputs = 40, style = style,
            readout = "maxout", dropout = 0.3, attention = {score = "additive", dim = 17}}
        local y, memory = attn.randn(50, 7, 6):requires_grad_(true), attn.randn(50, 8, 30):requires_grad_(true)
        local logits = decoder(y, memory, {memory_lengths = attn.randint(0, 8, 50)})
        logits:sum():backward()
        local all = {logits:totable(), y.grad:totable(), memory.grad:totable()}
        for _, p in ipairs(decoder:parameters()) do all[#all + 1] = p.grad:totable() end
        return all
    end
    for _, style in ipairs(styles) do
        local one = results(1, style)
        for _, threads in ipairs{2, 3} do t.equal(results(threads, style), one) end
    end
    attn.threads(before)
end)

t.case("a decoder takes an attention layer and shares its parameters", function()
    local attend = attn.attention{query = 4, key = 6, score = "additive", dim = 3}
    local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 6, outputs = 5, attention = attend}
    t.equal(decoder.attention == attend, true)
    t.equal(decoder["attention.score.v"]:totable(), attend["score.v"]:totable())
    t.equal((decoder(attn.randn(2, 3, 3), attn.randn(2, 4, 6))).shape, {2, 3, 5})
end)

t.case("attentions that are not fused: heads, windows, other distributions, step by step too", function()
    for _, style in ipairs(styles) do
        for _, attention in ipairs{
            {score = "scaled_dot", heads = 2, dim = 4}, {score = "additive", dim = 3, distribution = "sparsemax"},
            {score = "general", window = {type = "monotonic", radius = 1}}, {score = "concat", dim = 3}, {score = "cosine"},
        } do
            local decoder = make{style = style, attention = attention}
            local y, memory = doubles(2, 4, 3), doubles(2, 5, 4)
            local logits, weights = decoder(y, memory, {memory_lengths = ids{3, 5}})
            local heads = attention.heads
            t.equal(weights.shape, heads and {2, heads, 4, 5} or {2, 4, 5})
            local state, one, a
            for k = 1, 4 do
                one, state, a = decoder:step(y:select(2, k), memory, state, {memory_lengths = ids{3, 5}})
                t.near(one, logits:select(2, k), 1e-12)
                t.near(a, weights:select(heads and 3 or 2, k), 1e-12)
            end
        end
    end
end)

t.case("reorder picks, repeats and drops rows", function()
    for _, style in ipairs(styles) do
        local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 4, outputs = 5, cell = "lstm", style = style,
            attention = {score = "additive", dim = 3}}
        local y, memory = attn.randn(3, 3), attn.randn(3, 6, 4)
        local _, state = decoder:step(y, memory, nil)
        local rows = ids{3, 1, 1, 2}
        local picked = decoder:reorder(state, rows)
        local a = decoder:step(y:index_select(1, rows), memory:index_select(1, rows), picked)
        local b = decoder:step(y, memory, state)
        t.near(a, b:index_select(1, rows), 1e-6)
        t.equal(picked.step, 1)
        t.equal(picked.decoder == decoder, true)
        t.equal(decoder:reorder(state, ids{1, 2, 3}).h:totable(), state.h:totable())
        t.equal(decoder:reorder(state, ids{}).h.shape, {1, 0, 4})
        t.raises("index_select", decoder.reorder, decoder, state, ids{4})
    end
end)

t.case("hard attention learns: the log-probability of the draws comes back, whole and step by step", function()
    for _, style in ipairs(styles) do
        for _, feeding in ipairs(style == "luong" and {true, false} or {true}) do
            for _, heads in ipairs{1, 2} do
                local decoder = make{style = style, input_feeding = feeding,
                    attention = {score = "general", distribution = "hard_sample", heads = heads}}
                local y, memory, lengths = doubles(3, 4, 3), doubles(3, 6, 4), ids{6, 2, 4}
                local state = attn.random_state()
                local logits, weights, logp, p, more = decoder(y, memory, {memory_lengths = lengths})
                t.equal(more, nil)
                t.equal(logp.shape, heads == 1 and {3, 4} or {3, 2, 4})
                t.equal(p.shape, weights.shape)
                t.near(logp, (weights * p):sum(-1):log(), 1e-12)
                for k = 3, 4 do         -- of the log-probability, of the probabilities
                    local from = select(k, decoder(y, memory, {memory_lengths = lengths}))
                    decoder:zero_grad();
                    (from * from):sum():backward()
                    t.is_true(decoder.attention["score.weight"].grad:abs():sum():item() > 1e-6)
                end
                if feeding then         -- drawn in the same order
                    attn.random_state(state)
                    local hidden
                    for k = 1, 4 do
                        local one, new, a, l, q = decoder:step(y:select(2, k), memory, hidden, {memory_lengths = lengths})
                        hidden = new
                        t.near(one, logits:select(2, k), 1e-12)
                        t.equal(a, weights:select(heads == 1 and 2 or 3, k))
                        t.near(l, logp:select(heads == 1 and 2 or 3, k), 1e-12)
                        t.near(q, p:select(heads == 1 and 2 or 3, k), 1e-12)
                    end
                end
                decoder:eval()
                local _, taken, best, from = decoder(y, memory, {memory_lengths = lengths})
                t.near(best, from:max(-1):log(), 1e-12)
                t.equal((decoder(y, memory, {memory_lengths = lengths})), (decoder(y, memory, {memory_lengths = lengths})))
                t.equal((taken * from):sum(-1), (from:max(-1)))
            end
        end
    end
    local soft = make{attention = {score = "general"}}
    t.equal(select("#", soft(doubles(1, 2, 3), doubles(1, 3, 4))), 2)
end)

t.case("REINFORCE teaches hard attention where to look", function()
    attn.seed(5)
    local decoder = attn.decoder.rnn{inputs = 2, hidden = 4, memory = 5, outputs = 2,
        attention = {score = "general", distribution = "hard_sample"}}
    local attention = {}
    for name, p in decoder:named_parameters() do
        if name:find "^attention" then attention[#attention + 1] = p end
    end
    local opt = attn.optim.adam{params = attention, lr = 0.05}
    local y, memory = attn.randn(64, 1, 2), attn.eye(5):unsqueeze(1):expand(64, 5, 5)
    local state = {h = attn.randn(1, 64, 4)}
    local function at_third() return select(4, decoder(y, memory, {state = state})):narrow(3, 3, 1):mean():item() end
    local before = at_third()
    for _ = 1, 60 do
        local _, weights, logp = decoder(y, memory, {state = state})
        local reward = weights:detach():narrow(3, 3, 1):squeeze(3)
        opt:zero_grad();
        (-(reward - reward:mean()) * logp):mean():backward()
        opt:step()
    end
    t.is_true(at_third() > before + 0.1)
end)

t.case("keys are prepared once", function()
    local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 6, outputs = 5,
        attention = {score = "additive", dim = 3}}
    local y, memory = attn.randn(2, 3), attn.randn(2, 4, 6)
    local _, state = decoder:step(y, memory, nil)
    t.equal(state.keys.shape, {2, 4, 3})
    local _, next_ = decoder:step(y, memory, state)
    t.equal(next_.keys:totable(), state.keys:totable())
end)

t.case("dropout is one mask over the readout's input, in training, from the seed", function()
    local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 4, outputs = 5, dropout = 0.5,
        attention = {score = "dot"}}
    local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 4)
    local function run()
        attn.seed(9)
        return (decoder(y, memory)):totable()
    end
    local trained = run()
    t.equal(run(), trained)
    decoder:eval()
    t.equal((decoder(y, memory)):totable(), run())
    t.is_true(attn.tensor(run()):eq(attn.tensor(trained)):sum():item() < 30)
    local layer = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 4, outputs = 5, dropout = 0.5,
        attention = {score = "dot", window = EVERYWHERE}}
    layer:load(decoder:state())
    attn.seed(9)
    t.near((layer(y, memory)), trained, 1e-6)
end)

t.case("parameters have the names and shapes of the contract", function()
    local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 6, outputs = 5, cell = "lstm", style = "luong",
        readout = "maxout", attention = {score = "additive", dim = 2}}
    local names, values = names_of(decoder)
    local shapes = {}
    for k, name in ipairs(names) do shapes[name] = values[k].shape end
    t.equal(shapes, {
        ["cell.weight_ih"] = {16, 7}, ["cell.weight_hh"] = {16, 4}, ["cell.bias_ih"] = {16}, ["cell.bias_hh"] = {16},
        ["attention.score.weight_query"] = {2, 4}, ["attention.score.weight_key"] = {2, 6},
        ["attention.score.bias"] = {2}, ["attention.score.v"] = {2}, ["combine.weight"] = {4, 10},
        ["readout.maxout.weight"] = {8, 4},
        ["readout.maxout.bias"] = {8}, ["readout.out.weight"] = {5, 4}, ["readout.out.bias"] = {5}})
    local other = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 6, outputs = 5,
        attention = {score = "additive", dim = 2}}
    t.equal(other["cell.weight_ih"].shape, {12, 9})
    t.equal(other["readout.out.weight"].shape, {5, 13})
end)

t.case("errors name the argument, what came and what was expected", function()
    local decoder = attn.decoder.rnn{inputs = 3, hidden = 4, memory = 6, outputs = 5, style = "luong",
        attention = {score = "additive", dim = 2}}
    local y, memory = attn.randn(2, 3, 3), attn.randn(2, 4, 6)
    t.raises("decoder.rnn: y has width 2, expected 3 (y: float32 [2, 3, 2])", decoder, attn.randn(2, 3, 2), memory)
    t.raises("decoder.rnn: y has no steps, expected at least 1 (y: float32 [2, 0, 3])", decoder,
        attn.zeros(2, 0, 3), memory)
    t.raises("decoder.rnn: memory is missing, expected a tensor", decoder, y)
    t.raises("decoder.rnn: memory has width 5, expected 6", decoder, y, attn.randn(2, 4, 5))
    t.raises("decoder.rnn: memory has 3 rows, but y has 2", decoder, y, attn.randn(3, 4, 6))
    t.raises("decoder.rnn: memory_lengths[2] is 5, expected 0 to 4", decoder, y, memory, {memory_lengths = ids{1, 5}})
    t.raises("decoder.rnn: lengths[1] is 4, expected 0 to 3", decoder, y, memory, {lengths = ids{4, 1}})
    t.raises("decoder.rnn: state.h has shape [1, 3, 4], expected [1, 2, 4]", decoder, y, memory,
        {state = {h = attn.randn(1, 3, 4)}})
    t.raises("decoder.rnn: state has no field h", decoder, y, memory, {state = {}})
    local h = attn.randn(1, 2, 4)
    t.raises("decoder.rnn: state.fed has width 3, expected 4", decoder, y, memory,
        {state = {h = h, fed = attn.randn(2, 3)}})
    t.raises("decoder.rnn: state.keys has 1 rows, expected 2", decoder, y, memory,
        {state = {h = h, keys = attn.randn(1, 4, 2)}})
    t.raises("decoder.rnn: state.keys are of 3 places, but memory has 4", decoder, y, memory,
        {state = {h = h, keys = attn.randn(2, 3, 2)}})
    t.raises("decoder.rnn: state.keys has width 3, expected 2", decoder, y, memory,
        {state = {h = h, keys = attn.randn(2, 4, 3)}})
    t.raises("decoder.rnn: state.step is 'two'", decoder, y, memory, {state = {h = h, step = "two"}})
    t.raises("decoder.rnn: rows is float32 [2], expected int64 [M]", decoder.reorder, decoder, {h = h}, attn.randn(2))
    t.raises("decoder.rnn: memory is missing, expected its width", attn.decoder.rnn,
        {inputs = 3, hidden = 4, outputs = 5, attention = {score = "dot"}})
    t.raises("decoder.rnn: attention is 'dot', expected a table of its fields, an attention layer or a module",
        attn.decoder.rnn,
        {inputs = 3, hidden = 4, memory = 4, outputs = 5, attention = "dot"})
    t.raises("decoder.rnn: attention.query is 5, expected 4 (hidden)", attn.decoder.rnn,
        {inputs = 3, hidden = 4, memory = 5, outputs = 5, attention = attn.attention{query = 5, score = "dot"}})
    t.raises("decoder.rnn: attention is layer.linear, expected a table of its fields, an attention layer or a module",
        attn.decoder.rnn,
        {inputs = 3, hidden = 4, memory = 5, outputs = 5, attention = attn.layer.linear{inputs = 4, outputs = 4}})
end)
