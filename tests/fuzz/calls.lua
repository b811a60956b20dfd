-- The fuzzer of the whole interface, driven by the registry: every function, method and metamethod is called with
-- right and wrong things of every kind, in some calls an allocation fails. Only Lua errors are allowed; no call may take
-- long or much memory; nothing may be left behind.
-- Run by api_test.lua in a process and a folder of its own, since some of what is called writes files.
--
-- ATTN_FUZZ_CALLS (20000) calls, ATTN_FUZZ_SEED (1) chooses which; ATTN_FUZZ_LOG names a file that gets each call
-- before it is made. With ATTN_FUZZ_FINALIZERS=1 the collector runs at every allocation while a call is made, and each time a
-- finalizer frees, closes, clears or replaces something that the call was given.
local attn = require "attn"
local internal = require "attn.internal"

local COUNT = tonumber(os.getenv "ATTN_FUZZ_CALLS") or 20000
local SEED = tonumber(os.getenv "ATTN_FUZZ_SEED") or 1
local LIMIT = 256 << 20
local VANDAL = os.getenv "ATTN_FUZZ_FINALIZERS" == "1"

-- Not called at random, and why.
local SKIP = {
    ["memory_limit"] = "it would lift the limit that this test sets",
    ["threads"] = "hundreds of threads take long to make on a small machine",
    ["internal.fail_allocation"] = "it makes other calls fail",
    ["describe"] = "it overwrites the help of others",
    ["isatty"] = "any number is a file",
    ["run.options"] = "it may end the process (--help)",
    ["internal.tee"] = "it copies the standard output, where the verdict goes",
    ["internal.at_end"] = "what it is given runs when the script has ended, and decides the exit status",
}

