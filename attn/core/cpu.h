/*
 * The SIMD level of this machine, chosen once before main and never changed.
 *
 * Kernels (kernel/kernel.h) are compiled once per level; core/kernels.c takes those of the chosen one. $ATTN_SIMD = base | avx2 |
 * avx512 lowers the level (never raises it above what the processor has), for tests.
 */
#ifndef AT_CORE_CPU_H
#define AT_CORE_CPU_H

#include "attn/core/error.h"

typedef enum at_simd {
    AT_SIMD_BASE,  /* what the compiler may assume: SSE2 on x86-64 */
    AT_SIMD_AVX2,  /* AVX2 and FMA */
    AT_SIMD_AVX512 /* F, BW, DQ, VL */
} at_simd;

/* False, with a message, when $ATTN_SIMD is set and none of the three words; it is passed over then. */
bool at_simd_check(at_error *e);
at_simd at_cpu_simd(void);      /* the level in use */
at_simd at_cpu_simd_best(void); /* the highest level of this machine, whatever $ATTN_SIMD says */
/* Whether there is a matrix unit for bfloat16 (AMX) that the operating system lets this process use: asks for it. Not if $ATTN_SIMD is
 * set, be it to the highest level. */
bool at_cpu_tiles(void);
const char *at_simd_name(at_simd level); /* "base", "AVX2", "AVX-512" */

#endif
