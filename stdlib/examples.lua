-- examples: what `attn help NAME` shows of names whose records are written in C, and what a test runs. Names described in Lua have
-- their example beside them (attn.describe), and a record may have its own at the end of its help ("Example: ...").
--
-- Each is a chunk by itself in which attn is known; an expression is what the session would print.
local x = "attn.tensor{{1, -2, 3}, {4, 0.5, -6}}"

local list = {
    -- arithmetic
    add = "attn.tensor{1, 2} + attn.tensor{10, 20}",
    sub = "attn.tensor{{1, 2}, {3, 4}} - attn.tensor{1, 1}",
    mul = "attn.tensor{{1, 2}, {3, 4}} * 2",
    div = "attn.tensor{1, 2, 3} / attn.tensor{2, 2, 2}",
    idiv = "attn.tensor({7, -7}, {dtype = 'int64'}) // 2",
    mod = "attn.arange(1, 6) % 3",
    pow = "attn.tensor{1, 2, 3} ^ 2",
    minimum = "attn.minimum(attn.tensor{1, 5}, attn.tensor{4, 2})",
    maximum = "attn.maximum(attn.tensor{1, 5}, 3)",
    logaddexp = "attn.logaddexp(attn.tensor{0, -1000}, attn.tensor{0, -1001})",
    neg = "-attn.tensor{1, -2}",
    -- comparisons and truth
    eq = x .. ":eq(3)", ne = x .. ":ne(3)", lt = x .. ":lt(1)", le = x .. ":le(1)", gt = x .. ":gt(1)", ge = x .. ":ge(1)",
    isnan = "(attn.tensor{0, 1} / attn.tensor{0, 1}):isnan()",
    isinf = "(attn.tensor{1, 1} / attn.tensor{0, 1}):isinf()",
    isfinite = "(attn.tensor{1, 1} / attn.tensor{0, 1}):isfinite()",
    logical_and = "attn.tensor{true, true} & attn.tensor{true, false}",
    logical_or = "attn.tensor{true, false} | attn.tensor{false, false}",
    logical_xor = "attn.tensor{true, false} ~ attn.tensor{true, true}",
    logical_not = "~attn.tensor{true, false}",
    any = x .. ":lt(0):any(2)",
    all = x .. ":gt(-10):all()",
    -- element by element
    exp = "attn.tensor{0, 1}:exp()", log = "attn.tensor{1, 10}:log()", sqrt = "attn.tensor{4, 9}:sqrt()",
    tanh = "attn.tensor{-1, 0, 1}:tanh()", sigmoid = "attn.tensor{-1, 0, 1}:sigmoid()", relu = x .. ":relu()",
    abs = x .. ":abs()", sign = x .. ":sign()", sin = "attn.tensor{0, math.pi / 2}:sin()", cos = "attn.tensor{0, math.pi}:cos()",
    gelu = x .. ":gelu()", silu = x .. ":silu()", elu = x .. ":elu()", softplus = x .. ":softplus()",
    clamp = x .. ":clamp(-1, 2)", floor = "attn.tensor{1.7, -1.2}:floor()", ceil = "attn.tensor{1.2, -1.7}:ceil()",
    round = "attn.tensor{0.5, 1.5, 2.4}:round()", square = x .. ":square()", rsqrt = "attn.tensor{4, 16}:rsqrt()",
    log1p = "attn.tensor{1e-6, 1}:log1p()", expm1 = "attn.tensor{1e-6, 1}:expm1()", tan = "attn.tensor{0, 1}:tan()",
    atan = "attn.tensor{0, 1}:atan()", erf = "attn.tensor{0, 1}:erf()", leaky_relu = "attn.leaky_relu(" .. x .. ", {slope = 0.1})",
    -- products
    matmul = "attn.ones(2, 3):matmul(attn.ones(3, 4))",
    outer = "attn.outer(attn.tensor{1, 2}, attn.tensor{3, 4, 5})",
    cosine_similarity = "attn.cosine_similarity(attn.randn(4, 8), attn.randn(4, 8))",
    cdist = "attn.cdist(attn.zeros(2, 3), attn.ones(4, 3))",
    einsum = "attn.einsum('bqd,bkd->bqk', attn.randn(2, 3, 8), attn.randn(2, 5, 8))",
    linear = "attn.linear(attn.randn(2, 3), attn.randn(4, 3), attn.zeros(4))",
    embedding = "attn.embedding(attn.tensor({{1, 7, 0}}, {dtype = 'int64'}), attn.randn(10, 4))",
    -- distributions
    softmax = x .. ":softmax()", log_softmax = x .. ":log_softmax()", sparsemax = x .. ":sparsemax()", entmax15 = x .. ":entmax15()",
    entmax = x .. ":entmax(1.3)",
    dropout = "attn.dropout(attn.ones(2, 4), 0.5)",
    multinomial = "attn.multinomial(attn.tensor{{0.1, 0.9}, {1, 0}}, 3)",
    -- normalisation, pooling, pictures
    layernorm = "attn.layernorm(attn.randn(2, 4), attn.ones(4), attn.zeros(4))",
    rmsnorm = "attn.rmsnorm(attn.randn(2, 4), attn.ones(4))",
    max_pool1d = "attn.max_pool1d(attn.randn(2, 8, 3), 2)",
    max_pool2d = "attn.max_pool2d(attn.randn(1, 3, 8, 8), 2)",
    avg_pool1d = "attn.avg_pool1d(attn.randn(2, 8, 3), 2)",
    avg_pool2d = "attn.avg_pool2d(attn.randn(1, 3, 8, 8), 3, {stride = 1, padding = 1})",
    interpolate = "attn.interpolate(attn.randn(1, 3, 4, 4), {8, 8})",
    affine_grid = "attn.affine_grid(attn.tensor{{{1, 0, 0}, {0, 1, 0}}}, {4, 4})",
    grid_sample = "attn.grid_sample(attn.randn(1, 3, 8, 8), attn.affine_grid(attn.tensor{{{0.5, 0, 0}, {0, 0.5, 0}}}, {4, 4}))",
    glimpse = "attn.glimpse(attn.randn(2, 1, 28, 28), attn.zeros(2, 2), {size = 8, scales = 3})",
    -- losses
    ["loss.cross_entropy"] = "attn.loss.cross_entropy(attn.randn(2, 5), attn.tensor({3, 1}, {dtype = 'int64'}))",
    ["loss.nll"] = "attn.loss.nll(attn.randn(2, 5):log_softmax(), attn.tensor({3, 1}, {dtype = 'int64'}))",
    ["loss.mse"] = "attn.loss.mse(attn.tensor{1, 2}, attn.tensor{1, 4})",
    ["loss.bce"] = "attn.loss.bce(attn.tensor{0.9, 0.2}, attn.tensor{1, 0})",
    ["loss.bce_logits"] = "attn.loss.bce_logits(attn.tensor{2, -1}, attn.tensor{1, 0})",
    ["loss.kl"] = "attn.loss.kl(attn.randn(2, 5):log_softmax(), attn.randn(2, 5):softmax())",
    ["loss.huber"] = "attn.loss.huber(attn.tensor{1, 2}, attn.tensor{1, 5})",
    ["loss.l1"] = "attn.loss.l1(attn.tensor{1, 2}, attn.tensor{1, 5})",
    ["loss.margin"] = "attn.loss.margin(attn.tensor{0.9, 0.4}, attn.tensor{0.1, 0.6})",
    -- reductions
    sum = x .. ":sum(2)", mean = x .. ":mean({1, 2})", prod = x .. ":prod(1)", var = x .. ":var(2)", std = x .. ":std()",
    norm = x .. ":norm()", logsumexp = x .. ":logsumexp(2)",
    max = "local values, places = " .. x .. ":max(2)\nprint(values, places)",
    min = "local values, places = " .. x .. ":min(2)\nprint(values, places)",
    argmax = x .. ":argmax(2)", argmin = x .. ":argmin()",
    cumsum = x .. ":cumsum()", cumprod = x .. ":cumprod()", logcumsumexp = x .. ":logcumsumexp()", diff = x .. ":diff()",
    sort = "local values, places = attn.tensor{3, 1, 2}:sort()\nprint(values, places)",
    topk = "local values, places = attn.tensor{3, 1, 2}:topk(2)\nprint(values, places)",
    -- shapes
    contiguous = x .. ":transpose(1, 2):contiguous()", narrow = x .. ":narrow(2, 2, 2)", select = x .. ":select(1, 2)",
    transpose = x .. ":transpose(1, 2)", t = "attn.randn(2, 3):t()", permute = "attn.randn(2, 3, 4):permute(3, 1, 2)", reshape = x .. ":reshape(3, -1)",
    view = x .. ":view(6)", expand = "attn.tensor{1, 2}:unsqueeze(2):expand(2, 3)", unsqueeze = x .. ":unsqueeze(1)",
    squeeze = "attn.ones(1, 3, 1):squeeze()", flatten = "attn.ones(2, 3, 4):flatten(2)", diagonal = "attn.eye(3):diagonal()",
    unfold = "attn.arange(1, 6):unfold(1, 3, 1)", flip = x .. ":flip(2)", roll = x .. ":roll(1, 2)",
    pad = "attn.pad(attn.ones(2, 2), 2, 1, 0)",
    cat = "attn.cat({attn.ones(2, 1), attn.zeros(2, 2)}, 2)", stack = "attn.stack({attn.ones(3), attn.zeros(3)}, 1)",
    clone = x .. ":clone()",
    -- choosing
    where = "attn.where(" .. x .. ":gt(0), " .. x .. ", 0)",
    gather = x .. ":gather(2, attn.tensor({{3}, {1}}, {dtype = 'int64'}))",
    scatter_add = "attn.zeros(2, 4):scatter_add(2, attn.tensor({{1, 1}, {4, 2}}, {dtype = 'int64'}), attn.ones(2, 2))",
    index_select = x .. ":index_select(2, attn.tensor({3, 1}, {dtype = 'int64'}))",
    masked_fill = x .. ":masked_fill(" .. x .. ":lt(0), 0)", masked_select = x .. ":masked_select(" .. x .. ":lt(0))",
    nonzero = x .. ":gt(2):nonzero()", mask = "attn.mask(attn.tensor({2, 4}, {dtype = 'int64'}), 5)",
    tril = "attn.ones(3, 3):tril()", triu = "attn.ones(3, 3):triu(1)",
    one_hot = "attn.one_hot(attn.tensor({2, 1}, {dtype = 'int64'}), 3)",
    -- layers
    ["layer.linear"] = "local layer = attn.layer.linear{inputs = 3, outputs = 2}\nprint(layer(attn.randn(4, 3)))",
    ["layer.embedding"] = "local words = attn.layer.embedding{count = 100, dim = 8}\nprint(words(attn.randint(1, 100, 2, 5)).shape)",
    ["layer.dropout"] = "local dropout = attn.layer.dropout{p = 0.5}\nprint(dropout(attn.ones(4)), dropout:eval()(attn.ones(4)))",
    ["layer.layernorm"] = "attn.layer.layernorm{dim = 8}(attn.randn(2, 8))",
    ["layer.rmsnorm"] = "attn.layer.rmsnorm{dim = 8}(attn.randn(2, 8))",
    ["layer.batchnorm"] = "attn.layer.batchnorm{channels = 3}(attn.randn(4, 3, 8, 8))",
    ["layer.groupnorm"] = "attn.layer.groupnorm{channels = 4, groups = 2}(attn.randn(2, 4, 8, 8))",
    ["layer.conv1d"] = "attn.layer.conv1d{inputs = 3, outputs = 8, kernel = 3, padding = 'same'}(attn.randn(2, 10, 3))",
    ["layer.conv2d"] = "attn.layer.conv2d{inputs = 3, outputs = 8, kernel = 3, padding = 1}(attn.randn(2, 3, 8, 8))",
    ["layer.positional"] = "attn.layer.positional{dim = 8}(attn.zeros(1, 5, 8))",
    ["layer.maxout"] = "attn.layer.maxout{inputs = 3, outputs = 2, pieces = 2}(attn.randn(4, 3))",
    ["layer.attention_pool"] = "local pool = attn.layer.attention_pool{inputs = 8, dim = 16}\n"
        .. "local vector, weights = pool(attn.randn(2, 5, 8), {lengths = attn.tensor({5, 3}, {dtype = 'int64'})})\n"
        .. "print(vector.shape, weights)",
    ["layer.cell"] = "local cell = attn.layer.cell{inputs = 3, hidden = 4, type = 'gru'}\nprint(cell(attn.randn(2, 3), attn.zeros(2, 4)))",
    attention = "local attend = attn.attention{query = 8, key = 6, score = 'additive', dim = 16}\n"
        .. "local context, weights = attend(attn.randn(2, 3, 8), attn.randn(2, 5, 6), {weights = true})\nprint(context.shape, weights.shape)\n"
        .. "local near = attn.attention{query = 8, heads = 2, tensors = {slope = attn.tensor{0.5, 0.1}:requires_grad_(true)},\n"
        .. "    score_mod = function(s, at) return s - at.slope[at.head] * (at.query - at.key):abs() end,\n"
        .. "    mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(16) end}\n"
        .. "local x = attn.randn(2, 40, 8)\nprint(near(x, x).shape, #near:parameters())",
    ["encoder.rnn"] = "local encoder = attn.encoder.rnn{inputs = 8, hidden = 16, cell = 'gru', bidirectional = true}\n"
        .. "local memory, last = encoder(attn.randn(2, 5, 8), {lengths = attn.tensor({5, 3}, {dtype = 'int64'})})\nprint(memory.shape, last.h[1].shape)",
    ["encoder.transformer"] = "local encoder = attn.encoder.transformer{dim = 16, heads = 2, layers = 2}\nprint(encoder(attn.randn(2, 5, 16)).shape)",
    ["decoder.rnn"] = "local decoder = attn.decoder.rnn{inputs = 8, hidden = 16, memory = 12, outputs = 20, attention = {score = 'general'}}\n"
        .. "print(decoder(attn.randn(2, 4, 8), attn.randn(2, 5, 12)).shape)",
    ["decoder.transformer"] = "local decoder = attn.decoder.transformer{dim = 16, heads = 2, layers = 1}\n"
        .. "print(decoder(attn.randn(2, 4, 16), attn.randn(2, 5, 16)).shape)",
    ["cache:fork"] = "local attend = attn.attention{query = 8, key = 8, heads = 2, project = true}\nlocal cache = attend:cache()\n"
        .. "attend(attn.randn(1, 1, 8), attn.randn(1, 1, 8), {cache = cache})\nlocal other = cache:fork()",
    ["cache:reorder"] = "local attend = attn.attention{query = 8, key = 8, heads = 2, project = true}\nlocal cache = attend:cache()\n"
        .. "attend(attn.randn(2, 1, 8), attn.randn(2, 1, 8), {cache = cache})\ncache:reorder(attn.tensor({2, 2}, {dtype = 'int64'}))",
    -- making tensors
    tensor = "attn.tensor{{1, 2}, {3, 4}}", zeros = "attn.zeros(2, 3)", ones = "attn.ones({2, 3}, {dtype = 'float64'})",
    empty = "attn.empty(2, 3)", full = "attn.full({2, 3}, 7)", rand = "attn.rand(2, 3)", randn = "attn.randn(2, 3)",
    randint = "attn.randint(1, 6, 10)", bernoulli = "attn.bernoulli(0.3, 5)", arange = "attn.arange(1, 10, 2)", eye = "attn.eye(3)",
    linspace = "attn.linspace(0, 1, 5)", randperm = "attn.randperm(5)", zeros_like = "attn.zeros_like(attn.ones(2))",
    ones_like = "attn.ones_like(attn.zeros(2))", empty_like = "attn.empty_like(attn.zeros(2))", full_like = "attn.full_like(attn.zeros(2), 3)",
    rand_like = "attn.rand_like(attn.zeros(2))", randn_like = "attn.randn_like(attn.zeros(2))",
    split = "for _, part in ipairs(attn.arange(1, 5):split(2)) do print(part) end",
    chunk = "for _, part in ipairs(attn.arange(1, 6):chunk(3)) do print(part) end",
    -- methods of tensors
    ["tensor:size"] = x .. ":size(2)", ["tensor:dim"] = x .. ":dim()", ["tensor:numel"] = x .. ":numel()",
    ["tensor:item"] = "attn.tensor{1, 2}:sum():item()", ["tensor:totable"] = x .. ":totable()[2][1]",
    ["tensor:to"] = "attn.tensor{1.7, -1.7}:to('int64')\nattn.tensor{{1, 2}, {3, 4}}:to('int8')", ["tensor:detach"] = x .. ":detach()",
    ["tensor:copy_"] = "attn.zeros(2, 3):copy_(" .. x .. ")", ["tensor:fill_"] = "attn.zeros(3):fill_(1)",
    ["tensor:free"] = "local t = attn.zeros(1000)\nt:free()", ["tensor:is_contiguous"] = x .. ":transpose(1, 2):is_contiguous()",
    ["tensor:requires_grad_"] = "attn.ones(2):requires_grad_(true)",
    ["tensor:backward"] = "local w = attn.tensor{1, 2}:requires_grad_(true)\nlocal loss = (w * w):sum()\nloss:backward()\nprint(w.grad)",
    ["tensor:zero_grad"] = "local w = attn.ones(2):requires_grad_(true)\nw:sum():backward()\nw:zero_grad()\nprint(w.grad)",
    -- differentiation and memory
    grad = "local w = attn.tensor{1, 2}:requires_grad_(true)\nprint(table.unpack(attn.grad((w ^ 3):sum(), {w})))",
    no_grad = "local w = attn.ones(2):requires_grad_(true)\nprint(attn.no_grad(function() return w * 2 end).requires_grad)",
    precision = "local x = attn.tensor{{1 + 2 ^ -8, 1}}\nprint(attn.precision(\"bf16\", attn.matmul, x, attn.ones(2, 1)), x:sum())",
    scope = "print(attn.scope(function() return attn.randn(100):sum() end))",
    keep = "attn.scope(function() kept = attn.keep(attn.ones(2)) end)\nprint(kept)",
    custom = "local square = attn.custom{forward = function(ctx, a) ctx.a = a return a * a end,\n"
        .. "    backward = function(ctx, g) return 2 * ctx.a * g end}\nprint(square(attn.tensor{3}))",
    anomaly = "attn.anomaly(true)\nattn.anomaly(false)",
    memory = "print(attn.memory())", memory_limit = "attn.memory_limit(4 << 30)\nattn.memory_limit(0)", reset_peak_memory = "attn.reset_peak_memory()",
    -- modules and optimizers
    module = "local Net = attn.module 'Net'\nfunction Net:init(c) self.out = attn.layer.linear{inputs = c.dim, outputs = 1} end\n"
        .. "function Net:forward(v) return self.out(v):sigmoid() end\nprint(Net{dim = 4}(attn.randn(2, 4)))",
    ["module:to_inference"] = "local net = attn.layer.linear{inputs = 64, outputs = 8}\nlocal x = attn.randn(1, 64)\nlocal y = net(x)\n"
        .. "net:to_inference 'int8'\nprint(net.weight.dtype, (net(x) - y):abs():max():item() < 0.1)\nnet:to 'float32'",
    clip_grad_norm = "local w = attn.ones(2):requires_grad_(true)\nlocal loss = (w * 100):sum()\nloss:backward()\nprint(attn.clip_grad_norm({w}, 1), w.grad)",
    clip_grad_value = "local w = attn.ones(2):requires_grad_(true)\nlocal loss = (w * 100):sum()\nloss:backward()\nattn.clip_grad_value({w}, 1)\nprint(w.grad)",
    ["optimizer:step"] = "local layer = attn.layer.linear{inputs = 2, outputs = 1}\n"
        .. "local optimizer = attn.optim.adam{params = layer:parameters(), lr = 1e-2}\n"
        .. "layer(attn.randn(8, 2)):square():mean():backward()\noptimizer:step()\noptimizer:zero_grad()",
    -- files
    save = "local path = os.tmpname()\nattn.save(path, {weights = attn.ones(2), step = 7})\nprint(attn.load(path).step)\nos.remove(path)",
    ["safetensors.save"] = "local path = os.tmpname()\nattn.safetensors.save(path, {w = attn.ones(2)})\n"
        .. "print(attn.safetensors.load(path).w)\nos.remove(path)",
    ["npy.save"] = "local path = os.tmpname()\nattn.npy.save(path, attn.ones(2, 3))\nprint(attn.npy.load(path))\nos.remove(path)",
    ["image.save"] = "local path = os.tmpname()\nattn.image.save(path, attn.rand(3, 8, 8))\nprint(attn.image.load(path).shape)\nos.remove(path)",
    lines = "local path = os.tmpname()\nio.open(path, 'w'):write('one\\ntwo\\n'):close()\n"
        .. "for _, line in ipairs(attn.lines(path)) do print(line) end\nos.remove(path)",
    ["json.encode"] = "attn.json.encode({name = 'run', losses = {1.5, 1.2}})", ["json.decode"] = "attn.json.decode('[1, 2, 3]')[2]",
    list_folder = "attn.list_folder('.')", mkdir = "local path = os.tmpname()\nos.remove(path)\nattn.mkdir(path)\nos.remove(path)",
    lock = "local path = os.tmpname()\nlocal lock = attn.lock(path)\nos.remove(path)",
    -- the machine
    seed = "attn.seed(1)\nprint(attn.rand(1))", random_state = "local state = attn.random_state()\nattn.random_state(state)",
    threads = "attn.threads()", simd = "attn.simd()", blas = "attn.blas()", clock = "local start = attn.clock()\nprint(attn.clock() - start)",
    crc32 = "local path = os.tmpname()\nprint(attn.crc32(path))\nos.remove(path)", isatty = "attn.isatty(1)", terminal_width = "attn.terminal_width()",
    terminal_height = "attn.terminal_height()",
    ["unicode.category"] = "attn.unicode.category(utf8.codepoint 'a')", ["unicode.normalize"] = "attn.unicode.normalize('e\\u{301}', 'NFC')",
    ["unicode.width"] = "attn.unicode.width('\\u{6CE8}')",
}
for _, pair in ipairs{{"load", "save"}, {"safetensors.load", "safetensors.save"}, {"npy.load", "npy.save"}, {"image.load", "image.save"},
    {"optimizer:zero_grad", "optimizer:step"}} do
    list[pair[1]] = list[pair[2]]
end
for _, name in ipairs{"sgd", "adam", "adamw", "adagrad", "adadelta", "rmsprop", "lion", "adan", "lamb", "radam"} do
    list["optim." .. name] = ("local layer = attn.layer.linear{inputs = 2, outputs = 1}\n"
        .. "local optimizer = attn.optim.%s{params = layer:parameters(), lr = 1e-2}"):format(name)
end
list["optimizer:state"] = list["optim.adam"] .. "\nprint(optimizer:state())"
list["optimizer:load"] = list["optim.adam"] .. "\noptimizer:load(optimizer:state())"
return list
