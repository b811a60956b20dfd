/* Expands list.h into the table of distributions of this type. */
#include "attn/row/row.h"

#define AT_ROW_ENTRY(id) extern const at_row AT_REAL(at_row_##id);
#include "attn/row/list.h"
#undef AT_ROW_ENTRY

#define AT_ROW_ENTRY(id) &AT_REAL(at_row_##id),
const at_row *const AT_REAL(at_rows)[AT_ROWS] = {
#include "attn/row/list.h"
};
#undef AT_ROW_ENTRY

#if AT_TYPE == 32 /* what a record says of itself is the same in both types */
#define AT_ROW_ENTRY(id) &AT_REAL(at_row_##id).is,
const at_row_kind *const at_row_kinds[AT_ROWS] = {
#include "attn/row/list.h"
};
#undef AT_ROW_ENTRY
#endif
