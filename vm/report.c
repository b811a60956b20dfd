/* What goes out: messages of a chunk that failed, as `lua` writes them; bytes to a descriptor. */
#include "vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void vm_message(const char *program, const char *message)
{
    fflush(stdout);
    if (program)
        fprintf(stderr, "%s: ", program);
    fprintf(stderr, "%s\n", message ? message : "(error message is not a string)");
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
