/*
 * Picks the kernels of this processor: the tables are made per type and level in kernel/table.c.
 *
 * A constructor, so that no call of a kernel needs a check.
 */
#include "attn/core/precision.h"
#include "attn/kernel/bf16.h"
#include "attn/kernel/kernel.h"

#define LEVEL(name) AT_REAL_LEVEL(AT_REAL(at_kernels), name)
#define AT_REAL_LEVEL(kernels, name) AT_JOINED(kernels, name)
#define AT_JOINED(kernels, name) kernels##_##name

AT_REAL(at_kernels) AT_REAL(at_kernel);

extern const AT_REAL(at_kernels) LEVEL(base);
#ifdef __x86_64__
extern const AT_REAL(at_kernels) LEVEL(avx2), LEVEL(avx512);
#endif

const AT_REAL(at_kernels) * AT_REAL(at_kernels_at)(at_simd level)
{
    if (level > at_cpu_simd_best())
        return NULL;
#ifdef __x86_64__
    if (level != AT_SIMD_BASE)
        return level == AT_SIMD_AVX512 ? &LEVEL(avx512) : &LEVEL(avx2);
#endif
    return &LEVEL(base);
}

__attribute__((constructor)) static void choose(void) { AT_REAL(at_kernel) = *AT_REAL(at_kernels_at)(at_cpu_simd()); }

#if AT_TYPE == 32
static at_precision precision;

at_precision at_precision_now(void) { return precision; }

void at_set_precision(at_precision p)
{
    precision = p;
    if (p == AT_PRECISION_FLOAT32)
        at_kernel_f32.product = K->pack;
    else
        at_kernel_f32.product = K->bf16->tiles && at_cpu_tiles() ? K->bf16->tiles : K->bf16->vectors;
}
#endif
