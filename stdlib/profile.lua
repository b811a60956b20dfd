-- attn.profile: where the time of a function goes.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"
local report = require "attn.profile_report"

attn.describe{name = "profile", signature = "profile(fn, ...) -> report, what fn(...) returns",
    help = "Calls fn and measures: print(report) shows for each operation, and for each layer and module (with what is inside),\n"
        .. "the forward pass, the backward pass and updates apart: calls of operations, time (without that of operations inside),\n"
        .. "its share, GFLOP/s of products, convolutions, recurrent steps and attention, GB/s of what is read and written, bytes\n"
        .. "allocated, and how near that is to what the machine can do (measured when the report is first printed; above 100 %\n"
        .. "where numbers were in caches). report:save(\"trace.json\") writes a trace for chrome://tracing or Perfetto; the fields\n"
        .. "operations and modules are lists of {name =, pass =, calls =, seconds =, share =, flops =, moved =, allocated =}.\n"
        .. "`attn --profile script.lua` and `attn --profile=trace.json script.lua` do so with a script, of its own process.",
    example = "local net = attn.layer.linear{inputs = 4, outputs = 2}\n"
        .. "local report, y = attn.profile(function() return net(attn.randn(3, 4)) end)\n"
        .. "print(report.operations[1].name, report.operations[1].calls, y.shape[2])"}

---@return any
return function(fn, ...)
    if type(fn) ~= "function" and not internal.kind(fn) then
        internal.raise("profile: fn is " .. fields.describe(fn) .. ", expected a function")
    end
    report.start()
    local results = table.pack(pcall(fn, ...))
    local measured = report.stop()
    if not results[1] then error(results[2], 0) end
    return measured, table.unpack(results, 2, results.n)
end
