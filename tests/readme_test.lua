-- README.md: every block of it is run. Blocks of Lua in a section are one script; ```text behind a block is what that prints; a block
-- of a session is typed in again. `make TARGET` is asked what it would do, and a study runs with --quick.
local t = require "attn.test"
local here = arg[0]:match("^(.*)/") or "."
local shell = dofile(here .. "/cli/shell.lua")
local root = here .. "/.."
local readme = shell.read(root .. "/README.md")

local pipe = io.popen(("cd %s && pwd"):format(shell.quote(root)))
local top = pipe:read "l"
pipe:close()

-- Blocks {kind =, text =, section =} in order, and the lines between them.
local blocks, prose = {}, {}
do
    local section, open = "", nil
    for line in readme:gmatch "([^\n]*)\n" do
        local fence = line:match "^```(%a*)$"
        if fence and open then
            open.text = table.concat(open, "\n") .. "\n"
            open = nil
        elseif fence then
            open = {kind = fence == "" and "session" or fence, section = section}
            blocks[#blocks + 1] = open
        elseif open then
            open[#open + 1] = line
        else
            prose[#prose + 1] = line
            section = line:match "^## (.*)" or section
        end
    end
end

local function contains(text, expected)
    if not text:find(expected, 1, true) then error(("%q is not in %q"):format(expected, text), 2) end
end

-- Lines that say something whatever was measured: words, and no numbers.
local function said_always(text)
    local list = {}
    for line in text:gmatch "[^\n]+" do
        if line:find "%a%a%a" and not line:find "%d" then list[#list + 1] = line end
    end
    return list
end

t.case("the README has its parts, and nothing stands in a block of a kind that is not run", function()
    local counts = {}
    for _, block in ipairs(blocks) do counts[block.kind] = (counts[block.kind] or 0) + 1 end
    t.is_true(counts.sh >= 2 and counts.lua >= 5 and counts.session >= 1 and counts.text >= 2)
    for kind in pairs(counts) do t.is_true(({sh = 1, lua = 1, session = 1, text = 1})[kind], kind) end
    for _, line in ipairs(prose) do t.equal(line:match "^    .*", nil) end          -- no block by indenting
end)

t.case("its first picture is there, one that attn drew, and small", function()
    local path = readme:match "!%[[^%]]+%]%(([^)]+)%)"
    local picture = shell.read(root .. "/" .. path)
    contains(picture, "<title>attention weights, max ")
    t.is_true(#picture < 20000 and utf8.len(picture))
end)

local demo_output, examples = "", {}
for i, block in ipairs(blocks) do
    local printed = blocks[i + 1] and blocks[i + 1].kind == "text" and blocks[i + 1].section == block.section and blocks[i + 1]
    if block.kind == "sh" then
        for command in block.text:gmatch "[^\n]+" do examples[#examples + 1] = {command, printed} end
    end
end

for _, example in ipairs(examples) do
    t.case("$ " .. example[1], function()
        local command = example[1]
        local target = command:match "^make (%w+)$"
        if target then
            local out, err, code = shell.run(("env -u MAKEFLAGS -u MFLAGS make -n -C %s %s"):format(shell.quote(top), target))
            t.equal(code, 0)
            t.equal(err:find "%*%*%*", nil)
            contains(out, target == "demo" and "scripts/translation/dates.lua --seeds 1" or "tests/run.sh")
            return
        end
        command = command:gsub("^bin/", ""):gsub("scripts/", top .. "/scripts/", 1)     -- the picture goes to a folder of the test
        local out, err, code = shell.run(command .. " --quick --show --threads 1")
        t.equal({err, code}, {"", 0})
        demo_output = demo_output .. out
        contains(out, "\n" .. command:match "%-%-svg (%S+)" .. "/")                 -- names the picture it wrote
    end)
end

t.case("what the demonstration ends with", function()
    for _, block in ipairs(blocks) do
        if block.kind == "text" and block.section == "Two commands" then
            for _, line in ipairs(said_always(block.text)) do contains(demo_output, line:match "^%s*(.-)%s*$") end
        end
    end
end)

t.case("the session prints what stands there", function()
    for _, block in ipairs(blocks) do
        if block.kind == "session" then
            local typed = {}
            for line in block.text:gmatch "[^\n]*\n" do typed[#typed + 1] = line:match "^> (.*)" end
            local out = shell.run("(XDG_CONFIG_HOME=/nothing; export XDG_CONFIG_HOME; attn -i 2>&1)", table.concat(typed))
            out = out:match "\n(> .*)\n> \n?$" .. "\n"
            out = out:gsub("stack traceback:\n", ""):gsub("\n\t[^\n]*", "")           -- the README leaves tracebacks out
            t.equal(out, block.text)
        end
    end
end)

local sections, order = {}, {}
for i, block in ipairs(blocks) do
    if block.kind == "lua" then
        if not sections[block.section] then
            sections[block.section] = {printed = ""}
            order[#order + 1] = block.section
        end
        local s, after = sections[block.section], blocks[i + 1]
        s[#s + 1] = block.text
        if after and after.kind == "text" and after.section == block.section then s.printed = s.printed .. after.text end
    end
end

for _, name in ipairs(order) do
    t.case("the script of '" .. name .. "'", function()
        local s = sections[name]
        local script = table.concat(s, "\n")
        shell.write("readme.lua", script)
        local out, err, code = shell.run("attn readme.lua" .. (script:find("paper:main", 1, true) and " --quick --jobs 1" or ""))
        t.equal({err, code}, {"", 0})
        contains(out, s.printed)
    end)
end
