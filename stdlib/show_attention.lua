-- show.attention: attention weights as maps: one, or a grid of heads and layers.
--
--   weights   [Tq, Tk], [H, Tq, Tk], [L, H, Tq, Tk]      all maps in the colours of one scale: 0 to the largest weight,
--   or max
--
-- A weight that is exactly 0 stays empty, the smallest that is not has a colour: what a mask took away and what
-- attention left out cannot be taken for one another. With mask = (true: may be attended to) masked keys are hatched. A
-- side too long for the screen is pooled, the largest weight of each block is shown, and a note says so.
local attn = require "attn"
local fields = require "attn.fields"
local file = require "attn.show_file"
local read_maps = require "attn.show_maps"
local screen = require "attn.show_screen"

local LABEL = 20            -- columns of a label at most
local HEAD = 14             -- characters of an upright label at most
local ROWS = 64             -- lines of a map in the terminal
local SIDE = 256            -- rows and columns of a map in a file
local AREA = 300000         -- weights of all maps in a file: a picture stays below a megabyte

-- One map for each head: values and masks as tables, labels, and by how much the sides are pooled.
local function maps_of(s, row_limit, column_limit)
    local maps = read_maps.pool(s, row_limit, column_limit)
    for l = 1, s.layers do
        for h = 1, s.heads do
            local head = s.dims >= 3 and ("head %d"):format(h) or nil
            local title = s.dims == 4 and ("layer %d, %s"):format(l, head) or head
            local values, masked = maps.weights[l][h], maps.masked and maps.masked[l][h]
            maps[#maps + 1] = {tensor = values, hidden = masked, values = values:totable(),
                masked = masked and masked:totable(), title = title, layer = l, head = h}
        end
    end
    return maps
end

local function strange(value) return value ~= value or math.abs(value) == math.huge end

