-- init: fills tensors in place, parameters too, and returns them. Bounds as PyTorch's.
local attn = require "attn"
local fields = require "attn.fields"
local internal = require "attn.internal"

local m = {}

local function check(where, t, dims)
    if internal.kind(t) ~= "tensor" or t.dtype ~= "float32" and t.dtype ~= "float64" then
        error(("init.%s: t is %s, expected a float tensor"):format(where, fields.describe(t)), 3)
    elseif t:dim() < (dims or 0) then
        error(("init.%s: t has %d dimensions, expected at least %d (t: %s)"):format(where, t:dim(), dims, fields.describe(t)), 3)
    end
end

local function number(where, name, value, default, least)
    if value == nil then return default end
    if type(value) ~= "number" or value ~= value then
        error(("init.%s: %s is %s, expected a number"):format(where, name, fields.describe(value)), 3)
    elseif least and value < least then
        error(("init.%s: %s is %s, expected at least %s"):format(where, name, value, least), 3)
    end
    return value
end

local function put(t, values)
    attn.no_grad(function() t:copy_(values) end)
    return t
end

local function uniform(t, low, high) return put(t, attn.rand(t.shape, {dtype = t.dtype}) * (high - low) + low) end
local function normal(t, mean, std) return put(t, attn.randn(t.shape, {dtype = t.dtype}) * std + mean) end

-- Inputs and outputs of one unit: [outputs, inputs, places of a kernel...].
local function fans(t)
    local places = 1
    for d = 3, t:dim() do places = places * t:size(d) end
    return math.max(1, t:size(2) * places), math.max(1, t:size(1) * places)
end

function m.uniform(t, low, high)
    check("uniform", t)
    return uniform(t, number("uniform", "low", low, 0), number("uniform", "high", high, 1))
end

function m.normal(t, mean, std)
    check("normal", t)
    return normal(t, number("normal", "mean", mean, 0), number("normal", "std", std, 1, 0))
end

function m.constant(t, value)
    check("constant", t)
    value = number("constant", "value", value)
    if not value then error("init.constant: value is nil, expected a number", 2) end
    attn.no_grad(function() t:fill_(value) end)
    return t
end

function m.zeros(t)
    check("zeros", t)
    return m.constant(t, 0)
end

function m.ones(t)
    check("ones", t)
    return m.constant(t, 1)
end

function m.xavier_uniform(t, gain)
    check("xavier_uniform", t, 2)
    local inputs, outputs = fans(t)
    local bound = number("xavier_uniform", "gain", gain, 1) * math.sqrt(6 / (inputs + outputs))
    return uniform(t, -bound, bound)
end

function m.xavier_normal(t, gain)
    check("xavier_normal", t, 2)
    local inputs, outputs = fans(t)
    return normal(t, 0, number("xavier_normal", "gain", gain, 1, 0) * math.sqrt(2 / (inputs + outputs)))
end

local function kaiming(where, t, options)
    options = fields.read("init." .. where, options or {}, {{"slope", "number", 0},
        {"mode", "string", "inputs", choices = {"inputs", "outputs"}}}, 3)
    local inputs, outputs = fans(t)
    return math.sqrt(2 / (1 + options.slope ^ 2)) / math.sqrt(options.mode == "inputs" and inputs or outputs)
end

function m.kaiming_uniform(t, options)
    check("kaiming_uniform", t, 2)
    local bound = kaiming("kaiming_uniform", t, options) * math.sqrt(3)
    return uniform(t, -bound, bound)
end

function m.kaiming_normal(t, options)
    check("kaiming_normal", t, 2)
    return normal(t, 0, (kaiming("kaiming_normal", t, options)))
end

-- Gram-Schmidt on a normal draw, twice over each row, in float64. The sign of a row is that of its draw: uniform.
function m.orthogonal(t, gain)
    check("orthogonal", t, 2)
    gain = number("orthogonal", "gain", gain, 1)
    local rows, columns = t:size(1), t:numel() // math.max(1, t:size(1))
    local low, wide = math.min(rows, columns), math.max(rows, columns)
    local q = attn.randn(low, wide, {dtype = "float64"})
    attn.no_grad(function()
        for i = 1, low do
            for _ = 1, i > 1 and 2 or 0 do
                local done = q:narrow(1, 1, i - 1)
                q[i] = q[i] - done:matmul(q[i]):unsqueeze(1):matmul(done):squeeze(1)
            end
            q[i] = q[i] / q[i]:norm()
        end
    end)
    if rows > columns then q = q:transpose(1, 2) end
    return put(t, (q * gain):contiguous():view(t.shape):to(t.dtype))
end

local function describe(name, signature, help, example)
    attn.describe{name = "init." .. name, signature = signature .. " -> t", help = help .. " In place.",
                  example = "attn.init." .. (example or name .. "(attn.empty(4, 3))")}
end
describe("uniform", "uniform(t, low = 0, high = 1)", "Uniform in low .. high.")
describe("normal", "normal(t, mean = 0, std = 1)", "Normal.")
describe("constant", "constant(t, value)", "One number everywhere.", "constant(attn.empty(4), 2)")
describe("zeros", "zeros(t)", "Zeros.")
describe("ones", "ones(t)", "Ones.")
describe("xavier_uniform", "xavier_uniform(t [outputs, inputs, ...], gain = 1)",
         "Uniform in +-gain sqrt(6 / (inputs + outputs)), both times the places of a kernel (Glorot and Bengio 2010).")
describe("xavier_normal", "xavier_normal(t [outputs, inputs, ...], gain = 1)",
         "Normal with deviation gain sqrt(2 / (inputs + outputs)), both times the places of a kernel (Glorot and Bengio 2010).")
describe("kaiming_uniform", "kaiming_uniform(t [outputs, inputs, ...], {slope = 0, mode = \"inputs\" | \"outputs\"})",
         "Uniform in +-sqrt(6 / ((1 + slope^2) n)), n the inputs or outputs of a unit, for (leaky) relu (He et al. 2015).")
describe("kaiming_normal", "kaiming_normal(t [outputs, inputs, ...], {slope = 0, mode = \"inputs\" | \"outputs\"})",
         "Normal with deviation sqrt(2 / ((1 + slope^2) n)), n the inputs or outputs of a unit (He et al. 2015).")
describe("orthogonal", "orthogonal(t [n, ...], gain = 1)",
         "gain times a random matrix [n, rest] whose rows, or columns if there are fewer, are orthonormal (Saxe et al. 2014).")

return m
