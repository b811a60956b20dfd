/*
 * The instructions of programs: what functions of symbols become (stdlib/expression.lua, op/machine.h).
 *
 * A program is an int64 tensor: how many registers and instructions there are; for each register what it depends on (below), 5 + k for
 * input k; then five numbers an instruction: its code, the register it writes and three arguments, registers unless said otherwise.
 * Registers hold floats of the type at hand, integers and truths (-1, 0) as wide.
 */
#ifndef AT_KERNEL_CODE_H
#define AT_KERNEL_CODE_H

/* clang-format off */
#define AT_CODES(X) \
    /* of floats: one, then two arguments; select: of any type */ \
    X(neg) X(exp) X(log) X(sqrt) X(abs) X(sign) X(sin) X(cos) X(tanh) X(sigmoid) X(relu) X(gelu) X(silu) X(elu) X(softplus) \
    X(floor) X(ceil) X(round) X(square) X(rsqrt) X(log1p) X(expm1) X(tan) X(atan) X(erf) X(cdf) X(to_float) \
    X(int_neg) X(int_abs) X(int_sign) X(logical_not) \
    X(add) X(sub) X(mul) X(div) X(pow) X(minimum) X(maximum) X(mod) X(lt) X(le) X(eq) \
    X(int_add) X(int_sub) X(int_mul) X(int_idiv) X(int_mod) X(int_minimum) X(int_maximum) X(int_lt) X(int_le) X(int_eq) \
    X(logical_and) X(logical_or) X(logical_xor) X(distance) X(select) \
    /* no argument: places from 1; the first argument: the number itself, a float by its bits */ \
    X(batch) X(head) X(query) X(key) X(constant_float) X(constant_integer) X(constant_bool) \
    /* place from 0, number of a captured tensor */ \
    X(gather_float) X(gather_integer) X(gather_bool) \
    /* instead of a register a captured tensor: place, what is added there; place, the dimension's size, its number */ \
    X(scatter) X(bound) \
    /* instead of a register the number of a result */ \
    X(result) \
    /* by distance, added to: of each pair; as scatter, behind all pairs: place and value by distance */ \
    X(collect) X(settle)
/* clang-format on */

#define AT_CODE(name) AT_CODE_##name,
enum { AT_CODES(AT_CODE) AT_CODE_COUNT };
#undef AT_CODE

/* What a register depends on. By distance: on the query's place less something of the key alone, the two arguments of `distance`; a program
 * has one such difference. */
enum { AT_UNIFORM, AT_BY_QUERY, AT_BY_KEY, AT_BY_DISTANCE, AT_BY_PAIR, AT_INPUT };

enum { AT_CODE_WORDS = 5 };

#endif
