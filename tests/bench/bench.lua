-- make bench: every case here and in PyTorch, in turn, with the same threads and from the same inputs; outputs are compared first.
--
--   make bench ARGS="--filter TEXT --threads N --rounds N --seconds S --json"
--
-- PyTorch (python3-torch) runs at its best: the OpenMP flavour of OpenBLAS, once plain and once with malloc kept from unmapping; the
-- better one counts; causal attention also in blocks of rows. Without python3-torch only this side is measured. The last columns are the fraction of the limit measured in the
-- same run: fp32 multiply-adds, or memory bandwidth. At the end the products by themselves (--filter gemm: nothing else): times of ours over
-- those of OpenBLAS, and of OpenBLAS in our blocks over one plain call. Cases of bfloat16 stand against our own float32.

local attn = require "attn"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local executable = os.getenv("ATTN_EXE") or arg[-1]
local options = require "attn.run".options{filter = "", threads = attn.threads(), rounds = 3, seconds = 1.5, json = false}
local all = dofile(here .. "/cases.lua")

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function output(command)
    local pipe = io.popen(command, "r")
    local text = pipe:read("a")
    local good = pipe:close()
    return text, good
end

local function median(list)
    table.sort(list)
    local n = #list
    return n == 0 and 0 / 0 or (list[(n + 1) // 2] + list[n // 2 + 1]) / 2
end

local python        -- the first that has PyTorch: another python3 may stand before the system's
for _, candidate in ipairs {"python3", "/usr/bin/python3"} do
    if not python and select(2, output(candidate .. " -c 'import torch' 2>/dev/null")) then python = candidate end
end
local has_torch = python ~= nil
local openmp = output("ls -d /usr/lib/*/openblas-openmp 2>/dev/null"):match("[^\n]+")
local folder = output("mktemp -d"):match("[^\n]+")

local setups = {
    {name = "plain", environment = openmp and "LD_LIBRARY_PATH=" .. openmp or "", form = ""},
    {name = "malloc kept", environment = (openmp and "LD_LIBRARY_PATH=" .. openmp or "")
        .. " MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184", form = ""},
}
for k = 1, #setups do       -- of the cases that have two forms
    setups[k + 2] = {name = setups[k].name .. ", blocked", environment = setups[k].environment, form = " blocked"}
end

local function samples(command)
    local text, good = output(command)
    if not good then return nil, text end
    local list, peak = {}, 0
    for s in text:gmatch("sample ([%d.eE+-]+)") do list[#list + 1] = tonumber(s) end
    peak = tonumber(text:match("peak (%d+)")) or 0
    return list, peak
end

-- The largest difference of two outputs, relative to the largest element.
local function difference(name)
    local a = attn.safetensors.load(folder .. "/" .. name .. ".ours.safetensors")
    local b = attn.safetensors.load(folder .. "/" .. name .. ".theirs.safetensors")
    local worst = 0
    for key, x in pairs(a) do
        local y = b[key]
        if not y or table.concat(x.shape, ",") ~= table.concat(y.shape, ",") then return math.huge end
        local scale = math.max(y:abs():max():item(), 1e-6)
        worst = math.max(worst, (x - y):abs():max():item() / scale)
    end
    return worst
end

local function append(to, from)
    for _, x in ipairs(from) do to[#to + 1] = x end
end

local function start_up(case)
    local function time(command)
        local t = attn.clock()
        os.execute(command .. " >/dev/null 2>&1")
        return attn.clock() - t
    end
    local ours, theirs = {}, {}
    for _ = 1, options.rounds do
        for _ = 1, 10 do ours[#ours + 1] = time(quote(executable) .. " -e ''") end
        if has_torch then theirs[#theirs + 1] = time(setups[1].environment .. " " .. python .. " -c 'import torch'") end
    end
    return {case = case.name, ours = median(ours), theirs = has_torch and median(theirs) or nil, target = case.target}
end

local function measure(case)
    if case.start_up then return start_up(case) end
    local threads = case.threads or options.threads
    local function ours(what, name)
        return ("ATTN_THREADS=%d %s %s/ours.lua %s %s %s %g"):format(threads, quote(executable), quote(here), what,
                                                                     name or case.name, quote(folder), options.seconds)
    end
    local _, made = output(ours "make")
    if case.against then made = made and select(2, output(ours("make", case.against))) end
    if not made then return {case = case.name, problem = "the inputs could not be made"} end
    local mine, peak, best = {}, 0, {}
    local torch = has_torch and not case.only_here and not case.against
    local others = case.against and {{name = "float32"}} or torch and setups or {}
    for round = 1, options.rounds do
        local list, p = samples(ours "run")
        if not list then return {case = case.name, problem = "this side failed"} end
        append(mine, list)
        peak = math.max(peak, p)
        for k = 1, #others > 2 and not case.blocked and 2 or #others do
            local setup = others[k]
            local theirs, q = samples(case.against and ours("run", case.against) or
                ("%s %s %s/theirs.py %s %s %g %d%s"):format(setup.environment, python, quote(here), case.name, quote(folder),
                    options.seconds, threads, setup.form))
            if not theirs then return {case = case.name, problem = (case.against or "PyTorch") .. " failed"} end
            best[k] = best[k] or {list = {}, peak = 0}
            append(best[k].list, theirs)
            best[k].peak = math.max(best[k].peak, q)
            -- with dropout the two sides draw different numbers
            if torch and round == 1 and k % 2 == 1 and not case.random then
                local d = difference(case.name)
                if not (d < 2e-3) then return {case = case.name, problem = ("the outputs differ by %.2g"):format(d)} end
            end
        end
    end
    local result = {case = case.name, ours = median(mine), peak = peak / 1024, target = case.target, threads = threads}
    for k, b in ipairs(best) do
        local m = median(b.list)
        if not result.theirs or m < result.theirs then
            result.theirs, result.setup, result.their_peak = m, others[k].name, b.peak / 1024
        end
    end
    result.gflops = case.flops and case.flops / result.ours / 1e9
    result.gbytes = case.bytes and case.bytes / result.ours / 1e9
    result.tokens = case.tokens and case.tokens / result.ours
    result.microseconds = case.operations and result.ours / case.operations * 1e6
    return result
end

-- What the machine gives at this moment, on as many threads.
local function limits()
    local text = output(("ATTN_THREADS=%d %s %s/limits.lua"):format(options.threads, quote(executable), quote(here)))
    return tonumber(text:match("gflops ([%d.]+)")) or 0 / 0, tonumber(text:match("gbytes ([%d.]+)")) or 0 / 0
end

local peak_flops, peak_bytes = limits()
local function say(...) if not options.json then print(string.format(...)) end end
say("%s   %d threads   %s", output(quote(executable) .. " --version"):match("[^\n]+"), options.threads,
    has_torch and "PyTorch " .. output(python .. " -c 'import torch; print(torch.__version__)' 2>/dev/null"):match("[^\n]+")
    .. (openmp and "" or " (without the OpenMP flavour of OpenBLAS: install libopenblas0-openmp, or the ratios say little)")
    or "no python3-torch: only this side")
say("limit in this run: %.0f GFLOP/s in fp32 products, %.1f GB/s from memory", peak_flops, peak_bytes)
say("%-30s %11s %11s %7s %7s %10s %8s %9s %9s", "case", "here ms", "PyTorch ms", "ratio", "target", "rate", "of limit", "peak MiB",
    "theirs")

local function json(v)
    if type(v) == "table" then
        local keys, out = {}, {}
        for k in pairs(v) do keys[#keys + 1] = k end
        table.sort(keys)
        for i, k in ipairs(keys) do out[i] = ("%q: %s"):format(k, json(v[k])) end
        return "{" .. table.concat(out, ", ") .. "}"
    elseif type(v) == "number" then
        return v ~= v and "null" or ("%.9g"):format(v)
    end
    return ("%q"):format(tostring(v))
end

for _, name in ipairs(all.order) do
    if name:find(options.filter, 1, true) then
        local r = measure(all.cases[name])
        r.ratio = r.theirs and r.ours and r.theirs / r.ours
        if options.json then
            print(json(r))
        elseif r.problem then
            say("%-30s %s", name, r.problem)
        else
            local rate, part = "", ""
            if r.gbytes then
                rate, part = ("%.1f GB/s"):format(r.gbytes), ("%.0f %%"):format(100 * r.gbytes / peak_bytes)
            elseif r.microseconds then
                rate = ("%.2f us/op"):format(r.microseconds)
            elseif r.tokens then
                rate, part = ("%.0f tok/s"):format(r.tokens), ("%.0f %%"):format(100 * r.gflops / peak_flops)
            elseif r.gflops then
                rate, part = ("%.0f GF/s"):format(r.gflops), ("%.0f %%"):format(100 * r.gflops / peak_flops)
            end
            say("%-30s %11.3f %11s %7s %7s %10s %8s %9s %9s", name, r.ours * 1e3,
                r.theirs and ("%.3f"):format(r.theirs * 1e3) or "", r.ratio and ("%.2f"):format(r.ratio) or "",
                r.target and ("%.2f"):format(r.target) or "", rate, part, r.peak and ("%.0f"):format(r.peak) or "",
                r.their_peak and ("%.0f"):format(r.their_peak) or "")
        end
        io.stdout:flush()
    end
end
-- The matrix products by themselves, on one thread (gemm.c).
local function gemm()
    local program, command, which = os.getenv "ATTN_BENCH_GEMM", {}, {}
    for _, p in ipairs(program and all.products or {}) do
        if ("gemm " .. p.case):find(options.filter, 1, true) then
            which[#which + 1], command[#command + 1] = p.case, p.product
        end
    end
    if #which == 0 then return end
    say("\n%-30s %-18s %9s %9s %9s %12s %12s", "products, GFLOP/s of a thread", "", "own", "OpenBLAS", "plain", "own/OpenBLAS",
        "blocks/plain")
    local pipe, i = io.popen(("%s %g %s"):format(quote(program), options.seconds, table.concat(command, " "))), 0
    for line in pipe:lines() do
        local name, m, n, k, own, blas, plain, ours, blocks = line:match("^product" .. (" (%S+)"):rep(9))
        local gflop = 2 * m * n * k / 1e9
        i = i + 1
        local r = {case = "gemm " .. which[i], product = ("%s %s %s %s"):format(name, m, n, k), own = gflop / own,
                   openblas = gflop / blas, plain = gflop / plain, ratio = tonumber(ours), blocks = tonumber(blocks)}
        if options.json then print(json(r)) end
        say("%-30s %-18s %9.1f %9.1f %9.1f %12.2f %12.2f", which[i], r.product, r.own, r.openblas, r.plain, r.ratio, r.blocks)
        io.stdout:flush()
    end
    if not pipe:close() then say("the products could not be measured") end
end
gemm()

-- A study's cells in processes side by side, over the same one after another.
local function cells()
    local name = "study_attention_tour"
    if not name:find(options.filter, 1, true) then return end
    local script = here .. "/../../scripts/self_attention/attention_tour.lua"
    local function seconds(jobs)
        local start = attn.clock()
        local _, good = output(("%s %s --seeds 1 --jobs %d --results %s/%s-%d 2>&1"):format(quote(executable), quote(script), jobs, quote(folder),
            name, jobs))
        return good and attn.clock() - start or 0 / 0
    end
    local cores = tonumber((output "nproc")) or 1
    local one, all_cores = seconds(1), seconds(cores)
    local r = {case = name, seconds = one, side_by_side = all_cores, jobs = cores, ratio = all_cores / one, target = 0.6}
    if options.json then print(json(r)) end
    say("\n%-30s %9.1f s one after another, %.1f s on %d cores: %.2f (target 0.60 on two)", name, one, all_cores, cores, r.ratio)
end
cells()
os.execute("rm -rf " .. quote(folder))
