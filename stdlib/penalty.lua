-- penalty: terms added to a loss that keep attention hops or heads apart. Composed from operations, so they
-- differentiate.
local attn = require "attn"
local fields = require "attn.fields"

local m = {}

local function check(where, name, value, dims)
    if type(value) ~= "userdata" then
        error(("%s: %s is a %s, expected a tensor"):format(where, name, type(value)), 3)
    elseif value:dim() ~= dims then
        error(("%s: %s has %d dimensions, expected %d (%s: %s [%s])"):format(where, name, value:dim(), dims, name,
            value.dtype, table.concat(value.shape, ", ")), 3)
    end
end

---|A A' - I|_F^2 over the hops of each row, averaged over the batch (Lin et al. 2017, eq. 8).
---@param weights any [B, hops, T]
---@return any
function m.frobenius(weights)
    check("penalty.frobenius", "weights", weights, 3)
    local difference = weights:matmul(weights:transpose(2, 3)) - attn.eye(weights:size(2), {dtype = weights.dtype})
    return (difference * difference):sum() / weights:size(1)
end

-- sum over heads i, j of cos(x_i, x_j) = |sum_i x_i / |x_i||^2, averaged; a zero vector has cosine 0 with gradient 0.
local function cosine(x)
    local square = (x * x):sum(-1, true)
    local present = square:gt(0)
    local one = attn.ones(1, {dtype = x.dtype})
    local unit = x / attn.where(present, square, one):sqrt()
    unit = unit * present:to(x.dtype)
    local total = unit:sum(2)                                   -- [B, T, D]
    return (total * total):sum()
end

local kinds = {"subspace", "position", "output"}

---How alike the heads of an attention are (Li et al. 2018), averaged over batch and positions: "subspace" and "output"
---give (1/H^2) sum over i, j of cos(x_i, x_j), "position" (1/H^2) sum over i, j of sum_k |a_ik a_jk|. Positive, to be
---added to a loss: the paper maximises the negative.
---@param x any [B, H, T, D]: projected values, attention weights, or outputs of the heads
---@param kind "subspace"|"position"|"output"
---@return any
function m.disagreement(x, kind)
    check("penalty.disagreement", "x", x, 4)
    local B, H, T = x:size(1), x:size(2), x:size(3)
    local total
    if kind == "subspace" or kind == "output" then
        total = cosine(x)
    elseif kind == "position" then
        local sum = x:abs():sum(2)                              -- sum_ij |a_ik a_jk| = (sum_i |a_ik|)^2
        total = (sum * sum):sum()
    else
        error(("penalty.disagreement: kind is '%s', expected one of %s%s"):format(tostring(kind),
            table.concat(kinds, ", "), fields.suggest(kind, kinds)), 2)
    end
    return total / (B * T * H * H)
end

attn.describe{name = "penalty.frobenius", signature = "frobenius(weights [B, hops, T]) -> scalar",
    help = "Mean over the batch of |A A' - I|_F^2 over hops: pushes the hops to different places (Lin et al. 2017).",
    example = 'attn.penalty.frobenius(attn.rand(2, 3, 5):softmax(-1))'}
attn.describe{name = "penalty.disagreement", signature = "disagreement(x [B, H, T, D], kind) -> scalar",
    help = "How alike heads are, averaged over batch and positions (Li et al. 2018). kind \"subspace\" and\n"
        .. "\"output\": (1/H^2) sum over i, j of cos(x_i, x_j); \"position\": (1/H^2) sum over i, j of sum_k\n"
        .. "|a_ik a_jk|. Positive: add it to a loss.",
    example = 'attn.penalty.disagreement(attn.randn(2, 4, 5, 8), "output")'}

return m
