/*
 * safetensors: 8 bytes with the length N of the header (little-endian), N bytes of JSON, the numbers.
 *
 *   {"__metadata__": {string: string ...}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 *
 * Sorted by offset the tensors must fill the rest of the file without holes or overlaps. The header is checked whole
 * before the first tensor is allocated. Its nesting and its number of values are bounded before the JSON library sees
 * it, so that a hostile header costs no more memory than an honest one of its size.
 */
#include "attn/io/io.h"

#include "attn/core/alloc.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAX_HEADER = 100000000, MAX_TENSORS = 100000, MAX_NAME = 1024, MAX_DEPTH = 32 };
#define NO_SUM "00000000"
enum { MAX_COST = 160000000 }; /* bytes that the JSON library may need: 100,000 tensors of four dimensions */
#define MAX_NUMBER ((json_int_t)1 << 53)

static const char *const type_names[AT_FILE_TYPES] = {
    [AT_FILE_F64] = "F64",   [AT_FILE_F32] = "F32", [AT_FILE_F16] = "F16", [AT_FILE_BF16] = "BF16",
    [AT_FILE_I64] = "I64",   [AT_FILE_I32] = "I32", [AT_FILE_I16] = "I16", [AT_FILE_I8] = "I8",
    [AT_FILE_U64] = "U64",   [AT_FILE_U32] = "U32", [AT_FILE_U16] = "U16", [AT_FILE_U8] = "U8",
    [AT_FILE_BOOL] = "BOOL",
};

/* One tensor of a header. */
typedef struct item {
    const char *name;
    at_file_type type;
    size_t ndim, size[AT_MAX_DIM];
    uint64_t begin, end;
} item;

/* ---- memory ---- */

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = at_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

static void free_text(char *text)
{
    if (text)
        at_free(text, strlen(text) + 1);
}

void at_named_free(at_named *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        free_text(list[i].name);
        at_release(list[i].tensor);
    }
    at_free(list, n * sizeof *list);
}

void at_string_map_free(at_string_map *map)
{
    for (size_t i = 0; map->pair && i < map->n; i++) {
        free_text(map->pair[i].key);
        free_text(map->pair[i].value);
    }
    at_free(map->pair, map->n * sizeof *map->pair);
    *map = (at_string_map){0};
}

/* ---- the header ---- */

static bool good_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 32 || name[i] == 127)
            return false;
    return n > 0 && n <= MAX_NAME;
}

/* Bounds that the JSON library has not: bytes of 0, depth, and memory, estimated from the punctuation. */
static bool survey(const char *path, const char *text, size_t n, at_error *e)
{
    size_t depth = 0, cost = 0;
    bool quoted = false;
    if (text[0] != '{')
        return at_error_set(e, "%.200s: the header does not begin with '{': not a safetensors file", path);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == 0)
            return at_error_set(e, "%.200s: the header has a byte 0 at %zu", path, i + 8);
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        if (c == '"')
            quoted = true;
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth -= depth > 0;
        cost += c == '{' ? 256 : c == '[' ? 112 : c == ':' ? 120 : c == ',' ? 40 : 0;
        if (depth > MAX_DEPTH)
            return at_error_set(e, "%.200s: the header is nested more than %d deep", path, MAX_DEPTH);
        if (cost > MAX_COST)
            return at_error_set(e, "%.200s: the header has too many values", path);
    }
    return true;
}

static bool read_size(const char *path, const char *name, const char *what, const json_t *v, uint64_t *to, at_error *e)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > MAX_NUMBER)
        return at_error_set(e, "%.200s: tensor '%.80s': %s has an entry that is no integer from 0 to 2^53", path, name,
                            what);
    *to = (uint64_t)json_integer_value(v);
    return true;
}

