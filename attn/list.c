/* Expands every list.h into its table. */
#include "attn/build/build.h"
#include "attn/layer/layer.h"

#define AT_TYPED(id) extern const at_op at_op_##id##_f32, at_op_##id##_f64;
#define AT_NUMERIC(id) extern const at_op at_op_##id##_f32, at_op_##id##_f64, at_op_##id##_i64;
#define AT_MOVED(id) extern const at_op at_op_##id;
#include "attn/op/list.h"
#undef AT_TYPED
#undef AT_NUMERIC
#undef AT_MOVED

#define AT_TYPED(id) {{&at_op_##id##_f32, &at_op_##id##_f64}},
#define AT_NUMERIC(id) {{&at_op_##id##_f32, &at_op_##id##_f64, &at_op_##id##_i64}},
#define AT_MOVED(id) {{&at_op_##id, &at_op_##id, &at_op_##id, &at_op_##id, &at_op_##id}},
const at_op_entry at_ops[AT_OPS] = {
#include "attn/op/list.h"
};

#define AT_LAYER_ENTRY(id) extern const at_layer_kind at_layer_##id;
#include "attn/layer/list.h"
#include "attn/attention/list.h"
#include "attn/encoder/list.h"
#include "attn/decoder/list.h"
#undef AT_LAYER_ENTRY

#define AT_LAYER_ENTRY(id) &at_layer_##id,
const at_layer_kind *const at_layers[] = {
#include "attn/layer/list.h"
#include "attn/attention/list.h"
#include "attn/encoder/list.h"
#include "attn/decoder/list.h"
    NULL};
