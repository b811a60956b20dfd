-- attn.attention: arguments, results, options and what does not combine. Numbers are the conformance files' business,
-- combinations the walk's (walk_test.lua).

local attn, t = require "attn", require "attn.test"

local f64 = {dtype = "float64"}

local function layer(cfg) return attn.attention(cfg):to("float64") end

t.case("one sentence, by hand: softmax of scaled products", function()
    local attend = attn.attention{query = 4}
    local q, k, v = attn.randn(2, 3, 4), attn.randn(2, 5, 4), attn.randn(2, 5, 4)
    local c, w = attend(q, k, v, {weights = true})
    local expected = (attn.einsum("bid,bjd->bij", q, k) / 2):softmax(3)
    t.near(w, expected)
    t.near(c, expected:matmul(v))
    t.equal(select("#", attend(q, k, v)), 1)
end)

t.case("the key stands for the value, and the query's width for the key's", function()
    local attend = attn.attention{query = 4}
    local q, k = attn.randn(2, 3, 4), attn.randn(2, 5, 4)
    t.equal(attend(q, k), attend(q, k, k))
    t.equal(attend(q, k, nil, {causal = true}), attend(q, k, k, {causal = true}))
    t.raises("attention: value is missing: it is 3 wide and the key 4", attn.attention{query = 4, value = 3}, q, k)
end)

t.case("a query without a time is one step", function()
    local attend = attn.attention{query = 6, dim = 8, heads = 2}
    local q, k = attn.randn(3, 6), attn.randn(3, 5, 6)
    local c, w = attend(q, k, k, {weights = true})
    t.equal(c.shape, {3, 6})
    t.equal(w.shape, {3, 2, 5})
    t.near(c, attend(q:unsqueeze(2), k, k)[{{}, 1}])
    local hard = attn.attention{query = 6, distribution = "hard_sample"}
    local _, hw, logp = hard(q, k)
    t.equal(hw.shape, {3, 5})
    t.equal(logp.shape, {3})
end)

t.case("masks combine", function()
    local attend = layer{query = 3}
    local q, k = attn.randn(2, 4, 3, f64), attn.randn(2, 4, 3, f64)
    local lengths = attn.tensor({3, 4}, {dtype = "int64"})
    local keys = attn.tensor{{true, false, true, true}, {true, true, true, true}}
    local mask = attn.rand(4, 4):gt(0.3)
    local _, w = attend(q, k, k, {lengths = lengths, key_mask = keys, mask = mask, causal = true, weights = true})
    local allowed = attn.ones(2, 4, 4):tril():gt(0.5):totable()
    for b = 1, 2 do
        for i = 1, 4 do
            for j = 1, 4 do
                local may = allowed[b][i][j] and j <= lengths[b]:item() and keys[b][j]:item() and mask[i][j]:item()
                t.equal(w[b][i][j]:item() > 0, may)
            end
        end
    end
end)

t.case("a key that a query may not see changes nothing for it, even when it is NaN", function()
    local mask = attn.tensor{{true, false, true}, {true, true, true}}
    for _, cfg in ipairs{{}, {score = "additive", dim = 4}, {score = "kernel", kernel = "rbf"},
                         {distribution = "sparsemax"}} do
        cfg.query = 4
        local attend = layer(cfg)
        local q, k = attn.randn(1, 2, 4, f64), attn.randn(1, 3, 4, f64)
        local c = attend(q, k, k, {mask = mask})
        k[{1, 2}] = 0 / 0
        q:requires_grad_(true)
        local broken = attend(q, k, k, {mask = mask})
        t.near(broken[{1, 1}], c[{1, 1}], 1e-12)
        broken[{1, 1}]:sum():backward()
        t.equal(q.grad[{1, 1}]:sum():item() == q.grad[{1, 1}]:sum():item(), true)
    end
end)

