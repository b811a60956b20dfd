/*
 * Matrices packed once, products of few rows, and the inner tile of large products.
 *
 * W [n, k] is cut into tiles of `tile` rows; a tile lies k-major, so that the product reads it as one stream:
 *
 *   packed[t * tile * k + j * width + c] = W[t * tile + c][j],  0 beyond n
 *
 * width is tile but for the last tile, where it is the vectors that are needed. The inner loop holds MR rows of x times
 * one tile of columns in registers: 6 x 4 vectors of 32 registers with AVX-512, 6 x 2 of 16 with AVX2. Every element of
 * y is one chain of multiply-adds over k in order, whatever the number of rows, so a row alone has the bits of a row in
 * a batch.
 */
#include "attn/kernel/pack.h"
#include "attn/kernel/table.h"

#ifdef __AVX512F__
enum { MR = 6, NV = 4, DOTS = 4 };
#else
enum { MR = 6, NV = 2, DOTS = 3 };
#endif
enum { TILE = NV * W };

/* else what a loop over registers holds lives in memory, as the last loop over them is left a loop */
#define UNROLL _Pragma("GCC unroll 8")

static inline size_t width_of(size_t columns) { return columns >= TILE ? TILE : (columns + W - 1) / W * W; }

static size_t packed_size(size_t n, size_t k) { return (n / TILE * TILE + width_of(n % TILE)) * k; }

/* b = a' of HIGH rows and SIDE columns, or of the first of them. By shuffles within registers: storing single elements takes
 * four times as long, and packing is what small products wait for. */
#if defined __AVX512F__ && AT_TYPE == 32
enum { HIGH = 16, SIDE = 8 };

INLINE void square(size_t rows, size_t columns, const real *a, size_t lda, real *b, size_t ldb)
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
                  high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __mmask8 in = (__mmask8)((1u << columns) - 1);
    __mmask16 out = first_lanes(rows);
    __m512 r[8], t[8];

    UNROLL
    for (size_t i = 0; i < 8; i++) { /* rows i and i + 8 */
        __m256 x = i < rows ? _mm256_maskz_loadu_ps(in, a + i * lda) : _mm256_setzero_ps();
        __m256 y = i + 8 < rows ? _mm256_maskz_loadu_ps(in, a + (i + 8) * lda) : _mm256_setzero_ps();
        r[i] = _mm512_insertf32x8(_mm512_castps256_ps512(x), y, 1);
    }
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLL
    for (size_t j = 0; j < 8; j++) {
        __m512d upper = (__m512d)r[j % 4], lower = (__m512d)r[j % 4 + 4];
        if (j < columns)
            _mm512_mask_storeu_ps(b + j * ldb, out, (__m512)_mm512_permutex2var_pd(upper, j < 4 ? low : high, lower));
    }
}
#elif defined __AVX2__ && AT_TYPE == 32
enum { HIGH = 8, SIDE = 8 };

INLINE __m256i eight(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE void square(size_t rows, size_t columns, const real *a, size_t lda, real *b, size_t ldb)
{
    __m256 r[8], t[8];

    for (size_t i = 0; i < 8; i++)
        if (i < rows)
            r[i] = columns == 8 ? _mm256_loadu_ps(a + i * lda) : _mm256_maskload_ps(a + i * lda, eight(columns));
        else
            r[i] = _mm256_setzero_ps();
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (size_t j = 0; j < 8 && j < columns; j++)
        if (rows == 8)
            _mm256_storeu_ps(b + j * ldb, t[j]);
        else
            _mm256_maskstore_ps(b + j * ldb, eight(rows), t[j]);
}
#elif defined __AVX2__
enum { HIGH = 4, SIDE = 4 };

INLINE __m256i four(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((int64_t)n), _mm256_setr_epi64x(0, 1, 2, 3));
}

