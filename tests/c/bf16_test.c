/* Products of bfloat16 of every level, and of the matrix unit, against their definition in kernel/bf16.h: all bits. */
#define AT_TYPE 32
#include <float.h>

#include "attn/core/cpu.h"
#include "attn/kernel/bf16.h"
#include "check.h"

enum { M = 50, N = 67, MOST = 530 };

static const at_pack_kernels_f32 *k;
static const char *name;

static uint32_t bits_of(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static float number_of(uint32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static float rounded(float x)
{
    uint32_t b = bits_of(x), rest = b & 0xffff;
    if (isnan(x))
        return NAN;
    if (fabsf(x) < FLT_MIN)
        return copysignf(0, x);
    b -= rest;
    return number_of(rest > 0x8000 || (rest == 0x8000 && b & 0x10000) ? b + 0x10000 : b);
}

static float flushed(double x)
{
    float y = (float)x; /* of the smallest normal number's size or half a unit less, with all bits of a normal one */
    return fabs(x) < 0x1p-126 - 0x1p-151 ? copysignf(0, y) : y;
}

/* start + x w of n places */
static float defined(size_t n, const float *x, size_t ldx, const float *w, size_t ldw, float start)
{
    float sum = flushed(start);
    for (size_t l = 0; l == 0 || l < n; l += 32) { /* of no places: one block of none */
        float half[2] = {0, 0};
        for (size_t j = l; j < l + 32 && j < (n + 1) / 2 * 2; j++) {
            float a = j < n ? rounded(x[j * ldx]) : 0, b = j < n ? rounded(w[j * ldw]) : 0;
            half[j % 2] = flushed((double)a * b + half[j % 2]);
        }
        sum = flushed((double)sum + flushed((double)half[0] + half[1]));
    }
    return sum;
}

static bool same(float a, float b) { return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b)); }

/* Of many sizes: some sums end below the smallest normal number, some are infinite, some no numbers. */
static float any(int kind)
{
    double x = any_number();
    switch (kind) {
    case 1: return (float)ldexp(x, (int)(any_number() * 30));
    case 2: return (float)ldexp(x, -62 + (int)(any_number() * 3));
    case 3: return (float)ldexp(x, 63 + (int)(any_number() * 2));
    case 4:
        return x > 0.99        ? INFINITY
               : x < -0.99     ? NAN
               : fabs(x) < 0.1 ? number_of((uint32_t)(x * 0x1p27) & 0x807fffff)
                               : (float)x;
    default: return (float)x;
    }
}

static bool equal(size_t m, size_t n, const float *y, size_t ldy, const float *want)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            if (!same(y[i * ldy + j], want[i * N + j]))
                return false;
    return true;
}

static void test_product(size_t m, size_t n, size_t places, int kind)
{
    static float x[M * MOST], turned[MOST * M], w[N * MOST], across[MOST * N], start[M * N], want[M * N], from[M * N],
        one[M * N];
    float *packed = room(k->packed_size(n, places) * sizeof *packed),
          *both = room(k->packed_size(n, places) * sizeof *both);
    float *panels = room((m + k->rows + 16) * (places + 32) * sizeof *panels), y[M * N];

    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < places; j++)
            x[i * MOST + j] = turned[j * M + i] = any(kind);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < places; j++)
            w[i * MOST + j] = across[j * N + i] = any(kind);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            start[i * N + j] = any(kind);
            want[i * N + j] = defined(places, x + i * MOST, 1, w + j * MOST, 1, 0);
            from[i * N + j] = defined(places, x + i * MOST, 1, w + j * MOST, 1, start[i * N + j]);
            one[i * N + j] = defined(places, x + i * MOST, 1, w + j * MOST, 1, start[j]);
        }
    k->pack(false, n, places, 1, w, MOST, packed);
    k->pack(true, n, places, 1, across, N, both);
