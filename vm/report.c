/* Messages of a chunk that failed, as `lua` writes them. */
#include "vm/vm.h"

#include <stdio.h>

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
