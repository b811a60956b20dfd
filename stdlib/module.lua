-- What layers (written in C) and modules (attn.module) share: parameters, state, load, train ... Functions of the object itself.

local attn = require "attn"
local internal = require "attn.internal"
local kind, raise = internal.kind, internal.raise

local module = {}

-- Names first the numbers, then the words, each sorted: an order that does not depend on how a table was filled.
local function before(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
end

-- What a module would miss in a table, at any depth: "layer", "module", or "tensor" for one that learns.
local function missed(value, met)
    local k = kind(value)
    if k == "layer" or k == "module" or k == "tensor" and value.requires_grad then return k end
    if type(value) ~= "table" or met[value] then return nil end
    met[value] = true
    for _, v in next, value do
        k = missed(v, met)
        if k then return k end
    end
end

-- The keys of a table whose values may be or hold something; other values are the script's own.
local function keys_of(value)
    local keys = {}
    for key, v in pairs(value) do
        if type(v) == "userdata" and kind(v) or type(v) == "table" then
            if type(key) == "string" or type(key) == "number" then
                keys[#keys + 1] = key
            else
                local k = kind(v) or missed(v, {})
                if k then raise(("module: a %s is kept under a key that is a %s; names and numbers can be saved"):format(k, type(key))) end
            end
        end
    end
    table.sort(keys, before)
    return keys
end

-- Calls visit(name, value, kind) for every layer, module and tensor that a module holds itself: fields in order of assignment,
-- tables in them by number and name. A table met again by a name (a class that is its own __index, a node's parent) has nothing
-- new; a list inside itself is a mistake.
function module.held(object, visit)
    local fields, order = internal.fields(object)
    local above, met = {}, {}
    local function value(name, v)
        local k = kind(v)
        if k == "tensor" or k == "layer" or k == "module" then
            visit(name, v, k)
        elseif type(v) == "table" and not met[v] then
            above[v], met[v] = true, true
            for _, key in ipairs(keys_of(v)) do
                if type(key) == "number" and above[v[key]] then raise("module: a module or list contains itself") end
                value(name .. "." .. key, v[key])
            end
            above[v] = nil
        end
    end
    for _, name in ipairs(order) do
        if type(name) == "string" or type(name) == "number" then
            value(tostring(name), fields[name])
        else
            keys_of(fields)                     -- says so, if there is anything
        end
    end
end

-- Runs fn for a module unless it is inside itself; `above` holds those that are being walked through.
local function enter(object, above, fn, ...)
    if above[object] then raise("module: a module or list contains itself") end
    above[object] = true
    fn(...)
    above[object] = nil
end

-- Calls visit(name, tensor, is_buffer, is_matrix) for every tensor of an object, in order; a matrix may be kept for inference.
local function walk(object, prefix, visit, above)
    above = above or {[object] = true}
    if kind(object) == "layer" then
        for _, m in ipairs(internal.members(object)) do visit(prefix .. m[1], m[2], m[3], m[4]) end
        return
    end
    module.held(object, function(name, v, k)
        if k == "tensor" then
            visit(prefix .. name, v, not (v.requires_grad or internal.rests(v)))
        else
            enter(v, above, walk, v, prefix .. name .. ".", visit, above)
        end
    end)
end

-- Calls visit(layer) for every layer and module inside an object, itself first.
local function each(object, visit, above)
    above = above or {[object] = true}
    visit(object)
    if kind(object) ~= "module" then return end
    module.held(object, function(_, v, k)
        if k ~= "tensor" then enter(v, above, each, v, visit, above) end
    end)
end

local function check(object, where)
    local k = kind(object)
    if k ~= "layer" and k ~= "module" then
        raise(("%s: self is %s, expected a layer or module (model:%s(), with a colon)"):format(where,
            require "attn.fields".describe(object), where))
    end
end

-- Names and tensors in order; a tensor met twice counts once, under its first name.
local function list(object, buffers)
    local seen, names, out = {}, {}, {}
    walk(object, "", function(name, t, buffer)
        local id = internal.identity(t)
        if not seen[id] and (buffers or not buffer) then
            if names[name] then raise(("module: two tensors are called '%s'"):format(name)) end
            seen[id], names[name] = true, true
            out[#out + 1] = {name, t}
        end
    end)
    return out
end

-- A list of parameters is a plain table but for print.
local said = {__tostring = function(parameters)
    local numbers, lines = 0, {}
    for i, t in ipairs(parameters) do
        numbers = numbers + t:numel()
        lines[i] = ("\n  %s %s"):format(t.dtype, t.shape)
    end
    return ("%d parameters, %d numbers"):format(#parameters, numbers) .. table.concat(lines)
end}

function module.named_parameters(object)
    check(object, "named_parameters")
    local all, i = list(object, false), 0
    return function()
        i = i + 1
        if all[i] then return all[i][1], all[i][2] end
    end
end

function module.parameters(object)
    check(object, "parameters")
    local all = list(object, false)
    for i, entry in ipairs(all) do all[i] = entry[2] end
    return setmetatable(all, said)
end

function module.state(object)
    check(object, "state")
    local state = {}
    for _, entry in ipairs(list(object, true)) do state[entry[1]] = entry[2]:detach() end
    return state
end

local function shape_text(t) return t.dtype .. " [" .. table.concat(t.shape, ", ") .. "]" end

-- A model kept for inference does not learn, nor take other weights.
local function refuse_kept(object, where, instead)
    walk(object, "", function(name, t)
        if t.dtype == "bfloat16" or t.dtype == "int8" then
            raise(("%s: %s is %s, kept for inference: %s"):format(where, name, t.dtype, instead))
        end
    end)
end

function module.load(object, state)
    check(object, "load")
    refuse_kept(object, "load", "load before to_inference, or after model:to(\"float32\")")
    if type(state) ~= "table" then raise("load: state is a " .. type(state) .. ", expected a table of tensors") end
    local wrong, known, all = {}, {}, list(object, true)
    for _, entry in ipairs(all) do
        local name, t = entry[1], entry[2]
        local given = state[name]
        known[name] = true
        if given == nil then
            wrong[#wrong + 1] = name .. " is missing, expected " .. shape_text(t)
        elseif kind(given) ~= "tensor" then
            wrong[#wrong + 1] = name .. " is a " .. type(given) .. ", expected " .. shape_text(t)
        elseif given.dtype ~= t.dtype or table.concat(given.shape, ",") ~= table.concat(t.shape, ",") then
            wrong[#wrong + 1] = name .. " is " .. shape_text(given) .. ", expected " .. shape_text(t)
        end
    end
    local extra = {}
    for name in pairs(state) do
        if not known[name] then extra[#extra + 1] = tostring(name) end
    end
    table.sort(extra)
    for _, name in ipairs(extra) do wrong[#wrong + 1] = name .. " is unknown" end
    if #wrong > 0 then raise("load: " .. table.concat(wrong, "; ")) end
    attn.no_grad(function()
        for _, entry in ipairs(all) do entry[2]:copy_(state[entry[1]]) end
    end)
    return object
end

local function set_training(object, on)
    each(object, function(o)
        if kind(o) == "layer" then internal.train(o, on) else internal.fields(o).training = on end
    end)
    return object
end

function module.train(object, on)
    check(object, "train")
    if on ~= false then
        refuse_kept(object, "train", "model:to(\"float32\"), then model:load its float32 weights")
    end
    return set_training(object, on == nil or on)
end

function module.eval(object)
    check(object, "eval")
    return set_training(object, false)
end

function module.to(object, dtype)
    check(object, "to")
    if dtype ~= "float32" and dtype ~= "float64" then
        raise("to: dtype is " .. tostring(dtype) .. ", expected float32 or float64")
    end
    -- in place: ties, optimizers and handles go on meaning the same tensors
    each(object, function(o)
        if kind(o) == "layer" then internal.convert(o, dtype) end
    end)
    walk(object, "", function(_, t)
        internal.convert(t, dtype)
        internal.wake(t)
    end)
    return object
end

local formats = {bf16 = "bfloat16", int8 = "int8"}

-- All weights are made before the first tensor changes: a failure leaves the model as it was.
function module.to_inference(object, how)
    check(object, "to_inference")
    local dtype = formats[how]
    if not dtype then
        raise("to_inference: how is " .. tostring(how) .. ", expected \"bf16\" or \"int8\"")
    end
    local all, place, made = {}, {}, {}
    walk(object, "", function(name, t, _, matrix)
        local id = internal.identity(t)
        local at = place[id]
        if not at then
            at = #all + 1
            place[id], all[at] = at, {name, t, matrix = true}
        end
        all[at].matrix = all[at].matrix and matrix      -- what something else reads too stays as it is
    end)
    for i, entry in ipairs(all) do
        local name, t = entry[1], entry[2]
        if entry.matrix and t.dtype ~= dtype then
            if t.dtype ~= "float32" then
                raise(("to_inference: %s is %s, expected float32 (model:to(\"float32\"))"):format(name, t.dtype))
            end
            made[i] = attn.no_grad(t.to, t, dtype)
        end
    end
    for i, entry in ipairs(all) do
        internal.rest(entry[2], made[i])
        if made[i] then made[i]:free() end
    end
    return set_training(object, false)
end

function module.zero_grad(object)
    check(object, "zero_grad")
    for _, entry in ipairs(list(object, false)) do entry[2]:zero_grad() end
end

function module.count(object)
    check(object, "count")
    local n = 0
    for _, entry in ipairs(list(object, false)) do n = n + entry[2]:numel() end
    return n
end

local function thousands(n)
    local text = tostring(n)
    return (text:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

-- The tree of an object: a line each with title and number of parameters, tensors with their shapes.
local function lines(object, name, indent, out)
    local title, rest, inner
    if kind(object) == "layer" then
        title, rest = internal.title(object)
        inner = internal.inner(object)
    else
        title, rest, inner = select(3, internal.fields(object)).__name, "", {}
        module.held(object, function(field, v) inner[#inner + 1] = {field, v} end)
    end
    local head = indent .. (name and name .. ": " or "") .. title .. (rest ~= "" and "  " .. rest or "")
    out[#out + 1] = string.format("%-60s %12s", head, thousands(module.count(object)) .. " parameters")
    local tensors = {}
    for _, m in ipairs(inner) do
        if kind(m[2]) == "tensor" then
            tensors[#tensors + 1] = m[1] .. " [" .. table.concat(m[2].shape, ", ") .. "]"
        end
    end
    if #tensors > 0 then out[#out + 1] = indent .. "  " .. table.concat(tensors, "  ") end
    for _, m in ipairs(inner) do
        local k = kind(m[2])
        if k == "layer" or k == "module" then lines(m[2], m[1], indent .. "  ", out) end
    end
    return out
end

-- The path from an object to one inside it, each part with its dot; nil if it is not there, "" if it is the object itself.
local function path_to(object, wanted, above)
    if object == wanted then return "" end
    local path
    local function look(name, v, k)
        if path or k == "tensor" then return end
        enter(v, above, function()
            local rest = path_to(v, wanted, above)
            path = rest and "." .. name .. rest
        end)
    end
    if kind(object) == "module" then
        module.held(object, look)
    else
        for _, m in ipairs(internal.inner(object)) do look(m[1], m[2], kind(m[2])) end
    end
    return path
end

-- The text of an error with the path to the layer or module that failed, from the outermost of those that run (they are listed from the
-- inside out): "Translator.decoder.attention: key has width 7".
function module.placed(text, failed, running)
    for i = #running, 1, -1 do
        local path = path_to(running[i], failed, {[running[i]] = true})
        if path == "" then return text end
        if path then
            local outer = kind(running[i]) == "layer" and internal.title(running[i]) or select(3, internal.fields(running[i])).__name
            local word, rest = text:match "^([%w_.]+): (.*)$"
            return ("%s%s: %s"):format(outer, path, word == path:match "[^.]*$" and rest or text)
        end
    end
    return text
end

function module.tostring(object)
    if not kind(object) then return "a module" end
    return table.concat(lines(object, nil, "", {}), "\n")
end

return module
