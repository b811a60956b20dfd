-- The random stream, and results that do not depend on the number of threads.
local attn, t = require "attn", require "attn.test"

local function draw()
    return {attn.rand(1000):totable(), attn.randn({999}, {dtype = "float64"}):totable(),
        attn.randint(1, 1000, 500):totable(),
            attn.bernoulli(0.3, 777):totable(), attn.ones(200):dropout(0.5):totable(),
            attn.layer.linear{inputs = 3, outputs = 5}.weight:totable()}
end

t.case("the same seed gives the same numbers, another one others", function()
    attn.seed(7)
    local first = draw()
    attn.seed(7)
    t.equal(draw(), first)
    attn.seed(8)
    t.is_true(draw()[1][1] ~= first[1][1])
    attn.seed(math.mininteger)
    t.raises("seed: n is 1.5, expected an integer", attn.seed, 1.5)
    t.raises("seed: n is the string '1', expected an integer", attn.seed, "1")
    t.raises("seed: n is nil", attn.seed)
end)

t.case("random_state is a plain table of integers that brings a stream back", function()
    attn.seed(3)
    attn.rand(10)
    local state = attn.random_state()
    for k, v in pairs(state) do t.equal({type(k), math.type(v)}, {"string", "integer"}) end
    local first = draw()
    draw()
    attn.random_state(state)
    t.equal(draw(), first)
    t.equal(attn.random_state(state), nil)
    t.raises("random_state: state is 3, expected a table", attn.random_state, 3)
    t.raises("random_state: seed is nil, expected an integer", attn.random_state, {})
    t.raises("random_state: counter is 1.5, expected an integer", attn.random_state, {seed = 1, counter = 1.5})
    t.equal(attn.random_state().counter, state.counter)
end)

t.case("consecutive draws differ and an empty draw takes nothing", function()
    t.is_true(attn.rand(4)[1]:item() ~= attn.rand(4)[1]:item())
    attn.seed(1)
    local a = attn.rand(2):totable()
    attn.seed(1)
    attn.rand(0)
    t.equal(attn.rand(2):totable(), a)
end)

-- ---- threads ----

-- A pass over everything that works in blocks, as one list of numbers.
local function everything(dtype)
    attn.seed(5)
    local out = {}
    local function add(x) out[#out + 1] = x:detach():clone() end
    local a, b = attn.randn({301, 203}, {dtype = dtype}):requires_grad_(true),
        attn.randn({203, 257}, {dtype = dtype}):requires_grad_(true)
    local y = a:matmul(b)
    add(y)
    local z = (y * 0.01):tanh():exp():softmax(2):log():sum(1):sigmoid()
    add(z)
    z:sum():backward()
    add(a.grad)
    add(b.grad)
    local big = attn.randn({300000}, {dtype = dtype})
    add(big:sum())
    add(big:norm())
    add(big:logsumexp(1))
    add(big:exp())
    add(attn.randn({100, 3000}, {dtype = dtype}):dropout(0.3))
    add(attn.randn({64, 33, 65}, {dtype = dtype}):matmul(attn.randn({64, 65, 31}, {dtype = dtype})))
    local ids = attn.randint(0, 400, 50, 60)
    local embed, rnn = attn.layer.embedding{count = 400, dim = 48},
        attn.encoder.rnn{inputs = 48, hidden = 40, cell = "lstm",
                                                                                     bidirectional = true}
    local linear = attn.layer.linear{inputs = 80, outputs = 301}
    for _, l in ipairs{embed, rnn, linear} do l:to(dtype) end
    local lengths = attn.randint(1, 60, 50)
    local loss = attn.loss.cross_entropy(linear((rnn(embed(ids), {lengths = lengths}))), attn.randint(0, 301, 50, 60))
    add(loss)
    loss:backward()
    local params = {}
    for _, l in ipairs{embed, rnn, linear} do
        for _, p in ipairs(l:parameters()) do params[#params + 1] = p end
    end
    attn.clip_grad_norm(params, 1)
    attn.optim.adam{params = params}:step()
    for _, p in ipairs(params) do add(p.grad) add(p) end
    return out
end

for _, dtype in ipairs{"float32", "float64"} do
    t.case("one, two and three threads give the same bits in " .. dtype, function()
        local before = attn.threads()
        local results = {}
        for n = 1, 3 do
            t.equal(attn.threads(n), n)
            results[n] = everything(dtype)
        end
        attn.threads(before)
        for n = 2, 3 do
            for i, x in ipairs(results[1]) do
                t.equal(results[n][i]:eq(x):sum():item(), x:numel())
            end
        end
    end)
end

t.case("threads takes 1 to 256", function()
    for _, n in ipairs{0, -1, 257, math.maxinteger} do
        t.raises("threads: n is " .. n .. ", expected 1 to 256", attn.threads, n)
    end
    t.raises("threads: n is 1.5, expected an integer", attn.threads, 1.5)
end)
