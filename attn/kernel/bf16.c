/*
 * Products of bfloat16, see bf16.h; at the widest level also by the matrix unit of the processor (AMX).
 *
 * The order of the sums is that of the instruction TDPBF16PS, as measured: chains over the even and the odd places of 32, then their
 * sum. Vectors do the same in float32, which holds each product, at the speed of products of float32: a matrix is packed as pack.c
 * does and rounded in place. For the matrix unit it is packed in pairs of places, [k / 2, columns], and rows are [m, k / 2].
 */
#include <float.h>

#include "attn/kernel/bf16.h"
#include "attn/kernel/table.h"

#if AT_TYPE == 32

#define F32 (&AT_KERNEL(at_pack_kernels))

#ifdef __AVX512F__
enum { TILE = 4 * W, MR = 6, NV = 2 };
#elif defined __AVX2__
enum { TILE = 2 * W, MR = 3, NV = 2 };
#else
enum { TILE = 2 * W, MR = 3, NV = 1 };
#endif
enum {
    BLOCK = 32, /* places of a block of the definition */
    KC = 512,   /* rows are rounded so many places at a time */
    MC = 96     /* and so many at a time */
};

#define UNROLL _Pragma("GCC unroll 8")
#define APART __attribute__((noinline))

static inline size_t width_of(size_t columns) { return columns >= TILE ? TILE : (columns + W - 1) / W * W; }
static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

typedef uword bits __attribute__((vector_size(VEC_BYTES)));

INLINE vec rounded(vec x)
{
    bits b = (bits)x, even = b + 0x7fff + (b >> 16 & 1), exponent = b & 0x7f800000;

    even = (bits)pick((ivec)(exponent == 0), (vec)(b & 0x80000000), (vec)(even & 0xffff0000));
    return pick((ivec)((b & 0x7fffffff) > 0x7f800000), (vec)((b | 0x00400000) & 0xffff0000), (vec)even);
}

static void round_all(size_t n, const real *x, real *y) { EACH(n, put(y + i, len, rounded(get(x + i, len)));); }

/* ---- vectors ---- */

/* The rules for numbers below the smallest normal one are the processor's, for as long as a product takes. */
#ifdef __AVX2__
enum { FLUSH = 0x8040 };
INLINE vec flushed(vec x) { return x; }
#ifdef __AVX512F__
INLINE vec add_product(vec a, vec b, vec sum) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum); }
#else
INLINE vec add_product(vec a, vec b, vec sum) { return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum); }
#endif
INLINE unsigned start_flushing(void)
{
    unsigned before = _mm_getcsr();

    _mm_setcsr((before & ~0x6000u) | FLUSH);
    return before;
}
INLINE void end_flushing(unsigned before) { _mm_setcsr(before); }
#else
INLINE vec flushed(vec x) { return pick((ivec)(((ivec)x & 0x7f800000) == 0), (vec)((bits)x & 0x80000000), x); }
/* A double holds the product, and rounding its sum again is rounding once: 53 >= 2 * 24 + 2. */
INLINE vec add_product(vec a, vec b, vec sum)
{
    for (int i = 0; i < W; i++) {
        double x = (double)a[i] * (double)b[i] + (double)sum[i];
        sum[i] =
            fabs(x) < 0x1.ffffffp-127 ? copysignf(0, (float)x) : (float)x; /* below, it rounds to less than FLT_MIN */
    }
    return sum;
}
INLINE unsigned start_flushing(void) { return 0; }
INLINE void end_flushing(unsigned before) { (void)before; }
#endif

