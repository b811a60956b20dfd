-- char_lm: gradient, step by step as all at once, another text, the shape of nanoGPT.
local attn, t = require "attn", require "attn.test"
local scripts = dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local Writer = require "language.char_lm".Writer

local shape = {dim = 4, layers = 2, heads = 2, context = 5, dropout = 0, norm = "pre", activation = "gelu", tied = true}
local ids = attn.tensor({{1, 4, 2, 2}, {3, 5, 1, 4}}, {dtype = "int64"})

t.case("gradient; no character sees those behind it; step is forward", function()
    attn.seed(1)
    local model = Writer(shape, 5):to "float64"
    t.is_true(attn.checkgrad(model, {ids}))
    model:eval()
    attn.no_grad(function()
        local all, state = model(ids), {place = 1}
        local other = ids:clone()
        other:select(2, 4):fill_(5)
        t.equal(model(other):narrow(2, 1, 3):totable(), all:narrow(2, 1, 3):totable())
        for step = 1, 4 do
            local logits
            logits, state = model:step(ids:select(2, step), state)
            t.is_true(attn.allclose(logits, all:select(2, step), {atol = 1e-10}), step)
        end
    end)
end)

t.case("learns a text, and writes", function()
    scripts.shell.write("text.txt", ("To be, or not to be: that is the question.\n"):rep(30))
    local results, out = scripts.run("language/char_lm.lua --text text.txt --seeds 1 --model.dim 16 --model.layers 1 --model.heads 2"
        .. " --model.context 16 --warmup 5 --batch 8 --every 20 --windows 4 --sample 40 --prompt T --lr 0.01 --steps 40 --show")
    t.is_true(results["characters/characters/loss"] < 3, out)
    t.is_true(out:find("\ncharacters, written:\nT", 1, true), out)
end)

t.case("the shape of nanoGPT is an option; of it others can be changed", function()
    local _, out = scripts.run "language/char_lm.lua --nanogpt --model.dim 12 --help"
    t.is_true(out:find("model.layers%s+.*6") and out:find("model.context%s+.*256"), out)
end)
