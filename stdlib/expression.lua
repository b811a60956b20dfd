-- expression: a Lua function, called once with symbols, as a program of vector instructions (attn/kernel/code.h).
--
-- Operators and element-wise functions of symbols make nodes: {op, type = "float" | "integer" | "bool", arguments, ...}. Equal
-- nodes are one, what is constant is computed here, and the derivative, in reverse over the nodes, is made of nodes too. What a
-- node depends on (nothing, the query, the key, the pair) says how often it is computed. A mistake is an error at the line that
-- wrote it.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}
local codes = internal.codes()          -- name of an instruction -> its number

-- What a node depends on. DISTANCE: on the query's place less something of the key. A program has one such difference: where nodes have
-- several, `compile` takes the first, and the others depend on the pair.
local UNIFORM, QUERY, KEY, DISTANCE, PAIR = 0, 1, 2, 3, 4

local function join(a, b)
    if a == b or b == UNIFORM then return a end
    return a == UNIFORM and b or PAIR
end

local graph                             -- of the function that runs now: {where =, nodes =, known =, bounds =}

local function fail(format, ...) internal.raise((graph and graph.where or "expression") .. ": " .. format:format(...)) end

-- ---- nodes ----

local fold                              -- op -> function of constants, nil if there is none

local commutes = {add = true, mul = true, int_add = true, int_mul = true, eq = true, int_eq = true, logical_and = true, logical_or = true,
    logical_xor = true}

-- What depends on more stands first where the order does not matter, else what came first: a + b and b + a are one node.
local function stands_before(a, b)
    if a.depends ~= b.depends then return a.depends > b.depends end
    return a.id < b.id
end

local node

-- (query - key) + c as (query + c) - key, whose first part is computed once for a query: integers wrap around, so any order will do.
-- nil where that would save nothing.
local inverse = {int_add = "int_sub", int_sub = "int_add"}
local function regrouped(op, a, b)
    if not inverse[op] or not inverse[a.op] then return nil end
    local x, y = a.args[1], a.args[2]
    if x.depends ~= a.depends and join(b.depends, x.depends) == x.depends then
        return node(a.op, "integer", nil, node(op, "integer", nil, x, b), y)
    elseif y.depends ~= a.depends and join(b.depends, y.depends) == y.depends then
        return node(a.op, "integer", nil, x, node(a.op == "int_add" and op or inverse[op], "integer", nil, y, b))
    end
end

local function integers(op, a, b) return node(op, "integer", nil, a, b) end
local function integer(value) return node("constant", "integer", value) end

-- x and c, where n = x + c and c is the same for all pairs.
local function apart(n)
    if inverse[n.op] and n.args[2].depends == UNIFORM then
        local x, c = apart(n.args[1])
        return x, integers(n.op, c, n.args[2])
    end
    return n, integer(0)
end

local function at_query(n) return n.op == "query" or n.op == "distance" end

local function distance(query, base) return integers("distance", query, base) end

-- Sums and differences of the query's place and something of the key, by the distance and what is the same for all pairs.
local function by_distance(op, a, b)
    if not inverse[op] then return nil end
    local x, c = apart(a)
    local y, d = apart(b)
    if at_query(y) and x.depends == KEY then
        local turned = by_distance(op, b, a)
        return op == "int_add" and turned or node("int_neg", "integer", nil, turned)
    end
    if not at_query(x) or y.depends ~= KEY then return nil end
    local base = op == "int_sub" and y or node("int_neg", "integer", nil, y)
    local between = x.op == "query" and distance(x, base) or distance(x.args[1], integers("int_add", x.args[2], base))
    c = integers(op, c, d)
    return c.op == "constant" and c.value == 0 and between or integers("int_add", between, c)
end

-- Comparisons of the places themselves: their difference does not wrap around.
local compares = {int_lt = true, int_le = true, int_eq = true}
local function places_compared(op, a, b)
    if not compares[op] then return nil end
    if a.op == "query" and b.op == "key" then
        return node(op, "bool", nil, distance(a, b), integer(0))
    elseif a.op == "key" and b.op == "query" then
        return node(op, "bool", nil, integer(0), distance(b, a))
    end
end

