-- ponder: how long to think, and what to do, learned: adaptive computation time, and attention over operations.
--
--   s_n = cell(x, s_n-1), h_n = sigmoid(W s_n + b), N = the first n with h_1 + ... + h_n >= 1 - eps
--   p_n = h_n, p_N = R = 1 - (h_1 + ... + h_N-1), y = sum p_n y_n, s = sum p_n s_n, loss + tau (N + R)
--
-- A programmer answers a question about a table by steps; each is a mean of operations (rows that are greater or
-- smaller than a number, sum, count) on a mean of columns. At the end the largest weights are taken: a program.
--
-- Command    attn scripts/memory/ponder.lua [--show]
-- Time       see scripts/README.md
-- Data       made here: signs whose product is wanted, numbers to be added, questions about tables
-- Papers     Graves 2016, Adaptive computation time (G3); Neelakantan et al. 2016, Neural programmer
-- Found      (One seed.) Parity: 3.0 steps for one sign, 3.8 for six, all right (96 % in one step). Addition: all
--            steps are used, hard or easy, and nothing is won: one step adds as well. Programs: 96 % right, 97 of five
--            times as many rows.
-- Your own   local Ponder = require "memory.ponder".Ponder               -- attn -I scripts yours.lua
--            local model = Ponder{inputs = 9, outputs = 2, hidden = 32, most = 12}
--            local y, cost, steps = model(x)                     -- [B, T, inputs] to [B, T, outputs], [B, T], [B, T]
local attn = require "attn"
local data, fit, study = require "attn.data", require "attn.fit", require "attn.study"
local layer = attn.layer

local Ponder = attn.module "Ponder"

function Ponder:init(c)                     -- most = 1: it does not ponder
    self.most, self.margin = c.most, 0.01
    self.cell = attn.encoder.rnn{inputs = c.inputs + 1, hidden = c.hidden}
    self.halt = layer.linear{inputs = c.hidden, outputs = 1}
    self.out = layer.linear{inputs = c.hidden, outputs = c.outputs}
    attn.init.constant(self.halt:state().bias, 1)
end

-- One step of the sequence: x [B, inputs], s [B, hidden] -> y, s, cost [B], steps [B]
function Ponder:step(x, s)
    local B, dtype = #x, x.dtype
    local still, sum = attn.ones(B, 1, {dtype = dtype}), attn.zeros(B, 1, {dtype = dtype})
    local y, mean, left, steps = 0, 0, 0, 0
    for n = 1, self.most do
        local flag = attn.full({B, 1}, n == 1 and 1 or 0, {dtype = dtype})      -- says that the input is new
        s = self.cell:step(attn.cat({x, flag}, 2), s and {h = s:unsqueeze(1)} or nil)
        local h = self.halt(s):sigmoid()
        local ends = n == self.most and still or still * (sum + h):ge(1 - self.margin):to(dtype)
        local goes = still - ends
        local p = goes * h + ends * (1 - sum)
        y, mean, left, steps = y + p * self.out(s), mean + p * s, left + ends * (1 - sum), steps + still
        sum, still = sum + goes * h, goes
        if n < self.most and still:sum():item() == 0 then break end
    end
    return y, mean, (steps + left):squeeze(2), steps:squeeze(2)
end

function Ponder:forward(x)                  -- [B, T, inputs]
    local y, cost, steps, s = {}, {}, {}, nil
    for t = 1, x:size(2) do y[t], s, cost[t], steps[t] = self:step(x:select(2, t), s) end
    return attn.stack(y, 2), attn.stack(cost, 2), attn.stack(steps, 2)
end

-- Attention over operations.
local Programmer = attn.module "Programmer"
local OPERATIONS = {"nothing", "greater", "smaller", "sum", "count"}

