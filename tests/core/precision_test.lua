-- attn.precision: the bits of products of bfloat16 at every level and with any number of threads, what is rounded and what is not,
-- and the scope. The kernels' own test is tests/c/bf16_test.c.
local attn, t = require "attn", require "attn.test"

local exe = os.getenv "ATTN_EXE" or arg[-1]

local function rounded(f, ...)
    return attn.precision("bf16", f, ...)
end

-- x [m, k] and y [k, n] of numbers that have at most 8 bits: their products are exact
local function whole(...) return attn.randint(-128, 127, ...):to "float32" end

t.case("the precision is read, set and refused", function()
    t.equal(attn.precision(), "float32")
    attn.precision "bf16"
    t.equal(attn.precision(), "bf16")
    attn.precision "float32"
    t.equal(attn.precision(), "float32")
    t.raises("precision: argument 1 is the string 'f16', expected \"float32\" or \"bf16\"", attn.precision, "f16")
    t.raises("precision: argument 1 is 16", attn.precision, 16)
    t.raises("precision: fn is 3", attn.precision, "bf16", 3)
    t.equal(attn.precision(), "float32")
end)

t.case("a scope hands on arguments and results, nests, and ends with an error too", function()
    t.equal({rounded(function(...) return attn.precision(), attn.precision("float32", attn.precision), ... end, 7, nil, 8)},
        {"bf16", "float32", 7, nil, 8})
    t.equal(attn.precision(), "float32")
    t.raises("no further", rounded, function() error "no further" end)
    t.equal(attn.precision(), "float32")
end)

t.case("products take their inputs rounded: to the nearest, halves to even", function()
    local x = attn.tensor{{1 + 2 ^ -8, 1 + 3 * 2 ^ -8, 1 + 2 ^ -8 + 2 ^ -20, 3}}
    local one = attn.eye and attn.eye(4) or attn.tensor{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}
    t.equal(rounded(attn.matmul, x, one):totable(), {{1, 1 + 2 ^ -6, 1 + 2 ^ -7, 3}})
    t.equal(attn.matmul(x, one):totable(), x:totable())
    local nan = rounded(attn.matmul, attn.tensor{{0 / 0, 1}}, attn.ones(2, 1)):item()
    t.is_true(nan ~= nan)
    t.equal(rounded(attn.matmul, attn.tensor{{math.huge, 1}}, attn.ones(2, 1)):item(), math.huge)
end)

t.case("products of numbers of 8 bits are exact, in every form, forward and backward", function()
    attn.seed(1)
    for _, s in ipairs{{1, 1, 1}, {3, 5, 7}, {33, 70, 33}, {2, 20, 600}} do
        local m, n, k = table.unpack(s)
        local function both(f, ...)
            local list = {...}
            local function run()
                for _, x in ipairs(list) do x:requires_grad_(true):zero_grad() end
                local y = f(table.unpack(list))
                attn.seed(2)
                y:backward(whole(table.unpack(y.shape)))
                local got = {y:totable()}
                for _, x in ipairs(list) do got[#got + 1] = x.grad:totable() end
                return got
            end
            t.equal(rounded(run), run())
        end
        both(attn.matmul, whole(m, k), whole(k, n))
        both(function(a, b) return a:transpose(1, 2):matmul(b:transpose(1, 2)) end, whole(k, m), whole(n, k))
        both(attn.linear, whole(m, k), whole(n, k), whole(n))
        both(function(a, b) return attn.einsum("bij,bkj->bik", a, b) end, whole(2, m, k), whole(2, n, k))
        both(attn.matmul, whole(2, m, k), whole(2, k, n))
    end
end)

t.case("convolutions round x, the weight and the gradient, one by one or of 3 x 3", function()
    local fine, one = 1 + 2 ^ -8 + 2 ^ -20, 1 + 2 ^ -7
    for _, side in ipairs{1, 3} do
        local x = attn.full({2, 16, 8, 8}, fine):requires_grad_(true)
        local w = attn.full({16, 16, side, side}, 2 ^ -10):requires_grad_(true)
        local function run()
            x:zero_grad() w:zero_grad()
            local y = attn.conv2d(x, w)
            y:backward(attn.full(y.shape, fine))
            return y:min():item(), y:max():item(), x.grad:max():item(), w.grad:min():item()
        end
        local taps, places = side * side, 2 * (9 - side) ^ 2
        t.equal({rounded(run)}, {16 * taps * one / 1024, 16 * taps * one / 1024, 16 * taps * one / 1024, places * one * one})
        t.is_true(run() ~= 16 * taps * one / 1024)
        x, w = whole(3, 5, 9, 9):requires_grad_(true), whole(6, 5, side, side)
        local y = attn.conv2d(x, w)
        t.equal(rounded(attn.conv2d, x, w):totable(), y:totable())
    end
end)

t.case("the same bits at every level of the processor", function()
    local script = [[
        local attn = require "attn"
        attn.precision "bf16"
        local sums = {}
        for i, s in ipairs{{1, 7, 40}, {9, 33, 65}, {60, 70, 600}, {3, 2100, 33}, {3, 3, 1}, {600, 150, 9}} do
            attn.seed(i)
            local m, n, k = table.unpack(s)
            local x, w, b = attn.randn(m, k), attn.randn(n, k):requires_grad_(true), attn.randn(n)
            local y = attn.linear(x, w, b)
            y:backward(attn.randn(m, n))
            local z = attn.matmul(x, attn.randn(k, n) * 1e-20)
            for _, r in ipairs{y, w.grad, z} do
                local sum = 0
                for _, row in ipairs(r:totable()) do
                    for _, v in ipairs(row) do sum = (sum * 31 + string.unpack("<I4", string.pack("<f", v))) & 0xffffffffffff end
                end
                sums[#sums + 1] = ("%x"):format(sum)
            end
        end
        print(table.concat(sums, " "))
    ]]
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "wb"))
    f:write(script)
    f:close()
    local first
    for _, level in ipairs{"", "avx512", "avx2", "base"} do
        local pipe <close> = assert(io.popen(("ATTN_SIMD=%s '%s' %s 2>&1"):format(level, exe, path)))
        local got = pipe:read "a"
        t.is_true(got:find "^%x+ %x+", got)
        first = first or got
        t.equal(got, first, level)
    end
    os.remove(path)
end)

