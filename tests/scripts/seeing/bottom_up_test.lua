-- Bottom-up attention: the beam by hand, where a beam and the brightest point differ, the route of a gradient, rare pairs of colours counted.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.bottom_up"

t.case("the winner of the top, then the winner among its children; not the brightest point of all", function()
    local map = attn.zeros(4, 4)
    map[1][1] = 9                                       -- alone: its quarter's mean is 2.25
    map:narrow(1, 3, 2):narrow(2, 3, 2):copy_(attn.tensor{{3, 4}, {5, 3}})
    local row, column, beam = paper.winner(map, 1)
    t.equal({row, column, beam}, {4, 3, {{1, 2, 2}, {0, 4, 3}}})
    t.equal({paper.winner(map, 0)}, {1, 1, {{0, 1, 1}}})
end)

t.case("the gradient of max-pooling arrives at the largest response alone, as the kernel says", function()
    local picture = attn.zeros(8, 8)
    picture[3][6], picture[6][2] = 2, 1.5
    local g = paper.routed(picture, attn.ones(1, 1), 3):totable()
    for y = 1, 8 do
        for x = 1, 8 do t.equal(g[y][x], (y == 3 and x == 6) and 1 or 0) end
    end
    local kernel = attn.tensor{{0, 1, 0}, {2, 3, 4}, {0, 5, 0}}
    local wide = paper.routed(picture, kernel, 3)
    t.equal(wide:narrow(1, 2, 3):narrow(2, 5, 3):sum():item() > 0, true)
    t.near(wide:sum():item(), 15, 1e-6)
end)

t.case("saliency: pairs of colours by how rare they are, by hand", function()
    -- one white point at the end of a line of four: pairs of black 4, of black and white 1 each way; the mean over 3 kinds is 2
    local map = paper.saliency(attn.tensor{{0, 0, 0, 1}}:unsqueeze(1):expand(3, 1, 4):contiguous(), 2)
    t.near(map:totable(), {{0, 0, 0.5, 1}}, 1e-6)
    t.near(paper.saliency(attn.full({3, 4, 4}, 0.3), 4):sum():item(), 0, 1e-6)
end)
