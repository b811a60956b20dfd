-- HABCNN: gradients, the mean of the k most alike by hand, padding.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local paper = require "reading.snippets"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end
local function snippets(pool)
    attn.seed(9)
    return paper.Snippets{words = 9, dim = 2, maps = 3, pool = pool, k = 2}:to "float64"
end
local story, sentences, words = ids{{{1, 2, 3}, {4, 5, 0}, {6, 0, 0}}, {{7, 8, 0}, {2, 0, 0}, {0, 0, 0}}}, ids{3, 2}, ids{{3, 2, 1}, {2, 1, 0}}
local statements, lengths = ids{{{1, 3}, {4, 0}}, {{7, 8}, {5, 6}}}, ids{{2, 1}, {2, 2}}

for _, pool in ipairs{"average", "attention", "k-max"} do
    t.case(pool .. ": gradient", function()
        local model = snippets(pool)
        local ok, report = attn.checkgrad(function() return (model(story, {sentences, words}, statements, lengths)) end, model:parameters())
        t.is_true(ok, report)
    end)

    t.case(pool .. ": padding changes nothing", function()
        local model = snippets(pool)
        local scores = model(story, {sentences, words}, statements, lengths)
        local alone = model(ids{{{7, 8}, {2, 0}}}, {ids{2}, ids{{2, 1}}}, ids{{{7, 8}, {5, 6}}}, ids{{2, 2}})
        t.near(scores[2]:totable(), alone[1]:totable(), 1e-12)
    end)
end

t.case("k-max: the mean of the two sentences most like the statement, each times its likeness", function()
    local V = attn.tensor({{{1, 0}, {3, 4}, {0, 2}, {9, 9}}}, {dtype = "float64"})
    local there = attn.tensor({{1, 1, 1, 0}}):gt(0)
    local s = attn.tensor({{{0, 1}, {1, 0}}}, {dtype = "float64"})
    local x, like = snippets "k-max":gather(V, s, there)             -- cosines with (0, 1): 0, 0.8, 1; with (1, 0): 1, 0.6, 0
    t.near(like:totable(), {{{0, 0.8, 1, 0}, {1, 0.6, 0, 0}}}, 1e-12)
    t.near(x:totable(), {{{0.8 * 3 / 2, (0.8 * 4 + 2) / 2}, {(1 + 0.6 * 3) / 2, 0.6 * 4 / 2}}}, 1e-12)
    t.near(snippets "attention":gather(V, s, there):totable(), {{{0.8, (3.2 + 2) / 3}, {2.8 / 3, 0.8}}}, 1e-12)
    t.near(snippets "average":gather(V:narrow(2, 1, 3), s, there:narrow(2, 1, 3)):totable(), {{{4 / 3, 2}, {4 / 3, 2}}}, 1e-12)
end)
