/*
 * Sentences of a batch over the pool, each alone in its thread: for typed files of op/ whose rows are whole dynamic programs.
 *
 * At most AT_SLOTS blocks, whose bounds depend on the batch only; each block has a slot of at_call.work, behind `shared` bytes for all.
 */
#ifndef AT_OP_SENTENCES_H
#define AT_OP_SENTENCES_H

#include "attn/op/rows.h"

typedef struct at_sentences {
    const at_call *c;
    const at_tensor *lengths;                                                /* NULL: all have T */
    size_t B, T, shared, slot;                                               /* slot: bytes, a multiple of 64 */
    void (*fn)(const struct at_sentences *s, size_t b, size_t n, char *own); /* sentence b of n > 0 words */
    void (*start)(const struct at_sentences *s, char *own);                  /* of a block; may be NULL */
    const void *context;
} at_sentences;

static inline size_t at_sentence_blocks(size_t B) { return B < AT_SLOTS ? B : AT_SLOTS; }
static inline char *at_sentence_slot(const at_sentences *s, size_t block)
{
    return s->c->work + s->shared + block * s->slot;
}

static inline void at_sentence_block(size_t begin, size_t end, void *context)
{
    const at_sentences *s = context;
    size_t blocks = at_sentence_blocks(s->B);

    for (size_t block = begin; block < end; block++) {
        char *own = at_sentence_slot(s, block);
        if (s->start)
            s->start(s, own);
        for (size_t b = s->B * block / blocks; b < s->B * (block + 1) / blocks && !at_cut_short(); b++) {
            size_t n = s->lengths ? (size_t)at_ids(s->lengths)[b] : s->T;
            if (n > 0)
                s->fn(s, b, n, own);
        }
    }
}

static inline void at_run_sentences(const at_sentences *s)
{
    at_for(at_sentence_blocks(s->B), 1, at_sentence_block, (void *)(uintptr_t)s);
}

/* In shape: lengths [B], 0 to T. */
static inline bool at_check_lengths(at_call *c, const at_tensor *lengths, size_t B, size_t T)
{
    if (!lengths)
        return true;
    if (lengths->ndim != 1 || lengths->size[0] != B)
        return at_fail(c, "lengths has shape %s, expected [%zu] (lengths: %s)",
                       at_describe_shape(lengths->ndim, lengths->size).text, B, at_describe(lengths).text);
    for (size_t b = 0; b < B; b++)
        if (at_ids(lengths)[b] < 0 || at_ids(lengths)[b] > (int64_t)T)
            return at_fail(c, "lengths[%zu] is %lld, expected 0 to %zu", b + 1, (long long)at_ids(lengths)[b], T);
    return true;
}

/* Numbers of the call's type as the algorithms take them, and back, added. */
static inline void at_widen(size_t n, const real *x, double *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
}
static inline void at_narrow_add(size_t n, const double *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += (real)x[i];
}

#endif
