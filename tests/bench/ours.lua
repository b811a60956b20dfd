-- One case of the benchmark on this side: attn ours.lua make|run CASE FOLDER SECONDS
-- make writes CASE.in.safetensors; run reads it, prints "sample SECONDS" lines and "peak KIB", writes CASE.ours.safetensors.

local attn = require "attn"

local what, name, folder, seconds = arg[1], arg[2], arg[3], tonumber(arg[4] or "2")
local here = arg[0]:match("^(.*)/[^/]*$") or "."
local case = dofile(here .. "/cases.lua").cases[name]
local path = folder .. "/" .. name
if what == "make" then
    attn.seed(1)
    attn.safetensors.save(path .. ".in.safetensors", case.make())
    os.exit(0)
end
local inputs = attn.safetensors.load(path .. ".in.safetensors")
local run, outputs = case.build(inputs)
run()
run()
collectgarbage()
local refs = io.open("/proc/self/clear_refs", "w")      -- the peak is the runs', with their inputs, not the preparations'
if refs then refs:write("5") refs:close() end
local start, n = attn.clock(), 0
while n < 3 or attn.clock() - start < seconds and n < 500 do
    local t = attn.clock()
    run()
    print(("sample %.9f"):format(attn.clock() - t))
    n = n + 1
end
for line in io.lines("/proc/self/status") do
    local kib = line:match("^VmHWM:%s+(%d+)")
    if kib then print("peak " .. kib) end
end
local list = {}
for i, t in ipairs(outputs()) do list["out" .. i] = t:contiguous() end
attn.safetensors.save(path .. ".ours.safetensors", list)
