local attn = require "attn"
local t = require "attn.test"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

attn.seed(5)

local function found(list, name, pass)
    for _, entry in ipairs(list) do
        if entry.name == name and entry.pass == pass then return entry end
    end
    error(name .. " " .. pass .. " is not there", 2)
end

local Block = attn.module "Block"
function Block:init() self.inner = attn.layer.linear{inputs = 4, outputs = 4} end
function Block:forward(x) return self.inner(x):tanh() end

local Net = attn.module "Net"
function Net:init()
    self.blocks = {Block(), Block()}
    self.encoder = attn.encoder.transformer{layers = 1, dim = 4, heads = 2, ff = 8}
end
function Net:forward(x) return self.encoder(self.blocks[2](self.blocks[1](x)) + 1) end

local net = Net()
local optimizer = attn.optim.adam{params = net:parameters(), lr = 1e-3}
local function step(x)
    optimizer:zero_grad()
    net(x):sum():backward()
    attn.clip_grad_norm(net:parameters(), 1)
    optimizer:step()
end

t.case("operations are counted exactly, each pass apart, and times are positive and no more than the whole", function()
    local report = attn.profile(function() for _ = 1, 3 do step(attn.ones(2, 5, 4)) end end)
    t.equal(found(report.operations, "tanh", "forward").calls, 6)
    t.equal(found(report.operations, "tanh", "backward").calls, 6)
    t.equal(found(report.operations, "layernorm", "forward").calls, 9)
    t.equal(found(report.operations, "sum", "backward").calls, 3)
    t.equal(found(report.operations, "backward", "backward").calls, 3)
    t.equal(found(report.operations, "adam", "update").calls, 3)
    t.equal(found(report.operations, "clip_grad_norm", "update").calls, 3)
    local sum = report.outside
    for _, entry in ipairs(report.operations) do
        t.is_true(entry.seconds > 0, entry.name)
        t.near(entry.share, entry.seconds / report.seconds, 1e-12)
        sum = sum + entry.seconds
    end
    t.near(sum, report.seconds, 1e-6 * report.seconds)
end)

t.case("modules go by the names of their fields, have what is inside, and get their nodes' backward passes", function()
    local report = attn.profile(step, attn.ones(2, 5, 4))
    t.equal(found(report.modules, "Net.blocks.1", "forward").calls, 2)
    t.equal(found(report.modules, "Net.blocks.1.inner", "forward").calls, 1)
    t.equal(found(report.modules, "Net.blocks.2", "backward").calls, 2)
    t.equal(found(report.modules, "Net.encoder.l1.ff1", "forward").calls, 1)
    t.equal(found(report.modules, "Net.encoder.l1.ff1", "backward").calls, 1)
    local whole, parts = found(report.modules, "Net", "forward"), 0
    for _, name in ipairs{"Net.blocks.1", "Net.blocks.2", "Net.encoder"} do
        parts = parts + found(report.modules, name, "forward").calls
    end
    t.equal(whole.calls, parts + 1) -- the addition
    t.equal(found(report.modules, "Net.encoder", "forward").flops, found(report.modules, "Net.encoder.l1.attention", "forward").flops
        + found(report.modules, "Net.encoder.l1.ff1", "forward").flops + found(report.modules, "Net.encoder.l1.ff2", "forward").flops)
    t.equal(attn.profile(function() net.blocks[1](attn.ones(1, 4)) end).modules[1].name, "Block")
end)

-- flops and bytes of one operation, forward and backward
local function cost(name, f, ...)
    local inputs = {...}
    for _, x in ipairs(inputs) do
        if x.dtype == "float32" then x:requires_grad_(true) end
    end
    local report = attn.profile(function() f(table.unpack(inputs)):sum():backward() end)
    return {found(report.operations, name, "forward").flops, found(report.operations, name, "backward").flops},
        found(report.operations, name, "forward").moved
end

