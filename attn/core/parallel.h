/*
 * The thread pool: fixed blocks of work over all cores, and the flag that stops long work.
 *
 * Work is split into blocks whose bounds depend on the size of the problem only, so results are the same bits for any
 * number of threads as long as a block writes what no other block touches. Threads start with the first loop that needs
 * them, spin for a few tens of microseconds between loops (a loop often follows a loop), then sleep.
 */
#ifndef AT_CORE_PARALLEL_H
#define AT_CORE_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>

#include "attn/core/error.h"
#include "attn/core/stop.h"

enum { AT_MAX_THREADS = 256 };

/* Number of threads in use: at_set_threads, else $ATTN_THREADS, else the cores this process may run on. */
int at_threads(void);

/* False, with a message, when $ATTN_THREADS is set and is no number of threads; at_threads passes over it. */
bool at_threads_check(at_error *e);

/* False when n is not in 1 .. AT_MAX_THREADS, or called from inside at_for. */
bool at_set_threads(int n);

/* Calls fn(begin, end, ctx) for the blocks [0, grain), [grain, 2 grain) ... of [0, n); the last may be shorter.
 * The caller takes part. Returns when every block is done. A single block, a single thread, or a call from inside a
 * block runs in the calling thread, block by block in order. grain 0 counts as 1. Threads that cannot be created are
 * done without. After at_interrupt no further block is started: results are then garbage, and whoever runs the
 * operation looks at at_interrupted() afterwards. fn must not longjmp out. */
void at_for(size_t n, size_t grain, void (*fn)(size_t begin, size_t end, void *ctx), void *ctx);

/* memset(to, 0, bytes), which a Ctrl-C can end. */
void at_zero(void *to, size_t bytes);

/* Index of the running thread inside at_for, 0 (the caller) .. at_threads() - 1; 0 outside. For scratch per thread. */
int at_worker(void);

/* True inside a block of at_for: a loop started here would run in this thread alone. */
bool at_in_parallel(void);

void at_interrupt(void); /* async-signal-safe */
bool at_interrupted(void);
void at_interrupt_clear(void);

/* After work that at_interrupt may have stopped: false, with the error "interrupted!", if it was called. */
bool at_uninterrupted(at_error *e);

/* Loops between at_whole(true) and at_whole(false) run to their end all the same: for what may not be left half done. */
void at_whole(bool on);

#endif