-- A cell of `wide` columns.
local function cell(value, masked, most, depth, wide)
    if masked then return ("/"):rep(wide) end
    if strange(value) then return ("?"):rep(wide) end
    if value <= 0 or most <= 0 then return (" "):rep(wide) end
    local share = math.min(1, value / most)
    if depth == "none" then
        return screen.ramp[math.max(2, math.min(#screen.ramp, math.floor(share * #screen.ramp) + 1))]:rep(wide)
    end
    return screen.ink(screen.colour(share), depth, 48) .. (" "):rep(wide) .. screen.reset
end

local function block(s, maps, map, label, wide, depth)
    local lines = {map.title}
    local count, head, height = #maps.columns, {}, 0
    for j = 1, count do
        head[j] = screen.characters(screen.cut(maps.columns[j], HEAD))
        height = math.max(height, #head[j])
    end
    for k = 1, height do                -- column labels stand upright, their ends on the map
        local parts = {(" "):rep(label + 1)}
        for j = 1, count do
            local character = head[j][k - (height - #head[j])] or " "
            if screen.width(character) > wide then character = "?" end
            parts[#parts + 1] = screen.fill(character, wide)
        end
        lines[#lines + 1] = (table.concat(parts):gsub(" +$", ""))
    end
    for i, row in ipairs(map.values) do
        local text = screen.cut(maps.rows[i], label)
        local parts = {(" "):rep(label - screen.width(text)), text, " "}
        for j = 1, count do
            parts[#parts + 1] = cell(row[j], map.masked and map.masked[i][j] ~= 0, s.most, depth, wide)
        end
        lines[#lines + 1] = (table.concat(parts):gsub(" +$", ""))
    end
    return lines
end

local function terminal(s, depth, width)
    local label = 0
    for i = 1, s.rows_count do label = math.max(label, screen.width(s.rows[i])) end
    label = math.min(label, LABEL)
    local across = math.min(s.heads, 4)
    local room = (width - 2 * (across - 1)) // across - label - 1
    if s.heads * s.layers == 1 or room < 8 then room = width - label - 1 end
    local wide = 2 * s.columns_count <= room and 2 or 1
    local maps = maps_of(s, ROWS, math.max(1, room // wide))
    local rows = {}
    for _, map in ipairs(maps) do
        rows[map.layer] = rows[map.layer] or {}
        table.insert(rows[map.layer], block(s, maps, map, label, wide, depth))
    end
    local out = {}
    for l = 1, s.layers do
        if l > 1 then out[#out + 1] = "" end
        for _, line in ipairs(screen.beside(rows[l], width)) do out[#out + 1] = line end
    end
    out[#out + 1] = read_maps.notes(s, maps, "hatched", "as ?")
    return table.concat(out, "\n") .. "\n"
end

-- A map as blue of that opacity, so that it is right on light and on dark: [4, Tq, Tk].
local function tint(map, most)
    local x = map.tensor
    local alpha = 0.04 + 0.96 * (x / (most > 0 and most or 1)):clamp(0, 1)
    local seen = attn.isfinite(x) & x:gt(0)
    if map.hidden then seen = seen & map.hidden:eq(0) end
    alpha = alpha:masked_fill(~seen, 0)
    local one = attn.ones_like(alpha)
    return attn.stack({one * (37 / 255), one * (99 / 255), one * (235 / 255), alpha}, 1)
end

-- Cells for which `is` holds, as one path; neighbours in a row are one.
local function path_of(map, size, left, top, is)
    local parts = {}
    for i, row in ipairs(map.values) do
        local from
        for j = 1, #row + 1 do
            local yes = j <= #row and is(row[j], map.masked and map.masked[i][j] ~= 0)
            if yes and not from then from = j end
            if not yes and from then
                local wide = size * (j - from)
                parts[#parts + 1] = ("M%g %gh%gv%gh%gz"):format(left + size * (from - 1), top + size * (i - 1),
                    wide, size, -wide)
                from = nil
            end
        end
    end
    return #parts > 0 and table.concat(parts) or nil
end

local function svg(s)
    local limit = math.floor(math.sqrt(AREA / (s.layers * s.heads)))
    local maps = maps_of(s, math.min(SIDE, limit), math.min(SIDE, limit))
    local across, down = #maps.columns, #maps.rows
    local single = s.layers * s.heads == 1
    local size = math.max(1, math.min(22, math.floor((single and 720 or 320) / math.max(across, down))))
    local named = size >= 9             -- smaller cells take no word
    local font = math.min(13, size + 2)
    local left, top = 4, 4
    if named then
        for i = 1, down do left = math.max(left, file.text_width(maps.rows[i]) * font / 13 + 8) end
        for j = 1, across do top = math.max(top, file.text_width(maps.columns[j]) * font / 13 + 8) end
    end
    if not single then top = top + 18 end
    local wide, high = left + size * across + 12, top + size * down + 12
    local body = {}
    for _, map in ipairs(maps) do
        local x, y = (map.head - 1) * wide + left, (map.layer - 1) * high + top
        if map.title then body[#body + 1] = file.label(x, y - top + 14, map.title) end
        if named then
            for j = 1, across do
                local cx, cy = x + size * (j - 0.5) + font / 3, y - 5
                body[#body + 1] = file.label(cx, cy, maps.columns[j],
                    ('font-size="%g" transform="rotate(-90 %.6g %.6g)"'):format(font, cx, cy))
            end
            for i = 1, down do
                body[#body + 1] = file.label(x - 5, y + size * (i - 0.5) + font / 3, maps.rows[i],
                    ('font-size="%g" text-anchor="end"'):format(font))
            end
        end
        body[#body + 1] = file.image(x, y, size * across, size * down, tint(map, s.most))
        local hidden = s.masked and path_of(map, size, x, y, function(_, masked) return masked end)
        if hidden then body[#body + 1] = ('<path d="%s" fill="currentColor" fill-opacity=".18"/>'):format(hidden) end
        local wrong = s.strange > 0 and path_of(map, size, x, y, function(value, masked)
            return not masked and strange(value)
        end)
        if wrong then body[#body + 1] = ('<path d="%s" fill="#d6453d"/>'):format(wrong) end
        body[#body + 1] = ('<path d="M%g %gh%gv%gh%gz" fill="none" stroke="currentColor" stroke-opacity=".4"/>')
            :format(x, y, size * across, size * down, -size * across)
    end
    local notes = read_maps.notes(s, maps, "grey", "red")
    local height = s.layers * high + 14
    body[#body + 1] = file.label(4, height - 4, notes, 'font-size="11" fill-opacity=".7"')
    local width = math.max(s.heads * wide, file.text_width(notes) * 11 / 13 + 8)
    return file.svg(width, height, body, "attention weights, " .. notes)
end

local known = {{"color", "string", choices = screen.depths}, {"width", "integer", least = 1},
    {"write", "function", screen.write}}
table.move(read_maps.fields, 1, #read_maps.fields, #known + 1, known)
table.move(file.fields, 1, #file.fields, #known + 1, known)

local m = {}

local function read(weights, options)
    local cfg = fields.read("show.attention", options or {}, known, 3)
    local ok, s = pcall(read_maps.read, weights, cfg)
    if not ok then error("show.attention: " .. tostring(s), 3) end
    return s, cfg
end

---The maps as an SVG document.
---@return string
function m.svg(weights, options) return svg((read(weights, options))) end

---Draws attention weights: in the terminal (in colour if stdout is one and NO_COLOR is not set), and with `file` to a
---file too.
---@param weights any [Tq, Tk], [H, Tq, Tk] or [L, H, Tq, Tk], a tensor or lists of lists
---@param options? table rows =, columns =, max =, mask =, file =, color =, width =, write =
function m.draw(weights, options)
    local s, cfg = read(weights, options)
    cfg.write(terminal(s, screen.depth(cfg.color), cfg.width or attn.terminal_width()))
    file.save("show.attention", cfg, {svg = function() return svg(s) end})
end

attn.describe{name = "show.attention",
    signature = "attention(weights, {rows =, columns =, max =, mask =, file =, color =, width =})",
    help = "Draws attention weights [Tq, Tk], of heads [H, Tq, Tk] or of layers and heads [L, H, Tq, Tk] in the\n"
        .. "terminal, rows and columns labelled with tokens; with file, a name in .svg or .png, also there. All maps share\n"
        .. "one scale, from 0 to their largest weight, which is printed, or to max. A weight of exactly 0 is empty;\n"
        .. "what mask (bool, broadcast to the weights, true: may be attended to) leaves out is hatched. Sides too\n"
        .. "long for the screen are pooled, with a note. color is \"truecolor\", \"256\" or \"none\" (default: what the terminal\n"
        .. "can, \"none\" when NO_COLOR is set or stdout is no terminal).",
    example = 'require "attn.show".attention({{0.9, 0.1}, {0.2, 0.8}}, {rows = {"ein", "Hund"}})\n'
        .. 'require "attn.show".attention(attn.randn(4, 6, 6):softmax(-1), {max = 1})      -- four heads'}

return m
