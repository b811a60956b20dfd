/*
 * Ctrl-C: an ordinary Lua error, "interrupted!", in the code that runs, wherever it runs.
 *
 * The signal handler may do next to nothing: it sets a hook on the running thread (lua_sethook is made for that), which
 * raises the error at the next instruction, and sets the engine's flag, which its kernels poll; who raises the error,
 * hook or binding, clears the flag. `lua` sets its hook on the main thread, so code inside a coroutine never stops; a
 * hook that is always there halves the speed of Lua. So the host has its own resume, wrap and close, which record which
 * thread runs. They behave as Lua's.
 *
 * Code that catches the error and goes on in a loop (pcall) is left by a second Ctrl-C: the hook then stays, and raises the error again
 * at each instruction until nothing is left that could catch it. A C function that never returns (string.find with a bad pattern) cannot
 * be stopped by a hook: a third one within a second ends the process, with 130 as shells expect.
 */
#include "vm/vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "attn/attn.h"

/* coroutine.close inside __close inside ...: Lua 5.4.4 overflows the C stack; later versions count these as C calls, of
 * which 200 may nest. */
enum { CLOSE_DEPTH = 200 };

static lua_State *volatile running; /* the thread that runs; NULL outside of vm_call */
static pthread_t main_thread;
static bool terminal; /* stdin is one, in `modes` when code runs */
static struct termios modes;
static bool again;             /* a Ctrl-C came in this call */
static volatile bool forced;   /* a second one: nothing may catch it */
static bool left_by_interrupt; /* the last call was */
static bool brief, keeps;
static int close_depth;

/* A hook of the script (debug.sethook) that the stop hook displaced. */
static struct {
    lua_State *thread;
    lua_Hook hook;
    int mask, count;
} displaced;

static void stop(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L)
{
    lua_Hook hook = lua_gethook(L);

    if (hook != stop) {
        displaced.thread = L;
        displaced.mask = lua_gethookmask(L);
        displaced.count = lua_gethookcount(L);
        displaced.hook = hook;
    }
    lua_sethook(L, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void disarm(lua_State *L)
{
    if (lua_gethook(L) != stop)
        return;
    if (displaced.thread == L)
        lua_sethook(L, displaced.hook, displaced.mask, displaced.count);
    else
        lua_sethook(L, NULL, 0, 0);
    displaced.thread = NULL;
}

static void stop(lua_State *L, lua_Debug *ar)
{
    if (!forced) {
        disarm(L);
        if (!at_interrupted()) /* a kernel that stopped has raised it, or this thread was armed a moment too late */
            return;
        at_interrupt_clear();
    }
    lua_getinfo(L, "Sl", ar);
    if (ar->currentline > 0)
        lua_pushfstring(L, "%s:%d: interrupted!", ar->short_src, ar->currentline);
    else
        lua_pushliteral(L, "interrupted!");
    lua_error(L);
}

static void on_interrupt(int signal_number)
{
    static struct timespec last;
    struct timespec now;
    int error = errno;

    if (!pthread_equal(pthread_self(), main_thread)) { /* a worker of the engine was picked */
        pthread_kill(main_thread, signal_number);
        errno = error;
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - last.tv_sec) + 1e-9 * (double)(now.tv_nsec - last.tv_nsec);
    if (forced && seconds < 1) {
        if (terminal)
            tcsetattr(STDIN_FILENO, TCSANOW, &modes);
        _exit(130);
    }
    forced = again;
    again = true;
    last = now;
    at_interrupt();
    lua_State *L = running;
    if (L)
        arm(L);
    errno = error;
}

/* Records that `to` runs from here on. A Ctrl-C that came between two threads moves along. */
static void switch_thread(lua_State *from, lua_State *to)
{
    running = to;
    if (at_interrupted() || forced) {
        disarm(from);
        arm(to);
    }
}

/* Whether a function of the user's stands between the prompt and the error: if not, the traceback says nothing. */
static bool has_frames(lua_State *L)
{
    lua_Debug ar;

    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "S", &ar);
        if (*ar.what != 'C' && strncmp(ar.source, "=attn/", 6) != 0 && strcmp(ar.what, "main") != 0)
            return true;
    }
    return false;
}

void vm_keep_locals(lua_State *L, lua_Debug *ar)
{
    const char *name;

    luaL_checkstack(L, 4, "locals");
    lua_pushglobaltable(L);
    for (int i = 1; (name = lua_getlocal(L, ar, i)); i++) {
        if (name[0] == '(') {
            lua_pop(L, 1);
            continue;
        }
        lua_pushstring(L, name);
        lua_insert(L, -2);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

/* What a main chunk had: of the outermost that runs. */
static void keep_main(lua_State *L)
{
    lua_Debug ar, main;
    bool found = false;

    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "S", &ar);
        if (strcmp(ar.what, "main") == 0 && strncmp(ar.source, "=attn/", 6) != 0) {
            main = ar;
            found = true;
        }
    }
    if (found)
        vm_keep_locals(L, &main);
}

