-- Cases of every operation: name -> list of functions, each giving a function and its inputs, float64 where they have gradients.
-- tests/registry_test.lua checks the gradients of all with attn.checkgrad, tests/op/memory_test.lua lets every allocation fail; an
-- operation without a case fails. Operations that scripts cannot call stand behind the layer that uses them.
local attn = require "attn"

local F64 = {dtype = "float64"}
local function R(...) return attn.randn({...}, F64) end
local function positive(...) return (attn.rand({...}, F64) + 0.3):detach() end
local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

local cases = {}

local function case(name, fn, inputs)
    cases[name] = cases[name] or {}
    table.insert(cases[name], function() return fn, inputs() end)
end

-- ---- element-wise ----

for _, name in ipairs{"exp", "tanh", "sigmoid", "relu", "abs", "sign", "sin", "cos", "gelu", "silu", "elu", "softplus",
                      "neg", "square", "expm1", "atan", "erf", "leaky_relu", "floor", "ceil", "round"} do
    case(name, attn[name], function() return {R(2, 5)} end)
    case(name, function(x) return attn[name](x:transpose(1, 2)) end, function() return {R(3, 2)} end)
end
for _, name in ipairs{"log", "sqrt", "rsqrt", "log1p"} do case(name, attn[name], function() return {positive(2, 3)} end) end
case("tan", function(x) return (x:sin() * 0.8):tan() end, function() return {R(3, 4)} end)
case("leaky_relu", function(x) return x:leaky_relu{slope = 0.3} end, function() return {R(3, 4)} end)
case("clamp", function(x) return x:clamp(-0.5, 0.7) end, function() return {R(3, 4)} end)
case("dropout", function(x) return x:dropout(0.4) end, function() return {R(5, 20)} end)

for _, name in ipairs{"add", "sub", "mul", "div", "pow", "minimum", "maximum", "logaddexp", "mod", "idiv"} do
    local left = name == "pow" and positive or R
    local right = (name == "div" or name == "mod" or name == "idiv") and positive or R
    local f = attn[name]
    case(name, f, function() return {left(2, 3), right(2, 3)} end)
    case(name, f, function() return {left(2, 1, 3), right(4, 1)} end)
    case(name, f, function() return {left(3), right(2, 3)} end)
    case(name, f, function() return {left(1, 1), right(2, 3)} end)
    case(name, function(a, b) return f(a, b:transpose(1, 2)) end, function() return {left(2, 3), right(3, 2)} end)
    case(name, function(a) return f(a, 2) end, function() return {left(2, 3)} end)
    case(name, function(b) return f(2, b) end, function() return {right(2, 3)} end)
    if name ~= "mod" and name ~= "idiv" then        -- there it is a jump
        case(name, function(a) return f(a, a) end, function() return {positive(2, 3)} end)
    end
end

-- ---- reductions, rows ----

for _, name in ipairs{"sum", "mean", "max", "min", "prod", "var", "std", "norm", "logsumexp"} do
    local f = attn[name]
    case(name, function(x) return (f(x)) end, function() return {R(3, 4)} end)
    for d = 1, 3 do
        case(name, function(x) return (f(x, d)) end, function() return {R(3, 4, 2)} end)
        case(name, function(x) return (f(x, d, true)) end, function() return {R(3, 4, 2)} end)
    end
end
for _, name in ipairs{"sum", "mean", "max", "min", "prod", "var", "std", "norm", "logsumexp"} do
    local f = attn[name]
    for _, d in ipairs{{2, 3}, {1, 3}, {-1, 1, 2}, {2}} do
        case(name, function(x) return (f(x, d)) end, function() return {R(3, 4, 2)} end)
        case(name, function(x) return (f(x, d, true)) end, function() return {R(3, 4, 2)} end)
    end
    case(name, function(x) return (f(x:transpose(1, 3), {1, 3})) end, function() return {R(3, 4, 2)} end)
end
local some = attn.tensor{{true, false, true, true}, {false, true, true, false}, {false, false, false, false}}
for _, name in ipairs{"sum", "mean", "max", "min", "logsumexp"} do
    local f = attn[name]
    for _, d in ipairs{1, 2, 3, {1, 2}, {1, 3}} do
        case(name, function(x) return (f(x, d, {mask = some:unsqueeze(3)})):to "float64":exp() end, function() return {R(3, 4, 2)} end)
    end
    case(name, function(x) return (f(x, {mask = some})) end, function() return {R(3, 4)} end)
