-- Memory: nothing is lost over training steps, loops run in flat memory in both collector modes, and any allocation may
-- fail.
local attn, t = require "attn", require "attn.test"
local internal = require "attn.internal"

local exe = os.getenv("ATTN_EXE") or arg[-1]

-- Under AddressSanitizer freed memory is kept for a while and everything is ten times slower.
local maps = io.open("/proc/self/maps")
local sanitized = maps and maps:read("a"):find("libasan", 1, true) ~= nil
if maps then maps:close() end

local function live()
    collectgarbage()
    collectgarbage()
    return attn.memory().live
end

-- ---- training steps ----

-- RNNsearch (Bahdanau et al. 2015) in the small, between two layers of operations.
local Model = attn.module "Model"

function Model:init()
    self.embed = attn.layer.embedding{count = 12, dim = 6}
    self.drop = attn.layer.dropout{p = 0.2}
    self.encoder = attn.encoder.rnn{inputs = 6, hidden = 5, cell = "lstm", bidirectional = true}
    self.bridge = attn.layer.linear{inputs = 5, outputs = 4}
    self.decoder = attn.decoder.rnn{inputs = 6, hidden = 4, memory = 10, outputs = 12,
        attention = {score = "additive", dim = 3},
        readout = "maxout", dropout = 0.1}
end

function Model:forward(ids, lengths)
    local x = self.drop(self.embed(ids))
    local memory, last = self.encoder(x, {lengths = lengths})
    local state = {h = self.bridge(last.h[2]):tanh():unsqueeze(1)}
    return (self.decoder(x, memory, {memory_lengths = lengths, state = state}))
end

local rows = {{3, 4, 5, 6}, {7, 8}, {9, 10, 11}}

local function step(model, opt)
    local ids, lengths = attn.data.pad(rows)
    opt:zero_grad()
    local loss = attn.loss.cross_entropy(model(ids, lengths), ids)
    loss:backward()
    attn.clip_grad_norm(model:parameters(), 1)
    opt:step()
    return loss:item()
end

t.case("live bytes return to where they were after training steps", function()
    local model = Model()
    local opt = attn.optim.adam{params = model:parameters()}
    for _ = 1, 3 do step(model, opt) end
    opt:zero_grad()
    local before = live()
    for _ = 1, 200 do step(model, opt) end
    opt:zero_grad()
    t.equal(live(), before)
    attn.no_grad(function() for _ = 1, 50 do model(attn.data.pad(rows)) end end)
    t.equal(live(), before)
    for _ = 1, 50 do                                    -- dropped graphs, failed calls
        local loss = model(attn.data.pad(rows)):sum()
        t.is_true(not pcall(model, attn.zeros(2, 2)) and not pcall(loss.backward, loss, loss:view(1)))
    end
    t.equal(live(), before)
    model, opt = nil, nil
    t.is_true(live() < before)
end)

-- ---- flat memory ----

-- Runs a script in a process of its own; what it printed.
local function child(script)
    local path = os.tmpname()
    local f = assert(io.open(path, "w"))
    f:write(script)
    f:close()
    local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(exe, path)))
    local out = pipe:read("a")
    local ok = pipe:close()
    os.remove(path)
    t.is_true(ok, out)
    return out
end

