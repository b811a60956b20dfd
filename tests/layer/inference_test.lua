-- model:to_inference: what it converts and what not, that models compute what their rounded weights compute, and that nothing trains.
local attn, t = require "attn", require "attn.test"
local internal = require "attn.internal"

local FORMATS = {bf16 = "bfloat16", int8 = "int8"}

-- A language model with tied embeddings, as GPT-2 has them.
local Language = attn.module "Language"
function Language:init(words, dim)
    self.embed = attn.layer.embedding{count = words, dim = dim}
    self.place = attn.layer.positional{dim = dim, type = "learned", max_length = 12}
    self.blocks = attn.encoder.transformer{dim = dim, heads = 2, layers = 2, dropout = 0.1, activation = "gelu"}
    self.out = attn.layer.linear{inputs = dim, outputs = words, bias = false}
    self.out.weight = self.embed.weight
end
function Language:forward(ids) return self.out((self.blocks(self.place(self.embed(ids)), {causal = true}))) end
function Language:step(ids, state, at)
    local y, after = self.blocks:step(self.embed(ids) + self.place.weight[at], state)
    return self.out(y), after
end

local Translator = attn.module "Translator"
function Translator:init(words, dim)
    local shape = {dim = dim, heads = 2, layers = 1, ff = 2 * dim}
    self.source, self.target = attn.layer.embedding{count = words, dim = dim}, attn.layer.embedding{count = words, dim = dim}
    self.encoder, self.decoder = attn.encoder.transformer(shape), attn.decoder.transformer(shape)
    self.out = attn.layer.linear{inputs = dim, outputs = words}
