-- show.text: a text whose tokens are shaded by their weights.
--
--   weights   [T], or [R, T]: one weight a token, or R readings of the same text, one below the other
--
-- Without colours a bar stands below each token. Weights share one scale, 0 to the largest, or max.
local attn = require "attn"
local internal = require "attn.internal"
local fields = require "attn.fields"
local file = require "attn.show_file"
local screen = require "attn.show_screen"

local bars = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

local function bad(message) error("show.text: " .. message, 0) end

local function state_of(tokens, weights, cfg)
    if type(tokens) == "string" then
        local words = {}
        for word in tokens:gmatch "%S+" do words[#words + 1] = word end
        tokens = words
    end
    if type(tokens) ~= "table" then
        bad(("tokens is %s, expected a list of strings"):format(fields.describe(tokens)))
    end
    if internal.kind(weights) == "tensor" then weights = weights:detach():to "float64":totable() end
    if type(weights) ~= "table" then
        bad(("weights is %s, expected a tensor [T] or a list of numbers"):format(fields.describe(weights)))
    end
    local s = {rows = type(weights[1]) == "table" and weights or {weights}, words = {}, most = cfg.max or 0,
        shares = {}}
    for j, word in ipairs(tokens) do s.words[j] = screen.clean(word) end
    for i, row in ipairs(s.rows) do
        if type(row) ~= "table" or #row ~= #s.words then
            bad(("%d weights for %d tokens%s"):format(type(row) == "table" and #row or 0, #s.words,
                #s.rows > 1 and (" (row %d)"):format(i) or ""))
        end
        for j, value in ipairs(row) do
            if type(value) ~= "number" then
                bad(("weight %d is %s, expected a number"):format(j, fields.describe(value)))
            end
            if not cfg.max and value == value and value < math.huge then s.most = math.max(s.most, value) end
        end
    end
    for i, row in ipairs(s.rows) do
        s.shares[i] = {}
        for j, value in ipairs(row) do
            s.shares[i][j] = value == value and s.most > 0 and math.max(0, math.min(1, value / s.most)) or 0
        end
    end
    s.note = "max " .. screen.number(s.most)
    return s
end

-- Which tokens stand in a line `width` wide: {{first, last}...}
local function wrap(words, width, measure, gap)
    local lines, used = {}, 0
    for j, word in ipairs(words) do
        local wide = measure(word)
        if #lines == 0 or used + gap + wide > width then
            lines[#lines + 1] = {j, j}
            used = wide
        else
            lines[#lines][2] = j
            used = used + gap + wide
        end
    end
    return lines
end

local function terminal(s, depth, width)
    local out = {}
    local head = #s.rows > 1 and #tostring(#s.rows) + 1 or 0
    local words = {}
    for j, word in ipairs(s.words) do words[j] = screen.cut(word, width - head) end
    local lines = wrap(words, width - head, screen.width, 1)
    for i, shares in ipairs(s.shares) do
        for k, span in ipairs(lines) do
            local number = k == 1 and head > 0 and tostring(i) or ""
            local parts, below = {}, {}
            for j = span[1], span[2] do
                local wide = screen.width(words[j])
                if depth == "none" then
                    parts[#parts + 1] = words[j]
                    local bar = s.rows[i][j] > 0 and math.min(9, math.floor(shares[j] * 8 + 0.5) + 1) or 1
                    below[#below + 1] = bars[s.rows[i][j] > 0 and math.max(2, bar) or 1]:rep(wide)
                else
                    local back = screen.colour(shares[j])
                    local front = screen.grey(back) > 120 and {0, 0, 0} or {255, 255, 255}
                    parts[#parts + 1] = s.rows[i][j] > 0 and screen.ink(back, depth, 48)
                        .. screen.ink(front, depth, 38) .. words[j]
                        .. screen.reset or words[j]
                end
            end
            out[#out + 1] = screen.fill(number, head) .. table.concat(parts, " ")
            if depth == "none" then out[#out + 1] = ((" "):rep(head) .. table.concat(below, " ")):gsub(" +$", "") end
        end
    end
    out[#out + 1] = s.note
    return table.concat(out, "\n") .. "\n"
end

-- Blue of that opacity: readable on light and on dark.
local function opacity(share) return ("%.2f"):format(0.75 * share) end

local function html(s)
    local out = {'<div class="attn-text">'}
    for i, shares in ipairs(s.shares) do
        local parts = {}
        for j, word in ipairs(s.words) do
            parts[j] = ('<span style="background:rgba(37,99,235,%s)" title="%s">%s</span>'):format(opacity(shares[j]),
                screen.number(s.rows[i][j]), file.escape(word))
        end
        out[#out + 1] = "<p>" .. table.concat(parts, " ") .. "</p>"
    end
    out[#out + 1] = ("<small>%s</small></div>"):format(file.escape(s.note))
    return table.concat(out, "\n") .. "\n"
end

local function svg(s, width)
    local body, y = {}, 4
    local lines = wrap(s.words, width - 8, function(word) return file.text_width(word) + 4 end, 5)
    for _, shares in ipairs(s.shares) do
        for _, span in ipairs(lines) do
            local x = 4
            for j = span[1], span[2] do
                local wide = file.text_width(s.words[j]) + 4
                body[#body + 1] = ('<path d="M%.5g %.5gh%.5gv18h%.5gz" fill="#2563eb" fill-opacity="%s"/>')
                    :format(x, y, wide, -wide, opacity(shares[j]))
                body[#body + 1] = file.label(x + wide / 2, y + 13, s.words[j], 'text-anchor="middle"')
                x = x + wide + 5
            end
            y = y + 22
        end
        y = y + 6
    end
    body[#body + 1] = file.label(4, y + 10, s.note, 'font-size="11" fill-opacity=".7"')
    return file.svg(width, y + 16, body, "text shaded by weight, " .. s.note)
end

local known = {{"max", "number", above = 0}, {"html", "string"},
    {"color", "string", choices = screen.depths},
    {"width", "integer", least = 1}, {"write", "function", screen.write}}
table.move(file.fields, 1, #file.fields, #known + 1, known)

local m = {}

local function read(tokens, weights, options)
    local cfg = fields.read("show.text", options or {}, known, 3)
    local ok, s = pcall(state_of, tokens, weights, cfg)
    if not ok then error(s, 3) end
    return s, cfg
end

---The text as an HTML fragment.
---@return string
function m.html(tokens, weights, options) return html((read(tokens, weights, options))) end

---The text as an SVG document.
---@return string
function m.svg(tokens, weights, options) return svg(read(tokens, weights, options), 720) end

---Draws a text shaded by weight: in the terminal, and with `file` to a file too.
---@param tokens string[]|string a list, or words with spaces between
---@param weights any [T] or [R, T]
---@param options? table max =, file =, color =, width =, write =
function m.draw(tokens, weights, options)
    local s, cfg = read(tokens, weights, options)
    cfg.write(terminal(s, screen.depth(cfg.color), cfg.width or attn.terminal_width()))
    file.save("show.text", cfg, {svg = function() return svg(s, 720) end, html = function()
        return '<!DOCTYPE html><meta charset="utf-8"><title>text shaded by weight</title>'
            .. "<style>:root{color-scheme:light dark}body{font:16px/1.7 sans-serif;margin:1.5em}</style>\n" .. html(s)
    end})
end

attn.describe{name = "show.text",
    signature = "text(tokens, weights [T] or [R, T], {max =, file =, color =, width =})",
    help = "Draws a text whose tokens (a list, or words in a string) are shaded by their weights, from 0 to the\n"
        .. "largest, which is printed, or to max; without colours a bar stands below each. R rows of weights are R\n"
        .. "readings of the same text. file is a name in .svg, .png or .html to write it to as well.",
    example = 'require "attn.show".text({"a", "truly", "bad", "film"}, {0.05, 0.3, 0.6, 0.05})'}

return m
