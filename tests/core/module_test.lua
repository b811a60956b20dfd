-- attn.module, and what modules share with the layers written in C: names, states, modes, conversion.
local attn, t = require "attn", require "attn.test"

local function names(object)
    local out = {}
    for name in object:named_parameters() do out[#out + 1] = name end
    return out
end

local function linear(i, o) return attn.layer.linear{inputs = i, outputs = o} end

local Net = attn.module "Net"
function Net:init(width)
    self.second = linear(width, 2)
    self.first = linear(3, width)
    self.scale = attn.ones(2):requires_grad_(true)
    self.mean = attn.zeros(2)
    self.blocks = {linear(1, 1), {linear(1, 2)}}
    self.width = width
    self.note = "a string"
end
function Net:forward(x) return self.second(self.first(x):tanh()) * self.scale + self.mean end

-- ---- instances ----

t.case("an instance is a userdata that calls forward and keeps any value in a field", function()
    local net = Net(4)
    t.equal({type(net), net.width, net.note, net.nothing, net.training}, {"userdata", 4, "a string", nil, true})
    t.equal(net(attn.ones(5, 3)).shape, {5, 2})
    t.equal(net:forward(attn.ones(5, 3)).shape, {5, 2})
    net.note = nil
    t.equal(net.note, nil)
    t.equal(getmetatable(net), "module")
    local Empty = attn.module "Empty"
    t.raises("Empty: the class has no method forward", Empty())
    t.equal(#Empty():parameters(), 0)
end)

t.case("names come in order of assignment, lists are numbered", function()
    local net = Net(4)
    t.equal(names(net), {"second.weight", "second.bias", "first.weight", "first.bias", "scale", "blocks.1.weight",
        "blocks.1.bias",
                         "blocks.2.1.weight", "blocks.2.1.bias"})
    t.equal(#net:parameters(), 9)
    t.equal(net:count(), 8 + 2 + 12 + 4 + 2 + 1 + 1 + 2 + 2)
    local state = net:state()
    t.equal(state.mean:totable(), {0, 0})               -- a buffer: in the state only
    local n = 0
    for _ in pairs(state) do n = n + 1 end
    t.equal(n, 10)
end)

t.case("a field set to nil and assigned again goes to the end; a value replaced keeps its place", function()
    local net = Net(4)
    net.first = linear(3, 4)
    net.second, net.blocks = nil, nil
    net.second = linear(4, 2)
    t.equal(names(net), {"first.weight", "first.bias", "scale", "second.weight", "second.bias"})
end)

t.case("a class inherits methods and init", function()
    local Big = attn.module("Big", Net)
    function Big:init(width)
        Net.init(self, width)
        self.extra = linear(2, 2)
    end
    function Big:twice(x) return self(x) * 2 end
    local big = Big(3)
    t.equal(names(big)[10], "extra.weight")
    t.equal(big:twice(attn.ones(1, 3)).shape, {1, 2})
    t.equal(big(attn.ones(1, 3)).shape, {1, 2})
    local Same = attn.module("Same", Big)
    t.equal(#Same(3):parameters(), 11)
    t.is_true(tostring(Same(3)):find("Same", 1, true))
    t.raises("module: base is a table, expected a class made by attn.module", attn.module, "X", {})
    t.raises("module: base is a module, expected a class made by attn.module", attn.module, "X", big)
    t.raises("module: name is nil, expected a string", attn.module)
end)

t.case("layers and tensors in tables that are no lists count, numbers first, then names sorted", function()
    local Parts = attn.module "Parts"
    function Parts:init()
        self.parts = {conv = linear(1, 2), attend = linear(2, 1), [3] = linear(1, 1), [1] = linear(2, 2),
            deep = {[2.5] = attn.ones(1), list = {{x = attn.ones(3):requires_grad_(true)}}}, width = 3, note = "text"}
        self[7] = attn.ones(2):requires_grad_(true)
        self.tied = {again = self.parts.conv}
    end
    local net = Parts()
    t.equal(names(net), {"parts.1.weight", "parts.1.bias", "parts.3.weight", "parts.3.bias", "parts.attend.weight",
        "parts.attend.bias", "parts.conv.weight", "parts.conv.bias", "parts.deep.list.1.x", "7"})
    t.equal(net:count(), 6 + 2 + 3 + 4 + 3 + 2)
    t.equal(net:state()["parts.deep.2.5"]:totable(), {1})
    net:eval()
    t.equal({net.parts.conv.training, net.parts[3].training}, {false, false})
    net:to "float64"
    t.equal({net.parts.conv.dtype, net.parts.deep[2.5].dtype}, {"float64", "float64"})
    t.is_true(tostring(net):find("parts.conv: linear", 1, true) and tostring(net):find("parts.deep.list.1.x [3]", 1, true))
    local other = Parts():to "float64"
    other:load(net:state())
    t.equal(other.parts.conv.weight:totable(), net.parts.conv.weight:totable())
    net.parts.more = linear(1, 1)               -- looked at when asked
    t.equal(names(net)[11], "parts.more.bias")
end)

t.case("tables of the script's own are passed through; what has no name is an error", function()
    local Own = attn.module "Own"
    local own = Own()
    local Class = {}
    Class.__index = Class
    local node = {layer = linear(1, 1)}
    node.next = {previous = node}
    own.class = Class
    own.node = node
    own.all = {node, node, {[true] = 1, [Class] = {1}}}
    t.equal(names(own), {"node.layer.weight", "node.layer.bias"})
    own.graph = {}
    for i = 1, 30 do own.graph[i] = {edges = own.graph} end     -- would be walked for ever, path by path
    t.equal(#own:parameters(), 2)
    own.odd = {[true] = linear(1, 1)}
    t.raises("module: a layer is kept under a key that is a boolean", own.parameters, own)
    own.odd = nil
    own[Class] = linear(1, 1)
    t.raises("module: a layer is kept under a key that is a table", own.state, own)
    own[Class] = nil
    own.odd = {[true] = {{linear(1, 1)}}}                       -- not silently untrained
    t.raises("module: a layer is kept under a key that is a boolean", own.parameters, own)
    own.odd = nil
    own[Class] = {parts = {attn.parameter(2)}}
    t.raises("module: a tensor is kept under a key that is a table", own.parameters, own)
    own[Class] = {cache = attn.ones(2)}                         -- what does not learn is the script's own
    t.equal(#own:parameters(), 2)
    own[Class] = nil
    own.twice = {[1] = attn.ones(1), ["1"] = attn.ones(1)}
    t.raises("module: two tensors are called 'twice.1'", own.state, own)
end)

t.case("a field that hides a method is an error where it is assigned", function()
    local Mine = attn.module "Mine"
    Mine.width = 3
    function Mine:step() return 1 end
    local Big = attn.module("Big", Mine)
    local big = Big()
    t.raises("Big: field 'state' is float32 [2], but the class has a method of that name", function()
        big.state = attn.ones(2)
    end)
    t.raises("Big: field 'step' is 3, but", function() big.step = 3 end)
    local _, e = pcall(function()
        big.parameters = {}
    end)
    t.is_true(e:find(("module_test.lua:%d: "):format(debug.getinfo(1, "l").currentline - 2), 1, true), e)
    t.equal(big:step(), 1)
    big.width = 4                               -- a default, no method
    big.step = function() return 2 end          -- meant to
    t.equal({big.width, big:step(), #big:parameters()}, {4, 2, 0})
    big.step = nil
    t.equal(big:step(), 1)
end)

-- ---- ties ----

t.case("a tensor met twice counts once, under its first name, and is trained as one", function()
    local Tied = attn.module "Tied"
    function Tied:init()
        self.embed = attn.layer.embedding{count = 5, dim = 3}
        self.out = linear(3, 5)
        self.out.weight = self.embed.weight
        self.again = self.out
    end
    function Tied:forward(ids) return self.out(self.embed(ids)) end
    local net = Tied()
    t.equal(names(net), {"embed.weight", "out.bias"})
    t.equal(net:count(), 20)
    net:forward(attn.arange(1, 5)):sum():backward()
    t.is_true(net.embed.weight == net.out.weight)
    local grad = net.embed.weight.grad:clone()
    net:zero_grad()
    t.equal(net.out.weight.grad, nil)
    net:to("float64")
    t.is_true(net.embed.weight == net.out.weight, "tied after a conversion")
    net:forward(attn.arange(1, 5)):sum():backward()
    t.near(net.embed.weight.grad:totable(), grad:totable(), 1e-5)
    local copy = Tied()
    copy:to("float64")
    copy:load(net:state())
    t.equal(copy.out.weight:totable(), net.embed.weight:totable())
end)

t.case("a parameter of a layer is replaced only by one that fits", function()
    local l = linear(2, 3)
    t.raises("linear: weight is float32 [2, 3], expected float32 [3, 2]", function() l.weight = attn.zeros(2, 3) end)
    t.raises("linear: there is no parameter 'wieght'", function() l.wieght = attn.zeros(3, 2) end)
    t.raises("linear: weight is 3, expected a tensor", function() l.weight = 3 end)
    t.raises("is the result of an operation", function() l.weight = attn.zeros(3, 2):requires_grad_(true) * 1 end)
    t.equal({l.inputs, l.outputs, l.dtype, l.training, l.nothing}, {2, 3, "float32", true, nil})
end)

-- ---- state and load ----

t.case("state shares storage, load copies", function()
    local net, other = Net(4), Net(4)
    local state = net:state()
    attn.no_grad(function() net.scale:fill_(3) end)
    t.equal(state.scale:totable(), {3, 3})
    t.is_true(not state.scale.requires_grad)
    t.is_true(other:load(state) == other)
    t.equal(other.scale:totable(), {3, 3})
    attn.no_grad(function() net.scale:fill_(4) end)
    t.equal(other.scale:totable(), {3, 3})
    t.equal(other.blocks[2][1].weight:totable(), net.blocks[2][1].weight:totable())
end)

t.case("load lists every difference in one error and changes nothing", function()
    local net = Net(4)
    local state = net:state()
    local before = net.first.weight:totable()
    state["first.weight"] = attn.zeros(4, 3)
    state.scale, state["second.bias"], state.mean = nil, attn.zeros(3), attn.zeros(2, {dtype = "float64"})
    state.unheard, state["blocks.1.bias"] = attn.zeros(1), 7
    local e = t.raises("load: ", net.load, net, state)
    for _, part in ipairs{"scale is missing, expected float32 [2]", "second.bias is float32 [3], expected float32 [2]",
                          "mean is float64 [2], expected float32 [2]",
                          "blocks.1.bias is a number, expected float32 [1]", "unheard is unknown"} do
        t.is_true(e:find(part, 1, true), part .. " in " .. e)
    end
    t.equal(net.first.weight:totable(), before)
    t.raises("load: state is a number, expected a table of tensors", net.load, net, 3)
    local l = linear(1, 1)
    t.raises("load: weight is missing, expected float32 [1, 1]; bias is missing, expected float32 [1]", l.load, l, {})
    state = l:state()
    state.bias:free()
    t.raises("tensor was freed", l.load, l, state)
end)

-- ---- modes, conversion ----

t.case("train and eval reach everything inside", function()
    local net = Net(4)
    net.inner = Net(2)
    t.is_true(net:eval() == net)
    t.equal({net.training, net.first.training, net.inner.training, net.inner.blocks[2][1].training},
        {false, false, false, false})
    net:train()
    t.equal({net.training, net.first.training, net.inner.training, net.inner.blocks[2][1].training},
        {true, true, true, true})
end)

t.case("to converts float parameters and buffers, and an optimizer goes on with them", function()
    local net = Net(4)
    net.ids = attn.arange(1, 3)
    local opt = attn.optim.sgd{params = net:parameters(), lr = 0.1}
    t.is_true(net:to("float64") == net)
    for name, x in pairs(net:state()) do t.equal({name, x.dtype}, {name, name == "ids" and "int64" or "float64"}) end
    t.equal({net.mean.requires_grad, net.scale.requires_grad}, {false, true})
    t.equal(net(attn.ones({1, 3}, {dtype = "float64"})).dtype, "float64")
    t.raises("but the layer is float64", net, attn.ones(1, 3))
    t.raises("to: dtype is int64, expected float32 or float64", net.to, net, "int64")
    t.raises("to: dtype is nil", net.to, net)
    net:to("float32")
    t.equal(net.scale.dtype, "float32")
    t.is_true(opt)
end)

t.case("tostring is a tree with shapes and counts", function()
    local text = tostring(Net(4))
    t.is_true(text:find("^Net%s+34 parameters\n"), text)
    t.is_true(text:find("scale [2]", 1, true) and text:find("second: linear", 1, true)
        and text:find("blocks.1: linear", 1, true), text)
    t.is_true(tostring(linear(1000, 1000)):find("1,001,000 parameters", 1, true))
end)

-- ---- wrong things ----

t.case("methods of the protocol with a wrong self name it", function()
    local l = linear(1, 1)
    for _, name in ipairs{"parameters", "named_parameters", "state", "load", "train", "eval", "to", "zero_grad",
        "count"} do
        for _, bad in ipairs{3, {}, io.stdout, attn.ones(1)} do
            t.raises(name .. ": self is ", l[name], bad, {})
        end
        t.raises(name .. ": self is nil", l[name])
    end
end)

t.case("a module inside itself is an error, not an endless loop", function()
    local Loop = attn.module "Loop"
    local loop = Loop()
    loop.inner = {loop}
    for _, name in ipairs{"parameters", "state", "train", "count"} do t.raises("contains itself", loop[name], loop) end
    t.raises("contains itself", tostring, loop)
    loop.inner = {}
    loop.inner[1] = loop.inner
    t.raises("contains itself", loop.parameters, loop)
    loop.inner = linear(1, 1)
    t.equal(#loop:parameters(), 2)
end)

t.case("an init that fails, yields or returns early leaves no half class behind", function()
    local Bad = attn.module "Bad"
    function Bad:init(what)
        if what == "error" then error("my own") end
        if what == "yield" then coroutine.yield() end
    end
    t.raises("my own", Bad, "error")
    t.raises("outside a coroutine", Bad, "yield")
    t.equal(type(Bad()), "userdata")
end)
