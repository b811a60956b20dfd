/*
 * Files: safetensors, npy, PNG, bytes, lines of text, and the tree of plain values of a checkpoint.
 *
 * Whatever is read may be hostile: every count and offset is checked against the file's length before it is used, work
 * and memory are linear in that length. Whatever is written goes to a temporary file beside the old one, is flushed,
 * and takes its name, so that a crash leaves the old file or the new one, whole. Messages begin with the path.
 */
#ifndef AT_IO_IO_H
#define AT_IO_IO_H

#include "attn/core/error.h"
#include "attn/core/tensor.h"
#include "attn/build/value.h"

struct json_t;
struct json_error_t;

/* ---- file.c ---- */

/* A file being written under a temporary name. */
typedef struct at_file at_file;

at_file *at_file_create(const char *path, at_error *e);
bool at_file_write(at_file *f, const void *data, size_t n, at_error *e);
/* From here on the bytes written are summed; at_file_sum_end puts their CRC-32, as eight hexadecimal digits, over the
 * bytes at place `at`. */
void at_file_sum(at_file *f);
bool at_file_sum_end(at_file *f, uint64_t at, at_error *e);
/* Flushes to the disk and renames. Frees f, also when it fails. */
bool at_file_commit(at_file *f, at_error *e);
/* Removes the temporary file and frees f; NULL is allowed. */
void at_file_abort(at_file *f);

/* A regular file that is read by place. path is borrowed. */
typedef struct at_source {
    const char *path;
    int fd;
    uint64_t size;
    bool summed; /* each at_source_read adds its bytes to the CRC-32 `sum` */
    uint32_t sum;
} at_source;

bool at_source_open(at_source *s, const char *path, at_error *e);
/* Exactly n bytes from place `at`; a file that ends before them is an error. */
bool at_source_read(at_source *s, uint64_t at, void *to, size_t n, at_error *e) __attribute__((warn_unused_result));
void at_source_close(at_source *s);

/* Types of elements in files. Floats become float32 or float64, integers int64, but U8 uint8, bool 0 or 1. */
typedef enum at_file_type {
    AT_FILE_F64,
    AT_FILE_F32,
    AT_FILE_F16,
    AT_FILE_BF16,
    AT_FILE_I64,
    AT_FILE_I32,
    AT_FILE_I16,
    AT_FILE_I8,
    AT_FILE_U64,
    AT_FILE_U32,
    AT_FILE_U16,
    AT_FILE_U8,
    AT_FILE_BOOL,
    AT_FILE_TYPES
} at_file_type;

size_t at_file_type_bytes(at_file_type type);
at_dtype at_file_type_dtype(at_file_type type);
/* A tensor's elements from the file; `what` names it in messages. swap: the file has the other byte order. */
bool at_source_elements(at_source *s, uint64_t at, at_file_type type, bool swap, at_tensor *t, const char *what,
                        at_error *e);
/* The type that holds a tensor as it is. */
at_file_type at_file_type_of(const at_tensor *t);
/* A tensor's elements in row order, whatever its steps; floats also as F16 or BF16, to the nearest, halves to even. */
bool at_file_elements(at_file *f, const at_tensor *t, at_file_type type, at_error *e);

/* True if text is valid UTF-8 without NUL. */
bool at_is_utf8(const char *text, size_t n);

/* ---- safetensors.c ---- */

typedef struct at_named {
    char *name;
    at_tensor *tensor;
} at_named;

typedef struct at_string_pair {
    char *key, *value;
} at_string_pair;

typedef struct at_string_map {
    at_string_pair *pair;
    size_t n;
} at_string_map;

/* The field of __metadata__ that holds the CRC-32 of the whole file, taken with eight zeros in its place. */
#define AT_CHECKSUM "attn.crc32"

/*
 * Reads all tensors, in the file's order, and its __metadata__. F16 and BF16 become float32, integers but U8 int64. A file
 * that has the field AT_CHECKSUM must have that checksum. To be freed with at_named_free and at_string_map_free; on
 * failure there is nothing to free.
 */
bool at_safetensors_load(const char *path, at_named **list, size_t *n, at_string_map *metadata, at_error *e);

/* Writes tensors of distinct names and metadata (NULL: none), in the standard's order: larger types first; with narrow F16 or BF16
 * floats as that, with AT_FILE_TYPES all as they are; beside a weight of int8 its scales [n] as NAME.scale. The field AT_CHECKSUM of the
 * metadata, whatever its value, is written with the right one. */
