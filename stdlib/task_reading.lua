-- task: reading: pairs of sentences under synonyms (pairs), does one follow from another (entailment), a blank to be filled (cloze),
-- the opinion on one aspect (aspects).
return function(define, draws)
    local length, words, different = draws.length, draws.words, draws.different

    define("pairs", {options = "meanings = 20, synonyms = 2, shortest = 2, longest = 8",
        help = "Two sentences of different meanings, each word one of its synonyms, the right one in another order: the answer is\n"
            .. "1 if they mean the same, 2 if one word does not. Word w means (w - 1) // synonyms + 1. left, right [B, S],\n"
            .. "answer [B], gold [B, S, S]: rows of right, which read the word of left that means the same, or nothing.",
        known = {{"meanings", "integer", 20, least = 1}, {"synonyms", "integer", 2, least = 1},
            {"shortest", "integer", 2, least = 1}, {"longest", "integer", 8, least = 1}},
        shown = "batch.left, batch.right, batch.gold",
        make = function(cfg)
            if cfg.meanings <= cfg.longest then
                error(("task.pairs: meanings is %d, expected more than longest (%d)"):format(cfg.meanings, cfg.longest), 3)
            end
            return {vocabulary = cfg.meanings * cfg.synonyms, answers = 2, gold = {gold = {"left", 2}}, draw = function(draw)
                local n, answer = length(cfg, draw), draw(2)
                local meaning, order, changed = different(n + 1, cfg.meanings, draw), different(n, n, draw), draw(n)
                local function word(i) return (meaning[i] - 1) * cfg.synonyms + draw(cfg.synonyms) end
                local left, right, gold = {}, {}, {}
                for i = 1, n do
                    local other = answer == 2 and i == changed
                    left[i], right[i], gold[i] = word(i), word(other and n + 1 or order[i]), other and {} or {order[i]}
                end
                return {left = left, right = right, answer = answer, gold = gold}
            end}
        end})

    define("entailment", {options = "opposites = 10, asked = 2, shortest = 4, longest = 9",
        help = "Words come in pairs of opposites, each with a synonym: words 4 (p - 1) + 1 and 2 have one meaning, 3 and 4 its opposite.\n"
            .. "The right sentence says up to asked words of the left again, or their synonyms (answer 2: it follows); or one of them\n"
            .. "becomes an opposite (3: contradiction), or a word of a pair that the left one has not (1: neutral). left, right [B, S],\n"
            .. "answer [B], gold [B, asked, S]: rows of right, which read the word of left that they are about, or nothing.",
        known = {{"opposites", "integer", 10, least = 2}, {"asked", "integer", 2, least = 1}, {"shortest", "integer", 4, least = 1},
            {"longest", "integer", 9, least = 1}},
        shown = "batch.left, batch.right, batch.gold",
        make = function(cfg)
            if cfg.opposites <= cfg.longest then
                error(("task.entailment: opposites is %d, expected more than longest (%d)"):format(cfg.opposites, cfg.longest), 3)
            end
            local function word(pair, side, draw) return 4 * (pair - 1) + 2 * (side - 1) + draw(2) end
            return {vocabulary = 4 * cfg.opposites, answers = 3, gold = {gold = {"left", 2}}, draw = function(draw)
                local n, pair, side = length(cfg, draw), different(cfg.opposites, cfg.opposites, draw), {}
                local left, right, gold = {}, {}, different(math.min(cfg.asked, n), n, draw)
                for i = 1, n do
                    side[i] = draw(2)
                    left[i] = word(pair[i], side[i], draw)
                end
                table.sort(gold)
                local answer, swapped = draw(3), draw(#gold)
                for j, i in ipairs(gold) do
                    local other = j == swapped and answer
                    right[j] = word(pair[other == 1 and n + draw(cfg.opposites - n) or i], other == 3 and 3 - side[i] or side[i], draw)
                    gold[j] = other == 1 and {} or {i}
                end
                return {left = left, right = right, answer = answer, gold = gold}
            end}
        end})

    define("cloze", {options = "entities = 10, verbs = 5, statements = 4, usual = 0, anew = true",
        help = "Statements, subject verb object, entities numbered anew in each text (ids 1 to entities, then the verbs). Asked is\n"
            .. "the subject of a verb and an object that stand together once. A share usual of the subjects is always the same one of\n"
            .. "verb and object, which says something of the answer only where entities keep their numbers (anew = false).\n"
            .. "source [B, 3 statements], query [B, 2], answer [B] (1 to entities), gold [B, 1, 3 statements].",
        known = {{"entities", "integer", 10, least = 1}, {"verbs", "integer", 5, least = 1}, {"statements", "integer", 4, least = 1},
            {"usual", "number", 0, least = 0, most = 1}, {"anew", "boolean", true}},
        make = function(cfg)
            if cfg.statements > cfg.entities * cfg.verbs then
                error(("task.cloze: statements is %d, expected at most entities * verbs (%d)"):format(cfg.statements,
                    cfg.entities * cfg.verbs), 3)
            end
            local E = cfg.entities
            return {vocabulary = E + cfg.verbs, answers = E, draw = function(draw)
                local source, name = {}, different(E, E, draw)
                if not cfg.anew then table.sort(name) end
                for i, both in ipairs(different(cfg.statements, E * cfg.verbs, draw)) do
                    local verb, object = (both - 1) // E + 1, (both - 1) % E + 1
                    local subject = draw() < cfg.usual and (3 * verb + object) % E + 1 or draw(E)
                    source[3 * i - 2], source[3 * i - 1], source[3 * i] = name[subject], E + verb, name[object]
                end
                local at = 3 * draw(cfg.statements) - 2
                return {source = source, query = {source[at + 1], source[at + 2]}, answer = source[at], gold = {{at}}}
            end}
        end})

    define("aspects", {options = "aspects = 5, opinions = 6, words = 10, mentioned = 3, between = 2",
        help = "Aspects (ids to aspects), each with an opinion after up to between words that say nothing. Asked is one of the\n"
            .. "aspects, the answer is the polarity of its opinion: 1 (the first opinion, the third ...) or 2.\n"
            .. "Ids: aspects, opinions, words. source [B, S], query [B], answer [B], gold [B, 1, S].",
        known = {{"aspects", "integer", 5, least = 1}, {"opinions", "integer", 6, least = 1}, {"words", "integer", 10, least = 1},
            {"mentioned", "integer", 3, least = 1}, {"between", "integer", 2, least = 0}},
        make = function(cfg)
            if cfg.mentioned > cfg.aspects then
                error(("task.aspects: mentioned is %d, expected at most aspects (%d)"):format(cfg.mentioned, cfg.aspects), 3)
            end
            return {vocabulary = cfg.aspects + cfg.opinions + cfg.words, answers = 2, draw = function(draw)
                local source, place, aspect = {}, {}, different(cfg.mentioned, cfg.aspects, draw)
                for i = 1, cfg.mentioned do
                    source[#source + 1] = aspect[i]
                    for _, word in ipairs(words(draw(cfg.between + 1) - 1, cfg.words, draw)) do
                        source[#source + 1] = cfg.aspects + cfg.opinions + word
                    end
                    place[i] = #source + 1
                    source[place[i]] = cfg.aspects + draw(cfg.opinions)
                end
                local i = draw(cfg.mentioned)
                return {source = source, query = aspect[i], answer = (source[place[i]] - cfg.aspects - 1) % 2 + 1, gold = {{place[i]}}}
            end}
        end})
end
