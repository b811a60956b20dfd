/*
 * entmax15: argmax over the simplex of <y, x> + H(y), H Tsallis' entropy with alpha 1.5         (Peters et al. 2019)
 *
 *   y_j    max(x_j / 2 - tau, 0)^2, tau such that the row sums to 1
 *   dx     s (dy - <s, dy> / sum s),  s = sqrt(y)
 *
 * tau is found by Newton's iteration on |max(z - tau, 0)| = 1: convex, and almost straight, so three to five turns; from
 * the left, so those below tau are out for good. It is at least max x / 2 - 1.
 */
#include "attn/row/threshold.h"

static void entmax15_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    double *z = own;
    (void)b;
    real max;
    size_t count = at_row_candidates(n, x, left, 0.5, &max, y, z);
    double tau = -1;
    if (count == 0)
        return;
    for (int turn = 0; turn < 64 && !at_cut_short(); turn++) {
        double sum = 0, squares = 0;
        size_t stay = 0;
        AT_PIECES(j, end, count)
        for (; j < end; j++) {
            double d = z[j] - tau;
            z[stay] = z[j];
            stay += d > 0;
            d = d > 0 ? d : 0;
            sum += d;
            squares += d * d;
        }
        count = stay;
        double norm = sqrt(squares), next = tau + (norm - 1) * norm / sum;
        if (!(next > tau + 1e-15))
            break;
        tau = next;
    }
    AT_PIECES(j, end, n)
    for (; j < end; j++) {
        double over = at_left(left, j) ? ((double)x[j] - (double)max) / 2 - tau : 0;
        y[j] = over > 0 ? (real)(over * over) : 0;
    }
}

static void entmax15_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)own, (void)b;
    double sum = 0, total = 0;
    AT_PIECES(j, end, n)
    for (; j < end; j++)
        if (y[j] > 0) {
            double root = sqrt((double)y[j]);
            sum += root * (double)dy[j];
            total += root;
        }
    AT_PIECES(k, stop, n)
    for (; k < stop; k++)
        if (y[k] > 0)
            dx[k] += (real)(sqrt((double)y[k]) * ((double)dy[k] - sum / total));
}

AT_ROW(entmax15, .is.part.formula = "max(e_j/2 - tau, 0)^2", .is.part.source = "Peters et al. 2019",
       .is.own_bytes = sizeof(double), .forward = entmax15_row_forward, .backward = entmax15_row_backward);
