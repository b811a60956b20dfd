/*
 * Matrices in fewer bits: see kept.h.
 *
 * A product of few rows waits for W to come from memory, so W is expanded in registers on its way to the sums. Its rows are read as two
 * streams, in turn one of the first half and one of the second, each asked for 2 KiB ahead: bytes on pages of 4 KiB come at 15 GB/s so,
 * as one stream at 12, not asked for at 9. A word with two numbers of bfloat16 is taken apart by a shift and a mask, which gives the
 * even places and the odd ones; x is brought into that order once.
 */
#include "attn/kernel/kept.h"

#include "attn/kernel/bf16.h"
#include "attn/kernel/table.h"

#if AT_TYPE == 32

#ifdef __AVX512F__
enum { MOST = 4 };
#else
enum { MOST = 3 };
#endif
#define UNROLL _Pragma("GCC unroll 8")

enum {
    CHAINS = 4,
    STEP = CHAINS * W, /* numbers of a row at a time */
    AHEAD = 2048,      /* bytes */
    PIECE = 256
};

typedef uword bits __attribute__((vector_size(VEC_BYTES)));
typedef uword bits_at __attribute__((vector_size(VEC_BYTES), aligned(1), may_alias));
typedef uint16_t half __attribute__((may_alias));
typedef uword __attribute__((may_alias)) plain;

static size_t room(size_t k) { return (k + STEP - 1) / STEP * STEP; }

/* STEP numbers of W in the order of x */
INLINE void take_halves(const char *w, vec part[CHAINS])
{
    UNROLL
    for (int c = 0; c < CHAINS; c += 2) {
        bits two = *(const bits_at *)(const void *)(w + c * VEC_BYTES / 2);
        part[c] = (vec)(two << 16);
        part[c + 1] = (vec)(two & 0xffff0000);
    }
}

INLINE void take_bytes(const char *w, vec part[CHAINS])
{
#if defined __SSE2__ && !defined __AVX2__
    /* each byte four times, then its sign from the highest */
    __m128i q = _mm_loadu_si128((const __m128i *)(const void *)w);
    __m128i two[] = {_mm_unpacklo_epi8(q, q), _mm_unpackhi_epi8(q, q)};
    UNROLL
    for (int c = 0; c < CHAINS; c++) {
        __m128i four = c % 2 ? _mm_unpackhi_epi16(two[c / 2], two[c / 2]) : _mm_unpacklo_epi16(two[c / 2], two[c / 2]);
        part[c] = (vec)_mm_cvtepi32_ps(_mm_srai_epi32(four, 24));
    }
#else
    UNROLL
    for (int c = 0; c < CHAINS; c++) {
        const char *q = w + c * W;
#ifdef __AVX512F__
        part[c] = (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)q)));
#elif defined __AVX2__
        part[c] = (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)q)));
#else
        for (int i = 0; i < W; i++)
            part[c][i] = ((const int8_t *)q)[i];
#endif
    }
#endif
}

INLINE void add_products(const int bytes, const int rows, const real *x, size_t ldx, const char *w,
                         vec sum[MOST][CHAINS])
{
    vec part[CHAINS];

    if (bytes == 2)
        take_halves(w, part);
    else
        take_bytes(w, part);
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int c = 0; c < CHAINS; c++)
            sum[r][c] += load(x + (size_t)r * ldx + (size_t)c * W) * part[c];
    }
}

INLINE void few_rows(const int bytes, const int rows, size_t n, size_t k, const real *x, const char *w,
                     const real *scale, const real *bias, real *y, size_t ldy)
{
    size_t ldx = room(k);

    for (size_t c = 0; c < n; c++) {
        size_t i = c / 2 + c % 2 * ((n + 1) / 2);
        const char *row = w + i * k * (size_t)bytes;
        vec sum[MOST][CHAINS];
        size_t j = 0;
        for (int r = 0; r < rows; r++)
            for (int a = 0; a < CHAINS; a++)
                sum[r][a] = (vec){0};
        for (; j + STEP <= k; j += STEP) {
            const char *at = row + j * (size_t)bytes;
            for (int line = 0; line < STEP * bytes; line += 64)
                __builtin_prefetch(at + AHEAD + line);
            add_products(bytes, rows, x + j, ldx, at, sum);
        }
        if (j < k) {
            char rest[STEP * 2] = {0};
            memcpy(rest, row + j * (size_t)bytes, (k - j) * (size_t)bytes);
            add_products(bytes, rows, x + j, ldx, rest, sum);
        }
        for (int r = 0; r < rows; r++) {
            real total = across((sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]));
            if (bytes == 1)
                total *= scale[i];
            y[(size_t)r * ldy + i] = bias ? total + bias[i] : total;
        }
    }
}

