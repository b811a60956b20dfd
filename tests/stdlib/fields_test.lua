-- Reading configuration tables.
local t = require "attn.test"
local fields = require "attn.fields"

local known = {{"size", "integer", required = true, least = 1}, {"rate", "number", 0.5, above = 0, most = 1},
    {"name", "string", "x", choices = {"x", "yes"}}, {"call", "function"}, {"on", "boolean", true}, {"any", "any"}}

local function read(cfg) return fields.read("place", cfg, known) end

t.case("defaults are filled in, integral floats become integers, the table given stays as it was", function()
    local cfg = {size = 3.0}
    local got = read(cfg)
    t.equal(got, {size = 3, rate = 0.5, name = "x", on = true})
    t.equal(math.type(got.size), "integer")
    t.equal(cfg, {size = 3.0})
    t.equal(read{size = 1, on = false, any = false}.on, false)
    t.equal(read{size = 1, any = false}.any, false)
end)

t.case("whatever can be called is a function", function()
    local callable = setmetatable({}, {__call = function() end})
    t.equal(read{size = 1, call = callable}.call, callable)
    t.raises("place: call is a table, expected a function", read, {size = 1, call = {}})
end)

t.case("errors name the field", function()
    t.raises("place: argument is nil, expected a table of fields", read)
    t.raises("place: field 'size' is missing, expected an integer", read, {})
    t.raises("place: size is a string, expected an integer", read, {size = "3"})
    t.raises("place: size is 2.5, expected an integer", read, {size = 2.5})
    t.raises("place: size is 0, expected at least 1", read, {size = 0})
    t.raises("place: rate is 0, expected more than 0", read, {size = 1, rate = 0})
    t.raises("place: rate is 2, expected at most 1", read, {size = 1, rate = 2})
    t.raises("place: rate is NaN", read, {size = 1, rate = 0 / 0})
    t.raises("place: name is 'ye', expected one of x, yes (did you mean 'yes'?)", read, {size = 1, name = "ye"})
    t.raises("place: unknown field 'sise' (known: size, rate, name, call, on, any) (did you mean 'size'?)", read,
        {sise = 1})
    t.raises("place: unknown field '1'", read, {size = 1, "x"})
end)

t.case("the nearest word, if any is near", function()
    t.equal(fields.nearest("adative", {"dot", "additive", "concat"}), "additive")
    t.equal(fields.nearest("zzzzzz", {"dot", "additive"}), nil)
    t.equal(fields.suggest("dta", {"dot"}), "")
    t.equal(fields.nearest("x", {"y", "_"}), nil)               -- nothing of it is left
    t.equal(fields.nearest("dto", {"dt", "dot"}), "dt")         -- one edit each, but more of the beginning
    t.equal(fields.nearest("modle", {"mode", "model"}), "model")    -- one edit each, but the length is right
    t.equal(fields.suggest("do", {"dot"}), " (did you mean 'dot'?)")
end)
