/*
 * Helper of session_test.lua: types into `attn` through a pseudo-terminal, at times that a shell cannot hold.
 *
 *     press KIND COUNT PROGRAM    prints "COUNT answered", or what the terminal showed last and why that is wrong
 *
 * typed: characters and Ctrl-C in one piece; enter: Ctrl-C a moment after the line of an endless loop; end: after a short line;
 * resize: a line longer than the window, which shrinks. memory: the program may have COUNT KiB of addresses, and long lines, the
 * history and completion are used; prints "ended STATUS" and what was shown.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int terminal, memory;
static pid_t child;
static char shown[1 << 20];
static size_t n;

static void type(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t w = write(terminal, text, left);
        if (w <= 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (w > 0)
            text += w, left -= (size_t)w;
    }
}

/* Reads what is there within `ms`; false at the end of the program. */
static int look(int ms)
{
    struct pollfd p = {.fd = terminal, .events = POLLIN};

    if (poll(&p, 1, ms) <= 0)
        return 1;
    if (n > sizeof shown / 2)
        n = 0;
    ssize_t r = read(terminal, shown + n, sizeof shown - 1 - n);
    if (r <= 0)
        return 0;
    n += (size_t)r;
    shown[n] = '\0';
    return 1;
}

static _Noreturn void ended(void)
{
    int status = 0;

    waitpid(child, &status, 0);
    printf("ended %d\n%s\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), shown);
    exit(0);
}

/* Waits until one of two texts is shown from `from` on, then forgets all of it. */
static void await(const char *a, const char *b, const char *what)
{
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        int alive = 1;
        if (strstr(shown, a) || (b && strstr(shown, b)))
            return;
        alive = look(50);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (!alive && memory)
            ended();
        if (!alive || now.tv_sec - start.tv_sec > 10) {
            printf("%s: %s\n%.2000s\n", what, alive ? "no answer" : "the program ended",
                   n > 2000 ? shown + n - 2000 : shown);
            exit(1);
        }
    }
}

static void forget(void)
{
    n = 0;
    shown[0] = '\0';
}

/* Like await for `mark`, which a session prints for a line that is typed anew until it is there (a Ctrl-C drops typed input). */
static void settle(int i)
{
    char line[64], mark[64];

    for (int k = 0; k < 200; k++) {
        snprintf(line, sizeof line, "'settled'..%d\n", i);
        snprintf(mark, sizeof mark, "settled%d", i);
        type(line);
        for (int j = 0; j < 10; j++) {
            if (!look(20) && memory)
                ended();
            if (strstr(shown, mark)) {
                await(mark, NULL, "settling");
                look(1);
                forget();
                return;
            }
        }
    }
    await(mark, NULL, "after an answer");
}

int main(int argc, char **argv)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    unsigned state = 1;
    const char *kind = argc == 4 ? argv[1] : "";
    int count = argc == 4 ? atoi(argv[2]) : 0;

    memory = strcmp(kind, "memory") == 0;
    child = forkpty(&terminal, NULL, NULL, &size);
    if (child == 0) {
        struct rlimit limit = {(rlim_t)count << 10, (rlim_t)count << 10};
        if (memory && setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(127);
        setenv("TERM", "xterm", 1);
        execl(argv[3], "attn", (char *)NULL);
        _exit(127);
    }
    await("> ", NULL, "start");
    if (memory) {
        char line[700];
        snprintf(line, sizeof line, "local s = '%0600d' 'd'..'one'\n", 0);
        settle(1);
        type(line);
        type("\033[A\033[A\n");
        type("string.for\t\n");
        settle(2);
        type("os.exit(0)\n");
        for (int k = 0; k < 100 && look(100); k++)
            ;
        ended();
    }
    for (int i = 0; i < count; i++) {
        state = state * 1103515245 + 12345;
        settle(i);
        if (strcmp(kind, "typed") == 0) {
            type("abc\003");
            await("^C", NULL, "Ctrl-C with typed input");
        } else if (strcmp(kind, "resize") == 0) {
            char line[1501];
            memset(line, 'x', 1500);
            line[1500] = '\0';
            size.ws_row = 24, size.ws_col = 80;
            ioctl(terminal, TIOCSWINSZ, &size);
            type(line);
            while (n < 1500)
                look(50);
            for (int k = 0; k < 5; k++)
                look(50);
            size.ws_row = (unsigned short)(i % 3 == 0 ? 12 : i % 3 == 1 ? 1 : 5);
            size.ws_col = (unsigned short)(i % 4 == 3 ? 3 : 80 - 10 * (i % 4));
            ioctl(terminal, TIOCSWINSZ, &size);
            for (int k = 0; k < 5; k++)
                look(20);
            type("y\001z\005");
            for (int k = 0; k < 5; k++)
                look(20);
            forget();
            type("\003");
            await("^C", NULL, "Ctrl-C after the window shrank");
        } else {
            type(strcmp(kind, "enter") == 0 ? "while true do end" : "x = 1");
            await(strcmp(kind, "enter") == 0 ? "do end" : "= 1", NULL, "echo");
            type("\n");
            struct timespec pause = {0, (long)(state >> 8) % 400000};
            nanosleep(&pause, NULL);
            forget();
            type("\003");
            await("interrupted!", "^C\r", "Ctrl-C after Enter");
        }
    }
    settle(count);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("%d answered\n", count);
    return 0;
}
