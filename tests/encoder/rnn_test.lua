local attn, t = require "attn", require "attn.test"
local cells = {"gru", "lstm", "rnn"}

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function doubles(...) return attn.randn({...}, {dtype = "float64"}) end

local function names_of(layer)
    local names, values = {}, {}
    for name, value in layer:named_parameters() do
        names[#names + 1], values[#values + 1] = name, value
    end
    return names, values
end

-- One step of a cell by its definition, from ordinary operations.
local function step(layer, suffix, cell, x, h, c)
    local H = layer.hidden
    local gi = x:matmul(layer["weight_ih" .. suffix]:transpose(1, 2)) + layer["bias_ih" .. suffix]
    local gh = h:matmul(layer["weight_hh" .. suffix]:transpose(1, 2)) + layer["bias_hh" .. suffix]
    local function gate(v, k) return v:narrow(2, (k - 1) * H + 1, H) end
    if cell == "rnn" then return (gi + gh):tanh() end
    if cell == "gru" then
        local r, z = (gate(gi, 1) + gate(gh, 1)):sigmoid(), (gate(gi, 2) + gate(gh, 2)):sigmoid()
        local n = (gate(gi, 3) + r * gate(gh, 3)):tanh()
        return (1 - z) * n + z * h
    end
    local all = gi + gh
    c = gate(all, 2):sigmoid() * c + gate(all, 1):sigmoid() * gate(all, 3):tanh()
    return gate(all, 4):sigmoid() * c:tanh(), c
end

t.case("each cell is its definition, a row at a time, in both directions", function()
    local B, T, I, H, lengths = 3, 5, 3, 4, {5, 0, 2}
    for _, cell in ipairs(cells) do
        local encoder = attn.encoder.rnn{inputs = I, hidden = H, cell = cell, bidirectional = true}
        encoder:to "float64"
        local x, h0, c0 = doubles(B, T, I), doubles(2, B, H), doubles(2, B, H)
        local state = {h = h0, c = cell == "lstm" and c0 or nil}
        local y, last = encoder(x, {lengths = ids(lengths), state = state})
        for b = 1, B do
            for d, suffix in ipairs{"_l1", "_l1_reverse"} do
                local h, c = h0[{{d, d}, b}], c0[{{d, d}, b}]
                local expected = attn.zeros(T, H, {dtype = "float64"})
                for s = 1, lengths[b] do
                    local at = d == 1 and s or lengths[b] + 1 - s
                    h, c = step(encoder, suffix, cell, x[{b, {at, at}}], h, c)
                    attn.no_grad(function() expected[at] = h[1] end)
                end
                t.near(y[{b, {}, {(d - 1) * H + 1, d * H}}], expected, 1e-13)
                t.near(last.h[d][b], h[1], 1e-13)
                if cell == "lstm" then t.near(last.c[d][b], c[1], 1e-13) end
            end
        end
    end
end)

t.case("gradients of inputs, states and parameters, with lengths or without", function()
    for _, cell in ipairs(cells) do
        for _, lengths in ipairs{false, {4, 1, 0}} do
            local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, cell = cell, layers = 2, bidirectional = true}
            encoder:to "float64"
            local names, values = names_of(encoder)
            table.move(values, 1, #values, 4)
            values[1], values[2], values[3] = doubles(3, 4, 2), doubles(4, 3, 3), doubles(4, 3, 3)
            t.gradient(function(x, h, c, ...)
                for k, name in ipairs(names) do encoder[name] = select(k, ...) end
                local state = {h = h, c = cell == "lstm" and c or nil}
                local y, last = encoder(x, {lengths = lengths and ids(lengths) or nil, state = state})
                return y, last.h, last.c
            end, values)
        end
    end
end)

t.case("gradients add to what is there", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3}
    encoder:to "float64"
    local x, h = doubles(2, 3, 2):requires_grad_(true), doubles(1, 2, 3):requires_grad_(true)
    local function pass()
        local y, last = encoder(x, {state = {h = h}, lengths = ids{3, 2}})
        local loss = y:sum() + last.h:sum()
        loss:backward()
    end
    pass()
    local once = {}
    for k, p in ipairs{x, h, table.unpack(encoder:parameters())} do once[k] = p.grad:clone() end
    pass()
    for k, p in ipairs{x, h, table.unpack(encoder:parameters())} do t.near(p.grad, once[k] * 2, 1e-14) end
end)

t.case("outputs are zero beyond the length and what stands there in x does not matter", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, bidirectional = true}
    local x = attn.randn(3, 4, 2)
    local y, last = encoder(x, {lengths = ids{2, 4, 0}})
    local other = x:clone()
    other[{1, {3, 4}}] = 0 / 0
    other[3] = math.huge
    other:requires_grad_(true)
    local z, end_ = encoder(other, {lengths = ids{2, 4, 0}})
    t.equal(z, y)
    t.equal(end_.h, last.h)
    t.equal(y[{1, {3, 4}}]:totable(), attn.zeros(2, 6):totable())
    t.equal(y[3]:totable(), attn.zeros(4, 6):totable())
    z:sum():backward()
    t.equal(other.grad[{1, {3, 4}}]:totable(), attn.zeros(2, 2):totable())
    t.equal(other.grad[3]:totable(), attn.zeros(4, 2):totable())
