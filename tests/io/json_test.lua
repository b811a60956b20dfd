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

t.case("U+0000 in a string goes both ways; in a key neither", function()
    for _, text in ipairs{"\0", "a\0b", "\0\0é\0", "x\0"} do t.equal(json.decode(json.encode({text}))[1], text) end
    t.equal(json.encode "a\0", '"a\\u0000"')
    t.raises("a string is not UTF-8 text", json.encode, "a\0\xff")
    t.raises("a string is not UTF-8 text", json.encode, "\xff\0a")
    t.raises("json.encode: a key has a byte 0", json.encode, {["a\0"] = 1})
    t.raises("json.decode: line 1", json.decode, '{"a\\u0000": 1}')
end)

t.case("each allocation may fail: the right value, or out of memory; a lone failure is made good by a collection", function()
    local fail = require "attn.internal".fail_allocation
    local parts = {}
    for i = 1, 60 do
        parts[i] = ('{"key %d": [%d, %d.25, "%s", {"%s": null}], "t": true}'):format(i, i, i, ("é"):rep(7 * i), ("k"):rep(5 * i))
    end
    local text = "[" .. table.concat(parts, ", ") .. ", 1" .. ("0"):rep(17) .. ", 0." .. ("1234567"):rep(60) .. "]"
    local expected = json.encode(json.decode(text), 1)
    for _, forever in ipairs{1, true} do
        local failed = 0
        for n = 1, 200 do
            collectgarbage()
            local before = fail(n, forever)
            local ok, got = pcall(json.decode, text)
            local done = fail(0) - before < n
            if ok then t.equal(json.encode(got, 1), expected) else failed = failed + 1 end
            if not ok then t.is_true(got:find("out of memory (json.decode needs ", 1, true), got) end
            fail(n, forever)
            local written, again = pcall(json.encode, got, 1)
            done = done and fail(0) and written
            if written and ok then t.equal(again, expected) end
            if not written then t.is_true(again:find("json.encode: out of memory", 1, true), again) end
            t.is_true(forever == true or ok and written, "one failure is not the end")
            if done then break end
        end
        t.equal(failed > 0, forever == true)
    end
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