INLINE void square(size_t rows, size_t columns, const real *a, size_t lda, real *b, size_t ldb)
{
    __m256d r[4], t[4];

    for (size_t i = 0; i < 4; i++)
        if (i < rows)
            r[i] = columns == 4 ? _mm256_loadu_pd(a + i * lda) : _mm256_maskload_pd(a + i * lda, four(columns));
        else
            r[i] = _mm256_setzero_pd();
    for (int i = 0; i < 4; i += 2) {
        t[i] = _mm256_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_pd(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        r[i] = _mm256_permute2f128_pd(t[i], t[i + 2], 0x20);
        r[i + 2] = _mm256_permute2f128_pd(t[i], t[i + 2], 0x31);
    }
    for (size_t j = 0; j < 4 && j < columns; j++)
        if (rows == 4)
            _mm256_storeu_pd(b + j * ldb, r[j]);
        else
            _mm256_maskstore_pd(b + j * ldb, four(rows), r[j]);
}
#else
enum { HIGH = 4, SIDE = 4 };

INLINE void square(size_t rows, size_t columns, const real *a, size_t lda, real *b, size_t ldb)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            b[j * ldb + i] = a[i * lda + j];
}
#endif

/* In strips of a cache line of a, walked down: the lines of a strip stay in the first cache until all of it is used. */
static void transpose(size_t m, size_t n, const real *a, size_t lda, real *b, size_t ldb)
{
    enum { STRIP = 64 / sizeof(real), NEXT = 3 * STRIP, FEW = 2 };

    for (size_t j0 = 0; j0 < n; j0 += STRIP) {
        size_t j1 = n - j0 < STRIP ? n : j0 + STRIP;
        for (size_t i = 0; i < m; i += HIGH) {
            size_t rows = m - i < HIGH ? m - i : HIGH, j = j0;
            for (size_t r = i; r < i + rows && j0 + NEXT < n; r++) /* more rows than the hardware follows */
                __builtin_prefetch(a + r * lda + j0 + NEXT);
            for (; rows == HIGH && j + SIDE <= j1; j += SIDE)
                square(HIGH, SIDE, a + i * lda + j, lda, b + j * ldb + i, ldb);
            if (rows == HIGH && j + FEW < j1) {
                square(HIGH, j1 - j, a + i * lda + j, lda, b + j * ldb + i, ldb);
                continue;
            }
            for (; j + FEW < j1 && rows > FEW; j += SIDE)
                square(rows, j1 - j < SIDE ? j1 - j : SIDE, a + i * lda + j, lda, b + j * ldb + i, ldb);
            for (; j < j1; j++)
                for (size_t r = i; r < i + rows; r++)
                    b[j * ldb + r] = a[r * lda + j];
        }
    }
}

static void pack(bool transposed, size_t n, size_t k, real alpha, const real *w, size_t ldw, real *packed)
{
    for (size_t c = 0; c < n; c += TILE) {
        size_t columns = n - c < TILE ? n - c : TILE, width = width_of(columns);
        if (transposed) {
            for (size_t j = 0; j < k; j++) {
                real *to = packed + j * width;
                const real *from = w + j * ldw + c;
                if (columns == TILE)
                    memcpy(to, from, TILE * sizeof *to);
                else
                    memcpy(to, from, columns * sizeof *to);
            }
        } else {
            transpose(columns, k, w + c * ldw, ldw, packed, width);
        }
        if (columns < width)
            for (size_t j = 0; j < k; j++)
                memset(packed + j * width + columns, 0, (width - columns) * sizeof *packed);
        for (size_t i = 0; alpha != 1 && i < width * k; i++)
            packed[i] *= alpha;
        packed += width * k;
    }
}

/* y[rows, nv W] = x b + start (NULL: 0); x [rows, k], or turned [k, rows]; b [k, nv W] with rows ldb apart. Of the last
 * vector only `last` lanes are in use; with nv > 1 it can be read whole all the same. */
