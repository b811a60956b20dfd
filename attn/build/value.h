/*
 * Values that cross the border between scripts and layers: configurations, options, states. A table here is what a Lua table of
 * named fields is there. Tables live in an arena; tensors and objects in them are borrowed.
 */
#ifndef AT_BUILD_VALUE_H
#define AT_BUILD_VALUE_H

#include "attn/core/part.h"
#include "attn/core/object.h"
#include "attn/core/tensor.h"

typedef enum at_type {
    AT_NIL,
    AT_TRUTH,
    AT_WHOLE,
    AT_REAL_NUMBER,
    AT_TEXT,
    AT_TENSOR,
    AT_OBJECT,
    AT_TABLE,
    AT_OTHER
} at_type;

typedef struct at_table at_table;

typedef struct at_value {
    at_type type;
    union {
        bool truth;
        int64_t whole;
        double number;
        const char *text; /* of AT_OTHER, which nothing here can take: what it is, for messages */
        at_tensor *tensor;
        at_object *object;
        at_table *table;
    };
} at_value;

typedef struct at_entry {
    const char *key; /* NULL: an element of a list, at `index` (from 1) */
    int64_t index;
    at_value value;
} at_entry;

struct at_table {
    size_t n, room;
    at_entry *entry;
    int batch; /* of a state: the dimension of its tensors that is the batch; 0: nothing is said, the first */
};

/* Memory that goes all at once. */
typedef struct at_arena {
    struct at_chunk *chunk;
} at_arena;

void *at_arena_alloc(at_arena *a, size_t bytes);
void at_arena_free(at_arena *a);

at_table *at_table_new(at_arena *a);
/* Adds an entry; false: out of memory. key is borrowed; NULL with an index for lists. */
bool at_table_add(at_arena *a, at_table *t, const char *key, int64_t index, at_value value);
/* The value under a name; AT_NIL if t is NULL or has none. */
at_value at_table_get(const at_table *t, const char *key);

#define at_text_value(x) ((at_value){.type = AT_TEXT, .text = (x)})
#define at_whole_value(x) ((at_value){.type = AT_WHOLE, .whole = (x)})
#define at_truth_value(x) ((at_value){.type = AT_TRUTH, .truth = (x)})
#define at_number_value(x) ((at_value){.type = AT_REAL_NUMBER, .number = (x)})
static inline at_value at_tensor_value(at_tensor *t) { return (at_value){.type = t ? AT_TENSOR : AT_NIL, .tensor = t}; }
static inline at_value at_object_value(at_object *o) { return (at_value){.type = o ? AT_OBJECT : AT_NIL, .object = o}; }
#define at_table_value(x) ((at_value){.type = AT_TABLE, .table = (x)})

/* "a string", "the number 2.5", "float32 [2, 3]": for messages. */
at_text at_describe_value(at_value v);

/* ---- configuration by named fields ---- */

typedef union at_setting {
    int64_t integer; /* also: place among the choices */
    double number;
    bool flag;
    int32_t counts[2]; /* as at_scalar_value's */
    at_value value;    /* tensors, tables, objects, any */
} at_setting;

enum { AT_MAX_FIELD = 32 };

/*
 * Reads a table by its fields (ended by a NULL name) into setting[], one each, defaults where absent; bit k of *given says that
 * field k was there. Unknown, missing and mistyped fields are errors that start with `where` and name the field and the known ones.
 */
bool at_read_fields(const char *where, const at_field *fields, const at_table *t, at_setting *setting, uint32_t *given,
                    at_error *e);

/* Reads one value as a field; messages call it `name`. */
bool at_read_field(const char *where, const char *name, const at_field *f, at_value v, at_setting *to, at_error *e);

/* An integer, number, flag or choice as a number. */
static inline double at_field_number(const at_field *f, const at_setting *set)
{
    return f->kind == AT_FIELD_NUMBER ? set->number : f->kind == AT_FIELD_FLAG ? set->flag : (double)set->integer;
}

/* What a field is when nothing was said. */
void at_default_field(const at_field *f, at_setting *to);

/* Behind "expected a tensor" where a table came. */
#define AT_MAKES_TENSOR " (attn.tensor{...} makes one of a table)"

/* How far `wrong` is from a word that may have been meant, the less the likelier: edits, a swap of neighbours being one, then how much of
 * the beginning is the same, then whether the length is. AT_FAR if it is no misspelling of the word. */
enum { AT_FAR = 1 << 20 };
int at_misspelling(const char *wrong, size_t n, const char *word, size_t m);

/* " (did you mean 'mask'?)" between `open`, " (" here, and `close`, ")", for a wrong word; empty if none is near. `words` are separated
 * by '|'. */
at_text at_suggest(const char *open, const char *wrong, const char *words, const char *close);

/* Place of a word among "a|b|c", -1 if absent. */
int at_choice(const char *word, const char *choices);

#endif
