/*
 * Vectors of the level's width, and exp, expm1, tanh, sigmoid, erfc on them. Included by the kernels only.
 *
 * GCC's vector extensions, which clang has too; neither has ?: on them in C, so pick() selects by mask (it becomes a
 * masked move). Where one instruction replaces several, it is used behind the macro of its instruction set.
 *
 * exp(x) = 2^n (1 + q), n = round(x / ln 2), r = x - n ln 2 in two pieces, q = expm1(r) = r + r^2 P(r), P the
 * near-minimax polynomial on |r| <= ln 2 / 2 (its error is below 2^-26 of the result in float, 2^-56 in double). tanh x
 * = m / (m + 2) with m = expm1(2 |x|) = 2^n q + (2^n - 1): no cancellation near 0, no second polynomial. erfc(z) =
 * exp(-z^2) G(t) / (1 + 2 z), t = (z - k) / (z + k) (Shepherd and Laframboise 1981), so that the lower tail of gelu
 * keeps relative accuracy.
 */
#ifndef AT_KERNEL_VEC_H
#define AT_KERNEL_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "attn/core/stop.h"
#include "attn/kernel/kernel.h"

#ifdef __AVX512F__
#define VEC_BYTES 64
#elif defined __AVX2__
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif

#if AT_TYPE == 32
typedef int32_t word;
typedef uint32_t uword;
#else
typedef int64_t word;
typedef uint64_t uword;
#endif

typedef real vec __attribute__((vector_size(VEC_BYTES)));
typedef real vec_at __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias)); /* at any address */
typedef word ivec __attribute__((vector_size(VEC_BYTES)));

enum { W = VEC_BYTES / sizeof(real) }; /* lanes */

/* name_f32_avx512: the names a level exports. */
#define AT_JOIN_(a, b) a##_##b
#define AT_JOIN(a, b) AT_JOIN_(a, b)
#define AT_KERNEL(name) AT_JOIN(AT_REAL(name), AT_LEVEL)

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vec load(const real *p) { return *(const vec_at *)p; }

INLINE void store(real *p, vec v) { *(vec_at *)p = v; }

INLINE vec splat(real x) { return x - (vec){0}; /* keeps the sign of a zero, as x + 0 would not */ }

/* A mask of the first n lanes. */
#ifdef __AVX512F__
INLINE uint16_t first_lanes(size_t n) { return (uint16_t)((1u << n) - 1); }
#elif defined __AVX2__
INLINE ivec first_lanes(size_t n)
{
    ivec place;

    for (int i = 0; i < W; i++)
        place[i] = i;
    return place < (word)n;
}
#endif

INLINE vec pick(ivec mask, vec a, vec b);

/* The first n < W elements; the other lanes are `rest`. */
INLINE vec load_some(const real *p, size_t n, real rest)
{
#if defined __AVX512F__ && AT_TYPE == 32
    return (vec)_mm512_mask_loadu_ps((__m512)splat(rest), first_lanes(n), p);
#elif defined __AVX512F__
    return (vec)_mm512_mask_loadu_pd((__m512d)splat(rest), (__mmask8)first_lanes(n), p);
#elif defined __AVX2__ && AT_TYPE == 32
    ivec lanes = first_lanes(n);
    return pick(lanes, (vec)_mm256_maskload_ps(p, (__m256i)lanes), splat(rest));
#elif defined __AVX2__
    ivec lanes = first_lanes(n);
    return pick(lanes, (vec)_mm256_maskload_pd(p, (__m256i)lanes), splat(rest));
#else
    vec v = splat(rest);

    memcpy(&v, p, n * sizeof *p);
    return v;
#endif
}

INLINE void store_some(real *p, size_t n, vec v)
{
#if defined __AVX512F__ && AT_TYPE == 32
    _mm512_mask_storeu_ps(p, first_lanes(n), (__m512)v);
#elif defined __AVX512F__
    _mm512_mask_storeu_pd(p, (__mmask8)first_lanes(n), (__m512d)v);
#elif defined __AVX2__ && AT_TYPE == 32
    _mm256_maskstore_ps(p, (__m256i)first_lanes(n), (__m256)v);
#elif defined __AVX2__
    _mm256_maskstore_pd(p, (__m256i)first_lanes(n), (__m256d)v);
#else
    memcpy(p, &v, n * sizeof *p);
#endif
}

/* Runs the statements for i = 0, W, 2 W ... below n with `len` lanes in use: W, but for the last time. get and put go
 * with it; in the full rounds len is a constant and they are one instruction. A Ctrl-C ends a long row early. */