/* y[rows, nv W] = start (NULL: 0) + x b, x and b rounded. Of the last vector only `last` lanes are in use. */
INLINE void product(const int rows, const int nv, const bool turned, size_t k, const real *x, size_t ldx, const real *b,
                    size_t ldb, real *y, size_t ldy, size_t last, const real *start, size_t lds)
{
    size_t l = 0;

    do {
        vec even[MR][NV], odd[MR][NV];
        size_t end = l + least(k - l, BLOCK);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < nv; v++)
                even[r][v] = odd[r][v] = (vec){0};
#define PLACE(sum, j)                                                                                                  \
    do {                                                                                                               \
        vec w[NV];                                                                                                     \
        for (int v = 0; v < nv; v++)                                                                                   \
            w[v] = load(b + (j)*ldb + (size_t)v * W);                                                                  \
        for (int r = 0; r < rows; r++) {                                                                               \
            vec a = splat(turned ? x[(j)*ldx + (size_t)r] : x[(size_t)r * ldx + (j)]);                                 \
            for (int v = 0; v < nv; v++)                                                                               \
                sum[r][v] = add_product(a, w[v], sum[r][v]);                                                           \
        }                                                                                                              \
    } while (0)
        for (; l + 2 <= end; l += 2) {
            PLACE(even, l);
            PLACE(odd, l + 1);
        }
        if (l < end) {
            PLACE(even, l);
            l++;
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < nv; v++)
                    odd[r][v] += (vec){0}; /* zero, not minus zero */
        }
#undef PLACE
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < nv; v++) {
                real *to = y + (size_t)r * ldy + (size_t)v * W;
                const real *from = start ? start + (size_t)r * lds + (size_t)v * W : NULL;
                size_t len = v == nv - 1 ? last : W;
                vec sum = flushed(even[r][v] + odd[r][v]), before = from ? flushed(get(from, len)) : (vec){0};
                put(to, len, flushed(before + sum));
            }
        }
        start = y;
        lds = ldy;
    } while (l < k);
}

/* y [m, columns] = start + x b of a packed tile: b [k, width] rounded, x rounded, [m, k] or turned [k, m] */
INLINE void columns_product(const bool turned, size_t m, size_t columns, size_t k, const real *x, size_t ldx,
                            const real *b, size_t ldb, real *y, size_t ldy, const real *start, size_t lds)
{
#define ROWS(r, nv, last) product(r, nv, turned, k, at, ldx, b + c, ldb, to, ldy, last, from, lds)
#define FEWER(nv, last)                                                                                                \
    switch (rows) {                                                                                                    \
    case 1: ROWS(1, nv, last); break;                                                                                  \
    case 2: ROWS(2, nv, last); break;                                                                                  \
    case 3: ROWS(3, nv, last); break;                                                                                  \
    case 4: ROWS(MR < 4 ? MR : 4, nv, last); break;                                                                    \
    case 5: ROWS(MR < 5 ? MR : 5, nv, last); break;                                                                    \
    default: ROWS(MR, nv, last);                                                                                       \
    }
    for (size_t c = 0; c < columns;) {
        size_t wide = columns - c > (NV - 1) * W ? least(columns - c, NV * W) : least(columns - c, W);
        for (size_t i = 0; i < m; i += MR) {
            size_t rows = least(m - i, MR);
            const real *at = x + (turned ? i : i * ldx), *from = start ? start + i * lds + c : NULL;
            real *to = y + i * ldy + c;
            if (wide > (NV - 1) * W) {
                FEWER(NV, wide - (NV - 1) * W)
            } else {
                FEWER(1, wide)
            }
        }
        c += wide;
    }
#undef FEWER
#undef ROWS
}

static APART void columns_of_rows(size_t m, size_t columns, size_t k, const real *x, size_t ldx, const real *b,
                                  size_t ldb, real *y, size_t ldy, const real *start, size_t lds)
{
    columns_product(false, m, columns, k, x, ldx, b, ldb, y, ldy, start, lds);
}

static APART void columns_of_turned(size_t m, size_t columns, size_t k, const real *x, size_t ldx, const real *b,
                                    size_t ldb, real *y, size_t ldy, const real *start, size_t lds)
{
    columns_product(true, m, columns, k, x, ldx, b, ldb, y, ldy, start, lds);
}

