/*
 * attn: Lua 5.4 with the library built in. Options, environment, `arg`, exit status and messages are those of `lua`
 * (reference manual, section 7); a first argument that is the word of a sub-command is that sub-command.
 *
 * What differs from `lua`: chunks are text only (chunk.c), Ctrl-C reaches coroutines (interrupt.c), the collector is
 * incremental as Lua's own default is, and with -e, -i and in the session the global `attn` is there.
 */
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attn/attn.h"

typedef struct options {
    int argc;
    char **argv;
    const char *program;                                 /* argv[0], for messages */
    int script;                                          /* its place in argv; argc if there is none */
    int bad;                                             /* the place of a wrong option, 0 if all are right */
    bool interactive, version, statement, bare, globals; /* -i, -v, -e, -E, -g */
    int colour;                                          /* --color: always 1, never -1, else 0 */
    bool profile;                                        /* --profile */
    const char *trace;                                   /* --profile=FILE; NULL: none */
    const vm_worker *worker;
    bool ok; /* result */
} options;

/* Sub-commands that are Lua modules. */
static bool is_command(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "runs") == 0 || strcmp(word, "report") == 0;
}

static void print_usage(FILE *to, const char *program)
{
    fprintf(
        to,
        "usage: %s [options] [script [args]]\n"
        "       %s test [paths] [-v] [--failed] [--watch] [--filter PATTERN]   run test scripts\n"
        "       %s runs [show ID | diff A B | plot ID...] [--runs DIR]     the runs that scripts kept\n"
        "       %s report [scripts or results] [--html FILE]               what studies measured\n"
        "       %s help [name]                                             the documentation\n"
        "options:\n"
        "  -e stat      execute string 'stat'\n"
        "  -i           enter interactive mode after executing 'script'\n"
        "  -l mod       require library 'mod' into global 'mod'\n"
        "  -l g=mod     require library 'mod' into global 'g'\n"
        "  -I dir       look for modules in folder 'dir' first\n"
        "  -g           say where a global that has no value is read\n"
        "  -v           show version information\n"
        "  -E           ignore environment variables\n"
        "  -W           turn warnings on\n"
        "  --color=C    colours in the session: always, never, or auto (on a terminal, without NO_COLOR)\n"
        "  --profile    where the time of 'script' went, by operation and module\n"
        "  --profile=F  the same, and a trace for chrome://tracing or Perfetto in file F\n"
        "  --           stop handling options\n"
        "  -            stop handling options and execute stdin\n"
        "  --version    version, BLAS, threads, SIMD level\n"
        "  --licenses   what is inside, and its licences\n"
        "  -h, --help   this\n",
        program, program, program, program, program);
}

static void print_licenses(void)
{
    for (const vm_module *m = vm_licenses; m->name; m++)
        printf("%s==== %s ====\n\n%s\n", m == vm_licenses ? "" : "\n", m->name, m->text);
}

static void print_wrong(const options *o)
{
    const char *wrong = o->argv[o->bad];

    if (strchr("elI", wrong[1]) && wrong[1] && wrong[2] == '\0')
        fprintf(stderr, "%s: '%s' needs argument\n", o->program, wrong);
    else
        fprintf(stderr, "%s: unrecognized option '%s'\n", o->program, wrong);
    print_usage(stderr, o->program);
}

static void print_version(const char *lua, const char *hint)
{
    char machine[200] = "";

    vm_version(machine, sizeof machine);
    printf("attn " AT_VERSION "  %s  %s%s\n", lua, machine, hint);
    fflush(stdout);
}

static void read_options(options *o)
{
    int i;

    for (i = 1; i < o->argc && o->argv[i][0] == '-'; i++) {
        const char *a = o->argv[i];
        bool plain = a[1] && !a[2];

        switch (a[1]) {
        case '\0': /* "-": stdin is the script */ o->script = i; return;
        case '-':
            if (plain) {
                o->script = i + 1;
                return;
            }
            if (strncmp(a, "--color=", 8) == 0 && at_choice(a + 8, "auto|always|never") >= 0) {
                o->colour = a[8] == 'n' ? -1 : a[9] == 'l';
                break;
            }
            if (strncmp(a, "--profile", 9) != 0 || (a[9] && (a[9] != '=' || !a[10])))
                goto bad;
            o->profile = true;
            o->trace = a[9] ? a + 10 : NULL;
            break;
        case 'i':
            if (!plain)
                goto bad;
            o->interactive = o->version = true;
            break;
        case 'v':
            if (!plain)
                goto bad;
            o->version = true;
            break;
        case 'E':
            if (!plain)
                goto bad;
            o->bare = true;
            break;
        case 'g':
            if (!plain)
                goto bad;
            o->globals = true;
            break;
        case 'W':
            if (!plain)
                goto bad;
            break;
        case 'e':
            o->statement = true;
            /* fallthrough */
        case 'l':
        case 'I':
            if (plain && (++i >= o->argc || o->argv[i][0] == '-')) {
                i--;
                goto bad;
            }
            break;
        default: goto bad;
        }
    }
    o->script = i;
    return;
bad:
    o->bad = i;
}

