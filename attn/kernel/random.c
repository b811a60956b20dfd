/*
 * Philox4x32-10 (Salmon et al. 2011), sixteen blocks side by side.
 *
 * A group of 64 elements is words 0, 1, 2, 3 of 16 consecutive blocks, the first words of all blocks first: lanes of a
 * vector are blocks, and nothing is shuffled. Only integers until the last multiplication, so masks are the same at
 * every level. A word is held in 64 bits, of which the upper half is whatever the products left there: the instruction
 * that multiplies 32 bits reads the lower one only.
 */
#include "attn/kernel/random.h"
#include "attn/kernel/table.h"

typedef uint64_t wide __attribute__((vector_size(VEC_BYTES)));
typedef uint32_t narrow __attribute__((vector_size(VEC_BYTES / 2)));

enum { GROUP = 64, LANES = 16, WIDE = VEC_BYTES / sizeof(uint64_t), PARTS = LANES / WIDE };

/* of the lower halves */
INLINE wide product(wide a, uint32_t b)
{
#ifdef __AVX512F__
    return (wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined __AVX2__
    return (wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#else
    return (a & UINT32_MAX) * b;
#endif
}

/* The 64 words of group g. */
INLINE void group(uint64_t seed, uint64_t counter, uint32_t *out)
{
    wide c0[PARTS], c1[PARTS], c2[PARTS], c3[PARTS], place;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (unsigned i = 0; i < WIDE; i++)
        place[i] = i;
    for (unsigned i = 0; i < PARTS; i++) {
        c0[i] = counter + i * WIDE + place;
        c1[i] = c0[i] >> 32;
        c2[i] = c3[i] = (wide){0};
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < PARTS; i++) {
            wide p0 = product(c0[i], 0xD2511F53u), p1 = product(c2[i], 0xCD9E8D57u);
            c0[i] = (p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = p1;
            c3[i] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < PARTS; i++) {
        const wide *const words[] = {c0, c1, c2, c3};
        for (int w = 0; w < 4; w++) {
            narrow n = __builtin_convertvector(words[w][i], narrow);
            memcpy(out + w * LANES + i * WIDE, &n, sizeof n);
        }
    }
}

static void bits(uint64_t seed, uint64_t counter, size_t first, size_t n, uint32_t *y)
{
    counter += first / GROUP * LANES;
    for (; n >= GROUP; n -= GROUP, y += GROUP, counter += LANES)
        group(seed, counter, y);
    if (n > 0) {
        uint32_t draw[GROUP];
        group(seed, counter, draw);
        memcpy(y, draw, n * sizeof *y);
    }
}

/* The loop over groups: `act` sees draw[0 .. len - 1] for elements i .. i + len - 1. */
#define GROUPS(act)                                                                                                    \
    counter += first / GROUP * LANES;                                                                                  \
    size_t i = 0;                                                                                                      \
    for (; i + GROUP <= n; i += GROUP, counter += LANES) {                                                             \
        uint32_t draw[GROUP];                                                                                          \
        const size_t len = GROUP;                                                                                      \
        group(seed, counter, draw);                                                                                    \
        act;                                                                                                           \
    }                                                                                                                  \
    if (i < n) {                                                                                                       \
        uint32_t draw[GROUP];                                                                                          \
        const size_t len = n - i;                                                                                      \
        group(seed, counter, draw);                                                                                    \
        act;                                                                                                           \
    }

static void bernoulli(uint64_t seed, uint64_t counter, size_t first, size_t n, uint64_t threshold, uint8_t *y)
{
    if (threshold == 0 || threshold > UINT32_MAX) {
        memset(y, threshold != 0, n);
        return;
    }
    const uint32_t highest = (uint32_t)(threshold - 1);
    GROUPS(for (size_t j = 0; j < len; j++) y[i + j] = draw[j] <= highest)
}

static void dropout(uint64_t seed, uint64_t counter, size_t first, size_t n, uint64_t threshold, real scale,
                    const real *x, real *y, bool accumulate)
{
    if (threshold == 0) {
        for (size_t i = 0; i < n && !accumulate; i++)
            y[i] = 0;
        return;
    }
    const uint32_t highest = (uint32_t)(threshold - 1); /* 2^32: every word is kept */
    if (accumulate) {
        GROUPS(for (size_t j = 0; j < len; j++) y[i + j] += draw[j] <= highest ? x[i + j] * scale : 0)
    } else {
        GROUPS(for (size_t j = 0; j < len; j++) y[i + j] = draw[j] <= highest ? x[i + j] * scale : 0)
    }
}

const AT_REAL(at_random_kernels) AT_KERNEL(at_random_kernels) = {
    .bits = bits,
    .bernoulli = bernoulli,
    .dropout = dropout,
};