end
for d = 1, 3 do
    case("softmax", function(x) return x:softmax(d, {mask = some:unsqueeze(3)}) end, function() return {R(3, 4, 2)} end)
end
case("prod", function(x) return x:prod(2) end, function() return {attn.tensor({{1, 0, 2}, {0, 0, 3}}, F64)} end)
for _, name in ipairs{"softmax", "log_softmax", "sparsemax", "entmax15", "cumsum", "cumprod", "logcumsumexp",
                      "diff"} do
    for d = 1, 3 do case(name, function(x) return attn[name](x, d) end, function() return {R(3, 4, 2)} end) end
    case(name, attn[name], function() return {R(2, 37)} end)
end
local function alphas(...) return attn.rand({...}, F64) * 0.8 + 1.1 end
for d = 1, 3 do
    local size = {3, 4, 2}
    size[d] = 1
    case("entmax", function(x, alpha) return x:entmax(alpha, d, {mask = some:unsqueeze(3)}) end,
         function() return {R(3, 4, 2), alphas(table.unpack(size))} end)
end
case("entmax", attn.entmax, function() return {R(2, 37), alphas(1)} end)
case("cumprod", function(x) return x:cumprod(2) end,
     function() return {attn.tensor({{1.5, 0, 2, -1}, {0, 0, 3, 2}}, F64)} end)
case("logcumsumexp", function(x) return (x * 40):logcumsumexp() end, function() return {R(2, 7)} end)
for d = 1, 3 do
    case("sort", function(x) return (x:sort(d)) end, function() return {R(3, 4, 2)} end)
    case("sort", function(x) return (x:sort(d, true)) end, function() return {R(3, 4, 2)} end)
    case("topk", function(x) return (x:topk(2, d)) end, function() return {R(3, 4, 2)} end)
end

-- ---- products, layers ----

for _, sizes in ipairs{
    {{3, 4}, {4, 2}}, {{2, 3, 4}, {2, 4, 5}}, {{2, 1, 3, 4}, {5, 4, 2}}, {{3, 4}, {2, 4, 2}}, {{2, 3, 4}, {4, 5}}, {{4}, {4}},
    {{4}, {4, 3}}, {{3, 4}, {4}}, {{2, 3, 4}, {4}}, {{4}, {2, 4, 3}}, {{2, 3, 4}, {1, 4, 2}},
} do
    case("matmul", attn.matmul, function() return {attn.randn(sizes[1], F64), attn.randn(sizes[2], F64)} end)
end
case("matmul", function(a, b) return attn.matmul(a:transpose(1, 2), b:transpose(1, 2)) end,
     function() return {R(4, 3), R(2, 4)} end)
case("matmul", function(a, b) return attn.matmul(a:permute(2, 3, 1), b:permute(2, 1, 3)) end,
     function() return {R(3, 2, 4), R(3, 2, 5)} end)
case("matmul", function(a) return attn.matmul(a, a) end, function() return {R(3, 3)} end)
case("matmul", function(a, b) return attn.matmul(a:expand(5, 3, 4), b) end,
     function() return {R(1, 3, 4), R(5, 4, 2)} end)
