-- help_topics: what `attn help TOPIC` says of things that are no names.
return {
    tensors = [[
Tensors are arrays of numbers of one dtype: attn.tensor{{1, 2}, {3, 4}}, attn.zeros(2, 3), attn.randn(2, 3, {dtype = "float64"}).
x.shape, x.dtype, x:dim(), x:numel(); x + y, x * 2, x:sum(-1), x:matmul(y); shapes broadcast. Functions are methods too:
attn.softmax(x) is x:softmax(). Dimensions and places count from 1, negative ones from the end. A view (narrow, select, transpose,
t[i]) shares its numbers with its source. x:item() is the number of a tensor of one, x:totable() nested tables.
x:requires_grad_(true) makes a leaf; y:backward() fills x.grad; attn.no_grad(f) records nothing.]],
    indexing = [[
t[i] is entry i of the first dimension (-1 the last), a view; t[i][j] goes on. t[ids] (int64, any shape) are the entries with these
numbers, t[mask] (bool, of the first dimensions) those where it is true: copies, with gradient. t[...] = value writes. Ranges:
t:narrow(d, first, count), t:select(d, i). By numbers along a dimension: gather, index_select, scatter_add; by truth: where, masked_fill,
masked_select, nonzero. A place beyond the end is an error that says how many there are.]],
    masks = [[
Masks are bool, true means "may be attended to". attn.mask(lengths, T) makes [B, T] from lengths. attend(q, k, v, {lengths =, key_mask =
[B, Tk], mask = [Tq, Tk] or [B, Tq, Tk] or [B, H, Tq, Tk], causal = true}) combine: all must be true. A query that may attend to nothing
gets a zero context, zero weights and zero gradients. sum, mean, max, min, logsumexp and softmax take {mask =}. & | ~ join masks.]],
    dtypes = [[
float32 (the default), float64, int64 (ids, lengths, places), bool (masks), uint8 (storage: images, bytes). Operands must agree; a
number takes the tensor's dtype; bool times float is float. t:to("float64") converts; model:to("float64") a whole module. Literals of
integers make float32 tensors unless {dtype = "int64"} is said; attn.arange and attn.randint make int64.]],
    modules = [[
local Net = attn.module "Net"; function Net:init(cfg) self.out = attn.layer.linear{...} end; function Net:forward(x) ... end.
Net{...} makes one, net(x) calls forward. Fields that are layers, modules, tensors made by attn.parameter, or tables of these are its
parts: net:parameters(), net:named_parameters(), net:count(), net:train(), net:eval(), net:to(dtype), net:state(), net:load(state);
net:to_inference "bf16" or "int8" keeps the weights in fewer bits (module:to_inference).
attn.sequential{...} chains parts. print(net) shows the tree.]],
    layers = [[
attn.layer.NAME{field = value}: linear, embedding, layernorm, rmsnorm, batchnorm, groupnorm, conv1d, conv2d, cell, dropout, maxout,
positional, attention_pool. attn.attention{...}, attn.encoder.rnn, attn.encoder.transformer, attn.decoder.rnn,
attn.decoder.transformer are layers too. A wrong field is an error that names the known ones. Parameters are fields: layer.weight.]],
    losses = [[
attn.loss.NAME(prediction, target, {reduction = "mean" | "sum" | "none"}): cross_entropy (logits and ids; a target of 0 is ignored), nll,
mse, l1, huber, bce, bce_logits, kl, margin, copy. cross_entropy takes smoothing, class weights and lengths (see its help).]],
    optimizers = [[
attn.optim.NAME{params = model:parameters(), lr = 1e-3}: sgd, adam, adamw, adagrad, adadelta, rmsprop, radam, lamb, lion, adan.
optimizer:zero_grad(), loss:backward(), optimizer:step(). params may be groups: {{params = ..., lr = ...}, ...}. optimizer.lr is the
rate and may be set; attn.schedule has curves of it. attn.clip_grad_norm(params, max) bounds gradients.]],
    training = [[
attn.train.loop{model =, optimizer =, data = batches, loss = function(batch) ... end, steps = 1000, every = 100, evaluate =} trains with
a line of progress, checkpoints and early stopping; with run = attn.run.start(...) it keeps a folder, and --resume goes on bit for bit.
attn.data.batches makes batches of padded fields with lengths; attn.fit is the short loop of a study. attn.train.ema averages.]],
    testing = [[
attn test [paths] runs files named *_test.lua, several at a time. In a file: local t = require "attn.test"; t.case("what holds",
function() t.equal(a, b); t.near(x, y, 1e-6); t.raises(f, "text"); t.is_true(v) end). attn.checkgrad(f, inputs) compares gradients with
finite differences in float64. attn.seed makes what is random repeat. -v prints every case, --failed runs what failed the last
time (.attn-failed lists it), --watch runs again when a file changes, --timeout is the time limit of a case.]],
    studies = [[
An experiment stated once: local paper = require "attn.study"{options =, quick =, seeds = 3}; paper:table{name =, vary = rows, run =};
paper:claim{text, sample, at_least =}; return paper:main{Model = Model}. Cells run in processes and leave files; attn report shows all.
See study, study:table, study:claim, task, corpus, fit, and scripts/README.md.]],
    speed = [[
All cores compute (ATTN_THREADS), with the widest vectors of the processor (ATTN_SIMD); results do not depend on the number of threads.
model:to_inference "bf16" or "int8" keeps the weights in a half or a quarter of the bytes: a token at a time comes 2 or 3 times as fast.
attn.precision "bf16": products of float32 tensors take their inputs rounded to bfloat16; several times faster where there is AMX.
Few large calls beat many small ones: batch, use lengths and masks, keep loops over time in encoder.rnn and decoder.rnn. attn.scope(f)
frees what f made at once; attn.no_grad saves memory where no gradient is wanted; attn.checkpoint computes activations again.
float32 is twice as fast as float64. `attn --profile script.lua` and attn.profile(fn) show where the time goes, by operation and by
module, beside what the machine can do. `make bench` measures against PyTorch.]],
    conventions = [[
Indices, dimensions, token and class ids start at 1; a negative dimension counts from the end. Id 0 is padding: its embedding is
zero, a target of 0 is ignored. Batch first: [B, T, D]. Masks are bool, true means "may be attended to"; lengths are int64 [B].
A query that may attend to nothing gets a zero context, zero weights, zero gradients. dtypes: float32, float64, int64, bool,
and uint8 for storage (images, bytes): made, indexed, moved, compared, converted and saved, not computed with. bfloat16 and int8 are
weights kept for inference (module:to_inference): linear and embedding read them, t:to "float32" makes numbers of them.]],
    environment = [[
ATTN_THREADS           how many threads compute; without it as many as there are processors. Results do not depend on it.
ATTN_SIMD              base, avx2 or avx512: the widest vectors that kernels may use; without it the widest the processor has, and its matrix unit.
ATTN_GEMM              own or openblas: what multiplies matrices; without it the faster for each shape.
ATTN_DATA              the folder where scripts look for data sets; the option --data DIR of a script comes first.
ATTN_PROGRESS          0 for no lines of progress; else the seconds between them where there is no terminal (30).
ATTN_HISTORY           the file of the session's history, empty for none; without it $XDG_STATE_HOME/attn/history or
                       $HOME/.attn_history.
ATTN_STDLIB            a folder whose files are taken instead of the Lua modules inside the executable.
ATTN_ALLOW_BYTECODE=1  leaves load, loadfile and dofile as Lua made them, so that they take bytecode.
ATTN_EXE               set by attn test for the files it runs: the executable.
PAGER                  what shows help that does not fit the terminal; without it less, empty for nothing.
NO_COLOR               not empty, or TERM=dumb: no colours (attn --color=always or never says otherwise). With COLORTERM=truecolor or 24bit finer ones.
XDG_CONFIG_HOME        the session begins with attn/init.lua in this folder; without it in $HOME/.config. attn -E leaves it out.
LUA_PATH, LUA_CPATH    where require looks. LUA_INIT: a statement, or @FILE, that runs first. LUA_PATH_5_4, LUA_CPATH_5_4 and
                       LUA_INIT_5_4 come before these. attn -E ignores all of them.]],
    task = [[
Synthetic tasks, attn.task.NAME(options, seed), whose answer, whose source of the answer (the gold attention) and whose best value
are known: batches for train.loop, for batch in b:epoch(n), #b, b:state(), b:load(state). Options of all: size (of a batch), count
(examples; another seed draws others, for testing), shuffle. attn's random state is neither used nor changed; what a rule fixes, a
dictionary say, is the same for all seeds.
A batch has the fields of the task (ids from 1, padded with 0, with NAME_lengths; target also as target_in, b.bos first, and
target_out, b.eos last) and gold, the attention that reads the answer, [B, queries, keys]: each row sums to 1, or is zero where
nothing is read (the row of eos, padding). b.vocabulary is how many ids the source has, b.targets how many the target has with bos
and eos, b.answers how many classes answer has. b.optimum is the best that can be reached: {accuracy = 1, loss = 0} where the source
decides.]],
    session = [[
An expression is printed, also as the last statement of an entry (a = 1; a); a trailing ; hides it; _ is the last value. A `local`
at the top of an entry lives on: it becomes a global at the entry's end. ?name, ?variable and ?object:method show help, :time [N]
expression measures (N times: the median), :prof expression shows where its time goes (attn.profile), :who lists the names, their shapes and bytes, :mem shows memory; exit, quit or Ctrl-D
leaves. Tab completes names: what is behind a value or a call (attn.softmax(x):tr), fields inside braces (attn.layer.linear{inp),
options of calls, words of a choice (score = "add), files in other strings; nothing of yours is run for it. Up and Down go through
the entries that begin as the line does, Ctrl-R searches. What is pasted is one entry, a copied prompt in front of every line is
dropped. Errors name the entry: [12]:1. A global that has no value is nil, as in Lua, but the session says that it was read, and
what was probably meant (scripts: attn -g). attn -i script.lua goes on behind a script, also one that failed, with its globals and
the locals of its main chunk where it failed. Ctrl-C stops what runs.]],
    runs = [[
A script that begins with attn.run.start keeps a folder for each run: options, metrics, checkpoints, what it printed.

]] .. require "attn.runs".usage .. [[


A run is `running` while a process holds it, `finished` once its script came to the end, else `stopped`: the script goes
on with --resume [ID]. A train.loop that has a name keeps its metrics and checkpoints in loops/NAME of the folder, and is listed
under its run. diff tells the options that differ, what was measured, and the first step where the losses part.
plot draws a measure of one or several runs over the steps, on a logarithmic scale with --log, also to an SVG file.
See run.start for what scripts write, run.list, run.find and run.metrics for reading it.]],
    report = require "attn.report".usage .. [[


The list of systems is the project's own (attn.systems); a study says which it measures: study{system = {"E9"}}, a claim with
id = "E9" is about that one alone. Maps, texts and pictures are what cells keep: cell:keep, see study:table. A file that cannot be
read is named and the rest shown. It is a report, not a test: claims that fail do not make it fail.]],
}
