/*
 * The interactive session: reading (libedit), the history, what is printed. Formatting of values and completion are
 * written in Lua, in stdlib/session.lua.
 *
 * Ctrl-C while a line is edited clears it. The signals are blocked except while read_character waits, so a handler
 * never interrupts libedit and only sets a flag. Ctrl-C while code runs is interrupt.c's; between the two it is blocked, and
 * belongs to whichever comes next: no press is lost.
 *
 * With -i and input that is no terminal, lines are echoed after the prompt, so that the output reads as a session;
 * values print as `lua` prints them.
 */
#define _GNU_SOURCE
#include "vm/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_SIZE = 10000 };

static const int watched[] = {SIGINT, SIGTSTP, SIGCONT, SIGWINCH, SIGTERM, SIGHUP};
enum { WATCHED = sizeof watched / sizeof watched[0] };
static volatile sig_atomic_t caught[WATCHED];

typedef struct session {
    lua_State *L;
    int module; /* stack index of require "attn.session" */
    bool terminal, colour;
    EditLine *el;
    History *history;
    char *history_path; /* NULL: not kept */
    char *last;         /* the newest entry */
    char prompt[128];
    int input; /* the terminal, in a description of our own that does not block: Ctrl-C drops typed input, so there
                             * may be none any more when it is read, and the signal is blocked then */
    sigset_t outside; /* the signal mask outside of the session */
    bool cleared;     /* Ctrl-C ended the line */
    char *pasted;     /* lines that came in one piece, with what stood before them */
    size_t pasted_length, pasted_room;
    int entry;     /* the number of the entry that is read */
    char name[24]; /* "=[12]": its name in messages */
} session;

/* ---- history: a file of one entry per line, newline and backslash escaped ---- */

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 1;
    char *s = malloc(n);

    if (s)
        snprintf(s, n, "%s%s", a, b);
    return s;
}

static char *history_file(void)
{
    const char *own = getenv("ATTN_HISTORY"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (own)
        return *own ? join(own, "") : NULL;
    if (state && *state == '/')
        return join(state, "/attn/history");
    return home && *home ? join(home, "/.attn_history") : NULL;
}

/* Makes the folders above `path` that are missing. */
static void make_folders(char *path)
{
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0700); /* one that exists is fine; open reports what is not */
        *p = '/';
    }
}

static char *escape(const char *s)
{
    char *out = malloc(2 * strlen(s) + 2), *p = out;

    if (!out)
        return NULL;
    for (; *s; s++) {
        if (*s == '\n' || *s == '\\')
            *p++ = '\\';
        *p++ = *s == '\n' ? 'n' : *s;
    }
    *p++ = '\n';
    *p = '\0';
    return out;
}

static void unescape(char *s)
{
    char *out = s;

    for (; *s && *s != '\n'; s++)
        if (*s == '\\' && s[1])
            *out++ = *++s == 'n' ? '\n' : *s;
        else
            *out++ = *s;
    *out = '\0';
}

