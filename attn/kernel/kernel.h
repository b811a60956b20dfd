/*
 * Kernels: rows of numbers. One table of functions per float type, one instance per SIMD level.
 *
 * The sources in kernel/ are plain; the Makefile compiles each once per type (-DAT_TYPE=32, 64) and level
 * (-DAT_LEVEL=base, avx2, avx512 with the -m flags that go with it). The table in use is chosen before main
 * (core/cpu.c). A typed file writes
 *
 *     K->vtanh(n, x, y);
 *
 * Unary functions carry a v in front because <tgmath.h> makes macros of tanh, exp ... that would eat the call.
 *
 * Rules for all: n may be 0. Rows are contiguous unless a step is named. No alignment is asked for except of packed
 * matrices (64 bytes). y may be the same row as an argument, not a shifted one. Element-wise results do not depend on
 * where a row is cut; a sum over a row is taken in one order that depends on n (and the level) only. Gradients are
 * added (dx += ...). Nothing allocates, fails, or starts threads.
 *
 * Errors: vexp, vtanh, vsigmoid <= 3 ulp (float32), <= 2e-15 relative (float64), also inside every kernel that uses
 * them; vgelu <= 4 ulp of max(|y|, |x| / 2^10) where its erf is near -1. Infinities, NaN and overflow as libm; results
 * below the smallest normal number may be 0.
 */
#ifndef AT_KERNEL_KERNEL_H
#define AT_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attn/core/cpu.h"
#include "attn/core/real.h"