t.case("shapes of masks and biases", function()
    local attend = layer{query = 4, heads = 2}
    local q, k = attn.randn(3, 2, 4, f64), attn.randn(3, 5, 4, f64)
    local bias = attn.randn(2, 5, f64)
    local expected = attend(q, k, k, {bias = bias})
    t.near(attend(q, k, k, {bias = bias:unsqueeze(1):expand(3, 2, 5)}), expected, 1e-12)
    t.near(attend(q, k, k, {bias = bias:unsqueeze(1):unsqueeze(1):expand(3, 2, 2, 5)}), expected, 1e-12)
    t.near(attend(q, k, k, {bias = bias:unsqueeze(1):unsqueeze(1)}), expected, 1e-12)
    t.raises("attention: bias has shape [5, 2], expected [2, 5], [3, 2, 5] or [3, 2, 2, 5]",
             attend, q, k, k, {bias = attn.randn(5, 2, f64)})
    t.raises("attention: bias is float32, but the layer is float64", attend, q, k, k, {bias = attn.randn(2, 5)})
    t.raises("attention: mask is float64 [2, 5], expected a bool tensor", attend, q, k, k, {mask = bias})
    local rows = attn.rand(3, 5):gt(0.4)
    t.near(attend(q[{{}, {1, 1}}], k, k, {mask = rows}), attend(q[{{}, {1, 1}}], k, k, {key_mask = rows}), 1e-12)
end)

t.case("a bias is learned: its gradient is summed over what it was broadcast over", function()
    for _, shape in ipairs{{2, 3}, {2, 2, 3}, {1, 1, 2, 3}, {2, 1, 2, 3}, {1, 2, 2, 3}, {2, 2, 2, 3}} do
        local attend = layer{query = 4, heads = 2, distribution = "softmax"}
        t.gradient(function(q, k, bias) return attend(q, k, k, {bias = bias, causal = true}) end,
                   {attn.randn(2, 2, 4, f64), attn.randn(2, 3, 4, f64), attn.randn(shape, f64)})
    end
end)

t.case("weights in part: rows and heads", function()
    for _, window in ipairs{false, {type = "band", left = 1, right = 0}} do
        local cfg = {query = 4, heads = 4, window = window or nil}
        local attend = attn.attention(cfg)
        local x = attn.randn(2, 6, 4)
        local c, w = attend(x, x, x, {weights = true})
        local again, part = attend(x, x, x, {weights = {rows = {2, 4}, heads = {3, 1}}})
        t.equal(part.shape, {2, 2, 3, 6})
        t.equal(part[{{}, 1}], w[{{}, 3, {2, 4}}])
        t.equal(part[{{}, 2}], w[{{}, 1, {2, 4}}])
        t.equal(again, c)
        t.raises("attention: weights.rows is {2, 9}, expected a range within 1 to 6",
                 attend, x, x, x, {weights = {rows = {2, 9}}})
        t.raises("attention: weights.heads holds 5, expected numbers from 1 to 4",
                 attend, x, x, x, {weights = {heads = {5}}})
        t.raises("attention: weights has an unknown field 'row' (known: rows, heads)",
                 attend, x, x, x, {weights = {row = 1}})
    end
end)

t.case("the context is the same with and without weights", function()
    for _, cfg in ipairs{{query = 4}, {query = 4, heads = 2, position = "alibi"}, {query = 4, score = "linear"}} do
        local attend = attn.attention(cfg)
        local x = attn.randn(2, 5, 4)
        t.equal(attend(x, x, x, {causal = true}), (attend(x, x, x, {causal = true, weights = true})))
    end
end)

