/*
 * The thread pool.
 *
 * One word holds the state of the running loop: generation, whether it is open to workers, how many are inside. A
 * worker joins by raising the count of an open loop; the caller, when no block is left, closes the loop and waits for
 * the count to fall to zero. So a worker that sleeps too deep is not waited for, and none touches a loop that has
 * returned.
 *
 *   state = generation << 17 | open << 16 | workers inside
 */
#define _GNU_SOURCE
#include "attn/core/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPEN ((uint64_t)1 << 16)
#define INSIDE (OPEN - 1)
#define GENERATION ((uint64_t)1 << 17)
#define SPIN_NS 30000 /* longer than the gap between two loops of one training step, shorter than a time slice */

static struct {
    _Alignas(64) _Atomic uint64_t state;
    _Atomic int threads; /* 0: not asked yet */
    atomic_int sleepers;
    atomic_bool busy;   /* a loop runs; a second caller works alone */
    int cores, started; /* started: workers 1 .. started exist */
    bool forks;         /* the fork handler is installed */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t n, grain, blocks; /* the running loop */
    void (*fn)(size_t begin, size_t end, void *ctx);
    void *ctx;
    _Alignas(64) _Atomic size_t next; /* apart from state, which idle workers read all the time */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

atomic_int at_stop;
static atomic_int whole;
static _Thread_local int self;
static _Thread_local bool inside;

static inline void pause_cpu(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int cores(void)
{
    long n = 0;

#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    if (n < 1)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > AT_MAX_THREADS ? AT_MAX_THREADS : (int)n;
}

/* $ATTN_THREADS; 0 if it is not set or empty, -1 if it is no number of threads. */
static int wanted_threads(void)
{
    const char *text = getenv("ATTN_THREADS");
    char *end = NULL;
    long n = text && *text ? strtol(text, &end, 10) : 0;

    return !end ? 0 : n >= 1 && n <= AT_MAX_THREADS && *end == '\0' ? (int)n : -1;
}

bool at_threads_check(at_error *e)
{
    return wanted_threads() >= 0 || at_error_set(e, "ATTN_THREADS is '%.40s', expected an integer from 1 to %d",
                                                 getenv("ATTN_THREADS"), AT_MAX_THREADS);
}

int at_threads(void)
{
    int n = atomic_load(&pool.threads);

    if (n == 0) {
        int wanted = wanted_threads();
        pool.cores = cores();
        n = wanted > 0 ? wanted : pool.cores;
        atomic_store(&pool.threads, n);
    }
    return n;
}

bool at_set_threads(int n)
{
    if (n < 1 || n > AT_MAX_THREADS || inside)
        return false;
    at_threads(); /* the number of cores */
    atomic_store(&pool.threads, n);
    return true;
}

int at_worker(void) { return self; }

bool at_in_parallel(void) { return inside; }

void at_interrupt(void) { atomic_store(&at_stop, 1); }

bool at_interrupted(void) { return atomic_load_explicit(&at_stop, memory_order_relaxed) != 0; }

void at_interrupt_clear(void) { atomic_store(&at_stop, 0); }

bool at_uninterrupted(at_error *e)
{
    if (!at_interrupted())
        return true;
    e->interrupted = true;
    return at_error_set(e, "interrupted!");
}

void at_whole(bool on) { atomic_store(&whole, on); }

bool at_stop_now(void) { return !atomic_load_explicit(&whole, memory_order_relaxed); }

static void run_blocks(void)
{
    inside = true;
    for (;;) {
        size_t b = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
        if (b >= pool.blocks || at_cut_short())
            break;
        size_t begin = b * pool.grain, rest = pool.n - begin;
        pool.fn(begin, begin + (rest < pool.grain ? rest : pool.grain), pool.ctx);
    }
    inside = false;
}

static void run_alone(size_t n, size_t grain, void (*fn)(size_t, size_t, void *), void *ctx)
{
    bool outer = inside;

    inside = true;
    for (size_t begin = 0; begin < n && !at_cut_short();) {
        size_t step = n - begin < grain ? n - begin : grain;
        fn(begin, begin + step, ctx);
        begin += step;
    }
    inside = outer;
}

static bool joinable(uint64_t state, uint64_t seen)
{
    return (state & OPEN) && state / GENERATION != seen && self < atomic_load(&pool.threads);
}

/* Returns the state of a loop that may be joined; spins, then sleeps. */
static uint64_t wait_for_loop(uint64_t seen)
{
    uint64_t state = atomic_load(&pool.state);
    int64_t stop = 0;

    if (atomic_load(&pool.threads) <= pool.cores) {
        for (unsigned i = 0; !joinable(state, seen); i++) {
            if (i % 64 == 0) {
                int64_t t = now();
                if (stop == 0)
                    stop = t + SPIN_NS;
                else if (t > stop)
                    break;
            }
            pause_cpu();
            state = atomic_load(&pool.state);
        }
    }
    if (joinable(state, seen))
        return state;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (state = atomic_load(&pool.state), !joinable(state, seen))
        pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
    return state;
}

static void *worker(void *index)
{
    uint64_t seen = 0;

    self = (int)(intptr_t)index;
    for (;;) {
        uint64_t state = wait_for_loop(seen);
        if (!atomic_compare_exchange_strong(&pool.state, &state, state + 1))
            continue; /* another came or the loop closed meanwhile */
        seen = state / GENERATION;
        run_blocks();
        atomic_fetch_sub(&pool.state, 1);
    }
    return NULL;
}

/* The child of a fork has the forking thread only: the pool begins anew. */
static void after_fork(void)
{
    static const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

    pool.lock = lock;
    pool.wake = wake;
    pool.started = 0;
    atomic_store(&pool.state, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.busy, false);
    self = 0;
    inside = false;
}

/* Workers take no signals: those are the caller's. */
static void start(int wanted)
{
    sigset_t all, old;
    pthread_attr_t attr;

    if (!pool.forks)
        pool.forks = pthread_atfork(NULL, NULL, after_fork) == 0;
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (pool.started < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, &attr, worker, (void *)(intptr_t)(pool.started + 1)) != 0) {
            atomic_store(&pool.threads, pool.started + 1);
            break;
        }
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

void at_for(size_t n, size_t grain, void (*fn)(size_t begin, size_t end, void *ctx), void *ctx)
{
    if (grain == 0)
        grain = 1;
    size_t blocks = n / grain + (n % grain != 0);
    int threads = at_threads();

    if (blocks <= 1 || threads == 1 || inside || atomic_exchange(&pool.busy, true)) {
        run_alone(n, grain, fn, ctx);
        return;
    }
    if (pool.started < threads - 1)
        start(threads - 1);
    pool.n = n;
    pool.grain = grain;
    pool.blocks = blocks;
    pool.fn = fn;
    pool.ctx = ctx;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.state, (atomic_load(&pool.state) / GENERATION + 1) * GENERATION + OPEN);
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.lock);
        if (blocks == 2 && threads - 1 == pool.started)
            pthread_cond_signal(&pool.wake); /* one helper is enough */
        else
            pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    run_blocks();
    atomic_fetch_and(&pool.state, ~OPEN);
    for (unsigned i = 0; atomic_load(&pool.state) & INSIDE; i++) {
        if (i < 2000)
            pause_cpu();
        else
            sched_yield();
    }
    atomic_store(&pool.busy, false);
}

void at_zero(void *to, size_t bytes)
{
    AT_PIECES(i, end, bytes)
    {
        memset((char *)to + i, 0, end - i);
        i = end;
    }
}
