/*
 * A C program that is not attn: the engine called from C, and the library opened in a Lua state of its own. Built by tests/handover/run.sh
 * against what `make dist` hands over.
 */
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "attn/attn.h"

int luaopen_attn(lua_State *L);

/* [2, 3] times [3, 2], without Lua */
static bool multiply(double *first)
{
    at_error e;
    at_error_clear(&e);
    at_build g = {.error = &e, .where = "host"};
    at_tensor *a = at_own(&g, at_tensor_zeros(AT_F32, 2, (size_t[]){2, 3}, &e));
    at_tensor *b = at_own(&g, at_tensor_zeros(AT_F32, 2, (size_t[]){3, 2}, &e));
    for (size_t i = 0; a && b && i < 6; i++) {
        ((float *)(void *)a->data)[i] = (float)(i + 1);
        ((float *)(void *)b->data)[i] = 2;
    }
    at_tensor *c = a && b ? at_matmul(&g, a, b) : NULL;
    bool ok = c && at_ok(&g);
    if (ok)
        *first = (double)((const float *)(const void *)c->data)[0];
    else
        fprintf(stderr, "%s\n", e.text);
    at_build_end(&g);
    return ok;
}

int main(void)
{
    double first = 0;
    if (!multiply(&first))
        return 1;
    printf("from C: %g\n", first);
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaL_requiref(L, "attn", luaopen_attn, 0);
    lua_pop(L, 1);
    if (luaL_dostring(
            L, "local attn = require 'attn'\n"
               "local x = attn.ones(2, 3):requires_grad_(true)\n"
               "x:matmul(attn.ones(3, 2)):sum():backward()\n"
               "local encoded = attn.json.encode(require 'attn.data'.batches{fields = {a = {1, 2}}, size = 2}.count)\n"
               "print('from Lua: ' .. x.grad:sum():item() .. ' ' .. encoded)") != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_close(L);
    return 0;
}
