-- runs: `attn runs`, the runs in a folder, side by side. Reads only what run.start and train.loop wrote; nothing is
-- changed, and a run that is being written may be looked at.
local attn = require "attn"
local export = require "attn.runs_export"
local fields = require "attn.fields"
local run = require "attn.run"
local show = require "attn.show"
local whole = require "attn.whole"

local m = {}

m.usage = [[
usage: attn runs [--runs DIR] [--json]              the runs of a folder (default: runs)
       attn runs show ID [--runs DIR] [--json]      one run: options, metrics, results, checkpoints
       attn runs diff A B [--runs DIR] [--json]     what differs between two runs
       attn runs plot ID... [--metric NAME] [--log] [--file FILE]  curves of runs in one plot (loss); .svg or .png
       attn runs export ID... [--csv FILE] [--tensorboard DIR]     all metrics: CSV (to stdout without either), event files
An ID is the folder of a run, its last four letters, or the beginning or end of its name.]]

local function flatten(options, prefix, out)
    for name, value in pairs(options) do
        if type(value) == "table" and type(next(value)) == "string" then
            flatten(value, prefix .. name .. ".", out)
        else
            out[prefix .. name] = value
        end
    end
    return out
end

local function text(value)
    if value == nil then return "" end
    if type(value) == "table" then
        local parts = {}
        for i, entry in ipairs(value) do parts[i] = tostring(entry) end
        return table.concat(parts, ",")
    end
    if math.type(value) == "float" then return ("%.6g"):format(value) end
    return value == "" and '""' or tostring(value)
end

-- `running` if a process has its lock, `finished` if it came to its end, else `stopped`.
local function state_of(config, records)
    local ok, lock, holder = pcall(attn.lock, config.path .. "/lock")
    if ok and not lock then return "running", holder end
    if ok then
        local _ <close> = lock
    end
    for i = #records, 1, -1 do
        if records[i].event == "end" then return "finished" end
        if records[i].event == "process" then break end
    end
    return "stopped"
end

-- The lines `result NAME VALUE UNIT` that the script printed; the last of a name counts.
local function results_of(config)
    local results = {}
    local file = io.open(config.path .. "/log.txt", "rb")
    local content = file and file:read("a")
    if file then file:close() end
    for line in (content or ""):gmatch("[^\n]+") do         -- a folder of that name has no content
        local name, value = line:match("^result (%S+) (%S+)")
        if name then results[name] = tonumber(value) or value end
    end
    return results
end

