-- Every allocation of layers, optimizers and files fails in turn: each is an error, nothing is lost, and work goes on.
local attn, t = require "attn", require "attn.test"
local internal = require "attn.internal"

local file = dofile((arg[0]:match("^(.*)/") or ".") .. "/../io/file.lua")
local path = file.path

local function live()
    collectgarbage()
    collectgarbage()
    return attn.memory().live
end

-- Fails allocation 1, 2, 3 ... of fn until it succeeds. `sticky`: all later ones too, as when memory is really out.
local function exhaust(fn)
    fn()
    for _, sticky in ipairs{true, false} do
        local before, failures = live(), 0
        for n = 1, 10000 do
            internal.fail_allocation(n, sticky or 1)
            local ok, message = pcall(fn)
            internal.fail_allocation(0)
            if ok and n > 1 and sticky then break end
            if not ok then
                failures = failures + 1
                t.is_true(message:find("out of memory", 1, true), message)
            elseif n > 300 then
                break
            end
        end
        t.equal(live(), before)
        t.is_true(not sticky or failures > 0)
    end
end

-- Every layer, attention, encoder and decoder: its first cases.
local makers = {}
for name, list in pairs(dofile(debug.getinfo(1, "S").source:match("^@(.-)[^/]*$") .. "cases.lua").gradient) do
    local constructor = attn
    for part in name:gmatch("[^.]+") do constructor = constructor[part] end
    for k = 1, math.min(2, #list) do
        local case, inputs = list[k], list[k].inputs()
        makers[#makers + 1] = {("%s, case %d"):format(name, k), function() return constructor(case.config):to "float64" end,
            function(layer)
                if case.call then return case.call(layer, table.unpack(inputs)) end
                return layer(table.unpack(inputs))
            end}
    end
end
table.sort(makers, function(one, other) return one[1] < other[1] end)

for _, maker in ipairs(makers) do
    t.case(maker[1] .. ": made, and called with a backward pass", function()
        local _, make, call = table.unpack(maker)
        exhaust(function() make() end)
        local layer = make()
        exhaust(function()
            local y = call(layer)
            layer:zero_grad()
            if y.requires_grad then y:sum():backward() end
        end)
    end)
end

t.case("converting a layer: all or nothing", function()
    local l = attn.layer.attention_pool{inputs = 3, dim = 2}
    local dtype = "float32"
    exhaust(function()
        dtype = dtype == "float32" and "float64" or "float32"
        local ok, message = pcall(l.to, l, dtype)
        for _, p in ipairs(l:parameters()) do t.equal(p.dtype, l.dtype) end
        if not ok then
            dtype = l.dtype
            error(message, 0)
        end
        l:to("float32")
        dtype = "float32"
    end)
end)

t.case("a step of an optimizer: all or nothing, and its state", function()
    local p, q = attn.ones(300):requires_grad_(true), attn.ones(2):requires_grad_(true);
    (p:sum() + q:sum()):backward()
    exhaust(function()
        local before = p:totable()[1]
        local opt = attn.optim.adam{params = {p, q}, lr = 0.01}
        local ok, message = pcall(opt.step, opt)
        t.is_true(ok or (p:totable()[1] == before and q:totable()[1] == before))
        if not ok then error(message, 0) end
        opt:load(opt:state())
        attn.clip_grad_norm({p, q}, 1)
    end)
end)

t.case("saving and loading", function()
    local model, x = attn.layer.linear{inputs = 3, outputs = 300}, attn.arange(1, 6):reshape(2, 3):transpose(1, 2)
    local want = x:contiguous():totable()
    exhaust(function()
        attn.save(path, {model = model, x = x, list = {1, "two"}})
        t.equal(attn.load(path).x:totable(), want)
        attn.npy.save(path, x)
        t.equal(attn.npy.load(path):totable(), want)
        t.equal(#attn.lines(path), 2)
    end)
end)

t.case("the test's file is removed", function() t.is_true(os.remove(path)) end)
