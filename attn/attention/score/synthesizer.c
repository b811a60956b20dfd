/*
 * synthesizer_dense, synthesizer_random: scores that no key takes part in       (Tay et al. 2021)
 *
 *   dense    e_ij = (W2 relu(W1 q_i + b1) + b2)_j    weight1 [dim, query], bias1 [dim], weight2 [max_keys, dim], bias2
 * [max_keys] random   e_ij = R_ij                             weight [max_queries, max_keys]; trainable = false: a
 * buffer
 *
 * Both are tables; the first Tq rows of R and the first Tk columns are used.
 */
#include "attn/attention/part.h"

enum { WEIGHT1, BIAS1, WEIGHT2, BIAS2 };
enum { MAX_KEYS, MAX_QUERIES, TRAINABLE };

static const at_field dense_fields[] = {[MAX_KEYS] = AT_FIELD_MAX_KEYS, {0}};
static const at_field random_fields[] = {
    [MAX_KEYS] = AT_FIELD_MAX_KEYS,
    [MAX_QUERIES] = {"max_queries", AT_FIELD_INTEGER, .required = true, AT_POSITIVE,
                     .help = "the most queries a call may have"},
    [TRAINABLE] = {"trainable", AT_FIELD_FLAG, .value = true, .help = "false: the table is a buffer"},
    {0},
};

static void dense(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    at_tensor *hidden = at_per_head(
        g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT1), false, at_part_param_of(l, AT_PART_SCORE, BIAS1));
    pair->table = at_per_head(g, at_unary(g, AT_ID_relu, hidden), at_part_param_of(l, AT_PART_SCORE, WEIGHT2), false,
                              at_part_param_of(l, AT_PART_SCORE, BIAS2));
}

static void random_rows(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    at_tensor *r = at_part_param_of(l, AT_PART_SCORE, 0);
    int64_t rows = (int64_t)r->size[r->ndim - 2], Tq = (int64_t)q->size[1];
    if (first + Tq > rows) {
        at_refuse(g, "queries reach place %lld, but max_queries is %lld", (long long)(first + Tq), (long long)rows);
        return;
    }
    r = at_narrow(g, r, -2, first + 1, Tq); /* [Tq, M] or [H, Tq, M] */
    r = r && r->ndim == 2 ? at_unsqueeze(g, r, 2) : at_transpose(g, r, 1, 2);
    pair->table = at_unsqueeze(g, r, 1); /* [1, Tq, H, M] */
}

AT_SCORE(synthesizer_dense, .part.formula = "(W2 relu(W1 q + b1) + b2)_j", .part.source = "Tay et al. 2021",
         .pair = AT_PAIR_TABLE, .act = AT_ACT_NONE, .part.fields = dense_fields, .keyless = true,
         .part.param = {[WEIGHT1] = {"weight1", {AT_SIZE_DIM, AT_SIZE_QUERY}},
                        [BIAS1] = {"bias1", {AT_SIZE_DIM}, .bias = true},
                        [WEIGHT2] = {"weight2", {AT_SIZE_FIELD(MAX_KEYS), AT_SIZE_DIM}},
                        [BIAS2] = {"bias2", {AT_SIZE_FIELD(MAX_KEYS)}, .bias = true}},
         .query = dense);

AT_SCORE(synthesizer_random, .part.formula = "R_ij", .part.source = "Tay et al. 2021", .pair = AT_PAIR_TABLE,
         .act = AT_ACT_NONE, .part.fields = random_fields, .keyless = true,
         .part.param = {{"weight", {AT_SIZE_FIELD(MAX_QUERIES), AT_SIZE_FIELD(MAX_KEYS)}, .fixed_by = "trainable"}},
         .query = random_rows);
