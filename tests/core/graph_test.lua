-- Differentiation: backward passes, in-place detection, no_grad, attn.grad, attn.custom, anomaly, long chains.
local attn, t = require "attn", require "attn.test"

local function leaf(values) return attn.tensor(values, {dtype = "float64"}):requires_grad_(true) end

local function live()
    collectgarbage()
    collectgarbage()
    return attn.memory().live
end

-- ---- sums of paths ----

t.case("an input used twice gets both gradients", function()
    local a = leaf{3, -2}
    ;(a * a):sum():backward()
    t.equal(a.grad:totable(), {6, -4})
    local b = leaf{2}
    ;(b * b * b + b):sum():backward()
    t.equal(b.grad:totable(), {13})
end)

t.case("a diamond sums over its sides", function()
    local x = leaf{1, 2}
    local y = x * 3
    local left, right = y * y, y * 2
    ;(left + right):sum():backward()
    t.equal(x.grad:totable(), {(2 * 3 + 2) * 3, (2 * 6 + 2) * 3})
end)

t.case("many diamonds in a row are one pass, not two to the n", function()
    local x = leaf{1}
    local y = x
    for _ = 1, 60 do y = (y + y) / 2 end
    y:sum():backward()
    t.equal(x.grad:item(), 1)
end)

t.case("gradients accumulate over passes until they are dropped", function()
    local x = leaf{1, 2}
    for n = 1, 3 do
        (x * 5):sum():backward()
        t.equal(x.grad:totable(), {5 * n, 5 * n})
    end
    x:zero_grad()
    t.equal(x.grad, nil)
    ;(x * 5):sum():backward()
    t.equal(x.grad:totable(), {5, 5})
    x.grad = nil
    t.equal(x.grad, nil)
    x.grad = attn.tensor({1, 1}, {dtype = "float64"})
    ;(x * 5):sum():backward()
    t.equal(x.grad:totable(), {6, 6})
end)

t.case("broadcasting, views and strided inputs give gradients of the input's shape", function()
    local a, b = leaf{{1, 2, 3}, {4, 5, 6}}, leaf{10, 20, 30}
    ;(a:transpose(1, 2) * b:unsqueeze(2)):sum():backward()
    t.equal(a.grad:totable(), {{10, 20, 30}, {10, 20, 30}})
    t.equal(b.grad:totable(), {5, 7, 9})
    local c = leaf{1, 2, 3, 4}
    ;(c[{{2, 3}}] * c[{{3, 4}}]):sum():backward()
    t.equal(c.grad:totable(), {0, 3, 2 + 4, 3})
    local d = leaf{1, 2}
    d:unsqueeze(1):expand(3, 2):sum():backward()
    t.equal(d.grad:totable(), {3, 3})
    local e = leaf{{1, 2}, {3, 4}}
    e:split(1)[2]:sum():backward()
    t.equal(e.grad:totable(), {{0, 0}, {1, 1}})
end)

-- ---- the gradient argument ----

t.case("a whole view and its source share a gradient without mixing their consumers", function()
    local w = attn.tensor({{1, 2, 3}, {4, 5, 6}}, {dtype = "float64"})
    local function grads(loss_of)
        local x = leaf{{1, -2, 3}, {-4, 5, -6}}
        local y = x * 2                         -- a result, so that the view may take over its gradient
        loss_of(y):backward()
        return x.grad:totable()
    end
    local function both(y) return (y:view(6) * w:view(6)):sum() + (y * y):sum() end
    t.equal(grads(both), {{10, -12, 30}, {-24, 50, -36}})
    t.equal(grads(function(y) return (y * y):sum() + (y:view(6) * w:view(6)):sum() end), grads(both))
    t.equal(grads(function(y)                   -- two views, one of a view, and a part
        local flat = y:view(3, 2)
        return (flat:view(6) * w:view(6)):sum() + (y:view(6) * 3):sum() + flat[2]:sum()
    end), {{8, 10, 14}, {16, 16, 18}})
    local x = leaf{{1, 2}, {3, 4}}              -- the view's own gradient is asked for too
    local y = x * 3
    local v = y:view(4)
    local dy, dv = table.unpack(attn.grad((v * v):sum() + y:sum(), {y, v}))
    t.equal(dv:totable(), {6, 12, 18, 24})
    t.equal(dy:totable(), {{7, 13}, {19, 25}})
    t.equal(dv:totable(), {6, 12, 18, 24})
end)

