/*
 * From error records to Lua errors at the script's own line. The frames of the library's Lua modules (chunks called "attn/...")
 * are passed over, so that a mistake in a call of attn.search is reported where the script made it.
 */
#include "vm/bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool vm_script_place(lua_State *L, char *source, size_t room, int *line)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strncmp(ar.short_src, "attn/", 5) != 0) {
            snprintf(source, room, "%s", ar.short_src);
            *line = ar.currentline;
            return true;
        }
    }
    return false;
}

_Noreturn void vm_raise_text(lua_State *L, const char *text)
{
    char source[LUA_IDSIZE];
    int line;
    if (vm_script_place(L, source, sizeof source, &line))
        lua_pushfstring(L, "%s:%d: %s", source, line, text);
    else
        lua_pushstring(L, text);
    lua_error(L);
    __builtin_unreachable();
}

void vm_raise(lua_State *L, const at_error *e)
{
    if (e->interrupted)
        at_interrupt_clear();
    if (e->placed) {
        lua_pushstring(L, e->text);
        lua_error(L);
    }
    vm_raise_text(L, e->failed ? e->text : "failed without a message");
}

void vm_interrupted(lua_State *L)
{
    at_error e;
    at_error_clear(&e);
    if (at_uninterrupted(&e))
        at_error_set(&e, "interrupted!");
    vm_raise(L, &e);
}

void vm_error(lua_State *L, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vm_raise_text(L, text);
}