end)

t.case("a row of length 0 keeps its state and hands the state's gradient on", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, cell = "lstm"}
    local h, c = attn.randn(1, 2, 3):requires_grad_(true), attn.randn(1, 2, 3):requires_grad_(true)
    local _, last = encoder(attn.randn(2, 4, 2), {lengths = ids{0, 3}, state = {h = h, c = c}})
    t.equal(last.h[1][1], h[1][1])
    t.equal(last.c[1][1], c[1][1])
    last.h:sum():backward()
    t.equal(h.grad[1][1]:totable(), {1, 1, 1})
    t.equal(c.grad[1][1]:totable(), {0, 0, 0})
end)

t.case("an lstm starts from a zero cell when the state has only h", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, cell = "lstm"}
    local x, h = attn.randn(2, 4, 2), attn.randn(1, 2, 3)
    t.equal((encoder(x, {state = {h = h}})), (encoder(x, {state = {h = h, c = attn.zeros(1, 2, 3)}})))
end)

t.case("a row of a batch is a batch of one", function()
    for _, cell in ipairs(cells) do
        local encoder = attn.encoder.rnn{inputs = 5, hidden = 33, cell = cell, bidirectional = true}
        local x, lengths = attn.randn(64, 7, 5), {}
        for b = 1, 64 do lengths[b] = b % 8 end
        local y, last = encoder(x, {lengths = ids(lengths)})
        for b = 1, 64, 9 do
            local z, own = encoder(x[{{b, b}}], {lengths = ids{lengths[b]}})
            t.near(z[1], y[b], 1e-6)
            t.near(own.h[2][1], last.h[2][b], 1e-6)
        end
    end
end)

t.case("more rows than blocks of work", function()
    local encoder = attn.encoder.rnn{inputs = 1, hidden = 2, bidirectional = true}
    encoder:to "float64"
    local x = doubles(1100, 3, 1):requires_grad_(true)
    local y = encoder(x)
    y:sum():backward()
    local z = x[{{1090, 1100}}]:detach():clone():requires_grad_(true)
    local part = encoder(z)
    part:sum():backward()
    t.near(part, y[{{1090, 1100}}], 1e-14)
    t.near(z.grad, x.grad[{{1090, 1100}}], 1e-14)
end)

t.case("the number of threads changes no bit", function()
    local before = attn.threads()
    local function results(threads)
        attn.threads(threads)
        attn.seed(3)
        local encoder = attn.encoder.rnn{inputs = 6, hidden = 24, layers = 2, bidirectional = true, dropout = 0.2}
        local x = attn.randn(50, 9, 6):requires_grad_(true)
        local lengths = attn.randint(0, 9, 50)
        local y = encoder(x, {lengths = lengths})
        y:sum():backward()
        local all = {y:totable(), x.grad:totable()}
        for _, p in ipairs(encoder:parameters()) do all[#all + 1] = p.grad:totable() end
        return all
    end
    local one = results(1)
    for _, threads in ipairs{2, 3} do t.equal(results(threads), one) end
    attn.threads(before)
end)

t.case("dropout stands between layers, in training, from the seed", function()
    local encoder = attn.encoder.rnn{inputs = 3, hidden = 8, layers = 2, dropout = 0.5}
    local x = attn.randn(2, 4, 3)
    local function run()
        attn.seed(5)
        return (encoder(x)):totable()
    end
    local trained = run()
    t.equal(run(), trained)
    t.is_true((encoder(x) - encoder(x)):abs():sum():item() > 0)
    encoder:eval()
    local still = run()
    t.equal((encoder(x)):totable(), still)
    t.is_true(attn.tensor(still):eq(attn.tensor(trained)):sum():item() < 64)
    local single = attn.encoder.rnn{inputs = 3, hidden = 8, dropout = 0.5}
    t.equal((single(x)):totable(), (single(x)):totable())
end)

t.case("empty batches and sequences", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, bidirectional = true}
    local y, last = encoder(attn.zeros(0, 4, 2))
    t.equal(y.shape, {0, 4, 6})
    t.equal(last.h.shape, {2, 0, 3})
    local h = attn.randn(2, 3, 3)
    y, last = encoder(attn.zeros(3, 0, 2), {state = {h = h}})
    t.equal(y.shape, {3, 0, 6})
    t.equal(last.h, h)
end)

