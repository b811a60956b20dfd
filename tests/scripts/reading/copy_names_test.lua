-- copy_names: the distribution with the gate by hand, what is copied, bodies and names, the gradient.
local attn, t = require "attn", require "attn.test"
dofile(debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/../scripts.lua")
local names = require "reading.copy_names"

local function ids(lists) return attn.tensor(lists, {dtype = "int64"}) end
local source, lengths, target = ids{{4, 7, 5, 7, 8}, {3, 6, 0, 0, 0}}, ids{5, 2}, ids{{2, 7}, {2, 3}}

local function namer(copy)
    attn.seed(1)
    local model = names.Namer{words = 6, dim = 3, features = 4, unknown = 2, copy = copy}
    model:to "float64"
    return model
end

t.case("p(y) = lambda sum of kappa where y stands + (1 - lambda) n(y); unknown words are copied only", function()
    local model = namer(true)
    local p, alpha, kappa, lambda = model(source, lengths, target)
    t.near(p:sum(3), {{1, 1}, {1, 1}}, 1e-12)
    t.near(alpha:sum(3), {{1, 1}, {1, 1}}, 1e-12)
    for step = 1, 2 do
        local k, gate, a = kappa[1][step]:totable(), lambda[1][step][1]:item(), alpha[1][step]:totable()
        t.near({p[1][step][7]:item(), p[1][step][8]:item()}, {gate * (k[2] + k[4]), gate * k[5]}, 1e-12)
        local embed, context, sum, e = model.embed.weight:totable(), {0, 0, 0}, 0, {}
        for i, word in ipairs{4, 1, 5, 1, 1} do             -- 7 and 8 are read as the unknown word, 1
            for d = 1, 3 do context[d] = context[d] + a[i] * embed[word][d] end
        end
        for y = 1, 6 do
            e[y] = math.exp(embed[y][1] * context[1] + embed[y][2] * context[2] + embed[y][3] * context[3])
            sum = sum + e[y]
        end
        t.near(p[1][step][4]:item(), gate * k[1] + (1 - gate) * e[4] / sum, 1e-12)
        t.near(p[1][step][2]:item(), (1 - gate) * e[2] / sum, 1e-12)
    end
    t.equal(kappa[2][1]:narrow(1, 3, 3):totable(), {0, 0, 0})
end)

t.case("padding changes nothing; plain attention gives an unseen word nothing", function()
    local model = namer(true)
    local p = model(source, lengths, target)
    t.near((model(ids{{3, 6}}, ids{2}, ids{{2, 3}})), p:narrow(1, 2, 1), 1e-12)
    t.equal(namer(false)(source, lengths, target):narrow(3, 7, 2):sum():item(), 0)
end)

t.case("the name is the verb of the kind, then what stands after self and of", function()
    local batches, total = names.bodies({words = 9, noise = 2, unknown = 4, batch = 50}, 50, 1)
    local unseen = 0
    for b in batches:epoch(1) do
        for i, body in ipairs(b.source:totable()) do
            local name, n = b.target[i]:totable(), b.source_lengths[i]:item()
            t.equal({body[1], body[n]}, {4, 5})
            for j = 1, n do
                if body[j] == 6 then t.equal({body[j + 1], body[j + 2]}, {8, name[2]}) end
                if body[j] == 7 then t.equal({body[j + 1], body[j + 2]}, {8, name[3]}) end
                if body[j] > 8 and body[j] <= 13 then t.equal(name[1], body[j] + 5) end
            end
            unseen = unseen + (name[2] > total and 1 or 0)
        end
    end
    t.is_true(unseen > 15 and unseen < 35, unseen)
end)

t.case("looking twice at a place is counted once more each time", function()
    t.near(names.repeated(attn.tensor{{{1, 0}, {1, 0}, {0.5, 0.5}}}):item(), 1.5, 1e-6)
    t.near(names.repeated(attn.tensor{{{1, 0}, {0, 1}}}):item(), 0, 1e-6)
end)

t.case("gradient", function()
    for _, copy in ipairs{true, false} do
        local model = namer(copy)
        local ok, report = attn.checkgrad(function()
            local p = model(source, lengths, target)
            return attn.loss.nll(p:clamp(1e-10, 1):log(), copy and ids{{7, 8}, {3, 6}} or ids{{1, 5}, {3, 6}})
        end, model:parameters())
        t.is_true(ok, report)
    end
end)
