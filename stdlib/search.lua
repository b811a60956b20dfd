-- search: greedy, beam and sampled decoding, and the score of a given target, over any step function
--
--     step(ids [R], state) -> logits [R, V], state [, weights [R, S]]
--
-- Weights with heads, [R, heads, S], stand for their mean. A decoder gives them, so that hypotheses carry an alignment:
--
--     out, hidden, weights = decoder:step(y, memory, hidden, {memory_lengths =, weights = true})      (transformer)
--     logits, hidden, weights = decoder:step(y, memory, hidden, {memory_lengths =})                   (rnn)
--
-- In a causal encoder S is the number of tokens so far; shorter rows are then filled with zeros.
--
-- One row of the batch is one hypothesis. The first call has one row for each sentence; a row whose sentence is done
-- leaves the batch before the next call, by `reorder`. Best entries of each row are found by tensor operations, so
-- that only R * width numbers a step cross into Lua; scores are sums in double precision. Ties go to the smaller id.
--
-- Beam: each step keeps the `width` best continuations of a sentence that do not end it; an end of sentence ranked
-- above the last of them is a finished hypothesis. A sentence is done when no living hypothesis can still reach the
-- nbest-th finished one, so width 1 without penalties is greedy search, and a wide enough beam is exhaustive.
--     score = logp / ((5 + n) / 6)^length_penalty + coverage_penalty sum_j log min(1, sum_i a_ij)
-- (Wu et al. 2016, eq. 14) with n words, the end of sentence among them. Living hypotheses are all of one length and
-- compared by logp.
local attn = require "attn"
local fields = require "attn.fields"
local data = require "attn.data"

local m = {}

local tensor_meta       -- all tensors have one metatable; layers and caches are userdata too

local function is_tensor(value)
    if type(value) ~= "userdata" then return false end
    tensor_meta = tensor_meta or getmetatable(attn.zeros(1))
    return getmetatable(value) == tensor_meta
end

local function ids_tensor(list) return attn.tensor(list, {dtype = "int64"}) end

-- Tensors along dimension `batch`: what the metatable of the table around them says, 1 if nothing.
local function reorder(state, rows, batch)
    if is_tensor(state) then
        if state:dim() < batch then return state end
        return state:index_select(batch, rows)
    elseif type(state) == "userdata" and getmetatable(state) == "cache" then
        return state:reorder(rows)
    elseif type(state) ~= "table" then
        return state
    end
    local decoder = state.decoder
    if type(decoder) == "userdata" and not is_tensor(decoder) then return decoder:reorder(state, rows) end
    local meta = getmetatable(state)
    local new, own = {}, type(meta) == "table" and math.tointeger(rawget(meta, "batch")) or 1
    for name, value in pairs(state) do new[name] = reorder(value, rows, own) end
    return setmetatable(new, meta)
end

---Picks, repeats or drops rows of a state: tensors along dimension 1, a decoder's state by its decoder, tables field by
---field, caches of attention row by row; anything else is kept. A table whose metatable has batch = d, such as the state
---of encoder.rnn (d = 2), holds tensors with the batch in dimension d.
---@param state any
---@param rows any int64 [M]
---@return any
function m.reorder(state, rows) return reorder(state, rows, 1) end

---Log-probabilities of a model that generates or copies, over the vocabulary and behind it the words that only the
---source has: what the step of a search returns in place of logits. The distribution is that of attn.loss.copy.
---@param logits any [R, V]
---@param weights any [R, S]
---@param gate any [R]
---@param ids any int64 [R, S]
---@param size integer? how many ids there are (default: up to the largest of ids)
---@return any logp [R, size]
function m.copy(logits, weights, gate, ids, size)
    local function refuse(...) error("search.copy: " .. string.format(...), 3) end
    for _, one in ipairs{{"logits", logits, 2, "[R, V]"}, {"weights", weights, 2, "[R, S]"}, {"gate", gate, 1, "[R]"},
                         {"ids", ids, 2, "int64 [R, S]"}} do
        local name, x, dims, shape = table.unpack(one)
        if not is_tensor(x) or x:dim() ~= dims or x:size(1) ~= logits:size(1) or (name == "ids") ~= (x.dtype == "int64") then
            refuse("%s is %s, expected a tensor, %s", name, fields.describe(x), shape)
        end
    end
    local V, rows = logits:size(2), logits:size(1)
    local most = ids:numel() > 0 and math.max(V, ids:max():item()) or V
    size = size or most
    if math.type(size) ~= "integer" or size < most then
        refuse("size is %s, expected an integer from %d on", fields.describe(size), most)
    end
    local none = attn.zeros(rows, size, {dtype = logits.dtype})
    local mass = none:scatter_add(2, ids, weights)
    local copied = attn.where(mass:gt(0), mass, none + 1):log():masked_fill(mass:le(0), -math.huge)
    local generated = logits:log_softmax(2):pad(2, 0, size - V, {value = -math.huge})
    return attn.logaddexp(generated - (-gate):softplus():unsqueeze(2), copied - gate:softplus():unsqueeze(2))
