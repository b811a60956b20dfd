/* The processor is asked through the compiler's own support (cpuid and the operating system's saving of the wide registers). */
#include "attn/core/cpu.h"

#include <stddef.h>
#include <stdlib.h>
#include <strings.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#ifdef __x86_64__
#include <cpuid.h>
#endif

static at_simd chosen, best;

#ifdef __x86_64__
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
#else
static at_simd detect(void) { return AT_SIMD_BASE; }
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

/* Asked for by constructors, whose order is open: found out by the first. */
static void choose(void)
{
    static bool done;
    if (done)
        return;
    int wanted = wanted_level();

    best = chosen = detect();
    if (wanted >= 0 && wanted < (int)best)
        chosen = (at_simd)wanted;
    done = true;
}

at_simd at_cpu_simd(void)
{
    choose();
    return chosen;
}

at_simd at_cpu_simd_best(void)
{
    choose();
    return best;
}

bool at_cpu_tiles(void)
{
#if defined __x86_64__ && defined __linux__
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* of arch_prctl */
    static int known = -1;
    unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0;

    if (known < 0) {
        bool has = at_cpu_simd() == AT_SIMD_AVX512 && wanted_level() > AT_SIMD_AVX512 &&
                   __get_cpuid_count(7, 1, &a1, &b, &c, &d) && (a1 & 1u << 5) && /* the conversions: AVX512_BF16 */
                   __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 22) && (d & 1u << 24);
        known = has && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    }
    return known == 1;
#else
    return false;
#endif
}

const char *at_simd_name(at_simd level)
{
    static const char *const names[] = {"base", "AVX2", "AVX-512"};

    return names[level];
}
