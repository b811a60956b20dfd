local t = require "attn.test"
local here = arg[0]:match("^(.*)/") or "."
local exe = os.getenv "ATTN_EXE" or arg[-1]

local function output(command)
    local pipe <close> = assert(io.popen(command))
    return pipe:read("a")
end

t.case("every environment variable that the sources read is in attn help environment", function()
    local topic = output(("'%s' help environment"):format(exe))
    local count = 0
    for line in output(("cd '%s/../..' && grep -rh getenv attn vm stdlib"):format(here)):gmatch("[^\n]+") do
        for name in line:gmatch('getenv[ (]*"([%u%d_]+)"') do
            count = count + 1
            t.is_true(topic:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
        end
    end
    t.is_true(count >= 10, "variables found: " .. count)
end)

t.case("the stubs for editors are a Lua file that names functions, methods and layers", function()
    local text = output(("'%s' help --stubs"):format(exe))
    t.is_true(text:find("^%-%-%-@meta\n"))
    local stubs = assert(load(text, "=stubs"))()
    for _, name in ipairs {"softmax", "attention"} do t.equal(type(stubs[name]), "function", name) end
    t.equal(type(stubs.layer.linear), "function")
    t.equal({type(getmetatable(stubs.study).__call), type(stubs.study.bootstrap)}, {"function", "function"})   -- called, and holds functions
    t.is_true(text:find("\nfunction tensor:backward(...) end\n", 1, true))
end)

t.case("what a module of the library describes is in attn help, without a word of which modules there are", function()
    local attn, internal = require "attn", require "attn.internal"
    for _, name in ipairs(internal.named_modules()) do t.is_true(attn[name]) end
    local stubs, count = assert(load(output(("'%s' help --stubs"):format(exe)), "=stubs"))(), 0
    for name in pairs(internal.docs()) do
        local at = not name:find ":" and stubs
        for part in name:gmatch "[^.]+" do at = at and at[part] end
        t.is_true(at ~= nil, name)
        count = count + 1
    end
    t.is_true(count > 150 and stubs.checkgrad and stubs.dist.normal and stubs.estimate.reinforce, count)
end)
