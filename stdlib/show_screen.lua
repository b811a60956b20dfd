-- show_screen: what drawing in a terminal needs: text that is safe, its width, colours, blocks of lines side by side.
--
-- Tokens come from data and are not trusted: control characters never reach the terminal.
local attn = require "attn"

local m = {}

function m.write(text) io.stdout:write(text) end

---Text that is safe to print: valid UTF-8 without control characters.
function m.clean(text)
    text = tostring(text)
    if not utf8.len(text) then text = text:gsub("[\x80-\xFF]", "?") end
    return (text:gsub("\xC2[\x80-\x9F]", "?"):gsub("%c", "?"))
end

-- Columns that a character takes: 0 for combining marks, 2 for East Asian and emoji.
local known_columns = {}
local function columns_of(code)
    local columns = known_columns[code]
    if not columns then
        columns = attn.unicode.width(utf8.char(code))
        known_columns[code] = columns
    end
    return columns
end

---Columns that a text takes.
function m.width(text)
    local width = 0
    for _, code in utf8.codes(text) do width = width + columns_of(code) end
    return width
end

---The text cut to a width, with `…` if something is missing.
function m.cut(text, width)
    if m.width(text) <= width then return text end
    local kept, used = {}, 0
    for _, code in utf8.codes(text) do
        used = used + columns_of(code)
        if used > width - 1 then break end
        kept[#kept + 1] = utf8.char(code)
    end
    return table.concat(kept) .. "…"
end

---Characters of a text, combining marks with the one they belong to.
function m.characters(text)
    local list = {}
    for _, code in utf8.codes(text) do
        local character = utf8.char(code)
        if columns_of(code) == 0 and #list > 0 then
            list[#list] = list[#list] .. character
        else
            list[#list + 1] = character
        end
    end
    return list
end

---The text without what colours it, and without spaces at its end.
function m.bare(line) return (line:gsub("\27%[[%d;]*m", ""):gsub(" +$", "")) end

-- ---- colours ----

---"truecolor", "256" or "none": what was asked for, else what the terminal can.
function m.depth(wanted)
    if wanted then return wanted end
    local off = os.getenv "NO_COLOR"
    if off and off ~= "" or os.getenv "TERM" == "dumb" or not attn.isatty(1) then return "none" end
    local kind = os.getenv "COLORTERM"
    return (kind == "truecolor" or kind == "24bit") and "truecolor" or "256"
end
m.depths = {"truecolor", "256", "none"}

-- dark violet, blue, green, yellow: even steps of lightness, readable without telling red from green
local anchors = {{48, 10, 68}, {58, 82, 139}, {33, 144, 140}, {94, 201, 98}, {253, 231, 37}}

---The colour {r, g, b}, 0 .. 255, of a share of the largest.
function m.colour(share)
    local place = share * (#anchors - 1)
    local i = math.min(#anchors - 1, math.floor(place) + 1)
    local a, b, t = anchors[i], anchors[i + 1], place - (i - 1)
    local rgb = {}
    for c = 1, 3 do rgb[c] = math.floor(a[c] + (b[c] - a[c]) * t + 0.5) end
    return rgb
end

---What switches to a colour: its code for `48;` (behind the text) or `38;` (the text itself). Of 256 colours the
---nearest of the 6 x 6 x 6 cube, of greys the nearest of 24.
function m.ink(rgb, depth, plane)
    if depth == "truecolor" then return ("\27[%d;2;%d;%d;%dm"):format(plane, rgb[1], rgb[2], rgb[3]) end
    local code = 16
    if rgb[1] == rgb[2] and rgb[2] == rgb[3] then
        local step = math.floor((rgb[1] - 8) / 10 + 0.5)
        code = step < 0 and 16 or step > 23 and 231 or 232 + step
    else
        for c, weight in ipairs{36, 6, 1} do code = code + weight * math.floor(rgb[c] / 255 * 5 + 0.5) end
    end
    return ("\27[%d;5;%dm"):format(plane, code)
end

---How bright a colour is, 0 .. 255.
function m.grey(rgb) return 0.299 * rgb[1] + 0.587 * rgb[2] + 0.114 * rgb[3] end

m.reset = "\27[0m"
m.ramp = {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"}

-- ---- blocks ----

---A text widened to `width`, colours not counted.
function m.fill(line, width) return line .. (" "):rep(width - m.width((line:gsub("\27%[[%d;]*m", "")))) end

---Lines of blocks {lines...} side by side, as many as `width` takes, in rows with an empty line between.
---@param blocks string[][]
---@param width integer
---@return string[]
function m.beside(blocks, width)
    local out, row, used = {}, {}, 0
    local function flush()
        local height = 0
        for _, block in ipairs(row) do height = math.max(height, #block.lines) end
        if #out > 0 and height > 0 then out[#out + 1] = "" end
        for i = 1, height do
            local parts = {}
            for k, block in ipairs(row) do parts[k] = m.fill(block.lines[i] or "", block.width) end
            out[#out + 1] = (table.concat(parts, "  "):gsub(" +$", ""))
        end
        row, used = {}, 0
    end
    for _, lines in ipairs(blocks) do
        local wide = 0
        for _, line in ipairs(lines) do wide = math.max(wide, m.width((line:gsub("\27%[[%d;]*m", "")))) end
        if #row > 0 and used + 2 + wide > width then flush() end
        used = used + (#row > 0 and 2 or 0) + wide
        row[#row + 1] = {lines = lines, width = wide}
    end
    flush()
    return out
end

---A number in a legend.
function m.number(value)
    if math.type(value) == "integer" then return tostring(value) end
    if value ~= value then return "nan" end
    if math.abs(value) == math.huge then return tostring(value) end
    if math.abs(value) >= 1000 and math.abs(value) < 1e6 then return ("%.0f"):format(value) end
    return ("%.4g"):format(value)
end

return m
