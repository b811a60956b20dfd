-- What is drawn, character by character.
local attn, t = require "attn", require "attn.test"
local show = require "attn.show"

-- What one of show's functions writes to the terminal.
local function said(draw, options, ...)
    local parts = {}
    options.write = function(text) parts[#parts + 1] = text end
    options.color, options.width = options.color or "none", options.width or 80
    local args = table.pack(...)
    args[args.n + 1] = options
    draw(table.unpack(args, 1, args.n + 1))
    return table.concat(parts)
end

local function drawn(weights, options) return said(show.attention, options or {}, weights) end

local function file_of(draw, kind, ...)
    local name = os.tmpname()
    said(draw, {[kind] = name}, ...)
    local file <close> = assert(io.open(name, "rb"))
    local content = file:read "a"
    os.remove(name)
    return content
end

t.case("an attention map in characters, labels at both sides, the largest weight below", function()
    t.equal(drawn({{1, 0}, {0.25, 0.75}}, {rows = {"der", "ä"}, columns = {"a", "it"}}),
        "      i\n    a t\nder @@\n  ä ::##\nmax 1\n")
end)

t.case("a tensor draws as its table; labels default to numbers", function()
    t.equal(drawn(attn.tensor{{1, 0}, {0, 1}}), "  1 2\n1 @@\n2   @@\nmax 1\n")
end)

t.case("the scale is that of the weights; max fixes it", function()
    t.equal(drawn({{0.02, 0.01}}), "  1 2\n1 @@++\nmax 0.02\n")
    t.equal(drawn({{0.02, 0.01}}, {max = 1}), "  1 2\n1 ....\nmax 1\n")
    t.equal(drawn({{2, 1}}, {max = 1}), "  1 2\n1 @@@@\nmax 1, the largest is 2\n")
end)

t.case("a small weight is not nothing, and masked keys are neither", function()
    t.equal(drawn({{1e-9, 0, 1}}), "  1 2 3\n1 ..  @@\nmax 1\n")
    local mask = attn.tensor({{true, true, false}}, {dtype = "bool"})
    t.equal(drawn({{1e-9, 0, 1}}, {mask = mask}), "  1 2 3\n1 @@  //\nmax 1e-09, masked keys hatched\n")
    t.raises("mask does not broadcast to the weights", drawn, {{1, 2}}, {mask = mask})
    t.raises("mask is float32 [2], expected bool", drawn, {{1, 2}}, {mask = attn.ones(2)})
end)

t.case("heads and layers are numbered and share one scale", function()
    local weights = attn.zeros(2, 2, 1, 2)
    weights[1][2][1][1] = 0.5
    weights[2][1][1][2] = 0.25
    t.equal(drawn(weights[1]), "head 1  head 2\n  1 2     1 2\n1       1 @@\nmax 0.5\n")
    local lines = drawn(weights)
    t.equal(lines:find("layer 2, head 1  layer 2, head 2\n  1 2              1 2\n1   ++           1\nmax 0.5\n", 1,
        true) ~= nil, true)
end)

t.case("long sides are pooled to their largest, with a note", function()
    local weights = attn.zeros(3, 40)
    weights[2][7] = 1
    local labels = {}
    for j = 1, 40 do labels[j] = ("c%d"):format(j) end
    local text = drawn(weights, {width = 12, columns = labels})
    t.equal(text:find("max 1, the largest of each 1 x 4 of 3 x 40", 1, true) ~= nil, true)
    t.equal(text:find("\n2  @\n", 1, true) ~= nil, true)
    for line in text:gmatch "[^\n]+" do t.equal(line:find "^max" ~= nil or utf8.len(line) <= 12, true) end
end)

t.case("colours are reset behind every cell; nothing has none", function()
    local text = drawn({{1, 0, 0.5}}, {color = "256"})
    t.equal(select(2, text:gsub("\27%[48;5;%d+m", "")), 2)
    t.equal(text:find("\27[0m\n", 1, true) ~= nil, true)
    t.equal(select(2, drawn({{1, 0.5}}, {color = "truecolor"}):gsub("\27%[48;2;%d+;%d+;%d+m", "")), 2)
end)

t.case("tokens cannot write to the terminal or into the SVG", function()
    local rows, columns = {"\27[31mx\n"}, {"<b>&\xFF"}
    local text, name = drawn({{1}}, {rows = rows, columns = columns}), os.tmpname()
    drawn({{1}}, {rows = rows, columns = columns, svg = name})
    local file = assert(io.open(name))
    local picture = file:read "a"
    file:close()
    os.remove(name)
    t.equal(text:find("\27", 1, true), nil)
    t.equal(select(2, text:gsub("\n", "")), 7)
    t.equal(picture:find("<b>", 1, true), nil)
    t.equal(picture:find("&lt;b&gt;&amp;?", 1, true) ~= nil, true)
    t.equal(utf8.len(picture) ~= nil, true)
end)

t.case("NaN is not a small weight, and numbers outside 0..1 are drawn without harm", function()
    t.equal(drawn({{0 / 0, -1, 4}}, {columns = {"", "", ""}, rows = {"x"}}),
        "x ??  @@\nmax 4, min -1, 1 NaN or infinite, shown as ?\n")
    t.equal(drawn({{0, 0}}), "  1 2\n1\nmax 0\n")
end)

t.case("the SVG of 64 x 64 weights is small, and so is one of 4 layers of 8 heads", function()
    attn.seed(1)
    local picture = file_of(show.attention, "svg", attn.randn(64, 64):softmax(-1))
    t.equal(#picture < 60000, true)
    t.equal(select(2, picture:gsub("<image", "")), 1)
    picture = file_of(show.attention, "svg", attn.randn(4, 8, 64, 64):softmax(-1))
    t.equal(select(2, picture:gsub("<image", "")), 32)
    t.equal(#picture < 1000000, true)
end)

t.case("errors name what came", function()
    t.raises("show.attention: weights has 5 dimensions, expected [Tq, Tk], [H, Tq, Tk] or [L, H, Tq, Tk]",
        show.attention, attn.zeros(1, 1, 1, 2, 3))
    t.raises("there are no weights (weights: float32 [0, 3])", show.attention, attn.zeros(0, 3))
    t.raises("row 2 has 1 weights, the first 2", show.attention, {{1, 2}, {1}})
    t.raises("no tensor", show.attention, {})
    t.raises("rows has 2 labels, the weights have 1 rows", show.attention, {{1}}, {rows = {"a", "b"}})
    t.raises("/nowhere/x.svg", show.attention, {{1}}, {svg = "/nowhere/x.svg", color = "none", write = function() end})
end)

t.case("a text with its weights below, wrapped", function()
    t.equal(said(show.text, {}, {"a", "bad", "film"}, {0, 0.8, 0.4}), "a bad film\n  ███ ▄▄▄▄\nmax 0.8\n")
    t.equal(said(show.text, {width = 6}, "a bad film", attn.tensor{0, 0.8, 1e-6}),
        "a bad\n  ███\nfilm\n▁▁▁▁\nmax 0.8\n")
    t.equal(said(show.text, {max = 1}, "a b", {{0, 1}, {1, 0}}), "1 a b\n    █\n2 a b\n  █\nmax 1\n")
end)

t.case("a text in colours: one for each token that has weight", function()
    local text = said(show.text, {color = "truecolor"}, "a bad film", {0, 1, 0.5})
    t.equal(text, "a \27[48;2;253;231;37m\27[38;2;0;0;0mbad\27[0m \27[48;2;33;144;140m\27[38;2;255;255;255mfilm\27[0m\nmax 1\n")
end)

t.case("a text in HTML and SVG has no markup of its tokens", function()
    for _, kind in ipairs{"html", "svg"} do
        local content = file_of(show.text, kind, {"<script>", "\27[1m"}, {1, 0})
        t.equal(content:find("<script>", 1, true), nil)
        t.equal(content:find("&lt;script&gt;", 1, true) ~= nil, true)
        t.equal(content:find("\27", 1, true), nil)
    end
end)

t.case("errors of a text", function()
    t.raises("show.text: 2 weights for 3 tokens", show.text, "a b c", {1, 2})
    t.raises("show.text: tokens is 3, expected a list of strings", show.text, 3, {1})
    t.raises("show.text: weight 1 is a string, expected a number", show.text, "a", {"1"})
end)

t.case("a picture: two pixels a character", function()
    t.equal(said(show.image, {}, attn.tensor{{1, 0}, {1, 0}, {0, 0.55}}), "@\n +\n")
    t.equal(said(show.image, {color = "truecolor"}, attn.tensor{{{1, 1}, {0, 0}}, {{0, 0}, {1, 1}}, {{0, 0}, {0, 0}}}),
        "\27[38;2;255;0;0m\27[48;2;0;255;0m▀▀\27[0m\n")
    t.equal(said(show.image, {}, attn.tensor({{255, 0}}, {dtype = "uint8"})), "@\n")
end)

t.case("without true colour a grey picture has greys", function()
    local text = said(show.image, {color = "256"}, attn.tensor{{1, 0.5}, {0, 0.5}})
    t.equal(text, "\27[38;5;231m\27[48;5;16m▀\27[38;5;244m\27[48;5;244m▀\27[0m\n")
end)

t.case("numbers beyond 0..1 are shown from the least to the largest, and this is said", function()
    t.equal(said(show.image, {}, attn.tensor{{-2, 2}}), " @\nfrom -2 to 2\n")
    t.equal(said(show.image, {min = 0, max = 4}, attn.tensor{{0 / 0, 4}}), " @\nfrom 0 to 4\n")
end)

t.case("a grid of pictures with titles, and a picture too wide", function()
    t.equal(said(show.image, {titles = {"a", "b"}}, attn.ones(2, 1, 2, 2)), "a   b\n@@  @@\n")
    t.equal(said(show.image, {width = 3}, {attn.ones(2, 2), attn.ones(2, 2)}), "@@\n\n@@\n")
    t.equal(said(show.image, {width = 2}, attn.tensor{{1, 1, 0, 0}, {1, 1, 0, 0}}), "@\n")
end)

t.case("places of a path stand where glimpse looks", function()
    t.equal(said(show.image, {path = {{-1, -1}, {0.9, 0.9}}}, attn.zeros(4, 4)), "1\n   2\n")
    t.equal(said(show.image, {path = {{0, 0}}, color = "truecolor"}, attn.ones(1, 1)),
        "\27[38;2;0;0;0m\27[48;2;245;158;11m1\27[0m\n")                   -- black on orange, on white too
    local content = file_of(function(x, options)
        options.path, options.size = attn.tensor{{0, 0}}, 2
        show.image(x, options)
    end, "svg", attn.zeros(4, 4))
    t.equal(content:find('<circle cx="164" cy="164"', 1, true) ~= nil, true)
    t.equal(content:find('width="160" height="160" fill="none"', 1, true) ~= nil, true)
    t.raises("show.image: path is float32 [1, 3], expected places [N, 2]", show.image, attn.zeros(2, 2),
        {path = {{1, 2, 3}}})
end)

t.case("an attention map laid over a picture: bright where it looks", function()
    local picture = attn.full({1, 4, 4}, 0.5)
    local rows = said(show.overlay, {}, picture, attn.tensor{{1, 0}, {0, 0}})
    t.equal(rows:find "max 1\n" ~= nil, true)
    local seen, other = rows:byte(1), rows:byte(4)
    local ramp = " .:-=+*#%@"
    t.equal(ramp:find(string.char(seen), 1, true) > ramp:find(string.char(other), 1, true), true)
    t.equal(said(show.overlay, {}, picture, attn.tensor{1, 0, 0, 0}), rows)         -- a square grid
    t.equal(select(2, said(show.overlay, {titles = {"a", "dog"}}, picture, attn.rand(2, 2, 2)):gsub("dog", "")), 1)
    t.raises("show.overlay: 3 weights are no square grid", show.overlay, picture, attn.ones(3))
    t.raises("show.overlay: 2 maps of weights for 3 pictures", show.overlay, attn.ones(3, 1, 2, 2), attn.ones(2, 2, 2))
    t.raises("show.overlay: weights is nil", show.overlay, picture)
end)

t.case("across: so many in a row, in the terminal too, shrunk until they fit", function()
    t.equal(said(show.image, {across = 2, width = 40}, attn.ones(3, 1, 2, 2)), "@@  @@\n\n@@\n")
    t.equal(said(show.image, {across = 2, width = 6}, attn.ones(2, 1, 4, 4)), "@@  @@\n")
    t.equal(said(show.image, {width = 6}, attn.ones(2, 1, 2, 4)), "@@@@\n\n@@@@\n")
    t.equal(said(show.image, {}, attn.full({1, 2, 1}, 1 + 1e-7)), "@\n")             -- rounding is no range of numbers
end)

t.case("SVG: a title wider than its picture widens the columns", function()
    local title = ("w"):rep(60)
    local content = file_of(function(x, options)
        options.titles, options.across = {title, "b"}, 2
        show.image(x, options)
    end, "svg", attn.ones(2, 1, 4, 4))
    local x = tonumber(content:match '<text x="([%d.]+)"[^>]*>b<')
    local width = tonumber(content:match '<svg[^>]* width="([%d.]+)"')
    t.is_true(x > 60 * 11 / 2 and width > 2 * 60 * 11 / 2, content:sub(1, 300))
end)

t.case("PNG files with a path or weights are as large as SVG ones, places in orange, squares around them", function()
    local name = os.tmpname()
    said(show.image, {png = name, path = attn.tensor{{0, 0}, {0.5, 0}}, size = 2}, attn.zeros(1, 8, 8))
    local x = attn.image.load(name)
    t.equal(x.shape, {3, 320, 320})
    local function orange(row, column) return (x[{{}, row, column}] * 255):round():totable()[1] == 245 end
    t.equal({orange(160, 160), orange(160, 200), orange(160, 240), orange(160, 260), orange(130, 200)}, {true, true, true, false, false})
    t.equal({orange(121, 150), orange(201, 150), orange(121, 118), orange(150, 121), orange(150, 119)}, {true, true, false, true, false})
    said(show.image, {png = name, scale = 3}, attn.tensor{{1, 0}})
    t.equal(attn.image.load(name)[1]:totable(), {{1, 1, 1, 0, 0, 0}, {1, 1, 1, 0, 0, 0}, {1, 1, 1, 0, 0, 0}})
    said(show.image, {png = name, path = {{-2, 0}, {7, 7}}, size = 3}, attn.zeros(1, 3, 2))         -- what lies outside is left out
    said(show.overlay, {png = name}, attn.zeros(1, 4, 4), attn.ones(2, 2))
    t.equal(attn.image.load(name).shape, {3, 320, 320})
    os.remove(name)
end)

t.case("PNG files hold the pictures, side by side", function()
    local name = os.tmpname()
    said(show.image, {png = name}, attn.stack({attn.ones(1, 3, 2), attn.zeros(1, 3, 2)}, 1))
    local x = attn.image.load(name)
    os.remove(name)
    t.equal(x.shape, {3, 3, 6})
    t.equal(x[1][1]:totable(), {1, 1, 1, 1, 0, 0})
    t.raises("show.image: expected pictures [H, W], [1, H, W], [3, H, W] or [4, H, W], got float32 [2, 3, 3]",
        show.image, attn.zeros(2, 3, 3))
end)

t.case("base64", function()
    local file = require "attn.show_file"
    t.equal(file.base64 "", "")
    t.equal(file.base64 "f", "Zg==")
    t.equal(file.base64 "fo", "Zm8=")
    t.equal(file.base64 "foobar", "Zm9vYmFy")
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

t.case("a row with a table that contains itself ends", function()
    local cyclic = {}
    cyclic.a = cyclic
    show.row(cyclic)
end)
