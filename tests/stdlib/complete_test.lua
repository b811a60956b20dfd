-- Completion: names behind values and behind calls, fields in braces, words of a choice. In a terminal: tests/cli/session_test.lua.
local attn, t = require "attn", require "attn.test"
local complete, names = require "attn.complete", require "attn.names"

local function entries(folder) return folder == "." and {"data.txt", "drafts/", ".hidden"} or {"in " .. folder} end
local function becomes(line)
    local addition, choices = complete(line, entries)
    return line .. (addition or ""), choices
end

local Net = attn.module "Net"
function Net:init()
    self.blocks = {attn.layer.linear{inputs = 2, outputs = 2}, attn.layer.linear{inputs = 2, outputs = 2}}
    self.scale = attn.parameter(2)
end
function Net:encode() error "called" end

local loud = setmetatable({}, {__index = function() error "called" end, __call = function() error "called" end})
for name, value in pairs{x = attn.ones(2, 3), net = Net(), attend = attn.attention{query = 4}, Net = Net, attn = attn, loud = loud,
    opt = attn.optim.sgd{params = {attn.parameter(2)}, lr = 1}, user = function() error "called" end} do rawset(_G, name, value) end

local function all(lines)
    for line, expected in pairs(lines) do t.equal((becomes(line)), expected) end
end

t.case("behind a value: fields and methods of tensors, layers, modules, optimizers", function()
    all{["x.sha"] = "x.shape", ["x:sha"] = "x:sha", ["x:transp"] = "x:transpose", ["net.sca"] = "net.scale", ["net:enc"] = "net:encode",
        ["net.blocks[1].wei"] = "net.blocks[1].weight", ["attend:ca"] = "attend:cache", ["attend.sco"] = "attend.score", ["opt.l"] = "opt.l",
        ["opt:zer"] = "opt:zero_grad", ["x.grad:su"] = "x.grad:su", ["attn.los"] = "attn.loss", ["attn.train.lo"] = "attn.train.loop",
        ["for i = 1, #x.sha"] = "for i = 1, #x.shape", ["('a'):upp"] = "('a'):upper"}
    t.equal(select(2, becomes "opt.l"), "load  lr\n")
    t.equal(select(2, becomes "net:e"), "encode  eval\n")
end)

t.case("behind a call and an index, where the library says what it gives", function()
    all{["attn.softmax(x, 1):transp"] = "attn.softmax(x, 1):transpose", ["x:exp():log().sha"] = "x:exp():log().shape", ["(x):softm"] = "(x):softmax",
        ["x[1]:transp"] = "x[1]:transpose", ["attend(x, x).sha"] = "attend(x, x).shape", ["net.blocks[i]:named_"] = "net.blocks[i]:named_parameters",
        ["attn.layer.linear{inputs = 2, outputs = 3}:named_"] = "attn.layer.linear{inputs = 2, outputs = 3}:named_parameters",
        ["net:parameters()[1].requ"] = "net:parameters()[1].requires_grad", ["Net():enc"] = "Net():encode",
        ["attn.optim.adam{params = p}:zer"] = "attn.optim.adam{params = p}:zero_grad", ["('a'):rep(3):upp"] = "('a'):rep(3):upper",
        ["attn.encoder.rnn{inputs = 1, hidden = 2}:ste"] = "attn.encoder.rnn{inputs = 1, hidden = 2}:step"}
end)

t.case("what is not known has no names, and nothing of the script's is run", function()
    all{["user():"] = "user():", ["user().x"] = "user().x", ["loud.x"] = "loud.x", ["loud.x.y"] = "loud.x.y", ["loud():x"] = "loud():x",
        ["net:encode():s"] = "net:encode():s", ["f(x)"] = "f(x)", ["x[1]"] = "x[1]", ["-- x.sha"] = "-- x.sha", ["--[[ x.sha"] = "--[[ x.sha",
        ["nothing.x"] = "nothing.x", ["{1, 2}:s"] = "{1, 2}:s"}
end)

t.case("fields of a constructor and options of a call, over several lines, without those that stand there", function()
    all{["attn.layer.linear{inp"] = "attn.layer.linear{inputs = ", ["attn.layer.linear{\n    inputs = 2, -- {\n    outp"] =
        "attn.layer.linear{\n    inputs = 2, -- {\n    outputs = ", ["attend(x, x, nil, {cau"] = "attend(x, x, nil, {causal = ",
        ["attn.optim.adam{params = f{1, 2}, l"] = "attn.optim.adam{params = f{1, 2}, lr = ", ["x:softmax(1, {ma"] = "x:softmax(1, {mask = ",
        ["attn.ones(2, {dt"] = "attn.ones(2, {dtype = ", ["attn.loss.cross_entropy(x, y, {smo"] = "attn.loss.cross_entropy(x, y, {smoothing = ",
        ["attn.train.loop{optim"] = "attn.train.loop{optimizer = ", ["attn.layer.linear{inputs = coro"] = "attn.layer.linear{inputs = coroutine",
        ["attn.layer.linear({inp"] = "attn.layer.linear({inputs = "}
    t.equal(select(2, becomes "attn.layer.linear{"), "bias     inputs   outputs\n")
    t.equal(select(2, becomes "attn.layer.linear{inputs = 1, bias = true, "), nil)
    t.equal(becomes "attn.layer.linear{inputs = 1, bias = true, ", "attn.layer.linear{inputs = 1, bias = true, outputs = ")
end)

t.case("words of a choice and of dtypes in a string, else files and modules", function()
    all{['attn.attention{score = "add'] = 'attn.attention{score = "additive', ["attn.attention{query = 3, distribution = 'sp"] =
        "attn.attention{query = 3, distribution = 'sparsemax", ['attn.attention{window = {type = "b'] = 'attn.attention{window = {type = "band',
        ['attn.encoder.transformer{norm = "pr'] = 'attn.encoder.transformer{norm = "pre', ['attn.attention{activation = "r'] =
        'attn.attention{activation = "relu', ['attn.encoder.rnn{cell = "l'] = 'attn.encoder.rnn{cell = "lstm', ['attn.train.loop{mode = "ma'] =
        'attn.train.loop{mode = "max', ['attn.ones(2, {dtype = "in'] = 'attn.ones(2, {dtype = "int64', ['x:to("b'] = 'x:to("bool', ['x:to "u'] =
        'x:to "uint8', ['if x.dtype == "bo'] = 'if x.dtype == "bool', ['attn.interpolate(x, {mode = "bi'] = 'attn.interpolate(x, {mode = "bilinear',
        ['attn.load "dr'] = 'attn.load "drafts/', ['f("da'] = 'f("data.txt', ['require "attn.str'] = 'require "attn.strict',
        ["require('attn.strict').dec"] = "require('attn.strict').dec"}
    t.equal(select(2, becomes 'attn.attention{position = "'), "alibi  none   rope\n")
end)

t.case("locals of the entry are names too", function()
    all{["local total = 1\nprint(tot"] = "local total = 1\nprint(total"}
end)

t.case("the fields of values that names lists are there", function()
    for _, name in ipairs(names.fields.tensor) do t.is_true(name == "grad" or x[name] ~= nil, name) end
    for _, name in ipairs(names.fields.layer) do t.is_true(attend[name] ~= nil, name) end
    for _, name in ipairs(names.fields.optimizer) do t.is_true(opt[name] ~= nil, name) end
end)
