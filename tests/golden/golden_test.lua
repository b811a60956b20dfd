-- The conformance cases beside this file, by families: results and gradients made from the formulas by another program,
-- in float64.
-- run.lua says what a case is; it runs here in a process of its own for each family, in both precisions.
local t = require "attn.test"
local attn = require "attn"

local exe = os.getenv "ATTN_EXE" or arg[-1]
local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."

-- family -> constructor that must exist for it to be run; true: always
local FAMILIES = {
    {"function", true}, {"method", true}, {"operator", true}, {"loss", true}, {"layer", true},
        {"pool", "layer.attention_pool"},
    {"optim", true}, {"clip", "clip_grad_norm"}, {"schedule", "schedule"}, {"penalty", "penalty"},
        {"attention", "attention"},
    {"encoder_rnn", "encoder.rnn"}, {"decoder_rnn", "decoder.rnn"}, {"encoder_transformer", "encoder.transformer"},
    {"decoder_transformer", "decoder.transformer"},
    {"tensor", true}, {"vision", true}, {"encoder_step", "encoder.rnn"}, {"image", "image"}, {"structured", "structured"},
    {"algebra", "attention"},
}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function exists(path)
    local at = attn
    for part in path:gmatch "[^.]+" do at = at and at[part] end
    return at ~= nil
end

local function files()
    local list = {}
    local pipe <close> = assert(io.popen("ls " .. quote(folder)))
    for name in pipe:lines() do
        if name:find "%.safetensors$" then list[#list + 1] = name end
    end
    return list
end

-- family -> how far from the stored results those with products of bfloat16 may be, of the largest number of each
local ROUNDED = {
    ["function"] = 0.02, layer = 0.02, pool = 0.02, encoder_rnn = 0.02, encoder_step = 0.02, decoder_rnn = 0.02, vision = 0.02,
    decoder_transformer = 0.02, encoder_transformer = 0.1, attention = 0.1, algebra = 0.05,
}
-- Scores of hundreds: rounded they choose another key.
local HUGE = {["attention_score_general_huge_softmax.safetensors"] = true}

local all, taken = files(), {}

-- Runs the cases of these words, all of which must pass.
local function run(options, words)
    local pipe = assert(io.popen(("%s %s --quiet %s %s 2>&1"):format(quote(exe), quote(folder .. "/run.lua"), options,
        table.concat(words, " "))))
    local lines = {}
    for line in pipe:lines() do
        if #lines < 12 or line:find "^%d+ passed" then lines[#lines + 1] = line:sub(1, 400) end
    end
    local ok = pipe:close()
    t.is_true(ok and lines[#lines] == #words .. " passed, 0 failed", table.concat(lines, "\n"))
end

for _, family in ipairs(FAMILIES) do
    local name, constructor = family[1], family[2]
    local words, some, count = {}, {}, 0
    for _, file in ipairs(all) do
        if file:sub(1, #name + 1) == name .. "_" then
            count = count + 1
            words[count] = quote(folder .. "/" .. file)
            if not HUGE[file] then some[#some + 1] = words[count] end
            taken[file] = true
        end
    end
    t.case(("%s: %d conformance cases"):format(name, count), function()
        if constructor ~= true and not exists(constructor) then t.skip("attn." .. constructor .. " does not exist") end
        if count == 0 then t.skip("no files in " .. folder) end
        run("", words)
    end)
    local bound = ROUNDED[name]
    if bound and #some > 0 then
        t.case(("%s: with products of bfloat16 within %g"):format(name, bound), function()
            if constructor ~= true and not exists(constructor) then t.skip("attn." .. constructor .. " does not exist") end
            run("--bf16 " .. bound, some)
        end)
    end
end

t.case("every conformance case belongs to a family", function()
    for _, file in ipairs(all) do t.is_true(taken[file], file) end
end)