t.case("operations on numbers follow from shapes", function()
    local R = attn.randn
    t.equal(cost("linear", attn.linear, R(3, 5, 7), R(11, 7)), {2 * 15 * 7 * 11, 4 * 15 * 7 * 11})
    t.equal(cost("matmul", attn.matmul, R(2, 3, 5), R(2, 5, 7)), {2 * 2 * 3 * 5 * 7, 4 * 2 * 3 * 5 * 7})
    t.equal(cost("einsum", function(a, b) return attn.einsum("bid,bjd->bij", a, b) end, R(2, 3, 5), R(2, 4, 5)),
        {2 * 2 * 3 * 4 * 5, 4 * 2 * 3 * 4 * 5})
    t.equal(cost("conv2d", function(x, w) return attn.conv2d(x, w, nil, 1, 1) end, R(2, 3, 8, 8), R(4, 3, 3, 3)),
        {2 * 2 * 4 * 64 * 27, 4 * 2 * 4 * 64 * 27})
    t.equal(cost("conv1d", function(x, w) return attn.conv1d(x, w, nil, {groups = 2}) end, R(2, 8, 4), R(6, 2, 3)),
        {2 * 2 * 6 * 6 * 6, 4 * 2 * 6 * 6 * 6})
    local attend = attn.attention{query = 6, key = 6, score = "scaled_dot", heads = 2}
    local pairs_seen = 2 * 2 * 100 * 101 // 2 -- causal
    t.equal(cost("attend", function(x) return (attend(x, x, x, {causal = true})) end, R(2, 100, 6)),
        {2 * pairs_seen * (3 + 3), 2 * pairs_seen * (3 * 3 + 2 * 3)})
    local gru = attn.encoder.rnn{inputs = 3, hidden = 5, cell = "gru"}
    t.equal(cost("rnn", function(x) return (gru(x, {lengths = attn.tensor({4, 2}, {dtype = "int64"})})) end, R(2, 4, 3)),
        {2 * 6 * 15 * 8, 2 * 6 * 15 * (3 * 2 + 10)})
end)

t.case("bytes are those of inputs and outputs: views move none, a table only the rows that are read", function()
    local ids = attn.tensor({1, 3, 3}, {dtype = "int64"})
    t.equal(select(2, cost("add", function(a, b) return a + b end, attn.ones(4, 5), attn.ones(4, 5))), 3 * 80)
    t.equal(select(2, cost("transpose", function(a) return a:transpose(1, 2) * 2 end, attn.ones(4, 5))), 0)
    t.equal(select(2, cost("embedding", function(w) return attn.embedding(ids, w) end, attn.ones(100, 5))), 3 * 8 + 2 * 3 * 20)
    local report = attn.profile(function() return attn.ones(1000, 1000) + 1 end)
    local bytes = found(report.operations, "add", "forward").allocated
    t.is_true(bytes >= 4e6 and bytes < 6e6, bytes)
end)

