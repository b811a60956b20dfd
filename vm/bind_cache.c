/*
 * Key and value caches of attention as scripts see them: made by attend:cache(), passed as the option `cache`.
 * #cache is the number of keys so far; fork and reorder give new caches and leave the old one as it is.
 */
#include "vm/bind.h"

#include <string.h>

static at_object *cache_at(lua_State *L, const char *where) { return vm_check_object(L, 1, &at_cache_class, where); }

static int length(lua_State *L)
{
    lua_pushinteger(L, at_cache_length(cache_at(L, "cache")));
    return 1;
}

static int fork_cache(lua_State *L)
{
    vm_object_box *box = vm_push_object_box(L, &at_cache_class);
    at_error e;
    for (int attempt = 0; !box->o; attempt++) {
        at_error_clear(&e);
        box->o = at_cache_fork(cache_at(L, "fork"), &e); /* only now: a finalizer could have closed it */
        if (!box->o)
            vm_retry(L, &e, attempt);
    }
    return 1;
}

/* cache:reorder(rows) -> a cache of the rows rows[m], int64 [M] */
static int reorder(lua_State *L)
{
    at_error e;
    for (int attempt = 0;; attempt++) {
        vm_object_box *box = vm_push_object_box(L, &at_cache_class);
        at_error_clear(&e);
        at_build *g = vm_push_build(L, "reorder", &e);
        vm_running = L;
        box->o = at_cache_reorder(g, cache_at(L, "reorder"), vm_check_tensor(L, 2, "reorder", "rows"));
        at_build_end(g);
        if (box->o) {
            vm_account(L);
            lua_pop(L, 1);
            return 1;
        }
        vm_retry(L, &e, attempt);
    }
}

static int to_string(lua_State *L)
{
    at_object *o = vm_object_at(L, 1, &at_cache_class);
    if (o)
        lua_pushfstring(L, "cache  %I keys", (LUAI_UACINT)at_cache_length(o));
    else
        lua_pushliteral(L, "cache (freed)");
    return 1;
}

void vm_open_cache(lua_State *L)
{
    static const luaL_Reg methods[] = {{"fork", fork_cache}, {"reorder", reorder}, {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__len", length},
        {"__tostring", to_string},
        {"__gc", vm_free_object},
        {"__close", vm_free_object},
        {NULL, NULL}};
    static const vm_doc docs[] = {
        {"cache:fork", "cache:fork() -> cache\nAnother cache with the same past; both may go on, each for itself."},
        {"cache:reorder", "cache:reorder(rows (int64 [M])) -> cache\n"
                          "A cache whose row m is row rows[m] of this one: rows may be picked, repeated or dropped."},
        {NULL, NULL}};
    luaL_newmetatable(L, at_cache_class.name);
    vm_set_functions(L, -1, meta);
    lua_newtable(L);
    vm_set_functions(L, -1, methods);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, "cache");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    vm_describe_functions(L, docs);
}
