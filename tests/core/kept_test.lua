-- Weights kept for inference (bfloat16, and int8 with a scale for each row): their numbers, what reads them, what refuses them.
local attn, t = require "attn", require "attn.test"
local internal = require "attn.internal"

local exe = os.getenv "ATTN_EXE" or arg[-1]
local file = dofile((arg[0]:match("^(.*)/") or ".") .. "/../io/file.lua")
local FORMATS = {"bfloat16", "int8"}

local function same(a, b)
    a, b = a:reshape(-1):totable(), b:reshape(-1):totable()
    if #a ~= #b then return false end
    for i, x in ipairs(a) do
        if x ~= b[i] and (x == x or b[i] == b[i]) then return false end
    end
    return true
end

t.case("bfloat16 is to the nearest, halves to even; below the smallest normal number it is zero", function()
    local x = attn.tensor{{1 + 2 ^ -8, 1 + 3 * 2 ^ -8, 1 + 2 ^ -8 + 2 ^ -20, -3, 2 ^ -127, math.huge, 3.4e38}}
    t.equal(x:to("bfloat16"):to("float32"):totable(), {{1, 1 + 2 ^ -6, 1 + 2 ^ -7, -3, 0, math.huge, math.huge}})
    local nan = attn.tensor{{0 / 0}}:to("bfloat16"):to("float32"):item()
    t.is_true(nan ~= nan)
end)

t.case("int8 has the scale max / 127 of its row, and rounds to the nearest, halves to even", function()
    t.equal(attn.tensor{{127, 0.5, 1.5, 2.5, -0.5, -3.5}, {-12.7, 1, 0, 0, 0, 0}}:to("int8"):to("float32")[1],
            {127, 0, 2, 2, 0, -4})
    attn.seed(1)
    local w = attn.randn(9, 33)
    local scale = w:abs():max(2, true) / 127
    t.is_true(same(w:to("int8"):to "float32", (w / scale):round() * scale))
end)

t.case("a row of zeros stays one, a tiny one becomes one, one with NaN or infinity is NaN; the others do not mind", function()
    local w = attn.tensor{{0, 0, 0}, {1, 2, 127}, {1, 0 / 0, 1}, {2 ^ -130, -2 ^ -128, 0}, {1, -math.huge, 1}}
    local got = w:to("int8"):to("float32"):totable()
    t.equal({got[1], got[2], got[4]}, {{0, 0, 0}, {1, 2, 127}, {0, 0, 0}})
    for _, i in ipairs{3, 5} do
        for _, x in ipairs(got[i]) do t.is_true(x ~= x) end
    end
end)

t.case("from a tensor with any steps, and of any size", function()
    attn.seed(2)
    local w = attn.randn(7, 5, 3)
    for _, how in ipairs(FORMATS) do
        for _, view in ipairs{w:select(2, 2), w:select(2, 2):transpose(1, 2), w:select(1, 3):narrow(2, 2, 2), attn.randn(3):expand(4, 3)} do
            t.is_true(same(view:to(how):to "float32", view:contiguous():to(how):to "float32"))
        end
        t.equal(attn.zeros(0, 3):to(how):to("float32").shape, {0, 3})
        t.equal(attn.zeros(3, 0):to(how):to("float32").shape, {3, 0})
    end
end)

t.case("products and look-ups are those of the expanded weight, to rounding", function()
    for _, how in ipairs(FORMATS) do
        for i, s in ipairs{{1, 1}, {5, 7}, {70, 64}, {67, 100}, {200, 770}, {3, 2100}} do
            attn.seed(i)
            local n, k = table.unpack(s)
            local w, b = attn.randn(n, k):to(how), attn.randn(n)
            local wide = w:to "float32"
            for _, m in ipairs{1, 2, 3, 4, 5, 8, 9, 33, 60} do
                local x = attn.randn(m, k)
                t.near(attn.linear(x, w, b), attn.linear(x, wide, b):totable(), 4e-6 * k ^ 0.5 * 4)
                t.near(attn.linear(x, w), attn.linear(x, wide):totable(), 4e-6 * k ^ 0.5 * 4)
            end
            local ids = attn.randint(0, n, 3, 5)
            t.is_true(same(attn.embedding(ids, w), attn.embedding(ids, wide)))
        end
        local w, b = attn.randn(6, 4):to(how), attn.randn(6)
        t.equal(attn.linear(attn.randn(2, 3, 4), w, b).shape, {2, 3, 6})
        t.equal(attn.linear(attn.zeros(0, 4), w, b).shape, {0, 6})
        t.equal(attn.linear(attn.zeros(2, 0), attn.zeros(6, 0):to(how), b), {b:totable(), b:totable()})
        t.equal(attn.linear(attn.zeros(20, 0), attn.zeros(1, 0):to(how)):sum():item(), 0)
    end
end)

