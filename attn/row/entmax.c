/*
 * entmax: argmax over the simplex of <y, x> + H(y), H Tsallis' entropy with an alpha from 1 (softmax) to 2 (sparsemax)
 *                                                               (Peters et al. 2019; learned: Correia et al. 2019)
 *
 *   y_j     (1 + d (x_j - T))^(1 / d), 0 where the base is negative; d = alpha - 1, T such that the row sums to 1
 *   dx_j    s_j (dy_j - m)                     s = y^(1 - d) on the support, m = <s, dy> / sum s
 *   dalpha  sum_j y_j g_j (dy_j - m)           g_j = (w / (1 + w) - log(1 + w)) / d^2, 1 + w = y_j^d: log y_j by alpha, T held
 *
 * The papers' max(d x_j - tau, 0)^(1 / d) with tau = d T - 1: so written nothing cancels as alpha nears 1. T is found by
 * Newton's iteration on (sum y)^d = 1, a norm: convex, straight for softmax; from the left, so those below are out for good.
 *
 * alpha is 1 + sigmoid(alpha_logit), learned, or what the configuration says, or a tensor (op/entmax.c).
 */
#include "attn/row/threshold.h"

enum { ALPHA };
enum { ALPHA_LOGIT };

static const at_field fields[] = {
    [ALPHA] = {"alpha", AT_FIELD_NUMBER, .low = 1, .high = 2,
               .help = "from 1, softmax, to 2, sparsemax; left out: learned, 1 + "
                       "sigmoid(distribution.alpha_logit), 1.5 at first"},
    {0}};

static bool is_learned(const at_beside *b) { return b->set[ALPHA] == 0; }

static double alpha_of(const at_beside *b)
{
    return is_learned(b) ? 1 + 1 / (1 + exp(-(double)b->param[ALPHA_LOGIT][0])) : b->set[ALPHA];
}

/* alpha - 1. Softmax is taken to lie a little above 1: nothing is divided by 0, and no number changes that could be seen. */
static double excess(const at_beside *b)
{
    double d = alpha_of(b) - 1;
    return d < 1e-10 ? 1e-10 : d;
}

static void entmax_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    double *z = own, d = excess(b), T = 0; /* where the greatest alone gives 1 */
    real max;
    size_t count = at_row_candidates(n, x, left, d, &max, y, z);
    if (count == 0)
        return;
    for (int turn = 0; turn < 64 && !at_cut_short(); turn++) {
        double total = 0, slope = 0;
        size_t stay = 0;
        AT_PIECES(j, end, count)
        for (; j < end; j++) {
            double w = z[j] - d * T;
            if (w <= -1)
                continue;
            double power = exp(log1p(w) / d);
            total += power;
            slope += power / (1 + w);
            z[stay++] = z[j];
        }
        count = stay;
        double next = T - total * expm1(-d * log(total)) / (d * slope);
        if (!(next > T + 1e-15 * (1 + T)))
            break;
        T = next;
    }
    AT_PIECES(j, end, n)
    for (; j < end; j++) {
        double w = at_left(left, j) ? d * ((double)x[j] - (double)max - T) : -1;
        y[j] = w <= -1 ? 0 : (real)exp(log1p(w) / d);
    }
}

/* (w / (1 + w) - log(1 + w)) / w^2 where log(1 + w) is known; by its series where that cancels. */
static double curve(double w, double log_base)
{
    if (fabs(w) > 0.01)
        return (w / (1 + w) - log_base) / (w * w);
    double sum = 0, power = -1;
    for (int k = 1; k < 9; k++, power *= -w)
        sum += power * k / (k + 1);
    return sum;
}

static void entmax_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)own;
    double d = excess(b), sum = 0, total = 0, dalpha = 0;
    AT_PIECES(i, stop, n)
    for (; i < stop; i++)
        if (y[i] > 0) {
            double s = pow((double)y[i], 1 - d);
            sum += s * (double)dy[i];
            total += s;
        }
    AT_PIECES(j, end, n)
    for (; j < end; j++)
        if (y[j] > 0) {
            double log_base = d * log((double)y[j]), w = expm1(log_base), u = w / d, over = (double)dy[j] - sum / total;
            dalpha += (double)y[j] * u * u * curve(w, log_base) * over;
            if (dx)
                dx[j] += (real)((double)y[j] / (1 + w) * over);
        }
    if (b->dparam[ALPHA_LOGIT]) /* which alpha itself takes the place of where it is given */
        *b->dparam[ALPHA_LOGIT] += (real)(is_learned(b) ? dalpha * d * (1 - d) : dalpha);
}

AT_ROW(entmax, .is.part.formula = "max((alpha - 1) e_j - tau, 0)^(1 / (alpha - 1)), alpha learned or given",
       .is.part.source = "Correia et al. 2019", .is.part.fields = fields,
       .is.part.param = {[ALPHA_LOGIT] = {"alpha_logit", {1}, .zero = true, .unless = "alpha"}},
       .is.own_bytes = sizeof(double), .forward = entmax_row_forward, .backward = entmax_row_backward);
