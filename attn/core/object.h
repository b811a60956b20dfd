/* What scripts hold besides tensors: reference-counted, with a class that says how it ends. */
#ifndef AT_CORE_OBJECT_H
#define AT_CORE_OBJECT_H

#include <stdint.h>

/* Layers, caches, what readers give. */
typedef struct at_object {
    const struct at_class *class;
    uint32_t refs;
    struct at_object *next; /* among those whose last release waits (later.h) */
} at_object;

typedef struct at_class {
    const char *name; /* "attn.layer" */
    void (*destroy)(at_object *o);
} at_class;

/* "layer" of "attn.layer" */
const char *at_class_word(const at_class *class);

at_object *at_object_retain(at_object *o);
void at_object_release(at_object *o);

#endif
