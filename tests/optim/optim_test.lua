-- Optimizers: their rules against definitions in plain Lua, state, and what goes wrong. Conformance files hold more.
local attn, t = require "attn", require "attn.test"

local cases = dofile(debug.getinfo(1, "S").source:match("^@(.-)[^/]*$") .. "cases.lua")
local optim, f64 = attn.optim, {dtype = "float64"}

-- A parameter with the gradient given.
local function give(p, gradient)
    p.grad = nil
    (p * gradient):sum():backward()
end

local function parameter(values, dtype)
    return attn.tensor(values, {dtype = dtype or "float64"}):requires_grad_(true)
end

local function follow(name, config)
    local value, state = {2, -1}, {{}, {}}
    local ps = cases[name].single and {parameter{2}, parameter{-1}} or {parameter{2, -1}}
    local c = {params = ps}
    for k, v in pairs(config) do c[k] = v end
    local opt = optim[name](c)
    for step = 1, 5 do
        local g = {math.sin(step), 0.5 * step - 1}
        local at = 1
        for _, p in ipairs(ps) do
            give(p, attn.tensor(table.move(g, at, at + #p - 1, 1, {}), f64))
            at = at + #p
        end
        opt:step()
        for i = 1, 2 do value[i] = cases[name].step(config, state[i], value[i], g[i]) end
        t.near(attn.cat(ps, 1):detach():totable(), value, 1e-12)
    end
end

for name, case in pairs(cases) do
    t.case(name .. " follows its definition", function()
        for _, config in ipairs(case.configs) do follow(name, config) end
    end)
end

t.case("large parameters take the same steps in blocks, on any number of threads", function()
    local function run(threads)
        local old = attn.threads()
        attn.threads(threads)
        attn.seed(1)
        local p = attn.randn(100003):requires_grad_(true)
        local opt = optim.adam{params = {p}, lr = 0.1}
        for _ = 1, 3 do
            opt:zero_grad();
            (p * p * p):sum():backward()
            attn.clip_grad_norm({p}, 1)
            opt:step()
        end
        attn.threads(old)
        return p:detach():totable()
    end
    t.equal(run(1), run(2))
end)

t.case("lamb: the norms are of the whole parameter, with the same bits on any number of threads", function()
    local function run(threads, values)
        local old = attn.threads()
        attn.threads(threads)
        local p = values:clone():requires_grad_(true)
        local opt = optim.lamb{params = {p}, lr = 0.1, weight_decay = 0.01}
        for _ = 1, 3 do
            opt:zero_grad();
            (p * p * p):sum():backward()
            opt:step()
        end
        attn.threads(old)
        return p:detach()
    end
    attn.seed(3)
    local x = attn.randn(50001)
    local y = run(1, x)
    for _, threads in ipairs{2, 3, 7} do t.equal(run(threads, x):eq(y):sum():item(), x:numel()) end
    local p = parameter{3, 4}
    give(p, attn.tensor({1, 1}, f64))
    optim.lamb{params = {p}, lr = 0.1, eps = 0}:step()          -- direction {1, 1}, |p| = 5
    t.near(p:detach():totable(), {3 - 0.5 / 2 ^ 0.5, 4 - 0.5 / 2 ^ 0.5}, 1e-12)
end)

t.case("groups have fields of their own, and their lr follows the optimizer's", function()
    local a, b = parameter{1}, parameter{1}
    local opt = optim.sgd{lr = 0.5, weight_decay = 1, params = {{params = {a}}, {params = {b, b}, lr = 0.25, weight_decay = 0}}}
    local function step()
        give(a, attn.tensor({1}, f64))
        give(b, attn.tensor({1}, f64))
        opt:step()
    end
    step()
    t.equal(a:totable(), {0})           -- 1 - 0.5 (1 + 1)
    t.equal(b:totable(), {0.75})        -- 1 - 0.25
    opt.lr = 1                          -- twice: the second group's is 0.5
    step()
    t.equal(a:totable(), {-1})
    t.equal(b:totable(), {0.25})
    t.equal(#opt.params, 2)
    t.is_true(tostring(opt):find("2 groups", 1, true))
end)

t.case("the state of groups is that of their parameters, in order", function()
    local function run(resume)
        local a, b = parameter{1, 2}, parameter{3}
        local function make()
            return optim.sgd{lr = 0.1, params = {{params = {a}, momentum = 0.9}, {params = {b}, lr = 0.2}}}
        end
        local opt = make()
        for k = 1, 4 do
            give(a, attn.tensor({k, 1}, f64))
            give(b, attn.tensor({k}, f64))
            opt:step()
            if k == 2 and resume then
                local state = opt:state()
                t.is_true(state.params[1].momentum and not state.params[2].momentum)
                opt = make()
                opt:load(state)
            end
        end
        return {a:totable(), b:totable()}
    end
    t.equal(run(true), run(false))
end)

t.case("what groups refuse", function()
    local p, q = parameter{1}, parameter{2}
    t.raises("adam: groups 1 and 2 have a parameter in common (float64 [1])",
             optim.adam, {params = {{params = {p}}, {params = {q, p}}}})
    t.raises("adam: group 2: unknown field 'rate'", optim.adam, {params = {{params = {p}}, {params = {q}, rate = 1}}})
    t.raises("adam: group 1: field 'params' is missing", optim.adam, {params = {{lr = 1}}})
    t.raises("adam: group 1: params is empty", optim.adam, {params = {{params = {}}}})
    t.raises("adam: params has groups among other entries", optim.adam, {params = {p, {params = {q}}}})
    t.raises("adam: group 1: params[1] is a table, expected a tensor", optim.adam, {params = {{params = {{}}}}})
    t.raises("adam: group 1: lr is a multiple of the optimizer's, which is 0",
             optim.adam, {lr = 0, params = {{params = {p}, lr = 1}}})
    t.raises("sgd: field 'lr' is missing", optim.sgd, {params = {{params = {p}, lr = 1}}})
    t.raises("adan: betas is not a list of three numbers", optim.adan, {params = {p}, betas = {0.9, 0.9}})
end)

t.case("a parameter without a gradient is passed over, and its steps do not count", function()
    local a, b = parameter{1}, parameter{1}
    local opt = optim.adam{params = {a, b}, lr = 0.1}
    give(a, attn.tensor({1}, f64))
    opt:step()
    t.equal(b:totable(), {1})
    t.equal(opt:state().params[2], {step = 0})
    give(b, attn.tensor({1}, f64))
    opt:step()
    t.near(b:totable(), {0.9}, 1e-6)
    t.equal(opt:state().params[1].step, 2)
    t.equal(opt:state().params[2].step, 1)
    opt:zero_grad()
    t.equal(a.grad, nil)
end)

t.case("lr can be read and written", function()
    local p = parameter{1}
    local opt = optim.sgd{params = {p}, lr = 0.5}
    t.equal(opt.lr, 0.5)
    opt.lr = 0.25
    give(p, attn.tensor({1}, f64))
    opt:step()
    t.equal(p:totable(), {0.75})
    t.raises("sgd: lr is -1, expected a number from 0 on", function() opt.lr = -1 end)
    t.raises("sgd: lr is", function() opt.lr = 0 / 0 end)
    t.raises("sgd: lr is the string '1', expected a number", function() opt.lr = "1" end)
    t.raises("sgd: only lr can be assigned", function() opt.momentum = 1 end)
    t.equal(opt.lr, 0.25)
    t.equal(opt.nothing, nil)
    t.equal(#opt.params, 1)
    t.is_true(tostring(opt):find("sgd  lr 0.25, momentum 0", 1, true))
    t.is_true(tostring(opt):find("1 tensors, 1 parameters", 1, true))
end)

t.case("a tied parameter is moved once", function()
    local p = parameter{1}
    local opt = optim.sgd{params = {p, p, p}, lr = 0.5}
    give(p, attn.tensor({1}, f64))
    opt:step()
    t.equal(p:totable(), {0.5})
    t.equal(#opt.params, 1)
end)

t.case("both float types, and parameters that are views", function()
    local a = parameter({1, 2}, "float32")
    local whole = attn.tensor({{1, 2}, {3, 4}, {5, 6}}, f64)
    local b = whole:transpose(1, 2):detach():requires_grad_(true)
    local opt = optim.sgd{params = {a, b}, lr = 1, momentum = 0.5}
    local loss = (a * 2):sum():to("float64") + (b * attn.tensor({{1, 2, 3}, {4, 5, 6}}, f64)):sum()
    loss:backward()
    opt:step()
    t.equal(a:totable(), {-1, 0})
    t.equal(whole:totable(), {{0, -2}, {1, -1}, {2, 0}})
end)

t.case("a resumed run takes the same steps, bit for bit", function()
    local function resumed(name, given)
        local config = {}
        for k, v in pairs(given) do config[k] = v end
        local function make(p)
            config.params = {p}
            return optim[name](config)
        end
        local function step(p, opt, k)
            give(p, attn.tensor({math.sin(k), math.cos(k)}))
            opt:step()
        end
        local p = parameter({1, 2}, "float32")
        local opt = make(p)
        for k = 1, 3 do step(p, opt, k) end
        opt.lr = opt.lr / 2
        local q = p:detach():clone():requires_grad_(true)
        local other = make(q)
        other:load(opt:state())
        t.equal(other.lr, opt.lr)
        for k = 4, 6 do
            step(p, opt, k)
            step(q, other, k)
        end
        t.equal(q:totable(), p:totable())
    end
    for name, case in pairs(cases) do
        for _, config in ipairs(case.configs) do resumed(name, config) end
    end
end)

t.case("a state that does not fit: every difference in one error, nothing changed", function()
    local a, b = parameter{1, 2}, parameter{3}
    local opt = optim.adam{params = {a, b}}
    give(a, attn.tensor({1, 1}, f64))
    give(b, attn.tensor({1}, f64))
    opt:step()
    local function state() return opt:state() end
    local before = tostring(state().params[1].m)
    t.raises("adam: the state does not fit: kind is 'sgd', expected 'adam'; lr is nil, expected a number from 0 on; "
             .. "params has 1 entries, expected 2", opt.load, opt, {kind = "sgd", params = {{step = 0}}})
    local s = state()
    s.params[1].m = attn.ones(3, f64)
    s.params[1].v = nil
    s.params[2].step = -1
    s.params[2].more = 1
    local message = t.raises("params[1].m is float64 [3], expected float64 [2]; params[1].v is missing",
                             opt.load, opt, s)
    t.is_true(message:find("params[2].step is -1, expected a count", 1, true))
    t.is_true(message:find("params[2].more is not known", 1, true))
    for _, bad in ipairs{
        {}, {1}, {kind = 1, lr = "x", params = 3}, {kind = "adam", lr = 1, params = {1, 2}},
        {kind = "adam", lr = 1, params = {a = {}, b = {}}}, {kind = "adam", lr = 1 / 0, params = {{}, {}}},
        {kind = "adam", lr = 1, params = {[2] = {}, [3] = {}}},
    } do
        t.raises("the state does not fit", opt.load, opt, bad)
    end
    t.raises("adam: state is nil, expected a table", opt.load, opt)
    t.equal(tostring(state().params[1].m), before)
    local many = {}
    for k = 1, 100 do many["field" .. k] = k end
    t.raises("more", opt.load, opt, many)
end)

t.case("what a constructor refuses", function()
    local p = parameter{1}
    t.raises("adam: field 'params' is missing", optim.adam, {})
    t.raises("adam: argument is nil, expected a table of fields", optim.adam)
    t.raises("adam: params is empty", optim.adam, {params = {}})
    t.raises("adam: params[2] is 'x', expected a tensor", optim.adam, {params = {p, "x"}})
    t.raises("adam: params[1] is int64 [1], expected float32 or float64", optim.adam, {params = {attn.arange(1, 1)}})
    t.raises("adam: params[1] is the result of an operation", optim.adam, {params = {p * 2}})
    t.raises("adam: params has a field 'a', expected a list", optim.adam, {params = {a = p}})
    t.raises("adam: params has an entry 3, expected a list", optim.adam, {params = {[1] = p, [3] = p}})
    t.raises("sgd: field 'lr' is missing", optim.sgd, {params = {p}})
    t.raises("adam: lr is -1, expected at least 0", optim.adam, {params = {p}, lr = -1})
    t.raises("adam: betas[2] is 1, expected 0 or more and below 1", optim.adam, {params = {p}, betas = {0.9, 1}})
    t.raises("adam: betas is not a list of two numbers", optim.adam, {params = {p}, betas = {0.9}})
    t.raises("adam: betas is not a list of two numbers", optim.adam, {params = {p}, betas = {0.9, 0.9, 0.9}})
    t.raises("sgd: nesterov needs a momentum above 0 and no dampening",
             optim.sgd, {params = {p}, lr = 1, nesterov = true})
    t.raises("adam: unknown field 'beta'", optim.adam, {params = {p}, beta = 1})
    local freed = parameter{1}
    freed:free()
    t.raises("freed", optim.adam, {params = {freed}})
    local opt = optim.adam{params = {p}}
    t.raises("step: self is nil, expected an optimizer", opt.step)
    t.raises("step: self is float64 [1], expected an optimizer", opt.step, p)
end)

t.case("a step makes graphs that need the old numbers invalid", function()
    local p = parameter{2}
    local loss = (p * p):sum()
    give(p, attn.tensor({1}, f64))
    optim.sgd{params = {p}, lr = 1}:step()
    t.raises("changed in place", loss.backward, loss)
end)

t.case("an optimizer keeps its parameters alive", function()
    local opt = optim.sgd{params = {parameter{1}}, lr = 1}
    collectgarbage()
    t.equal(opt.params[1]:totable(), {1})
    local p = opt.params[1]
    p:free()
    opt:step()
    t.equal(opt.params[1]:totable(), {1})
end)
