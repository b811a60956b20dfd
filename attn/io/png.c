/*
 * PNG files, by libpng: float32 [C, H, W] in 0 .. 1, C 1 to 4 for grey, grey and alpha, RGB, RGBA.
 *
 * libpng leaves by longjmp when something is wrong; that stays between `decode` or `encode` and the functions here that libpng
 * calls. What lives across it is in a record of the caller's. Its memory comes from at_alloc, so that budget and tests see it.
 * A file is refused before anything is allocated if its header promises more pixels than its bytes can hold (deflate
 * shrinks at most 1,032 times), or more than MOST numbers; texts, profiles and other extras are passed over unread.
 */
#include "attn/core/alloc.h"
#include "attn/core/parallel.h"
#include "attn/io/io.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 1 << 28, SHRINKS = 1032, LARGEST_SIDE = 1000000 };

typedef struct picture {
    png_structp png;
    png_infop info;
    at_error *error;
    at_source source; /* reading */
    uint64_t at;
    at_file *file; /* writing */
    const char *path;
    png_bytep bytes; /* one row, or of an interlaced picture all of them */
    size_t room;
    at_tensor *tensor;      /* that comes of reading */
    const at_tensor *shown; /* that is written */
    size_t width, height, channels;
    int depth, passes;
} picture;

/* ---- what libpng calls ---- */

/* The size stands in front of each block: libpng does not say it again. */
enum { HEAD = 16 };

static png_voidp take(png_structp png, png_alloc_size_t n)
{
    picture *p = png_get_mem_ptr(png);
    char *block = n > SIZE_MAX - HEAD ? NULL : at_alloc(n + HEAD);
    if (!block) {
        at_error_memory(p->error, "a PNG file", n);
        return NULL;
    }
    memcpy(block, &n, sizeof n);
    return block + HEAD;
}

static void give(png_structp png, png_voidp block)
{
    (void)png;
    png_alloc_size_t n;
    if (!block)
        return;
    char *head = (char *)block - HEAD;
    memcpy(&n, head, sizeof n);
    at_free(head, n + HEAD);
}

static _Noreturn void failed(png_structp png, png_const_charp message)
{
    picture *p = png_get_error_ptr(png);
    at_error_set(p->error, "%.200s: %.120s", p->path, message); /* unless memory or the file was the cause */
    png_longjmp(png, 1);
}

static void warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_some(png_structp png, png_bytep to, size_t n)
{
    picture *p = png_get_io_ptr(png);
    if (n > p->source.size - p->at)
        at_error_set(p->error, "%.200s: the file ended at byte %llu", p->path, (unsigned long long)p->source.size);
    else if (at_source_read(&p->source, p->at, to, n, p->error)) {
        p->at += n;
        return;
    }
    png_error(png, "cannot be read");
}

static void write_some(png_structp png, png_bytep from, size_t n)
{
    picture *p = png_get_io_ptr(png);
    if (!at_file_write(p->file, from, n, p->error))
        png_error(png, "cannot be written");
}

static void flush(png_structp png) { (void)png; }

/* ---- loading ---- */

