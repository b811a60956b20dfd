/*
 * attn test again: the files in which a case failed the last time, and waiting until a file changes.
 *
 * What failed stands in .attn-failed of the folder that attn test was started in, a path a line; there is no such file
 * when nothing failed.
 */
#define _GNU_SOURCE
#include "vm/vm.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char LIST[] = ".attn-failed";

char *vm_failed_read(void)
{
    FILE *in = fopen(LIST, "re");
    char *text = NULL;
    size_t size = 0;

    if (in && getdelim(&text, &size, '\0', in) < 0) {
        free(text);
        text = NULL;
    }
    if (in)
        fclose(in);
    return text;
}

bool vm_failed_has(const char *list, const char *path)
{
    size_t n = strlen(path);

    for (const char *at = list; at && *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strncmp(at, path, n) == 0 && (at[n] == '\n' || at[n] == '\0'))
            return true;
    return false;
}

void vm_failed_write(const char *list)
{
    if (!*list) {
        unlink(LIST);
        return;
    }
    FILE *out = fopen(LIST, "we"); /* a folder that cannot be written has no memory of failures */
    if (out) {
        fputs(list, out);
        fclose(out);
    }
}

/* ---- waiting for a change ---- */

static uint64_t state; /* of all files that were seen: a sum, so that their order is none */

static void see(const char *path, const struct stat *st)
{
    uint64_t x = (uint64_t)st->st_mtim.tv_sec * 1000000007u + (uint64_t)st->st_mtim.tv_nsec;

    for (const char *c = path; *c; c++)
        x = (x ^ (unsigned char)*c) * 0x100000001b3u;
    state += (x ^ (uint64_t)st->st_size) * 0x9e3779b97f4a7c15u;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    if (path[at->base] == '.' && at->level > 0)
        return FTW_SKIP_SUBTREE;
    size_t n = strlen(path);
    if (type == FTW_F && n > 4 && strcmp(path + n - 4, ".lua") == 0)
        see(path, st);
    return FTW_CONTINUE;
}

static uint64_t look(const char *exe, const char *const *paths, int count)
{
    struct stat st;

    state = 0;
    if (stat(exe, &st) == 0)
        see(exe, &st);
    nftw(".", visit, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    for (int i = 0; i < count; i++)
        nftw(paths[i], visit, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    return state;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t seen;

void vm_watch_begin(const char *exe, const char *const *paths, int count) { seen = look(exe, paths, count); }

void vm_watch_wait(const char *exe, const char *const *paths, int count, const volatile int *stopped)
{
    while (!*stopped) {
        double began = now();
        uint64_t changed = look(exe, paths, count);
        double pause = 20 * (now() - began); /* a twentieth of one core at most */
        if (changed != seen)
            return;
        if (pause < 0.2)
            pause = 0.2;
        nanosleep(&(struct timespec){(time_t)pause, (long)(1e9 * (pause - (double)(time_t)pause))}, NULL);
    }
}
