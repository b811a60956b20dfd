/*
 * attn.module: classes written in Lua whose instances hold layers, tensors and other modules. An instance is a userdata with three user
 * values: its fields, the names of the fields in order of assignment, its class. What instances can do (parameters, state, load,
 * train ...) is stdlib/module.lua, shared with the layers written in C and loaded when first asked for.
 */
#include "vm/bind.h"

#include <string.h>

enum { FIELDS = 1, ORDER, CLASS };

#define MODULE "attn.module"

static void check_module(lua_State *L, int at, const char *where)
{
    if (!vm_is_module(L, at))
        vm_error(L, "%s: %s is no module", where, vm_describe(L, at).text);
}

/* ---- the protocol: a table of functions that load stdlib/module.lua on their first call ---- */

static const char *const protocol[] = {"parameters", "named_parameters", "state",     "load",  "train", "eval",
                                       "to",         "to_inference",     "zero_grad", "count", NULL};

/* upvalue 1: the function's name */
static int call_protocol(lua_State *L)
{
    int n = lua_gettop(L);
    vm_require(L, "module");
    lua_getfield(L, -1, lua_tostring(L, lua_upvalueindex(1)));
    lua_insert(L, 1);
    lua_pop(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

void vm_push_protocol(lua_State *L)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, "attn.protocol") == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    for (int k = 0; protocol[k]; k++) {
        lua_pushstring(L, protocol[k]);
        lua_pushcclosure(L, call_protocol, 1);
        lua_setfield(L, -2, protocol[k]);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "attn.protocol");
}

void vm_protocol_tostring(lua_State *L)
{
    lua_pushstring(L, "tostring");
    lua_pushcclosure(L, call_protocol, 1);
}

/* ---- instances ---- */

/* self.name: a field, else what the class (or the classes it inherits from) has. */
static int index_module(lua_State *L)
{
    check_module(L, 1, "index");
    lua_getiuservalue(L, 1, FIELDS);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL)
        return 1;
    lua_getiuservalue(L, 1, CLASS);
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    return 1;
}

/* self.name = value where the class has a method of that name: every later call of the method would find the value. A function is
 * meant to replace it. */
static void check_shadow(lua_State *L)
{
    if (lua_isnil(L, 3) || lua_isfunction(L, 3) || lua_type(L, 2) != LUA_TSTRING)
        return;
    lua_getiuservalue(L, 1, CLASS);
    lua_pushvalue(L, 2);
    if (lua_gettable(L, 4) == LUA_TFUNCTION) {
        lua_getfield(L, 4, "__name");
        vm_error(L, "%.80s: field '%.80s' is %s, but the class has a method of that name: call the field otherwise",
                 luaL_tolstring(L, -1, NULL), lua_tostring(L, 2), vm_describe(L, 3).text);
    }
    lua_settop(L, 3);
}

static int newindex_module(lua_State *L)
{
    check_module(L, 1, "assignment");
    lua_settop(L, 3);
    check_shadow(L);
    lua_getiuservalue(L, 1, FIELDS);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, 4) == LUA_TNIL && !lua_isnil(L, 3)) {
        lua_getiuservalue(L, 1, ORDER);
        lua_pushvalue(L, 2);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        lua_pop(L, 1);
    }
    if (lua_isnil(L, 3)) {
        lua_getiuservalue(L, 1, ORDER);
        lua_Integer n = (lua_Integer)lua_rawlen(L, -1), to = 0;
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, -1, i);
            if (lua_rawequal(L, -1, 2))
                lua_pop(L, 1);
            else
                lua_rawseti(L, -2, ++to);
        }
        for (lua_Integer i = to + 1; i <= n; i++) {
            lua_pushnil(L);
            lua_rawseti(L, -2, i);
        }
    }
    vm_scope_keep(L, 3, 3); /* what a module holds outlives the scope it was made in */
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, 4);
    return 0;
}

static int call_module(lua_State *L)
{
    check_module(L, 1, "call");
    lua_getfield(L, 1, "forward");
    if (lua_isnil(L, -1)) {
        lua_getiuservalue(L, 1, CLASS);
        lua_getfield(L, -1, "__name");
        vm_error(L, "%s: the class has no method forward", luaL_tolstring(L, -1, NULL));
    }
    lua_pushvalue(L, 1); /* 1 stays: it says which module runs (raise.c) */
    lua_insert(L, 2);
    lua_insert(L, 2);
    int n = lua_gettop(L), open = vm_profile_enter(L, 1);
    if (open) {
        luaL_checkstack(L, n, "module");
        for (int k = 2; k <= n; k++)
            lua_pushvalue(L, k);
    }
    lua_call(L, n - 2, LUA_MULTRET);
    return lua_gettop(L) - (open ? n + 1 : 1);
}