end

local common = {
    {"state", "any"}, {"count", "integer", required = true, least = 1}, {"bos", "integer", 2, least = 1},
    {"eos", "integer", 3, least = 1}, {"max_length", "integer", 50, least = 1}, {"lengths", "any"}}

local function with(extra)
    local list = table.move(common, 1, #common, 1, {})
    return table.move(extra, 1, #extra, #list + 1, list)
end

local greedy_fields = with{}
local beam_fields = with{{"width", "integer", 5, least = 1}, {"nbest", "integer", 1, least = 1},
    {"length_penalty", "number", 0}, {"coverage_penalty", "number", 0}}
local sample_fields = with{{"temperature", "number", 1, above = 0}, {"top_k", "integer", least = 1},
    {"top_p", "number", above = 0, most = 1}, {"nbest", "integer", 1, least = 1}}
for _, known in ipairs{greedy_fields, beam_fields, sample_fields} do
    known[#known + 1] = {"no_repeat", "integer", least = 1}
    known[#known + 1] = {"forbid", "any"}
end
local forced_fields = {{"state", "any"}, {"targets", "table", required = true}, {"bos", "integer", 2, least = 1},
    {"eos", "integer", 3, least = 1}, {"lengths", "any"}}

local function read(where, step, cfg, known)
    local meta = getmetatable(step)
    if type(step) ~= "function" and type(step) ~= "userdata" and not (type(meta) == "table" and meta.__call) then
        error(("%s: step is a %s, expected a function"):format(where, type(step)), 3)
    end
    cfg = fields.read(where, cfg, known, 3)
    cfg.where = where
    if is_tensor(cfg.lengths) then cfg.lengths = cfg.lengths:totable() end
    if is_tensor(cfg.forbid) and cfg.forbid.dtype == "int64" and cfg.forbid:dim() == 1 then cfg.forbid = cfg.forbid:totable() end
    if cfg.forbid ~= nil and type(cfg.forbid) ~= "table" then
        error(("%s: forbid is %s, expected a list of ids"):format(where, fields.describe(cfg.forbid)), 3)
    end
    for i, id in ipairs(cfg.forbid or {}) do
        if math.type(id) ~= "integer" or id < 1 then
            error(("%s: forbid[%d] is %s, expected an id from 1 on"):format(where, i, fields.describe(id)), 3)
        end
    end
    return cfg
end

-- true [V] at the words that are never produced.
local function forbidden(cfg, V)
    if cfg.mask and #cfg.mask == V then return cfg.mask end
    local row, left = {}, V
    for v = 1, V do row[v] = false end
    for i, id in ipairs(cfg.forbid) do
        if id > V then error(("%s: forbid[%d] is %d, but there are %d words"):format(cfg.where, i, id, V), 0) end
        if not row[id] then row[id], left = true, left - 1 end
    end
    if left == 0 then error(("%s: forbid leaves no word"):format(cfg.where), 0) end
    cfg.mask = attn.tensor(row)
    return cfg.mask
end

-- One call of the step, its results checked. ids: list. Returns logits, state, weights.
local function call(cfg, step, ids, state)
    local logits, new, weights = step(ids_tensor(ids), state)
    local function got(value)
        return is_tensor(value) and ("[%s]"):format(table.concat(value.shape, ", ")) or "a " .. type(value)
    end
    if not is_tensor(logits) or logits:dim() ~= 2 or logits:size(1) ~= #ids then
        error(("%s: step returned %s as logits, expected a tensor [%d, V]"):format(cfg.where, got(logits), #ids), 0)
    end
    local heads = is_tensor(weights) and weights:dim() == 3 and weights:size(2) > 0
    if weights ~= nil and (not is_tensor(weights) or weights:dim() ~= 2 and not heads or weights:size(1) ~= #ids) then
        error(("%s: step returned %s as weights, expected a tensor [%d, S] or [%d, heads, S]"):format(cfg.where,
            got(weights), #ids, #ids), 0)
    end
    if cfg.forbid and #cfg.forbid > 0 then
        logits = logits:masked_fill(forbidden(cfg, logits:size(2)):unsqueeze(1):expand(#ids, logits:size(2)), -math.huge)
    end
    return logits, new, heads and weights:mean(2) or weights
end

-- Rows of a state, if they are not the ones it has already.
local function pick(state, rows, had)
    local same = #rows == had
    for i = 1, #rows do same = same and rows[i] == i end
    if same then return state end
    return m.reorder(state, ids_tensor(rows))
end

local function check_number(cfg, value, step)
    if value ~= value then
        error(("%s: step %d: the logits hold NaN"):format(cfg.where, step), 0)
    end
    return value
end

-- A hypothesis while it grows is a chain of nodes {id, parent, logp, n, step weights and row}: what hypotheses share is
-- stored once. Weights stay tensors until the end.
local function extend(parent, id, logp, weights, row)
    return {id = id, parent = parent, logp = parent.logp + logp, n = parent.n + 1, weights = weights, row = row}
end

local function root() return {logp = 0, n = 0} end

-- Minus infinity where a word would make an n-gram of n = cfg.no_repeat words that its hypothesis has already (Paulus
-- et al. 2018). The end of sentence is never barred. nodes: one for each row.
local function barred(cfg, x, nodes)
    local n, mask = cfg.no_repeat, nil
    if not n then return x end
    for row, node in ipairs(nodes) do
        local ids, at = {}, node
        while at.parent do
            ids[at.n] = at.id
            at = at.parent
        end
        for last = n, #ids do           -- an n-gram that ends at `last`, and begins as the words at the end do
            local same = true
            for k = 1, n - 1 do same = same and ids[last - k] == ids[#ids + 1 - k] end
            if same and ids[last] ~= cfg.eos then
                mask = mask or attn.zeros(x.shape, {dtype = x.dtype})
                mask[{row, ids[last]}] = -math.huge
            end
        end
    end
    return mask and x + mask or x
end

local function nodes_of(rows)
    local nodes = {}
    for i, row in ipairs(rows) do nodes[i] = row.node end
    return nodes
end

-- sum_j log min(1, sum_i a_ij) of a hypothesis over the first `length` positions; a position that was never looked at
-- counts as 1e-10, since with log 0 every such hypothesis would be the same.
local function coverage(node, length)
    local sum = {}
    for j = 1, length do sum[j] = 0 end
    while node.parent do
        local all = node.weights
        all.table = all.table or all.tensor:totable()
        local row = all.table[node.row]
        for j = 1, math.min(length, #row) do sum[j] = sum[j] + row[j] end
        node = node.parent
    end
    local total = 0
    for j = 1, length do total = total + math.log(math.min(1, math.max(sum[j], 1e-10))) end
    return total
end

-- The number of source positions of each sentence: as given, or up to the last one with a weight in the first step.
local function source_lengths(cfg, weights)
    if cfg.lengths then return cfg.lengths end
    local lengths = {}
    for i, row in ipairs(weights.tensor:totable()) do
        local last = #row
        while last > 0 and row[last] == 0 do last = last - 1 end
        lengths[i] = last
    end
    return lengths
end

-- The public form of a finished hypothesis: ids without eos, weights [T, S] with a row for each id.
local function hypothesis(cfg, sentence, node, score)
    local ids, rows, ended = {}, {}, node.ended or false
    local last = ended and node.parent or node
    local at = last
    while at.parent do
        ids[at.n] = at.id
        at = at.parent
    end
    local weights
    if node.weights then
        at = last
        while at.parent do
            rows[at.n] = at.weights.tensor[at.row]
            at = at.parent
        end
        local width = (last.weights or node.weights).tensor:size(2)
        for t, row in ipairs(rows) do
            if #row < width then rows[t] = attn.cat({row, attn.zeros(width - #row, {dtype = row.dtype})}, 1) end
        end
        if cfg.lengths then width = math.min(width, cfg.lengths[sentence]) end
        if #rows > 0 and width > 0 then
            weights = attn.stack(rows, 1):narrow(2, 1, width)
        end
    end
    return {ids = ids, logp = node.logp, score = score, weights = weights, ended = ended}
end

-- Runs a decoding in which rows do not compete, the part that greedy, sample and forced share. rows: {sentence =,
-- node =}. choose(logits, rows, t) returns a list of continuations {row =, id =, logp =, ended =}: one for each row, or
-- at the first step several.
local function run(cfg, step, rows, max_length, choose)
    local state, had, finished = cfg.state, #rows, {}
    for t = 1, max_length do
        local ids = {}
        for i, row in ipairs(rows) do ids[i] = row.node.id or cfg.bos end
        local logits, new, weights = call(cfg, step, ids, state)
        local kept = weights and {tensor = weights}
        local alive, from = {}, {}
        for _, grown in ipairs(choose(logits, rows, t)) do
            local row = rows[grown.row]
            local node = extend(row.node, grown.id, grown.logp, kept, grown.row)
            local continued = {sentence = row.sentence, node = node, draw = grown.draw or row.draw}
            if grown.ended or t == max_length then
                node.ended = grown.ended
                finished[#finished + 1] = continued
            else
                alive[#alive + 1] = continued
                from[#from + 1] = grown.row
            end
        end
        if #alive == 0 then break end
        state = pick(new, from, had)
        rows, had = alive, #alive
    end
    return finished
end

local function by_sentence(cfg, count, finished)
    local found = {}
    for i = 1, count do found[i] = {} end
    for _, row in ipairs(finished) do
        local list = found[row.sentence]
        list[#list + 1] = hypothesis(cfg, row.sentence, row.node, row.node.logp)
    end
    for _, list in ipairs(found) do
        for place, one in ipairs(list) do one.place = place end
        table.sort(list, function(a, b)
            if a.score ~= b.score then return a.score > b.score end
            return a.place < b.place
        end)
        for _, one in ipairs(list) do one.place = nil end
    end
    return found
end

local function start(count)
    local rows = {}
    for i = 1, count do rows[i] = {sentence = i, node = root()} end
    return rows
end

---@class SearchConfig
---@field state any what the step is given first
---@field count integer number of sentences
---@field bos integer?
---@field eos integer?
---@field max_length integer?
---@field lengths any number of source positions of each sentence: cuts the weights to size
---@field no_repeat integer? no n-gram of this length twice in a hypothesis

---@class BeamConfig: SearchConfig
---@field width integer?
---@field nbest integer?
---@field length_penalty number?
---@field coverage_penalty number?

---@class SampleConfig: SearchConfig
---@field temperature number?
---@field top_k integer?
---@field top_p number?
---@field nbest integer?

---@class CorpusConfig
---@field encode fun(ids: any, lengths: any): any the state to start from, of ids [B, S] and lengths [B]
---@field search function? greedy (default), beam or sample
---@field options table? fields of the search
---@field size integer? sources in a batch

---@class Hypothesis
---@field ids integer[] without bos and eos
---@field logp number
---@field score number
---@field weights any [T, S], nil if the step gives none
---@field ended boolean whether eos came before max_length

---The most likely word at each step.
---@param step fun(ids: any, state: any): any, any, any
---@param cfg SearchConfig
---@return Hypothesis[][] a list of one for each sentence
function m.greedy(step, cfg)
    cfg = read("search.greedy", step, cfg, greedy_fields)
    return attn.no_grad(function()
        local finished = run(cfg, step, start(cfg.count), cfg.max_length, function(logits, rows, t)
            local values, ids = barred(cfg, logits:log_softmax(-1), nodes_of(rows)):max(-1)
            values, ids = values:totable(), ids:totable()
            local grown = {}
            for i = 1, #rows do
                local logp = check_number(cfg, values[i], t)
                grown[i] = {row = i, id = ids[i], logp = logp, ended = ids[i] == cfg.eos}
            end
            return grown
        end)
        return by_sentence(cfg, cfg.count, finished)
    end)
end

---Words drawn from the model's distribution. Each sentence has its own stream of random numbers, seeded from the
---library's generator, so that what is drawn does not depend on how long its neighbours are.
---@param step fun(ids: any, state: any): any, any, any
---@param cfg SampleConfig
---@return Hypothesis[][] a list for each sentence of nbest hypotheses, the most likely first
function m.sample(step, cfg)
    cfg = read("search.sample", step, cfg, sample_fields)
    return attn.no_grad(function()
        local seeds = attn.randint(1, 0x7FFFFFFF, cfg.count * cfg.nbest):totable()
        local finished = run(cfg, step, start(cfg.count), cfg.max_length, function(logits, rows, t)
            local logp, order = logits:log_softmax(-1), nil
            local scaled = cfg.temperature ~= 1 and logits / cfg.temperature or logits
            scaled = barred(cfg, scaled, nodes_of(rows))
            if cfg.top_k or cfg.top_p then
                scaled, order = scaled:topk(math.min(cfg.top_k or math.maxinteger, logits:size(2)), -1)
            end
            local share = scaled:softmax(-1)
            if cfg.top_p then           -- the smallest set that reaches top_p: words whose predecessors do not
                local before = share:cumsum(-1) - share
                share = share:masked_fill(before:ge(cfg.top_p), 0)
            end
            local cumulative = share:cumsum(-1)
            local width = cumulative:size(2)
            local total = cumulative:select(2, width):totable()
            -- several draws from each row at the first step
            local draws = t == 1 and cfg.nbest or 1
            local repeated, limit, grown = {}, {}, {}
            for i, row in ipairs(rows) do
                check_number(cfg, total[i], t)
                for k = 1, draws do
                    local draw = row.draw or data.random(seeds[(row.sentence - 1) * cfg.nbest + k])
                    repeated[#repeated + 1] = i
                    limit[#limit + 1] = {draw() * total[i]}
                    grown[#grown + 1] = {row = i, draw = draw}
                end
            end
            local index = ids_tensor(repeated)
            local limits = attn.tensor(limit, {dtype = logits.dtype})
            -- the first place whose cumulative sum exceeds the limit: a word of probability 0 is never chosen
            local place = cumulative:index_select(1, index):le(limits):to("int64"):sum(-1, true)
            place = attn.minimum(place + 1, ids_tensor{width})
            local ids = order and order:index_select(1, index):gather(2, place) or place
            local chosen = logp:index_select(1, index):gather(2, ids):totable()
            ids = ids:totable()
            for i, one in ipairs(grown) do
                one.id, one.logp = ids[i][1], chosen[i][1]
                one.ended = one.id == cfg.eos
            end
            return grown
        end)
        return by_sentence(cfg, cfg.count, finished)
    end)
end

---The log-probability of given targets, and the attention paid while they are written (forced decoding).
---@param step fun(ids: any, state: any): any, any, any
---@param cfg {state: any, targets: integer[][], bos: integer?, eos: integer?, lengths: any}
---@return Hypothesis[][] a list for each target of one hypothesis; its `logps`: of each id, then of eos
function m.forced(step, cfg)
    cfg = read("search.forced", step, cfg, forced_fields)
    local longest = 0
    if #cfg.targets == 0 then error("search.forced: targets is empty", 2) end
    for i, target in ipairs(cfg.targets) do
        if type(target) ~= "table" then
            error(("search.forced: targets[%d] is a %s, expected a list of ids"):format(i, type(target)), 2)
        end
        longest = math.max(longest, #target)
    end
    return attn.no_grad(function()
        local finished = run(cfg, step, start(#cfg.targets), longest + 1, function(logits, rows, t)
            local ids, grown = {}, {}
            for i, row in ipairs(rows) do
                ids[i] = {cfg.targets[row.sentence][t] or cfg.eos}
            end
            local logp = logits:log_softmax(-1):gather(2, ids_tensor(ids)):totable()
            for i, row in ipairs(rows) do
                grown[i] = {row = i, id = ids[i][1], logp = check_number(cfg, logp[i][1], t),
                    ended = t > #cfg.targets[row.sentence]}
            end
            return grown
        end)
        local found = by_sentence(cfg, #cfg.targets, finished)
        for _, row in ipairs(finished) do
            local logps, node = {}, row.node
            while node.parent do
                logps[node.n] = node.logp - node.parent.logp
                node = node.parent
            end
            found[row.sentence][1].logps = logps
        end
        return found
    end)
end

-- A beam search while it runs. sentences: {nodes =, finished =} each; alive: the numbers of those that go on.
local Beam = {}
Beam.__index = Beam

local function new_beam(cfg, step)
    local beam = setmetatable({cfg = cfg, step = step, state = cfg.state, sentences = {}, alive = {}}, Beam)
    for i = 1, cfg.count do beam.sentences[i], beam.alive[i] = {nodes = {root()}, finished = {}}, i end
    return beam
end

function Beam:scale(n) return ((5 + n) / 6) ^ self.cfg.length_penalty end

local function better(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return a.place < b.place
end

local function likelier(a, b)
    if a.logp ~= b.logp then return a.logp > b.logp end
    if a.id ~= b.id then return a.id < b.id end
    return a.place < b.place
end

-- Takes a hypothesis of sentence i into its finished ones, of which as many stay as can matter.
function Beam:finish(i, node, ended)
    local cfg, sentence = self.cfg, self.sentences[i]
    node.ended = ended
    local score = node.logp / self:scale(node.n)
    if cfg.coverage_penalty ~= 0 and node.weights then
        score = score + cfg.coverage_penalty * coverage(node, self.lengths[i])
    end
    local list = sentence.finished
    sentence.place = (sentence.place or 0) + 1
    list[#list + 1] = {node = node, score = score, place = sentence.place}
    table.sort(list, better)
    list[math.max(cfg.width, cfg.nbest) + 1] = nil
end

-- Calls the step for all living hypotheses. Returns what it can go on with: the words of each row and what they gain,
-- the row before the first of each sentence, the number of rows, the new state, the weights.
function Beam:words(t)
    local cfg = self.cfg
    local ids, first, nodes = {}, {}, {}
    for _, i in ipairs(self.alive) do
        first[i] = #ids
        for _, node in ipairs(self.sentences[i].nodes) do
            ids[#ids + 1] = node.id or cfg.bos
            nodes[#ids] = node
        end
    end
    local logits, new, weights = call(cfg, self.step, ids, self.state)
    local kept = weights and {tensor = weights}
    if t == 1 and kept and cfg.coverage_penalty ~= 0 then self.lengths = source_lengths(cfg, kept) end
    -- width + 1: of one row at most the end of sentence and `width` others can be kept
    local logp = barred(cfg, logits:log_softmax(-1), nodes)
    local gains, words = logp:topk(math.min(cfg.width + 1, logits:size(2)), -1)
    return {gains = gains:totable(), words = words:totable(), first = first, rows = #ids, state = new, kept = kept}
end

-- What sentence i can go on with, the likeliest first.
function Beam:candidates(i, found, t)
    local list = {}
    for place, node in ipairs(self.sentences[i].nodes) do
        local row = found.first[i] + place
        for k, gained in ipairs(found.gains[row]) do
            if check_number(self.cfg, gained, t) > -math.huge then
                list[#list + 1] = {row = row, parent = node, id = found.words[row][k], step = gained,
                    logp = node.logp + gained, place = place}
            end
        end
    end
    table.sort(list, likelier)
    return list
end

-- The hypotheses of sentence i after step t, and their rows: nil if none of them can come among the nbest any more.
function Beam:grow(i, found, t)
    local cfg, sentence = self.cfg, self.sentences[i]
    local nodes, rows = {}, {}
    for _, candidate in ipairs(self:candidates(i, found, t)) do
        local node = extend(candidate.parent, candidate.id, candidate.step, found.kept, candidate.row)
        if candidate.id == cfg.eos then
            self:finish(i, node, true)
        else
            nodes[#nodes + 1] = node
            rows[#rows + 1] = candidate.row
            if #nodes == cfg.width then break end
        end
    end
    if t == cfg.max_length then
        for _, node in ipairs(nodes) do self:finish(i, node, false) end
        return nil
    end
    if #nodes == 0 then return nil end
    -- the best score a living hypothesis can end with: no more log-probability lost, the kindest length
    local target = sentence.finished[cfg.nbest]
    local bound = math.max(nodes[1].logp / self:scale(t + 1), nodes[1].logp / self:scale(cfg.max_length))
    if cfg.coverage_penalty < 0 then bound = math.huge end
    if target and not (target.score < bound) then return nil end
    return nodes, rows
end

function Beam:run()
    for t = 1, self.cfg.max_length do
        local found = self:words(t)
        local still, from = {}, {}
        for _, i in ipairs(self.alive) do
            local nodes, rows = self:grow(i, found, t)
            if nodes then
                self.sentences[i].nodes = nodes
                still[#still + 1] = i
                table.move(rows, 1, #rows, #from + 1, from)
            end
        end
        if #still == 0 then break end
        self.state = pick(found.state, from, found.rows)
        self.alive = still
    end
end

---Beam search.
---@param step fun(ids: any, state: any): any, any, any
---@param cfg BeamConfig
---@return Hypothesis[][] a list for each sentence of up to nbest hypotheses, best first
function m.beam(step, cfg)
    cfg = read("search.beam", step, cfg, beam_fields)
    return attn.no_grad(function()
        local beam, found = new_beam(cfg, step), {}
        beam:run()
        for i, sentence in ipairs(beam.sentences) do
            found[i] = {}
            for k = 1, math.min(cfg.nbest, #sentence.finished) do
                local one = sentence.finished[k]
                found[i][k] = hypothesis(cfg, i, one.node, one.score)
            end
        end
        return found
    end)
end

---Decodes many sources, in batches of similar length; results in the order of the sources.
---@param step fun(ids: any, state: any): any, any, any
---@param lists integer[][] ids of the sources
---@param cfg CorpusConfig
---@return Hypothesis[][] what the search gives for each source
function m.corpus(step, lists, cfg)
    cfg = fields.read("search.corpus", cfg, {
        {"encode", "function", required = true}, {"search", "function", m.greedy}, {"options", "table", {}},
        {"size", "integer", 100, least = 1}, {"fields", "table", {}}})
    if type(lists) ~= "table" then
        error(("search.corpus: lists is a %s, expected a list of lists of ids"):format(type(lists)), 2)
    end
    for name, values in pairs(cfg.fields) do
        if type(values) ~= "table" or #values ~= #lists then
            error(("search.corpus: fields.%s is %s, expected a list of %d entries, one of each source"):format(tostring(name),
                type(values) == "table" and ("a list of %d"):format(#values) or fields.describe(values), #lists), 2)
        end
    end
    local order, found = {}, {}
    for i = 1, #lists do order[i] = i end
    table.sort(order, function(a, b)
        if #lists[a] ~= #lists[b] then return #lists[a] < #lists[b] end
        return a < b
    end)
    for first = 1, #order, cfg.size do
        local some, options = {}, {}
        for i = first, math.min(first + cfg.size - 1, #order) do some[#some + 1] = lists[order[i]] end
        for name, value in pairs(cfg.options) do options[name] = value end
        local ids, lengths = data.pad(some)
        local extra = {}
        for name, values in pairs(cfg.fields) do
            extra[name] = {}
            for k = 1, #some do extra[name][k] = values[order[first + k - 1]] end
        end
        options.state = attn.no_grad(cfg.encode, ids, lengths, extra)
        options.count, options.lengths = #some, lengths
        for k, hypotheses in ipairs(cfg.search(step, options)) do found[order[first + k - 1]] = hypotheses end
    end
    return found
end

local example = 'local function step(ids, state) return attn.randn(#ids, 8), state end\n'
local form = "Returns a list for each sentence of hypotheses, best first: {ids = without bos and eos, logp =,\n"
        .. "score =, weights = [T, S], ended = whether eos came before max_length}. lengths (of the sources)\n"
        .. "cuts the weights to size. no_repeat = n bars a word that would make an n-gram for the second time,\n"
        .. "forbid = ids bars words altogether (not in forced).\n"
        .. "step(ids [R], state) -> logits [R, V], state [, weights [R, S] or [R, heads, S], whose mean is taken].\n"
        .. "Decoders give these weights: decoder.rnn always, decoder.transformer with weights = true."
attn.describe{name = "search.greedy",
    signature = "greedy(step, {state =, count =, bos = 2, eos = 3, max_length = 50, no_repeat =, forbid =, lengths =}) -> list of"
        .. " lists",
    help = "The most likely word at each step. " .. form,
    example = example .. 'print(#attn.search.greedy(step, {count = 2})[1][1].ids)'}
attn.describe{name = "search.beam",
    signature = "beam(step, {state =, count =, bos = 2, eos = 3, max_length = 50, width = 5, nbest = 1,"
        .. " length_penalty = 0, coverage_penalty = 0, no_repeat =, forbid =, lengths =}) -> list of lists",
    help = "Beam search; score = logp / ((5 + n) / 6)^length_penalty + coverage_penalty sum_j log min(1, sum_i\n"
        .. "a_ij).\n" .. form,
    example = example .. 'print(attn.search.beam(step, {count = 2, width = 3})[1][1].score)'}
attn.describe{name = "search.sample",
    signature = "sample(step, {state =, count =, bos = 2, eos = 3, max_length = 50, temperature = 1, top_k =, top_p =,"
        .. " nbest = 1, no_repeat =, forbid =, lengths =}) -> list of lists",
    help = "Words drawn at random from softmax(logits / temperature), from the top_k words, or from the fewest\n"
        .. "whose probabilities reach top_p. nbest hypotheses are drawn. " .. form,
    example = example .. 'print(attn.search.sample(step, {count = 2, temperature = 0.7})[2][1].logp)'}
attn.describe{name = "search.forced",
    signature = "forced(step, {state =, targets = lists of ids, bos = 2, eos = 3, lengths =}) -> list of lists",
    help = "The log-probability of given targets (logps: of each word and of eos) and their attention weights. "
        .. form,
    example = example .. 'print(attn.search.forced(step, {targets = {{5, 6}, {7}}})[1][1].logp)'}
attn.describe{name = "search.corpus",
    signature = "corpus(step, lists, {encode = f(ids, lengths, extra) -> state, search = search.greedy, options = {},"
        .. " fields = {}, size = 100}) -> list of lists",
    help = "Decodes many sources (lists of ids) in batches of similar length; what the search gives for each,\n"
        .. "in the order of the sources. options are further fields of the search; fields = {NAME = list}: more of each\n"
        .. "source, of which encode gets those of its batch as lists, extra.NAME.",
    example = example .. 'print(attn.search.corpus(step, {{5, 6}, {7}}, {encode = function(ids, lengths) return nil end}))'}
attn.describe{name = "search.copy",
    signature = "copy(logits [R, V], weights [R, S], gate [R], ids [R, S], size) -> logp [R, size]",
    help = "Log-probabilities of a model that generates or copies, the distribution of attn.loss.copy: what the step of\n"
        .. "a search returns. ids are those of the source, above V the words that only it has (text.extend); size is\n"
        .. "how many there are in all, by default up to the largest. Differentiable.",
    example = 'local ids = attn.tensor({{2, 5}}, {dtype = "int64"})\n'
        .. 'attn.search.copy(attn.randn(1, 4), attn.tensor{{0.5, 0.5}}, attn.zeros(1), ids)'}
attn.describe{name = "search.reorder", signature = "reorder(state, rows) -> state",
    help = "Picks, repeats or drops rows (int64 [M]) of a state: tensors along dimension 1, a decoder's state by\n"
        .. "its decoder, tables field by field; anything else is kept. Tensors in a table whose metatable has\n"
        .. "batch = d are picked along dimension d: the state of encoder.rnn {h =, c =} says batch = 2, and a table\n"
        .. "of your own does with setmetatable({h = h}, {batch = 2}).",
    example = 'attn.search.reorder({h = attn.rand(3, 4)}, attn.tensor({1, 1, 3}, {dtype = "int64"}))'}

return m
