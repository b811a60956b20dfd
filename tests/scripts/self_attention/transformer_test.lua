-- transformer: gradient, step by step as all at once, a table on texts.
local attn, t = require "attn", require "attn.test"
local scripts = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Transformer = require "self_attention.transformer".Transformer

local ids, lengths = attn.data.pad{{1, 4, 2}, {3, 5}}
local target = attn.tensor({{6, 4, 1}, {6, 2, 2}}, {dtype = "int64"})

t.case("gradient of the whole model, before and after the norm", function()
    for _, norm in ipairs{"pre", "post"} do
        attn.seed(1)
        local model = Transformer{sources = 5, targets = 6, dim = 4, heads = 2, layers = 1, ff = 3, norm = norm}:to "float64"
        t.is_true(attn.checkgrad(model, {ids, lengths, target}), norm)
    end
end)

t.case("step is forward word by word", function()
    attn.seed(2)
    local model = Transformer{sources = 5, targets = 6, dim = 4, heads = 2, layers = 2, ff = 8}
    model:eval()
    attn.no_grad(function()
        local all, state = model(ids, lengths, target), model:encode(ids, lengths)
        for step = 1, 3 do
            local logits
            logits, state = model:step(target:select(2, step), state)
            t.is_true(attn.allclose(logits, all:select(2, step), {atol = 1e-5}), step)
        end
    end)
end)

t.case("Multi30k: beside RNNsearch", function()
    local results = scripts.run("self_attention/transformer.lua --quick --only multi30k --data "
        .. scripts.shell.quote(scripts.multi30k()))
    for _, row in ipairs{"Transformer", "RNNsearch"} do
        for _, name in ipairs{"bleu", "beam", "seconds"} do
            t.equal(type(results[("multi30k/%s/%s"):format(row, name)]), "number")
        end
    end
end)
