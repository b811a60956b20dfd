/*
 * Picks the kernels of this processor: the tables are made per type and level in kernel/table.c.
 *
 * A constructor, so that no call of a kernel needs a check. The processor is asked through the compiler's own support
 * (cpuid and the operating system's saving of the wide registers).
 */
#include "attn/core/cpu.h"

#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

struct at_kernels_f32;
struct at_kernels_f64;
const struct at_kernels_f32 *at_kernel_f32;
const struct at_kernels_f64 *at_kernel_f64;

const struct at_kernels_f32 *at_kernels_f32_base(void);
const struct at_kernels_f64 *at_kernels_f64_base(void);
const struct at_kernels_f32 *at_kernels_at_f32(at_simd level);
const struct at_kernels_f64 *at_kernels_at_f64(at_simd level);

static at_simd chosen, best;

#ifdef __x86_64__
const struct at_kernels_f32 *at_kernels_f32_avx2(void);
const struct at_kernels_f64 *at_kernels_f64_avx2(void);
const struct at_kernels_f32 *at_kernels_f32_avx512(void);
const struct at_kernels_f64 *at_kernels_f64_avx512(void);

static at_simd detect(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return AT_SIMD_BASE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return AT_SIMD_AVX512;
    return AT_SIMD_AVX2;
}

const struct at_kernels_f32 *at_kernels_at_f32(at_simd level)
{
    return level > best              ? NULL
           : level == AT_SIMD_AVX512 ? at_kernels_f32_avx512()
           : level == AT_SIMD_AVX2   ? at_kernels_f32_avx2()
                                     : at_kernels_f32_base();
}

const struct at_kernels_f64 *at_kernels_at_f64(at_simd level)
{
    return level > best              ? NULL
           : level == AT_SIMD_AVX512 ? at_kernels_f64_avx512()
           : level == AT_SIMD_AVX2   ? at_kernels_f64_avx2()
                                     : at_kernels_f64_base();
}
#else
static at_simd detect(void) { return AT_SIMD_BASE; }

const struct at_kernels_f32 *at_kernels_at_f32(at_simd level) { return level > best ? NULL : at_kernels_f32_base(); }

const struct at_kernels_f64 *at_kernels_at_f64(at_simd level) { return level > best ? NULL : at_kernels_f64_base(); }
#endif

/* $ATTN_SIMD; above all levels if it is not set or empty, -1 if it is none of the words. */
static int wanted_level(void)
{
    static const char *const words[] = {"base", "avx2", "avx512"};
    const char *wanted = getenv("ATTN_SIMD");

    if (!wanted || !*wanted)
        return AT_SIMD_AVX512 + 1;
    for (int level = AT_SIMD_BASE; level <= AT_SIMD_AVX512; level++)
        if (strcasecmp(wanted, words[level]) == 0)
            return level;
    return -1;
}

bool at_simd_check(at_error *e)
{
    return wanted_level() >= 0 ||
           at_error_set(e, "ATTN_SIMD is '%.40s', expected base, avx2 or avx512", getenv("ATTN_SIMD"));
}

__attribute__((constructor)) static void choose(void)
{
    int wanted = wanted_level();

    best = chosen = detect();
    if (wanted >= 0 && wanted < (int)best)
        chosen = (at_simd)wanted;
    at_kernel_f32 = at_kernels_at_f32(chosen);
    at_kernel_f64 = at_kernels_at_f64(chosen);
}

at_simd at_cpu_simd(void) { return chosen; }

at_simd at_cpu_simd_best(void) { return best; }

const char *at_simd_name(at_simd level)
{
    static const char *const names[] = {"base", "AVX2", "AVX-512"};

    return names[level];
}
