/*
 * The typed parts of clipping: the sum of squares of a gradient, its scaling, and its limits. Blocks of fixed size, summed in
 * order, so that the norm does not depend on the number of threads.
 */
#include "attn/core/parallel.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"
#include "attn/optim/optim.h"

typedef struct job {
    real *g;
    double *partial, factor;
} job;

static void square(size_t begin, size_t end, void *context)
{
    const job *j = context;
    j->partial[begin / AT_CLIP_BLOCK] = K->reduce->sumsq(end - begin, j->g + begin);
}

static void scale(size_t begin, size_t end, void *context)
{
    const job *j = context;
    K->map->scale(end - begin, (real)j->factor, j->g + begin, j->g + begin);
}

double AT_REAL(at_clip_sumsq)(size_t n, const void *g, double *partial)
{
    double sum = 0;
    job j = {.g = (real *)(uintptr_t)g, .partial = partial};
    at_for(n, AT_CLIP_BLOCK, square, &j);
    for (size_t k = 0; k * AT_CLIP_BLOCK < n; k++)
        sum += partial[k];
    return sum;
}

static void cut(size_t begin, size_t end, void *context)
{
    const job *j = context;
    const real max = (real)j->factor;

    for (size_t i = begin; i < end; i++)
        j->g[i] = j->g[i] > max ? max : j->g[i] < -max ? -max : j->g[i];
}

void AT_REAL(at_clip_cut)(size_t n, double max, void *g)
{
    job j = {.g = g, .factor = max};
    at_for(n, AT_CLIP_BLOCK, cut, &j);
}

void AT_REAL(at_clip_scale)(size_t n, double factor, void *g)
{
    job j = {.g = g, .factor = factor};
    at_for(n, AT_CLIP_BLOCK, scale, &j);
}