function node(op, type, value, ...)
    local n = select("#", ...)
    local args, key, depends, constant = {...}, {op, type, tostring(value)}, UNIFORM, n > 0 and fold[op] ~= nil
    if commutes[op] and stands_before(args[2], args[1]) then args[1], args[2] = args[2], args[1] end
    local known = by_distance(op, args[1], args[2]) or places_compared(op, args[1], args[2]) or regrouped(op, args[1], args[2])
    if known then return known end
    for k = 1, n do
        key[k + 3], depends = args[k].id, op == "distance" and DISTANCE or join(depends, args[k].depends)
        constant = constant and args[k].op == "constant"
    end
    if constant then
        local a, b, c = args[1], args[2], args[3]
        return node("constant", type, fold[op](a.value, b and b.value, c and c.value))
    end
    if op == "constant" and value == 0 and 1 / value < 0 then key[3] = "-0" end
    local name = table.concat(key, " ")
    known = graph.known[name]
    if not known then
        known = {id = #graph.nodes + 1, op = op, type = type, value = value, args = args, depends = depends}
        graph.nodes[known.id], graph.known[name] = known, known
    end
    return known
end

local function leaf(op, type, depends, value)
    local made = node(op, type, value)
    made.depends = depends
    return made
end

local function constant(value)
    local kind = math.type(value)
    return node("constant", kind == "integer" and kind or kind == "float" and "float" or "bool", value)
end

local function to_float(a)
    if a.type == "float" then return a end
    if a.op == "constant" and a.type == "integer" then return node("constant", "float", a.value + 0.0) end
    return node("to_float", "float", nil, a)
end

local function is(a, value) return a.op == "constant" and a.value == value end

-- Arithmetic of floats, for functions made of others and for derivatives.
local F = {}
for _, op in ipairs {"add", "sub", "mul", "div", "pow", "minimum", "maximum", "mod"} do
    F[op] = function(a, b) return node(op, "float", nil, a, b) end
end
for _, op in ipairs {"neg", "exp", "log", "sqrt", "abs", "sign", "sin", "cos", "tanh", "sigmoid", "relu", "gelu", "silu", "elu", "softplus",
    "floor", "ceil", "round", "square", "rsqrt", "log1p", "expm1", "tan", "atan", "erf", "cdf"} do
    F[op] = function(a) return node(op, "float", nil, a) end
end
local function number(value) return node("constant", "float", value + 0.0) end
-- Of gradients: constants go outwards and become one.
local function times(a, b)
    if is(a, 1) then return b elseif is(b, 1) then return a end
    local x, c = a.args[1], a.args[2]
    if a.op ~= "mul" or c.op ~= "constant" then return F.mul(a, b) end
    if b.op == "constant" then return times(x, number(c.value * b.value)) end
    return F.mul(times(x, b), c)
end
local function scaled(a, factor) return times(a, number(factor)) end
local function logic(op, ...) return node(op, "bool", nil, ...) end
local function choose(condition, a, b) return a == b and a or node("select", a.type, nil, condition, a, b) end
local zero = function() return number(0) end

local function truth(op)
    return function(a, b)
        local prefix = a.type == "integer" and "int_" or ""
        return logic(prefix .. op, a, b)
    end
end
local less, at_most, equal = truth "lt", truth "le", truth "eq"

-- ---- constants ----

local function floor_divide(a, b) return b == 0 and 0 or a // b end
local function rest(a, b) return b == 0 and 0 or a % b end

fold = {
    add = function(a, b) return a + b end, sub = function(a, b) return a - b end, mul = function(a, b) return a * b end,
    div = function(a, b) return a / b end, neg = function(a) return -a end, pow = function(a, b) return a ^ b end,
    sqrt = function(a) return a < 0 and 0 / 0 or a ^ 0.5 end, exp = math.exp, abs = function(a) return a < 0 and -a or a end,
    square = function(a) return a * a end,
    floor = function(a) return math.floor(a) + 0.0 end, ceil = function(a) return math.ceil(a) + 0.0 end,
    minimum = function(a, b) return (a < b or a ~= a) and a or b end, maximum = function(a, b) return (a > b or a ~= a) and a or b end,
    int_add = function(a, b) return a + b end, int_sub = function(a, b) return a - b end, int_mul = function(a, b) return a * b end,
    int_idiv = floor_divide, int_mod = rest, int_neg = function(a) return -a end, int_abs = math.abs,
    int_sign = function(a) return a > 0 and 1 or a < 0 and -1 or 0 end, int_minimum = math.min, int_maximum = math.max,
    lt = function(a, b) return a < b end, le = function(a, b) return a <= b end, eq = function(a, b) return a == b end,
    logical_and = function(a, b) return a and b end, logical_or = function(a, b) return a or b end,
    logical_xor = function(a, b) return a ~= b end, logical_not = function(a) return not a end,
    select = function(c, a, b) if c then return a end return b end,
}
fold.int_lt, fold.int_le, fold.int_eq = fold.lt, fold.le, fold.eq

-- ---- derivatives: gradients of the arguments from that of the node, g ----

local back = {
    add = function(_, g) return g, g end,
    sub = function(_, g) return g, F.neg(g) end,
    mul = function(_, g, a, b) return times(g, b), times(g, a) end,
    div = function(y, g, _, b)
        if b.op == "constant" then return scaled(g, 1 / b.value) end -- many times faster than a quotient
        local q = F.div(g, b)
        return q, F.neg(F.mul(q, y))
    end,
    pow = function(y, g, a, b)
        local da = times(g, F.mul(b, F.pow(a, F.sub(b, number(1)))))
        if b.op == "constant" then return b.value == 0 and zero() or da end
        local flat = logic("logical_and", equal(a, zero()), at_most(zero(), b))
        return choose(equal(b, zero()), zero(), da), choose(flat, zero(), times(g, F.mul(y, F.log(a))))
    end,
    minimum = function(_, g, a, b)
        local half, none = scaled(g, 0.5), zero()
        return choose(equal(a, b), half, choose(less(a, b), g, none)), choose(equal(a, b), half, choose(less(b, a), g, none))
    end,
    maximum = function(_, g, a, b)
        local half, none = scaled(g, 0.5), zero()
        return choose(equal(a, b), half, choose(less(b, a), g, none)), choose(equal(a, b), half, choose(less(a, b), g, none))
    end,
    mod = function(_, g, a, b) return g, F.neg(times(g, F.floor(F.div(a, b)))) end,
    select = function(_, g, c, _, _) return nil, choose(c, g, zero()), choose(c, zero(), g) end,
    neg = function(_, g) return F.neg(g) end,
    exp = function(y, g) return times(g, y) end,
    log = function(_, g, a) return F.div(g, a) end,
    sqrt = function(y, g) return F.div(scaled(g, 0.5), y) end,
    abs = function(_, g, a) return times(g, F.sign(a)) end,
    sin = function(_, g, a) return times(g, F.cos(a)) end,
    cos = function(_, g, a) return F.neg(times(g, F.sin(a))) end,
    tanh = function(y, g) return times(g, F.sub(number(1), F.square(y))) end,
    sigmoid = function(y, g) return times(g, F.mul(y, F.sub(number(1), y))) end,
    relu = function(_, g, a) return choose(less(zero(), a), g, zero()) end,
    gelu = function(_, g, a)
        local bell = scaled(F.exp(scaled(F.square(a), -0.5)), 0.3989422804014326779)
        return times(g, F.add(F.cdf(a), F.mul(a, bell)))
    end,
    silu = function(_, g, a)
        local s = F.sigmoid(a)
        return times(g, F.add(s, F.mul(F.mul(a, s), F.sub(number(1), s))))
    end,
    elu = function(y, g, a) return choose(less(zero(), a), g, times(g, F.add(y, number(1)))) end,
    softplus = function(_, g, a) return times(g, F.sigmoid(a)) end,
    square = function(_, g, a) return times(g, scaled(a, 2)) end,
    rsqrt = function(y, g) return times(g, scaled(F.mul(y, F.square(y)), -0.5)) end,
    log1p = function(_, g, a) return F.div(g, F.add(a, number(1))) end,
    expm1 = function(y, g) return times(g, F.add(y, number(1))) end,
    tan = function(y, g) return times(g, F.add(number(1), F.square(y))) end,
    atan = function(_, g, a) return F.div(g, F.add(number(1), F.square(a))) end,
    erf = function(_, g, a) return times(g, scaled(F.exp(F.neg(F.square(a))), 1.1283791670955125739)) end,
}

-- Gradients of a float node: by node, with `seed` that of the node itself; nodes come in the order they were made.
local function differentiate(root, seed)
    local gradient = {[root] = seed}
    for id = root.id, 1, -1 do
        local x = graph.nodes[id]
        local g, rule = gradient[x], back[x.op]
        if g and rule then
            local parts = table.pack(rule(x, g, table.unpack(x.args)))
            for k, a in ipairs(x.args) do
                local d = parts[k]
                if d and a.type == "float" and a.op ~= "constant" and not is(d, 0) then
                    gradient[a] = gradient[a] and F.add(gradient[a], d) or d
                end
            end
        end
    end
    return gradient
end

-- ---- symbols: what the function of the script gets ----

local symbol = {__name = "symbol"}
local node_of = setmetatable({}, {__mode = "k"})
local arrays = setmetatable({}, {__mode = "k"})        -- captured tensors that still lack indices

local function wrap(n)
    local s = setmetatable({}, symbol)
    node_of[s] = n
    return s
end

local function describe(x)
    local n, array = node_of[x], arrays[x]
    if n then return (n.type == "integer" and "an " or "a ") .. n.type .. " symbol" end
    if array then return ("the tensor at.%s with %d of %d indices"):format(array.name, array.taken, #array.shape) end
    return fields.describe(x)
end

-- An operand as a node; `name` is the function that has it.
local function operand(name, x)
    local n = node_of[x]
    if n then
        if graph.nodes[n.id] ~= n then fail("%s: a symbol of another function", name) end
        return n
    end
    if type(x) == "number" or type(x) == "boolean" then return constant(x) end
    if internal.kind(x) == "tensor" then
        fail("%s: a tensor, %s, stands in the expression, which knows %s only", name, fields.describe(x), graph.tensors)
    end
    fail("%s: an operand is %s, expected a symbol or a number", name, describe(x))
end

local function numeric(name, x)
    local n = operand(name, x)
    if n.type == "bool" then fail("%s: an operand is bool, expected a number (attn.where makes one)", name) end
    return n
end

local function boolean(name, x)
    local n = operand(name, x)
    if n.type ~= "bool" then fail("%s: an operand is %s, expected bool", name, n.type) end
    return n
end

local function float(name, x) return to_float(numeric(name, x)) end

-- Both as integers if both are, else as floats.
local function pair_of(name, a, b)
    a, b = numeric(name, a), numeric(name, b)
    if a.type == b.type then return a, b end
    return to_float(a), to_float(b)
end

local function arithmetic(op, integers)
    return function(a, b)
        a, b = pair_of(op, a, b)
        if a.type == "float" or not integers then return F[op](to_float(a), to_float(b)) end
        return node("int_" .. op, "integer", nil, a, b)
    end
end

local function divisor(op)
    return function(a, b)
        a, b = pair_of(op, a, b)
        if is(b, 0) and b.type == "integer" then fail("%s: the divisor is 0", op) end
        if a.type == "integer" then return node("int_" .. op, "integer", nil, a, b) end
        return op == "mod" and F.mod(a, b) or F.floor(F.div(a, b))
    end
end

local function comparison(op, swapped, negated)
    return function(a, b)
        local x, y = operand(op, a), operand(op, b)
        if x.type == "bool" and y.type == "bool" and swapped == nil then
            local differs = logic("logical_xor", x, y)
            return negated and differs or logic("logical_not", differs)
        end
        x, y = pair_of(op, a, b)
        if swapped then x, y = y, x end
        local prefix = x.type == "integer" and "int_" or ""
        local result = logic(prefix .. (op == "ne" and "eq" or op == "gt" and "lt" or op == "ge" and "le" or op), x, y)
        return negated and logic("logical_not", result) or result
    end
end

local function connective(op) return function(a, b) return logic(op, boolean(op, a), boolean(op, b)) end end

-- A function of floats, which also has a form for integers.
local function unary(op, integer)
    return function(x)
        local a = numeric(op, x)
        if a.type == "integer" and integer then return integer(a) end
        return F[op](to_float(a))
    end
end
local function itself(a) return a end

local function bound_of(name, what, value)
    if type(value) ~= "number" then fail("%s: %s is %s, expected a number", name, what, describe(value)) end
    return value
end

local functions = {
    add = arithmetic("add", true), sub = arithmetic("sub", true), mul = arithmetic("mul", true), div = arithmetic("div"),
    minimum = arithmetic("minimum", true), maximum = arithmetic("maximum", true), idiv = divisor "idiv", mod = divisor "mod",
    pow = function(a, b)
        a, b = float("pow", a), float("pow", b)
        return is(b, 2) and F.square(a) or F.pow(a, b)
    end,
    eq = comparison "eq", ne = comparison("ne", nil, true), lt = comparison("lt", false), le = comparison("le", false),
    gt = comparison("gt", true), ge = comparison("ge", true),
    logical_and = connective "logical_and", logical_or = connective "logical_or", logical_xor = connective "logical_xor",
    logical_not = function(x) return logic("logical_not", boolean("logical_not", x)) end,
    neg = unary("neg", function(a) return node("int_neg", "integer", nil, a) end),
    abs = unary("abs", function(a) return node("int_abs", "integer", nil, a) end),
    sign = unary("sign", function(a) return node("int_sign", "integer", nil, a) end),
    square = unary("square", function(a) return node("int_mul", "integer", nil, a, a) end),
    floor = unary("floor", itself), ceil = unary("ceil", itself), round = unary("round", itself),
    isnan = function(x)
        local a = float("isnan", x)
        return logic("logical_not", logic("eq", a, a))
    end,
    isinf = function(x) return logic("eq", F.abs(float("isinf", x)), number(math.huge)) end,
    isfinite = function(x) return logic("lt", F.abs(float("isfinite", x)), number(math.huge)) end,
    clamp = function(x, low, high)
        local a = numeric("clamp", x)
        low, high = low and bound_of("clamp", "low", low), high and bound_of("clamp", "high", high)
        if low and high and low > high then fail("clamp: low is %s, expected at most high, %s", low, high) end
        local whole = a.type == "integer" and math.type(low or 0) == "integer" and math.type(high or 0) == "integer"
        if whole then
            if low then a = node("int_maximum", "integer", nil, a, constant(low)) end
            return high and node("int_minimum", "integer", nil, a, constant(high)) or a
        end
        a = to_float(a)
        local y = a
        if high then y = choose(less(number(high), a), number(high), y) end
        return low and choose(less(a, number(low)), number(low), y) or y
    end,
    leaky_relu = function(x, options)
        local a, slope = float("leaky_relu", x), options and options.slope or 0.01
        return choose(less(zero(), a), a, scaled(a, bound_of("leaky_relu", "slope", slope)))
    end,
    logaddexp = function(a, b)
        a, b = float("logaddexp", a), float("logaddexp", b)
        local apart = F.add(F.maximum(a, b), F.log1p(F.exp(F.neg(F.abs(F.sub(a, b))))))
        return choose(equal(a, b), F.add(scaled(F.add(a, b), 0.5), number(0.69314718055994530942)), apart)
    end,
    where = function(condition, a, b)
        local c = boolean("where", condition)
        local x, y = operand("where", a), operand("where", b)
        if x.type ~= y.type then x, y = pair_of("where", a, b) end
        return choose(c, x, y)
    end,
    to = function(x, dtype)
        local a = operand("to", x)
        if dtype == "float32" or dtype == "float64" then
            return a.type == "bool" and choose(a, number(1), zero()) or to_float(a)
        end
        if dtype == "int64" and a.type == "bool" then return choose(a, constant(1), constant(0)) end
        if dtype ~= (a.type == "integer" and "int64" or a.type) then
            fail("to: dtype is %s, expected a float type%s", describe(dtype), a.type == "bool" and " or int64" or "")
        end
        return a
    end,
}
for _, op in ipairs {"exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "gelu", "silu", "elu", "softplus", "rsqrt", "log1p",
    "expm1", "tan", "atan", "erf"} do
    functions[op] = unary(op)
end

-- What attn.tanh(s) and s:tanh() do; vm/bind_op.c comes here with any operation that meets a symbol.
local function apply(op, ...)
    local f = functions[op]
    if not f then fail("%s is no element-wise function, which an expression is made of", op) end
    return wrap(f(...))
end

for operator, op in pairs {__add = "add", __sub = "sub", __mul = "mul", __div = "div", __idiv = "idiv", __mod = "mod", __pow = "pow",
    __band = "logical_and", __bor = "logical_or", __bxor = "logical_xor"} do
    symbol[operator] = function(a, b) return apply(op, a, b) end
end
symbol.__unm = function(a) return apply("neg", a) end
symbol.__bnot = function(a) return apply("logical_not", a) end

local function no_branch(sign, method)
    return function()
        fail("%s of a symbol is one Lua boolean, but its value differs from pair to pair; a:%s(b) compares them all, "
            .. "attn.where(condition, a, b) chooses", sign, method)
    end
end
symbol.__lt, symbol.__le, symbol.__eq = no_branch("< or >", "lt"), no_branch("<= or >=", "le"), no_branch("== or ~=", "eq")
symbol.__concat = function() fail "a symbol has no text" end
symbol.__call = function() fail "a symbol is no function" end
symbol.__newindex = function() fail "a symbol cannot be assigned to" end
symbol.__pairs = function() fail "a symbol has no entries" end
symbol.__tostring = function(s) return describe(s) end
symbol.__metatable = false

-- The next index of a captured tensor; an element once it has all.
local function index(array, i)
    local d = array.taken + 1
    local n, size = operand("at." .. array.name, i), array.shape[d]
    if n.type ~= "integer" then fail("at.%s: index %d is %s, expected an integer", array.name, d, describe(i)) end
    if n.op == "constant" and (n.value < 1 or n.value > size) then
        fail("at.%s: place %d of dimension %d, expected 1 to %d", array.name, n.value, d, size)
    end
    if n.op ~= "constant" then
        local name = array.number .. " " .. d .. " " .. n.id
        if not graph.bounds[name] then
            graph.bounds[name] = {op = "bound", array = array.number, dim = d, size = size, args = {n}}
            graph.bounds[#graph.bounds + 1] = graph.bounds[name]
        end
    end
    local place = node("int_sub", "integer", nil, n, constant(1))
    if array.place then
        place = node("int_add", "integer", nil, node("int_mul", "integer", nil, array.place, constant(size)), place)
    end
    local next_array = {name = array.name, number = array.number, shape = array.shape, type = array.type, taken = d, place = place,
        dtype = array.dtype}
    if d < #array.shape then
        local s = setmetatable({}, symbol)
        arrays[s] = next_array
        return s
    end
    return wrap(node("gather_" .. array.type, array.type, array.number, place))
end

symbol.__index = function(s, key)
    local array = arrays[s]
    if array and key == "shape" then return {table.unpack(array.shape, array.taken + 1)} end
    if array and key == "dtype" then return array.dtype end
    if array and key == "size" then
        return function(_, d) return array.shape[array.taken + d] or fail("at.%s: size: there is no dimension %s", array.name, d) end
    end
    if array and type(key) == "table" and not node_of[key] and getmetatable(key) == nil then
        for _, i in ipairs(key) do
            if not arrays[s] then fail("at.%s has %d dimensions, but there are more indices", array.name, #array.shape) end
            s = index(arrays[s], i)
        end
        return s
    end
    if array and type(key) ~= "string" then return index(array, key) end
    if array then fail("%s is asked for '%s'; an index is missing", describe(s), key) end
    if type(key) ~= "string" then fail("%s has no elements", describe(s)) end
    if not functions[key] then
        local names = {}
        for name in pairs(functions) do names[#names + 1] = name end
        fail("a symbol has no function '%s'%s", key, fields.suggest(key, names))
    end
    return function(...) return apply(key, ...) end
end
symbol.__len = function(s)
    local array = arrays[s]
    return array and array.shape[array.taken + 1] or fail "a symbol is one number and has no length"
end

-- ---- from a function to a graph ----

local types = {float32 = "float", float64 = "float", int64 = "integer", bool = "bool"}

local function capture(name, number_, tensor)
    local kind = types[tensor.dtype]
    if not kind then fail("tensors.%s is %s, expected float32, float64, int64 or bool", name, fields.describe(tensor)) end
    local array = {name = name, number = number_, shape = tensor.shape, type = kind, taken = 0, dtype = tensor.dtype}
    if #array.shape == 0 then return wrap(node("gather_" .. kind, kind, number_, constant(0))) end
    local s = setmetatable({}, symbol)
    arrays[s] = array
    return s
end

-- Where a function stands: for what is wrong with its result.
local function place(fn)
    local info = debug.getinfo(fn, "S")
    return info and info.what == "Lua" and ("%s:%d: "):format(info.short_src, info.lastlinedefined) or ""
end

-- Calls fn with what `symbols` makes; its result, a node of the type that is expected.
local function trace(where, fn, kind, tensors, symbols)
    local before, outer = graph, internal.symbolic(symbol, apply)
    graph = {where = where, nodes = {}, known = {}, bounds = {}, tensors = tensors}
    local made = graph
    local results = table.pack(xpcall(function() return fn(table.unpack(symbols())) end, function(message) return message end))
    local result = node_of[results[2]]
    local function wrong(text) error(place(fn) .. where .. ": " .. text, 0) end
    local ok, message = pcall(function()
        if not results[1] then error(results[2], 0) end
        if results.n ~= 2 then wrong(("the function returned %d values, expected 1"):format(results.n - 1)) end
        if not result and math.type(results[2]) then result = constant(results[2] + 0.0) end
        if not result and kind == "bool" and type(results[2]) == "boolean" then result = constant(results[2]) end
        if result and kind == "float" and result.type == "integer" then result = to_float(result) end
        if not result or result.type ~= kind then
            wrong(("the function returned %s, expected %s"):format(describe(results[2]),
                kind == "bool" and "a bool symbol" or "one number of the pair"))
        end
    end)
    internal.symbolic(table.unpack(outer))
    graph = before
    if not ok then error(message, 0) end
    made.root = result
    return made
end

-- ---- from a graph to a program ----

local function bits(value) return (string.unpack("<i8", string.pack("<d", value))) end

local value_of = {
    float = bits, integer = function(v) return v end, bool = function(v) return v and 1 or 0 end,
}

-- An int64 tensor: registers, instructions, what each register depends on (5 + k: it is input k), then for each instruction its number,
-- result and up to three arguments. `ends` are the instructions that take results out of registers; what is scattered by distance is
-- summed by distance first.
local function compile(ends)
    local needed, list = {}, {}
    local function need(n)
        if needed[n] then return end
        needed[n] = true
        for _, a in ipairs(n.args) do need(a) end
        list[#list + 1] = n
    end
    for _, e in ipairs(ends) do
        for _, a in ipairs(e.args) do need(a) end
    end
    local depends, base = {}, nil
    table.sort(list, function(a, b) return a.id < b.id end)
    for _, n in ipairs(list) do
        local on = #n.args == 0 and n.depends or UNIFORM
        for _, a in ipairs(n.args) do on = join(on, depends[a]) end
        if n.op == "distance" then
            base = base or n.args[2]
            if n.args[2] == base then on = DISTANCE end
        end
        depends[n] = on
    end
    local finish, behind = {}, {}
    for _, e in ipairs(ends) do
        if e.op == "scatter" and depends[e.args[1]] == DISTANCE then
            local total = {id = math.huge, op = "constant", type = "float", value = 0.0, args = {}}
            depends[total], list[#list + 1] = DISTANCE, total
            finish[#finish + 1] = {op = "collect", into = total, args = {e.args[2]}}
            behind[#behind + 1] = {op = "settle", array = e.array, args = {e.args[1], total}}
        else
            finish[#finish + 1] = e
        end
    end
    table.move(behind, 1, #behind, #finish + 1, finish)
    table.sort(list, function(a, b)
        if depends[a] ~= depends[b] then return depends[a] < depends[b] end
        return a.id < b.id
    end)
    local last = {}                                 -- node -> place of the instruction that reads it last
    for i, n in ipairs(list) do
        for _, a in ipairs(n.args) do last[a] = i end
    end
    for i, e in ipairs(finish) do
        for _, a in ipairs(e.args) do last[a] = #list + i end
    end
    local register, kinds, free, code = {}, {}, {}, {}
    local function emit(op, out, a, b, c)
        for _, x in ipairs {codes[op], out, a or 0, b or 0, c or 0} do code[#code + 1] = x end
    end
    local function new(kind)
        kinds[#kinds + 1] = kind
        return #kinds - 1
    end
    for i, n in ipairs(list) do
        local r = {}
        for k, a in ipairs(n.args) do r[k] = register[a] end
        if n.op == "input" then
            register[n] = new(PAIR + 1 + n.value)
        else
            register[n] = depends[n] == PAIR and table.remove(free) or new(depends[n])
            if n.op == "constant" then emit("constant_" .. n.type, register[n], value_of[n.type](n.value))
            elseif n.op:find "^gather" then emit(n.op, register[n], r[1], n.value)
            else emit(n.op == "distance" and depends[n] == PAIR and "int_sub" or n.op, register[n], table.unpack(r)) end
        end
        for k, a in ipairs(n.args) do
            local again = k > 1 and (a == n.args[1] or a == n.args[2] and k == 3)
            if last[a] == i and depends[a] == PAIR and a.op ~= "input" and not again then free[#free + 1] = register[a] end
        end
    end
    for _, e in ipairs(finish) do
        if e.op == "scatter" or e.op == "settle" then emit(e.op, e.array, register[e.args[1]], register[e.args[2]])
        elseif e.op == "collect" then emit("collect", register[e.into], register[e.args[1]])
        elseif e.op == "bound" then emit("bound", e.array, register[e.args[1]], e.size, e.dim)
        else emit("result", e.slot, register[e.args[1]]) end
    end
    local program = {#kinds, #code // 5}
    table.move(kinds, 1, #kinds, 3, program)
    table.move(code, 1, #code, #program + 1, program)
    return attn.tensor(program, {dtype = "int64"})
end

-- The program of a graph, and that of its gradients: results are those of the inputs that are floats, captured tensors are added to.
-- `inputs` is how many; the gradient of the result is the input behind them.
local function programs(made, inputs)
    local before = graph
    graph = made
    local ends = {{op = "result", slot = 0, args = {made.root}}}
    table.move(made.bounds, 1, #made.bounds, #ends + 1, ends)
    local forward = compile(ends)
    local gradient, places, back_ends = {}, {}, {}
    local last = #made.nodes
    if made.root.type == "float" then
        local seed = leaf("input", "float", PAIR, inputs)
        gradient = differentiate(made.root, seed)
        for id = 1, last do
            local n = made.nodes[id]
            local g = gradient[n]
            if g and n.op == "gather_float" then
                back_ends[#back_ends + 1] = {op = "scatter", array = n.value, args = {n.args[1], g}}
            elseif g and n.op == "input" and n.value < inputs then
                places[n.value + 1] = {op = "result", slot = n.value, args = {g}}
            end
        end
        for k = 1, inputs do places[k] = places[k] or {op = "result", slot = k - 1, args = {zero()}} end
    end
    table.move(places, 1, #places, #back_ends + 1, back_ends)
    local backward = compile(back_ends)
    graph = before
    return forward, backward
end

-- ---- attention ----

local function places_of(where, names, tensors)
    local at = {batch = wrap(leaf("batch", "integer", UNIFORM)), head = wrap(leaf("head", "integer", UNIFORM)),
        query = wrap(leaf("query", "integer", QUERY)), key = wrap(leaf("key", "integer", KEY))}
    local captured = {}
    for k, name in ipairs(names) do captured[name] = k - 1 end
    return setmetatable({}, {
        __index = function(_, name)
            if at[name] then return at[name] end
            local k = captured[name]
            if not k then
                local known = {"batch", "head", "query", "key", table.unpack(names)}
                fail("at.%s is not there%s (known: %s; tensors = {...} declares others)", tostring(name), fields.suggest(name, known),
                    table.concat(known, ", "))
            end
            return capture(name, k, tensors[name])
        end,
        __newindex = function() fail "at cannot be assigned to" end,
        __metatable = false,
    })
end

local reserved = {batch = true, head = true, query = true, key = true}

---A configuration of attention with its functions as programs: score_mod = {program, that of its gradient}, mask_mod = {program},
---tensors = a list of {name =, tensor =}.
function m.configure(cfg)
    local out = {}
    for k, v in pairs(cfg) do out[k] = v end
    local function refuse(...) internal.raise("attention: " .. string.format(...)) end
    local tensors = cfg.tensors or {}
    if type(tensors) ~= "table" then refuse("tensors is %s, expected a table of tensors by name", fields.describe(tensors)) end
    for name, t in pairs(tensors) do
        if type(name) ~= "string" then refuse("tensors has an entry under %s, expected names", fields.describe(name)) end
        if reserved[name] then refuse("tensors.%s has the name of a place", name) end
        if internal.kind(t) ~= "tensor" then refuse("tensors.%s is %s, expected a tensor", name, fields.describe(t)) end
    end
    if cfg.tensors and not cfg.score_mod and not cfg.mask_mod then refuse "tensors belong to score_mod and mask_mod, and neither is given" end
    local names = fields.names(tensors)
    for _, field in ipairs {"score_mod", "mask_mod"} do
        local fn = cfg[field]
        if fn ~= nil then
            if type(fn) ~= "function" then refuse("%s is %s, expected a function", field, fields.describe(fn)) end
            local score = field == "score_mod"
            local made = trace(field, fn, score and "float" or "bool", "the tensors of tensors = {...}, as at.NAME", function()
                local at = places_of(field, names, tensors)
                return score and {wrap(leaf("input", "float", PAIR, 0)), at} or {at}
            end)
            out[field] = {programs(made, score and 1 or 0)}
        end
    end
    out.tensors = {}
    for k, name in ipairs(names) do out.tensors[k] = {name = name, tensor = tensors[name]} end
    return out
end

m.trace, m.programs, m.leaf, m.wrap, m.types, m.QUERY, m.KEY, m.PAIR = trace, programs, leaf, wrap, types, QUERY, KEY, PAIR

return m