static bool read_item(const char *path, const char *name, json_t *v, item *it, at_error *e)
{
    const json_t *dtype = json_object_get(v, "dtype"), *shape = json_object_get(v, "shape");
    const json_t *offsets = json_object_get(v, "data_offsets");
    uint64_t n = 1, bytes;
    bool empty = false, large = false;
    if (!good_name(name))
        return at_error_set(e, "%.200s: the name of a tensor is empty, longer than %d bytes or has control characters",
                            path, MAX_NAME);
    if (!json_is_object(v) || json_object_size(v) != 3 || !json_is_string(dtype) || !json_is_array(shape) ||
        !json_is_array(offsets))
        return at_error_set(e, "%.200s: tensor '%.80s' is not described by dtype, shape and data_offsets", path, name);
    it->name = name;
    for (it->type = 0; it->type < AT_FILE_TYPES; it->type++)
        if (strcmp(json_string_value(dtype), type_names[it->type]) == 0)
            break;
    if (it->type == AT_FILE_TYPES)
        return at_error_set(e, "%.200s: tensor '%.80s' has the dtype '%.20s', which is not supported", path, name,
                            good_name(json_string_value(dtype)) ? json_string_value(dtype) : "?");
    it->ndim = json_array_size(shape);
    if (it->ndim > AT_MAX_DIM)
        return at_error_set(e, "%.200s: tensor '%.80s' has %zu dimensions, expected at most %d", path, name, it->ndim,
                            AT_MAX_DIM);
    for (size_t d = 0; d < it->ndim; d++) {
        uint64_t size;
        if (!read_size(path, name, "shape", json_array_get(shape, d), &size, e))
            return false;
        it->size[d] = (size_t)size;
        if (size == 0)
            empty = true;
        else if (__builtin_mul_overflow(n, size, &n) || n > (uint64_t)1 << 53)
            large = true, n = 1;
    }
    if (json_array_size(offsets) != 2)
        return at_error_set(e, "%.200s: tensor '%.80s': data_offsets has %zu entries, expected 2", path, name,
                            json_array_size(offsets));
    if (!read_size(path, name, "data_offsets", json_array_get(offsets, 0), &it->begin, e) ||
        !read_size(path, name, "data_offsets", json_array_get(offsets, 1), &it->end, e))
        return false;
    bytes = empty ? 0 : n * at_file_type_bytes(it->type); /* at most 2^56 */
    if ((large && !empty) || it->end < it->begin || it->end - it->begin != bytes)
        return at_error_set(e, "%.200s: tensor '%.80s' does not take the bytes that its shape and dtype need", path,
                            name);
    return true;
}

static bool read_metadata(const char *path, json_t *v, at_string_map *map, at_error *e)
{
    const char *key;
    json_t *value;
    size_t n = json_is_object(v) ? json_object_size(v) : 0;
    if (!json_is_object(v))
        return at_error_set(e, "%.200s: __metadata__ is not an object", path);
    if (n > 0 && !(map->pair = at_alloc_zero(n * sizeof *map->pair)))
        return at_error_memory(e, "metadata", n * sizeof *map->pair);
    map->n = n;
    size_t i = 0;
    json_object_foreach(v, key, value)
    {
        if (!json_is_string(value))
            return at_error_set(e, "%.200s: __metadata__ has a value that is not a string", path);
        if (!(map->pair[i].key = copy_text(key)) || !(map->pair[i].value = copy_text(json_string_value(value))))
            return at_error_memory(e, "metadata", strlen(key) + json_string_length(value));
        i++;
    }
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The tensors of a header in order of their bytes, which must be all bytes of the file behind the header. */
static bool read_items(const char *path, json_t *root, uint64_t data_bytes, item *list, size_t n,
                       at_string_map *metadata, at_error *e)
{
    const char *key;
    json_t *value;
    size_t i = 0;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            if (!read_metadata(path, value, metadata, e))
                return false;
        } else if (!read_item(path, key, value, &list[i++], e)) {
            return false;
        }
    }
    if (n > 0)
        qsort(list, n, sizeof *list, by_offset);
    uint64_t at = 0;
    for (i = 0; i < n; i++) {
        if (list[i].begin != at)
            return at_error_set(e, "%.200s: tensor '%.80s' begins at byte %llu of the data, expected %llu", path,
                                list[i].name, (unsigned long long)list[i].begin, (unsigned long long)at);
        at = list[i].end;
    }
    if (at != data_bytes)
        return at_error_set(e, "%.200s: the tensors take %llu bytes, the file has %llu", path, (unsigned long long)at,
                            (unsigned long long)data_bytes);
    return true;
}

/* ---- the checksum ---- */

/* The place of its digits in a header that is valid JSON; n if it is not written as write_metadata does. */
static size_t find_sum(const char *text, size_t n)
{
    static const char field[] = "\"" AT_CHECKSUM "\":\"";
    size_t length = sizeof field - 1;
    for (size_t i = 1; i + length + 9 <= n; i++)
        if ((text[i - 1] == '{' || text[i - 1] == ',') && memcmp(text + i, field, length) == 0)
            return text[i + length + 8] == '"' ? i + length : n;
    return n;
}

