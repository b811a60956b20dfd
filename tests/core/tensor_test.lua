-- Tensors: construction, indexing, views, assignment, conversion, printing.
local attn, t = require "attn", require "attn.test"

local FLOATS = {"float32", "float64"}
local DTYPES = {"float32", "float64", "int64", "bool"}

-- ---- construction ----

t.case("tensor takes nested tables, numbers and booleans", function()
    local m = attn.tensor{{1, 2, 3}, {4, 5, 6}}
    t.equal({m.shape, m.dtype}, {{2, 3}, "float32"})
    t.equal(m:totable(), {{1, 2, 3}, {4, 5, 6}})
    t.equal({attn.tensor(2.5).shape, attn.tensor(2.5):item()}, {{}, 2.5})
    local b = attn.tensor{true, false}
    t.equal({b.dtype, b:totable()}, {"bool", {true, false}})
    t.equal({attn.tensor{}.shape, attn.tensor{{}, {}}.shape}, {{0}, {2, 0}})
    t.equal(attn.tensor({1, 2}, {dtype = "int64"}):totable(), {1, 2})
    t.equal(attn.tensor({0, 1, 2}, {dtype = "bool"}):totable(), {false, true, true})
end)

t.case("int64 elements keep all 64 bits", function()
    local values = {math.maxinteger, math.mininteger, (1 << 53) + 1}
    local ids = attn.tensor(values, {dtype = "int64"})
    t.equal(ids:totable(), values)
    ids[1] = math.mininteger
    t.equal(ids[1]:item(), math.mininteger)
    t.equal(ids[{{2, 3}}]:clone():totable(), {values[2], values[3]})
    t.equal(attn.arange((1 << 53) + 1, (1 << 53) + 3):totable(), {(1 << 53) + 1, (1 << 53) + 2, (1 << 53) + 3})
    t.equal(attn.full({2}, (1 << 53) + 1, {dtype = "int64"}):totable(), {(1 << 53) + 1, (1 << 53) + 1})
end)

t.case("uneven or wrong elements are errors", function()
    t.raises("tensor: a row of dimension 2 has 1 elements, expected 2", attn.tensor, {{1, 2}, {3}})
    t.raises("tensor: a row is 3, expected a table of 2", attn.tensor, {{1, 2}, 3})
    t.raises("tensor: an element is the string '1', expected a number", attn.tensor, {"1"})
    t.raises("(the rows are nested unevenly)", attn.tensor, {1, {2}})
    t.raises("tensor: an element is 2.5, expected an integer for int64", attn.tensor, {2.5}, {dtype = "int64"})
    t.raises("tensor: dtype is the string 'int32', expected float32, float64, int64, bool or uint8", attn.tensor, {1},
        {dtype = "int32"})
    t.raises("tensor: unknown option the string 'dtpye' (known: dtype; did you mean 'dtype'?)", attn.tensor, {1}, {dtpye = "int64"})
    local deep = 1
    for _ = 1, 9 do deep = {deep} end
    t.raises("nested more than 8 deep", attn.tensor, deep)
    local cyclic = {}
    cyclic[1] = cyclic
    t.raises("nested more than 8 deep", attn.tensor, cyclic)
end)

