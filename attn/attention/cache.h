/* What attention does with a cache while it runs; from outside: attention.h. */
#ifndef AT_ATTENTION_CACHE_H
#define AT_ATTENTION_CACHE_H

#include "attn/attention/attention.h"

enum { AT_CACHE_KEYS, AT_CACHE_VALUES, AT_CACHE_SLOTS };

/* What a call adds: nothing of it is in the cache before at_cache_commit, so that a call that fails leaves no trace. */
typedef struct at_cache_growth {
    at_tensor *whole[AT_CACHE_SLOTS]; /* recorded, or of fixed size; borrowed from the builder */
    struct at_shelf *shelf[AT_CACHE_SLOTS];
    int64_t length;
} at_cache_growth;

/* The past of a slot followed by x [B, T, H, D]: [B, length + T, H, D]. */
at_tensor *at_cache_append(at_build *g, at_object *cache, int slot, at_tensor *x, at_cache_growth *growth);

/* A state of fixed size in place of a past; NULL at the beginning. */
at_tensor *at_cache_state(const at_object *cache);

void at_cache_commit(at_object *cache, at_cache_growth *growth);
void at_cache_abandon(at_cache_growth *growth);

#endif
