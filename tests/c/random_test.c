/* Philox against the vectors published with Random123, streams, moments. */
#include "check.h"

#define AT_TYPE 32
#include "attn/core/parallel.h"
#include "attn/core/random.h"
#include "attn/kernel/random.h"

static void test_vectors(void)
{
    /* counter words, key words, result */
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
         0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1}};

    for (int i = 0; i < 3; i++) {
        const uint32_t *v = known[i];
        uint32_t out[4];
        at_random_block((uint64_t)v[5] << 32 | v[4], (uint64_t)v[1] << 32 | v[0], (uint64_t)v[3] << 32 | v[2], out);
        check(memcmp(out, v + 6, sizeof out) == 0, "known answer %d: %08x %08x %08x %08x", i, out[0], out[1], out[2],
              out[3]);
    }
}

static void test_levels(void)
{
    at_random s = {0x0123456789abcdef, 0xfffffff8}; /* the low word of the counter runs over */

    for (at_simd l = AT_SIMD_BASE; l <= at_cpu_simd_best(); l++) {
        const at_kernels_f32 *k = at_kernels_at_f32(l);
        enum { N = 300 };
        uint32_t *y = room(N * sizeof *y), *part = room(50 * sizeof *part);
        uint8_t *mask = room(N);
        float x[N], dropped[N];
        bool same = true, dropout = true;
        k->random->bits(s.seed, s.counter, 0, N, y);
        for (uint64_t i = 0; i < N; i++)
            same = same && y[i] == at_random_bits(s, i);
        check(same, "%s: elements of a stream one by one", at_simd_name(l));
        k->random->bits(s.seed, s.counter, 128, 50, part);
        check(memcmp(part, y + 128, 50 * sizeof *part) == 0, "%s: a stream can be entered anywhere", at_simd_name(l));
        uint64_t threshold = at_random_threshold(0.3);
        k->random->bernoulli(s.seed, s.counter, 0, N, threshold, mask);
        for (size_t i = 0; i < N; i++)
            x[i] = 1;
        k->random->dropout(s.seed, s.counter, 0, N, threshold, 2, x, dropped, false);
        k->random->dropout(s.seed, s.counter, 0, N, threshold, 2, x, dropped, true);
        for (size_t i = 0; i < N; i++)
            dropout = dropout && mask[i] == (y[i] < threshold) && dropped[i] == (mask[i] ? 4 : 0);
        check(dropout, "%s: dropout is the mask", at_simd_name(l));
        k->random->dropout(s.seed, s.counter, 0, N, at_random_threshold(1), 1, x, dropped, false);
        check(memcmp(x, dropped, sizeof x) == 0, "%s: keeping everything keeps everything", at_simd_name(l));
        k->random->dropout(s.seed, s.counter, 0, N, at_random_threshold(0), 1, x, dropped, false);
        check(dropped[0] == 0 && dropped[N - 1] == 0, "%s: keeping nothing keeps nothing", at_simd_name(l));
        free(y);
        free(part);
        free(mask);
    }
    check(at_random_threshold(-1) == 0 && at_random_threshold(NAN) == 0 && at_random_threshold(2) == (uint64_t)1 << 32,
          "thresholds of senseless probabilities");
}

enum { N = 200001 };
static float f32[2][N];
static double f64[2][N];
static uint8_t mask[2][N];
static int64_t ids[2][N];

static void test_fills(void)
{
    static const int counts[] = {1, 2, 3, 8};

    at_random_seed(42);
    at_random s = at_random_reserve(N), next = at_random_get();
    check(s.seed == 42 && s.counter == 0 && next.counter >= N / 2 && next.counter % 16 == 0,
          "a reserved stream is passed by");
    for (int i = 0; i < 4; i++) {
        int w = i > 0;
        at_set_threads(counts[i]);
        at_random_uniform_f32(s, N, f32[w]);
        at_random_uniform_f64(s, N, f64[w]);
        at_random_bernoulli(s, N, 0.25, mask[w]);
        at_random_integer(s, N, -3, 6, ids[w]);
        check(memcmp(f32[0], f32[w], sizeof f32[0]) == 0 && memcmp(f64[0], f64[w], sizeof f64[0]) == 0 &&
                  memcmp(mask[0], mask[w], N) == 0 && memcmp(ids[0], ids[w], sizeof ids[0]) == 0,
              "%d threads: the same bits", counts[i]);
    }
    double m32 = 0, m64 = 0, ones = 0, count[10] = {0};
    bool inside = true;
    for (size_t i = 0; i < N; i++) {
        inside = inside && f32[0][i] >= 0 && f32[0][i] < 1 && f64[0][i] >= 0 && f64[0][i] < 1;
        inside = inside && ids[0][i] >= -3 && ids[0][i] <= 6;
        m32 += f32[0][i] / N;
        m64 += f64[0][i] / N;
        ones += mask[0][i];
        count[(ids[0][i] + 3) % 10]++;
    }
    check(inside, "uniform and integer stay within their bounds");
    check(fabs(m32 - 0.5) < 0.003 && fabs(m64 - 0.5) < 0.003, "uniform means %g %g", m32, m64);
    check(fabs(ones / N - 0.25) < 0.004, "bernoulli mean %g", ones / N);
    double chi = 0;
    for (int i = 0; i < 10; i++)
        chi += (count[i] - N / 10.0) * (count[i] - N / 10.0) / (N / 10.0);
    check(chi < 28, "integers are uniform: chi squared %g of 9 degrees", chi); /* 1 in 1000 */
    at_random_integer(s, 1000, INT64_MIN, INT64_MAX, ids[0]);
    at_random_integer(s, 1000, INT64_MAX, INT64_MAX, ids[1]);
    check(ids[0][0] != ids[0][1] && ids[1][999] == INT64_MAX, "the widest and the narrowest range");

    for (int t = 1; t <= 2; t++) {
        at_set_threads(t);
        at_random_normal_f32(s, N, f32[t - 1]);
        at_random_normal_f64(s, N, f64[t - 1]);
    }
    check(memcmp(f32[0], f32[1], sizeof f32[0]) == 0 && memcmp(f64[0], f64[1], sizeof f64[0]) == 0,
          "normal: the same bits");
    double m = 0, v = 0, q = 0, d = 0, e = 0;
    for (size_t i = 0; i < N; i++) {
        double x = f32[0][i], y = f64[0][i];
        m += x / N;
        v += x * x / N;
        q += x * x * x * x / N;
        d += y / N;
        e += y * y / N;
    }
    check(fabs(m) < 0.01 && fabs(v - 1) < 0.015 && fabs(q - 3) < 0.1, "normal moments %g %g %g", m, v, q);
    check(fabs(d) < 0.01 && fabs(e - 1) < 0.015, "normal moments in double %g %g", d, e);
    /* the last element of an odd count is drawn with its pair */
    float a[7], b[8];
    at_random_normal_f32(s, 7, a);
    at_random_normal_f32(s, 8, b);
    check(memcmp(a, b, sizeof a) == 0, "an element does not depend on the count");

    at_random_set((at_random){7, 1234});
    check(at_random_get().seed == 7 && at_random_reserve(1).counter == 1234, "the state can be set");
}

int main(void)
{
    test_vectors();
    test_levels();
    test_fills();
    return finish();
}
