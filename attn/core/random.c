/*
 * Streams of random numbers over the pool. The generator itself is kernel/random.c; its order of elements is part of
 * the result.
 *
 *   uniform   (bits >> 8) 2^-24, (64 bits >> 11) 2^-53: all multiples, 0 included, 1 not
 *   normal    Box and Muller 1958: a pair sqrt(-2 log u) (cos, sin)(2 pi v), u in (0, 1]; chosen over rejection because
 *             every element costs the same and takes the same bits
 *   integer   64 bits modulo the range, those above the last full range drawn again from the block's next 2^64 plane
 */
#define AT_TYPE 32
#include "attn/core/random.h"

#include <math.h>

#include "attn/core/parallel.h"
#include "attn/kernel/random.h"

enum { GRAIN = 4096 }; /* elements of a block of work; a multiple of a group's 64 also when a number takes two words */

static at_random state;

void at_random_seed(uint64_t seed) { state = (at_random){seed, 0}; }

at_random at_random_get(void) { return state; }

void at_random_set(at_random s) { state = s; }

at_random at_random_reserve(size_t n)
{
    at_random stream = state;

    /* 64 bits an element, in groups of 16 blocks of 128 bits */
    state.counter += ((uint64_t)n / 32 + (n % 32 != 0)) * 16;
    return stream;
}

void at_random_block(uint64_t seed, uint64_t counter, uint64_t high, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);

    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t p = (uint64_t)c0 * 0xD2511F53u, q = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)q;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t at_random_bits(at_random stream, uint64_t i)
{
    uint32_t out[4];

    at_random_block(stream.seed, stream.counter + i / 64 * 16 + i % 16, 0, out);
    return out[i % 64 / 16];
}

typedef struct fill {
    at_random stream;
    void *y;
    uint64_t threshold;
    int64_t low;
    uint64_t range, limit; /* range 0: all 2^64 */
} fill;

enum { DRAW = 256 };

/* `per` words for each element; `act` makes elements i .. i + len - 1 from draw[]. Always drawn whole: an odd last
 * element still needs its pair. */
#define FILL(per, act)                                                                                                 \
    const fill *f = ctx;                                                                                               \
    for (size_t i = begin; i < end; i += DRAW / per) {                                                                 \
        uint32_t draw[DRAW];                                                                                           \
        size_t len = end - i < DRAW / per ? end - i : DRAW / per;                                                      \
        K->random->bits(f->stream.seed, f->stream.counter, per *i, DRAW, draw);                                        \
        act                                                                                                            \
    }

static double unit(const uint32_t *two) { return (double)((((uint64_t)two[1] << 32) | two[0]) >> 11) * 0x1p-53; }

static void uniform_f32(size_t begin, size_t end, void *ctx)
{
    FILL(1, {
        float *y = (float *)f->y + i;
        for (size_t j = 0; j < len; j++)
            y[j] = (float)(draw[j] >> 8) * 0x1p-24f;
    })
}

static void uniform_f64(size_t begin, size_t end, void *ctx)
{
    FILL(2, {
        double *y = (double *)f->y + i;
        for (size_t j = 0; j < len; j++)
            y[j] = unit(draw + 2 * j);
    })
}

static void normal_f32(size_t begin, size_t end, void *ctx)
{
    FILL(1, {
        float *y = (float *)f->y + i;
        for (size_t j = 0; j < len; j += 2) {
            float radius = sqrtf(-2 * logf(((float)(draw[j] >> 8) + 1) * 0x1p-24f));
            float angle = (float)(draw[j + 1] >> 8) * 0x1p-24f * 6.28318531f;
            y[j] = radius * cosf(angle);
            if (j + 1 < len)
                y[j + 1] = radius * sinf(angle);
        }
    })
}

static void normal_f64(size_t begin, size_t end, void *ctx)
{
    FILL(2, {
        double *y = (double *)f->y + i;
        for (size_t j = 0; j < len; j += 2) {
            double radius = sqrt(-2 * log(unit(draw + 2 * j) + 0x1p-53));
            double angle = unit(draw + 2 * j + 2) * 6.28318530717958647693;
            y[j] = radius * cos(angle);
            if (j + 1 < len)
                y[j + 1] = radius * sin(angle);
        }
    })
}

static void bernoulli(size_t begin, size_t end, void *ctx)
{
    const fill *f = ctx;

    K->random->bernoulli(f->stream.seed, f->stream.counter, begin, end - begin, f->threshold, (uint8_t *)f->y + begin);
}

static void integer(size_t begin, size_t end, void *ctx)
{
    const fill *f = ctx;
    int64_t *y = f->y;

    for (size_t i = begin; i < end; i++) {
        uint64_t x;
        uint64_t plane = 1; /* 0 is the one of the other kinds */
        do {
            uint32_t out[4];
            at_random_block(f->stream.seed, f->stream.counter + i / 2, plane++, out);
            x = (uint64_t)out[i % 2 * 2 + 1] << 32 | out[i % 2 * 2];
        } while (x > f->limit);
        if (f->range != 0)
            x %= f->range;
        y[i] = (int64_t)((uint64_t)f->low + x);
    }
}

void at_random_uniform_f32(at_random stream, size_t n, float *y)
{
    at_for(n, GRAIN, uniform_f32, &(fill){.stream = stream, .y = y});
}

void at_random_uniform_f64(at_random stream, size_t n, double *y)
{
    at_for(n, GRAIN, uniform_f64, &(fill){.stream = stream, .y = y});
}

void at_random_normal_f32(at_random stream, size_t n, float *y)
{
    at_for(n, GRAIN, normal_f32, &(fill){.stream = stream, .y = y});
}

void at_random_normal_f64(at_random stream, size_t n, double *y)
{
    at_for(n, GRAIN, normal_f64, &(fill){.stream = stream, .y = y});
}

uint64_t at_random_threshold(double p) { return !(p > 0) ? 0 : p >= 1 ? (uint64_t)1 << 32 : (uint64_t)(p * 0x1p32); }

void at_random_bernoulli(at_random stream, size_t n, double p, uint8_t *y)
{
    at_for(n, 8 * GRAIN, bernoulli, &(fill){.stream = stream, .y = y, .threshold = at_random_threshold(p)});
}

void at_random_integer(at_random stream, size_t n, int64_t low, int64_t high, int64_t *y)
{
    uint64_t range = (uint64_t)high - (uint64_t)low + 1;
    uint64_t limit = range == 0 ? UINT64_MAX : UINT64_MAX - (UINT64_MAX % range + 1) % range;

    at_for(n, GRAIN, integer, &(fill){.stream = stream, .y = y, .low = low, .range = range, .limit = limit});
}