/* Begins the sum of a file whose header has been read, if it has a checksum: that of its first 8 bytes and of the header with
 * zeros for the digits, which go to `given`. The tensors' bytes follow as they are read. */
static bool begin_sum(at_source *s, const char *text, size_t n, const at_string_map *metadata, char given[9],
                      at_error *e)
{
    uint64_t length = n;
    given[0] = 0;
    for (size_t i = 0; i < metadata->n; i++)
        s->summed = s->summed || strcmp(metadata->pair[i].key, AT_CHECKSUM) == 0;
    if (!s->summed)
        return true;
    size_t at = find_sum(text, n);
    if (at == n)
        return at_error_set(e, "%.200s: the checksum (" AT_CHECKSUM ") is not 8 digits: the file is damaged", s->path);
    snprintf(given, 9, "%.8s", text + at);
    uLong sum = crc32_z(0, (const unsigned char *)&length, 8);
    sum = crc32_z(sum, (const unsigned char *)text, at);
    sum = crc32_z(sum, (const unsigned char *)NO_SUM, 8);
    s->sum = (uint32_t)crc32_z(sum, (const unsigned char *)text + at + 8, n - at - 8);
    return true;
}

static bool check_sum(const at_source *s, const char *given, at_error *e)
{
    char found[9];
    snprintf(found, sizeof found, "%08x", s->sum);
    return !s->summed || strcmp(found, given) == 0 ||
           at_error_set(e, "%.200s: its checksum is %s, not %.8s: the file is damaged, or another program changed it",
                        s->path, found, given);
}

/* ---- loading ---- */

static bool load_tensors(at_source *s, uint64_t data, const item *items, size_t n, at_named *list, at_error *e)
{
    for (size_t i = 0; i < n; i++) {
        const item *it = &items[i];
        if (!(list[i].name = copy_text(it->name)))
            return at_error_memory(e, "a name", strlen(it->name) + 1);
        if (!(list[i].tensor = at_tensor_new(at_file_type_dtype(it->type), it->ndim, it->size, e)) ||
            !at_source_elements(s, data + it->begin, it->type, false, list[i].tensor, it->name, e))
            return false;
    }
    return true;
}

static bool load_root(at_source *s, const char *text, size_t length, json_t *root, at_named **list, size_t *n,
                      at_string_map *metadata, at_error *e)
{
    uint64_t data = 8 + length;
    char given[9];
    size_t count = json_object_size(root) - (json_object_get(root, "__metadata__") != NULL);
    if (count > MAX_TENSORS)
        return at_error_set(e, "%.200s: %zu tensors, expected at most %d", s->path, count, MAX_TENSORS);
    item *items = at_alloc((count + 1) * sizeof *items);
    if (!items)
        return at_error_memory(e, "a header", (count + 1) * sizeof *items);
    bool ok = read_items(s->path, root, s->size - data, items, count, metadata, e);
    if (ok && !(*list = at_alloc_zero(count * sizeof **list)))
        ok = at_error_memory(e, "a header", count * sizeof **list);
    *n = count;
    ok = ok && begin_sum(s, text, length, metadata, given, e) && load_tensors(s, data, items, count, *list, e) &&
         check_sum(s, given, e);
    at_free(items, (count + 1) * sizeof *items);
    return ok;
}

/* What files begin with that people try instead, and whose length of the header would be nonsense. */
static const char *foreign(const unsigned char *start)
{
    if (memcmp(start, "PK\3\4", 4) == 0)
        return "a zip file, as torch.save and numpy.savez write";
    if (start[0] == 0x80 && start[1] >= 2 && start[1] <= 5)
        return "a Python pickle, as torch.save wrote";
    return NULL;
}

