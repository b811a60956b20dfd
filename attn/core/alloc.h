/*
 * The storage pool. Every byte of the engine comes from here.
 *
 * Blocks are 64-byte aligned and kept by size class when freed: a fresh page costs more than the arithmetic done on it. The
 * caller of at_free says the size again, so that no block carries a header. One thread only (the one that runs the script);
 * workers of the pool in parallel.c never allocate.
 */
#ifndef AT_CORE_ALLOC_H
#define AT_CORE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Uninitialised block of at least `bytes` (0 counts as 1), or NULL: out of memory, above the limit, or told to fail. */
void *at_alloc(size_t bytes);

/* The same, but a kept block up to half as large again will do: *bytes becomes what at_free wants to hear. Batches of changing
 * shapes reuse each other's blocks that way, where fresh pages would cost more than the arithmetic. */
void *at_alloc_roomy(size_t *bytes);

/* The same as at_alloc, zeroed. */
void *at_alloc_zero(size_t bytes);

/* Gives back a block of at_alloc(bytes). NULL is allowed. */
void at_free(void *block, size_t bytes);

/* at_alloc(new_bytes) with the old contents; the old block stays whole when it fails (NULL). */
void *at_realloc(void *block, size_t old_bytes, size_t new_bytes);

typedef struct at_memory {
    size_t live;    /* bytes in use, rounded up to their classes */
    size_t peak;    /* highest live since the start or at_memory_reset_peak */
    size_t cached;  /* freed blocks kept for reuse */
    size_t limit;   /* 0: none */
    uint64_t total; /* bytes handed out since the start */
} at_memory;

at_memory at_memory_now(void);
size_t at_live_bytes(void);
void at_memory_reset_peak(void);
void at_memory_limit(size_t bytes);

/* For tests: `times` allocations fail from the nth on, counted from now (1 is the next). nth 0 turns it off. */
void at_alloc_fail(uint64_t nth, uint64_t times);

/* Allocations made since the start: what at_alloc_fail counts in. */
uint64_t at_alloc_count(void);

#endif