t.case("positions: gradients of rope and alibi, and rope sees distances only", function()
    for _, cfg in ipairs{{query = 4, project = true, position = "rope"},
                         {query = 4, heads = 2, position = "rope", kv_heads = 1},
                         {query = 6, heads = 3, position = "alibi"},
                         {query = 4, position = "alibi", score = "additive", dim = 3},
                         {query = 4, position = "alibi", score = "additive", dim = 3, output = "multi_dimensional"},
                         {query = 4, heads = 2, position = "rope", score = "linear"}} do
        local attend = layer(cfg)
        local q, k = attn.randn(2, 3, cfg.query, f64), attn.randn(2, 4, cfg.query, f64)
        t.gradient(function(a, b) return attend(a, b, b, {weights = true}) end, {q, k})
    end
    local attend = layer{query = 4, project = true, position = "rope"}
    local q, k = attn.randn(1, 4, f64), attn.randn(1, 6, 4, f64)
    local a, b = attend:cache(), attend:cache()
    attend(k[{{}, {1, 2}}], k[{{}, {1, 2}}], nil, {cache = b})     -- the same keys two places later
    local _, near = attend(q:unsqueeze(2), k[{{}, {3, 3}}], nil, {cache = a, weights = true})
    local _, far = attend(q:unsqueeze(2), k[{{}, {3, 3}}], nil, {cache = b, weights = true,
        key_mask = attn.tensor{{false, false, true}}})
    t.near(near:sum(), far:sum(), 1e-12)
end)

t.case("alibi's slopes: powers of two, and the next lower with every other of the next", function()
    local attend = layer{query = 6, heads = 6, position = "alibi", score = "dot"}
    attend:load((function()
        local state = attend:state()
        for name, p in pairs(state) do state[name] = attn.zeros(p.shape, f64) end
        return state
    end)())
    local _, w = attend(attn.zeros(1, 1, 6, f64), attn.zeros(1, 2, 6, f64), nil, {weights = true})
    local expected = {2 ^ -2, 2 ^ -4, 2 ^ -6, 2 ^ -8, 2 ^ -1, 2 ^ -3}
    for h = 1, 6 do t.near((w[{1, h, 1, 1}]:log() - w[{1, h, 1, 2}]:log()):item(), expected[h], 1e-9) end
end)

t.case("dropout acts on the weights in training only, and returned weights are whole", function()
    local attend = attn.attention{query = 4, dropout = 0.5}
    local q, k = attn.randn(1, 50, 4), attn.randn(1, 40, 4)
    local dropped, w = attend(q, k, k, {weights = true})
    local whole, kept = attend:eval()(q, k, k, {weights = true})
    t.near(w:sum(3), attn.ones(1, 50), 1e-5)
    t.equal(w, kept)
    t.equal((dropped - whole):abs():max():item() > 1e-3, true)
    attend:train()
    attn.seed(7)
    local first = attend(q, k)
    attn.seed(7)
    t.equal(attend(q, k), first)
end)

t.case("hard_sample draws as softmax says, and REINFORCE's gradient reaches the scores", function()
    local attend = attn.attention{query = 2, distribution = "hard_sample"}
    local q, k = attn.tensor{{{1, 0}}}:expand(4000, 1, 2), attn.tensor{{{2, 0}, {0, 0}, {-1, 0}}}:expand(4000, 3, 2)
    local _, w, logp = attend(q, k)
    local p = (attn.tensor{2, 0, -1} / 2 ^ 0.5):softmax()
    t.near(w:mean(1)[1], p, 0.03)
    t.near(logp, (w * p:log()):sum(3), 1e-5)
    local free, keys = attn.randn(2, 3, 2, f64), attn.randn(2, 4, 2, f64)
    local double = layer{query = 2, distribution = "hard_sample"}
    t.gradient(function(a, b) return (select(3, double(a, b))) end, {free, keys})
end)

t.case("hard_sample gives the probabilities it drew from, for their entropy", function()
    for _, heads in ipairs{1, 2} do
        local attend = layer{query = 4, heads = heads, score = "general", distribution = "hard_sample"}
        local q, k = attn.randn(2, 3, 4, f64), attn.randn(2, 5, 4, f64)
        local o = {lengths = attn.tensor({5, 3}, {dtype = "int64"})}
        local soft = layer{query = 4, heads = heads, score = "general"}
        soft:load(attend:state())
        local _, want = soft(q, k, k, {lengths = o.lengths, weights = true})
        local _, w, logp, p, more = attend(q, k, k, o)
        t.equal(more, nil)
        t.near(p, want, 1e-12)
        t.near(logp, (w * p):sum(-1):log(), 1e-12)
        t.equal(select(4, attend(q[{{}, 1}], k, k, o)).shape, heads == 1 and {2, 5} or {2, 2, 5})
        t.gradient(function(a, b)
            local _, _, logp, p = attend(a, b, b, o)
            return (p * (p + 1e-300):log()):sum() + logp:sum()
        end, {q, k})
    end
end)

