-- What is said where Lua itself stops a script: what was probably meant.
local t = require "attn.test"
local shell = dofile((arg[0]:match "^(.*)/" or ".") .. "/../cli/shell.lua")

local function says(code, hint)
    shell.write("hint.lua", 'local attn = require "attn"\n' .. code)
    local _, err, status = shell.run "attn hint.lua"
    t.equal(status, 1)
    t.is_true(err:match "^[^\n]*\n":find(hint, 1, true), err)
end

t.case("misspelt names, names of other libraries, operators on tensors", function()
    for code, hint in pairs{
        ["attn.softmx(attn.ones(2))"] = "(did you mean 'softmax'?)",
        ["attn.ones(2):softmx()"] = "(did you mean 'softmax'?)",
        ["attn.layer.linear{inputs = 2, outputs = 1}:paramters()"] = "(did you mean 'parameters'?)",
        ["attn.layer.linear{input = 2, outputs = 1}"] = "unknown field 'input' (known: inputs, outputs, bias; did you mean 'inputs'?)",
        ["softmax(attn.ones(2))"] = "(did you mean 'attn.softmax'?)",
        ["loss = 3 print(lss + 1)"] = "(did you mean 'loss'?)",
        ["print('loss ' .. attn.ones(1))"] = "say x:item() for its number",
        ["if attn.ones(1) > 0 then end"] = "say x:item() for its number; x:gt(y)",
        ["attn.ones(2):add_(1)"] = "tensors are not changed in place: x = x:add(...)",
        ["attn.ones(2):cuda()"] = "there is no GPU here",
        ["attn.ones(2):nElement()"] = "here it is x:numel()",
        ["attn.range(1, 3)"] = "here it is attn.arange",
    } do says(code, hint) end
end)

t.case("what was meant is looked for among what the function has at hand: fields of its modules, parameters, locals", function()
    local head = "local M = attn.module 'M' function M:init() self.encoder = attn.layer.linear{inputs = 2, outputs = 1} end "
        .. "function M:compute(x) return x end "
    for code, hint in pairs{
        ["function M:forward(x) return self.encodr(x) end M()(attn.ones(2))"] = "(field 'encodr') (did you mean 'encoder'?)",
        ["function M:forward(x) return self:compuet(x) end M()(attn.ones(2))"] = "(method 'compuet') (did you mean 'compute'?)",
        ["local m = M() m.encoder.parts.x = 1"] = "(field 'parts')\n",
        ["local layer = M().encoder print(layer.wieght:sum())"] = "(field 'wieght') (did you mean 'weight'?)",
        ["print(attn.ones(2).shpe[1])"] = "(field 'shpe') (did you mean 'shape'?)",
        ["print(attn.ones(2):shape())"] = "(shape is no method: x.shape, without ())",
        ["local total = 1 print(totla + 1)"] = "(global 'totla') (did you mean 'total'?)",
        ["local cfg = {hidden = 3} print(cfg.hiden + 1)"] = "(field 'hiden') (did you mean 'hidden'?)",
        ["attn.optim.adam{params = {attn.parameter(2)}, lr = 1}:stpe()"] = "(method 'stpe') (did you mean 'step'?)",
        ["attn.los.mse()"] = "(field 'los') (did you mean 'loss'?)", ["attn.loss.mes()"] = "(field 'mes') (did you mean 'loss.mse'?)",
        ["cross_entropy()"] = "(did you mean 'attn.loss.cross_entropy'?)",
    } do says(head .. code, hint) end
end)

t.case("what has no hint keeps Lua's message", function()
    shell.write("hint.lua", "local q = nil\nq()")
    local _, err = shell.run "attn hint.lua"
    t.is_true(err:find("hint.lua:2: attempt to call a nil value (local 'q')\nstack traceback", 1, true), err)
end)