#define EACH(n, ...)                                                                                                   \
    do {                                                                                                               \
        size_t i = 0;                                                                                                  \
        while (__builtin_expect((n)-i > AT_PIECE, 0) && (i == 0 || !at_cut_short()))                                   \
            for (size_t stop = i + AT_PIECE; i < stop; i += W) {                                                       \
                const size_t len = W;                                                                                  \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
        if (__builtin_expect((n)-i > AT_PIECE, 0))                                                                     \
            break;                                                                                                     \
        for (; i + W <= (n); i += W) {                                                                                 \
            const size_t len = W;                                                                                      \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        if (i < (n)) {                                                                                                 \
            const size_t len = (n)-i;                                                                                  \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    } while (0)

INLINE vec get_or(const real *p, size_t len, real rest) { return len == W ? load(p) : load_some(p, len, rest); }

INLINE vec get(const real *p, size_t len) { return get_or(p, len, 0); }

INLINE void put(real *p, size_t len, vec v)
{
    if (len == W)
        store(p, v);
    else
        store_some(p, len, v);
}

INLINE vec pick(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

/* a where it is the greater, else b: NaN in a is lost, NaN in b stays. The operand order of the instruction. */
INLINE vec greater(vec a, vec b)
{
#if defined __AVX512F__ && AT_TYPE == 32
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __AVX512F__
    return (vec)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined __AVX2__ && AT_TYPE == 32
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined __AVX2__
    return (vec)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
    return pick(a > b, a, b);
#endif
}

INLINE vec lesser(vec a, vec b)
{
#if defined __AVX512F__ && AT_TYPE == 32
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined __AVX512F__
    return (vec)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined __AVX2__ && AT_TYPE == 32
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined __AVX2__
    return (vec)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
    return pick(a < b, a, b);
#endif
}

/* The sum of the lanes, by halves. */
INLINE real across(vec v)
{
#ifdef __AVX2__
#if AT_TYPE == 32
#ifdef __AVX512F__
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
#else
    __m256 h = (__m256)v;
#endif
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
#else
#ifdef __AVX512F__
    __m256d h = _mm256_add_pd(_mm512_castpd512_pd256((__m512d)v), _mm512_extractf64x4_pd((__m512d)v, 1));
#else
    __m256d h = (__m256d)v;
#endif
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
#endif
#else
    real x[W];

    memcpy(x, &v, sizeof v);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
#endif
}

INLINE real across_greater(vec v)
{
    real m = v[0];

    for (int i = 1; i < W; i++)
        m = v[i] > m ? v[i] : m;
    return m;
}

INLINE real across_lesser(vec v)
{
    real m = v[0];

    for (int i = 1; i < W; i++)
        m = v[i] < m ? v[i] : m;
    return m;
}

INLINE bool any(ivec mask)
{
    word w[W], all = 0;

    memcpy(w, &mask, sizeof mask);
    for (int i = 0; i < W; i++)
        all |= w[i];
    return all != 0;
}

INLINE vec magnitude(vec x) { return (vec)((ivec)x & (word)((uword)-1 >> 1)); }

#if AT_TYPE == 32
#define MANTISSA 23
#define EXPONENT_BIAS 127
#define ROUND 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, held in the low bits */
#define LOG2E 1.44269504f
#define LN2_HIGH 0.693145752f /* few bits: n times it is exact */
#define LN2_LOW 1.42860677e-6f
#define EXP_LOWEST (-104.0f) /* beyond these the result is 0 or infinity whatever the polynomial says */
#define EXP_HIGHEST 89.0f
#define TANH_FULL 10.0f /* tanh is 1 from here on */
#else
#define MANTISSA 52
#define EXPONENT_BIAS 1023
#define ROUND 6755399441055744.0
#define LOG2E 1.4426950408889634
#define LN2_HIGH 0.693147180369123816490
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_LOWEST (-746.0)
#define EXP_HIGHEST 710.0
#define TANH_FULL 20.0
#endif

/* q = expm1(r) and n with x = n ln 2 + r; *t holds n in its low bits. */
INLINE vec reduce_exp(vec x, vec *n, vec *t)
{
    *t = x * LOG2E + ROUND;
    *n = *t - ROUND;
    vec r = x - *n * LN2_HIGH;
    r = r - *n * LN2_LOW;
#if AT_TYPE == 32
    vec p = r * 1.39262508e-3f + 8.36323288e-3f;
    p = p * r + 4.16665542e-2f;
    p = p * r + 1.66665767e-1f;
    p = p * r + 0.5f;
#else
    vec p = r * 2.5100472505694996e-8 + 2.76202015910315488e-7;
    p = p * r + 2.75572682769056962e-6;
    p = p * r + 2.48015210578682052e-5;
    p = p * r + 1.9841269863171556e-4;
    p = p * r + 1.38888889173670806e-3;
    p = p * r + 8.3333333333300382e-3;
    p = p * r + 4.16666666666238205e-2;
    p = p * r + 1.66666666666666675e-1;
    p = p * r + 0.5;
#endif
    return r * r * p + r;
}

/* x = -inf gives 0, x = inf gives inf, NaN stays. */
INLINE vec exp_of(vec x)
{
    vec n, t;
    /* the bound first: these keep the second operand when it is NaN */
    x = lesser(splat(EXP_HIGHEST), greater(splat(EXP_LOWEST), x));
    vec y = 1 + reduce_exp(x, &n, &t);
#if defined __AVX512F__ && AT_TYPE == 32
    return (vec)_mm512_scalef_ps((__m512)y, (__m512)n);
#elif defined __AVX512F__
    return (vec)_mm512_scalef_pd((__m512d)y, (__m512d)n);
#else
    /* in two steps: 2^n itself may not be a number */
    ivec e = (ivec)t - (ivec)splat(ROUND), half = e >> 1;
    ivec first = (half + EXPONENT_BIAS) << MANTISSA, second = (e - half + EXPONENT_BIAS) << MANTISSA;
    return y * (vec)first * (vec)second;
#endif
}

/* exp(x) - 1 for x within [-2 TANH_FULL, 2 TANH_FULL] (or NaN). */
INLINE vec expm1_of(vec x)
{
    vec n, t;
    vec q = reduce_exp(x, &n, &t);
    vec two_n = (vec)(((ivec)t - (ivec)splat(ROUND) + EXPONENT_BIAS) << MANTISSA);
    return two_n * q + (two_n - 1);
}

INLINE vec tanh_of(vec x)
{
    ivec sign = (ivec)x & (word)((uword)1 << (8 * sizeof(real) - 1));
    vec m = expm1_of(2 * lesser(splat(TANH_FULL), magnitude(x)));
    return (vec)((ivec)(m / (m + 2)) | sign);
}

INLINE vec sigmoid_of(vec x) { return 1 / (1 + exp_of(-x)); }

/* erfc(z) for z >= 0, given e = exp(-z^2); infinity must not come. */
INLINE vec erfc_of(vec z, vec e)
{
#if AT_TYPE == 32
    static const real c[] = {0.0004660547148f, 0.0003471717601f, -0.004291487326f, 0.001009969273f, 0.03273803849f,
                             -0.1029836269f,   0.1576326357f,    -0.09902334153f,  -0.1223568717f,  1.264838171f};
    const real k = 2.5f;
#else
    static const real c[] = {
        -2.41082153654223304e-9,   -8.78212573480352024e-10, 3.28508355623331591e-8,   1.59963352155737078e-8,
        -2.52614652677155047e-7,   -4.81583962167284902e-8,  1.74811904683919643e-6,   -9.80166675585857751e-7,
        -0.0000114429909268054383, 0.0000223872596382301343, 0.0000516489134695998619, -0.000290154965295709261,
        0.00029371366631088616,    0.00175562601715200385,   -0.00974657955343187366,  0.0283622774004577225,
        -0.0586933985903094125,    0.0923043211615311556,    -0.108803930141712359,    0.0822767384901120369,
        0.00358541548546377914,    -0.140240598585546681,    1.23751263083782758};
    const real k = 3.75;
#endif
    vec t = (z - k) / (z + k), p = splat(c[0]);

    for (size_t i = 1; i < sizeof c / sizeof *c; i++)
        p = p * t + c[i];
    return e * p / (2 * z + 1);
}

/* The standard normal distribution function at x, and exp(-x^2 / 2). |x| is cut at 40, where both are 0 or 1. */
INLINE vec normal_cdf(vec x, vec *bell)
{
    vec a = lesser(splat(40), magnitude(x)), z = a * (real)0.70710678118654752440;
    vec e = exp_of(a * a * (real)-0.5);
    vec tail = (real)0.5 * erfc_of(z, e);

    *bell = e;
    return pick(x < 0, tail, 1 - tail);
}

#endif
