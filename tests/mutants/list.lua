-- Changes that a test must notice, one for each kind of mistake: name, file, the text that is there exactly once, what takes
-- its place, and the tests that are asked first (tests/c/NAME.c as c:NAME).
--
-- Kernels are changed at one width of vectors only: sizeof(vec) is 16 (base), 32 (AVX2) or 64 (AVX-512); the level that a
-- processor needs for it comes last.
local rows, gradients = "attn/op/rows.c", "tests/registry_test.lua"
local golden, walk, optim = "tests/golden/golden_test.lua", "tests/attention/walk_test.lua", "tests/optim/optim_test.lua"
local winograd = "tests/op/winograd_test.lua"
local kernels = "c:kernel_f32_test c:kernel_f64_test"
local expression, modify = "tests/stdlib/expression_test.lua", "tests/attention/modify_test.lua"
local kept = "tests/core/kept_test.lua"
local profile = "tests/stdlib/profile_test.lua"

return {
    -- distributions, backward
    {"softmax back", "attn/kernel/softmax.c", "(get(dy + i, len) - dot)", "(get(dy + i, len) + dot)", gradients},
    {"sparsemax back", "attn/row/sparsemax.c", "dx[j] += (real)((double)dy[j] - sum / count);", ";", gradients},
    {"entmax15 back", "attn/row/entmax15.c", "sum += root * (double)dy[j];", "sum += (double)dy[j];", gradients},
    {"entmax back", "attn/row/entmax.c", "(double)y[j] / (1 + w) * over", "(double)y[j] * over", gradients},
    {"entmax by alpha", "attn/row/entmax.c", "u * u * curve(w, log_base) * over", "u * curve(w, log_base) * over", gradients},
    {"sigmoid back", "attn/row/sigmoid.c", "dy[j] * y[j] * (1 - y[j])", "dy[j] * y[j] * (1 + y[j])", gradients},
    {"hard_sample back", "attn/row/hard.c", "(y[j] - b->p[j])", "(y[j] + b->p[j])", gradients},
    -- scores
    {"additive back", "attn/kernel/pair.c", "(1 - t * t)", "(1 - t)", gradients},
    {"cosine back", "attn/op/unit_rows.c", "(double)dy[i] - dot * (double)y[i]", "(double)dy[i] + dot * (double)y[i]", gradients},
    {"activated back", "attn/op/score_act.c", "return y * (1 - y);", "return y + (1 - y);", gradients},
    {"scaled_dot", "attn/attention/score/dot.c", "pair->scale = 1 / sqrt((double)d);", "pair->scale = 1 / (double)d;", golden},
    {"synthesizer places", "attn/attention/score/synthesizer.c", "at_narrow(g, r, -2, first + 1, Tq)", "at_narrow(g, r, -2, 1, Tq)",
     walk},
    -- windows, off by one
    {"band", "attn/attention/window/band.c", "i + s[RIGHT].integer + 1", "i + s[RIGHT].integer", golden},
    {"monotonic", "attn/attention/window/monotonic.c", "step - 1 - (int64_t)s[RADIUS].number", "step - (int64_t)s[RADIUS].number", golden},
    {"predictive", "attn/attention/window/predictive.c", "ceil(p - s[RADIUS].number) - 1", "ceil(p - s[RADIUS].number)", golden},
    {"gauss back", "attn/op/attend_gauss.c", "dp += dy * w * factor * scale * x;", "dp -= dy * w * factor * scale * x;", gradients},
    -- positions
    {"rope back", "attn/op/rope.c", "b * cosine - a * sine;", "b * cosine + a * sine;", gradients},
    {"alibi", rows, "- slope * fabs(", "+ slope * fabs(", golden},
    {"sinusoids", "attn/layer/positional.c", "2 * (double)(k / 2) / (double)dim", "(double)k / (double)dim", golden},
    -- layers, encoders, decoders
    {"attention_pool", "attn/layer/attention_pool.c", "t >= (size_t)n", "t > (size_t)n", golden},
    {"embedding", "attn/op/embedding.c", "at_in(c, 1) + (size_t)(ids[i] - 1) * D", "at_in(c, 1) + (size_t)(ids[i] - 1) + D", golden},
    {"dropout", "attn/op/dropout.c", "stay > 0 ? (real)(1 / stay) : 0", "stay > 0 ? 1 : 0", "tests/op/dropout_test.lua"},
    {"encoder.rnn back", "attn/op/rnn.c", "ptrdiff_t back = d == 0 ? -1 : 1;", "ptrdiff_t back = -1;", gradients},
    {"encoder.transformer", "attn/encoder/transformer.c", ".causal = p->option[CAUSAL].flag}", ".causal = false}", golden},
    {"decoder.rnn", "attn/decoder/rnn.c", "{context, s}, -1)", "{s, context}, -1)", golden},
    {"decoder.rnn of a module", "stdlib/decoder_rnn.lua", "attn.cat({context, run.h}, 2)", "attn.cat({run.h, context}, 2)",
     "tests/stdlib/decoder_rnn_test.lua"},
    {"decoder.rnn of a module, past", "stdlib/decoder_rnn.lua", "step = run.step,\n        attention = run.own}", "step = run.step}",
     "tests/stdlib/decoder_rnn_test.lua"},
    {"decoder.rnn of a module, reorder", "stdlib/decoder_rnn.lua", "else new[name] = search.reorder(value, rows) end",
     "else new[name] = value end", "tests/stdlib/decoder_rnn_test.lua"},
    {"loss.copy back", "attn/op/copy.c", "dw[r * S + s] -= dy * saved[U];", "dw[r * S + s] += dy * saved[U];", gradients},
    {"loss.copy back, gate", "attn/op/copy.c", "(real)(exp(keep) - exp(a - logp))", "(real)(exp(keep) - 1)", gradients},
    {"loss.copy, bounded", "attn/op/copy.c", "u > 1 / smallest ? 1 / smallest : u", "u", "tests/op/copy_test.lua"},
    {"loss.copy, sentences", "attn/op/copy.c", "r / (rows_of(c) / c->in[IDS]->size[0])", "r % c->in[IDS]->size[0]",
     "tests/op/copy_test.lua"},
    {"event files", "stdlib/runs_export.lua", "x >> 15 | x << 17", "x >> 17 | x << 15", "tests/stdlib/runs_test.lua"},
    {"estimate of progress", "stdlib/progress_bar.lua", "(self.done - self.counted)", "self.done", "tests/stdlib/progress_test.lua"},
    {"points of a polygon", "stdlib/show_points.lua", "(a[2] <= y) ~= (b[2] <= y)", "a[2] <= y", "tests/stdlib/show_points_test.lua"},
    {"page of attention, masked", "stdlib/show_html.lua", "pooled.masked:ne(0), MASKED", "pooled.masked:ne(0), 0",
     "tests/stdlib/show_html_test.lua"},
    {"all differences", "stdlib/test.lua", "amount > found.amount", "amount < found.amount", "tests/stdlib/test_test.lua"},
    {"time limit of a case", "vm/runner.c", "f->kill_at = f->case_start + f->limit;", ";", "tests/cli/runner_test.lua"},
    {"text.extend", "stdlib/text.lua", "#vocabulary + #extended.own + 1", "#vocabulary + i", "tests/stdlib/text_test.lua"},
    {"search.copy", "stdlib/search.lua", "copied - gate:softplus():unsqueeze(2)", "copied", "tests/stdlib/search_test.lua"},
    {"decoder.rnn back", "attn/op/decode.c", "K->pair->additive_back(S, D, query, keys, D, at_in(c, V), de, dq, dk, D, dv);",
     "K->pair->additive_back(S, D, query, keys, D, at_in(c, V), da, dq, dk, D, dv);", gradients},
    {"decoder.transformer", "attn/decoder/transformer.c", "LENGTHS), .causal = true}", "LENGTHS), .causal = false}", golden},
    -- masks, caches
    {"key_mask", rows, "m[j] &= row[j * s->key_mask[1]] != 0;", "m[j] |= row[j * s->key_mask[1]] != 0;", walk},
    {"cache fork", "attn/attention/cache.c", "s && s->used == length && n", "s && n", "tests/attention/cache_test.lua"},
    {"cache reorder", "attn/attention/cache.c", "r * before->step[0]", "0 * r", "tests/attention/cache_test.lua"},
    -- optimizers, schedules
    {"sgd", "attn/kernel/step.c", "p[i] -= rate * (nesterov ? d + mu * mi : mi);", "p[i] += rate * (nesterov ? d + mu * mi : mi);",
     optim},
    {"adam", "attn/optim/adam.c", "1 - pow(beta2, t)", "1 - beta2", optim},
    {"adadelta", "attn/kernel/step.c", "r1 * step * step", "r1 * step + step", optim},
    {"clip", "attn/optim/optim.c", "max / (*norm + 1e-6)", "max * (*norm + 1e-6)", "tests/optim/clip_test.lua"},
    {"cosine schedule", "stdlib/schedule.lua", "(1 + math.cos(", "(1 - math.cos(", "tests/stdlib/schedule_test.lua"},
    {"plateau", "stdlib/schedule.lua", "self.bad > self.patience", "self.bad >= self.patience", "tests/stdlib/schedule_test.lua"},
    -- search, penalties, losses, metrics
    {"no_repeat", "stdlib/search.lua", "for k = 1, n - 1 do", "for k = 1, n do", "tests/stdlib/search_test.lua"},
    {"coverage penalty", "stdlib/search.lua", "math.log(math.min(1,", "math.log(math.max(1,", "tests/stdlib/search_test.lua"},
    {"disagreement", "stdlib/penalty.lua", "(B * T * H * H)", "(B * T * H + H)", "tests/stdlib/penalty_test.lua"},
    {"nll mean", "attn/op/nll.c", "== MEAN ? at_weight_of_targets(c, 1, 2) : 1", "== MEAN ? (double)at_numel(c->in[1]) : 1", "tests/op/nll_test.lua"},
    {"loss mean back", "attn/op/loss.c", "== MEAN ? *at_dout(c, 0) / (real)n : *at_dout(c, 0)", "== SUM ? *at_dout(c, 0) / (real)n : *at_dout(c, 0)",
     gradients},
    {"brevity", "stdlib/metric.lua", "math.exp(1 - ref_length / hyp_length)", "math.exp(1 - hyp_length / ref_length)",
     "tests/stdlib/metric_test.lua"},
    -- random numbers, files, batches
    {"random counter", "attn/core/random.c", "(uint64_t)n / 32 + (n % 32 != 0)", "(uint64_t)n / 32", "tests/core/random_test.lua"},
    {"random rounds", "attn/core/random.c", "round < 10", "round < 9", "tests/core/random_test.lua c:random_test"},
    {"safetensors bytes", "attn/io/safetensors.c", "it->end < it->begin || it->end - it->begin != bytes", "it->end < it->begin",
     "tests/io/safetensors_test.lua"},
    {"int8 rounding", "attn/kernel/kept.c", "x[i] / scale + ROUND - ROUND", "x[i] / scale", kept},
    {"rest of a kept row", "attn/kernel/kept.c", "memcpy(rest, w + j * (size_t)bytes, (k - j) * (size_t)bytes);", ";", kept},
    {"kept weights and gradients", "attn/core/call.c", "if (at_recording(c))\n        return at_fail", "if (false)\n        return at_fail",
     kept},
    {"model at rest", "attn/layer/layer.c", "t->rests = t->rests || t->requires_grad;", ";", "tests/layer/inference_test.lua"},
    {"bfloat16 to even", "attn/kernel/bf16.c", "+ 0x7fff + (b >> 16 & 1)", "+ 0x8000", "tests/core/precision_test.lua"},
    {"half floats to even", "attn/io/file.c", "nearbyint(ldexp", "round(ldexp", "tests/io/safetensors_test.lua"},
    {"safetensors header", "attn/io/safetensors.c", "length > s->size - 8 ||", "", "tests/io/safetensors_test.lua"},
    {"batch padding", "stdlib/data.lua", "new[j] = 0 end", "new[j] = 1 end", "tests/stdlib/data_test.lua"},
    {"batch shift", "stdlib/data.lua", "padded(rows, where, nil, self.eos)", "padded(rows, where, nil, self.bos)",
     "tests/stdlib/data_test.lua"},
    -- images
    {"pool place", "attn/kernel/pool.c", "bool take = (v > old) | (v != v);", "bool take = (v >= old) | (v != v);", "tests/op/pool_test.lua"},
    {"pool lengths", "attn/op/pool.c", "if (end > size + 2 * p->ph)", "if (end > size + p->ph)", golden},
    {"batchnorm back", "attn/op/batchnorm.c", "-w * r * sum / n", "w * r * sum / n", gradients},
    {"batchnorm running", "attn/layer/batchnorm.c", "n / (n - 1)", "1", golden},
    {"groupnorm back", "attn/op/groupnorm.c", "-q * sum / (double)g.I", "q * sum / (double)g.I", gradients},
    {"grid_sample border", "attn/op/grid_sample.c", "!(x > 0) || x >= n - 1", "!(x > 0)", golden},
    {"glimpse place", "attn/op/glimpse.c", "(double)length / 2 - n / 2 + 0.5)", "(double)length / 2 - n / 2)", golden},
    {"filter back", "attn/kernel/winograd.c", "y[3] = -b;", "y[3] = b;", winograd},
    {"filter of odd sizes", "attn/op/winograd.c", "plane % 4 < 3 ||", "plane % 4 < 2 ||", winograd},
    {"filter of what is not finite", "attn/op/winograd.c", "    if (!finite)", "    if (false)", winograd},
    {"png header", "attn/io/png.c", "if (stored / SHRINKS > p->source.size)", "if (false)", "tests/io/png_test.lua"},
    -- functions of the script
    {"map back, broadcast", "attn/op/map.c", "dx[k].sum = d && !wide ? sums + at : NULL;", "dx[k].sum = d && !wide ? sums : NULL;", expression},
    {"score_mod, span", "attn/op/score_mod.c", ".from = {0, span.lo}", ".from = {0, 0}", modify},
    {"weights below rounding", "attn/kernel/attend.c", "(real)-71 : (real)-672", "(real)-100 : (real)-740", "tests/attention/tiled_test.lua"},
    {"places that run backwards", "attn/kernel/expression.c", "sum[-(ptrdiff_t)c] += (double)open[c];", "sum[c] += (double)open[c];", modify},
    {"distances, shifted", "attn/op/machine.h", "(size_t)(hi - at_integer(base + r))", "(size_t)(hi - at_integer(base))", modify},
    {"distances, gradient", "attn/kernel/expression.c", "put(y + i, len, get(y + i, len) + v);", "put(y + i, len, v);", modify},
    {"distances, several", "stdlib/expression.lua", "if n.args[2] == base then on = DISTANCE end", "on = DISTANCE", modify},
    {"quotients by one number", "attn/kernel/expression.c", "outside |= ~((a > near) & (a < far));", ";", expression},
    {"rest by one number", "attn/kernel/expression.c", "r += b & -below;", ";", modify},
    {"integers grouped anew", "stdlib/expression.lua", "a.op == \"int_add\" and op or inverse[op]", "op", expression},
    {"profile, what is inside", "attn/core/profile.c", "row->ns += ns - t->inside;", "row->ns += ns;", profile},
    {"profile, module of a node", "attn/core/profile.c", "node->path >= run.first ? node->path - run.first : 0;", "0;", profile},
    -- kernels, one width each
    {"base: attend back", "attn/kernel/attend.c", "k = splat(scale);", "k = splat(sizeof(vec) == 16 ? -scale : scale);", kernels},
    {"AVX2: layernorm", "attn/kernel/norm.c", "real mean = across(s) / (real)n;", "real mean = across(s) / (real)(n + (sizeof(vec) == 32));",
     kernels, "AVX2"},
    {"AVX-512: softmax", "attn/kernel/softmax.c", "total == 0 ? 0 : 1 / total;", "total == 0 ? 0 : 1 / (total + (sizeof(vec) == 64));",
     kernels, "AVX-512"},
    {"gru back", "attn/kernel/gate.c", "vec dr = dm * hn * r * (1 - r);", "vec dr = dm * hn * r;", gradients},
}
