-- What an error says: function, argument, what was expected, what came, with its shape, at the script's own line.
local attn, t = require "attn", require "attn.test"

local here = debug.getinfo(1, "S").short_src

local function line() return debug.getinfo(2, "l").currentline end

-- fn raises exactly "<this file>:<line>: <message>".
local function fails(number, message, fn, ...)
    local ok, e = pcall(fn, ...)
    t.is_true(not ok, "no error")
    t.equal(e, ("%s:%d: %s"):format(here, number, message))
end

t.case("an operation names itself, the argument and the shape", function()
    local x, n = attn.zeros(2, 3), nil
    n = line() + 1
    fails(n, "softmax: d is 3, expected 1..2 or -2..-1 (x: float32 [2, 3])", function() return (x:softmax(3)) end)
    n = line() + 1
    fails(n, "softmax: d is 1.5, expected an integer", function() return (attn.softmax(x, 1.5)) end)
    n = line() + 1
    fails(n, "softmax: d is the string '1', expected an integer", function() return (attn.softmax(x, "1")) end)
    n = line() + 1
    fails(n, "softmax: x is missing, expected a tensor (x:softmax(...), with a colon)", function() return (attn.softmax()) end)
    n = line() + 2
    fails(n, "softmax: x is int64, expected float32 or float64 (x: int64 [2])",
        function() return (attn.arange(1, 2):softmax()) end)
    n = line() + 1
    fails(n, "log_softmax: argument 3 is 1, expected nothing more", function() return (x:log_softmax(1, 1)) end)
    n = line() + 1
    fails(n, "gather: ids is float32, expected int64 (ids: float32 [2, 3])", function() return (x:gather(1, x)) end)
    n = line() + 2
    fails(n, "masked_fill: mask is float32, expected bool (mask: float32 [2, 3])",
        function() return (x:masked_fill(x, 0)) end)
    n = line() + 1
    fails(n, "add: b is a table, expected a tensor or a number (attn.tensor{...} makes one of a table)", function() return x + {} end)
    n = line() + 1
    fails(n, "add: a is the string '1', expected a tensor or a number", function() return "1" + x end)
end)

t.case("a list names its member, options name the known ones", function()
    local x = attn.zeros(2, 3)
    local n = line() + 1
    fails(n, "cat: list is empty, expected at least one tensor", function() return (attn.cat({}, 1)) end)
    local ok, e = pcall(attn.cat, {x, attn.zeros(2, 3, {dtype = "float64"})}, 1)
    t.is_true(not ok and e:find("tensor 2 is float64, but tensor 1 is float32", 1, true), e)
    local targets = attn.arange(1, 2)
    n = line() + 2
    fails(n, "cross_entropy: unknown option 'smooth' (known: weight, smoothing, reduction)",
        function() return (attn.loss.cross_entropy(x, targets, {smooth = 1})) end)
    t.raises("cross_entropy: reduction is the string 'men', expected one of mean, sum, none", attn.loss.cross_entropy,
        x, attn.arange(1, 2), {reduction = "men"})
    t.raises("cross_entropy: options are 3, expected a table", attn.loss.cross_entropy, x, attn.arange(1, 2), 3)
end)

t.case("a constructor names the field and lists the known ones", function()
    local n = line() + 2
    fails(n, "linear: unknown field 'input' (known: inputs, outputs, bias; did you mean 'inputs'?)",
        function() attn.layer.linear{input = 8, outputs = 4} end)
    t.raises("linear: unknown field 1, fields have names (known: inputs, outputs, bias)", attn.layer.linear, {8, 4})
    t.raises("linear: field 'inputs' is missing (known: inputs, outputs, bias)", attn.layer.linear, {outputs = 4})
    t.raises("linear: inputs is 2.5, expected an integer", attn.layer.linear, {inputs = 2.5, outputs = 4})
    t.raises("linear: inputs is '8', expected an integer", attn.layer.linear, {inputs = "8", outputs = 4})
    t.raises("linear: inputs is 0, expected at least 1", attn.layer.linear, {inputs = 0, outputs = 4})
    t.raises("linear: bias is 1, expected true or false", attn.layer.linear, {inputs = 8, outputs = 4, bias = 1})
    t.raises("encoder.rnn: cell is 'gur', expected one of gru, lstm, rnn (did you mean 'gru'?)", attn.encoder.rnn,
        {inputs = 1, hidden = 1, cell = "gur"})
    t.raises("linear: argument is 3, expected a table of fields", attn.layer.linear, 3)
    t.raises("linear: inputs is a function, expected an integer", attn.layer.linear, {inputs = print})
    t.raises("linear: a tensor of shape [2147483648, 2147483648] is too large", attn.layer.linear,
        {inputs = 1 << 31, outputs = 1 << 31})
    local deep = {}
    for _ = 1, 40 do deep = {deep} end
    t.raises("nested more than 16 deep", attn.layer.linear, {inputs = deep})
    t.equal(attn.layer.linear{inputs = 8.0, outputs = 4}.inputs, 8)
end)

