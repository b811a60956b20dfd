-- hints: what was probably meant where Lua itself stops a script: misspelt names, names of PyTorch and Torch7, operators on tensors.
local attn = require "attn"

-- What others call it, and what to say here.
local elsewhere = {
    cuda = "there is no GPU here: all computing is on the CPU", cpu = "all computing is on the CPU", device = "all computing is on the CPU",
    nElement = "x:numel()", nelement = "x:numel()", nDimension = "x:dim()", ndim = "x:dim()", range = "attn.arange(first, last), the last included",
    numpy = "x:totable(), or attn.npy.save", tolist = "x:totable()", cat_ = "attn.cat", mm = "matmul", bmm = "matmul", mv = "matmul",
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

-- The last parts of all names in the help, and who they belong to.
local function known()
    local names, seen = {}, {}
    for _, name in ipairs{"parameters", "named_parameters", "state", "load", "train", "eval", "count", "freeze"} do     -- of layers and modules
        names[#names + 1], seen[name] = name, name
    end
    for name in pairs(require "attn.help".entries()) do
        local last = name:match "[%w_]+$"
        if last and not seen[last] then
            seen[last] = name
            names[#names + 1] = last
        end
    end
    table.sort(names)
    return names, seen
end

---A hint for one of Lua's own messages; nil if there is none.
---@param message string
---@return string?
return function(message)
    local kind, name = message:match "attempt to call a nil value %((%a+) '([^']+)'%)"
    if not kind then kind, name = message:match "attempt to index a nil value %((%a+) '([^']+)'%)" end
    if kind == "field" or kind == "method" then
        if elsewhere[name] then return elsewhere[name]:find " [ai][rs]e? " and elsewhere[name] or "here it is " .. elsewhere[name] end
        local names, owner = known()
        local near = require "attn.fields".nearest(name, names)
        if near then return ("did you mean '%s'?"):format(near == owner[near] and near or owner[near]:find "^tensor:" and near or owner[near]) end
    elseif kind == "global" then
        local names = {}
        for other in next, _G do
            if type(other) == "string" then names[#names + 1] = other end
        end
        table.sort(names)
        local near = require "attn.fields".nearest(name, names)
        if near then return ("did you mean '%s'?"):format(near) end
        if rawget(attn, name) ~= nil then return ("did you mean 'attn.%s'?"):format(name) end
    elseif message:find "attempt to concatenate a attn%.tensor" or message:find "attempt to concatenate an? [%w.]*tensor" then
        return "say x:item() for its number, tostring(x) for its text"
    elseif message:find "attempt to compare .*tensor" then
        return "say x:item() for its number; x:gt(y), x:lt(y) ... compare element by element"
    elseif message:find "attempt to perform arithmetic on a nil value" then
        local what = message:match "%(global '([^']+)'%)"
        local names = {}
        for other in next, _G do
            if type(other) == "string" then names[#names + 1] = other end
        end
        local near = what and require "attn.fields".nearest(what, names)
        if near then return ("did you mean '%s'?"):format(near) end
    end
end
