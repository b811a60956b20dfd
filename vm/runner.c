/*
 * attn test: finds test files, runs each in a process of its own, several at a time, and counts.
 *
 *   attn test [paths] [-j N] [-v] [--filter PATTERN] [--failed] [--watch] [--junit FILE] [--timeout SECONDS]
 *
 * A test process is this executable again, `test --worker FD FILTER FILE`. It sends records through the pipe FD (vm_worker), so that its
 * own output is free; that is kept and shown when the file fails. At the time limit it gets a SIGINT first: the traceback then says
 * where it hung.
 */
#define _GNU_SOURCE
#include "vm/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attn/attn.h"

enum { OUTPUT_KEPT = 64 * 1024, MAX_JOBS = 256, GRACE = 2 /* seconds between SIGINT and SIGKILL */ };

/* ---- small pieces ---- */

static void out_of_memory(void)
{
    fputs("attn test: not enough memory\n", stderr);
    exit(1);
}

static void *grow(void *p, size_t n)
{
    p = realloc(p, n ? n : 1);
    if (!p)
        out_of_memory();
    return p;
}

typedef struct text {
    char *at;
    size_t length, room;
} text;

static void append(text *t, const char *s, size_t n)
{
    if (t->length + n + 1 > t->room) {
        t->room = 2 * (t->length + n + 1);
        t->at = grow(t->at, t->room);
    }
    memcpy(t->at + t->length, s, n);
    t->length += n;
    t->at[t->length] = '\0';
}

