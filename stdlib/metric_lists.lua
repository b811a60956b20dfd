-- metric_lists: what measures over lists are given: lists or tensors, of scores, of yes and no, of the same length.
-- A function here is called by the measure itself: its errors stand where the measure was called.
local fields = require "attn.fields"

local m = {}

---A list of anything; a tensor of one dimension or more gives the list that its totable is.
---@param where string the measure, for messages
---@param name string of the argument
---@param value any
---@param like? any[] a list that must be as long
---@param like_name? string
---@return any[]
function m.read(where, name, value, like, like_name)
    local list = value
    if fields.describe(value):find "%[%d" then list = value:totable() end
    if type(list) ~= "table" then
        error(("%s: %s is %s, expected a list or a tensor"):format(where, name, fields.describe(value)), 3)
    elseif like and #list ~= #like then
        error(("%s: %s has %d entries, %s %d"):format(where, name, #list, like_name, #like), 3)
    end
    return list
end

---Complains unless every entry is a number, and none is NaN.
function m.check_scores(where, name, list)
    for i = 1, #list do
        local score = list[i]
        if type(score) ~= "number" or score ~= score then
            error(("%s: %s[%d] is %s, expected a number"):format(where, name, i,
                score ~= score and "NaN" or fields.describe(score)), 3)
        end
    end
end

local positive = {[true] = true, [1] = true, [false] = false, [0] = false}

---The list as booleans; entries are booleans, 1 or 0.
---@return boolean[]
function m.read_flags(where, name, list)
    local flags = {}
    for i = 1, #list do
        flags[i] = positive[list[i]]
        if flags[i] == nil then
            error(("%s: %s[%d] is %s, expected true, false, 1 or 0"):format(where, name, i, fields.describe(list[i])), 3)
        end
    end
    return flags
end

return m
