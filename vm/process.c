/*
 * Processes: this executable again, for test files (runner.c) and for the cells of a study (stdlib/study_cells.lua).
 *
 * A process leads a group of its own, so that whatever it started goes with it, and dies with the one that started it, even by
 * SIGKILL: nobody would be left to wait for it.
 */
#define _GNU_SOURCE
#include "vm/bind.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void run_child(char *const argv[], int output, int kept, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before that */
        _exit(126);
    if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        _exit(126);
    if (kept >= 0)
        fcntl(kept, F_SETFD, 0);
    execv("/proc/self/exe", argv);
    _exit(127);
}

pid_t vm_process_start(char *const argv[], int output, int kept)
{
    pid_t parent = getpid(), pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        run_child(argv, output, kept, parent);
    if (pid > 0)
        setpgid(pid, pid); /* here too: whoever comes first */
    return pid;
}

bool vm_process_ended(pid_t pid, bool wait, int *status)
{
    siginfo_t info = {0};
    int result;

    do
        result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG));
    while (result < 0 && errno == EINTR);
    if (result == 0 && info.si_pid == 0)
        return false;
    kill(-pid, SIGKILL); /* what it left behind; its number is still its own */
    *status = 0;
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return true;
}

/* ---- for Lua ---- */

#define PROCESS "attn.process"
#define PROCESS_MAGIC 0x737365636f72702du

typedef struct process_box {
    uint64_t magic;
    pid_t pid; /* 0: none, or it has ended */
    int output;
    char **argv;
    int status;
} process_box;

static process_box *to_process(lua_State *L)
{
    process_box *b = lua_touserdata(L, 1);

    return b && lua_rawlen(L, 1) == sizeof *b && b->magic == PROCESS_MAGIC ? b : NULL;
}

static int process_end(lua_State *L)
{
    process_box *b = to_process(L);

    if (!b)
        return 0;
    if (b->pid > 0) {
        kill(-b->pid, SIGKILL);
        vm_process_ended(b->pid, true, &b->status);
    }
    if (b->output >= 0)
        close(b->output);
    free(b->argv);
    b->pid = 0;
    b->output = -1;
    b->argv = NULL;
    return 0;
}

/* internal.process(words, output) -> process: this executable with these words (the first is its name), which prints into the file
 * `output`. It is killed when the value is closed or collected. */
static int start(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *path = luaL_checkstring(L, 2);
    lua_Integer n = luaL_len(L, 1);
    if (n < 1 || n > 100000)
        vm_error(L, "process: words has %lld entries, expected 1 to 100000", (long long)n);
    lua_settop(L, 2);
    process_box *b = vm_push_owner(L, sizeof *b, PROCESS, process_end);
    b->magic = PROCESS_MAGIC;
    b->output = -1;
    luaL_checkstack(L, (int)n + 10, "process: too many words");
    b->argv = calloc((size_t)n + 1, sizeof *b->argv);
    if (!b->argv)
        vm_error(L, "process: not enough memory");
    for (lua_Integer i = 1; i <= n; i++) { /* the strings stay on the stack */
        if (lua_rawgeti(L, 1, i) != LUA_TSTRING)
            vm_error(L, "process: word %lld is %s, expected a string", (long long)i, vm_describe(L, -1).text);
        b->argv[i - 1] = (char *)lua_tostring(L, -1);
    }
    b->output = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (b->output < 0)
        vm_error(L, "process: %.300s: %s", path, strerror(errno));
    b->pid = vm_process_start(b->argv, b->output, -1);
    if (b->pid < 0)
        vm_error(L, "process: %s", strerror(errno));
    lua_settop(L, 3);
    return 1;
}

/* internal.process_ended(process) -> false while it runs; true, "exit" | "signal", its number, the signal's name */
static int ended(lua_State *L)
{
    process_box *b = to_process(L);

    if (!b)
        vm_error(L, "process_ended: process is %s, expected a process", vm_describe(L, 1).text);
    if (b->pid > 0) {
        if (!vm_process_ended(b->pid, false, &b->status)) {
            lua_pushboolean(L, false);
            return 1;
        }
        b->pid = 0;
        process_end(L);
    }
    bool killed = WIFSIGNALED(b->status);
    lua_pushboolean(L, true);
    lua_pushstring(L, killed ? "signal" : "exit");
    lua_pushinteger(L, killed ? WTERMSIG(b->status) : WEXITSTATUS(b->status));
    lua_pushstring(L, killed ? strsignal(WTERMSIG(b->status)) : "");
    return 4;
}

/* internal.sleep(seconds) */
static int sleep_seconds(lua_State *L)
{
    double s = luaL_checknumber(L, 1);

    if (s > 0 && s < 1e6) {
        struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)(1e9 * (s - (double)(time_t)s))};
        nanosleep(&t, NULL);
    }
    vm_poll(L);
    return 0;
}

void vm_open_process(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"process", start}, {"process_ended", ended}, {"sleep", sleep_seconds}, {NULL, NULL}};

    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
