-- The registries as lists: tests that go over all of a kind take the names from here, never from a list of their own.
local attn = require "attn"

local lists = {layers = {}, choices = {}, optimizers = {}, schedules = {}}

local function words(text)
    local list = {}
    for word in text:gmatch("[^|]+") do list[#list + 1] = word end
    return list
end

-- choices[layer][field]: every word it may be; defaults[layer][field]: the one it is if nothing is said
lists.defaults = {}
for _, kind in ipairs(attn.layers()) do
    lists.layers[#lists.layers + 1] = kind.name
    local choices, defaults = {}, {}
    for _, f in ipairs(kind.fields) do
        if f.choices then
            choices[f.name] = words(f.choices)
            defaults[f.name] = f.kind == "choice" and choices[f.name][math.tointeger(f.default) + 1] or nil
        end
    end
    lists.choices[kind.name], lists.defaults[kind.name] = choices, defaults
end

local axes = lists.choices.attention
lists.scores, lists.distributions, lists.windows, lists.outputs = axes.score, axes.distribution, axes.window, axes.output
lists.positions = table.move(axes.position, 2, #axes.position, 1, {})      -- behind "none"

local function names(functions, into)
    for name in pairs(functions) do into[#into + 1] = name end
    table.sort(into)
end
names(attn.optim, lists.optimizers)
names(attn.schedule, lists.schedules)

return lists