t.case("zeros, ones, empty and full take sizes as numbers or one table", function()
    t.equal({attn.zeros(2, 3).shape, attn.zeros({2, 3}).shape, attn.zeros{}.shape, attn.zeros().shape},
        {{2, 3}, {2, 3}, {}, {}})
    for _, dtype in ipairs(DTYPES) do
        t.equal(attn.ones(2, {dtype = dtype}).dtype, dtype)
        t.equal(attn.zeros({0, 2}, {dtype = dtype}).shape, {0, 2})
    end
    t.equal(attn.full({2, 1}, 7.5):totable(), {{7.5}, {7.5}})
    t.equal({attn.full({}, true).dtype, attn.full({}, true):item()}, {"bool", true})
    t.equal(attn.empty(2):totable(), {0, 0})
    t.raises("zeros: size is -1, expected at least 0", attn.zeros, -1)
    t.raises("zeros: size is 2.5, expected an integer", attn.zeros, 2.5)
    t.raises("zeros: size is the string '2', expected an integer", attn.zeros, {"2"})
    t.raises("zeros: size is the string '2', expected an integer", attn.zeros, "2")
    t.raises("more than 8 dimensions", attn.zeros, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    t.raises("is too large", attn.zeros, 1 << 31, 1 << 31)
    t.raises("is too large", attn.zeros, math.maxinteger)
    t.raises("is too large", attn.zeros, 0, math.maxinteger, math.maxinteger)
end)

t.case("arange counts up, down and by fractions", function()
    t.equal({attn.arange(1, 4).dtype, attn.arange(1, 4):totable()}, {"int64", {1, 2, 3, 4}})
    t.equal(attn.arange(3):totable(), {1, 2, 3})
    t.equal(attn.arange(5, 1, -2):totable(), {5, 3, 1})
    t.equal(attn.arange(1, 0):totable(), {})
    local f = attn.arange(0, 1, 0.25)
    t.equal({f.dtype, f:totable()}, {"float32", {0, 0.25, 0.5, 0.75, 1}})
    t.raises("a step that is not 0", attn.arange, 1, 2, 0)
    t.raises("expected finite numbers", attn.arange, 1, math.huge)
    t.raises("expected finite numbers", attn.arange, 0 / 0, 1)
    t.raises("too many", attn.arange, 1, math.maxinteger)
    t.raises("out of memory", function() attn.arange(1, 1e12 // 1 | 0) end)
end)

t.case("eye, randint and bernoulli", function()
    t.equal(attn.eye(2, {dtype = "int64"}):totable(), {{1, 0}, {0, 1}})
    t.equal(attn.eye(0).shape, {0, 0})
    local r = attn.randint(-2, 3, 1000)
    t.equal({r.dtype, r:min():item(), r:max():item()}, {"int64", -2, 3})
    t.equal(attn.randint(math.mininteger, math.maxinteger, 3).shape, {3})
    t.raises("randint: low is 2, above high 1", attn.randint, 2, 1, 3)
    local b = attn.bernoulli(0.25, 10000)
    t.near(b:mean():item(), 0.25, 0.02)
    t.equal(attn.bernoulli(1, 4, {dtype = "bool"}):totable(), {true, true, true, true})
    t.raises("bernoulli: p is 1.5, expected 0 to 1", attn.bernoulli, 1.5, 3)
    t.raises("nan, expected 0 to 1", attn.bernoulli, 0 / 0, 3)
end)

t.case("rand is in [0, 1), randn has mean 0 and deviation 1", function()
    for _, dtype in ipairs(FLOATS) do
        local u, n = attn.rand(20000, {dtype = dtype}), attn.randn(20000, {dtype = dtype})
        t.is_true(u:min():item() >= 0 and u:max():item() < 1)
        t.near(u:mean():item(), 0.5, 0.02)
        t.near({n:mean():item(), n:std():item()}, {0, 1}, 0.03)
    end
    t.raises("randn: dtype is int64, expected float32 or float64", attn.randn, 2, {dtype = "int64"})
end)

-- ---- shape ----

t.case("size, dim, numel, # and shape agree", function()
    local x = attn.zeros(2, 3, 4)
    t.equal({x:size(), x:size(1), x:size(-1), x:dim(), x:numel(), #x}, {{2, 3, 4}, 2, 4, 3, 24, 2})
    t.raises("size: d is 4, expected 1..3 or -3..-1 (float32 [2, 3, 4])", x.size, x, 4)
    t.raises("size: d is 0", x.size, x, 0)
    t.raises("#: the tensor has no dimensions (float32 [])", function() return #attn.tensor(1) end)
    x.shape[1] = 99
    t.equal(x:size(1), 2)
end)

t.case("item wants one element", function()
    t.equal({attn.tensor{{3}}:item(), attn.tensor({7}, {dtype = "int64"}):item(), attn.tensor{true}:item()},
        {3, 7, true})
    t.equal(math.type(attn.tensor({7}, {dtype = "int64"}):item()), "integer")
    t.raises("item: the tensor has 2 elements, expected 1 (float32 [2])", attn.zeros(2).item, attn.zeros(2))
end)

-- ---- indexing ----

local function grid() return attn.arange(1, 24):reshape(2, 3, 4) end

t.case("a number selects along the first dimension, also from the end", function()
    local x = grid()
    t.equal(x[2].shape, {3, 4})
    t.equal({x[2][1][3]:item(), x[-1][-1][-1]:item()}, {15, 24})
    t.raises("select: i is 3, expected 1..2 or -2..-1", function() return x[3] end)
    t.raises("select: i is 0", function() return x[0] end)
    t.raises("index: i is 1.5, expected an integer", function() return x[1.5] end)
    t.raises("is a scalar", function() return attn.tensor(1)[1] end)
    t.equal(x[1.0]:totable(), x[1]:totable())
end)

t.case("a table has an entry per dimension: number, range, all", function()
    local x = grid()
    t.equal(x[{2, {1, 3}, {}}]:totable(), x[2]:totable())
    t.equal(x[{{}, 2}]:totable(), {{5, 6, 7, 8}, {17, 18, 19, 20}})
    t.equal(x[{1, {2, 3}, {-2, -1}}]:totable(), {{7, 8}, {11, 12}})
    t.equal(x[{{2, 2}}].shape, {1, 3, 4})
    t.equal(x[{1, 2, 3}]:item(), 7)
    t.equal(x[{}]:totable(), x:totable())
    t.equal(x[{{2, 1}}].shape, {0, 3, 4})           -- an empty range
    t.raises("index: the range {1, 3} is outside 1..2 of dimension 1", function() return x[{{1, 3}}] end)
    t.raises("index: the range {0, 1}", function() return x[{{0, 1}}] end)
    t.raises("index: 4 entries, expected at most 3", function() return x[{1, 1, 1, 1}] end)
    t.raises("index: entry 1 is a table, expected a number, {first, last} or {}", function() return x[{{1, 2, 3}}] end)
    t.raises("index: entry 2 is the string '1'", function() return x[{1, "1"}] end)
    t.raises("index: true, expected a number, a table or a name", function() return x[true] end)
    t.equal(x.no_such_field, nil)
end)

t.case("views share storage, copies do not", function()
    local x = attn.zeros(2, 3)
    local views = {x[1], x:narrow(2, 1, 2), x:transpose(1, 2), x:view(3, 2), x:reshape(6), x:unsqueeze(1), x:detach(),
        x[{{}, 2}],
                   x:expand(2, 2, 3), x:permute(2, 1), x:select(2, 1), x:split(1)[1], x:chunk(2)[1]}
    for i, v in ipairs(views) do
        x:fill_(i)
        local first = v:contiguous():view(-1)[1]:item()
        t.equal(first, i)
    end
    local copy, cast = x:clone(), x:to("float64")
    x:fill_(-1)
    t.equal({copy:max():item(), cast:max():item()}, {#views, #views})
    t.is_true(x:to("float32") == x, "to the same dtype is the tensor itself")
    t.is_true(x:contiguous() == x, "contiguous of a contiguous tensor is the tensor itself")
end)

t.case("a view of a strided tensor must fit its steps, reshape copies", function()
    local x = attn.arange(1, 6):reshape(2, 3):transpose(1, 2)
    t.is_true(not x:is_contiguous())
    t.is_true(not pcall(x.view, x, 6))
    t.equal(x:reshape(6):totable(), {1, 4, 2, 5, 3, 6})
    t.equal(x:contiguous():totable(), x:totable())
    t.equal(x:totable(), {{1, 4}, {2, 5}, {3, 6}})
end)

t.case("split and chunk give views that cover the dimension", function()
    local x = attn.arange(1, 7)
    local sizes = {}
    for i, part in ipairs(x:split(3)) do sizes[i] = #part end
    t.equal(sizes, {3, 3, 1})
    sizes = {}
    for i, part in ipairs(attn.chunk(x, 3)) do sizes[i] = #part end
    t.equal(sizes, {3, 3, 1})
    t.equal(#attn.zeros(2, 5):split(2, 2), 3)
    t.equal(#attn.zeros(0):split(2), 1)
    t.equal(#x:split(math.maxinteger), 1)
    t.equal(#x:chunk(math.maxinteger), 7)
    t.raises("split: size is 0, expected at least 1", x.split, x, 0)
    t.raises("split: d is 2, expected 1..1", x.split, x, 1, 2)
end)

-- ---- assignment ----

t.case("assignment takes numbers, booleans and broadcast tensors through every index form", function()
    local x = attn.zeros(2, 3)
    x[1] = 5
    x[{2, {1, 2}}] = attn.tensor{1, 2}
    t.equal(x:totable(), {{5, 5, 5}, {1, 2, 0}})
    x[{{}, 3}] = attn.tensor{8, 9}
    t.equal(x:totable(), {{5, 5, 8}, {1, 2, 9}})
    x[{}] = attn.tensor{{1}, {2}}
    t.equal(x:totable(), {{1, 1, 1}, {2, 2, 2}})
    x[{1, 2}] = attn.tensor(7, {dtype = "int64"})       -- another dtype is converted
    t.equal(x[1]:totable(), {1, 7, 1})
    local mask = attn.zeros(2, {dtype = "bool"})
    mask[2] = true
    t.equal(mask:totable(), {false, true})
    local ids = attn.zeros(2, {dtype = "int64"})
    ids[1] = 3
    t.raises("assignment: value is 1.5, expected an integer", function() ids[1] = 1.5 end)
    t.raises("assignment: value is float32, the tensor int64", function() ids[1] = attn.tensor(1.5) end)
    t.raises("assignment: value is float32 [2], expected shape [3]", function() x[1] = attn.zeros(2) end)
    t.raises("assignment: value is float32 [1, 3], expected shape [3]", function() x[1] = attn.zeros(1, 3) end)
    t.raises("assignment: value is the string '1', expected a tensor", function() x[1] = "1" end)
    t.raises("assignment: value is missing", function() x[1] = nil end)
    t.raises("assignment: a tensor has no field 'shpae' to write (known: grad)", function() x.shpae = 1 end)
    t.raises("assignment: the index is true, expected a number or a table", function() x[true] = 1 end)
end)

t.case("an assignment from the same storage reads before it writes", function()
    local x = attn.arange(1, 4)
    x[{{2, 4}}] = x[{{1, 3}}]
    t.equal(x:totable(), {1, 1, 2, 3})
    local m = attn.arange(1, 4):reshape(2, 2)
    m:copy_(m:transpose(1, 2))
    t.equal(m:totable(), {{1, 3}, {2, 4}})
end)

t.case("copy_ and fill_ write into views and return the tensor", function()
    local x = attn.zeros(2, 2)
    t.is_true(x:fill_(3) == x)
    x:transpose(1, 2):copy_(attn.tensor{{1, 2}, {3, 4}})
    t.equal(x:totable(), {{1, 3}, {2, 4}})
    t.is_true(x:copy_(attn.tensor(9)) == x)
    t.equal(x:totable(), {{9, 9}, {9, 9}})
    t.raises("fill_: value is float32 [], expected a number", x.fill_, x, attn.tensor(1))
    t.raises("copy_: value is float32 [3], expected shape [2, 2]", x.copy_, x, attn.zeros(3))
end)

t.case("in-place writes of what requires or carries a gradient need no_grad: the gradient would be lost", function()
    local a = attn.ones(3):requires_grad_(true)
    for _, case in ipairs{{a, "requires"}, {a * 2, "carries"}, {a[{{1, 3}}], "carries"}} do
        local value, verb = case[1], case[2]
        local text = ": value " .. verb .. " a gradient, which an in-place write would lose; use cat, stack, where or scatter_add"
        local carried = "assignment: value carries a gradient"
        for _, dtype in ipairs{"float32", "float64"} do
            local b = attn.zeros(2, 3, {dtype = dtype})
            t.raises("copy_" .. text, b.copy_, b, value)
            t.raises("assignment" .. text, function() b[1] = value end)
            t.raises("assignment" .. text, function() b[{2, {}}] = value end)
            t.raises("assignment" .. text, function() b[{{1, 2}}] = value end)
            t.raises("assignment" .. text, function() b[{{}, {1, 3}}] = value end)
            t.raises(carried, function() b[{{}, 2}] = value[1] end)
            t.raises(carried, function() b[{1, 2}] = value:sum() end)
            t.raises(carried, function() b[{}] = value:sum() end)
            t.equal(b:abs():sum():item(), 0)
            b[1] = value:detach()
            attn.no_grad(function() b[2] = value; b[{{}, 2}]:copy_(value[3]) end)
            t.equal(b:totable(), {value:totable(), value:totable()})
        end
    end
    local mean = require("attn.train").ema{model = attn.layer.linear{inputs = 1, outputs = 1}}
    local weights = attn.layer.linear{inputs = 1, outputs = 1}:state()
    mean:load(weights)                                  -- from parameters: nothing is lost there
    t.equal(mean:state().weight:item(), weights.weight:item())
end)

t.case("in-place writes to what requires or carries a gradient need no_grad", function()
    local w = attn.zeros(2):requires_grad_(true)
    local y = w * 2
    for _, case in ipairs{{w, "requires"}, {y, "carries"}, {w[{{1, 2}}], "carries"}} do
        local x, verb = case[1], case[2]
        local text = "the tensor " .. verb .. " a gradient; in-place writes are not recorded, use attn.no_grad"
        t.raises("fill_: " .. text, x.fill_, x, 1)
        t.raises("copy_: " .. text, x.copy_, x, attn.ones(2))
        t.raises("assignment: " .. text, function() x[1] = 1 end)
    end
    attn.no_grad(function() w[1] = 5; w:fill_(w[1]:item() + 1) end)
    t.equal(w:totable(), {6, 6})
    t.is_true(w.requires_grad)
end)

-- ---- conversion ----

t.case("conversions between every two dtypes", function()
    local x = attn.tensor{-1.5, 0, 2.75}
    t.equal(x:to("int64"):totable(), {-1, 0, 2})
    t.equal(x:to("bool"):totable(), {true, false, true})
    t.equal(x:to("float64"):to("float32"):totable(), x:totable())
    t.equal(attn.tensor{true, false}:to("int64"):totable(), {1, 0})
    t.equal(attn.tensor{true, false}:to("float64"):totable(), {1, 0})
    for _, from in ipairs(DTYPES) do
        for _, to in ipairs(DTYPES) do
            local y = attn.ones({2, 3}, {dtype = from}):transpose(1, 2):to(to)
            t.equal({y.dtype, y.shape}, {to, {3, 2}})
        end
    end
    local wild = attn.tensor({math.huge, -math.huge, 0 / 0, 1e300}, {dtype = "float64"}):to("int64")
    t.equal(wild:totable(), {math.maxinteger, math.mininteger, 0, math.maxinteger})
    t.raises("to: dtype is the string 'half', expected float32, float64, int64, bool or uint8", x.to, x, "half")
    t.raises("to: dtype is nil", x.to, x)
end)

t.case("mixed float types are an error that says which argument has which", function()
    t.raises("add: b is float64, but a is float32 (b: float64 [2])",
        function() return attn.zeros(2) + attn.zeros(2, {dtype = "float64"}) end)
end)

t.case("a bool sums to int64, and integers stay integers under + - *", function()
    local n = attn.tensor{true, false, true}:sum()
    t.equal({n.dtype, n:item()}, {"int64", 2})
    local y = (attn.arange(1, 3) + 1) * 2 - attn.arange(1, 3)
    t.equal({y.dtype, y:totable()}, {"int64", {3, 4, 5}})
    t.raises("the other side is int64", function() return attn.arange(1, 3) + 1.5 end)
end)

t.case("totable of a million elements and back", function()
    local x = attn.rand(1000, 1000)
    local back = attn.tensor(x:totable())
    t.is_true((back - x):abs():max():item() == 0)
end)

-- ---- tostring ----

t.case("tostring: what is small, what is 0, what is broken, masks, shapes", function()
    t.equal(tostring(attn.tensor{0, 10, -30}:softmax()), "float32 [3]\n  4.5398e-05  9.9995e-01  4.2482e-18")
    t.equal(tostring(attn.tensor{0, 0.5}), "float32 [2]\n       0  0.5000")
    t.equal(tostring(attn.tensor{0 / 0, 1, 1 / 0}), "float32 [3]  1 nan, 1 inf\n  nan    1  inf")
    t.equal(tostring(attn.tensor{1, 1 / 0}), "float32 [2]  1 inf\n    1  inf")
    t.equal(tostring(attn.ones(2, 3):tril():gt(0)), "bool [2, 3]\n  █··\n  ██·")
    t.equal(tostring(attn.ones(2, 3).shape), "[2, 3]")
    t.equal({tostring(attn.ones(2, 3):size()), tostring(attn.tensor(1).shape)}, {"[2, 3]", "[]"})
    t.equal(tostring(attn.layer.linear{inputs = 2, outputs = 1}:parameters()), "2 parameters, 3 numbers\n  float32 [1, 2]\n  float32 [1]")
    t.is_true(tostring(attn):find "^attn 0%.1: ")
end)

t.case("tostring shows dtype and shape, then aligned values", function()
    t.equal(tostring(attn.tensor{{1, 2.5}, {-3, 100}}), "float32 [2, 2]\n    1.0000    2.5000\n   -3.0000  100.0000")
    t.equal(tostring(attn.tensor{{1, 2}, {3, 40}}), "float32 [2, 2]\n   1   2\n   3  40")
    t.equal(tostring(attn.tensor(7)), "float32 []  7")
    t.equal(tostring(attn.arange(1, 3)), "int64 [3]\n  1  2  3")
    t.equal(tostring(attn.tensor{true, false}), "bool [2]\n   true  false")
    t.equal(tostring(attn.zeros(0, 3)), "float32 [0, 3]")
    t.equal(tostring(attn.zeros(2, 1, 1)), "float32 [2, 1, 1]\n  [1]\n  0\n  [2]\n  0")
    t.equal(tostring(attn.tensor{1e9, 1}), "float32 [2]\n  1.0000e+09  1.0000e+00")
    local odd = tostring(attn.tensor{0 / 0, math.huge, -math.huge, 0.5})
    t.is_true(odd:find("nan", 1, true) and odd:find("inf", 1, true) and odd:find("-inf", 1, true))
end)

t.case("tostring elides the middle of what is large", function()
    local row = tostring(attn.arange(1, 100))
    t.equal(row, "int64 [100]\n    1    2    3  ...   98   99  100")
    local text = tostring(attn.zeros(100, 100, 100))
    t.is_true(#text < 4000, "short however large")
    local _, lines = tostring(attn.zeros(50, 2)):gsub("\n", "")
    t.equal(lines, 7)
    t.is_true(#tostring(attn.zeros(1, 1, 1, 1, 1, 1, 1, 1)) > 0)
end)

t.case("tostring says what is on the tape", function()
    local w = attn.zeros(1):requires_grad_(true)
    t.equal(tostring(w), "float32 [1]  requires grad\n  0")
    t.equal(tostring(w * 1), "float32 [1]  on the tape\n  0")
end)

-- ---- metamethods meet foreign values ----

t.case("metamethods called with foreign userdata are errors, not crashes", function()
    local x = attn.ones(2)
    local meta = debug.getmetatable(x)
    t.equal(getmetatable(x), "tensor")
    for name, f in pairs(meta) do
        if type(f) == "function" then
            for _, bad in ipairs{io.stdout, attn.layer.linear{inputs = 1, outputs = 1}, {}, "x",
                coroutine.create(print)} do
                pcall(f, bad, x)
                pcall(f, x, bad)
                pcall(f, bad, bad)
                pcall(f)
            end
        end
    end
    t.equal(io.type(io.stdout), "file")
    t.raises("add: a is a userdata, expected a tensor or a number", function() return io.stdout + x end)
end)

t.case("ipairs goes over the entries and ends; elsewhere a place beyond the end is an error", function()
    local x, seen = attn.tensor{{1, 2}, {3, 4}}, {}
    for i, row in ipairs(x) do seen[i] = row:totable() end
    t.equal(seen, {{1, 2}, {3, 4}})
    for _ in ipairs(attn.zeros(0, 3)) do error("there are no rows") end
    t.raises("i is 3, expected 1..2 or -2..-1", function() return x[3] end)
    t.raises("i is 3, expected 1..2 or -2..-1", function() return x[#x + 1] end)
    t.raises("expected at least 1 dimension", function() for _ in ipairs(attn.tensor(1)) do end end)
    local iterate = ipairs(x)       -- the iterator itself asks beyond the next place too
    t.raises("i is 8, expected 1..2 or -2..-1", iterate, x, 7)
end)

t.case("a range that does not fit names the dimension of the tensor", function()
    local x = attn.zeros(2, 3)
    local message = "index: the range {1, 9} is outside 1..3 of dimension 2 (float32 [2, 3])"
    t.raises(message, function() x[{1, {1, 9}}] = 1 end)
    t.raises(message, function() x[{{}, {1, 9}}] = 1 end)
end)

t.case("totable of no elements does not fill the memory with empty rows", function()
    t.equal(attn.zeros(3, 0):totable(), {{}, {}, {}})
    t.equal(attn.zeros(0, 2147483647):totable(), {})
    t.raises("totable: the tensor has no elements, but more than 1048576 empty rows (float32 [1, 2147483647, 0])",
        attn.zeros(1, 2147483647, 0).totable, attn.zeros(1, 2147483647, 0))
end)

-- ---- more constructors ----

t.case("linspace has both ends, evenly apart", function()
    t.equal(attn.linspace(0, 1, 5), {0, 0.25, 0.5, 0.75, 1})
    t.equal(attn.linspace(3, -1, 3), {3, 1, -1})
    t.equal(attn.linspace(2.5, 7, 1), {2.5})
    t.equal(attn.linspace(0, 1, 0).shape, {0})
    local x = attn.linspace(0.1, 0.7, 7, {dtype = "float64"})
    t.equal({x.dtype, x[1]:item(), x[7]:item()}, {"float64", 0.1, 0.7})
    t.raises("linspace: count is -1, expected 0..2^40", attn.linspace, 0, 1, -1)
    t.raises("linspace: dtype is int64, expected float32 or float64", attn.linspace, 0, 1, 2, {dtype = "int64"})
    t.raises("linspace: last is the string '1', expected a number", attn.linspace, 0, "1", 2)
end)

t.case("what is like another tensor has its shape and dtype", function()
    for _, dtype in ipairs(DTYPES) do
        local x = attn.zeros(3, 2, {dtype = dtype}):transpose(1, 2)
        for _, name in ipairs{"zeros_like", "ones_like", "empty_like"} do
            local y = attn[name](x)
            t.equal({y.dtype, y.shape, y:is_contiguous()}, {dtype, {2, 3}, true})
            t.equal(x[name](x, {dtype = "float64"}).dtype, "float64")
            t.equal(y:to "float64", attn.full({2, 3}, name == "ones_like" and 1 or 0):totable())
        end
        t.equal(x:full_like(1):to "float64", attn.ones(2, 3):totable())
    end
    t.equal(attn.full_like(attn.zeros(1, {dtype = "int64"}), math.maxinteger), {math.maxinteger})
    t.is_true(not pcall(attn.full_like, attn.zeros(1, {dtype = "uint8"}), 256))
    t.equal(attn.zeros_like(attn.tensor(1)).shape, {})
    t.is_true(not attn.ones_like(attn.ones(2):requires_grad_(true)).requires_grad)
    t.raises("full_like: value is 0.5, expected an integer", attn.full_like, attn.zeros(1, {dtype = "int64"}), 0.5)
    t.raises("zeros_like: unknown option", attn.zeros_like, attn.zeros(1), {kind = 1})
    t.raises("zeros_like: x is missing, expected a tensor", attn.zeros_like)
end)

t.case("rand_like and randn_like draw what rand and randn do", function()
    local x = attn.zeros(3, 40, {dtype = "float64"})
    for _, name in ipairs{"rand", "randn"} do
        attn.seed(3)
        local y = attn[name](3, 40, {dtype = "float64"})
        attn.seed(3)
        t.equal(attn[name .. "_like"](x), y:totable())
    end
    t.raises("rand_like: dtype is int64, expected float32 or float64", attn.rand_like, attn.arange(1, 2))
end)

t.case("randperm is every number once, each order alike, and follows the seed", function()
    attn.seed(4)
    local p = attn.randperm(1000)
    t.is_true(p:sort(1):eq(attn.arange(1, 1000)):all():item())
    t.is_true(p:ne(attn.arange(1, 1000)):any():item())
    attn.seed(4)
    t.is_true(attn.randperm(1000):eq(p):all():item())
    local seen = {}
    for _ = 1, 6000 do
        local key = table.concat(attn.randperm(3):totable())
        seen[key] = (seen[key] or 0) + 1
    end
    for _, key in ipairs{"123", "132", "213", "231", "312", "321"} do t.near(seen[key] / 1000, 1, 0.13) end
    t.equal(attn.randperm(0).shape, {0})
    t.equal(attn.randperm(1), {1})
    t.raises("randperm: n is -1", attn.randperm, -1)
end)
