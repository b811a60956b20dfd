/*
 * What products of float32 take: numbers as they are, or rounded to bfloat16 (kernel/bf16.h). Of the whole process, and to be changed
 * only while nothing is multiplied; a backward pass takes what is set when it runs.
 */
#ifndef AT_CORE_PRECISION_H
#define AT_CORE_PRECISION_H

typedef enum at_precision { AT_PRECISION_FLOAT32, AT_PRECISION_BF16 } at_precision;

at_precision at_precision_now(void);
void at_set_precision(at_precision p);

#endif
