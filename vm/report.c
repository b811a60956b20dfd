/* What goes out: messages of a chunk that failed, as `lua` writes them; bytes to a descriptor. */
#include "vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool colour;

void vm_colour_errors(bool on) { colour = on; }

void vm_message(const char *program, const char *message)
{
    fflush(stdout);
    if (!message)
        message = "(error message is not a string)";
    const char *trace = strstr(message, "\nstack traceback:");
    if (program)
        fprintf(stderr, "%s: %s\n", program, message);
    else if (!colour)
        fprintf(stderr, "%s\n", message);
    else if (trace)
        fprintf(stderr, "\033[31m%.*s\033[0;2m%s\033[0m\n", (int)(trace - message), message, trace);
    else
        fprintf(stderr, "\033[31m%s\033[0m\n", message);
    fflush(stderr);
}

bool vm_report(lua_State *L, int status, const char *program)
{
    if (status == LUA_OK)
        return true;
    vm_message(program, lua_tostring(L, -1));
    lua_pop(L, 1);
    return false;
}

bool vm_write_all(int fd, const char *s, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, s, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        s += w;
        n -= (size_t)w;
    }
    return true;
}