INLINE void product(const int rows, const int nv, size_t k, const bool turned, const real *x, size_t ldx, const real *b,
                    size_t ldb, real *y, size_t ldy, size_t last, const real *start, size_t lds)
{
    vec sum[MR][NV];

    for (int r = 0; r < rows; r++)
        for (int v = 0; v < nv; v++)
            sum[r][v] = (vec){0};
    /* y is far away when it is large: asked for now it is here at the end, else the stores are a tenth of the time */
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < nv; v++)
            __builtin_prefetch(y + (size_t)r * ldy + (size_t)v * W, 1);
    for (size_t j = 0; j < k; j++) {
        vec w[NV];
        for (int v = 0; v < nv; v++)
            w[v] = get(b + j * ldb + (size_t)v * W, nv > 1 ? W : last);
        for (int r = 0; r < rows; r++) {
            real a = turned ? x[j * ldx + (size_t)r] : x[(size_t)r * ldx + j];
            for (int v = 0; v < nv; v++)
                sum[r][v] += a * w[v];
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < nv; v++) {
            real *to = y + (size_t)r * ldy + (size_t)v * W;
            const real *from = start ? start + (size_t)r * lds + (size_t)v * W : NULL;
            size_t len = v == nv - 1 ? last : W;
            put(to, len, from ? get(from, len) + sum[r][v] : sum[r][v]);
        }
    }
}

/* The same for any number of rows. */
INLINE void rows_product(const bool turned, const int nv, size_t m, size_t k, const real *x, size_t ldx, const real *b,
                         size_t ldb, real *y, size_t ldy, size_t last, const real *start, size_t lds)
{
#define ROWS(r) product(r, nv, k, turned, x, ldx, b, ldb, y, ldy, last, start, lds)
    for (; m >= MR; m -= MR) {
        ROWS(MR);
        x += MR * (turned ? 1 : ldx);
        y += MR * ldy;
        start = start ? start + MR * lds : NULL;
    }
    switch (m) {
    case 1: ROWS(1); break;
    case 2: ROWS(2); break;
    case 3: ROWS(3); break;
    case 4: ROWS(4); break;
    case 5: ROWS(5); break;
    }
#undef ROWS
}

#define COLUMNS(nv)                                                                                                    \
    static void columns_##nv(size_t m, size_t k, const real *x, size_t ldx, const real *w, real *y, size_t ldy,        \
                             size_t last, const real *start, size_t lds)                                               \
    {                                                                                                                  \
        rows_product(false, nv, m, k, x, ldx, w, (nv)*W, y, ldy, last, start, lds);                                    \
    }

COLUMNS(1)
COLUMNS(2)
#ifdef __AVX512F__
COLUMNS(3)
COLUMNS(4)
#endif

static void packed_gemm_from(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                             size_t ldy, const real *start, size_t lds)
{
    for (size_t c = 0; c < n; c += TILE) {
        size_t columns = n - c < TILE ? n - c : TILE, width = width_of(columns), last = columns - (width - W);
        const real *from = start ? start + c : NULL;
        switch (width / W) {
        case 1: columns_1(m, k, x, ldx, packed, y + c, ldy, last, from, lds); break;
        case 2: columns_2(m, k, x, ldx, packed, y + c, ldy, last, from, lds); break;
#ifdef __AVX512F__
        case 3: columns_3(m, k, x, ldx, packed, y + c, ldy, last, from, lds); break;
        case 4: columns_4(m, k, x, ldx, packed, y + c, ldy, last, from, lds); break;
#endif
        }
        packed += width * k;
    }
}

static void packed_gemm(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                        size_t ldy, bool accumulate)
{
    packed_gemm_from(m, n, k, x, ldx, packed, y, ldy, accumulate ? y : NULL, ldy);
}

/* ---- a matrix that is read once: packing would cost more than the product ---- */

/* y[m, n] (+)= x b, b [k, n] in place */
INLINE void tile_columns(const bool turned, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *b,
                         size_t ldb, real *y, size_t ldy, bool accumulate)
{
    size_t c = 0;

#define TILES(nv, last)                                                                                                \
    rows_product(turned, nv, m, k, x, ldx, b + c, ldb, y + c, ldy, last, accumulate ? y + c : NULL, ldy)
    for (; c + TILE <= n; c += TILE)
        TILES(NV, W);
#ifdef __AVX512F__
    if (c + 3 * W <= n) {
        TILES(3, W);
        c += 3 * W;
    } else if (c + 2 * W <= n) {
        TILES(2, W);
        c += 2 * W;
    }
#endif
    if (c + W <= n) {
        TILES(1, W);
        c += W;
    }
    if (c < n)
        TILES(1, n - c);
#undef TILES
}

