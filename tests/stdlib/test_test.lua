-- attn.test itself: what its assertions accept and what they say.
local t = require "attn.test"

t.case("equal compares deeply and names the first difference", function()
    t.equal({1, {a = "x"}, 0 / 0}, {1, {a = "x"}, 0 / 0})
    t.raises([[at [2]["a"]: got "x", expected "y"]], t.equal, {1, {a = "x"}}, {1, {a = "y"}})
    t.raises("at [3]: got nil, expected 3", t.equal, {1, 2}, {1, 2, 3})
    t.raises("at [3]: got 3, expected nil", t.equal, {1, 2, 3}, {1, 2})
    t.raises("got 1, expected \"1\"", t.equal, 1, "1")
    t.raises("expected a", t.raises, "expected a", t.equal, 1, 1)
    local a, b = {}, {}
    a.me, b.me = a, b
    t.equal(a, b)
end)

t.case("near has a tolerance that is relative above 1", function()
    t.near({1, {2.000001}}, {1, {2}})
    t.near(1e6 + 1, 1e6)
    t.near(1 / 0, 1 / 0)
    t.near(0 / 0, 0 / 0)
    t.raises("at [1]: got 1.1, expected 1 (difference 0.1, tolerance 0.01)", t.near, {1.1}, {1}, 0.01)
    t.raises("got inf", t.near, 1 / 0, 1)
    t.raises("expected inf", t.near, 1, 1 / 0)
    t.raises("got nan", t.near, 0 / 0, 1)
    t.raises("got \"1\", expected 1", t.near, "1", 1)
    t.raises("tolerance is a string", t.near, 1, 1, "x")
end)

t.case("all differences are counted, the largest with its place", function()
    local attn = require "attn"
    local x, y = attn.zeros(3, 4), attn.zeros(3, 4)
    x[1][2], x[2][3], x[3][4] = 0.5, -2, 1e-7
    local message = t.raises("at [1][2]: got 0.5, expected 0 (difference 0.5, tolerance 1e-05)", t.near, x, y)
    t.is_true(message:find("\n2 of 12 values differ, the most at [2][3]: got -2, expected 0 (difference 2, ", 1, true), message)
    message = t.raises("at [1][2]: got 0.5, expected 0", t.equal, x, y)
    t.is_true(message:find("\n3 of 12 values differ$"), message)
    t.equal(t.raises("at [1]: got 1, expected 2", t.equal, {1, 1}, {2, 1}):find "differ", nil)
    x[1][1] = 0 / 0                                       -- a NaN is no amount
    t.is_true(t.raises("at [1][1]: got nan", t.near, x, y):find("3 of 12 values differ, the most at [2][3]", 1, true))
end)

t.case("raises wants the text after the position, and returns the message", function()
    local function fail() error("bad thing: x") end
    t.is_true(t.raises("bad thing", fail):find("test_test.lua:%d+: bad thing: x$"))
    t.raises("the error is", t.raises, "test_test", fail)
    t.raises("no error, expected \"x\"", t.raises, "x", function() end)
    t.equal(t.raises("5", error, 5), "5")
end)

t.case("is_true returns its value", function()
    t.equal(t.is_true(7), 7)
    t.raises("got nil, expected a true value", t.is_true, nil)
    t.raises("because", t.is_true, false, "because")
end)

t.case("case checks its arguments and does not nest", function()
    t.raises("case: name is a number", t.case, 1, print)
    t.raises("case: fn is a nil", t.case, "x")
    t.raises("stands inside another case", t.case, "x", print)
end)

t.case("tensors count as their tables", function()
    local attn = require "attn"
    if not attn.tensor then t.skip("no tensors") end
    local x = attn.tensor{{1, 2}, {3, 4}}
    t.equal(x, {{1, 2}, {3, 4}})
    t.near(x, {{1, 2.000001}, {3, 4}})
    t.raises("at [2][1]: got 3, expected 5", t.near, x, {{1, 2}, {5, 4}})
end)

t.case("gradient reports what differs", function()
    local attn = require "attn"
    if not attn.checkgrad then t.skip("no checkgrad") end
    local x = attn.tensor({0.5, -1}, {dtype = "float64"})
    t.gradient(function(v) return (v * v):sum() end, {x})
end)
