/* Error records: see error.h. */
#include "attn/core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool at_error_set(at_error *e, const char *format, ...)
{
    if (e->failed)
        return false;
    e->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    return false;
}

bool at_error_memory(at_error *e, const char *what, unsigned long long bytes)
{
    if (!e->failed)
        e->memory = true;
    return at_error_set(e, "out of memory (%s needs %llu bytes)", what, bytes);
}

bool at_error_place(at_error *e, const char *where)
{
    char text[sizeof e->text];
    snprintf(text, sizeof text, "%.60s: %.430s", where, e->text);
    strcpy(e->text, text);
    return false;
}
