-- Curves and their axes: worked by hand.
local attn, t = require "attn", require "attn.test"
local plot, scales, show = require "attn.show_plot", require "attn.show_scale", require "attn.show"

local function ticks(values, cfg)
    local words = {}
    for i, tick in ipairs(scales.new(values, cfg or {}).ticks) do words[i] = tick[2] end
    return table.concat(words, " ")
end

local function drawn(curves, options)
    local parts = {}
    options.write = function(text) parts[#parts + 1] = text end
    options.color, options.width = options.color or "none", options.width or 24
    show.plot(curves, options)
    return table.concat(parts)
end

t.case("ticks are multiples of 1, 2 or 5, with as many digits as tell them apart", function()
    t.equal(ticks{0, 1}, "0.0 0.2 0.4 0.6 0.8 1.0")
    t.equal(ticks{0, 10}, "0 2 4 6 8 10")
    t.equal(ticks{-1, 1}, "-1.0 -0.5 0.0 0.5 1.0")
    t.equal(ticks{3, 47}, "10 20 30 40")
    t.equal(ticks{0.981, 0.9832}, "0.9810 0.9815 0.9820 0.9825 0.9830")
    t.equal(ticks({0, 100}, {count = 2}), "0 50 100")
    t.equal(ticks{0, 4e9}, "0 1e9 2e9 3e9 4e9")
    t.equal(ticks{0, 2e-7}, "0 5.0e-8 1.0e-7 1.5e-7 2.0e-7")
end)

t.case("a logarithmic axis has powers of ten", function()
    t.equal(ticks({1, 1e6}, {log = true, count = 7}), "1 10 100 1000 10000 100000 1e6")
    t.equal(ticks({0.5, 60}, {log = true}), "0.5 1 2 5 10 20 50")
    t.equal(ticks({1e-4, 1e-2, 0, -1}, {log = true}), "1e-4 2e-4 5e-4 0.001 0.002 0.005 0.01")
    local scale = scales.new({1, 100}, {log = true})
    t.equal(scale.share(10), 0.5)
    t.equal(scale.share(0), nil)
    t.equal(scale.share(-1), nil)
end)

t.case("equal values, one value and none have an axis", function()
    local function ends(values, cfg)
        local scale = scales.new(values, cfg or {})
        return {scale.low, scale.high}
    end
    t.equal(ends{4, 4}, {2, 6})
    t.equal(ends{0}, {-1, 1})
    t.equal(ends{-2}, {-3, -1})
    t.equal(ends({5}, {log = true}), {2.5, 10})
    t.equal(ends{}, {0, 1})
    t.equal(ends{0 / 0, math.huge, -math.huge}, {0, 1})
    t.equal(ends({0, -3}, {log = true}), {1, 10})
    t.equal(ends({1, 2}, {low = 0, high = 10}), {0, 10})
end)

t.case("a line in dots", function()
    local lines = {}
    for line in drawn({0, 1}, {width = 14, height = 2}):gmatch "[^\n]+" do lines[#lines + 1] = line end
    t.equal(#lines, 4)
    t.equal(lines[1]:find "^1.0 ┤" ~= nil and lines[2]:find "^0.0 ┤" ~= nil, true)
    t.equal(utf8.codepoint(lines[2], utf8.offset(lines[2], 6)) & 0x40, 0x40)        -- the first dot: left, lowest
    t.equal(utf8.codepoint(lines[1], utf8.offset(lines[1], -1)) & 0x08, 0x08)       -- the last: right, highest
end)

t.case("several curves without colours have letters, and a legend", function()
    local text = drawn({{name = "a", y = {0, 0}}, {name = "b", y = {1, 1}}}, {width = 16, height = 3})
    t.equal(text, "1.0 ┤ooooooooooo\n0.5 ┤\n0.0 ┤***********\n    └┬────┬────┬\n     1.0 1.5 2.0\n* a  o b\n")
end)

t.case("a gap is a gap and counted", function()
    local text = drawn({{y = {1, 1, 0 / 0, 1, 1}}, {y = {0, 0, 0, 0, 0}}}, {width = 15, height = 2})
    t.equal(text:match "┤(%**) +%**\n" ~= nil, true)
    t.equal(text:find("1 of 10 points cannot be shown", 1, true) ~= nil, true)
    text = drawn({1, 0, -1, 10}, {log = "y"})
    t.equal(text:find("2 of 4 points cannot be shown", 1, true) ~= nil, true)
end)

t.case("one point, equal values and no data are drawn", function()
    t.equal(select(2, drawn({5}, {height = 3}):gsub("[⠁-⣿]", "")) > 0, true)
    t.equal(drawn({2, 2, 2}, {height = 3}):find("2 ┤", 1, true) ~= nil, true)
    t.equal(drawn({}, {height = 3}):find("no data\n", 1, true) ~= nil, true)
    t.equal(drawn({{name = "x", y = {0 / 0}}}, {height = 3}):find("no data, 1 of 1 points cannot be shown\n", 1,
        true) ~= nil, true)
    t.equal(plot.svg({}):find("no data", 1, true) ~= nil, true)
end)

t.case("intervals: bars on points, bands around lines", function()
    local curve = {y = {1, 2}, low = {0, 1.5}, high = {2, 3}}
    local text = drawn({curve, {y = {1, 1}}}, {points = true, height = 4, labels = {"dot", "additive"}, width = 40})
    t.equal(select(2, text:gsub("|", "")) >= 3, true)
    t.equal(text:find("dot", 1, true) ~= nil and text:find("additive", 1, true) ~= nil, true)
    t.equal(plot.svg({curve}):find('fill-opacity=".18"', 1, true) ~= nil, true)
    t.equal(select(2, plot.svg({curve}, {points = true}):gsub("<circle", "")), 2)
end)

t.case("words along x that would meet are slanted, all of them are there", function()
    local y, labels = {}, {}
    for i = 1, 9 do y[i], labels[i] = i, ("quite a long row %d"):format(i) end
    local picture = plot.svg({y = y}, {points = true, labels = labels})
    t.equal(select(2, picture:gsub("quite a long row %d</text>", "")), 9)
    t.equal(select(2, picture:gsub("rotate%(%-27", "")), 9)
    t.equal(plot.svg({y = {1, 2}}, {points = true, labels = {"a", "b"}}):find("rotate(-27", 1, true), nil)
end)

t.case("colours only where there are any", function()
    t.equal(drawn({1, 2}, {}):find("\27", 1, true), nil)
    t.equal(drawn({1, 2}, {color = "truecolor"}):find("\27[38;2;37;99;235m", 1, true) ~= nil, true)
end)

t.case("a long curve makes a small file that keeps its extremes", function()
    local y = {}
    for i = 1, 50000 do y[i] = i == 777 and 9 or 0 end
    local picture = plot.svg{y = y}
    t.equal(#picture < 20000, true)
    -- 9 is the top of the plot
    t.equal(picture:find(" 8L", 1, true) ~= nil or picture:find(" 8 ", 1, true) ~= nil, true)
end)

t.case("words are escaped, and the file is light and dark", function()
    local picture = plot.svg({{name = "<b>", y = {1, 2}}}, {title = "a & b"})
    t.equal(picture:find("<b>", 1, true), nil)
    t.equal(picture:find("a &amp; b", 1, true) ~= nil, true)
    t.equal(picture:find("prefers-color-scheme:dark", 1, true) ~= nil and picture:find("currentColor", 1, true) ~= nil,
        true)
end)

t.case("errors name what came", function()
    t.raises("show.plot: curve 1: x has 1 numbers, y has 2", show.plot, {{y = {1, 2}, x = {1}}})
    t.raises("show.plot: curve 2 is 3, expected {name =, y =, x =, low =, high =}", show.plot, {{y = {1}}, 3})
    t.raises("curve 1: low and high belong together", show.plot, {y = {1}, low = {1}})
    t.raises("curve 1: unknown field 'z'", show.plot, {y = {1}, z = {1}})
    t.raises("curve 1: y is float32 [1, 2], expected [N]", show.plot, {y = attn.ones(1, 2)})
    t.raises("y[2] is a string, expected a number", show.plot, {{y = {1, "2"}}})
    t.raises("show.plot: unknown field 'logy'", show.plot, {1}, {logy = true})
end)