/* Protected: what hints.lua says of the message at 1, or nothing. */
static int ask_hint(lua_State *L)
{
    vm_require(L, "hints");
    lua_getfield(L, -1, "of");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* Lua's own message with what was probably meant behind it; on top of the stack. */
static const char *add_hint(lua_State *L, const char *message)
{
    lua_pushcfunction(L, ask_hint);
    lua_pushstring(L, message);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK || lua_type(L, -1) != LUA_TSTRING) {
        lua_pop(L, 1);
        return message;
    }
    return lua_pushfstring(L, "%s (%s)", message, lua_tostring(L, -1));
}

static int message_handler(lua_State *L)
{
    const char *message = lua_tostring(L, 1);

    if (keeps)
        keep_main(L);
    if (!message) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
            return 1; /* an object that says itself what it is gets no traceback */
        message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    if (strstr(message, "attempt to "))
        message = add_hint(L, message);
    if (!brief || strstr(message, "interrupted!") || has_frames(L))
        luaL_traceback(L, L, message, 1);
    else
        lua_pushstring(L, message);
    return 1;
}

void vm_brief_errors(void) { brief = true; }

void vm_keep_after_errors(void) { keeps = true; }

int vm_call(lua_State *L, int arguments, int results)
{
    int handler = lua_gettop(L) - arguments;
    lua_State *outside = running;
    struct sigaction action, before;
    sigset_t interrupt, mask;

    lua_pushcfunction(L, message_handler);
    lua_insert(L, handler);
    main_thread = pthread_self();
    terminal = tcgetattr(STDIN_FILENO, &modes) == 0;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt; /* no SA_RESTART: a blocked read returns, and the hook gets its turn */
    sigemptyset(&action.sa_mask);
    again = forced = false;
    at_interrupt_clear();
    close_depth = 0;
    running = L;
    sigaction(SIGINT, &action, &before);
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &interrupt,
                    &mask); /* the session blocks it: one that came since Enter stops this code */
    int status = lua_pcall(L, arguments, results, handler);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (at_interrupted() && sigismember(&mask, SIGINT))
        raise(SIGINT); /* it came too late for this code: it waits for what is next */
    sigaction(SIGINT, &before, NULL);
    running = outside;
    forced = false;
    at_interrupt_clear();
    disarm(L);
    lua_remove(L, handler);
    const char *message = status == LUA_OK ? NULL : lua_tostring(L, -1);
    left_by_interrupt = message && strstr(message, "interrupted!");
    return status;
}

bool vm_left_by_interrupt(void) { return left_by_interrupt; }

/* ---- the coroutine library, where threads change ---- */

static lua_State *check_thread(lua_State *L, int i)
{
    lua_State *co = lua_tothread(L, i);

    luaL_argexpected(L, co, i, "thread");
    return co;
}

/* Moves n arguments to co and runs it until it yields, returns or fails. Returns the number of results now on L, or -1
 * and the error there. */
static int resume(lua_State *L, lua_State *co, int n)
{
    int results;

    if (!lua_checkstack(co, n)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, n);
    switch_thread(L, co);
    int status = lua_resume(co, L, n, &results);
    switch_thread(co, L);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

/* Runs the pending __close of co and makes it dead; its status. The error, if any, is on top of co. */
static int close_thread(lua_State *L, lua_State *co)
{
    if (close_depth >= CLOSE_DEPTH)
        luaL_error(L, "C stack overflow");
    close_depth++;
    switch_thread(L, co);
    int status = lua_resetthread(co);
    switch_thread(co, L);
    close_depth--;
    return status;
}

static int coroutine_resume(lua_State *L)
{
    lua_State *co = check_thread(L, 1);
    int n = resume(L, co, lua_gettop(L) - 1);

    lua_pushboolean(L, n >= 0);
    if (n < 0)
        n = 1;
    lua_insert(L, -(n + 1));
    return n + 1;
}

static int wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L));

    if (n >= 0)
        return n;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) { /* it failed, rather than could not be resumed */
        status = close_thread(L, co);
        lua_xmove(co, L, 1); /* the error, or the one that a __close put in its place */
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int coroutine_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

static int coroutine_close(lua_State *L)
{
    lua_State *co = check_thread(L, 1);
    lua_Debug ar;

    if (co == L)
        return luaL_error(L, "cannot close a running coroutine");
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
        return luaL_error(L, "cannot close a normal coroutine");
    if (close_thread(L, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

void vm_open_interrupt(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"resume", coroutine_resume}, {"wrap", coroutine_wrap}, {"close", coroutine_close}, {NULL, NULL}};

    main_thread = pthread_self();
    lua_getglobal(L, LUA_COLIBNAME);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
