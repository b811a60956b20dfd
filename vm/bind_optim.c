/* Every optimizer, from its record: constructor, step, zero_grad, state, load, lr. And clip_grad_norm. */
#include "vm/bind.h"

#include <stdio.h>
#include <string.h>

static at_optim *optim_at(lua_State *L, const char *method)
{
    at_object *o = vm_object_at(L, 1, &at_optim_class);
    if (!o)
        vm_error(L, "%s: self is %s, expected an optimizer (opt:%s())", method, vm_describe(L, 1).text, method);
    return (at_optim *)(void *)o;
}

/* Whether a layer or module stands where its parameters are meant. */
static bool has_parameters(lua_State *L, int at) { return vm_is_module(L, at) || vm_object_at(L, at, &at_layer_class); }

/* attn.optim.adam{...}; upvalue 1: the entry */
static int construct(lua_State *L)
{
    const at_optim_entry *entry = lua_touserdata(L, lua_upvalueindex(1));
    const char *where = entry->of[0]->name;
    if (lua_type(L, 1) != LUA_TTABLE)
        vm_error(L, "%s: argument is %s, expected a table of fields", where, vm_describe(L, 1).text);
    lua_settop(L, 1);
    lua_pushliteral(L, "params");
    lua_rawget(L, 1);
    if (has_parameters(L, 2))
        vm_error(L, "%s: params is %s, expected a list of tensors (params = model:parameters())", where,
                 vm_describe(L, 2).text);
    lua_settop(L, 1);
    at_arena *arena = vm_push_arena(L);
    vm_object_box *box = vm_push_object_box(L, &at_optim_class);
    for (int attempt = 0; !box->o; attempt++) {
        at_error e;
        at_error_clear(&e);
        at_value config =
            vm_read_value(L, 1, arena, where); /* again each time: a finalizer may have changed the table */
        box->o = (at_object *)at_optim_new(entry, config.table, &e);
        if (!box->o)
            vm_retry(L, &e, attempt);
    }
    return 1;
}

static int step(lua_State *L)
{
    at_error e;
    for (int attempt = 0;; attempt++) {
        at_optim *o = optim_at(L, "step");
        at_error_clear(&e);
        vm_running = L;
        if (at_optim_step(o, &e))
            break;
        vm_retry(L, &e, attempt);
    }
    vm_account(L);
    return 0;
}

static int zero_grad(lua_State *L)
{
    vm_releases(L);
    at_optim_zero_grad(optim_at(L, "zero_grad"));
    return 0;
}

static int state(lua_State *L)
{
    at_optim *o = optim_at(L, "state");
    at_arena *arena = vm_push_arena(L);
    at_table *t = at_optim_state(o, arena);
    if (!t)
        vm_error(L, "%s: out of memory", at_optim_name(o));
    vm_push_value(L, at_table_value(t));
    return 1;
}

static int load(lua_State *L)
{
    at_optim *o = optim_at(L, "load");
    if (lua_type(L, 2) != LUA_TTABLE)
        vm_error(L, "%s: state is %s, expected a table", at_optim_name(o), vm_describe(L, 2).text);
    at_arena *arena = vm_push_arena(L);
    vm_releases(L);
    o = optim_at(L, "load");
    at_value v = vm_read_value(L, 2, arena, at_optim_name(o));
    at_error e;
    at_error_clear(&e);
    if (!at_optim_load(o, v.table, &e))
        vm_raise(L, &e);
    vm_account(L);
    return 0;
}

static void push_params(lua_State *L, const at_optim *o)
{
    lua_createtable(L, o->n < 1 << 20 ? (int)o->n : 0, 0);
    for (size_t i = 0; i < o->n; i++) {
        vm_push_tensor(L, o->slot[i].param);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* upvalue 1: methods */
static int index_optim(lua_State *L)
{
    at_optim *o = optim_at(L, "index");
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(name, "lr") == 0)
        lua_pushnumber(L, o->lr);
    else if (strcmp(name, "params") == 0)
        push_params(L, o);
    else
        lua_pushnil(L);
    return 1;
}

static int newindex_optim(lua_State *L)
{
    at_optim *o = optim_at(L, "assignment");
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "lr") != 0)
        vm_error(L, "%s: only lr can be assigned, not %s", at_optim_name(o), vm_describe(L, 2).text);
    double lr = vm_check_number(L, 3, at_optim_name(o), "lr");
    at_error e;
    at_error_clear(&e);
    if (!at_optim_set_lr(o, lr, &e))
        vm_raise(L, &e);
    return 0;
}