/* y[rows, n] (+)= x[rows, k] w', w [n, k]: sums along k, lanes added at the end. One row of w after the other, so that it
 * comes from memory as one stream: four at a time come at less than half the speed. */
INLINE void dot_products(const int rows, size_t n, size_t k, const real *x, size_t ldx, const real *w, size_t ldw,
                         real *y, size_t ldy, bool accumulate)
{
    enum { CHAINS = 4 };

    for (size_t c = 0; c < n; c++, w += ldw) {
        vec sum[DOTS][CHAINS];
        size_t j = 0;
        for (int r = 0; r < rows; r++)
            for (int a = 0; a < CHAINS; a++)
                sum[r][a] = (vec){0};
        for (; j + CHAINS * W <= k; j += CHAINS * W)
            for (int a = 0; a < CHAINS; a++) {
                vec b = load(w + j + (size_t)a * W);
                for (int r = 0; r < rows; r++)
                    sum[r][a] += load(x + (size_t)r * ldx + j + (size_t)a * W) * b;
            }
        for (; j + W <= k; j += W)
            for (int r = 0; r < rows; r++)
                sum[r][0] += load(x + (size_t)r * ldx + j) * load(w + j);
        if (j < k)
            for (int r = 0; r < rows; r++)
                sum[r][1] += load_some(x + (size_t)r * ldx + j, k - j, 0) * load_some(w + j, k - j, 0);
        for (int r = 0; r < rows; r++) {
            real *to = y + (size_t)r * ldy + c, total = across((sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]));
            *to = accumulate ? *to + total : total;
        }
    }
}

/* The same for one to three rows, along the rows of b, four at a time: the lines of a strip are too few to keep memory
 * busy. Each element is still one chain over k, held in y. */
INLINE void sweep(const int rows, size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb, real *y,
                  size_t ldy, bool accumulate)
{
    enum { PART = 512 }; /* columns whose y stays in the first cache */

    for (size_t c = 0; c < n; c += PART) {
        size_t columns = n - c < PART ? n - c : PART, j = 0;
        for (int r = 0; r < rows && !accumulate; r++)
            memset(y + (size_t)r * ldy + c, 0, columns * sizeof *y);
        for (; j + 4 <= k; j += 4)
            EACH(columns, {
                const real *from = b + j * ldb + c + i;
                vec b0 = get(from, len);
                vec b1 = get(from + ldb, len);
                vec b2 = get(from + 2 * ldb, len);
                vec b3 = get(from + 3 * ldb, len);
                for (int r = 0; r < rows; r++) {
                    const real *a = x + (size_t)r * ldx + j;
                    real *to = y + (size_t)r * ldy + c + i;
                    vec v = get(to, len);
                    v += a[0] * b0;
                    v += a[1] * b1;
                    v += a[2] * b2;
                    v += a[3] * b3;
                    put(to, len, v);
                }
            });
        for (; j < k; j++)
            for (int r = 0; r < rows; r++) {
                real a = x[(size_t)r * ldx + j];
                EACH(columns, {
                    real *to = y + (size_t)r * ldy + c + i;
                    put(to, len, get(to, len) + a * get(b + j * ldb + c + i, len));
                });
            }
    }
}

#define SWEEP(r)                                                                                                       \
    static void sweep_##r(size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb, real *y,           \
                          size_t ldy, bool accumulate)                                                                 \
    {                                                                                                                  \
        sweep(r, n, k, x, ldx, b, ldb, y, ldy, accumulate);                                                            \
    }

/* The number of rows is a constant here: left to a switch inside, four and five rows take a quarter longer. */
#define STRIPS(r)                                                                                                      \
    static void strips_##r(size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb, real *y,          \
                           size_t ldy, bool accumulate)                                                                \
    {                                                                                                                  \
        tile_columns(false, r, n, k, x, ldx, b, ldb, y, ldy, accumulate);                                              \
    }