t.case("a gradient is given for what has more than one element", function()
    local x = leaf{1, 2}
    t.raises("backward: the tensor has 2 elements, expected 1 or a gradient (float64 [2])",
        function() (x * 2):backward() end)
    ;(x * 2):backward(attn.tensor({1, 10}, {dtype = "float64"}))
    t.equal(x.grad:totable(), {2, 20})
    local y = x * 2
    t.raises("backward: gradient is float64 [3], expected float64 [2]", y.backward, y,
        attn.zeros(3, {dtype = "float64"}))
    t.raises("backward: gradient is float32 [2], expected float64 [2]", y.backward, y, attn.zeros(2))
    t.raises("backward: gradient is 1, expected a tensor", y.backward, y, 1)
    local strided = attn.ones({2, 2}, {dtype = "float64"})[{{}, 1}]
    y:backward(strided)
    t.equal(x.grad:totable(), {4, 22})
end)

t.case("backward of a leaf, and of what has no gradient", function()
    local x = leaf{2}
    x:backward()
    x:backward()
    t.equal(x.grad:totable(), {2})
    t.raises("backward: the tensor neither requires nor carries a gradient (float32 [])",
        function() attn.ones():backward() end)
    t.raises("backward: the tensor is int64", function() attn.arange(1, 1):backward() end)
end)

-- ---- one pass per graph ----

t.case("a second backward through a graph is an error", function()
    local x = leaf{1}
    local y = x * 2
    local z = y * 3
    z:backward()
    t.raises("backward: a part of the graph was freed by an earlier backward pass", z.backward, z)
    t.raises("backward: a part of the graph was freed by an earlier backward pass", function() (y * 1):backward() end)
    t.equal(x.grad:totable(), {6})
    t.equal({y:item(), z:item()}, {2, 6})
end)

t.case("a failed backward changes no gradient", function()
    local x, w = leaf{1}, leaf{1}
    ;(x * 1):backward()
    local y = w * w
    attn.no_grad(function() w:fill_(2) end)
    t.raises("changed in place", function() (y + x):backward() end)
    t.equal({x.grad:item(), w.grad}, {1, nil})
end)

t.case("parts of a graph that share no node are independent", function()
    local x = leaf{3}
    local a, b = (x * x):sum(), (x * 2):sum()
    a:backward()
    b:backward()
    t.equal(x.grad:item(), 8)
end)

-- ---- the version counter ----

t.case("an in-place write to what a node needs is found", function()
    local w, x = leaf{2, 3}, attn.tensor({4, 5}, {dtype = "float64"})
    local y = (w * x):sum()
    x[1] = 0
    t.raises("backward: a tensor that mul needs for its gradient was changed in place", y.backward, y)
    local x2 = attn.ones(4, {dtype = "float64"})
    local z = (w * x2[{{1, 2}}]):sum()
    x2[{{3, 4}}] = 7                                    -- the view's storage, though not its elements
    t.raises("was changed in place", z.backward, z)
    local s = w:exp()
    s:detach():fill_(1)                                 -- exp keeps its result
    t.raises("backward: a tensor that exp needs", function() s:sum():backward() end)
end)

t.case("a write to what no node needs is no error", function()
    local w, x = leaf{2, 3}, attn.tensor({4, 5}, {dtype = "float64"})
    local y = (w + x):sum()
    x:fill_(0)
    y:backward()
    t.equal(w.grad:totable(), {1, 1})
end)

-- ---- no_grad, detach ----

t.case("nothing is recorded in no_grad, and an error inside does not leave it on", function()
    local x = leaf{1}
    local y = attn.no_grad(function(a, b) return a * b, 7 end, x, 3)
    t.equal({y.requires_grad, y:item()}, {false, 3})
    t.equal(select("#", attn.no_grad(function() return nil, nil end)), 2)
    t.raises("no", attn.no_grad, function() error("no") end)
    t.is_true((x * 1).requires_grad)
    attn.no_grad(function() attn.no_grad(function() end) t.is_true(not (x * 1).requires_grad) end)
    t.is_true(not x:detach().requires_grad)
    t.raises("no_grad: fn is nil, expected a function", attn.no_grad)
end)

