-- show.html: attention weights as one page that needs no network: a grid of layers and heads, the one that is chosen as a
-- matrix or as lines from queries to keys, and a token that is traced through all of them.
--
-- The page holds the weights as numbers of 16 bits, from the least (or 0) to the largest, in base64; the two largest
-- numbers are a masked key and what is no number. Tokens come from data and are not trusted: they stand in JSON without
-- `<`, and the page's script puts them on a canvas or in the text of an element, never into markup.
local attn = require "attn"
local fields = require "attn.fields"
local file = require "attn.show_file"
local maps = require "attn.show_maps"

local NUMBERS = 350000          -- of all maps: the page stays below a megabyte
local SIDE = 2000               -- rows or columns of one
local MASKED, STRANGE, MOST = 65535, 65534, 65533

local STYLE = [[
:root { color-scheme: light dark }
body { background: Canvas; color: CanvasText; font: 14px/1.4 system-ui, sans-serif; margin: 1em }
header { position: sticky; top: 0; background: Canvas; padding: .3em 0; z-index: 1 }
h1 { display: inline; font-size: 1.1em; margin-right: 1em }
button { font: inherit }
p { margin: .3em 0 1em }
#said { min-height: 2.8em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
#both { display: flex; flex-wrap: wrap; gap: 1.5em; align-items: start }
#grid { display: grid; gap: 4px; align-items: center; font-size: 11px; text-align: center; flex: 0 1 auto; min-width: 0 }
#grid button { position: relative; display: block; padding: 0; border: 0; background: none; cursor: pointer;
    outline: 1px solid color-mix(in srgb, currentColor 25%, transparent); width: 100% }
#grid button[aria-pressed=true] { outline: 2px solid #e07b20 }
#grid canvas { display: block; width: 100% }
#grid i { position: absolute; background: #e07b20 }
main { flex: 1 1 22em; min-width: 0; overflow-x: auto }
main canvas { display: block; touch-action: pan-y }
small { opacity: .75 }]]