#define DOT_ROWS(r)                                                                                                    \
    static void dots_##r(size_t n, size_t k, const real *x, size_t ldx, const real *w, size_t ldw, real *y,            \
                         size_t ldy, bool accumulate)                                                                  \
    {                                                                                                                  \
        dot_products(r, n, k, x, ldx, w, ldw, y, ldy, accumulate);                                                     \
    }

SWEEP(1)
SWEEP(2)
SWEEP(3)
STRIPS(4)
STRIPS(5)
STRIPS(6)
DOT_ROWS(1)
DOT_ROWS(2)
DOT_ROWS(3)
#ifdef __AVX512F__
DOT_ROWS(4)
#endif

typedef void few_rows(size_t n, size_t k, const real *x, size_t ldx, const real *w, size_t ldw, real *y, size_t ldy,
                      bool accumulate);

static void few_gemm(bool transposed, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *w,
                     size_t ldw, real *y, size_t ldy, bool accumulate)
{
    static few_rows *const by_columns[] = {sweep_1, sweep_2, sweep_3, strips_4, strips_5, strips_6};
    static few_rows *const dots[] = {dots_1, dots_2, dots_3,
#ifdef __AVX512F__
                                     dots_4
#endif
    };
    size_t most = transposed ? MR : DOTS;

    for (size_t i = 0; i < m; i += most) {
        size_t rows = m - i < most ? m - i : most;
        few_rows *some = transposed ? by_columns[rows - 1] : dots[rows - 1];
        some(n, k, x + i * ldx, ldx, w, ldw, y + i * ldy, ldy, accumulate);
    }
}

/* ---- parts of a tile of attention ---- */

static void tile_gemm(bool turned, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb,
                      real *y, size_t ldy, bool accumulate)
{
    if (turned)
        tile_columns(true, m, n, k, x, ldx, b, ldb, y, ldy, accumulate);
    else
        tile_columns(false, m, n, k, x, ldx, b, ldb, y, ldy, accumulate);
}

/* ---- a transposed left side ---- */

/* a [k, m] in panels of MR rows of a', each k-major, so that a product reads it as one stream. In strips of a, as panels a multiple
 * of 4 KiB apart share the sets of the first cache: a strip of a panel is whole lines. */
static void pack_rows(size_t m, size_t k, const real *a, size_t lda, real *panels)
{
    enum { STRIP = 8, AHEAD = 2 * STRIP };

    for (size_t j = 0; j < k; j += STRIP) {
        size_t rows = k - j < STRIP ? k - j : STRIP;
        for (size_t r = j + AHEAD; r < j + AHEAD + rows && r < k; r++) /* each on lines, often on a page, of its own */
            for (size_t l = 0; l < m; l += 64 / sizeof *a)
                __builtin_prefetch(a + r * lda + l);
        for (size_t i = 0; i < m; i += MR) {
            const real *from = a + j * lda + i;
            real *to = panels + i * k + j * MR;
            if (m - i >= MR)
                for (size_t r = 0; r < rows; r++)
                    memcpy(to + r * MR, from + r * lda, MR * sizeof *to);
            else
                for (size_t r = 0; r < rows; r++)
                    memcpy(to + r * MR, from + r * lda, (m - i) * sizeof *to);
        }
    }
}

static void rows_gemm(size_t m, size_t n, size_t k, const real *panels, const real *packed, real *y, size_t ldy,
                      bool accumulate)
{
    for (size_t c = 0; c < n; c += TILE) {
        size_t columns = n - c < TILE ? n - c : TILE, width = width_of(columns);
        for (size_t i = 0; i < m; i += MR)
            tile_columns(true, m - i < MR ? m - i : MR, columns, k, panels + i * k, MR, packed, width, y + i * ldy + c,
                         ldy, accumulate);
        packed += width * k;
    }
}

const AT_REAL(at_pack_kernels) AT_KERNEL(at_pack_kernels) = {
    .tile = TILE,
    .packed_size = packed_size,
    .pack = pack,
    .packed_gemm = packed_gemm,
    .packed_gemm_from = packed_gemm_from,
    .few_gemm = few_gemm,
    .tile_gemm = tile_gemm,
    .rows = MR,
    .pack_rows = pack_rows,
    .rows_gemm = rows_gemm,
    .transpose = transpose,
};
