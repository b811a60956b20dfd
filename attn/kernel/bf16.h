/*
 * The kernels of products (pack.h) with inputs rounded to bfloat16 and sums in float32; of float32 only.
 *
 * What they compute is defined to the bit, and the same at every level and with the processor's matrix unit:
 *
 *   round    to the nearest of 8 bits, halves to even; NaN stays NaN; below the smallest normal number: zero of the same sign
 *   product  k in blocks of 32 from its start on: y = y + (e + o), e the sum over the even places of a block and o over the odd ones,
 *            each from zero, place by place, one rounding for product and sum; a block of odd length has one more place of zeros
 *
 * Every sum is to the nearest, halves to even; y from before and every sum below the smallest normal number count as zero.
 */
#ifndef AT_KERNEL_BF16_H
#define AT_KERNEL_BF16_H

#include "attn/kernel/pack.h"

#if AT_TYPE == 32
/* Without few_gemm */
typedef struct at_bf16_kernels {
    void (*round)(size_t n, const real *x, real *y); /* y may be x */
    const at_pack_kernels_f32 *vectors;
    const at_pack_kernels_f32 *tiles; /* for at_cpu_tiles(); NULL where the level has none */
} at_bf16_kernels;
/* Whether products take rounded inputs now, and for what multiplies without K->product: rounds x. */
static inline bool at_rounds(void) { return at_kernel_f32.product != at_kernel_f32.pack; }
static inline void at_round(size_t n, real *x) { at_kernel_f32.bf16->round(n, x, x); }
#else
static inline bool at_rounds(void) { return false; }
static inline void at_round(size_t n, real *x) { (void)n, (void)x; }
#endif

#endif
