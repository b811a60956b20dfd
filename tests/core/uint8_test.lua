-- uint8, for storage: made, moved, converted, compared, saved; nothing is computed in it.
local attn, t = require "attn", require "attn.test"

local U8 = {dtype = "uint8"}
local inf, nan = math.huge, 0 / 0

t.case("it is made by every constructor, and holds 0 to 255", function()
    t.equal(attn.zeros(2, U8):totable(), {0, 0})
    t.equal(attn.ones({2}, U8):totable(), {1, 1})
    t.equal(attn.empty(2, U8):totable(), {0, 0})
    t.equal(attn.full({2}, 255, U8):totable(), {255, 255})
    t.equal(attn.tensor({{0, 255}, {7, 128}}, U8):totable(), {{0, 255}, {7, 128}})
    t.equal(attn.tensor({true, false}, U8):totable(), {1, 0})
    t.equal(attn.arange(253, 255, U8):totable(), {253, 254, 255})
    t.equal(attn.arange(3, 0, -1, U8):totable(), {3, 2, 1, 0})
    t.equal(attn.eye(2, U8):totable(), {{1, 0}, {0, 1}})
    t.equal(attn.one_hot(attn.tensor({2, 0}, {dtype = "int64"}), 2, U8):totable(), {{0, 1}, {0, 0}})
    attn.seed(1)
    local x = attn.randint(3, 250, 4000, U8)
    t.equal(x.dtype, "uint8")
    attn.seed(1)
    t.equal(x:to("int64"):totable(), attn.randint(3, 250, 4000):totable())
    t.equal(attn.bernoulli(1, 3, U8):totable(), {1, 1, 1})
    t.equal(math.type(x[1]:item()), "integer")
end)

t.case("what it cannot hold is an error where it is written", function()
    t.raises("tensor: an element is 256, expected an integer from 0 to 255 for uint8", attn.tensor, {1, 256}, U8)
    t.raises("tensor: an element is -1, expected an integer from 0 to 255 for uint8", attn.tensor, {-1}, U8)
    t.raises("tensor: an element is 1.5, expected an integer from 0 to 255 for uint8", attn.tensor, {1.5}, U8)
    t.raises("expected an integer from 0 to 255 for uint8", attn.tensor, {nan}, U8)
    t.raises("full: value is 300, expected an integer from 0 to 255 for uint8", attn.full, {2}, 300, U8)
    t.raises("full: value is 1.5, expected an integer", attn.full, {2}, 1.5, U8)
    t.raises("arange: 256 is among the numbers, expected integers from 0 to 255 for uint8", attn.arange, 254, 256, U8)
    t.raises("arange: 0.5 is among the numbers", attn.arange, 0.5, 3, U8)
    t.raises("randint: 0 to 256 is not within 0 to 255", attn.randint, 0, 256, 3, U8)
    t.raises("rand: dtype is uint8, expected float32 or float64", attn.rand, 3, U8)
    t.raises("requires_grad_: the tensor is uint8", attn.zeros(2, U8).requires_grad_, attn.zeros(2, U8), true)
    local x = attn.zeros(2, U8)
    t.raises("assignment: value is 256, expected an integer from 0 to 255 for uint8", function() x[1] = 256 end)
    t.raises("fill_: value is -1, expected an integer from 0 to 255 for uint8", x.fill_, x, -1)
    t.raises("masked_fill: value is 256, expected an integer from 0 to 255", x.masked_fill, x, x:eq(0), 256)
    t.raises("where: b is 999, expected an integer from 0 to 255 (the other side is uint8)", attn.where, x:eq(0), x, 999)
    t.raises("assignment: value is float32, the tensor uint8", function() x[1] = attn.tensor(0.5) end)
end)

t.case("conversions: floats get 0 to 255, and are cut and kept within them the other way", function()
    local x = attn.tensor({0, 1, 128, 255}, U8)
    for _, dtype in ipairs{"float32", "float64", "int64"} do
        t.equal(x:to(dtype):totable(), {0, 1, 128, 255})
        t.equal(x:to(dtype).dtype, dtype)
        t.equal(attn.tensor({-5, 0, 7, 255, 256, 1e9}, {dtype = dtype}):to("uint8"):totable(), {0, 0, 7, 255, 255, 255})
    end
    t.equal(x:to("bool"):totable(), {false, true, true, true})
    t.equal(attn.tensor{true, false}:to("uint8"):totable(), {1, 0})
    t.equal(attn.tensor{1.9, -0.5, 254.99, inf, -inf, nan}:to("uint8"):totable(), {1, 0, 254, 255, 0, 0})
    t.equal(attn.tensor({math.maxinteger, math.mininteger}, {dtype = "int64"}):to("uint8"):totable(), {255, 0})
    t.equal(attn.zeros(2, U8):copy_(attn.tensor({-1, 300}, {dtype = "int64"})):totable(), {0, 255})
end)

