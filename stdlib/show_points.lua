-- show_points: what show_file writes as SVG, as points of a picture: its paths, rectangles, circles, pictures and words.
--
-- Each shape is a table of how much it covers of each point, and a colour that is laid over the picture by it. It reads
-- the SVG of this library and no other.
local attn = require "attn"
local font = require "attn.show_font"

local INK = {34, 34, 34}
local POINTS = 4000000          -- a picture of more has one point a pixel, others two along each side

local floor, max, min = math.floor, math.max, math.min
local function round(x) return floor(x + 0.5) end

local entities = {amp = "&", lt = "<", gt = ">", quot = '"', ["#39"] = "'"}

local function attributes(text)
    local out = {}
    for name, value in text:gmatch '([%w%-:]+)="([^"]*)"' do out[name] = value end
    return out
end

-- The colour and opacity of "fill" or "stroke"; nil if there is none.
local function paint_of(a, name, default)
    local value = a.style and a.style:match(name .. ":(#%x+)") or a[name] or default
    if not value or value == "none" then return nil end
    local rgb = INK
    local digits = value:match "^#(%x+)$"
    if digits then
        if #digits == 3 then digits = digits:gsub("%x", "%0%0") end
        rgb = {tonumber(digits:sub(1, 2), 16), tonumber(digits:sub(3, 4), 16), tonumber(digits:sub(5, 6), 16)}
    end
    return {rgb = attn.tensor(rgb):reshape(3, 1, 1) / 255, opacity = tonumber(a[name .. "-opacity"] or 1)}
end

-- Lays a colour over the points from (x, y) on, by cover [h, w].
local function lay(p, x, y, cover, paint)
    local left, top = max(x, p.clip[1]), max(y, p.clip[2])
    local wide = min(x + cover:size(2), p.clip[3]) - left
    local high = min(y + cover:size(1), p.clip[4]) - top
    if wide <= 0 or high <= 0 then return end
    cover = cover:narrow(1, top - y + 1, high):narrow(2, left - x + 1, wide) * paint.opacity
    local part = p.points:narrow(2, top + 1, high):narrow(3, left + 1, wide)
    part:copy_(part + (paint.rgb - part) * cover)
end

