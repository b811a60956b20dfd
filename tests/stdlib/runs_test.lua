-- Folders of runs, seen from outside: what a script leaves behind, how it goes on after kill -9, and what `attn runs`
-- says. ATTN_KILLS=50 makes the test of kill -9 as long as that.
local attn, t = require "attn", require "attn.test"
local data = require "attn.data"
local shell = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../cli/shell.lua")

shell.write("tiny.lua", [[
local attn = require "attn"
local data, train = require "attn.data", require "attn.train"
local job = attn.run.start("tiny", {model = {hidden = 12, dropout = 0.1}, lr = 0.02, steps = 30, seed = 1,
    save_every = 5, every = 10, accumulate = 2, pause = 0.0, words = {"a"}, best = 1, patience = 100, fill = 0})
local cfg = job.options
attn.seed(cfg.seed)
local draw, source, class = data.random(1), {}, {}
for i = 1, 64 do
    local row, sum = {}, 0
    for k = 1, 2 + i % 3 do
        row[k] = 3 + draw(2)
        sum = sum + row[k]
    end
    source[i], class[i] = row, sum % 2 + 1
end
local Tiny = attn.module "Tiny"
function Tiny:init()
    self.embed = attn.layer.embedding{count = 5, dim = 6}
    self.rnn = attn.encoder.rnn{inputs = 6, hidden = cfg.model.hidden}
    self.dropout = attn.layer.dropout{p = cfg.model.dropout}
    self.out = attn.layer.linear{inputs = cfg.model.hidden, outputs = 2}
    self.fill = attn.zeros(1 + cfg.fill)
end
function Tiny:forward(ids, lengths)
    local _, last = self.rnn(self.embed(ids), {lengths = lengths})
    return self.out(self.dropout(last.h[1]))
end
local model = Tiny()
local history = train.loop{run = job, model = model, steps = cfg.steps, accumulate = cfg.accumulate, ema = 0.9,
    clip = 1,
    optimizer = attn.optim.adam{params = model:parameters(), lr = cfg.lr},
    schedule = attn.schedule.noam{dim = 16, warmup = 20},
    data = data.batches{fields = {source = source, class = class}, size = 5, seed = 2},
    every = cfg.every, save_every = cfg.save_every, best = cfg.best, metric = "loss", patience = cfg.patience,
    evaluate = function(step)       -- best at step 10; draws random numbers, as sampling would
        return {loss = math.abs(step - 10) + 1, noise = attn.rand(1):item()}
    end,
    loss = function(b)
        local began = attn.clock()
        while attn.clock() - began < cfg.pause do end
        return attn.loss.cross_entropy(model(b.source, b.source_lengths), b.class, {smoothing = 0.1}), #b.index
    end}
attn.save(job.path .. "/final.safetensors", {model = model, losses = history.losses, top = history.top_step})
attn.show.result("checksum", attn.crc32(job.path .. "/final.safetensors"))
if history.best[1] then assert(job:at(history.best[1].step).history.step == history.best[1].step) end
assert(job:once("draw", function() return attn.rand(1):item() end) == job:once("draw", error))
assert(tostring(select(2, pcall(job.at, job, 7))):find "has no checkpoint of step 7")
job:finish()
]])

local function ok(command)
    local out, err, code = shell.run(command)
    if code ~= 0 then error(("%s: status %d: %s"):format(command, code, err), 2) end
    return out
end

local function fails(expected, command)
    local _, err, code = shell.run(command)
    if not err:find(expected, 1, true) then error(("got %q, expected %q"):format(err, expected), 2) end
    if code ~= 1 then error("exit status " .. code .. ", expected 1", 2) end
end

