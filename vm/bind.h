/*
 * What the files of the binding share. Any lua_ call may raise: own nothing on the C side across one. Check arguments first, push
 * an empty box second, allocate third; from then on the box owns it.
 *
 * Any lua_ call that allocates may run a finalizer, which may free, close and replace whatever it reaches. A tensor or object got from a
 * box before stays whole until the function returns (release.c), but a box may be empty, a table changed and a string gone: look again,
 * and keep strings on the stack. Where a function calls the script knowingly (lua_call, lua_pcall) it holds nothing.
 */
#ifndef VM_BIND_H
#define VM_BIND_H

#include "attn/attn.h"
#include "vm/vm.h"

/* ---- box.c ---- */

/* Userdata are told apart by size and a word no script can write, so that swapped metatables cannot confuse a type. */
typedef struct vm_tensor_box {
    uint64_t magic;
    at_tensor *t; /* NULL once freed */
} vm_tensor_box;

typedef struct vm_object_box {
    uint64_t magic;
    at_object *o;
    void *spare; /* another size than a tensor's box */
} vm_object_box;

#define VM_TENSOR "attn.tensor"

/* The box at a stack place, NULL if there is another value. */
vm_tensor_box *vm_tensor_at(lua_State *L, int at);
/* The object of a class at a stack place (class NULL: any), NULL if there is another value. */
at_object *vm_object_at(lua_State *L, int at, const at_class *class);

/* Pushes an empty box; fill it without a lua_ call in between. */
vm_tensor_box *vm_push_box(lua_State *L);
vm_object_box *vm_push_object_box(lua_State *L, const at_class *class);

/* Whether there is an instance of attn.module; the userdata of one, with user values, as yet without a metatable. */
bool vm_is_module(lua_State *L, int at);
void vm_push_module_box(lua_State *L, int values);

/* Pushes a new handle of t (retained, so t must be anchored elsewhere while this runs); nil for NULL. */
void vm_push_tensor(lua_State *L, at_tensor *t);
void vm_push_object(lua_State *L, at_object *o);

/* __gc and __close of every class of objects. */
int vm_free_object(lua_State *L);

/* The tensor of argument `at`, or the error "where: name is ..., expected a tensor". Never a freed one. */
at_tensor *vm_check_tensor(lua_State *L, int at, const char *where, const char *name);
/* The same, also a weight kept for inference, which the others take for no tensor. */
at_tensor *vm_check_any_tensor(lua_State *L, int at, const char *where, const char *name);
at_object *vm_check_object(lua_State *L, int at, const at_class *class, const char *where);

/* A zeroed userdata that owns what is put into it until `end`, its __gc and __close, lets that go. Scripts can reach `end` by way of
 * debug.getmetatable and call it with anything, any number of times. */
void *vm_push_owner(lua_State *L, size_t bytes, const char *name, lua_CFunction end);
/* A chunk of memory that goes with its box. */
at_arena *vm_push_arena(lua_State *L);
/* A builder that goes with its box: at_build_end runs when the box is collected, if it has not before. */
at_build *vm_push_build(lua_State *L, const char *where, at_error *e);

/* The table that lists boxes made in the innermost attn.scope as keys: pushes it, nil and false if none is running. Between enter and
 * leave that is the table at stack place `made`; `outer` is where the one before stands. */
bool vm_scope_push(lua_State *L);
void vm_scope_enter(lua_State *L, int made);
void vm_scope_leave(lua_State *L, int outer);

/* print.c: __tostring of a tensor. */
int vm_tensor_tostring(lua_State *L);

/* ---- bind_value.c ---- */

/* "a string", "nil", "float32 [2, 3]", "a table": the value at a stack place, for messages. */
at_text vm_describe(lua_State *L, int at);

/* Argument 1, a path: not empty, no byte 0. */
const char *vm_check_path(lua_State *L, const char *where);

/* Reads a Lua value; tables become at_tables in the arena (nested at most 16 deep), strings are borrowed from the Lua stack.
 * What no layer can take (functions, threads, modules) becomes AT_OTHER, for the layer's own message. */
at_value vm_read_value(lua_State *L, int at, at_arena *arena, const char *where);
void vm_push_value(lua_State *L, at_value v);

/* The text for one argument or result that is a dtype option: raises if the name is unknown. */
at_dtype vm_check_dtype(lua_State *L, int at, const char *where);

/* The argument is a function, or a value that can be called (a layer, a module). */
void vm_check_function(lua_State *L, int at, const char *where, const char *name);

/* A number or integer argument of a hand-written function: strings are refused. */
int64_t vm_check_integer(lua_State *L, int at, const char *where, const char *name);
double vm_check_number(lua_State *L, int at, const char *where, const char *name);

/* Sizes from `at` on: numbers, or one table of numbers. Returns how many; *next is the place after them. */
size_t vm_check_sizes(lua_State *L, int at, size_t *size, int *next, const char *where);