function Programmer:init(c)
    self.steps, self.embed = c.steps, layer.embedding{count = c.words, dim = c.dim}
    self.read = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden}
    self.operation, self.column = {}, {}
    for k = 1, c.steps do
        self.operation[k] = layer.linear{inputs = c.hidden, outputs = #OPERATIONS}
        self.column[k] = layer.linear{inputs = c.hidden, outputs = c.columns}
    end
end

-- question [B, Q], pivot [B], cells [B, rows, columns] -> answer [B], weights of operations [B, steps, 5], of columns
function Programmer:forward(question, pivot, cells)
    local h = self.read(self.embed(question))
    h = h:select(2, h:size(2))
    local rows, answer = attn.ones(cells:size(1), cells:size(2), {dtype = cells.dtype}), 0
    local operations, columns = {}, {}
    local function choose(scores)
        if self.training then return scores:softmax(2) end
        return attn.arange(1, scores:size(2)):unsqueeze(1):eq(scores:argmax(2):unsqueeze(2)):to(scores.dtype)
    end
    for k = 1, self.steps do
        local o, c = choose(self.operation[k](h)), choose(self.column[k](h))
        operations[k], columns[k] = o, c
        local function weight(i) return o:narrow(2, i, 1) end
        local greater = cells:gt(pivot:reshape(-1, 1, 1)):to(cells.dtype)
        local function of(x) return x:matmul(c:unsqueeze(3)):squeeze(3) end                     -- [B, rows]
        answer = answer + weight(4) * (of(cells) * rows):sum(2, true) + weight(5) * rows:sum(2, true)
        local chosen = of(greater)
        rows = rows * (weight(1) + weight(4) + weight(5)) + weight(2) * chosen + weight(3) * (1 - chosen)
    end
    return answer:squeeze(2), attn.stack(operations, 2), attn.stack(columns, 2)
end

-- Tasks.

-- Of `size` places some are 1 or -1, the others 0: is the number of ones odd?
local function signs(draw, c, count)
    local xs, ys, hard = {}, {}, {}
    for b = 1, count do
        local n, ones, row = draw(c.size), 0, {}
        for i = 1, c.size do row[i] = i > n and 0 or draw(2) * 2 - 3 end
        for i = 1, n do ones = ones + (row[i] + 1) // 2 end
        xs[b], ys[b], hard[b] = {row}, {ones % 2 + 1}, {n}
    end
    return xs, ys, hard
end

-- Two numbers of one or two digits, one after the other; behind the second, the sum is wanted, each of its digits.
local function sums(draw, c, count)
    local xs, ys, hard = {}, {}, {}
    for b = 1, count do
        local total, most = 0, 0
        xs[b] = {}
        for k = 1, 2 do
            local digits, row = draw(2), {}
            for i = 1, 2 * c.base do row[i] = 0 end
            for place = 1, digits do
                local digit = draw(c.base) - 1
                row[(place - 1) * c.base + digit + 1] = 1
                total = total + digit * c.base ^ (place - 1) // 1
            end
            xs[b][k], most = row, math.max(most, digits)
        end
        ys[b], hard[b] = {}, {most}
        for place = 1, 3 do ys[b][place], total = total % c.base + 1, total // c.base end
    end
    return xs, ys, hard
end

local function tensor(list, dtype) return attn.tensor(list):to(dtype) end

-- Words: sum, count, of column 1 .. n, where greater, where smaller, everywhere, in column 1 .. n
local function questions(draw, c, count, rows)
    local b = {question = {}, pivot = {}, cells = {}, answer = {}}
    for i = 1, count do
        local what, column, filter, other = draw(2), draw(c.columns), draw(3), draw(c.columns)
        local pivot, cells, answer = (draw(13) - 7) / 10 + 0.05, {}, 0
        for r = 1, rows do
            cells[r] = {}
            for k = 1, c.columns do cells[r][k] = (draw(21) - 11) / 10 end
            local counts = filter == 3 or (cells[r][other] > pivot) == (filter == 1)
            if counts then answer = answer + (what == 1 and cells[r][column] or 1) end
        end
        b.question[i] = {what, 2 + column, 2 + c.columns + filter, 5 + c.columns + other}
        b.pivot[i], b.cells[i], b.answer[i] = pivot, cells, answer
    end
    for name, list in pairs(b) do b[name] = tensor(list, name == "question" and "int64" or "float32") end
    return b
end

local paper = study{
    system = {"G3"}, paper = "Graves 2016, Adaptive computation time for recurrent neural networks; Neelakantan, Le, "
        .. "Sutskever 2016, Neural programmer, ICLR",
    options = {hidden = 48, most = 10, cost = 1e-2, batch = 64, lr = 3e-3, tests = 1000, steps = 1500, size = 6,
        base = 4,
        tables = {dim = 16, hidden = 32, columns = 3, rows = 6, longer = 30, steps = 1500, lr = 1e-2}},
    quick = {hidden = 4, most = 3, batch = 4, tests = 8, steps = 2, size = 3, base = 2,
        tables = {dim = 4, hidden = 4, columns = 2, rows = 3, longer = 4, steps = 2}},
}

local function think(make, inputs, outputs, classes)
    return function(cfg, cell)
        local model = Ponder{inputs = inputs(cfg), outputs = outputs(cfg), hidden = cfg.hidden, most = cfg.most}
        local function read(b)
            local y, cost, steps = model(b.x)
            local logits = y:select(2, y:size(2)):reshape(#b.x, -1, classes(cfg))
            return logits, cost, steps:select(2, steps:size(2))
        end
        local function draw_batch(draw, count)
            local x, y, hard = make(draw, cfg, count)
            return {x = tensor(x, "float32"), y = tensor(y, "int64"), hard = hard}
        end
        local draw = data.random(cell.seed)
        fit{model = model, steps = cfg.steps, lr = cfg.lr, cell = cell,
            schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps, final = cfg.lr / 20},
            batches = function() return draw_batch(draw, cfg.batch) end, loss = function(b)
                local logits, cost = read(b)
                return attn.loss.cross_entropy(logits, b.y) + cfg.cost * cost:mean()
            end}
        model:eval()
        return attn.no_grad(function()
            local b = draw_batch(data.random(1000 + cell.seed), cfg.tests)
            local logits, _, steps = read(b)
            local right, by, count = logits:argmax(3):eq(b.y):to("float32"):min(2), {}, {}
            for i, n in ipairs(steps:totable()) do
                local h = b.hard[i][1]
                by[h], count[h] = (by[h] or 0) + n, (count[h] or 0) + 1
            end
            local curve = {}
            for h, sum in ipairs(by) do curve[h] = sum / count[h] end
            cell:keep("steps by difficulty", attn.tensor(curve), {as = "plot"})
            return {accuracy = 100 * right:mean():item(), steps = steps:mean():item(), easiest = curve[1],
                hardest = curve[#curve]}
        end)
    end
end

local columns = {"accuracy", "steps", "easiest", "hardest"}
local better = {steps = "none", easiest = "none", hardest = "none"}
local rows = {{"one step", most = 1}, {"ponders"}}
local parity = paper:table{
    name = "parity", synthetic = true, vary = rows, columns = columns, better = better,
    about = "of 1 to 6 signs; right in per cent, steps of thought, for the easiest and the hardest",
    run = think(signs, function(c) return c.size end, function() return 2 end, function() return 2 end),
}
local addition = paper:table{
    name = "addition", synthetic = true, vary = rows, columns = columns, better = better,
    about = "of two numbers of one or two digits (base 4)",
    run = think(sums, function(c) return 2 * c.base end, function(c) return 3 * c.base end,
        function(c) return c.base end),
}

local tables = paper:table{
    name = "tables", synthetic = true,
    about = "questions (sum or count, of which rows), trained on 6 rows, asked of 6 and of 30: right in per cent",
    run = function(cfg, cell)
        local p = cfg.tables
        local model = Programmer{words = 5 + 2 * p.columns, dim = p.dim, hidden = p.hidden, columns = p.columns,
            steps = 2}
        local draw = data.random(cell.seed)
        fit{model = model, steps = p.steps, lr = p.lr, cell = cell,
            schedule = attn.schedule.linear{lr = p.lr, steps = p.steps, final = p.lr / 50},
            batches = function() return questions(draw, p, cfg.batch, p.rows) end, loss = function(b)
                return attn.loss.huber((model(b.question, b.pivot, b.cells)), b.answer)
            end}
        model:eval()
        local function right(count)
            local b = questions(data.random(1000 + cell.seed), p, cfg.tests, count)
            return attn.no_grad(function()
                local answer, operations = model(b.question, b.pivot, b.cells)
                cell:keep("operations", operations[1], {columns = OPERATIONS, rows = {"first", "second"}})
                return 100 * (answer - b.answer):abs():lt(1e-3):to("float32"):mean():item()
            end)
        end
        return {trained = right(p.rows), longer = right(p.longer)}
    end,
}

for _, one in ipairs{{"parity", parity}, {"addition", addition}} do
    local name, t = one[1], one[2]
    paper:claim{name .. ": the hardest are thought about longer than the easiest",
        t.ponders.hardest - t.ponders.easiest, at_least = 0}
    paper:claim{name .. ": pondering is better than one step",
        t.ponders.accuracy - t["one step"].accuracy, at_least = 0}
end
paper:claim{"tables: the program found answers as well of five times as many rows",
    tables.tables.longer - tables.tables.trained, at_least = -5}
paper:claim{"tables: at least 90 % are right", tables.tables.longer, at_least = 90}

return paper:main{Ponder = Ponder, Programmer = Programmer, signs = signs, sums = sums, questions = questions}