static int optim_tostring(lua_State *L)
{
    at_object *object = vm_object_at(L, 1, &at_optim_class);
    if (!object) {
        lua_pushliteral(L, "optimizer (freed)");
        return 1;
    }
    at_optim *o = (at_optim *)(void *)object;
    char text[256];
    size_t elements = 0;
    at_optim_summary(o, text, sizeof text);
    for (size_t i = 0; i < o->n; i++)
        elements += at_numel(o->slot[i].param);
    lua_pushfstring(L, "%s  %s; %I tensors, %I parameters", at_optim_name(o), text, (LUAI_UACINT)o->n,
                    (LUAI_UACINT)elements);
    return 1;
}

/* ---- clipping ---- */

/* The tensors and the limit of a clipping; the list is left on the stack. */
static at_tensor **clip_arguments(lua_State *L, const char *where, size_t *count, double *max)
{
    if (lua_type(L, 1) != LUA_TTABLE)
        vm_error(L, "%s: params is %s, expected a list of tensors%s", where, vm_describe(L, 1).text,
                 has_parameters(L, 1) ? " (model:parameters())" : "");
    *max = vm_check_number(L, 2, where, "max");
    size_t n = *count = lua_rawlen(L, 1);
    at_tensor **list = lua_newuserdatauv(L, (n ? n : 1) * sizeof *list, 0);
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "params[%zu]", i + 1);
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        list[i] = vm_check_tensor(L, -1, where, name); /* stays in the list of the script */
        lua_pop(L, 1);
    }
    return list;
}

/* clip_grad_value(params, max) */
static int clip_grad_value(lua_State *L)
{
    size_t n;
    double max;
    at_tensor **list = clip_arguments(L, "clip_grad_value", &n, &max);
    at_error e;
    at_error_clear(&e);
    vm_running = L;
    if (!at_clip_grad_value(n, list, max, &e))
        vm_raise(L, &e);
    return 0;
}

/* clip_grad_norm(params, max) -> norm */
static int clip_grad_norm(lua_State *L)
{
    size_t n;
    double max, norm = 0;
    at_tensor **list = clip_arguments(L, "clip_grad_norm", &n, &max);
    at_error e;
    at_error_clear(&e);
    vm_running = L;
    if (!at_clip_grad_norm(n, list, max, &norm, &e))
        vm_raise(L, &e);
    lua_pushnumber(L, norm);
    return 1;
}

void vm_open_optim(lua_State *L, int lib)
{
    static const luaL_Reg methods[] = {
        {"step", step}, {"zero_grad", zero_grad}, {"state", state}, {"load", load}, {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__newindex", newindex_optim},
        {"__tostring", optim_tostring},
        {"__gc", vm_free_object},
        {"__close", vm_free_object},
        {NULL, NULL}};
    static const vm_doc docs[] = {
        {"clip_grad_norm", "clip_grad_norm(params, max) -> norm\n"
                           "The 2-norm of all gradients together; they are scaled by min(1, max / (norm + 1e-6))."},
        {"clip_grad_value", "clip_grad_value(params, max)\n"
                            "Every element of every gradient is cut to -max .. max."},
        {"optimizer:step", "opt:step()\nMoves every parameter that has a gradient."},
        {"optimizer:zero_grad", "opt:zero_grad()\nDrops the gradients of the parameters."},
        {"optimizer:state", "opt:state() -> table\n"
                            "{kind =, lr =, params = {{step =, ...}, ...}}, for attn.save and load."},
        {"optimizer:load", "opt:load(state)\nCopies a state; an error lists every difference to this optimizer's."},
        {NULL, NULL}};
    luaL_newmetatable(L, at_optim_class.name);
    vm_set_functions(L, -1, meta);
    lua_newtable(L);
    vm_set_functions(L, -1, methods);
    lua_pushcclosure(L, index_optim, 1);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "optimizer");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_newtable(L);
    for (const at_optim_entry *entry = at_optims; entry->of[0]; entry++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)entry);
        lua_pushcclosure(L, construct, 1);
        lua_setfield(L, -2, entry->of[0]->name);
    }
    lua_setfield(L, lib, "optim");
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.docs");
    for (const at_optim_entry *entry = at_optims; entry->of[0]; entry++) {
        lua_pushfstring(L, "optim.%s", entry->of[0]->name);
        lua_pushlightuserdata(L, (void *)(uintptr_t)entry->of[0]->help);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, clip_grad_norm);
    lua_setfield(L, lib, "clip_grad_norm");
    lua_pushcfunction(L, clip_grad_value);
    lua_setfield(L, lib, "clip_grad_value");
    vm_describe_functions(L, docs);
}
