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

local function ids(...) return attn.tensor({...}, {dtype = "int64"}) end

t.case("making a layer of each kind", function()
    for _, make in ipairs{
        function() return attn.layer.linear{inputs = 3, outputs = 200} end,
        function() return attn.layer.embedding{count = 300, dim = 2} end,
        function() return attn.layer.layernorm{dim = 3} end,
        function() return attn.layer.conv2d{inputs = 3, outputs = 3, kernel = 2} end,
        function() return attn.layer.positional{dim = 3, type = "learned", max_length = 5} end,
        function() return attn.layer.maxout{inputs = 3, outputs = 3} end,
        function() return attn.layer.attention_pool{inputs = 3, dim = 3} end,
    } do
        exhaust(function() make() end)
    end
end)

t.case("calling them, with a backward pass", function()
    local x, lengths = attn.randn(2, 4, 3), ids(4, 2)
    for _, run in ipairs{
        function() return attn.layer.positional{dim = 3}(x):sum() end,
        function() return (attn.layer.attention_pool{inputs = 3, dim = 2, hops = 2}(x, {lengths = lengths})):sum() end,
        function() return attn.layer.maxout{inputs = 3, outputs = 2}(x):sum() end,
        function() return attn.layer.conv1d{inputs = 3, outputs = 2, kernel = 2}(x):sum() end,
        function() return attn.layer.embedding{count = 4, dim = 2}(lengths):sum() end,
    } do
        exhaust(function()
            local loss = run()
            if loss.requires_grad or #loss.shape == 0 then pcall(loss.backward, loss) end
            loss:item()
        end)
    end
end)

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