local function all(list)
    local bytes = {}
    for _, x in ipairs(list) do bytes[#bytes + 1] = x:reshape(-1):totable() end
    return bytes
end

local FORMS = {
    gru = function()
        local rnn = attn.encoder.rnn{inputs = 20, hidden = 24, cell = "gru", bidirectional = true}
        return rnn, rnn(attn.randn(37, 3, 20))
    end,
    lstm = function()
        local rnn = attn.encoder.rnn{inputs = 20, hidden = 24, cell = "lstm"}
        return rnn, rnn(attn.randn(37, 3, 20), {lengths = attn.randint(1, 3, 37)})
    end,
    attention = function()
        local a = attn.attention{query = 32, key = 32, heads = 4, score = "scaled_dot", project = true}
        return a, (a(attn.randn(1, 70, 32), attn.randn(1, 140, 32)))
    end,
    linear_attention = function()
        local a = attn.attention{query = 32, key = 32, heads = 4, score = "linear", project = true}
        return a, (a(attn.randn(1, 90, 32), attn.randn(1, 90, 32), nil, {causal = true}))
    end,
    transformer = function()
        local m = attn.encoder.transformer{dim = 32, heads = 4, layers = 1, ff = 64}
        return m, m(attn.randn(2, 70, 32))
    end,
}

for name, form in pairs(FORMS) do
    t.case(name .. ": the same bits with 1, 2, 3 and 7 threads, near those of float32", function()
        local before, first = attn.threads(), nil
        local function run()
            attn.seed(4)
            local model, y = form()
            y:square():sum():backward()
            local list = {y:detach()}
            for _, p in ipairs(model:parameters()) do list[#list + 1] = p.grad end
            return list
        end
        for _, n in ipairs{1, 2, 3, 7} do
            attn.threads(n)
            local got = all(rounded(run))
            first = first or got
            t.equal(got, first)
        end
        attn.threads(before)
        local exact, differs = all(run()), false
        for i, x in ipairs(exact) do
            local largest, worst = 0, 0
            for j, v in ipairs(x) do
                largest, worst = math.max(largest, math.abs(v)), math.max(worst, math.abs(v - first[i][j]))
            end
            differs = differs or worst > 0
            t.is_true(worst <= 0.05 * largest + 1e-3, ("result %d: %g of %g"):format(i, worst, largest))
        end
        t.is_true(differs, "nothing was rounded")
    end)
end

t.case("float64, and what is no product, is not touched", function()
    attn.seed(5)
    local x, y = attn.randn(40, 40, {dtype = "float64"}), attn.randn(40, 40, {dtype = "float64"})
    t.equal(rounded(attn.matmul, x, y):totable(), attn.matmul(x, y):totable())
    local z = attn.randn(4, 40)
    for _, f in ipairs{function() return z:softmax() end, function() return z + z end, function() return z:sum(2) end,
                       function() return attn.layer.layernorm{dim = 40}(z):detach() end} do
        t.equal(rounded(f):totable(), f():totable())
    end
end)