for _, equation in ipairs{"ab,bc->ac", "hab,hcb->hac", "ab,abc,ac->a", "ab,bc,cd,de->ae", "aa->a", "aab->b", "ab->",
                          "ab->ba",
                          "ab,ab->ab", "ab,cd->dbca", "ab,c->b", "...a,ab->...b", "ab,bc"} do
    local size = {a = 2, b = 3, c = 4, d = 2, e = 3, h = 2}
    case("einsum", function(...) return attn.einsum(equation, ...) end, function()
        local operands = {}
        for term in (equation:match("^(.-)%->") or equation):gmatch("[^,]+") do
            local shape = {}
            for c in term:gsub("%.%.%.", "cd"):gmatch(".") do shape[#shape + 1] = size[c] end
            operands[#operands + 1] = attn.randn(shape, F64)
        end
        return operands
    end)
end
case("einsum", function(a) return attn.einsum("ab,bc->ac", a, a) end, function() return {R(3, 3)} end)
case("einsum", function(a, b) return attn.einsum("...ij,...jk->...ik", a, b) end,
     function() return {R(2, 1, 2, 3), R(4, 3, 2)} end)
case("outer", attn.outer, function() return {R(3), R(4)} end)
for d = 1, 3 do
    local function similarity(a, b) return attn.cosine_similarity(a, b, d) end
    case("cosine_similarity", similarity, function() return {R(3, 4, 2), R(3, 4, 2)} end)
    case("cosine_similarity", similarity, function() return {R(3, 1, 2), R(4, 1)} end)
end
case("cosine_similarity", function(a, b) return attn.cosine_similarity(a, b, -1, {eps = 1.5}) end,
     function() return {R(5, 3), R(1, 3)} end)
case("cdist", attn.cdist, function() return {R(2, 3, 4), R(2, 5, 4)} end)
case("cdist", function(a) return attn.cdist(a, a) end, function() return {R(3, 2)} end)
case("linear", attn.linear, function() return {R(2, 3, 4), R(5, 4), R(5)} end)
case("linear", attn.linear, function() return {R(4), R(5, 4)} end)
case("embedding", function(w) return attn.embedding(ids{{1, 3, 0}, {3, 3, 2}}, w) end, function() return {R(4, 3)} end)
case("layernorm", attn.layernorm, function() return {R(3, 5), R(5), R(5)} end)
case("layernorm", function(x, b) return attn.layernorm(x, nil, b) end, function() return {R(2, 2, 5), R(5)} end)
case("rmsnorm", attn.rmsnorm, function() return {R(3, 5), R(5)} end)
case("rmsnorm", attn.rmsnorm, function() return {R(2, 2, 5)} end)
case("conv1d", function(x, w, b) return attn.conv1d(x, w, b, 2, 1) end,
     function() return {R(2, 7, 3), R(4, 3, 3), R(4)} end)
case("conv1d", attn.conv1d, function() return {R(2, 4, 3), R(2, 3, 1)} end)
case("conv2d", function(x, w, b) return attn.conv2d(x, w, b, 2, 1) end,
     function() return {R(2, 3, 5, 6), R(4, 3, 3, 2), R(4)} end)
case("conv2d", attn.conv2d, function() return {R(1, 2, 3, 3), R(2, 2, 2, 2)} end)
case("conv1d", function(x, w) return attn.conv1d(x, w, nil, {padding = "causal", dilation = 2, groups = 2}) end,
     function() return {R(2, 4, 4), R(2, 2, 2)} end)
case("conv2d", function(x, w) return attn.conv2d(x, w, nil, {padding = "same", dilation = {1, 2}, groups = 2}) end,
     function() return {R(1, 2, 3, 4), R(4, 1, 2, 2)} end)


-- ---- images ----

for _, name in ipairs{"max_pool1d", "avg_pool1d"} do
    case(name, function(x) return attn[name](x, 2) end, function() return {R(2, 5, 3)} end)
    case(name, function(x) return attn[name](x, 3, {stride = 2, padding = 1, lengths = ids{5, 0, 2}}) end,
         function() return {R(3, 5, 2)} end)
end
for _, name in ipairs{"max_pool2d", "avg_pool2d"} do
    case(name, function(x) return attn[name](x, 2) end, function() return {R(2, 2, 4, 5)} end)
    case(name, function(x) return attn[name](x, {3, 2}, {stride = {1, 3}, padding = 1}) end, function() return {R(1, 2, 4, 7)} end)
end
for _, mode in ipairs{"bilinear", "nearest"} do
    for _, size in ipairs{{5, 7}, {2, 2}, {1, 1}} do
        case("interpolate", function(x) return attn.interpolate(x, size, {mode = mode}) end, function() return {R(2, 1, 3, 4)} end)
    end
end
case("interpolate", function(x) return attn.interpolate(x, {5, 1}, {align_corners = true}) end, function() return {R(1, 2, 3, 4)} end)
for _, align in ipairs{false, true} do
    case("affine_grid", function(theta) return attn.affine_grid(theta, {3, 2}, {align_corners = align}) end,
         function() return {R(2, 2, 3)} end)
    for _, padding in ipairs{"zeros", "border"} do
        case("grid_sample", function(x, grid) return attn.grid_sample(x, grid, {padding = padding, align_corners = align}) end,
             function() return {R(2, 3, 4, 5), R(2, 3, 2, 2)} end)
    end
end
case("grid_sample", function(x) return attn.grid_sample(x, attn.tensor({{{{-0.3, 0.4}, {0.9, 2}, {-0.2, -0.7}}}}, F64), {mode = "nearest"}) end,
     function() return {R(1, 2, 3, 4)} end)
case("glimpse", function(x) return attn.glimpse(x, attn.tensor({{0.1, -0.8}, {1.2, 0.3}}, F64), {size = 3, scales = 2}) end,
     function() return {R(2, 2, 5, 4)} end)
for _, dim in ipairs{1, 2, -1} do
    local function batchnorm(training)
        local layer = attn.layer.batchnorm{channels = 3, dim = dim}:to "float64"
        layer = training and layer:train() or layer:eval()
        return function(x, w, b)
            layer.weight, layer.bias = w, b
            return layer(x)
        end
    end
    local size = dim == 1 and {3, 4} or dim == 2 and {2, 3, 4} or {2, 4, 3}
    for _, training in ipairs{true, false} do
        case("batchnorm", batchnorm(training), function() return {R(table.unpack(size)), R(3), R(3)} end)
    end
end
case("batchnorm", function(x, mean, var)
    local layer = attn.layer.batchnorm{channels = 3}:to "float64":eval()
    layer.running_mean, layer.running_var = mean, var
    return layer(x)
end, function() return {R(2, 3, 2), R(3), positive(3)} end)
for _, groups in ipairs{1, 2, 4} do
    local layer = attn.layer.groupnorm{channels = 4, groups = groups}:to "float64"
    case("groupnorm", function(x, w, b)
        layer.weight, layer.bias = w, b
        return layer(x)
    end, function() return {R(2, 4, 3), R(4), R(4)} end)
end

-- ---- losses ----

for _, reduction in ipairs{"mean", "sum", "none"} do
    local loss, targets = attn.loss, ids{2, 0, 4}
    local options = {reduction = reduction}
    case("loss.cross_entropy", function(x) return loss.cross_entropy(x, targets, options) end,
         function() return {R(3, 4)} end)
    case("loss.cross_entropy", function(x)
        return loss.cross_entropy(x, targets, {reduction = reduction, smoothing = 0.2})
    end, function() return {R(3, 4)} end)
    case("loss.nll", function(x) return loss.nll(x, targets, options) end, function() return {R(3, 4)} end)
    local counts = attn.tensor({0.5, 2, 0, 1.5}, {dtype = "float64"})
    for _, smoothing in ipairs{0, 0.2} do
        local weighted = {reduction = reduction, smoothing = smoothing, weight = counts}
        case("loss.cross_entropy", function(x) return loss.cross_entropy(x, targets, weighted) end,
             function() return {R(3, 4)} end)
        case("loss.nll", function(x) return loss.nll(x, targets, weighted) end, function() return {R(3, 4)} end)
        case("loss.bce_logits", function(x, t) return loss.bce_logits(x, t, weighted) end, function() return {R(3, 4), R(3, 4)} end)
    end
    for _, flat in ipairs{false, true} do           -- generated, only copied, both, nowhere, ignored
        local source, words = ids{{2, 6, 2}, {5, 7, 0}}, ids{{2, 6, 3}, {7, 9, 0}}
        case("loss.copy", function(x, w, g)
            if flat then return loss.copy(x[{{}, 1}], w[{{}, 1}], g[{{}, 1}], source, words[{{}, 1}], options) end
            return loss.copy(x, w, g, source, words, options)
        end, function() return {R(2, 3, 5), (positive(2, 3, 3) * 0.3):detach(), R(2, 3)} end)
    end
    case("loss.mse", function(x, t) return loss.mse(x, t, options) end, function() return {R(3, 4), R(3, 4)} end)
    case("loss.l1", function(x, t) return loss.l1(x, t, options) end, function() return {R(3, 4), R(3, 4)} end)
    case("loss.huber", function(x, t) return loss.huber(x, t, {reduction = reduction, delta = 0.7}) end,
         function() return {R(3, 4), R(3, 4)} end)
    case("loss.margin", function(x, t) return loss.margin(x, t, {reduction = reduction, margin = 0.5}) end,
         function() return {R(3), R(3, 4)} end)
    case("loss.margin", function(x, t) return loss.margin(x, t, options) end, function() return {R(4), R(4)} end)
    case("loss.bce_logits", function(x, t) return loss.bce_logits(x, t, options) end,
         function() return {R(3, 4), R(3, 4)} end)
    case("loss.bce", function(p, t) return loss.bce(p, t, options) end,
         function() return {(positive(3, 4) * 0.5 + 0.1):detach(), R(3, 4)} end)
    case("loss.kl", function(x, t) return loss.kl(x, t, options) end, function() return {R(3, 4), positive(3, 4)} end)
end

-- ---- movement ----

case("contiguous", function(x) return x:transpose(1, 2):contiguous() end, function() return {R(3, 4)} end)
case("clone", function(x) return x:clone() end, function() return {R(3, 4)} end)
case("cast", function(x) return x:to("float64") * 2 end, function() return {R(3, 4)} end)
case("narrow", function(x) return x:narrow(2, 2, 2) end, function() return {R(3, 4)} end)
case("select", function(x) return x:select(2, -1) end, function() return {R(3, 4)} end)
case("transpose", function(x) return x:transpose(1, 3) end, function() return {R(3, 4, 2)} end)
case("t", function(x) return x:t() end, function() return {R(3, 4)} end)
case("permute", function(x) return x:permute(3, 1, 2) end, function() return {R(3, 4, 2)} end)
case("reshape", function(x) return x:transpose(1, 2):reshape(2, -1) end, function() return {R(3, 4)} end)
case("view", function(x) return x:view(2, -1) end, function() return {R(3, 4)} end)
case("view", function(x) return x:transpose(1, 2):view(4, 3, 2) end, function() return {R(6, 4)} end)
case("expand", function(x) return x:expand(5, 3, -1) end, function() return {R(3, 4)} end)
case("expand", function(x) return x:expand(3, 4) end, function() return {R(3, 1)} end)
case("unsqueeze", function(x) return x:unsqueeze(2) end, function() return {R(3, 4)} end)
case("squeeze", function(x) return x:squeeze() end, function() return {R(3, 1, 4)} end)
case("squeeze", function(x) return x:squeeze(2) end, function() return {R(1, 1, 4)} end)
for d = 1, 2 do
    case("cat", function(a, b) return attn.cat({a, b, a}, d) end, function() return {R(2, 3), R(2, 3)} end)
    case("cat", function(a, b) return attn.cat({a:transpose(1, 2), b}, d) end, function() return {R(3, 3), R(3, 3)} end)
end
for d = 1, 3 do
    case("stack", function(a, b) return attn.stack({a, b, a:transpose(1, 2)}, d) end,
         function() return {R(3, 3), R(3, 3)} end)
end
local mask = attn.tensor{{true, false, true}, {false, false, true}}
case("where", function(a, b) return attn.where(mask, a, b) end, function() return {R(2, 3), R(2, 3)} end)
case("where", function(a, b) return attn.where(mask, a, b) end, function() return {R(1), R(2, 1)} end)
case("where", function(a) return attn.where(mask, 3, a) end, function() return {R(2, 3)} end)
case("masked_fill", function(x) return x:masked_fill(mask, 7) end, function() return {R(4, 2, 3)} end)
case("masked_select", function(x) return x:masked_select(mask) end, function() return {R(4, 2, 3)} end)
case("masked_select", function(x) return x:transpose(1, 2):masked_select(mask) end, function() return {R(3, 2)} end)
case("select_rows", function(x) return x[mask] end, function() return {R(2, 3)} end)
case("select_rows", function(x) return x[mask] end, function() return {R(2, 3, 2)} end)
case("select_rows", function(x) return x[mask[2]] end, function() return {R(3, 2)} end)
case("select_ids", function(x) return x[ids{3, 1, 3}] end, function() return {R(4, 2)} end)
case("select_ids", function(x) return x[ids{{3, 1}, {2, 2}}] end, function() return {R(4, 2)} end)
case("select_ids", function(x) return x[attn.tensor(2, {dtype = "int64"})] end, function() return {R(4, 2)} end)
case("gather", function(x) return x:gather(1, ids{{1, 1}, {3, 2}}) end, function() return {R(3, 4)} end)
case("gather", function(x) return x:gather(2, ids{{{1, 1}, {4, 2}}}) end, function() return {R(3, 4, 2)} end)
case("gather", function(x) return x:gather(2, ids{{0, 1}, {4, 0}}) end, function() return {R(3, 4)} end)
case("scatter_add", function(x, s) return x:scatter_add(1, ids{{1, 1, 0}, {3, 1, 2}}, s) end,
     function() return {R(3, 4), R(2, 3)} end)
case("scatter_add", function(x, s) return x:scatter_add(-1, ids{{{4, 4}, {0, 1}}}, s) end,
     function() return {R(2, 3, 4), R(1, 2, 2)} end)
case("index_select", function(x) return x:index_select(2, ids{1, 4, 4}) end, function() return {R(3, 4, 2)} end)
for d = 1, 3 do
    case("flip", function(x) return x:flip(d) end, function() return {R(3, 4, 2)} end)
    case("roll", function(x) return x:roll(-3, d) end, function() return {R(3, 4, 2)} end)
    for _, mode in ipairs{"constant", "replicate", "reflect", "circular"} do
        case("pad", function(x) return x:pad(d, 2, 1, {mode = mode}) end, function() return {R(3, 4, 2)} end)
    end
    case("pad", function(x) return x:pad(d, -1, 3) end, function() return {R(3, 4, 2)} end)
    case("unfold", function(x) return x:unfold(d, 2, 1) end, function() return {R(3, 4, 2)} end)
end
case("unfold", function(x) return x:transpose(1, 2):unfold(2, 2, 2) end, function() return {R(5, 3)} end)
case("diagonal", function(x) return x:diagonal() end, function() return {R(2, 4, 3)} end)
case("flatten", function(x) return x:flatten(2, 3) end, function() return {R(2, 4, 3)} end)
case("flatten", function(x) return x:transpose(1, 2):flatten() end, function() return {R(2, 4)} end)
case("tril", function(x) return x:tril(-1) end, function() return {R(2, 3, 4)} end)
case("triu", function(x) return x:triu(1) end, function() return {R(2, 3, 4)} end)

-- ---- chains and trees ----

for _, f in ipairs{"chain_marginals", "chain_log_partition", "chain_nll"} do
    local tags = f == "chain_nll" and ids{{1, 2, 3, 1}, {3, 3, 2, 2}} or nil
    local function call(u, s) return tags and attn.structured[f](u, s, tags) or attn.structured[f](u, s) end
    case("structured." .. f, call, function() return {R(2, 4, 3), R(3, 3)} end)
    case("structured." .. f, call, function() return {R(2, 4, 3), R(2, 3, 3, 3)} end)
end
for _, f in ipairs{"tree_marginals", "tree_log_partition"} do
    for _, projective in ipairs{true, false} do
        case("structured." .. f, function(x) return attn.structured[f](x, {projective = projective}) end,
             function() return {R(2, 5, 5)} end)
    end
end

-- ---- behind layers ----

local function layer(name, constructor, config, call, inputs)
    cases[name] = cases[name] or {}
    table.insert(cases[name], function()
        local l = constructor(config):to("float64"):eval()
        return function(...) return call(l, ...) end, inputs()
    end)
end

for _, cell in ipairs{"gru", "lstm", "rnn"} do
    layer("rnn", attn.encoder.rnn, {inputs = 3, hidden = 2, cell = cell, bidirectional = true},
          function(l, x) return (l(x, {lengths = ids{4, 2}})) end, function() return {R(2, 4, 3)} end)
    for _, style in ipairs{"bahdanau", "luong"} do
        layer("decode", attn.decoder.rnn, {inputs = 3, hidden = 2, memory = 4, cell = cell, style = style, outputs = 5,
                                           attention = {score = "additive", dim = 3}},
              function(l, y, memory) return (l(y, memory, {memory_lengths = ids{3, 2}})) end,
              function() return {R(2, 2, 3), R(2, 3, 4)} end)
    end
end
for pieces = 1, 3 do
    layer("maxout", attn.layer.maxout, {inputs = 3, outputs = 4, pieces = pieces}, function(l, x) return l(x) end,
          function() return {R(5, 3)} end)
end

case("map", function(x, y) return attn.map(function(a, b) return (a * b):tanh() + b end, x, y) end,
     function() return {R(3, 4), R(4)} end)

-- q, k, v with the weights asked for, so that nothing but the operations themselves does the work
local function attention(name, config)
    config.query, config.dim = 4, 4
    layer(name, attn.attention, config, function(l, q, k, v)
        local context, weights = l(q, k, v, {lengths = ids{3, 2}, weights = true})
        return context, weights
    end, function() return {R(2, 2, 4), R(2, 3, 4), R(2, 3, 4)} end)
end

for _, heads in ipairs{1, 2} do
    layer("attend", attn.attention, {query = 4, heads = heads, kv_heads = 1}, function(l, q, k, v)
        return (l(q, k, v, {lengths = ids{3, 2}}))
    end, function() return {R(2, 2, 4), R(2, 3, 4), R(2, 3, 4)} end)
end
for _, activation in ipairs{"relu", "gelu", "silu"} do
    layer("linear_act", attn.encoder.transformer, {dim = 4, ff = 6, dropout = 0, activation = activation},
          function(l, x) return l(x) end, function() return {R(2, 3, 4)} end)
end
attention("pair_scores", {score = "dot"})
attention("pair_scores", {score = "additive"})
attention("pair_scores", {score = "scaled_dot", heads = 2})
attention("pair_table", {score = "location", max_keys = 5})
attention("pair_act", {score = "additive", output = "multi_dimensional"})
attention("score_act", {score = "activated_general"})
attention("unit_rows", {score = "cosine"})
attention("rope", {score = "scaled_dot", project = true, position = "rope"})
attention("attend_linear", {score = "linear"})
for _, distribution in ipairs{"softmax", "sparsemax", "entmax15", "entmax", "sigmoid"} do
    attention("attend_rows", {score = "general", distribution = distribution})
    attention("attend_context", {score = "biased_general", distribution = distribution})
end
attention("attend_gauss", {score = "general", window = {type = "predictive", radius = 2}})
attention("attend_expand", {score = "general", window = {type = "band", left = 1, right = 1}})
attention("score_mod", {score = "general", score_mod = function(s, at) return 2 * (s / 2):tanh() + 0.3 * (at.query - at.key) end})

-- ---- without a gradient ----
attention("mask_mod", {score = "general", mask_mod = function(at) return at.key:le(at.query + 1) end})

local function B(...) return attn.bernoulli(0.5, ..., {dtype = "bool"}) end
for _, name in ipairs{"eq", "ne", "lt", "le", "gt", "ge"} do
    case(name, attn[name], function() return {R(2, 3), R(3)} end)
end
for _, name in ipairs{"isnan", "isinf", "isfinite"} do case(name, attn[name], function() return {R(2, 3) / 0} end) end
for _, name in ipairs{"logical_and", "logical_or", "logical_xor"} do
    case(name, attn[name], function() return {B{2, 3}, B{3}} end)
end
case("logical_not", attn.logical_not, function() return {B{2, 3}} end)
for _, name in ipairs{"any", "all"} do
    case(name, attn[name], function() return {B{2, 3}} end)
    case(name, function(x) return attn[name](x:transpose(1, 2), 1, true) end, function() return {B{2, 3}} end)
end
for _, name in ipairs{"argmax", "argmin"} do
    case(name, function(x) return attn[name](x, 2) end, function() return {R(2, 3)} end)
    case(name, function(x) return attn[name](x:transpose(1, 2), 2) end, function() return {R(2, 3)} end)
end
case("multinomial", function(p) return p:multinomial(2) end, function() return {positive(2, 3)} end)
case("multinomial", function(p) return p:multinomial(2, {replacement = false}) end, function() return {positive(2, 3)} end)
case("nonzero", attn.nonzero, function() return {B{2, 3}} end)
case("mask", function(n) return attn.mask(n, 4) end, function() return {ids{4, 0, 2}} end)
case("one_hot", function(x) return x:one_hot(5) end, function() return {ids{4, 0, 2}} end)
for _, lengths in ipairs{false, ids{3, 1}} do
    local options = lengths and {lengths = lengths} or nil
    case("structured.chain_viterbi", function(u, m) return attn.structured.chain_viterbi(u, m, options) end,
         function() return {R(2, 3, 4), R(4, 4)} end)
    case("structured.chain_sample", function(u, m)
        return attn.structured.chain_sample(u, m, {lengths = lengths or nil, count = 2})
    end, function() return {R(2, 3, 4), R(4, 4)} end)
    for _, projective in ipairs{true, false} do
        case("structured.tree_best", function(x)
            return attn.structured.tree_best(x, {lengths = lengths or nil, projective = projective})
        end, function() return {R(2, 3, 3)} end)
    end
end

return cases
