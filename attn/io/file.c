/*
 * Writing beside and renaming, reading by place, and element types of files: see io.h.
 *
 * A temporary file is called .NAME.PID.tmp. What a dead process left behind under such a name is removed by the next
 * writer. Reading is by pread into our own memory, never by mapping: a mapped file that shrinks is a signal.
 */
#define _GNU_SOURCE
#include "attn/io/io.h"

#include "attn/core/alloc.h"
#include "attn/core/parallel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>
#include <zlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian and read as they are");

enum {
    BUFFER = 1 << 16,
    PIECE = 1 << 23, /* bytes that one system call moves: between two a Ctrl-C is looked at */
    NAME_PART = 200,
    MAX_LINKS = 40
};

struct at_file {
    int fd;
    size_t used;
    bool summed;
    uint32_t sum;
    const char *shown; /* the path as the caller gave it */
    char path[PATH_MAX], temp[PATH_MAX], folder[PATH_MAX];
    char buffer[BUFFER];
};

static bool system_error(at_error *e, const char *path, const char *what)
{
    return at_error_set(e, "%.200s: %s: %s", path, what, strerror(errno));
}

/* ---- writing ---- */

/* ".NAME.123.tmp" of a process that is gone: removed. */
static void remove_stale(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    size_t length = strlen(prefix);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char *end;
        if (strncmp(entry->d_name, prefix, length) != 0)
            continue;
        long pid = strtol(entry->d_name + length, &end, 10);
        if (end == entry->d_name + length || strcmp(end, ".tmp") != 0 || pid <= 0 || pid > INT_MAX)
            continue;
        if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* Where a chain of symbolic links leads, whether anything is there or not, so that the links stay. */
static bool follow(const char *shown, char path[PATH_MAX])
{
    char target[PATH_MAX];
    ssize_t n;
    if (strlen(shown) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(path, shown);
    for (int links = 0; (n = readlink(path, target, sizeof target - 1)) >= 0; links++) {
        const char *slash = strrchr(path, '/');
        size_t folder = slash && target[0] != '/' ? (size_t)(slash - path) + 1 : 0;
        if (links == MAX_LINKS || folder + (size_t)n >= PATH_MAX) {
            errno = links == MAX_LINKS ? ELOOP : ENAMETOOLONG;
            return false;
        }
        memcpy(path + folder, target, (size_t)n);
        path[folder + (size_t)n] = 0;
    }
    return true; /* no link, or nothing */
}

/* Fills path, folder and temp. */
static bool name_files(at_file *f, mode_t *mode, bool *exists, at_error *e)
{
    struct stat st;
    *exists = stat(f->shown, &st) == 0;
    if (!*exists && errno != ENOENT)
        return system_error(e, f->shown, "cannot be written");
    if (*exists && !S_ISREG(st.st_mode))
        return at_error_set(e, "%.200s: cannot be written: not a regular file", f->shown);
    if (*exists && access(f->shown, W_OK) != 0)
        return system_error(e, f->shown, "cannot be written");
    *mode = *exists ? st.st_mode & 0777 : 0;
    if (!follow(f->shown, f->path))
        return system_error(e, f->shown, "cannot be written");
    const char *slash = strrchr(f->path, '/'), *name = slash ? slash + 1 : f->path;
    size_t length = slash ? (size_t)(slash - f->path) : 0;
    if (*name == 0)
        return at_error_set(e, "%.200s: cannot be written: the name is empty", f->shown);
    memcpy(f->folder, f->path, length);
    strcpy(f->folder + length, slash && length == 0 ? "/" : slash ? "" : ".");
    char prefix[NAME_PART + 8];
    snprintf(prefix, sizeof prefix, ".%.*s.", NAME_PART, name);
    int wrote = snprintf(f->temp, sizeof f->temp, "%s/%s%ld.tmp", f->folder, prefix, (long)getpid());
    if (wrote < 0 || (size_t)wrote >= sizeof f->temp) {
        errno = ENAMETOOLONG;
        return system_error(e, f->shown, "cannot be written");
    }
    remove_stale(f->folder, prefix);
    return true;
}

at_file *at_file_create(const char *path, at_error *e)
{
    mode_t mode;
    bool exists;
    at_file *f = at_alloc(sizeof *f);
    if (!f) {
        at_error_memory(e, "a file", sizeof *f);
        return NULL;
    }
    f->fd = -1;
    f->used = 0;
    f->summed = false;
    f->shown = path;
    if (!name_files(f, &mode, &exists, e)) {
        at_free(f, sizeof *f);
        return NULL;
    }
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd < 0 && errno == EEXIST && unlink(f->temp) == 0) /* an earlier process of our number left it */
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        system_error(e, path, "cannot be written");
        at_free(f, sizeof *f);
        return NULL;
    }
    if (exists)
        (void)!fchmod(f->fd, mode); /* a file system without modes keeps its own */
    return f;
}

