-- Every combination of score, distribution, window, heads or features, and mask: those that have a meaning are checked,
-- the others must be refused with a reason. For each cell: the float64 gradient against a central difference along one
-- random direction of all inputs and parameters, and what must hold whatever the combination: weights of an empty row,
-- a masked key that is NaN, rows of a batch on their own, the composed path against the chosen one, and steps through a
-- cache against the whole. Then once more, in sizes that fused kernels serve, what they serve; and everything in both
-- types with rows that have nothing to look at.

local attn, t = require "attn", require "attn.test"

local here = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")
local lists, parts = dofile(here .. "../lists.lua"), dofile(here .. "cases.lua")

local f64 = {dtype = "float64"}
local B, D = 2, parts.D
local Tq, Tk = 3, 5         -- the second walk has larger ones

local scores, windows = {}, {{name = "global"}}
for _, name in ipairs(lists.scores) do
    for _, form in ipairs(parts.score(name)) do
        local score = {name}
        for k, v in pairs(form) do score[k] = v end
        scores[#scores + 1] = score
    end
end
for _, name in ipairs(lists.windows) do
    for _, form in ipairs(parts.window(name)) do
        local window = {name = name, type = name}
        for k, v in pairs(form) do window[k] = v end
        windows[#windows + 1] = window
    end
end
local distributions = lists.distributions
local outputs = {"one head", "projected", "heads", "grouped heads"}
table.move(lists.outputs, 2, #lists.outputs, #outputs + 1, outputs)       -- behind "single"
local masks = {"none", "lengths", "key_mask", "mask", "causal", "bias"}

local checked, refused, cells = 0, {}, {}

-- ---- the rules, said once more and independently ----

local function forbidden(score, distribution, window, output, mask, position)
    if output == "multi_dimensional" and score ~= "additive" then return true end
    if output == "multi_dimensional" and distribution == "hard_sample" then return true end
    if position == "rope" and (score == "location" or score:find("^synthesizer")) then return true end      -- no keys to turn
    if distribution == "tree" and (window ~= "global" or mask == "key_mask" or mask == "mask" or mask == "causal") then return true end
    if score ~= "linear" then return false end
    return position == "alibi" or distribution ~= "softmax" or window ~= "global" or mask == "mask" or mask == "bias"
end

-- A distribution over all rows at once has as many queries as keys.
local function as_wide(distribution, fn, ...)
    local before = Tq
    if distribution == "tree" then Tq = Tk end
    local out = table.pack(pcall(fn, ...))
    Tq = before
    return table.unpack(out, 1, out.n)
end

local function configuration(score, distribution, window, output, position)
    local cfg = {query = D, key = D, value = 2, score = score[1], distribution = distribution}
    for k, v in pairs(score) do if k ~= 1 then cfg[k] = v end end
    if window.type then
        cfg.window = {}
        for k, v in pairs(window) do if k ~= "name" then cfg.window[k] = v end end
        cfg.dim = D
    end
    if output == "projected" then cfg.project, cfg.dim = true, D end
    if output == "heads" then cfg.heads, cfg.dim, cfg.score_dim = 2, D, 3 end
    if output == "grouped heads" then cfg.heads, cfg.kv_heads, cfg.dim, cfg.bias = 2, 1, D, false end
    if output == "multi_dimensional" then cfg.output, cfg.dim = output, D end
    cfg.position = position
    return cfg
end

-- The kind of a refusal: its words without the names of this cell.
local function reason(message)
    return (message:gsub("^.-attention: ", ""):gsub('"[%w_]+"', "..."):gsub("%d+", "n"))
end

-- ---- one call ----

local function inputs()
    return {attn.randn(B, Tq, D, f64), attn.randn(B, Tk, D, f64), attn.randn(B, Tk, 2, f64)}
end

-- Options of a mask, and the keys that no query may see: a list of {row, key}.
local function options(mask)
    local o, seen, unseen = {}, {}, {}
    local function all(...) return attn.ones(...):gt(0) end
    if mask == "lengths" then
        o.lengths = attn.tensor({0, Tk - 2}, {dtype = "int64"})
        seen = function(b, j) return b == 2 and j <= Tk - 2 end
    elseif mask == "key_mask" then
        o.key_mask = all(B, Tk)
        o.key_mask[{{}, Tk}] = false
        o.key_mask[{1, 3}] = false
        seen = function(b, j) return j ~= Tk and not (b == 1 and j == 3) end
    elseif mask == "mask" then
        o.mask = all(Tq, Tk)
        o.mask[1] = false
        o.mask[{{}, 3}] = false
        o.mask[{3, 1}] = false
        seen = function(_, j) return j ~= 3 end
    elseif mask == "causal" then
        o.causal = true
        seen = function(_, j) return j <= Tq end
    elseif mask == "bias" then
        o.bias = attn.randn(Tq, Tk, f64)
        o.bias[{{}, 2}] = -math.huge
        o.bias[{3, 5}] = -math.huge
        seen = function(_, j) return j ~= 2 end
    else
        seen = function() return true end
    end
    for b = 1, B do
        for j = 1, Tk do if not seen(b, j) then unseen[#unseen + 1] = {b, j} end end
    end
    return o, unseen
end

local function call(attend, x, o)
    o.weights = true
    return attend(x[1], x[2], x[3], o)
end

-- ---- gradient ----

-- One number that depends on every result: their products with fixed tensors.
local function loss(attend, x, o, fixed)
    local out = table.pack(call(attend, x, o))
    local total
    for k = 1, out.n do
        fixed[k] = fixed[k] or attn.randn(out[k].shape, f64)
        local term = (out[k] * fixed[k]):sum()
        total = total and total + term or term
    end
    return total
end

local function check_gradient(attend, x, o)
    local leaves, fixed = {}, {}
    for k = 1, 3 do leaves[k] = x[k] end
    if o.bias then leaves[4] = o.bias end
    for _, p in attend:named_parameters() do leaves[#leaves + 1] = p end
    for _, leaf in ipairs(leaves) do leaf:requires_grad_(true) end
    local state = attn.random_state()
    attn.no_grad(loss, attend, x, o, fixed)
    attn.random_state(state)
    attend:zero_grad()
    loss(attend, x, o, fixed):backward()
    local slope, directions, before = 0, {}, {}
    for k, leaf in ipairs(leaves) do
        directions[k] = attn.randn(leaf.shape, f64)
        before[k] = leaf:detach():clone()
        if leaf.grad then slope = slope + (leaf.grad * directions[k]):sum():item() end
        leaf:zero_grad()
    end
    local function at(h)
        return attn.no_grad(function()
            for k, leaf in ipairs(leaves) do leaf:copy_(before[k] + directions[k] * h) end
            attn.random_state(state)
            return loss(attend, x, o, fixed):item()
        end)
    end
    local good, numeric
    for _, h in ipairs{1e-6, 1e-7, 1e-9} do        -- a smaller step where the curve bends sharply
        numeric = (at(h) - at(-h)) / (2 * h)
        good = math.abs(numeric - slope) <= 1e-6 + 2e-6 * math.max(math.abs(numeric), math.abs(slope))
        if good then break end
    end
    at(0)
    for _, leaf in ipairs(leaves) do leaf:requires_grad_(false) end
    if not good then error(("gradient %.10g, by differences %.10g"):format(slope, numeric), 0) end
end

-- ---- what must hold ----

local function largest(a, b) return (a - b):abs():max():item() end

local function same(a, b, what)
    for k = 1, a.n do
        local d = largest(a[k], b[k])
        if not (d <= 1e-12 * math.max(1, b[k]:abs():max():item())) then error(("%s: result %d differs by %g"):format(what, k, d), 0) end
    end
end

local function run(attend, x, o)
    local state = attn.random_state()
    local out = table.pack(attn.no_grad(call, attend, x, o))
    attn.random_state(state)
    return out
end

local function check_nan(attend, x, o, unseen, out)
    local key, value = x[2]:clone(), x[3]:clone()
    for _, place in ipairs(unseen) do
        key[place] = 0 / 0
        value[place] = 0 / 0
    end
    same(out, run(attend, {x[1], key, value}, o), "a masked key that is NaN")
    if #unseen == 0 then return end
    -- and no gradient knows of it
    local grads = {}
    for turn, pair in ipairs{{x[2], x[3]}, {key, value}} do
        local state, leaves = attn.random_state(), {x[1]:clone(), pair[1]:clone(), pair[2]:clone()}
        for _, leaf in ipairs(leaves) do leaf:requires_grad_(true) end
        attend:zero_grad()
        loss(attend, leaves, o, {}):backward()
        attn.random_state(state)
        grads[turn] = {}
        for _, leaf in ipairs(leaves) do grads[turn][#grads[turn] + 1] = leaf.grad end
        for _, p in attend:named_parameters() do
            if p.grad then grads[turn][#grads[turn] + 1] = p.grad:clone() end
        end
        grads[turn].n = #grads[turn]
    end
    attend:zero_grad()
    same(grads[1], grads[2], "a gradient, with a masked key that is NaN")
end

local function check_empty_row(attend, out)
    local weights = out[2][1]
    if weights:abs():max():item() ~= 0 then error("an empty row has weights", 0) end
    local bias = attend["out.bias"]
    local expected = bias or attn.zeros(out[1].shape[3], f64)
    if largest(out[1][1], expected:expand(Tq, out[1].shape[3])) > 1e-12 then error("an empty row has a context", 0) end
end

local function check_sums(out, distribution, output)
    local d = output == "multi_dimensional" and 3 or out[2]:dim()
    local sums = out[2]:sum(d)
    local bad = (sums * (sums - 1)):abs():max():item()
    if not ({sigmoid = true, mean = true, chain = true})[distribution] and not (bad <= 1e-12) then error("weights sum to neither 1 nor 0", 0) end
end

local function check_row(attend, x, o, out)
    local part = {}
    for k, v in pairs(o) do
        part[k] = k == "lengths" and v[{{2, 2}}] or k == "key_mask" and v[{{2, 2}, {}}] or v
    end
    local alone = run(attend, {x[1][{{2, 2}}], x[2][{{2, 2}}], x[3][{{2, 2}}]}, part)
    local row = {n = out.n}
    for k = 1, out.n do row[k] = out[k][{{2, 2}}] end
    same(alone, row, "a row of the batch on its own")
end

local function check_composed(attend, x, o, out)
    local part = {path = "composed"}
    for k, v in pairs(o) do part[k] = v end
    same(out, run(attend, x, part), "the composed path")
end

-- Queries, keys and values one at a time through a cache.
local function check_cache(attend, x)
    local key, value = x[2][{{}, {1, Tq}}], x[3][{{}, {1, Tq}}]
    local whole = attn.no_grad(attend, x[1], key, value, {causal = true})
    local cache = attend:cache()
    for i = 1, Tq do
        local o = {cache = cache, causal = true}
        local step = attn.no_grad(attend, x[1][{{}, i}], key[{{}, {i, i}}], value[{{}, {i, i}}], o)
        local d = largest(step, whole[{{}, i}])
        if not (d <= 1e-12) then error(("step %d through a cache differs by %g"):format(i, d), 0) end
    end
    if #cache ~= Tq then error("the cache has the wrong length", 0) end
end

-- ---- the walk ----

local function check_cell(attend, cell)
    local x = inputs()
    local o, unseen = options(cell.mask)
    check_gradient(attend, x, o)
    local out = run(attend, x, o)
    check_composed(attend, x, o, out)
    if cell.distribution ~= "hard_sample" then
        check_row(attend, x, o, out)
        if cell.window.name ~= "predictive" then check_sums(out, cell.distribution, cell.output) end
    end
    check_nan(attend, x, o, unseen, out)
    if cell.mask == "lengths" then check_empty_row(attend, out) end
    if cell.mask == "causal" and cell.distribution ~= "hard_sample" and cell.window.name ~= "predictive" then
        check_cache(attend, x)
    end
end

local function name_of(cell)
    local score = cell.score[1]
    for _, k in ipairs{"activation", "kernel"} do if cell.score[k] then score = score .. " " .. cell.score[k] end end
    return table.concat({score, cell.distribution, cell.window.name, cell.output, cell.mask, cell.position}, ", ")
end

local function visit(cell)
    local cfg = configuration(cell.score, cell.distribution, cell.window, cell.output, cell.position)
    local ok, attend = pcall(attn.attention, cfg)
    if ok then attend:to("float64") end
    for _, mask in ipairs(masks) do
        cell.mask = mask
        local good, message = ok, attend
        if ok then good, message = as_wide(cell.distribution, check_cell, attend, cell) end
        local no = forbidden(cell.score[1], cell.distribution, cell.window.name, cell.output, mask, cell.position)
        if no and not good and tostring(message):find("attention: ", 1, true) then
            local why = reason(message)
            refused[why] = (refused[why] or 0) + 1
        elseif no then
            error(name_of(cell) .. ": expected to be refused, " .. tostring(message), 0)
        elseif not good then
            error(name_of(cell) .. ": " .. tostring(message), 0)
        else
            checked = checked + 1
        end
    end
end

for _, score in ipairs(scores) do
    local form = score.kernel or score.activation or score.trainable == false and "fixed"
    t.case(score[1] .. (form and " " .. form or "") .. ": every distribution, window, output and mask", function()
        for _, distribution in ipairs(distributions) do
            for _, window in ipairs(windows) do
                for _, output in ipairs(outputs) do
                    visit{score = score, distribution = distribution, window = window, output = output}
                end
            end
        end
    end)
end

t.case("the walk is whole: cells checked and refused", function()
    local total, lines = 0, {}
    for why, n in pairs(refused) do
        total = total + n
        lines[#lines + 1] = ("%6d  %s"):format(n, why)
    end
    table.sort(lines, function(a, b) return a > b end)
    print(("attention: %d combinations checked, %d refused:\n%s"):format(checked, total, table.concat(lines, "\n")))
    t.equal(checked + total, #scores * #distributions * #windows * #outputs * #masks)
end)

local function tally()
    local total = checked
    for _, n in pairs(refused) do total = total + n end
    return total
end

t.case("positions, with every score, window, output and mask", function()
    local before = tally()
    for _, position in ipairs(lists.positions) do
        for _, score in ipairs(scores) do
            for _, window in ipairs(windows) do
                for _, output in ipairs{"projected", "heads", "grouped heads"} do
                    visit{score = score, distribution = "softmax", window = window, output = output,
                          position = position}
                end
            end
        end
    end
    t.equal(tally() - before, #lists.positions * #scores * #windows * 3 * #masks)
end)

-- ---- rows with nothing to look at ----

-- Of a batch of six: zero queries; zero keys; a zero query among zero keys; a bias of minus infinities; a mask without
-- keys; a length of 0. The second query of each stays as it is, but for the length.
local function call_empty(attend, dtype, direct)
    local o = {dtype = dtype}
    local x = {attn.randn(6, Tq, D, o), attn.randn(6, Tk, D, o), attn.randn(6, Tk, 2, o)}
    for _, b in ipairs{1, 3} do
        x[1][{b, 1}] = 0
        x[1][{b, 3}] = 0
    end
    x[2][2] = 0
    x[2][3] = 0
    local options = {lengths = attn.tensor({5, 5, 5, 5, 5, 0}, {dtype = "int64"}), weights = true}
    local leaves = {x[1], x[2], x[3]}
    local empty = {{6, 1}, {6, 2}, {6, 3}}
    if not direct then
        local bias, mask = attn.zeros(6, Tq, Tk, o), attn.ones(6, Tq, Tk):gt(0)
        for _, i in ipairs{1, 3} do
            bias[{4, i}] = -math.huge
            mask[{5, i}] = false
            empty[#empty + 1], empty[#empty + 2] = {4, i}, {5, i}
        end
        options.bias, options.mask = bias, mask
        leaves[4] = bias
    end
    for _, p in attend:named_parameters() do leaves[#leaves + 1] = p end
    for _, leaf in ipairs(leaves) do leaf:requires_grad_(true) end
    attend:zero_grad()
    local out = table.pack(attend(x[1], x[2], x[3], options))
    local total
    for k = 1, out.n do
        local term = (out[k] * attn.randn(out[k].shape, o)):sum()
        total = total and total + term or term
    end
    total:backward()
    return out, leaves, empty
end

local function finite(x) return (x * 0):abs():sum():item() == 0 end

local function check_empty(score, distribution, window, output, dtype)
    local ok, attend = pcall(attn.attention, configuration(score, distribution, window, output))
    if not ok then return end           -- the walk above has seen why
    attend:to(dtype)
    local direct = score[1] == "linear" or distribution == "tree"       -- take neither mask nor bias here
    local good, out, leaves, empty = as_wide(distribution, call_empty, attend, dtype, direct)
    if not good then error(out, 0) end
    for k = 1, out.n do if not finite(out[k]) then error("result " .. k .. " is not finite", 0) end end
    for k, leaf in ipairs(leaves) do
        if leaf.grad and not finite(leaf.grad) then error("gradient " .. k .. " is not finite", 0) end
    end
    local heads = output == "heads" or output == "grouped heads"
    local weights = heads and out[2]:transpose(2, 3) or out[2]
    -- the square of a product with zeros is 0, and its logarithm a score of minus infinity
    if score.kernel == "polynomial" and output == "one head" then
        for _, place in ipairs{{1, 1}, {1, 3}, {2, 2}, {3, 2}} do empty[#empty + 1] = place end
    end
    for _, place in ipairs(empty) do
        if weights[place]:abs():max():item() ~= 0 then
            error(("query %d of row %d has weights"):format(place[2], place[1]), 0)
        end
        local grad = not direct and leaves[4].grad
        if grad and grad[place]:abs():max():item() ~= 0 then
            error(("the bias of query %d of row %d has a gradient"):format(place[2], place[1]), 0)
        end
    end
    return true
end

for _, dtype in ipairs{"float32", "float64"} do
    t.case("rows with nothing to look at: every cell, " .. dtype, function()
        local cells, expected = 0, 0
        for _, score in ipairs(scores) do
            for _, distribution in ipairs(distributions) do
                for _, window in ipairs(windows) do
                    for _, output in ipairs(outputs) do
                        if not forbidden(score[1], distribution, window.name, output, "lengths") then expected = expected + 1 end
                        local cell = {score = score, distribution = distribution, window = window, output = output}
                        local good, result = pcall(check_empty, score, distribution, window, output, dtype)
                        if not good then error(name_of(cell) .. ": " .. tostring(result), 0) end
                        if result then cells = cells + 1 end
                    end
                end
            end
        end
        t.equal(cells, expected)
    end)
end

t.case("sizes that fused kernels serve", function()
    Tq, Tk, checked = 18, 21, 0
    for _, score in ipairs{{"dot"}, {"scaled_dot"}, {"cosine", beta = 2}, {"general"}, {"biased_general"},
                           {"kernel"}} do
        for _, window in ipairs(windows) do
            for _, output in ipairs{"one head", "projected", "heads", "grouped heads"} do
                visit{score = score, distribution = "softmax", window = window, output = output}
                for _, position in ipairs(output ~= "one head" and score[1] == "dot" and lists.positions or {}) do
                    visit{score = score, distribution = "softmax", window = window, output = output, position = position}
                end
            end
        end
    end
    t.equal(checked, (6 * 4 + 3 * #lists.positions) * #windows * #masks)
    Tq, Tk = 3, 5
end)
