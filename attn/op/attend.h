/*
 * What the operations of attention share: kinds of pairs, and spans.
 *
 * A span says which keys a query may look at: lo .. lo + n - 1, counted from 0. Lengths, causal order and windows
 * are spans, and scores and weights are stored by span: column c of a query's row is key lo + c, a row is as wide as
 * the widest span. So work and memory go with the window, not with the number of keys. Masks leave out keys inside a
 * span.
 *
 *   span      int64 [B, Tq, 2]: lo, n; NULL: all keys
 *   scores    [B, H, Tq, W]     zeros behind a row's n columns
 *   q         [B, Tq, H, D]     k, v  [B, Tk, Hk, D], where query heads 1 .. H / Hk read the first key head, and so on
 */
#ifndef AT_OP_ATTEND_H
#define AT_OP_ATTEND_H

#include <math.h>

#include "attn/core/contiguous.h"
#include "attn/core/op.h"

/* How a block of scores is made from prepared rows. */
typedef enum at_pair_kind {
    AT_PAIR_DOT,      /* scale q . k */
    AT_PAIR_ADDITIVE, /* v . tanh(q + k) */
    AT_PAIR_DISTANCE, /* -scale |q - k|^2 */
    AT_PAIR_TABLE     /* given as numbers: the keys do not matter */
} at_pair_kind;

/* What is done to a score before biases and masks. */
typedef enum at_score_act {
    AT_ACT_TANH,
    AT_ACT_RELU,
    AT_ACT_SIGMOID,
    AT_ACT_LOG_SQUARE,
    AT_ACT_INVERSE,
    AT_ACT_NONE
} at_score_act;

typedef struct at_span {
    size_t lo, n;
} at_span;

static inline at_span at_span_of(const at_tensor *span, size_t Tq, size_t Tk, size_t b, size_t i)
{
    if (!span)
        return (at_span){0, Tk};
    const int64_t *s = at_ids(span) + 2 * (b * Tq + i);
    return (at_span){(size_t)s[0], (size_t)s[1]};
}

/* Columns of a compact row. */
static inline size_t at_span_width(const at_tensor *span, size_t Tk)
{
    size_t width = 0;
    if (!span)
        return Tk;
    for (size_t r = 0, n = span->size[0] * span->size[1]; r < n; r++)
        if ((size_t)at_ids(span)[2 * r + 1] > width)
            width = (size_t)at_ids(span)[2 * r + 1];
    return width;
}

/* True if every span begins with the first key, so that columns are keys and products of matrices serve. */
static inline bool at_span_aligned(const at_tensor *span)
{
    for (size_t r = 0, n = span ? span->size[0] * span->size[1] : 0; r < n; r++)
        if (at_ids(span)[2 * r] != 0 && at_ids(span)[2 * r + 1] != 0)
            return false;
    return true;
}

/* Widest span of the queries of row b. */
static inline size_t at_span_row_width(const at_tensor *span, size_t Tq, size_t Tk, size_t b)
{
    size_t width = 0;
    if (!span)
        return Tk;
    for (size_t i = 0; i < Tq; i++) {
        at_span s = at_span_of(span, Tq, Tk, b, i);
        width = s.n > width ? s.n : width;
    }
    return width;
}

/* Slope of a head (from 0) for distances: a geometric sequence from 2^(-8/n); between powers of two every other slope of the next
 * sequence (Press et al. 2022). */
static inline double at_alibi_slope(size_t h, size_t heads)
{
    size_t power = 1;
    while (2 * power <= heads)
        power *= 2;
    double e = h < power ? (double)(h + 1) / (double)power : (double)(2 * (h - power) + 1) / (double)(2 * power);
    return exp2(-8.0 * e);
}

/* Makes input k contiguous; with `apart` its first dimension may have any step, only what is below it must be dense. */
static inline bool at_rows_dense(at_call *c, int k, bool apart)
{
    at_tensor *t = c->in[k];
    if (!t)
        return true;
    at_tensor below = *t;
    if (apart && t->ndim > 1 && t->step[0] >= 0) {
        below.size[0] = 1;
        if (at_contiguous(&below))
            return true;
    } else if (at_contiguous(t)) {
        return true;
    }
    at_tensor *dense = at_make_contiguous(t, c->error);
    if (!dense)
        return false;
    at_release(t);
    c->in[k] = dense;
    return true;
}

/* Checks a span that goes with Tk keys; false after at_fail. */
static inline bool at_span_check(at_call *c, const at_tensor *span, size_t B, size_t Tq, size_t Tk)
{
    if (!span)
        return true;
    if (span->ndim != 3 || span->size[0] != B || span->size[1] != Tq || span->size[2] != 2)
        return at_fail(c, "span has shape %s, expected [%zu, %zu, 2]", at_describe_shape(span->ndim, span->size).text,
                       B, Tq);
    for (size_t r = 0; r < B * Tq; r++) {
        int64_t lo = at_ids(span)[2 * r], n = at_ids(span)[2 * r + 1];
        if (lo < 0 || n < 0 || lo > (int64_t)Tk || n > (int64_t)Tk - lo)
            return at_fail(c, "span %zu is %lld, %lld, expected to lie within %zu keys", r + 1, (long long)lo,
                           (long long)n, Tk);
    }
    return true;
}

#endif