/* All but the picture itself is skipped; what is wrong with that is an error. */
static void set_strict(picture *p)
{
    static const png_byte extras[] =
        "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";
    png_set_keep_unknown_chunks(p->png, PNG_HANDLE_CHUNK_NEVER, extras, sizeof extras / 5);
    png_set_crc_action(p->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(p->png, 0);
    png_set_user_limits(p->png, LARGEST_SIDE, LARGEST_SIDE);
}

/* The header: its sizes against the file, and the tensor. */
static bool prepare(picture *p)
{
    unsigned char start[24] = {0}; /* signature, length and name of the first part, width, height */
    size_t have = p->source.size < sizeof start ? (size_t)p->source.size : sizeof start;
    if (!at_source_read(&p->source, 0, start, have, p->error))
        return false;
    if (png_sig_cmp(start, 0, 8) != 0)
        return at_error_set(p->error, "%.200s: not a PNG file", p->path);
    unsigned width = png_get_uint_32(start + 16), height = png_get_uint_32(start + 20);
    if (have == sizeof start && (width > LARGEST_SIDE || height > LARGEST_SIDE))
        return at_error_set(p->error, "%.200s: the header says %u x %u pixels, expected at most %d a side", p->path,
                            width, height, LARGEST_SIDE);
    png_read_info(p->png, p->info);
    p->width = png_get_image_width(p->png, p->info);
    p->height = png_get_image_height(p->png, p->info);
    uint64_t stored = (uint64_t)png_get_rowbytes(p->png, p->info) * p->height;
    if (stored / SHRINKS > p->source.size)
        return at_error_set(p->error, "%.200s: the header says %zu x %zu pixels, more than %llu bytes can hold",
                            p->path, p->width, p->height, (unsigned long long)p->source.size);
    bool palette = png_get_color_type(p->png, p->info) == PNG_COLOR_TYPE_PALETTE;
    if (palette) {
        png_set_palette_to_rgb(p->png);
        if (png_get_valid(p->png, p->info, PNG_INFO_tRNS))
            png_set_tRNS_to_alpha(p->png);
    } else if (png_get_bit_depth(p->png, p->info) < 8) {
        png_set_expand_gray_1_2_4_to_8(p->png); /* times 255 / (2^b - 1), a whole number */
    }
    p->passes = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
    p->channels = png_get_channels(p->png, p->info);
    p->depth = png_get_bit_depth(p->png, p->info);
    if ((uint64_t)p->width * p->height > MOST / p->channels)
        return at_error_set(p->error, "%.200s: %zu x %zu pixels of %zu channels, expected at most %d numbers", p->path,
                            p->width, p->height, p->channels, MOST);
    p->room = png_get_rowbytes(p->png, p->info) * (p->passes > 1 ? p->height : 1);
    p->bytes = at_alloc(p->room);
    if (!p->bytes)
        return at_error_memory(p->error, "a PNG file", p->room);
    p->tensor = at_tensor_new(AT_F32, 3, (size_t[]){p->channels, p->height, p->width}, p->error);
    return p->tensor != NULL;
}

/* Row h of the file to the planes of the tensor. */
static void spread(const picture *p, size_t h, const png_byte *row)
{
    size_t width = p->width, channels = p->channels;
    for (size_t c = 0; c < channels; c++) {
        float *to = (float *)(void *)p->tensor->data + (c * p->height + h) * width;
        if (p->depth == 16)
            for (size_t w = 0; w < width; w++) {
                const png_byte *v = row + 2 * (w * channels + c);
                to[w] = (float)(v[0] << 8 | v[1]) / 65535;
            }
        else
            for (size_t w = 0; w < width; w++)
                to[w] = (float)row[w * channels + c] / 255;
    }
}

static bool read_picture(picture *p)
{
    set_strict(p);
    png_set_read_fn(p->png, p, read_some);
    if (!prepare(p))
        return false;
    size_t stride = p->room / (p->passes > 1 ? p->height : 1);
    for (int pass = 0; pass < p->passes; pass++)
        for (size_t h = 0; h < p->height; h++) {
            png_bytep row = p->bytes + (p->passes > 1 ? h * stride : 0);
            png_read_row(p->png, row, NULL);
            if (pass + 1 == p->passes)
                spread(p, h, row);
            if (!at_uninterrupted(p->error))
                return false;
        }
    png_read_end(p->png, NULL);
    return true;
}

/* No variables here: what setjmp returns to must not have changed. */
static bool decode(picture *p)
{
    if (setjmp(png_jmpbuf(p->png)))
        return false;
    return read_picture(p);
}

at_tensor *at_png_load(const char *path, at_error *e)
{
    picture p = {.error = e, .path = path};
    if (!at_source_open(&p.source, path, e))
        return NULL;
    p.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &p, failed, warned, &p, take, give);
    p.info = p.png ? png_create_info_struct(p.png) : NULL;
    bool ok = p.info && decode(&p) && !e->failed;
    png_destroy_read_struct(&p.png, &p.info, NULL);
    at_source_close(&p.source);
    at_free(p.bytes, p.room);
    if (ok)
        return p.tensor;
    at_release(p.tensor);
    return NULL;
}

/* ---- saving ---- */

static png_byte byte_of(double v) { return (png_byte)(v > 0 ? v < 1 ? v * 255 + 0.5 : 255 : 0); /* NaN is 0 */ }

static bool write_picture(picture *p)
{
    const at_tensor *t = p->shown;
    static const int kinds[] = {
        PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    png_set_write_fn(p->png, p, write_some, flush);
    png_set_IHDR(p->png, p->info, (png_uint_32)t->size[2], (png_uint_32)t->size[1], 8, kinds[t->size[0] - 1],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(p->png, p->info);
    for (size_t h = 0; h < t->size[1]; h++) {
        png_bytep to = p->bytes;
        for (size_t w = 0; w < t->size[2]; w++)
            for (size_t c = 0; c < t->size[0]; c++) {
                ptrdiff_t at = (ptrdiff_t)c * t->step[0] + (ptrdiff_t)h * t->step[1] + (ptrdiff_t)w * t->step[2];
                *to++ = byte_of(t->dtype == AT_F32 ? (double)((const float *)(const void *)t->data)[at]
                                                   : ((const double *)(const void *)t->data)[at]);
            }
        png_write_row(p->png, p->bytes);
        if (!at_uninterrupted(p->error))
            return false;
    }
    png_write_end(p->png, NULL);
    return true;
}

static bool encode(picture *p)
{
    if (setjmp(png_jmpbuf(p->png)))
        return false;
    return write_picture(p);
}

bool at_png_save(const char *path, const at_tensor *t, at_error *e)
{
    picture p = {.error = e, .path = path, .shown = t};
    if (!at_is_float(t))
        return at_error_set(e, "x is %s, expected float32 or float64 (x: %s)", at_dtype_name((at_dtype)t->dtype),
                            at_describe(t).text);
    if (t->ndim != 3 || t->size[0] < 1 || t->size[0] > 4)
        return at_error_set(e, "x has shape %s, expected [1 to 4 channels, H, W]",
                            at_describe_shape(t->ndim, t->size).text);
    for (int d = 1; d < 3; d++)
        if (t->size[d] < 1 || t->size[d] > LARGEST_SIDE)
            return at_error_set(e, "x has shape %s, expected 1 to %d rows and columns",
                                at_describe_shape(t->ndim, t->size).text, LARGEST_SIDE);
    p.room = t->size[0] * t->size[2];
    p.bytes = at_alloc(p.room);
    if (!p.bytes)
        return at_error_memory(e, "a PNG file", p.room);
    p.file = at_file_create(path, e);
    if (p.file)
        p.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &p, failed, warned, &p, take, give);
    p.info = p.png ? png_create_info_struct(p.png) : NULL;
    bool ok = p.info && encode(&p) && !e->failed;
    png_destroy_write_struct(&p.png, &p.info);
    at_free(p.bytes, p.room);
    if (ok)
        return at_file_commit(p.file, e);
    at_file_abort(p.file);
    return false;
}
