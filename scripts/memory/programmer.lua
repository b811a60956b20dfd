-- programmer: what to do, learned: attention over operations and columns answers questions about a table.
--
--   answer += o_sum sum_r rows_r cells_r . c + o_count sum_r rows_r          o, c: weights of operations and of columns
--   rows <- (o_nothing + o_sum + o_count) rows + o_greater [cells > pivot] . c + o_smaller (1 - [cells > pivot] . c)
--
-- A step is a mean of operations on a mean of columns. At the end the largest weights are taken: a program.
--
-- Command    attn scripts/memory/programmer.lua [--show]
-- Time       see scripts/README.md
-- Data       made here: questions about tables of numbers
-- Paper      Neelakantan, Le and Sutskever 2016, Neural programmer (G3)
-- Found      All right, of five times as many rows too; after 1500 steps instead of 5000 one seed in three has no
--            program yet (67 %).
-- Your own   local Programmer = require "memory.programmer".Programmer   -- attn -I scripts yours.lua
--            local model = Programmer{words = 50, dim = 16, hidden = 32, columns = 3, steps = 2}
--            local answer, operations, columns = model(question, pivot, cells)   -- [B, Q], [B], [B, rows, 3] -> [B], [B, 2, 5], [B, 2, 3]
local attn = require "attn"
local fit, study = require "attn.fit", require "attn.study"

local Programmer = attn.module "Programmer"
local OPERATIONS = {"nothing", "greater", "smaller", "sum", "count"}

function Programmer:init(c)
    self.steps, self.embed = c.steps, attn.layer.embedding{count = c.words, dim = c.dim}
    self.read = attn.encoder.rnn{inputs = c.dim, hidden = c.hidden}
    self.operation, self.column = {}, {}
    for k = 1, c.steps do
        self.operation[k] = attn.layer.linear{inputs = c.hidden, outputs = #OPERATIONS}
        self.column[k] = attn.layer.linear{inputs = c.hidden, outputs = c.columns}
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

-- What is asked: sum or count, of column 1 .. n, where greater, where smaller, everywhere, in column 1 .. n.
local function questions(c, count, rows)
    local function draw(n) return attn.randint(1, n, count) end
    local what, column, filter, other = draw(2), draw(c.columns), draw(3), draw(c.columns)
    local pivot = (draw(13) - 7):to "float32" / 10 + 0.05
    local cells = (attn.randint(1, 21, count, rows, c.columns) - 11):to "float32" / 10
    local function of(k) return cells:matmul(k:one_hot(c.columns):unsqueeze(3)):squeeze(3) end            -- [B, rows]
    local greater, by = of(other):gt(pivot:unsqueeze(2)), filter:unsqueeze(2)
    local counts = by:eq(3) | greater & by:eq(1) | ~greater & by:eq(2)
    local each = attn.where(what:eq(1):unsqueeze(2), of(column), 1)
    return {question = attn.stack({what, 2 + column, 2 + c.columns + filter, 5 + c.columns + other}, 2),
        pivot = pivot, cells = cells, answer = (each * counts:to "float32"):sum(2)}
end

local paper = study{
    system = {"G3"}, paper = "Neelakantan, Le, Sutskever 2016, Neural programmer, ICLR",
    options = {dim = 16, hidden = 32, columns = 3, rows = 6, longer = 30, steps = 5000, lr = 1e-2, batch = 64,
        tests = 1000},
    quick = {dim = 4, hidden = 4, columns = 2, rows = 3, longer = 4, steps = 2, batch = 4, tests = 8},
}

local programs = paper:table{
    name = "tables", synthetic = true,
    about = "questions (sum or count, of which rows), trained on 6 rows, asked of 6 and of 30: right in per cent",
    run = function(cfg, cell)
        local model = Programmer{words = 5 + 2 * cfg.columns, dim = cfg.dim, hidden = cfg.hidden,
            columns = cfg.columns, steps = 2}
        attn.seed(cell.seed)
        fit{model = model, steps = cfg.steps, lr = cfg.lr, cell = cell,
            schedule = attn.schedule.linear{lr = cfg.lr, steps = cfg.steps, final = cfg.lr / 50},
            batches = function() return questions(cfg, cfg.batch, cfg.rows) end,
            loss = function(b) return attn.loss.huber((model(b.question, b.pivot, b.cells)), b.answer) end}
        model:eval()
        local function right(rows)
            attn.seed(1000 + cell.seed)
            local b = questions(cfg, cfg.tests, rows)
            local answer, operations = attn.no_grad(model, b.question, b.pivot, b.cells)
            cell:keep("operations", operations[1], {columns = OPERATIONS, rows = {"first", "second"}})
            return 100 * (answer - b.answer):abs():lt(1e-3):to("float32"):mean():item()
        end
        return {trained = right(cfg.rows), longer = right(cfg.longer)}
    end,
}
paper:claim{"tables: the program found answers as well of five times as many rows",
    programs.tables.longer - programs.tables.trained, at_least = -5}
paper:claim{"tables: at least 90 % are right", programs.tables.longer, at_least = 90}

return paper:main{Programmer = Programmer, questions = questions}
