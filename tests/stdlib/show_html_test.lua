-- The page of show.html: what it holds, that tokens stay words, that it runs in a browser where there is one.
local attn, t = require "attn", require "attn.test"
local show = require "attn.show"

local function data_of(page)
    return attn.json.decode(page:match('<script type="application/json" id="page">(.-)</script>'))
end

-- The numbers of 16 bits that base64 holds.
local function codes_of(text)
    local alphabet, bits, held, bytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 0, 0, {}
    for letter in text:gmatch "[^=]" do
        bits, held = bits << 6 | alphabet:find(letter, 1, true) - 1, held + 6
        if held >= 8 then
            held = held - 8
            bytes[#bytes + 1] = bits >> held & 255
            bits = bits & (1 << held) - 1
        end
    end
    local codes = {}
    for i = 1, #bytes, 2 do codes[#codes + 1] = bytes[i] | bytes[i + 1] << 8 end
    return codes
end

t.case("the page holds the weights to one part in 65,533 of the largest", function()
    local weights = attn.randn(2, 3, 4, 5):softmax(-1)
    local data = data_of(show.html(weights))
    t.equal({data.layers, data.heads, #data.rows, #data.columns}, {2, 3, 4, 5})
    local codes, flat, largest = codes_of(data.weights), weights:reshape(-1):totable(), weights:max():item()
    t.equal(#codes, 120)
    for k = 1, 120 do t.near(codes[k] / 65533 * data.high, flat[k], largest / 65533) end
end)

t.case("masked keys, what is no number, nothing and little are told apart", function()
    local mask = attn.tensor({{true, true, true, true, false}}, {dtype = "bool"})
    local codes = codes_of(data_of(show.html({{0, 1e-9, 0 / 0, 1, 0.5}}, {mask = mask})).weights)
    t.equal(codes, {0, 1, 65534, 65533, 65535})
    local data = data_of(show.html({{-1, 0, 1}}, {max = 0.5}))
    t.equal({data.low, data.high, data.most}, {-1, 1, 0.5})
    t.near(codes_of(data.weights), {0, 32766.5, 65533}, 1e-4)
end)

t.case("four layers of eight heads of 64 x 64 stay below a megabyte, and so does what is pooled", function()
    t.is_true(#show.html(attn.randn(4, 8, 64, 64):softmax(-1)) < 1e6)
    local weights = attn.zeros(1, 2, 900, 800)
    weights[1][2][900][800] = 1
    local page = show.html(weights)
    t.is_true(#page < 1e6)
    t.is_true(page:find("max 1, the largest of each 3 x 2 of 900 x 800", 1, true), "no note")
    local data = data_of(page)
    t.equal({#data.rows, #data.columns, data.rows[1]}, {300, 400, "1…"})
    t.equal(codes_of(data.weights:sub(-8)), {0, 0, 65533})
    page = show.html(attn.zeros(3, 100000))
    data = data_of(page)
    t.equal({#data.rows, #data.columns, #page < 1e6}, {3, 2000, true})
end)

t.case("tokens are words of the page, never a part of it", function()
    local words = {'</script><script>alert("x")</script>', "<!--", "'\"&\\", "\0\27[1m\n", "\xFF\xFE", "日本 \u{2028}"}
    local page = show.html(attn.ones(6, 6), {rows = words, columns = words})
    t.equal(select(2, page:gsub("</script>", "")), 2)
    t.equal(select(2, page:gsub("<!%-%-", "")), 0)
    t.equal(page:find "[\0\27]", nil)
    t.is_true(utf8.len(page))
    t.equal(data_of(page).rows, {words[1], "<!--", "'\"&\\", "??[1m?", "??", words[6]})
    t.equal(page:find "https?:", nil)                    -- nothing from elsewhere
end)

t.case("the page goes to a file; errors name what came", function()
    local name = os.tmpname()
    t.equal(show.html({{1, 0}}, {file = name}), nil)
    local file <close> = assert(io.open(name))
    t.equal(file:read "a", show.html{{1, 0}})
    os.remove(name)
    t.raises("show.html: rows has 2 labels, the weights have 1 rows", show.html, {{1}}, {rows = {"a", "b"}})
    t.raises("show.html: weights is no tensor", show.html, 3)
    t.raises("show.html: unknown field 'row'", show.html, {{1}}, {row = {}})
    t.raises("/nowhere/x.html", show.html, {{1}}, {file = "/nowhere/x.html"})
end)

t.case("in a browser keys choose, trace and change the view", function()
    local found = io.popen("command -v chromium")
    local browser = found:read "l"
    found:close()
    if not browser then t.skip "there is no chromium" end
    local name = os.tmpname()
    local page = show.html(attn.tensor{{{{0.75, 0.25}, {0, 1}}, {{1, 0}, {0.5, 0.5}}}}, {columns = {"</b>", "dog"}})
    page = page:gsub("</html>", "<script>for (const key of ['ArrowRight', 'j', 'j', 'v', 't'])"
        .. " dispatchEvent(new KeyboardEvent('keydown', {key}))</script></html>")
    local file <close> = assert(io.open(name .. ".html", "w"))
    file:write(page)
    file:close()
    local pipe = io.popen(("timeout 60 %s --headless --no-sandbox --disable-gpu --dump-dom file://%s.html 2>/dev/null")
        :format(browser, name))
    local dom = pipe:read "a"
    pipe:close()
    os.remove(name)
    os.remove(name .. ".html")
    if dom == "" then t.skip "chromium does not start here" end
    t.equal(dom:match 'id="said"[^>]*>(.-)</div>', "layer 1, head 2: 2 looks at 1 “&lt;/b&gt;” 0.500, 2 “dog” 0.500")
    t.equal(dom:match 'id="view">(.-)<', "matrix (v)")
    t.equal(dom:match '<html[^>]*style="color%-scheme: (%a+)', "dark")
    t.equal(select(2, dom:gsub('aria%-pressed="true"', "")), 1)
end)
