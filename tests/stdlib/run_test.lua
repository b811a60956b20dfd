-- Options of a script.
local t = require "attn.test"
local run = require "attn.run"

t.case("the default gives the type; the last of two wins", function()
    local cfg = run.options({dim = 8, lr = 0.1, name = "", flag = false, on = true, sizes = {1, 2}, words = {"a"}},
        {"--dim", "16", "--lr=1e-2", "--name", "x=y", "--flag", "--no-on", "--sizes=3,4,5", "--words", "b,c",
            "--dim=32"})
    t.equal(cfg, {dim = 32, lr = 0.01, name = "x=y", flag = true, on = false, sizes = {3, 4, 5}, words = {"b", "c"}})
    t.equal(math.type(cfg.dim), "integer")
end)

t.case("- and _ are the same, false as a value, negative numbers", function()
    t.equal(run.options({min_count = 1, flag = true, x = 1.5}, {"--min-count", "3", "--flag=false", "--x", "-2"}),
        {min_count = 3, flag = false, x = -2})
end)

t.case("--data is always taken", function()
    t.equal(run.options({n = 1}, {"--data", "/x"}), {n = 1, data = "/x"})
end)

t.case("errors name the option", function()
    local defaults = {epochs = 3, flag = false}
    t.raises("unknown option --epcohs (did you mean --epochs?)", run.options, defaults, {"--epcohs", "1"})
    t.raises("--epochs is '1.5', expected an integer", run.options, defaults, {"--epochs", "1.5"})
    t.raises("--epochs is 'many', expected an integer", run.options, defaults, {"--epochs=many"})
    t.raises("--epochs needs a value", run.options, defaults, {"--epochs"})
    t.raises("--flag is 'maybe', expected true or false", run.options, defaults, {"--flag=maybe"})
    t.raises("unexpected argument 'epochs'", run.options, defaults, {"epochs", "3"})
    t.raises("unknown option --no-epochs", run.options, defaults, {"--no-epochs"})
end)

t.case("the defaults are not changed", function()
    local defaults = {n = 1}
    run.options(defaults, {"--n", "2"})
    t.equal(defaults, {n = 1})
end)