t.case("requires_grad_ is for float leaves", function()
    local x = leaf{1}
    t.raises("only a leaf can be told", function() (x * 2):requires_grad_(true) end)
    t.raises("requires_grad_: the tensor is int64", function() attn.arange(1, 2):requires_grad_(true) end)
    t.raises("requires_grad_: argument is 1, expected true or false", x.requires_grad_, x, 1)
    t.is_true(not x:requires_grad_(false).requires_grad)
end)

t.case("an assigned gradient has the shape and type of its tensor", function()
    local x = leaf{1, 2}
    t.raises("grad: value is float64 [3]", function() x.grad = attn.zeros(3, {dtype = "float64"}) end)
    t.raises("grad: value is float32 [2]", function() x.grad = attn.zeros(2) end)
    t.raises("grad: value is 3, expected a tensor", function() x.grad = 3 end)
    x.grad = x:detach()
    ;(x * 1):sum():backward()
    t.equal(x:totable(), {2, 3})                        -- it shares storage with x: so it was asked for
end)

t.case("a tensor as its own gradient is no leak", function()
    local before = live()
    for _ = 1, 10 do
        local a, b = attn.zeros(1000), attn.zeros(1000)
        a.grad, b.grad = b, a
        a.grad = a
    end
    t.equal(live(), before)
end)

-- ---- attn.grad ----

t.case("attn.grad gives gradients of leaves and results and leaves .grad alone", function()
    local x, other = leaf{2, 3}, leaf{1}
    local y = x * x
    local z = (y * 4):sum()
    x.grad = attn.tensor({9, 9}, {dtype = "float64"})
    local dx, dy, none = table.unpack(attn.grad(z, {x, y, other}))
    t.equal({dx:totable(), dy:totable(), none}, {{16, 24}, {4, 4}, false})
    t.equal({x.grad:totable(), other.grad}, {{9, 9}, nil})
    local again = attn.grad((x * 5):sum(), {x, x})
    t.equal({again[1]:totable(), again[2]:totable()}, {{5, 5}, {5, 5}})
    local seeded = attn.grad(x * 2, {x}, attn.tensor({1, 10}, {dtype = "float64"}))
    t.equal(seeded[1]:totable(), {2, 20})
    t.equal(attn.grad(x:sum(), {x})[1]:totable(), {1, 1})
    t.raises("grad: 0 inputs, expected 1 to 10000", attn.grad, x:sum(), {})
    t.raises("grad: inputs are nil, expected a list of tensors", attn.grad, x:sum())
    t.raises("grad: input 1 neither requires nor carries a gradient (float32 [1])", attn.grad, x:sum(), {attn.ones(1)})
    t.raises("grad: input is 3, expected a tensor", attn.grad, x:sum(), {3})
end)

t.case("attn.grad names itself, and says that recording is off", function()
    local x = leaf{2, 3}
    local y = x * x
    t.raises("grad: the tensor has 2 elements, expected 1 or a gradient (float64 [2])", attn.grad, y, {x})
    t.raises("grad: gradient is float64 [1], expected float64 [2]", attn.grad, y, {x}, attn.ones(1, {dtype = "float64"}))
    t.raises("grad: the tensor is int64", attn.grad, attn.arange(1, 1), {x})
    local z = y:sum()
    attn.grad(z, {x})
    t.raises("grad: a part of the graph was freed by an earlier backward pass", attn.grad, z, {x})
    local w = leaf{1}
    local stale = w * w
    attn.no_grad(function() w:fill_(2) end)
    t.raises("grad: a tensor that mul needs for its gradient was changed in place", attn.grad, stale, {w})
    local none = "grad: the tensor neither requires nor carries a gradient (float64 [])"
    t.equal(select(2, pcall(attn.grad, attn.ones({}, {dtype = "float64"}), {x})):match("grad: .*"), none)
    t.raises(none .. "; recording is off", attn.no_grad, function() attn.grad((x * x):sum(), {x}) end)
    t.raises("grad: input 1 neither requires nor carries a gradient (float64 [2]); recording is off", attn.no_grad,
        function() attn.grad(z, {x * 2}) end)
    t.raises("backward: the tensor neither requires nor carries a gradient (float64 []); recording is off", attn.no_grad,
        function() x:sum():backward() end)
end)

