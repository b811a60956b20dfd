-- systems: the systems of the literature that this project means to measure, one a line: {id, name, paper, what it
-- computes}. A study names the ids it measures, study{system = {"A3"}}; the report lists all of them, measured or not.
local families = {
    {"A", "Encoder and decoder"}, {"B", "Scores"}, {"C", "Distributions"}, {"D", "Seeing"}, {"E", "Reading"},
    {"F", "Self-attention"},
    {"G", "Memory"}, {"H", "Evaluation"}}

local list = {
    {"A1", "RNN encoder-decoder", "Cho et al. 2014", "one vector between two recurrent networks with gates"},
    {"A2", "Sequence to sequence, source reversed or given twice", "Sutskever et al. 2014",
        "the last state of a deep LSTM starts the decoder"},
    {"A3", "RNNsearch", "Bahdanau et al. 2015", "v' tanh(W s + U h), softmax over both directions' states"},
    {"A4", "Global attention, input feeding", "Luong et al. 2015",
        "dot, general, concat or location score with the current state"},
    {"A5", "Monotonic local attention", "Luong et al. 2015", "softmax over a window around the target's own position"},
    {"A6", "Predictive local attention", "Luong et al. 2015", "window and Gaussian around a place the state predicts"},
    {"A7", "Unknown words replaced", "Luong et al. 2015", "an unknown word becomes what its largest weight points to"},
    {"A8", "Attention via attention", "Zhao and Zhang 2018", "weights over words guide weights over characters"},
    {"A9", "Massive exploration", "Britz et al. 2017", "additive and multiplicative scores over widths"},
    {"A10", "Grammar as a foreign language", "Vinyals et al. 2015", "trees written as sequences by an attending LSTM"},
    {"A11", "ABS, abstractive summaries", "Rush et al. 2015", "context words attend to smoothed source words"},
    {"A12", "Convolutional attention with copying", "Allamanis et al. 2016",
        "two convolved maps, one to read and one to copy"},
    {"B", "Score functions", "several", "dot, scaled, general, additive, concat, cosine, distance, kernel, per feature"},
    {"C1", "Softmax with temperature", "several", "exp(e / tau), normalised"},
    {"C2", "Sparsemax and entmax", "Martins and Astudillo 2016, Peters et al. 2019",
        "projection on the simplex: exact zeros"},
    {"C3", "Sigmoid attention", "Kim et al. 2017", "each weight by itself, not normalised"},
    {"C4", "Structured attention", "Kim et al. 2017", "marginals of a chain or a tree as weights"},
    {"C5", "Hard attention", "Xu et al. 2015", "one place is drawn, REINFORCE with baseline"},
    {"C6", "Doubly stochastic soft attention", "Xu et al. 2015", "gated context, every place attended to once in sum"},
    {"C7", "Local, global and monotonic", "Luong et al. 2015", "where weights may be at all"},
    {"D1", "Recurrent attention model", "Mnih et al. 2014", "glimpses at places that the state chooses"},
    {"D2", "Deep recurrent attention model", "Ba et al. 2015",
        "two recurrent layers, a context picture, a sequence of labels"},
    {"D3", "Third-order glimpses", "Larochelle and Hinton 2010", "what times where, not what plus where"},
    {"D4", "Learning where to attend", "Denil et al. 2012", "Hedge over templates of fixations while tracking"},
    {"D5", "Spatial transformer", "Jaderberg et al. 2015", "a predicted transform samples the picture"},
    {"D6", "Squeeze and excitation", "Hu et al. 2018", "a gate for each channel from the channels' means"},
    {"D7", "Non-local networks", "Wang et al. 2018", "every place attends to all others, added to itself"},
    {"D8", "Two-level attention", "Xiao et al. 2015", "patches for the object, filters for its parts"},
    {"D9", "Spatial attention in four terms", "Zhu et al. 2019",
        "query and key content and relative position, on and off"},
    {"D10", "Selective tuning and saliency", "Tsotsos et al. 1995", "winner takes all, down a pyramid"},
    {"D11", "Modular attention", "Yu et al. 2018", "modules for subject, place and relation, weighted by the question"},
    {"E1", "BCNN", "Yin et al. 2016", "two sentences, wide convolutions, pooled and compared"},
    {"E2", "ABCNN-1 and ABCNN-2", "Yin et al. 2016", "1 / (1 + distance) as feature map, or as weights of the pool"},
    {"E3", "ABCNN-3", "Yin et al. 2016", "attention before and after the convolution"},
    {"E4", "Parallel co-attention", "Lu et al. 2016", "tanh(Q' W V) leads both sides at once"},
    {"E5", "Alternating co-attention", "Lu et al. 2016", "question, picture, question again"},
    {"E6", "Hierarchical co-attention", "Lu et al. 2016", "words, phrases, the question"},
    {"E7", "Coarse-grained attention", "Fan et al. 2018", "the aspect's mean attends to the context, and back"},
    {"E8", "Fine-grained attention, alignment loss", "Fan et al. 2018", "w [h; q; h q] for every pair of words"},
    {"E9", "Inner attention", "Wang et al. 2016", "attention before, or in the gates of, the recurrent layer"},
    {"E11", "Hierarchical attention network", "Yang et al. 2016", "words to sentences, sentences to the document"},
    {"E12", "Attentive and impatient reader", "Hermann et al. 2015",
        "the query, or each of its words, attends to the document"},
    {"E13", "Attention sum reader", "Kadlec et al. 2016", "weights of an answer's occurrences are added"},
    {"E14", "Gated attention reader", "Dhingra et al. 2017",
        "the document times what it attends to in the query, hop by hop"},
    {"E15", "HABCNN", "Yin et al. 2016", "sentences and snippets, k-max averages of the attended"},
    {"E16", "Att-BLSTM", "Zhou et al. 2016", "softmax(w' tanh(H)) over the states"},
    {"E17", "Multi-level attention CNN", "Wang et al. 2016", "entities weight the input, classes weight the pool"},
    {"E18", "Word-by-word, compare and aggregate", "Rocktäschel et al. 2016, Wang and Jiang 2017",
        "each word of the one attends to the other"},
    {"F1", "Scaled dot product", "Vaswani et al. 2017", "softmax(Q K' / sqrt(d)) V"},
    {"F2", "Several heads", "Vaswani et al. 2017", "projected, attended, joined"},
    {"F3", "Transformer", "Vaswani et al. 2017", "attention and feed-forward layers, nothing recurrent"},
    {"F4", "Disagreement of heads", "Li et al. 2018", "subspaces, positions or outputs kept apart by a penalty"},
    {"F5", "DiSAN", "Shen et al. 2018", "a weight for each feature, masks for both directions"},
    {"F6", "Self-attentive embedding", "Lin et al. 2017", "r rows of weights, kept apart by a Frobenius penalty"},
    {"F7", "Two-level self-attention over bags", "Du et al. 2018", "words of a sentence, sentences of a bag"},
    {"F8", "Synthesizer", "Tay et al. 2021", "weights that no query and key made: dense, random, factorised"},
    {"F9", "Attention as a kernel", "Tsai et al. 2019", "linear, polynomial, exponential, radial"},
    {"F10", "Linear attention", "Katharopoulos et al. 2020", "phi(q) (sum phi(k) v'), also step by step"},
    {"F11", "Key, value, predict", "Daniluk et al. 2017", "one state, three roles"},
    {"F12", "Shared query and key", "Kitaev et al. 2020", "one projection for both"},
    {"G1", "Neural Turing machine", "Graves et al. 2014", "reads and writes by content and by place"},
    {"G2", "End-to-end memory", "Sukhbaatar et al. 2015", "one to three hops over facts"},
    {"G3", "Adaptive computation time", "Graves 2016", "halts when it is sure; attention over operations"},
    {"H1", "Likeness to human attention", "Sen et al. 2020", "maps of people against maps of models"},
    {"H2", "Alignment error rate", "Och and Ney 2003", "weights as alignments against gold ones"},
    {"H3", "Ablation", "several", "with and without each part, paired by seed"},
    {"H4", "Looking at attention", "several", "matrices, shaded text, maps over pictures, paths"},
}

local m = {families = families, list = {}, by_id = {}}
for i, entry in ipairs(list) do
    local system = {id = entry[1], family = entry[1]:sub(1, 1), name = entry[2], paper = entry[3], formula = entry[4]}
    m.list[i], m.by_id[system.id] = system, system
end

---The ids in what a study says: {"A3"}, "A5, A6", "E1-E3"; in order, each once.
---@param said any
---@return string[]
function m.ids(said)
    local out, known = {}, {}
    local function add(id)
        if not known[id] then out[#out + 1] = id end
        known[id] = true
    end
    for _, text in ipairs(type(said) == "table" and said or {said}) do
        for word in tostring(text):sub(1, 1000):gmatch "[^%s,;]+" do
            local family, first, other, last = word:match "^(%u)(%d+)%-(%u?)(%d+)$"
            first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last))
            if first and last and first <= last and last - first < 100 and (other == "" or other == family) then
                for k = first, last do add(family .. k) end
            else
                add(word)
            end
        end
    end
    return out
end

return m
