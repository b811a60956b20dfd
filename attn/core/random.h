/*
 * Random numbers: Philox4x32-10 (Salmon et al. 2011), a function of (seed, counter) without other state.
 *
 * An operation reserves a stretch of the counter and gets a stream; element i of a stream is a pure function of
 * (stream, i), so any split over threads, and a second pass that recomputes a mask, sees the same bits. The same on
 * every machine for bits, masks, integers and uniforms; normals go through libm.
 */
#ifndef AT_CORE_RANDOM_H
#define AT_CORE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The generator's whole state, and equally a reserved stream: key and first block. Plain data, may be saved. */
typedef struct at_random {
    uint64_t seed, counter;
} at_random;

void at_random_seed(uint64_t seed); /* state {seed, 0} */
at_random at_random_get(void);
void at_random_set(at_random state);

/* A stream of its own for n elements of any kind below. */
at_random at_random_reserve(size_t n);

/* The 128 bits of one block. */
void at_random_block(uint64_t seed, uint64_t counter, uint64_t high, uint32_t out[4]);

/* The 32 bits of element i of a stream. */
uint32_t at_random_bits(at_random stream, uint64_t i);

/* Fills over the pool. Uniform in [0, 1) with 24 or 53 bits; normal with mean 0 and deviation 1 (Box-Muller). */
void at_random_uniform_f32(at_random stream, size_t n, float *y);
void at_random_uniform_f64(at_random stream, size_t n, double *y);
void at_random_normal_f32(at_random stream, size_t n, float *y);
void at_random_normal_f64(at_random stream, size_t n, double *y);

/* y[i] = 1 with probability p (a multiple of 2^-32), else 0. p <= 0: all 0; p >= 1: all 1. */
void at_random_bernoulli(at_random stream, size_t n, double p, uint8_t *y);

/* p as the threshold that K->random->dropout and at_random_bernoulli compare with: bits < threshold, 0 .. 2^32. */
uint64_t at_random_threshold(double p);

/* Integers low .. high, both included, exactly uniform (rejection). low <= high. */
void at_random_integer(at_random stream, size_t n, int64_t low, int64_t high, int64_t *y);

#endif
