-- The cases of the benchmark, this side. Each has
--   make(p) -> inputs    tensors (parameters and data) that both sides start from, by name
--   build(inputs) -> run, outputs    run() does the work once; outputs() gives what is compared, a list of tensors
--   flops, bytes    of one run, for the fraction of the limit; target: ratio aimed at
--   against    the case of this side that stands in PyTorch's column
-- theirs.py has the same cases, by the same names.

local attn = require "attn"

local cases, order = {}, {}

local function case(name, c)
    c.name = name
    cases[name] = c
    order[#order + 1] = name
end

local function uniform(bound, ...) return (attn.rand(...) * 2 - 1) * bound end

-- Copies the inputs that are named like the parameters of a module into it.
local function fill(module, inputs, prefix)
    local state = {}
    for name in module:named_parameters() do state[name] = inputs[(prefix or "") .. name] end
    module:load(state)
    return module
end

local function parameters_of(module, inputs, prefix)
    for name, p in module:named_parameters() do inputs[(prefix or "") .. name] = p:detach():clone() end
    return inputs
end

-- ---- recurrent layers: forward and backward ----

for _, cell in ipairs {"gru", "lstm"} do
    for _, T in ipairs {20, 50} do
        local gates, B, I, H = cell == "gru" and 3 or 4, 64, 256, 512
        case(("%s_train_b64_t%d"):format(cell, T), {
            target = cell == "gru" and 1.2 or 1.25,
            flops = 3 * 2 * B * T * gates * H * (I + H),
            make = function()
                local layer = attn.encoder.rnn{inputs = I, hidden = H, cell = cell}
                return parameters_of(layer, {x = attn.randn(B, T, I), g = attn.randn(B, T, H)})
            end,
            build = function(inputs)
                local layer = fill(attn.encoder.rnn{inputs = I, hidden = H, cell = cell}, inputs)
                local x = inputs.x:requires_grad_(true)
                local y
                local function run()
                    layer:zero_grad()
                    x:zero_grad()
                    y = layer(x)
                    y:backward(inputs.g)
                end
                return run, function() return {y:detach(), x.grad, layer.weight_hh_l1.grad} end
            end,
        })
    end
end

-- ---- RNNsearch: a whole training step ----

local V, E, H, B, S, T = 8000, 256, 256, 64, 20, 20

local function translator(feed)
    local Net = attn.module "Net"
    function Net:init()
        self.source = attn.layer.embedding{count = V, dim = E}
        self.target = attn.layer.embedding{count = V, dim = E}
        self.encoder = attn.encoder.rnn{inputs = E, hidden = H, cell = "gru", bidirectional = true}
        self.bridge = attn.layer.linear{inputs = H, outputs = H}
        self.decoder = attn.decoder.rnn{inputs = E, hidden = H, memory = 2 * H, cell = "gru", outputs = V,
            style = feed and "luong" or "bahdanau", readout = feed and "linear" or "maxout", attention = {score = "additive", dim = H}}
    end
    function Net:forward(source, lengths, target)
        local memory, last = self.encoder(self.source(source), {lengths = lengths})
        local state = {h = self.bridge(last.h[2]):tanh():unsqueeze(1)}
        return (self.decoder(self.target(target), memory, {memory_lengths = lengths, state = state}))
    end
    return Net()
end

for _, feed in ipairs {false, true} do
    local enc = 2 * B * S * 2 * 3 * H * (E + H)
    local step = 2 * B * (H * H + S * H + S * 2 * H + 3 * H * (feed and 2 * H or 3 * H))
    local read = 2 * B * T * (V * H + H * (feed and 3 * H or 2 * (3 * H + E)))
    case(feed and "rnnsearch_feed_train" or "rnnsearch_train", {
        target = 1.35, tokens = B * T,
        flops = 3 * (enc + 2 * B * S * 2 * H * H + T * step + 2 * B * T * E * 3 * H + read),
        make = function()
            local net = translator(feed)
            local lengths = attn.full({B}, S, {dtype = "int64"})
            lengths[{{1, B // 2}}] = S - 3
            return parameters_of(net, {ids = attn.randint(1, V, B, S), lengths = lengths, target_in = attn.randint(1, V, B, T),
                                       target_out = attn.randint(1, V, B, T)}, nil)
        end,
        build = function(inputs)
            local net = fill(translator(feed), inputs)
            local optimizer = attn.optim.adam{params = net:parameters(), lr = 1e-3}
            local parameters, first = net:parameters(), nil
            local function run()
                optimizer:zero_grad()
                local loss = attn.loss.cross_entropy(net(inputs.ids, inputs.lengths, inputs.target_in), inputs.target_out)
                loss:backward()
                attn.clip_grad_norm(parameters, 1)
                optimizer:step()
                first = first or attn.tensor(loss:item())
            end
            return run, function() return {first} end
        end,
    })
end

-- ---- softmax attention ----

local function attention_inputs(T, backward)
    local inputs = {}
    for _, name in ipairs {"q", "k", "v", backward and "g" or nil} do inputs[name] = attn.randn(64, T, 64) end
    return inputs
end

-- 8 rows of 8 heads; the layer has no projections of its own here, so only the product, the distribution and the sum count.
local function heads_attention(inputs, causal, backward)
    local q, k, v, g = inputs.q, inputs.k, inputs.v, inputs.g
    local attend = attn.attention{query = 64, score = "scaled_dot"}
    local c
    if not backward then
        return function() c = attn.no_grad(attend, q, k, v, {causal = causal}) end, function() return {c} end
    end
    for _, t in ipairs {q, k, v} do t:requires_grad_(true) end
    return function()
        for _, t in ipairs {q, k, v} do t:zero_grad() end
        c = attend(q, k, v, {causal = causal})
        c:backward(g)
    end, function() return {c:detach(), q.grad, k.grad, v.grad} end
end

for _, T in ipairs {512, 2048} do
    for _, causal in ipairs {false, true} do
        for _, backward in ipairs {false, true} do
            local targets = {[512] = {{1.5, 3.0}, {1.3, 2.2}}, [2048] = {{3.5, 3.2}, {1.4, 2.4}}}
            case(("attention_%s%s_t%d"):format(causal and "causal_" or "", backward and "train" or "forward", T), {
                target = targets[T][backward and 2 or 1][causal and 2 or 1], slow = T > 1000, blocked = causal,
                flops = (backward and 3.5 or 1) * 4 * 64 * T * T * 64 * (causal and 0.5 or 1),
                make = function() return attention_inputs(T, backward) end,
                build = function(inputs) return heads_attention(inputs, causal, backward) end,
            })
        end
    end
end

-- The same with functions of the script inside: forward and backward, T 2,048.
local modified = {
    softcap = function()
        return {score_mod = function(s) return 20 * (s / 20):tanh() end, mask_mod = function(at) return at.query:ge(at.key) end}
    end,
    alibi = function(inputs)
        return {score_mod = function(s, at) return s - at.slope[at.batch] * (at.query - at.key):abs() end,
            tensors = {slope = inputs.slope}}
    end,
    window = function()
        return {mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(256) end}
    end,
    relative = function(inputs)
        return {score_mod = function(s, at) return s + at.table[(at.query - at.key):clamp(-128, 128) + 129] end,
            tensors = {table = inputs.table:requires_grad_(true)}}
    end,
}
for _, name in ipairs {"softcap", "alibi", "window", "relative"} do
    case("modified_" .. name .. "_train_t2048", {
        target = 3, slow = true, flops = 3.5 * 4 * 64 * 2048 * 2048 * 64 * (({softcap = 0.5, window = 0.125})[name] or 1),
        make = function()
            local inputs = attention_inputs(2048, true)
            inputs.slope, inputs.table = attn.rand(64), attn.randn(257)
            return inputs
        end,
        build = function(inputs)
            local config = modified[name](inputs)
            config.query = 64
            local attend, c = attn.attention(config), nil
            local leaves = {inputs.q, inputs.k, inputs.v, name == "relative" and inputs.table or nil}
            for _, x in ipairs(leaves) do x:requires_grad_(true) end
            return function()
                for _, x in ipairs(leaves) do x:zero_grad() end
                c = attend(inputs.q, inputs.k, inputs.v)
                c:backward(inputs.g)
            end, function()
                local outputs = {c:detach()}
                for _, x in ipairs(leaves) do outputs[#outputs + 1] = x.grad end
                return outputs
            end
        end,
    })
end

-- An element-wise function of the script's own: a gated unit with a bias, forward and backward.
case("map_gated_train", {
    target = 2, bytes = 4 * 4096 * 1024 * 10,
    make = function()
        return {x = attn.randn(4096, 1024), y = attn.randn(4096, 1024), b = attn.randn(1024), g = attn.randn(4096, 1024)}
    end,
    build = function(inputs)
        local leaves, z = {inputs.x, inputs.y, inputs.b}, nil
        for _, x in ipairs(leaves) do x:requires_grad_(true) end
        return function()
            for _, x in ipairs(leaves) do x:zero_grad() end
            z = attn.map(function(x, y, b) return (x + b):gelu() * y:sigmoid() end, inputs.x, inputs.y, inputs.b)
            z:backward(inputs.g)
        end, function() return {z:detach(), inputs.x.grad, inputs.y.grad, inputs.b.grad} end
    end,
})

case("additive_attention_train", {
    target = 2, flops = 3 * 2 * 64 * 20 * 20 * 256,
    make = function()
        local layer = attn.attention{query = 256, key = 512, score = "additive", dim = 256}
        return parameters_of(layer, {q = attn.randn(64, 20, 256), k = attn.randn(64, 20, 512), g = attn.randn(64, 20, 512)})
    end,
    build = function(inputs)
        local layer = fill(attn.attention{query = 256, key = 512, score = "additive", dim = 256}, inputs)
        local q, k, c = inputs.q:requires_grad_(true), inputs.k:requires_grad_(true), nil
        return function()
            layer:zero_grad() q:zero_grad() k:zero_grad()
            c = layer(q, k)
            c:backward(inputs.g)
        end, function() return {c:detach(), q.grad, k.grad, layer["score.v"].grad} end
    end,
})

for _, T in ipairs {1024, 8192, 65536} do
    case("linear_attention_t" .. T, {
        only_here = true, tokens = T, flops = 4 * T * 64 * 64 * 8,
        make = function()
            local inputs = {}
            for _, name in ipairs {"q", "k", "v"} do inputs[name] = attn.randn(8, T, 64) end
            return inputs
        end,
        build = function(inputs)
            local attend, c = attn.attention{query = 64, score = "linear"}, nil
            return function() c = attn.no_grad(attend, inputs.q, inputs.k, inputs.v, {causal = true}) end,
                function() return {c} end
        end,
    })
end

-- ---- Transformers: whole training steps, and generation over caches ----

local function step_of(net, inputs, loss_of, optimizer)
    local first
    return function()
        net:zero_grad()
        local loss = loss_of(net, inputs)
        loss:backward()
        optimizer:step()
        first = first or attn.tensor(loss:item())
    end, function() return {first} end
end

local Seq2seq = attn.module "Transformer"
function Seq2seq:init(dropout)
    local shape = {dim = 256, heads = 4, ff = 1024, layers = 3, dropout = dropout}
    self.source = attn.layer.embedding{count = V, dim = 256}
    self.target = attn.layer.embedding{count = V, dim = 256}
    self.place = attn.layer.positional{dim = 256, type = "learned", max_length = 64}
    self.encoder = attn.encoder.transformer(shape)
    self.decoder = attn.decoder.transformer(shape)
    self.out = attn.layer.linear{inputs = 256, outputs = V}
end
function Seq2seq:forward(ids, target)
    local memory = self.encoder(self.place(self.source(ids) * 16))
    return self.out((self.decoder(self.place(self.target(target) * 16), memory)))
end

for _, dropout in ipairs {0.1, 0} do
    local D = 256
    local enc, dec = 2 * (4 * D * D + 2 * D * 1024) + 4 * S * D, 2 * (8 * D * D + 2 * D * 1024) + 4 * (S + T) * D
    case("transformer_train_dropout_" .. (dropout > 0 and "0.1" or "0"), {
        target = dropout > 0 and 1.3 or 1.15, tokens = B * T, random = dropout > 0,
        flops = 3 * B * (S * 3 * enc + T * 3 * dec + T * 2 * D * V),
        make = function()
            return parameters_of(Seq2seq(dropout), {ids = attn.randint(1, V, B, S), target_in = attn.randint(1, V, B, T),
                                                        target_out = attn.randint(1, V, B, T)})
        end,
        build = function(inputs)
            local net = fill(Seq2seq(dropout), inputs)
            return step_of(net, inputs, function(model, i)
                return attn.loss.cross_entropy(model(i.ids, i.target_in), i.target_out)
            end, attn.optim.adam{params = net:parameters(), lr = 3e-4})
        end,
    })
end

local Language = attn.module "Language"
function Language:init(words, dim, layers, heads, length)
    self.embed = attn.layer.embedding{count = words, dim = dim}
    attn.no_grad(function() self.embed.weight:copy_(self.embed.weight * 0.02) end)
    self.place = attn.layer.positional{dim = dim, type = "learned", max_length = length}
    self.blocks = attn.encoder.transformer{dim = dim, heads = heads, layers = layers, dropout = 0, activation = "gelu"}
    self.out = attn.layer.linear{inputs = dim, outputs = words, bias = false}
    self.out.weight = self.embed.weight
end
function Language:forward(ids) return self.out((self.blocks(self.place(self.embed(ids)), {causal = true}))) end
function Language:step(ids, state, at)
    local y, after = self.blocks:step(self.embed(ids) + self.place.weight[at], state)
    return self.out(y), after
end

for _, c in ipairs {{"gpt_char_train", 65, 256, 6, 6, 384, 8, 1.15}, {"gpt2_124m_train", 50257, 64, 12, 12, 768, 4, 1.2}} do
    local name, words, length, layers, heads, dim, batch, target = table.unpack(c)
    local function new() return Language(words, dim, layers, heads, length) end
    case(name, {
        target = target, tokens = batch * length, slow = true,
        flops = 3 * batch * length * (layers * (2 * 12 * dim * dim + 4 * length * dim) + 2 * dim * words),
        make = function()
            return parameters_of(new(), {ids = attn.randint(1, words, batch, length), targets = attn.randint(1, words, batch, length)})
        end,
        build = function(inputs)
            local net = fill(new(), inputs)
            return step_of(net, inputs, function(model, i) return attn.loss.cross_entropy(model(i.ids), i.targets) end,
                           attn.optim.adamw{params = net:parameters(), lr = 3e-4})
        end,
    })
end

local function generate(net, count)
    local logits
    return function()
        attn.no_grad(function()
            local ids, state = attn.ones(1, {dtype = "int64"}), nil
            for at = 1, count do
                logits, state = net:step(ids, state, at)
                ids = logits:argmax(-1)
            end
        end)
    end, function() return {logits} end
end

case("gpt_char_generate", {
    target = 3, tokens = 200, flops = 200 * 2 * 12 * 384 * 384 * 6,
    make = function() return parameters_of(Language(65, 384, 6, 6, 256), {}) end,
    build = function(inputs) return generate(fill(Language(65, 384, 6, 6, 256), inputs):eval(), 200) end,
})

-- Weights that exceed the caches, read once for each token: what counts is their bytes; bfloat16 and int8 against our own float32
for _, c in ipairs {{"", 4}, {"_bf16", 2, 1.9}, {"_int8", 1, 3}} do
    local suffix, bytes, target = table.unpack(c)
    local base, numbers = "gpt2_124m_generate", 12 * 12 * 768 ^ 2 + 50257 * 768
    local function new() return Language(50257, 768, 12, 12, 64) end
    case(base .. suffix, {
        target = target, only_here = true, against = target and base or nil, slow = true, tokens = 32, bytes = 32 * bytes * numbers,
        make = function() return parameters_of(new(), {}) end,
        build = function(inputs)
            local net = fill(new(), inputs):eval()
            return generate(target and net:to_inference(suffix:sub(2)) or net, 32)
        end,
    })
end

-- ---- dense layers, the optimizer, small things ----

for _, shape in ipairs {{1280, 1024, 256}, {1280, 8000, 256}, {256, 3072, 768}, {64, 1536, 512}} do
    local M, N, K = table.unpack(shape)
    case(("linear_train_%dx%dx%d"):format(M, N, K), {
        target = 1, flops = 3 * 2 * M * N * K,
        make = function() return {x = attn.randn(M, K), weight = uniform(0.1, N, K), bias = uniform(0.1, N), g = attn.randn(M, N)} end,
        build = function(inputs)
            local layer = fill(attn.layer.linear{inputs = K, outputs = N}, inputs)
            local x, y = inputs.x:requires_grad_(true), nil
            return function()
                layer:zero_grad() x:zero_grad()
                y = layer(x)
                y:backward(inputs.g)
            end, function() return {y:detach(), x.grad, layer.weight.grad, layer.bias.grad} end
        end,
    })
end

-- many short rows: the gates of a mixture, the pieces of a maxout, pairs
for _, shape in ipairs {{755000, 2}, {94375, 16}} do
    local M, N = table.unpack(shape)
    for _, name in ipairs {"max", "softmax"} do
        case(("%s_%dx%d"):format(name, M, N), {
            target = 1.2, bytes = 8 * M * N,
            make = function() return {x = attn.randn(M, N)} end,
            build = function(inputs)
                local y
                return function() y = attn[name](inputs.x, 2) end, function() return {y} end
            end,
        })
    end
end

case("adam_10m", {
    target = 2, bytes = 28 * 10e6,
    make = function() return {p = attn.randn(10, 1000, 1000), g = attn.randn(10, 1000, 1000)} end,
    build = function(inputs)
        local list = {}
        for i = 1, 10 do
            list[i] = inputs.p[i]:clone():requires_grad_(true)
            list[i].grad = inputs.g[i]:clone()
        end
        local optimizer = attn.optim.adam{params = list, lr = 1e-3}
        local first
        return function()
            optimizer:step()
            first = first or list[1]:detach():clone()
        end, function() return {first} end
    end,
})

-- ---- convolutions: forward, and forward with all gradients ----

for _, c in ipairs {
    {"3x3_20x14x14", 20, 14, 20, 3}, {"3x3_32x7x7", 32, 7, 32, 3}, {"3x3_32x28x28", 32, 28, 32, 3}, {"3x3_32x32x32", 32, 32, 32, 3},
    {"1x1_32x28x28_to_64", 32, 28, 64, 1}, {"5x5_3x32x32_to_32", 3, 32, 32, 5},
} do
    local name, C, side, O, k = table.unpack(c)
    for _, train in ipairs {false, true} do
        case(("conv_%s_%s"):format(train and "train" or "forward", name), {
            target = 1.2, flops = (train and 3 or 1) * 2 * 64 * side * side * C * O * k * k,
            make = function()
                local bound = 1 / (C * k * k) ^ 0.5
                return {x = attn.randn(64, C, side, side), w = uniform(bound, O, C, k, k), b = uniform(bound, O),
                        g = attn.randn(64, O, side, side)}
            end,
            build = function(inputs)
                local x, w, b, y = inputs.x, inputs.w, inputs.b, nil
                for _, t in ipairs(train and {x, w, b} or {}) do t:requires_grad_(true) end
                return function()
                    if train then x:zero_grad() w:zero_grad() b:zero_grad() end
                    y = attn.conv2d(x, w, b, {padding = k // 2})
                    if train then y:backward(inputs.g) end
                end, function() return train and {y:detach(), x.grad, w.grad, b.grad} or {y} end
            end,
        })
    end
end

-- Times below are for 1,000 operations, or 100 chains: what is measured is the cost of an operation, not of its 16 numbers.
local function small(name, one)
    case(name, {
        target = 4, operations = 1000, threads = 1,
        make = function() return {x = attn.randn(16), y = attn.randn(16), w = attn.randn(16, 16)} end,
        build = function(inputs)
            local x, y, w, z = inputs.x:requires_grad_(true), inputs.y, inputs.w, nil
            return function()
                for _ = 1, 1000 do z = one(x, y, w) end
            end, function() return {z:detach()} end
        end,
    })
end
small("small_add", function(x, y) return x + y end)
small("small_tanh", function(x) return x:tanh() end)
small("small_matmul", function(x, _, w) return w:matmul(x) end)
case("small_chain", {
    target = 4, operations = 1000, threads = 1,
    make = function() return {x = attn.randn(16), y = attn.randn(16)} end,
    build = function(inputs)
        local x, y = inputs.x:requires_grad_(true), inputs.y
        return function()
            x:zero_grad()
            for _ = 1, 10 do
                local z = x
                for _ = 1, 100 do z = z + y end
                z:sum():backward()
            end
        end, function() return {x.grad} end
    end,
})
case("start_up", {target = 90, start_up = true})

-- ---- images: forward and backward ----

local function image(name, make, build, bytes)
    case(name, {target = 1.2, bytes = bytes, make = make, build = function(inputs)
        local f, parameters = build(inputs)
        local tracked, y = {inputs.x:requires_grad_(true)}, nil
        for _, p in ipairs(parameters or {}) do tracked[#tracked + 1] = p:requires_grad_(true) end
        return function()
            for _, p in ipairs(tracked) do p:zero_grad() end
            y = f(inputs.x)
            y:backward(inputs.g)
        end, function()
            local list = {y:detach()}
            for _, p in ipairs(tracked) do list[#list + 1] = p.grad end
            return list
        end
    end})
end

local IMAGES = 16 * 64 * 56 * 56
for _, what in ipairs {"max_pool2d", "avg_pool2d"} do
    for _, kernel in ipairs {2, 3} do
        image(("%s_train_k%d"):format(what, kernel), function()
            return {x = attn.randn(16, 64, 56, 56), g = attn.randn(16, 64, 28, 28)}
        end, function()
            local settings = {stride = 2, padding = kernel // 3}
            return function(x) return attn[what](x, kernel, settings) end
        end, 3.5 * 4 * IMAGES)
    end
end
image("max_pool1d_train", function()
    return {x = attn.randn(64, 100, 256), g = attn.randn(64, 98, 256)}
end, function() return function(x) return attn.max_pool1d(x, 3, {stride = 1}) end end, 5 * 4 * 64 * 100 * 256)
for _, place in ipairs {"images", "sequences"} do
    local size = place == "images" and {16, 64, 56, 56} or {64, 100, 512}
    local C, dim = place == "images" and 64 or 512, place == "images" and 2 or -1
    image("batchnorm_train_" .. place, function()
        return {x = attn.randn(size), g = attn.randn(size), weight = attn.rand(C) + 0.5, bias = attn.randn(C)}
    end, function(inputs)
        local layer = attn.layer.batchnorm{channels = C, dim = dim}
        layer.weight, layer.bias = inputs.weight, inputs.bias
        return layer, {inputs.weight, inputs.bias}
    end, 9 * 4 * (place == "images" and IMAGES or 64 * 100 * 512))
end
image("grid_sample_train", function()
    local grid = attn.affine_grid(attn.tensor{{0.9, 0.2, 0.1}, {-0.2, 0.8, -0.1}}:unsqueeze(1):expand(16, 2, 3), {64, 64})
    return {x = attn.randn(16, 32, 64, 64), g = attn.randn(16, 32, 64, 64), grid = grid + attn.randn(grid.shape) * 0.01}
end, function(inputs)
    return function(x) return attn.grid_sample(x, inputs.grid) end, {inputs.grid}
end, 8 * 4 * 16 * 32 * 64 * 64)

-- ---- the same with products of bfloat16, against our own float32 ----

for _, name in ipairs {"gru_train_b64_t50", "lstm_train_b64_t50", "gpt_char_train", "gpt2_124m_train"} do
    local base = cases[name]
    if base then
        case(name .. "_bf16", {
            against = name, target = 1.5, flops = base.flops, tokens = base.tokens, make = base.make,
            build = function(inputs)
                attn.precision "bf16"
                return base.build(inputs)
            end,
        })
    end
end

-- ---- the matrix products that most of the time above goes to: op(A) op(B) as stored, rows, columns, sum over ----

local products = {}
for _, c in ipairs {
    {"gru_train_b64_t20", "NT 1280 1536 256", "NN 1280 256 1536", "TN 1536 256 1280", "TN 1024 512 1280"},
    {"lstm_train_b64_t50", "NT 3200 2048 256", "NN 3200 256 2048", "TN 2048 256 3200", "TN 2048 512 3200"},
    {"rnnsearch_train", "NT 1280 512 1024", "NN 1280 1024 512", "TN 512 1024 1280", "TN 768 512 1280"},
    {"additive_attention_train", "NT 1280 256 512", "NN 1280 512 256", "TN 256 512 1280", "TN 20 512 20"},
    {"transformer_train", "NT 1280 256 256", "NN 1280 256 256", "TN 256 256 1280", "NT 1280 256 1024"},
    {"gpt_char_train", "NT 2048 1536 384", "NN 2048 384 1536", "TN 1536 384 2048"},
    {"gpt2_124m_train", "NT 256 50257 768", "NN 256 768 50257", "TN 50257 768 256", "NT 256 768 768", "TN 768 3072 256"},
    {"gpt_char_generate", "NT 1 384 384", "NT 1 1536 384"},
    {"linear_train_1280x8000x256", "NT 1280 8000 256", "NN 1280 256 8000", "TN 8000 256 1280"},
    {"linear_train_256x3072x768", "NT 256 3072 768", "NN 256 768 3072", "TN 3072 768 256"},
    {"linear_train_64x1536x512", "NT 64 1536 512", "NN 64 512 1536", "TN 1536 512 64"},
    {"square", "NN 512 512 512", "NN 1536 1536 1536", "NN 4096 4096 4096"},
} do
    for i = 2, #c do products[#products + 1] = {case = c[1], product = c[i]} end
end

return {cases = cases, order = order, products = products}
