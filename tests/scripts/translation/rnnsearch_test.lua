-- rnnsearch: both models have as many parameters, the smaller of the two no fewer; the table on texts runs.
local attn, t = require "attn", require "attn.test"
local scripts = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local build = require "translation.rnnsearch".build

t.case("the fixed vector has as many parameters as RNNsearch, within what four more units are", function()
    local c = {sources = 30, targets = 40, dim = 6, hidden = 8}
    local with = build(c):count()
    c.fixed = true
    local without = build(c)
    local fewer = attn.translate.recurrent{sources = 30, targets = 40, dim = 6, hidden = without.decoder.hidden - 4, fixed = true,
        readout = "maxout"}
    t.is_true(without:count() >= with and fewer:count() < with, ("%d, %d, %d"):format(fewer:count(), with, without:count()))
end)

t.case("Multi30k: every number of every row, texts and where it looked are kept", function()
    local results, out = scripts.run("translation/rnnsearch.lua --quick --show --only multi30k --data "
        .. scripts.shell.quote(scripts.multi30k()))
    for _, row in ipairs{"RNNsearch", "fixed_vector", "RNNsearch_<=_15", "fixed_vector_<=_25"} do
        for _, name in ipairs{"bleu", "beam", "short", "long"} do
            t.equal(type(results[("multi30k/%s/%s"):format(row, name)]), "number")
        end
    end
    t.equal(type(results["multi30k/RNNsearch/replaced"]), "number")
    t.is_true(out:find("\nRNNsearch, translations:\nA ", 1, true), out)
end)
