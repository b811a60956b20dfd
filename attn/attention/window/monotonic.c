/*
 * monotonic: keys within D of the decoding step, t - D <= j <= t + D            (Luong et al. 2015, local-m)
 *
 * The step may have passed the last key: then nothing is left.
 */
#include "attn/attention/part.h"

enum { RADIUS };

static const at_field fields[] = {
    [RADIUS] = {"radius", AT_FIELD_NUMBER, .required = true, .low = 0, .high = 9e15, .help = "keys on either side"},
    {0},
};

static bool check(const at_setting *s, at_error *e)
{
    return s[RADIUS].number == (double)(int64_t)s[RADIUS].number ||
           at_error_set(
               e, "attention: window.radius is %.14g, expected an integer: a monotonic window is centred on a step",
               s[RADIUS].number);
}

static void cut(const at_setting *s, int64_t i, int64_t step, double p, at_range *range)
{
    (void)i, (void)p;
    int64_t lo = step - 1 - (int64_t)s[RADIUS].number, hi = step + (int64_t)s[RADIUS].number;
    range->lo = lo > range->lo ? lo : range->lo;
    range->hi = hi < range->hi ? hi : range->hi;
}

AT_WINDOW(monotonic, .part.formula = "radius = D: |j - step| <= D", .part.source = "Luong et al. 2015, local-m",
          .part.fields = fields, .check = check, .cut = cut);
