-- The digest of what a function does and reaches.
local attn, t = require "attn", require "attn.test"
local digest = require "attn.digest"

local function of(text, ...) return digest.of(assert(load(text))(...)) end

t.case("names, comments and lines do not count, code does", function()
    local one = of "local a, b = 1, {2} return function(x) for i = 1, 3 do x = x + a end return x, b, 'word', 2.5, function() return i end end"
    t.equal(one, of "local z\n-- comment\nlocal c, d = 1, {2}\n\n return function(y) for k = 1, 3 do y = y + c end\n return y, d, 'word', 2.5, function() return i end end")
    for from, to in pairs{["x %+ a"] = "x - a", ["1, 3"] = "1, 4", ["word"] = "Word", ["2%.5"] = "2.25", ["return i "] = "return j ",
            ["{2}"] = "{3}", ["a, b = 1"] = "a, b = 1.0"} do
        local text = "local a, b = 1, {2} return function(x) for i = 1, 3 do x = x + a end return x, b, 'word', 2.5, function() return i end end"
        local other, count = text:gsub(from, to)
        t.equal(count, 1)
        t.is_true(of(other) ~= one, from)
    end
end)

t.case("captured functions, tables that hold themselves, classes and tensors count", function()
    local text = "local v = ... local function f() return v end return function() return f() end"
    local loop = {1}
    loop.self = loop
    local values = {1, 2, "1", {}, {1}, {x = 1}, {x = 1, y = 2}, setmetatable({}, {__index = {1}}), setmetatable({}, {__index = {2}}), loop, print,
        function() return 1 end, function() return 2 end, attn.tensor{1, 2}, attn.tensor{2, 1}, attn.tensor{{1, 2}}, attn.tensor({1, 2}, {dtype = "float64"})}
    local seen = {}
    for i, value in ipairs(values) do
        local word = of(text, value)
        t.is_true(not seen[word], "value " .. i)
        t.equal(word, of(text, value))
        seen[word] = true
    end
end)

t.case("tables that are opaque, and the library, count by being there", function()
    local box = {1}
    digest.opaque[box] = true
    local before = digest.of(function() return box, attn end)
    box[1] = 2
    t.equal(digest.of(function() return box, attn end), before)
end)

t.case("a method that the library gives all models does not count, one of the script's does", function()
    local Net = attn.module "Net"
    function Net:init() end
    local inherited = debug.getmetatable(Net).__index
    local before = digest.of(function() return Net end)
    inherited.learned_since = attn.tanh
    t.equal(digest.of(function() return Net end), before)
    inherited.learned_since = function() end
    t.is_true(digest.of(function() return Net end) ~= before)
    inherited.learned_since = nil
    function Net:more() end
    t.is_true(digest.of(function() return Net end) ~= before)
end)
