/*
 * band: keys near the query's own place, i - left <= j <= i + right
 */
#include "attn/attention/score/score.h"

static void cut(const at_window_setting *s, int64_t i, int64_t step, double p, at_range *range)
{
    (void)step, (void)p;
    int64_t lo = i - s->left, hi = i + s->right + 1;
    range->lo = lo > range->lo ? lo : range->lo;
    range->hi = hi < range->hi ? hi : range->hi;
}

AT_WINDOW(band, .fields = {"left", "right"}, .cut = cut);