local function only_run(root)
    local list = attn.run.list(shell.folder() .. "/" .. root)
    t.equal(#list, 1)
    return list[1].path, list[1]
end

local function checkpoints(path)
    local names = attn.list_folder(path .. "/checkpoints")
    table.sort(names)
    return names
end

-- Name and checksum of everything in a run's folder that a failure must leave alone.
local function fingerprint(path)
    local sums = {config = attn.crc32(path .. "/config.json")}
    for _, name in ipairs(checkpoints(path)) do sums[name] = attn.crc32(path .. "/checkpoints/" .. name) end
    return sums
end

local reference                     -- the checksum of the run that nothing interrupts
local function uninterrupted()
    reference = reference or ok("attn tiny.lua --runs whole"):match "result checksum (%x+)"
    return reference
end

t.case("a run leaves its options, metrics, log, checkpoints and script", function()
    uninterrupted()
    local path, config = only_run "whole"
    t.is_true(path:match "/tiny%-%d%d%d%d%d%d%d%d%-%d%d%d%d%d%d%-%x%x%x%x$", path)
    t.equal(config.options, {model = {hidden = 12, dropout = 0.1}, lr = 0.02, steps = 30, seed = 1, save_every = 5,
        every = 10, accumulate = 2, pause = 0.0, words = {"a"}, best = 1, patience = 100, fill = 0})
    t.equal(config.from["model.hidden"], "default")
    t.equal(shell.read(path .. "/script.lua"), shell.read(shell.folder() .. "/tiny.lua"))
    t.is_true(shell.read(path .. "/log.txt"):find("result checksum " .. reference, 1, true))
    local steps, valid = 0, {}
    for _, r in ipairs(attn.run.metrics(path .. "/metrics.jsonl")) do
        if r.split == "train" then
            steps = steps + 1
            t.equal(r.step, steps)
            t.equal(type(r.loss), "number")
        elseif r.split == "valid" then
            valid[#valid + 1] = r.loss
        end
    end
    t.equal(steps, 30)
    t.equal(valid, {1, 11, 21})
    local names = checkpoints(path)         -- two newest and the best
    t.equal(#names, 3)
    for i, step in ipairs{10, 25, 30} do
        t.equal(names[i]:match "^step%-(%d+)%-", ("%06d"):format(step))
        t.equal(names[i]:match "%-(%x+)%.", attn.crc32(path .. "/checkpoints/" .. names[i]))
    end
end)

t.case("kill -9 at any moment: every resume succeeds and the end is the same, bit for bit", function()
    local kills = tonumber(os.getenv "ATTN_KILLS" or "") or 4
    local steps = 30 + 60 * kills       -- more than fit between the kills
    local whole = ok(("attn tiny.lua --runs long --steps %d --patience 9999"):format(steps))
        :match "result checksum (%x+)"
    local draw = data.random(7)
    local first = ("attn tiny.lua --runs killed --steps %d --patience 9999 --pause 0.001"):format(steps)
    local again = "attn tiny.lua --runs killed --resume"
    for _ = 1, kills do
        local started = #attn.run.list(shell.folder() .. "/killed") > 0
        local _, err, code = shell.run(([[(
            %s & pid=$!
            sleep %.3f
            kill -9 $pid
            wait $pid
            status=$?
            [ $status = 137 ] && exit 9
            exit $status)]]):format(started and again or first, 0.02 + 0.15 * draw()))
        if code ~= 9 then error(("status %d: %s"):format(code, err)) end
    end
    local out = ok(again .. " --pause 0")
    t.equal(out:match "result checksum (%x+)", whole)
    local path = only_run "killed"
    local expected = 0
    for _, r in ipairs(attn.run.metrics(path .. "/metrics.jsonl")) do
        if r.split == "train" then
            expected = expected + 1
            t.equal(r.step, expected)
        end
    end
    t.equal(expected, steps)
    for _, name in ipairs(checkpoints(path)) do t.is_true(not name:find "partial", name) end
end)

t.case("a torn line of metrics and a checkpoint that was being written are passed over", function()
    ok "attn tiny.lua --runs torn --steps 20"
    local path = only_run "torn"
    local f <close> = io.open(path .. "/metrics.jsonl", "ab")
    f:write('{"step": 21, "lo')
    f:close()
    local g <close> = io.open(path .. "/checkpoints/step-000025.partial", "wb")
    g:write("half")
    g:close()
    local out = ok "attn tiny.lua --runs torn --resume --steps 30"
    t.is_true(out:find("steps = 30, was 20", 1, true), out)
    t.equal(out:match "result checksum (%x+)", uninterrupted())
    local last
    for _, r in ipairs(attn.run.metrics(path .. "/metrics.jsonl")) do last = r.split == "train" and r.step or last end
    t.equal(last, 30)
end)

t.case("a damaged checkpoint is named, and the one before is taken", function()
    ok "attn tiny.lua --runs damaged --steps 20"
    local path = only_run "damaged"
    local names = checkpoints(path)
    local newest = path .. "/checkpoints/" .. names[#names]
    local bytes = shell.read(newest)
    local f <close> = io.open(newest, "wb")
    f:write(bytes:sub(1, -101), string.char(bytes:byte(-100) ~ 1), bytes:sub(-99))
    f:close()
    local out = ok "attn tiny.lua --runs damaged --resume --steps 30"
    t.is_true(out:find("is not used: its checksum is", 1, true), out)
    t.equal(out:match "result checksum (%x+)", uninterrupted())
end)

t.case("a checkpoint of another run, or of another model, is an error that changes nothing", function()
    ok "attn tiny.lua --runs one --steps 10"
    ok "attn tiny.lua --runs other --steps 20 --seed 2"
    local one, other = only_run "one", only_run "other"
    local names = checkpoints(other)
    os.execute(("cp '%s/checkpoints/%s' '%s/checkpoints/'"):format(other, names[#names], one))
    local before = fingerprint(one)
    fails("belongs to the run", "attn tiny.lua --runs one --resume")
    t.equal(fingerprint(one), before)
    os.remove(one .. "/checkpoints/" .. names[#names])
    before = fingerprint(one)
    fails("rnn.weight_ih_l1", "attn tiny.lua --runs one --resume --model.hidden 13")
    t.equal(fingerprint(one), before)
    shell.write("unlike.lua", 'require("attn").run.start("unlike", {steps = 1})')
    fails("is a run of tiny, not of unlike", ("attn unlike.lua --runs one --resume %s"):format(one:match "[^/]+$"))
end)

t.case("a run is one process's", function()
    local out, err = shell.run([[(
        attn tiny.lua --runs shared --pause 0.05 --steps 2000 >first 2>&1 & pid=$!
        while ! grep -q run first; do sleep 0.05; done
        ]] .. shell.quote(shell.exe) .. [[ tiny.lua --runs shared --resume; echo "status $?"
        ]] .. shell.quote(shell.exe) .. [[ runs --runs shared
        kill -9 $pid; wait $pid
        ]] .. shell.quote(shell.exe) .. [[ runs --runs shared)]])
    t.is_true(err:match "is in use by process %d+", err)
    t.is_true(not err:find("traceback", 1, true), err)
    t.is_true(out:find("status 1", 1, true), out)
    t.is_true(out:find("running", 1, true) and out:find("stopped", 1, true), out)
end)

t.case("a full disk is an error, and the state is the last whole one", function()
    -- a limit on the size of files stands for the disk: with the signal ignored, write fails as it would there
    ok "attn tiny.lua --runs full --steps 10"
    local path = only_run "full"
    local before = fingerprint(path)
    local _, err, code = shell.run("trap '' XFSZ; ulimit -f 100; attn tiny.lua --runs full --resume --steps 20")
    t.equal(code, 0, err)                   -- the limit holds what a run needs
    _, err, code = shell.run("trap '' XFSZ; ulimit -f 1; attn tiny.lua --runs full --resume --steps 30")
    t.equal(code, 1)
    t.is_true(err:find("cannot be written", 1, true), err)
    local after = fingerprint(path)
    t.equal(after.config, before.config)
    t.equal(ok("attn tiny.lua --runs full --resume --steps 30"):match "result checksum (%x+)", uninterrupted())
end)

t.case("options: groups, --set, --config, and where each value comes from", function()
    local file = shell.write("c.json", '{"model": {"hidden": 8}, "lr": 1, "words": ["x", "y"]}')
    local out = ok("attn tiny.lua --print-config --model.dropout 0.5 --config c.json --set lr=0.25")
    t.is_true(out:find("model.hidden  = 8                --config c.json", 1, true), out)
    t.is_true(out:find("model.dropout = 0.5              command line", 1, true), out)
    t.is_true(out:find("lr            = 0.25             --set", 1, true), out)
    t.is_true(out:find("words         = x,y              --config c.json", 1, true), out)
    t.is_true(out:find("seed          = 1                default", 1, true), out)
    file = shell.write("d.json", '{"model": {"heads": 2.0, "rope": true}, "lr": 3}')
    local cfg = attn.run.options({model = {heads = 4, rope = false}, lr = 0.1}, {"--config", file, "--no-model.rope"})
    t.equal(cfg, {model = {heads = 2, rope = false}, lr = 3.0})
    t.equal(math.type(cfg.model.heads), "integer")
    t.equal(math.type(cfg.lr), "float")
    -- the config.json of a run is one too
    uninterrupted()
    local path = only_run "whole"
    t.is_true(ok("attn tiny.lua --print-config --config " .. shell.quote(path .. "/config.json")):find("hidden  = 12"))
end)

t.case("options: unknown names get the nearest, wrong types are named, and no run is begun", function()
    fails("unknown option --modle.hidden (did you mean --model.hidden?)", "attn tiny.lua --runs no --modle.hidden 3")
    fails("--set: unknown option 'hidden' (did you mean 'model.hidden'?)", "attn tiny.lua --runs no --set hidden=3")
    fails("--set is 'x', expected name=value", "attn tiny.lua --runs no --set x")
    fails("--set model.hidden is '1.5', expected an integer", "attn tiny.lua --runs no --set model.hidden=1.5")
    local function with(text, expected)
        shell.write("bad.json", text)
        fails(expected, "attn tiny.lua --runs no --config bad.json")
    end
    with('{"model": {"hidden": "8"}}', "--config bad.json: model.hidden is the string '8', expected an integer")
    with('{"model": {"hidden": 8.5}}', "--config bad.json: model.hidden is 8.5, expected an integer")
    with('{"model": 3}', "--config bad.json: model is 3, expected an object of options")
    with('{"words": [1]}', "--config bad.json: words is a list, expected a list of which each entry is a string")
    with('{"lr": null}', "--config bad.json: lr is null, expected a number")
    with('{"modle": {"hidden": 8}}', "--config bad.json: unknown option 'modle'")
    with('[1]', "--config bad.json: the text is a list, expected an object of options")
    with('{"lr": 1, "lr": 2}', "--config: bad.json: line 1, column")
    with('{', "--config: bad.json: line 1, column")
    fails("--config: none.json: No such file", "attn tiny.lua --runs no --config none.json")
    fails("no run of tiny in no to resume", "attn tiny.lua --runs no --resume")
    t.equal(attn.run.list(shell.folder() .. "/no"), {})
    t.raises("the option 'resume' is run.start's own", attn.run.start, "x", {resume = false}, {})
end)

t.case("attn runs: the list, one run, and what differs between two", function()
    ok "attn tiny.lua --runs both"
    ok "attn tiny.lua --runs both --set model.hidden=10"
    local list = attn.run.list(shell.folder() .. "/both")
    t.equal(#list, 2)
    local a, b = list[1].folder, list[2].folder
    if list[1].options.model.hidden == 10 then a, b = b, a end
    local out = ok "attn runs --runs both"
    t.is_true(out:find("model.hidden=10", 1, true) and out:find("finished", 1, true), out)
    out = ok("attn runs show " .. b:sub(-4) .. " --runs both")
    t.is_true(out:match "model%.hidden +10 +%-%-set" and out:match "checksum +%x+", out)
    out = ok(("attn runs diff %s %s --runs both"):format(a, b))
    t.is_true(out:match "model%.hidden +12 +10 +%-2" and out:find("differ from step 1 on", 1, true), out)
    local decoded = attn.json.decode(ok(("attn runs diff %s %s --runs both --json"):format(a, b)))
    t.equal(decoded.options, {["model.hidden"] = {a = 12, b = 10}})
    t.equal(decoded.parted, 1)
    decoded = attn.json.decode(ok("attn runs --json --runs both"))
    t.equal(#decoded, 2)
    t.equal(decoded[1].step, 30)
    decoded = attn.json.decode(ok(("attn runs show %s --json --runs both"):format(a)))
    t.equal(#decoded.losses, 30)
    t.equal(decoded.valid.loss, {last = 21, least = 1, most = 21})
    out = ok(("attn runs plot %s %s --runs both --metric loss --log --svg loss.svg"):format(a, b))
    ok(("attn runs plot %s --runs both --file loss.png"):format(a))
    t.equal(shell.read(shell.folder() .. "/loss.png"):sub(2, 4), "PNG")
    t.is_true(out:find(a, 1, true) and out:find(b .. " (evaluation)", 1, true) and out:find("step", 1, true), out)
    t.is_true(shell.read(shell.folder() .. "/loss.svg"):find("<svg", 1, true))
    fails("no record has 'lost' (did you mean 'loss'?) (known: ", ("attn runs plot %s --runs both --metric lost"):format(a))
    fails("plot takes 1 run, got 0", "attn runs plot --runs both")
    t.equal(ok "attn runs --runs nothing", "no runs in nothing\n")
    t.equal(ok "attn runs --runs nothing --json", "[]\n")
    fails("no run 'zzzz' in both", "attn runs show zzzz --runs both")
    fails("diff takes 2 runs, got 1", "attn runs diff x --runs both")
    fails("unknown word 'shwo'", "attn runs shwo")
end)

t.case("a run stops when it gets no better, and stays stopped", function()
    local out = ok "attn tiny.lua --runs early --patience 2 --steps 100"
    t.is_true(out:find("stopped: no better value in 2 evaluations; the best is 1, of step 10", 1, true), out)
    local first = out:match "result checksum (%x+)"
    t.equal(first, uninterrupted())         -- the schedule does not know how many steps there would have been
    t.equal(ok("attn tiny.lua --runs early --resume"):match "result checksum (%x+)", first)
end)

-- Two loops in one run: what people write first. The loss of step `fail` of the loop `at` ends the process.
shell.write("sweep.lua", [[
local attn = require "attn"
local job = attn.run.start("sweep", {steps = 12, fail = 0, at = "a", names = {"a", "b 2=x", "c"}, seed = 1})
local cfg = job.options
local sums = {}
for i, name in ipairs(cfg.names) do
    attn.seed(cfg.seed + i)
    local model = attn.layer.linear{inputs = 2 + (i == 3 and 1 or 0), outputs = 1}
    local at = 0
    local history = attn.train.loop{run = job, name = name ~= "none" and name or nil, model = model, steps = cfg.steps,
        optimizer = attn.optim.adam{params = model:parameters(), lr = 0.1}, every = 5, save_every = 5, best = 1,
        quiet = true, data = function(step) at = step return attn.randn(4, model.inputs) end,
        evaluate = function(step) return math.abs(step - 10) + i end,
        loss = function(x)
            if name == cfg.at and at == cfg.fail then os.exit(9) end
            return attn.loss.mse(model(x), x:sum(2, true))
        end}
    assert(history.step == cfg.steps)
    attn.save("sum", {model = model, losses = history.losses})
    sums[i] = attn.crc32 "sum"
end
attn.show.result("checksum", table.concat(sums, "-"))
]])

t.case("each loop of a run has a name, metrics and checkpoints of its own, and is resumed as itself", function()
    local whole = ok("attn sweep.lua --runs sweeps"):match "result checksum (%S+)"
    local path = only_run "sweeps"
    for i, name in ipairs{"a", "b 2=x", "c"} do
        local steps, best = 0, nil
        for _, r in ipairs(attn.run.metrics(("%s/loops/%s/metrics.jsonl"):format(path, name))) do
            if r.split == "train" then
                steps = steps + 1
                t.equal(r.step, steps)
            elseif r.split == "valid" and r.step == 10 then
                best = r.value
            end
        end
        t.equal({steps, best}, {12, i})
        t.equal(#checkpoints(("%s/loops/%s"):format(path, name)), 2)
    end
    t.equal(checkpoints(path), {})
    for _, fail in ipairs{"--at a --fail 3", "--at a --fail 7", "--at 'b 2=x' --fail 1", "--at c --fail 12"} do
        os.execute("rm -rf " .. shell.quote(shell.folder() .. "/cut"))
        t.equal(select(3, shell.run("attn sweep.lua --runs cut " .. fail)), 9)
        local out = ok "attn sweep.lua --runs cut --resume --fail 0"
        t.equal(out:match "result checksum (%S+)", whole, fail)
        local cut = only_run "cut"
        t.is_true(out:find(("run: cut/%s/loops/c has no checkpoint yet: it begins at step 1"):format(cut:match "[^/]+$"), 1, true)
            or fail:find "at c", out)
        local steps = 0
        for _, r in ipairs(attn.run.metrics(cut .. "/loops/a/metrics.jsonl")) do
            if r.split == "train" then steps = steps + 1 end
        end
        t.equal(steps, 12)
    end
    local listed = ok "attn runs --runs sweeps"
    t.is_true(listed:match "\n +b 2=x +12 ", listed)
    local shown = attn.json.decode(ok(("attn runs show %s --runs sweeps --json"):format(path:match "[^/]+$")))
    t.equal(shown.loops["b 2=x"].valid.value, {last = 4, least = 2, most = 7})
    t.equal(#shown.loops.c.losses, 12)
    t.is_true(ok(("attn runs show %s --runs sweeps"):format(path:match "[^/]+$")):find("loop c  step 12", 1, true))
    ok "attn sweep.lua --runs sweeps --seed 5"
    local list = attn.run.list(shell.folder() .. "/sweeps")
    local diff = ok(("attn runs diff %s %s --runs sweeps"):format(list[1].folder, list[2].folder))
    t.is_true(diff:find("the losses of c differ from step 1 on", 1, true) and diff:find("c: train loss", 1, true), diff)
end)

t.case("a second loop of the same name, or without one, is an error that says so", function()
    fails("sweep.lua:9: train.loop: the run has a loop without a name already; give each loop of a run a name",
        "attn sweep.lua --runs twice --names none,none")
    fails("train.loop: the run has a loop called 'x' already", "attn sweep.lua --runs twice --names x,x")
    for _, name in ipairs{"a/b", "..", ".", ".x", ("n"):rep(101)} do
        fails("run: a loop is called '" .. name .. "', expected", "attn sweep.lua --runs twice --names " .. name)
    end
    ok "attn sweep.lua --runs twice --names none,x"
end)

t.case("a script that came to its end is finished, one that failed is stopped; before a checkpoint, resuming says so", function()
    shell.write("end.lua", [[
        local attn = require "attn"
        local job = attn.run.start("ends", {how = "end"})
        if job.options.how == "error" then
            job:record{step = 1, loss = 1}
            error("on purpose")
        end
        if job.options.how == "exit" then os.exit(0) end
        if job.resumed then print(job:newest()) end]])
    local function state(root) return attn.json.decode(ok(("attn runs --json --runs %s"):format(root)))[1].state end
    ok "attn end.lua --runs end1"
    t.equal(state "end1", "finished")
    t.equal(select(3, shell.run "attn end.lua --runs end2 --how error"), 1)
    t.equal(state "end2", "stopped")
    ok "attn end.lua --runs end3 --how exit"
    t.equal(state "end3", "stopped")
    ok "attn end.lua --runs end2 --resume --how end"
    t.equal(state "end2", "finished")
    t.equal(select(3, shell.run("attn - --runs end4", shell.read(shell.folder() .. "/end.lua"))), 0)
    t.equal(state "end4", "finished")
    t.equal(select(3, shell.run "attn sweep.lua --runs end5 --names none --at none --fail 3"), 9)
    local out = ok "attn sweep.lua --runs end5 --resume --fail 0"
    t.is_true(out:match "run: end5/%S+ has no checkpoint yet: it begins at step 1\n", out)
end)

-- A script that goes on with a run, first changing the library.
local function resume_with(root, change, after)
    shell.write("changed.lua", ([[
        local attn = require "attn"
        %s
        local job = attn.run.start("tiny", {model = {hidden = 12, dropout = 0.1}, lr = 0.02, steps = 30, seed = 1, save_every = 5,
            every = 10, accumulate = 2, pause = 0.0, words = {"a"}, best = 1, patience = 100, fill = 0})
        local function here()
            local list = {}
            for i, one in ipairs(job:checkpoints()) do list[i] = tostring(one.step) end
            return table.concat(list, " ")
        end
        %s]]):format(change, after))
    return shell.run(("attn changed.lua --runs %s --resume"):format(root))
end

t.case("a checkpoint that cannot be read is an error, not damage, and nothing is removed", function()
    ok "attn tiny.lua --runs memory --steps 20"
    local path = only_run "memory"
    local before = fingerprint(path)
    local _, err, code = resume_with("memory", 'function attn.load() error("load: out of memory", 0) end',
        "job:newest() job:save(25, {}) job:prune(1)")
    t.equal(code, 1)
    t.is_true(err:find("cannot be used: load: out of memory", 1, true), err)
    t.equal(fingerprint(path), before)
    _, err, code = resume_with("memory", 'function attn.crc32(path) error("crc32: " .. path .. ": Input/output error", 0) end',
        "job:newest()")
    t.equal(code, 1)
    t.is_true(err:find("Input/output error", 1, true), err)
    -- all of them damaged
    for _, name in ipairs(checkpoints(path)) do
        local f <close> = io.open(path .. "/checkpoints/" .. name, "r+b")
        f:seek("set", 100)
        f:write("damage")
    end
    before = fingerprint(path)
    fails("can be used; move them away to begin again", "attn tiny.lua --runs memory --resume")
    t.equal(fingerprint(path), before)
end)

t.case("pruning keeps what an earlier life wrote until a newer one has been read back", function()
    ok "attn tiny.lua --runs prune --steps 20"
    local out, err, code = resume_with("prune", "", [[
        local load = attn.load
        print("at", here())                     -- the best, and the two newest
        job:save(25, {x = 1})
        function attn.load() error("load: out of memory", 0) end
        job:prune(1)
        print("at", here())
        job:save(26, {x = 1})
        job:save(27, {x = 1})
        job:prune(1)                            -- its own it may remove
        print("at", here())
        attn.load = load
        job:save(28, {x = 1})
        job:prune(2, {[10] = true})
        print("at", here())
        job:save(28, {x = 2})                   -- again
        job:prune(2)
        print("at", here(), job:newest().x)]])
    t.equal({err, code}, {"", 0})
    local seen = {}
    for line in out:gmatch "at\t([^\n]*)" do seen[#seen + 1] = line end
    t.equal(seen, {"20 15 10", "25 20 15 10", "27 20 15 10", "28 27 10", "28 27\t2"})
    t.is_true(out:find("run: older checkpoints stay: ", 1, true), out)
end)

t.case("damaged checkpoints do not count as kept; one of the same step takes its place", function()
    ok "attn tiny.lua --runs place --steps 20"
    local path = only_run "place"
    local names = checkpoints(path)
    local f = io.open(("%s/checkpoints/%s"):format(path, names[3]), "r+b")
    f:seek("set", 100)
    f:write("damage")
    f:close()
    local out, err = resume_with("place", "", [[
        print("at", select(2, job:newest()):match "step%-%d+")
        job:save(16, {})
        job:prune(2)
        print("at", here())
        job:save(20, {x = 3})
        print("at", here(), job:newest().x)
        print("error", pcall(job.save, job, -1, {}))
        print("error", pcall(job.save, job, 1.5, {}))]])
    t.equal(err, "")
    local seen = {}
    for line in out:gmatch "at\t([^\n]*)" do seen[#seen + 1] = line end
    t.equal(seen, {"step-000015", "20 16 15", "20 16 15\t3"})
    t.is_true(out:find("run:save: step is -1, expected", 1, true) and out:find("run:save: step is 1.5, expected", 1, true), out)
end)

t.case("absurd names among the checkpoints, and folders where files should be, stop nobody", function()
    ok "attn tiny.lua --runs absurd --steps 20"
    local path = only_run "absurd"
    for _, name in ipairs{"step-99999999999999999999-0.safetensors", "step-99999999999999999999-00000000.safetensors",
        "step-9-00000000.safetensors", "step-0000020-00000000.safetensors", "step-000030-0.safetensors",
        "step--00001-00000000.safetensors", "notes.txt"} do
        io.open(path .. "/checkpoints/" .. name, "w"):close()
    end
    local out = ok "attn tiny.lua --runs absurd --resume --steps 30"
    t.equal(out:match "result checksum (%x+)", uninterrupted())
    t.is_true(not out:find "is not used", out)
    ok "attn tiny.lua --runs absurd --steps 10"
    for _, name in ipairs{"log.txt", "metrics.jsonl"} do
        os.execute(("rm %s/%s && mkdir %s/%s"):format(path, name, path, name))
    end
    local list = attn.run.list(shell.folder() .. "/absurd")
    local f <close> = io.open(list[list[1].path == path and 2 or 1].path .. "/metrics.jsonl", "ab")
    f:write('{"split": "valid", "step": 3, "seconds": "x", "loss": {}}\n{"split": "train", "step": 99, "loss": [1]}\n')
    f:close()
    t.equal(#attn.json.decode(ok "attn runs --runs absurd --json"), 2)
    out = ok "attn runs --runs absurd"
    t.equal(select(2, out:gsub("tiny%-", "")), 2, out)
    ok(("attn runs show %s --runs absurd"):format(path:match "[^/]+$"))
end)

-- ---- what other programs read ----

shell.write("short.lua", [[
local attn = require "attn"
local job = attn.run.start("short", {fail = "", path = ""})
if job.options.fail == "start" then error "at once" end
if job.options.fail == "file" then io.open(job.path .. "/mine", "w"):close() error "after a file" end
job:record{step = 1, split = "train", seconds = 0.5, loss = 2.5, note = "no number"}
job:record{step = 300, split = "train", seconds = 1.5, loss = 0 / 0}
job:record{step = 300, split = "va,lid", seconds = 1.5, bleu = 7}
job:part "second":record{step = 1, loss = 1.25}
]])

t.case("attn runs export prints CSV: a line a record, a column a measure", function()
    shell.run "rm -rf few; attn short.lua --runs few"
    local out = ok "attn runs export --runs few short"
    local run_name = out:match "\n(short%-[%w-]+),"
    t.equal((out:gsub("%f[%d]0%.0%d+", "0"):gsub(run_name:gsub("%-", "%%-"), "R")), "run,loop,split,step,seconds,bleu,loss\n"
        .. 'R,,train,1,0.5,,2.5\nR,,train,300,1.5,,nan\nR,,"va,lid",300,1.5,7,\nR,second,,1,' .. out:match "second,,1,([%d.e-]+),"
        :gsub("0%.0%d+", "0") .. ",,1.25\n")
    ok "attn runs export --runs few short --csv x.csv"
    t.equal(shell.read(shell.folder() .. "/x.csv"), out)
    local _, err, code = shell.run "attn runs export --runs few short --csv nowhere/x.csv"
    t.equal({code, err:find "attn runs: nowhere/x.csv" ~= nil}, {1, true})
end)

t.case("the checksum of event files is CRC-32C", function()
    local crc = require "attn.runs_export".crc32c
    t.equal(crc "123456789", 0xE3069283)
    t.equal(crc "", 0)
    t.equal(crc(("\0"):rep(32)), 0x8A9136AA)
end)

-- The messages of an event file, their checksums checked: fields by number, a list of {number, value}.
local function fields_of(bytes)
    local list, at = {}, 1
    local function varint()
        local n, shift = 0, 0
        repeat
            local byte = bytes:byte(at)
            n, shift, at = n | (byte & 127) << shift, shift + 7, at + 1
        until byte < 128
        return n
    end
    while at <= #bytes do
        local key, value = varint(), nil
        if key & 7 == 0 then
            value = varint()
        elseif key & 7 == 1 then
            value, at = string.unpack("<d", bytes, at)
        elseif key & 7 == 2 then
            local n = varint()
            value, at = bytes:sub(at, at + n - 1), at + n
        else
            value, at = string.unpack("<f", bytes, at)
        end
        list[#list + 1] = {key >> 3, value}
    end
    return list
end

local function messages_of(bytes)
    local crc, list, at = require "attn.runs_export".crc32c, {}, 1
    local function check(text)
        local x = crc(text)
        local sum
        sum, at = string.unpack("<I4", bytes, at)
        t.equal(sum, (((x >> 15) | (x << 17)) & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF)
    end
    while at <= #bytes do
        local head = bytes:sub(at, at + 7)
        local n = string.unpack("<I8", head)
        at = at + 8
        check(head)
        local message = bytes:sub(at, at + n - 1)
        at = at + n
        check(message)
        list[#list + 1] = fields_of(message)
    end
    return list
end

t.case("attn runs export --tensorboard writes event files, a folder a split", function()
    shell.run "rm -rf few tb; attn short.lua --runs few"
    local paths = {}
    for path in ok("attn runs export --runs few short --tensorboard tb"):gmatch "[^\n]+" do paths[#paths + 1] = path end
    t.equal(#paths, 3)
    t.is_true(paths[1]:find "^tb/short%-[%w-]+/train/events%.out%.tfevents%.%d+%.attn$", paths[1])
    t.is_true(paths[2]:find("/va_lid/", 1, true) and paths[3]:find("/second/metrics/", 1, true))
    local list = messages_of(shell.read(shell.folder() .. "/" .. paths[1]))
    local started = list[1][1][2]
    t.is_true(math.abs(started - os.time()) < 3600 and started == tonumber(paths[1]:match "tfevents%.(%d+)"))
    t.equal(list[1][2], {3, "brain.Event:2"})
    t.equal({list[2][1], list[2][2], list[3][2]}, {{1, started + 0.5}, {2, 1}, {2, 300}})
    local value = fields_of(fields_of(list[2][3][2])[1][2])
    t.equal({list[2][3][1], value}, {5, {{1, "loss"}, {2, 2.5}}})
    t.equal(fields_of(fields_of(list[3][3][2])[1][2])[2][2], 0 / 0)
    -- a file written by hand from the format's description
    local hex = require "attn.runs_export".events(0, {}):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    t.equal(hex:sub(1, 16) .. hex:sub(25, 72), "1800000000000000" .. "090000000000000000" .. "1a0d" .. "627261696e2e4576656e743a32")
end)

t.case("every record has its seconds", function()
    for _, record in ipairs(attn.run.metrics(attn.run.list(shell.folder() .. "/few")[1].path .. "/metrics.jsonl")) do
        t.equal(math.type(record.seconds), "float")
    end
end)

t.case("a start that fails leaves no folder; what a script wrote stays", function()
    local _, err, code = shell.run "rm -rf few; attn short.lua --runs few --fail start"
    t.equal(code, 1)
    t.is_true(err:find "short.lua:3: at once" and err:find "nothing was measured, the folder is removed", err)
    t.equal(shell.run "ls -d few", "")
    shell.run "attn short.lua --runs few"
    shell.run "attn short.lua --runs few --fail start"
    shell.run "attn short.lua --runs few --fail file"
    t.equal(#attn.run.list(shell.folder() .. "/few"), 2)
    shell.write("bad.lua", 'require "attn".run.start("bad", {a = {b = print}})')
    shell.run "attn bad.lua --runs unseen"
    t.equal(shell.run "ls -d unseen", "")
end)
