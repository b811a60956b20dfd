-- The line of progress: what stands in it, and the estimate, with a clock of our own.
local attn, t = require "attn", require "attn.test"
local bars = require "attn.progress_bar"

t.case("a loop over numbers or a list has all its steps", function()
    local seen = {}
    for i in attn.progress(3, {quiet = true}) do seen[#seen + 1] = i end
    for i, x in attn.progress({"a", "b"}, {quiet = true}) do seen[#seen + 1] = i .. x end
    for _ in attn.progress(0, {quiet = true}) do error() end
    t.equal(seen, {1, 2, 3, "1a", "2b"})
    local bar <close> = attn.progress(5, {quiet = true})
    for i in bar do if i == 3 then break end end
    t.equal(tostring(bar), "progress  2/5")
    t.raises("progress: n is 2.5, expected a number of steps or a list", attn.progress, 2.5)
    t.raises("progress: unknown field 'quite' (known: quiet)", attn.progress, 3, {quite = true})
end)

t.case("the first steps do not count for the estimate", function()
    local now = 0
    local bar = bars.new(103, {quiet = true, clock = function() return now end})
    local function step(i, seconds)
        now = now + seconds
        bar:update(i)
    end
    for i = 1, 3 do step(i, 80) end
    t.is_true(bar:left() ~= bar:left())                    -- not known yet
    step(4, 10)
    t.near(bar:left(), 990)
    step(5, 20)
    t.near(bar:left(), 98 * 15)
    t.equal(bar:line(80), "  4% 5/103  4:30 < 24:30")
    local other = bars.new(110, {quiet = true, done = 100, clock = function() return now end})     -- goes on
    now = now + 50
    other:update(101)
    now = now + 2
    other:update(102)
    t.near(other:left(), 16)
end)

t.case("the line: bar, count, note, times; never wider than the screen", function()
    local now = 0
    local bar = bars.new(8, {terminal = true, quiet = true, clock = function() return now end})
    now = 4
    bar:update(2, "loss 0.5\n")
    now = 6
    bar:update(4)
    t.equal(bar:line(60), " 50% ███████████▌            4/8  loss 0.5?  0:06 < 0:04")
    t.equal(bar:line(34), " 50% 4/8  loss 0.5?  0:06 < 0:04")
    t.equal(bar:line(20), "4/8  loss 0.5?  0:…")
    for width = 5, 70 do t.is_true(require "attn.show_screen".width(bar:line(width)) < width) end
    t.equal({bars.clock(59.6), bars.clock(3600), bars.clock(0 / 0), bars.clock(1e9)}, {"1:00", "1:00:00", "?", "?"})
end)