math.randomseed(SEED)
local random = math.random
local function any(list) return list[random(#list)] end
local function chance(p) return random() < p end

-- ---- values ----

local temporary = "saved"
local long = ("long "):rep(200000)
local file = io.tmpfile()
local cyclic = {1, 2}
cyclic[3], cyclic.inner = cyclic, {cyclic}
local deep = {}
for _ = 1, 1000 do deep = {deep} end
local hostile = setmetatable({}, {__index = function() error "index" end, __len = function() return 7 end,
    __pairs = function() error "pairs" end, __tostring = function() return 3 end, __eq = function() return true end,
    __lt = function() return true end, __add = function() return nil end, __call = function() return 1 end,
    __name = {}})

local NUMBERS = {0, 1, -1, 2, 3, 4, 2.5, 0.5, -0.0, 0 / 0, math.huge, -math.huge, math.maxinteger, math.mininteger,
    1 << 31, 1 << 32,
                 1 << 53, (1 << 62) + 1, 1e308, 1e-320, 3.0}
local STRINGS = {"", "x", "3", "float64", "float32", "int64", "bool", "half", "sum", "mean", "none", "weight", "h",
    "%s%n", "a\0b",
                 "\255\254", "bid,bjd->bij", "ii->i", "...", "->", "the cat sat", "1994-03-05"}

local held = {}         -- what calls returned: functions, tables and objects to call in their turn

local pool              -- tensors and objects; made anew now and then, as calls free and change them

local OPTIMIZERS = {}
for name in pairs(attn.optim) do OPTIMIZERS[#OPTIMIZERS + 1] = name end
table.sort(OPTIMIZERS)

local DTYPES = {"float32", "float64", "int64", "bool", "uint8"}
local SHAPES = {{}, {1}, {3}, {4}, {2, 3}, {3, 4}, {4, 4}, {2, 3, 4}, {2, 4, 3}, {1, 1}, {2, 1, 4}, {0}, {0, 3}, {3, 0},
    {2, 3, 2, 2},
                {1, 1, 1, 1, 1, 1, 1, 1}, {5, 40}}

local function plain_tensor(dtype, shape)
    if dtype == "int64" then return attn.randint(0, 4, shape) end
    if dtype == "bool" then return attn.bernoulli(0.5, shape, {dtype = "bool"}) end
    if dtype == "uint8" then return attn.randint(0, 255, shape, {dtype = "uint8"}) end
    return attn.randn(shape, {dtype = dtype})
end

local function refill()
    pool = {float = {}, ids = {}, mask = {}, odd = {}, layer = {}, object = {}}
    for _, shape in ipairs(SHAPES) do
        for _, dtype in ipairs(DTYPES) do
            local list = dtype == "int64" and pool.ids or dtype == "bool" and pool.mask or dtype == "uint8" and pool.odd or pool.float
            local x = plain_tensor(dtype, shape)
            list[#list + 1] = x
            if list == pool.float and chance(0.5) then x:requires_grad_(true) list[#list + 1] = x * 2 end
        end
    end
    local odd = pool.odd
    odd[#odd + 1] = attn.randn(3, 4):transpose(1, 2)
    odd[#odd + 1] = attn.randn(3, 1):expand(3, 1000)
    odd[#odd + 1] = attn.randn(1):expand(1 << 20)
    odd[#odd + 1] = attn.randn(4, 4, {dtype = "float64"})[{{}, {2, 3}}]
    odd[#odd + 1] = attn.full({2, 3}, 0 / 0)
    odd[#odd + 1] = attn.full({4}, math.maxinteger, {dtype = "int64"})
    odd[#odd + 1] = attn.full({2, 3}, -1, {dtype = "int64"})
    odd[#odd + 1] = attn.full({3, 4}, -math.huge)
    odd[#odd + 1] = attn.randn(3, 4):to "bfloat16"
    odd[#odd + 1] = attn.randn(4, 4):to "int8"
    local freed, used = attn.ones(2, 3), attn.ones(3):requires_grad_(true) * 2
    freed:free()
    used:sum():backward()
    odd[#odd + 1] = freed
    odd[#odd + 1] = used
    local function made(list, constructor, config)
        local ok, object = pcall(constructor, config)
        if ok then list[#list + 1] = object end
        return ok and object
    end
    local layers = pool.layer
    made(layers, attn.layer.linear, {inputs = 4, outputs = 3})
    made(layers, attn.layer.embedding, {count = 4, dim = 4})
    made(layers, attn.layer.dropout, {p = 0.5})
    made(layers, attn.encoder.rnn,
        {inputs = 4, hidden = 3, cell = any{"gru", "lstm", "rnn"}, bidirectional = chance(0.5), layers = random(2)})
    local attend = made(layers, rawget(attn, "attention") or error,
        {query = 4, score = any{"dot", "additive"}, dim = 4})
    made(layers, (rawget(attn, "decoder") or {}).rnn or error,
        {inputs = 4, hidden = 4, memory = 4, outputs = 5, attention = chance(0.5)
        and {score = "additive", dim = 3} or nil, readout = any{"linear", "maxout"}, cell = any{"gru", "lstm"}})
    local Attend = attn.module "Attend"
    function Attend:init() self.inner = attn.attention{query = 4} end
    function Attend:forward(query, memory, _, options)
        local context, weights = self.inner(query, memory, nil, {lengths = options.lengths, weights = true})
        return context, weights, weights:sum(-1), {sum = options.state and options.state.sum + weights or weights}
    end
    pool.attend = Attend()
    pool.decoder = made(layers, attn.decoder.rnn, {inputs = 4, hidden = 4, memory = 4, outputs = 5, attention = pool.attend,
        readout = any{"linear", "maxout"}, cell = any{"gru", "lstm"}, style = any{"bahdanau", "luong"}})
    local objects = pool.object
    if attend then pcall(function() objects[#objects + 1] = attend:cache() end) end
    local Class = attn.module "Fuzzed"
    function Class:init(what)
        self.inner, self.w, self.list = any(layers), attn.ones(4):requires_grad_(true), {any(layers), what}
    end
    function Class:forward(x, ...) return self.inner(x, ...) end
    objects[#objects + 1] = Class
    layers[#layers + 1] = Class(any(layers))
    local bad = made(layers, attn.layer.linear, {inputs = 1, outputs = 1})
    do local closed <close> = bad end
    for _, name in ipairs(OPTIMIZERS) do
        made(objects, attn.optim[name], {params = layers[1]:parameters(), lr = 0.1})
    end
    objects[#objects + 1] = attn.custom{forward = function(ctx, x) ctx.x = x return x * 2 end,
        backward = function(_, dy) return dy * 2 end}
    objects[#objects + 1] = attn.custom{forward = function(_, ...) return ... end,
        backward = function() coroutine.yield() end}
end

local FUNCTIONS = {
    function(...) return ... end,
    function() return attn.ones(3, 4) end,
    function(x) return x * x end,
    function() error "raised" end,
    function() error({}) end,
    function() coroutine.yield(1) end,
    function(...)
        for _, x in ipairs{...} do pcall(function() x:free() end) end
        collectgarbage("step")
    end,
    function(x, ...) return attn.scope(function() return x end), ... end,
    math.max, string.rep, attn.softmax, coroutine.wrap(function() while true do coroutine.yield(attn.ones(2)) end end),
}

local function tensor()
    local r = random()
    return any(r < 0.55 and pool.float or r < 0.75 and pool.ids or r < 0.85 and pool.mask or pool.odd)
end

local value

local function some_table()
    local r = random(9)
    if r < 4 then return any{{}, cyclic, deep, hostile} end
    if r == 5 then return {random(4), random(4)} elseif r == 6 then return {tensor(), tensor()} end
    local list = {}
    for i = 1, random(3) do list[chance(0.8) and i or any(STRINGS)] = value(true) end
    return list
end

-- Anything at all.
function value(shallow)
    local r = random()
    if r < 0.33 then return tensor() end
    if r < 0.50 then return any(NUMBERS) end
    if r < 0.60 then return any(STRINGS) end
    if r < 0.65 then return chance(0.5) end
    if r < 0.69 then return nil end
    if r < 0.75 then return any(FUNCTIONS) end
    if r < 0.81 then return any(pool.layer) end
    if r < 0.85 then return any(pool.object) end
    if r < 0.87 then return file end
    if r < 0.88 then return long end
    if r < 0.89 then return coroutine.create(any(FUNCTIONS)) end
    if r < 0.91 and #held > 0 then return any(held) end
    if shallow then return any(NUMBERS) end
    return some_table()
end

-- ---- right things, by what a record says ----

local kinds = {
    tensor = function() return any(pool.float) end,
    any = tensor,
    operand = function() return chance(0.6) and any(pool.float) or any(NUMBERS) end,
    ids = function() return any(pool.ids) end,
    mask = function() return any(pool.mask) end,
    list = function()
        local list, x = {}, tensor()
        for i = 1, random(4) do list[i] = chance(0.7) and x or tensor() end
        return list
    end,
    number = function() return any{0, 0.5, 1, 2, -1, any(NUMBERS)} end,
    integer = function() return any{1, 2, 3, 4, 4, 4, 0, -1, any(NUMBERS)} end,
    dim = function() return any{1, 1, 2, -1, 3, -2, any(NUMBERS)} end,
    dims = function() return any{1, 2, -1, {1, 2}, {1, -1}, {3}, {}, any(NUMBERS), {any(NUMBERS)}} end,
    counts = function() return any{1, 2, 3, {2, 1}, {3, 3}, {0, 2}, any(NUMBERS), {any(NUMBERS), 1}, any(STRINGS)} end,
    flag = function() return chance(0.5) end,
    sizes = function() return any{{2, -1}, {-1}, {3, 4}, {4, 3}, {1, 2}, {2, 1}, {}, {2, 3, 4}, any(NUMBERS),
        {any(NUMBERS), any(NUMBERS)}} end,
    string = function() return any(STRINGS) end,
    layer = function() return any(pool.layer) end,
    table = function() return chance(0.7) and {} or some_table() end,
    value = function() return value() end,
}

local function by_kind(record)
    if record.kind == "choice" or record.choices then
        local words = {}
        for word in record.choices:gmatch "[^|]+" do words[#words + 1] = word end
        return any(words)
    end
    return (kinds[record.kind] or value)()
end

-- Arguments for an operation: mostly as its record wants them.
local function operation_arguments(record, wrong)
    local args, options = {n = 0}, nil
    local function push(x)
        args.n = args.n + 1
        args[args.n] = x
    end
    for _, a in ipairs(record.args) do
        local x
        if chance(wrong) then x = value() else x = by_kind(a) end
        if a.option then
            if chance(0.5) then
                options = options or {}
                options[a.name] = x
            end
        elseif not (a.optional and chance(0.4)) then
            push(x)
        else
            push(nil)
        end
    end
    if options then push(options) end
    if chance(0.05) then push(value()) end
    return args
end

local function layer_config(record, wrong)
    local config = {}
    for _, f in ipairs(record.fields) do
        if f.required and not chance(0.03) or chance(0.4) then
            if chance(wrong) then config[f.name] = value() else config[f.name] = by_kind(f) end
        end
    end
    if config.attention ~= nil and chance(0.7) then
        config.attention = {score = any{"dot", "additive", "general"}, dim = 4}
    end
    if chance(0.03) then config[any(STRINGS)] = value() end
    return config
end

local function random_arguments(most)
    local args = {n = random(0, most)}
    for i = 1, args.n do args[i] = value() end
    return args
end

-- ---- right things, by hand, for what has no record of its arguments; one of them is then spoilt half of the time ----

local function step(ids, state) return attn.randn(#ids, 5), state, attn.rand(#ids, 3):softmax(2) end

local function leaf(dtype) return attn.randn({2, 3}, {dtype = dtype}):requires_grad_(true) end

local function parameters() return {leaf "float32", leaf "float64", attn.ones(4):requires_grad_(true)} end

local SENTENCES = {{"a", "cat", "sat"}, {"a", "dog"}, {"a", "cat", "ran", "far"}}
local LINES = {"a cat sat on a mat .", "the dog ran far away .", "a cat ran ."}

local function search_config(more)
    local cfg = {count = 2, state = {x = attn.ones(2, 3)}, max_length = random(4), bos = 2, eos = 3}
    for name, v in pairs(more) do if chance(0.6) then cfg[name] = v end end
    return {step, cfg}
end

local RIGHT = {
    ["bernoulli"] = function() return {0.5, random(0, 3), random(3)} end,
    ["full"] = function() return {{random(0, 3), 2}, any{2, 0.5, true}, {dtype = any{"float32", "float64"}}} end,
    ["tensor"] = function() return {{{1, 2}, {3, 4}}, {dtype = any(DTYPES)}} end,
    ["arange"] = function() return {random(5), random(9), any{1, 2, 0.5}} end,
    ["eye"] = function() return {random(0, 4), {dtype = any(DTYPES)}} end,
    ["randint"] = function() return {1, random(4), random(3), random(3)} end,
    ["empty"] = function() return {random(0, 3), 2, {dtype = any(DTYPES)}} end,
    ["tensor:to"] = function() return {tensor(), any(DTYPES)} end,
    ["tensor:copy_"] = function() return {attn.zeros(2, 3),
        any{attn.ones(3), attn.arange(1, 3), 4, attn.ones(2, 1)}} end,
    ["tensor:fill_"] = function() return {attn.zeros(3, 4):transpose(1, 2), any{4, 0.5}} end,
    ["tensor:backward"] = function() return {(leaf "float64" * 2):exp():sum()} end,
    ["tensor:chunk"] = function() return {tensor(), random(4), any{1, 2, -1}} end,
    ["tensor:split"] = function() return {tensor(), random(4), any{1, 2, -1}} end,
    ["layer:to"] = function() return {any(pool.layer), any{"float32", "float64"}} end,
    ["layer:train"] = function() return {any(pool.layer), chance(0.5)} end,
    ["layer:cache"] = function() return {attn.attention{query = 4}} end,
    ["layer:forward"] = function() return {any(pool.layer), attn.randn(2, 3, 4), attn.randn(2, 3, 4)} end,
    ["module.__call"] = function() return {pool.decoder, attn.randn(2, 3, 4), attn.randn(2, 5, 4)} end,
    ["layer:reorder"] = function()
        return {pool.decoder, select(2, pool.decoder:step(attn.randn(2, 4), attn.randn(2, 3, 4))), attn.randint(1, 2, 3)}
    end,
    ["chunk"] = function() return {attn.ones(3, 4), random(5), any{1, 2, -1}} end,
    ["split"] = function() return {attn.ones(3, 4), random(5), any{1, 2, -1}} end,
    ["clip_grad_norm"] = function()
        local list = {leaf "float32", leaf "float32"}
        ;(list[1] * list[2]):sum():backward()
        return {list, 1}
    end,
    ["clip_grad_value"] = function()
        local p = leaf "float32"
        ;(p * p):sum():backward()
        return {{p}, any{0.1, 1}}
    end,
    ["grad"] = function()
        local x = leaf "float32"
        local y = x * x
        return {y:sum(), {x, y}}
    end,
    ["checkgrad"] = function() return {any{attn.exp, attn.softmax, attn.sum}, {attn.rand({2, 2}, {dtype = "float64"})},
        {atol = 1e-3}} end,
    ["custom"] = function() return {{forward = any(FUNCTIONS), backward = any(FUNCTIONS)}} end,
    ["scope"] = function() return {any(FUNCTIONS), tensor(), tensor()} end,
    ["no_grad"] = function() return {any(FUNCTIONS), tensor(), tensor()} end,
    ["module"] = function() return {"Name", chance(0.5) and attn.module "Base" or nil} end,
    ["random_state"] = function() return {attn.random_state()} end,
    ["attention"] = function()
        local heads = any{1, 1, 2}
        return {{query = 4, dim = 4, score = any{"dot", "scaled_dot", "general", "additive", "concat", "cosine",
            "kernel", "linear", "location"},
            distribution = chance(0.5) and any{"softmax", "sparsemax", "entmax15", "entmax", "sigmoid", "hard_max", "hard_sample"}
                or nil,
            heads = heads, project = heads > 1 or chance(0.3), max_keys = chance(0.3) and 6 or nil,
            window = chance(0.3) and {type = any{"monotonic", "predictive", "band"}, radius = 2} or nil,
            position = chance(0.2) and any{"rope", "alibi"} or nil}}
    end,
    ["layer.conv1d"] = function() return {{inputs = 4, outputs = 3, kernel = random(3), stride = random(2),
        padding = any{0, 1, 2, {0, 2}, "causal"}, dilation = random(2), groups = chance(0.1) and 2 or nil}} end,
    ["layer.conv2d"] = function() return {{inputs = 4, outputs = 3, kernel = any{1, 2, {1, 3}}, stride = random(2),
        padding = any{0, 1, {2, 0}}, dilation = any{1, {2, 1}}, groups = chance(0.1) and 2 or nil}} end,
    ["metric.accuracy"] = function() return {attn.randn(3, 4), attn.randint(0, 4, 3)} end,
    ["metric.bleu"] = function() return {LINES, {LINES[2], LINES[1], LINES[3]}} end,
    ["metric.bleu_by_length"] = function() return {LINES, LINES, {3, 6, 9}, {5}} end,
    ["metric.alignment_error_rate"] = function() return {{{{1, 1}}}, {{{1, 1}, {2, 2}}}, {{{1, 1}}}} end,
    ["penalty.frobenius"] = function() return {attn.rand(2, 3, 4)} end,
    ["penalty.disagreement"] = function() return {attn.rand(2, 3, 4, 2), any{"subspace", "position", "output"}} end,
    ["schedule.noam"] = function() return {{dim = 4, warmup = 10}} end,
    ["schedule.cosine"] = function() return {{steps = 10, lr = 1, warmup = 2}} end,
    ["schedule.linear"] = function() return {{steps = 10, lr = 1, warmup = 2}} end,
    ["schedule.step"] = function() return {{every = 3, lr = 1}} end,
    ["search.greedy"] = function() return search_config{lengths = {2, 3}} end,
    ["search.beam"] = function() return search_config{width = random(3), nbest = random(2), length_penalty = 0.6,
        coverage_penalty = 0.1} end,
    ["search.sample"] = function() return search_config{temperature = 0.8, top_k = 3, top_p = 0.9, nbest = 2} end,
    ["search.forced"] = function() return {step, {targets = {{4, 5}, {1}}, state = attn.ones(2)}} end,
    ["search.copy"] = function() return {attn.randn(2, 4), attn.rand(2, 3), attn.randn(2), attn.randint(0, 6, 2, 3),
        chance(0.5) and 6 or nil} end,
    ["loss.copy"] = function() return {attn.randn(2, 3, 4):requires_grad_(true), attn.rand(2, 3, 3), attn.randn(2, 3),
        attn.randint(0, 6, 2, 3), attn.randint(0, 6, 2, 3), {reduction = any{"mean", "sum", "none"}}} end,
    ["search.reorder"] = function() return {{attn.ones(3, 2), {x = attn.ones(3)}, "s"}, attn.randint(1, 3, 4)} end,
    ["data.pad"] = function() return {{{1, 2, 3}, {}, {4}}} end,
    ["data.split"] = function() return {{1, 2, 3, 4}, {0.5, 0.5}, 1} end,
    ["data.shuffle"] = function() return {{1, 2, 3}, attn.data.random(1)} end,
    ["data.batches"] = function()
        return {{fields = {source = {{1, 2}, {3}}, target = {{4}, {5, 6, 7}}}, shift = {"target"}, bos = 2, eos = 3,
            size = 2, seed = 1}}
    end,
    ["text.vocabulary"] = function() return {SENTENCES, {size = 6}} end,
    ["text.bpe"] = function() return {LINES, {merges = 4, min_count = 1}} end,
    ["text.extend"] = function() return {attn.text.vocabulary(SENTENCES, {size = 4}), any(SENTENCES)} end,
    ["text.join"] = function() return {any(SENTENCES)} end,
    ["text.replace_unknown"] = function() return {{"<unk>", "sat"}, {"a", "cat"}, attn.rand(2, 2)} end,
    ["show.attention"] = function() return {attn.rand(2, 3), {rows = {"a", "b"}, columns = {"x", "y", "z"}}} end,
    ["show.spark"] = function() return {{1, 2, 5, 0 / 0, 3}, 10} end,
    ["show.result"] = function() return {"name", 1.5, "%"} end,
    ["show.table"] = function() return {{"a", "b"}, {{1, 2}, {"x", 3}}} end,
    ["train.loop"] = function()
        local model = attn.layer.linear{inputs = 3, outputs = 1}
        return {{model = model, optimizer = attn.optim.sgd{params = model:parameters(), lr = 0.1}, quiet = true,
            steps = 2, clip = 1,
            data = function() return attn.ones(2, 3) end, loss = function(x) return model(x):mean() end}}
    end,
    ["safetensors.save"] = function() return {temporary, {a = attn.ones(2), b = attn.arange(1, 3)}, {note = "x"}} end,
    ["save"] = function() return {temporary, {a = attn.ones(2), list = {1, 2.5, "x", {true}}, l = any(pool.layer)}} end,
    ["npy.save"] = function() return {temporary, attn.ones(2, 3)} end,
    ["load"] = function() return {temporary} end,
    ["safetensors.load"] = function() return {temporary} end,
    ["npy.load"] = function() return {temporary} end,
    ["image.save"] = function() return {temporary, attn.rand(random(4), 3, 4)} end,
    ["image.load"] = function() return {temporary} end,
    ["layer:load"] = function()
        local l = any(pool.layer)
        return {l, l:state()}
    end,
    ["layer:step"] = function()
        local d = any(pool.layer)
        return {d, attn.randn(2, 4), attn.randn(2, 3, 4), nil, n = 3}
    end,
    ["optimizer:load"] = function()
        local o = attn.optim.adam{params = parameters()}
        return {o, o:state()}
    end,
    ["optimizer.__newindex"] = function() return {attn.optim.adam{params = parameters()}, "lr", 0.5} end,
    ["layer.__newindex"] = function() return {attn.layer.linear{inputs = 2, outputs = 2}, "weight",
        attn.ones(2, 2)} end,
    ["tensor.__newindex"] = function() return {attn.zeros(2, 3), any{1, {1, 2}, {{}, {1, 2}}},
        any{3, attn.ones(1)}} end,
    ["tensor.__index"] = function() return {tensor(), any{1, -1, {1}, {{}, 1}, {{1, 2}}, "shape", "grad"}} end,
    ["fields.read"] = function() return {"f", {a = 1}, {{"a", "integer"}, {"b", "string", "x"}}} end,
}
-- images, sequences, places
for name, make in pairs{
    conv1d = function() return {attn.randn(2, 5, 4), attn.randn(2, any{2, 4}, 2), chance(0.5) and attn.randn(2) or nil,
        {groups = random(2), padding = any{0, 1, "same", "causal"}, dilation = random(2)}, n = 4} end,
    conv2d = function() return {attn.randn(2, 4, 5, 6), attn.randn(2, any{2, 4}, 2, 3), chance(0.5) and attn.randn(2) or nil,
        {groups = random(2), padding = any{0, 1, {1, 0}, "same"}, stride = any{1, 1, {2, 1}}}, n = 4} end,
    max_pool1d = function() return {attn.randn(2, 6, 3), random(3), {stride = random(2), padding = random(0, 1)}} end,
    max_pool2d = function() return {attn.randn(2, 3, 6, 5), any{2, {1, 3}}, {stride = random(2), padding = random(0, 1)}} end,
    avg_pool2d = function() return {attn.randn(2, 3, 6, 5), any{2, {1, 3}}, {stride = random(2), padding = random(0, 1)}} end,
    affine_grid = function() return {attn.randn(2, 2, 3), {random(4), random(4)}, {align_corners = chance(0.5)}} end,
    grid_sample = function() return {attn.randn(2, 3, 4, 5), attn.randn(2, 3, 2, 2),
        {mode = any{"bilinear", "nearest"}, padding = any{"zeros", "border"}, align_corners = chance(0.5)}} end,
    interpolate = function() return {attn.randn(2, 3, 4, 5), {random(6), random(6)}, {mode = any{"bilinear", "nearest"}}} end,
    glimpse = function() return {attn.randn(2, 3, 6, 5), attn.randn(2, 2), {size = random(3), scales = random(2)}} end,
    scatter_add = function() return {attn.randn(3, 4), 2, attn.randint(0, 4, 3, 5), attn.randn(3, 5)} end,
    gather = function() return {attn.randn(3, 4), 2, attn.randint(0, 4, 3, 5)} end,
    index_select = function() return {attn.randn(3, 4), 1, attn.randint(1, 3, 5)} end,
    masked_select = function() return {attn.randn(3, 4), attn.bernoulli(0.5, {3, 4}, {dtype = "bool"})} end,
    topk = function() return {attn.randn(3, 4), random(4), any{1, 2}} end,
    cdist = function() return {attn.randn(2, 3, 4), attn.randn(2, 5, 4)} end,
    linspace = function() return {-1, 1, random(5)} end,
    randperm = function() return {random(0, 5)} end,
} do
    RIGHT[name] = make
end
for _, name in ipairs{"empty_like", "rand_like", "randn_like", "zeros_like", "ones_like"} do
    RIGHT[name] = function() return {any(pool.float)} end
end
for _, name in ipairs{"__band", "__bor", "__bxor"} do
    RIGHT["tensor." .. name] = function()
        return {attn.bernoulli(0.5, {2, 3}, {dtype = "bool"}), attn.bernoulli(0.5, {3}, {dtype = "bool"})}
    end
end
for _, name in ipairs{"__div", "__idiv", "__mod"} do
    RIGHT["tensor." .. name] = function() return {attn.randn(2, 3), any{2, 0.5, attn.randn(3)}} end
end
for _, name in ipairs{"mse", "l1", "huber", "bce_logits", "margin"} do
    RIGHT["loss." .. name] = function() return {attn.randn(4):requires_grad_(true), attn.rand(4)} end
end
RIGHT["loss.cross_entropy"] = function() return {attn.randn(2, 3, 4), attn.randint(0, 4, 2, 3)} end
-- chains and trees
local function lengths() return chance(0.5) and attn.randint(0, 3, 2) or nil end
for _, name in ipairs{"marginals", "log_partition", "viterbi", "sample"} do
    RIGHT["structured.chain_" .. name] = function()
        return {attn.randn(2, 3, 4):requires_grad_(true), any{attn.randn(4, 4), attn.randn(2, 2, 4, 4)}, {lengths = lengths()}}
    end
end
RIGHT["structured.chain_nll"] = function()
    return {attn.randn(2, 3, 4), attn.randn(4, 4), attn.randint(1, 4, 2, 3), {lengths = lengths()}}
end
for _, name in ipairs{"marginals", "log_partition", "best"} do
    RIGHT["structured.tree_" .. name] = function()
        return {attn.randn(2, 3, 3):requires_grad_(true), {lengths = lengths(), projective = chance(0.5)}}
    end
end
-- files of bytes
local function holding(bytes)
    local small = assert(io.open("small", "wb"))
    small:write(bytes)
    small:close()
    return "small"
end
for name, bytes in pairs{tsv = "a\tb\n1\t2\n", bytes = "\0\1\255", idx = "\0\0\8\2\0\0\0\2\0\0\0\1\7\8",
                         cifar = ("\3"):rep(3073), lines = "one\ntwo"} do
    RIGHT["data." .. name] = function() return {holding(chance(0.8) and bytes or bytes:sub(1, random(#bytes)))} end
end
RIGHT["data.classes"] = function() return {{"b", "a", "b"}} end
-- draws, estimators, initial values, and what puts modules together
for _, name in ipairs{"categorical", "bernoulli"} do
    RIGHT["dist." .. name] = function() return {any{{logits = attn.randn(3, 4)}, {probs = attn.rand(3, 4) + 0.1}}} end
end
RIGHT["dist.normal"] = function() return {{mean = attn.randn(3), std = any{0.5, attn.rand(3) + 0.1}}} end
RIGHT["dist.gumbel"] = function() return {attn.randn(3, 4)} end
RIGHT["estimate.reinforce"] = function() return {{baseline = any{"none", "moving", "learned", "leave_one_out"}}} end
RIGHT["estimate.straight_through"] = function() return {attn.ones(3), attn.randn(3)} end
RIGHT["estimate.gumbel_softmax"] = function() return {attn.randn(3, 4), {temperature = 0.5, hard = chance(0.5)}} end
for name in pairs(attn.init) do RIGHT["init." .. name] = function() return {attn.zeros(4, 3), name == "constant" and 1 or nil} end end
RIGHT["sequential"] = function() return {{attn.layer.linear{inputs = 4, outputs = 4}, attn.tanh}} end
RIGHT["parameter"] = function() return {random(3), random(3)} end
RIGHT["checkpoint"] = function() return {function(x) return x * x end, attn.randn(3):requires_grad_(true)} end
RIGHT["allclose"] = function() return {attn.ones(3), attn.ones(3) + 1e-9} end
RIGHT["decoder.rnn"] = function() return {{inputs = 4, hidden = 4, memory = 4, outputs = 5, style = any{"bahdanau", "luong"},
    input_feeding = chance(0.5), cell = any{"gru", "lstm", "rnn"}, attention = any{{score = "dot"}, pool.attend}}} end
for _, name in ipairs(OPTIMIZERS) do
    RIGHT["optim." .. name] = function() return {{params = parameters(), lr = 0.1}} end
end

-- Arguments of RIGHT, half of the time with one of them, or a field of one, replaced by anything.
local function right_arguments(name)
    return function()
        local args = RIGHT[name]()
        args.n = args.n or #args
        if args.n == 0 or chance(0.5) then return args end
        local at = random(args.n)
        local inner = args[at]
        if type(inner) == "table" and inner ~= cyclic and inner ~= hostile and chance(0.8) then
            local keys = {}
            for key in next, inner do keys[#keys + 1] = key end
            table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
            local copy = {}
            for key, v in next, inner do copy[key] = v end
            if #keys > 0 then copy[any(keys)] = value() end
            args[at] = copy
        else
            args[at] = value()
        end
        return args
    end
end

-- ---- targets ----

local targets = {}      -- {name, fn, arguments}

local found = {}        -- names in RIGHT that exist

local function add(name, fn, arguments)
    if type(fn) ~= "function" and not (type(fn) == "table" and getmetatable(fn)) or SKIP[name] then return end
    targets[#targets + 1] = {name, fn, arguments or function() return random_arguments(5) end}
    if RIGHT[name] and not found[name] then
        found[name] = true
        for _ = 1, 3 do targets[#targets + 1] = {name, fn, right_arguments(name)} end
    end
end

local operations = {}
for _, record in ipairs(attn.operations()) do operations[record.name] = record end

local function walk(prefix, list, seen)
    for key, v in pairs(list) do
        local name = prefix .. tostring(key)
        if type(v) == "function" and not operations[name] then
            add(name, v)
        elseif type(v) == "table" and not seen[v] then
            seen[v] = true
            walk(name .. ".", v, seen)
        end
    end
end

refill()
for _, name in ipairs{"search", "schedule", "penalty", "data", "text", "metric", "train", "run", "show", "checkgrad", "dist",
                      "estimate", "init", "sequential", "parameter", "checkpoint", "allclose"} do
    local module = attn[name]
    assert(module, name)
end
walk("", attn, {[attn] = true})
walk("internal.", internal, {})
walk("fields.", require "attn.fields", {})

for name, record in pairs(operations) do
    local fn = attn
    for part in name:gmatch "[^.]+" do fn = fn and fn[part] end
    if fn then
        -- four times: operations are most of what there is
        for _, wrong in ipairs{0, 0, 0.15, 0.5} do
            add(name, fn, function() return operation_arguments(record, wrong) end)
        end
    end
end

for _, record in ipairs(attn.layers()) do
    local fn = attn
    for part in record.name:gmatch "[^.]+" do fn = fn[part] end
    for _, wrong in ipairs{0, 0.1, 0.5} do
        add(record.name, fn, function() return {n = 1, layer_config(record, wrong)} end)
    end
end

-- Methods and metamethods, of tensors, layers, modules and optimizers.
local function object_arguments(list, more)
    return function()
        local args = random_arguments(more)
        args.n = args.n + 1
        table.insert(args, 1, chance(0.9) and any(list()) or value())
        return args
    end
end
local sources = {
    tensor = {attn.ones(1), function() return any{pool.float, pool.ids, pool.mask, pool.odd} end},
    layer = {pool.layer[1], function() return pool.layer end},
    module = {attn.module "Empty"(), function() return pool.layer end},
    optimizer = {attn.optim.sgd{params = {attn.ones(1):requires_grad_(true)}, lr = 1},
        function() return pool.object end},
}
for kind, source in pairs(sources) do
    for key, fn in pairs(debug.getmetatable(source[1])) do
        if type(fn) == "function" then
            add(kind .. "." .. tostring(key), fn, object_arguments(source[2], 3))
            add(kind .. "." .. tostring(key), fn)
            for i = 1, 3 do
                local _, methods = debug.getupvalue(fn, i)
                if key == "__index" and type(methods) == "table" then
                    for name, method in pairs(methods) do
                        local record = kind == "tensor" and operations[name]
                        add(kind .. ":" .. name, method, not record and object_arguments(source[2], 3) or
                            function() return operation_arguments(record, 0.1) end)
                    end
                end
            end
        end
    end
end
add("attn.__index", debug.getmetatable(attn).__index)
local class_meta = getmetatable(attn.module "Meta")
for key, fn in pairs(class_meta) do add("class." .. key, fn) end
for _, name in ipairs{"step", "reorder", "cache", "forward", "train", "to", "load"} do
    add("layer:" .. name, function(object, ...) return object[name](object, ...) end,
        object_arguments(function() return pool.layer end, 4))
end
-- A layer is called mostly with what it could take.
for _ = 1, 12 do
    add("layer()", function(layer, ...) return layer(...) end, function()
        local x = chance(0.8) and attn.randn(any{{2, 3, 4}, {3, 4}, {4}, {2, 2, 4}}) or tensor()
        local args = {n = 2, any(pool.layer), chance(0.2) and any(pool.ids) or x}
        while args.n < 4 and chance(0.5) do
            args.n = args.n + 1
            args[args.n] = chance(0.6) and x or value()
        end
        if chance(0.5) then
            args.n = args.n + 1
            args[args.n] = {[any{"lengths", "mask", "causal", "weights", "state", "memory_lengths", "bias", "key_mask",
                "cache", "position"}] =
                any{attn.randint(0, 3, 2), attn.bernoulli(0.5, 3, 3, {dtype = "bool"}), true, 1, value(), {h = x}}}
        end
        return args
    end)
end
local differentiable = {}
for name, record in pairs(operations) do
    if record.gradient ~= "none" and not record.internal then differentiable[#differentiable + 1] = name end
end
table.sort(differentiable)
local function forward_and_backward(f, ...)
    local y = f(...)
    y:backward(attn.ones(y.shape, {dtype = y.dtype}))
end
local function differentiable_arguments()
    local record = operations[any(differentiable)]
    local fn = attn
    for part in record.name:gmatch "[^.]+" do fn = fn and fn[part] end
    local args = operation_arguments(record, 0)
    table.insert(args, 1, fn or attn.exp)
    args.n = args.n + 1
    return args
end
for _ = 1, 8 do add("backward", forward_and_backward, differentiable_arguments) end
for name in pairs(RIGHT) do assert(found[name], "nothing is called " .. name) end
-- in a fixed order: a seed means the same calls in every run
for i, target in ipairs(targets) do target.order = i end
table.sort(targets, function(a, b) return a[1] < b[1] or a[1] == b[1] and a.order < b.order end)

-- ---- a finalizer that wrecks what the call at hand was given ----

local victims           -- its arguments

local wreckers = {
    function(x) x:free() end,
    function(x) x:zero_grad() end,
    function(x) x.grad = nil end,
    function(x) local _ <close> = x end,
    function(x) x:to "float64" end,
    function(x) x:load(x:state()) end,
    function(x) x.weight = attn.ones(x.weight.shape) end,
    function(x) x.inner, x.w, x.list = nil, nil, nil end,
    function(x) for key in pairs(x:state()) do x[key] = nil end end,
}

local function wreck(v, depth)
    if type(v) == "userdata" and v ~= file then
        pcall(any(wreckers), v)
    elseif type(v) == "table" and depth < 4 and v ~= deep and v ~= attn and v ~= _G then
        for key, inner in next, v do
            wreck(inner, depth + 1)
            if chance(0.3) and v ~= cyclic then v[key] = nil end
        end
    end
end

local function vandal()
    setmetatable({}, {__gc = function()
        if victims and chance(0.5) then
            local list = victims
            for i = 1, list.n do if chance(0.5) then wreck(list[i], 0) end end
        end
        vandal()
    end})
end

-- fn(...) with the collector at work wherever Lua allocates; the arguments are the list's.
local function among_finalizers(fn, list)
    victims = list
    collectgarbage("incremental", 1, 1000, 100)         -- a whole cycle at every step, and no pause between
    collectgarbage "step"
    local results = table.pack(fn(table.unpack(list, 1, list.n)))
    collectgarbage("incremental", 200, 100, 13)
    victims = nil
    return results
end

-- ---- calls ----

local function describe(v)
    if type(v) == "string" then return ("%q"):format(v:sub(1, 40)):gsub("\n", "n") end
    if type(v) == "userdata" then
        local ok, text = pcall(tostring, v)
        return ok and (text:gsub("\n.*", "")) or "userdata"
    end
    if type(v) == "table" and v ~= hostile then
        local parts = {}
        for key, x in next, v do
            parts[#parts + 1] = tostring(key) .. " = " .. (type(x) == "table" and "{...}" or describe(x))
            if #parts == 8 then break end
        end
        return "{" .. table.concat(parts, ", ") .. "}"
    end
    return v == hostile and "hostile" or tostring(v)
end

local function show(target, args)
    local parts = {}
    for i = 1, args.n do parts[i] = describe(args[i]) end
    return target[1] .. "(" .. table.concat(parts, ", ") .. ")"
end

local log = os.getenv "ATTN_FUZZ_LOG"
log = log and assert(io.open(log, "w"))

local maps = io.open "/proc/self/maps"
local slow = maps and maps:read("a"):find("libasan", 1, true) and 20 or 1
if maps then maps:close() end

local function live()
    collectgarbage()
    collectgarbage()
    return attn.memory().live
end

local old_print, old_output, stdout, stderr = print, io.output(), io.stdout, io.stderr
local sink = assert(io.open("/dev/null", "w"))
io.output(sink)
io.stdout, io.stderr = sink, sink
rawset(_G, "print", function() end)
held, pool = {}, nil
local before = live()
refill()
attn.memory_limit(LIMIT)
if VANDAL then vandal() end
local reached, worst, worst_call = 0, 0, "none"
local succeeded = {}
local fine, problem = xpcall(function()
    for i = 1, COUNT do
        if i % (VANDAL and 20 or 200) == 0 then
            held = {}
            refill()
        end
        local target = any(targets)
        local made, args = pcall(target[3])
        if not made then args = random_arguments(3) end     -- an earlier call closed what it was to use
        if log then
            log:write(i, " ", show(target, args), "\n")
            log:flush()
        end
        local heap, clock = collectgarbage("count"), os.clock()
        local results
        if chance(0.15) then internal.fail_allocation(random(25), any{1, 2, true}) end
        if VANDAL then
            results = among_finalizers(function(...) return pcall(target[2], ...) end, args)
        elseif chance(0.1) then
            results = table.pack(coroutine.resume(coroutine.create(target[2]), table.unpack(args, 1, args.n)))
        else
            results = table.pack(pcall(target[2], table.unpack(args, 1, args.n)))
        end
        internal.fail_allocation(0)
        local seconds = os.clock() - clock
        if seconds > worst then worst, worst_call = seconds, show(target, args) end
        if seconds > 2 * slow then error(("%.1f s: %s"):format(seconds, show(target, args)), 0) end
        if collectgarbage("count") - heap > 512 * 1024 then
            error("half a GiB of Lua's heap: " .. show(target, args), 0)
        end
        if results[1] then
            reached = reached + 1
            succeeded[target[1]] = true
            for k = 2, math.min(results.n, 5) do
                local v = results[k]
                local kind = type(v)
                if #held < 60 and (kind == "function" or kind == "userdata" or kind == "table" and v ~= attn) then
                    held[#held + 1] = v
                end
                if type(v) == "userdata" then
                    if VANDAL then among_finalizers(function() return pcall(tostring, v) end, {v, n = 1}) end
                    pcall(tostring, v)
                end
            end
        end
        attn.anomaly(false)
        if i % 50 == 0 then
            local x = attn.ones(1):requires_grad_(true)
            if not (x * 1).requires_grad then error("gradients are off after " .. show(target, args), 0) end
            if #held > 0 and chance(0.5) then
                local v = any(held)
                if type(v) == "function" then pcall(v, value(), value()) end
                if type(v) == "table" then
                    for key, f in next, v do
                        if type(f) == "function" and not SKIP[key] and not SKIP["internal." .. tostring(key)] then
                            pcall(f, v, value())
                            break
                        end
                    end
                end
            end
        end
    end
end, function(e) return type(e) == "string" and e or debug.traceback(tostring(e), 2) end)
attn.memory_limit(0)
rawset(_G, "print", old_print)
io.output(old_output)
io.stdout, io.stderr = stdout, stderr
sink:close()
if not fine then error(problem, 0) end
local distinct = 0
for _ in pairs(succeeded) do distinct = distinct + 1 end
if log then
    local never, seen = {}, {}
    for _, target in ipairs(targets) do
        if not succeeded[target[1]] and not seen[target[1]] then never[#never + 1] = target[1] end
        seen[target[1]] = true
    end
    log:write("never succeeded: ", table.concat(never, " "), "\n")
    log:write(("%d of %d calls succeeded, of %d names; slowest %.2f s: %s\n"):format(reached, COUNT, distinct, worst,
        worst_call))
end
assert(COUNT < 5000 or reached > COUNT // 20,
    ("only %d of %d calls succeeded: the fuzzer does not reach the code"):format(reached, COUNT))
held, pool, cyclic, FUNCTIONS, sources = nil, nil, nil, nil, nil
local count = #targets
targets = nil
local after = live()
assert(after - before < 1 << 20, ("%d live bytes before, %d after"):format(before, after))
print(("%d calls of %d functions and methods, %d of them without an error"):format(COUNT, count, reached))
