-- profile_report: what attn.profile and `attn --profile` measured: tables, a trace, and the names of modules while it runs.
local attn = require "attn"
local internal = require "attn.internal"
local module = require "attn.module"
local screen = require "attn.show_screen"

local m = {}

-- ---- names, while it runs ----

local function title(object)
    if internal.kind(object) == "layer" then return (internal.title(object)) end
    return tostring(select(3, internal.fields(object)).__name)
end

-- Names by the module around and the object; what was not met in its fields goes by its kind.
local known = setmetatable({}, {__mode = "k"})

function m.name_in(outer, object)
    if not outer or internal.kind(outer) ~= "module" then return title(object) end
    local names = known[outer]
    if not names then
        names = setmetatable({}, {__mode = "k"})
        known[outer] = names
    end
    if not names[object] then
        module.held(outer, function(name, value, kind)
            if kind ~= "tensor" then names[value] = names[value] or name end
        end)
        names[object] = names[object] or title(object)
    end
    return names[object]
end

-- ---- the report ----

local Report = {__name = "profile"}
Report.__index = Report

local numbers = {"calls", "seconds", "flops", "moved", "allocated"}

-- Adds up a row under a key: one entry for each, in the order they were met.
local function add(list, key, row, entry)
    local sum = list[key]
    if not sum then
        sum = entry
        sum.pass, sum.rows = row.pass, {}
        for _, name in ipairs(numbers) do sum[name] = 0 end
        list[key], list[#list + 1] = sum, sum
    end
    for _, name in ipairs(numbers) do sum[name] = sum[name] + row[name] end
    sum.rows[#sum.rows + 1] = row
end

local passes = {forward = 1, backward = 2, update = 3}

function m.stop()
    local measured = internal.profile_stop()
    local data = internal.profile_read(measured)
    local report = setmetatable({seconds = data.seconds, measured = measured, data = data, operations = {}, modules = {}}, Report)
    for _, of in ipairs(data.modules) do
        local above = data.modules[of.above]
        of.depth = above and above.depth + 1 or 0
        of.path = above and above.path ~= "" and above.path .. "." .. of.name or of.name
        of.order = above and ("%s %06d"):format(above.order, _) or ""
    end
    for _, row in ipairs(data.rows) do
        add(report.operations, row.name .. " " .. row.pass, row, {name = row.name})
        local of = data.modules[row.module]
        while of.above do
            add(report.modules, of.path .. " " .. row.pass, row, {name = of.path, own = of.name, depth = of.depth, order = of.order})
            of = data.modules[of.above]
        end
    end
    local measured_seconds = 0
    for _, row in ipairs(data.rows) do measured_seconds = measured_seconds + row.seconds end
    report.outside = math.max(0, data.seconds - measured_seconds)
    for _, list in ipairs{report.operations, report.modules} do
        for _, entry in ipairs(list) do entry.share = entry.seconds / data.seconds end
    end
    table.sort(report.operations, function(a, b)
        if a.seconds ~= b.seconds then return a.seconds > b.seconds end
        return a.name .. a.pass < b.name .. b.pass
    end)
    table.sort(report.modules, function(a, b)
        if a.order ~= b.order then return a.order < b.order end
        return passes[a.pass] < passes[b.pass]
    end)
    return report
end

function m.start() internal.profile_start() end

-- Seconds that the machine needs at its limits: of products for what has a formula, else (and at least) of memory.
local function at_best(rows)
    local f32, f64, moved = internal.machine_limits()
    local seconds = 0
    for _, row in ipairs(rows) do
        local flops = row.dtype == "float64" and f64 or f32
        seconds = seconds + math.max(flops > 0 and row.flops / flops or 0, moved > 0 and row.moved / moved or 0)
    end
    return seconds
end

-- 1.23 s, 12.3 ms, 123 us: three digits and a unit
local function scaled(x, units, step)
    local k = 1
    while k < #units and x >= step[k] do
        x, k = x / step[k], k + 1
    end
    return (x >= 100 and "%.0f %s" or x >= 10 and "%.1f %s" or "%.2f %s"):format(x, units[k])
end
local function seconds_text(s) return scaled(s * 1e6, {"us", "ms", "s"}, {1000, 1000}) end
local function bytes_text(n) return scaled(n, {"B", "kB", "MB", "GB", "TB"}, {1000, 1000, 1000, 1000}) end
local function rate(x, seconds)
    if x == 0 or seconds == 0 then return "-" end
    return (x / seconds < 1e10 and "%.2f" or "%.0f"):format(x / seconds * 1e-9)
end

local columns = {"pass", "calls", "time", "share", "GFLOP/s", "GB/s", "bytes", "limit"}
local widths = {8, 6, 7, 6, 7, 5, 7, 6}

local function line(width, name, cells)
    local left = width
    for _, w in ipairs(widths) do left = left - w - 1 end
    name = screen.cut(screen.clean(name), math.max(left, 12))
    local out = {name .. (" "):rep(math.max(left, 12) - screen.width(name))}
    for k, cell in ipairs(cells) do
        local pad = (" "):rep(widths[k] - #cell)
        out[k + 1] = k == 1 and cell .. pad or pad .. cell
    end
    return (table.concat(out, " "):gsub(" +$", ""))
end

local function cells_of(entry)
    local limit = at_best(entry.rows)
    return {entry.pass, ("%d"):format(entry.calls), seconds_text(entry.seconds), ("%.1f %%"):format(100 * entry.share),
        rate(entry.flops, entry.seconds), rate(entry.moved, entry.seconds), bytes_text(entry.allocated),
        limit == 0 and "-" or limit >= 10 * entry.seconds and ">999 %" or ("%.0f %%"):format(100 * limit / entry.seconds)}
end

-- The `most` longest entries in their order, and how many are left out.
local function longest(list, most)
    local by_time = table.move(list, 1, #list, 1, {})
    table.sort(by_time, function(a, b) return a.seconds > b.seconds end)
    local kept, out = {}, {}
    for k = 1, math.min(most, #by_time) do kept[by_time[k]] = true end
    for _, entry in ipairs(list) do
        if kept[entry] then out[#out + 1] = entry end
    end
    return out, #list - #out
end

local most = 40

local function add_table(out, width, head, list, name_of)
    local shown, left = longest(list, most)
    out[#out + 1] = line(width, head, columns)
    for _, entry in ipairs(shown) do out[#out + 1] = line(width, name_of(entry), cells_of(entry)) end
    if left > 0 then out[#out + 1] = ("and %d more, shorter"):format(left) end
end

function Report:__tostring()
    local f32, f64, moved = internal.machine_limits()
    local width, out = attn.terminal_width(), {}
    out[1] = ("%s, %s of it outside operations (Lua, making and filling tensors)"):format(
        seconds_text(self.seconds), seconds_text(self.outside))
    out[2] = ("limits of this machine: %.0f GFLOP/s in float32, %.0f in float64, %.1f GB/s"):format(f32 * 1e-9, f64 * 1e-9, moved * 1e-9)
    out[3] = ""
    add_table(out, width, "operation", self.operations, function(entry) return entry.name end)
    if #self.modules > 0 then
        out[#out + 1] = ""
        add_table(out, width, "module", self.modules, function(entry)
            return ("  "):rep(entry.depth - 1) .. entry.own
        end)
    end
    if self.data.lost then out[#out + 1] = "not everything is here: too many events for the trace, or no memory" end
    return table.concat(out, "\n")
end

---Writes the calls as a trace that chrome://tracing and Perfetto show.
function Report:save(path)
    if type(path) ~= "string" then internal.raise("profile: path is " .. require "attn.fields".describe(path) .. ", expected a string") end
    local file, message = io.open(path, "w")
    if not file then internal.raise("profile: " .. message) end
    local rows, modules = {}, {}
    for k, row in ipairs(self.data.rows) do
        rows[k] = ('"name":%s,"cat":"%s","args":{"module":%s,"dtype":"%s"}'):format(attn.json.encode(row.name), row.pass,
            attn.json.encode(self.data.modules[row.module].path), row.dtype)
    end
    for k, of in ipairs(self.data.modules) do
        modules[k] = ('"name":%s,"cat":"module","args":{"module":%s}'):format(attn.json.encode(of.name), attn.json.encode(of.path))
    end
    local ok, why = file:write '{"displayTimeUnit":"ms","traceEvents":['
    for k = 1, self.data.events do
        local what, is_module, begin, length = internal.profile_event(self.measured, k)
        ok, why = file:write(k > 1 and ",\n" or "\n", ('{"ph":"X","pid":1,"tid":1,"ts":%.3f,"dur":%.3f,%s}'):format(1e6 * begin, 1e6 * length,
            is_module and modules[what] or rows[what]))
        if not ok then break end
    end
    if ok then ok, why = file:write "\n]}\n" end
    local closed, late = file:close()
    if not ok or not closed then internal.raise(("profile: %s: %s"):format(path, why or late)) end
end

---The end of `attn --profile`: the table, and the trace if a path is given.
function m.finish(path)
    local report = m.stop()
    io.stderr:write(tostring(report), "\n")
    if path then
        report:save(path)
        io.stderr:write("trace: ", path, "\n")
    end
end

return m
