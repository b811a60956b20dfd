/*
 * Kernels of step.c: an optimizer's step over a parameter p with gradient g, PyTorch's formulas; g is not changed.
 * decay: coupled weight decay (added to the gradient)
 */
#ifndef AT_KERNEL_STEP_H
#define AT_KERNEL_STEP_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_step_kernels) {
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
} AT_REAL(at_step_kernels);

#endif
