/*
 * Differentiation from scripts: backward, grad, no_grad, anomaly, custom. checkgrad is stdlib/checkgrad.lua.
 *
 * attn.custom is the one node whose backward pass runs Lua. Its Lua values (the backward function and ctx) are user values of a record
 * that hangs in a registry table while the node lives. The results of the node are copies of what forward returned, so that a
 * ctx that keeps its results makes no cycle through the registry.
 */
#include "vm/bind.h"

#include <stdlib.h>
#include <string.h>

static int backward(lua_State *L)
{
    at_error e;
    for (int attempt = 0;; attempt++) {
        at_tensor *loss = vm_check_tensor(L, 1, "backward", "self");
        at_tensor *gradient = lua_isnoneornil(L, 2) ? NULL : vm_check_tensor(L, 2, "backward", "gradient");
        at_error_clear(&e);
        vm_running = L;
        bool ok = at_backward(loss, gradient, &e);
        vm_bury(L);
        if (ok)
            break;
        vm_retry(L, &e, attempt);
    }
    vm_account(L);
    return 0;
}

static int gradients(lua_State *L)
{
    vm_check_tensor(L, 1, "grad", "output");
    lua_settop(L, 3);
    if (lua_type(L, 2) != LUA_TTABLE)
        vm_error(L, "grad: inputs are %s, expected a list of tensors", vm_describe(L, 2).text);
    size_t n = lua_rawlen(L, 2);
    if (n == 0 || n > 10000)
        vm_error(L, "grad: %zu inputs, expected 1 to 10000", n);
    at_tensor **x = lua_newuserdatauv(L, 2 * n * sizeof *x, 0), **result = x + n;
    lua_createtable(L, (int)n, 0);
    for (size_t k = 0; k < n; k++) {
        vm_push_box(L);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    at_error e;
    for (int attempt = 0;; attempt++) {
        at_tensor *output = vm_check_tensor(L, 1, "grad", "output");
        at_tensor *gradient = lua_isnoneornil(L, 3) ? NULL : vm_check_tensor(L, 3, "grad", "gradient");
        for (size_t k = 0; k < n; k++) {
            lua_rawgeti(L, 2, (lua_Integer)k + 1);
            x[k] = vm_check_tensor(L, -1, "grad", "input");
            if (!at_needs_grad(x[k]))
                vm_error(L, "grad: input %zu neither requires nor carries a gradient (%s)%s", k + 1,
                         at_describe(x[k]).text, at_grad_enabled ? "" : "; recording is off");
            lua_pop(L, 1);
            result[k] = NULL;
        }
        at_error_clear(&e);
        vm_running = L;
        bool ok = at_gradients(output, gradient, n, x, result, &e);
        vm_bury(L);
        if (ok)
            break;
        vm_retry(L, &e, attempt);
    }
    for (size_t k = 0; k < n; k++) {
        lua_rawgeti(L, -1, (lua_Integer)k + 1);
        vm_tensor_at(L, -1)->t = result[k];
        lua_pop(L, 1);
    }
    for (size_t k = 0; k < n; k++)
        if (!result[k]) {
            lua_pushboolean(L, false);
            lua_rawseti(L, -2, (lua_Integer)k + 1);
        }
    vm_account(L);
    return 1;
}

static int with_recording(lua_State *L, const char *where, bool on)
{
    vm_check_function(L, 1, where, "fn");
    bool before = at_grad_enabled;
    at_grad_enabled = on;
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    at_grad_enabled = before;
    return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int no_grad(lua_State *L) { return with_recording(L, "no_grad", false); }

/* attn.precision([word [, fn, ...]]) */
static int precision(lua_State *L)
{
    static const char *const words[] = {[AT_PRECISION_FLOAT32] = "float32", [AT_PRECISION_BF16] = "bf16"};
    at_precision before = at_precision_now(), wanted = before;
    if (lua_gettop(L) == 0) {
        lua_pushstring(L, words[before]);
        return 1;
    }
    const char *word = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";
    for (wanted = AT_PRECISION_FLOAT32; strcmp(word, words[wanted]) != 0; wanted++)
        if (wanted == AT_PRECISION_BF16)
            vm_error(L, "precision: argument 1 is %s, expected \"float32\" or \"bf16\"", vm_describe(L, 1).text);
    if (lua_gettop(L) == 1) {
        at_set_precision(wanted);
        return 0;
    }
    vm_check_function(L, 2, "precision", "fn");
    at_set_precision(wanted);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    at_set_precision(before);
    return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

/* attn.internal.recorded(fn, ...): for a backward function that makes a graph of its own (stdlib/checkpoint.lua) */
static int recorded(lua_State *L) { return with_recording(L, "recorded", true); }

/* The engine calls this in the middle of its work: nothing here may allocate in Lua, which raises and runs finalizers. */
static void where_hook(const char **source, int *line)
{
    /* kept for good: nodes have the pointer, and a script has few sources */
    static struct source {
        struct source *next;
        char text[LUA_IDSIZE];
    } * sources;
    char place[LUA_IDSIZE];
    if (!vm_running || !vm_script_place(vm_running, place, sizeof place, line))
        return;
    struct source *s = sources;
    while (s && strcmp(s->text, place) != 0)
        s = s->next;
    if (!s && (s = malloc(sizeof *s))) {
        memcpy(s->text, place, sizeof place);
        s->next = sources;
        sources = s;
    }
    *source = s ? s->text : NULL;
}

static int anomaly(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TBOOLEAN)
        vm_error(L, "anomaly: argument is %s, expected true or false", vm_describe(L, 1).text);
    at_anomaly = lua_toboolean(L, 1);
    at_where = at_anomaly ? where_hook : NULL;
    return 0;
}

/* ---- custom ---- */

/* A userdata with user values BACKWARD and CTX. */
typedef struct custom_record {
    vm_kept kept;
    size_t n_out;
    at_tensor *out[AT_MAX_OUT]; /* what the script's forward returned; during shape only */
} custom_record;
enum { BACKWARD = 1, CTX };

static bool custom_shape(at_call *c)
{
    custom_record *r = c->extra;
    for (size_t k = 0; k < r->n_out; k++) {
        at_tensor *t = r->out[k];
        if (!at_out_type(c, (at_dtype)t->dtype, t->ndim, t->size))
            return false;
        at_copy_elements(c->out[k], t);
    }
    return true;
}

typedef struct custom_pass {
    at_call *c;
    at_tensor *const *dy, *const *dx;
} custom_pass;

/* Runs the script's backward: ctx, then a gradient per output; it returns a gradient (or nil) per input. */
static int protected_backward(lua_State *L)
{
    const custom_pass *p = lua_touserdata(L, 1);
    at_call *c = p->c;
    lua_settop(L, 0);
    luaL_checkstack(L, AT_MAX_OUT + c->n_in + 8, "custom");
    vm_push_kept(L, c->extra);
    int record = lua_gettop(L);
    lua_getiuservalue(L, record, BACKWARD);
    lua_getiuservalue(L, record, CTX);
    for (int k = 0; k < c->n_out; k++) {
        const at_tensor *dy = p->dy[k];
        if (dy) {
            at_error e;
            at_error_clear(&e);
            vm_tensor_box *box = vm_push_box(L);
            at_tensor *copy = at_tensor_new((at_dtype)dy->dtype, dy->ndim, dy->size, &e);
            if (!copy)
                vm_raise(L, &e);
            at_copy_elements(copy, dy);
            box->t = copy;
        } else {
            lua_pushnil(L);
        }
    }
    lua_call(L, 1 + c->n_out, c->n_in);
    for (int k = 0; k < c->n_in; k++) {
        at_tensor *dx = p->dx[k];
        int at = lua_gettop(L) - c->n_in + 1 + k;
        if (!dx || lua_isnil(L, at))
            continue;
        at_tensor *g = vm_check_tensor(L, at, "custom", "a gradient");
        if (g->dtype != dx->dtype || !at_same_shape(g, dx))
            vm_error(L, "custom: gradient %d is %s, expected %s", k + 1, at_describe(g).text, at_describe(dx).text);
        at_add_elements(dx, g);
    }
    return 0;
}

static bool custom_backward(at_call *c, at_tensor *const *dy, at_tensor *const *dx, at_error *e)
{
    custom_pass p = {c, dy, dx};
    lua_State *L = vm_running;
    if (!lua_checkstack(L, 8))
        return at_error_set(e, "custom: the Lua stack is full");
    bool before = at_grad_enabled;
    at_grad_enabled = false;
    lua_pushcfunction(L, protected_backward);
    lua_pushlightuserdata(L, &p);
    int status = lua_pcall(L, 1, 0, 0);
    vm_running = L;
    at_grad_enabled = before;
    if (status == LUA_OK)
        return true;
    const char *text = lua_tostring(L, -1);
    e->placed = text != NULL && !e->failed;
    at_error_set(e, "%s", text ? text : "custom: the backward function raised a value that is no string");
    lua_pop(L, 1);
    return false;
}

static const at_op custom_op = {
    .name = "custom",
    .dtype = AT_DTYPES,
    .args = {{"inputs", AT_LIST}},
    .shape = custom_shape,
    .custom = custom_backward,
    .strided = true,
    .internal = true,
    .keeps = AT_KEEP_NOTHING,
    .outs = AT_MAX_OUT,
};

/* The tensors among the n arguments into in[]; how many. */
static int custom_inputs(lua_State *L, int n, at_tensor **in)
{
    int n_in = 0;
    for (int k = 1; k <= n; k++)
        if (vm_tensor_at(L, k)) {
            if (n_in == AT_MAX_CUSTOM)
                vm_error(L, "custom: more than %d tensors", AT_MAX_CUSTOM);
            in[n_in++] = vm_check_tensor(L, k, "custom", NULL);
        }
    if (n_in == 0)
        vm_error(L, "custom: no tensor among the arguments");
    return n_in;
}

/* forward(ctx, the n arguments), unrecorded; ctx and behind it the results are on top, how many results. */
static int custom_results(lua_State *L, int n)
{
    lua_newtable(L);
    int ctx = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, ctx);
    for (int k = 1; k <= n; k++)
        lua_pushvalue(L, k);
    bool before = at_grad_enabled;
    at_grad_enabled = false;
    int status = lua_pcall(L, n + 1, LUA_MULTRET, 0);
    at_grad_enabled = before;
    if (status != LUA_OK)
        lua_error(L);
    int n_out = lua_gettop(L) - ctx;
    if (n_out < 1 || n_out > AT_MAX_OUT)
        vm_error(L, "custom: forward returned %d values, expected 1 to %d tensors", n_out, AT_MAX_OUT);
    for (int k = 1; k <= n_out; k++)
        vm_check_tensor(L, ctx + k, "custom", "a result of forward");
    return n_out;
}

/* The n_out results behind place ctx as tensors of the tape, made of the first n places: pushed, in their order. */
static void record_custom(lua_State *L, int n, int ctx, int n_out)
{
    at_tensor *in[AT_MAX_CUSTOM];
    int results = ctx + 1;
    vm_tensor_box *box[AT_MAX_OUT];
    custom_record *r = lua_newuserdatauv(L, sizeof *r, 2);
    memset(r, 0, sizeof *r);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setiuservalue(L, -2, BACKWARD);
    lua_pushvalue(L, ctx);
    lua_setiuservalue(L, -2, CTX);
    r->n_out = (size_t)n_out;
    for (int k = 0; k < n_out; k++)
        box[k] = vm_push_box(L);
    at_error e;
    for (int attempt = 0;; attempt++) {
        static const at_op_entry entry = {{&custom_op, &custom_op, &custom_op, &custom_op, &custom_op}};
        at_error_clear(&e);
        for (int k = 0; k < n_out; k++)
            r->out[k] = vm_check_tensor(L, results + k, "custom", "a result of forward");
        int n_in = custom_inputs(L, n, in);
        lua_pushvalue(L, results + n_out);
        vm_keep(L, &r->kept); /* from here to the end of the call nothing raises */
        at_call *c = at_call_new(&entry, (size_t)n_in, &e);
        if (c) {
            memcpy(c->in, in, (size_t)n_in * sizeof *in);
            c->extra = r;
            vm_running = L;
            bool ok = at_call_run(c, &e);
            if (!ok)
                c->extra = NULL;
            for (int k = 0; ok && k < n_out; k++)
                box[k]->t = at_call_take(c, k);
            at_call_end(c);
            if (ok)
                break;
        }
        vm_kept_gone(r);
        vm_bury(L);
        vm_retry(L, &e, attempt);
    }
    vm_account(L);
}

/* f(...) of attn.custom; upvalues 1, 2: forward and backward. */
static int call_custom(lua_State *L)
{
    int n = lua_gettop(L);
    at_tensor *in[AT_MAX_CUSTOM];
    custom_inputs(L, n, in);
    luaL_checkstack(L, n + 2 * AT_MAX_OUT + 12, "custom");
    int n_out = custom_results(L, n), n_in = custom_inputs(L, n, in); /* again: the script's code has run */
    bool record = false;
    for (int k = 0; k < n_in; k++)
        record = record || (at_grad_enabled && at_needs_grad(in[k]));
    if (record)
        record_custom(L, n, n + 1, n_out);
    return n_out;
}

static int custom(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TTABLE)
        vm_error(L, "custom: argument is %s, expected a table {forward =, backward =}", vm_describe(L, 1).text);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        if (strcmp(name, "forward") != 0 && strcmp(name, "backward") != 0)
            vm_error(L, "custom: unknown field '%.40s' (known: forward, backward)", name);
    }
    for (int k = 0; k < 2; k++)
        if (lua_getfield(L, 1, k ? "backward" : "forward") != LUA_TFUNCTION)
            vm_error(L, "custom: %s is %s, expected a function", k ? "backward" : "forward", vm_describe(L, -1).text);
    lua_pushcclosure(L, call_custom, 2);
    return 1;
}

