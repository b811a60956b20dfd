/*
 * monotonic: keys within D of the decoding step, t - D <= j <= t + D            (Luong et al. 2015, local-m)
 *
 * The step may have passed the last key: then nothing is left.
 */
#include "attn/attention/score/score.h"

static bool check(const at_window_setting *s, at_error *e)
{
    return s->radius == (double)(int64_t)s->radius ||
           at_error_set(
               e, "attention: window.radius is %.14g, expected an integer: a monotonic window is centred on a step",
               s->radius);
}

static void cut(const at_window_setting *s, int64_t i, int64_t step, double p, at_range *range)
{
    (void)i, (void)p;
    int64_t lo = step - 1 - (int64_t)s->radius, hi = step + (int64_t)s->radius;
    range->lo = lo > range->lo ? lo : range->lo;
    range->hi = hi < range->hi ? hi : range->hi;
}

AT_WINDOW(monotonic, .fields = {"radius"}, .check = check, .cut = cut);