#define FEW(name, bytes)                                                                                               \
    static void name(size_t m, size_t n, size_t k, const real *x, const void *w, const real *scale, const real *bias,  \
                     real *y, size_t ldy)                                                                              \
    {                                                                                                                  \
        size_t rows = 0;                                                                                               \
        for (size_t i = 0; i < m; i += rows) {                                                                         \
            const real *from = x + i * room(k);                                                                        \
            real *to = y + i * ldy;                                                                                    \
            rows = m - i < MOST ? m - i : MOST;                                                                        \
            switch (rows) {                                                                                            \
            case 1: few_rows(bytes, 1, n, k, from, w, scale, bias, to, ldy); break;                                    \
            case 2: few_rows(bytes, 2, n, k, from, w, scale, bias, to, ldy); break;                                    \
            case 3: few_rows(bytes, 3, n, k, from, w, scale, bias, to, ldy); break;                                    \
            default: few_rows(bytes, MOST, n, k, from, w, scale, bias, to, ldy);                                       \
            }                                                                                                          \
        }                                                                                                              \
    }

/* ---- bfloat16 ---- */

FEW(few_bf16, 2)

static void arrange_bf16(size_t k, const real *x, real *arranged)
{
    for (size_t i = 0; i < room(k); i += 2 * W)
        for (size_t l = 0; l < 2 * W; l++)
            arranged[i + l % 2 * W + l / 2] = i + l < k ? x[i + l] : 0;
}

static real keep_bf16(size_t n, const real *x, void *w)
{
    real rounded[PIECE];

    for (size_t i = 0; i < n; i += PIECE) {
        size_t len = n - i < PIECE ? n - i : PIECE;
        AT_KERNEL(at_bf16_kernels).round(len, x + i, rounded);
        for (size_t j = 0; j < len; j++)
            ((half *)w)[i + j] = (half)(((const plain *)rounded)[j] >> 16);
    }
    return 1;
}

static void expand_bf16(size_t n, const void *w, real scale, real *x)
{
    (void)scale;
    for (size_t i = 0; i < n; i++)
        ((plain *)x)[i] = (uword)((const half *)w)[i] << 16;
}

/* ---- int8 ---- */

FEW(few_int8, 1)

static void arrange_int8(size_t k, const real *x, real *arranged)
{
    memcpy(arranged, x, k * sizeof *x);
    memset(arranged + k, 0, (room(k) - k) * sizeof *x);
}

static real keep_int8(size_t n, const real *x, void *w)
{
    int8_t *q = w;
    uword greatest = 0; /* as bits, in which NaN is above infinity */
    real scale;

    for (size_t i = 0; i < n; i++) {
        uword a = ((const plain *)x)[i] & 0x7fffffff;
        greatest = a > greatest ? a : greatest;
    }
    memcpy(&scale, &greatest, sizeof scale);
    scale /= 127;
    if (!(scale >= 0x1p-126f && greatest < 0x7f800000)) {
        memset(q, 0, n);
        return greatest < 0x7f800000 ? 0 : NAN;
    }
    for (size_t i = 0; i < n; i++)
        q[i] = (int8_t)(x[i] / scale + ROUND - ROUND);
    return scale;
}

static void expand_int8(size_t n, const void *w, real scale, real *x)
{
    const int8_t *q = w;

    for (size_t i = 0; i < n; i++)
        x[i] = (real)q[i] * scale;
}

const at_kept_kernels AT_KERNEL(at_kept_kernels)[AT_KEPT_FORMATS] = {
    [AT_KEPT_BF16] = {room, arrange_bf16, few_bf16, keep_bf16, expand_bf16},
    [AT_KEPT_INT8] = {room, arrange_int8, few_int8, keep_int8, expand_int8}};

#endif
