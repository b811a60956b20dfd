/*
 * One step of an optimizer over a parameter, in one pass: reads and writes each number once, which is all that matters
 * for large parameters (28 bytes per float with Adam, at the speed of memory).
 */
#include "attn/kernel/step.h"
#include "attn/kernel/table.h"

#if AT_TYPE == 32
#define root sqrtf
#else
#define root sqrt
#endif

/* Kingma and Ba 2015; decoupled: Loshchilov and Hutter 2019. p -= lr / c1 m / (sqrt(v) / sqrt(c2) + eps) */
static void adam(size_t n, real *p, const real *g, real *m, real *v, double lr, double beta1, double beta2, double eps,
                 double correction1, double correction2, double decay, bool decoupled)
{
    const real b1 = (real)(1 - beta1), b2 = (real)beta2, b3 = (real)(1 - beta2), step = (real)(lr / correction1);
    const real scale = (real)(1 / sqrt(correction2)), e = (real)eps;
    const real shrink = decoupled ? (real)(1 - lr * decay) : 1, coupled = decoupled ? 0 : (real)decay;

    for (size_t i = 0; i < n; i++) {
        real d = coupled != 0 ? g[i] + coupled * p[i] : g[i];
        real mi = m[i] + b1 * (d - m[i]), vi = b2 * v[i] + b3 * d * d;
        m[i] = mi;
        v[i] = vi;
        p[i] = shrink * p[i] - step * mi / (root(vi) * scale + e);
    }
}

static void sgd(size_t n, real *p, const real *g, real *m, double lr, double momentum, double dampening, bool nesterov,
                double decay, bool first)
{
    const real rate = (real)lr, wd = (real)decay, mu = (real)momentum, part = first ? 1 : (real)(1 - dampening);

    if (!m) {
        for (size_t i = 0; i < n; i++)
            p[i] -= rate * (wd != 0 ? g[i] + wd * p[i] : g[i]);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        real d = wd != 0 ? g[i] + wd * p[i] : g[i];
        real mi = (first ? 0 : mu * m[i]) + part * d;
        m[i] = mi;
        p[i] -= rate * (nesterov ? d + mu * mi : mi);
    }
}

/* Duchi et al. 2011; lr is the rate of this step. */
static void adagrad(size_t n, real *p, const real *g, real *sum, double lr, double eps, double decay)
{
    const real rate = (real)lr, wd = (real)decay, e = (real)eps;

    for (size_t i = 0; i < n; i++) {
        real d = wd != 0 ? g[i] + wd * p[i] : g[i];
        real s = sum[i] + d * d;
        sum[i] = s;
        p[i] -= rate * d / (root(s) + e);
    }
}

/* Zeiler 2012 */
static void adadelta(size_t n, real *p, const real *g, real *sq, real *delta, double lr, double rho, double eps,
                     double decay)
{
    const real rate = (real)lr, wd = (real)decay, e = (real)eps, r = (real)rho, r1 = (real)(1 - rho);

    for (size_t i = 0; i < n; i++) {
        real d = wd != 0 ? g[i] + wd * p[i] : g[i];
        real s = r * sq[i] + r1 * d * d;
        real step = root(delta[i] + e) / root(s + e) * d;
        sq[i] = s;
        delta[i] = r * delta[i] + r1 * step * step;
        p[i] -= rate * step;
    }
}

/* Tieleman and Hinton 2012; centered: Graves 2013 */
static void rmsprop(size_t n, real *p, const real *g, real *sq, real *mean, real *m, double lr, double alpha,
                    double eps, double momentum, double decay)
{
    const real rate = (real)lr, wd = (real)decay, e = (real)eps, a = (real)alpha, a1 = (real)(1 - alpha);
    const real mu = (real)momentum;

    for (size_t i = 0; i < n; i++) {
        real d = wd != 0 ? g[i] + wd * p[i] : g[i];
        real s = a * sq[i] + a1 * d * d, centre = 0;
        sq[i] = s;
        if (mean) {
            centre = a * mean[i] + a1 * d;
            mean[i] = centre;
        }
        real spread = s - centre * centre, step = d / (root(spread > 0 ? spread : 0) + e);
        if (m) {
            step += mu * m[i];
            m[i] = step;
        }
        p[i] -= rate * step;
    }
}

const AT_REAL(at_step_kernels) AT_KERNEL(at_step_kernels) = {
    .adam = adam,
    .sgd = sgd,
    .adagrad = adagrad,
    .adadelta = adadelta,
    .rmsprop = rmsprop,
};
