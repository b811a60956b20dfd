/* Products of one float type against the definition: sizes at the edges of blocks, transposes, distant rows, scales. */
#include "check.h"

#include "attn/core/gemm.h"
#include "attn/core/parallel.h"
#include "attn/kernel/pack.h"

#define EPS (AT_TYPE == 32 ? 0x1p-23 : 0x1p-52)
#define TYPE (AT_TYPE == 32 ? "f32" : "f64")

static void fill(size_t n, real *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (real)any_number();
}

static void test_product(bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, double beta)
{
    size_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    size_t na = (ta ? k : m) * lda, nb = (tb ? n : k) * ldb, nc = m * ldc;
    real *a = room(na * sizeof *a), *b = room(nb * sizeof *b), *c = room(nc * sizeof *c), *old = room(nc * sizeof *old);
    double worst = 0;
    bool outside = true;

    fill(na, a);
    fill(nb, b);
    fill(nc, c);
    if (beta == 0)
        for (size_t i = 0; i < nc; i++)
            c[i] = (real)NAN;
    if (nc > 0)
        memcpy(old, c, nc * sizeof *c);
    real_gemm(ta, tb, m, n, k, (real)alpha, a, lda, b, ldb, (real)beta, c, ldc);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double want = 0, got = c[i * ldc + j];
            for (size_t l = 0; l < k; l++)
                want += (double)a[ta ? l * lda + i : i * lda + l] * (double)b[tb ? j * ldb + l : l * ldb + j];
            want = alpha * want + (beta == 0 ? 0 : beta * old[i * ldc + j]);
            /* the terms' sum is about k / 4, and rounding errors do not all have one sign */
            double error = fabs(got - want) / (1 + fabs(alpha) * (double)k / 8);
            worst = error > worst || isnan(error) ? error : worst;
        }
        for (size_t j = n; j < ldc; j++)
            outside = outside && memcmp(&c[i * ldc + j], &old[i * ldc + j], sizeof *c) == 0;
    }
    check(worst <= 8 * EPS && outside, "%s gemm %c%c %zu x %zu x %zu alpha %g beta %g: error %g, %s", TYPE,
          ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, beta, worst, outside ? "kept inside" : "wrote outside");
    free(a);
    free(b);
    free(c);
    free(old);
}

static void test_products(void)
{
    static const size_t sizes[][3] = {
        {0, 3, 4},     {3, 0, 4},      {3, 4, 0},      {1, 1, 1},    {1, 100, 70},  {100, 1, 70},
        {2, 3, 4},     {5, 7, 6},      {6, 64, 64},    {7, 65, 63},  {17, 31, 33},  {96, 64, 385},
        {97, 130, 70}, {33, 200, 400}, {200, 33, 800}, {3, 2100, 9}, {100, 3, 700}, {130, 80, 70},
        {16, 300, 50}, {64, 64, 64},   {1, 2500, 300}, {300, 1, 900}};
    static const double scales[][2] = {{1, 0}, {1, 1}, {-0.5, 0}, {2, 0.5}, {0, 0}, {0, 2}};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 4; t++)
            for (size_t x = 0; x < sizeof scales / sizeof *scales; x++)
                test_product(t & 1, t >> 1, sizes[s][0], sizes[s][1], sizes[s][2], scales[x][0], scales[x][1]);
}

static void test_nan(void)
{
    real a[] = {1, NAN}, b[] = {2, 3}, c[4];

    real_gemm(false, false, 2, 2, 1, 0, a, 1, b, 2, 0, c, 2);
    check(isnan(c[2]) && isnan(c[3]) && c[0] == 0, "%s alpha 0 does not hide NaN", TYPE);
}

typedef struct ending {
    const real *c;
    real *seen; /* what was there when it was called, behind what was there before */
    size_t ld;
} ending;

static void see(const void *context, size_t i, size_t m, size_t j, size_t n)
{
    const ending *e = context;

    for (size_t r = i; r < i + m; r++)
        for (size_t x = j; x < j + n; x++)
            e->seen[r * e->ld + x] += e->c[r * e->ld + x];
}

/* A function of the result sees every element once, with its last value. */
static void test_end(void)
{
    static const size_t sizes[][3] = {
        {200, 300, 530}, {3, 130, 9}, {150, 1, 20}, {1, 70, 20}, {5, 6, 0}, {8, 1030, 256}};
    static real a[110000], b[270000], bias[1030], c[60000], seen[60000];

    fill(110000, a);
    fill(270000, b);
    fill(1030, bias);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 8; t++) {
            size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            bool ta = t & 1, tb = t >> 1 & 1;
            ending e = {c, seen, n};
            memset(seen, 0, sizeof seen);
            real_gemm_bias(ta, tb, m, n, k, a,
                           ta  ? m
                           : k ? k
                               : 1,
                           b, tb ? k ? k : 1 : n, t & 4 ? bias : NULL, c, n, &(at_gemm_end){see, &e});
            check(memcmp(c, seen, m * n * sizeof *c) == 0, "%s, way %d: the end of %zu x %zu x %zu", TYPE,
                  (int)at_gemm_use(NULL), m, n, k);
        }
}

