-- Lua runs finalizers wherever it allocates, also while a function of the library is at work. What they let go must not pull a tensor
-- from under it. The random form is tests/fuzz/calls.lua with ATTN_FUZZ_FINALIZERS.
local attn, t = require "attn", require "attn.test"

-- Calls fn while the collector runs at every allocation and each time a finalizer calls `wreck`.
local function among(wreck, fn)
    local on = true
    local function arm()
        setmetatable({}, {__gc = function()
            if on then
                wreck()
                arm()
            end
        end})
    end
    arm()
    collectgarbage("incremental", 1, 1000, 100)         -- a whole cycle at every step, and no pause between
    collectgarbage "step"
    local ok, message = pcall(fn)
    on = false
    collectgarbage("incremental", 200, 100, 13)
    if not ok then error(message, 0) end
end

t.case("a gradient that a finalizer drops while it is read is still whole", function()
    local x
    among(function() if x then x:zero_grad() end end, function()
        for _ = 1, 200 do
            x = attn.ones(64):requires_grad_(true)
            x:sum():backward(attn.tensor(2))
            local g = x.grad
            if g then t.equal(g[1]:item(), 2) end
        end
    end)
end)

t.case("a tensor that a finalizer frees while it is printed or listed is printed and listed whole", function()
    local x
    local reader = {tostring, function(y) return #y:totable() == 64 and "1, 1" end, function(y) return tostring(y.shape[1]) .. "1" end}
    for _, read in ipairs(reader) do
        among(function() if x then x:free() end end, function()
            for _ = 1, 50 do
                local y = attn.ones(64)
                x = y
                local ok, text = pcall(read, y)
                t.is_true(ok and text:find "1" or tostring(text):find "tensor was freed", tostring(text))
                x = nil
            end
        end)
    end
end)

t.case("parameters that a finalizer replaces while a layer lists them", function()
    local layer = attn.layer.linear{inputs = 2, outputs = 2}
    among(function() layer.weight = attn.zeros(2, 2):requires_grad_(true) end, function()
        for _ = 1, 20 do
            for _, p in ipairs(layer:parameters()) do t.equal(p.shape[1], 2) end
            t.equal(layer:state().weight.shape, {2, 2})
        end
    end)
end)

t.case("what finalizers freed is given back by the next calls", function()
    collectgarbage()
    local before = attn.memory().live
    local x = attn.zeros(1 << 18)
    setmetatable({}, {__gc = function() x:free() end})
    collectgarbage()
    local _ = attn.ones(1) + 1
    collectgarbage()
    _ = attn.ones(1) + 1
    t.is_true(attn.memory().live < before + (1 << 19), "a megabyte is still held")
end)

t.case("save keeps the names of a table whose entries a module's state() removes", function()
    local path, table_ = os.tmpname(), {}
    local Class = attn.module "Remover"
    function Class:state()
        for key in pairs(table_) do if key ~= "remover" then table_[key] = nil end end
        for i = 1, 100 do local _ = ("another string "):rep(i) end
        collectgarbage()
        return {}
    end
    table_.remover = Class()
    for i = 1, 50 do table_["zz" .. ("name"):rep(i % 13) .. i] = i end
    t.raises("nil cannot be saved", attn.save, path, table_)
    os.remove(path)
end)