t.case("checkgrad: what it is not given right is named", function()
    local x = leaf{1, 2}
    t.raises("checkgrad: inputs are a tensor, expected a list", attn.checkgrad, attn.exp, x)
    t.raises("checkgrad: inputs are nil, expected a list", attn.checkgrad, attn.exp)
    t.raises("checkgrad: fn is a tensor, expected a function", attn.checkgrad, x, {x})
    t.raises("checkgrad: fn is nil, expected a function", attn.checkgrad)
    t.raises("checkgrad: options are a number, expected a table", attn.checkgrad, attn.exp, {x}, 1e-6)
    t.raises("checkgrad: the function returned no float tensor", attn.checkgrad, function() end, {x})
    t.is_true(attn.checkgrad(attn.layer.linear{inputs = 2, outputs = 1}:to("float64"), {x}))
    t.is_true(attn.checkgrad(setmetatable({}, {__call = function(_, v) return v:exp() end}), {x}))
end)

-- ---- custom ----

t.case("custom: a graph that lives until the program ends lets go of nothing twice", function()
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write [[
        local attn = require "attn"
        local double = attn.custom{forward = function(ctx, x) return x * 2 end, backward = function(ctx, g) return g * 2 end}
        kept = double(attn.ones(3):requires_grad_(true)) * 3
        print(kept:sum():item())]]
    f:close()
    local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(os.getenv "ATTN_EXE" or arg[-1], path)))
    t.equal(pipe:read("a"), "18.0\n")
    t.is_true(pipe:close())
    os.remove(path)
end)

local square = attn.custom{
    forward = function(ctx, x) ctx.x = x return x * x end,
    backward = function(ctx, dy) return dy * ctx.x * 2 end}

t.case("custom: forward and backward are the script's", function()
    local x = leaf{3, 4}
    local y = square(x)
    t.equal(y:totable(), {9, 16})
    y:sum():backward()
    t.equal(x.grad:totable(), {6, 8})
    t.gradient(function(a) return square(a) + a end, {attn.randn(3, {dtype = "float64"})})
    t.is_true(not square(attn.ones(1)).requires_grad)
    t.is_true(not attn.no_grad(square, x).requires_grad)
end)

t.case("custom: several results and inputs, nil for no gradient", function()
    local both = attn.custom{
        forward = function(_, a, factor, b) return a * factor, b + 1 end,
        backward = function(_, da, db) return da and da * 3, db end}
    local a, b = leaf{1}, leaf{2}
    local x, y = both(a, 3, b)
    ;(x + y):sum():backward()
    t.equal({a.grad:item(), b.grad:item()}, {3, 1})
    a:zero_grad()
    b:zero_grad()
    local x2 = both(a, 3, b)
    x2:sum():backward()
    t.equal({a.grad:item(), b.grad and b.grad:item() or 0}, {3, 0})
end)

t.case("custom: wrong things are errors that name it", function()
    local x = leaf{1, 2}
    local function made(forward, backward) return attn.custom{forward = forward, backward = backward} end
    local id = function(_, a) return a * 1 end
    t.raises("custom: argument is nil, expected a table {forward =, backward =}", attn.custom)
    t.raises("custom: unknown field 'fowrard' (known: forward, backward)", attn.custom, {fowrard = id})
    t.raises("custom: backward is nil, expected a function", attn.custom, {forward = id})
    t.raises("custom: forward returned 0 values, expected 1 to 4 tensors", made(function() end, id), x)
    t.raises("custom: a result of forward is 3, expected a tensor", made(function() return 3 end, id), x)
    t.raises("custom: no tensor among the arguments", made(id, id), 3)
    t.raises("my own", made(function() error("my own") end, id), x)
    t.raises("my own", function() made(id, function() error("my own") end)(x):sum():backward() end)
    t.raises("custom: gradient 1 is float64 [1], expected float64 [2]",
        function() made(id, function() return attn.ones(1, {dtype = "float64"}) end)(x):sum():backward() end)
    t.raises("custom: a gradient is 3, expected a tensor",
        function() made(id, function() return 3 end)(x):sum():backward() end)
    t.raises("outside a coroutine", function() made(id, function() coroutine.yield() end)(x):sum():backward() end)
    t.raises("raised a value that is no string", function() made(id, function() error({}) end)(x):sum():backward() end)
    t.equal(x.grad, nil)
end)

t.case("custom: a ctx that keeps input, result and more leaves nothing behind", function()
    local keeper = attn.custom{
        forward = function(ctx, x)
            local y = x:exp()
            ctx.x, ctx.y, ctx.nested = x, y, {x, y, attn.zeros(1000)}
            return y
        end,
        backward = function(ctx, dy) return dy * ctx.y end}
    local x = leaf{1, 2}
    local function run(backward)
        local y = keeper(x)
        if backward then y:sum():backward() end
    end
    for _ = 1, 3 do run(true) run(false) end
    local before = live()
    for _ = 1, 50 do run(true) run(false) end
    t.equal(live(), before)
end)

