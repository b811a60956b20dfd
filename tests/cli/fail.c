/*
 * Helper of fail_test.lua, loaded before the program (LD_PRELOAD): allocations and threads that cannot be had.
 *
 * Calls of malloc, calloc, realloc, posix_memalign, mmap and pthread_create are counted from 1. Those from FAIL_AT on fail:
 * FAIL_TIMES of them, or all if that is 0. The count goes into the file FAIL_COUNT, if it is named, when the process ends.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t m);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static atomic_long count;
static long at, times;

__attribute__((constructor)) static void start(void)
{
    const char *a = getenv("FAIL_AT"), *t = getenv("FAIL_TIMES");

    at = a ? atol(a) : 0;
    times = t ? atol(t) : 1;
    unsetenv("LD_PRELOAD"); /* what the program starts is none of ours */
    atomic_store(&count, 0);
}

__attribute__((destructor)) static void stop(void)
{
    const char *path = getenv("FAIL_COUNT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;

    if (fd >= 0)
        dprintf(fd, "%ld\n", (long)count);
}

static int fails(void)
{
    long k = atomic_fetch_add(&count, 1) + 1;

    return at > 0 && k >= at && (times == 0 || k < at + times);
}

void *malloc(size_t n)
{
    if (!fails())
        return __libc_malloc(n);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t n, size_t m)
{
    if (!fails())
        return __libc_calloc(n, m);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *p, size_t n)
{
    if (!fails())
        return __libc_realloc(p, n);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **p, size_t alignment, size_t n)
{
    *p = fails() ? NULL : __libc_memalign(alignment, n);
    return *p ? 0 : ENOMEM;
}

void *mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset)
{
    if (!fails())
        return (void *)syscall(SYS_mmap, address, n, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*f)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (!real)
        real =
            (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    return fails() ? EAGAIN : real(thread, attributes, f, argument);
}