t.case("it is indexed, viewed, moved and copied like every other", function()
    local x = attn.arange(0, 59, U8):reshape(3, 4, 5)
    t.equal(x[2][3]:totable(), {30, 31, 32, 33, 34})
    t.equal(x[{{}, 1, {2, 3}}]:totable(), {{1, 2}, {21, 22}, {41, 42}})
    t.equal(x:transpose(1, 3):contiguous()[5]:totable(), x:to("int64"):transpose(1, 3)[5]:totable())
    t.equal(attn.cat({x, x}, 2)[3][8]:totable(), {55, 56, 57, 58, 59})
    t.equal(attn.stack{x, x}.shape, {2, 3, 4, 5})
    t.equal(x:index_select(1, attn.tensor({3, 1}, {dtype = "int64"}))[1][1]:totable(), {40, 41, 42, 43, 44})
    t.equal(x[1]:tril():totable()[2], {5, 6, 0, 0, 0})
    t.equal(x[1]:masked_fill(x[1]:gt(3), 255)[1]:totable(), {0, 1, 2, 3, 255})
    t.equal(attn.where(x[1][1]:gt(2), x[1][1], 9):totable(), {9, 9, 9, 3, 4})
    local y = x:clone()
    y[1] = 7
    y[{2, 1}] = attn.tensor({1, 2, 3, 4, 250}, U8)
    t.equal({y[1][4][5]:item(), y[2][1]:totable(), x[1][1][1]:item()}, {7, {1, 2, 3, 4, 250}, 0})
    -- a transposed copy goes by tiles
    local big = attn.randint(0, 255, 40, 50, U8)
    t.equal(big:transpose(1, 2):contiguous():totable(), big:to("int64"):transpose(1, 2):contiguous():totable())
    local mask = big:gt(100)
    t.equal(mask:transpose(1, 2):contiguous():totable(), big:transpose(1, 2):gt(100):totable())
end)

t.case("it is compared and printed", function()
    local x, y = attn.tensor({1, 200, 3}, U8), attn.tensor({1, 100, 4}, U8)
    t.equal(x:eq(y):totable(), {true, false, false})
    t.equal(x:ne(y):totable(), {false, true, true})
    t.equal(x:gt(y):totable(), {false, true, false})
    t.equal(x:eq(200):totable(), {false, true, false})
    t.equal(x:lt(1000):totable(), {true, true, true})
    t.equal(x:eq(attn.tensor({1, 2, 3}, {dtype = "int64"})):totable(), {true, false, true})
    t.equal(attn.tensor({1, 2, 3}, {dtype = "int64"}):eq(x):totable(), {true, false, true})
    t.equal(tostring(x), "uint8 [3]\n    1  200    3")
end)

t.case("there is no arithmetic in it", function()
    local x = attn.ones(2, U8)
    for _, f in ipairs{function() return x + x end, function() return x * 2 end, function() return -x end,
                       function() return x:sum() end, function() return x:max() end, function() return x:mean() end,
                       function() return x:cumsum() end, function() return x:matmul(x) end, function() return x:relu() end,
                       function() return attn.ones(2) * x end, function() return attn.ones(2, {dtype = "int64"}) + x end} do
        t.raises("is uint8", f)
    end
    t.raises("add: a is uint8, expected float32, float64 or int64 (a: uint8 [2])", attn.add, x, x)
    t.raises("embedding: ids is uint8, expected int64", attn.embedding, x, attn.ones(3, 2))
end)

t.case("it is saved and loaded as it is", function()
    local name = os.tmpname()
    local x = attn.randint(0, 255, 3, 5, U8)
    for _, y in ipairs{x, x:transpose(1, 2), x[{{}, {2, 3}}]} do
        attn.save(name, {x = y})
        t.equal({attn.load(name).x.dtype, attn.load(name).x:totable()}, {"uint8", y:totable()})
        attn.safetensors.save(name, {x = y, f = attn.ones(3), i = attn.ones(2, {dtype = "int64"})})
        t.equal({attn.safetensors.load(name).x.dtype, attn.safetensors.load(name).x:totable()}, {"uint8", y:totable()})
        attn.npy.save(name, y)
        t.equal({attn.npy.load(name).dtype, attn.npy.load(name):totable()}, {"uint8", y:totable()})
    end
    os.remove(name)
end)