t.case("custom: backward that frees, drops and collects what is in use", function()
    local x, loss = leaf{1, 2}, nil
    local hostile = attn.custom{
        forward = function(ctx, a) ctx.a = a:clone() return a * 2 end,
        backward = function(ctx, dy)
            ctx.a:free()
            x:free()
            loss:free()
            collectgarbage()
            local g = dy * 2
            dy:free()
            return g
        end}
    local w = leaf{5, 5}
    loss = hostile(x * w * w):sum()
    loss:backward()
    t.equal(w.grad:totable(), {2 * 1 * 2 * 5, 2 * 2 * 2 * 5})
    local y = leaf{1}
    local eats = attn.custom{forward = function(_, a) a:free() return attn.ones(1, {dtype = "float64"}) end,
                             backward = function(_, dy) return dy end}
    t.raises("tensor was freed", eats, y * 1)
    local zero = leaf{1}
    local z = attn.custom{forward = function(_, a) return a * 1 end,
        backward = function(_, dy) zero:zero_grad() zero.grad = nil return dy end}(zero * 1)
    pcall(z.backward, z)
end)

t.case("custom: a backward pass inside one through the same graph is an error", function()
    local x, middle, loss = leaf{1}, nil, nil
    local f = attn.custom{forward = function(_, a) return a * 2 end,
        backward = function(_, dy)
            t.raises("freed by an earlier backward pass", loss.backward, loss)
            middle:backward()
            return dy
        end}
    middle = f(x * 3)
    loss = middle * 1
    t.raises("backward: the graph is in use by a backward pass", loss.backward, loss)
    t.equal(x.grad, nil)
    local inner = leaf{4}
    local ready = inner * inner
    local g = attn.custom{forward = function(_, a) return a * 2 end,
        backward = function(_, dy) ready:backward() return dy * 2 end}
    g(x):backward()
    t.equal({x.grad:item(), inner.grad:item()}, {2, 8})
end)

-- ---- a pass inside a pass ----

-- A custom identity whose backward pass calls within().
local function busy(within)
    return attn.custom{forward = function(_, a) return a * 1 end, backward = function(_, dy) within() return dy end}
end

t.case("nested: an inner pass that fails takes nothing from the outer one", function()
    local x, w = leaf{3}, leaf{5}
    local inner = busy(function() error("inner") end)(x * w):sum()
    local f = busy(function() t.is_true(not pcall(inner.backward, inner)) end)
    ;(f(x * 2) * 6):sum():backward()
    t.equal({x.grad:item(), w.grad}, {12, nil})
    local done = (x * x):sum()
    done:backward()                                     -- used up; and one changed in place
    local v = leaf{1}
    local stale = (v * v * x):sum()
    attn.no_grad(function() v:fill_(2) end)
    x:zero_grad()
    f = busy(function()
        t.raises("freed by an earlier backward pass", done.backward, done)
        t.raises("was changed in place", stale.backward, stale)
        t.raises("was changed in place", attn.grad, stale, {x})
        t.raises("freed by an earlier", attn.grad, done, {x})
    end)
    ;(f(x * 2) * x):sum():backward()
    t.equal({x.grad:item(), v.grad}, {12, nil})
end)

t.case("nested: backward inside attn.grad adds to .grad, and to no result", function()
    local x, y = leaf{3}, leaf{1}
    local inner = (x * 100):sum()
    local f = busy(function() inner:backward() end)
    local z = f(x * 2)
    local dx, dz = table.unpack(attn.grad((z + y):sum(), {x, z}))
    t.equal({dx:item(), dz:item(), x.grad:item(), y.grad}, {2, 1, 100, nil})
end)

