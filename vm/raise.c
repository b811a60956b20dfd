/*
 * From error records to Lua errors at the script's own line. The frames of the library's Lua modules (chunks called "attn/...")
 * are passed over, so that a mistake in a call of attn.search is reported where the script made it.
 *
 * Which of a model's layers it was is found on the stack when there is an error, so that calls keep no books: what runs is the layer or
 * module that is its function's first argument, and stdlib/module.lua finds the way from the outermost to the one that failed.
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

/* Pushes the first argument of the function at a level if it is a layer or module; else pushes nothing. */
static bool push_object(lua_State *L, lua_Debug *ar)
{
    if (!lua_getlocal(L, ar, 1))
        return false;
    if (vm_is_module(L, -1) || vm_object_at(L, -1, &at_layer_class))
        return true;
    lua_pop(L, 1);
    return false;
}

/* Protected, (text, the layer that failed or nil) -> text with the path of what failed. Without a layer that is what the innermost of
 * the library's own functions on the stack were called with. */
static int add_path(lua_State *L)
{
    lua_Debug ar;
    bool library = true;

    lua_newtable(L);
    for (int level = 1, n = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        library = library && (ar.currentline <= 0 || strncmp(ar.short_src, "attn/", 5) == 0);
        if (!push_object(L, &ar))
            continue;
        if (library && lua_isnil(L, 2)) {
            lua_pushvalue(L, -1);
            lua_replace(L, 2);
        }
        lua_rawseti(L, 3, ++n);
    }
    if (lua_isnil(L, 2))
        return 0;
    vm_require(L, "module");
    lua_getfield(L, -1, "placed");
    lua_insert(L, 1);
    lua_settop(L, 4);
    lua_call(L, 3, 1);
    return 1;
}

static _Noreturn void raise_plain(lua_State *L, const char *text)
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

static _Noreturn void raise_of(lua_State *L, const char *text, at_object *failed)
{
    luaL_checkstack(L, 5, "an error");
    lua_pushcfunction(L, add_path);
    lua_pushstring(L, text);
    if (failed)
        vm_push_object(L, failed);
    else
        lua_pushnil(L);
    bool found = lua_pcall(L, 2, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING;
    raise_plain(L, found ? lua_tostring(L, -1) : text);
}

void vm_raise_text(lua_State *L, const char *text) { raise_of(L, text, NULL); }

void vm_raise_of(lua_State *L, const at_error *e, at_object *failed)
{
    if (e->interrupted)
        at_interrupt_clear();
    if (e->placed) {
        lua_pushstring(L, e->text);
        lua_error(L);
    }
    if (e->interrupted || e->memory)
        raise_plain(L, e->text);
    raise_of(L, e->failed ? e->text : "failed without a message", failed);
}

void vm_raise(lua_State *L, const at_error *e) { vm_raise_of(L, e, NULL); }

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