t.case("an error inside leaves the profiler off and goes on to the caller; one profile at a time", function()
    t.raises("oh", attn.profile, function() net(attn.ones(1, 2, 4)) error "oh" end)
    t.raises("profile: one is running already", attn.profile, function() attn.profile(function() end) end)
    t.raises("width", attn.profile, function() net(attn.ones(1, 2, 5)) end)
    local report, a, b = attn.profile(function(x) return x, 2 end, 1)
    t.equal({#report.operations, a, b}, {0, 1, 2})
    t.raises("profile: fn is 3, expected a function", attn.profile, 3)
    -- the modules that were left by an error are no longer around what runs now
    report = attn.profile(function()
        pcall(net, attn.ones(1, 2, 5))
        net.blocks[1](attn.ones(1, 4))
    end)
    t.equal(found(report.modules, "Block.inner", "forward").calls, 1)
end)

t.case("a graph recorded before is the script's; a backward pass in Lua runs in the module of its node", function()
    local x = attn.ones(2, 4):requires_grad_(true)
    local y = net.blocks[1](x):sum()
    local report = attn.profile(function() y:backward() end)
    t.equal(#report.modules, 0)
    t.equal(found(report.operations, "tanh", "backward").calls, 1)
    local Custom = attn.module "Custom"
    local double = attn.custom{forward = function(_, v) return v * 2 end, backward = function(_, dy) return dy * 2 end}
    function Custom:forward(v) return double(v) end
    local custom = Custom()
    report = attn.profile(function() custom(x):sum():backward() end)
    t.equal(found(report.modules, "Custom", "backward").calls, 1)
    t.equal(found(report.modules, "Custom", "forward").calls, 3) -- forward's product, the node itself, backward's product
end)

t.case("several threads and coroutines", function()
    local before = attn.threads()
    for _, n in ipairs{1, 3} do
        attn.threads(n)
        local report = attn.profile(function()
            coroutine.wrap(function() step(attn.ones(4, 40, 4)) end)()
        end)
        t.equal(found(report.operations, "tanh", "backward").calls, 2, n)
    end
    attn.threads(before)
end)

t.case("the table has both parts and fits 80 columns", function()
    local report = attn.profile(step, attn.ones(2, 5, 4))
    local text = tostring(report)
    for line in text:gmatch "[^\n]+" do t.is_true(utf8.len(line) <= 80, line) end
    for _, what in ipairs{"\noperation +pass +calls", "\nlinear +forward +%d", "\nmodule +pass", "\nNet +backward", "\n  blocks%.1 +forward +2 ",
        "\n    inner +backward +1 ", "limits of this machine: %d+ GFLOP/s"} do
        t.is_true(text:find(what), what .. "\n" .. text)
    end
end)

t.case("the trace is JSON, and what runs inside lies inside", function()
    local path = shell.folder() .. "/trace.json"
    local report = attn.profile(step, attn.ones(2, 5, 4))
    report:save(path)
    local events = attn.json.decode(shell.read(path)).traceEvents
    local by = {}
    for _, e in ipairs(events) do
        t.equal(e.ph, "X")
        by[e.args.module .. " " .. e.name .. " " .. e.cat] = e
    end
    local function inside(inner, outer)
        inner, outer = by[inner], by[outer]
        t.is_true(inner.ts >= outer.ts and inner.ts + inner.dur <= outer.ts + outer.dur + 0.002)
    end
    inside("Net.blocks.1 tanh forward", "Net.blocks.1 blocks.1 module")
    inside("Net.blocks.1 blocks.1 module", "Net Net module")
    inside("Net.encoder.l1.ff1 l1.ff1 module", "Net.encoder encoder module")
    inside("Net.blocks.1 tanh backward", " backward backward")
    t.raises("no_folder", function() report:save "no_folder/trace.json" end)
end)

t.case("attn --profile prints the table when the script has ended, also by an error; --profile=FILE writes the trace", function()
    shell.write("one.lua", "local attn = require 'attn'\nlocal x = attn.ones(3) + 1\nprint(#arg, x:sum():item())")
    local out, err, code = shell.run "attn --profile one.lua a b"
    t.equal({out, code}, {"2\t6.0\n", 0})
    t.is_true(err:find "\nadd +forward +1 ", err)
    out, err, code = shell.run "attn --profile=made.json one.lua"
    t.equal({out, code}, {"0\t6.0\n", 0})
    t.is_true(err:find("trace: made.json", 1, true), err)
    t.is_true(#attn.json.decode(shell.read(shell.folder() .. "/made.json")).traceEvents >= 2)
    shell.write("bad.lua", "local attn = require 'attn'\nlocal x = attn.ones(3) + 1\nerror 'no more'")
    out, err, code = shell.run "attn --profile bad.lua"
    t.equal(code, 1)
    t.is_true(err:find "no more" and err:find "\nadd +forward +1 ", err)
    err = select(2, shell.run("attn --profile", "x = require 'attn'.ones(3) * 2"))
    t.is_true(err:find "\nmul +forward +1 ", err)
    t.equal(select(3, shell.run "attn --profiled one.lua"), 1)
    t.equal(select(3, shell.run "attn --profile= one.lua"), 1)
end)
