-- show_kept: what cells of a study keep (cell:keep), read from their files and drawn, in the terminal and for the
-- report.
--
-- The files are not trusted: what is not as cell:keep writes it is left out.
local attn = require "attn"
local attention = require "attn.show_attention"
local file = require "attn.show_file"
local image = require "attn.show_image"
local plot = require "attn.show_plot"
local screen = require "attn.show_screen"
local text = require "attn.show_text"
local whole = require "attn.whole"

local m = {}

local NUMBERS = 4000000             -- of a tensor
local LETTERS = 20000               -- of a text

local function words(list)
    if type(list) ~= "table" or #list == 0 then return nil end
    local out = {}
    for i, word in ipairs(list) do out[i] = tostring(word) end
    return out
end

---A record of a cell's file: {text =} or {tensor =, how =}; nil if it is none.
---@param record any
---@return table?
function m.read(record)
    if type(record) ~= "table" then return nil end
    if type(record.text) == "string" then return {text = record.text} end
    if type(record.size) ~= "table" or type(record.values) ~= "table" then return nil end
    local all = 1
    for _, n in ipairs(record.size) do
        if math.type(n) ~= "integer" or n < 1 or n > NUMBERS then return nil end
        all = all * n
        if all > NUMBERS then return nil end
    end
    if #record.values ~= all then return nil end
    local values = {}
    for i, value in ipairs(record.values) do
        if type(value) == "boolean" then value = value and 1 or 0 end
        values[i] = whole.number(value)
        if not values[i] then return nil end
    end
    local ok, tensor = pcall(function()
        return attn.tensor(values, {dtype = "float64"}):reshape(table.unpack(record.size))
    end)
    if not ok then return nil end
    local over, path = m.read(record.over), m.read(record.path)
    return {tensor = tensor, how = {as = record.as, over = over and over.tensor, path = path and path.tensor,
        rows = words(record.rows), columns = words(record.columns),
        tokens = words(record.tokens), titles = words(record.titles)}}
end

local function kind(one)
    if one.how.over then return "overlay" end
    if one.how.path then return "image" end
    local known = {attention = true, image = true, text = one.how.tokens ~= nil, plot = true}
    if known[one.how.as] then return one.how.as end
    local dims = one.tensor:dim()
    return one.how.tokens and "text" or dims == 0 and "number" or dims == 1 and "plot" or "attention"
end

local terminal = {
    text = function(x, how, write) text.draw(how.tokens, x, {write = write}) end,
    image = function(x, how, write) image.image(x, {titles = how.titles, path = how.path, write = write}) end,
    overlay = function(x, how, write)
        image.overlay(how.over, x, {titles = how.titles, path = how.path, write = write})
    end,
    plot = function(x, _, write) plot.draw(x:reshape(-1), {write = write}) end,
    attention = function(x, how, write) attention.draw(x, {rows = how.rows, columns = how.columns, write = write}) end,
    number = function(x, _, write) write(screen.number(x:item()) .. "\n") end,
}

---Draws it in the terminal.
function m.terminal(one)
    if one.text then
        screen.write(one.text .. "\n")
        return
    end
    local ok, why = pcall(terminal[kind(one)], one.tensor, one.how, screen.write)
    if not ok then screen.write("cannot be drawn: " .. screen.clean(why) .. "\n") end
end

local svg = {
    text = function(x, how) return text.svg(how.tokens, x) end,
    image = function(x, how) return image.image_svg(x, {titles = how.titles, path = how.path}) end,
    overlay = function(x, how) return image.overlay_svg(how.over, x, {titles = how.titles, path = how.path}) end,
    plot = function(x) return plot.svg{y = x:reshape(-1)} end,
    attention = function(x, how) return attention.svg(x, {rows = how.rows, columns = how.columns}) end,
}
local html = setmetatable({
    text = function(x, how) return text.html(how.tokens, x) end,
    number = function(x) return "<p>" .. file.escape(screen.number(x:item())) .. "</p>" end,
}, {__index = svg})

---As an SVG document, nil for words and single numbers; raises if it cannot be drawn.
---@return string?
function m.svg(one)
    local draw = one.tensor and svg[kind(one)]
    return draw and draw(one.tensor, one.how)
end

---As HTML; raises if it cannot be drawn.
---@return string
function m.html(one)
    if not one.text then return html[kind(one)](one.tensor, one.how) end
    local lines = {}
    for line in (one.text:sub(1, LETTERS):gsub("\27%[[%d;]*m", "") .. "\n"):gmatch "([^\n]*)\n" do
        lines[#lines + 1] = file.escape((line:gsub("\t", "    ")))
    end
    return "<pre>" .. table.concat(lines, "\n") .. "</pre>"
end

return m
