/*
 * one_hot: for every id a row with 1 at its place and 0 elsewhere; id 0 (padding) gives zeros only. No gradient.
 *
 *   ids   any shape, int64: 0..count
 *   y     [..., count], float32 unless the option dtype says otherwise
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"

static const at_dtype dtypes[] = {AT_F32, AT_F64, AT_I64, AT_BOOL, AT_U8};

static bool shape(at_call *c)
{
    const at_tensor *ids = c->in[0];
    int64_t count = c->arg[0].integer;
    size_t size[AT_MAX_DIM], n = at_numel(ids);

    if (count < 0)
        return at_fail(c, "count is %lld, expected at least 0", (long long)count);
    if (ids->ndim == AT_MAX_DIM)
        return at_fail(c, "ids has %d dimensions, expected at most %d", AT_MAX_DIM, AT_MAX_DIM - 1);
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        if (at_ids(ids)[i] < 0 || at_ids(ids)[i] > count)
            return at_fail(c, "id %lld is out of range, ids are 1..%lld, 0 is padding (ids: %s)",
                           (long long)at_ids(ids)[i], (long long)count, at_describe(ids).text);
    if (!at_uninterrupted(c->error))
        return false;
    memcpy(size, ids->size, sizeof size);
    size[ids->ndim] = (size_t)count;
    return at_out_type(c, dtypes[c->arg[1].integer], ids->ndim + 1u, size);
}

static void one_hot_forward(const at_call *c)
{
    at_tensor *y = c->out[0];
    size_t n = at_numel(c->in[0]), count = (size_t)c->arg[0].integer, bytes = at_dtype_bytes((at_dtype)y->dtype);
    uint64_t word = 0;
    at_tensor one = {.dtype = y->dtype, .data = (char *)&word};

    at_fill(&one, 1);
    at_zero(y->data, n * count * bytes);
    AT_PIECES(i, end, n)
    for (; i < end; i++) {
        int64_t id = at_ids(c->in[0])[i];
        if (id > 0)
            memcpy(y->data + (i * count + (size_t)id - 1) * bytes, &word, bytes);
    }
}

AT_MOVE_OP(one_hot,
           .args = {{"ids", AT_IDS},
                    {"count", AT_INTEGER},
                    {"dtype", AT_CHOICE, .optional = true, .option = true,
                     .choices = "float32|float64|int64|bool|uint8"}},
           .shape = shape, .forward = one_hot_forward, .gradient = AT_NO_GRADIENT,
           .help = "one_hot(ids (int64), count, {dtype = \"float32\"}) -> y [..., count]\n"
                   "1 at the place of each id, 1..count, and 0 elsewhere; id 0 gives a row of zeros.");