static bool put(at_file *f, const char *data, size_t n, at_error *e)
{
    if (f->summed)
        f->sum = (uint32_t)crc32_z(f->sum, (const unsigned char *)data, n);
    while (n > 0) {
        ssize_t wrote = write(f->fd, data, n < PIECE ? n : PIECE);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            errno = wrote == 0 ? EIO : errno;
            return system_error(e, f->shown, "cannot be written");
        }
        data += wrote;
        n -= (size_t)wrote;
        if (n > 0 && !at_uninterrupted(e))
            return false;
    }
    return true;
}

static bool flush(at_file *f, at_error *e)
{
    size_t n = f->used;
    f->used = 0;
    return put(f, f->buffer, n, e);
}

bool at_file_write(at_file *f, const void *data, size_t n, at_error *e)
{
    if (n > BUFFER - f->used && !flush(f, e))
        return false;
    if (n > BUFFER)
        return put(f, data, n, e);
    memcpy(f->buffer + f->used, data, n);
    f->used += n;
    return true;
}

void at_file_sum(at_file *f)
{
    f->summed = true;
    f->sum = 0;
}

bool at_file_sum_end(at_file *f, uint64_t at, at_error *e)
{
    char text[9];
    if (!flush(f, e))
        return false;
    f->summed = false;
    snprintf(text, sizeof text, "%08x", f->sum);
    for (size_t done = 0; done < 8;) {
        ssize_t wrote = pwrite(f->fd, text + done, 8 - done, (off_t)(at + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return system_error(e, f->shown, "cannot be written");
        done += (size_t)wrote;
    }
    return true;
}

void at_file_abort(at_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    unlink(f->temp);
    at_free(f, sizeof *f);
}

bool at_file_commit(at_file *f, at_error *e)
{
    bool ok = flush(f, e);
    if (ok && fsync(f->fd) != 0)
        ok = system_error(e, f->shown, "cannot be written");
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0 && ok)
        ok = system_error(e, f->shown, "cannot be written");
    if (ok && rename(f->temp, f->path) != 0)
        ok = system_error(e, f->shown, "cannot be written");
    if (!ok) {
        at_file_abort(f);
        return false;
    }
    int folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        if (fsync(folder) != 0 && errno != EINVAL && errno != ENOTSUP)
            ok = system_error(e, f->shown, "was written, but its folder cannot be flushed");
        close(folder);
    }
    at_free(f, sizeof *f);
    return ok;
}

/* ---- reading ---- */