t.case("the same bits with 1, 2, 3 and 7 threads", function()
    local before = attn.threads()
    attn.seed(3)
    for _, how in ipairs(FORMATS) do
        local w, b, first = attn.randn(900, 333), attn.randn(900), nil
        local x = {attn.randn(1, 333), attn.randn(5, 333), attn.randn(40, 333)}
        for _, n in ipairs{1, 2, 3, 7} do
            attn.threads(n)
            local kept = w:to(how)
            local list = {kept:to "float32"}
            for i = 1, #x do list[i + 1] = attn.linear(x[i], kept, b) end
            first = first or list
            for i = 1, #list do t.is_true(same(list[i], first[i])) end
        end
    end
    attn.threads(before)
end)

t.case("where products round their inputs, those with kept weights do, too", function()
    attn.seed(4)
    for _, how in ipairs(FORMATS) do
        local w, b = attn.randn(40, 30):to(how), attn.randn(40)
        for _, m in ipairs{1, 20} do
            local x = attn.randn(m, 30)
            t.is_true(same(attn.precision("bf16", attn.linear, x, w, b), attn.precision("bf16", attn.linear, x, w:to "float32", b)))
        end
    end
end)

t.case("every level of the processor: the numbers bit for bit, products to rounding", function()
    local script = [[
        local attn = require "attn"
        for _, how in ipairs{"bfloat16", "int8"} do
            attn.seed(1)
            local w = attn.randn(70, 133)
            local kept = w:to(how)
            for _, m in ipairs{1, 2, 3, 4, 20} do
                local x = attn.randn(m, 133)
                local worst = (attn.linear(x, kept) - attn.linear(x, kept:to "float32")):abs():max():item()
                if not (worst < 1e-4) then print(how, m, worst) end
            end
            local sum = 0
            for _, row in ipairs(kept:to("float32"):totable()) do
                for _, v in ipairs(row) do sum = (sum * 31 + string.unpack("<I4", string.pack("<f", v))) & 0xffffffffffff end
            end
            print(("%x"):format(sum))
        end
    ]]
    file.write(script)
    local first
    for _, level in ipairs{"", "avx512", "avx2", "base"} do
        local pipe <close> = assert(io.popen(("ATTN_SIMD=%s '%s' %s 2>&1"):format(level, exe, file.path)))
        local got = pipe:read "a"
        t.is_true(got:find "^%x+\n%x+\n$", got)
        first = first or got
        t.equal(got, first, level)
    end
end)