local SCRIPT = [[
"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const {layers, heads, rows, columns, low, most} = page;
const codes = new Uint16Array(Uint8Array.from(atob(page.weights), c => c.charCodeAt(0)).buffer);
const MASKED = 65535, STRANGE = 65534, MOST = 65533, BLUE = "#2563eb", MARK = "#e07b20";
const byId = name => document.getElementById(name);
const large = byId("large"), pen = large.getContext("2d");
const at = {layer: 0, head: 0, row: null, column: null, pinned: false, lines: false};
let place = null;                       // where the large picture has its cells or tokens

const code = (i, j) => codes[((at.layer * heads + at.head) * rows.length + i) * columns.length + j];
const value = c => low + c / MOST * (page.high - low);
const share = c => c > MOST ? 0 : Math.max(0, Math.min(1, value(c) / most || 0));
const number = c => c == MASKED ? "masked" : c == STRANGE ? "not a number" : value(c).toPrecision(3);

const pictures = new Map();             // of maps, in the colours of the page
function picture(layer, head) {         // a pixel a weight
    const name = layer * heads + head;
    if (pictures.has(name)) return pictures.get(name);
    const canvas = document.createElement("canvas");
    pictures.set(name, canvas);
    canvas.width = columns.length;
    canvas.height = rows.length;
    const to = canvas.getContext("2d"), image = to.createImageData(columns.length, rows.length);
    const area = rows.length * columns.length, paper = getComputedStyle(document.body).backgroundColor.match(/\d+/g);
    const blue = paper[0] < 128 ? [96, 165, 250] : [37, 99, 235];
    for (let k = 0; k < area; k++) {
        const c = codes[name * area + k];
        const ink = c == MASKED ? [128, 128, 128] : c == STRANGE ? [214, 69, 61] : blue;
        const part = c == MASKED ? 0.25 : c == STRANGE ? 1 : value(c) > 0 ? 0.04 + 0.96 * share(c) : 0;
        for (let i = 0; i < 3; i++) image.data[4 * k + i] = +paper[i] + (ink[i] - paper[i]) * part;
        image.data[4 * k + 3] = 255;
    }
    to.putImageData(image, 0, 0);
    return canvas;
}

function cut(text, width) {
    if (pen.measureText(text).width <= width) return text;
    const letters = Array.from(text);
    while (letters.length > 0 && pen.measureText(letters.join("") + "…").width > width) letters.pop();
    return letters.join("") + "…";
}

const widest = (list, limit) => Math.min(limit, Math.max(...list.map(text => pen.measureText(text).width)));

function open(width, height, size) {    // the large canvas, sharp on every screen
    const ratio = window.devicePixelRatio || 1;
    large.width = Math.ceil(width * ratio);
    large.height = Math.ceil(height * ratio);
    large.style.width = width + "px";
    large.style.height = height + "px";
    pen.scale(ratio, ratio);
    pen.fillStyle = getComputedStyle(document.body).color;
    pen.font = size + "px system-ui, sans-serif";
    pen.textBaseline = "middle";
}

function matrix() {
    const room = byId("main").clientWidth;
    pen.font = "13px system-ui, sans-serif";
    const label = widest(rows, Math.min(160, room * 0.3)) + 8, head = widest(columns, 120) + 8;
    const fits = Math.min(28, Math.floor((room - label - 4) / columns.length));
    const named = fits >= 9, left = named ? label : 2, top = named ? head : 2;
    const size = named ? fits : Math.max(1, Math.floor((room - 4) / columns.length));
    open(left + size * columns.length + 2, top + size * rows.length + 2, Math.min(13, size + 2));
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture(at.layer, at.head), left, top, size * columns.length, size * rows.length);
    for (let i = 0; named && i < rows.length; i++) {
        pen.textAlign = "right";
        pen.fillText(cut(rows[i], left - 8), left - 5, top + size * (i + 0.5));
    }
    for (let j = 0; named && j < columns.length; j++) {
        pen.save();
        pen.translate(left + size * (j + 0.5), top - 5);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "left";
        pen.fillText(cut(columns[j], top - 8), 0, 0);
        pen.restore();
    }
    pen.strokeStyle = MARK;
    pen.lineWidth = 2;
    if (at.row !== null) pen.strokeRect(left, top + size * at.row, size * columns.length, size);
    if (at.column !== null) pen.strokeRect(left + size * at.column, top, size, size * rows.length);
    place = (x, y) => [Math.floor((y - top) / size), Math.floor((x - left) / size)];
}

function lines() {
    const room = byId("main").clientWidth, step = 18;
    pen.font = "13px system-ui, sans-serif";
    const left = widest(rows, room * 0.35) + 10, right = widest(columns, room * 0.35) + 10;
    const gap = Math.max(40, Math.min(360, room - left - right)), end = left + gap;
    open(end + right, step * Math.max(rows.length, columns.length), 13);
    const ink = pen.fillStyle;
    pen.strokeStyle = pen.fillStyle = BLUE;
    pen.lineWidth = 2;
    const traced = at.row !== null || at.column !== null;
    for (let i = 0; i < rows.length; i++)
        for (let j = 0; j < columns.length; j++) {
            const strength = share(code(i, j));
            if (strength < 0.02 || traced && i !== at.row && j !== at.column) continue;
            pen.globalAlpha = strength;
            pen.beginPath();
            pen.moveTo(left, step * (i + 0.5));
            pen.lineTo(end, step * (j + 0.5));
            pen.stroke();
            if (at.row === i) pen.fillRect(end + 2, step * j + 1, right - 2, step - 2);
            if (at.column === j) pen.fillRect(0, step * i + 1, left - 2, step - 2);
        }
    pen.globalAlpha = 1;
    const word = (text, x, k, mine) => {
        pen.fillStyle = mine ? MARK : ink;
        pen.fillText(cut(text, (pen.textAlign == "right" ? left : right) - 8), x, step * (k + 0.5));
    };
    pen.textAlign = "right";
    rows.forEach((text, i) => word(text, left - 5, i, i === at.row));
    pen.textAlign = "left";
    columns.forEach((text, j) => word(text, end + 5, j, j === at.column));
    place = (x, y) => x < left + gap / 2 ? [Math.floor(y / step), null] : [null, Math.floor(y / step)];
}

function say() {
    const token = (list, k) => list[k] == k + 1 ? list[k] : `${k + 1} “${list[k]}”`;
    let text = page.grid ? `layer ${at.layer + 1}, head ${at.head + 1}: ` : "";
    if (at.row === null && at.column === null) text += "point at a token";
    if (at.row !== null && at.column !== null)
        text += `${token(rows, at.row)} to ${token(columns, at.column)}: ${number(code(at.row, at.column))}. `;
    if (at.row !== null || at.column !== null) {
        const from = at.row !== null, list = from ? columns : rows;
        const best = list.map((_, k) => k).filter(k => (from ? code(at.row, k) : code(k, at.column)) <= MOST)
            .sort((a, b) => from ? code(at.row, b) - code(at.row, a) : code(b, at.column) - code(a, at.column));
        text += from ? `${token(rows, at.row)} looks at ` : `${token(columns, at.column)} is looked at by `;
        text += best.slice(0, 4).map(k => `${token(list, k)} ${number(from ? code(at.row, k) : code(k, at.column))}`)
            .join(", ");
    }
    byId("said").textContent = text;
}

function draw() {
    (at.lines ? lines : matrix)();
    say();
    byId("view").textContent = at.lines ? "matrix (v)" : "lines (v)";
    document.querySelectorAll("#grid button").forEach((button, k) => {
        button.setAttribute("aria-pressed", k == at.layer * heads + at.head);
        const [row, column] = button.querySelectorAll("i");
        const mark = (line, k, count, side, length, across) => {
            line.style.cssText = k === null ? "display: none"
                : `${side}: ${100 * k / count}%; ${length}: max(1px, ${100 / count}%); ${across}: 100%; opacity: .45`;
        };
        mark(row, at.row, rows.length, "top", "height", "width");
        mark(column, at.column, columns.length, "left", "width", "height");
        row.style.left = column.style.top = 0;
    });
}

function choose(layer, head) {
    at.layer = (layer + layers) % layers;
    at.head = (head + heads) % heads;
    draw();
}

function trace(row, column) {
    at.row = row >= 0 && row < rows.length ? row : null;
    at.column = column >= 0 && column < columns.length ? column : null;
    draw();
}

function build() {
    const grid = byId("grid");
    pictures.clear();
    grid.replaceChildren();
    if (!page.grid) return;
    grid.style.gridTemplateColumns = `auto repeat(${heads}, minmax(0, 56px))`;
    const add = (parent, name, text) => {
        const one = parent.appendChild(document.createElement(name));
        if (text) one.textContent = text;
        return one;
    };
    add(grid, "span");
    for (let h = 0; h < heads; h++) add(grid, "span", h + 1);
    for (let l = 0; l < layers; l++) {
        add(grid, "span", l + 1);
        for (let h = 0; h < heads; h++) {
            const button = add(grid, "button");
            button.setAttribute("aria-label", `layer ${l + 1}, head ${h + 1}`);
            button.onclick = () => choose(l, h);
            button.append(picture(l, h));
            add(button, "i");
            add(button, "i");
        }
    }
}

const flip = () => at.lines = !at.lines;
function theme() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches, root = document.documentElement.style;
    root.colorScheme = (root.colorScheme || (dark ? "dark" : "light")) == "dark" ? "light" : "dark";
    build();
}
const keys = {
    ArrowLeft: () => choose(at.layer, at.head - 1), ArrowRight: () => choose(at.layer, at.head + 1),
    ArrowUp: () => choose(at.layer - 1, at.head), ArrowDown: () => choose(at.layer + 1, at.head),
    j: () => trace(Math.min(rows.length - 1, (at.row ?? -1) + 1), null),
    k: () => trace(Math.max(0, (at.row ?? 1) - 1), null),
    Escape: () => { at.pinned = false; trace(null, null); }, v: flip, t: theme,
};
addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
    draw();
});
const point = event => { if (!at.pinned) trace(...place(event.offsetX, event.offsetY)); };
large.onpointermove = point;
large.onpointerleave = () => { if (!at.pinned) trace(null, null); };
large.onclick = event => { at.pinned = false; point(event); at.pinned = at.row !== null || at.column !== null; };
byId("view").onclick = () => { flip(); draw(); };
byId("theme").onclick = () => { theme(); draw(); };
matchMedia("(prefers-color-scheme: dark)").onchange = () => { build(); draw(); };
addEventListener("resize", draw);
build();
draw();]]

