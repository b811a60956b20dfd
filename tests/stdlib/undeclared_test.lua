-- Reading a global that has no value: said with attn -g and in the session, an error with attn.strict.
local t = require "attn.test"
local shell = dofile((arg[0]:match "^(.*)/" or ".") .. "/../cli/shell.lua")

t.case("attn -g says where, once for a line, with what was probably meant", function()
    shell.write("g.lua", "local loss = 1\nfor i = 1, 3 do print(lss) end\nif DEBUG then end\nreturn softmax, cross_entropy and type(print)")
    local out, err, code = shell.run "attn -g g.lua"
    local program = shell.exe .. ": g.lua:"
    t.equal({out, err, code}, {"nil\nnil\nnil\n", program .. "2: the global 'lss' has no value (did you mean 'loss'?)\n"
        .. program .. "3: the global 'DEBUG' has no value\n" .. program .. "4: the global 'softmax' has no value (did you mean 'attn.softmax'?)\n"
        .. program .. "4: the global 'cross_entropy' has no value (did you mean 'attn.loss.cross_entropy'?)\n", 0})
    out, err = shell.run "attn g.lua"
    t.equal(err, "")
end)

t.case("a script that says itself what globals are goes first", function()
    shell.write("own.lua", "setmetatable(_G, {__index = function(_, name) return name end}) print(lss)")
    local out, err = shell.run "attn -g own.lua"
    t.equal({out, err}, {"lss\n", ""})
    out, err = shell.run([[attn -g -e "require 'attn.strict' loss = 1"]])
    t.is_true(err:find("assignment to undeclared global 'loss'", 1, true), err)
end)

t.case("the session says it behind an entry, of what was typed alone, and not where an error says it", function()
    shell.write("lib.lua", "return function() return not_there end")
    local out, err, code = shell.run("XDG_CONFIG_HOME=/nothing attn -i",
        "total = 3\ntotl\ntotl\nfunction f() return sofmax end\nf()\ntotl + 1\n_\nif rawget(_G, 'x') then end\nrequire 'lib'()\n")
    t.equal(code, 0)
    local said = {}
    for line in err:gmatch "%[%d+%][^\n]*has no value[^\n]*" do said[#said + 1] = line end
    t.equal(said, {"[2]:1: the global 'totl' has no value (did you mean 'total'?)", "[3]:1: the global 'totl' has no value (did you mean 'total'?)",
        "[4]:1: the global 'sofmax' has no value (did you mean 'attn.softmax'?)"})
    t.is_true(err:find("[6]:1: attempt to perform arithmetic on a nil value (global 'totl') (did you mean 'total'?)", 1, true), err)
    t.is_true(out:find "\nnil\n")
end)
