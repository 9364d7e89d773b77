/* Adapters of a frozen net: made, merged, saved. */
#ifndef RUNG_SRC_TRAIN_LORA_H
#define RUNG_SRC_TRAIN_LORA_H
#include "train/net.h"

bool rung_lora_is_factor(const rung_core *c, int32_t tensor);
/* w [rows][cols] of that tensor += scale B A. False: no memory. */
bool rung_lora_merge(float *w, const rung_core *c, int32_t tensor);
#endif
