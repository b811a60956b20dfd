-- What each part of attention needs beside its name, and the forms it is tested in. The walks over all combinations take
-- the names from tests/lists.lua and the fields from here; a part that needs no field needs no line.
local D = 4

local function each(forms) return function(name) return forms[name] or {{}} end end

return {
    D = D,      -- width of queries and keys, and of the space of scores
    score = each{
        cosine = {{beta = 2}},
        activated_general = {{}, {activation = "relu"}, {activation = "sigmoid"}},
        concat = {{dim = D}, {dim = D, activation = "none"}}, additive = {{dim = D}, {dim = D, activation = "relu"}, {dim = D, activation = "sigmoid"}},
         location = {{max_keys = 6}},
        kernel = {{}, {kernel = "rbf"}, {kernel = "polynomial"}},
        synthesizer_dense = {{dim = D, max_keys = 6}},
        synthesizer_random = {{max_keys = 6, max_queries = 6}, {max_keys = 6, max_queries = 6, trainable = false}},
    },
    distribution = each{entmax = {{}, {alpha = 1.2}}},
    window = each{monotonic = {{radius = 1}}, predictive = {{radius = 2}}, band = {{left = 1, right = 2}}},
    position = each{rope = {{project = true}}},
}
