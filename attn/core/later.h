/*
 * Last releases that wait.
 *
 * A finalizer of a script may run wherever Lua allocates, so in the middle of a function of the binding that looks at a tensor or
 * a layer without holding it. While `at_later` is set (vm/release.c: a finalizer is running) the last reference to anything, or
 * the last use of its numbers, is not given up but handed to a list, and at_let_go, called where nobody looks at anything, ends them all.
 * What waits is whole: it may be retained again.
 */
#ifndef AT_CORE_LATER_H
#define AT_CORE_LATER_H

#include "attn/core/object.h"
#include "attn/core/tensor.h"

extern bool at_later;

/* Takes over the caller's reference. For at_release and at_object_release only. */
void at_later_tensor(at_tensor *t);
void at_later_object(at_object *o);

/* Gives up what waits, and what is released from here on at once. */
void at_let_go(void);

#endif
