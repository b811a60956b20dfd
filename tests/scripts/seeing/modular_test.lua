-- Modular attention: gradient; a map moved by hand; questions have the answer that the picture shows.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.modular"

local function made(modules)
    attn.seed(2)
    return paper.Modular{words = 7, answers = 2, channels = 1, patch = 2, rows = 2, columns = 3, dim = 2, hidden = 2, modules = modules}:to "float64"
end

for _, modules in ipairs{true, false} do
    t.case((modules and "modules" or "one map") .. ": gradient; weights and maps sum to 1", function()
        local model, x = made(modules), attn.rand(2, 1, 4, 6, {dtype = "float64"})
        local ids, lengths = attn.data.pad{{1, 4, 2}, {6, 3}}
        local ok, report = attn.checkgrad(function() return (model(x, ids, lengths)) end, model:parameters())
        t.is_true(ok, report)
        local _, w, maps = model(x, ids, lengths)
        t.near(w:sum(2):totable(), {1, 1}, 1e-9)
        t.near(maps[1]:sum(2):totable(), {1, 1}, 1e-9)
        t.equal(#maps, modules and 3 or 1)
    end)
end

t.case("a question says the same with padding behind it", function()
    local model, x = made(true), attn.rand(1, 1, 4, 6, {dtype = "float64"})
    local function ids(list) return attn.tensor({list}, {dtype = "int64"}) end
    local n = attn.tensor({2}, {dtype = "int64"})
    t.near(model(x, ids{3, 5}, n):totable(), model(x, ids{3, 5, 0, 0}, n):totable(), 1e-12)
end)

t.case("left of, right of, above, below: a map moves by one, what leaves is lost", function()
    local model, map = made(true), attn.arange(1, 6):to "float64":unsqueeze(1)       -- 1 2 3 / 4 5 6
    t.equal(model:moved(map, {0, -1}):totable(), {{2, 3, 0, 5, 6, 0}})
    t.equal(model:moved(map, {0, 1}):totable(), {{0, 1, 2, 0, 4, 5}})
    t.equal(model:moved(map, {-1, 0}):totable(), {{4, 5, 6, 0, 0, 0}})
    t.equal(model:moved(map, {1, 0}):totable(), {{0, 0, 0, 1, 2, 3}})
end)

t.case("the cell of the answer shows its colour; all kinds are asked", function()
    local cfg = {grid = 3, shapes = 5, colours = 4, objects = 5, batch = 8}
    local seen = {}
    for b in paper.questions(cfg, 3, 40):epoch(1) do
        for i, cell in ipairs(b.cell:totable()) do
            local corner, colour = b.image[i]:narrow(2, (cell - 1) // 3 * 6 + 1, 5):narrow(3, (cell - 1) % 3 * 6 + 1, 5), 0
            for channel = 1, 3 do colour = colour + (corner[channel]:max():item() > 0 and 1 << channel - 1 or 0) end
            t.equal(colour, b.answer[i]:item())
            seen[b.kind[i]:item()] = true
        end
    end
    t.is_true(seen[1] and seen[2] and seen[3])
end)
