-- progress_bar: how far a loop is, and when it will be done.
--
-- On a terminal one line that stays below what is printed; elsewhere (a log) a line every 30 seconds. The first steps,
-- which start threads and fill the storage pool, do not count for the estimate: it is the mean of those after them.
local attn = require "attn"
local internal = require "attn.internal"
local screen = require "attn.show_screen"

local EVERY = 30            -- seconds between lines where there is no terminal

local m = {}

---Seconds as 0:07, 1:02:03; "?" for what is not known.
function m.clock(seconds)
    if seconds ~= seconds or seconds >= 360000 then return "?" end
    local s = math.floor(seconds + 0.5)
    if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
    return ("%d:%02d"):format(s // 60, s % 60)
end

local blocks = {"▏", "▎", "▍", "▌", "▋", "▊", "▉"}

local function blocks_of(share, width)
    local eighths = math.floor(share * width * 8)
    local full = eighths // 8
    local rest = blocks[eighths % 8] or ""
    return ("█"):rep(full) .. rest .. (" "):rep(width - full - (rest == "" and 0 or 1))
end

---@class Progress
---@field total integer
---@field done integer
local Bar = {}
Bar.__index = Bar
Bar.__name = "progress"

---@param total integer
---@param cfg {done: integer?, quiet: boolean?, terminal: boolean?, clock: (fun(): number)?, every: number?}
---done: steps of an earlier process. terminal, clock: for tests.
function m.new(total, cfg)
    local setting = os.getenv "ATTN_PROGRESS"
    local every = cfg.every or tonumber(setting) or EVERY
    local terminal = cfg.terminal
    if terminal == nil then terminal = attn.isatty(2) end
    local clock = cfg.clock or attn.clock
    local bar = setmetatable({total = total, done = cfg.done or 0, off = cfg.quiet or every == 0, terminal = terminal,
        every = terminal and 0.1 or every, clock = clock, note = "", calls = 0, began = clock(), last = clock()}, Bar)
    bar.skip = math.max(1, math.min(3, (total - bar.done) // 10))
    if terminal then bar.last = -1 end
    return bar
end

---Seconds that are left; NaN before there is an estimate.
function Bar:left()
    if not self.counted or self.done == self.counted then return 0 / 0 end
    return (self.total - self.done) * (self.clock() - self.since) / (self.done - self.counted)
end

-- The line, at most `width` columns wide.
function Bar:line(width)
    local count = ("%d/%d"):format(self.done, self.total)
    local times = ("%s < %s"):format(m.clock(self.clock() - self.began), m.clock(self:left()))
    local text = count .. (self.note ~= "" and "  " .. self.note or "") .. "  " .. times
    local share = self.total > 0 and self.done / self.total or 1
    local room = math.min(24, width - screen.width(text) - 10)
    local picture = self.terminal and room > 4 and blocks_of(share, room) .. " " or ""
    local line = ("%3d%% "):format(math.floor(share * 100)) .. picture .. text
    return room > -5 and line or screen.cut(text, width - 1)
end

---Says that `done` steps are behind, shown with a word about the last one.
---@param done integer
---@param note? string
function Bar:update(done, note)
    self.done, self.note, self.calls = done, note and screen.clean(note) or self.note, self.calls + 1
    if self.calls == self.skip then self.since, self.counted = self.clock(), done end
    if self.off then return end
    local now = self.clock()
    if now - self.last < self.every then return end
    self.last = now
    if self.terminal then
        internal.status(self:line(attn.terminal_width()))
        self.shown = true
    else
        io.stderr:write(self:line(1000), "\n")
    end
end

---Takes the line away.
function Bar:close()
    if self.shown then internal.status "" end
    self.shown = false
end

Bar.__close = Bar.close

-- The next step of a generic `for`: its number, and its value if the loop is over a list.
function Bar:__call(_, step)
    step = step or self.first
    if step > self.first then self:update(step) end
    if step >= self.total then
        self:close()
        return nil
    end
    return step + 1, self.list and self.list[step + 1]
end

function Bar:__tostring() return ("progress  %d/%d"):format(self.done, self.total) end

return m
