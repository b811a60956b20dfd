/* The thread pool: every element once, fixed blocks, nesting, interruption, forks. */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attn/core/cpu.h"
#include "attn/core/parallel.h"

enum { N = 100003 };

static unsigned char seen[N];
static _Atomic int blocks, bad;
static double values[N];

static void mark(size_t begin, size_t end, void *ctx)
{
    size_t grain = *(size_t *)ctx;

    blocks++;
    if (begin % grain != 0 || (end != N && end - begin != grain) || at_worker() < 0 || at_worker() >= at_threads())
        bad++;
    for (size_t i = begin; i < end; i++)
        seen[i]++;
}

static void test_blocks(void)
{
    static const int counts[] = {1, 2, 3, 8};
    static const size_t grains[] = {1, 7, 1000, N - 1, N, N + 1, SIZE_MAX};

    for (size_t c = 0; c < 4; c++)
        for (size_t g = 0; g < 7; g++) {
            size_t grain = grains[g];
            check(at_set_threads(counts[c]) && at_threads() == counts[c], "threads can be set to %d", counts[c]);
            memset(seen, 0, sizeof seen);
            blocks = bad = 0;
            at_for(N, grain, mark, &grain);
            bool once = true;
            for (size_t i = 0; i < N; i++)
                once = once && seen[i] == 1;
            check(once, "%d threads, grain %zu: every element once", counts[c], grain);
            check((size_t)blocks == (N - 1) / grain + 1 && bad == 0, "%d threads, grain %zu: the fixed blocks",
                  counts[c], grain);
        }
    blocks = 0;
    at_for(0, 1, mark, NULL);
    check(blocks == 0, "nothing to do calls nothing");
    check(!at_set_threads(0) && !at_set_threads(AT_MAX_THREADS + 1), "a senseless number of threads is refused");
}

static void chain(size_t begin, size_t end, void *ctx)
{
    double x = 1;

    (void)ctx;
    for (size_t i = begin; i < end; i++)
        values[i] = x = x * 0.999 + (double)i * 1e-5;
}

static void test_bits(void)
{
    static double first[N];

    for (int t = 1; t <= 8; t++) {
        at_set_threads(t);
        at_for(N, 129, chain, NULL);
        if (t == 1)
            memcpy(first, values, sizeof first);
        check(memcmp(first, values, sizeof first) == 0, "%d threads: the same bits", t);
    }
}

static void inner(size_t begin, size_t end, void *ctx)
{
    (void)ctx;
    for (size_t i = begin; i < end; i++)
        seen[i]++;
    if (!at_in_parallel())
        bad++;
}

static void outer(size_t begin, size_t end, void *ctx)
{
    (void)ctx;
    if (at_set_threads(1))
        bad++;
    for (size_t i = begin; i < end; i++) {
        int worker = at_worker();
        at_for(100, 7, mark, &(size_t){7});
        if (worker != at_worker())
            bad++;
    }
}

static void test_nested(void)
{
    at_set_threads(3);
    memset(seen, 0, sizeof seen);
    bad = blocks = 0;
    at_for(1000, 3, inner, NULL);
    check(bad == 0 && seen[999] == 1, "a block knows that it is in a loop");
    check(!at_in_parallel(), "outside it is not");
    bad = blocks = 0;
    at_for(10, 1, outer, NULL);
    check(blocks == 10 * 15, "nested loops run all their blocks");
}

static void stop(size_t begin, size_t end, void *ctx)
{
    (void)end;
    (void)ctx;
    blocks++;
    if (begin == 10)
        at_interrupt();
}

static void test_interrupt(void)
{
    for (int t = 1; t <= 2; t++) {
        at_set_threads(t);
        blocks = 0;
        at_for(1000000, 1, stop, NULL);
        check(at_interrupted() && blocks < 1000000, "%d threads: an interrupted loop stops", t);
        blocks = 0;
        at_whole(true);
        at_for(1000, 1, stop, NULL);
        at_whole(false);
        check(at_interrupted() && blocks == 1000, "%d threads: what must be whole runs to its end", t);
        at_interrupt_clear();
        check(!at_interrupted(), "the flag can be cleared");
    }
}

__attribute__((unused)) static void test_fork(void)
{
    int status = 1;

    at_set_threads(4);
    at_for(N, 100, chain, NULL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        at_for(N, 100, chain, NULL);
        _exit(values[N - 1] > 0 ? 0 : 1);
    }
    check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child of fork has a pool of its own");
    at_for(N, 100, chain, NULL);
}

static void test_many(void)
{
    /* loops in quick succession and after the workers have gone to sleep */
    at_set_threads(4);
    bool all = true;
    for (int i = 0; i < 3000; i++) {
        blocks = 0;
        at_for(8, 1, stop, NULL);
        all = all && blocks == 8;
        if (i % 300 == 0)
            usleep(500);
    }
    check(all, "thousands of short loops");
}

int main(void)
{
    check(at_threads() >= 1, "there is a thread");
    test_blocks();
    test_bits();
    test_nested();
    test_interrupt();
#ifndef __SANITIZE_THREAD__ /* which does not follow a fork */
    test_fork();
#endif
    test_many();
    check(at_cpu_simd() <= at_cpu_simd_best() && at_simd_name(at_cpu_simd())[0], "a SIMD level");
    return finish();
}
