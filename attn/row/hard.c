/*
 * hard_sample: one key, drawn from p = softmax(x)                               (Xu et al. 2015, section 4.1)
 * hard_max: the key with the greatest score, the first of equals
 *
 *   y      1 at the key, 0 elsewhere
 *   dx     hard_sample: dlogp (y - p) + p (dp - <dp, p>)          (Williams 1992); hard_max: none
 *
 * A choice has no derivative: the value alone gets a gradient through it. hard_sample returns the draw's log-probability
 * too, through which the scores learn by REINFORCE, and the probabilities it drew from, for terms like their entropy. In
 * eval mode nothing is drawn: the most likely key is taken. With no key left, logp is 0.
 */
#include <string.h>

#include "attn/kernel/softmax.h"
#include "attn/row/row.h"

static void greatest(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    (void)own, (void)b;
    size_t best = n;
    for (size_t j = 0; j < n; j++)
        if (at_left(left, j) && x[j] > -INFINITY && (best == n || x[j] > x[best]))
            best = j;
    memset(y, 0, n * sizeof(real));
    if (best < n)
        y[best] = 1;
}

static void draw(size_t n, const real *p, double uniform, real *y)
{
    double total = 0;
    size_t drawn = n;
    for (size_t j = 0; j < n; j++) {
        if (!(p[j] > 0))
            continue;
        total += (double)p[j];
        drawn = j; /* the last one, should rounding leave the sum below the number */
        if (uniform < total)
            break;
    }
    memset(y, 0, n * sizeof(real));
    if (drawn < n)
        y[drawn] = 1;
}

/* log p of the key that y chose; NaN stays NaN. */
static real log_chosen(size_t n, const real *y, const real *p)
{
    for (size_t j = 0; j < n; j++)
        if (y[j] > 0 || isnan(p[j]))
            return log(p[j]);
    return 0;
}

static void sample(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    K->softmax->softmax(n, x, left, b->p);
    if (b->uniform < 0)
        greatest(n, x, left, y, own, b);
    else
        draw(n, b->p, b->uniform, y);
    *b->logp = log_chosen(n, y, b->p);
}

static void sample_back(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)dy, (void)own;
    if (b->dlogp && *b->dlogp != 0)
        for (size_t j = 0; j < n; j++)
            dx[j] += *b->dlogp * (y[j] - b->p[j]);
    if (b->dp)
        K->softmax->softmax_back(n, b->p, b->dp, dx);
}

AT_ROW(hard_sample,
       .is.part.formula = "one key drawn from softmax (in eval mode the most likely), with its log-probability",
       .is.part.source = "Xu et al. 2015", .is.samples = true, .is.one_key = true, .forward = sample,
       .backward = sample_back);

AT_ROW(hard_max, .is.part.formula = "the key with the greatest score",
       .is.part.source = "Xu et al. 2015, without drawing", .is.one_key = true, .forward = greatest);
