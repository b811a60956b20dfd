-- Out of memory at every allocation of every operation's forward pass, and of its backward pass if it has one: an error each
-- time, nothing leaked.
local attn, t = require "attn", require "attn.test"

local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")
local cases = dofile(here .. "cases.lua")
local fail = require "attn.internal".fail_allocation

local names = {}
for name in pairs(cases) do names[#names + 1] = name end
table.sort(names)

local function live()
    collectgarbage()
    collectgarbage()
    return attn.memory().live
end

-- Gradients are cleared, so that every run starts from the same state.
local function run(fn, inputs)
    for _, x in ipairs(inputs) do x.grad = nil end
    local total
    for _, y in ipairs{fn(table.unpack(inputs))} do
        if y.dtype == "float64" then total = total and total + y:sum() or y:sum() end
    end
    if total and total.requires_grad then total:backward() end
    for _, x in ipairs(inputs) do x.grad = nil end
end

for _, name in ipairs(names) do
    t.case(name .. " survives the failure of any allocation", function()
        for k, case in ipairs(cases[name]) do
            if k > 6 then break end
            local fn, inputs = case()
            for _, x in ipairs(inputs) do x:requires_grad_(x.dtype == "float64") end
            run(fn, inputs)
            local before, n = live(), 0
            repeat
                n = n + 1
                fail(n, true)
                local ok, e = pcall(run, fn, inputs)
                fail(0)
                if not ok then t.is_true(tostring(e):find("out of memory", 1, true), "case " .. k .. ": " .. tostring(e)) end
            until ok or n > 1000
            for _, x in ipairs(inputs) do x.grad = nil end
            t.equal(live(), before)
        end
    end)
end