static bool load_header(at_source *s, at_named **list, size_t *n, at_string_map *metadata, at_error *e)
{
    unsigned char start[9] = {0};
    uint64_t length;
    if (s->size < 8)
        return at_error_set(e, "%.200s: the file has %llu bytes: not a safetensors file", s->path,
                            (unsigned long long)s->size);
    if (!at_source_read(s, 0, start, s->size > 8 ? 9 : 8, e))
        return false;
    const char *other = start[8] == '{' ? NULL : foreign(start);
    if (other)
        return at_error_set(e,
                            "%.200s: %s, not a safetensors file (in Python: "
                            "safetensors.torch.save_file(model.state_dict(), path))",
                            s->path, other);
    memcpy(&length, start, 8);
    if (length > MAX_HEADER || length > s->size - 8 || length < 2)
        return at_error_set(e, "%.200s: a header of %llu bytes in a file of %llu: not a safetensors file, or cut off",
                            s->path, (unsigned long long)length, (unsigned long long)s->size);
    char *text = at_alloc((size_t)length);
    if (!text)
        return at_error_memory(e, "a header", length);
    json_error_t error;
    at_arena arena = {0};
    json_t *root = NULL;
    bool ok = at_source_read(s, 8, text, (size_t)length, e) && survey(s->path, text, (size_t)length, e);
    if (ok && !(root = at_json_read(text, (size_t)length, JSON_REJECT_DUPLICATES, "a header", &arena, &error, e)))
        ok = !e->failed &&
             at_error_set(e, "%.200s: the header is not valid JSON at byte %d (%s)", s->path, 8 + error.position,
                          json_error_code(&error) == json_error_duplicate_key ? "a name appears twice" : "RFC 8259");
    ok = ok && load_root(s, text, (size_t)length, root, list, n, metadata, e);
    at_free(text, (size_t)length);
    at_arena_free(&arena);
    return ok;
}

bool at_safetensors_load(const char *path, at_named **list, size_t *n, at_string_map *metadata, at_error *e)
{
    at_source s;
    *list = NULL;
    *n = 0;
    *metadata = (at_string_map){0};
    if (!at_source_open(&s, path, e))
        return false;
    bool ok = load_header(&s, list, n, metadata, e);
    at_source_close(&s);
    if (!ok) {
        at_named_free(*list, *n);
        at_string_map_free(metadata);
        *list = NULL;
        *n = 0;
    }
    return ok;
}

/* ---- saving ---- */

/* A tensor and the type it gets. */
typedef struct entry {
    const char *name;
    const at_tensor *tensor;
    at_file_type type;
} entry;

static int standard_order(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    size_t s = at_file_type_bytes(x->type), t = at_file_type_bytes(y->type);
    return s != t ? (s > t ? -1 : 1) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b)
{
    const at_string_pair *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static bool check_names(const char *path, entry *order, size_t n, at_error *e)
{
    if (n > MAX_TENSORS)
        return at_error_set(e, "%.200s: %zu tensors, expected at most %d", path, n, MAX_TENSORS);
    for (size_t i = 0; i < n; i++) {
        const char *name = order[i].name;
        if (!good_name(name) || !at_is_utf8(name, strlen(name)) || strcmp(name, "__metadata__") == 0)
            return at_error_set(e, "%.200s: '%.80s' cannot be the name of a tensor", path, name);
        if (!order[i].tensor->storage)
            return at_error_set(e, "%.200s: tensor '%.80s' was freed", path, name);
    }
    if (n > 0)
        qsort(order, n, sizeof *order, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(order[i].name, order[i - 1].name) == 0)
            return at_error_set(e, "%.200s: two tensors are called '%.80s'", path, order[i].name);
    return true;
}

/* *hole: where in the text the digits of the checksum are to be written, 0 if there is none. */
static bool write_metadata(at_json *j, const char *path, const at_string_map *map, size_t *hole, at_error *e)
{
    const at_string_pair **order = at_alloc(map->n * sizeof *order);
    bool ok = order != NULL || at_error_memory(e, "metadata", map->n * sizeof *order);
    for (size_t i = 0; ok && i < map->n; i++)
        order[i] = &map->pair[i];
    if (ok)
        qsort(order, map->n, sizeof *order, by_key);
    at_json_text(j, "\"__metadata__\":{");
    for (size_t i = 0; ok && i < map->n; i++) {
        const char *key = order[i]->key, *value = order[i]->value;
        if (!at_is_utf8(key, strlen(key)) || !at_is_utf8(value, strlen(value)))
            ok = at_error_set(e, "%.200s: metadata '%.80s' is not valid UTF-8", path, key);
        else if (i > 0 && strcmp(key, order[i - 1]->key) == 0)
            ok = at_error_set(e, "%.200s: metadata '%.80s' appears twice", path, key);
        at_json_text(j, i ? "," : "");
        at_json_quote(j, key, strlen(key));
        at_json_text(j, ":");
        if (strcmp(key, AT_CHECKSUM) == 0) {
            value = NO_SUM;
            *hole = j->n + 1;
        }
        at_json_quote(j, value, strlen(value));
    }
    at_json_text(j, "}");
    at_free(order, map->n * sizeof *order);
    return ok;
}

static bool write_header(at_json *j, const char *path, const entry *order, size_t n, const at_string_map *metadata,
                         size_t *hole, at_error *e)
{
    char text[64];
    uint64_t at = 0;
    bool first = true;
    at_json_text(j, "{");
    if (metadata && metadata->n > 0) {
        if (!write_metadata(j, path, metadata, hole, e))
            return false;
        first = false;
    }
    for (size_t i = 0; i < n; i++) {
        const at_tensor *t = order[i].tensor;
        uint64_t end = at + at_numel(t) * at_file_type_bytes(order[i].type);
        at_json_text(j, first ? "" : ",");
        first = false;
        at_json_quote(j, order[i].name, strlen(order[i].name));
        at_json_text(j, ":{\"dtype\":\"");
        at_json_text(j, type_names[order[i].type]);
        at_json_text(j, "\",\"shape\":[");
        for (size_t d = 0; d < t->ndim; d++) {
            snprintf(text, sizeof text, d ? ",%zu" : "%zu", t->size[d]);
            at_json_text(j, text);
        }
        snprintf(text, sizeof text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)end);
        at_json_text(j, text);
        at = end;
    }
    at_json_text(j, "}");
    while (j->n % 8 != 0 && !j->failed)
        at_json_text(j, " ");
    if (j->failed)
        return at_error_memory(e, "a header", j->n);
    return j->n <= MAX_HEADER || at_error_set(e, "%.200s: the header would be %zu bytes long, at most %d are allowed",
                                              path, j->n, MAX_HEADER);
}

