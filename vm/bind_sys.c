/* The machine: threads, versions, clock, terminal. */
#define _DEFAULT_SOURCE
#include "vm/bind.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

void vm_version(char *out, size_t n)
{
    snprintf(out, n, "%s  %d thread%s  %s", at_blas_name(), at_threads(), at_threads() == 1 ? "" : "s",
             at_simd_name(at_cpu_simd()));
}

static int threads(lua_State *L)
{
    if (!lua_isnoneornil(L, 1)) {
        int64_t n = vm_check_integer(L, 1, "threads", "n");
        if (n < 1 || n > AT_MAX_THREADS || !at_set_threads((int)n))
            vm_error(L, "threads: n is %lld, expected 1 to %d", (long long)n, AT_MAX_THREADS);
    }
    lua_pushinteger(L, at_threads());
    return 1;
}

static int clock_now(lua_State *L)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    return 1;
}

static int is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty((int)vm_check_integer(L, 1, "isatty", "fd")));
    return 1;
}

static int terminal_width(lua_State *L)
{
    struct winsize w;
    int columns = 80;
    for (int fd = 2; fd >= 0; fd--)
        if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) {
            columns = w.ws_col;
            break;
        }
    lua_pushinteger(L, columns);
    return 1;
}

static int simd(lua_State *L)
{
    lua_pushstring(L, at_simd_name(at_cpu_simd()));
    return 1;
}

void vm_open_sys(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {
        {"threads", threads}, {"clock", clock_now}, {"isatty", is_terminal}, {"terminal_width", terminal_width}, {"simd", simd},
        {NULL, NULL}
    };
    static const vm_doc docs[] = {
        {"threads", "threads([n]) -> n\nReads or sets the number of threads; at start $ATTN_THREADS, else the cores of this process."},
        {"clock", "clock() -> seconds of a clock that only goes forward"},
        {"isatty", "isatty(fd) -> whether file 0, 1 or 2 is a terminal"},
        {"terminal_width", "terminal_width() -> columns of the terminal, 80 if there is none"},
        {"simd", "simd() -> \"base\", \"AVX2\" or \"AVX-512\": what the kernels in use were compiled for"},
        {NULL, NULL}
    };
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
}
