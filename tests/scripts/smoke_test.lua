-- Every experiment runs from its first line to its last at a size that takes a moment; where it needs a data set, on a
-- few lines made here. What it measures means nothing then: only that it is printed.
local t = require "attn.test"
local attn = require "attn"
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
local shell = dofile(here .. "/../cli/shell.lua")
local scripts = os.getenv "ATTN_SCRIPTS" or here .. "/../../scripts"
if scripts:sub(1, 1) ~= "/" then
    local pipe <close> = io.popen "pwd"
    scripts = pipe:read "l" .. "/" .. scripts
end

local function run(arguments)
    local out, err, code = shell.run("attn " .. shell.quote(scripts) .. "/" .. arguments)
    if code ~= 0 then error(("%s: status %d: %s"):format(arguments, code, err), 2) end
    local results = {}
    for name, value in out:gmatch "result (%S+) (%S+)" do results[name] = tonumber(value) end
    return results, out
end

local function has(results, names)
    for name in names:gmatch "%S+" do
        if type(results[name]) ~= "number" then error("no result " .. name, 2) end
    end
end

-- A few sentences in two made-up languages, in the files of Multi30k.
local function multi30k()
    local folder = shell.folder() .. "/data"
    os.execute(("mkdir -p %s/multi30k"):format(shell.quote(folder)))
    local words = {"man", "dog", "runs", "red", "sees", "ball", "house", "big"}
    for name, count in pairs{train = 40, val = 6, test_2016_flickr = 6} do
        local en, de = {}, {}
        for i = 1, count do
            local a, b = {}, {}
            for k = 1, 3 + i % 4 do
                a[k] = words[1 + (i * k + k) % #words]
                b[k] = a[k]:upper():lower() .. "en"
            end
            en[i], de[i] = "A " .. table.concat(a, " ") .. ".", "Ein " .. table.concat(b, " ") .. "."
        end
        for language, lines in pairs{en = en, de = de} do
            local path = shell.quote(("%s/multi30k/%s.%s.gz"):format(folder, name, language))
            local pipe <close> = io.popen("gzip -c > " .. path, "w")
            pipe:write(table.concat(lines, "\n"), "\n")
        end
    end
    return "--data " .. shell.quote(folder)
end

t.case("char_lm: learns a text, writes, and goes on when resumed", function()
    shell.write("text.txt", ("To be, or not to be: that is the question.\n"):rep(30))
    local options = "char_lm.lua --text text.txt --set model.dim=16 --set model.layers=1 --set model.heads=2 --warmup 5"
        .. " --set model.context=16 --batch 8 --every 20 --windows 4 --sample 40 --prompt T --lr 0.01 --steps 40"
    local results, out = run(options)
    has(results, "loss bits_per_character parameters tokens_per_second characters_written_per_second")
    t.is_true(results.loss < 3, results.loss)
    t.is_true(out:find("run runs/char_lm-", 1, true), out)
    t.equal(run("char_lm.lua --resume").loss, results.loss)
end)

t.case("char_lm: the shape of nanoGPT, untied, accumulated, post-norm are options", function()
    local results = run("char_lm.lua --text text.txt --nanogpt --model.dim 12 --model.heads 2 --model.layers 2"
        .. " --batch 2 --set model.context=8 --no-model.tied --model.norm post --accumulate 2 --steps 3 --every 3"
        .. " --windows 2 --sample 10 --top-k 0 --runs shapes")
    has(results, "loss parameters")
    local list = attn.run.list(shell.folder() .. "/shapes")
    t.equal(list[1].options.model, {dim = 12, layers = 2, heads = 2, context = 8, dropout = 0.2, norm = "post",
        activation = "gelu", tied = false})
end)

t.case("transformer: translates, beside the recurrent model", function()
    local results, out = run("transformer.lua " .. multi30k() .. " --steps 6 --beside --model.dim 16 --model.heads 2"
        .. " --model.layers 1 --model.ff 16 --recurrent.dim 8 --recurrent.hidden 8 --max-length 8"
        .. " --min-count 1 --average 2")
    has(results, "bleu bleu_beam tokens_per_second parameters bleu_rnnsearch bleu_beam_rnnsearch parameters_rnnsearch"
        .. " bleu_replaced bleu_beam_replaced bleu_replaced_rnnsearch bleu_beam_replaced_rnnsearch")
    t.is_true(out:find("unk replaced", 1, true), out)
    t.is_true(out:find("the last 2 checkpoints, averaged", 1, true), out)
    t.is_true(out:find("claim F3 (b)", 1, true), out)
end)

t.case("transformer: the claims run; padding changes no bit", function()
    local results, out = run "transformer.lua --claims --claim-steps 2 --stall.steps 2 --claim-tests 4 --runs claims"
    has(results, "copy_exact reverse_exact copy_exact_at_30")
    t.is_true(out:match "claim F3 %(e%).-measured %(synthetic%): 0 of %d+ numbers changed.-verdict: holds", out)
end)

t.case("rnnsearch: with attention and with a fixed vector; translates a file", function()
    local options = "rnnsearch.lua " .. multi30k() .. " --steps 4 --dim 8 --hidden 8 --min-count 1 --max-length 8"
    has((run(options .. " --checkpoint r.safetensors")), "bleu bleu_beam tokens_per_second")
    has((run(options .. " --fixed --checkpoint f.safetensors")), "bleu bleu_beam")
    shell.write("lines.txt", "A man sees.\nA dog runs.\n")
    local _, out = run "rnnsearch.lua --translate lines.txt --checkpoint r.safetensors --dim 8 --hidden 8"
    t.equal(select(2, out:gsub("\n", "")), 2)
end)

t.case("dates: learns and is measured", function()
    has((run "dates.lua --steps 2 --dim 4 --hidden 8 --examples 1200"), "exact_match")
end)

t.case("luong: every part runs", function()
    local results, out = run("luong.lua --seeds 1 --steps 2 --examples 20 --tests 3 --hidden 8 --dim 4 --words 20"
        .. " --scores.words 20 --scores.examples 20")
    has(results, "table_1_bleu table_5_bleu score_location_bleu words_too_many local_m_dot_aer_reverse")
    for _, name in ipairs{"A4 table", "A4 location", "A4 feeding", "A5", "A6", "A5 cost"} do
        t.is_true(out:find("claim " .. name .. ":", 1, true), name)
    end
    local _, err, code = shell.run("attn " .. shell.quote(scripts) .. "/luong.lua --parts tabel")
    t.equal(code, 1)
    t.is_true(err:find("'tabel' is no part", 1, true), err)
end)