/* Appended at once: a crash loses nothing. Shared by several sessions: one write is one entry. */
static void save_entry(session *s, const char *entry)
{
    if (!s->history_path)
        return;
    char *text = escape(entry);
    int fd = text ? open(s->history_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    bool ok = fd >= 0 && vm_write_all(fd, text, strlen(text));

    if (!ok) {
        fprintf(stderr, "history is not kept: %s: %s\n", s->history_path, strerror(errno));
        free(s->history_path);
        s->history_path = NULL;
    }
    if (fd >= 0)
        close(fd);
    free(text);
}

/* Drops the first `skip` lines of the history file. */
static void shorten(const char *path, long skip)
{
    char *beside = join(path, ".new"), *line = NULL;
    size_t size = 0;
    ssize_t n;
    FILE *in = fopen(path, "re");
    int fd = beside ? open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    bool ok = in && fd >= 0;

    while (ok && (n = getline(&line, &size, in)) > 0)
        if (--skip < 0)
            ok = vm_write_all(fd, line, (size_t)n);
    if (in)
        fclose(in);
    if (fd >= 0 && (close(fd) != 0 || !ok || rename(beside, path) != 0))
        unlink(beside);
    free(line);
    free(beside);
}

static void load_history(session *s)
{
    char *line = NULL;
    size_t size = 0;
    long count = 0;
    HistEvent event;

    s->history_path = history_file();
    if (!s->history_path)
        return;
    make_folders(s->history_path);
    FILE *f = fopen(s->history_path, "re");
    if (!f)
        return;
    fchmod(fileno(f), 0600);
    for (; getline(&line, &size, f) > 0; count++) {
        unescape(line);
        if (*line)
            history(s->history, &event, H_ENTER, line);
    }
    fclose(f);
    free(line);
    if (count > HISTORY_SIZE + HISTORY_SIZE / 10)
        shorten(s->history_path, count - HISTORY_SIZE);
}

static void remember(session *s, const char *entry)
{
    HistEvent event;

    if (!s->history || entry[strspn(entry, " \t\n")] == '\0' || (s->last && strcmp(s->last, entry) == 0))
        return;
    history(s->history, &event, H_ENTER, entry);
    free(s->last);
    s->last = join(entry, "");
    save_entry(s, entry);
}

/* ---- editing a line ---- */

static void on_signal(int signal_number)
{
    for (int i = 0; i < WATCHED; i++)
        if (watched[i] == signal_number)
            caught[i] = 1;
}

/* What the signals that came mean for the line being edited. False: the line is given up. */
static bool handle_signals(session *s)
{
    bool go_on = true;

    for (int i = 0; i < WATCHED; i++) {
        if (!caught[i])
            continue;
        caught[i] = 0;
        switch (watched[i]) {
        case SIGINT:
            s->cleared = true;
            go_on = false;
            break;
        case SIGWINCH:
            el_resize(s->el);
            fputc('\r', stdout);       /* el_resize keeps a cursor that may be below the new last row, and the next */
            el_set(s->el, EL_REFRESH); /* key would look there: drawn anew from the cursor's row, as after SIGCONT */
            break;
        case SIGTSTP:
            el_set(s->el, EL_PREP_TERM, 0);
            raise(SIGSTOP);
            /* fallthrough */
        case SIGCONT:
            el_set(s->el, EL_PREP_TERM, 1);
            el_set(s->el, EL_REFRESH);
            break;
        default: /* ends the process, with the terminal as it was */
            el_set(s->el, EL_PREP_TERM, 0);
            signal(watched[i], SIG_DFL);
            sigprocmask(SIG_SETMASK, &s->outside, NULL);
            raise(watched[i]);
        }
    }
    return go_on;
}

/* libedit's source of characters: 1 and the character, 0 at the end of input or of the line's life. */
static int read_character(EditLine *el, wchar_t *out)
{
    session *s;
    mbstate_t state;

    el_get(el, EL_CLIENTDATA, &s);
    struct pollfd input = {.fd = s->input, .events = POLLIN};
    memset(&state, 0, sizeof state);
    for (;;) {
        char c;
        int ready = ppoll(&input, 1, NULL, &s->outside);
        if (ready < 0 && errno != EINTR)
            return 0;
        if (!handle_signals(s)) /* also with input there: the handler may have run all the same */
            return 0;
        if (ready <= 0)
            continue;
        ssize_t n = read(s->input, &c, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return 0;
        size_t used = mbrtowc(out, &c, 1, &state);
        if (used == (size_t)-2)
            continue;
        if (used != (size_t)-1)
            return 1;
        memset(&state, 0, sizeof state); /* a byte that is no character is dropped */
    }
}

static char *show_prompt(EditLine *el)
{
    session *s;

    el_get(el, EL_CLIENTDATA, &s);
    return s->prompt;
}

/* Protected: calls session.complete(line up to the cursor), leaves addition and text. */
static int call_complete(lua_State *L)
{
    session *s = lua_touserdata(L, 1);
    const LineInfo *line = el_line(s->el);

    lua_getfield(L, 2, "complete");
    lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
    lua_call(L, 1, 2);
    return 2;
}

static unsigned char complete(EditLine *el, int key)
{
    session *s;
    unsigned char result = CC_ERROR;

    (void)key;
    el_get(el, EL_CLIENTDATA, &s);
    int top = lua_gettop(s->L);
    lua_pushcfunction(s->L, call_complete);
    lua_pushlightuserdata(s->L, s);
    lua_pushvalue(s->L, s->module);
    if (lua_pcall(s->L, 2, 2, 0) == LUA_OK) {
        const char *addition = lua_tostring(s->L, -2), *choices = lua_tostring(s->L, -1);
        if (addition && *addition && el_insertstr(el, addition) == 0)
            result = CC_REFRESH;
        if (choices) {
            printf("\n%s", choices);
            fflush(stdout);
            result = CC_REDISPLAY;
        }
    }
    lua_settop(s->L, top);
    return result;
}

/* ---- paste: what a terminal sends between ESC [200~ and ESC [201~ is text, tabs and line ends included ---- */

static const char paste_end[] = "\033[201~", paste_on[] = "\033[?2004h", paste_off[] = "\033[?2004l";

static bool add_pasted(session *s, const char *text, size_t n)
{
    if (s->pasted_length + n + 1 > s->pasted_room) {
        size_t room = 2 * (s->pasted_length + n) + 256;
        char *grown = realloc(s->pasted, room);
        if (!grown)
            return false;
        s->pasted = grown;
        s->pasted_room = room;
    }
    memcpy(s->pasted + s->pasted_length, text, n);
    s->pasted_length += n;
    s->pasted[s->pasted_length] = '\0';
    return true;
}

/* Reads up to the end of the paste; one line goes where the cursor is, several are an entry of their own. */
static unsigned char paste(EditLine *el, int key)
{
    session *s;
    wchar_t c;
    size_t end = sizeof paste_end - 1;

    (void)key;
    el_get(el, EL_CLIENTDATA, &s);
    s->pasted_length = 0;
    while (read_character(el, &c) == 1) {
        char bytes[MB_LEN_MAX];
        int n = wctomb(bytes, c == L'\r' ? L'\n' : c);
        if (n > 0 && !add_pasted(s, bytes, (size_t)n))
            return CC_ERROR;
        if (s->pasted_length >= end && memcmp(s->pasted + s->pasted_length - end, paste_end, end) == 0) {
            s->pasted_length -= end;
            s->pasted[s->pasted_length] = '\0';
            break;
        }
    }
    while (s->pasted_length > 0 && s->pasted[s->pasted_length - 1] == '\n')
        s->pasted[--s->pasted_length] = '\0';
    if (s->pasted_length == 0)
        return CC_NORM;
    if (!strchr(s->pasted, '\n')) {
        bool good = el_insertstr(el, s->pasted) == 0;
        s->pasted_length = 0;
        return good ? CC_REFRESH : CC_ERROR;
    }
    printf("%s\n", s->pasted);
    fflush(stdout);
    return CC_NEWLINE;
}

/* libedit crashes where an allocation of its own fails. So there is room on the heap before it is called: more than it takes at a
 * time, less than what free gives back to the system. */
static bool has_room(void)
{
    enum { ROOM = 96 << 10 };
    char *room = malloc(ROOM);

    if (room)
        *(volatile char *)room = 0; /* or the compiler leaves the pair out */
    free(room);
    return room != NULL;
}

static void open_editor(session *s)
{
    HistEvent event;

    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) /* without one libedit drops all that is not ASCII; and only */
        setlocale(LC_CTYPE, "C.UTF-8");              /* LC_CTYPE: others would change how Lua reads numbers */
    s->input = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (s->input < 0)
        s->input = STDIN_FILENO;
    if (!has_room())
        luaL_error(s->L, "cannot set up the terminal: not enough memory");
    s->history = history_init();
    s->el = el_init("attn", stdin, stdout, stderr);
    if (!s->history || !s->el)
        luaL_error(s->L, "cannot set up the terminal: not enough memory");
    history(s->history, &event, H_SETSIZE, HISTORY_SIZE);
    el_set(s->el, EL_CLIENTDATA, s);
    el_set(s->el, EL_PROMPT, show_prompt);
    el_set(s->el, EL_EDITOR, "emacs");
    el_set(s->el, EL_HIST, history, s->history);
    el_set(s->el, EL_GETCFN, read_character);
    /* the wide form: el_set leaks its copies of the texts */
    el_wset(s->el, EL_ADDFN, L"complete", L"complete the name before the cursor", complete);
    el_set(s->el, EL_BIND, "^I", "complete", NULL);
    el_wset(s->el, EL_ADDFN, L"paste", L"take what is pasted as text", paste);
    el_set(s->el, EL_BIND, "\\e[200~", "paste", NULL);
    el_set(s->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    const char *const up[] = {"\\e[A", "\\eOA"}, *const down[] = {"\\e[B", "\\eOB"};
    for (int i = 0; i < 2; i++) { /* of the entries that begin as the line does */
        el_set(s->el, EL_BIND, up[i], "ed-search-prev-history", NULL);
        el_set(s->el, EL_BIND, down[i], "ed-search-next-history", NULL);
    }
    el_source(s->el, NULL);
    load_history(s);
}

static void close_editor(session *s)
{
    if (s->el)
        el_end(s->el);
    if (s->history)
        history_end(s->history);
    if (s->input > STDIN_FILENO)
        close(s->input);
    free(s->history_path);
    free(s->last);
    free(s->pasted);
}

static const char *edit_line(session *s, int *length)
{
    struct sigaction action, before[WATCHED];
    sigset_t inside, between;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigemptyset(&inside);
    for (int i = 0; i < WATCHED; i++)
        sigaddset(&inside, watched[i]);
    sigprocmask(SIG_BLOCK, &inside, &between);
    for (int i = 0; i < WATCHED; i++) {
        caught[i] = 0;
        sigaction(watched[i], &action, &before[i]);
    }
    fputs(paste_on, stdout);
    fflush(stdout);
    const char *line = el_gets(s->el, length);
    fputs(paste_off, stdout);
    fflush(stdout);
    for (int i = 0; i < WATCHED; i++)
        sigaction(watched[i], &before[i], NULL);
    sigprocmask(SIG_SETMASK, &between, NULL);
    return line;
}

/* ---- reading a statement ---- */

/* Protected: _PROMPT or _PROMPT2 as a string, which may be an object's __tostring. */
static int call_prompt(lua_State *L)
{
    if (lua_getglobal(L, lua_toboolean(L, 1) ? "_PROMPT" : "_PROMPT2") == LUA_TNIL)
        lua_pushstring(L, lua_toboolean(L, 1) ? "> " : ">> ");
    luaL_tolstring(L, -1, NULL);
    return 1;
}

static void make_prompt(session *s, bool first)
{
    lua_State *L = s->L;

    lua_pushcfunction(L, call_prompt);
    lua_pushboolean(L, first);
    const char *text = lua_pcall(L, 1, 1, 0) == LUA_OK ? lua_tostring(L, -1) : "?> ";
    snprintf(s->prompt, sizeof s->prompt, "%s", text);
    lua_pop(L, 1);
}

/* Pushes the next line without its end. False, with nothing pushed, at the end of input or when Ctrl-C cleared it. */
static bool read_line(session *s, bool first)
{
    lua_State *L = s->L;

    make_prompt(s, first);
    s->cleared = false;
    if (s->terminal) {
        int n = 0;
        s->pasted_length = 0;
        if (!has_room())
            luaL_error(L, "cannot edit a line: not enough memory");
        const char *line = edit_line(s, &n);
        if (s->cleared)
            fputs("^C\n", stdout);
        if ((!line || n <= 0) && s->pasted_length == 0)
            return false;
        lua_pushlstring(L, n > 0 ? line : "", n > 0 ? (size_t)n - (line[n - 1] == '\n') : 0);
        if (s->pasted_length > 0) {
            lua_pushlstring(L, s->pasted, s->pasted_length);
            lua_concat(L, 2);
        }
        return true;
    }
    fputs(s->prompt, stdout);
    fflush(stdout);
    luaL_Buffer b;
    int c = getc(stdin);
    if (c == EOF)
        return false;
    luaL_buffinit(L, &b);
    for (; c != EOF && c != '\n'; c = getc(stdin))
        luaL_addchar(&b, (char)c);
    luaL_pushresult(&b);
    fwrite(lua_tostring(L, -1), 1, lua_rawlen(L, -1), stdout);
    fputc('\n', stdout);
    return true;
}

/* Whether the message on top says that the text stops in the middle. */
static bool lacks_end(lua_State *L, int status)
{
    static const char end[] = "<eof>";
    size_t n, m = sizeof end - 1;
    const char *message = lua_tolstring(L, -1, &n);

    return status == LUA_ERRSYNTAX && message && n >= m && strcmp(message + n - m, end) == 0;
}

/* Loads the first `head` bytes of a text and behind them `between` and the rest; pushes the chunk or the message. */
static int load_split(lua_State *L, const char *text, size_t n, size_t head, const char *between, const char *name)
{
    size_t length;

    lua_pushlstring(L, text, head);
    lua_pushstring(L, between);
    lua_pushlstring(L, text + head, n - head);
    lua_concat(L, 3);
    const char *whole = lua_tolstring(L, -1, &length);
    int status = vm_load_text(L, whole, length, name);
    lua_remove(L, -2);
    return status;
}

/* Loads the text on top as an expression, as statements of which the last may be one (a = 1; a), or as statements, whose locals
 * live on; pushes the chunk or the message. *more: it only lacks its end. */
static int compile(lua_State *L, const char *name, bool *more)
{
    enum { TAILS = 16 };
    size_t n;
    const char *text = lua_tolstring(L, -1, &n);
    size_t equals = text[0] == '=';

    *more = false;
    int status = load_split(L, text + equals, n - equals, 0, "return ", name);
    if (status == LUA_OK)
        return status;
    bool open = lacks_end(L, status);
    lua_pop(L, 1);
    size_t end = n;
    while (end > 0 && strchr(" \t\r\n;", text[end - 1]))
        end--;
    int tails = 0, top = lua_gettop(L);
    for (size_t at = end; at-- > 0 && tails < TAILS;)
        if (text[at] == ';') {
            /* what stands before is whole, or the semicolon is inside a string */
            if (vm_load_text(L, text, at + 1, name) == LUA_OK &&
                load_split(L, text, n, at + 1, " return ", name) == LUA_OK) {
                lua_remove(L, -2);
                return LUA_OK;
            }
            lua_settop(L, top);
            tails++;
        }
    status = vm_load_text(L, text, n, name);
    if (status == LUA_OK &&
        strstr(text, "local")) { /* the last statement of the entry looks at what the entry has declared */
        if (load_split(L, text, n, n, "\n;(...)()", name) != LUA_OK)
            lua_pop(L, 1); /* it ends with return */
        else
            lua_remove(L, -2);
    }
    *more = status != LUA_OK && (open || lacks_end(L, status));
    return status;
}

/* Called at the end of an entry: its locals become globals, so that the next entries have them. */
static int keep_locals(lua_State *L)
{
    lua_Debug ar;

    if (lua_getstack(L, 1, &ar))
        vm_keep_locals(L, &ar);
    return 0;
}

/* A prompt that was copied with the lines behind it goes: of the text on top, if every line has one. */
static void strip_prompts(lua_State *L)
{
    size_t n;
    const char *text = lua_tolstring(L, -1, &n);
    luaL_Buffer b;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t marks = strspn(line, ">");
        if (marks == 0 || (line[marks] != ' ' && line[marks] != '\0' && line[marks] != '\n'))
            return;
    }
    luaL_buffinit(L, &b);
    for (const char *line = text; *line;) {
        line += strspn(line, ">");
        line += *line == ' ';
        size_t length = strcspn(line, "\n");
        luaL_addlstring(&b, line, length + (line[length] == '\n'));
        line += length + (line[length] == '\n');
    }
    luaL_pushresult(&b);
    lua_remove(L, -2);
}

/* Completion is told the lines of the entry above the one that is edited; NULL: none. */
static void tell_before(session *s, const char *lines)
{
    if (lines)
        lua_pushfstring(s->L, "%s\n", lines);
    else
        lua_pushliteral(s->L, "");
    lua_setfield(s->L, s->module, "before");
}

/* Reads lines until they make a chunk, starting with the text on top. Leaves the text and the chunk or message.
 * Returns the status; -1, with nothing left, if the input was given up. */
static int read_chunk(session *s)
{
    lua_State *L = s->L;
    bool more;

    for (;;) {
        int status = compile(L, s->name, &more);
        if (!more)
            return status;
        tell_before(s, lua_tostring(L, -2));
        bool good = read_line(s, false);
        tell_before(s, NULL);
        if (!good) {
            if (s->cleared) {
                lua_pop(L, 2);
                return -1;
            }
            return status; /* end of input: the message says what is missing */
        }
        lua_remove(L, -2); /* the message */
        lua_pushliteral(L, "\n");
        lua_insert(L, -2);
        lua_concat(L, 3);
    }
}

/* ---- running and printing ---- */

static bool ends_in_semicolon(const char *text, size_t n)
{
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    return n > 0 && text[n - 1] == ';';
}

/* Calls print with the n values on top, and pops them. */
static void call_print(session *s, int n)
{
    lua_State *L = s->L;

    lua_getglobal(L, "print");
    lua_insert(L, -(n + 1));
    if (vm_call(L, n, 0) != LUA_OK) {
        vm_message(NULL, lua_pushfstring(L, "error calling 'print' (%s)", lua_tostring(L, -1)));
        lua_pop(L, 2);
    }
}

/* Prints and pops the values from `first` to the top; the first becomes `_`. */
static void print_values(session *s, int first, bool hide)
{
    lua_State *L = s->L;
    int n = lua_gettop(L) - first + 1;
    bool simple = !s->terminal && !s->colour;

    if (n <= 0)
        return;
    lua_pushglobaltable(L);
    lua_pushliteral(L, "_");
    lua_pushvalue(L, first);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    if (hide) {
        lua_settop(L, first - 1);
        return;
    }
    luaL_checkstack(L, n + 10, "too many results to print");
    for (int i = first; i < first + n; i++)
        simple = simple && !lua_istable(L, i);
    if (simple) {
        call_print(s, n);
        return;
    }
    for (int i = first; i < first + n; i++) {
        lua_getfield(L, s->module, "format");
        lua_pushvalue(L, i);
        if (!vm_report(L, vm_call(L, 1, 1), NULL))
            break;
        call_print(s, 1);
    }
    lua_settop(L, first - 1);
}

/* Calls session.NAME(argument); what goes wrong in it is nothing to the user. */
static void tell(session *s, const char *name, bool argument)
{
    lua_State *L = s->L;

    lua_getfield(L, s->module, name);
    lua_pushboolean(L, argument);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        lua_pop(L, 1);
}

/* Runs the chunk on top, prints its values. */
static void run_chunk(session *s, bool hide)
{
    lua_State *L = s->L;
    int base = lua_gettop(L);

    lua_pushcfunction(L, keep_locals);
    bool good = vm_report(L, vm_call(L, 1, LUA_MULTRET), NULL);
    if (good)
        print_values(s, base, hide);
    tell(s, "ended", good);
}

static void show_help(session *s, const char *name)
{
    lua_State *L = s->L;
    int top = lua_gettop(L);

    while (*name == ' ')
        name++;
    lua_getfield(L, s->module, "help");
    lua_pushstring(L, name);
    vm_report(L, vm_call(L, 1, 0), NULL);
    lua_settop(L, top);
}

static void show_memory(session *s)
{
    lua_getfield(s->L, s->module, "memory");
    if (vm_report(s->L, vm_call(s->L, 0, 1), NULL))
        call_print(s, 1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* :time e, :time N e: N times, the median, the fastest and the slowest */
static void run_timed(session *s, const char *text)
{
    enum { MOST = 10000 };
    static double seconds[MOST];
    lua_State *L = s->L;
    struct timespec a, b;
    bool more, good = true;
    char *end;
    long times = strtol(text, &end, 10), run = 0;

    lua_pushstring(L, text);
    int status = compile(L, s->name, &more);
    if (status == LUA_OK || end == text || !strchr(" \t", *end) || times < 1 || times > MOST) {
        times = 1; /* 20 + 1 is no number of times */
    } else {
        lua_pop(L, 2);
        text = end + strspn(end, " \t");
        lua_pushstring(L, text);
        status = compile(L, s->name, &more);
    }
    if (status != LUA_OK) {
        vm_report(L, status, NULL);
        lua_pop(L, 1);
        return;
    }
    int chunk = lua_gettop(L), base = chunk + 1;
    for (; run < times && good; run++) {
        lua_settop(L, chunk);
        lua_pushvalue(L, chunk);
        lua_pushcfunction(L, keep_locals);
        clock_gettime(CLOCK_MONOTONIC, &a);
        good = vm_report(L, vm_call(L, 1, LUA_MULTRET), NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        seconds[run] = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    }
    if (good) {
        print_values(s, base, ends_in_semicolon(text, strlen(text)));
        qsort(seconds, (size_t)times, sizeof *seconds, by_size);
        printf(times > 1 ? "%.6f s, median of %ld (%.6f to %.6f)\n" : "%.6f s\n", seconds[times / 2], times, seconds[0],
               seconds[times - 1]);
        fflush(stdout);
    }
    lua_settop(L, chunk - 2);
}

/* :prof e */
static void run_profiled(session *s, const char *text)
{
    lua_State *L = s->L;
    int top = lua_gettop(L);
    bool more;

    lua_getfield(L, s->module, "profile");
    lua_pushstring(L, text);
    int status = compile(L, s->name, &more);
    lua_remove(L, -2);
    if (vm_report(L, status, NULL)) {
        lua_pushcfunction(L, keep_locals);
        if (vm_report(L, vm_call(L, 2, LUA_MULTRET), NULL))
            print_values(s, top + 1, ends_in_semicolon(text, strlen(text)));
    }
    lua_settop(L, top);
}

/* :who */
static void show_names(session *s)
{
    lua_getfield(s->L, s->module, "who");
    if (vm_report(s->L, vm_call(s->L, 0, 1), NULL))
        call_print(s, 1);
}

/* Lines that are no Lua: ?name and :command. False if it is none of these. */
static bool run_command(session *s, const char *line)
{
    line += strspn(line, " \t");
    if (*line == '?') {
        show_help(s, line + 1);
    } else if (*line == ':' && line[1] != ':') {
        size_t n = strcspn(line, " \t");
        const char *rest = line + n + strspn(line + n, " \t");
        if (n == 5 && strncmp(line, ":time", n) == 0 && *rest)
            run_timed(s, rest);
        else if (n == 5 && strncmp(line, ":prof", n) == 0 && *rest)
            run_profiled(s, rest);
        else if (n == 4 && strncmp(line, ":mem", n) == 0)
            show_memory(s);
        else if (n == 4 && strncmp(line, ":who", n) == 0)
            show_names(s);
        else
            vm_message(
                NULL,
                "commands: ?NAME (help), :time [N] EXPRESSION, :prof EXPRESSION, :who, :mem; exit or Ctrl-D leaves");
    } else {
        return false;
    }
    return true;
}

/* session.entries(folder): the names in it, folders with a slash at the end; for completion inside strings */
static int folder_entries(lua_State *L)
{
    const char *folder = luaL_checkstring(L, 1);
    DIR **box = lua_newuserdatauv(L, sizeof *box, 0);

    *box = NULL;
    luaL_setmetatable(L, "attn.session.folder");
    lua_newtable(L);
    *box = opendir(folder);
    struct dirent *e;
    for (lua_Integer n = 0; *box && n < 10000 && (e = readdir(*box));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        lua_pushfstring(L, e->d_type == DT_DIR ? "%s/" : "%s", e->d_name);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int close_folder(lua_State *L)
{
    DIR **box = lua_touserdata(L, 1);

    if (*box)
        closedir(*box);
    *box = NULL;
    return 0;
}

static void open_module(session *s)
{
    lua_State *L = s->L;

    vm_require(L, "session");
    s->module = lua_gettop(L);
    if (luaL_newmetatable(L, "attn.session.folder")) {
        lua_pushcfunction(L, close_folder);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, folder_entries);
    lua_setfield(L, s->module, "entries");
}

/* $XDG_CONFIG_HOME/attn/init.lua or ~/.config/attn/init.lua: an error in it is shown, and does not lock the user out.
 * */
static void run_startup(session *s)
{
    lua_State *L = s->L;
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && *config == '/')
        lua_pushfstring(L, "%s/attn/init.lua", config);
    else if (home && *home)
        lua_pushfstring(L, "%s/.config/attn/init.lua", home);
    else
        return;
    if (access(lua_tostring(L, -1), F_OK) == 0) {
        int status = vm_load_file(L, lua_tostring(L, -1));
        if (status == LUA_OK)
            status = vm_call(L, 0, 0);
        vm_report(L, status, NULL);
    }
    lua_pop(L, 1);
}

/* Whether the line on top is the word exit or quit, which no variable has. */
static bool leaves(lua_State *L)
{
    const char *line = lua_tostring(L, -1);

    line += strspn(line, " \t");
    size_t n = strcspn(line, " \t\r()");
    if (n != 4 || (strncmp(line, "exit", n) != 0 && strncmp(line, "quit", n) != 0) ||
        line[n + strspn(line + n, " \t\r()")])
        return false;
    lua_pushglobaltable(L);
    lua_pushlstring(L, line, n);
    bool variable = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return !variable;
}

static bool has_colours(void)
{
    const char *off = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && !(off && *off) && terminal && *terminal &&
           strcmp(terminal, "dumb") != 0;
}

void vm_session(lua_State *L, bool startup, int colour)
{
    session s = {.L = L, .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};

    s.colour = colour > 0 || (colour == 0 && s.terminal && has_colours());
    vm_colour_errors(s.colour);
    vm_keep_after_errors();
    open_module(&s);
    tell(&s, "begin", true);
    tell(&s, "colour", s.colour);
    if (s.terminal) {
        sigset_t interrupt;
        sigemptyset(&interrupt);
        sigaddset(&interrupt, SIGINT);
        sigprocmask(SIG_BLOCK, &interrupt, &s.outside);
        sigdelset(&s.outside, SIGINT);
        signal(SIGINT, on_signal);
        open_editor(&s);
        vm_brief_errors();
    }
    if (startup)
        run_startup(&s);
    int top = lua_gettop(L);
    for (;;) {
        lua_settop(L, top);
        if (!read_line(&s, true)) {
            if (s.cleared)
                continue;
            break;
        }
        strip_prompts(L);
        snprintf(s.name, sizeof s.name, "=[%d]", ++s.entry);
        if (leaves(L))
            break;
        if (run_command(&s, lua_tostring(L, -1))) {
            remember(&s, lua_tostring(L, top + 1));
            continue;
        }
        int status = read_chunk(&s);
        if (status == -1)
            continue;
        size_t n;
        const char *text = lua_tolstring(L, top + 1, &n);
        remember(&s, text);
        if (status != LUA_OK)
            vm_report(L, status, NULL);
        else
            run_chunk(&s, ends_in_semicolon(text, n));
    }
    fputs("\n", stdout);
    fflush(stdout);
    close_editor(&s);
    if (s.terminal)
        sigprocmask(SIG_SETMASK, &s.outside, NULL);
}
