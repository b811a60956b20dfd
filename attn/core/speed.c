/* What products can do: see speed.h. */
#include "attn/core/speed.h"

#include "attn/core/alloc.h"
#include "attn/core/gemm.h"
#include "attn/core/parallel.h"

double AT_REAL(at_product_speed)(uint64_t (*clock)(void))
{
    enum { N = 512, TIMES = 5 }; /* products are near their best, in some milliseconds */
    size_t bytes = 3 * (size_t)N * N * sizeof(real);
    real *a = at_alloc(bytes), *b = a + (size_t)N * N, *c = b + (size_t)N * N;
    double best = 0;
    if (!a)
        return 0;
    at_zero(a, bytes);
    for (int k = 0; k < TIMES; k++) {
        uint64_t begin = clock();
        real_gemm(false, false, N, N, N, 1, a, N, b, N, 0, c, N);
        double speed = 2.0 * N * N * N / (1e-9 * (double)(clock() - begin));
        best = speed > best ? speed : best;
    }
    at_free(a, bytes);
    return best;
}
