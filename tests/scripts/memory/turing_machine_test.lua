-- Neural Turing machines: gradients, addressing worked by hand, the tasks.
local attn, t = require "attn", require "attn.test"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
package.path = here .. "/../../../scripts/?.lua;" .. package.path
local paper = require "memory.turing_machine"

local function machine(controller)
    attn.seed(5)
    local model = paper.Machine{inputs = 3, outputs = 1, hidden = 2, slots = 3, width = 2, controller = controller}
    return model:to "float64"
end

for _, controller in ipairs{"feedforward", "lstm"} do
    t.case(controller .. ": gradient; both heads weigh all of the memory to 1", function()
        local model, x = machine(controller), attn.randn(2, 3, 3, {dtype = "float64"})
        local ok, report = attn.checkgrad(function() return (model(x)) end, model:parameters())
        t.is_true(ok, report)
        local logits, writes, reads = model(x)
        t.equal({logits.shape, writes.shape}, {{2, 3, 1}, {2, 3, 3}})
        t.near((writes:sum(3) + reads:sum(3)):totable(), {{2, 2, 2}, {2, 2, 2}}, 1e-12)
    end)
end

t.case("addressing: content, gate, a step along, sharpening, in plain Lua", function()
    local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
    local function softplus(x) return math.log(1 + math.exp(x)) end
    local function share(list)
        local sum = 0
        for _, v in ipairs(list) do sum = sum + v end
        for i, v in ipairs(list) do list[i] = v / sum end
        return list
    end
    local p, memory = {0.3, -0.8, 1.2, 0.4, 0.1, -0.5, 1.1, 0.7}, {{1, 2}, {-1, 0.5}, {0.2, -3}}
    local before, k = {0.2, 0.5, 0.3}, {}
    for i = 1, 2 do k[i] = (math.exp(2 * p[i]) - 1) / (math.exp(2 * p[i]) + 1) end
    local w, g = {}, sigmoid(p[4])
    for i, row in ipairs(memory) do
        local cosine = (k[1] * row[1] + k[2] * row[2]) / math.sqrt((k[1] ^ 2 + k[2] ^ 2) * (row[1] ^ 2 + row[2] ^ 2))
        w[i] = math.exp(softplus(p[3]) * cosine)
    end
    share(w)
    for i = 1, 3 do w[i] = g * w[i] + (1 - g) * before[i] end
    local s, moved = share{math.exp(p[5]), math.exp(p[6]), math.exp(p[7])}, {}
    for i = 1, 3 do
        moved[i] = (s[1] * w[i % 3 + 1] + s[2] * w[i] + s[3] * w[(i + 1) % 3 + 1]) ^ (1 + softplus(p[8]))
    end
    local function tensor(x) return attn.tensor(x, {dtype = "float64"}) end
    local model = machine "feedforward"
    local got = model:move(tensor{{p, p}}, tensor{memory}, tensor{{before, before}})
    t.near(got:totable(), {{share(moved), moved}}, 1e-6)
end)

t.case("tasks: what is shown, the marks, what is wanted", function()
    attn.seed(3)
    local c = {bits = 2, times = 2}
    local shown, wanted = paper.tasks.copy(c, 1, 3)
    t.equal({shown[1][4], shown[1][{{1, 3}, {1, 2}}]}, {{0, 0, 1, 0}, wanted[1]:totable()})
    t.equal(shown[1][{{1, 3}, {3, 4}}]:sum():item(), 0)
    shown, wanted = paper.tasks["repeat"](c, 1, 2, 2)
    local twice = attn.cat({shown[1][{{1, 2}, {1, 2}}], shown[1][{{1, 2}, {1, 2}}]}, 1)
    t.equal({shown.shape, shown[1][3], wanted[1]}, {{1, 3, 4}, {0, 0, 1, 1}, twice:totable()})
    for _ = 1, 5 do
        shown, wanted = paper.tasks.recall({bits = 8}, 1, 2)
        local x, mark = shown[1]:totable(), {0, 0, 0, 0, 0, 0, 0, 0, 1, 0}
        t.equal({#x, x[1], x[3], x[5], x[7]}, {8, mark, mark, mark, {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}})
        local asked = attn.allclose(shown[1][8], shown[1][2]) and 1 or 2
        t.equal({x[8], wanted[1][1]}, {x[2 * asked], shown[1][2 * asked + 2][{{1, 8}}]:totable()})
    end
    local b = paper.batch({task = "copy", bits = 2}, 3, 1, 2)
    t.equal({b.x.shape, b.y.shape, b.x[{1, {1, 3}, {1, 2}}]}, {{2, 7, 4}, {2, 3, 2}, b.y[1]:totable()})
    t.equal(b.x[{{}, {5, 7}}]:sum():item(), 0)
end)