local STEPS = [[
local attn = require "attn"
collectgarbage(MODE)
local function resident()
    for line in io.lines "/proc/self/status" do
        local kb = line:match "^VmRSS:%s*(%d+)"
        if kb then return kb / 1024 end
    end
end
attn.seed(1)
local first, second = attn.layer.linear{inputs = 4, outputs = 8}, attn.layer.linear{inputs = 8, outputs = 2}
local params = {}
for _, l in ipairs{first, second} do for _, p in ipairs(l:parameters()) do params[#params + 1] = p end end
local opt = attn.optim.adam{params = params, lr = 1e-3}
local x, y = attn.randn(3, 4), attn.randn(3, 2)
local early
for i = 1, COUNT do
    opt:zero_grad()
    local loss = attn.loss.mse(second(first(x):tanh()), y)
    loss:backward()
    opt:step()
    if i == COUNT // 10 then
        early = resident()
        attn.reset_peak_memory()
    end
end
local peak = attn.memory().peak
print(resident() - early, peak / 2^20, collectgarbage("count") / 1024)
]]

for _, mode in ipairs{"incremental", "generational"} do
    t.case("100,000 training steps run in flat memory, " .. mode, function()
        local count = sanitized and 5000 or 100000
        local out = child((STEPS:gsub("MODE", ("%q"):format(mode)):gsub("COUNT", tostring(count))))
        local grown, peak, heap = out:match("^(%S+)%s+(%S+)%s+(%S+)%s*$")
        t.is_true(grown, out)
        t.is_true(sanitized or tonumber(grown) < 2, "resident memory grew by " .. grown .. " MiB")
        t.is_true(tonumber(peak) < 16, "peak of live tensors " .. peak .. " MiB")
        t.is_true(tonumber(heap) < 64, "Lua's heap " .. heap .. " MiB")
    end)
end

local CHURN = [[
local attn = require "attn"
collectgarbage(MODE)
local small, kept = {}, {}
for i = 1, 300000 do small[i] = {i} end
for i = 1, COUNT do
    local x = attn.zeros(512, 512)
    if i % (COUNT // 50) == 0 then kept[#kept + 1] = x end
end
assert(#kept == 50)
for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)"
    if kb then print(kb * 1024 / 1e6, attn.memory().peak / 1e6) end
end
]]

for _, mode in ipairs{"incremental", "generational"} do
    t.case("20,000 dropped tensors of 1 MiB beside 300,000 small tables and 50 live ones stay below 450 MB, " .. mode,
        function()
        local count = sanitized and 2000 or 20000
        local out = child((CHURN:gsub("MODE", ("%q"):format(mode)):gsub("COUNT", tostring(count))))
        local resident, peak = out:match("^(%S+)%s+(%S+)%s*$")
        t.is_true(resident, out)
        t.is_true(sanitized or tonumber(resident) <= 450, "resident " .. resident .. " MB")
        t.is_true(tonumber(peak) <= 450, "live tensors " .. peak .. " MB")
    end)
end

-- ---- failing allocations ----

-- One training step from the same start each time; nothing here fails but what is told to.
local function trial()
    attn.seed(11)
    local model = Model()
    local start = {}
    for name, x in pairs(model:state()) do start[name] = x:clone() end
    local self = {}
    function self.reset()
        model:zero_grad()
        model:load(start)
        self.opt = attn.optim.adam{params = model:parameters(), lr = 1e-2}
        attn.random_state{seed = 5, counter = 0}
    end
    function self.step()
        local loss = step(model, self.opt)
        return loss
    end
    self.reset()
    self.expected = self.step()
    self.reset()
    self.live = live()
    return self
end

for _, how in ipairs{{"once", 1}, {"twice in a row", 2}, {"for good", true}} do
    t.case("each of the first 500 allocations of a training step fails " .. how[1], function()
        local run = trial()
        local failed, passed = 0, 0
        for n = 1, 500 do
            internal.fail_allocation(n, how[2])
            local ok, e = pcall(run.step)
            internal.fail_allocation(0)
            if ok then
                passed = passed + 1
            else
                failed = failed + 1
                t.is_true(tostring(e):find("out of memory", 1, true), ("allocation %d: %s"):format(n, tostring(e)))
            end
            run.reset()
            local now = live()
            if now ~= run.live then
                error(("allocation %d: %d live bytes, %d before (%s)"):format(n, now, run.live,
                    ok and "it succeeded" or tostring(e)))
            end
            local loss = run.step()
            run.reset()
            if loss ~= run.expected then error(("after allocation %d: loss %.17g, expected %.17g"):format(n, loss,
                run.expected)) end
        end
        t.is_true(how[2] == 1 or failed > 50, failed .. " of 500 failed")
        t.is_true(how[2] ~= 1 or passed > 0, "a single failure is made good by a collection")
    end)
end

t.case("an allocation that fails leaves the gradients of a backward pass alone", function()
    local w = attn.ones(50):requires_grad_(true)
    ;(w * 2):sum():backward()
    for n = 1, 40 do
        local loss = (w:exp() * w):sum()
        internal.fail_allocation(n, true)
        local ok = pcall(loss.backward, loss)
        internal.fail_allocation(0)
        if ok then break end
        t.equal(w.grad[1]:item(), 2)
        loss:backward()                                 -- the graph is whole: the pass can be made again
        t.near(w.grad[50]:item(), 2 + 2 * math.exp(1))
        w:zero_grad()
        ;(w * 2):sum():backward()
    end
end)