__attribute__((format(printf, 2, 3))) static void append_format(text *t, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    append(t, line, n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void append_line(text *t, const char *line)
{
    append(t, line, strlen(line));
    append(t, "\n", 1);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

/* ---- one test file ---- */

typedef struct file {
    char *path;
    pid_t pid;
    int results, output; /* read ends; -1 when closed */
    double start, took, limit, kill_at;
    bool timed_out, said_limit;
    bool ended;                         /* the closing record came, the script ran to its end */
    text received;                      /* records not yet whole */
    text said;                          /* its standard output and error, the last part */
    text failures, skips, cases, junit; /* made from the records */
    text current;                       /* the case that runs */
    double case_start;
    int passed, failed, skipped;
} file;

typedef struct runner {
    file *files;
    size_t count, room;
    const char **paths;
    int path_count;
    int jobs;
    bool given_threads;
    double timeout;
    bool verbose, only_failed, watch;
    const char *filter, *junit, *exe;
} runner;

static void add_file(runner *r, const char *path)
{
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        r->files = grow(r->files, r->room * sizeof *r->files);
    }
    file *f = &r->files[r->count++];
    memset(f, 0, sizeof *f);
    f->path = grow(NULL, strlen(path) + 1);
    strcpy(f->path, path);
    f->results = f->output = -1;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Adds the files under `path`, in order of their names. A file that is named itself need not be called *_test.lua. */
static bool find(runner *r, const char *path, bool named)
{
    struct stat st;

    if ((named ? stat : lstat)(path, &st) != 0) { /* links met on the way are not followed: no cycles */
        fprintf(stderr, "attn test: %s: %s\n", path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (named || (S_ISREG(st.st_mode) && ends_with(path, "_test.lua")))
            add_file(r, path);
        return true;
    }
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, compare_names);
    bool ok = n >= 0;
    if (!ok)
        fprintf(stderr, "attn test: %s: %s\n", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (name[0] != '.') {
            text sub = {0};
            append_format(&sub, "%s%s", path, ends_with(path, "/") ? "" : "/");
            append(&sub, name, strlen(name));
            ok = find(r, sub.at, false) && ok;
            free(sub.at);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return ok;
}

/* ---- starting ---- */

static bool start(const runner *r, file *f)
{
    int results[2], output[2];

    if (pipe2(results, O_CLOEXEC) != 0)
        return false;
    if (pipe2(output, O_CLOEXEC) != 0) {
        close(results[0]);
        close(results[1]);
        return false;
    }
    char fd[16];
    snprintf(fd, sizeof fd, "%d", results[1]);
    char *const argv[] = {(char *)r->exe, "test", "--worker", fd, (char *)r->filter, f->path, NULL};
    f->pid = vm_process_start(argv, output[1], results[1]);
    close(results[1]);
    close(output[1]);
    if (f->pid < 0) {
        close(results[0]);
        close(output[0]);
        return false;
    }
    f->results = results[0];
    f->output = output[0];
    fcntl(f->results, F_SETFL, O_NONBLOCK);
    fcntl(f->output, F_SETFL, O_NONBLOCK);
    f->start = seconds();
    f->limit = r->timeout;
    f->kill_at = f->start + f->limit;
    return true;
}

/* ---- what a test process says ---- */

/* The bytes of the character beyond ASCII at s, 0 if it is none that XML can hold. */
static size_t wide_character(const char *s, size_t n)
{
    unsigned char first = (unsigned char)*s;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

    return length <= n && at_is_utf8(s, length) && memcmp(s, "\xef\xbf\xbe", length) != 0 &&
                   memcmp(s, "\xef\xbf\xbf", length) != 0
               ? length
               : 0;
}

/* XML text: the five special characters, and none that XML cannot hold. */
static void append_xml(text *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] >= 0x80) {
            size_t length = wide_character(s + i, n - i);
            append(t, length ? s + i : "\xef\xbf\xbd", length ? length : 3);
            i += length ? length - 1 : 0;
            continue;
        }
        switch (s[i]) {
        case '&': append(t, "&amp;", 5); break;
        case '<': append(t, "&lt;", 4); break;
        case '>': append(t, "&gt;", 4); break;
        case '"': append(t, "&quot;", 6); break;
        default:
            if ((unsigned char)s[i] < ' ' && s[i] != '\n' && s[i] != '\t')
                append(t, "?", 1);
            else
                append(t, &s[i], 1);
        }
    }
}

static void append_indented(text *t, const char *s, size_t n, const char *indent)
{
    while (n > 0) {
        const char *end = memchr(s, '\n', n);
        size_t line = end ? (size_t)(end - s) : n;
        append(t, indent, strlen(indent));
        append(t, s, line);
        append(t, "\n", 1);
        line += end != NULL;
        s += line;
        n -= line;
    }
}

static void add_case(file *f, char status, const char *name, size_t name_length, const char *message,
                     size_t message_length)
{
    static const char *const tags[] = {"<failure message=\"", "<skipped message=\""};
    const char *tag = tags[status == 's'];

    append_format(&f->junit, "    <testcase classname=\"");
    append_xml(&f->junit, f->path, strlen(f->path));
    append_format(&f->junit, "\" name=\"");
    append_xml(&f->junit, name, name_length);
    append_format(&f->junit, "\" time=\"%.6f\">", seconds() - f->case_start);
    if (status != 'p') {
        append(&f->junit, tag, strlen(tag));
        append_xml(&f->junit, message, message_length);
        append_format(&f->junit, "\"/>");
    }
    append_format(&f->junit, "</testcase>\n");
    append_format(&f->cases, "  %s  %.3f s  ",
                  status == 'p'   ? "ok  "
                  : status == 's' ? "skip"
                                  : "FAIL",
                  seconds() - f->case_start);
    append(&f->cases, name, name_length);
    append(&f->cases, "\n", 1);
    if (status == 'p') {
        f->passed++;
    } else if (status == 's') {
        f->skipped++;
        append(&f->skips, "  skipped: ", 11);
        append(&f->skips, name, name_length);
        append(&f->skips, ": ", message_length ? 2 : 0);
        append(&f->skips, message, message_length);
        append(&f->skips, "\n", 1);
    } else {
        f->failed++;
        append(&f->failures, "  ", 2);
        append(&f->failures, name, name_length);
        append(&f->failures, "\n", 1);
        if (f->timed_out && !f->said_limit) {
            append_format(&f->failures, "    took longer than %g s, its time limit (--timeout)\n", f->limit);
            f->said_limit = true;
        }
        append_indented(&f->failures, message, message_length, "    ");
    }
}

/* Records: a letter (b begin, p pass, f fail, s skip, e end of the script), two lengths, name and message. */
static void read_records(file *f)
{
    size_t at = 0;

    if (f->received.length == 0)
        return;
    while (at < f->received.length) {
        char status;
        unsigned long name, message;
        int used = 0;
        const char *record = f->received.at + at;
        size_t left = f->received.length - at;

        if (!memchr(record, '\n', left) || sscanf(record, "%c %lu %lu%n", &status, &name, &message, &used) != 3)
            break;
        size_t head = (size_t)used + 1;
        if (left < head + name + message)
            break;
        const char *body = record + head;
        if (status == 'e') {
            f->ended = true;
        } else if (status == 'b') {
            f->current.length = 0;
            append(&f->current, body, name);
            f->case_start = seconds();
            if (!f->timed_out)
                f->kill_at = f->case_start + f->limit;
        } else {
            add_case(f, status, body, name, body + name, message);
            f->current.length = 0;
        }
        at += head + name + message;
    }
    f->received.length -= at;
    memmove(f->received.at, f->received.at + at, f->received.length);
    f->received.at[f->received.length] = '\0';
}

/* Reads what is there. Closes the descriptor at its end. */
static void drain(int *fd, text *into, size_t keep)
{
    char block[8192];
    ssize_t n;

    if (*fd < 0)
        return;
    while ((n = read(*fd, block, sizeof block)) > 0) {
        append(into, block, (size_t)n);
        if (keep && into->length > 2 * keep) {
            memmove(into->at, into->at + into->length - keep, keep);
            into->length = keep;
        }
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(*fd);
        *fd = -1;
    }
}

/* ---- ending ---- */

/* The process has ended: what the records do not say, its status does. */
static void judge(const runner *r, file *f, int status)
{
    text why = {0};
    const char *name = f->current.length ? f->current.at : "(file)";

    if (f->timed_out && f->ended && f->failed)
        ; /* the SIGINT made the case fail */
    else if (f->timed_out)
        append_format(&why, "the process had to be killed");
    else if (WIFSIGNALED(status))
        append_format(&why, "crashed: signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 && (f->failed == 0 || !f->ended))
        append_format(&why, "ended with exit status %d", WEXITSTATUS(status));
    else if (!f->ended)
        append_format(&why, f->current.length            ? "the process ended inside this case (os.exit?)"
                            : f->passed + f->skipped > 0 ? "the process ended before the file did (os.exit?)"
                                                         : "no test ran: the file does not use attn.test");
    else if (f->passed + f->failed + f->skipped == 0 && !*r->filter)
        append_format(&why, "no test ran: there is no case in it");
    if (why.length)
        add_case(f, 'f', name, strlen(name), why.at, why.length);
    free(why.at);
}

static void print_result(const file *f, bool verbose)
{
    bool empty = f->passed + f->failed + f->skipped == 0;

    if (empty) /* the filter left nothing */
        return;
    printf("%s %s  %d passed", f->failed ? "FAIL" : "ok  ", f->path, f->passed);
    if (f->failed)
        printf(", %d failed", f->failed);
    if (f->skipped)
        printf(", %d skipped", f->skipped);
    printf("  %.2f s\n", f->took);
    if (verbose && f->cases.length)
        fwrite(f->cases.at, 1, f->cases.length, stdout);
    if (f->skips.length)
        fwrite(f->skips.at, 1, f->skips.length, stdout);
    if (f->failed) {
        text shown = {0};
        append(&shown, f->failures.at, f->failures.length);
        if (f->said.length) {
            append_format(&shown, "  output:\n");
            append_indented(&shown, f->said.at, f->said.length, "    | ");
        }
        fwrite(shown.at, 1, shown.length, stdout);
        free(shown.at);
    }
    fflush(stdout);
}

static void finish(const runner *r, file *f)
{
    int status;

    vm_process_ended(f->pid, true, &status);
    drain(&f->output, &f->said, OUTPUT_KEPT);
    if (f->output >= 0)
        close(f->output);
    f->took = seconds() - f->start;
    f->case_start = f->start;
    judge(r, f, status);
    f->pid = 0;
    print_result(f, r->verbose);
}

static volatile sig_atomic_t stopped;

static void on_stop(int signal_number) { stopped = signal_number; }

static void check_time(file *f)
{
    if (seconds() < f->kill_at)
        return;
    kill(f->timed_out ? -f->pid : f->pid, f->timed_out ? SIGKILL : SIGINT);
    f->timed_out = true;
    f->kill_at = seconds() + GRACE;
}

static void run_all(runner *r)
{
    file *running[MAX_JOBS];
    struct pollfd fds[2 * MAX_JOBS];
    int count = 0;
    size_t next = 0;

    while (!stopped && (next < r->count || count > 0)) {
        while (count < r->jobs && next < r->count) {
            file *f = &r->files[next];
            if (!start(r, f)) {
                if (count > 0)
                    break; /* later, when one has ended */
                add_case(f, 'f', "(file)", 6, strerror(errno), strlen(strerror(errno)));
                print_result(f, r->verbose);
                next++;
                continue;
            }
            running[count++] = f;
            next++;
        }
        for (int i = 0; i < count; i++) {
            fds[2 * i] = (struct pollfd){.fd = running[i]->results, .events = POLLIN};
            fds[2 * i + 1] = (struct pollfd){.fd = running[i]->output, .events = POLLIN};
        }
        poll(fds, (nfds_t)(2 * count), 200);
        for (int i = 0; i < count; i++) {
            file *f = running[i];
            drain(&f->output, &f->said, OUTPUT_KEPT);
            drain(&f->results, &f->received, 0);
            read_records(f);
            if (f->results < 0) {
                finish(r, f);
                running[i--] = running[--count];
            } else {
                check_time(f);
            }
        }
    }
    for (int i = 0; i < count; i++)
        kill(-running[i]->pid, SIGKILL);
}

static bool write_junit(const runner *r, int passed, int failed, int skipped)
{
    FILE *out = fopen(r->junit, "we");

    if (out) {
        fprintf(out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                "<testsuites tests=\"%d\" failures=\"%d\" skipped=\"%d\">\n",
                passed + failed + skipped, failed, skipped);
        for (size_t i = 0; i < r->count; i++) {
            const file *f = &r->files[i];
            text name = {0};
            append_xml(&name, f->path, strlen(f->path));
            fprintf(out,
                    "  <testsuite name=\"%s\" tests=\"%d\" failures=\"%d\" skipped=\"%d\" time=\"%.6f\">\n"
                    "%s  </testsuite>\n",
                    name.at, f->passed + f->failed + f->skipped, f->failed, f->skipped, f->took,
                    f->junit.at ? f->junit.at : "");
            free(name.at);
        }
        fputs("</testsuites>\n", out);
        if (!ferror(out) && fclose(out) == 0)
            return true;
    }
    fprintf(stderr, "attn test: %s: %s\n", r->junit, strerror(errno));
    return false;
}

/* ---- the command ---- */

static int usable_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n < 1 ? 1 : n > MAX_JOBS ? MAX_JOBS : n;
}

static const char how[] =
    "usage: attn test [paths] [-j N] [-v] [--filter PATTERN] [--failed] [--watch] [--junit FILE] [--timeout SECONDS]\n"
    "  paths              files named *_test.lua, or folders to look for them in (default: tests)\n"
    "  -j N               N files at a time (default: as many as cores)\n"
    "  -v                 each case, with its time\n"
    "  --filter PATTERN   cases whose name matches the Lua pattern\n"
    "  --failed           the files in which a case failed the last time\n"
    "  --watch            again whenever a Lua file or the program changes, until Ctrl-C\n"
    "  --junit FILE       results as XML\n"
    "  --timeout SECONDS  the time limit of a case (default: 120)\n";

static bool usage(const char *message, const char *what)
{
    fprintf(stderr, "attn test: %s%s\n%s", message, what, how);
    return false;
}

static bool read_number(const char *s, double low, double high, double *value)
{
    char *end;

    *value = strtod(s, &end);
    return end != s && *end == '\0' && *value >= low && *value <= high;
}

static bool read_arguments(runner *r, int argc, char **argv)
{
    double value;

    for (int i = 2; i < argc; i++) {
        const char *a = argv[i], *of = argv[i + 1]; /* argv ends with NULL */
        if (a[0] != '-') {
            r->paths[r->path_count++] = a;
            continue;
        }
        bool *flag = strcmp(a, "-v") == 0         ? &r->verbose
                     : strcmp(a, "--failed") == 0 ? &r->only_failed
                     : strcmp(a, "--watch") == 0  ? &r->watch
                                                  : NULL;
        if (flag) {
            *flag = true;
            continue;
        }
        if (strncmp(a, "-j", 2) == 0 && a[2])
            of = a + 2;
        else if (strcmp(a, "-j") == 0 || strcmp(a, "--filter") == 0 || strcmp(a, "--junit") == 0 ||
                 strcmp(a, "--timeout") == 0)
            i++;
        else
            return usage("unknown option ", a);
        if (!of)
            return usage("a value is missing after ", a);
        if (strcmp(a, "--filter") == 0) {
            r->filter = of;
        } else if (strcmp(a, "--junit") == 0) {
            r->junit = of;
        } else if (strcmp(a, "--timeout") == 0) {
            if (!read_number(of, 0.01, 1e6, &r->timeout))
                return usage("--timeout needs a number of seconds, not ", of);
        } else {
            if (!read_number(of, 1, MAX_JOBS, &value) || value != (int)value)
                return usage("-j needs a number of processes, not ", of);
            r->jobs = (int)value;
        }
    }
    return true;
}

/* The files under the paths; false, said so, if there are none. */
static bool find_all(runner *r)
{
    bool ok = true;
    for (int i = 0; i < r->path_count; i++)
        ok = find(r, r->paths[i], true) && ok;
    if (ok && r->count == 0) {
        fprintf(stderr, "attn test: no files named *_test.lua under %s\n", r->paths[0]);
        ok = false;
    }
    return ok;
}

/* Of the files found those that failed the last time. */
static void keep_failed(runner *r)
{
    char *list = vm_failed_read();
    size_t kept = 0;

    for (size_t i = 0; i < r->count; i++) {
        if (vm_failed_has(list, r->files[i].path))
            r->files[kept++] = r->files[i];
        else
            free(r->files[i].path);
    }
    r->count = kept;
    free(list);
}

/* What failed before and was not run stays; a filter that passes says nothing of a file's other cases. */
static void remember_failed(const runner *r)
{
    char *old = vm_failed_read(), *rest = old, *path;
    text list = {0};

    append(&list, "", 0);
    while ((path = strsep(&rest, "\n"))) {
        bool known = !*path || access(path, F_OK) != 0;
        for (size_t i = 0; i < r->count && !known; i++)
            known = strcmp(path, r->files[i].path) == 0 && (r->files[i].failed || !*r->filter);
        if (!known)
            append_line(&list, path);
    }
    for (size_t i = 0; i < r->count; i++)
        if (r->files[i].failed)
            append_line(&list, r->files[i].path);
    vm_failed_write(list.at);
    free(list.at);
    free(old);
}

static void free_files(runner *r)
{
    for (size_t i = 0; i < r->count; i++) {
        file *f = &r->files[i];
        free(f->path);
        free(f->received.at);
        free(f->said.at);
        free(f->failures.at);
        free(f->skips.at);
        free(f->cases.at);
        free(f->junit.at);
        free(f->current.at);
    }
    free(r->files);
    r->files = NULL;
    r->count = r->room = 0;
}

/* All files once; whether all is well. */
static bool run_once(runner *r, int cores)
{
    int passed = 0, failed = 0, skipped = 0, jobs = r->jobs;
    bool ok = find_all(r);

    if (ok && r->only_failed) {
        keep_failed(r);
        if (r->count == 0)
            printf("no file failed the last time\n");
    }
    if ((size_t)r->jobs > r->count)
        r->jobs = r->count ? (int)r->count : 1;
    char threads[16];
    snprintf(threads, sizeof threads, "%d", cores / r->jobs > 1 ? cores / r->jobs : 1);
    if (!r->given_threads)
        setenv("ATTN_THREADS", threads, 1);
    if (ok)
        run_all(r);
    for (size_t i = 0; i < r->count; i++) {
        file *f = &r->files[i];
        passed += f->passed;
        failed += f->failed;
        skipped += f->skipped;
    }
    if (ok && !stopped && r->count)
        remember_failed(r);
    if (ok && r->junit && !stopped)
        ok = write_junit(r, passed, failed, skipped);
    if (ok && r->count && passed + failed + skipped == 0 && !stopped) {
        fprintf(stderr, "attn test: no case matches '%s'\n", r->filter);
        ok = false;
    }
    free_files(r);
    r->jobs = jobs;
    if (!stopped) {
        printf("%d passed, %d failed", passed, failed);
        if (skipped)
            printf(", %d skipped", skipped);
        printf("\n");
        fflush(stdout);
    }
    return ok && failed == 0;
}

int vm_test(int argc, char **argv)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    int cores = usable_cores();
    runner r = {.jobs = cores, .timeout = 120, .filter = "", .exe = argv[0]};

    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        fputs(how, stdout);
        return 0;
    }
    if (n > 0) {
        exe[n] = '\0';
        r.exe = exe;
    }
    r.paths = grow(NULL, (size_t)argc * sizeof *r.paths);
    if (!read_arguments(&r, argc, argv)) {
        free(r.paths);
        return 1;
    }
    if (r.path_count == 0)
        r.paths[r.path_count++] = "tests";
    r.given_threads = getenv("ATTN_THREADS") != NULL;
    setenv("ATTN_EXE", r.exe, 1);

    struct sigaction action = {.sa_handler = on_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    bool ok;
    do {
        if (r.watch)
            vm_watch_begin(r.exe, r.paths, r.path_count);
        ok = run_once(&r, cores);
        if (r.watch && !stopped) {
            printf("waiting for a change; Ctrl-C ends\n");
            fflush(stdout);
            vm_watch_wait(r.exe, r.paths, r.path_count, &stopped);
        }
    } while (r.watch && !stopped);
    free(r.paths);
    return stopped ? 128 + stopped : ok ? 0 : 1;
}

/* ---- the test process ---- */

bool vm_worker_arguments(int argc, char **argv, vm_worker *w)
{
    if (argc != 6 || strcmp(argv[2], "--worker") != 0)
        return false;
    w->fd = atoi(argv[3]);
    w->filter = argv[4];
    fcntl(w->fd, F_SETFD, FD_CLOEXEC); /* its end means that this process ended, whatever it started */
    return true;
}

/* report(status, name, message); upvalue 1: the descriptor */
static int report(lua_State *L)
{
    static const char *const words[] = {"start", "pass", "fail", "skip", "end", NULL};
    static const char letters[] = "bpfse";
    int fd = (int)lua_tointeger(L, lua_upvalueindex(1)), word = luaL_checkoption(L, 1, NULL, words);
    size_t name_length, message_length;
    const char *name = luaL_checklstring(L, 2, &name_length), *message = luaL_checklstring(L, 3, &message_length);
    char head[64];

    fflush(stdout); /* what it printed so far comes before a crash */
    int n = snprintf(head, sizeof head, "%c %zu %zu\n", letters[word], name_length, message_length);
    if (!vm_write_all(fd, head, (size_t)n) || !vm_write_all(fd, name, name_length) ||
        !vm_write_all(fd, message, message_length))
        return luaL_error(L, "the test runner is gone");
    return 0;
}

void vm_open_worker(lua_State *L, const vm_worker *w)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_newtable(L);
    lua_pushinteger(L, w->fd);
    lua_pushcclosure(L, report, 1);
    lua_setfield(L, -2, "report");
    lua_pushstring(L, w->filter);
    lua_setfield(L, -2, "filter");
    lua_setfield(L, -2, "attn.test.worker");
    lua_pop(L, 1);
}

bool vm_test_finish(lua_State *L, bool script_ok)
{
    int top = lua_gettop(L);
    bool ok = script_ok;

    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, "attn.test") == LUA_TTABLE && lua_getfield(L, -1, "finish") == LUA_TFUNCTION) {
        lua_pushboolean(L, script_ok);
        ok = vm_report(L, vm_call(L, 1, 1), "attn test") && lua_toboolean(L, -1) && script_ok;
    }
    lua_settop(L, top);
    return ok;
}
