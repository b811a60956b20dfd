/* The random stream: attn.seed, attn.random_state. */
#include "vm/bind.h"

static int seed(lua_State *L)
{
    at_random_seed((uint64_t)vm_check_integer(L, 1, "seed", "n"));
    return 0;
}

static int64_t state_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    int64_t n = vm_check_integer(L, -1, "random_state", name);
    lua_pop(L, 1);
    return n;
}

static int random_state(lua_State *L)
{
    if (!lua_isnoneornil(L, 1)) {
        if (lua_type(L, 1) != LUA_TTABLE)
            vm_error(L, "random_state: state is %s, expected a table {seed =, counter =}", vm_describe(L, 1).text);
        at_random state = {(uint64_t)state_field(L, "seed"), (uint64_t)state_field(L, "counter")};
        at_random_set(state);
        return 0;
    }
    at_random state = at_random_get();
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, (lua_Integer)state.seed);
    lua_setfield(L, -2, "seed");
    lua_pushinteger(L, (lua_Integer)state.counter);
    lua_setfield(L, -2, "counter");
    return 1;
}

void vm_open_random(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {{"seed", seed}, {"random_state", random_state}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"seed", "seed(n)\nStarts the random stream (Philox4x32-10) anew: the same seed gives the same bits, whatever "
                 "the threads."},
        {"random_state",
         "random_state([state]) -> {seed =, counter =}\nReads the generator as a plain table, or sets it from one."},
        {NULL, NULL}};
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
}
