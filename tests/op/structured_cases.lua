-- Chains and trees by their definition: a list of all taggings or trees, with their scores, of plain Lua tables.
local brute = {}

local function logsumexp(list)
    local max = -math.huge
    for _, x in ipairs(list) do max = math.max(max, x) end
    if max == -math.huge then return max end
    local sum = 0
    for _, x in ipairs(list) do sum = sum + math.exp(x - max) end
    return max + math.log(sum)
end

-- All ways to choose 1..k at each of n places.
local function choices(n, k, visit)
    local at = {}
    local function go(i)
        if i > n then return visit(at) end
        for x = 1, k do
            at[i] = x
            go(i + 1)
        end
    end
    go(1)
end

-- {z =, best =, score =, list = {{choice, score}...}, marginals = function(n, k)} of what choices are left.
local function summary(n, k, score)
    local list, scores, best = {}, {}, nil
    choices(n, k, function(at)
        local s = score(at)
        if s then
            list[#list + 1] = {table.move(at, 1, n, 1, {}), s}
            scores[#scores + 1] = s
            if not best or s > best[2] then best = list[#list] end
        end
    end)
    local z, p = logsumexp(scores), {}
    for i = 1, n do
        p[i] = {}
        for x = 1, k do p[i][x] = 0 end
    end
    if z > -math.huge then
        for _, item in ipairs(list) do
            for i, x in ipairs(item[1]) do p[i][x] = p[i][x] + math.exp(item[2] - z) end
        end
    end
    return {z = z, best = best and best[1], score = best and best[2] or -math.huge, marginals = p, list = list}
end

---unary [n][K], step(t) -> [K][K] from place t to the next
function brute.chain(unary, step, n)
    return summary(n, #unary[1], function(tags)
        local s = 0
        for t = 1, n do s = s + unary[t][tags[t]] + (t > 1 and step(t - 1)[tags[t - 1]][tags[t]] or 0) end
        return s
    end)
end

local function is_tree(heads, projective)
    local n, roots = #heads, 0
    for i = 1, n do
        if heads[i] == i then roots = roots + 1 end
        local x, count = i, 0
        while heads[x] ~= x do
            x, count = heads[x], count + 1
            if count > n then return false end
        end
    end
    if roots ~= 1 then return false end
    for i = 1, projective and n or 0 do
        -- every word between i and its head is below the head
        local h = heads[i]
        for k = math.min(i, h) + 1, math.max(i, h) - 1 do
            local x = k
            while x ~= h and heads[x] ~= x do x = heads[x] end
            if x ~= h then return false end
        end
    end
    return true
end

---arcs [n][n]
function brute.tree(arcs, n, projective)
    return summary(n, n, function(heads)
        if not is_tree(heads, projective) then return nil end
        local s = 0
        for i = 1, n do s = s + arcs[i][heads[i]] end
        return s
    end)
end

return brute