t.case("nested: attn.grad inside either, for the same leaves and for results of the outer one", function()
    local x, w = leaf{3}, leaf{2}
    x.grad = attn.tensor({1000}, {dtype = "float64"})
    local function outer(run)
        local inner = (x * w * w):sum()
        local middle, seen = x * w, nil
        local f = busy(function() seen = attn.grad(inner, {x, middle, w}) end)
        local result = run((f(middle) * w + x):sum(), {x, middle, w})
        t.equal({seen[1]:item(), seen[2], seen[3]:item()}, {4, false, 12})
        return result
    end
    local dx, dm, dw = table.unpack(outer(attn.grad))
    t.equal({dx:item(), dm:item(), dw:item(), x.grad:item(), w.grad}, {4 + 1, 2, 6 + 6, 1000, nil})
    outer(function(loss) loss:backward() end)
    t.equal({x.grad:item(), w.grad:item()}, {1005, 12})
end)

t.case("nested: inner gradients come beside the outer ones, also three deep and over the same leaves", function()
    local x, w = leaf{3}, leaf{2}
    local third = (x * w * 10):sum()                    -- 20, 30
    local g = busy(function() third:backward() end)
    local second = (g(x * w) * 100 + x):sum()           -- 201, 300
    local f = busy(function() second:backward() end)
    local first = (f(x * w) * 1000 + w):sum()           -- 2000, 3001
    first:backward()
    t.equal({x.grad:item(), w.grad:item()}, {2221, 3331})
    local leaves = busy(function() x:backward() end)    -- of a leaf itself
    leaves(x * 2):sum():backward()
    t.equal(x.grad:item(), 2221 + 2 + 1)
end)

t.case("nested: what a script sees of gradients while a pass is running is its own", function()
    local x, w = leaf{3}, leaf{2}
    local y, seen
    local f = busy(function()
        seen = {x.grad, y.grad, w.grad and w.grad:item()}
        x:zero_grad()
        w.grad = nil
        w.grad = attn.tensor({7}, {dtype = "float64"})
    end)
    y = x * w
    ;(f(y) + y * y):sum():backward()
    t.equal({seen, x.grad:item(), w.grad:item()}, {{}, 2 + 2 * 6 * 2, 3 + 2 * 6 * 3 + 7})
end)

t.case("nested: a pass that fails after its custom node ran gives no gradient that was not there", function()
    local x, w, v = leaf{3}, leaf{2}, leaf{1}
    local inner = (w * 5):sum()
    local f = busy(function() inner:backward() end)
    local loss = (busy(function() error("late") end)(x * v) + f(x * w)):sum()
    t.raises("late", loss.backward, loss)
    t.equal({x.grad, v.grad}, {nil, nil})
    t.is_true(not w.grad or w.grad:item() == 5)         -- what the inner one gave, if it came to run
    loss = (f(x * w) + busy(function() error("late") end)(x * v)):sum()
    t.raises("late", attn.grad, loss, {x, w})
    t.equal({x.grad, v.grad}, {nil, nil})
end)

