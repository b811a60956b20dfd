-- task: structure to be found: a contiguous span (segment), the parent of each bracket (brackets), a sentence and a word in it
-- (documents), a chain of facts (facts), a region of a picture (scenes).
local attn = require "attn"

return function(define, draws)
    local length, words, different = draws.length, draws.words, draws.different

    local shortest, longest = draws.lengths(20)
    shortest[3] = 12
    define("segment", {options = "words = 10, marks = 4, span = 5, strays = 2, shortest = 12, longest = 20",
        help = "Among words (ids to words) stands one span of 3 to span marks (ids above words), more than half of them the\n"
            .. "answer, and up to strays marks stand alone elsewhere. source [B, S], span [B, 2] (first, last), answer [B]\n"
            .. "(1 to marks), gold [B, 1, S]: uniform over the span.",
        known = {{"words", "integer", 10, least = 1}, {"marks", "integer", 4, least = 1}, {"span", "integer", 5, least = 3},
            {"strays", "integer", 2, least = 0}, shortest, longest},
        make = function(cfg)
            if cfg.shortest < cfg.span then
                error(("task.segment: shortest is %d, expected at least span (%d)"):format(cfg.shortest, cfg.span), 3)
            end
            return {vocabulary = cfg.words + cfg.marks, answers = cfg.marks, draw = function(draw)
                local n, long, answer = length(cfg, draw), 2 + draw(cfg.span - 2), draw(cfg.marks)
                local source, first, read = words(n, cfg.words, draw), draw(n - long + 1), {}
                local order = different(long, long, draw)
                for i = 1, long do
                    read[i] = first + i - 1
                    source[read[i]] = cfg.words + (order[i] <= long // 2 + 1 and answer or draw(cfg.marks))
                end
                local function word(i) return (source[i] or 1) <= cfg.words end
                for _ = 1, cfg.strays do
                    local place = draw(n)
                    if word(place - 1) and word(place) and word(place + 1) then source[place] = cfg.words + draw(cfg.marks) end
                end
                return {source = source, span = {first, first + long - 1}, answer = answer, gold = {read}}
            end}
        end})

    define("brackets", {options = "kinds = 3, shortest = 1, longest = 6",
        help = "Balanced brackets: shortest to longest pairs; kinds of opening brackets, and one closing one (id kinds + 1). The\n"
            .. "parent of a closing bracket is the one it closes, of an opening one the innermost open around it, 0 if none.\n"
            .. "source [B, S], parent [B, S] (places), target [B, S]: the kind of the parent, 0 (ignored) if none;\n"
            .. "gold [B, S, S].",
        known = {{"kinds", "integer", 3, least = 1}, draws.lengths(6)},
        shown = "batch.source, batch.parent, batch.gold",
        make = function(cfg)
            return {vocabulary = cfg.kinds + 1, answers = cfg.kinds, draw = function(draw)
                local left, source, parent, target, gold, open = length(cfg, draw), {}, {}, {}, {}, {}
                while left > 0 or #open > 0 do
                    local i, opens = #source + 1, left > 0 and (#open == 0 or draw(2) == 1)
                    local up = open[#open]
                    source[i], parent[i], target[i] = opens and draw(cfg.kinds) or cfg.kinds + 1, up or 0, up and source[up] or 0
                    gold[i] = {up}
                    open[opens and #open + 1 or #open] = opens and i or nil
                    left = opens and left - 1 or left
                end
                return {source = source, parent = parent, target = target, gold = gold}
            end}
        end})

    define("facts", {options = "words = 20, hops = 2, chains = 3",
        help = "Facts, pairs (a, b) in random order, each a in one of them: chains of hops facts, of different words. Asked is the\n"
            .. "first word of a chain, the answer is its last: hops = 1, 2, 3 supporting facts.\n"
            .. "source [B, facts, 2], query [B], answer [B], gold [B, hops, facts]: one row for each hop.",
        known = {{"words", "integer", 20, least = 2}, {"hops", "integer", 2, least = 1}, {"chains", "integer", 3, least = 1}},
        make = function(cfg)
            local needed = cfg.chains * (cfg.hops + 1)
            if cfg.words < needed then
                error(("task.facts: words is %d, expected at least chains * (hops + 1), %d: the words differ"):format(cfg.words,
                    needed), 3)
            end
            return {vocabulary = cfg.words, answers = cfg.words, draw = function(draw)
                local word, place = different(needed, cfg.words, draw), different(cfg.chains * cfg.hops, cfg.chains * cfg.hops, draw)
                local source, gold, asked = {}, {}, draw(cfg.chains)
                for chain = 1, cfg.chains do
                    for hop = 1, cfg.hops do
                        local at, first = place[(chain - 1) * cfg.hops + hop], (chain - 1) * (cfg.hops + 1) + hop
                        source[at] = {word[first], word[first + 1]}
                        if chain == asked then gold[hop] = {at} end
                    end
                end
                return {source = source, query = word[(asked - 1) * (cfg.hops + 1) + 1], answer = word[asked * (cfg.hops + 1)],
                    gold = gold}
            end}
        end})

    define("documents", {options = "words = 20, marks = 4, sentences = 5, shortest = 3, longest = 8",
        help = "Documents: in every sentence stands one mark (an id above words), in one of them also the topic (the last id), and\n"
            .. "the mark of that one is the answer. source [B, N, T], answer [B] (1 to marks), gold [B, 1, N]: the sentence;\n"
            .. "gold_word [B, N, T]: the word, in that sentence.",
        known = {{"words", "integer", 20, least = 1}, {"marks", "integer", 4, least = 1}, {"sentences", "integer", 5, least = 1},
            {"shortest", "integer", 3, least = 2}, {"longest", "integer", 8, least = 2}},
        shown = "batch.source, batch.gold, batch.gold_word",
        make = function(cfg)
            return {vocabulary = cfg.words + cfg.marks + 1, answers = cfg.marks,
                gold = {gold = {"source", 2}, gold_word = {"source", 3}}, draw = function(draw)
                    local source, gold_word, decisive, answer = {}, {}, draw(cfg.sentences), nil
                    for i = 1, cfg.sentences do
                        local n = length(cfg, draw)
                        local place, mark = different(2, n, draw), draw(cfg.marks)
                        source[i], gold_word[i] = words(n, cfg.words, draw), {}
                        source[i][place[1]] = cfg.words + mark
                        if i == decisive then
                            source[i][place[2]], gold_word[i], answer = cfg.words + cfg.marks + 1, {place[1]}, mark
                        end
                    end
                    return {source = source, answer = answer, gold = {{decisive}}, gold_word = gold_word}
                end}
        end})

    -- Shapes as the cells of a 5 x 5 picture that they fill.
    local shapes = {
        function() return true end,
        function(y, x) return math.abs(y - 3) + math.abs(x - 3) <= 2 end,
        function(y, x) return y == 3 or x == 3 end,
        function(y, x) return y == 1 or y == 5 or x == 1 or x == 5 end,
        function(y, x) return x <= y end,
        function(y, x) return y == x or y == 6 - x end,
    }
    define("scenes", {options = "grid = 3, shapes = 4, colours = 4, objects = 3, caption = false, joined = false",
        help = "Pictures: on a grid of cells of 6 x 6 points stand objects, all of different shapes (up to 6), in one of up to 7\n"
            .. "colours each. Asked is a shape, the answer is its colour. image [B, 3, 6 grid, 6 grid], query [B], answer [B],\n"
            .. "gold [B, 1, grid * grid]: the cell, row by row; shape, colour, cell [B, objects]: all that is there. caption: there are\n"
            .. "1 to objects of them, and in place of these target [B, T] says them from left to right (in a column from\n"
            .. "above), each its colour and then its shape (ids above colours); joined: each in one word, (colour - 1) * shapes +\n"
            .. "shape, so that every word needs a look of its own; gold has a row for each word, rows as target_out.",
        known = {{"grid", "integer", 3, least = 1, most = 64}, {"shapes", "integer", 4, least = 1, most = #shapes},
            {"colours", "integer", 4, least = 1, most = 7}, {"objects", "integer", 3, least = 1},
            {"caption", "boolean", false}, {"joined", "boolean", false}},
        shown = "batch.image, batch.query, batch.gold",
        make = function(cfg)
            local cells = cfg.grid * cfg.grid
            if cfg.objects > math.min(cfg.shapes, cells) then
                error(("task.scenes: objects is %d, expected at most shapes (%d) and cells (%d)"):format(cfg.objects, cfg.shapes,
                    cells), 3)
            end
            local words_of = cfg.joined and cfg.colours * cfg.shapes or cfg.colours + cfg.shapes
            return {answers = cfg.colours, questions = cfg.shapes, gold = {gold = cells}, targets = cfg.caption and words_of + 2 or nil,
                bos = cfg.caption and words_of + 1 or nil, eos = cfg.caption and words_of + 2 or nil, draw = function(draw)
                local side, image, objects = 6 * cfg.grid, {{}, {}, {}}, cfg.caption and draw(cfg.objects) or cfg.objects
                for channel = 1, 3 do
                    for y = 1, side do
                        image[channel][y] = {}
                        for x = 1, side do image[channel][y][x] = 0.0 end
                    end
                end
                local shape, cell = different(objects, cfg.shapes, draw), different(objects, cells, draw)
                local colour = words(objects, cfg.colours, draw)
                for i = 1, objects do
                    local top, left = (cell[i] - 1) // cfg.grid * 6, (cell[i] - 1) % cfg.grid * 6
                    for y = 1, 5 do
                        for x = 1, 5 do
                            for channel = 1, shapes[shape[i]](y, x) and 3 or 0 do     -- colour as bits: 1 red, 2 green, 4 blue
                                image[channel][top + y][left + x] = (colour[i] >> channel - 1 & 1) + 0.0
                            end
                        end
                    end
                end
                if cfg.caption then
                    local order, target, gold = {}, {}, {}
                    for i = 1, objects do order[i] = i end
                    local function place(i) return (cell[i] - 1) % cfg.grid * cfg.grid + (cell[i] - 1) // cfg.grid end
                    table.sort(order, function(a, b) return place(a) < place(b) end)
                    for _, i in ipairs(order) do
                        local said = cfg.joined and {(colour[i] - 1) * cfg.shapes + shape[i]} or {colour[i], cfg.colours + shape[i]}
                        for _, word in ipairs(said) do target[#target + 1], gold[#gold + 1] = word, {cell[i]} end
                    end
                    gold[#gold + 1] = {}
                    return {image = attn.tensor(image), target = target, gold = gold}
                end
                local asked = draw(objects)
                return {image = attn.tensor(image), query = shape[asked], answer = colour[asked], gold = {{cell[asked]}},
                    shape = shape, colour = colour, cell = cell}
            end}
        end})
end
