/* Traces of the store as documents for the trainer. */
#ifndef RUNG_SRC_CLI_TRAIN_ROWS_H
#define RUNG_SRC_CLI_TRAIN_ROWS_H
#include "cli/train_data.h"

typedef rung_status train_put(void *ud, const int32_t *tok, train_doc *d, rung_error *err);
/* Each trace that src asks for, in the store's order. One whose steps are not its tokens stops the
 * reading with its id; nothing is guessed. */
rung_status train_rows_read(const train_source *src, train_put *put, void *ud, rung_error *err);
rung_status train_rows_hash(char out[33], const train_source *src, rung_error *err);
#endif