t.case("a layer names its argument with shapes", function()
    local l = attn.layer.linear{inputs = 8, outputs = 4}
    local n = line() + 1
    fails(n, "linear: x has width 7, expected 8 (x: float32 [2, 7])", function() l(attn.zeros(2, 7)) end)
    n = line() + 1
    fails(n, "linear: x is missing, expected a tensor", function() l() end)
    n = line() + 2
    fails(n, "linear: x is float64, but the layer is float32 (x: float64 [2, 8])",
        function() l(attn.zeros(2, 8, {dtype = "float64"})) end)
    n = line() + 1
    fails(n, "linear: unknown field 'length' (there are none)", function() l(attn.zeros(2, 8), {length = 1}) end)
    local embed, ids = attn.layer.embedding{count = 5, dim = 2}, attn.full({1}, 6, {dtype = "int64"})
    n = line() + 2
    fails(n, "embedding: id 6 is out of range, ids are 1..5, 0 is padding (ids: int64 [1])",
        function() embed(ids) end)
end)

t.case("the line is the script's own inside a coroutine", function()
    local x = attn.zeros(2)
    local n = line() + 1
    local co = coroutine.create(function() return (x:softmax(5)) end)
    local ok, e = coroutine.resume(co)
    t.is_true(not ok)
    t.equal(e, ("%s:%d: softmax: d is 5, expected 1..1 or -1..-1 (x: float32 [2])"):format(here, n))
    n = line() + 2
    local inner = coroutine.wrap(function()
        return (x:softmax(5))
    end)
    ok, e = pcall(inner)
    t.is_true(not ok and e:find(("%s:%d: softmax: "):format(here, n), 1, true), e)
    t.raises("softmax: d is 5", coroutine.wrap(attn.softmax), x, 5)     -- no Lua frame at all: no position
end)

t.case("the line is the script's own when the library's Lua code stands between", function()
    local l, Net = attn.layer.linear{inputs = 1, outputs = 1}, attn.module "Net"
    local net = Net()
    local n = line() + 1
    fails(n, "load: state is a number, expected a table of tensors", function() l:load(3) end)
    n = line() + 1
    fails(n, "to: dtype is half, expected float32 or float64", function() net:to("half") end)
    n = line() + 1
    fails(n, "parameters: self is 3, expected a layer or module (model:parameters(), with a colon)", function() l.parameters(3) end)
    for _, call in ipairs{
        function() attn.schedule.noam{dim = "x"} end, function() attn.penalty.frobenius(3) end,
        function() attn.data.pad(3) end,
        function() attn.search.greedy(3) end, function() attn.metric.bleu(3) end, function() attn.text.words(3) end,
        function() attn.train.loop(3) end, function() attn.show.attention(3) end, function() attn.run.options(3) end,
    } do
        local ok, e = pcall(call)
        t.is_true(not ok)
        t.is_true(e:find(here .. ":%d+: %w"), e)
    end
end)

