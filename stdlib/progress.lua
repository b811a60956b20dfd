-- attn.progress: a line of progress for any loop. The line itself is progress_bar.lua's.
local attn = require "attn"
local bars = require "attn.progress_bar"
local fields = require "attn.fields"

---A line of progress for a loop: `for i, x in attn.progress(list)`, `for i in attn.progress(100)`.
---@param n integer|any[] how many steps, or a list to go over
---@param options? {quiet: boolean?}
---@return Progress bar, nil, integer, Progress
local function progress(n, options)
    local cfg = fields.read("progress", options or {}, {{"quiet", "boolean", false}})
    local list = type(n) == "table" and n or nil
    local total = list and #list or math.tointeger(n)
    if not total or total < 0 then
        error(("progress: n is %s, expected a number of steps or a list"):format(fields.describe(n)), 2)
    end
    local bar = bars.new(total, cfg)
    bar.list, bar.first = list, 0
    return bar, nil, 0, bar
end

attn.describe{name = "progress", signature = "progress(n or list, {quiet = false}) -> bar",
    help = "Goes from 1 to n, or over a list, and shows how far it is: `for i, x in attn.progress(list) do`. On a\n"
        .. "terminal a line stays below what is printed, with the time so far and the time left; elsewhere there is\n"
        .. "a line every 30 seconds on stderr. bar:update(done, note) is for loops of another form, and its note\n"
        .. "stands in the line; bar:close() takes it away. ATTN_PROGRESS=0 shows nothing.",
    example = 'for i in attn.progress(3) do print(i) end\n'
        .. 'local bar <close> = attn.progress(20)\n'
        .. 'for epoch = 1, 20 do bar:update(epoch, "loss 0.5") end'}

return progress
