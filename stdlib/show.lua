-- show: numbers as a person reads them: sparklines, tables, and the `result` lines that other programs may read.
-- Attention maps, texts, pictures and curves have files of their own (show_attention.lua, show_text.lua,
-- show_image.lua).
local attn = require "attn"
local fields = require "attn.fields"
local image = require "attn.show_image"
local screen = require "attn.show_screen"

local clean, width_of, write = screen.clean, screen.width, screen.write

local m = {attention = require "attn.show_attention".draw, text = require "attn.show_text".draw,
    plot = require "attn.show_plot".draw, html = require "attn.show_html".draw,
    image = image.image, overlay = image.overlay}

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

local DEPTH = 8         -- of tables in a cell: what is deeper, or contains itself, is cut off

-- A value as a cell of a table; a configuration as `field=value` in order of names.
local function cell(value, depth)
    depth = depth or 0
    if type(value) == "number" then return number(value) end
    if type(value) == "table" then
        if depth == DEPTH then return "{...}" end
        local parts, names = {}, {}
        for name in pairs(value) do names[#names + 1] = name end
        table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
        for i, name in ipairs(names) do
            parts[i] = (type(name) == "string" and name .. "=" or "") .. cell(value[name], depth + 1)
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