t.case("hard_sample in eval mode takes the most likely key, the first of equals, and draws nothing", function()
    local attend = attn.attention{query = 2, score = "dot", distribution = "hard_sample"}:eval()
    local q, k = attn.tensor{{{1, 0}, {0, 1}, {0, 0}}}, attn.tensor{{{0.1, 0}, {0, 0.3}, {0.2, 0.3}}}
    local state = attn.random_state()
    local context, w, logp, p = attend(q, k)
    t.equal(attn.random_state(), state)
    t.equal(w, {{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}})
    t.equal(context, (attn.matmul(w, k)))
    t.near(logp, (w * p):sum(-1):log(), 1e-6)
    t.near(p, attn.matmul(q, k:transpose(2, 3)):softmax(), 1e-6)
    local double = layer{query = 2, distribution = "hard_sample"}:eval()
    t.gradient(function(a, b) return (select(3, double(a, b))) end, {attn.randn(2, 3, 2, f64), attn.randn(2, 4, 2, f64)})
    t.equal(select(2, attend(q, k, k, {lengths = attn.tensor({0}, {dtype = "int64"})})):sum():item(), 0)
end)

t.case("the polynomial kernel of queries that are nearly 0 has a finite gradient", function()
    for dtype, tiny in pairs{float32 = 1e-20, float64 = 1e-160} do
        for _, distribution in ipairs{"softmax", "sparsemax", "entmax15", "sigmoid", "hard_sample"} do
            local attend = attn.attention{query = 2, score = "kernel", kernel = "polynomial", distribution = distribution}
            attend:to(dtype)
            local q = attn.tensor({{{tiny, 0}, {0, 0}}}, {dtype = dtype}):requires_grad_(true)
            local k = attn.tensor({{{tiny, 1}, {2 * tiny, 0}}}, {dtype = dtype}):requires_grad_(true)
            local out = table.pack(attend(q, k, k, {weights = true}))
            local sum = 0
            for i = 1, out.n do sum = sum + (out[i] * out[i]):sum() end
            sum:backward()
            for _, x in ipairs{q.grad, k.grad, table.unpack(out, 1, out.n)} do t.equal((x * 0):abs():sum():item(), 0) end
        end
    end
end)

t.case("windows: work goes with the window, not with the keys", function()
    local attend = attn.attention{query = 4, score = "dot", window = {type = "band", left = 3, right = 3}}
    local x = attn.randn(1, 30000, 4)       -- all pairs would be 3.6 GB
    local y = attend(x, x, x)
    t.equal(attn.memory().peak < 400e6, true)
    t.near(y[{{}, {101, 102}}], attend(x[{{}, {90, 112}}], x[{{}, {90, 112}}])[{{}, {12, 13}}], 1e-5)
end)

t.case("windows say what they do not know", function()
    local function window(w) return function() return attn.attention{query = 4, dim = 4, window = w} end end
    t.raises("attention: window.type is 'sliding', expected 'monotonic', 'predictive' or 'band'",
             window{type = "sliding"})
    t.raises("attention: window.radius is nil, expected a number from 0", window{type = "monotonic"})
    t.raises("attention: window.radius is 1.5, expected an integer", window{type = "monotonic", radius = 1.5})
    t.raises("attention: window.radius is 0, expected more than 0", window{type = "predictive", radius = 0})
    t.raises("attention: window.left is -1, expected a number from 0", window{type = "band", left = -1, right = 0})
    t.raises("attention: window has an unknown field 'radius' (known to \"band\": type, left, right)",
             window{type = "band", left = 1, right = 1, radius = 2})
end)

