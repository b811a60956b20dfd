-- trees: constituent trees in brackets, (S (NP (PRP it)) (VP (VBZ works))), and as lists that a sequence model writes,
-- (S (NP XX )NP (VP XX )VP )S, each word as XX (Vinyals et al. 2015).
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

local function check(where, name, value, kind, level)
    if type(value) ~= kind then
        error(("%s: %s is %s, expected %s"):format(where, name, fields.describe(value), kind == "table" and "a list"
            or "a tree in brackets"), (level or 2) + 1)
    end
end

---The words of a tree and their tags.
---@param tree string
---@return string[] words
---@return string[] tags
function m.words(tree)
    check("trees.words", "tree", tree, "string")
    local words, tags = {}, {}
    for tag, word in tree:gmatch "%(([^%s()]+)%s+([^%s()]+)%)" do words[#words + 1], tags[#tags + 1] = word, tag end
    return words, tags
end

---A tree as a list, every word as XX; labels without their functions.
---@param tree string
---@return string[] list
function m.linear(tree)
    check("trees.linear", "tree", tree, "string")
    local list, open = {}, {}
    for token in tree:gsub("%([^%s()]+%s+[^%s()]+%)", " XX "):gsub("%)", " ) "):gmatch "%S+" do
        if token == ")" then
            if #open == 0 then error("trees.linear: the tree closes more brackets than it opens", 2) end
            list[#list + 1] = ")" .. table.remove(open)
        else
            list[#list + 1] = token:match "^%(?[^-=]*"
            if token ~= "XX" then open[#open + 1] = list[#list]:sub(2) end
        end
    end
    if #open > 0 then error(("trees.linear: %d brackets of the tree are not closed"):format(#open), 2) end
    return list
end

---A list as a tree over these words, under a bracket TOP. What is wrong is mended: a bracket that closes nothing is
---dropped, one left open is closed, one without words goes; words too many are dropped, those left out come last.
---@param list string[]
---@param words string[]
---@param tags string[]
---@return string tree
---@return boolean balanced whether every bracket of the list was closed by its own
---@return boolean complete whether the list had as many words
function m.build(list, words, tags)
    check("trees.build", "list", list, "table")
    check("trees.build", "words", words, "table")
    check("trees.build", "tags", tags, "table")
    if #tags ~= #words then
        error(("trees.build: %d tags, expected one for each of %d words"):format(#tags, #words), 2)
    end
    local parts, open, count, balanced = {"(TOP"}, {}, 0, true
    local function close()
        if #parts == table.remove(open).at then parts[#parts] = nil else parts[#parts] = parts[#parts] .. ")" end
    end
    local function word()
        count = count + 1
        if count <= #words then parts[#parts + 1] = ("(%s %s)"):format(tags[count], words[count]) end
    end
    for _, token in ipairs(list) do
        local kind, label = token:match "^([()])(.*)$"
        if kind == "(" then
            parts[#parts + 1] = token
            open[#open + 1] = {label = label, at = #parts}
        elseif kind == ")" then
            local depth = #open
            while depth > 0 and open[depth].label ~= label do depth = depth - 1 end
            balanced = balanced and depth > 0 and depth == #open
            while depth > 0 and #open >= depth do close() end
        else
            word()
        end
    end
    balanced = balanced and #open == 0
    local complete = count == #words
    while #open > 0 do close() end
    while count < #words do word() end
    return table.concat(parts, " ") .. ")", balanced, complete
end

---A tree and the constituents in it that have so many words: what a small treebank offers beside its sentences.
---@param tree string
---@param options? {shortest: integer, longest: integer}
---@return string[] trees the tree itself first, if it is one of them
function m.constituents(tree, options)
    check("trees.constituents", "tree", tree, "string")
    options = fields.read("trees.constituents", options or {}, {{"shortest", "integer", 1, least = 1},
        {"longest", "integer", math.maxinteger, least = 1}})
    local list = {}
    local function add(part)
        local count = #m.words(part)
        if count < options.shortest or not part:find("(", 2, true) then return end
        if count <= options.longest then list[#list + 1] = part end
        for inner in part:sub(2):gmatch "%b()" do add(inner) end
    end
    add(tree)
    return list
end

attn.describe{name = "trees.words", signature = "words(tree) -> words, tags",
    help = "The words of a tree in brackets, (S (NP (PRP it)) (VP (VBZ works))), and their tags.",
    example = 'print(table.concat(require "attn.trees".words "(S (NP (PRP it)) (VP (VBZ works)))", " "))'}
attn.describe{name = "trees.linear", signature = "linear(tree) -> list",
    help = "A tree in brackets as the list that a sequence model writes, every word as XX and every bracket with its\n"
        .. "label: (S (NP XX )NP (VP XX )VP )S. Functions of labels go, NP-SBJ is NP.",
    example = 'print(table.concat(require "attn.trees".linear "(S (NP-SBJ (PRP it)) (VP (VBZ works)))", " "))'}
attn.describe{name = "trees.build", signature = "build(list, words, tags) -> tree, balanced, complete",
    help = "A list as trees.linear makes it as a tree over these words, under a bracket TOP, for metric.evalb. What is\n"
        .. "wrong is mended: a bracket that closes nothing is dropped, one left open is closed, one without words goes;\n"
        .. "words too many are dropped, those left out come last. balanced: every bracket was closed by its own;\n"
        .. "complete: the list had as many words.",
    example = 'print(require "attn.trees".build({"(S", "(NP", "XX", ")NP", "XX"}, {"it", "works"}, {"PRP", "VBZ"}))'}
attn.describe{name = "trees.constituents", signature = "constituents(tree, {shortest = 1, longest =}) -> trees",
    help = "A tree in brackets and the constituents in it that have so many words, itself first; a word with its tag is\n"
        .. "none.",
    example = 'print(#require "attn.trees".constituents("(S (NP (PRP it)) (VP (VBZ works)))", {shortest = 2}))'}

return m
