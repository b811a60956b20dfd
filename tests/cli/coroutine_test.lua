-- The host's coroutine.resume, wrap and close behave as Lua's.
local t = require "attn.test"

local function values(...) return {n = select("#", ...), ...} end

local function closer(log, name, raise)
    return setmetatable({}, {__close = function(_, e)
        log[#log + 1] = name .. ":" .. tostring(e)
        if raise then error(raise, 0) end
    end})
end

t.case("values go both ways, nil ones too", function()
    local co = coroutine.create(function(a, b)
        local c = coroutine.yield(a + b)
        local d, e = coroutine.yield(nil, c, nil)
        return d, e, nil
    end)
    t.equal(values(coroutine.resume(co, 1, 2)), values(true, 3))
    t.equal(values(coroutine.resume(co, 10)), values(true, nil, 10, nil))
    t.equal(coroutine.status(co), "suspended")
    t.equal(values(coroutine.resume(co, 4, 5)), values(true, 4, 5, nil))
    t.equal(coroutine.status(co), "dead")
    t.equal(values(coroutine.resume(co)), values(false, "cannot resume dead coroutine"))
end)

t.case("an error is resume's second result, whatever object it is", function()
    local object = {}
    local ok, e = coroutine.resume(coroutine.create(function() error(object) end))
    t.is_true(not ok and e == object)
    t.equal(values(coroutine.resume(coroutine.create(function() error() end))), values(false, nil))
    t.equal(values(coroutine.resume(coroutine.create(function() error("x", 0) end))), values(false, "x"))
end)

t.case("wrap raises, with the caller's position before a string", function()
    local here = debug.getinfo(1, "S").short_src
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, e = pcall(function() local x = coroutine.wrap(function() error("boom", 0) end)() return x end)
    t.equal({ok, e}, {false, ("%s:%d: boom"):format(here, line)})
    local object = setmetatable({}, {})
    ok, e = pcall(coroutine.wrap(function() error(object) end))
    t.is_true(not ok and e == object)
    local w = coroutine.wrap(function() return 1 end)
    t.equal(w(), 1)
    t.raises("cannot resume dead coroutine", w)
end)

t.case("wrap closes what a failed coroutine left open", function()
    local log = {}
    local w = coroutine.wrap(function()
        local _ <close> = closer(log, "a")
        local _ <close> = closer(log, "b", "second")
        error("first", 0)
    end)
    t.raises("second", w)
    t.equal(log, {"b:first", "a:second"})
end)

t.case("iterators made of coroutines nest", function()
    local function gen(n)
        return coroutine.wrap(function()
            if n > 0 then for v in gen(n - 1) do coroutine.yield(v + 1) end end
            coroutine.yield(n)
        end)
    end
    local list = {}
    for v in gen(30) do list[#list + 1] = v end
    t.equal(#list, 31)
    for i = 1, 31 do t.equal(list[i], 30) end
end)

t.case("close runs pending __close and tells the error", function()
    local log = {}
    local co = coroutine.create(function()
        local _ <close> = closer(log, "a")
        coroutine.yield()
    end)
    coroutine.resume(co)
    t.equal(values(coroutine.close(co)), values(true))
    t.equal(log, {"a:nil"})
    t.equal(coroutine.status(co), "dead")
    co = coroutine.create(function()
        local _ <close> = closer(log, "b", "bad")
        coroutine.yield()
    end)
    coroutine.resume(co)
    t.equal(values(coroutine.close(co)), values(false, "bad"))
    t.equal(values(coroutine.close(co)), values(true))
    t.equal(values(coroutine.close(coroutine.create(print))), values(true))
end)

t.case("what cannot be resumed or closed", function()
    local outer
    outer = coroutine.create(function()
        local inner = coroutine.create(function()
            return coroutine.status(outer), values(coroutine.resume(outer)), values(pcall(coroutine.close, outer))
        end)
        return coroutine.resume(inner)
    end)
    t.equal(values(coroutine.resume(outer)), values(true, true, "normal",
        values(false, "cannot resume non-suspended coroutine"), values(false, "cannot close a normal coroutine")))
    t.raises("cannot close a running coroutine", coroutine.close, (coroutine.running()))
    t.raises("bad argument #1 to 'coroutine.resume' (thread expected, got number)", coroutine.resume, 1)
    t.raises("bad argument #1 to 'coroutine.close' (thread expected, got no value)", coroutine.close)
    t.raises("bad argument #1 to 'coroutine.wrap' (function expected, got no value)", coroutine.wrap)
end)

t.case("yields cross pcall, metamethods and for loops", function()
    local co = coroutine.wrap(function()
        local a = values(pcall(function() return coroutine.yield(1) end))
        local object = setmetatable({}, {__index = function() return coroutine.yield(2) end})
        local b = object.x
        local c = {}
        for v in function() return coroutine.yield(3) end do c[#c + 1] = v end
        return a, b, c
    end)
    t.equal({co(), co("a"), co("b"), co("c")}, {1, 2, 3, 3})
    t.equal({co(nil)}, {values(true, "a"), "b", {"c"}})
end)

t.case("too deep is an error, not a crash", function()
    local function deep(n) return n == 0 and "bottom" or coroutine.wrap(deep)(n - 1) end
    t.equal(deep(100), "bottom")
    t.raises("C stack overflow", deep, 1000)
    local function chain(n)         -- each __close closes the next coroutine
        local co = coroutine.create(function()
            local _ <close> = setmetatable({}, {__close = function() if n > 0 then chain(n - 1) end end})
            coroutine.yield()
        end)
        coroutine.resume(co)
        local ok, e = coroutine.close(co)
        if not ok then error(e, 0) end
    end
    chain(50)
    t.raises("C stack overflow", chain, 20000)
    chain(50)
end)

t.case("very many values", function()
    local co = coroutine.create(function(...) return select("#", ...) end)
    t.equal(values(coroutine.resume(co, table.unpack({}, 1, 100000))), values(true, 100000))
    co = coroutine.create(function() return table.unpack({}, 1, 999000) end)
    local ok, e = pcall(function() return select("#", coroutine.resume(co)) end)
    t.is_true(ok or e:find("stack overflow", 1, true), e)
end)

t.case("a hook of the script stays with its thread", function()
    local n = 0
    local co = coroutine.create(function() for _ = 1, 10 do n = n end end)
    debug.sethook(co, function() n = n + 1 end, "l")
    coroutine.resume(co)
    t.is_true(n > 0)
    t.is_true(debug.gethook(co) ~= nil)
    t.equal(debug.gethook(), nil)
end)