t.case("a window's place is predicted, and its parameters learn", function()
    local attend = layer{query = 3, score = "general", dim = 4, window = {type = "predictive", radius = 2}}
    local q, k = attn.randn(2, 3, 3, f64), attn.randn(2, 9, 3, f64)
    local o = {lengths = attn.tensor({9, 6}, {dtype = "int64"})}
    attend(q, k, k, o):sum():backward()
    t.equal(attend["window.weight"].grad:abs():sum():item() > 0, true)
    t.equal(attend["window.v"].grad:abs():sum():item() > 0, true)
    t.gradient(function(a, b) return attend(a, b, b, o) end, {q, k})
end)

t.case("what has no meaning together is refused, with a reason", function()
    local function make(cfg) return function() return attn.attention(cfg) end end
    local function no(why, cfg)
        cfg.query = cfg.query or 4
        t.raises("attention: " .. why, make(cfg))
    end
    no("score \"scaled_dot\" multiplies query and key, whose widths differ (4 and 5)", {key = 5})
    no("linear attention has no scores that \"sparsemax\" could act on", {score = "linear", distribution = "sparsemax"})
    no("linear attention sums over all keys at once", {score = "linear", window = {type = "monotonic", radius = 2}})
    no("linear attention has no scores that alibi could add to", {score = "linear", position = "alibi"})
    no("linear attention forms no weights that dropout could act on", {score = "linear", dropout = 0.1})
    no("output = \"multi_dimensional\" needs a score for each feature", {output = "multi_dimensional"})
    no("output = \"multi_dimensional\" weighs every feature for itself",
       {output = "multi_dimensional", score = "additive", dim = 4, heads = 2})
    no("position \"rope\" turns projected queries and keys; it needs project = true", {position = "rope"})
    no("position \"rope\" turns pairs of features, but a head has 3", {query = 6, heads = 2, position = "rope"})
    no("position \"rope\" turns queries and keys, but score \"location\" does not read the keys",
       {score = "location", max_keys = 5, project = true, position = "rope"})
    no("project is false, but heads are projections", {heads = 2, project = false})
    no("dim is 7, which does not fall into 2 heads", {dim = 7, heads = 2})
    no("kv_heads is 3, which does not divide heads (4)", {heads = 4, kv_heads = 3})
    no("out belongs to projections, but project is false", {out = 3})
    no("beta belongs to score = \"cosine\", but score is \"dot\"", {score = "dot", beta = 2})
    no("max_keys belongs to score = \"location\", \"synthesizer_dense\" or \"synthesizer_random\", but score is \"dot\"",
       {score = "dot", max_keys = 2})
    no("activation belongs to score = \"activated_general\", \"concat\" or \"additive\", but score is \"scaled_dot\"",
       {activation = "relu"})
    no("score \"additive\" needs dim, the width of its score space", {score = "additive"})
    no("score \"location\" needs max_keys", {score = "location"})
    no("score \"synthesizer_random\" needs max_queries", {score = "synthesizer_random", max_keys = 4})
    no("\"hard_max\" keeps one key; dropout would leave none", {distribution = "hard_max", dropout = 0.5})
    no("score is 'addditive', expected one of dot, scaled_dot", {score = "addditive"})
    no("unknown field 'head'", {head = 2})
end)

