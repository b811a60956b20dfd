-- Walks the table of operations: what is there must be documented, and what is differentiable must have a gradient
-- case.
local attn, t = require "attn", require "attn.test"

local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")
local cases = dofile(here .. "op/cases.lua")
local operations = attn.operations()

for _, op in ipairs(operations) do
    t.case(op.name .. " is documented", function()
        local short = op.name:match("[^.]*$")
        t.is_true(#op.help > 20, "the help is missing")
        t.is_true(op.help:find(short, 1, true), "the help does not name the operation")
        for _, a in ipairs(op.internal and {} or op.args) do
            t.is_true(op.help:find(a.name, 1, true), "the help does not name the argument " .. a.name)
            if a.choices then
                for word in a.choices:gmatch("[^|]+") do
                    t.is_true(op.help:find(word, 1, true) or a.name == "dtype",
                              "the help does not name the choice " .. word)
                end
            end
        end
        for line in op.help:gmatch("[^\n]+") do t.is_true(not line:find("%s$"),
                                                          "a line of the help ends with a space") end
    end)
    if op.gradient ~= "none" then
        t.case(op.name .. " has the gradient of its values", function()
            local list = cases[op.name]
            t.is_true(list and #list > 0, "tests/op/cases.lua has no case for " .. op.name)
            for k, case in ipairs(list) do
                local fn, inputs = case()
                local ok, text = attn.checkgrad(fn, inputs)
                t.is_true(ok, ("case %d: %s"):format(k, tostring(text)))
            end
        end)
    end
    if not op.internal then
        t.case(op.name .. " refuses what is no tensor", function()
            local fn = attn
            for part in op.name:gmatch("[^.]+") do fn = fn[part] end
            for _, wrong in ipairs{"text", {}, true, print} do t.is_true(not pcall(fn, wrong, wrong, wrong, wrong)) end
            t.is_true(not pcall(fn))
        end)
    end
end

t.case("every case belongs to an operation", function()
    local known = {}
    for _, op in ipairs(operations) do known[op.name] = true end
    for name in pairs(cases) do t.is_true(known[name], "there is no operation " .. name) end
end)
