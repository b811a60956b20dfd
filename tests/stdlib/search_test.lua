-- Searches over tiny random models, whose every continuation can be listed.
local attn, t = require "attn", require "attn.test"
local data, search = require "attn.data", require "attn.search"

local V, EOS = 5, 3

-- A random second-order model: the log-probabilities of the next word depend on the sentence's number, the last word
-- and the one before. state = {sentence = [R], before = [R], note}. Attention weights depend on sentence and word.
local function model(seed, sentences, sources)
    local draw = data.random(seed)
    local logits, weights = {}, {}
    for s = 1, sentences do
        logits[s], weights[s] = {}, {}
        for a = 1, V do
            logits[s][a], weights[s][a] = {}, {}
            for b = 1, V do
                local row = {}
                for k = 1, V do row[k] = 4 * draw() end
                logits[s][a][b] = row
            end
            local sum, row = 0, {}
            for j = 1, sources or 3 do
                row[j] = draw()
                sum = sum + row[j]
            end
            for j = 1, #row do row[j] = row[j] / sum end
            weights[s][a] = row
        end
    end
    local function step(ids, state)
        local list, attention, last = {}, {}, ids:totable()
        local sentence, before = state.sentence:totable(), state.before:totable()
        for r = 1, #last do
            list[r] = logits[sentence[r]][before[r]][last[r]]
            attention[r] = weights[sentence[r]][last[r]]
        end
        return attn.tensor(list, {dtype = "float64"}), {sentence = state.sentence, before = ids, note = state.note},
            attn.tensor(attention, {dtype = "float64"})
    end
    local function logp(s, a, b, k)
        local sum = 0
        for i = 1, V do sum = sum + math.exp(logits[s][a][b][i]) end
        return logits[s][a][b][k] - math.log(sum)
    end
    local function state(list)
        local ones = {}
        for i = 1, #list do ones[i] = 1 end
        return {sentence = attn.tensor(list, {dtype = "int64"}), before = attn.tensor(ones, {dtype = "int64"}),
            note = "kept"}
    end
    return {step = step, logp = logp, state = state, weights = weights}
end

