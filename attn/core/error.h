/*
 * One message per failed call. The first failure wins: what fails because of it says nothing new.
 */
#ifndef AT_CORE_ERROR_H
#define AT_CORE_ERROR_H

#include <stdbool.h>

typedef struct at_error {
    bool failed;
    bool memory;      /* an allocation failed: the caller may free something and try again */
    bool interrupted; /* at_interrupt was called while the work ran */
    bool placed;      /* the text begins with the script's line already: it comes from a custom function */
    char text[502];
} at_error;

/* An error record that says nothing yet; the text is not touched, so this costs four bytes. */
static inline void at_error_clear(at_error *e) { e->failed = e->memory = e->interrupted = e->placed = false; }

/* Writes the message unless one stands already. Always false, so that a check reads `return at_error_set(...)`. */
bool at_error_set(at_error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "where: " before the message: for an error of something that does not know on whose behalf it works. Always false. */
bool at_error_place(at_error *e, const char *where);

/* "out of memory (what needed N bytes)", marked as `memory`. Always false. */
bool at_error_memory(at_error *e, const char *what, unsigned long long bytes);

#endif