/* what is cut into several blocks whoever multiplies, both sides and each alone */
static void test_blocks(void)
{
    static const size_t sizes[][3] = {
        {700, 700, 33}, {1100, 70, 64}, {70, 1100, 64}, {20, 1030, 256}, {2100, 33, 37}, {150, 300, 530}};
    static const int counts[] = {1, 2, 3, 7};
    static real a[80000], b[270000], bias[1100], c[700 * 700], other[700 * 700];
    int before = at_threads();

    fill(80000, a);
    fill(270000, b);
    fill(1100, bias);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 4; t++) {
            size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            bool ta = t & 1, tb = t >> 1, right = true;
            for (size_t i = 0; i < 4; i++) {
                at_set_threads(counts[i]);
                real_gemm_bias(ta, tb, m, n, k, a, ta ? m : k, b, tb ? k : n, bias, i == 0 ? c : other, n, NULL);
                check(i == 0 || memcmp(c, other, m * n * sizeof *c) == 0,
                      "%s, way %d: %zu x %zu x %zu has the same bits on %d threads", TYPE, (int)at_gemm_use(NULL), m, n,
                      k, counts[i]);
            }
            for (size_t x = 0; x < 2000; x++) {
                size_t i = x * 7919 % m, j = x * 104729 % n;
                double want = bias[j];
                for (size_t l = 0; l < k; l++)
                    want += (double)a[ta ? l * m + i : i * k + l] * (double)b[tb ? j * k + l : l * n + j];
                right = right && fabs((double)c[i * n + j] - want) <= 200 * EPS;
            }
            check(right, "%s, way %d: %zu x %zu x %zu in blocks", TYPE, (int)at_gemm_use(NULL), m, n, k);
        }
    at_set_threads(before);
}

static void test_threads(void)
{
    enum { M = 211, N = 190, L = 500 };
    static real a[M * L], b[N * L], c[M * N], other[M * N], first[N];
    static const int counts[] = {1, 2, 3, 7};
    int before = at_threads();

    fill(M * L, a);
    fill(N * L, b);
    for (size_t i = 0; i < 4; i++) {
        at_set_threads(counts[i]);
        real_gemm(false, true, M, N, L, 1, a, L, b, L, 0, i == 0 ? c : other, N);
        check(i == 0 || memcmp(c, other, sizeof c) == 0, "%s gemm has the same bits on %d threads", TYPE, counts[i]);
    }
    at_set_threads(before);
    for (size_t m = 1; m < 20; m++) {
        bool near = true;
        real_gemm(false, true, m, N, L, 1, a, L, b, L, 0, other, N);
        memcpy(first, other, sizeof first);
        for (size_t j = 0; j < N; j++)
            near = near && fabs((double)first[j] - (double)c[j]) <= 200 * EPS;
        check(near, "%s a row alone is a row of a product of %zu", TYPE, m);
    }
}

typedef struct heads {
    const real *a, *b;
    real *c;
} heads;

enum { HEADS = 13, T = 20, D = 40 };

static void one_head(size_t begin, size_t end, void *ctx)
{
    const heads *h = ctx;

    for (size_t i = begin; i < end; i++)
        real_gemm(false, true, T, T, D, 1, h->a + i * D, HEADS * D, h->b + i * D, HEADS * D, 0, h->c + i * T * T, T);
}

static void test_batch(void)
{
    static real a[T * HEADS * D], b[T * HEADS * D], c[HEADS * T * T], other[HEADS * T * T];
    const real *pa[HEADS], *pb[HEADS];
    real *pc[HEADS];

    fill(T * HEADS * D, a);
    fill(T * HEADS * D, b);
    at_for(HEADS, 1, one_head, &(heads){a, b, c});
    real_gemm_batch(HEADS, false, true, T, T, D, 1, a, HEADS * D, D, b, HEADS * D, D, 0, other, T, T * T);
    check(memcmp(c, other, sizeof c) == 0, "%s products inside a loop are those of a batch", TYPE);
    for (size_t i = 0; i < HEADS; i++) {
        pa[i] = a + i * D;
        pb[i] = b + i * D;
        pc[i] = other + i * T * T;
    }
    memset(other, 0, sizeof other);
    real_gemm_list(HEADS, false, true, T, T, D, 1, pa, HEADS * D, pb, HEADS * D, 0, pc, T);
    check(memcmp(c, other, sizeof c) == 0, "%s products by pointers are those of a batch", TYPE);
    double want = 0;
    for (size_t d = 0; d < D; d++)
        want += (double)a[2 * HEADS * D + 5 * D + d] * (double)b[3 * HEADS * D + 5 * D + d];
    check(fabs((double)c[5 * T * T + 2 * T + 3] - want) < 100 * EPS, "%s batch: the right element", TYPE);
}

static void test_packed(void)
{
    enum { M = 45, N = 150, L = 130 };
    static real w[N * L], x[M * L], y[M * N], other[M * N];
    real *packed = room(K->pack->packed_size(N, L) * sizeof *packed);

    fill(N * L, w);
    fill(M * L, x);
    real_pack(false, N, L, w, L, packed);
    real_packed_gemm(M, N, L, x, L, packed, y, N, false);
    real_gemm(false, true, M, N, L, 1, x, L, w, L, 0, other, N);
    bool near = true;
    for (size_t i = 0; i < M * N; i++)
        near = near && fabs((double)y[i] - (double)other[i]) <= 200 * EPS;
    check(near, "%s packed product over the pool", TYPE);
    free(packed);
}

int main(void)
{
    for (at_gemm_way way = AT_GEMM_FASTER; way <= AT_GEMM_OPENBLAS; way++) {
        at_gemm_use(&way);
        test_products();
        test_nan();
        test_threads();
        test_blocks();
        test_end();
        test_batch();
    }
    at_gemm_use(&(at_gemm_way){AT_GEMM_FASTER});
    test_packed();
    return finish();
}
