/* A call of attention while it runs: what attention.c, call.c and path.c share. From outside: attention.h. */
#ifndef AT_ATTENTION_CALL_H
#define AT_ATTENTION_CALL_H

#include "attn/attention/cache.h"
#include "attn/attention/part.h"

typedef struct at_attend_call {
    at_build *g;
    at_layer *l;
    const at_attention *a;
    at_attend_options o;
    bool step;                      /* query [B, query] */
    size_t B, Tq, Tk, fresh;        /* Tk: with what the cache holds; fresh: keys of this call */
    int64_t offset, position;       /* place of the first query from 0; its decoding step from 1 */
    at_tensor *query, *key, *value; /* as they come, three-dimensional */
    at_tensor *mask, *bias;         /* [B or 1, H or 1, Tq or 1, Tk] */
    at_tensor *place;               /* [B, Tq] of a window that has one */
    at_tensor *span;
    at_tensor *q, *k, *v; /* [B, T, heads, width], prepared */
    at_pair pair;
    at_cache_growth growth;
    at_tensor *weights, *logp, *p; /* [B, H, Tq, W], [B, H, Tq], as weights */
} at_attend_call;

enum { AT_PROJECT_QUERY, AT_PROJECT_KEY, AT_PROJECT_VALUE, AT_PROJECT_OUT };

/* Projection k of x. */
at_tensor *at_attend_project(const at_attend_call *c, at_tensor *x, int k);

/* call.c: checks arguments and options, finds the spans, and clears keys that nobody may see. */
bool at_attend_check(at_attend_call *c);

/* path.c: the context [B, Tq, H, D], and c->weights, c->logp, c->p where they are asked for. */
at_tensor *at_attend_heads(at_attend_call *c);

#endif