local PAGE = [[
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%s</title>
<style>
%s
</style>
<header><h1>%s</h1> <button id="view"></button> <button id="theme">light or dark (t)</button>
<div id="said" aria-live="polite"></div></header>
<p><small>%s. Arrows: layer and head; j, k: trace a token; a click holds it, Esc lets it go.</small></p>
<div id="both"><div id="grid"></div><main id="main"><canvas id="large" role="img" aria-label="%s"></canvas></main></div>
<script type="application/json" id="page">%s</script>
<script>
%s
</script>
</html>
]]

-- The weights as numbers of two bytes: 0 is `low`, MOST is `high`.
local function packed(pooled, low, high)
    local x = pooled.weights
    local code = ((x - low) / (high > low and high - low or 1) * MOST):clamp(0, MOST):round()
    code = code:masked_fill(code:eq(0) & x:gt(low), 1)              -- little is not nothing
    code = code:masked_fill(~attn.isfinite(x), STRANGE)
    if pooled.masked then code = code:masked_fill(pooled.masked:ne(0), MASKED) end
    local list, parts = code:reshape(-1):to "int64":totable(), {}
    for i = 1, #list, 100 do
        local last = math.min(#list, i + 99)
        parts[#parts + 1] = string.pack("<" .. ("I2"):rep(last - i + 1), table.unpack(list, i, last))
    end
    return table.concat(parts)
end

local function html(s)
    local side = math.max(1, math.sqrt(NUMBERS / (s.layers * s.heads)))
    -- a short side leaves its room to the long one
    local function limit(other) return math.max(1, math.min(SIDE, NUMBERS // (s.layers * s.heads * other))) end
    local row_limit = limit(math.min(side, s.columns_count))
    local pooled = maps.pool(s, row_limit, limit(math.min(row_limit, s.rows_count)))
    local low, high = math.min(0, s.least), math.max(0, s.largest)
    local data = attn.json.encode{layers = s.layers, heads = s.heads, grid = s.layers * s.heads > 1, low = low,
        high = high, most = s.most, rows = pooled.rows, columns = pooled.columns, weights = file.base64(packed(pooled, low, high))}
    local title = ("Attention: %d %s, %d x %d"):format(s.layers * s.heads, s.layers * s.heads == 1 and "map" or "maps",
        s.rows_count, s.columns_count)
    if s.dims == 4 then
        title = ("Attention: %d layers of %d heads, %d x %d"):format(s.layers, s.heads, s.rows_count, s.columns_count)
    end
    return PAGE:format(title, STYLE, title, file.escape(maps.notes(s, pooled, "grey", "red")), title,
        (data:gsub("<", "\\u003c")), SCRIPT)
end

local known = {{"file", "string"}}
table.move(maps.fields, 1, #maps.fields, 2, known)

local m = {}

---Attention weights as a page to look at in a browser.
---@param weights any [Tq, Tk], [H, Tq, Tk] or [L, H, Tq, Tk], a tensor or lists of lists
---@param options? table rows =, columns =, max =, mask =, file =
---@return string? page nil if it was written to file
function m.draw(weights, options)
    local cfg = fields.read("show.html", options or {}, known)
    local ok, made = pcall(function() return html(maps.read(weights, cfg)) end)
    if not ok then error("show.html: " .. tostring(made), 2) end
    if not cfg.file then return made end
    file.write("show.html", cfg.file, made)
end

attn.describe{name = "show.html",
    signature = "html(weights, {rows =, columns =, max =, mask =, file =}) -> string or nil",
    help = "Writes attention weights [Tq, Tk], [H, Tq, Tk] or [L, H, Tq, Tk] as one page for a browser, which needs\n"
        .. "no network: a grid of layers and heads; one of them as a matrix or as lines from queries to keys. The\n"
        .. "pointer (or j and k) traces a token through all of them, arrows choose layer and head, v changes the\n"
        .. "view, t light and dark. rows, columns, max and mask are those of show.attention. Below a megabyte:\n"
        .. "weights have 16 bits, and of more than 350,000 the largest of each block is kept, with a note. Without\n"
        .. "file the page is returned.",
    example = 'local path = os.tmpname()\nlocal words = {"the", "dog", "barks"}\n'
        .. 'attn.show.html(attn.randn(2, 4, 3, 3):softmax(-1), {rows = words, columns = words, file = path})\n'
        .. 'os.remove(path)'}

return m
