-- test: what test files use. A case runs at once, fails by any error, and a failed one does not stop the file.
--
-- Under `attn test` results go to the runner, by the functions that it put in package.loaded["attn.test.worker"]. Run
-- plainly (attn x_test.lua) they are lines "ok 1 - name" and "not ok 2 - name", and a closing line; the host calls
-- test.finish after the script.
local test = {}

local worker = package.loaded["attn.test.worker"]
local passed, failed, skipped = 0, 0, 0
local running = false
local SKIP = {}

if worker then require "attn.strict" end

-- ---- running ----

local function report(status, name, message)
    if status == "pass" then
        passed = passed + 1
    elseif status == "skip" then
        skipped = skipped + 1
    else
        failed = failed + 1
    end
    if worker then
        worker.report(status, name, message)
        return
    end
    local number = passed + failed + skipped
    if status == "fail" then
        print(("not ok %d - %s\n    %s"):format(number, name, (message:gsub("\n", "\n    "))))
    else
        print(("ok %d - %s%s"):format(number, name, status == "skip" and " # skip " .. message or ""))
    end
end

local function wanted(name)
    local filter = worker and worker.filter or ""
    if filter == "" or name:find(filter, 1, true) then return true end
    local ok, found = pcall(string.find, name, filter)
    return ok and found ~= nil
end

-- Errors of the functions below say where the test stands; what others raise needs the way that led there.
local function explain(e)
    if getmetatable(e) == SKIP then return e end
    local message = type(e) == "string" and e or (type(e) == "table" and not (getmetatable(e) or {}).__tostring)
        and ("(error object is a %s value)"):format(type(e)) or tostring(e)
    return {message = message, trace = debug.traceback("", 2)}
end

