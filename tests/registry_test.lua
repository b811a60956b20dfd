-- Walks the registries: what is there must be documented, what is differentiable must have a gradient case, and whatever
-- gives numbers a value that was worked out independently.
local attn, t = require "attn", require "attn.test"

local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")
local lists = dofile(here .. "lists.lua")
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
    t.case(op.name .. " has a case", function()       -- op/memory_test.lua goes over them, too
        t.is_true(cases[op.name] and #cases[op.name] > 0, "tests/op/cases.lua has no case for " .. op.name)
    end)
    if op.gradient ~= "none" then
        t.case(op.name .. " has the gradient of its values", function()
            for k, case in ipairs(cases[op.name] or {}) do
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

-- ---- layers, attention and its parts, encoders, decoders ----

local layer_cases = dofile(here .. "layer/cases.lua")
local gradients = dofile(here .. "layer/gradient.lua")

-- What the files of tests/golden hold: constructor -> list of {config =}.
local golden = {}
for path in assert(io.popen("ls '" .. here:gsub("'", "'\\''") .. "golden'")):lines() do
    if path:find("%.safetensors$") then
        local _, metadata = attn.safetensors.load(here .. "golden/" .. path)
        local list = golden[metadata.constructor] or {}
        golden[metadata.constructor] = list
        list[#list + 1] = {config = metadata.config and attn.json.decode(metadata.config) or {}}
    end
end

-- Whether one of the cases has the word in the field, said or by default; a table's word is its type.
local function covered(list, kind, field, word)
    for _, case in ipairs(list or {}) do
        local said = case.config[field]
        if type(said) == "table" then said = said.type end
        if said == word or said == nil and lists.defaults[kind][field] == word then return true end
    end
    return false
end

for _, kind in ipairs(lists.layers) do
    local constructor = attn
    for part in kind:gmatch("[^.]+") do constructor = constructor[part] end

    t.case(kind .. " has gradient cases and values, for every word of its fields", function()
        local given, worked = layer_cases.gradient[kind], layer_cases.value[kind]
        t.is_true(given, "tests/layer/cases.lua has no gradient case")
        t.is_true(worked or golden[kind], "neither tests/golden nor tests/layer/cases.lua has a value")
        for field, words in pairs(lists.choices[kind]) do
            for _, word in ipairs(words) do
                t.is_true(covered(given, kind, field, word), ("no gradient case of %s = %s"):format(field, word))
                t.is_true(covered(golden[kind], kind, field, word) or covered(worked, kind, field, word),
                          ("no value of %s = %s"):format(field, word))
            end
        end
    end)
    t.case(kind .. " has the gradients of its values", function()
        for k, case in ipairs(layer_cases.gradient[kind] or {}) do
            local ok, message = pcall(gradients, constructor(case.config), case.inputs(), case.call)
            if not ok then
                local config = attn.json.encode(case.config)
                error(("case %d, %s: %s"):format(k, config, tostring(message)), 0)
            end
        end
    end)
    if layer_cases.value[kind] then
        t.case(kind .. " gives what its definition gives", function()
            for _, case in ipairs(layer_cases.value[kind]) do
                local layer, inputs = constructor(case.config):to("float64"):eval(), case.inputs()
                for _, p in ipairs(layer:parameters()) do p:detach():copy_(attn.randn(p.shape, {dtype = "float64"})) end
                local call = case.call or layer
                t.near(call(table.unpack(inputs)), case.expected(layer, table.unpack(inputs)), 1e-10)
            end
        end)
    end
end

t.case("every case of layers belongs to a layer", function()
    for _, list in pairs(layer_cases) do
        for name in pairs(list) do t.is_true(lists.choices[name], "there is no layer " .. name) end
    end
end)

-- ---- optimizers, schedules ----

for what, names in pairs{optim = lists.optimizers, schedule = lists.schedules} do
    local list = dofile(here .. (what == "optim" and "optim" or "stdlib") .. "/cases.lua")
    for _, name in ipairs(names) do
        t.case(("%s.%s has a case worked from its formula"):format(what, name), function()
            t.is_true(list[name] and #list[name].configs > 0)
        end)
    end
    t.case("every case of " .. what .. " belongs to a name", function()
        for name in pairs(list) do t.is_true(attn[what][name], "there is no " .. name) end
    end)
end
