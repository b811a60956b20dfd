/*
 * Bytes of a file, plain or gzip (told apart by the first bytes), as a tensor of uint8; idx, the format of MNIST: 0, 0, type
 * (8: unsigned bytes), number of dimensions, their sizes as big-endian 32-bit words, the bytes.
 *
 * What the bytes of a gzip file unpack to is at most GZIP_MOST times their number: more is refused before anything is made.
 */
#include "attn/io/io.h"

#include "attn/core/parallel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { GZIP_MOST = 1032, PIECE = 1 << 20 };
#define UNPACKED_MOST ((uint64_t)1 << 30) /* of a gzip file whose contents do not say their size */

typedef struct stream {
    const char *path;
    gzFile file;
    uint64_t size, most; /* of the file; of what it may hold */
    uint64_t at;         /* bytes read */
    bool packed;
    uint32_t hint; /* the size of the contents modulo 2^32, as the end of a gzip file says */
} stream;

static bool system_error(at_error *e, const char *path)
{
    return at_error_set(e, "%.200s: cannot be read: %s", path, strerror(errno));
}

static bool open_stream(stream *s, const char *path, at_error *e)
{
    struct stat st;
    unsigned char ends[4] = {0}, first[2] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not wait for a writer */

    *s = (stream){.path = path};
    if (fd < 0)
        return system_error(e, path);
    if (fstat(fd, &st) != 0)
        system_error(e, path);
    else if (!S_ISREG(st.st_mode))
        at_error_set(e, "%.200s: cannot be read: not a regular file", path);
    else if (pread(fd, first, 2, 0) < 0 || (st.st_size > 4 && pread(fd, ends, 4, st.st_size - 4) < 0))
        system_error(e, path);
    else if (!(s->file = gzdopen(fd, "rb")))
        at_error_memory(e, "a file", PIECE);
    if (!s->file) {
        close(fd);
        return false;
    }
    gzbuffer(s->file, 1 << 17);
    s->size = (uint64_t)st.st_size;
    s->packed = first[0] == 0x1f && first[1] == 0x8b;
    s->most = s->packed ? s->size * GZIP_MOST : s->size;
    s->hint = ends[0] | (uint32_t)ends[1] << 8 | (uint32_t)ends[2] << 16 | (uint32_t)ends[3] << 24;
    return true;
}

/* Up to n bytes; fewer only at the end. *got: how many. */
static bool read_some(stream *s, char *to, size_t n, size_t *got, at_error *e)
{
    *got = 0;
    while (*got < n) {
        int code = Z_OK, count = gzread(s->file, to + *got, n - *got < PIECE ? (unsigned)(n - *got) : PIECE);
        if (count <= 0) {
            const char *text = gzerror(s->file, &code);
            if (code == Z_ERRNO)
                return system_error(e, s->path);
            if (count < 0 || (code != Z_OK && code != Z_STREAM_END))
                return at_error_set(e, "%.200s: damaged gzip file at byte %llu of its contents: %.100s", s->path,
                                    (unsigned long long)s->at, code == Z_BUF_ERROR ? "it is cut off" : text);
            break;
        }
        *got += (size_t)count;
        s->at += (uint64_t)count;
        if (!at_uninterrupted(e))
            return false;
    }
    return true;
}

static bool read_exactly(stream *s, void *to, size_t n, at_error *e)
{
    size_t got;
    return read_some(s, to, n, &got, e) &&
           (got == n || at_error_set(e, "%.200s: it ends after %llu bytes, %llu are missing", s->path,
                                     (unsigned long long)s->at, (unsigned long long)(n - got)));
}

/* Nothing is left; for gzip this also reads, and compares, the check sum. */
static bool at_end(stream *s, at_error *e)
{
    char more;
    size_t got;
    return read_some(s, &more, 1, &got, e) &&
           (got == 0 || at_error_set(e, "%.200s: there are more than the %llu bytes that it should have", s->path,
                                     (unsigned long long)s->at - 1));
}

