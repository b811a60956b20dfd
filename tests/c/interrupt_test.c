/* Loops in one thread, and single blocks of loops over the pool, end soon after at_interrupt: what they would write last is not there. */
#include "check.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "attn/build/build.h"
#include "attn/core/op.h"
#include "attn/core/parallel.h"

enum { SENTINEL = 77 };

static void on_alarm(int signal_number)
{
    (void)signal_number;
    at_interrupt();
}

/* at_interrupt in a few milliseconds; what runs meanwhile takes at least ten times as long. */
static void soon(void) { setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 3000}, NULL); }

static at_tensor *made(at_dtype dtype, size_t ndim, const size_t *size, double value)
{
    at_error e;
    at_error_clear(&e);
    at_tensor *t = at_tensor_new(dtype, ndim, size, &e);
    if (t)
        at_fill(t, value);
    check(t != NULL, "there is memory");
    return t;
}

static at_tensor *row(at_dtype dtype, size_t n, double value) { return made(dtype, 1, &n, value); }

/* Runs an operation with the flag set before it (early) or during it; the element `last` of its first result must not be `right`. */
static void stops(const char *what, int id, int n_in, at_tensor **in, int n, const int64_t *arg, bool early,
                  size_t last, double right)
{
    at_error e;
    at_error_clear(&e);
    at_call *c = at_call_new(&at_ops[id], (size_t)n_in, &e);
    for (int k = 0; k < n_in; k++)
        c->in[k] = in[k];
    for (int k = 0; k < n; k++)
        c->arg[k].integer = arg[k];
    c->given = (1u << n) - 1;
    at_release(
        made((at_dtype)in[0]->dtype, in[0]->ndim, in[0]->size, SENTINEL)); /* the pool gives the same block again */
    early ? at_interrupt() : soon();
    bool ok = at_call_run(c, &e);
    at_interrupt_clear();
    check(!ok && e.interrupted && strstr(e.text, "interrupted!"), "%s: an error that says so", what);
    check(c->n_out == 0 || at_element(c->out[0], (ptrdiff_t)last) != right, "%s: stops", what);
    at_call_end(c);
    for (int k = 0; k < n_in; k++)
        at_release(in[k]);
}

static void test_elements(void)
{
    enum { N = 1 << 20 };
    at_tensor *x = row(AT_F32, N, SENTINEL), *y = row(AT_F32, N, 1), *wide = row(AT_F64, N, SENTINEL), rows = *x;
    at_interrupt();
    at_fill(x, 1);
    check(at_element(x, N - 1) == SENTINEL, "filling stops");
    at_copy_elements(x, y);
    check(at_element(x, N - 1) == SENTINEL, "copying stops");
    at_add_elements(x, y);
    check(at_element(x, N - 1) == SENTINEL, "adding stops");
    at_copy_elements(wide, y);
    check(at_element(wide, N - 1) == SENTINEL, "a cast stops");
    rows.ndim = 2;
    rows.size[0] = 1, rows.size[1] = N / 2;
    rows.step[0] = 1, rows.step[1] = 2;
    at_fill(&rows, 1);
    check(at_element(x, N - 2) == SENTINEL, "filling with a step stops");
    at_whole(true);
    at_fill(x, 1);
    at_whole(false);
    check(at_element(x, N - 1) == 1, "what must be whole does not");
    at_interrupt_clear();
    at_release(x);
    at_release(y);
    at_release(wide);
}

int main(void)
{
    enum { N = 1 << 20, LONG = 1 << 25, SORTED = 1 << 22 };
    signal(SIGALRM, on_alarm);
    at_set_threads(1);
    test_elements();

    size_t two[] = {2, N};
    stops("cat", AT_ID_cat, 1, (at_tensor *[]){row(AT_F32, N, 1)}, 1, (int64_t[]){1}, true, N - 1, 1);
    stops("tril", AT_ID_tril, 1, (at_tensor *[]){made(AT_F32, 2, two, 1)}, 1, (int64_t[]){2 * N}, true, 2 * N - 1, 1);
    /* the first piece of a run is copied, the second is not */
    stops("index_select", AT_ID_index_select, 2, (at_tensor *[]){made(AT_F32, 2, two, 1), row(AT_I64, 1, 1)}, 1,
          (int64_t[]){1}, true, N - 1, 1);
    stops("one_hot", AT_ID_one_hot, 1, (at_tensor *[]){row(AT_I64, N, 1)}, 1, (int64_t[]){1}, true, N - 1, 1);
    stops("gather", AT_ID_gather, 2, (at_tensor *[]){row(AT_F32, N, 1), row(AT_I64, N, 1)}, 1, (int64_t[]){1}, true,
          N - 1, 1);

    stops("cumsum", AT_ID_cumsum, 1, (at_tensor *[]){row(AT_F32, LONG, 0.5)}, 0, NULL, false, LONG - 1, LONG / 2);
    stops("cumprod", AT_ID_cumprod, 1, (at_tensor *[]){row(AT_F32, LONG, 1)}, 0, NULL, false, LONG - 1, 1);
    stops("flip", AT_ID_flip, 1, (at_tensor *[]){row(AT_F32, LONG, 1)}, 1, (int64_t[]){1}, false, LONG - 1, 1);
    stops("diff", AT_ID_diff, 1, (at_tensor *[]){row(AT_F64, LONG, 1)}, 0, NULL, false, LONG - 2, 0);
    stops("scatter_add", AT_ID_scatter_add, 3, (at_tensor *[]){row(AT_F32, N, 1), row(AT_I64, N, 1), row(AT_F32, N, 1)},
          1, (int64_t[]){1}, true, 0, N + 1);
    stops("softmax", AT_ID_softmax, 1, (at_tensor *[]){row(AT_F32, LONG, 1)}, 0, NULL, false, LONG - 1, 1.0 / LONG);
    /* 1: what they wrote when only the search for the threshold stopped */
    stops("sparsemax", AT_ID_sparsemax, 1, (at_tensor *[]){row(AT_F32, LONG, 1)}, 0, NULL, false, LONG - 1, 1);
    stops("entmax15", AT_ID_entmax15, 1, (at_tensor *[]){row(AT_F32, LONG, 1)}, 0, NULL, false, LONG - 1, 1);
    stops("entmax", AT_ID_entmax, 3, (at_tensor *[]){row(AT_F32, LONG, 1), NULL, made(AT_F32, 0, NULL, 1.5)}, 0, NULL,
          false, LONG - 1, 1);
    stops("sort", AT_ID_sort, 1, (at_tensor *[]){row(AT_F32, SORTED, 5)}, 0, NULL, false, SORTED - 1, 5);
    stops("topk", AT_ID_topk, 1, (at_tensor *[]){row(AT_F32, SORTED, 5)}, 1, (int64_t[]){SORTED / 2}, false, 0, 5);
    return finish();
}
