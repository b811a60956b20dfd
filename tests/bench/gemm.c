/*
 * Products of float32 our way, through OpenBLAS in our blocks, and by one plain cblas_sgemm: gemm SECONDS [NT M N K] ...
 *
 * On one thread, in turn, in the time of the processor this thread got: others on the machine take little from it. A round is one
 * repetition of each of the three; printed are the least time of each, and the medians over the rounds of the time of ours over that of
 * OpenBLAS (above 1: OpenBLAS is faster) and of OpenBLAS in blocks over plain.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AT_TYPE 32
#include "attn/core/gemm.h"
#include "attn/core/parallel.h"

enum { WAYS = 3, ROUNDS = 2000 };

typedef struct shape {
    bool ta, tb;
    size_t m, n, k;
    float *a, *b, *c;
} shape;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void multiply(const shape *s, int way)
{
    size_t lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;

    if (way == 2) {
        cblas_sgemm(CblasRowMajor, s->ta ? CblasTrans : CblasNoTrans, s->tb ? CblasTrans : CblasNoTrans, (int)s->m,
                    (int)s->n, (int)s->k, 1, s->a, (int)lda, s->b, (int)ldb, 0, s->c, (int)s->n);
        return;
    }
    at_gemm_use(&(at_gemm_way){way == 0 ? AT_GEMM_OWN : AT_GEMM_OPENBLAS});
    at_gemm_f32(s->ta, s->tb, s->m, s->n, s->k, 1, s->a, lda, s->b, ldb, 0, s->c, s->n);
}

static float *numbers(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);

    if (!x) {
        fprintf(stderr, "gemm: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return x;
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, order);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

static void measure(const shape *s, double seconds)
{
    static double ours[ROUNDS], plain[ROUNDS];
    double best[WAYS] = {1e9, 1e9, 1e9}, once = now(), start;
    size_t n = 0;

    for (int way = 0; way < WAYS; way++)
        multiply(s, way);
    once = (now() - once) / WAYS;
    size_t times = once < 1e-3 ? (size_t)(1e-3 / once) + 1 : 1; /* a millisecond at a time: the clock costs */
    for (start = now(); n < ROUNDS && (n < 5 || now() - start < seconds); n++) {
        double t[WAYS];
        for (int i = 0; i < WAYS; i++) {
            int way = (int)((n + (size_t)i) % WAYS); /* each comes after each */
            double begin = now();
            for (size_t r = 0; r < times; r++)
                multiply(s, way);
            t[way] = (now() - begin) / (double)times;
            best[way] = t[way] < best[way] ? t[way] : best[way];
        }
        ours[n] = t[0] / t[1];
        plain[n] = t[1] / t[2];
    }
    printf("product %c%c %zu %zu %zu %.9g %.9g %.9g %.4f %.4f\n", s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->m, s->n,
           s->k, best[0], best[1], best[2], median(ours, n), median(plain, n));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0;

    openblas_set_num_threads(1);
    at_set_threads(1);
    for (int i = 2; i + 3 < argc; i += 4) {
        shape s = {argv[i][0] == 'T',
                   argv[i][0] && argv[i][1] == 'T',
                   strtoul(argv[i + 1], NULL, 10),
                   strtoul(argv[i + 2], NULL, 10),
                   strtoul(argv[i + 3], NULL, 10),
                   NULL,
                   NULL,
                   NULL};
        s.a = numbers(s.m * s.k);
        s.b = numbers(s.k * s.n);
        s.c = numbers(s.m * s.n);
        measure(&s, seconds);
        free(s.a);
        free(s.b);
        free(s.c);
    }
    return 0;
}