static void pack(bool transposed, size_t n, size_t k, real alpha, const real *w, size_t ldw, real *packed)
{
    F32->pack(transposed, n, k, alpha, w, ldw, packed);
    round_all(F32->packed_size(n, k), packed, packed);
}

/* x [m, k] rounded, k side by side */
static void round_rows(size_t m, size_t k, const real *x, size_t ldx, real *to)
{
    for (size_t i = 0; i < m; i++)
        round_all(k, x + i * ldx, to + i * k);
}

static void packed_gemm_from(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                             size_t ldy, const real *start, size_t lds)
{
    _Alignas(64) real rows[MC * KC];
    unsigned mode = start_flushing();

    for (size_t i = 0; i < m; i += MC) {
        size_t high = least(m - i, MC), l = 0;
        do {
            size_t depth = least(k - l, KC);
            round_rows(high, depth, x + i * ldx + l, ldx, rows);
            for (size_t c = 0; c < n; c += TILE) {
                size_t columns = least(n - c, TILE), width = width_of(columns);
                real *to = y + i * ldy + c;
                const real *from = l > 0 ? to : start ? start + i * lds + c : NULL;
                columns_of_rows(high, columns, depth, rows, depth, packed + c * k + l * width, width, to, ldy, from,
                                l > 0 ? ldy : lds);
            }
            l += depth;
        } while (l < k);
    }
    end_flushing(mode);
}

static void packed_gemm(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                        size_t ldy, bool accumulate)
{
    packed_gemm_from(m, n, k, x, ldx, packed, y, ldy, accumulate ? y : NULL, ldy);
}

/* Panels [k, MR], the last filled with zeros */
static void pack_rows(size_t m, size_t k, const real *x, size_t ldx, real *panels)
{
    for (size_t i = 0; i < m; i += MR) {
        size_t high = least(m - i, MR);
        for (size_t j = 0; j < k; j++)
            for (size_t r = 0; r < MR; r++)
                panels[i * k + j * MR + r] = r < high ? x[j * ldx + i + r] : 0;
        round_all(k * MR, panels + i * k, panels + i * k);
    }
}

static void rows_gemm(size_t m, size_t n, size_t k, const real *panels, const real *packed, real *y, size_t ldy,
                      bool accumulate)
{
    unsigned mode = start_flushing();

    for (size_t c = 0; c < n; c += TILE)
        for (size_t i = 0; i < m; i += MR) {
            size_t columns = least(n - c, TILE);
            real *to = y + i * ldy + c;
            columns_of_turned(least(m - i, MR), columns, k, panels + i * k, MR, packed + c * k, width_of(columns), to,
                              ldy, accumulate ? to : NULL, ldy);
        }
    end_flushing(mode);
}

enum { SIDE = 64 }; /* rows, columns and places of parts of a product in place */

/* x rounded, [m, k] or turned [k, m] as it stands, in rows of `ld` */
static void round_block(size_t rows, size_t columns, const real *x, size_t ldx, real *to, size_t ld)
{
    for (size_t i = 0; i < rows; i++) {
        round_all(columns, x + i * ldx, to + i * ld);
        memset(to + i * ld + columns, 0, (ld - columns) * sizeof *to);
    }
}

static void tile_gemm(bool turned, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb,
                      real *y, size_t ldy, bool accumulate)
{
    _Alignas(64) real left[SIDE * SIDE], right[SIDE * SIDE];
    unsigned mode = start_flushing();
    size_t l = 0;

    do {
        size_t depth = least(k - l, SIDE);
        for (size_t c = 0; c < n; c += SIDE) {
            size_t columns = least(n - c, SIDE);
            round_block(depth, columns, b + l * ldb + c, ldb, right, SIDE);
            for (size_t i = 0; i < m; i += SIDE) {
                size_t high = least(m - i, SIDE);
                real *to = y + i * ldy + c;
                const real *from = accumulate || l > 0 ? to : NULL;
                if (turned) {
                    round_block(depth, high, x + l * ldx + i, ldx, left, SIDE);
                    columns_of_turned(high, columns, depth, left, SIDE, right, SIDE, to, ldy, from, ldy);
                } else {
                    round_block(high, depth, x + i * ldx + l, ldx, left, SIDE);
                    columns_of_rows(high, columns, depth, left, SIDE, right, SIDE, to, ldy, from, ldy);
                }
            }
        }
        l += depth;
    } while (l < k);
    end_flushing(mode);
}