t.case("a failed call through a tail call or a stdlib callback still has a position of the script", function()
    local x = attn.zeros(2)
    local ok, e = pcall(function() return x:softmax(5) end)
    t.is_true(not ok and e:find("softmax: d is 5", 1, true), e)
    ok, e = pcall(table.sort, {3, 2, 1}, function() return x:softmax(5) end)
    t.is_true(not ok and e:find("softmax: d is 5", 1, true), e)
    ok, e = pcall(attn.checkgrad, function() return x + attn.zeros(3) end, {attn.zeros(2, {dtype = "float64"})})
    t.is_true(not ok and e:find(here .. ":%d+: add: "), e)
end)

t.case("names of any length and content are safe in messages", function()
    local long = ("x"):rep(1 << 20)
    for _, bad in ipairs{long, "%s%n%d", "\0\1\255", ""} do
        local ok, e = pcall(attn.layer.linear, {[bad] = 1})
        t.is_true(not ok and #e < 1000)
        ok, e = pcall(attn.zeros, bad)
        t.is_true(not ok and #e < 1000)
        ok, e = pcall(function() return attn.zeros(1) + bad end)
        t.is_true(not ok and #e < 1000)
        ok, e = pcall(function() attn.zeros(1)[bad] = 1 end)
        t.is_true(not ok and #e < 1000)
        ok, e = pcall(attn.encoder.rnn, {inputs = 1, hidden = 1, cell = bad})
        t.is_true(not ok and #e < 1000)
        ok, e = pcall(attn.loss.mse, attn.zeros(1), attn.zeros(1), {[bad] = 1})
        t.is_true(not ok and #e < 1000)
        ok, e = pcall(attn.load, bad)
        t.is_true(not ok and #e < 3000)
    end
end)

t.case("a tensor too large to be made names the constructor or operation", function()
    local many, message = 1 << 40, ": a tensor of shape [1099511627776, 1099511627776] is too large"
    for _, name in ipairs{"zeros", "ones", "empty", "rand", "randn"} do
        t.raises(name .. message, attn[name], many, many)
    end
    t.raises("full" .. message, attn.full, {many, many}, 1)
    t.raises("randint" .. message, attn.randint, 1, 2, many, many)
    t.raises("bernoulli" .. message, attn.bernoulli, 0.5, many, many)
    t.raises("zeros: out of memory (a tensor needs 2199023255552 bytes)", attn.zeros, 1 << 39)
    t.raises("arange: out of memory (a tensor needs ", attn.arange, 1, 100000000000)
    t.raises("eye: out of memory (a tensor needs ", attn.eye, 1 << 20)
    t.raises("contiguous: out of memory (a tensor needs ", attn.contiguous, attn.zeros(1):expand(1 << 39))
    t.raises("one_hot: a tensor of shape [2, 2199023255552] is too large", attn.one_hot, attn.arange(1, 2), 1 << 41)
end)

t.case("a list that is none, has holes or names is an error, not a shorter list", function()
    local x = attn.zeros(2, 3)
    t.raises("cat: list is 3, expected a list of tensors", attn.cat, 3)
    t.raises("cat: list is empty, expected at least one tensor", attn.cat)
    t.raises("cat: list[2] is nil, expected a tensor", attn.cat, {x, nil, x})
    t.raises("cat: list[2] is nil, expected a tensor", attn.cat, {x, nil, x, nil})
    t.raises("stack: list[2] is 3, expected a tensor", attn.stack, {x, 3})
    t.raises("cat: list has an entry under the string 'd', expected tensors from 1 on", attn.cat, {x, x, d = 2})
    t.equal(attn.cat({x, x}, 2).shape, {2, 6})
end)

t.case("a table where an optional argument could stand names that argument", function()
    local x = attn.zeros(1, 1, 3, 3)
    t.raises("dropout: p is a table, expected a number", x.dropout, x, {1, 2})
    t.raises("cumsum: d is a table, expected an integer", x.cumsum, x, {1, 2})
    t.raises("linear: bias is a table, expected a tensor", attn.linear, attn.zeros(2, 3), attn.zeros(2, 3), {1})
    t.equal(attn.one_hot(attn.arange(1, 2), 2, {dtype = "int64"}):totable(), {{1, 0}, {0, 1}})
end)

t.case("several dimensions where one is taken", function()
    local x = attn.zeros(1, 1, 3, 3)
    t.raises("mean: d is 3 and 4, expected one dimension (and perhaps keepdim, true or false)", x.mean, x, 3, 4)
    t.raises("sort: d is 1 and 2, expected one dimension (and perhaps descending, true or false)", x.sort, x, 1, 2)
    t.raises("mean: keepdim is the string 'yes', expected true or false", x.mean, x, 3, "yes")
end)

t.case("a module where a layer or a tensor is expected is called a module", function()
    local Mine = attn.module "Mine"
    t.raises("encoder.transformer: attention is a module, expected", attn.encoder.transformer, {dim = 4, heads = 2, layers = 1, attention = Mine()})
    t.raises("decoder.rnn: attention is a module without a method forward", attn.decoder.rnn,
        {inputs = 2, hidden = 3, memory = 4, outputs = 5, attention = Mine()})
    t.raises("decoder.rnn: attention is a function, expected a table of its fields, an attention layer or a module",
        attn.decoder.rnn, {inputs = 2, hidden = 3, memory = 4, outputs = 5, attention = print})
    t.raises("linear: x is a module, expected a tensor", attn.layer.linear{inputs = 3, outputs = 2}, Mine())
    t.raises("adam: params[1] is a module, expected a tensor", attn.optim.adam, {params = {Mine()}})
    t.raises("softmax: x is a module, expected a tensor", attn.softmax, Mine())
end)

t.case("a table in place of a layer's input is no table of options", function()
    local linear = attn.layer.linear{inputs = 3, outputs = 2}
    t.raises("linear: x is a table, expected a tensor", linear, {1, 2, 3})
    t.raises("linear: unknown field 1 (there are none)", linear, attn.zeros(1, 3), {1})
end)

-- ---- what was probably meant ----

t.case("options, words, parameters and fields that are near a known one", function()
    local linear, x = attn.layer.linear{inputs = 3, outputs = 2}, attn.ones(2, 3)
    t.raises("softmax: unknown option 'masc' (known: mask; did you mean 'mask'?)", attn.softmax, x, 1, {masc = 1})
    t.raises("ones: unknown option the string 'dtpe' (known: dtype; did you mean 'dtype'?)", attn.ones, 2, {dtpe = "float64"})
    t.raises("expected float32, float64, int64, bool or uint8 (did you mean 'float64'?)", x.to, x, "flaot64")
    t.raises("linear: there is no parameter 'wieght' (did you mean 'weight'?)", function() linear.wieght = x end)
    t.raises("a tensor has no field 'gard' to write (known: grad; did you mean 'grad'?)", function() x.gard = x end)
    t.raises("expected one of bilinear, nearest (did you mean 'bilinear'?)", attn.interpolate, attn.ones(1, 2, 2, 1), 3, {mode = "bilinaer"})
    t.raises("train.loop: unknown field 'modle'", attn.train.loop, {modle = 1})
    t.raises("(did you mean 'model'?)", attn.train.loop, {modle = 1})       -- not mode: what is swapped is one mistake
    t.raises("(did you mean 'atol'?)", attn.allclose, x, x, {atoll = 1})
    t.raises("(known: lengths, key_mask, mask, bias, causal, position, weights, cache, path; did you mean 'causal'?)",
        attn.attention{query = 3}, x, x, nil, {casual = true})
end)

t.case("a point for a colon, a table for a tensor, a model for its parameters", function()
    local linear, x = attn.layer.linear{inputs = 3, outputs = 2}, attn.ones(2, 3)
    t.raises("sum: x is missing, expected a tensor (x:sum(...), with a colon)", x.sum)
    t.raises("softmax: x is 1, expected a tensor (x:softmax(...), with a colon)", x.softmax, 1)
    t.raises("item: self is nil, expected a tensor (x:item(...), with a colon)", x.item)
    t.raises("parameters: self is nil, expected a layer or module (model:parameters(), with a colon)", linear.parameters)
    t.raises("softmax: x is a table, expected a tensor (attn.tensor{...} makes one of a table)", attn.softmax, {1, 2})
    t.raises("linear: x is a table, expected a tensor (attn.tensor{...} makes one of a table)", linear, {1, 2, 3})
    t.raises("adam: params is a layer, expected a list of tensors (params = model:parameters())", attn.optim.adam, {params = linear})
    t.raises("clip_grad_norm: params is a layer, expected a list of tensors (model:parameters())", attn.clip_grad_norm, linear, 1)
end)

t.case("an index counts the dimensions as they are written", function()
    local x = attn.ones(2, 3, 4)
    t.raises("index: entry 2 is 5, expected 1..3 or -3..-1 (float32 [2, 3, 4])", function() x[{1, 5}] = 2 end)
    t.raises("index: entry 3 is 0, expected 1..4 or -4..-1 (float32 [2, 3, 4])", function() return x[{1, {1, 2}, 0}] end)
    t.raises("index: the range {2, 9} is outside 1..4 of dimension 3 (float32 [2, 3, 4])", function() x[{1, 1, {2, 9}}] = 2 end)
end)

-- ---- where in a model ----

local Part, Model = attn.module "Part", attn.module "Model"
function Part:init()
    self.attention = attn.attention{query = 4, key = 4}
    self.blocks = {attn.layer.linear{inputs = 4, outputs = 4}, attn.sequential{attn.tanh, attn.layer.linear{inputs = 4, outputs = 5}}}
    self.encode = attn.encoder.transformer{dim = 4, heads = 2, layers = 2}
end
function Part:forward(what, ...) return what(self, ...) end             -- a tail call: the module still is the one that runs
function Model:init() self.decoder = Part() end
function Model:forward(...) return self.decoder(...) end

t.case("the path inside a model stands in an error of a layer", function()
    local model, q, k = Model(), attn.randn(2, 3, 4), attn.randn(2, 3, 7)
    local function message(what, ...)
        local ok, e = pcall(model, what, ...)
        t.is_true(not ok)
        return (e:gsub("^.-:%d+: ", ""))
    end
    t.equal(message(function(p) return p.attention(q, k) end),
        "Model.decoder.attention: key has width 7, expected 4 (key: float32 [2, 3, 7])")
    t.equal(message(function(p) return p.blocks[1](k) end),
        "Model.decoder.blocks.1: linear: x has width 7, expected 4 (x: float32 [2, 3, 7])")
    t.equal(message(function(p) return p.blocks[2](k) end),
        "Model.decoder.blocks.2.2: linear: x has width 7, expected 4 (x: float32 [2, 3, 7])")
    t.equal(message(function(p) return p.blocks[2](7) end), "Model.decoder.blocks.2: tanh: x is 7, expected a tensor (x:tanh(...), with a colon)")
    t.equal(message(function(p) return p.encode(q, {maks = k}) end),
        "Model.decoder.encode: encoder.transformer: unknown field 'maks' (known: lengths, mask, causal, weights; did you mean 'mask'?)")
    t.equal(message(function(p) return p.blocks[1](nil) end), "Model.decoder.blocks.1: linear: x is missing, expected a tensor")
    t.equal(message(function(p) return coroutine.wrap(function() return p.attention(q, k) end)() end):gsub("^.-:%d+: ", ""),
        "attention: key has width 7, expected 4 (key: float32 [2, 3, 7])")
end)

t.case("a layer inside a layer of C has its path too; a layer alone has none, nor what is no layer of the model", function()
    local encode, x = attn.encoder.transformer{dim = 4, heads = 2, layers = 2}, attn.randn(2, 3, 4)
    encode["l2.ff1.weight"] = attn.zeros(16, 4)
    local ok, e = pcall(encode, x, {mask = attn.ones(2, 2):gt(0)})
    t.is_true(not ok and e:find("encoder.transformer.l1.attention: mask ", 1, true), e)
    local other = attn.layer.linear{inputs = 4, outputs = 1}
    ok, e = pcall(function() return other(attn.ones(7)) end)
    t.is_true(not ok and e:find("errors_test.lua:%d+: linear: x has width 7"), e)
    ok, e = pcall(Model(), function() return other(attn.ones(7)) end)
    t.is_true(not ok and e:find("errors_test.lua:%d+: linear: x has width 7"), e)
end)
