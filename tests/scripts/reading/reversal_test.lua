-- reversal: what the encoder is shown, against lists in plain Lua; the gradient of the model with every presentation.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local reversal = require "reading.reversal"

local function ids(lists) return attn.tensor(lists, {dtype = "int64"}) end
local source, lengths = ids{{5, 6, 7, 8}, {3, 4, 0, 0}}, ids{4, 2}

t.case("as it is, reversed within its length, twice without a gap", function()
    local function shown(order)
        local x, n = reversal.present(source, lengths, order)
        return {x:totable(), n:totable()}
    end
    t.equal(shown "forward", {{{5, 6, 7, 8}, {3, 4, 0, 0}}, {4, 2}})
    t.equal(shown "reversed", {{{8, 7, 6, 5}, {4, 3, 0, 0}}, {4, 2}})
    t.equal(shown "twice", {{{5, 6, 7, 8, 5, 6, 7, 8}, {3, 4, 3, 4, 0, 0, 0, 0}}, {8, 4}})
end)

t.case("the decoder starts from the state after the last word shown: reversed, that is the first", function()
    attn.seed(1)
    local model = reversal.Model{sources = 9, targets = 5, dim = 3, hidden = 4}
    local target = ids{{4, 1}, {4, 2}}
    local flipped = ids{{8, 7, 6, 5}, {4, 3, 0, 0}}
    t.near((model(source, lengths, target, "reversed")), (model(flipped, lengths, target, "forward")), 1e-6)
    t.equal(select(2, model(source, lengths, target, "reversed")), nil)
end)

t.case("gradient, with attention and without", function()
    for _, attention in ipairs{false, {score = "general"}} do
        for _, order in ipairs{"forward", "reversed", "twice"} do
            attn.seed(2)
            local model = reversal.Model{sources = 9, targets = 5, dim = 3, hidden = 4, attention = attention or nil}
            model:to "float64"
            local ok, report = attn.checkgrad(function()
                local logits = model(source, lengths, ids{{4, 1, 2}, {4, 3, 0}}, order)
                return attn.loss.cross_entropy(logits, ids{{1, 2, 5}, {3, 5, 0}})
            end, model:parameters())
            t.is_true(ok, report)
        end
    end
end)
