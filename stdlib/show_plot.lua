-- show.plot: curves of several runs in one plot, with bands or bars for their intervals, in the terminal and as SVG.
--
-- In the terminal a character has 2 x 4 dots (Braille); where several curves have no colours to tell them apart, each
-- has a character of its own. NaN, infinities and what a logarithmic axis cannot show are gaps, and are counted below
-- the plot.
local attn = require "attn"
local internal = require "attn.internal"
local fields = require "attn.fields"
local file = require "attn.show_file"
local scales = require "attn.show_scale"
local screen = require "attn.show_screen"

-- Of medium lightness: told apart on light and on dark, also by who sees no red or no green.
local palette = {{37, 99, 235}, {224, 123, 32}, {16, 150, 114}, {168, 85, 247}, {214, 69, 61}, {139, 125, 96},
    {14, 165, 190}, {190, 80, 140}}
local letters = {"*", "o", "+", "x", "#", "@", "%", "="}

local POINTS = 500          -- of a curve in a file; longer ones keep the least and the largest of each stretch

local function bad(message) error("show.plot: " .. message, 0) end

local function numbers(value, what)
    if internal.kind(value) == "tensor" then
        if value:dim() ~= 1 then bad(("%s is %s, expected [N]"):format(what, fields.describe(value))) end
        value = value:detach():to "float64":totable()
    end
    if type(value) ~= "table" then
        bad(("%s is %s, expected a list of numbers"):format(what, fields.describe(value)))
    end
    for i, one in ipairs(value) do
        if type(one) ~= "number" then bad(("%s[%d] is %s, expected a number"):format(what, i, fields.describe(one))) end
    end
    return value
end

local function curve_of(entry, i)
    local c = {name = entry.name ~= nil and screen.clean(entry.name) or nil}
    local what = ("curve %d: "):format(i)
    c.y = numbers(entry.y, what .. "y")
    c.x = entry.x ~= nil and numbers(entry.x, what .. "x") or nil
    for _, name in ipairs{"x", "low", "high"} do
        if entry[name] ~= nil then
            c[name] = numbers(entry[name], what .. name)
            if #c[name] ~= #c.y then bad(("%s%s has %d numbers, y has %d"):format(what, name, #c[name], #c.y)) end
        end
    end
    if (c.low == nil) ~= (c.high == nil) then bad(what .. "low and high belong together") end
    for name in pairs(entry) do
        if not ({name = 1, x = 1, y = 1, low = 1, high = 1})[name] then
            bad(("%sunknown field '%s' (known: name, x, y, low, high)"):format(what, tostring(name)))
        end
    end
    if not c.x then
        c.x = {}
        for k = 1, #c.y do c.x[k] = k end
    end
    return c
end

local function curves_of(curves)
    if internal.kind(curves) == "tensor" then curves = {y = curves} end
    if type(curves) ~= "table" then
        bad(("curves is %s, expected a list of {name =, y =, x =, low =, high =}"):format(fields.describe(curves)))
    end
    if type(curves[1]) == "number" then curves = {y = curves} end
    if curves.y ~= nil then curves = {curves} end
    local out = {}
    for i, entry in ipairs(curves) do
        if type(entry) ~= "table" then
            bad(("curve %d is %s, expected {name =, y =, x =, low =, high =}"):format(i, fields.describe(entry)))
        end
        out[i] = curve_of(entry, i)
    end
    return out
end