t.case("parameters have PyTorch's names and shapes", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, cell = "lstm", layers = 2, bidirectional = true}
    local names, values = names_of(encoder)
    t.equal(names, {
        "weight_ih_l1", "weight_hh_l1", "bias_ih_l1", "bias_hh_l1",
        "weight_ih_l1_reverse", "weight_hh_l1_reverse", "bias_ih_l1_reverse", "bias_hh_l1_reverse",
        "weight_ih_l2", "weight_hh_l2", "bias_ih_l2", "bias_hh_l2",
        "weight_ih_l2_reverse", "weight_hh_l2_reverse", "bias_ih_l2_reverse", "bias_hh_l2_reverse"})
    t.equal(values[1].shape, {12, 2})
    t.equal(values[9].shape, {12, 6})
    for _, p in ipairs(values) do t.is_true(p:abs():max():item() <= 3 ^ -0.5) end
end)

t.case("errors name the argument, what came and what was expected", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, layers = 2}
    local x = attn.randn(2, 4, 2)
    t.raises("encoder.rnn: x has width 3, expected 2 (x: float32 [2, 4, 3])", encoder, attn.randn(2, 4, 3))
    t.raises("encoder.rnn: x has 2 dimensions, expected 3 (x: float32 [4, 2])", encoder, attn.randn(4, 2))
    t.raises("encoder.rnn: x is float64, but the layer is float32", encoder, doubles(2, 4, 2))
    t.raises("encoder.rnn: lengths[2] is 5, expected 0 to 4", encoder, x, {lengths = ids{1, 5}})
    t.raises("encoder.rnn: lengths[1] is -1, expected 0 to 4", encoder, x, {lengths = ids{-1, 5}})
    t.raises("encoder.rnn: lengths has shape [3], expected [2]", encoder, x, {lengths = ids{1, 2, 3}})
    t.raises("encoder.rnn: state.h has shape [1, 2, 3], expected [2, 2, 3]", encoder, x,
        {state = {h = attn.randn(1, 2, 3)}})
    t.raises("encoder.rnn: state.h has width 4, expected 3", encoder, x, {state = {h = attn.randn(2, 2, 4)}})
    t.raises("encoder.rnn: state.h is 'zero', expected a tensor", encoder, x, {state = {h = "zero"}})
    t.raises("encoder.rnn: state has no field h", encoder, x, {state = {c = attn.randn(2, 2, 3)}})
    t.raises("encoder.rnn: state has a field c, which only cell lstm has", encoder, x,
        {state = {h = attn.randn(2, 2, 3), c = attn.randn(2, 2, 3)}})
    t.raises("hidden", attn.encoder.rnn, {inputs = 2, hidden = 0})
    t.raises("did you mean 'lstm'", attn.encoder.rnn, {inputs = 2, hidden = 3, cell = "lstn"})
end)

t.case("steps one after the other are the whole sequence, in value and gradient", function()
    for _, cell in ipairs(cells) do
        for _, layers in ipairs{1, 3} do
            local encoder = attn.encoder.rnn{inputs = 2, hidden = 3, cell = cell, layers = layers}:to "float64"
            local x, g = doubles(4, 5, 2), doubles(4, 5, 3)
            local h0 = doubles(layers, 4, 3)
            local function run(stepwise)
                x:requires_grad_(true)
                x.grad = nil
                encoder:zero_grad()
                local state, y = {h = h0, c = cell == "lstm" and h0 * 2 or nil}, {}
                if stepwise then
                    for k = 1, 5 do y[k], state = encoder:step(x:select(2, k), state) end
                    y = attn.stack(y, 2)
                else
                    y, state = encoder(x, {state = state})
                end
                ((y * g):sum() + (state.h * h0):sum()):backward()
                return y:detach(), state, x.grad, encoder.weight_hh_l1.grad:clone()
            end
            local y, state, dx, dw = run(false)
            local y2, state2, dx2, dw2 = run(true)
            t.near(y2, y, 1e-13)
            t.near(state2.h:detach(), state.h:detach(), 1e-13)
            t.near(dx2, dx, 1e-12)
            t.near(dw2, dw, 1e-12)
            t.near((encoder:step(x:select(2, 1))), (encoder(x:narrow(2, 1, 1)))[{{}, 1}], 1e-13)
        end
    end
end)

t.case("errors of step", function()
    local encoder = attn.encoder.rnn{inputs = 2, hidden = 3}
    t.raises("encoder.rnn: step needs an encoder of one direction", function()
        local both = attn.encoder.rnn{inputs = 2, hidden = 3, bidirectional = true}
        both:step(attn.zeros(4, 2))
    end)
    t.raises("encoder.rnn: x has 3 dimensions, expected 2 (x: float32 [4, 1, 2])", function()
        encoder:step(attn.zeros(4, 1, 2))
    end)
    t.raises("encoder.rnn: x has width 5, expected 2 (x: float32 [4, 5])", function() encoder:step(attn.zeros(4, 5)) end)
    t.raises("encoder.rnn: state.h has shape [1, 3, 3], expected [1, 4, 3]", function()
        encoder:step(attn.zeros(4, 2), {h = attn.zeros(1, 3, 3)})
    end)
    t.raises("encoder.rnn: x is missing", function() encoder:step() end)
end)