#define SAME(what, call, want)                                                                                         \
    do {                                                                                                               \
        memcpy(y, start, sizeof y);                                                                                    \
        call;                                                                                                          \
        check(equal(m, n, y, N, want), "%s %s: %zu x %zu x %zu, kind %d", name, what, m, n, places, kind);             \
    } while (0)
    SAME("packed", k->packed_gemm(m, n, places, x, MOST, packed, y, N, false), want);
    SAME("packed from turned", k->packed_gemm(m, n, places, x, MOST, both, y, N, false), want);
    SAME("packed, added", k->packed_gemm(m, n, places, x, MOST, packed, y, N, true), from);
    SAME("packed, on a row", k->packed_gemm_from(m, n, places, x, MOST, packed, y, N, start, 0), one);
    k->pack_rows(m, places, turned, M, panels);
    SAME("rows", k->rows_gemm(m, n, places, panels, packed, y, N, false), want);
    SAME("rows, added", k->rows_gemm(m, n, places, panels, packed, y, N, true), from);
    SAME("in place", k->tile_gemm(false, m, n, places, x, MOST, across, N, y, N, false), want);
    SAME("in place, added", k->tile_gemm(false, m, n, places, x, MOST, across, N, y, N, true), from);
    SAME("in place, turned", k->tile_gemm(true, m, n, places, turned, M, across, N, y, N, false), want);
    SAME("in place, turned, added", k->tile_gemm(true, m, n, places, turned, M, across, N, y, N, true), from);
#undef SAME
    free(packed), free(both), free(panels);
}

static void test_scaled(void)
{
    float x[40], w[40], y[2], scaled[40];
    float packed[64 * 40];
    for (size_t j = 0; j < 40; j++) {
        x[j] = any(0);
        w[j] = any(0);
        scaled[j] = w[j] * 0.3f;
    }
    k->pack(false, 1, 40, 0.3f, w, 40, packed);
    k->packed_gemm(1, 1, 40, x, 40, packed, y, 1, false);
    k->pack(true, 1, 40, 0.3f, w, 1, packed);
    k->packed_gemm(1, 1, 40, x, 40, packed, y + 1, 1, false);
    float want = defined(40, x, 1, scaled, 1, 0);
    check(same(y[0], want) && same(y[1], want), "%s: what is scaled is rounded after that", name);
}

static void test_all(void)
{
    static const size_t rows[] = {1, 2, 5, 16, 17, 33, 50}, columns[] = {1, 15, 17, 33, 64, 67},
                        places[] = {0, 1, 2, 31, 32, 33, 65, 130, 513};
    for (size_t a = 0; a < sizeof places / sizeof *places; a++)
        for (int kind = 0; kind < 5; kind++)
            test_product(rows[(a + (size_t)kind * 2) % 7], columns[(a * 5 + (size_t)kind) % 6], places[a], kind);
    for (size_t a = 0; a < 7 * 6; a++)
        test_product(rows[a % 7], columns[a / 7], 35, (int)a % 5);
    test_scaled();
}

static void test_round(const at_bf16_kernels *of)
{
    float x[100], y[100];
    bool ok = true;
    for (int kind = 0; kind < 5; kind++) {
        for (size_t i = 0; i < 100; i++)
            x[i] = i % 3 ? any(kind) : number_of((bits_of(any(kind)) & 0xffff0000) | 0x8000);
        of->round(100, x, y);
        for (size_t i = 0; i < 100; i++)
            ok = ok && same(y[i], rounded(x[i]));
    }
    check(ok, "%s: to the nearest, halves to even", name);
}

int main(void)
{
    for (at_simd l = AT_SIMD_BASE; l <= at_cpu_simd_best(); l++) {
        const at_kernels_f32 *level = at_kernels_at_f32(l);
        k = level->bf16->vectors;
        name = at_simd_name(l);
        test_round(level->bf16);
        test_all();
        if (!level->bf16->tiles || !at_cpu_tiles())
            continue;
        k = level->bf16->tiles;
        name = "the matrix unit";
        test_all();
    }
    return finish();
}