local function state_of(curves, cfg)
    local s = {curves = curves_of(curves), cfg = cfg, gaps = 0, points = 0}
    local xs, ys = {}, {}
    local function put(list, value) list[#list + 1] = value end
    for _, c in ipairs(s.curves) do
        for i = 1, #c.y do
            put(xs, c.x[i])
            put(ys, c.y[i])
            if c.low then
                put(ys, c.low[i])
                put(ys, c.high[i])
            end
        end
    end
    local log = cfg.log or ""
    if cfg.labels then              -- words stand within the axis, not at its ends
        put(xs, 0.5)
        put(xs, #cfg.labels + 0.5)
    end
    function s.axes(across, down)
        s.x = scales.new(xs, {log = log:find "x" ~= nil, count = across, low = cfg.xmin, high = cfg.xmax})
        s.y = scales.new(ys, {log = log:find "y" ~= nil, count = down, low = cfg.ymin, high = cfg.ymax})
        if cfg.labels then
            s.x.ticks = {}
            for i, label in ipairs(cfg.labels) do s.x.ticks[i] = {i, screen.cut(screen.clean(label), 24)} end
        end
    end
    s.axes(5, 5)
    for _, c in ipairs(s.curves) do
        for i = 1, #c.y do
            if s.x.share(c.x[i]) and s.y.share(c.y[i]) then s.points = s.points + 1 else s.gaps = s.gaps + 1 end
        end
    end
    local notes = {}
    if s.points == 0 then notes[1] = "no data" end
    if s.gaps > 0 then notes[#notes + 1] = ("%d of %d points cannot be shown"):format(s.gaps, s.gaps + s.points) end
    s.note = #notes > 0 and table.concat(notes, ", ") or nil
    return s
end

-- Stretches of a curve without gaps: lists of {x, y} shares. Long curves keep the extremes of each stretch.
local function stretches(s, c, values)
    local out, open = {}, nil
    for i = 1, #c.y do
        local x, y = s.x.share(c.x[i]), s.y.share(values[i])
        if x and y then
            if not open then
                open = {}
                out[#out + 1] = open
            end
            open[#open + 1] = {x, y}
        else
            open = nil
        end
    end
    return out
end

local function thin(line)
    if #line <= POINTS then return line end
    local out, each = {}, #line / (POINTS // 2)
    for k = 0, POINTS // 2 - 1 do
        local first, last = math.floor(k * each) + 1, math.floor((k + 1) * each)
        local low, high = first, first
        for i = first, math.max(first, last) do
            if line[i][2] < line[low][2] then low = i end
            if line[i][2] > line[high][2] then high = i end
        end
        out[#out + 1] = line[math.min(low, high)]
        if low ~= high then out[#out + 1] = line[math.max(low, high)] end
    end
    return out
end

-- ---- terminal ----

-- A canvas of width x height characters: dots, or one character a place.
local function canvas(width, height, dots)
    local cells = {}
    local wide, high = dots and 2 * width or width, dots and 4 * height or height
    local bits = {{1, 8}, {2, 16}, {4, 32}, {64, 128}}
    local c = {wide = wide, high = high}
    function c.put(x, y, ink, letter)
        if x < 0 or x >= wide or y < 0 or y >= high then return end
        local column, row = dots and x // 2 or x, dots and y // 4 or y
        local place = row * width + column
        local cell = cells[place] or {bits = 0}
        cells[place] = cell
        cell.ink, cell.letter = ink, letter
        if dots then cell.bits = cell.bits | bits[y % 4 + 1][x % 2 + 1] end
    end
    function c.line(row, paint)
        local parts, last = {}, nil
        for column = 0, width - 1 do
            local cell = cells[row * width + column]
            if cell and paint and cell.ink ~= last then
                parts[#parts + 1] = paint(cell.ink)
                last = cell.ink
            end
            parts[#parts + 1] = cell and (dots and utf8.char(0x2800 + cell.bits) or cell.letter) or " "
        end
        return (table.concat(parts):gsub(" +$", "")) .. (last and screen.reset or "")
    end
    return c
end

local function round(value) return math.floor(value + 0.5) end

local function stroke(c, x1, y1, x2, y2, put)
    local steps = math.max(math.abs(x2 - x1), math.abs(y2 - y1))
    for k = 0, steps do
        local t = steps == 0 and 0 or k / steps
        put(c, round(x1 + (x2 - x1) * t), round(y1 + (y2 - y1) * t), k)
    end
end

local function draw_curves(s, c, dots)
    local function at(point) return round(point[1] * (c.wide - 1)), round((1 - point[2]) * (c.high - 1)) end
    for i, curve in ipairs(s.curves) do
        if curve.low and s.cfg.points then
            for k = 1, #curve.y do
                local x, low, high = s.x.share(curve.x[k]), s.y.share(curve.low[k]), s.y.share(curve.high[k])
                if x and low and high then
                    local x1, y1 = at{x, low}
                    local _, y2 = at{x, high}
                    stroke(c, x1, y1, x1, y2, function(_, px, py) c.put(px, py, i, "|") end)
                end
            end
        elseif curve.low then
            for _, edge in ipairs{curve.low, curve.high} do
                for _, line in ipairs(stretches(s, curve, edge)) do
                    for k = 1, #line do
                        local x1, y1 = at(line[math.max(1, k - 1)])
                        local x2, y2 = at(line[k])
                        stroke(c, x1, y1, x2, y2, function(_, px, py) if px % 3 == 0 then c.put(px, py, i, ".") end end)
                    end
                end
            end
        end
    end
    for i, curve in ipairs(s.curves) do             -- over the bands
        local letter = letters[(i - 1) % #letters + 1]
        for _, line in ipairs(stretches(s, curve, curve.y)) do
            for k = 1, #line do
                local x2, y2 = at(line[k])
                local x1, y1 = x2, y2
                if not s.cfg.points then x1, y1 = at(line[math.max(1, k - 1)]) end
                stroke(c, x1, y1, x2, y2, function(_, px, py) c.put(px, py, i, letter) end)
                if dots and (s.cfg.points or #line == 1) then      -- one dot is not seen
                    c.put(x2 ~ 1, y2, i)
                    c.put(x2, y2 ~ 1, i)
                    c.put(x2 ~ 1, y2 ~ 1, i)
                end
            end
        end
    end
end

local function terminal(s, depth, width, height)
    s.axes(math.max(2, width // 16), math.max(2, height // 3))
    local label = 0
    for _, tick in ipairs(s.y.ticks) do label = math.max(label, screen.width(tick[2])) end
    local wide = math.max(10, width - label - 2)
    local dots = depth ~= "none" or #s.curves <= 1
    local c = canvas(wide, height, dots)
    draw_curves(s, c, dots)
    local paint = depth ~= "none" and function(i) return screen.ink(palette[(i - 1) % #palette + 1], depth, 38) end
        or nil
    local lines, at = {}, {}
    if s.cfg.title then lines[1] = screen.cut(screen.clean(s.cfg.title), width) end
    if s.cfg.ylabel then lines[#lines + 1] = screen.cut(screen.clean(s.cfg.ylabel), width) end
    for _, tick in ipairs(s.y.ticks) do
        local row = round((1 - s.y.share(tick[1])) * (height - 1))
        at[row] = at[row] or tick[2]
    end
    for row = 0, height - 1 do
        local word = at[row]
        lines[#lines + 1] = (word and (" "):rep(label - screen.width(word)) .. word .. " ┤" or (" "):rep(label + 1)
            .. "│") .. c.line(row, paint)
    end
    local rule, below = {}, {}
    for column = 0, wide - 1 do rule[column + 1] = "─" end
    local free = 0
    for _, tick in ipairs(s.x.ticks) do
        local share = s.x.share(tick[1])
        if share and share >= 0 and share <= 1 then
            local column = round(share * (wide - 1))
            local text = tick[2]
            local from = math.max(0, math.min(wide - screen.width(text), column - screen.width(text) // 2))
            if from >= free then
                rule[column + 1] = "┬"
                below[#below + 1] = (" "):rep(from - (free > 0 and free - 1 or 0)) .. text
                free = from + screen.width(text) + 1
            end
        end
    end
    lines[#lines + 1] = (" "):rep(label + 1) .. "└" .. table.concat(rule)
    lines[#lines + 1] = (" "):rep(label + 2) .. table.concat(below)
        .. (s.cfg.xlabel and "  " .. screen.clean(s.cfg.xlabel) or "")
    local names = {}
    for i, curve in ipairs(s.curves) do
        if curve.name then
            local mark = dots and "──" or letters[(i - 1) % #letters + 1]
            names[#names + 1] = {(paint and paint(i) .. mark .. screen.reset or mark) .. " "
                .. screen.cut(curve.name, width - 4)}
        end
    end
    for _, line in ipairs(screen.beside(names, width)) do
        if line ~= "" then lines[#lines + 1] = line end
    end
    if s.note then lines[#lines + 1] = s.note end
    return table.concat(lines, "\n") .. "\n"
end

-- ---- SVG ----

local function svg(s, width, height)
    s.axes(math.max(2, width // 90), math.max(2, height // 50))
    local small = 'font-size="11"'
    local letter = file.letter * 11 / 13
    local left, top, bottom = 16, s.cfg.title and 24 or 8, s.cfg.xlabel and 38 or 22
    for _, tick in ipairs(s.y.ticks) do left = math.max(left, screen.width(tick[2]) * letter + 12) end
    if s.cfg.ylabel then left = left + 16 end
    local longest = 0
    for _, tick in ipairs(s.x.ticks) do longest = math.max(longest, screen.width(tick[2]) * letter) end
    local slanted = s.cfg.labels and longest + 8 > (width - left - 12) / #s.x.ticks       -- words that would meet
    if slanted then bottom = bottom + math.ceil(longest * 0.45) end
    height = height + (slanted and math.ceil(longest * 0.45) or 0)
    local wide, high = width - left - 12, height - top - bottom
    local function px(share) return left + share * wide end
    local function py(share) return top + (1 - share) * high end
    local body = {}
    local function add(text, ...) body[#body + 1] = text:format(...) end
    if s.cfg.title then body[1] = file.label(left, 15, s.cfg.title) end
    for _, tick in ipairs(s.y.ticks) do
        local y = py(s.y.share(tick[1]))
        add('<path d="M%.4g %.4gh%.4g" stroke="currentColor" stroke-opacity=".15"/>', left, y, wide)
        body[#body + 1] = file.label(left - 5, y + 4, tick[2], small .. ' text-anchor="end"')
    end
    for _, tick in ipairs(s.x.ticks) do
        local share = s.x.share(tick[1])
        if share and share >= 0 and share <= 1 then
            add('<path d="M%.4g %.4gv4" stroke="currentColor"/>', px(share), top + high)
            local x, y = px(share), top + high + 15
            body[#body + 1] = file.label(x, y, tick[2], slanted
                and ('%s text-anchor="end" transform="rotate(-27 %.4g %.4g)"'):format(small, x, y)
                or small .. ' text-anchor="middle"')
        end
    end
    add('<path d="M%.4g %.4gv%.4gh%.4g" fill="none" stroke="currentColor"/>', left, top, high, wide)
    if s.cfg.xlabel then
        body[#body + 1] = file.label(left + wide / 2, height - 7, s.cfg.xlabel, small .. ' text-anchor="middle"')
    end
    if s.cfg.ylabel then
        body[#body + 1] = file.label(12, top + high / 2, s.cfg.ylabel,
            ('%s text-anchor="middle" transform="rotate(-90 12 %.4g)"'):format(small,
            top + high / 2))
    end
    local function path(line, first)
        local parts = {}
        for k, point in ipairs(line) do
            parts[k] = ("%s%.4g %.4g"):format(k == 1 and first or "L", px(point[1]), py(point[2]))
        end
        return table.concat(parts)
    end
    add('<svg x="%.4g" y="%.4g" width="%.4g" height="%.4g" viewBox="%.4g %.4g %.4g %.4g">', left - 4, top - 4,
        wide + 8, high + 8, left - 4, top - 4,
        wide + 8, high + 8)             -- what min and max leave out is cut
    for i, c in ipairs(s.curves) do
        local rgb = palette[(i - 1) % #palette + 1]
        local colour = ("#%02x%02x%02x"):format(rgb[1], rgb[2], rgb[3])
        if c.low and s.cfg.points then
            for k = 1, #c.y do
                local x, low, high_share = s.x.share(c.x[k]), s.y.share(c.low[k]), s.y.share(c.high[k])
                if x and low and high_share then
                    local at, a, b = px(x), py(low), py(high_share)
                    add('<path d="M%.4g %.4gV%.4gM%.4g %.4gh8M%.4g %.4gh8" fill="none" stroke="%s"/>',
                        at, a, b, at - 4, a, at - 4, b, colour)
                end
            end
        elseif c.low then
            local lows, highs = stretches(s, c, c.low), stretches(s, c, c.high)
            for k = 1, math.min(#lows, #highs) do
                local back, line = {}, thin(highs[k])
                for j = #line, 1, -1 do back[#back + 1] = line[j] end
                add('<path d="%s%sz" fill="%s" fill-opacity=".18"/>', path(thin(lows[k]), "M"), path(back, "L"), colour)
            end
        end
        local lines = {}
        for _, line in ipairs(stretches(s, c, c.y)) do
            if s.cfg.points or #line == 1 then
                for _, point in ipairs(line) do
                    add('<circle cx="%.4g" cy="%.4g" r="3.5" fill="%s"/>', px(point[1]), py(point[2]), colour)
                end
            else
                lines[#lines + 1] = path(thin(line), "M")
            end
        end
        if #lines > 0 then
            add('<path d="%s" fill="none" stroke="%s" stroke-width="1.8" stroke-linejoin="round"/>',
                table.concat(lines), colour)
        end
    end
    body[#body + 1] = "</svg>"
    local x, y = left, height + 12
    for i, c in ipairs(s.curves) do
        if c.name then
            local rgb = palette[(i - 1) % #palette + 1]
            local name = screen.cut(c.name, 60)
            local span = 26 + screen.width(name) * letter
            if x > left and x + span > width then x, y = left, y + 17 end
            add('<path d="M%.4g %.4gh14" stroke="#%02x%02x%02x" stroke-width="3"/>', x, y - 4, rgb[1], rgb[2], rgb[3])
            body[#body + 1] = file.label(x + 18, y, name, small)
            x = x + span + 8
        end
    end
    if s.note then
        if x > left then y = y + 17 end
        body[#body + 1] = file.label(left, y, s.note, small .. ' fill-opacity=".7"')
        x = left + 1
    end
    return file.svg(width, x > left and y + 8 or height, body, s.cfg.title or s.cfg.ylabel or "a plot")
end

local known = {{"title", "string"}, {"xlabel", "string"}, {"ylabel", "string"}, {"labels", "table"},
    {"points", "boolean", false},
    {"log", "string", choices = {"x", "y", "xy"}}, {"xmin", "number"}, {"xmax", "number"}, {"ymin", "number"},
    {"ymax", "number"}, {"color", "string", choices = screen.depths},
    {"width", "integer", least = 12}, {"height", "integer", 12, least = 2},
    {"write", "function", screen.write}}
table.move(file.fields, 1, #file.fields, #known + 1, known)

local m = {}

local function read(curves, options)
    local cfg = fields.read("show.plot", options or {}, known, 3)
    local ok, s = pcall(state_of, curves, cfg)
    if not ok then error(s, 3) end
    return s, cfg
end

---The plot as an SVG document.
---@return string
function m.svg(curves, options) return svg(read(curves, options), 520, 270) end

---Draws curves.
---@param curves any a list of {name =, y =, x =, low =, high =}; or one, or a list of numbers
---@param options? table title, xlabel, ylabel, labels, points, log, xmin, xmax, ymin, ymax, file, color, width, height
function m.draw(curves, options)
    local s, cfg = read(curves, options)
    cfg.write(terminal(s, screen.depth(cfg.color), cfg.width or attn.terminal_width(), cfg.height))
    file.save("show.plot", cfg, {svg = function() return svg(s, 520, 270) end})
end

attn.describe{name = "show.plot",
    signature = "plot(curves, {title =, xlabel =, ylabel =, log =, points =, labels =, file =, width =, height =})",
    help = "Draws curves in one plot: a list of {name =, y = [N], x = [N], low =, high =} (or one of them, or just\n"
        .. "its numbers), lists or tensors; low and high are the ends of intervals: a band, with points = true bars\n"
        .. "on points that no line joins. log is \"x\", \"y\" or \"xy\"; xmin, xmax, ymin, ymax fix the ends of the\n"
        .. "axes; labels are words along x for 1, 2, 3 and so on. NaN is a gap. In the terminal the plot has its\n"
        .. "width and height lines (12); file is a name in .svg or .png to write it to as well. color as in show.attention.",
    example = 'local plot = require "attn.show".plot\n'
        .. 'plot({{name = "a", y = {3, 2, 1.5}}, {name = "b", y = {3, 0 / 0, 2.3}}}, {ylabel = "loss", log = "y"})\n'
        .. 'plot({y = {0.8, 0.9}, low = {0.7, 0.85}, high = {0.9, 0.95}}, {points = true, labels = {"dot", "sum"}})'}

return m
