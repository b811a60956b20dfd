/* Products with a weight [n, k] of the call's type, or of float32 one kept for inference (core/kept.h). Everything static. */
#ifndef AT_OP_PRODUCT_H
#define AT_OP_PRODUCT_H

#include "attn/core/gemm.h"
#include "attn/core/kept.h"
#include "attn/core/op.h"

/* Bytes of scratch of at_product. */
static inline size_t at_product_scratch(size_t m, const at_tensor *w)
{
    return at_is_kept(w) ? at_kept_scratch(m, w) : 0;
}

/* y [m, n] = x W' + bias (NULL: none), rows of y ldy apart; then `end` (NULL: nothing more), of core/gemm.h */
static inline void at_product_then(size_t m, const real *x, const at_tensor *w, const real *bias, real *y, size_t ldy,
                                   char *work, const at_gemm_end *end)
{
    size_t n = w->size[0], k = w->size[1], ld = k ? k : 1;
#if AT_TYPE == 32
    if (at_is_kept(w)) {
        at_kept_gemm(m, x, w, bias, y, ldy, work);
        if (end)
            end->fn(end->context, 0, m, 0, n);
        return;
    }
#else
    (void)work;
#endif
    real_gemm_bias(false, true, m, n, k, x, ld, (const real *)(const void *)w->data, ld, bias, y, ldy, end);
}

static inline void at_product(size_t m, const real *x, const at_tensor *w, const real *bias, real *y, size_t ldy,
                              char *work)
{
    at_product_then(m, x, w, bias, y, ldy, work, NULL);
}

#endif
