/*
 * Philox4x32-10 (Salmon et al. 2011), sixteen blocks side by side.
 *
 * A group of 64 elements is words 0, 1, 2, 3 of 16 consecutive blocks, the first words of all blocks first: lanes of a
 * vector are blocks, and nothing is shuffled. Only integers until the last multiplication, so masks are the same at
 * every level.
 */
#include "attn/kernel/random.h"
#include "attn/kernel/table.h"

enum { GROUP = 64, LANES = 16 };

/* The 64 words of group g. */
INLINE void group(uint64_t seed, uint64_t counter, uint32_t *out)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (unsigned i = 0; i < LANES; i++) {
        c0[i] = (uint32_t)(counter + i);
        c1[i] = (uint32_t)((counter + i) >> 32);
        c2[i] = 0;
        c3[i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)c0[i] * 0xD2511F53u, p1 = (uint64_t)c2[i] * 0xCD9E8D57u;
            uint32_t t = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0, u = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
            c0[i] = t;
            c2[i] = u;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, c0, sizeof c0);
    memcpy(out + LANES, c1, sizeof c1);
    memcpy(out + 2 * LANES, c2, sizeof c2);
    memcpy(out + 3 * LANES, c3, sizeof c3);
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
