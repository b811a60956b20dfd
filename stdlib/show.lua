-- show: numbers as a person reads them: attention maps (terminal and SVG), sparklines, tables, and the `result` lines
-- that other programs may read.
-- Tokens come from data and are not trusted: control characters never reach the terminal, markup never the SVG.
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

local function write(text) io.stdout:write(text) end

-- Text that is safe to print: valid UTF-8 without control characters.
local function clean(text)
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

local function width_of(text)
    local width = 0
    for _, code in utf8.codes(text) do width = width + columns_of(code) end
    return width
end

-- The text cut to a width, with `…` if something is missing.
local function cut(text, width)
    if width_of(text) <= width then return text end
    local kept, used = {}, 0
    for _, code in utf8.codes(text) do
        used = used + columns_of(code)
        if used > width - 1 then break end
        kept[#kept + 1] = utf8.char(code)
    end
    return table.concat(kept) .. "…"
end

-- Characters of a text, combining marks with the one they belong to.
local function cells_of(text)
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

-- dark violet, blue, green, yellow: even steps of lightness, readable without telling red from green
local anchors = {{48, 10, 68}, {58, 82, 139}, {33, 144, 140}, {94, 201, 98}, {253, 231, 37}}

local function colour(share)
    local place = share * (#anchors - 1)
    local i = math.min(#anchors - 1, math.floor(place) + 1)
    local a, b, t = anchors[i], anchors[i + 1], place - (i - 1)
    local rgb = {}
    for c = 1, 3 do rgb[c] = math.floor(a[c] + (b[c] - a[c]) * t + 0.5) end
    return rgb
end

local ramp = {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"}

local painters = {
    truecolor = function(share)
        local rgb = colour(share)
        return ("\27[48;2;%d;%d;%dm  "):format(rgb[1], rgb[2], rgb[3])
    end,
    ["256"] = function(share)      -- the nearest of the 6 x 6 x 6 cube
        local code = 16
        for c, weight in ipairs{36, 6, 1} do code = code + weight * math.floor(colour(share)[c] / 255 * 5 + 0.5) end
        return ("\27[48;5;%dm  "):format(code)
    end,
    none = function(share)
        return ramp[math.min(#ramp, math.floor(share * #ramp) + 1)]:rep(2)
    end,
}

local function depth(wanted)
    if wanted then return wanted end
    local off = os.getenv "NO_COLOR"
    if off and off ~= "" or os.getenv "TERM" == "dumb" or not attn.isatty(1) then return "none" end
    local kind = os.getenv "COLORTERM"
    return (kind == "truecolor" or kind == "24bit") and "truecolor" or "256"
end

local function terminal(values, rows, columns, paint, put)
    local label = 0
    for i = 1, #values do label = math.max(label, width_of(rows[i])) end
    label = math.min(label, 20)
    local count = #values[1]
    local fit = math.max(1, (attn.terminal_width() - label - 3) // 2)
    local shown = math.min(count, fit)
    local head, height = {}, 0
    for j = 1, shown do
        head[j] = cells_of(cut(columns[j], 14))
        height = math.max(height, #head[j])
    end
    local lines = {}
    for k = 1, height do                -- column labels stand upright, their ends on the map
        local parts = {(" "):rep(label + 1)}
        for j = 1, shown do
            local character = head[j][k - (height - #head[j])] or " "
            parts[#parts + 1] = character .. (" "):rep(2 - width_of(character))
        end
        lines[#lines + 1] = (table.concat(parts):gsub(" +$", ""))
    end
    local painted = paint ~= painters.none
    for i, row in ipairs(values) do
        local text = cut(rows[i], label)
        local parts = {(" "):rep(label - width_of(text)), text, " "}
        for j = 1, shown do parts[#parts + 1] = paint(row[j]) end
        if painted then parts[#parts + 1] = "\27[0m" end
        if shown < count then parts[#parts + 1] = "…" end
        local line = table.concat(parts)
        lines[#lines + 1] = painted and line or (line:gsub(" +$", ""))
    end
    put(table.concat(lines, "\n") .. "\n")
end

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

local function escape(text)
    return (clean(text):gsub("[&<>\"']", entities))
end

local function svg(values, raw, rows, columns)
    local cell, letter = 22, 7.6
    local left, top = 0, 0
    for i = 1, #values do left = math.max(left, width_of(rows[i]) * letter) end
    for j = 1, #values[1] do top = math.max(top, width_of(columns[j]) * letter) end
    left, top = math.ceil(left) + 12, math.ceil(top) + 12
    local width, height = left + cell * #values[1] + 6, top + cell * #values + 6
    local out = {
        ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
            .. 'font-family="sans-serif" font-size="13">'):format(width, height, width, height),
        ('<rect width="%d" height="%d" fill="white"/>'):format(width, height)}
    for j = 1, #values[1] do
        local x, y = left + cell * (j - 0.5) + 4, top - 6
        out[#out + 1] = ('<text x="%.1f" y="%d" transform="rotate(-90 %.1f %d)">%s</text>')
            :format(x, y, x, y, escape(columns[j]))
    end
    for i, row in ipairs(values) do
        local y = top + cell * (i - 1)
        out[#out + 1] = ('<text x="%d" y="%d" text-anchor="end">%s</text>'):format(left - 6, y + 15, escape(rows[i]))
        for j, share in ipairs(row) do
            local function mix(dark) return math.floor(255 + (dark - 255) * share + 0.5) end
            out[#out + 1] = ('<rect x="%d" y="%d" width="%d" height="%d" fill="rgb(%d,%d,%d)" stroke="#ddd">'
                .. "<title>%s, %s: %.3f</title></rect>"):format(left + cell * (j - 1), y, cell, cell, mix(8), mix(48),
                mix(107), escape(rows[i]), escape(columns[j]), raw[i][j])
        end
    end
    out[#out + 1] = "</svg>\n"
    return table.concat(out, "\n")
end

---Draws attention weights: in the terminal (in colour if stdout is one and NO_COLOR is not set), and with `svg` to a
---file too.
---@param weights any [Tq, Tk], a tensor or a list of lists
---@param options? {rows: string[]?, columns: string[]?, svg: string?, color: string?, write: (fun(text: string))?}
function m.attention(weights, options)
    local cfg = fields.read("show.attention", options or {}, {
        {"rows", "table", {}}, {"columns", "table", {}}, {"svg", "string"},
        {"color", "string", choices = {"truecolor", "256", "none"}}, {"write", "function", write}})
    local raw = weights
    if type(weights) == "userdata" then
        if weights:dim() ~= 2 then
            error(("show.attention: weights has %d dimensions, expected 2 (weights: %s [%s])"):format(weights:dim(),
                weights.dtype, table.concat(weights.shape, ", ")), 2)
        end
        raw = weights:totable()
    end
    if type(raw) ~= "table" or type(raw[1]) ~= "table" or #raw[1] == 0 then
        error("show.attention: weights is no tensor [Tq, Tk] and no list of lists of numbers", 2)
    end
    local most = 1
    for i, row in ipairs(raw) do
        if #row ~= #raw[1] then
            error(("show.attention: row %d has %d weights, the first %d"):format(i, #row, #raw[1]), 2)
        end
        for _, value in ipairs(row) do
            if value == value and value < math.huge then most = math.max(most, value) end
        end
    end
    local values, rows, columns = {}, {}, {}
    for i, row in ipairs(raw) do
        values[i] = {}
        for j, value in ipairs(row) do
            values[i][j] = value ~= value and 0 or math.max(0, math.min(1, value / most))
        end
        rows[i] = clean(cfg.rows[i] or i)
    end
    for j = 1, #raw[1] do columns[j] = clean(cfg.columns[j] or j) end
    terminal(values, rows, columns, painters[depth(cfg.color)], cfg.write)
    if cfg.svg then
        local file, why = io.open(cfg.svg, "wb")
        if not file then error("show.attention: " .. why, 2) end
        local ok, failure = file:write(svg(values, raw, rows, columns))
        local closed, late = file:close()
        if not ok or not closed then error(("show.attention: %s: %s"):format(cfg.svg, failure or late), 2) end
    end
end

local levels = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

---A line of block characters that shows how a list of numbers runs, at most `width` of them (means of neighbours).
---@param list number[]
---@param width? integer
---@return string
function m.spark(list, width)
    if type(list) == "userdata" then list = list:totable() end
    if type(list) ~= "table" then
        error(("show.spark: list is a %s, expected a list of numbers"):format(type(list)), 2)
    end
    width = width or 60
    local count = math.min(#list, width)
    local means, low, high = {}, math.huge, -math.huge
    for k = 1, count do
        local first, last = (k - 1) * #list // count + 1, k * #list // count
        local sum = 0
        for i = first, last do sum = sum + list[i] end
        local mean = sum / (last - first + 1)
        means[k] = mean
        if mean == mean and mean < math.huge and mean > -math.huge then
            low, high = math.min(low, mean), math.max(high, mean)
        end
    end
    local parts = {}
    for k, mean in ipairs(means) do
        if mean ~= mean then
            parts[k] = " "
        elseif high <= low then
            parts[k] = mean == math.huge and levels[8] or levels[1]
        else
            local share = math.max(0, math.min(1, (mean - low) / (high - low)))
            parts[k] = levels[math.min(8, math.floor(share * 8) + 1)]
        end
    end
    return table.concat(parts)
end

local function number(value)
    if math.type(value) == "integer" then return tostring(value) end
    if value ~= value or math.abs(value) == math.huge then return tostring(value) end
    if math.abs(value) >= 1000 then return ("%.0f"):format(value) end
    return ("%.4g"):format(value)
end

---Prints `result NAME VALUE UNIT`, the line that other programs may read.
---@param name string one word
---@param value number|string
---@param unit? string
function m.result(name, value, unit)
    if type(name) ~= "string" or not name:match("^%S+$") then
        error("show.result: name must be one word", 2)
    elseif type(value) ~= "number" and not (type(value) == "string" and value:match("^%S+$")) then
        error(("show.result: value is a %s, expected a number or one word"):format(type(value)), 2)
    end
    if type(value) == "number" then value = number(value) end
    write(("result %s %s%s\n"):format(name, value, unit and " " .. unit or ""))
    io.stdout:flush()
end

-- A value as a cell of a table; a configuration as `field=value` in order of names.
local function cell(value)
    if type(value) == "number" then return number(value) end
    if type(value) == "table" then
        local parts, names = {}, {}
        for name in pairs(value) do names[#names + 1] = name end
        table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
        for i, name in ipairs(names) do
            parts[i] = (type(name) == "string" and name .. "=" or "") .. cell(value[name])
        end
        return "{" .. table.concat(parts, " ") .. "}"
    end
    return value == nil and "" or clean(value)
end

---Prints rows under their column names, numbers to the right.
---@param columns string[]
---@param rows any[][] one list of values for each row
---@param options? {write: (fun(text: string))?}
function m.table(columns, rows, options)
    local cfg = fields.read("show.table", options or {}, {{"write", "function", write}})
    if type(columns) ~= "table" or type(rows) ~= "table" then
        error("show.table: expected a list of column names and a list of rows", 2)
    end
    local widths, texts = {}, {}
    for j, name in ipairs(columns) do widths[j] = width_of(clean(name)) end
    for i, row in ipairs(rows) do
        texts[i] = {}
        for j = 1, #columns do
            texts[i][j] = cell(row[j])
            widths[j] = math.max(widths[j], width_of(texts[i][j]))
        end
    end
    local function line(parts, right)
        local out = {}
        for j = 1, #columns do
            local space = (" "):rep(widths[j] - width_of(parts[j]))
            out[j] = right(j) and space .. parts[j] or parts[j] .. space
        end
        cfg.write((table.concat(out, "  "):gsub(" +$", "")) .. "\n")
    end
    local head, numeric = {}, {}
    for j, name in ipairs(columns) do
        head[j], numeric[j] = clean(name), #rows > 0
        for _, row in ipairs(rows) do numeric[j] = numeric[j] and (row[j] == nil or type(row[j]) == "number") end
    end
    line(head, function(j) return numeric[j] end)
    for i, row in ipairs(rows) do line(texts[i], function(j) return type(row[j]) == "number" end) end
end

---Prints values side by side, tables as `{field=value}`: one line of a sweep.
---@param ... any
function m.row(...)
    local parts = {}
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        local text = cell(value)
        local width = type(value) == "table" and 48 or type(value) == "number" and 10 or 16
        local space = (" "):rep(width - width_of(text))
        parts[i] = type(value) == "number" and space .. text or text .. space
    end
    write((table.concat(parts, "  "):gsub(" +$", "")) .. "\n")
end

attn.describe{name = "show.attention", signature = "attention(weights [Tq, Tk], {rows =, columns =, svg =, color =})",
    help = "Draws attention weights in the terminal, rows and columns labelled with tokens; with svg also to\n"
        .. "that file. color is \"truecolor\", \"256\" or \"none\" (default: what the terminal can, \"none\"\n"
        .. "when NO_COLOR is set or stdout is no terminal).",
    example = 'require "attn.show".attention({{0.9, 0.1}, {0.2, 0.8}}, {rows = {"ein", "Hund"}})'}
attn.describe{name = "show.spark", signature = "spark(list, width = 60) -> string",
    help = "Block characters that show how a list of numbers runs; longer lists are averaged to width.",
    example = 'print(require "attn.show".spark{3, 2, 1.5, 1.2, 1.1})'}
attn.describe{name = "show.result", signature = "result(name, value [, unit])",
    help = "Prints `result NAME VALUE UNIT`: one line for each number that a script measured.",
    example = 'require "attn.show".result("bleu", 32.1)'}
attn.describe{name = "show.table", signature = "table(columns, rows)",
    help = "Prints a list of rows (lists of values) under their column names, numbers to the right.",
    example = 'require "attn.show".table({"score", "accuracy"}, {{"additive", 0.98}, {"dot", 0.95}})'}
attn.describe{name = "show.row", signature = "row(...)",
    help = "Prints values side by side, tables as {field=value}: one line of a sweep.",
    example = 'require "attn.show".row({score = "dot"}, 0.95, 12.5)'}

return m
