-- show_file: pictures as files: SVG documents that follow light and dark, PNG inside of them, HTML that is safe.
--
-- Words come from data and are not trusted: they are escaped, and control characters left out.
local attn = require "attn"
local points = require "attn.show_points"
local screen = require "attn.show_screen"
local whole = require "attn.whole"

local m = {}

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

---Text for SVG and HTML.
function m.escape(text) return (screen.clean(text):gsub("[&<>\"']", entities)) end

m.letter = 7.6          -- width of a character of 13 pixels, about

---The width of a text of 13 pixels in a picture.
function m.text_width(text) return screen.width(text) * m.letter end

-- Text and lines take the colour of the page a picture stands in; alone, they follow the reader's light or dark.
local STYLE = "<style>.attn{color:#222}@media(prefers-color-scheme:dark){.attn{color:#ddd}}</style>"

---An SVG document. `title` is read out by what reads pictures aloud.
---@param width number
---@param height number
---@param body string[]
---@param title string
---@return string
function m.svg(width, height, body, title)
    width, height = math.ceil(width), math.ceil(height)
    return ('<svg xmlns="http://www.w3.org/2000/svg" class="attn" role="img" width="%d" height="%d" '
        .. 'viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="currentColor">'
        .. '<title>%s</title>%s\n%s\n</svg>\n')
        :format(width, height, width, height, m.escape(title), STYLE, table.concat(body, "\n"))
end

---A line of text in a picture. `more` are further attributes.
function m.label(x, y, text, more)
    return ('<text x="%.4g" y="%.4g"%s>%s</text>'):format(x, y, more and " " .. more or "", m.escape(text))
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local places = {}
for place = 1, 64 do places[alphabet:sub(place, place)] = place - 1 end

---Bytes as base64.
function m.base64(bytes)
    local out = {}
    for i = 1, #bytes, 3 do
        local a, b, c = bytes:byte(i, i + 2)
        local n = a << 16 | (b or 0) << 8 | (c or 0)
        for k = 0, 3 do
            local place = (n >> 18 - 6 * k & 63) + 1
            out[#out + 1] = (k == 2 and not b or k == 3 and not c) and "=" or alphabet:sub(place, place)
        end
    end
    return table.concat(out)
end

---The bytes of base64.
function m.unbase64(text)
    local out, bits, held = {}, 0, 0
    for letter in text:gmatch "[%w+/]" do
        bits, held = bits << 6 | places[letter], held + 6
        if held >= 8 then
            held = held - 8
            out[#out + 1] = string.char(bits >> held & 255)
            bits = bits & (1 << held) - 1
        end
    end
    return table.concat(out)
end

---A picture [C, H, W] as a `data:` address of a PNG.
function m.png(picture)
    local path = os.tmpname()
    local ok, why = pcall(attn.image.save, path, picture)
    local file = ok and io.open(path, "rb")
    local bytes = file and file:read "a"
    if file then file:close() end
    os.remove(path)
    if not bytes then error(why or path .. " cannot be read", 0) end
    return "data:image/png;base64," .. m.base64(bytes)
end

---A picture [C, H, W] in an SVG, its pixels sharp.
function m.image(x, y, width, height, picture)
    return ('<image x="%.6g" y="%.6g" width="%.6g" height="%.6g" preserveAspectRatio="none" '
        .. 'style="image-rendering:pixelated" href="%s"/>')
        :format(x, y, width, height, m.png(picture))
end

---Writes a file, or raises at the caller's caller.
function m.write(where, path, content)
    local ok, why = whole.write(path, content)
    if not ok then error(("%s: %s"):format(where, why), 3) end
end

---The fields that `save` looks at.
m.fields = {{"file", "string"}, {"svg", "string"}, {"png", "string"}}

---Writes a picture to the files that were asked for, or raises at the caller's caller: cfg.file by its ending, and those
---of the fields of `make`.
---@param where string
---@param cfg table
---@param make table<string, fun(): any> svg, and what else there is: html (a page), png (a picture [C, H, W])
function m.save(where, cfg, make)
    make.png = make.png or function() return points.draw(make.svg(), m.unbase64) end
    local wanted, kinds = {}, {}
    for kind in pairs(make) do
        wanted[kind] = cfg[kind]
        kinds[#kinds + 1] = "." .. kind
    end
    table.sort(kinds)
    if cfg.file then
        local kind = cfg.file:match "%.(%a+)$"
        if not make[kind] then
            error(("%s: file is '%s', expected a name that ends in %s"):format(where, cfg.file,
                table.concat(kinds, " or ")), 3)
        end
        wanted[kind] = cfg.file
    end
    for kind, path in pairs(wanted) do
        if kind == "png" then
            local ok, why = pcall(attn.image.save, path, make.png())
            if not ok then error(("%s: %s"):format(where, why), 3) end
        else
            m.write(where, path, make[kind]())
        end
    end
end

return m
