/*
 * Weights kept for inference: matrices [n, k] of bfloat16, or of int8 with a float32 scale for each row (kernel/kept.h). Such a tensor is
 * storage: operations with an argument of the kind AT_WEIGHT read it, the others refuse it (call.c).
 */
#ifndef AT_CORE_KEPT_H
#define AT_CORE_KEPT_H

#include "attn/core/tensor.h"

/* kept = the numbers of x: float32, two dimensions, any steps. work: at_keep_scratch(x) bytes. */
void at_keep(at_tensor *kept, const at_tensor *x, char *work);
size_t at_keep_scratch(const at_tensor *x);

/* x = the numbers of kept: float32, contiguous. */
void at_expand(at_tensor *x, const at_tensor *kept);
void at_expand_row(const at_tensor *kept, size_t row, float *x);

/* y [m, n] = x W' + bias (NULL: none), rows of y ldy apart, those of x without gaps. work: at_kept_scratch(m, w) bytes. */
void at_kept_gemm(size_t m, const float *x, const at_tensor *w, const float *bias, float *y, size_t ldy, char *work);
size_t at_kept_scratch(size_t m, const at_tensor *w);

#endif
