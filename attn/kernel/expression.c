/*
 * Programs over blocks of pairs: one instruction after the other, each over the whole block, so that what it costs to tell them apart is
 * spread over hundreds of numbers. Functions of floats are those of map.c, with the same bits.
 *
 * A row of an instruction has its operands side by side or repeated. Blocks whose operands all lie dense are one row. What depends on the
 * distance is one row of numbers, of which each row of the block reads its own stretch.
 * Integers are
 * int32 beside float32, int64 beside float64, and wrap around; a quotient by 0 is 0.
 */
#include "attn/kernel/expression.h"
#include "attn/kernel/map.h"
#include "attn/kernel/table.h"

typedef uword uvec __attribute__((vector_size(VEC_BYTES))); /* overflow wraps around */
#define U(x) ((uvec)(x))

typedef void row_fn(size_t n, const real *const *x, const size_t *step, real *y);

INLINE word word_at(const real *p)
{
    word w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Argument k at i, as bits: a number that is repeated must not pass through arithmetic of floats. */
INLINE vec take(const real *const *x, const size_t *step, int k, size_t i, size_t len)
{
    return step[k] ? get(x[k] + i, len) : (vec)((ivec){0} + word_at(x[k]));
}

#define ROW(name, ...)                                                                                                 \
    static void row_##name(size_t n, const real *const *x, const size_t *step, real *y) { EACH(n, __VA_ARGS__); }
#define FLOATS(name, value)                                                                                            \
    ROW(name, vec a = take(x, step, 0, i, len), b = take(x, step, 1, i, len); put(y + i, len, (vec)(value));)
#define WORDS(name, value)                                                                                             \
    ROW(name, ivec a = (ivec)take(x, step, 0, i, len), b = (ivec)take(x, step, 1, i, len);                             \
        put(y + i, len, (vec)(value));)
#define WORD(name, value) ROW(name, ivec a = (ivec)take(x, step, 0, i, len); put(y + i, len, (vec)(value));)

#define OF_MAP(name, function)                                                                                         \
    static void row_##name(size_t n, const real *const *x, const size_t *step, real *y)                                \
    {                                                                                                                  \
        AT_KERNEL(at_map_kernels).function(step[0] ? n : 1, x[0], y);                                                  \
        if (!step[0])                                                                                                  \
            AT_KERNEL(at_map_kernels).fill(n, y[0], y);                                                                \
    }
#define OF_MAP2(name)                                                                                                  \
    static void row_##name(size_t n, const real *const *x, const size_t *step, real *y)                                \
    {                                                                                                                  \
        AT_KERNEL(at_map_kernels).name(n, x[0], step[0], x[1], step[1], y);                                            \
    }

INLINE vec sign_of(vec x) { return pick(x > 0, splat(1), pick(x < 0, splat(-1), x)); }

INLINE vec cdf_of(vec x)
{
    vec bell;
    return normal_cdf(x, &bell);
}

/* clang-format off */
OF_MAP(neg, negate)
OF_MAP(exp, vexp)
OF_MAP(log, vlog)
OF_MAP(sqrt, vsqrt)
OF_MAP(abs, vabs)
OF_MAP(square, vsquare)
OF_MAP(sin, vsin)
OF_MAP(cos, vcos)
OF_MAP(tanh, vtanh)
OF_MAP(sigmoid, vsigmoid)
OF_MAP(relu, vrelu)
OF_MAP(gelu, vgelu)
OF_MAP(silu, vsilu)
OF_MAP(elu, velu)
OF_MAP(softplus, vsoftplus)
OF_MAP(floor, vfloor)
OF_MAP(ceil, vceil)
OF_MAP(round, vround)
OF_MAP(rsqrt, vrsqrt)
OF_MAP(log1p, vlog1p)
OF_MAP(expm1, vexpm1)
OF_MAP(tan, vtan)
OF_MAP(atan, vatan)
OF_MAP(erf, verf)
OF_MAP2(add)
OF_MAP2(sub)
OF_MAP2(mul)
OF_MAP2(minimum)
OF_MAP2(maximum)
ROW(sign, vec a = take(x, step, 0, i, len); put(y + i, len, sign_of(a));)
ROW(cdf, vec a = take(x, step, 0, i, len); put(y + i, len, cdf_of(a));)
FLOATS(lt, a < b)
FLOATS(le, a <= b)
FLOATS(eq, a == b)
WORD(to_float, __builtin_convertvector(a, vec))
WORD(int_neg, -U(a))
WORD(int_abs, U(a ^ (a < 0)) - U(a < 0))
WORD(int_sign, (a < 0) - (a > 0))
WORD(logical_not, ~a)
WORDS(int_add, U(a) + U(b))
WORDS(int_sub, U(a) - U(b))
WORDS(distance, U(a) - U(b))
WORDS(int_mul, U(a) * U(b))
WORDS(int_minimum, (a & (a < b)) | (b & ~(a < b)))
WORDS(int_maximum, (a & (a > b)) | (b & ~(a > b)))
WORDS(int_lt, a < b)
WORDS(int_le, a <= b)
WORDS(int_eq, a == b)
WORDS(logical_and, a & b)
WORDS(logical_or, a | b)
WORDS(logical_xor, a ^ b)
ROW(select, ivec c = (ivec)take(x, step, 0, i, len); vec a = take(x, step, 1, i, len), b = take(x, step, 2, i, len);
    put(y + i, len, pick(c, a, b));)
/* clang-format on */

#if AT_TYPE == 32
#define LIBM(name) name##f
#else
#define LIBM(name) name
#endif

static void row_pow(size_t n, const real *const *x, const size_t *step, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = LIBM(pow)(x[0][i * step[0]], x[1][i * step[1]]);
}

/* The rest has the sign of the divisor, as in Lua. */
static void row_mod(size_t n, const real *const *x, const size_t *step, real *y)
{
    for (size_t i = 0; i < n; i++) {
        real b = x[1][i * step[1]], r = LIBM(fmod)(x[0][i * step[0]], b);
        y[i] = r * b < 0 ? r + b : r;
    }
}

#ifdef __FMA__
/* a b + c, rounded once */
INLINE vec fused(vec a, vec b, vec c)
{
#if defined __AVX512F__ && AT_TYPE == 32
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __AVX512F__
    return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif AT_TYPE == 32
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}

/*
 * x / b by one number, without its many cycles and with its bits: the rest of the first product mends it to within the last place, the rest
 * of that, which is exact, to the nearest (Markstein 1990). False if some number is so large or small that rests are not numbers.
 */
static bool quotients(size_t n, const real *const *x, const size_t *step, real *y)
{
    const real far = sizeof(real) == sizeof(float) ? (real)0x1p60 : (real)0x1p400, near = 1 / far;
    real size = *x[1] < 0 ? -*x[1] : *x[1];
    ivec outside = {0};
    if (step[0] != 1 || step[1] != 0 || !(size > (real)0x1p-40 && size < (real)0x1p40))
        return false;
    EACH(n, vec a = magnitude(get_or(x[0] + i, len, 1)); outside |= ~((a > near) & (a < far)););
    if (any(outside))
        return false;
    vec b = splat(-*x[1]), inverse = splat(1 / *x[1]);
    EACH(n, vec a = get(x[0] + i, len); vec q = a * inverse; q = fused(fused(b, q, a), inverse, q);
         put(y + i, len, fused(fused(b, q, a), inverse, q)););
    return true;
}
#else
static bool quotients(size_t n, const real *const *x, const size_t *step, real *y)
{
    (void)n, (void)x, (void)step, (void)y;
    return false;
}
#endif

static void row_div(size_t n, const real *const *x, const size_t *step, real *y)
{
    if (!quotients(n, x, step, y))
        AT_KERNEL(at_map_kernels).div(n, x[0], step[0], x[1], step[1], y);
}

/* Quotients of int32 are exact in double, which has vectors. */
INLINE word floored(word a, word b)
{
#if AT_TYPE == 32
    double q = (double)a / (double)b;
    return b == 0 ? 0 : (word)(int64_t)__builtin_floor(q);
#else
    if (b == 0 || b == -1)
        return b == 0 ? 0 : (word)(0 - (uword)a);
    return a / b - ((a ^ b) < 0 && a % b != 0);
#endif
}

#if AT_TYPE == 32
/* By one positive number, `inverse` is 1 / b: the product is at most 1 off, which the rest shows. Loops of it are vectors. */
INLINE word floored_by(word a, word b, double inverse, word *rest)
{
    word q = (word)((double)a * inverse), r = (word)((uword)a - (uword)q * (uword)b), below = r < 0;
    r += b & -below;
    word above = r >= b;
    *rest = r - (b & -above);
    return q - below + above;
}

/* y: quotients, or rests; false if the divisor is not one positive number. */
static bool divide_by(size_t n, const real *const *x, const size_t *step, bool rests, real *restrict y)
{
    const real *a = x[0];
    word b = word_at(x[1]), q, r;
    double inverse = 1 / (double)b;
    if (step[0] != 1 || step[1] != 0 || b <= 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        q = floored_by(word_at(a + i), b, inverse, &r);
        word w = rests ? r : q;
        memcpy(y + i, &w, sizeof w);
    }
    return true;
}
#else
static bool divide_by(size_t n, const real *const *x, const size_t *step, bool rests, real *y)
{
    (void)n, (void)x, (void)step, (void)rests, (void)y;
    return false;
}
#endif

static void row_int_idiv(size_t n, const real *const *x, const size_t *step, real *y)
{
    if (divide_by(n, x, step, false, y))
        return;
    for (size_t i = 0; i < n; i++) {
        word q = floored(word_at(x[0] + i * step[0]), word_at(x[1] + i * step[1]));
        memcpy(y + i, &q, sizeof q);
    }
}

static void row_int_mod(size_t n, const real *const *x, const size_t *step, real *y)
{
    if (divide_by(n, x, step, true, y))
        return;
    for (size_t i = 0; i < n; i++) {
        word a = word_at(x[0] + i * step[0]), b = word_at(x[1] + i * step[1]);
        word r = b == 0 ? 0 : (word)((uword)a - (uword)floored(a, b) * (uword)b);
        memcpy(y + i, &r, sizeof r);
    }
}

/* By code; those with other arguments than registers are not here. */
#define AT_CODE(name) [AT_CODE_##name] = row_##name
static row_fn *const row[AT_CODE_COUNT] = {
    AT_CODE(neg),         AT_CODE(exp),      AT_CODE(log),         AT_CODE(sqrt),        AT_CODE(abs),
    AT_CODE(sign),        AT_CODE(sin),      AT_CODE(cos),         AT_CODE(tanh),        AT_CODE(sigmoid),
    AT_CODE(relu),        AT_CODE(gelu),     AT_CODE(silu),        AT_CODE(elu),         AT_CODE(softplus),
    AT_CODE(floor),       AT_CODE(ceil),     AT_CODE(round),       AT_CODE(square),      AT_CODE(rsqrt),
    AT_CODE(log1p),       AT_CODE(expm1),    AT_CODE(tan),         AT_CODE(atan),        AT_CODE(erf),
    AT_CODE(cdf),         AT_CODE(to_float), AT_CODE(int_neg),     AT_CODE(int_abs),     AT_CODE(int_sign),
    AT_CODE(logical_not), AT_CODE(add),      AT_CODE(sub),         AT_CODE(mul),         AT_CODE(div),
    AT_CODE(pow),         AT_CODE(minimum),  AT_CODE(maximum),     AT_CODE(mod),         AT_CODE(lt),
    AT_CODE(le),          AT_CODE(eq),       AT_CODE(int_add),     AT_CODE(int_sub),     AT_CODE(int_mul),
    AT_CODE(int_idiv),    AT_CODE(int_mod),  AT_CODE(int_minimum), AT_CODE(int_maximum), AT_CODE(int_lt),
    AT_CODE(int_le),      AT_CODE(int_eq),   AT_CODE(logical_and), AT_CODE(logical_or),  AT_CODE(logical_xor),
    AT_CODE(select),      AT_CODE(distance),
};

INLINE real *row_of(const at_place *a, const at_block *b, size_t r)
{
    return a->p + (a->row == AT_SHIFTED ? b->shift[r] : r * a->row);
}

static bool dense(const at_place *a, size_t columns) { return a->column ? a->row == columns : a->row == 0; }

static void by_rows(row_fn *fn, const int64_t *code, const at_block *b)
{
    enum { ARGUMENTS = 3 };
    const at_place *to = &b->reg[code[1]], *from[ARGUMENTS];
    const real *x[ARGUMENTS] = {NULL};
    size_t step[ARGUMENTS] = {0};
    int count = code[0] <= AT_CODE_logical_not ? 1 : code[0] <= AT_CODE_distance ? 2 : ARGUMENTS;
    bool flat = true;
    for (int k = 0; k < count; k++) {
        from[k] = &b->reg[code[2 + k]];
        step[k] = from[k]->column;
        x[k] = row_of(from[k], b, 0);
        flat = flat && dense(from[k], b->columns);
    }
    if ((flat && dense(to, b->columns)) || b->rows == 1) {
        fn(b->rows * b->columns, x, step, to->p);
        return;
    }
    for (size_t r = 0; r < b->rows; r++) {
        for (int k = 0; k < count; k++)
            x[k] = row_of(from[k], b, r);
        fn(b->columns, x, step, to->p + r * to->row);
    }
}

INLINE size_t within(word i, size_t n) { return i < 0 ? 0 : (size_t)i < n ? (size_t)i : n - 1; }

/*
 * The step between neighbours among n words if it is the same everywhere: places by distance run evenly along a row, and those that are
 * bounded stand still. UNEVEN: neither, or beyond a tensor of `most` elements.
 */
enum { UNEVEN = 2 };
static int even_step(const real *p, size_t n, size_t most)
{
    word first = word_at(p), last = word_at(p + n - 1);
    uword step = n > 1 ? (uword)word_at(p + 1) - (uword)first : 0, apart = 0;
    if (step + 1 > 2 || first < 0 || last < 0 || (size_t)first >= most || (size_t)last >= most)
        return UNEVEN;
    for (size_t c = 1; c < n; c++)
        apart |= (uword)word_at(p + c) - (uword)word_at(p + c - 1) - step;
    return apart ? UNEVEN : (int)(word)step;
}

/* value: what element j of the tensor's data becomes */
#define GATHER_EACH(type, place, value)                                                                                \
    for (size_t c = 0; c < n; c++) {                                                                                   \
        size_t j = (place);                                                                                            \
        type v = (type)(value);                                                                                        \
        memcpy(y + c, &v, sizeof v);                                                                                   \
    }
#define GATHER(type, element, value)                                                                                   \
    for (size_t r = 0; r < rows; r++) {                                                                                \
        const real *x = row_of(&at, b, r);                                                                             \
        const element *data = t.data;                                                                                  \
        real *restrict y = to.p + r * to.row;                                                                          \
        size_t first = within(word_at(x), t.n);                                                                        \
        switch (at.column ? even_step(x, n, t.n) : 0) {                                                                \
        case 0: GATHER_EACH(type, first, value) break;                                                                 \
        case 1: GATHER_EACH(type, first + c, value) break;                                                             \
        case -1: GATHER_EACH(type, first - c, value) break;                                                            \
        default: GATHER_EACH(type, within(word_at(x + c), t.n), value) break;                                          \
        }                                                                                                              \
    }

static void gather(const int64_t *code, const at_block *b)
{
    const at_place to = b->reg[code[1]], at = b->reg[code[2]];
    const at_array t = b->array[code[3]];
    const size_t rows = b->rows, n = b->columns;
    if (code[0] == AT_CODE_gather_float) {
        GATHER(real, real, data[j])
    } else if (code[0] == AT_CODE_gather_integer) {
        GATHER(word, int64_t, data[j])
    } else {
        GATHER(word, uint8_t, -(word)(data[j] != 0))
    }
}

static bool shut(const at_block *b, size_t r, size_t c)
{
    return b->gate.p && b->gate.p[r * b->gate.row + c * b->gate.column] == 0;
}

/* The sum of n numbers, in an order that vectors have. */
static double sum_of(const real *x, size_t n)
{
    enum { PARTS = 8 };
    double part[PARTS] = {0};
    size_t c = 0;
    for (; c + PARTS <= n; c += PARTS)
        for (size_t k = 0; k < PARTS; k++)
            part[k] += (double)x[c + k];
    for (; c < n; c++)
        part[0] += (double)x[c];
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

static void scatter(const int64_t *code, const at_block *b)
{
    enum { PIECE = 64 };
    const at_array *t = &b->array[code[1]];
    const at_place *at = &b->reg[code[2]], *v = &b->reg[code[3]];
    for (size_t r = 0; r < b->rows && t->sum; r++)
        for (size_t from = 0; from < b->columns; from += PIECE) {
            const real *place = row_of(at, b, r) + from * at->column;
            const real *x = row_of(v, b, r) + from * v->column;
            const real *gate = b->gate.p ? b->gate.p + r * b->gate.row + from : NULL;
            size_t n = b->columns - from < PIECE ? b->columns - from : PIECE, step = v->column;
            real open[PIECE]; /* what comes through the gate */
            EACH(n, vec w = take(&x, &step, 0, i, len); if (gate) w = pick(get(gate + i, len) == 0, splat(0), w);
                 put(open + i, len, w););
            double *sum = t->sum + within(word_at(place), t->n);
            switch (at->column ? even_step(place, n, t->n) : 0) {
            case 0: *sum += sum_of(open, n); break;
            case 1:
                for (size_t c = 0; c < n; c++)
                    sum[c] += (double)open[c];
                break;
            case -1:
                for (size_t c = 0; c < n; c++)
                    sum[-(ptrdiff_t)c] += (double)open[c];
                break;
            default:
                for (size_t c = 0; c < n; c++)
                    t->sum[within(word_at(place + c), t->n)] += (double)open[c];
            }
        }
}

static void bound(const int64_t *code, const at_block *b)
{
    const at_place *at = &b->reg[code[2]];
    for (size_t r = 0; b->stray && r < b->rows; r++)
        for (size_t c = 0; c < b->columns; c++) {
            word i = word_at(row_of(at, b, r) + c * at->column);
            if ((i < 1 || i > code[3]) && !shut(b, r, c) && !b->stray->found)
                *b->stray = (at_stray){true, code[1], code[4], code[3], i};
        }
}

static void result(const int64_t *code, const at_block *b)
{
    const at_place *from = &b->reg[code[2]];
    const at_target *to = &b->result[code[1]];
    size_t step = from->column;
    bool there = from->p == to->p && from->row == to->row && (!b->gate.p || b->gate.p == to->p) && !b->add;
    for (size_t r = 0; r < b->rows && to->sum; r++) {
        const real *x = row_of(from, b, r);
        double *y = to->sum + r * to->row;
        for (size_t c = 0; c < b->columns; c++)
            y[c * to->column] += shut(b, r, c) ? 0 : (double)x[c * step];
    }
    for (size_t r = 0; r < b->rows && to->p && !there; r++) {
        const real *x = row_of(from, b, r), *gate = b->gate.p ? b->gate.p + r * b->gate.row : NULL;
        real *y = to->p + r * to->row;
        if (b->keep)
            EACH(b->columns, ivec v = (ivec)take(&x, &step, 0, i, len);
                 put(y + i, len, pick(v, get(y + i, len), splat(-INFINITY))););
        else
            EACH(b->columns, vec v = take(&x, &step, 0, i, len);
                 if (gate) v = pick(get(gate + i, len) == 0, splat(0), v); if (b->add) v += get(y + i, len);
                 put(y + i, len, v););
    }
}

static void collect(const int64_t *code, const at_block *b)
{
    const at_place *to = &b->reg[code[1]], *from = &b->reg[code[2]];
    size_t step = from->column;
    for (size_t r = 0; r < b->rows; r++) {
        const real *x = row_of(from, b, r), *gate = b->gate.p ? b->gate.p + r * b->gate.row : NULL;
        real *y = row_of(to, b, r);
        EACH(b->columns, vec v = take(&x, &step, 0, i, len); if (gate) v = pick(get(gate + i, len) == 0, splat(0), v);
             put(y + i, len, get(y + i, len) + v););
    }
}

static void set_places(const int64_t *code, const at_block *b)
{
    real *y = b->reg[code[1]].p;
    size_t n = code[0] == AT_CODE_query || code[0] == AT_CODE_key ? b->columns : 1;
    int64_t first = b->place[code[0] - AT_CODE_batch];
    for (size_t i = 0; i < n; i++) {
        word w = (word)(first + (int64_t)i);
        memcpy(y + i, &w, sizeof w);
    }
}

static void set_constant(const int64_t *code, const at_block *b)
{
    real *y = b->reg[code[1]].p, x;
    double number;
    memcpy(&number, &code[2], sizeof number);
    word w = (word)(code[0] == AT_CODE_constant_bool ? -code[2] : code[2]);
    if (code[0] == AT_CODE_constant_float)
        x = (real)number;
    else
        memcpy(&x, &w, sizeof w);
    for (size_t i = 0; i < b->rows * b->columns; i++)
        memcpy(y + i, &x, sizeof x);
}

static void run(const int64_t *code, size_t count, const at_block *b)
{
    for (size_t k = 0; k < count; k++, code += AT_CODE_WORDS) {
        if (row[code[0]])
            by_rows(row[code[0]], code, b);
        else if (code[0] <= AT_CODE_key)
            set_places(code, b);
        else if (code[0] <= AT_CODE_constant_bool)
            set_constant(code, b);
        else if (code[0] <= AT_CODE_gather_bool)
            gather(code, b);
        else if (code[0] == AT_CODE_scatter || code[0] == AT_CODE_settle)
            scatter(code, b);
        else if (code[0] == AT_CODE_collect)
            collect(code, b);
        else if (code[0] == AT_CODE_bound)
            bound(code, b);
        else
            result(code, b);
    }
}

const AT_REAL(at_expression_kernels) AT_KERNEL(at_expression_kernels) = {.run = run};
