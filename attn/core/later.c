/* Last releases that wait: see later.h. */
#include "attn/core/later.h"

bool at_later;
static at_tensor *tensors;
static at_object *objects;

void at_later_tensor(at_tensor *t)
{
    t->next = tensors;
    tensors = t;
}

void at_later_object(at_object *o)
{
    o->next = objects;
    objects = o;
}

void at_let_go(void)
{
    at_later = false;
    for (at_object *o; (o = objects);) {
        objects = o->next;
        at_object_release(o);
    }
    for (at_tensor *t; (t = tensors);) {
        tensors = t->next;
        at_release(t);
    }
}