void vm_open_graph(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {{"grad", gradients},  {"no_grad", no_grad}, {"precision", precision},
                                         {"anomaly", anomaly}, {"custom", custom},   {NULL, NULL}};
    static const vm_doc docs[] = {
        {"tensor:backward", "t:backward([gradient])\n"
                            "Adds d t / d x into x.grad of every leaf x that requires a gradient, and frees the graph. "
                            "t has one element,\n"
                            "or gradient (of t's shape) is the gradient with respect to it."},
        {"grad",
         "grad(output, {inputs}, [gradient]) -> list of gradients\n"
         "Gradients with respect to these tensors only, leaves or results; false where output does not depend on one.\n"
         "Nothing is added to .grad; the graph is freed."},
        {"precision",
         "precision([word [, fn, ...]]) -> word, or what fn(...) returns\n"
         "What products of float32 tensors take: \"float32\", or \"bf16\", their inputs rounded to bfloat16 (8 bits "
         "of\n"
         "fraction) and their sums in float32: matmul, linear, einsum, recurrent steps, convolutions, the two "
         "products\n"
         "of attention. Everything else stays float32, parameters and optimizers too; float64 is not touched. Where "
         "the\n"
         "processor has a matrix unit (AMX) products are several times faster, elsewhere slower, with the same bits.\n"
         "With fn only while that runs, also if it fails. A backward pass takes what is set when it runs."},
        {"no_grad", "no_grad(fn, ...) -> what fn(...) returns\nCalls fn; nothing inside is recorded."},
        {"anomaly", "anomaly(true or false)\n"
                    "On: the first NaN, or infinity made from finite inputs, of a forward or backward pass is an error "
                    "that names the\n"
                    "operation that made it and the script line that called it; or the tensor that brought the NaN."},
        {"custom",
         "custom{forward = function(ctx, ...) end, backward = function(ctx, grad...) end} -> function\n"
         "A function with a hand-written backward pass: forward gets the arguments and keeps in the table ctx what\n"
         "backward needs; backward returns a gradient (or nil) for each tensor argument."},
        {NULL, NULL}};
    at_free_extra = vm_kept_gone;
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.methods");
    lua_getfield(L, -1, VM_TENSOR);
    lua_pushcfunction(L, backward);
    lua_setfield(L, -2, "backward");
    lua_pop(L, 2);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    lua_pushcfunction(L, recorded);
    lua_setfield(L, -2, "recorded");
    lua_pop(L, 1);
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
}