---Runs fn as the test `name`. It passes if fn returns.
---@param name string the fact it states
---@param fn fun()
function test.case(name, fn)
    if type(name) ~= "string" then error("case: name is a " .. type(name) .. ", expected a string", 2) end
    if type(fn) ~= "function" then error("case: fn is a " .. type(fn) .. ", expected a function", 2) end
    if running then error("case: '" .. name .. "' stands inside another case", 2) end
    if not wanted(name) then return end
    local attn = package.loaded.attn
    if type(attn) == "table" and rawget(attn, "seed") then attn.seed(1) end
    if worker then worker.report("start", name, "") end
    running = true
    local ok, e = xpcall(fn, explain)
    running = false
    if ok then
        report("pass", name, "")
    elseif getmetatable(e) == SKIP then
        report("skip", name, e.reason)
    elseif type(e) ~= "table" then      -- no memory for a message handler
        report("fail", name, tostring(e))
    else
        local here = debug.getinfo(fn, "S").short_src
        local trace = e.trace:match("^(.-)\n%s*%[C%]: in function 'xpcall'") or e.trace
        if e.message:sub(1, #here + 1) == here .. ":" then trace = "" end
        report("fail", name, e.message .. trace)
    end
end

---Ends the running case without a verdict.
---@param reason string
function test.skip(reason)
    if not running then error("skip: no case is running", 2) end
    error(setmetatable({reason = tostring(reason or "")}, SKIP), 0)
end

---Called by the host after the script. Prints the closing line, or sends it.
---@param script_ok boolean false if the script ended with an error
---@return boolean ok
function test.finish(script_ok)
    if worker then
        if script_ok then worker.report("end", "", "") end
    else
        if not script_ok then failed = failed + 1 end
        print(("%d passed, %d failed%s"):format(passed, failed, skipped > 0 and (", %d skipped"):format(skipped) or ""))
    end
    return failed == 0
end

-- ---- saying what differs ----

local function show(value)
    if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
    if value ~= value then return "nan" end
    if math.type(value) == "float" then return ("%.9g"):format(value) end
    return (tostring(value):gsub("\n.*", " ..."))
end

-- Tensors are compared by their values.
local function plain(value)
    if type(value) ~= "userdata" then return value end
    local ok, method = pcall(function() return value.totable end)
    if ok and type(method) == "function" then return value:totable() end
    return value
end

local function step(path, key)
    return ("%s[%s]"):format(path, type(key) == "string" and ("%q"):format(key) or tostring(key))
end

-- Walks two values. same(a, b): nil, or what is wrong with two leaves and by how much. `found` gets the number of leaves,
-- of those that differ, the first of these as text, and the one that differs most.
local function compare(a, b, same, path, above, found)
    a, b = plain(a), plain(b)
    if type(a) ~= "table" or type(b) ~= "table" then
        local wrong, amount = same(a, b)
        found.leaves = found.leaves + 1
        if wrong then
            wrong = path == "" and wrong or "at " .. path .. ": " .. wrong
            found.count, found.first = found.count + 1, found.first or wrong
            if amount and amount > found.amount then found.amount, found.largest = amount, wrong end
        end
        return
    end
    if a == b or above[a] == b then return end
    above[a] = b
    local keys = {}
    for key in pairs(a) do keys[#keys + 1] = key end
    for key in pairs(b) do if a[key] == nil then keys[#keys + 1] = key end end
    table.sort(keys, function(x, y)
        if math.type(x) and math.type(y) then return x < y end
        if type(x) ~= type(y) then return type(x) < type(y) end
        return tostring(x) < tostring(y)
    end)
    for _, key in ipairs(keys) do compare(a[key], b[key], same, step(path, key), above, found) end
    above[a] = nil
end

-- What differs, nil if nothing does.
local function difference(a, b, same)
    local found = {leaves = 0, count = 0, amount = -math.huge}
    compare(a, b, same, "", {}, found)
    if found.count < 2 then return found.first end
    local more = ("%s\n%d of %d values differ"):format(found.first, found.count, found.leaves)
    return found.largest and more .. ", the most " .. found.largest or more
end

local function identical(a, b)
    if a == b or a ~= a and b ~= b then return nil end
    return ("got %s, expected %s"):format(show(a), show(b))
end

---Deep equality; tensors count as their tables, NaN equals NaN.
---@param actual any
---@param expected any
function test.equal(actual, expected)
    local wrong = difference(actual, expected, identical)
    if wrong then error(wrong, 2) end
end

---Numbers that are close, alone, in nested tables or in tensors: |a - b| <= tolerance * max(1, |b|).
---@param actual any
---@param expected any
---@param tolerance number? default 1e-5
function test.near(actual, expected, tolerance)
    tolerance = tolerance or 1e-5
    if type(tolerance) ~= "number" then
        error("near: tolerance is a " .. type(tolerance) .. ", expected a number", 2)
    end
    local wrong = difference(actual, expected, function(a, b)
        if math.type(a) and math.type(b) then
            if a == b or a ~= a and b ~= b or math.abs(a - b) <= tolerance * math.max(1, math.abs(b)) then
                if math.abs(b) ~= math.huge or a == b then return nil end
            end
            return ("got %s, expected %s (difference %.3g, tolerance %.3g)"):format(
                show(a), show(b), math.abs(a - b), tolerance), math.abs(a - b)
        end
        return identical(a, b)
    end)
    if wrong then error(wrong, 2) end
end

---fn(...) must raise an error that contains `expected` after its position, as plain text.
---@param expected string
---@param fn function
---@return string message
function test.raises(expected, fn, ...)
    local ok, e = pcall(fn, ...)
    if ok then error("no error, expected " .. show(expected), 2) end
    local message = tostring(e)
    local text = message:gsub("^[^%s\"']*:%d+: ", "", 1)
    if not text:find(expected, 1, true) then
        error(("the error is %s, expected %s"):format(show(message), show(expected)), 2)
    end
    return message
end

---The backward pass of fn agrees with finite differences.
---@param fn function of the inputs, returns a tensor
---@param inputs table float64 tensors
---@param options table? eps, atol, rtol
function test.gradient(fn, inputs, options)
    local ok, text = require("attn").checkgrad(fn, inputs, options)
    if not ok then error("gradient: " .. tostring(text), 2) end
end

---The value is neither nil nor false.
---@param value any
---@param message string?
function test.is_true(value, message)
    if not value then error(message or ("got %s, expected a true value"):format(show(value)), 2) end
    return value
end

return test
