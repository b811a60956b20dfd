-- attn.strict: on in test files.
local t = require "attn.test"
local strict = require "attn.strict"

t.case("reading and assigning an undeclared global is an error at its line", function()
    t.raises("undeclared global 'no_such_name'", load("return no_such_name"))
    t.raises("assignment to undeclared global 'no_such_name'", load("no_such_name = 1"))
    t.equal(rawget(_G, "no_such_name"), nil)
    t.raises("undeclared global 'pritn' (did you mean 'print'?)", load("return pritn"))
end)

t.case("what is declared may be read and changed, nil or not", function()
    strict.declare("declared_here")
    t.equal(load("return declared_here")(), nil)
    load("declared_here = 5")()
    t.equal(load("return declared_here")(), 5)
    load("declared_here = nil")()
    t.equal(load("return declared_here")(), nil)
    rawset(_G, "declared_here", nil)
end)
