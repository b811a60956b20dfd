-- Ctrl-C in train.loop: a checkpoint of the last whole step, from which a resumed loop goes on bit for bit.
local t = require "attn.test"
local shell = dofile((arg[0]:match "^(.*)/" or ".") .. "/../cli/shell.lua")

-- Losses and values of a loop that presses Ctrl-C once at a place: "loss N" in the forward pass of step N, "evaluate N" in its evaluation.
shell.write("loop.lua", [[
local attn = require "attn"
local place, at, resume, options = arg[1], tonumber(arg[2]), arg[3] == "resume", {}
local function press(where, step)
    if where == place and step == at then io.popen "kill -INT $PPID":close() while true do end end
end
attn.seed(resume and 99 or 1)
local Net = attn.module "Net"
function Net:init()
    self.norm = attn.layer.batchnorm{channels = 3}
    self.drop = attn.layer.dropout{p = 0.2}
    self.out = attn.layer.linear{inputs = 3, outputs = 1}
end
function Net:forward(x) return self.out(self.drop(self.norm(x))) end
local net, rows = Net(), {}
for i = 1, 20 do rows[i] = {i % 3 + 0.5, i / 7, i % 5 + 0.25} end
local step = 0
local cfg = {model = net, optimizer = attn.optim.adam{params = net:parameters(), lr = 0.05}, steps = 9, every = 3, ema = 0.9, best = nil,
    data = attn.data.batches{fields = {x = rows}, size = 8, seed = 4}, schedule = attn.schedule.plateau{lr = 0.05, factor = 0.5, patience = 1},
    checkpoint = "c.safetensors", resume = resume, metric = "value", quiet = false,
    loss = function(b)
        local loss = (net(b.x:to "float32") - 1):square():mean()
        step = step + 1
        press("loss", step)
        return loss
    end,
    evaluate = function(n)
        local value = net(attn.tensor(rows)):mean():item() + attn.rand(1):item()
        press("evaluate", n)
        return {value = value}
    end}
local history = attn.train.loop(cfg)
for i, loss in ipairs(history.losses) do print(i, ("%a"):format(loss)) end
for _, one in ipairs(history.values) do print("value", one.step, ("%a"):format(one.value.value)) end
for _, p in ipairs(net:parameters()) do print(p:sum():item()) end
for name, p in pairs(net:state()) do if name:find "running" then print(name, p:sum():item()) end end
]])

local function numbers(out)
    local lines = {}
    for line in out:gmatch "[^\n]+" do
        if not line:find "^step " and not line:find "^resumed" then lines[#lines + 1] = line end
    end
    table.sort(lines)
    return table.concat(lines, "\n")
end

t.case("a loop that is interrupted in a step or in an evaluation goes on as if it had not been", function()
    local expected = shell.run "attn loop.lua never 0 new"
    t.is_true(#numbers(expected) > 200, expected)
    for _, case in ipairs{{"loss 5", 4}, {"evaluate 6", 6}, {"loss 4", 3}, {"loss 9", 8}, {"evaluate 9", 9}} do
        os.remove(shell.folder() .. "/c.safetensors")
        local out, err, code = shell.run("attn loop.lua " .. case[1] .. " new")
        t.equal(code, 130)
        t.is_true(err:find("interrupted!", 1, true), err)
        t.is_true(out:find(("interrupted: step %d of 9 is in c.safetensors; resume = true goes on from there\n"):format(case[2]), 1, true), out)
        out, err = shell.run "attn loop.lua never 0 resume"
        t.equal(err, "")
        t.is_true(out:find(("resumed behind step %d of 9, from c.safetensors\n"):format(case[2]), 1, true), out)
        t.equal(numbers(out), numbers(expected), case[1])
    end
end)

t.case("before the first step is done, or without a place for it, there is no checkpoint", function()
    os.remove(shell.folder() .. "/c.safetensors")
    local out, err, code = shell.run "attn loop.lua loss 1 new"
    t.equal({out, code}, {"", 130})
    t.is_true(err:find("interrupted!", 1, true) and not io.open(shell.folder() .. "/c.safetensors"), err)
end)

t.case("a run's loop says how the run goes on", function()
    shell.write("run.lua", [[
local attn = require "attn"
local run = attn.run.start("cut", {steps = 6, press = 4})
local o = run.options
attn.seed(2)
local layer = attn.layer.linear{inputs = 2, outputs = 1}
local n = 0
local history = attn.train.loop{model = layer, optimizer = attn.optim.sgd{params = layer:parameters(), lr = 0.1}, run = run, steps = o.steps, every = 6,
    data = function(step) return attn.ones(1, 2) * step end, loss = function(x)
        n = n + 1
        if n == o.press and not run.resumed then io.popen "kill -INT $PPID":close() while true do end end
        return layer(x):square():mean()
    end}
print("done", #history.losses)
]])
    local out, _, code = shell.run "attn run.lua"
    t.equal(code, 130)
    local id = out:match "interrupted: step 3 of 6 is in [^\n]*/checkpoints; %-%-resume ([^\n]*) goes on from there\n"
    t.is_true(id, out)
    out = shell.run("attn run.lua --resume " .. id)
    t.is_true(out:find("resumed behind step 3 of 6, from ", 1, true) and out:find("done\t6\n", 1, true), out)
end)
