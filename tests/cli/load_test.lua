-- Chunks are text only, and modules are found beside the script and inside the executable.
local t = require "attn.test"
local shell = require "shell"
local run, write = shell.run, shell.write

local refused = "binary chunks are not accepted"

t.case("load, loadfile and dofile refuse bytecode", function()
    local code = string.dump(function() return 1 end)
    local path = write("code.luac", code)
    local function both(f, e) t.equal(f, nil) t.is_true(e:find(refused, 1, true), e) end
    both(load(code))
    both(load(code, "name", "b"))
    both(load(code, "name", "bt"))
    local sent = false
    both(load(function() if not sent then sent = true return code end end, "name", "b"))
    local at = 0
    both(load(function() at = at + 1 return code:sub(at, at) end))
    both(loadfile(path))
    both(loadfile(path, "b"))
    t.raises(refused, dofile, path)
    write("sharp.luac", "#comment\n" .. code)
    both(loadfile(shell.folder() .. "/sharp.luac"))
end)

t.case("require and the command line refuse it too", function()
    write("binary.lua", string.dump(function() print(1) end))
    local code = shell.read(shell.folder() .. "/binary.lua")
    for _, command in ipairs{"attn binary.lua", "attn -", "attn -l binary", "LUA_INIT=@binary.lua attn -e ''"} do
        local out, err, status = run(command, code)
        t.equal({out, status}, {"", 1})
        t.is_true(err:find(refused, 1, true), err)
    end
    t.equal(run("ATTN_ALLOW_BYTECODE=1 attn binary.lua"), "1\n")
end)

t.case("load behaves as Lua's otherwise", function()
    t.equal(load("return ...")(5), 5)
    t.equal(load("return x", "name", "t", {x = 7})(), 7)
    t.raises("attempt to index a nil value", load("return x", "name", "t", nil))
    local parts, i = {"return ", "4", "2"}, 0
    t.equal(load(function() i = i + 1 return parts[i] end)(), 42)
    t.equal({load("x =", "=chunk")}, {nil, "chunk:1: unexpected symbol near <eof>"})
    t.equal({load("return 1", "name", "b")}, {nil, "attempt to load a text chunk (mode is 'b')"})
    local function message(reader) return select(3, pcall(load, reader)) end
    t.is_true(message(function() return {} end):find("reader function must return a string", 1, true))
    t.is_true(message(function() error("from the reader") end):find("from the reader", 1, true))
    t.raises("bad argument #1 to 'load' (function expected, got no value)", load)
    local path = write("env.lua", "return y, ...")
    t.equal({loadfile(path, "t", {y = 3})(4)}, {3, 4})
    t.equal({dofile(write("values.lua", "return 1, nil, 3"))}, {1, nil, 3})
    t.is_true(select(2, loadfile("/nothing.lua")):find("cannot open", 1, true))
end)

t.case("a chunk run by dofile may yield", function()
    local path = write("yield.lua", "return coroutine.yield(1)")
    local co = coroutine.wrap(function() return dofile(path) end)
    t.equal(co(), 1)
    t.equal(co(2), 2)
end)

t.case("modules beside the script are found first, from any folder", function()
    os.execute("mkdir -p " .. shell.folder() .. "/deep/pack")
    write("deep/own.lua", "return 'beside'")
    write("deep/pack/init.lua", "return ...")
    write("own.lua", "return 'in the working folder'")
    write("deep/main.lua", "print((require 'pack')) print(require 'own')")
    t.equal(run("attn deep/main.lua"), "pack\nbeside\tdeep/own.lua\n")
    t.equal(run("attn -e \"print((require 'own'))\""), "in the working folder\n")
end)

t.case("a script of a neighbouring folder is found by both names", function()
    os.execute("mkdir -p " .. shell.folder() .. "/other")
    write("other/part.lua", "return 'of the neighbour'")
    write("deep/user.lua", "print((require 'other.part'))")
    t.equal(run("attn deep/user.lua"), "of the neighbour\n")
end)

t.case("what is wrong with a module is said with its place", function()
    write("broken.lua", "x = = 1")
    local _, err = run("attn -", "require 'broken'")
    t.is_true(err:find("error loading module 'broken' from file './broken.lua':", 1, true), err)
    _, err = run("attn -", "require 'attn.nothing'")
    t.is_true(err:find("no module 'attn.nothing' in the library", 1, true), err)
    _, err = run("attn -", "package.path = nil require 'x'")
    t.is_true(err:find("'package.path' must be a string", 1, true), err)
end)

t.case("a module that is missing gives Lua's own message, in a script as on the command line", function()
    local code = "package.path, package.cpath = '?.lua;?/?', '?.so;?/init' print(select(2, pcall(require, 'pack.XXX')))"
    local expected = "module 'pack.XXX' not found:\n\tno field package.preload['pack.XXX']\n\tno file 'pack/XXX.lua'\n"
        .. "\tno file 'pack/XXX/pack/XXX'\n\tno file 'pack/XXX.so'\n\tno file 'pack/XXX/init'\n"
        .. "\tno file 'pack.so'\n\tno file 'pack/init'\n"
    write("missing.lua", code)
    write("deep/missing.lua", code)
    for _, command in ipairs{"attn missing.lua", "attn deep/missing.lua", "attn -", "attn -e " .. shell.quote(code)} do
        t.equal({run(command, code)}, {expected, "", 0})
    end
end)

t.case("the library is inside the executable, and ATTN_STDLIB replaces it", function()
    os.execute("mkdir -p " .. shell.folder() .. "/lib " .. shell.folder() .. "/empty")
    os.execute("cp " .. shell.quote(shell.exe) .. " " .. shell.folder() .. "/empty/attn")
    t.equal(run("env -i ./empty/attn -e \"print(type(require 'attn.test'.case))\""), "function\n")
    write("lib/test.lua", "return 'replaced ' .. debug.getinfo(1).short_src")
    t.equal(run("ATTN_STDLIB=lib attn -e \"print((require 'attn.test'))\""), "replaced attn/test.lua\n")
end)