/* ---- bytes ---- */

static at_tensor *load_bytes(stream *s, at_error *e)
{
    size_t room = s->packed ? s->hint : s->size, n = 0, got;

    if (room > s->most || (s->packed && room > UNPACKED_MOST))
        room = 0; /* no honest size */
    room = room < 64 ? 64 : room;
    at_tensor *t = at_tensor_new(AT_U8, 1, &room, e);
    while (t) {
        if (!read_some(s, t->data + n, room - n, &got, e))
            break;
        n += got;
        if (n < room) {
            at_tensor *whole = at_view_of(t, 1, &n, (ptrdiff_t[]){1}, 0, e);
            at_release(t);
            return whole;
        }
        /* full: the end, or the size was wrong */
        char more;
        if (!read_some(s, &more, 1, &got, e))
            break;
        if (got == 0)
            return t;
        size_t wider = 2 * room;
        if (s->packed && wider > 2 * UNPACKED_MOST) {
            at_error_set(e, "%.200s: its contents are more than %llu bytes", s->path,
                         (unsigned long long)UNPACKED_MOST);
            break;
        }
        at_tensor *grown = at_tensor_new(AT_U8, 1, &wider, e);
        if (grown)
            at_copy_bytes(grown->data, t->data, room);
        at_release(t);
        if ((t = grown))
            t->data[n++] = more;
        room = wider;
    }
    at_release(t);
    return NULL;
}

/* ---- idx ---- */

static at_tensor *load_idx(stream *s, at_error *e)
{
    unsigned char head[4], word[4];
    size_t size[AT_MAX_DIM];
    uint64_t n = 1, bytes;

    if (!read_exactly(s, head, 4, e))
        return NULL;
    if (head[0] != 0 || head[1] != 0) {
        at_error_set(e, "%.200s: it begins with the bytes %d, %d, expected 0, 0: not an idx file", s->path, head[0],
                     head[1]);
        return NULL;
    }
    if (head[2] != 8) {
        at_error_set(e, "%.200s: idx of type %d, expected 8 (unsigned bytes)", s->path, head[2]);
        return NULL;
    }
    if (head[3] < 1 || head[3] > AT_MAX_DIM) {
        at_error_set(e, "%.200s: idx of %d dimensions, expected 1 to %d", s->path, head[3], AT_MAX_DIM);
        return NULL;
    }
    bool empty = false;
    for (int d = 0; d < head[3]; d++) {
        if (!read_exactly(s, word, 4, e))
            return NULL;
        size[d] = (size_t)word[0] << 24 | (size_t)word[1] << 16 | (size_t)word[2] << 8 | word[3];
        empty = empty || size[d] == 0;
        if (size[d] > 0 && __builtin_mul_overflow(n, size[d], &n))
            n = UINT64_MAX;
    }
    bytes = empty ? 0 : n;
    if (bytes > s->most - s->at) {
        at_error_set(e, "%.200s: sizes %.120s are more than the file can hold (%llu bytes)", s->path,
                     at_describe_shape(head[3], size).text, (unsigned long long)s->size);
        return NULL;
    }
    at_tensor *t = at_tensor_new(AT_U8, head[3], size, e);
    if (t && read_exactly(s, t->data, bytes, e) && at_end(s, e))
        return t;
    at_release(t);
    return NULL;
}

static at_tensor *load(const char *path, at_tensor *(*read)(stream *, at_error *), at_error *e)
{
    stream s;
    if (!open_stream(&s, path, e))
        return NULL;
    at_tensor *t = read(&s, e);
    gzclose(s.file);
    return t;
}

at_tensor *at_bytes_load(const char *path, at_error *e) { return load(path, load_bytes, e); }
at_tensor *at_idx_load(const char *path, at_error *e) { return load(path, load_idx, e); }
