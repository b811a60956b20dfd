/* Objects: see object.h. */
#include "attn/core/object.h"

#include "attn/core/later.h"

#include <string.h>

const char *at_class_word(const at_class *class)
{
    const char *dot = strrchr(class->name, '.');
    return dot ? dot + 1 : class->name;
}

at_object *at_object_retain(at_object *o)
{
    if (o)
        o->refs++;
    return o;
}

void at_object_release(at_object *o)
{
    if (!o)
        return;
    if (at_later && o->refs == 1)
        at_later_object(o);
    else if (--o->refs == 0)
        o->class->destroy(o);
}
