/*
 * band: keys near the query's own place, i - left <= j <= i + right
 */
#include "attn/attention/part.h"

enum { LEFT, RIGHT };

static const at_field fields[] = {
    [LEFT] = {"left", AT_FIELD_INTEGER, .required = true, .low = 0, .high = 9e15,
              .help = "keys before the query's place"},
    [RIGHT] = {"right", AT_FIELD_INTEGER, .required = true, .low = 0, .high = 9e15, .help = "keys behind it"},
    {0},
};

static void cut(const at_setting *s, int64_t i, int64_t step, double p, at_range *range)
{
    (void)step, (void)p;
    int64_t lo = i - s[LEFT].integer, hi = i + s[RIGHT].integer + 1;
    range->lo = lo > range->lo ? lo : range->lo;
    range->hi = hi < range->hi ? hi : range->hi;
}

AT_WINDOW(band, .part.formula = "left =, right =: i - left <= j <= i + right", .part.source = "Beltagy et al. 2020",
          .part.fields = fields, .cut = cut);