/* y = f(x), and dx += f'(x) dy. A backward pass reads only what its comment says; the other pointer may be NULL. */
#define AT_MAP(name)                                                                                                   \
    void (*name)(size_t n, const real *x, real *y);                                                                    \
    void (*name##_back)(size_t n, const real *x, const real *y, const real *dy, real *dx)

/* y = a op b. A step of 0 repeats the first element, 1 walks. */
#define AT_ZIP(name) void (*name)(size_t n, const real *a, size_t sa, const real *b, size_t sb, real *y)

/* Shape of joins: rows sa, sb apart; `one`: a[l] is one number for all i. And what they read and write. */
typedef struct at_joins {
    size_t width, n;
    ptrdiff_t sa, sb;
    bool one;
} at_joins;

typedef struct AT_REAL(at_join) {
    real *a, *b, *y;
} AT_REAL(at_join);

typedef struct AT_REAL(at_kernels) {
    /* map.c: element-wise */
    AT_ZIP(add);
    AT_ZIP(sub);
    AT_ZIP(mul);
    AT_ZIP(div);
    AT_ZIP(maximum); /* NaN if either is */
    AT_ZIP(minimum);
    AT_ZIP(muladd);                                              /* y += a b */
    AT_ZIP(divadd);                                              /* y += a / b */
    void (*acc)(size_t n, const real *x, real *y);               /* y += x */
    void (*axpy)(size_t n, real alpha, const real *x, real *y);  /* y += alpha x */
    void (*scale)(size_t n, real alpha, const real *x, real *y); /* y = alpha x */
    void (*fill)(size_t n, real alpha, real *y);
    void (*negate)(size_t n, const real *x, real *y);
    void (*add_difference)(size_t n, real alpha, const real *a, const real *b, real *y); /* y += alpha (a - b) */

    AT_MAP(vexp);     /* backward reads y */
    AT_MAP(vlog);     /* x */
    AT_MAP(vsqrt);    /* y */
    AT_MAP(vtanh);    /* y */
    AT_MAP(vsigmoid); /* y */
    AT_MAP(vrelu);    /* x; NaN stays NaN; f'(0) = 0 */
    /* x > 0 ? x : slope x, and its gradient */
    void (*leaky)(size_t n, real slope, const real *x, real *y);
    void (*leaky_back)(size_t n, real slope, const real *x, const real *dy, real *dx);
    AT_MAP(vgelu);     /* x; x Phi(x), with erf */
    AT_MAP(vsilu);     /* x; x sigmoid(x) */
    AT_MAP(vsoftplus); /* x; log(1 + exp(x)) */
    AT_MAP(velu);      /* y; alpha 1 */
    AT_MAP(vphi);      /* y; elu(x) + 1, with all its digits where exp(x) is small */
    AT_MAP(vabs);      /* x; f'(0) = 0 */
    AT_MAP(vsin);      /* x */
    AT_MAP(vcos);      /* x */
    AT_MAP(vsquare);   /* x */
    AT_MAP(vrsqrt);    /* y; 1 / sqrt(x) */
    AT_MAP(vlog1p);    /* x */
    AT_MAP(vexpm1);    /* y */
    AT_MAP(vtan);      /* y */
    AT_MAP(vatan);     /* x */
    AT_MAP(verf);      /* x */
    void (*vfloor)(size_t n, const real *x, real *y);
    void (*vceil)(size_t n, const real *x, real *y);
    void (*vround)(size_t n, const real *x, real *y); /* halves to even */

    /* reduce.c: sums in double precision across blocks, so long float rows keep their digits */
    double (*sum)(size_t n, const real *x);
    double (*sumsq)(size_t n, const real *x);
    double (*dot)(size_t n, const real *a, const real *b);
    double (*distance2)(size_t n, const real *a, const real *b); /* sum of (a - b)^2 */
    real (*max)(size_t n, const real *x);                        /* -inf for n = 0; NaN if any is */
    real (*min)(size_t n, const real *x);                        /* +inf for n = 0; NaN if any is */
    double (*sumexp)(size_t n, const real *x, real max);         /* sum of exp(x - max) */

    /* softmax.c: mask is NULL or n bytes, 0 = left out (its x is not read into the result, even if NaN).
     * A row with nothing left, or of -inf only: softmax 0, log_softmax -inf, logsumexp -inf, gradients 0. */
    void (*softmax)(size_t n, const real *x, const uint8_t *mask, real *y);
    void (*softmax_back)(size_t n, const real *y, const real *dy, real *dx); /* dx += y (dy - <dy, y>) */
    void (*log_softmax)(size_t n, const real *x, const uint8_t *mask, real *y);
    void (*log_softmax_back)(size_t n, const real *y, const real *dy, real *dx); /* nothing where y = -inf */
    double (*logsumexp)(size_t n, const real *x, const uint8_t *mask);

    /* Cross-entropy of logits x against class target (from 0), smoothing s: (1 - s) (lse - x_t) + s mean(lse - x).
     * stat: 2 numbers (max, sum of exp(x - max)) for the backward pass
     * dx (+)= scale (softmax(x) - (1 - s) onehot - s / n), added or written; dx may be x. */
    double (*cross_entropy)(size_t n, const real *x, size_t target, real smoothing, real *stat);
    void (*cross_entropy_back)(size_t n, const real *x, size_t target, real smoothing, const real *stat, real scale,
                               real *dx, bool accumulate);

    /* join.c: y[i] = log sum_l exp(a[l, i] + b[l, i]), i < width, l < n; -inf where nothing is left. x: a, b, y; all others are laid
     * out like them. With p = exp(a + b - y), 0 where y is -inf:
     *   back           d: da += p dy, db += p dy
     *   tangent        t: ty = sum_l p (ta + tb), written
     *   back_tangent   as back; td: its tangent, p (tdy + dy (ta + tb - ty)), added to tda, tdb
     * b may be NULL in t (0), d, td (not wanted). */
    void (*join)(const at_joins *q, const AT_REAL(at_join) * x);
    void (*join_back)(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * d);
    void (*join_tangent)(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t);
    void (*join_back_tangent)(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t,
                              const AT_REAL(at_join) * d, const AT_REAL(at_join) * td);

    /* norm.c: weight, bias may be NULL (1, 0); dx, dweight, dbias may be NULL and are added to.
     * stat: layernorm 2 numbers (mean, 1 / sqrt(var + eps)), rmsnorm 1 (1 / sqrt(mean(x^2) + eps)) */
    void (*layernorm)(size_t n, const real *x, const real *weight, const real *bias, real eps, real *y, real *stat);
    void (*layernorm_back)(size_t n, const real *x, const real *weight, const real *stat, const real *dy, real *dx,
                           real *dweight, real *dbias);
    void (*rmsnorm)(size_t n, const real *x, const real *weight, real eps, real *y, real *stat);
    void (*rmsnorm_back)(size_t n, const real *x, const real *weight, const real *stat, const real *dy, real *dx,
                         real *dweight);

    /* channel.c: around a mean. spread: sum (x - mean)^2; spread_back: sum (x - mean) dy, and sum dy; spreads and spreads_back:
     * the same for each number of a row, with a mean of its own, added to q and s
     *   centred         y = (x - mean) scale + bias
     *   centred_back    dx = a dy + b (x - mean) + c, written (added if accumulate)
     * step 0: mean, scale, bias, a, b, c are one number, 1: rows of n */
    double (*spread)(size_t n, const real *x, real mean);
    double (*spread_back)(size_t n, const real *x, real mean, const real *dy, double *sum);
    void (*spreads)(size_t n, const real *x, const real *mean, real *q);
    void (*spreads_back)(size_t n, const real *x, const real *mean, const real *dy, real *s, real *q);
    void (*centred)(size_t n, const real *x, const real *mean, const real *scale, const real *bias, size_t step,
                    real *y);
    void (*centred_back)(size_t n, const real *x, const real *mean, const real *dy, const real *a, const real *b,
                         const real *c, size_t step, real *dx, bool accumulate);

    /* pool.c: one place of n windows, x `step` apart from window to window. at: integers as wide as real
     *   start       y = -inf, at[i] = first + i by
     *   max         where x > y or x is NaN: y = x, at[i] = first + i by
     *   max_back    dx[at[i] + i step] += dy
     *   sum         y += x; sum_back: dx += scale dy */
    void (*pool_start)(size_t n, size_t first, size_t by, real *y, void *at);
    void (*pool_max)(size_t n, const real *x, size_t step, size_t first, size_t by, real *y, void *at);
    void (*pool_max_back)(size_t n, const void *at, size_t step, const real *dy, real *dx);
    void (*pool_sum)(size_t n, const real *x, size_t step, real *y);
    void (*pool_sum_back)(size_t n, const real *dy, real scale, size_t step, real *dx);

    /* sample.c: y [n, C] = for each row the sum of weight[k] times row at[k] of x [pixels, C], four k to a row, at < 0: none.
     * Backward, in order: dx[at[k]] += weight[k] dy; dweight[k] = <x[at[k]], dy> is written; either may be NULL */
    void (*sample)(size_t n, size_t C, const real *x, const ptrdiff_t *at, const real *weight, real *y);
    void (*sample_back)(size_t n, size_t C, const real *x, const ptrdiff_t *at, const real *weight, const real *dy,
                        real *dx, real *dweight);

    /* gate.c: one step of one row of a recurrent cell of n units, PyTorch's gates and order.
     * xi: W_ih x (+ b_ih), hi: W_hh h; bias: b_hh or NULL, added to hi. h may be h_prev (c may be c_prev).
     * save: numbers for the backward pass (NULL when none follows). dxi, dhi are written; dh_prev is written
     * and still lacks W_hh' dhi.
     *
     *   tanh  h = tanh(xi + hi)                                        no save: h is enough;  dhi = dxi
     *   gru   r, z = sigmoid(xi_rz + hi_rz), m = tanh(xi_n + r hi_n), h = (1 - z) m + z h_prev
     *         xi, hi, dxi, dhi: 3n (r, z, n); save: 4n (r, z, m, hi_n with its bias)
     *   lstm  i, f, o = sigmoid, g = tanh of xi + hi; c = f c_prev + i g; h = o tanh(c)
     *         xi, hi, dxi: 4n (i, f, g, o); save: 5n (i, f, g, o, tanh(c)); dhi = dxi
     *         dc: gradient of c from later steps, or NULL for none; dc_prev may be dc */
    void (*rnn)(size_t n, const real *xi, const real *hi, const real *bias, real *h);
    void (*rnn_back)(size_t n, const real *h, const real *dh, real *dxi);
    void (*gru)(size_t n, const real *xi, const real *hi, const real *bias, const real *h_prev, real *h, real *save);
    void (*gru_back)(size_t n, const real *save, const real *h_prev, const real *dh, real *dxi, real *dhi,
                     real *dh_prev);
    void (*lstm)(size_t n, const real *xi, const real *hi, const real *bias, const real *c_prev, real *c, real *h,
                 real *save);
    void (*lstm_back)(size_t n, const real *save, const real *c_prev, const real *dh, const real *dc, real *dxi,
                      real *dc_prev);

    /* pair.c: one query row against S key rows, ldk (ldm) elements apart.
     *   additive  e[s] = sum_d v[d] tanh(q[d] + k[s, d]); backward takes tanh again, adds to dq, dk, dv (may be NULL)
     *   context   c = sum_s a[s] m[s], written (added if accumulate); backward: da[s] = <dc, m[s]> written,
     *             dm[s] += a[s] dc (dm may be NULL). A row with a[s] = 0 is left out: its m may be anything, da[s] = 0
     *             (a distribution's backward multiplies da by a, or is flat there) */
    void (*additive)(size_t S, size_t D, const real *q, const real *k, size_t ldk, const real *v, real *e);
    void (*additive_back)(size_t S, size_t D, const real *q, const real *k, size_t ldk, const real *v, const real *de,
                          real *dq, real *dk, size_t lddk, real *dv);
    void (*context)(size_t S, size_t D, const real *a, const real *m, size_t ldm, real *c, bool accumulate);
    void (*context_back)(size_t S, size_t D, const real *a, const real *m, size_t ldm, const real *dc, real *da,
                         real *dm, size_t lddm);

    /* pack.c: y (+)= x W' for few rows against a matrix W [n, k] packed once into tiles of `tile` rows.
     * Row i of y has the same bits whatever m is. Columns from j (a multiple of tile) start at packed + j * k.
     * pack: source [n, k] with ldw >= k, or if transposed [k, n] with ldw >= n. packed aligned to 64 bytes.
     * In the calling thread; over the pool: at_pack, at_packed_gemm in core/gemm.h. */
    size_t tile;
    size_t (*packed_size)(size_t n, size_t k); /* elements */
    void (*pack)(bool transposed, size_t n, size_t k, const real *w, size_t ldw, real *packed);
    void (*packed_gemm)(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                        size_t ldy, bool accumulate);
    /* y = x W' + start, which is NULL (0), y itself, or with lds 0 one row for all */
    void (*packed_gemm_from)(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                             size_t ldy, const real *start, size_t lds);
    /* y (+)= x W' for very few rows against a matrix that is used once, in place: w [n, k], or if transposed [k, n] */
    void (*few_gemm)(bool transposed, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *w,
                     size_t ldw, real *y, size_t ldy, bool accumulate);
    /* y [m, n] (+)= x w' with x' [k, m] in panels of `rows` rows: round_up(m, rows) * k elements */
    size_t rows;
    void (*pack_rows)(size_t m, size_t k, const real *x, size_t ldx, real *panels);
    void (*rows_gemm)(size_t m, size_t n, size_t k, const real *panels, const real *packed, real *y, size_t ldy,
                      bool accumulate);
    /* y [m, n] (+)= x b, all in place and in the first caches: x [m, k], or turned [k, m]; b [k, n] */
    void (*tile_gemm)(bool turned, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb,
                      real *y, size_t ldy, bool accumulate);
    void (*transpose)(size_t m, size_t n, const real *a, size_t lda, real *b, size_t ldb); /* b [n, m] = a' */

    /* window.c: entry j of the window of place q is x[at[j] + q].
     * gemm: y[r][q] = start[r] (NULL: 0) + sum over j of w[j m + r] x[at[j] + q], m <= window_rows, q < n
     * dot:  dw[r][j] += sum over q of dy[r][q] x[at[j] + q], n a multiple of 64 bytes
     * block: y [m, n] = x, or += */
    size_t window_rows;
    void (*windows_gemm)(size_t m, size_t n, size_t k, const real *w, const real *x, const size_t *at,
                         const real *start, real *y, size_t ldy);
    void (*windows_dot)(size_t m, size_t k, size_t n, const real *dy, size_t ldy, const real *x, const size_t *at,
                        real *dw, size_t ldw);
    void (*block)(size_t m, size_t n, const real *x, size_t ldx, real *y, size_t ldy, bool add);

    /* attend.c: tiles of attention, a row per key and a column per query; one vector of columns, rows ld apart.
     *   cut       s = -inf but in rows lo .. hi - 1 of each column
     *   softmax   running softmax down the columns: s becomes exp(s - max), max and sum go on, factor is what older sums lose
     *   weights   s = exp(s - lse)
     *   back      dp = scale p (dp - delta) */
    void (*attend_cut)(size_t begin, size_t end, const real *lo, const real *hi, real *s, size_t ld);
    void (*attend_softmax)(size_t keys, real *s, size_t ld, real *max, real *sum, real *factor);
    void (*attend_weights)(size_t keys, const real *lse, real *s, size_t ld);
    void (*attend_back)(size_t keys, const real *p, const real *delta, real scale, real *dp, size_t ld);

    /* step.c: an optimizer's step over a parameter p with gradient g, PyTorch's formulas; g is not changed.
     * decay: coupled weight decay (added to the gradient) */
    void (*adam)(size_t n, real *p, const real *g, real *m, real *v, double lr, double beta1, double beta2, double eps,
                 double correction1, double correction2, /* 1 - beta1^t, 1 - beta2^t */
                 double decay, bool decoupled);          /* decoupled: AdamW, p *= 1 - lr decay */
    void (*sgd)(size_t n, real *p, const real *g, real *m, double lr, double momentum, double dampening, bool nesterov,
                double decay, bool first); /* m: NULL without momentum; first: m = g */
    void (*adagrad)(size_t n, real *p, const real *g, real *sum, double lr, double eps, double decay);
    void (*adadelta)(size_t n, real *p, const real *g, real *sq, real *delta, double lr, double rho, double eps,
                     double decay);
    void (*rmsprop)(size_t n, real *p, const real *g, real *sq, real *mean, real *m, double lr, double alpha,
                    double eps, double momentum, double decay); /* mean: NULL unless centered; m: NULL or momentum */

    /* random.c: Philox. Elements first .. first + n - 1 of the stream (seed, counter); first is a multiple of 64.
     * The order of a stream: element e is word (e % 64) / 16 of block counter + 16 (e / 64) + e % 16. */
    void (*bits)(uint64_t seed, uint64_t counter, size_t first, size_t n, uint32_t *y);
    void (*bernoulli)(uint64_t seed, uint64_t counter, size_t first, size_t n, uint64_t threshold, uint8_t *y);
    /* y (+)= bits < threshold ? x scale : 0 */
    void (*dropout)(uint64_t seed, uint64_t counter, size_t first, size_t n, uint64_t threshold, real scale,
                    const real *x, real *y, bool accumulate);
} AT_REAL(at_kernels);

extern const AT_REAL(at_kernels) * AT_REAL(at_kernel);
#define K AT_REAL(at_kernel)

/* The table of a level, NULL when this processor or build has none: for tests. */
const AT_REAL(at_kernels) * AT_REAL(at_kernels_at)(at_simd level);

#endif
