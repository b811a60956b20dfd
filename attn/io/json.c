/*
 * Reading JSON with jansson, out of memory included: of a failed allocation it may lose a character of a token or abort. So an
 * allocation never returns to it in vain; the reading is left instead, and all it had made goes with its arena. This is the one
 * longjmp of the library: over frames of jansson only, which own nothing but memory. A Ctrl-C leaves in the same way.
 */
#include "attn/io/io.h"

#include "attn/core/parallel.h"

#include <jansson.h>
#include <setjmp.h>

static struct {
    jmp_buf out;
    at_arena *arena;
    at_error *e;
    const char *what;
} reading;

static void *take(size_t bytes)
{
    void *block = at_uninterrupted(reading.e) ? at_arena_alloc(reading.arena, bytes) : NULL;
    if (!block) {
        at_error_memory(reading.e, reading.what, bytes);
        longjmp(reading.out, 1);
    }
    return block;
}

static void leave(void *block) { (void)block; /* with the arena */ }

struct json_t *at_json_read(const char *text, size_t n, size_t flags, const char *what, at_arena *arena,
                            struct json_error_t *error, at_error *e)
{
    json_malloc_t before_malloc;
    json_free_t before_free;
    json_t *volatile root = NULL;
    reading.arena = arena;
    reading.e = e;
    reading.what = what;
    json_get_alloc_funcs(&before_malloc, &before_free);
    json_set_alloc_funcs(take, leave);
    if (setjmp(reading.out) == 0)
        root = json_loadb(text, n, flags, error);
    json_set_alloc_funcs(before_malloc, before_free); /* a module of the script's may use jansson too */
    if (!root)
        at_arena_free(arena);
    return root;
}
