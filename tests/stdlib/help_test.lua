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

t.case("help: the overview fits a screen, a name is shown whole, others by that name too, groups and topics are lists", function()
    local function help(arguments)
        local pipe <close> = assert(io.popen(("'%s' help %s 2>&1; echo status $?"):format(exe, arguments)))
        return pipe:read "a"
    end
    local lines = select(2, help "":gsub("\n", ""))
    t.is_true(lines <= 36, lines)
    local both = help "linear"
    t.is_true(both:find("x W' + b for every row of x.", 1, true) and both:find("\nlayer.linear\n", 1, true), both)
    t.is_true(help "loss":find("^loss: losses\n  loss.bce "))
    t.is_true(help "masks":find "^Masks are bool")
    t.is_true(help "sofmax":find("there is no help for 'sofmax' (did you mean 'softmax'?)\nstatus 1", 1, true))
    t.is_true(help "--search Bahdanau":find "^attention ")
    t.is_true(help "--search no_such_word":find "status 1")
    t.is_true(help "--sarch":find("unknown option --sarch", 1, true))
    t.is_true(help "--search":find("a value is missing after --search", 1, true))
    for _, topic in ipairs{"tensors", "indexing", "masks", "dtypes", "modules", "layers", "losses", "optimizers", "training", "testing", "studies",
        "session", "speed"} do
        t.is_true(#help(topic) > 200 and help(topic):find "status 0", topic)
    end
    t.is_true(help "layer.dropout":find("p %s*number %(0%.5%)") or help "layer.dropout":find "required")
    t.is_true(help "attention":find "dim %s+integer %(optional%)")
end)

t.case("the documentation as pages, as a man page, and as completion of three shells", function()
    local shell = dofile(here .. "/../cli/shell.lua")
    local folder = shell.folder() .. "/pages"
    t.is_true(os.execute(("'%s' help --html '%s'"):format(exe, folder)))
    local index, layer = shell.read(folder .. "/index.html"), shell.read(folder .. "/layer.html")
    t.is_true(index:find('<a href="layer.html">layer</a>', 1, true) and index:find("dtypes", 1, true))
    t.is_true(layer:find('<h2 id="layer-linear">layer.linear</h2>', 1, true) and not layer:find("<at_", 1, true))
    t.is_true(not (index .. layer):find "https?://", "no page needs a network")
    t.is_true(output(("'%s' help --man"):format(exe)):find '^%.TH ATTN 1 ')
    for name, text in pairs{bash = "complete -o filenames -F _attn attn", zsh = "#compdef attn", fish = "complete -c attn"} do
        t.is_true(output(("'%s' help --completion %s"):format(exe, name)):find(text, 1, true), name)
    end
    local words = output(("bash -c 'source <(\"%s\" help --completion bash); COMP_WORDS=(attn help sparsem); COMP_CWORD=2; _attn; echo ${COMPREPLY[@]}'"):format(exe))
    t.equal(words, "sparsemax\n")
end)

t.case("a line of a list is cut between characters; text and example of an entry stand apart", function()
    local attn, help = require "attn", require "attn.help"
    attn.describe{name = "long_line_of_the_test", signature = "long_line_of_the_test()", help = ("é"):rep(300), example = "print 'é'"}
    local lines = {}
    t.is_true(help.search("ééé", function(line) lines[#lines + 1] = line end))
    t.equal({#lines, utf8.len(lines[1])}, {1, 132})
    t.is_true(lines[1]:find "é%.%.%.$", lines[1])
    local entry = help.entries().long_line_of_the_test
    t.equal({entry.text, entry.example}, {("é"):rep(300), "print 'é'"})
    t.equal(help.whole(entry), ("é"):rep(300) .. "\n\nExample:\n    print 'é'")
end)
