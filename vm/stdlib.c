/*
 * The standard library: Lua modules compiled into the executable, so that the one file can be copied anywhere.
 *
 * $ATTN_STDLIB names a folder whose files are taken instead, for work on the library without a build. The chunk keeps
 * its name then, because messages find the user's line by skipping frames of chunks called "attn/...".
 */
#include "vm/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct file_reader {
    FILE *file;
    char buffer[4096];
} file_reader;

static const char *read_block(lua_State *L, void *data, size_t *size)
{
    file_reader *r = data;

    (void)L;
    *size = fread(r->buffer, 1, sizeof r->buffer, r->file);
    return *size ? r->buffer : NULL;
}

static int load_from(lua_State *L, const char *folder, const char *name, const char *chunk)
{
    const char *path = lua_pushfstring(L, "%s/%s.lua", folder, luaL_gsub(L, name, ".", "/"));
    file_reader r = {.file = fopen(path, "rb")};

    lua_pop(L, 2);
    if (!r.file)
        return -1;
    int status = lua_load(L, read_block, &r, chunk, "t"); /* protected: the file is always closed */
    fclose(r.file);
    return status;
}

int vm_load_module(lua_State *L, const char *name)
{
    const char *folder = getenv("ATTN_STDLIB");
    const char *chunk = lua_pushfstring(L, "=attn/%s.lua", name);
    int status = -1;

    if (folder && *folder)
        status = load_from(L, folder, name, chunk);
    for (const vm_module *m = vm_modules; status == -1 && m->name; m++)
        if (strcmp(m->name, name) == 0)
            status = vm_load_text(L, m->text, m->length, chunk);
    lua_remove(L, status == -1 ? -1 : -2);
    return status;
}

void vm_require(lua_State *L, const char *name)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushfstring(L, "attn.%s", name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        int status = vm_load_module(L, name);
        if (status == -1)
            luaL_error(L, "this build has no module 'attn.%s'", name);
        if (status != LUA_OK)
            lua_error(L);
        lua_pushvalue(L, -2);
        lua_call(L, 1, 1);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}