static size_t packed_size(size_t n, size_t k) { return F32->packed_size(n, k); }
static void transpose(size_t m, size_t n, const real *a, size_t lda, real *b, size_t ldb)
{
    F32->transpose(m, n, a, lda, b, ldb);
}

static const at_pack_kernels_f32 vectors = {
    .tile = TILE,
    .packed_size = packed_size,
    .pack = pack,
    .packed_gemm = packed_gemm,
    .packed_gemm_from = packed_gemm_from,
    .tile_gemm = tile_gemm,
    .rows = MR,
    .pack_rows = pack_rows,
    .rows_gemm = rows_gemm,
    .transpose = transpose,
};

/* ---- the matrix unit ---- */

#ifdef __AVX512F__

#define UNIT __attribute__((target("amx-tile,amx-bf16,avx512bf16")))

enum {
    HIGH = 16,        /* rows and columns of a tile */
    DEEP = BLOCK / 2, /* pairs */
    PAIRS = KC / 2,
    LINE = 64, /* bytes of a row of a tile */
    NEAR = 64  /* rows, columns and pairs that are turned or put side by side at a time */
};

/* Two rows of a tile each way: sums 0..3, rows 4 and 5, columns 6 and 7. */
typedef struct shape {
    uint8_t palette, start, none[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} shape;

static UNIT void set_shape(size_t rows, size_t columns, size_t pairs)
{
    shape s = {.palette = 1};

    for (size_t h = 0; h < 2; h++) {
        size_t high = rows > h * HIGH ? least(rows - h * HIGH, HIGH) : 0,
               wide = columns > h * HIGH ? least(columns - h * HIGH, HIGH) : 0;
        for (size_t o = 0; o < 2; o++) {
            s.rows[2 * h + o] = (uint8_t)high;
            s.bytes[2 * o + h] = (uint16_t)(4 * wide);
        }
        s.rows[4 + h] = (uint8_t)high;
        s.bytes[4 + h] = (uint16_t)(4 * pairs);
        s.rows[6 + h] = (uint8_t)pairs;
        s.bytes[6 + h] = (uint16_t)(4 * wide);
    }
    for (int t = 0; t < 8; t++) /* one that is not used is given up */
        if (s.rows[t] == 0 || s.bytes[t] == 0)
            s.rows[t] = 0, s.bytes[t] = 0;
    _tile_loadconfig(&s);
}

/* A place in a product of tiles: rows x [tiles of rows][tiles of pairs][16, 16], columns b [tiles of columns][pairs, 16], the next tile of
 * rows and of columns being so far away. */
typedef struct spot {
    const real *x, *b, *start;
    real *y;
    size_t next_x, next_b, lds, ldy;
} spot;

static inline UNIT __attribute__((always_inline)) void start_sums(const bool two, const bool wide, const spot *p)
{
    /* y is far away when it is large: asked for now it is here at the end */
    for (size_t r = 0; r < (two ? 2 * HIGH : HIGH); r++) {
        __builtin_prefetch(p->y + r * p->ldy, 1);
        if (wide)
            __builtin_prefetch(p->y + r * p->ldy + HIGH, 1);
    }
    if (!p->start) {
        _tile_zero(0);
        if (wide)
            _tile_zero(1);
        if (two)
            _tile_zero(2);
        if (two && wide)
            _tile_zero(3);
        return;
    }
    _tile_loadd(0, p->start, 4 * p->lds);
    if (wide)
        _tile_loadd(1, p->start + HIGH, 4 * p->lds);
    if (two)
        _tile_loadd(2, p->start + HIGH * p->lds, 4 * p->lds);
    if (two && wide)
        _tile_loadd(3, p->start + HIGH * p->lds + HIGH, 4 * p->lds);
}

static inline UNIT __attribute__((always_inline)) void end_sums(const bool two, const bool wide, const spot *p)
{
    _tile_stored(0, p->y, 4 * p->ldy);
    if (wide)
        _tile_stored(1, p->y + HIGH, 4 * p->ldy);
    if (two)
        _tile_stored(2, p->y + HIGH * p->ldy, 4 * p->ldy);
    if (two && wide)
        _tile_stored(3, p->y + HIGH * p->ldy + HIGH, 4 * p->ldy);
}

/* One or two tiles high and wide; the shape is set for them, and for `rest` pairs at the end set again. */
static inline UNIT __attribute__((always_inline)) void
tiles_at(const bool two, const bool wide, size_t pairs, const spot *p)
{
    start_sums(two, wide, p);
    for (size_t l = 0; l < pairs; l += DEEP) {
        const real *x = p->x + l * HIGH, *b = p->b + l * HIGH;
        _tile_loadd(6, b, LINE);
        _tile_loadd(4, x, LINE);
        _tile_dpbf16ps(0, 4, 6);
        if (wide) {
            _tile_loadd(7, b + p->next_b, LINE);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (two) {
            _tile_loadd(5, x + p->next_x, LINE);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (two && wide)
            _tile_dpbf16ps(3, 5, 7);
    }
    end_sums(two, wide, p);
}

static UNIT void tiles_1x1(size_t pairs, const spot *p) { tiles_at(false, false, pairs, p); }
static UNIT void tiles_1x2(size_t pairs, const spot *p) { tiles_at(false, true, pairs, p); }
static UNIT void tiles_2x1(size_t pairs, const spot *p) { tiles_at(true, false, pairs, p); }
static UNIT void tiles_2x2(size_t pairs, const spot *p) { tiles_at(true, true, pairs, p); }

static inline size_t pairs_of(size_t k) { return (k + 1) / 2; }
static inline size_t whole(size_t n) { return (n + HIGH - 1) / HIGH * HIGH; }

/* y [m, n] = start (NULL: 0) + x b, of so many pairs; a tile of columns has room for `deep` pairs */
static UNIT void tile_product(size_t m, size_t n, size_t pairs, const real *x, const real *b, size_t deep, real *y,
                              size_t ldy, const real *start, size_t lds)
{
    static void (*const some[2][2])(size_t, const spot *) = {{tiles_1x1, tiles_1x2}, {tiles_2x1, tiles_2x2}};
    size_t rest = pairs % DEEP, was[3] = {0};

    for (size_t i = 0; i < m; i += 2 * HIGH)
        for (size_t j = 0; j < n; j += 2 * HIGH) {
            size_t rows = least(m - i, 2 * HIGH), columns = least(n - j, 2 * HIGH);
            spot p = {x + i * whole(pairs),
                      b + j * deep,
                      start ? start + i * lds + j : NULL,
                      y + i * ldy + j,
                      whole(pairs) * HIGH,
                      deep * HIGH,
                      lds,
                      ldy};
            for (size_t l = 0; l < pairs;) {
                size_t high = pairs - l < DEEP ? rest : DEEP, part = high == DEEP ? pairs - l - rest : rest;
                if (was[0] != rows || was[1] != columns || was[2] != high)
                    set_shape(was[0] = rows, was[1] = columns, was[2] = high);
                some[rows > HIGH][columns > HIGH](part, &p);
                p.x += part * HIGH;
                p.b += part * HIGH;
                p.start = p.y;
                p.lds = ldy;
                l += part;
            }
        }
}

static UNIT void end_tiles(void) { _tile_release(); }

INLINE __mmask16 lanes_of(size_t n) { return n >= W ? (__mmask16)0xffff : first_lanes(n); }

/* alpha x of n numbers in pairs as they stand, an odd one with a zero: a vector every `step` */
static UNIT void pair_row(size_t n, real alpha, const real *x, real *to, size_t step)
{
    __m512 times = _mm512_set1_ps(alpha);

    for (size_t j = 0; j < n; j += 2 * W, to += step) {
        size_t left = n - j;
        __m512 low = _mm512_maskz_loadu_ps(lanes_of(left), x + j);
        __m512 high = left > W ? _mm512_maskz_loadu_ps(lanes_of(left - W), x + j + W) : _mm512_setzero_ps();
        if (alpha != 1)
            low *= times, high *= times;
        _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

/* alpha x [k, n] in pairs, n in vectors `step` apart, the last filled with zeros, the pairs `ld` */
static UNIT void pair_rows(size_t k, size_t n, real alpha, const real *x, size_t ldx, real *to, size_t ld, size_t step)
{
    static const uint16_t order[2 * W] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i places = _mm512_loadu_si512(order);
    __m512 times = _mm512_set1_ps(alpha);

    for (size_t l = 0; l < k; l += 2, x += 2 * ldx, to += ld)
        for (size_t j = 0; j < n; j += W) {
            __mmask16 in = lanes_of(n - j);
            __m512 low = _mm512_maskz_loadu_ps(in, x + j);
            __m512 high = l + 1 < k ? _mm512_maskz_loadu_ps(in, x + ldx + j) : _mm512_setzero_ps();
            if (alpha != 1)
                low *= times, high *= times;
            __m512i both = _mm512_permutexvar_epi16(places, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to + j / W * step, both);
        }
}

/* x [m, k] as rows of tiles: whole(m) whole(pairs_of(k)) numbers */
static void pair_each(size_t m, size_t k, const real *x, size_t ldx, real *to)
{
    for (size_t i = 0, across = whole(pairs_of(k)); i < m; i++)
        pair_row(k, 1, x + i * ldx, to + i / HIGH * HIGH * across + i % HIGH * HIGH, HIGH * HIGH);
}

/* x [k, m] as rows of tiles */
static void pair_turned(size_t m, size_t k, const real *x, size_t ldx, real *to)
{
    real some[HIGH * NEAR];
    size_t across = whole(pairs_of(k));

    for (size_t l = 0; l < k; l += BLOCK)
        for (size_t i = 0; i < m; i += NEAR) {
            size_t deep = least(k - l, BLOCK), rows = least(m - i, NEAR);
            pair_rows(deep, rows, 1, x + l * ldx + i, ldx, some, NEAR, W);
            for (size_t r = 0; r < rows; r += HIGH)
                F32->transpose(pairs_of(deep), least(rows - r, HIGH), some + r, NEAR,
                               to + (i + r) * across + l / 2 * HIGH, HIGH);
        }
}

/* Tiles of columns of TILE as pack.c's, each of tiles of HIGH columns, [pairs, HIGH]: at most as many numbers. */
static void pair_pack(bool transposed, size_t n, size_t k, real alpha, const real *w, size_t ldw, real *packed)
{
    real some[TILE * HIGH];
    size_t pairs = pairs_of(k);

    for (size_t c = 0; c < n; c += TILE, packed += TILE * k) {
        size_t columns = least(n - c, TILE);
        if (transposed) {
            pair_rows(k, columns, alpha, w + c, ldw, packed, HIGH, pairs * HIGH);
            continue;
        }
        for (size_t l = 0; l < k; l += BLOCK) {
            size_t deep = least(k - l, BLOCK);
            for (size_t i = 0; i < whole(columns); i++)
                if (i < columns)
                    pair_row(deep, alpha, w + (c + i) * ldw + l, some + i * HIGH, HIGH);
                else
                    memset(some + i * HIGH, 0, LINE);
            for (size_t i = 0; i < columns; i += HIGH)
                F32->transpose(HIGH, pairs_of(deep), some + i * HIGH, HIGH, packed + (i * pairs + l / 2 * HIGH), HIGH);
        }
    }
}

static void tiles_gemm_from(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                            size_t ldy, const real *start, size_t lds)
{
    _Alignas(64) real rows[MC * PAIRS];

    if (k == 0)
        packed_gemm_from(m, n, k, x, ldx, packed, y, ldy, start, lds);
    for (size_t i = 0; i < m; i += MC)
        for (size_t l = 0, high = least(m - i, MC); l < k; l += KC) {
            size_t deep = least(k - l, KC);
            pair_each(high, deep, x + i * ldx + l, ldx, rows);
            for (size_t c = 0; c < n; c += TILE) {
                real *to = y + i * ldy + c;
                const real *from = l > 0 ? to : start ? start + i * lds + c : NULL;
                tile_product(high, least(n - c, TILE), pairs_of(deep), rows, packed + c * k + l / 2 * HIGH, pairs_of(k),
                             to, ldy, from, l > 0 ? ldy : lds);
            }
        }
    end_tiles();
}

static void tiles_gemm(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y, size_t ldy,
                       bool accumulate)
{
    tiles_gemm_from(m, n, k, x, ldx, packed, y, ldy, accumulate ? y : NULL, ldy);
}

static void tiles_rows_gemm(size_t m, size_t n, size_t k, const real *panels, const real *packed, real *y, size_t ldy,
                            bool accumulate)
{
    if (k == 0)
        rows_gemm(m, n, k, panels, packed, y, ldy, accumulate);
    for (size_t c = 0; c < n && k > 0; c += TILE)
        tile_product(m, least(n - c, TILE), pairs_of(k), panels, packed + c * k, pairs_of(k), y + c, ldy,
                     accumulate ? y + c : NULL, ldy);
    end_tiles();
}

static void tiles_tile_gemm(bool turned, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *b,
                            size_t ldb, real *y, size_t ldy, bool accumulate)
{
    enum { ROWS = 2 * NEAR, DEPTH = NEAR / 2 }; /* a tile of attention is one of these, or few */
    _Alignas(64) real left[ROWS * DEPTH], right[DEPTH * NEAR];

    if (k == 0)
        tile_gemm(turned, m, n, k, x, ldx, b, ldb, y, ldy, accumulate);
    for (size_t l = 0; l < k; l += 2 * DEPTH)
        for (size_t i = 0; i < m; i += ROWS) {
            size_t deep = least(k - l, 2 * DEPTH), high = least(m - i, ROWS);
            if (turned)
                pair_turned(high, deep, x + l * ldx + i, ldx, left);
            else
                pair_each(high, deep, x + i * ldx + l, ldx, left);
            for (size_t c = 0; c < n; c += NEAR) {
                size_t columns = least(n - c, NEAR);
                real *to = y + i * ldy + c;
                pair_rows(deep, columns, 1, b + l * ldb + c, ldb, right, HIGH, DEPTH * HIGH);
                tile_product(high, columns, pairs_of(deep), left, right, DEPTH, to, ldy,
                             accumulate || l > 0 ? to : NULL, ldy);
            }
        }
    end_tiles();
}

static const at_pack_kernels_f32 tiles = {
    .tile = TILE,
    .packed_size = packed_size,
    .pack = pair_pack,
    .packed_gemm = tiles_gemm,
    .packed_gemm_from = tiles_gemm_from,
    .tile_gemm = tiles_tile_gemm,
    .rows = 1,
    .pack_rows = pair_turned,
    .rows_gemm = tiles_rows_gemm,
    .transpose = transpose,
};

#endif

const at_bf16_kernels AT_KERNEL(at_bf16_kernels) = {
    .round = round_all,
    .vectors = &vectors,
#ifdef __AVX512F__
    .tiles = &tiles,
#endif
};

#endif
