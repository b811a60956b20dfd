/*
 * The lines of a text file, plain or gzip (told apart by the first bytes): see io.h. A gzip file that is cut off or
 * whose check sum is wrong is an error at the place where it shows, never a short text.
 */
#include "attn/io/io.h"

#include "attn/core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 1 << 16 };

struct at_lines {
    gzFile file;
    char *path, *line; /* line: what of a long line came in earlier chunks */
    size_t path_bytes, length, room, at, filled;
    uint64_t number; /* of the line that is being read */
    bool started, ended;
    char chunk[CHUNK];
};

at_lines *at_lines_open(const char *path, at_error *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        at_error_set(e, "%.200s: cannot be read: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        at_error_set(e, "%.200s: cannot be read: a folder", path);
    } else {
        at_lines *l = at_alloc(sizeof *l);
        char *copy = at_alloc(strlen(path) + 1);
        gzFile file = l && copy ? gzdopen(fd, "rb") : NULL;
        if (file) {
            *l = (at_lines){.file = file, .path = strcpy(copy, path), .path_bytes = strlen(path) + 1, .number = 1};
            gzbuffer(file, 1 << 17);
            return l;
        }
        at_free(l, sizeof *l);
        at_free(copy, strlen(path) + 1);
        at_error_memory(e, "a file", sizeof *l);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

void at_lines_close(at_lines *l)
{
    if (!l)
        return;
    gzclose(l->file);
    at_free(l->path, l->path_bytes);
    at_free(l->line, l->room);
    at_free(l, sizeof *l);
}

/* The next chunk; false with an error. At the end of the file `ended` is set. */
static bool fill(at_lines *l, at_error *e)
{
    int got = gzread(l->file, l->chunk, CHUNK), code = Z_OK;
    if (got <= 0) {
        const char *text = gzerror(l->file, &code);
        if (code == Z_ERRNO)
            return at_error_set(e, "%.200s: cannot be read: %s", l->path, strerror(errno));
        if (got < 0 || (code != Z_OK && code != Z_STREAM_END))
            return at_error_set(e, "%.200s: damaged gzip file at line %llu: %.100s", l->path,
                                (unsigned long long)l->number, code == Z_BUF_ERROR ? "it is cut off" : text);
        l->ended = true;
        got = 0;
    }
    size_t n = strlen(l->path);
    if (!l->started && gzdirect(l->file) && n > 3 && strcmp(l->path + n - 3, ".gz") == 0)
        return at_error_set(e, "%.200s: not a gzip file", l->path);
    l->started = true;
    l->at = 0;
    l->filled = (size_t)got;
    return true;
}

/* Adds the next n bytes of the chunk to the line. */
static bool keep(at_lines *l, size_t n, at_error *e)
{
    if (n > (size_t)AT_LINE_MAX - l->length)
        return at_error_set(e, "%.200s: line %llu is longer than %d bytes", l->path, (unsigned long long)l->number,
                            AT_LINE_MAX);
    if (l->length + n > l->room) {
        size_t room = l->room ? l->room : 256;
        while (room < l->length + n)
            room *= 2;
        char *grown = at_realloc(l->line, l->room, room);
        if (!grown)
            return at_error_memory(e, "a line", room);
        l->line = grown;
        l->room = room;
    }
    memcpy(l->line + l->length, l->chunk + l->at, n);
    l->length += n;
    l->at += n;
    return true;
}

static bool give(at_lines *l, const char *text, size_t n, const char **line, size_t *length)
{
    *line = text;
    *length = n - (n > 0 && text[n - 1] == '\r');
    l->number++;
    return true;
}

bool at_lines_next(at_lines *l, const char **line, size_t *length, at_error *e)
{
    l->length = 0;
    for (;;) {
        if (l->at == l->filled && !l->ended && !fill(l, e))
            return false;
        if (l->at == l->filled) /* the end: a last line may lack its "\n" */
            return l->length > 0 && give(l, l->line, l->length, line, length);
        const char *from = l->chunk + l->at, *end = memchr(from, '\n', l->filled - l->at);
        size_t n = end ? (size_t)(end - from) : l->filled - l->at;
        if (end && l->length == 0) {
            l->at += n + 1;
            return give(l, from, n, line, length);
        }
        if (!keep(l, n, e))
            return false;
        if (end) {
            l->at++;
            return give(l, l->line, l->length, line, length);
        }
    }
}