/* Class(...): a new instance, then class.init(self, ...) */
static int instantiate(lua_State *L)
{
    int n = lua_gettop(L);
    vm_push_module_box(L, 3);
    lua_newtable(L);
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "training");
    lua_setiuservalue(L, -2, FIELDS);
    lua_newtable(L);
    lua_setiuservalue(L, -2, ORDER);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, CLASS);
    luaL_setmetatable(L, MODULE);
    if (lua_getfield(L, 1, "init") == LUA_TNIL) {
        lua_pop(L, 1);
        return 1;
    }
    luaL_checkstack(L, n + 2, "module");
    lua_pushvalue(L, n + 1);
    for (int k = 2; k <= n; k++)
        lua_pushvalue(L, k);
    lua_call(L, n, 0);
    return 1;
}

/* attn.module(name [, base]) */
static int module(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING)
        vm_error(L, "module: name is %s, expected a string", vm_describe(L, 1).text);
    bool inherits = !lua_isnoneornil(L, 2);
    if (inherits && (lua_type(L, 2) != LUA_TTABLE || !luaL_getmetafield(L, 2, "attn_class")))
        vm_error(L, "module: base is %s, expected a class made by attn.module", vm_describe(L, 2).text);
    lua_settop(L, 2);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "__name");
    lua_newtable(L);
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "attn_class");
    lua_pushcfunction(L, instantiate);
    lua_setfield(L, -2, "__call");
    if (inherits)
        lua_pushvalue(L, 2);
    else
        vm_push_protocol(L);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    return 1;
}

/* For stdlib/module.lua: fields(instance) -> table of fields, list of names, class */
static int fields(lua_State *L)
{
    check_module(L, 1, "fields");
    lua_getiuservalue(L, 1, FIELDS);
    lua_getiuservalue(L, 1, ORDER);
    lua_getiuservalue(L, 1, CLASS);
    return 3;
}

void vm_open_module(lua_State *L, int lib)
{
    static const luaL_Reg meta[] = {
        {"__index", index_module}, {"__newindex", newindex_module}, {"__call", call_module}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"module",
         "module(name [, base]) -> class\n"
         "A class whose instances hold layers, tensors and other modules in fields, also in tables: self.parts =\n"
         "{conv = layer} is called parts.conv, a list's first entry blocks.1. Define class:init(...) and\n"
         "class:forward(...); Class(...) makes an instance, instance(...) calls forward. Instances have parameters,\n"
         "named_parameters, state, load, train, eval, to, to_inference, zero_grad and count as layers do. An error of "
         "a\n"
         "layer says where it stands: Translator.decoder.attention: key has width 7, expected 4."},
        {"module:to_inference",
         "m:to_inference(\"bf16\" | \"int8\") -> m, a layer or module that generates faster and trains no more\n"
         "The matrices that only products with rows and look-ups read (linear, embedding, maxout, encoder.rnn, cell, "
         "attention's "
         "projections,\n"
         "the feed-forward parts of Transformers, the read-outs of decoders) are kept in bfloat16, or in int8 with a\n"
         "float32 scale for each row (the largest magnitude / 127), in place: a half and a quarter of the memory, "
         "which is\n"
         "what generation of a token at a time waits for. Sums and all else stay float32. m goes to eval and its "
         "parameters\n"
         "want no gradient; train, load and optimizers refuse it. m:to(\"float32\") is the way back, with rounded "
         "weights:\n"
         "m:load the exact ones. Convert after loading; safetensors.save writes BF16, and I8 with NAME.scale."},
        {NULL, NULL}};
    luaL_newmetatable(L, MODULE);
    vm_set_functions(L, -1, meta);
    vm_protocol_tostring(L);
    lua_setfield(L, -2, "__tostring");
    lua_pushstring(L, "module");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    lua_pushcfunction(L, fields);
    lua_setfield(L, -2, "fields");
    lua_pop(L, 1);
    lua_pushcfunction(L, module);
    lua_setfield(L, lib, "module");
    vm_describe_functions(L, docs);
}
