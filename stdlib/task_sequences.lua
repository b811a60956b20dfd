-- task: sequences to sequences (copy, reverse, sort, lookup) and one word out of a sequence (needle, recall, count, parity).
local data = require "attn.data"

return function(define, draws)
    local length, words, different, lengths = draws.length, draws.words, draws.different, draws.lengths
    -- A target that takes its words from places of the source: order(source, cfg) lists the places.
    local function rearranged(name, what, order, distinct)
        local shortest, longest = lengths(10)
        define(name, {options = "words = 20, shortest = 1, longest = 10" .. (distinct and ", window =" or ""),
            help = what .. "\nsource [B, S], target [B, S], gold [B, S + 1, S]: rows as target_out.",
            known = {{"words", "integer", 20, least = 1}, shortest, longest,
                distinct and {"window", "integer", math.maxinteger, least = 1} or nil},
            shown = "batch.source, batch.target_in, batch.target_out, batch.gold",
            make = function(cfg)
                if distinct and cfg.words < cfg.longest then
                    error(("task.%s: words is %d, expected at least longest (%d): the words of a source differ"):format(name,
                        cfg.words, cfg.longest), 3)
                end
                return {vocabulary = cfg.words, targets = cfg.words + 2, bos = cfg.words + 1, eos = cfg.words + 2,
                    draw = function(draw)
                        local n = length(cfg, draw)
                        local source, target, gold = (distinct and different or words)(n, cfg.words, draw), {}, {}
                        for t, place in ipairs(order(source, cfg)) do target[t], gold[t] = source[place], {place} end
                        gold[n + 1] = {}
                        return {source = source, target = target, gold = gold}
                    end}
            end})
    end
    local function places(source)
        local list = {}
        for i = 1, #source do list[i] = i end
        return list
    end
    rearranged("copy", "The target is the source.", places)
    rearranged("reverse", "The target is the source backwards.", function(source)
        local list = {}
        for i = 1, #source do list[i] = #source + 1 - i end
        return list
    end)
    rearranged("sort", "The target has the words of the source, all different, by their ids: all of them, or those of each window of\n"
            .. "so many places.", function(source, cfg)
        local list = places(source)
        table.sort(list, function(a, b)
            local first, second = (a - 1) // cfg.window, (b - 1) // cfg.window
            if first ~= second then return first < second end
            return source[a] < source[b]
        end)
        return list
    end, true)

    local shortest, longest = lengths(20)
    define("needle", {options = "words = 20, needles = 5, shortest = 1, longest = 20",
        help = "Among words that say nothing stands one needle, an id above words; the answer is which.\n"
            .. "source [B, S], answer [B], gold [B, 1, S].",
        known = {{"words", "integer", 20, least = 1}, {"needles", "integer", 5, least = 1}, shortest, longest},
        make = function(cfg)
            return {vocabulary = cfg.words + cfg.needles, answers = cfg.needles, draw = function(draw)
                local source = words(length(cfg, draw), cfg.words, draw)
                local place, answer = draw(#source), draw(cfg.needles)
                source[place] = cfg.words + answer
                return {source = source, answer = answer, gold = {{place}}}
            end}
        end})

    define("recall", {options = "keys = 10, values = 10, pairs = 5",
        help = "Associative recall: keys, all different, each followed by its value (an id above keys); the answer is the value\n"
            .. "of the key asked for. source [B, 2 pairs], query [B], answer [B] (1 to values), gold [B, 1, 2 pairs].",
        known = {{"keys", "integer", 10, least = 1}, {"values", "integer", 10, least = 1}, {"pairs", "integer", 5, least = 1}},
        make = function(cfg)
            if cfg.pairs > cfg.keys then
                error(("task.recall: pairs is %d, expected at most keys (%d): the keys differ"):format(cfg.pairs, cfg.keys), 3)
            end
            return {vocabulary = cfg.keys + cfg.values, answers = cfg.values, draw = function(draw)
                local source, keys = {}, different(cfg.pairs, cfg.keys, draw)
                for i, key in ipairs(keys) do source[2 * i - 1], source[2 * i] = key, cfg.keys + draw(cfg.values) end
                local asked = draw(cfg.pairs)
                return {source = source, query = keys[asked], answer = source[2 * asked] - cfg.keys, gold = {{2 * asked}}}
            end}
        end})

    shortest, longest = lengths(10)
    define("count", {options = "words = 5, shortest = 1, longest = 10",
        help = "How often the last word of the source occurs in it, itself included. gold reads all its places, so that a value\n"
            .. "of 1 at the last place gives 1 / answer. source [B, S + 1], answer [B], gold [B, 1, S + 1].",
        known = {{"words", "integer", 5, least = 1}, shortest, longest},
        make = function(cfg)
            return {vocabulary = cfg.words, answers = cfg.longest + 1, draw = function(draw)
                local source, read = words(length(cfg, draw) + 1, cfg.words, draw), {}
                for i, word in ipairs(source) do
                    if word == source[#source] then read[#read + 1] = i end
                end
                return {source = source, answer = #read, gold = {read}}
            end}
        end})

    shortest, longest = lengths(10)
    define("lookup", {options = "words = 20, fertility = 2, same = false, swap = 0.3, rule = 1, shortest = 1, longest = 10",
        help = "Translation by dictionary: each source word becomes 0 to fertility target words, its own (same: one word, so\n"
            .. "many times: they are to be counted); a word of a share swap of the words (adjectives, say) changes places with the\n"
            .. "next if that is none of them. rule seeds the dictionary: b.dictionary[word] lists its target words, b.swaps[word] is true for those that swap.\n"
            .. "source [B, S], target [B, T], gold [B, T + 1, S]: rows as target_out.",
        known = {{"words", "integer", 20, least = 1}, {"fertility", "integer", 2, least = 1}, {"same", "boolean", false},
            {"swap", "number", 0.3, least = 0, most = 1}, {"rule", "integer", 1}, shortest, longest},
        shown = "batch.source, batch.target_out, batch.gold",
        make = function(cfg)
            local rule, dictionary, swaps, total = data.random(cfg.rule), {}, {}, 0
            for word = 1, cfg.words do
                dictionary[word], swaps[word] = {}, rule() < cfg.swap
                local fertility = word == 1 and 1 or rule(cfg.fertility + 1) - 1
                for i = 1, fertility do dictionary[word][i] = total + (cfg.same and 1 or i) end
                total = total + (cfg.same and math.min(1, fertility) or fertility)
            end
            return {vocabulary = cfg.words, targets = total + 2, bos = total + 1, eos = total + 2, dictionary = dictionary, swaps = swaps,
                draw = function(draw)
                    local source = words(length(cfg, draw), cfg.words, draw)
                    local order, target, gold, i = places(source), {}, {}, 1
                    while i < #source do
                        if swaps[source[i]] and not swaps[source[i + 1]] then
                            order[i], order[i + 1] = i + 1, i
                            i = i + 1
                        end
                        i = i + 1
                    end
                    for _, place in ipairs(order) do
                        for _, word in ipairs(dictionary[source[place]]) do
                            target[#target + 1], gold[#gold + 1] = word, {place}
                        end
                    end
                    gold[#gold + 1] = {}
                    return {source = source, target = target, gold = gold}
                end}
        end})

    shortest, longest = lengths(10)
    define("parity", {options = "shortest = 1, longest = 10",
        help = "Bits (ids 1 and 2) after a start (id 3): the answer is 1 if the number of twos is even, 2 if odd. gold reads the\n"
            .. "start and all twos, so that a value of 1 at the start gives 1 / (1 + twos). source [B, 1 + S], answer [B],\n"
            .. "gold [B, 1, 1 + S].",
        known = {shortest, longest},
        make = function(cfg)
            return {vocabulary = 3, answers = 2, draw = function(draw)
                local source, read = {3}, {1}
                for i = 2, length(cfg, draw) + 1 do
                    source[i] = draw(2)
                    if source[i] == 2 then read[#read + 1] = i end
                end
                return {source = source, answer = (#read - 1) % 2 + 1, gold = {read}}
            end}
        end})
end
