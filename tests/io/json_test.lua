-- JSON, strict both ways.
local attn, t = require "attn", require "attn.test"
local json = attn.json

t.case("values come back with their kinds", function()
    local value = {name = "x \"y\"\n\u{1F600}", list = {1, 2.0, -3, {}}, truth = {true, false}, tiny = 5e-324,
        third = 1 / 3, big = math.maxinteger, small = math.mininteger, deep = {{{a = {}}}}}
    for _, indent in ipairs{0, 2} do
        local back = json.decode(json.encode(value, indent))
        t.equal(back, value)
        t.equal(math.type(back.list[1]), "integer")
        t.equal(math.type(back.list[2]), "float")
    end
    t.equal(json.decode "null", json.null)
    t.equal(json.encode{json.null, 1}, "[null, 1]")
    t.equal(json.decode "[1, null, 2]", {1, json.null, 2})
    t.equal(json.decode '"\\u0041\\u00e9\\u0000"', "Aé\0")
end)

t.case("the text is the same for equal tables, names in order", function()
    t.equal(json.encode{b = 1, a = {2, 3}, c = "é"}, '{"a": [2, 3], "b": 1, "c": "é"}')
    t.equal(json.encode({b = 1, a = {x = 0.1}}, 2), '{\n  "a": {\n    "x": 0.1\n  },\n  "b": 1\n}')
    t.equal(json.encode{}, "{}")
    t.equal(json.encode(0.1), "0.1")
    t.equal(json.encode(1e300), "1e+300")
    t.equal(json.encode(-0.0), "-0.0")
    t.equal(json.encode "\1\t\127", '"\\u0001\\u0009\127"')
end)

t.case("what is not JSON is refused with its place", function()
    for _, text in ipairs{"", "{", "[1,]", "{'a': 1}", "01", "nan", "1 2", '{"a": 1, "a": 2}', '"\xff"', "[1e999]",
        "99999999999999999999", "\xEF\xBB\xBF1"} do
        t.raises("json.decode: line 1, column", json.decode, text)
    end
    t.raises("json.decode: text is nil, expected a string", json.decode, nil)
    t.raises("nested more than 200 deep", json.decode, ("["):rep(300) .. ("]"):rep(300))
    t.raises("json.decode: line 1", json.decode, ("["):rep(100000))
end)

t.case("what has no form in JSON is refused", function()
    t.raises("NaN is no number of JSON", json.encode, 0 / 0)
    t.raises("infinity is no number of JSON", json.encode, {a = {math.huge}})
    t.raises("a string is not UTF-8 text", json.encode, "\xff")
    t.raises("a string is not UTF-8 text", json.encode, {["\xff"] = 1})
    t.raises("a function has no form in JSON", json.encode, print)
    t.raises("has no form in JSON", json.encode, attn.zeros(2))
    t.raises("both names and numbers", json.encode, {1, a = 2})
    t.raises("a list has a hole", json.encode, {1, nil, nil, 4})
    t.raises("a key is 1.5", json.encode, {[1.5] = 1})
    local circle = {}
    circle[1] = circle
    t.raises("nested more than 200 deep, or in a circle", json.encode, circle)
    t.raises("indent is 9, expected 0 to 8", json.encode, 1, 9)
    t.raises("argument 1 is missing", json.encode)
end)