/* ---- bind_module.c ---- */

/* Pushes the table of functions that layers and modules share (parameters, state, ...), and their __tostring. */
void vm_push_protocol(lua_State *L);
void vm_protocol_tostring(lua_State *L);

/* ---- bind_op.c ---- */

/* True while a function of the script is called with symbols; whether there is one at a stack place; and what the operation `name` is of
 * the values on the stack, one of which is one. */
extern bool vm_symbolic;
bool vm_is_symbol(lua_State *L, int at);
int vm_apply_symbolic(lua_State *L, const char *name);

/* ---- raise.c ---- */

/* Raises the record's message at the script's own line. Does not return. `failed` is the layer that failed, if that is not the one
 * that the running function was called with: where a module runs that holds the layer, the path to it stands before the message. */
_Noreturn void vm_raise(lua_State *L, const at_error *e);
_Noreturn void vm_raise_of(lua_State *L, const at_error *e, at_object *failed);
_Noreturn void vm_raise_text(lua_State *L, const char *text);
_Noreturn void vm_error(lua_State *L, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For loops of the binding's own, and after work of the engine's that reports no errors: raises "interrupted!" if Ctrl-C came. */
_Noreturn void vm_interrupted(lua_State *L);
static inline void vm_poll(lua_State *L)
{
    if (at_cut_short())
        vm_interrupted(L);
}

/* Line and source of the innermost frame that is not the library's; false if there is none. */
bool vm_script_place(lua_State *L, char *source, size_t room, int *line);

/* ---- release.c ---- */

/* To be called at the start of a function that lets go of what scripts can reach (free, zero_grad, an assignment): in a finalizer
 * the last releases wait, else those that waited take place; true if values of custom functions went with them. */
bool vm_releases(lua_State *L);
/* What a userdata begins with that a node of the graph keeps. vm_keep: it is the value on top, and popped; it lives until vm_kept_gone
 * was called for it (which needs no state) and then vm_bury. */
typedef struct vm_kept {
    struct vm_kept *next; /* among those that are gone */
} vm_kept;
void vm_keep(lua_State *L, vm_kept *k);
void vm_push_kept(lua_State *L, const vm_kept *k);
void vm_kept_gone(void *kept);
/* Lets go of those that are gone, if there are any; to be called where nodes may have been freed. */
bool vm_bury(lua_State *L);

/* ---- bind_profile.c ---- */

/* The layer or module at a stack place runs until the value that is pushed here is closed, which it is with the function: 1, the number
 * of values pushed. 0 and nothing while the profiler is off. */
int vm_profile_enter(lua_State *L, int at);

/* ---- gc.c ---- */

/* To be called when a result is boxed and no other tensor or object is looked at any more: what waited is released, and a full
 * collection made when live bytes have passed the budget. */
void vm_account(lua_State *L);
/* A collection because an allocation failed. Raises nothing. */
void vm_collect(lua_State *L);
/* After an attempt (from 0) that failed and left nothing: a collection if it was the first and memory was short; else raises. */
void vm_retry(lua_State *L, const at_error *e, int attempt);

/* ---- scope.c ---- */

/* Takes the tensors among the values from..to of the stack, and in tables there, out of every scope that is running. */
void vm_scope_keep(lua_State *L, int from, int to);

/* ---- registration; each pushes nothing and adds to the library's table at stack place `lib` ---- */

void vm_open_tensor(lua_State *L, int lib);
void vm_open_op(lua_State *L, int lib);
void vm_open_graph(lua_State *L, int lib);
void vm_open_layer(lua_State *L, int lib);
void vm_open_cache(lua_State *L);
void vm_open_module(lua_State *L, int lib);
void vm_open_optim(lua_State *L, int lib);
void vm_open_io(lua_State *L, int lib);
void vm_open_random(lua_State *L, int lib);
void vm_open_sys(lua_State *L, int lib);
void vm_open_process(lua_State *L);
void vm_open_gc(lua_State *L, int lib);
void vm_open_scope(lua_State *L, int lib);
void vm_open_profile(lua_State *L);
void vm_open_json(lua_State *L, int lib);
void vm_open_text(lua_State *L, int lib);

/* Adds {name=, signature=, help=} to the registry of documentation (help.lua reads it): name under attn, "tensor:item" for a method. */
typedef struct vm_doc {
    const char *name, *help; /* the first line of help is the signature */
} vm_doc;
void vm_describe_functions(lua_State *L, const vm_doc *doc);

/* Sets fields of the table on top: functions with a first upvalue each of the tensor metatable. */
void vm_set_functions(lua_State *L, int table, const luaL_Reg *f);
/* The table in `lib` that holds the last part of a dotted name: pushes it, making tables on the way; that part. */
const char *vm_push_path(lua_State *L, int lib, const char *path);

/* The lua_State that runs now, for hooks from the engine. */
extern lua_State *vm_running;

#endif