-- Every hypothesis of a sentence with at most `longest` words (eos among them), best first.
local function all(m, s, longest, length_penalty, coverage_penalty)
    local list = {}
    local function finish(ids, logp, n, coverage)
        local bonus = 0
        for _, c in ipairs(coverage) do bonus = bonus + math.log(math.min(1, c)) end
        list[#list + 1] = {ids = ids, logp = logp,
            score = logp / ((5 + n) / 6) ^ length_penalty + coverage_penalty * bonus}
    end
    local function grow(ids, a, b, logp, coverage)
        local seen = {}
        for j, c in ipairs(coverage) do seen[j] = c + m.weights[s][b][j] end
        for k = 1, V do
            local sum = logp + m.logp(s, a, b, k)
            local longer = table.move(ids, 1, #ids, 1, {})
            if k == EOS then
                finish(ids, sum, #ids + 1, seen)
            else
                longer[#longer + 1] = k
                if #longer == longest then finish(longer, sum, longest, seen) else grow(longer, b, k, sum, seen) end
            end
        end
    end
    grow({}, 1, 2, 0, {0, 0, 0})
    table.sort(list, function(x, y) return x.score > y.score end)
    return list
end

-- The attention weights of a hypothesis as a table; an empty hypothesis has none.
local function rows(hypothesis) return hypothesis.weights and hypothesis.weights:totable() or {} end

t.case("a wide beam is exhaustive search, with and without penalties", function()
    local m = model(1, 3)
    for _, penalties in ipairs{{0, 0}, {1, 0}, {0.6, 0.2}} do
        local found = search.beam(m.step, {state = m.state{1, 2, 3}, count = 3, max_length = 4, width = 260, nbest = 7,
            length_penalty = penalties[1], coverage_penalty = penalties[2]})
        for s = 1, 3 do
            local expected = all(m, s, 4, penalties[1], penalties[2])
            t.equal(#found[s], 7)
            for k = 1, 7 do
                t.equal(found[s][k].ids, expected[k].ids)
                t.near(found[s][k].logp, expected[k].logp, 1e-9)
                t.near(found[s][k].score, expected[k].score, 1e-9)
            end
        end
    end
end)

t.case("a beam of width 1 is greedy search", function()
    local m = model(2, 8)
    local cfg = {state = m.state{1, 2, 3, 4, 5, 6, 7, 8}, count = 8, max_length = 9}
    local greedy = search.greedy(m.step, cfg)
    cfg.width = 1
    local beam = search.beam(m.step, cfg)
    for s = 1, 8 do
        t.equal(beam[s][1].ids, greedy[s][1].ids)
        t.near(beam[s][1].logp, greedy[s][1].logp, 1e-9)
        t.equal(beam[s][1].ended, greedy[s][1].ended)
        t.equal(rows(beam[s][1]), rows(greedy[s][1]))
    end
end)

t.case("a wider beam finds no worse hypothesis here, and results do not depend on the batch", function()
    local m = model(3, 12)
    local every = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
    local cfg = {state = m.state(every), count = 12, max_length = 8, width = 4, nbest = 3, length_penalty = 0.8}
    local together = search.beam(m.step, cfg)
    for s = 1, 12 do
        cfg.state, cfg.count = m.state{s}, 1
        local alone = search.beam(m.step, cfg)[1]
        t.equal(#alone, #together[s])
        for k, one in ipairs(alone) do
            t.equal(together[s][k].ids, one.ids)
            t.equal(together[s][k].score, one.score)
            t.equal(rows(together[s][k]), rows(one))
        end
    end
end)

t.case("greedy takes the best word, its weights have a row for each, ids have no bos and eos", function()
    local m = model(4, 2)
    local found = search.greedy(m.step, {state = m.state{1, 2}, count = 2, max_length = 6})
    for s = 1, 2 do
        local a, b, sum = 1, 2, 0
        local best = found[s][1]
        for i = 1, #best.ids + (best.ended and 1 or 0) do
            local word, top = nil, -math.huge
            for k = 1, V do
                local logp = m.logp(s, a, b, k)
                if logp > top then word, top = k, logp end
            end
            t.equal(best.ids[i] or EOS, word)
            if best.ids[i] then t.equal(rows(best)[i], m.weights[s][b]) end
            a, b, sum = b, word, sum + top
        end
        t.near(best.logp, sum, 1e-9)
        t.equal(best.score, best.logp)
        t.equal(#rows(best), #best.ids)
    end
end)

t.case("ties go to the smaller id", function()
    local function step(ids, state)
        local rows = {}
        for r = 1, #ids do rows[r] = {0, 1, 0, 1, 1} end
        return attn.tensor(rows), state
    end
    t.equal(search.greedy(step, {count = 2, max_length = 3})[2][1].ids, {2, 2, 2})
    t.equal(search.beam(step, {count = 1, max_length = 2, width = 3})[1][1].ids, {2, 2})
    t.equal(search.beam(step, {count = 1, max_length = 1, width = 3, nbest = 3})[1][2].ids, {4})
end)

t.case("rows leave when they are done", function()
    local calls = {}
    local function step(ids, state)
        calls[#calls + 1] = #ids
        local rows, left = {}, state.left:totable()
        for r = 1, #ids do rows[r] = left[r] <= 1 and {0, 0, 9, 0} or {0, 0, 0, 9} end
        return attn.tensor(rows), {left = state.left - 1}
    end
    local found = search.greedy(step, {state = {left = attn.tensor({3, 1, 2}, {dtype = "int64"})}, count = 3})
    t.equal(calls, {3, 2, 1})
    t.equal(found[1][1].ids, {4, 4})
    t.equal(found[2][1].ids, {})
    t.equal(found[2][1].weights, nil)
    t.equal(found[3][1].ended, true)
end)

t.case("forced decoding gives the log-probability of a target and its weights", function()
    local m = model(5, 3)
    local targets = {{4, 5}, {}, {1, 4, 2, 5}}
    local found = search.forced(m.step, {state = m.state{1, 2, 3}, targets = targets})
    for s, target in ipairs(targets) do
        local a, b, sum = 1, 2, 0
        for i = 1, #target + 1 do
            local word = target[i] or EOS
            local logp = m.logp(s, a, b, word)
            t.near(found[s][1].logps[i], logp, 1e-9)
            a, b, sum = b, word, sum + logp
        end
        t.near(found[s][1].logp, sum, 1e-9)
        t.equal(found[s][1].ids, target)
        t.equal(#found[s][1].logps, #target + 1)
    end
    -- what greedy search finds has the log-probability that greedy search says
    local greedy = search.greedy(m.step, {state = m.state{1}, count = 1, max_length = 5})[1][1]
    if greedy.ended then
        local again = search.forced(m.step, {state = m.state{1}, targets = {greedy.ids}})[1][1]
        t.near(again.logp, greedy.logp, 1e-9)
        t.equal(rows(again), rows(greedy))
    end
end)

t.case("samples follow the distribution, temperature, top_k and top_p", function()
    local shares = {0.5, 0.1, 0.05, 0.3, 0.05}
    local logits = {}
    for k, share in ipairs(shares) do logits[k] = math.log(share) end
    local function step(ids, state)
        local rows = {}
        for r = 1, #ids do rows[r] = logits end
        return attn.tensor(rows, {dtype = "float64"}), state
    end
    local function count(options)
        attn.seed(1)
        options.count, options.max_length, options.nbest = 4, 1, 1000
        local counts = {0, 0, 0, 0, 0}
        for _, list in ipairs(search.sample(step, options)) do
            t.equal(#list, 1000)
            for _, one in ipairs(list) do
                local id = one.ids[1] or EOS
                t.near(one.logp, logits[id], 1e-9)
                counts[id] = counts[id] + 1
            end
        end
        return counts
    end
    local function check(options, expected)
        for k, n in ipairs(count(options)) do
            if expected[k] == 0 then t.equal(n, 0) else t.near(n / 4000, expected[k], 0.04) end
        end
    end
    check({}, shares)
    check({top_k = 2}, {0.625, 0, 0, 0.375, 0})
    check({top_p = 0.85}, {0.5 / 0.9, 0.1 / 0.9, 0, 0.3 / 0.9, 0})
    local sum = 0.25 + 0.01 + 0.0025 + 0.09 + 0.0025
    check({temperature = 0.5}, {0.25 / sum, 0.01 / sum, 0.0025 / sum, 0.09 / sum, 0.0025 / sum})
    check({top_k = 1}, {1, 0, 0, 0, 0})
end)

t.case("the same seed draws the same, whatever the batch", function()
    local m = model(6, 4)
    attn.seed(3)
    local together = search.sample(m.step, {state = m.state{1, 2, 3, 4}, count = 4, max_length = 7, nbest = 2})
    attn.seed(3)
    local again = search.sample(m.step, {state = m.state{1, 2, 3, 4}, count = 4, max_length = 7, nbest = 2})
    for s = 1, 4 do
        for k = 1, 2 do t.equal(together[s][k].ids, again[s][k].ids) end
    end
end)

t.case("corpus gives results in the order of the sources", function()
    local m = model(7, 5)
    local lists, alone = {}, {}
    for i = 1, 5 do
        lists[i] = {}
        for k = 1, (i * 3) % 5 + 1 do lists[i][k] = i end
        alone[i] = search.beam(m.step, {state = m.state{i}, count = 1, max_length = 6, width = 2})[1][1].ids
    end
    local found = search.corpus(m.step, lists, {size = 2, search = search.beam, options = {width = 2, max_length = 6},
        encode = function(ids, lengths)
            local sentences = {}
            for r, row in ipairs(ids:totable()) do sentences[r] = row[1] end
            t.equal(#sentences, #lengths)
            return m.state(sentences)
        end})
    for i = 1, 5 do t.equal(found[i][1].ids, alone[i]) end
end)

t.case("a recurrent decoder: a sentence of a batch is found as alone, and forced decoding agrees", function()
    attn.seed(11)
    local embed = attn.layer.embedding{count = 9, dim = 6}
    local encoder = attn.encoder.rnn{inputs = 6, hidden = 5, cell = "gru", bidirectional = true}
    local decoder = attn.decoder.rnn{inputs = 6, hidden = 5, memory = 10, cell = "gru", style = "bahdanau",
        attention = {score = "additive", dim = 7}, outputs = 9}
    attn.no_grad(function()             -- larger weights: an untrained model is too sure of nothing
        for _, layer in ipairs{embed, encoder, decoder} do
            for _, p in ipairs(layer:parameters()) do p:copy_(p * 3) end
        end
    end)
    local function encode(ids, lengths)
        local memory, last = encoder(embed(ids), {lengths = lengths})
        return {memory = memory, lengths = lengths, hidden = {h = last.h[2]:unsqueeze(1)}}
    end
    local function step(ids, s)
        local logits, hidden, weights = decoder:step(embed(ids), s.memory, s.hidden, {memory_lengths = s.lengths})
        return logits, {memory = s.memory, lengths = s.lengths, hidden = hidden}, weights
    end
    local draw, lists = data.random(4), {}
    for i = 1, 20 do
        lists[i] = {}
        for k = 1, draw(8) do lists[i][k] = draw(9) end
    end
    for _, kind in ipairs{"greedy", "beam"} do
        local options = {max_length = 10, nbest = kind == "beam" and 2 or nil}
        local cfg = {encode = encode, search = search[kind], options = options, size = 20}
        local together = search.corpus(step, lists, cfg)
        for i, list in ipairs(lists) do
            local alone = search.corpus(step, {list}, cfg)[1]
            t.equal(#alone, #together[i])
            for k, one in ipairs(alone) do
                t.equal(together[i][k].ids, one.ids)
                t.near(together[i][k].logp, one.logp, 1e-5)
                t.near(rows(together[i][k]), rows(one), 1e-5)
                local ids, lengths = data.pad{list}
                if one.ended then
                    local forced = search.forced(step, {state = encode(ids, lengths), targets = {one.ids}})[1][1]
                    t.near(forced.logp, one.logp, 1e-5)
                    t.near(rows(forced), rows(one), 1e-5)
                end
            end
        end
    end
end)

-- Whether some n-gram of a list stands in it twice.
local function repeats(ids, n)
    local seen = {}
    for i = 1, #ids - n + 1 do
        local gram = table.concat(ids, " ", i, i + n - 1)
        if seen[gram] then return true end
        seen[gram] = true
    end
    return false
end

t.case("no n-gram twice: the wide beam is exhaustive search over what is left, greedy and samples obey", function()
    local m = model(6, 3)
    for n = 1, 3 do
        local found = search.beam(m.step, {state = m.state{1, 2, 3}, count = 3, max_length = 4, width = 260, nbest = 5,
            no_repeat = n})
        for s = 1, 3 do
            local left = {}
            for _, one in ipairs(all(m, s, 4, 0, 0)) do
                if not repeats(one.ids, n) then left[#left + 1] = one end
            end
            for k = 1, math.min(5, #left) do
                t.equal(found[s][k].ids, left[k].ids)
                t.near(found[s][k].logp, left[k].logp, 1e-9)
            end
        end
    end
    local cfg = {state = m.state{1, 2, 3}, count = 3, max_length = 12, no_repeat = 2}
    local greedy = search.greedy(m.step, cfg)
    cfg.width = 1
    local beam = search.beam(m.step, cfg)
    for s = 1, 3 do
        t.equal(repeats(greedy[s][1].ids, 2), false)
        t.equal(beam[s][1].ids, greedy[s][1].ids)
    end
    cfg.width, cfg.nbest = nil, 20
    for _, list in ipairs(search.sample(m.step, cfg)) do
        for _, one in ipairs(list) do t.equal(repeats(one.ids, 2), false) end
    end
    t.raises("no_repeat is 0, expected at least 1", search.greedy, m.step, {count = 1, no_repeat = 0})
end)

-- Transformers: decoding over caches against running the whole prefix again for each word.
local function transformer(norm)
    local words, dim = 9, 8
    local Model = attn.module "Model"
    function Model:init()
        self.embed = attn.layer.embedding{count = words, dim = dim}
        self.place = attn.layer.positional{dim = dim, type = "learned", max_length = 12}
        self.encoder = attn.encoder.transformer{dim = dim, heads = 2, layers = 2, ff = 16, norm = norm}
        self.decoder = attn.decoder.transformer{dim = dim, heads = 2, layers = 2, ff = 16, norm = norm}
        self.out = attn.layer.linear{inputs = dim, outputs = words}
    end
    local model = Model():to "float64"
    model:eval()
    attn.no_grad(function()
        for _, p in ipairs(model:parameters()) do p:copy_(p * 3) end        -- far from uniform
    end)
    return model
end

local function places(model, t, rows) return model.place.weight[t]:unsqueeze(1):expand(rows, 8) end

-- step functions: with caches, and with all ids so far in the state
local function cached(model)
    return function(ids, s)
        local t = s.t + 1
        local x = model.embed(ids) + places(model, t, #ids)
        local y, hidden, weights
        if s.memory then
            y, hidden, weights = model.decoder:step(x, s.memory, s.hidden,
                {memory_lengths = s.lengths, weights = s.weights})
        else
            y, hidden, weights = model.encoder:step(x, s.hidden, {weights = s.weights})
        end
        return model.out(y), {memory = s.memory, lengths = s.lengths, hidden = hidden, t = t, weights = s.weights},
            weights
    end
end

local function uncached(model)
    return function(ids, s)
        local all_ids = s.ids and attn.cat({s.ids, ids:unsqueeze(2)}, 2) or ids:unsqueeze(2)
        local x = model.place(model.embed(all_ids))
        local y = s.memory and model.decoder(x, s.memory, {memory_lengths = s.lengths})
            or model.encoder(x, {causal = true})
        return model.out(y:select(2, y:size(2))), {memory = s.memory, lengths = s.lengths, ids = all_ids}
    end
end

t.case("transformers: decoding over caches finds what running the whole prefix again finds", function()
    for _, norm in ipairs{"pre", "post"} do
        attn.seed(norm == "pre" and 11 or 12)
        local model = transformer(norm)
        local source = attn.randint(4, 9, 5, 6)
        local lengths = attn.tensor({6, 3, 5, 1, 4}, {dtype = "int64"})
        local memory = attn.no_grad(function()
            return model.encoder(model.place(model.embed(source)), {lengths = lengths})
        end)
        for _, with_memory in ipairs{true, false} do
            local function state() return {memory = with_memory and memory or nil, lengths = lengths, t = 0} end
            local count = 5
            for name, more in pairs{greedy = {}, beam = {width = 4, nbest = 3, length_penalty = 0.6},
                sample = {nbest = 3, temperature = 0.7, top_k = 5}, blocked = {no_repeat = 2}} do
                local find = search[name] or search.greedy
                local results = {}
                for i, make in ipairs{cached, uncached} do
                    local cfg = {state = state(), count = count, max_length = 10}
                    for field, value in pairs(more) do cfg[field] = value end
                    attn.seed(3)
                    results[i] = find(make(model), cfg)
                end
                for s = 1, count do
                    t.equal(#results[1][s], #results[2][s])
                    for k, one in ipairs(results[1][s]) do
                        t.equal(one.ids, results[2][s][k].ids)
                        t.near(one.logp, results[2][s][k].logp, 1e-9)
                    end
                end
            end
            -- a target given: the same log-probabilities
            local targets = {{4, 5, 6}, {}, {7}, {8, 8, 8, 8}, {4, 4}}
            local a = search.forced(cached(model), {state = state(), targets = targets})
            local b = search.forced(uncached(model), {state = state(), targets = targets})
            for s = 1, count do t.near(a[s][1].logp, b[s][1].logp, 1e-9) end
        end
    end
end)

t.case("transformers: every search carries the weights that the whole target has at once", function()
    for _, with_memory in ipairs{true, false} do
        attn.seed(13)
        local model = transformer "pre"
        local sizes, count = {6, 3, 5, 1, 4}, 5
        local lengths = attn.tensor(sizes, {dtype = "int64"})
        local memory = attn.no_grad(function()
            return model.encoder(model.place(model.embed(attn.randint(4, 9, 5, 6))), {lengths = lengths})
        end)
        local function whole(i, one)            -- [T, S]: the target behind bos, run once
            local given = attn.tensor({table.move(one, 1, #one - 1, 2, {2})}, {dtype = "int64"})
            local x = model.place(model.embed(given))
            if not with_memory then return select(2, model.encoder(x, {causal = true, weights = true}))[1] end
            local _, weights = model.decoder(x, memory:narrow(1, i, 1), {weights = true,
                memory_lengths = lengths:narrow(1, i, 1)})
            return weights[1]:narrow(2, 1, sizes[i])
        end
        local targets, compared = {{4, 5, 6}, {}, {7}, {8, 8, 8, 8}, {4, 4}}, 0
        for name, more in pairs{greedy = {count = count}, beam = {count = count, width = 4, nbest = 3,
            coverage_penalty = with_memory and 0.2 or nil}, sample = {count = count, nbest = 2},
            forced = {targets = targets}} do
            -- as a matrix, and as a row for each head of the layer
            for _, asked in ipairs{true, {heads = true}} do
                local state = {memory = with_memory and memory or nil, lengths = lengths, t = 0, weights = asked}
                local cfg = {state = state, max_length = name ~= "forced" and 8 or nil,
                    lengths = with_memory and lengths or nil}
                for field, value in pairs(more) do cfg[field] = value end
                for i, list in ipairs(search[name](cached(model), cfg)) do
                    if name == "forced" then t.equal(list[1].ids, targets[i]) end
                    for _, one in ipairs(list) do
                        t.equal(one.weights ~= nil, #one.ids > 0)
                        if #one.ids > 0 then
                            t.near(one.weights, attn.no_grad(whole, i, one.ids), 1e-9)
                            compared = compared + 1
                        end
                    end
                end
            end
        end
        t.is_true(compared > 40, compared)
    end
end)

t.case("transformers: forced alignment follows the projections", function()
    -- No word but its place counts: the queries are the places turned by a permutation, the keys are the places.
    local places, order = 6, {3, 1, 6, 2, 5, 4}
    local decoder = attn.decoder.transformer{dim = places, layers = 1}
    decoder:eval()
    local place, turned = attn.eye(places) * 4, attn.zeros(places, places)
    for i, j in ipairs(order) do turned[{j, i}] = 4 end
    attn.no_grad(function()
        for name, p in pairs(decoder:state()) do
            if name:find("^l1%.self%.out") or name:find("^l1%.cross%.%a+%.bias") then p:fill_(0) end
            if name == "l1.cross.query.weight" then p:copy_(turned) end
            if name == "l1.cross.key.weight" then p:copy_(attn.eye(places)) end
        end
    end)
    local function step(ids, s)
        local here = place[math.min(s.t, places)]:unsqueeze(1):expand(#ids, places)
        local y, hidden, weights = decoder:step(here, s.memory, s.hidden,
            {memory_lengths = s.lengths, weights = true})
        return attn.cat({y, y}, 2), {memory = s.memory, lengths = s.lengths, hidden = hidden, t = s.t + 1}, weights
    end
    local lengths = attn.tensor({6, 3}, {dtype = "int64"})
    local found = search.forced(step, {targets = {{4, 9, 4, 5, 5, 7}, {8, 6}}, lengths = lengths,
        state = {memory = place:unsqueeze(1):expand(2, places, places), lengths = lengths, t = 1}})
    t.equal(found[1][1].weights:argmax(2):totable(), order)
    t.is_true(found[1][1].weights:max(2):min():item() > 0.99)
    t.equal(found[2][1].weights.shape, {2, 3})
    t.equal(found[2][1].weights:argmax(2):totable(), {3, 1})
end)

t.case("reorder picks rows of tensors in nested tables and keeps the rest", function()
    local rows = attn.tensor({3, 1, 1}, {dtype = "int64"})
    local new = search.reorder(
        {a = attn.tensor{{1, 2}, {3, 4}, {5, 6}}, b = {c = attn.tensor{7, 8, 9}}, d = "x", e = 5}, rows)
    t.equal(new.a:totable(), {{5, 6}, {1, 2}, {1, 2}})
    t.equal(new.b.c:totable(), {9, 7, 7})
    t.equal(new.d, "x")
    t.equal(new.e, 5)
end)

t.case("reorder picks sentences of an encoder's state, not layers, however deep it lies", function()
    local rows = attn.tensor({3, 1, 1}, {dtype = "int64"})
    for _, cell in ipairs{"gru", "lstm"} do
        local encoder = attn.encoder.rnn{inputs = 2, hidden = 4, cell = cell, layers = 2, bidirectional = true}
        local x = attn.randn(3, 5, 2)
        local _, state = encoder(x)
        local _, want = encoder(x:index_select(1, rows))
        local given = {deep = {encoder = state, x = x}}
        for _ = 1, 2 do         -- what was picked still says it
            local new = search.reorder(given, rows)
            for _, name in ipairs{"h", cell == "lstm" and "c" or nil} do
                t.equal(new.deep.encoder[name].shape, {4, 3, 4})
                t.near(new.deep.encoder[name], want[name], 1e-6)
            end
            given, rows = new, attn.tensor({1, 2, 3}, {dtype = "int64"})
        end
        t.equal(search.reorder(setmetatable({h = state.h}, {batch = 2}), rows).h, state.h)
        t.equal((encoder(x, {state = search.reorder(state, rows)})), (encoder(x, {state = state})))
    end
end)

t.case("search over a step that keeps an encoder's state as its own is the sentence's alone", function()
    attn.seed(3)
    local V, hidden = 6, 5
    local cell, out = attn.encoder.rnn{inputs = 4, hidden = hidden, layers = 2}, attn.layer.linear{inputs = hidden, outputs = V}
    local embed = attn.layer.embedding{count = V, dim = 4}
    local function step(ids, state)
        local y, new = cell(embed(ids):unsqueeze(2), {state = state.hidden})
        return out(y:select(2, 1)) * 3, {hidden = new}
    end
    local h = attn.randn(2, 3, hidden)
    local function start(first, n) return {hidden = setmetatable({h = h:narrow(2, first, n)}, {batch = 2})} end
    local function beam(first, n)
        return search.beam(step, {state = start(first, n), count = n, max_length = 6, width = 2})
    end
    local all = beam(1, 3)
    for i = 1, 3 do
        local alone = beam(i, 1)[1][1]
        t.equal(all[i][1].ids, alone.ids)
        t.near(all[i][1].logp, alone.logp, 1e-5)
    end
end)

t.case("errors name what is wrong", function()
    local function step(ids, state) return attn.rand(#ids, 4), state end
    t.raises("search.greedy: field 'count' is missing", search.greedy, step, {})
    t.raises("unknown field 'widht'", search.beam, step, {count = 1, widht = 3})
    t.raises("width is 0, expected at least 1", search.beam, step, {count = 1, width = 0})
    t.raises("search.beam: step is a nil", search.beam, nil, {count = 1})
    t.raises("step returned [2, 4] as logits, expected a tensor [1, V]", search.greedy,
        function() return attn.rand(2, 4) end, {count = 1})
    for _, shape in ipairs{{2, 3}, {1}, {1, 0, 3}, {2, 2, 3}} do
        t.raises("as weights, expected a tensor [1, S] or [1, heads, S]", search.greedy,
            function(ids) return attn.rand(#ids, 4), nil, attn.rand(shape) end, {count = 1})
    end
    t.raises("step returned a table as weights", search.greedy,
        function(ids) return attn.rand(#ids, 4), nil, {} end, {count = 1})
    t.raises("temperature is 0, expected more than 0", search.sample, step, {count = 1, temperature = 0})
    t.raises("hold NaN", search.greedy, function(ids) return attn.tensor{{0 / 0, 0 / 0}} end, {count = 1})
end)

t.case("forbid: these words never come, in any search", function()
    attn.seed(9)
    local table_ = attn.randn(9, 9)
    local function step(ids, state) return table_:index_select(1, ids), state end
    for name, more in pairs{greedy = {}, beam = {width = 3, nbest = 3}, sample = {nbest = 2}} do
        for _, forbid in ipairs{{1, 4, 5}, attn.tensor({1, 4, 5}, {dtype = "int64"})} do
            local cfg = {count = 3, max_length = 30, forbid = forbid}
            for k, v in pairs(more) do cfg[k] = v end
            for _, list in ipairs(attn.search[name](step, cfg)) do
                for _, h in ipairs(list) do
                    t.is_true(h.logp > -math.huge)
                    for _, id in ipairs(h.ids) do t.is_true(id ~= 1 and id ~= 4 and id ~= 5) end
                end
            end
        end
        t.raises("forbid[1] is 10, but there are 9 words", attn.search[name], step, {count = 1, forbid = {10}})
        t.raises("forbid leaves no word", attn.search[name], step, {count = 1, forbid = {1, 2, 3, 4, 5, 6, 7, 8, 9}})
        t.raises("search." .. name .. ": forbid[2] is 0, expected an id from 1 on", attn.search[name], step, {count = 1, forbid = {1, 0}})
        t.raises("search." .. name .. ": forbid is 3, expected a list of ids", attn.search[name], step, {count = 1, forbid = 3})
    end
end)

t.case("corpus: encode gets the fields of its batch, in its order", function()
    local lists, topics = {{5, 6, 7}, {5}, {6, 7}, {8}}, {"a", "b", "c", "d"}
    local seen = {}
    local function encode(ids, lengths, extra)
        for k, topic in ipairs(extra.topic) do seen[topic] = {ids[k][1]:item(), lengths[k]:item()} end
    end
    attn.search.corpus(function(ids) return attn.randn(#ids, 9) end, lists,
                       {encode = encode, fields = {topic = topics}, size = 3, options = {max_length = 2}})
    t.equal(seen, {a = {5, 3}, b = {5, 1}, c = {6, 2}, d = {8, 1}})
    t.raises("search.corpus: fields.topic is a list of 1, expected a list of 4 entries", attn.search.corpus, encode, lists,
             {encode = encode, fields = {topic = {"a"}}})
end)

t.case("copy: the distribution of a pointer-generator, by hand; search returns a word that only the source has", function()
    local logits = attn.tensor({{0, 0, 0, 0}, {0, 0, math.log(2), -math.huge}}, {dtype = "float64"})
    local weights = attn.tensor({{0.25, 0.5, 0.25}, {1, 0, 0}}, {dtype = "float64"})
    local gate = attn.tensor({0, math.log(3)}, {dtype = "float64"})
    local source = attn.tensor({{2, 6, 2}, {5, 3, 0}}, {dtype = "int64"})
    local p = search.copy(logits, weights, gate, source)
    t.near(p:exp(), {{0.125, 0.375, 0.125, 0.125, 0, 0.25}, {0.1875, 0.1875, 0.375, 0, 0.25, 0}}, 1e-12)
    t.near(search.copy(logits, weights, gate, source, 8):narrow(2, 1, 6), p, 0)
    t.equal(search.copy(logits, weights, gate, source, 8)[1][8]:item(), -math.huge)
    local options = {dtype = "float64"}
    local found = search.greedy(function(_, s)
        return search.copy(attn.zeros(1, 4, options), attn.tensor({{0.2, 0.6, 0.2}}, options), gate[{{1, 1}}] - 5, s.source), s
    end, {state = {source = source:narrow(1, 1, 1)}, count = 1, max_length = 3})
    t.equal(found[1][1].ids, {6, 6, 6})
    t.gradient(function(x, w, g) return search.copy(x, w, g, attn.tensor({{2, 5, 6}}, {dtype = "int64"})) end,
        {attn.randn(1, 4, options), attn.rand(1, 3, options) + 0.1, attn.randn(1, options)})
    t.raises("search.copy: gate is float64 [2, 1], expected a tensor, [R]", search.copy, logits, weights, gate:unsqueeze(2),
        source)
    t.raises("search.copy: ids is float64 [2, 3], expected a tensor, int64 [R, S]", search.copy, logits, weights, gate,
        weights)
    t.raises("search.copy: size is 5, expected an integer from 6 on", search.copy, logits, weights, gate, source, 5)
end)
