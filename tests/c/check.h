/* Checks with names; the last line is `N passed, N failed`, the exit status 1 if any failed. */
#ifndef TESTS_C_CHECK_H
#define TESTS_C_CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

__attribute__((format(printf, 2, 3))) static inline void check(bool ok, const char *format, ...)
{
    va_list args;

    if (ok) {
        passed++;
        return;
    }
    failed++;
    va_start(args, format);
    fputs("FAIL ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static inline int finish(void)
{
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* Memory of its own, so that a sanitizer sees the end of every row. */
static inline void *room(size_t bytes)
{
    void *p = NULL;

    if (posix_memalign(&p, 64, bytes ? bytes : 1) != 0)
        abort();
    return p;
}

/* Numbers in [-1, 1), the same on every machine. */
static inline double any_number(void)
{
    static uint64_t s = 88172645463325252u;

    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (double)(s >> 11) * 0x1p-52 - 1;
}

#endif
