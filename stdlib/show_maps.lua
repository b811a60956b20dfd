-- show_maps: attention weights as show.attention and show.html take them, checked: maps of one size, labels, what is masked.
--
--   weights   [Tq, Tk], [H, Tq, Tk], [L, H, Tq, Tk], tensors or lists      mask   bool, true: may be attended to
--
-- Sides too long for where they are shown are pooled: the largest weight of each block.
local attn = require "attn"
local internal = require "attn.internal"
local fields = require "attn.fields"
local screen = require "attn.show_screen"

local function bad(message) error(message, 0) end

-- Weights as [L, H, Tq, Tk], and how many dimensions they had.
local function tensor_of(weights)
    if type(weights) == "table" then
        local first = weights[1]
        if type(first) == "table" and type(first[1]) ~= "table" and #first > 0 then
            for i, row in ipairs(weights) do
                if type(row) ~= "table" or #row ~= #first then
                    bad(("row %d has %d weights, the first %d"):format(i, type(row) == "table" and #row or 0, #first))
                end
            end
        end
        local ok, made = pcall(attn.tensor, weights, {dtype = "float64"})
        if not ok or made:dim() < 2 or made:numel() == 0 then
            bad "weights is no tensor [Tq, Tk] and no list of lists of numbers"
        end
        weights = made
    end
    if internal.kind(weights) ~= "tensor" then bad "weights is no tensor [Tq, Tk] and no list of lists of numbers" end
    local dims = weights:dim()
    if dims < 2 or dims > 4 then
        bad(("weights has %d dimensions, expected [Tq, Tk], [H, Tq, Tk] or [L, H, Tq, Tk] (weights: %s)"):format(dims,
            fields.describe(weights)))
    elseif weights:numel() == 0 then
        bad(("there are no weights (weights: %s)"):format(fields.describe(weights)))
    end
    weights = weights:detach():to "float64"
    while weights:dim() < 4 do weights = weights:reshape(1, table.unpack(weights.shape)) end
    return weights, dims
end

-- True where a key may not be attended to, [L, H, Tq, Tk]; nil without a mask.
local function masked_of(mask, weights)
    if mask == nil then return nil end
    if type(mask) == "table" then mask = attn.tensor(mask, {dtype = "bool"}) end
    if internal.kind(mask) ~= "tensor" or mask.dtype ~= "bool" then
        bad(("mask is %s, expected bool"):format(fields.describe(mask)))
    end
    local ok, wide = pcall(mask.expand, mask, table.unpack(weights.shape))
    if not ok then
        bad(("mask does not broadcast to the weights (mask: %s, weights: %s)"):format(fields.describe(mask),
            fields.describe(weights)))
    end
    return ~wide
end

local function labels(given, count, name)
    if given and #given > count then
        bad(("%s has %d labels, the weights have %d %s"):format(name, #given, count, name))
    end
    local out = {}
    for i = 1, count do out[i] = screen.clean(given and given[i] or i) end
    return out
end

local m = {}

---The fields that `read` looks at.
m.fields = {{"rows", "table"}, {"columns", "table"}, {"max", "number", above = 0}, {"mask", "any"}}

---What is to be shown; raises without a place. `most` is the end of the scale.
---@param weights any
---@param cfg table rows =, columns =, max =, mask =
---@return table s weights [L, H, Tq, Tk] float64, masked, dims, layers, heads, rows, columns, most, least, strange
function m.read(weights, cfg)
    local s = {}
    s.weights, s.dims = tensor_of(weights)
    s.layers, s.heads, s.rows_count, s.columns_count = table.unpack(s.weights.shape)
    s.masked = masked_of(cfg.mask, s.weights)
    local finite = attn.isfinite(s.weights)
    if s.masked then finite = finite & ~s.masked end
    local known = s.weights:masked_select(finite)
    s.largest = known:numel() > 0 and known:max():item() or 0
    s.least = known:numel() > 0 and known:min():item() or 0
    local odd = ~attn.isfinite(s.weights)
    if s.masked then odd = odd & ~s.masked end
    s.strange = odd:sum():item()
    s.most = cfg.max or s.largest
    s.rows, s.columns = labels(cfg.rows, s.rows_count, "rows"), labels(cfg.columns, s.columns_count, "columns")
    return s
end

-- The largest of each block of `by` along dimension d.
local function largest(x, d, by, fill)
    if by == 1 then return x end
    local size = x.shape
    local blocks = (size[d] + by - 1) // by
    x = attn.pad(x, d, 0, blocks * by - size[d], {value = fill})
    local shape = table.move(size, 1, #size, 1, {})
    shape[d] = blocks
    table.insert(shape, d + 1, by)
    return (x:reshape(table.unpack(shape)):max(d + 1))
end

local function pool_labels(labels_of, count, by)
    if by == 1 then return labels_of end
    local out = {}
    for i = 1, count, by do out[#out + 1] = labels_of[i] .. (i < count and "…" or "") end
    return out
end

---The weights with sides of at most so many rows and columns.
---@return table pooled weights and masked (0 or 1) [L, H, rows, columns], rows, columns, by_row, by_column
function m.pool(s, row_limit, column_limit)
    local by_row = math.ceil(s.rows_count / math.max(1, row_limit))
    local by_column = math.ceil(s.columns_count / math.max(1, column_limit))
    local function pooled(x, fill) return largest(largest(x, 3, by_row, fill), 4, by_column, fill) end
    return {weights = pooled(s.weights, -math.huge), masked = s.masked and pooled(s.masked:to "float64", 0),
        rows = pool_labels(s.rows, s.rows_count, by_row),
        columns = pool_labels(s.columns, s.columns_count, by_column), by_row = by_row, by_column = by_column}
end

---What is said below maps; the words say how masked keys and what is no number look there.
function m.notes(s, pooled, masked, strange)
    local notes = {"max " .. screen.number(s.most)}
    if s.largest > s.most then notes[#notes + 1] = "the largest is " .. screen.number(s.largest) end
    if s.least < 0 then notes[#notes + 1] = "min " .. screen.number(s.least) end
    if s.strange > 0 then notes[#notes + 1] = ("%d NaN or infinite, shown %s"):format(s.strange, strange) end
    if s.masked then notes[#notes + 1] = "masked keys " .. masked end
    if pooled.by_row > 1 or pooled.by_column > 1 then
        notes[#notes + 1] = ("the largest of each %d x %d of %d x %d"):format(pooled.by_row, pooled.by_column,
            s.rows_count, s.columns_count)
    end
    return table.concat(notes, ", ")
end

return m