/* arg[0] is the script, or the program if there is none; what precedes it has negative indices. */
static void push_arg(lua_State *L, const options *o)
{
    int script = o->script < o->argc ? o->script : 0;

    lua_createtable(L, o->argc - script, script + 1);
    for (int i = 0; i < o->argc; i++) {
        lua_pushstring(L, o->argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

/* Runs the chunk, or reports the message, on top of the stack. */
static bool run_chunk(lua_State *L, int status, const char *program)
{
    if (status == LUA_OK)
        status = vm_call(L, 0, 0);
    return vm_report(L, status, program);
}

static bool run_environment(lua_State *L, const options *o)
{
    const char *name = "=LUA_INIT_5_4", *init = getenv(name + 1);

    if (!init) {
        name = "=LUA_INIT";
        init = getenv(name + 1);
    }
    if (!init)
        return true;
    if (init[0] == '@')
        return run_chunk(L, vm_load_file(L, init + 1), o->program);
    return run_chunk(L, vm_load_text(L, init, strlen(init), name), o->program);
}

/* -l mod, -l g=mod */
static bool run_require(lua_State *L, const char *text, const char *program)
{
    const char *equals = strchr(text, '=');
    const char *name = lua_pushlstring(L, text, equals ? (size_t)(equals - text) : strlen(text));

    lua_getglobal(L, "require");
    lua_pushstring(L, equals ? equals + 1 : text);
    bool ok = vm_report(L, vm_call(L, 1, 1), program);
    if (ok)
        lua_setglobal(L, name);
    lua_pop(L, 1);
    return ok;
}

/* -I dir: package.path begins with the folders, in their order. Before LUA_INIT and -l, which may require what is there. */
static void add_folders(lua_State *L, const options *o)
{
    int end = o->script < o->argc ? o->script : o->argc;

    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_pushliteral(L, "");
    for (int i = 1; i < end && o->argv[i][0] == '-'; i++) {
        const char *a = o->argv[i], *value = a + 2;

        if (!strchr("elI", a[1]))
            continue;
        if (*value == '\0')
            value = o->argv[++i];
        if (a[1] == 'I') {
            lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;", value, value);
            lua_concat(L, 2);
        }
    }
    lua_getfield(L, -2, "path");
    lua_concat(L, 2);
    lua_setfield(L, -2, "path");
    lua_pop(L, 1);
}

/* -e, -l and -W, in their order */
static bool run_options(lua_State *L, const options *o)
{
    int end = o->script < o->argc ? o->script : o->argc;

    for (int i = 1; i < end; i++) {
        const char *a = o->argv[i], *value = a + 2;

        if (a[0] != '-')
            break;
        if (a[1] == 'W')
            lua_warning(L, "@on", 0);
        if (a[1] != 'e' && a[1] != 'l' && a[1] != 'I')
            continue;
        if (*value == '\0')
            value = o->argv[++i];
        if (a[1] == 'I')
            continue;
        bool ok = a[1] == 'l' ? run_require(L, value, o->program)
                              : run_chunk(L, vm_load_text(L, value, strlen(value), "=(command line)"), o->program);
        if (!ok)
            return false;
    }
    return true;
}

/* Pushes arg[1], arg[2] ...: scripts loaded before may have changed it. */
static int push_arguments(lua_State *L)
{
    if (lua_getglobal(L, "arg") != LUA_TTABLE)
        luaL_error(L, "'arg' is not a table");
    lua_Integer n = luaL_len(L, -1);
    if (n < 0 || n > 1000000)
        luaL_error(L, "too many arguments to script");
    luaL_checkstack(L, (int)n + 3, "too many arguments to script");
    int table = lua_gettop(L);
    for (int i = 1; i <= (int)n; i++)
        lua_rawgeti(L, table, i);
    lua_remove(L, table);
    return (int)n;
}

static bool run_script(lua_State *L, const options *o)
{
    const char *path = o->argv[o->script];
    bool is_stdin = strcmp(path, "-") == 0 && strcmp(o->argv[o->script - 1], "--") != 0;

    if (!is_stdin)
        vm_script_folder(L, path);
    int status = vm_load_file(L, is_stdin ? NULL : path);
    if (status == LUA_OK)
        status = vm_call(L, push_arguments(L), LUA_MULTRET);
    bool ok = vm_report(L, status, o->program);
    lua_settop(L, 1);
    return vm_test_finish(L, ok);
}

/* Sub-commands written in Lua: attn.<word>.main(arguments). A number is the exit status, false is 1. */
static bool run_command(lua_State *L, const options *o)
{
    vm_require(L, o->argv[1]);
    lua_getfield(L, -1, "main");
    lua_createtable(L, o->argc - 2, 0);
    for (int i = 2; i < o->argc; i++) {
        lua_pushstring(L, o->argv[i]);
        lua_rawseti(L, -2, i - 1);
    }
    if (!vm_report(L, vm_call(L, 1, 1), o->program))
        return false;
    return lua_isinteger(L, -1) ? lua_tointeger(L, -1) == 0 : lua_isnil(L, -1) || lua_toboolean(L, -1);
}

/* -g: stdlib/undeclared.lua */
static void watch_globals(lua_State *L, const char *program)
{
    vm_require(L, "undeclared");
    lua_getfield(L, -1, "script");
    lua_pushstring(L, program);
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

/* attn.profile_report.start(), .finish(trace): its table goes to stderr, also when the script failed. */
static bool profile(lua_State *L, const options *o, const char *what)
{
    if (!o->profile)
        return true;
    luaL_requiref(L, "attn", luaopen_attn, 0);
    vm_require(L, "profile_report");
    lua_getfield(L, -1, what);
    lua_pushstring(L, o->trace);
    bool ok = vm_report(L, vm_call(L, 1, 0), o->program);
    lua_settop(L, 1);
    return ok;
}

/* Everything but the session, which goes on behind a script that failed. piped: the script comes from standard input, unasked. */
static bool run_all(lua_State *L, const options *o, bool piped)
{
    if (!run_options(L, o))
        return false;
    if (o->script < o->argc && !run_script(L, o))
        return o->interactive;
    if (!vm_script_end(L, o->program))
        return false;
    return !piped ||
           (vm_test_finish(L, run_chunk(L, vm_load_file(L, NULL), o->program)) && vm_script_end(L, o->program));
}

/* The whole run, protected: whatever Lua raises outside of vm_call ends here. */
static int run(lua_State *L)
{
    options *o = lua_touserdata(L, 1);
    bool command = !o->worker && o->argc > 1 && is_command(o->argv[1]);

    luaL_checkversion(L);
    if (o->version && !(o->interactive && isatty(STDIN_FILENO))) {
        print_version(LUA_RELEASE, "");
        puts(LUA_COPYRIGHT);
        fflush(stdout);
    }
    if (o->bare) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    luaL_openlibs(L);
    vm_open_chunk(L);
    vm_open_load(L);
    vm_open_interrupt(L);
    push_arg(L, o);
    if (o->worker)
        vm_open_worker(L, o->worker);
    if (!command && !o->worker)
        add_folders(L, o);
    if (!o->bare && !run_environment(L, o))
        return 0;
    if (command) {
        o->ok = run_command(L, o);
        return 0;
    }
    bool script = o->script < o->argc, terminal = isatty(STDIN_FILENO);
    bool session = o->interactive || (!script && !o->statement && !o->version && terminal);
    bool piped = !script && !o->statement && !o->version && !session;
    if (session || o->statement || piped) {
        luaL_requiref(L, "attn", luaopen_attn, 1);
        lua_pop(L, 1);
    }
    if (o->globals)
        watch_globals(L, o->program);
    if (o->colour < 0)
        setenv("NO_COLOR", "1", 1);
    if (o->interactive)
        vm_keep_after_errors();
    if (!profile(L, o, "start"))
        return 0;
    bool ran = run_all(L, o, piped);
    if (!profile(L, o, "finish") || !ran)
        return 0;
    if (session) {
        if (terminal)
            print_version("Lua " LUA_VERSION_MAJOR "." LUA_VERSION_MINOR, "          ?name for help");
        vm_session(L, !o->bare, o->colour);
    }
    o->ok = true;
    return 0;
}

/* A descriptor 0, 1 or 2 that is closed would be given to the first file opened, and messages would go into it. */
static void open_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) == -1)
            _exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    options o = {.argc = argc, .argv = argv, .program = argc > 0 && argv[0][0] ? argv[0] : "attn", .script = argc};
    vm_worker worker;

    open_standard_files();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write, not the end */
    at_error e;
    at_error_clear(&e);
    if (!at_threads_check(&e) || !at_simd_check(&e) || !at_gemm_check(&e)) {
        vm_message(o.program, e.text);
        return EXIT_FAILURE;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        print_version(LUA_RELEASE, "");
        return EXIT_SUCCESS;
    }
    if (argc > 1 && strcmp(argv[1], "--licenses") == 0) {
        print_licenses();
        return EXIT_SUCCESS;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout, o.program);
        return EXIT_SUCCESS;
    }
    if (argc > 1 && strcmp(argv[1], "test") == 0) {
        if (!vm_worker_arguments(argc, argv, &worker))
            return vm_test(argc, argv);
        o.worker = &worker; /* its options are not the script's to see */
        argv[1] = argv[argc - 1];
        o.argc = 2;
        o.script = 1;
    } else if (argc > 1 && !is_command(argv[1])) {
        read_options(&o);
    }
    if (o.bad) {
        print_wrong(&o);
        return EXIT_FAILURE;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        vm_message(o.program, "cannot create state: not enough memory");
        return EXIT_FAILURE;
    }
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &o);
    int status = lua_pcall(L, 1, 0, 0);
    bool ok = vm_report(L, status, o.program) && o.ok;
    lua_close(L);
    vm_closed();
    if (!ok && vm_left_by_interrupt() && !o.worker) { /* as the signal would have: a shell's loop around it ends too */
        fflush(NULL);
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