bool at_safetensors_save(const char *path, const at_named *list, size_t n, const at_string_map *metadata,
                         at_file_type narrow, at_error *e);

void at_named_free(at_named *list, size_t n);
void at_string_map_free(at_string_map *map);

/* ---- npy.c ---- */

at_tensor *at_npy_load(const char *path, at_error *e);
bool at_npy_save(const char *path, const at_tensor *t, at_error *e);

/* ---- png.c ---- */

/* float32 [C, H, W] in 0 .. 1; C is 1 to 4: grey, grey and alpha, RGB, RGBA. */
at_tensor *at_png_load(const char *path, at_error *e);
/* The same, 8 bits to the nearest; what is outside of 0 .. 1 is cut. */
bool at_png_save(const char *path, const at_tensor *t, at_error *e);

/* ---- bytes.c ---- */

/* All bytes of a file, plain or gzip (of a gzip file at most 2^31), as uint8 [n]. */
at_tensor *at_bytes_load(const char *path, at_error *e);

/* An idx file of unsigned bytes, plain or gzip. */
at_tensor *at_idx_load(const char *path, at_error *e);

/* ---- gzip.c ---- */

enum { AT_LINE_MAX = 1 << 26 };

/* The lines of a text file, plain or gzip, one after the other. */
typedef struct at_lines at_lines;

at_lines *at_lines_open(const char *path, at_error *e);
/* The next line without its end ("\n" or "\r\n"), valid until the next call; false at the end, or with an error. */
bool at_lines_next(at_lines *l, const char **line, size_t *length, at_error *e);
void at_lines_close(at_lines *l);

/* ---- json.c ---- */

/*
 * The value of a JSON text, in an arena that was empty: there is nothing else to free. `flags` are jansson's. NULL: out of memory
 * (for `what`) or interrupted, as e says; or *error says what is wrong with the text. One thread at a time.
 */
struct json_t *at_json_read(const char *text, size_t n, size_t flags, const char *what, at_arena *arena,
                            struct json_error_t *error, at_error *e);

/* ---- tree.c: plain values as JSON ---- */

/* Text being written. Once out of memory nothing more is added; `failed` is looked at once, at the end. */
typedef struct at_json {
    char *text;
    size_t n, room;
    bool failed;
} at_json;

void at_json_text(at_json *j, const char *text);            /* as it is: "[", "," ... */
void at_json_quote(at_json *j, const char *text, size_t n); /* a string; valid UTF-8 without NUL */
void at_json_free(at_json *j);

/* Values of a tree, each kind kept: truth, integer, any float, string of any bytes, name of a tensor. */
void at_tree_truth(at_json *j, bool x);
void at_tree_whole(at_json *j, int64_t x);
void at_tree_number(at_json *j, double x);
void at_tree_string(at_json *j, const char *text, size_t n);
void at_tree_tensor(at_json *j, const char *name);
/* [ value , value ] is a list; at_tree_table [ key , value , key , value ] at_tree_table_end a table by name. */
#define AT_TREE_TABLE "{\"table\":["
#define AT_TREE_TABLE_END "]}"

typedef enum at_node_kind {
    AT_NODE_BAD,
    AT_NODE_TRUTH,
    AT_NODE_WHOLE,
    AT_NODE_NUMBER,
    AT_NODE_STRING,
    AT_NODE_BYTES,
    AT_NODE_TENSOR,
    AT_NODE_LIST,
    AT_NODE_TABLE
} at_node_kind;

typedef struct at_tree_node {
    at_node_kind kind;
    bool truth;
    int64_t whole;
    double number;
    const char *text; /* string; bytes as hexadecimal digits; name of a tensor */
    size_t length;    /* of text; number of items of a list or table (keys and values) */
    const void *items;
} at_tree_node;

/* A parsed tree, in an arena that was empty; NULL if the text is not JSON, or with an error. */
typedef struct at_tree at_tree;
at_tree *at_tree_parse(const char *text, size_t n, at_arena *arena, at_error *e);
at_tree_node at_tree_root(const at_tree *t);
at_tree_node at_tree_item(const at_tree_node *parent, size_t k);
/* length / 2 bytes from a node of bytes. */
void at_tree_bytes(const at_tree_node *node, char *bytes);

#endif
