/*
 * The storage pool: see alloc.h.
 *
 * Small blocks (up to 2 KiB, in steps of 64 bytes) are cut from slabs that stay. Larger ones have four classes to each power of
 * two, so at most a fifth is unused. What is
 * live and cached together stays below 3/2 of the highest live so far and 64 MiB; above that the largest go back.
 */
#define _DEFAULT_SOURCE
#include "attn/core/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGN = 64,
    SMALL = 2048, /* largest block cut from a slab */
    SMALL_CLASSES = SMALL / ALIGN,
    SLAB = 64 * 1024,
    LARGE_CLASSES = 4 * 50,
    MAPPED = 1 << 20, /* from here on blocks are mapped one by one and can be returned one by one */
    HUGE_PAGE = 1 << 21
};
#define CACHE_SLACK ((size_t)64 << 20)

typedef struct link {
    struct link *next;
} link;

static struct {
    link *small[SMALL_CLASSES + 1], *large[LARGE_CLASSES];
    char *slab;
    size_t slab_left;
    at_memory memory;
    uint64_t count, fail_at, fail_times;
} pool;

/* Class of a large block, and its size in *bytes: (4 + quarter) * 2^(power - 2), the smallest that is not below the wish. */
static int large_class(size_t *bytes)
{
    size_t wish = *bytes;
    int power = 63 - __builtin_clzll(wish - 1); /* 2^power < wish <= 2^(power + 1) */
    size_t quarter = (size_t)1 << (power - 2);
    size_t steps = (wish - ((size_t)1 << power) + quarter - 1) / quarter; /* 1..4 */
    *bytes = ((size_t)1 << power) + steps * quarter;
    return 4 * (power - 11) + (int)steps - 1;
}

static void unmap(void *block, size_t bytes)
{
    if (bytes >= MAPPED)
        munmap(block, bytes);
    else
        free(block);
    pool.memory.cached -= bytes;
}

static size_t class_bytes(int class)
{
    int power = class / 4 + 11, steps = class % 4 + 1;
    return ((size_t)1 << power) + steps * ((size_t)1 << (power - 2));
}

/* Returns cached blocks, largest first, until at most `keep` bytes stay. */
static void trim(size_t keep)
{
    for (int class = LARGE_CLASSES - 1; class >= 0 && pool.memory.cached > keep; class --)
        while (pool.large[class] && pool.memory.cached > keep) {
            link *block = pool.large[class];
            pool.large[class] = block->next;
            unmap(block, class_bytes(class));
        }
}