-- What the metrics in a folder say: of a run, or of a loop with a name.
local function curve(path, name)
    local c = {name = name, path = path, step = 0, train = {}, valid = {}, records = run.metrics(path .. "/metrics.jsonl")}
    for _, record in ipairs(c.records) do
        if record.split == "train" and math.type(record.step) == "integer" then
            c.step = math.max(c.step, record.step)
            c.train[#c.train + 1] = record
        elseif record.split == "valid" and math.type(record.step) == "integer" then
            c.valid[#c.valid + 1] = record
        end
        if record.event == nil and type(record.seconds) == "number" then c.seconds = record.seconds end
    end
    c.loss = c.train[#c.train] and c.train[#c.train].loss
    return c
end

-- What is known about a run: its own curve, and in `loops` those of its loops that have names.
local function summary(config)
    local s = curve(config.path)
    s.run, s.config, s.loops, s.changed, s.results = config.folder, config, {}, {}, results_of(config)
    s.machine = {threads = config.threads, simd = config.simd, blas = config.blas}
    s.state, s.process = state_of(config, s.records)
    local ok, names = pcall(attn.list_folder, config.path .. "/loops")
    table.sort(ok and names or {})
    for i, name in ipairs(ok and names or {}) do s.loops[i] = curve(config.path .. "/loops/" .. name, name) end
    for name, value in pairs(flatten(config.options, "", {})) do
        if type(config.from) == "table" and config.from[name] ~= nil and config.from[name] ~= "default" then
            s.changed[name] = value
        end
    end
    return s
end

local function valid_names(s)
    local names = {}
    for _, record in ipairs(s.valid) do
        for name, value in pairs(record) do
            if type(value) == "number" and name ~= "step" and name ~= "seconds" then names[name] = true end
        end
    end
    return fields.names(names)
end

local function last_valid(s, name)
    for i = #s.valid, 1, -1 do
        if type(s.valid[i][name]) == "number" then return s.valid[i][name] end
    end
end

local function extremes(s, name)
    local low, high
    for _, record in ipairs(s.valid) do
        local value = record[name]
        if type(value) == "number" then
            low, high = math.min(low or value, value), math.max(high or value, value)
        end
    end
    return low, high
end

local function values_of(records, name)
    local list = {}
    for _, record in ipairs(records) do
        if type(record[name]) == "number" then list[#list + 1] = record[name] end
    end
    return list
end

-- {name = {last, least, most}} of the evaluations.
local function measures(s)
    local out = {}
    for _, name in ipairs(valid_names(s)) do
        local low, high = extremes(s, name)
        out[name] = {last = last_valid(s, name), least = low, most = high}
    end
    return out
end

local function machine_readable(s, losses)
    local config, loops = s.config, {}
    for _, c in ipairs(s.loops) do
        loops[c.name] = {step = c.step, loss = c.loss, seconds = c.seconds, valid = measures(c),
            losses = losses and values_of(c.train, "loss") or nil}
    end
    return {run = s.run, name = config.name, id = config.id, started = config.started, state = s.state, step = s.step,
        loss = s.loss, seconds = s.seconds, options = config.options, changed = s.changed, valid = measures(s),
        loops = next(loops) and loops or nil, results = s.results, machine = s.machine, attn = config.attn,
        losses = losses and values_of(s.train, "loss") or nil}
end

local function print_json(value)
    print(type(value) == "table" and next(value) == nil and "[]" or attn.json.encode(value, 2))
end

local function list(root, json)
    local all = {}
    for i, config in ipairs(run.list(root)) do all[i] = summary(config) end
    if json then
        for i, s in ipairs(all) do all[i] = machine_readable(s) end
        print_json(all)
        return 0
    end
    if #all == 0 then
        print(("no runs in %s"):format(root))
        return 0
    end
    local rows = {}
    local function row(title, state, c, options)
        local values = {}
        for _, name in ipairs(valid_names(c)) do values[#values + 1] = name .. " " .. text(last_valid(c, name)) end
        rows[#rows + 1] = {title, state, c.step, c.loss, table.concat(values, "  "),
            c.seconds and math.floor(c.seconds + 0.5), options}
    end
    for _, s in ipairs(all) do
        local options = {}
        for _, name in ipairs(fields.names(s.changed)) do options[#options + 1] = name .. "=" .. text(s.changed[name]) end
        row(s.run, s.state, s, table.concat(options, " "))
        for _, c in ipairs(s.loops) do row("  " .. c.name, "", c, "") end
    end
    show.table({"run", "state", "step", "loss", "evaluation", "seconds", "options given"}, rows)
    return 0
end

local function show_checkpoints(path, name)
    local ok, files = pcall(attn.list_folder, path .. "/checkpoints")
    if ok and #files > 0 then
        table.sort(files)
        print(("\ncheckpoints%s\n  %s"):format(name and " of " .. name or "", table.concat(files, "\n  ")))
    end
end

local function show_curve(c)
    if #c.train > 0 then
        print(("\n%sstep %d  loss %s\n%s"):format(c.name and "loop " .. c.name .. "  " or "", c.step, text(c.loss),
            show.spark(values_of(c.train, "loss"))))
    end
    local names = valid_names(c)
    if #names > 0 then
        print(("\nevaluations%s"):format(c.name and " of " .. c.name or ""))
        local columns, lines = {"step"}, {}
        for j, name in ipairs(names) do columns[1 + j] = name end
        for i = math.max(1, #c.valid - 19), #c.valid do
            local line = {c.valid[i].step}
            for j, name in ipairs(names) do line[1 + j] = c.valid[i][name] end
            lines[#lines + 1] = line
        end
        show.table(columns, lines)
    end
end

local function show_one(config, json)
    local s = summary(config)
    if json then
        print_json(machine_readable(s, true))
        return 0
    end
    print(("%s  %s%s  started %s"):format(s.run, s.state, s.process and (" (process %d)"):format(s.process) or "",
        text(config.started)))
    print(("attn %s  %s threads  %s  %s"):format(text(config.attn), text(s.machine.threads), text(s.machine.simd),
        text(s.machine.blas)))
    print("\noptions")
    local rows, flat = {}, flatten(config.options, "", {})
    for i, name in ipairs(fields.names(flat)) do
        rows[i] = {name, text(flat[name]), type(config.from) == "table" and config.from[name] or ""}
    end
    show.table({"name", "value", "from"}, rows)
    show_curve(s)
    for _, c in ipairs(s.loops) do show_curve(c) end
    if next(s.results) then
        print("\nresults")
        local lines = {}
        for i, name in ipairs(fields.names(s.results)) do lines[i] = {name, s.results[name]} end
        show.table({"name", "value"}, lines)
    end
    show_checkpoints(s.path)
    for _, c in ipairs(s.loops) do show_checkpoints(c.path, c.name) end
    return 0
end

-- values[name][from] = value: what two runs, a and b, have beside each other.
local function put(values, from, name, value)
    values[name] = values[name] or {}
    values[name][from] = value
end

local function differing_options(one, other)
    local x, y = flatten(one.options, "", {}), flatten(other.options, "", {})
    local differing = {}
    for _, names in ipairs{x, y} do
        for name in pairs(names) do
            if text(x[name]) ~= text(y[name]) or type(x[name]) ~= type(y[name]) then
                differing[name] = {a = x[name], b = y[name]}
            end
        end
    end
    return differing
end

local function differing_machine(a, b, one, other)
    local machine = {}
    for _, name in ipairs{"threads", "simd", "blas"} do
        if a.machine[name] ~= b.machine[name] then
            machine[name] = {a = a.machine[name], b = b.machine[name]}
        end
    end
    if one.attn ~= other.attn then machine.attn = {a = one.attn, b = other.attn} end
    return machine
end

-- The numbers of one curve into `measured`.
local function measure(measured, from, c)
    local prefix = c.name and c.name .. ": " or ""
    put(measured, from, prefix .. "step", c.step)
    put(measured, from, prefix .. "train loss", c.loss)
    put(measured, from, prefix .. "seconds", c.seconds)
    for _, name in ipairs(valid_names(c)) do
        local low, high = extremes(c, name)
        put(measured, from, prefix .. name, last_valid(c, name))
        put(measured, from, prefix .. name .. " (least)", low)
        put(measured, from, prefix .. name .. " (most)", high)
    end
end

-- Where two curves part: the first step whose losses are not the same number.
local function parting(p, q)
    for i = 1, math.min(#p.train, #q.train) do
        if p.train[i].loss ~= q.train[i].loss or p.train[i].step ~= q.train[i].step then return p.train[i].step end
    end
end

local function show_differences(title, values)
    local lines = {}
    for _, name in ipairs(fields.names(values)) do
        local p, q = values[name].a, values[name].b
        lines[#lines + 1] = {name, text(p), text(q),
            type(p) == "number" and type(q) == "number" and ("%+.4g"):format(q - p) or ""}
    end
    if #lines > 0 then
        print()
        show.table({title, "a", "b", "b - a"}, lines)
    end
end

local function diff(one, other, json)
    local a, b = summary(one), summary(other)
    local options, machine, measured = differing_options(one, other), differing_machine(a, b, one, other), {}
    local curves = {}                               -- of both runs, by the loop's name; "" is the run's own
    for from, s in pairs{a = a, b = b} do
        measure(measured, from, s)
        put(curves, from, "", s)
        for _, c in ipairs(s.loops) do
            measure(measured, from, c)
            put(curves, from, c.name, c)
        end
        for name, value in pairs(s.results) do put(measured, from, "result " .. name, value) end
    end
    if json then
        print_json{a = a.run, b = b.run, options = options, machine = machine, measured = measured, parted = parting(a, b)}
        return 0
    end
    print(("a  %s\nb  %s"):format(a.run, b.run))
    show_differences("options", options)
    show_differences("machine", machine)
    show_differences("measured", measured)
    for _, name in ipairs(fields.names(curves)) do
        local p, q = curves[name].a, curves[name].b
        if p and q and #p.train > 0 and #q.train > 0 then
            local of, parted = name == "" and "" or " of " .. name, parting(p, q)
            if parted then
                print(("\nthe losses%s differ from step %d on"):format(of, parted))
            else
                print(("\nthe losses%s are the same, bit for bit, in the first %d steps"):format(of,
                    math.min(#p.train, #q.train)))
            end
        end
    end
    return 0
end

-- The curves of a measure: what was trained with, else what was evaluated, of a run and of its loops.
local function plot(configs, metric, log, files)
    local curves, known = {}, {}
    local function add(title, c)
        for _, split in ipairs{"train", "valid"} do
            local entry = {name = title .. (split == "valid" and " (evaluation)" or ""), x = {}, y = {}}
            for _, record in ipairs(c[split]) do
                for name, value in pairs(record) do
                    if type(value) == "number" and name ~= "step" then known[name] = true end
                end
                local value = record[metric]
                if type(value) == "number" or value == "nan" then
                    entry.x[#entry.x + 1], entry.y[#entry.y + 1] = record.step, tonumber(value) or 0 / 0
                end
            end
            if #entry.y > 0 then curves[#curves + 1] = entry end
        end
    end
    for _, config in ipairs(configs) do
        local s = summary(config)
        add(s.run, s)
        for _, c in ipairs(s.loops) do add(s.run .. ": " .. c.name, c) end
    end
    if #curves == 0 then
        local names = fields.names(known)
        io.stderr:write(("attn runs: no record has '%s'%s (known: %s)\n"):format(metric, fields.suggest(metric, names),
            #names > 0 and table.concat(names, ", ") or "none"))
        return 1
    end
    local ok, why = pcall(show.plot, curves, {ylabel = metric, xlabel = "step", log = log and "y" or nil,
        svg = files["--svg"], file = files["--file"]})
    if ok then return 0 end
    io.stderr:write("attn runs: ", tostring(why), "\n")
    return 1
end

-- All metrics of runs, for other programs.
local function hand_out(configs, csv, tensorboard)
    local curves = {}
    for _, config in ipairs(configs) do
        local s = summary(config)
        for _, c in ipairs{s, table.unpack(s.loops)} do
            curves[#curves + 1] = {run = s.run, loop = c.name, started = config.started, records = c.records}
        end
    end
    if not csv and not tensorboard then io.stdout:write(export.csv(curves)) end
    local ok, why = true, nil
    if csv then ok, why = whole.write(csv, export.csv(curves)) end
    if ok and tensorboard then
        ok, why = pcall(export.tensorboard, curves, tensorboard)
        if ok then print(table.concat(why, "\n")) end
    end
    if ok then return 0 end
    io.stderr:write("attn runs: ", tostring(why), "\n")
    return 1
end

---What `attn runs` does.
---@param args string[] what follows the word `runs`
---@return integer status
function m.main(args)
    local words, root, json, i = {}, "runs", false, 1
    local log, values, with_value = false, {["--metric"] = "loss"}, {}
    for _, name in ipairs{"--metric", "--svg", "--file", "--csv", "--tensorboard"} do with_value[name] = true end
    local function refuse(message)
        io.stderr:write("attn runs: ", message, "\n", m.usage, "\n")
        return 1
    end
    while i <= #args do
        local word = args[i]
        if word == "--json" then
            json = true
        elseif word == "--runs" then
            i = i + 1
            root = args[i]
            if not root then return refuse("--runs needs a value") end
        elseif word:match("^%-%-runs=") then
            root = word:sub(8)
        elseif word == "--log" then
            log = true
        elseif with_value[word] then
            i = i + 1
            if not args[i] then return refuse(word .. " needs a value") end
            values[word] = args[i]
        elseif word == "--help" or word == "-h" then
            print(m.usage)
            return 0
        elseif word:match("^%-") then
            return refuse(("unknown option %s"):format(word))
        else
            words[#words + 1] = word
        end
        i = i + 1
    end
    root = #root > 1 and root:gsub("/+$", "") or root
    local what = table.remove(words, 1)
    local expected = ({show = 1, diff = 2, plot = math.max(1, #words), export = math.max(1, #words)})[what or ""] or 0
    if what and expected == 0 then return refuse(("unknown word '%s'"):format(what)) end
    if #words ~= expected then
        return refuse(("%s takes %d run%s, got %d"):format(what, expected, expected == 1 and "" or "s", #words))
    end
    if not what then return list(root, json) end
    local found = {}
    for k, word in ipairs(words) do
        local ok, config = pcall(run.find, root, word)
        if not ok then
            io.stderr:write("attn runs: ", (tostring(config):gsub("^run: ", "")), "\n")
            return 1
        end
        found[k] = config
    end
    if what == "show" then return show_one(found[1], json) end
    if what == "plot" then return plot(found, values["--metric"], log, values) end
    if what == "export" then return hand_out(found, values["--csv"], values["--tensorboard"]) end
    return diff(found[1], found[2], json)
end

return m