static bool write_file(const char *path, const at_json *header, size_t hole, const entry *order, size_t n, at_error *e)
{
    uint64_t length = header->n;
    at_file *f = at_file_create(path, e);
    if (!f)
        return false;
    if (hole > 0)
        at_file_sum(f);
    bool ok = at_file_write(f, &length, 8, e) && at_file_write(f, header->text, header->n, e);
    for (size_t i = 0; ok && i < n; i++)
        ok = at_file_elements(f, order[i].tensor, order[i].type, e);
    if (hole > 0)
        ok = ok && at_file_sum_end(f, 8 + hole, e);
    if (ok)
        return at_file_commit(f, e);
    at_file_abort(f);
    return false;
}

/* The scales of the rows of an int8 weight: NAME.scale, float32 [n]. */
typedef struct scale {
    char name[MAX_NAME + 8];
    at_tensor tensor;
} scale;

static entry scale_of(const at_named *weight, scale *s)
{
    at_tensor *w = weight->tensor;
    snprintf(s->name, sizeof s->name, "%.*s.scale", MAX_NAME + 1, weight->name);
    s->tensor = (at_tensor){
        .storage = w->storage,
        .data = (char *)at_scales(w),
        .dtype = AT_F32,
        .ndim = 1,
        .size = {w->size[0]},
        .step = {1}};
    return (entry){s->name, &s->tensor, AT_FILE_F32};
}

bool at_safetensors_save(const char *path, const at_named *list, size_t count, const at_string_map *metadata,
                         at_file_type narrow, at_error *e)
{
    at_json header = {0};
    size_t hole = 0, n = count, scales = 0;
    for (size_t i = 0; i < count; i++)
        scales += list[i].tensor->storage && list[i].tensor->dtype == AT_I8;
    size_t bytes = (count + scales + 1) * sizeof(entry) + scales * sizeof(scale);
    entry *order = at_alloc(bytes);
    if (!order)
        return at_error_memory(e, "a header", bytes);
    scale *room = (scale *)(void *)(order + count + scales + 1);
    for (size_t i = 0; i < count; i++) {
        const at_tensor *t = list[i].tensor;
        bool narrows = narrow != AT_FILE_TYPES && (t->dtype == AT_F32 || t->dtype == AT_F64);
        order[i] = (entry){list[i].name, t, narrows ? narrow : at_file_type_of(t)};
        if (t->storage && t->dtype == AT_I8)
            order[n++] = scale_of(&list[i], room++);
    }
    bool ok = check_names(path, order, n, e);
    if (ok && n > 0)
        qsort(order, n, sizeof *order, standard_order);
    ok =
        ok && write_header(&header, path, order, n, metadata, &hole, e) && write_file(path, &header, hole, order, n, e);
    at_json_free(&header);
    at_free(order, bytes);
    return ok;
}