t.case("nested: outer gradients are what they are without inner passes, in random graphs", function()
    attn.seed(5)
    local random = attn.randint(1, 1000000, 4000):totable()
    local at = 0
    local function draw(n)
        at = at % #random + 1
        return random[at] % n + 1
    end
    local function number() return attn.randn(2, {dtype = "float64"}) end
    -- the same graph every time it is built from `plan`; nodes of kind 4 run an inner pass, if there is one
    local function build(leaves, plan, inner)
        local made = {table.unpack(leaves)}
        for _, node in ipairs(plan) do
            local a, b = made[node[2]], made[node[3]]
            made[#made + 1] = node[1] == 1 and a * b or node[1] == 2 and a + b * 0.5 or node[1] == 3 and a:tanh() or
                busy(inner or function() end)(a) * b:sigmoid()
        end
        local loss = made[#made]:sum()
        for k = #leaves + 1, #made do loss = loss + made[k]:sum() * 0.25 end
        return loss, made
    end
    local function plan_of(n, leaves)
        local plan = {}
        for k = 1, n do plan[k] = {draw(4), draw(leaves + k - 1), draw(leaves + k - 1)} end
        return plan
    end
    for _ = 1, 60 do
        local values = {number(), number(), number()}
        local plan, inside = plan_of(8, 3), plan_of(4, 3)
        local function fresh()
            local leaves = {}
            for k, v in ipairs(values) do leaves[k] = v:clone():requires_grad_(true) end
            return leaves
        end
        local alone, inner_alone = fresh(), fresh()
        build(alone, plan):backward()
        build(inner_alone, inside):backward()
        local kind, wanted = draw(4), draw(2) == 1
        local leaves, times = fresh(), 0
        local loss, made
        local function within()
            local before = attn.random_state()
            local queue = table.remove(leaves.queue)
            if kind == 1 then
                queue:backward()
                times = times + 1
            elseif kind == 2 then
                attn.grad(queue, {leaves[1], leaves[3], made[5]})
            elseif kind == 3 then
                t.is_true(not pcall(queue.backward, queue))
            else
                t.is_true(not pcall(loss.backward, loss))
                t.is_true(not pcall(attn.grad, made[5]:sum(), {leaves[1]}))
            end
            attn.random_state(before)
        end
        leaves.queue = {}
        for _ = 1, #plan do
            local ready = build(leaves, inside)
            leaves.queue[#leaves.queue + 1] = kind == 3 and ready * busy(function() error("no") end)(leaves[2]):sum() or ready
        end
        loss, made = build(leaves, plan, within)
        local got = {}
        if wanted then
            got = attn.grad(loss, {leaves[1], leaves[2], leaves[3]})
        else
            loss:backward()
        end
        local zero = attn.zeros(2, {dtype = "float64"})
        for k = 1, 3 do
            local inner = (inner_alone[k].grad or zero) * times
            local outer = alone[k].grad or zero
            if wanted then
                t.near(got[k] or zero, outer, 1e-12)
                t.near(leaves[k].grad or zero, inner, 1e-9)
            else
                t.near(leaves[k].grad or zero, outer + inner, 1e-9)
            end
        end
    end
end)

t.case("custom: a layer converted while its gradient is computed is an error", function()
    local l = attn.layer.linear{inputs = 2, outputs = 2}:to("float64")
    local x = leaf{1, 2}
    local f = attn.custom{forward = function(_, a) return a * 1 end,
        backward = function(_, dy) l:to("float32") return dy end}
    local y = f(l(x)):sum()
    t.raises("was changed in place", function() y:backward() end)
end)

-- ---- anomaly ----

local function anomalous(fn)
    attn.anomaly(true)
    local ok, e = pcall(fn)
    attn.anomaly(false)
    t.is_true(not ok, "no error")
    return e
end

t.case("anomaly names operation and line, forward and backward", function()
    local x = leaf{-1, 4}
    local line = debug.getinfo(1, "l").currentline + 1
    local e = anomalous(function() return x:log() end)
    t.is_true(e:find("anomaly: the forward pass of log", 1, true), e)
    t.is_true(e:find("graph_test.lua:" .. line, 1, true), e)
    t.is_true(e:find("made NaN (float64 [2])", 1, true), e)
    local z = leaf{0, 1}
    attn.anomaly(true)
    line = debug.getinfo(1, "l").currentline + 1
    local y = z:sqrt():sum()
    local _, err = pcall(y.backward, y)
    attn.anomaly(false)
    t.is_true(err:find("anomaly: the backward pass of sqrt", 1, true), err)
    t.is_true(err:find("graph_test.lua:" .. line, 1, true), err)
    t.is_true(err:find("made infinity", 1, true), err)
end)

t.case("anomaly names the layer of a model whose parameter brought a NaN, or that was given one", function()
    local Net = attn.module "Net"
    function Net:init() self.out = attn.layer.linear{inputs = 2, outputs = 1} end
    function Net:forward(x) return self.out(x) end
    local net, nan = Net(), 0 / 0
    local e = anomalous(function() return net(attn.tensor{{1, nan}}) end)
    t.is_true(e:find("Net.out: anomaly: x of linear called at ", 1, true) and e:find(" holds NaN (float32 [1, 2])", 1, true), e)
    attn.no_grad(function() net.out.bias[1] = nan end)
    e = anomalous(function() return net(attn.ones(1, 2)) end)
    t.is_true(e:find("Net.out: anomaly: bias of linear called at ", 1, true) and e:find(" holds NaN (float32 [1])", 1, true), e)
end)

t.case("anomaly names the tensor that brought a NaN, forward and backward", function()
    local l = attn.layer.linear{inputs = 2, outputs = 3}
    local nan = 0 / 0
    attn.no_grad(function() l.weight[{2, 1}] = nan end)
    local line = debug.getinfo(1, "l").currentline + 1
    local e = anomalous(function() return l(attn.ones(4, 2)) end)
    t.is_true(e:find("anomaly: weight of linear called at ", 1, true), e)
    t.is_true(e:find("graph_test.lua:" .. line .. " holds NaN (float32 [", 1, true), e)
    local x, bad = leaf{1, 2}, attn.tensor({1, nan}, {dtype = "float64"})
    e = anomalous(function() return attn.no_grad(function() return x * bad end) end)
    t.is_true(e:find("anomaly: b of mul", 1, true) and e:find("holds NaN (float64 [2])", 1, true), e)
    e = anomalous(function() return attn.cat{x, x, bad} end)
    t.is_true(e:find("anomaly: tensor 3 of cat", 1, true), e)
    local wide = attn.stack{x, bad}
    e = anomalous(function() return wide:transpose(1, 2):softmax(2) end)     -- packed on the way
    t.is_true(e:find("anomaly: x of softmax", 1, true), e)

    local y = (x * bad):sum()                           -- made before the mode was on
    e = anomalous(function() y:backward() end)
    t.is_true(e:find("anomaly: b of mul", 1, true) and e:find("holds NaN (float64 [2])", 1, true), e)
    t.equal(x.grad, nil)
    e = anomalous(function() (x * 2):backward(bad) end)
    t.is_true(e:find("anomaly: gradient of backward holds NaN (float64 [2])", 1, true), e)
    e = anomalous(function() attn.grad(x * 2, {x}, bad) end)
    t.is_true(e:find("anomaly: gradient of grad holds NaN", 1, true), e)
    x.grad = bad
    e = anomalous(function() (x * 2):sum():backward() end)
    t.is_true(e:find("anomaly: the gradient of a of mul", 1, true) and e:find("held NaN before the backward pass", 1, true), e)
end)

t.case("anomaly lets a NaN pass that reaches no result", function()
    attn.anomaly(true)
    local ok, e = pcall(function()
        local x = attn.tensor{1, 0 / 0}:requires_grad_(true)
        t.equal(x:masked_fill(x:ne(x), 0):totable(), {1, 0})
        t.equal(attn.where(x:eq(x), x * 1, attn.zeros(2))[1]:item(), 1)
    end)
    attn.anomaly(false)
    t.is_true(not ok and e:find("a of mul", 1, true), e)        -- only the product computes with it
    t.is_true(e:find("holds NaN", 1, true), e)
end)

t.case("anomaly allocates nothing in Lua while the engine works", function()
    local function bytes(on, name)
        local run = load([[
            local attn, x = ...
            local before = collectgarbage("count")
            local y = x * 2
            return collectgarbage("count") - before, y
        ]], "=" .. name)
        local x = leaf{1}
        attn.anomaly(on)
        collectgarbage("stop")
        local count = run(attn, x)
        collectgarbage("restart")
        attn.anomaly(false)
        return count
    end
    bytes(false, "first")
    local plain = bytes(false, "second")
    for k = 1, 3 do t.equal(bytes(true, "third" .. k), plain) end
end)

t.case("anomaly lets infinities pass that were given", function()
    attn.anomaly(true)
    local ok, e = pcall(function()
        local x = leaf{{1, 2}, {3, 4}}
        local bias = attn.tensor({{0, -math.huge}, {0, 0}}, {dtype = "float64"})
        ;(x + bias):softmax(2):sum():backward()
    end)
    attn.anomaly(false)
    t.is_true(ok, e)
    t.raises("anomaly: argument is nil, expected true or false", attn.anomaly)
    t.is_true((leaf{-1}:log()):item() ~= 0)             -- off: NaN is no error
end)

-- ---- depth ----

t.case("a chain of 100,000 operations runs forward, backward and is released without recursion", function()
    local before = live()
    do
        local x = leaf{1}
        local y = x
        for _ = 1, 100000 do y = y + 1 end
        y:backward()
        t.equal({x.grad:item(), y:item()}, {1, 100001})
    end
    do                                                  -- dropped without a backward pass
        local y = leaf{1}
        for _ = 1, 100000 do y = y * 1 end
    end
    do                                                  -- dropped from the middle
        local x = leaf{1}
        local y, middle = x, nil
        for i = 1, 100000 do
            y = -y
            if i == 50000 then middle = y end
        end
        y:free()
        middle:backward()
        t.equal(x.grad:item(), 1)
    end
    t.equal(live(), before)
end)

t.case("a wide graph: one input of 5,000 operations", function()
    local x = leaf{2}
    local parts = {}
    for i = 1, 5000 do parts[i] = x * i end
    attn.cat(parts, 1):sum():backward()
    t.equal(x.grad:item(), 5000 * 5001 / 2)
end)
