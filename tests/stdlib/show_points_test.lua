-- Pictures as PNG: what stands where, point by point.
local attn, t = require "attn", require "attn.test"
local show, file, font, points = require "attn.show", require "attn.show_file", require "attn.show_font", require "attn.show_points"

local function draw(width, height, body) return points.draw(file.svg(width, height, body, "x"), file.unbase64) end

-- A channel of a picture as lines of digits, 0 black to 9 white.
local function digits(x, channel)
    local lines = {}
    for i, row in ipairs(x[channel or 1]:totable()) do
        for j, value in ipairs(row) do row[j] = math.floor(value * 9 + 0.5) end
        lines[i] = table.concat(row)
    end
    return table.concat(lines, "\n")
end

t.case("rectangles cover parts of points; two points a pixel", function()
    t.equal(digits(draw(3, 2, {'<path d="M0.5 0h1.25v1h-1.25z" fill="#000"/>'})), "900599\n900599\n999999\n999999")
    t.equal(digits(draw(2, 1, {'<path d="M0 0h2v2h-2z" fill="#f00" fill-opacity=".5"/>'}), 2), "5555\n5555")
    t.equal(digits(draw(2, 1, {'<path d="M0 0h2v2h-2z" fill="#f00" fill-opacity=".5"/>'}), 1), "9999\n9999")
    t.equal(digits(draw(1, 1, {'<rect x="0" y="0" width="1" height=".5" fill="#000"/>'})), "00\n99")
end)

t.case("polygons, lines and circles cover what their formula says", function()
    local half = draw(8, 8, {'<path d="M0 0L8 0L0 8z" fill="#000"/>'})
    t.near(1 - half[1]:mean():item(), 0.5, 1e-3)
    t.near(half[1][1][1]:item(), 0)
    t.near(half[1][16][16]:item(), 1)
    local circle = draw(20, 20, {'<circle cx="10" cy="10" r="8" fill="#000"/>'})
    t.near((1 - circle[1]):sum():item() / 4, math.pi * 64, 0.01)
    local line = draw(20, 20, {'<path d="M2 2L18 14" fill="none" stroke="#000" stroke-width="2"/>'})
    t.near((1 - line[1]):sum():item() / 4, 2 * 20 + math.pi, 0.05)
    t.equal(digits(draw(3, 1, {'<path d="M0 .5h2" fill="none" stroke="#000"/>'})), "000099\n000099")
end)

t.case("a picture inside stands where it should, its opacity kept; what lies beyond a frame is cut", function()
    local x = attn.tensor{{{0, 1}}, {{0, 1}}, {{0, 1}}, {{1, 0.5}}}
    t.equal(digits(draw(4, 1, {file.image(1, 0, 2, 1, x)})), "99009999\n99009999")
    t.equal(digits(draw(3, 1, {'<svg x="1" y="0" width="1" height="1" viewBox="1 0 1 1">', '<path d="M0 0h3v1h-3z" fill="#000"/>',
        "</svg>", '<path d="M2.5 0h.5v1h-.5z" fill="#000"/>'})), "990090\n990090")
end)

t.case("words stand on their line, at its start, middle or end, also upright", function()
    local small = draw(8, 8, {'<text x="1" y="7" font-size="6">L</text>'})
    t.equal(digits(small), ("9999999999999999\n"):rep(7) .. ("9919999999999999\n"):rep(6) .. "9911111999999999\n"
        .. "9999999999999999\n9999999999999999")
    local function shifted(more) return draw(8, 8, {('<text x="4" y="7" font-size="6"%s>L</text>'):format(more)}) end
    t.equal(attn.all(shifted(' text-anchor="end"'):narrow(3, 4, 5):eq(small:narrow(3, 3, 5))):item(), true)
    local upright = draw(8, 8, {'<text x="4" y="7" font-size="6" transform="rotate(-90 4 7)">L</text>'})
    t.equal(digits(upright):sub(9 * 17 + 1, 14 * 17 - 1), ("9999999199999999\n"):rep(4) .. "9111111199999999")
end)

t.case("letters: all of ASCII are told apart, marks stand above, others are a box", function()
    local seen = {}
    for code = 0x20, 0x7E do
        local rows = table.concat(font.letters(string.char(code))[1], "\n")
        t.equal(#rows, 59)
        t.equal(seen[rows], nil)
        seen[rows] = code
    end
    t.equal(table.concat(font.letters "ö"[1], "\n", 3), ".....\n.#.#.\n.###.\n#...#\n#...#\n#...#\n.###.\n.....")
    t.equal(table.concat(font.letters "Ö"[1], "\n", 1, 3), ".....\n.#.#.\n.###.")
    t.equal(font.letters "日"[1], font.letters "本"[1])
    t.equal(#font.letters "…ß", 2)
end)

t.case("every picture goes to a PNG, by the ending of its name", function()
    local path = os.tmpname()
    local function saved(draw_it, ...)
        local args = table.pack(...)
        args[#args + 1] = {file = path .. ".png", write = function() end}
        draw_it(table.unpack(args))
        local x = attn.image.load(path .. ".png")
        os.remove(path .. ".png")
        return x
    end
    local x = saved(show.attention, {{1, 0}, {0, 1}})
    t.equal(x.shape[1], 3)
    t.near(x[3]:min():item(), 34 / 255, 0.01)                                -- ink
    t.is_true(x[1]:eq(37 / 255):sum():item() >= 2 * 40 * 40)                  -- two cells of 22 pixels are wholly blue
    t.equal(saved(show.plot, {1, 3, 2}).shape, {3, 540, 1040})
    t.equal(saved(show.text, "a bad film", {0, 1, 0.5}).shape[3], 1440)
    t.equal(saved(show.image, attn.ones(3, 2)).shape, {3, 3, 2})
    t.raises("show.plot: file is 'x.pdf', expected a name that ends in .png or .svg", show.plot, {1, 2},
        {file = "x.pdf", write = function() end})
    t.raises("show.text: file is 'x', expected a name that ends in .html or .png or .svg", show.text, "a", {1},
        {file = "x", write = function() end})
    os.remove(path)
end)

t.case("base64 and back", function()
    for _, bytes in ipairs{"", "f", "fo", "foo", "\0\255\128\n"} do t.equal(file.unbase64(file.base64(bytes)), bytes) end
end)
