/*
 * The machine: threads, versions, clock, terminal; and what a run folder needs of the file system: folders, a lock that
 * ends with the process however it ends, a checksum, a copy of what is printed.
 */
#define _GNU_SOURCE
#include "vm/bind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

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

/* Of the terminal that one of the standard files is; false if none is. */
static bool terminal_size(struct winsize *w)
{
    for (int fd = 2; fd >= 0; fd--)
        if (ioctl(fd, TIOCGWINSZ, w) == 0 && w->ws_col > 0)
            return true;
    return false;
}

static int terminal_width(lua_State *L)
{
    struct winsize w;
    lua_pushinteger(L, terminal_size(&w) ? w.ws_col : 80);
    return 1;
}

static int terminal_height(lua_State *L)
{
    struct winsize w;
    lua_pushinteger(L, terminal_size(&w) && w.ws_row > 0 ? w.ws_row : 24);
    return 1;
}

static int simd(lua_State *L)
{
    lua_pushstring(L, at_simd_name(at_cpu_simd()));
    return 1;
}

static int blas(lua_State *L)
{
    lua_pushstring(L, at_blas_name());
    return 1;
}

/* ---- files ---- */

static _Noreturn void system_error(lua_State *L, const char *where, const char *path)
{
    vm_error(L, "%s: %.300s: %s", where, path, strerror(errno));
}

