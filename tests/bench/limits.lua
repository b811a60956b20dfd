-- What the machine gives now: fp32 multiply-adds of a large product, and a sum over 256 MiB of memory.

local attn = require "attn"

local function best(seconds, run)
    local least, start = math.huge, attn.clock()
    while attn.clock() - start < seconds do
        local t = attn.clock()
        run()
        least = math.min(least, attn.clock() - t)
    end
    return least
end

local a, b = attn.randn(1536, 1536), attn.randn(1536, 1536)
local t = best(1.5, function() a:matmul(b):free() end)
print(("gflops %.1f"):format(2 * 1536 ^ 3 / t / 1e9))
local x, y = attn.ones(32 * 1024 * 1024), attn.ones(32 * 1024 * 1024)
t = best(1.5, function() y:copy_(x) end)
print(("gbytes %.2f"):format(2 * 4 * 32 * 1024 * 1024 / t / 1e9))
