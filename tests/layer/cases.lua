-- Cases of every layer, attention, encoder and decoder, by the name of its record. tests/registry_test.lua runs them,
-- and fails where a layer, or a word that one of its fields can be, has none.
--
--   gradient   {config, inputs, call}: finite differences for every input and parameter
--   value      {config, inputs, expected, call}: a result worked out from the definition; what tests/golden holds needs none
local attn = require "attn"

local lists = dofile((debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")) .. "../lists.lua")
local parts = dofile((debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")) .. "../attention/cases.lua")

local F64 = {dtype = "float64"}
local function R(...) return attn.randn({...}, F64) end
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

local cases = {gradient = {}, value = {}}

local function gradient(name, config, inputs, call)
    cases.gradient[name] = cases.gradient[name] or {}
    table.insert(cases.gradient[name], {config = config, inputs = inputs, call = call})
end

local function value(name, config, inputs, expected, call)
    cases.value[name] = cases.value[name] or {}
    table.insert(cases.value[name], {config = config, inputs = inputs, expected = expected, call = call})
end

-- ---- layers ----

local function one(...)
    local size = {...}
    return function() return {attn.randn(size, F64)} end
end

gradient("layer.linear", {inputs = 3, outputs = 2}, one(2, 3))
gradient("layer.linear", {inputs = 3, outputs = 2, bias = false}, one(2, 2, 3))
gradient("layer.embedding", {count = 3, dim = 2}, function() return {} end,
         function(l) return l(ids{{1, 0, 3}, {3, 2, 0}}) end)
gradient("layer.dropout", {p = 0.4}, one(3, 7))
gradient("layer.layernorm", {dim = 4}, one(3, 4))
gradient("layer.rmsnorm", {dim = 4}, one(3, 4))
gradient("layer.batchnorm", {channels = 3}, one(2, 3, 2, 2))
gradient("layer.batchnorm", {channels = 2, dim = -1, eps = 0.1}, one(3, 4, 2))
gradient("layer.groupnorm", {channels = 4, groups = 2}, one(2, 4, 2, 3))
gradient("layer.conv1d", {inputs = 2, outputs = 3, kernel = 3, padding = 1}, one(2, 4, 2))
gradient("layer.conv1d", {inputs = 2, outputs = 1, kernel = 2, stride = 2, bias = false}, one(1, 5, 2))
gradient("layer.conv1d", {inputs = 2, outputs = 4, kernel = 2, padding = "causal", dilation = 2, groups = 2}, one(1, 4, 2))
gradient("layer.conv1d", {inputs = 2, outputs = 2, kernel = 2, padding = "same"}, one(1, 3, 2))
value("layer.conv1d", {inputs = 2, outputs = 3, kernel = 2, padding = "same"}, one(1, 4, 2), function(l, x)
    local first, second = l.weight:select(3, 1), l.weight:select(3, 2)      -- the odd rest of the padding is at the end
    local after = attn.cat({x:narrow(2, 2, 3), attn.zeros(1, 1, 2, F64)}, 2)
    return x:matmul(first:transpose(1, 2)) + after:matmul(second:transpose(1, 2)) + l.bias
end)
gradient("layer.conv2d", {inputs = 1, outputs = 2, kernel = {2, 3}, padding = "same"}, one(1, 1, 3, 3))
gradient("layer.conv2d", {inputs = 2, outputs = 2, kernel = {2, 1}, stride = {1, 2}, padding = {1, 0}, groups = 2}, one(1, 2, 3, 3))
gradient("layer.conv2d", {inputs = 2, outputs = 2, kernel = 2, stride = 2, padding = 1}, one(1, 2, 4, 3))
gradient("layer.positional", {dim = 5}, one(2, 3, 5))
gradient("layer.positional", {dim = 2, type = "learned", max_length = 4}, one(2, 2, 2),
         function(l, x) return l(x, {position = 2}) end)
gradient("layer.maxout", {inputs = 3, outputs = 2, pieces = 3}, one(4, 3))
gradient("layer.maxout", {inputs = 3, outputs = 2, bias = false}, one(4, 3))
for _, hops in ipairs{1, 2} do
    gradient("layer.attention_pool", {inputs = 3, dim = 2, hops = hops, bias = hops == 1}, one(3, 4, 3),
             function(l, x) return l(x, {lengths = ids{4, 0, 2}}) end)
end

-- ---- one step of a cell ----

for _, type in ipairs{"gru", "lstm", "rnn"} do
    local config, lstm = {inputs = 3, hidden = 2, type = type}, type == "lstm"
    local function inputs()
        return {R(4, 3), R(4, 2), lstm and R(4, 2) or nil}
    end
    gradient("layer.cell", config, inputs, function(l, x, h, c) return l(x, h, lstm and c or nil) end)
    gradient("layer.cell", config, function() return {R(2, 3)} end, function(l, x) return l(x) end)
    value("layer.cell", config, inputs, function(l, x, h, c)
        local p = {}
        for name, tensor in l:named_parameters() do p[name] = tensor:detach() end
        local xi, hi = x:matmul(p.weight_ih:transpose(1, 2)) + p.bias_ih, h:matmul(p.weight_hh:transpose(1, 2)) + p.bias_hh
        if type == "rnn" then return (xi + hi):tanh() end
        local X, Y = xi:split(2, 2), hi:split(2, 2)
        if type == "gru" then
            local r, z = (X[1] + Y[1]):sigmoid(), (X[2] + Y[2]):sigmoid()
            return (1 - z) * (X[3] + r * Y[3]):tanh() + z * h
        end
        local new = (X[2] + Y[2]):sigmoid() * c + (X[1] + Y[1]):sigmoid() * (X[3] + Y[3]):tanh()
        return (X[4] + Y[4]):sigmoid() * new:tanh()
    end)
end

-- ---- attention: each part in every form, with one head and with heads ----

local D = parts.D

local function attention(more)
    local config = {query = D, key = D, value = 3, score = "general"}
    for k, v in pairs(more) do config[k] = v end
    local queries = config.distribution == "tree" and 3 or 2
    gradient("attention", config, function() return {R(2, queries, D), R(2, 3, D), R(2, 3, 3)} end, function(l, q, k, v)
        return l(q, k, v, {lengths = ids{3, 2}, weights = config.score ~= "linear"})
    end)
end

local function each(axis, names, more)
    for _, name in ipairs(names) do
        for _, form in ipairs(parts[axis](name)) do
            for _, heads in ipairs{1, 2} do
                local config = {}
                for k, v in pairs(more or {}) do config[k] = v end
                for k, v in pairs(form) do config[k] = v end
                config[axis] = name
                if axis == "window" then
                    config.window, config.dim = {type = name}, D
                    for k, v in pairs(form) do config.window[k], config[k] = v, nil end
                end
                if heads == 2 then config.heads, config.dim = 2, D end
                attention(config)
            end
        end
    end
end

each("score", lists.scores)
each("distribution", lists.distributions)
each("window", lists.windows)
each("position", lists.positions)
attention{score = "additive", dim = D, output = "multi_dimensional"}
attention{heads = 2, kv_heads = 1, dim = D, bias = false}

-- max((alpha - 1) e - tau, 0)^(1 / (alpha - 1)), tau halved
value("attention", {query = D, distribution = "entmax"}, function() return {R(2, 2, D), R(2, 5, D)} end, function(l, q, k)
    local d = 1 / (1 + math.exp(-l["distribution.alpha_logit"]:item()))
    local z = d * q:matmul(k:transpose(2, 3)) / math.sqrt(D)
    local low, width = z:max(3):unsqueeze(3) - 1, 1
    local function at(tau) return (z - tau):clamp(0) ^ (1 / d) end
    for _ = 1, 60 do
        width = width / 2
        low = low + at(low + width):sum(3, true):ge(1):to "float64" * width
    end
    return at(low):matmul(k)
end)

-- ---- encoders and decoders ----

local cells = lists.choices["encoder.rnn"].cell
for k, cell in ipairs(cells) do
    gradient("encoder.rnn", {inputs = 2, hidden = 2, cell = cell, layers = 2, bidirectional = k % 2 == 1},
             function() return {R(2, 3, 2), R(k % 2 == 1 and 4 or 2, 2, 2), R(k % 2 == 1 and 4 or 2, 2, 2)} end,
             function(l, x, h, c)
        local y, last = l(x, {lengths = ids{3, 1}, state = {h = h, c = cell == "lstm" and c or nil}})
        return y, last.h, last.c
    end)
    for _, style in ipairs(lists.choices["decoder.rnn"].style) do
        for j, readout in ipairs(lists.choices["decoder.rnn"].readout) do
            -- once fused, once composed
            local scores = {{score = "additive", dim = 2}, {score = "general", distribution = "sparsemax"}}
            gradient("decoder.rnn", {inputs = 2, hidden = 2, memory = 3, cell = cell, style = style, readout = readout,
                                     outputs = 4, attention = scores[(j + k) % 2 + 1]},
                     function() return {R(2, 2, 2), R(2, 3, 3), R(1, 2, 2)} end, function(l, y, memory, h)
                return l(y, memory, {memory_lengths = ids{3, 2}, state = {h = h, c = cell == "lstm" and h or nil}})
            end)
        end
    end
end

-- The feed-forward part keeps its kink away from the points of the differences.
for _, kind in ipairs{"encoder.transformer", "decoder.transformer"} do
    for _, norm in ipairs(lists.choices[kind].norm) do
        for _, activation in ipairs(lists.choices[kind].activation) do
            local decodes = kind:find("decoder", 1, true)
            gradient(kind, {dim = 4, heads = 2, layers = norm == "pre" and 1 or 2, ff = 3, norm = norm,
                            activation = activation},
                     function() return {R(2, 2, 4), decodes and R(2, 3, 4) or nil} end, function(l, x, memory)
                if decodes then return l(x, memory, {memory_lengths = ids{3, 1}, weights = true}) end
                return l(x, {lengths = ids{2, 1}, weights = true})
            end)
            -- x + attention(norm x), then x + W2 f(W1 norm x): blocks of one layer, from their parameters
            value(kind, {dim = 4, heads = 1, layers = 1, ff = 3, norm = norm, activation = activation},
                  function() return {R(2, 3, 4), decodes and R(2, 2, 4) or nil} end, function(l, x, memory)
                local function p(name) return l["l1." .. name] end
                local function line(v, name) return attn.linear(v, p(name .. ".weight"), p(name .. ".bias")) end
                local function normal(v, name) return attn.layernorm(v, p(name .. ".weight"), p(name .. ".bias")) end
                local function attend(q, k, name, causal)
                    local e = line(q, name .. ".query"):matmul(line(k, name .. ".key"):transpose(2, 3)) / 2
                    if causal then e = e:masked_fill(attn.ones(q:size(2), q:size(2)):triu(1):gt(0), -math.huge) end
                    return line(e:softmax(3):matmul(line(k, name .. ".value")), name .. ".out")
                end
                local part = 0
                local function add(v, f)
                    part = part + 1
                    if norm == "pre" then return v + f(normal(v, "norm" .. part)) end
                    return normal(v + f(v), "norm" .. part)
                end
                x = add(x, function(v) return attend(v, v, decodes and "self" or "attention", decodes) end)
                if decodes then x = add(x, function(v) return attend(v, memory, "cross") end) end
                x = add(x, function(v) return line(attn[activation](line(v, "ff1")), "ff2") end)
                return norm == "pre" and attn.layernorm(x, l["norm.weight"], l["norm.bias"]) or x
            end)
        end
    end
end

return cases