end
function Translator:search(ids)
    local memory = self.encoder(self.source(ids))
    local function step(words, state)
        local y, after = self.decoder:step(self.target(words), state.memory, state.decoder)
        return self.out(y), {memory = state.memory, decoder = after}
    end
    return attn.search.beam(step, {state = {memory = memory}, count = #ids, bos = 1, eos = 2, width = 3, max_length = 6})
end

local Recurrent = attn.module "Recurrent"
function Recurrent:init(words, dim, style)
    self.source, self.target = attn.layer.embedding{count = words, dim = dim}, attn.layer.embedding{count = words, dim = dim}
    self.encoder = attn.encoder.rnn{inputs = dim, hidden = dim}
    self.decoder = attn.decoder.rnn{inputs = dim, hidden = dim, outputs = words, memory = dim, style = style,
                                    readout = style == "luong" and "linear" or "maxout", attention = {score = "additive", dim = dim}}
end
function Recurrent:forward(ids) return (self.decoder(self.target(ids), (self.encoder(self.source(ids))))) end
function Recurrent:steps(ids)
    local memory, state, out = self.encoder(self.source(ids)), nil, {}
    for k = 1, ids:size(2) do out[k], state = self.decoder:step(self.target(ids:select(2, k)), memory, state) end
    return attn.stack(out, 2)
end

local function names_of(model, dtype)
    local names = {}
    for name, x in pairs(model:state()) do
        if x.dtype == dtype then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

-- Two models with the same weights: one kept for inference, one of float32 with its matrices rounded the same way.
local function pair(how, make)
    attn.seed(11)
    local kept = make()
    attn.seed(11)
    local wide = make():eval()
    t.is_true(kept:to_inference(how) == kept)
    attn.no_grad(function()
        local seen = {}
        local state = wide:state()
        for _, name in ipairs(names_of(kept, FORMATS[how])) do
            local x = state[name]
            x:copy_(x:to(FORMATS[how]):to "float32")    -- once more does not change a tied one
            seen[#seen + 1] = name
        end
        t.is_true(#seen > 0)
    end)
    return kept, wide
end

local function both(how, make, run)
    local kept, wide = pair(how, make)
    return attn.no_grad(run, kept), attn.no_grad(run, wide)
end

for how in pairs(FORMATS) do
    t.case(how .. ": a language model's steps and passes are those of its rounded weights", function()
        local got, expected = both(how, function() return Language(23, 12) end, function(model)
            local ids = attn.tensor({{3, 1, 4, 1, 5}, {9, 2, 6, 5, 3}}, {dtype = "int64"})
            local list, state, y = {model(ids)}, nil, nil
            for at = 1, 5 do
                y, state = model:step(ids:select(2, at), state, at)
                list[#list + 1] = y
            end
            return list
        end)
        for k, y in ipairs(got) do t.near(y, expected[k]:totable(), 1e-4) end
        for at = 1, 5 do t.near(got[at + 1], got[1]:select(2, at):totable(), 1e-4) end
    end)

    t.case(how .. ": a translator finds with a beam what its rounded weights find", function()
        local got, expected = both(how, function() return Translator(17, 16) end, function(model)
            return model:search(attn.tensor({{3, 7, 4, 1}, {9, 2, 6, 5}}, {dtype = "int64"}))
        end)
        for i = 1, 2 do
            t.equal(got[i][1].ids, expected[i][1].ids)
            t.near(got[i][1].score, expected[i][1].score, 1e-4)
        end
    end)

    for _, style in ipairs{"bahdanau", "luong"} do
        t.case(("%s: a recurrent decoder, %s"):format(how, style), function()
            local got, expected = both(how, function() return Recurrent(11, 8, style) end, function(model)
                local ids = attn.tensor({{3, 7, 4, 1}, {9, 2, 6, 5}}, {dtype = "int64"})
                return {model(ids), model:steps(ids)}
            end)
            for k = 1, 2 do t.near(got[k], expected[k]:totable(), 1e-4) end
        end)
    end

    for _, cell in ipairs{"gru", "lstm", "rnn"} do
        t.case(("%s: recurrent layers and cells, %s"):format(how, cell), function()
            local Layers = attn.module "Layers"
            function Layers:init()
                self.rnn = attn.encoder.rnn{inputs = 6, hidden = 7, cell = cell, layers = 2, bidirectional = true}
                self.forth = attn.encoder.rnn{inputs = 6, hidden = 70, cell = cell}
                self.cell = attn.layer.cell{inputs = 6, hidden = 7, type = cell}
            end
            local got, expected = both(how, Layers, function(model)
                attn.seed(14)
                local x, h, c = attn.randn(3, 5, 6), nil, nil
                local y, last = model.rnn(x, {lengths = attn.tensor({5, 0, 2}, {dtype = "int64"})})
                local list = {y, last.h, (model.rnn(x:narrow(2, 1, 1), {lengths = attn.tensor({1, 0, 1}, {dtype = "int64"}), state = last}))}
                local whole, state = model.forth(x), nil
                list[#list + 1] = whole
                for k = 1, 5 do
                    y, state = model.forth(x:narrow(2, k, 1), {state = state})
                    t.near(y:select(2, 1), whole:select(2, k):totable(), 1e-5)
                    h, c = model.cell(x:select(2, k), h, c)
                    list[#list + 1] = h
                end
                return list
            end)
            for k, y in ipairs(got) do t.near(y, expected[k]:totable(), 1e-4) end
        end)
    end

    t.case(how .. ": the same bits with 1, 2, 3 and 7 threads", function()
        local before, first = attn.threads(), nil
        for _, n in ipairs{1, 2, 3, 7} do
            attn.threads(n)
            attn.seed(12)
            local model = Language(300, 64):to_inference(how)
            local ids = attn.randint(1, 300, 3, 12)
            local y = {model(ids):reshape(-1):totable(), (model:step(ids:select(2, 1), nil, 1)):reshape(-1):totable()}
            first = first or y
            t.equal(y, first)
        end
        attn.threads(before)
    end)
end

t.case("what products and look-ups read is converted, the rest stays float32; a tie stays one", function()
    local model = Language(9, 4):to_inference "bf16"
    local names = names_of(model, "bfloat16")
    t.equal(#names, 1 + 2 * 6)
    for _, name in ipairs(names) do t.is_true(name:find "weight$" and not name:find "norm" and not name:find "place", name) end
    t.is_true(internal.identity(model.out.weight) == internal.identity(model.embed.weight))
    t.equal({model.training, model.blocks.training, model.embed.dtype}, {false, false, "float32"})
    t.equal(model:count(), Language(9, 4):count())
    t.equal(model:to_inference("bf16").embed.weight.dtype, "bfloat16")
    local pool = attn.layer.attention_pool{inputs = 3, dim = 2}:to_inference "int8"
    t.equal(pool.weight.dtype, "int8")
    t.equal(attn.layer.maxout{inputs = 3, outputs = 2}:to_inference("int8").weight.dtype, "int8")
end)

t.case("a matrix that something else has, too, and a module's own tensors stay as they are", function()
    local Odd = attn.module "Odd"
    function Odd:init()
        self.shared = attn.layer.linear{inputs = 3, outputs = 3}
        self.own = attn.ones(3, 3):requires_grad_(true)
        self.alias = self.shared.weight
        self.free = attn.layer.linear{inputs = 3, outputs = 3}
    end
    local model = Odd():to_inference "int8"
    t.equal({model.shared.weight.dtype, model.own.dtype, model.free.weight.dtype}, {"float32", "float32", "int8"})
    t.equal({model.own.requires_grad, model:count()}, {false, Odd():count()})
    t.is_true(model:to("float32").own.requires_grad)
end)

t.case("nothing trains, and each way says how to come back", function()
    local model = Language(9, 4)
    local sgd = attn.optim.sgd{params = model:parameters(), lr = 1}
    model:to_inference "int8"
    local back = "model:to(\"float32\"), then model:load its float32 weights"
    t.raises("train: embed.weight is int8, kept for inference: " .. back, model.train, model)
    t.is_true(model:train(false) == model and model:eval() == model)
    t.raises("is int8 [9, 4], kept for inference: " .. back, sgd.step, sgd)
    t.raises("sgd: params[1] is int8 [9, 4], kept for inference: " .. back, attn.optim.sgd, {params = model:parameters(), lr = 1})
    t.raises("load: embed.weight is int8, kept for inference: load before to_inference, or after model:to(\"float32\")", model.load, model,
             Language(9, 4):state())
    local loss = model(attn.ones(1, 2, {dtype = "int64"})):sum()
    t.is_true(not loss.requires_grad)
    t.raises("backward", loss.backward, loss)
    t.raises("through which no gradient passes", model.blocks, attn.randn(1, 2, 4):requires_grad_(true))
    t.raises("to_inference: embed.weight is int8, expected float32", model.to_inference, model, "bf16")
    t.raises("first to(\"float32\")", model.to, model, "float64")
    t.raises("to_inference: how is fp8, expected \"bf16\" or \"int8\"", model.to_inference, model, "fp8")
    t.raises("to_inference: how is", model.to_inference, model)
    t.raises("weight is float64, expected float32 (model:to(\"float32\"))", model.to_inference, Language(9, 4):to "float64", "int8")
end)

t.case("to float32 and the weights loaded: the model as it was, and it learns", function()
    attn.seed(13)
    local model, ids = Language(9, 4):eval(), attn.randint(1, 9, 2, 5)
    local weights, y = {}, model(ids):detach():totable()
    for name, x in pairs(model:state()) do weights[name] = x:clone() end
    model:to_inference "int8"
    t.is_true(model:to("float32") == model)
    for name, x in model:named_parameters() do t.equal({name, x.dtype, x.requires_grad}, {name, "float32", true}) end
    t.equal(model:load(weights)(ids), y)
    model:train():forward(ids):sum():backward()
    for name, p in model:named_parameters() do t.is_true(p.grad, name) end
end)

t.case("frozen parameters stay frozen", function()
    local l = attn.layer.linear{inputs = 2, outputs = 2}
    l.bias:requires_grad_(false)
    l:to_inference("bf16"):to "float32"
    t.equal({l.weight.requires_grad, l.bias.requires_grad}, {true, false})
end)

t.case("failed allocations leave the model as it was", function()
    local model = Language(9, 4)
    local function live()
        collectgarbage() collectgarbage()
        return attn.memory().live
    end
    local before, failures = live(), 0
    for n = 1, 500 do
        internal.fail_allocation(n, true)
        local ok, message = pcall(model.to_inference, model, "bf16")
        internal.fail_allocation(0)
        if ok then break end
        failures = failures + 1
        t.is_true(message:find("out of memory", 1, true), message)
        t.equal(#names_of(model, "bfloat16"), 0)
        t.is_true(model.training and model.embed.weight.requires_grad)
        t.equal(live(), before)
    end
    t.is_true(failures > 10)
    t.is_true(live() < before)
end)
