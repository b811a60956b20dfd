-- corpus_babi: questions about short stories, twenty tasks (Weston et al. 2016, bAbI).
--
-- A record: {story = {{"mary", "moved", ...}, ...}, query = {"where", ...}, answer = "kitchen", support = {places in story}}. Words are cut at
-- blanks and lower-cased, without . and ?. options = {task = 1 to 20, large = false}: large reads the 10,000 training questions (tasks 1, 2, 5).
local corpus = require "attn.corpus"
local fields = require "attn.fields"

local names = {"single-supporting-fact", "two-supporting-facts", "three-supporting-facts", "two-arg-relations", "three-arg-relations",
    "yes-no-questions", "counting", "lists-sets", "simple-negation", "indefinite-knowledge", "basic-coreference", "conjunction",
    "compound-coreference", "time-reasoning", "basic-deduction", "basic-induction", "positional-reasoning", "size-reasoning", "path-finding",
    "agents-motivations"}

local function file_of(task, part, large)
    return ("en-%s/qa%d_%s_%s.txt"):format(large and "10k" or "1k", task, names[task], part)
end

local function words_of(line)
    local words = {}
    for word in line:lower():gmatch "[^%s.?]+" do words[#words + 1] = word end
    return words
end

local function read(path, options)
    options = fields.read("corpus.babi", options, {{"task", "integer", 1, least = 1, most = 20}, {"large", "boolean", false}}, 3)
    local files = {}
    for _, part in ipairs{"train", "test"} do files[part] = file_of(options.task, part, options.large and part == "train") end
    local story, place
    return corpus.lines("babi", path, files, function(line)
        local number, rest = line:match "^(%d+) (.*)$"
        if not number then return nil, " has no number" end
        if number == "1" then story, place = {}, {} end
        local query, answer, facts = rest:match "^(.-)%s*\t([^\t]*)\t(.*)$"
        if not query then
            story[#story + 1] = words_of(rest)
            place[number] = #story
            return nil
        end
        local support = {}
        for fact in facts:gmatch "%d+" do support[#support + 1] = place[fact] end
        return {story = table.move(story, 1, #story, 1, {}), query = words_of(query), answer = answer:lower(), support = support}
    end)
end

local files = {}
for task = 1, #names do
    for _, part in ipairs{"train", "test"} do files[#files + 1] = file_of(task, part) end
end
for _, task in ipairs{1, 2, 5} do files[#files + 1] = file_of(task, "train", true) end

return {folder = "babi", files = files, read = read,
    origin = "bAbI tasks 1-20, version 1.2 (Weston et al. 2016): the folders en and en-10k of tasks_1-20_v1-2, as en-1k and en-10k (also in the "
        .. "GitHub repository ethancaballero/Improved-Dynamic-Memory-Networks-DMN-plus, data/tasks_1-20_v1-2)"}
