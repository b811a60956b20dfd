-- Giving memory back: attn.scope, attn.keep, t:free(), <close>, attn.memory, attn.memory_limit.
local attn, t = require "attn", require "attn.test"

local function live()
    collectgarbage()
    collectgarbage()
    return attn.memory().live
end

local function freed(x) return not pcall(function() return x.shape end) end

t.case("a scope frees what was made inside but what it returns", function()
    local a, b, c
    local x, list = attn.scope(function(n)
        a, b, c = attn.zeros(n), attn.ones(n), attn.ones(n)
        local sum = a + b
        return sum, {deep = {b}}
    end, 3)
    t.equal({x:totable(), list.deep[1]:totable()}, {{1, 1, 1}, {1, 1, 1}})
    t.is_true(freed(a) and freed(c) and not freed(b))
    t.raises("tensor was freed", function() return a + 1 end)
    t.raises("add: b: tensor was freed", function() return x + a end)
    t.raises("index: tensor was freed", function() return a[1] end)
    t.raises("self: tensor was freed", function() return a:totable() end)
    t.equal(tostring(a), "a freed tensor")
end)

t.case("a scope passes arguments, all results and errors", function()
    t.equal({attn.scope(function(...) return select("#", ...), ... end, 1, nil, nil)}, {3, 1, nil, nil})
    t.equal(select("#", attn.scope(function() return nil, nil end)), 2)
    local inside
    t.raises("my error", attn.scope, function() inside = attn.zeros(2) error("my error") end)
    t.is_true(freed(inside))
    t.raises("scope: fn is nil, expected a function", attn.scope)
    t.raises("scope: fn is a table, expected a function", attn.scope, {})
    t.equal(attn.scope(attn.layer.linear{inputs = 1, outputs = 1}, attn.ones(2, 1)).shape, {2, 1})
end)

t.case("keep takes tensors out, alone or in tables", function()
    local a, b, c, d
    attn.scope(function()
        a, b, c, d = attn.zeros(1), attn.zeros(1), attn.zeros(1), attn.zeros(1)
        t.is_true(attn.keep(a) == a)
        local list = {b, {c}}
        list.self = list
        attn.keep(list)
    end)
    t.is_true(not freed(a) and not freed(b) and not freed(c) and freed(d))
    t.equal(select("#", attn.keep(1, nil, nil)), 3)
end)

t.case("scopes nest: what an inner one returns belongs to the outer one", function()
    local alone, listed, kept, outer
    attn.scope(function()
        outer = attn.zeros(1)
        local list
        alone, list = attn.scope(function()
            kept = attn.keep(attn.zeros(1))
            return attn.zeros(1), {attn.zeros(1)}
        end)
        listed = list[1]
        t.is_true(not freed(alone) and not freed(listed) and not freed(outer))
    end)
    t.is_true(freed(alone) and freed(listed) and freed(outer) and not freed(kept))
end)