t.case("errors name the argument and its shape", function()
    local attend = attn.attention{query = 4, key = 6, score = "general"}
    local q, k = attn.randn(2, 3, 4), attn.randn(2, 5, 6)
    local function ids(...) return attn.tensor({...}, {dtype = "int64"}) end
    t.raises("attention: key has width 4, expected 6 (key: float32 [2, 3, 4])", attend, q, q)
    t.raises("attention: query has width 6, expected 4 (query: float32 [2, 5, 6])", attend, k, k)
    t.raises("attention: key has 1 rows, expected 2 as the query", attend, q, k[{{1, 1}}])
    t.raises("attention: value has shape [2, 4, 6], expected [2, 5, 6] as the key", attend, q, k, k[{{}, {1, 4}}])
    t.raises("attention: key is missing, expected a tensor", attend, q)
    t.raises("attention: query is float64, but the layer is float32", attend, q:to("float64"), k)
    t.raises("attention: lengths[2] is 6, expected 0 to 5", attend, q, k, k, {lengths = ids(5, 6)})
    t.raises("attention: lengths has shape [3], expected [2]", attend, q, k, k, {lengths = ids(5, 5, 5)})
    t.raises("attention: key_mask has shape [2, 3], expected [2, 5]",
             attend, q, k, k, {key_mask = attn.rand(2, 3):gt(0)})
    t.raises("attention: weights is 1, expected true or", attend, q, k, k, {weights = 1})
    t.raises("attention: unknown field 'length'", attend, q, k, k, {length = 1})
    local table_ = attn.attention{query = 4, score = "location", max_keys = 3}
    t.raises("attention: there are 5 keys, but max_keys is 3", table_, q, attn.randn(2, 5, 4))
    local random = attn.attention{query = 4, score = "synthesizer_random", max_keys = 5, max_queries = 2}
    t.raises("attention: queries reach place 3, but max_queries is 2", random, q, attn.randn(2, 5, 4))
end)

t.case("nothing at all: no keys, no queries, no rows", function()
    for _, cfg in ipairs{{}, {score = "additive", dim = 3}, {score = "linear"}, {heads = 2},
                         {distribution = "entmax15"}, {score = "additive", dim = 3, output = "multi_dimensional"},
                         {window = {type = "band", left = 1, right = 1}}, {distribution = "hard_sample"}} do
        cfg.query, cfg.bias = 4, false
        local attend = attn.attention(cfg)
        local q = attn.randn(2, 3, 4):requires_grad_(true)
        local c = attend(q, attn.randn(2, 0, 4))
        t.equal(c, attn.zeros(2, 3, 4))
        c:sum():backward()
        t.equal(attend(attn.randn(2, 0, 4), attn.randn(2, 3, 4)).shape, {2, 0, 4})
        t.equal(attend(attn.randn(0, 3, 4), attn.randn(0, 2, 4)).shape, {0, 3, 4})
    end
end)

t.case("parameters: names, shapes, order; a fixed synthesizer keeps its weight in the state", function()
    local names = {}
    local attend = attn.attention{query = 6, key = 5, value = 4, dim = 8, heads = 2, score = "additive",
                                  score_dim = 3, out = 7, window = {type = "predictive", radius = 2}}
    for name, p in attend:named_parameters() do names[#names + 1] = name .. " " .. table.concat(p.shape, "x") end
    t.equal(names, {"query.weight 8x6", "query.bias 8", "key.weight 8x5", "key.bias 8", "value.weight 8x4",
                    "value.bias 8", "out.weight 7x8", "out.bias 7", "score.weight_query 2x3x4",
                    "score.weight_key 2x3x4", "score.bias 2x3", "score.v 2x3", "window.weight 8x6", "window.v 8"})
    t.equal({attend.key, attend.value, attend.kv_heads, attend.project, attend.out}, {5, 4, 2, true, 7})
    local fixed = attn.attention{query = 4, score = "synthesizer_random", max_keys = 5, max_queries = 3,
                                 trainable = false}
    t.equal(#fixed:parameters(), 0)
    t.equal(fixed:state()["score.weight"].shape, {3, 5})
end)

t.case("the same bits for any number of threads", function()
    local threads = attn.threads()
    for _, cfg in ipairs{{query = 32, heads = 4}, {query = 32, score = "additive", dim = 32},
                         {query = 32, score = "linear"},
                         {query = 32, heads = 4, kv_heads = 2, distribution = "entmax15"}} do
        local attend = attn.attention(cfg)
        local x = attn.randn(4, 70, 32)
        local seen
        for _, n in ipairs{1, 2, 3} do
            attn.threads(n)
            local y = x:clone():requires_grad_(true)
            attend:zero_grad()
            attend(y, y, y, {causal = true}):pow(2):sum():backward()
            local now = {y.grad:clone()}
            for _, p in attend:named_parameters() do now[#now + 1] = p.grad:clone() end
            if seen then t.equal(now, seen) end
            seen = now
        end
    end
    attn.threads(threads)
end)