static void *map_fresh(size_t bytes)
{
    if (bytes < MAPPED)
        return aligned_alloc(ALIGN, bytes);
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (bytes >= 2 * HUGE_PAGE)
        madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

static bool told_to_fail(void)
{
    pool.count++;
    if (pool.fail_at == 0 || pool.count < pool.fail_at)
        return false;
    if (--pool.fail_times == 0)
        pool.fail_at = 0;
    return true;
}

static void *count_live(void *block, size_t bytes)
{
    pool.memory.live += bytes;
    pool.memory.total += bytes;
    if (pool.memory.live > pool.memory.peak)
        pool.memory.peak = pool.memory.live;
    return block;
}

#ifdef AT_NO_POOL

/* Sanitizer builds: every block is malloc's own and not a byte larger than asked for, so that a stray access or a leak is seen. */
static void *plain_alloc(size_t bytes)
{
    void *block;
    return posix_memalign(&block, ALIGN, bytes) == 0 ? count_live(block, bytes) : NULL;
}

#endif

static void *alloc_small(size_t bytes)
{
    size_t class = (bytes + ALIGN - 1) / ALIGN;
    link *block = pool.small[class];
    bytes = class * ALIGN;
    if (block) {
        pool.small[class] = block->next;
    } else {
        if (pool.slab_left < bytes) {
            /* what is left of the old slab becomes one block of its class */
            if (pool.slab_left) {
                link *rest = (link *)(void *)pool.slab;
                rest->next = pool.small[pool.slab_left / ALIGN];
                pool.small[pool.slab_left / ALIGN] = rest;
            }
            pool.slab_left = 0;
            pool.slab = aligned_alloc(ALIGN, SLAB);
            if (!pool.slab)
                return NULL;
            pool.slab_left = SLAB;
        }
        block = (link *)(void *)pool.slab;
        pool.slab += bytes;
        pool.slab_left -= bytes;
    }
    return count_live(block, bytes);
}

void *at_alloc(size_t bytes)
{
    if (__builtin_expect(pool.fail_at != 0, 0)) {
        if (told_to_fail())
            return NULL;
    } else {
        pool.count++;
    }
    if (bytes == 0)
        bytes = 1;
    if (bytes > (size_t)1 << 47)
        return NULL;
#ifdef AT_NO_POOL
    return pool.memory.limit && pool.memory.live + bytes > pool.memory.limit ? NULL : plain_alloc(bytes);
#endif
    if (bytes <= SMALL)
        return pool.memory.limit && pool.memory.live + bytes > pool.memory.limit ? NULL : alloc_small(bytes);
    int class = large_class(&bytes);
    if (pool.memory.limit && pool.memory.live + bytes > pool.memory.limit)
        return NULL;
    link *block = pool.large[class];
    if (block) {
        pool.large[class] = block->next;
        pool.memory.cached -= bytes;
        return count_live(block, bytes);
    }
    void *fresh = map_fresh(bytes);
    if (!fresh && pool.memory.cached) {
        trim(0);
        fresh = map_fresh(bytes);
    }
    return fresh ? count_live(fresh, bytes) : NULL;
}

void *at_alloc_roomy(size_t *bytes)
{
#ifndef AT_NO_POOL
    if (*bytes > SMALL && *bytes < (size_t)1 << 46 && pool.fail_at == 0 && pool.memory.limit == 0) {
        size_t wish = *bytes;
        int class = large_class(&wish);
        for (int more = 0; more <= 2; more++)
            if (pool.large[class + more]) {
                *bytes = class_bytes(class + more);
                break;
            }
    }
#endif
    return at_alloc(*bytes);
}

void *at_alloc_zero(size_t bytes)
{
    void *block = at_alloc(bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

void at_free(void *block, size_t bytes)
{
    if (!block)
        return;
    if (bytes == 0)
        bytes = 1;
#ifdef AT_NO_POOL
    pool.memory.live -= bytes;
    free(block);
    return;
#endif
    link *freed = block;
    if (bytes <= SMALL) {
        size_t class = (bytes + ALIGN - 1) / ALIGN;
        freed->next = pool.small[class];
        pool.small[class] = freed;
        pool.memory.live -= class * ALIGN;
        return;
    }
    int class = large_class(&bytes);
    freed->next = pool.large[class];
    pool.large[class] = freed;
    pool.memory.live -= bytes;
    pool.memory.cached += bytes;
    size_t bound = pool.memory.peak + pool.memory.peak / 2 + CACHE_SLACK;
    if (pool.memory.live + pool.memory.cached > bound)
        trim(pool.memory.cached / 2);
}

void *at_realloc(void *block, size_t old_bytes, size_t new_bytes)
{
    void *grown = at_alloc(new_bytes);
    if (!grown)
        return NULL;
    if (block)
        memcpy(grown, block, old_bytes < new_bytes ? old_bytes : new_bytes);
    at_free(block, old_bytes);
    return grown;
}

at_memory at_memory_now(void) { return pool.memory; }

size_t at_live_bytes(void) { return pool.memory.live; }

void at_memory_reset_peak(void) { pool.memory.peak = pool.memory.live; }

void at_memory_limit(size_t bytes) { pool.memory.limit = bytes; }

void at_alloc_fail(uint64_t nth, uint64_t times)
{
    pool.fail_at = nth && times ? pool.count + nth : 0;
    pool.fail_times = times;
}

uint64_t at_alloc_count(void) { return pool.count; }