t.case("shape, dtype, print, a handle outside the tape; bytes", function()
    local w = attn.tensor{{1, -2, 4}, {0.5, 0.25, 127}}
    local kept = w:to "bfloat16"
    t.equal({kept.dtype, kept:size(1), #kept, kept:dim(), kept:numel(), kept:is_contiguous()}, {"bfloat16", 2, 2, 2, 6, true})
    t.equal(tostring(kept), (tostring(w):gsub("float32", "bfloat16")))
    t.equal(tostring(attn.tensor{{127, -3}, {254, 2}}:to "int8"), "int8 [2, 2]\n  127   -3\n  254    2")
    t.is_true(kept:to "bfloat16" == kept)
    t.equal(kept:detach():to "float32", w:totable())
    t.is_true(not kept.requires_grad)
    local function live()
        collectgarbage() collectgarbage()
        return attn.memory().live
    end
    local list, bytes, before = {attn.zeros(3000, 700)}, {}, live()
    for i, how in ipairs(FORMATS) do
        list[i + 1] = list[1]:to(how)
        bytes[i] = live() - before
        before = before + bytes[i]
    end
    t.near(bytes, {2 * 2.1e6 * 1.25, 2.1e6 * 1.25}, 5000)      -- the pool's blocks
end)

t.case("everything else refuses it, and says what reads it", function()
    local w = attn.ones(2, 3):to "bfloat16"
    local why = "bfloat16, kept for inference: linear and embedding read it, :to(\"float32\") makes float32 of it"
    for name, f in pairs{
        softmax = attn.softmax, clone = w.clone, totable = w.totable, zeros_like = attn.zeros_like, sum = attn.sum,
        add = function() return w + 1 end, sub = function() return 1 - w end, select = function() return w[1] end,
        matmul = function() return attn.matmul(attn.ones(1, 2), w) end, cat = function() return attn.cat({attn.ones(2, 3), w}, 1) end,
        linear = function() return attn.linear(w, attn.ones(2, 3)) end, assignment = function() w[1] = 2 end, ["copy_"] = function() w:copy_(attn.ones(2, 3)) end,
        einsum = function() return attn.einsum("ij,kj->ik", attn.ones(2, 3), w) end, requires_grad_ = w.requires_grad_, embedding = function()
            return attn.embedding(w, attn.ones(2, 3)) end, where = function() return attn.where(attn.ones(2, 3):gt(0), w, w) end,
        backward = w.backward, expand = function() return w:expand(4, 2, 3) end, to = function() return w:to "float64" end,
    } do
        local ok, message = pcall(f, w)
        t.is_true(not ok, name)
        t.is_true(message:find("kept for inference", 1, true), name .. ": " .. message)
    end
    t.raises("softmax: x is " .. why .. " (x: bfloat16 [2, 3])", attn.softmax, w)
    t.raises("totable: self is " .. why .. " (bfloat16 [2, 3])", w.totable, w)
    t.raises("copy_: value is " .. why, function() attn.ones(2, 3):copy_(w) end)
    t.raises("linear: x is float64, expected float32 beside weight, which is bfloat16", attn.linear, attn.ones(3, {dtype = "float64"}), w)
    t.raises("linear: x has width 2, expected 3 (x: float32 [2], weight: bfloat16 [2, 3])", attn.linear, attn.ones(2), w)
    t.raises("x is float32 [3], expected a matrix of float32 to become a weight of int8", function() attn.ones(3):to "int8" end)
    t.raises("expected a matrix of float32 to become a weight of bfloat16", function() attn.ones(3, 3, {dtype = "float64"}):to "bfloat16" end)
    t.raises("zeros: dtype is the string 'bfloat16', expected float32", attn.zeros, 2, 2, {dtype = "bfloat16"})
end)

t.case("no gradient passes through it, and none is lost in silence", function()
    local w, x = attn.ones(2, 3):to "int8", attn.ones(1, 3):requires_grad_(true)
    local text = "linear: weight is int8, kept for inference, through which no gradient passes: attn.no_grad, or model:to(\"float32\")"
    t.raises(text, attn.linear, x, w)
    t.raises(text, attn.linear, x:detach(), w, attn.ones(2):requires_grad_(true))
    t.equal(attn.no_grad(attn.linear, x, w), {{3, 3}})
end)

t.case("files: BF16 bit for bit, float32 when read; int8 with its scales beside it", function()
    attn.seed(6)
    local w = attn.randn(5, 7):to "bfloat16"
    attn.safetensors.save(file.path, {w = w})
    local bytes = file.read()
    t.is_true(bytes:find('"dtype":"BF16","shape":[5,7]', 1, true))
    t.equal(#bytes - 8 - string.unpack("<I8", bytes), 70)
    t.is_true(same(attn.safetensors.load(file.path).w, w:to "float32"))
    attn.save(file.path, {w = w})
    t.is_true(same(attn.load(file.path).w, w:to "float32"))

    local q = attn.randn(5, 7):to "int8"
    attn.safetensors.save(file.path, {q = q, w = w, none = attn.zeros(0, 3):to "int8"})
    local read = attn.safetensors.load(file.path)
    t.equal({read.q.dtype, read["q.scale"].dtype, read["q.scale"].shape, read["none.scale"].shape}, {"int64", "float32", {5}, {0}})
    t.is_true(same(read.q:to "float32" * read["q.scale"]:unsqueeze(2), q:to "float32"))
    t.raises("two tensors are called 'q.scale'", attn.safetensors.save, file.path, {q = q, ["q.scale"] = w})
    t.raises("cannot be the name of a tensor", attn.safetensors.save, file.path, {[("q"):rep(1020)] = q})
    t.raises("save: w: is int8, kept for inference", attn.save, file.path, {w = q})
    t.raises("npy.save: t is bfloat16, kept for inference", attn.npy.save, file.path, w)
end)

t.case("failed allocations are errors, and nothing is lost", function()
    local w, x = attn.randn(70, 50), {attn.randn(1, 50), attn.randn(20, 50)}
    local function run()
        for _, how in ipairs(FORMATS) do
            local kept = w:transpose(1, 2):to(how)
            kept:to("float32"):free()
            local turned = w:to(how)
            for i = 1, 2 do attn.linear(x[i], turned):free() end
            attn.embedding(attn.tensor({1, 2}, {dtype = "int64"}), turned):free()
        end
    end
    run()
    collectgarbage() collectgarbage()
    local before, failures = attn.memory().live, 0
    for n = 1, 200 do
        internal.fail_allocation(n, true)
        local ok, message = pcall(run)
        internal.fail_allocation(0)
        if ok then break end
        failures = failures + 1
        t.is_true(message:find("out of memory", 1, true), message)
    end
    collectgarbage() collectgarbage()
    t.is_true(failures > 5)
    t.equal(attn.memory().live, before)
end)
