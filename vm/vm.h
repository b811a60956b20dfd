/*
 * What the files of vm/ share: the pieces of the executable. Lua's headers come with it; the engine's is attn/attn.h.
 */
#ifndef VM_H
#define VM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* ---- open.c, bind_sys.c: the library ---- */

/* require "attn": leaves the module's table. */
int luaopen_attn(lua_State *L);

/* The machine, as `attn --version` shows it after "attn 0.1  Lua 5.4": BLAS and its core, threads, SIMD level. */
void vm_version(char *out, size_t n);

/* The script came to its end without an error: calls what asked to be told (attn.internal.at_end). False if one failed, which
 * is reported. */
bool vm_script_end(lua_State *L, const char *program);

/* ---- stdlib.c: the Lua modules compiled in ---- */

typedef struct vm_module {
    const char *name; /* "data" for require "attn.data" */
    const char *text; /* its source */
    size_t length;
} vm_module;

/* Written by vm/embed/embed.c from stdlib/; sorted by name, ends with a NULL name. */
extern const vm_module vm_modules[];
extern const vm_module vm_licenses[]; /* of what is inside, as the packages state them, with this project's first */

/* Pushes the loaded chunk of attn.<name> and returns LUA_OK, or an error message and its status; -1 and nothing pushed
 * if there is no such module. Chunks are called "attn/NAME.lua", so that raise.c can tell the library's frames. */
int vm_load_module(lua_State *L, const char *name);

/* require of a module of the library, past whatever a script did to `require`: pushes its value. May raise. */
void vm_require(lua_State *L, const char *name);

/* ---- chunk.c: chunks are text, never bytecode ---- */

/* luaL_loadfilex and luaL_loadbufferx for text only: pushes the chunk or a message, returns the status. */
int vm_load_file(lua_State *L, const char *path);
int vm_load_text(lua_State *L, const char *text, size_t length, const char *chunk);

/* Replaces load, loadfile and dofile by text-only ones. */
void vm_open_chunk(lua_State *L);

/* ---- load.c: where modules come from ---- */

/* Replaces the searcher of Lua files by a text-only one, puts "attn" in package.preload and the library's modules before the
 * file search. */
void vm_open_load(lua_State *L);
void vm_open_search(lua_State *L); /* in a host that is not this program: require finds the library's modules */

/* From now on the folder of `script` is searched before package.path. */
void vm_script_folder(lua_State *L, const char *script);

/* ---- interrupt.c: Ctrl-C ---- */

/* Replaces coroutine.resume, wrap and close by versions that record which thread runs. */
void vm_open_interrupt(lua_State *L);

/* lua_pcall with a traceback, during which Ctrl-C is the error "interrupted!" in whichever thread runs, and a second
 * one within a second ends the process with 130. Whoever raises because at_interrupted() calls at_interrupt_clear(). */
int vm_call(lua_State *L, int arguments, int results);
bool vm_left_by_interrupt(void); /* whether the last vm_call failed because of Ctrl-C */

/* From now on an error leaves the locals of the main chunk it ended as globals: for a session that goes on behind it. */
void vm_keep_after_errors(void);

/* The locals of the function at a level, as they are now, become globals. */
void vm_keep_locals(lua_State *L, lua_Debug *ar);

/* From now on, the prompt: no traceback for an error that no function of the user's has a part in. */
void vm_brief_errors(void);

/* ---- release.c ---- */

/* After lua_close: what finalizers let go while it ran, which had to wait. Values of Lua that nodes kept went with the state. */
void vm_closed(void);

/* ---- report.c ---- */

/* Writes "program: message" to stderr (only the message in a session), as `lua` does; a NULL message is explained. */
void vm_message(const char *program, const char *message);

/* From now on messages without a program, those of a session, are red and their tracebacks dim. */
void vm_colour_errors(bool on);

/* A status that is not LUA_OK: writes the message on top of the stack and pops it. Returns whether it was LUA_OK. */
bool vm_report(lua_State *L, int status, const char *program);

/* All of it to a descriptor, whatever signals come; false if that fails, with errno. */
bool vm_write_all(int fd, const char *s, size_t n);

/* ---- repl.c ---- */

/* The interactive session, until end of file. `startup`: run the user's init.lua first. Values and errors are coloured: always (1), never
 * (-1), or (0) if it is on a terminal that has colours and NO_COLOR is not set. */
void vm_session(lua_State *L, bool startup, int colour);

/* ---- process.c: this executable again ---- */

/* Starts it with these words, in a process group of its own, standard input empty, what it prints going to descriptor `output`; it keeps
 * the descriptor `kept` (-1: none), and dies with this process. Returns its number, -1 and errno if it cannot be started. */
pid_t vm_process_start(char *const argv[], int output, int kept);

/* Whether it has ended (wait: after waiting for that): then what is left of its group is killed and `status` is that of waitpid. Not to
 * be called again after true: the number may be another's. */
bool vm_process_ended(pid_t pid, bool wait, int *status);

/* ---- runner.c: attn test ---- */

/* All of `attn test ARGUMENTS`: the exit status. Each test file runs in a process of its own (vm_worker). */
int vm_test(int argc, char **argv);

/* ---- again.c: attn test --failed, --watch ---- */

/* The paths of files that failed the last time, one a line; to be freed, NULL if there are none. */
char *vm_failed_read(void);
bool vm_failed_has(const char *list, const char *path);
void vm_failed_write(const char *list);

/* Waits until a file in .lua, below this folder or the paths, or the executable is not as it was at `begin`. */
void vm_watch_begin(const char *exe, const char *const *paths, int count);
void vm_watch_wait(const char *exe, const char *const *paths, int count, const volatile int *stopped);

/* What a test process was told by the runner, from its arguments: test --worker FD FILTER FILE. False if it is none. */
typedef struct vm_worker {
    int fd;             /* results go here */
    const char *filter; /* "" or a pattern */
} vm_worker;
bool vm_worker_arguments(int argc, char **argv, vm_worker *w);

/* Makes `w` known to attn.test as package.loaded["attn.test.worker"]. */
void vm_open_worker(lua_State *L, const vm_worker *w);

/* After a script: if it used attn.test, prints or sends the closing line. False if a case failed. */
bool vm_test_finish(lua_State *L, bool script_ok);

#endif
