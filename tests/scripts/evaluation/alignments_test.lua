-- Alignments: the diagonal and agreement by hand, the model that finds things in pictures.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local paper = require "evaluation.alignments"

t.case("the diagonal: word t of T from the place as far into the source", function()
    local links = paper.diagonal{source = {{7, 8}, {7, 8, 9}}, target = {{4, 5, 6, 7}, {4}}}
    t.equal(links, {{{1, 1}, {2, 1}, {3, 2}, {4, 2}}, {{1, 2}}})
end)

t.case("agreement: links in common of two, over the mean of how many they have; the mean over pairs", function()
    local a, b, c = {{{1, 1}, {2, 2}}}, {{{1, 1}, {2, 3}}}, {{{1, 4}, {2, 2}}}
    t.near(paper.agreement{a, b}, 2 * 1 / 4, 1e-12)
    t.near(paper.agreement{a, b, c}, (0.5 + 0.5 + 0) / 3, 1e-12)
    t.equal(paper.agreement{a, a}, 1)
end)

t.case("a picture: gradient; each cell is a key by itself", function()
    attn.seed(2)
    local model = paper.Finder{grid = 2, shapes = 3, answers = 2, dim = 2}:to "float64"
    local image, query = attn.rand(1, 3, 12, 12, {dtype = "float64"}), attn.tensor({2}, {dtype = "int64"})
    local ok, report = attn.checkgrad(function() return (model(image, query)) end, model:parameters())
    t.is_true(ok, report)
    local logits, weights = model(image, query)             -- cells 1 and 4 change places: so do their weights
    local turned = image:clone()
    turned[{1, {}, {1, 6}, {1, 6}}] = image[{1, {}, {7, 12}, {7, 12}}]
    turned[{1, {}, {7, 12}, {7, 12}}] = image[{1, {}, {1, 6}, {1, 6}}]
    local same, moved = model(turned, query)
    local w = weights[1]:totable()
    t.near(moved[1]:totable(), {w[4], w[2], w[3], w[1]}, 1e-12)
    t.near(same:totable(), logits:totable(), 1e-12)
end)
