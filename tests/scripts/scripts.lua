-- Helper of the tests in this folder: where the scripts are, so that `require "FAMILY.NAME"` finds them, and a tiny Multi30k.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
local shell = dofile(here .. "/../cli/shell.lua")
local folder = os.getenv "ATTN_SCRIPTS" or here .. "/../../scripts"
if folder:sub(1, 1) ~= "/" then
    local pipe <close> = io.popen "pwd"
    folder = pipe:read "l" .. "/" .. folder
end
package.path = folder .. "/?.lua;" .. package.path

local scripts = {folder = folder, shell = shell}

---A few sentences in two made-up languages, in the files of Multi30k; the data directory.
function scripts.multi30k()
    local data = shell.folder() .. "/data"
    os.execute(("mkdir -p %s/multi30k"):format(shell.quote(data)))
    local words = {"man", "dog", "runs", "red", "sees", "ball", "house", "big"}
    for name, count in pairs{train = 40, val = 6, test_2016_flickr = 6} do
        local en, de = {}, {}
        for i = 1, count do
            local a, b = {}, {}
            for k = 1, 3 + i % 4 do
                a[k] = words[1 + (i * k + k) % #words]
                b[k] = a[k] .. "en"
            end
            en[i], de[i] = "A " .. table.concat(a, " ") .. ".", "Ein " .. table.concat(b, " ") .. "."
        end
        shell.write(("data/multi30k/%s.en"):format(name), table.concat(en, "\n") .. "\n")
        shell.write(("data/multi30k/%s.de"):format(name), table.concat(de, "\n") .. "\n")
    end
    return data
end

---Runs a script; its output and its `result` lines by name. It must end well.
function scripts.run(arguments)
    local out, err, code = shell.run("attn " .. shell.quote(folder) .. "/" .. arguments)
    if code ~= 0 then error(("%s: status %d: %s%s"):format(arguments, code, out, err), 2) end
    local results = {}
    for name, value in out:gmatch "\nresult (%S+) (%S+)" do results[name] = tonumber(value) end
    return results, out
end

return scripts