t.case("what a layer, a module, an optimizer or the tape holds lives on", function()
    local layer, model, opt, p, loss
    local Model = attn.module "Model"
    function Model:init() self.w = attn.ones(2):requires_grad_(true) self.list = {attn.ones(2), {attn.ones(1)}} end
    attn.scope(function()
        layer = attn.layer.linear{inputs = 2, outputs = 1}
        model = Model()
        attn.scope(function() model.late = attn.ones(1) end)
        p = attn.keep(attn.ones(2):requires_grad_(true))
        opt = attn.optim.adam{params = {p, attn.ones(2):requires_grad_(true)}}
        loss = attn.keep((p * p):exp():sum())
    end)
    t.equal({#layer:parameters(), model.w:totable(), model.list[1]:totable(), model.late:item()},
        {2, {1, 1}, {1, 1}, 1})
    loss:backward()
    t.equal(p.grad.shape, {2})
    opt:step()
    t.equal(#opt.params, 2)
    t.equal(layer(attn.ones(1, 2)).shape, {1, 1})
end)

t.case("a returned list of any depth, and one that contains itself", function()
    local list, last = {}, nil
    last = list
    for _ = 1, 300000 do
        last.next = {}
        last = last.next
    end
    local before = list
    local out = attn.scope(function()
        last.tensor = attn.ones(1)
        last.next = before
        return before
    end)
    t.is_true(out == before)
    t.equal(last.tensor:item(), 1)
end)

t.case("yielding out of a scope is an error", function()
    local co = coroutine.create(function() attn.scope(function() coroutine.yield() end) end)
    local ok, e = coroutine.resume(co)
    t.is_true(not ok and tostring(e):find("C-call boundary", 1, true), e)
    t.equal(attn.scope(function() return coroutine.wrap(function() coroutine.yield(attn.ones(1)) end)() end):item(), 1)
end)

t.case("live bytes are where they were after a scope", function()
    local x = attn.randn(64, 64)
    attn.scope(function() return 1 end)
    local before = live()
    attn.scope(function()
        for _ = 1, 20 do x = x + 0 end
    end)
    t.is_true(freed(x))
    t.is_true(live() < before)
end)

t.case("free gives up one handle; storage goes with its last user", function()
    local before = live()
    local x = attn.zeros(1000, 1000)
    local view, again = x[1], x
    local grown = live() - before
    t.is_true(grown >= 4000000)
    x:free()
    x:free()
    t.is_true(freed(again), "a second name of the same handle")
    t.equal(view:totable()[1000], 0)
    t.is_true(live() - before >= 4000000)
    view:free()
    t.is_true(live() - before < 2000)
    local y = attn.ones(3):requires_grad_(true)
    local z = y:exp()
    local loss = z:sum()
    z:free()
    loss:backward()
    t.near(y.grad:totable(), {math.exp(1), math.exp(1), math.exp(1)})
end)

t.case("<close> frees at the end of the block, also when it is left by an error", function()
    local kept
    do
        local x <close> = attn.zeros(2)
        kept = x
    end
    t.is_true(freed(kept))
    pcall(function()
        local x <close> = attn.zeros(2)
        kept = x
        error "out"
    end)
    t.is_true(freed(kept))
    local layer
    do
        local l <close> = attn.layer.linear{inputs = 1, outputs = 1}
        layer = l
    end
    t.is_true(not pcall(layer, attn.ones(1, 1)))
    t.is_true(#tostring(layer) > 0)
end)

t.case("every method of a freed tensor is an error, but free", function()
    local x = attn.ones(2)
    local methods = {}
    for _, op in ipairs(attn.operations()) do
        if not op.name:find(".", 1, true) and x[op.name] then methods[op.name] = true end
    end
    for _, name in ipairs{"size", "dim", "numel", "item", "totable", "to", "detach", "copy_", "fill_", "requires_grad_",
        "backward",
                          "split", "chunk", "is_contiguous", "zero_grad"} do
        methods[name] = true
    end
    x:free()
    for name in pairs(methods) do
        local ok, e = pcall(x[name], x, 1, 1, 1)
        t.is_true(not ok, name)
        t.is_true(tostring(e):find("freed", 1, true), name .. ": " .. tostring(e))
    end
    for _, field in ipairs{"shape", "dtype", "grad", "requires_grad"} do
        t.raises("tensor was freed", function() return x[field] end)
    end
    t.raises("tensor was freed", function() x[1] = 1 end)
    t.raises("tensor was freed", function() return #x end)
    t.is_true(x ~= attn.ones(1) and x == x)
    x:free()
end)

t.case("a tensor is reachable after its finalizer ran", function()
    local revived
    do
        local x = attn.ones(2)
        setmetatable({}, {__gc = function() revived = x end})
    end
    collectgarbage()
    t.is_true(revived)
    pcall(function() return revived:sum():item() end)
    local box = setmetatable({x = attn.ones(2)}, {__gc = function(self) pcall(self.x.sum, self.x) self.x:free() end})
    t.is_true(box.x)
    box = nil
    collectgarbage()
end)

t.case("a finalizer that frees the arguments of a call that is running does no harm", function()
    for round = 1, 300 do
        local x, y = attn.ones(round % 5 + 1, 40), attn.ones(round % 5 + 1, 40)
        local function trap()
            setmetatable({}, {__gc = function() x:free() y:free() end})
            collectgarbage("step", round % 7 * 50)
        end
        trap()
        pcall(function() return attn.cat({x, y, x, y}, 1) end)
        pcall(function() return x:totable() end)
        pcall(function() return tostring(y) end)
        pcall(function() return x[1] end)
        pcall(function() return x:detach() end)
        pcall(function() return x + y end)
    end
end)

t.case("memory says live, peak and budget; the peak can be counted anew", function()
    local m = attn.memory()
    t.is_true(m.live <= m.peak and m.budget > 0)
    local x <close> = attn.zeros(1 << 20)
    t.is_true(attn.memory().live - m.live >= 4 << 20)
    attn.reset_peak_memory()
    t.equal(attn.memory().peak, attn.memory().live)
end)

t.case("out of memory is an error that can be caught, after a collection and one more try", function()
    collectgarbage()
    collectgarbage("stop")
    attn.memory_limit(attn.memory().live + (40 << 20))
    local ok, e = pcall(function()
        for _ = 1, 20 do attn.zeros(4 << 20) end        -- 16 MiB each, garbage at once
        local all = {}
        for i = 1, 20 do all[i] = attn.zeros(4 << 20) end
    end)
    attn.memory_limit(0)
    collectgarbage("restart")
    t.is_true(not ok)
    t.is_true(e:find("scope_test.lua:%d+: zeros: out of memory"), e)
    t.equal(attn.zeros(4 << 20):numel(), 4 << 20)
    t.raises("memory_limit: bytes is -1, expected at least 0", attn.memory_limit, -1)
end)
