-- What is drawn, character by character.
local attn, t = require "attn", require "attn.test"
local show = require "attn.show"

local function drawn(weights, options)
    local parts = {}
    options = options or {}
    options.write = function(text) parts[#parts + 1] = text end
    options.color = options.color or "none"
    show.attention(weights, options)
    return table.concat(parts)
end

t.case("an attention map in characters, labels at both sides", function()
    t.equal(drawn({{1, 0}, {0.25, 0.75}}, {rows = {"der", "ä"}, columns = {"a", "it"}}),
        "      i\n    a t\nder @@\n  ä ::##\n")
end)

t.case("a tensor draws as its table; labels default to numbers", function()
    t.equal(drawn(attn.tensor{{1, 0}, {0, 1}}), "  1 2\n1 @@\n2   @@\n")
end)

t.case("colours are reset at the end of a row", function()
    local text = drawn({{1, 0}}, {color = "256"})
    t.equal(select(2, text:gsub("\27%[48;5;%d+m", "")), 2)
    t.equal(text:find("\27[0m\n", 1, true) ~= nil, true)
    t.equal(select(2, drawn({{1, 0}}, {color = "truecolor"}):gsub("\27%[48;2;%d+;%d+;%d+m", "")), 2)
end)

t.case("tokens cannot write to the terminal or into the SVG", function()
    local name = os.tmpname()
    local text = drawn({{1}}, {rows = {"\27[31mx\n"}, columns = {"<b>&\xFF"}, svg = name})
    local file = assert(io.open(name))
    local picture = file:read "a"
    file:close()
    os.remove(name)
    t.equal(text:find("\27", 1, true), nil)
    t.equal(select(2, text:gsub("\n", "")), 6)
    t.equal(picture:find("<b>", 1, true), nil)
    t.equal(picture:find("&lt;b&gt;&amp;?", 1, true) ~= nil, true)
    t.equal(utf8.len(picture) ~= nil, true)
end)

t.case("NaN and numbers outside 0..1 are drawn without harm", function()
    t.equal(drawn({{0 / 0, -1, 4}}, {columns = {"", "", ""}, rows = {"x"}}), "x     @@\n")
end)

t.case("errors name what came", function()
    t.raises("show.attention: weights has 3 dimensions, expected 2", show.attention, attn.zeros(1, 2, 3))
    t.raises("row 2 has 1 weights, the first 2", show.attention, {{1, 2}, {1}})
    t.raises("no tensor", show.attention, {})
    t.raises("/nowhere/x.svg", show.attention, {{1}}, {svg = "/nowhere/x.svg", color = "none", write = function() end})
end)

t.case("a sparkline", function()
    t.equal(show.spark{1, 2, 3, 4, 5, 6, 7, 8}, "▁▂▃▄▅▆▇█")
    t.equal(show.spark{3, 3}, "▁▁")
    t.equal(show.spark({0, 0, 8, 8}, 2), "▁█")
    t.equal(show.spark{1, 0 / 0, 2}, "▁ █")
    t.equal(show.spark{}, "")
end)

t.case("a table, numbers to the right", function()
    local parts = {}
    show.table({"model", "bleu"}, {{"a", 32.123}, {"longer", 7}}, {write = function(x) parts[#parts + 1] = x end})
    t.equal(table.concat(parts), "model    bleu\na       32.12\nlonger      7\n")
end)

t.case("result refuses what a reader could not split", function()
    t.raises("name must be one word", show.result, "two words", 1)
    t.raises("value is a nil", show.result, "x")
end)
