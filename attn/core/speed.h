/* What products can do on this machine: for the profiler's last column. */
#ifndef AT_CORE_SPEED_H
#define AT_CORE_SPEED_H

#include <stdint.h>

/* Operations a second of a product of square matrices, the best of some; 0 if there is no memory. clock: nanoseconds. */
double at_product_speed_f32(uint64_t (*clock)(void));
double at_product_speed_f64(uint64_t (*clock)(void));

#endif
