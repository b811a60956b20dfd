-- hints: what was probably meant where Lua itself stops a script: misspelt names, names of PyTorch and Torch7, operators on tensors.
local attn = require "attn"
local names, nearest = require "attn.names", require "attn.fields".nearest

-- What others call it, and what to say here.
local elsewhere = {
    cuda = "there is no GPU here: all computing is on the CPU", cpu = "all computing is on the CPU", device = "all computing is on the CPU",
    nElement = "x:numel()", nelement = "x:numel()", nDimension = "x:dim()", ndim = "x:dim()", range = "attn.arange(first, last), the last included",
    allclose = "attn.allclose(x, y)", numpy = "x:totable(), or attn.npy.save", tolist = "x:totable()", cat_ = "attn.cat", mm = "matmul", bmm = "matmul", mv = "matmul",
    addmm = "matmul, then +", long = 'x:to "int64"', float = 'x:to "float32"', double = 'x:to "float64"', int = 'x:to "int64"', bool = "x:ne(0)",
    astype = "x:to(dtype)", type = "x.dtype, x:to(dtype)", requires_grad = "x:requires_grad_(true)", masked_fill_ = "x = x:masked_fill(mask, value)",
    repeat_interleave = "x:unsqueeze(d):expand(...):reshape(...)", repeatTensor = "x:expand(...)", copy = "x:clone(), or x:copy_(y)",
    resize = "x:reshape(...)", resize_ = "x:reshape(...)", ger = "attn.outer", lerp = "a + (b - a) * w", manual_seed = "attn.seed(n)",
    manualSeed = "attn.seed(n)", from_numpy = "attn.npy.load(path)", Tensor = "attn.tensor{...}", FloatTensor = "attn.tensor{...}",
    LongTensor = 'attn.tensor({...}, {dtype = "int64"})', nn = "attn.layer, attn.module", Linear = "attn.layer.linear", Embedding = "attn.layer.embedding",
    LSTM = 'attn.encoder.rnn{cell = "lstm"}', GRU = 'attn.encoder.rnn{cell = "gru"}', LayerNorm = "attn.layer.layernorm",
    Dropout = "attn.layer.dropout", Conv1d = "attn.layer.conv1d", Conv2d = "attn.layer.conv2d", MultiheadAttention = "attn.attention{heads =, project = true}",
    Transformer = "attn.encoder.transformer, attn.decoder.transformer", CrossEntropyLoss = "attn.loss.cross_entropy", Adam = "attn.optim.adam",
    SGD = "attn.optim.sgd", state_dict = "model:state()", load_state_dict = "model:load(state)", zeroGradParameters = "optimizer:zero_grad()",
    updateOutput = "model(x)", getParameters = "model:parameters()", training = "model:train(), model:eval()", sizes = "x.shape", dot = "(x * y):sum()",
    zero_ = "x:fill_(0)", normal_ = "attn.init.normal(x)", uniform_ = "attn.init.uniform(x)", data = "x:detach()",
}
for _, name in ipairs{"add", "sub", "mul", "div", "sqrt", "exp", "clamp", "relu", "tanh", "sigmoid", "neg", "pow", "abs"} do
    elsewhere[name .. "_"] = ("tensors are not changed in place: x = x:%s(...)"):format(name)
end

-- The last parts of the names that the library has so far (a module is loaded by the script's own attn.NAME), and who they belong to.
local function known()
    local list, owner, all = {}, {}, {}
    local function take(last, name)
        if last and not owner[last] then
            owner[last] = name
            list[#list + 1] = last
        end
    end
    for _, fields in pairs(names.fields) do
        for _, name in ipairs(fields) do take(name, name) end
    end
    for _, name in ipairs(names.list(names.methods())) do take(name, name) end
    for _, set in ipairs{require "attn.internal".docs(), names.records()} do
        for name in next, set do all[name] = true end
    end
    for _, op in ipairs(attn.operations()) do all[op.name] = op.internal and nil or true end
    for _, name in ipairs(names.list(all)) do take(name:match "[%w_]+$", name) end
    return list, owner
end

-- {name, value} of all that the function of the script that failed sees besides globals; its error's handler asks, so it is on the stack.
local function in_sight()
    local level, list = 2, {}
    local info = debug.getinfo(level, "Sf")
    while info and (info.what == "C" or info.source:find "^=attn/") do
        level = level + 1
        info = debug.getinfo(level, "Sf")
    end
    local function take(name, value)
        if name and name ~= "_ENV" and name:find "^[%a_]" then list[#list + 1] = {name, value} end
        return name
    end
    local i = 1
    while info and take(debug.getlocal(level, i)) do i = i + 1 end
    i = 1
    while info and take(debug.getupvalue(info.func, i)) do i = i + 1 end
    return list
end

-- The name that was probably meant behind something the function has at hand: a field of its module, a parameter of a layer.
local function of_values(name, colon)
    local set = {}
    for _, seen in ipairs(in_sight()) do
        if type(seen[2]) == "userdata" or type(seen[2]) == "table" and not (colon and seen[2] == attn) then
            for other in next, names.of(seen[2], colon) do set[other] = true end
        end
    end
    return nearest(name, names.list(set))
end

-- What the name of a global was probably meant to be: a local, another global, a function of the library.
local function of_globals(name)
    local set = {}
    for _, seen in ipairs(in_sight()) do set[seen[1]] = true end
    for other in next, _G do set[other] = true end
    local near = nearest(name, names.list(set))
    if near then return near end
    local owner = rawget(attn, name) ~= nil and name or select(2, known())[name]
    if not owner and #name > 3 then owner = nearest(name, names.list(names.of(attn))) end
    return owner and (owner:find "%." or attn[owner] ~= nil) and "attn." .. owner or nil
end

local function meant(near) return near and ("did you mean '%s'?"):format(near) end

local hints = {}

---A hint for one of Lua's own messages, from within the handler of the error; nil if there is none.
---@param message string
---@return string?
function hints.of(message)
    local kind, name = message:match "attempt to [^(]* a nil value %((%a+) '([^']+)'%)"
    if kind == "field" or kind == "method" then
        if elsewhere[name] then return elsewhere[name]:find " [ai][rs]e? " and elsewhere[name] or "here it is " .. elsewhere[name] end
        local near = of_values(name, kind == "method")
        if near or kind == "method" then return meant(near or nearest(name, names.list(names.methods()))) end
        local list, owner = known()
        return meant(owner[nearest(name, list) or ""])
    elseif kind == "global" then
        return meant(of_globals(name))
    end
    name = message:match "attempt to call an? [%w._]+ value %(method '([^']+)'%)"
    if name then return ("%s is no method: x.%s, without ()"):format(name, name) end
    if message:find "attempt to concatenate an? [%w.]*tensor" then
        return "say x:item() for its number, tostring(x) for its text"
    elseif message:find "attempt to compare .*tensor" then
        return "say x:item() for its number; x:gt(y), x:lt(y) ... compare element by element"
    end
end

---" (did you mean 'loss'?)" for a global that has no value, from the function that reads it; or an empty string.
---@param name any
---@return string
function hints.global(name)
    local near = type(name) == "string" and of_globals(name)
    return near and (" (%s)"):format(meant(near)) or ""
end

return hints