static int make_folder(lua_State *L)
{
    const char *path = vm_check_path(L, "mkdir");
    struct stat st;
    bool made = mkdir(path, 0777) == 0;
    if (!made && (errno != EEXIST || stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        system_error(L, "mkdir", path);
    lua_pushboolean(L, made);
    return 1;
}

#define FOLDER "attn.folder"
#define FILE_MAGIC 0x656c69662d73796du

/* An open folder or descriptor, in a box: any lua_ call may raise. */
typedef struct file_box {
    uint64_t magic;
    DIR *dir;
    int fd;
} file_box;

static int file_end(lua_State *L)
{
    file_box *b = lua_touserdata(L, 1);
    if (!b || lua_rawlen(L, 1) != sizeof *b || b->magic != FILE_MAGIC)
        return 0;
    if (b->dir)
        closedir(b->dir);
    if (b->fd >= 0)
        close(b->fd);
    b->dir = NULL;
    b->fd = -1;
    return 0;
}

static file_box *push_file(lua_State *L)
{
    file_box *b = vm_push_owner(L, sizeof *b, FOLDER, file_end);
    b->magic = FILE_MAGIC;
    b->fd = -1;
    return b;
}

static int list_folder(lua_State *L)
{
    const char *path = vm_check_path(L, "list_folder");
    lua_settop(L, 1);
    file_box *b = push_file(L);
    b->dir = opendir(path);
    if (!b->dir)
        system_error(L, "list_folder", path);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct dirent *entry; (entry = readdir(b->dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        lua_pushstring(L, entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    closedir(b->dir);
    b->dir = NULL;
    return 1;
}

/* attn.internal.whole(fn): calls fn, for which a Ctrl-C waits until it is done */
static int whole(lua_State *L)
{
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    lua_settop(L, 1);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    int status = lua_pcall(L, 0, 0, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == LUA_OK ? 0 : lua_error(L);
}

/* attn.internal.modules() -> names of the Lua modules compiled in, without "attn.", sorted */
static int list_modules(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; vm_modules[i].name; i++) {
        lua_pushstring(L, vm_modules[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* The lock belongs to the open file, so that the system takes it back however the process ends. */
static int lock(lua_State *L)
{
    const char *path = vm_check_path(L, "lock");
    char text[32];
    lua_settop(L, 1);
    file_box *b = push_file(L);
    b->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (b->fd < 0)
        system_error(L, "lock", path);
    if (flock(b->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            system_error(L, "lock", path);
        ssize_t n = read(b->fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        lua_pushnil(L);
        lua_pushinteger(L, strtol(text, NULL, 10));
        return 2;
    }
    /* who holds it, for the message of the next one: a lock without a name is as good */
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(b->fd, 0) == 0)
        (void)!write(b->fd, text, (size_t)n);
    return 1;
}

static int checksum(lua_State *L)
{
    const char *path = vm_check_path(L, "crc32");
    unsigned char block[65536];
    char text[16];
    uLong sum = crc32(0, NULL, 0);
    lua_settop(L, 1);
    file_box *b = push_file(L);
    b->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (b->fd < 0)
        system_error(L, "crc32", path);
    for (ssize_t n; (n = read(b->fd, block, sizeof block)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            system_error(L, "crc32", path);
        sum = crc32(sum, block, (uInt)n);
        vm_poll(L);
    }
    close(b->fd);
    b->fd = -1;
    snprintf(text, sizeof text, "%08lx", sum & 0xffffffffu);
    lua_pushstring(L, text);
    return 1;
}

/* ---- the end of the script ---- */

#define AT_END "attn.at_end"

/* internal.at_end(f): f() is called when the script has come to its end; not after an error, os.exit or a signal. */
static int at_end(lua_State *L)
{
    vm_check_function(L, 1, "at_end", "f");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, AT_END);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

bool vm_script_end(lua_State *L, const char *program)
{
    bool ok = true;
    if (lua_getfield(L, LUA_REGISTRYINDEX, AT_END) == LUA_TTABLE)
        for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TFUNCTION; i++)
            ok = vm_report(L, vm_call(L, 0, 0), program) && ok;
    lua_settop(L, 1);
    return ok;
}

/* ---- what is printed: into a file too, above a line that stays ----
 * A stream that writes to descriptor 1 (2) and to the file stands in for stdout (stderr) until the process ends, and
 * io.stdout with it. io.stderr is left. A copy that fails (the disk is full) is given up with one message: it must not
 * stop what is being printed. On a terminal a line of progress may stand below all that is printed: what comes takes its
 * place, and it is written again behind. */

static int tee_fd = -1;
static char status[1024];
static size_t status_length;

static void write_status(void)
{
    vm_write_all(2, "\r", 1);
    vm_write_all(2, status, status_length);
    vm_write_all(2, "\33[K", 3);
}

static ssize_t tee_write(void *cookie, const char *data, size_t n)
{
    bool below = status_length > 0 && isatty(cookie ? 2 : 1);
    if (below)
        vm_write_all(2, "\r\33[K", 4);
    bool ok = vm_write_all(cookie ? 2 : 1, data, n);
    if (below && n > 0 && data[n - 1] == '\n')
        write_status();
    if (tee_fd >= 0 && !vm_write_all(tee_fd, data, n)) {
        dprintf(2, "attn: the copy of what is printed ends here: %s\n", strerror(errno));
        close(tee_fd);
        tee_fd = -1;
    }
    return ok ? (ssize_t)n : 0;
}

static void replace_streams(lua_State *L, const char *where, const char *path)
{
    static int is_error = 1;
    static bool replaced;
    if (replaced)
        return;
    fflush(stdout);
    cookie_io_functions_t io = {.write = tee_write};
    FILE *out = fopencookie(NULL, "w", io), *error = fopencookie(&is_error, "w", io);
    if (!out || !error)
        system_error(L, where, path);
    setvbuf(out, NULL, isatty(1) ? _IOLBF : _IOFBF, 0);
    setvbuf(error, NULL, _IONBF, 0);
    lua_getglobal(L, "io");
    if (lua_istable(L, -1) && lua_getfield(L, -1, "stdout") == LUA_TUSERDATA) {
        luaL_Stream *s = luaL_testudata(L, -1, LUA_FILEHANDLE);
        if (s && s->closef && s->f == stdout)
            s->f = out;
    }
    stdout = out;
    stderr = error;
    replaced = true;
}

/* internal.status(line): the line that stays below what is printed, on the terminal that stderr is; "" ends it. */
static int stay_below(lua_State *L)
{
    size_t n;
    const char *line = luaL_checklstring(L, 1, &n);
    replace_streams(L, "status", "the terminal");
    fflush(stdout);
    status_length = n < sizeof status ? n : sizeof status;
    memcpy(status, line, status_length);
    write_status();
    return 0;
}

static int copy_output(lua_State *L)
{
    const char *path = vm_check_path(L, "tee");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        system_error(L, "tee", path);
    fflush(stdout);
    if (tee_fd >= 0)
        close(tee_fd);
    tee_fd = fd;
    replace_streams(L, "tee", path);
    return 0;
}

void vm_open_sys(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {
        {"threads", threads},
        {"clock", clock_now},
        {"isatty", is_terminal},
        {"terminal_width", terminal_width},
        {"terminal_height", terminal_height},
        {"simd", simd},
        {"blas", blas},
        {"mkdir", make_folder},
        {"list_folder", list_folder},
        {"lock", lock},
        {"crc32", checksum},
        {NULL, NULL}};
    static const vm_doc docs[] = {
        {"threads", "threads([n]) -> n\nReads or sets the number of threads; at start $ATTN_THREADS, else the cores of "
                    "this process."},
        {"clock", "clock() -> seconds of a clock that only goes forward"},
        {"isatty", "isatty(fd) -> whether file 0, 1 or 2 is a terminal"},
        {"terminal_width", "terminal_width() -> columns of the terminal, 80 if there is none"},
        {"terminal_height", "terminal_height() -> lines of the terminal, 24 if there is none"},
        {"simd", "simd() -> \"base\", \"AVX2\" or \"AVX-512\": what the kernels in use were compiled for"},
        {"blas", "blas() -> name of the BLAS library and of the processor it is for"},
        {"mkdir", "mkdir(path) -> true if it was made, false if it was there\nMakes a folder."},
        {"list_folder", "list_folder(path) -> names, in no order"},
        {"lock", "lock(path) -> lock, or nil and the number of the process that has it\n"
                 "Makes the file and locks it until the lock is closed (<close>), collected, or the process ends."},
        {"crc32", "crc32(path) -> the checksum of a file, eight hexadecimal digits"},
        {NULL, NULL}};
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    lua_pushcfunction(L, list_modules);
    lua_setfield(L, -2, "modules");
    lua_pushcfunction(L, copy_output);
    lua_setfield(L, -2, "tee");
    lua_pushcfunction(L, stay_below);
    lua_setfield(L, -2, "status");
    lua_pushcfunction(L, at_end);
    lua_setfield(L, -2, "at_end");
    lua_pushcfunction(L, whole);
    lua_setfield(L, -2, "whole");
    lua_pop(L, 1);
}