bool at_source_open(at_source *s, const char *path, at_error *e)
{
    struct stat st;
    /* O_NONBLOCK: a pipe must not wait for a writer */
    *s = (at_source){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (s->fd < 0)
        return system_error(e, path, "cannot be read");
    if (fstat(s->fd, &st) != 0)
        system_error(e, path, "cannot be read");
    else if (!S_ISREG(st.st_mode))
        at_error_set(e, "%.200s: cannot be read: not a regular file", path);
    else if (st.st_size == 0)
        at_error_set(e, "%.200s: the file is empty", path);
    else
        s->size = (uint64_t)st.st_size;
    if (s->size == 0)
        at_source_close(s);
    return s->size > 0;
}

bool at_source_read(at_source *s, uint64_t at, void *to, size_t n, at_error *e)
{
    char *next = to;
    while (n > 0) {
        ssize_t got = pread(s->fd, next, n < PIECE ? n : PIECE, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_error(e, s->path, "cannot be read");
        if (got == 0)
            return at_error_set(e, "%.200s: the file ended at byte %llu", s->path, (unsigned long long)at);
        if (s->summed)
            s->sum = (uint32_t)crc32_z(s->sum, (const unsigned char *)next, (size_t)got);
        next += got;
        at += (uint64_t)got;
        n -= (size_t)got;
        if (n > 0 && !at_uninterrupted(e))
            return false;
    }
    return true;
}

void at_source_close(at_source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* ---- elements ---- */

static const struct {
    size_t bytes;
    at_dtype dtype;
} types[AT_FILE_TYPES] = {
    [AT_FILE_F64] = {8, AT_F64},   [AT_FILE_F32] = {4, AT_F32}, [AT_FILE_F16] = {2, AT_F32},
    [AT_FILE_BF16] = {2, AT_F32},  [AT_FILE_I64] = {8, AT_I64}, [AT_FILE_I32] = {4, AT_I64},
    [AT_FILE_I16] = {2, AT_I64},   [AT_FILE_I8] = {1, AT_I64},  [AT_FILE_U64] = {8, AT_I64},
    [AT_FILE_U32] = {4, AT_I64},   [AT_FILE_U16] = {2, AT_I64}, [AT_FILE_U8] = {1, AT_U8},
    [AT_FILE_BOOL] = {1, AT_BOOL},
};

size_t at_file_type_bytes(at_file_type type) { return types[type].bytes; }
at_dtype at_file_type_dtype(at_file_type type) { return types[type].dtype; }

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE 754 binary16. */
static float half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) {
        float tiny = (float)fraction * 0x1p-24f;
        return sign ? -tiny : tiny;
    }
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static void swap_bytes(char *data, size_t bytes, size_t n)
{
    AT_PIECES(i, end, n)
    for (; i < end; i++, data += bytes)
        for (size_t k = 0; k < bytes / 2; k++) {
            char c = data[k];
            data[k] = data[bytes - 1 - k];
            data[bytes - 1 - k] = c;
        }
}

#define EACH(from, to, expression)                                                                                     \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        from x;                                                                                                        \
        memcpy(&x, data + i * sizeof x, sizeof x);                                                                     \
        ((to *)(void *)out)[i] = (to)(expression);                                                                     \
    }                                                                                                                  \
    break

/* n elements of a type that is not the program's own; false if one does not fit. */
static bool convert(at_file_type type, size_t n, const char *data, char *out)
{
    bool fits = true;
    switch (type) {
    case AT_FILE_F16: EACH(uint16_t, float, half(x));
    case AT_FILE_BF16: EACH(uint16_t, float, from_bits((uint32_t)x << 16));
    case AT_FILE_I32: EACH(int32_t, int64_t, x);
    case AT_FILE_I16: EACH(int16_t, int64_t, x);
    case AT_FILE_I8: EACH(int8_t, int64_t, x);
    case AT_FILE_U64: EACH(uint64_t, int64_t, (fits = fits && x <= INT64_MAX) ? x : 0);
    case AT_FILE_U32: EACH(uint32_t, int64_t, x);
    case AT_FILE_U16: EACH(uint16_t, int64_t, x);
    case AT_FILE_BOOL: EACH(uint8_t, uint8_t, x != 0);
    default: break;
    }
    return fits;
}

bool at_source_elements(at_source *s, uint64_t at, at_file_type type, bool swap, at_tensor *t, const char *what,
                        at_error *e)
{
    size_t n = at_numel(t), bytes = types[type].bytes, wide = at_dtype_bytes(types[type].dtype);
    if (type == AT_FILE_F64 || type == AT_FILE_F32 || type == AT_FILE_I64 || type == AT_FILE_U8) {
        if (!at_source_read(s, at, t->data, n * bytes, e))
            return false;
        if (swap)
            swap_bytes(t->data, bytes, n);
        return at_uninterrupted(e);
    }
    char buffer[16384];
    for (size_t i = 0, count; i < n; i += count) {
        count = sizeof buffer / bytes < n - i ? sizeof buffer / bytes : n - i;
        if (!at_source_read(s, at + i * bytes, buffer, count * bytes, e))
            return false;
        if (!at_uninterrupted(e))
            return false;
        if (swap)
            swap_bytes(buffer, bytes, count);
        if (!convert(type, count, buffer, t->data + i * wide))
            return at_error_set(e, "%.200s: %.80s holds a number above 2^63 - 1, which int64 has not", s->path, what);
    }
    return true;
}

/* x in a format of 16 bits, to the nearest, halves to even; what is too large becomes infinity. */
static uint16_t narrow(double x, int fraction, int bias)
{
    int exponent;
    unsigned sign = signbit(x) ? 1u << 15 : 0, infinity = (2u * (unsigned)bias + 1) << fraction;
    if (isnan(x))
        return (uint16_t)(sign | infinity | 1u << (fraction - 1));
    if (isinf(x))
        return (uint16_t)(sign | infinity);
    frexp(x, &exponent);
    exponent = x == 0 || exponent < 2 - bias ? 1 - bias : exponent - 1; /* of the smallest normal number, or its own */
    if (exponent > bias)
        return (uint16_t)(sign | infinity);
    /* a normal number's leading 1 counts as one in the exponent, as does what is rounded up to the next power of 2 */
    unsigned units = (unsigned)nearbyint(ldexp(fabs(x), fraction - exponent));
    return (uint16_t)(sign | (((unsigned)(exponent + bias - 1) << fraction) + units));
}

/* n elements of a float tensor in another type of the file. */
static void convert_out(at_file_type type, at_dtype dtype, size_t n, const char *data, char *out)
{
    for (size_t i = 0; i < n; i++) {
        double x =
            dtype == AT_F32 ? (double)((const float *)(const void *)data)[i] : ((const double *)(const void *)data)[i];
        uint16_t bits = type == AT_FILE_F16 ? narrow(x, 10, 15) : narrow(x, 7, 127);
        memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
}

/* n elements side by side */
static bool write_elements(at_file *f, at_file_type type, at_dtype dtype, size_t n, const char *data, at_error *e)
{
    char buffer[4096];
    size_t bytes = at_dtype_bytes(dtype), wide = types[type].bytes;
    if ((type != AT_FILE_F16 && type != AT_FILE_BF16) || dtype == AT_BF16)
        return at_file_write(f, data, n * bytes, e);
    for (size_t i = 0, count; i < n; i += count) {
        count = at_min_size(sizeof buffer / wide, n - i);
        convert_out(type, dtype, count, data + i * bytes, buffer);
        if (!at_file_write(f, buffer, count * wide, e) || !at_uninterrupted(e))
            return false;
    }
    return true;
}

bool at_file_elements(at_file *f, const at_tensor *t, at_file_type type, at_error *e)
{
    size_t bytes = at_dtype_bytes((at_dtype)t->dtype);
    if (at_contiguous(t))
        return write_elements(f, type, (at_dtype)t->dtype, at_numel(t), t->data, e);
    /* not at_walk: it may take dimensions in another order */
    size_t index[AT_MAX_DIM] = {0}, n = at_numel(t);
    AT_PIECES(i, end, n)
    for (; i < end; i++) {
        ptrdiff_t at = 0;
        for (size_t d = 0; d < t->ndim; d++)
            at += (ptrdiff_t)index[d] * t->step[d];
        if (!write_elements(f, type, (at_dtype)t->dtype, 1, t->data + at * (ptrdiff_t)bytes, e))
            return false;
        for (size_t d = t->ndim; d-- > 0 && ++index[d] == t->size[d];)
            index[d] = 0;
    }
    return at_uninterrupted(e);
}

at_file_type at_file_type_of(const at_tensor *t)
{
    static const at_file_type of[AT_ALL_DTYPES] = {
        [AT_F32] = AT_FILE_F32, [AT_F64] = AT_FILE_F64,   [AT_I64] = AT_FILE_I64, [AT_BOOL] = AT_FILE_BOOL,
        [AT_U8] = AT_FILE_U8,   [AT_BF16] = AT_FILE_BF16, [AT_I8] = AT_FILE_I8,
    };
    return of[t->dtype];
}

bool at_is_utf8(const char *text, size_t n)
{
    utf8proc_int32_t point = 0;
    for (utf8proc_ssize_t length; n > 0; text += length, n -= (size_t)length)
        if ((length = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &point)) <= 0 || point == 0)
            return false;
    return true;
}