-- The shape that covers by(x, y) of the point around (x, y), within the bounds.
local function shape(p, x1, y1, x2, y2, paint, by)
    x1, y1 = max(floor(x1), p.clip[1]), max(floor(y1), p.clip[2])
    x2, y2 = min(math.ceil(x2), p.clip[3]), min(math.ceil(y2), p.clip[4])
    if x1 >= x2 or y1 >= y2 then return end
    local cover = {}
    for y = y1, y2 - 1 do
        for x = x1, x2 - 1 do cover[#cover + 1] = max(0.0, min(1.0, by(x + 0.5, y + 0.5))) end
    end
    lay(p, x1, y1, attn.tensor(cover):reshape(y2 - y1, x2 - x1), paint)
end

local function box(p, x1, y1, x2, y2, paint)
    local function along(from, to)
        local list = {}
        for k = floor(from), math.ceil(to) - 1 do list[#list + 1] = min(to, k + 1) - max(from, k) end
        return attn.tensor(list)
    end
    if x2 > x1 and y2 > y1 then
        lay(p, floor(x1), floor(y1), along(y1, y2):unsqueeze(2) * along(x1, x2):unsqueeze(1), paint)
    end
end

local function segment(p, a, b, width, paint, closed)
    local reach = width / 2 + 1
    local dx, dy = b[1] - a[1], b[2] - a[2]
    local square = dx * dx + dy * dy
    if dx == 0 or dy == 0 then          -- sharp
        local half = width / 2
        local u, v = (dx == 0 or closed) and half or 0, (dy == 0 or closed) and half or 0
        return box(p, min(a[1], b[1]) - u, min(a[2], b[2]) - v, max(a[1], b[1]) + u, max(a[2], b[2]) + v, paint)
    end
    shape(p, min(a[1], b[1]) - reach, min(a[2], b[2]) - reach, max(a[1], b[1]) + reach, max(a[2], b[2]) + reach, paint,
        function(x, y)
            local t = max(0, min(1, ((x - a[1]) * dx + (y - a[2]) * dy) / square))
            local u, v = x - a[1] - t * dx, y - a[2] - t * dy
            return width / 2 + 0.5 - math.sqrt(u * u + v * v)
        end)
end

-- Where a horizontal line crosses a polygon, in order.
local function crossings(line, y)
    local out = {}
    for k, a in ipairs(line) do
        local b = line[k % #line + 1]
        if (a[2] <= y) ~= (b[2] <= y) then out[#out + 1] = a[1] + (y - a[2]) / (b[2] - a[2]) * (b[1] - a[1]) end
    end
    table.sort(out)
    return out
end

local function polygon(p, line, paint)
    if #line == 4 and line[1][2] == line[2][2] and line[2][1] == line[3][1] and line[3][2] == line[4][2]
        and line[4][1] == line[1][1] then
        return box(p, min(line[1][1], line[3][1]), min(line[1][2], line[3][2]), max(line[1][1], line[3][1]),
            max(line[1][2], line[3][2]), paint)
    end
    local x1, y1, x2, y2 = math.huge, math.huge, -math.huge, -math.huge
    for _, a in ipairs(line) do x1, y1, x2, y2 = min(x1, a[1]), min(y1, a[2]), max(x2, a[1]), max(y2, a[2]) end
    local rows, at = {}, nil            -- four lines through each row of points
    shape(p, x1, y1, x2, y2, paint, function(x, y)
        if y ~= at then
            at = y
            for k = 1, 4 do rows[k] = crossings(line, y - 0.625 + k / 4) end
        end
        local sum = 0
        for k = 1, 4 do
            for i = 1, #rows[k] - 1, 2 do
                sum = sum + max(0, min(rows[k][i + 1], x + 0.5) - max(rows[k][i], x - 0.5))
            end
        end
        return sum / 4
    end)
end

-- A path of M, L, h, v, H, V and z as lines of points, in points of the picture.
local function lines_of(d, scale)
    local lines, line, x, y = {}, nil, 0, 0
    for letter, text in d:gmatch "([MLhvHVz])([^MLhvHVz]*)" do
        local n = {}
        for word in text:gmatch "[^%s,]+" do n[#n + 1] = tonumber(word) * scale end
        if letter == "M" or letter == "L" then
            x, y = n[1], n[2]
        elseif letter == "h" then
            x = x + n[1]
        elseif letter == "v" then
            y = y + n[1]
        elseif letter == "H" then
            x = n[1]
        elseif letter == "V" then
            y = n[1]
        end
        if letter == "M" then
            line = {}
            lines[#lines + 1] = line
        end
        if letter == "z" then line.closed = true else line[#line + 1] = {x, y} end
    end
    return lines
end

local function path(p, lines, a, default)
    local fill, stroke = paint_of(a, "fill", default), paint_of(a, "stroke")
    local width = tonumber(a["stroke-width"] or 1) * p.scale
    for _, line in ipairs(lines) do
        if fill and #line > 2 then polygon(p, line, fill) end
        for k = 1, stroke and (line.closed and #line or #line - 1) or 0 do
            segment(p, line[k], line[k % #line + 1], width, stroke, line.closed)
        end
    end
end

local function words(p, a, text)
    text = text:gsub("&([#%w]+);", entities)
    local size = tonumber(a["font-size"] or 13) * p.scale
    local dot = max(1, round(size / 12))
    local letters = font.letters(text)
    local wide = (#letters * font.wide - 1) * dot
    local shift = a["text-anchor"] == "middle" and wide // 2 or a["text-anchor"] == "end" and wide or 0
    local ox, oy = round(a.x * p.scale), round(a.y * p.scale)
    local angle = math.rad(tonumber((a.transform or ""):match "rotate%((%S+)" or 0))
    local cos, sin = math.cos(angle), math.sin(angle)
    if math.abs(cos) < 1e-9 then cos = 0 end
    local straight = cos * sin == 0
    local x1, y1, x2, y2 = math.huge, math.huge, -math.huge, -math.huge
    for _, u in ipairs{-shift, wide - shift} do
        for _, v in ipairs{-font.above * dot, font.below * dot} do
            local x, y = ox + u * cos - v * sin, oy + u * sin + v * cos
            x1, y1, x2, y2 = min(x1, x), min(y1, y), max(x2, x), max(y2, y)
        end
    end
    local function dark(x, y)
        x, y = x - ox, y - oy
        local u, v = (x * cos + y * sin + shift) // dot, (y * cos - x * sin) // dot + font.above
        local letter = letters[u // font.wide + 1]
        local row = letter and letter[v + 1]
        local column = u % font.wide + 1
        return row and row:sub(column, column) == "#" and 1 or 0
    end
    shape(p, x1, y1, x2, y2, paint_of(a, "fill", "currentColor"), straight and dark or function(x, y)
        return (dark(x - 0.25, y - 0.25) + dark(x + 0.25, y - 0.25) + dark(x - 0.25, y + 0.25) + dark(x + 0.25, y + 0.25)) / 4
    end)
end

local function picture(p, a)
    local name = os.tmpname()
    local out <close> = assert(io.open(name, "wb"))
    out:write((p.decode(a.href:match "^data:image/png;base64,(.*)")))
    out:close()
    local x = attn.image.load(name)
    os.remove(name)
    local left, top = round(a.x * p.scale), round(a.y * p.scale)
    local right, bottom = round((a.x + a.width) * p.scale), round((a.y + a.height) * p.scale)
    x = attn.interpolate(x:unsqueeze(1), {bottom - top, right - left}, {mode = "nearest"}):squeeze(1)
    local channels = x:size(1)
    local cover = channels % 2 == 0 and x[channels] or attn.ones(bottom - top, right - left)
    lay(p, left, top, cover, {rgb = x:narrow(1, 1, channels > 2 and 3 or 1), opacity = 1})
end

local draw = {
    path = function(p, a) path(p, lines_of(a.d, p.scale), a, "currentColor") end,
    polyline = function(p, a)
        local line = {}
        for x, y in a.points:gmatch "([^%s,]+),([^%s,]+)" do line[#line + 1] = {x * p.scale, y * p.scale} end
        path(p, {line}, a)
    end,
    rect = function(p, a)
        local d = ("M%s %sh%sv%sh-%sz"):format(a.x, a.y, a.width, a.height, a.width)
        path(p, lines_of(d, p.scale), a, "currentColor")
    end,
    circle = function(p, a)
        local x, y, r = a.cx * p.scale, a.cy * p.scale, a.r * p.scale
        shape(p, x - r - 1, y - r - 1, x + r + 1, y + r + 1, paint_of(a, "fill", "currentColor"), function(u, v)
            return r + 0.5 - math.sqrt((u - x) ^ 2 + (v - y) ^ 2)
        end)
    end,
    image = picture, text = words,
}

local m = {}

---The points of a picture, [3, H, W], dark on white.
---@param svg string of show_file.svg
---@param decode fun(base64: string): string
function m.draw(svg, decode)
    local root = attributes(svg:match "^<svg([^>]*)>")
    local wide, high = tonumber(root.width), tonumber(root.height)
    local scale = 4 * wide * high > POINTS and 1 or 2
    local all = {0, 0, wide * scale, high * scale}
    local p = {scale = scale, clip = all, decode = decode, points = attn.ones(3, high * scale, wide * scale)}
    attn.no_grad(function()
        for close, name, rest, text in svg:sub(svg:find ">" + 1):gmatch "<(/?)(%a+)([^>]*)>([^<]*)" do
            local a = attributes(rest)
            if close == "" and draw[name] then
                draw[name](p, a, text)
            elseif name == "svg" then           -- one inside: what lies beyond it is cut
                p.clip = close ~= "" and all or {round(a.x * scale), round(a.y * scale), round((a.x + a.width) * scale),
                    round((a.y + a.height) * scale)}
            end
        end
    end)
    return p.points
end

return m
