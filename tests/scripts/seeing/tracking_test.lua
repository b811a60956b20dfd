-- A tracker's look by hand, and that it holds on to what stands still.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "seeing.tracking"

t.case("a look: particles by how like what is seen is to what they expect, by hand", function()
    local one = paper.tracker{size = 1, reach = 2, particles = 2, sharp = 2}
    local frame, appearance = attn.zeros(1, 12, 12), attn.zeros(1, 4, 4)
    frame[1][6][6], appearance[1][2][2] = 1, 1                      -- the bright point, and where in the digit it is
    -- gaze at (5.4, 5.4) sees the point of row 6, column 6; the digit at (6, 6) has its bright one there, at (9, 9) it does not
    local p = one:look(frame, appearance, attn.tensor{{6, 6}, {9, 9}}, attn.tensor{5.4, 5.4}, 5):totable()
    t.near(p[1] / p[2], math.exp(4), 1e-3)
end)

t.case("what stands still is not lost; the reward of a template is a share", function()
    attn.seed(4)
    local digits = attn.task.digits({made = true, canvas = 60, size = 1, count = 1}, 3):epoch(1)()
    local at = digits.centre[1][1]:totable()
    local first, one = {(at[2] + 1) * 30, (at[1] + 1) * 30}, paper.tracker{size = 9, reach = 8, particles = 48, sharp = 6}
    local heard = 0
    local path = one:follow(digits.image:expand(8, 1, 60, 60):contiguous(), first, attn.tensor{0, 0, 0, 0, 1, 0, 0, 0, 0}, function(rewards)
        for _, r in ipairs(rewards) do t.is_true(r >= 0 and r <= 1) end
        heard = heard + #rewards
    end)
    t.equal({#path, heard}, {8, 63})
    t.is_true(math.abs(path[8][1] - first[1]) + math.abs(path[8][2] - first[2]) < 8)
end)
