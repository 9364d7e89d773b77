/* Tensors of a safetensors file, or of a folder or index that names several (docs/formats.md).
 * Internal to reward/. */
#ifndef RUNG_SRC_REWARD_SAFETENSORS_H
#define RUNG_SRC_REWARD_SAFETENSORS_H
#include "rung/base.h"

typedef struct safetensors safetensors;
/* path: a .safetensors file, an index (weight_map: tensor -> file beside it), or a folder that
 * holds model.safetensors.index.json or model.safetensors. E_FORMAT on a header that does not fit
 * the file. */
rung_status safetensors_open(safetensors **out, const char *path, rung_error *err);
void safetensors_close(safetensors *s);
bool safetensors_has(const safetensors *s, const char *name);
/* f32 of a tensor of one or two dimensions: rows and columns (a vector is one row); *data is
 * rung_free()d by the caller. E_NOT_FOUND with the nearest name; E_FORMAT: another shape, a type
 * that is no F64, F32, F16 or BF16, or a value that is not finite. */
rung_status safetensors_tensor(float **data, int64_t *rows, int64_t *columns, const safetensors *s,
                               const char *name, rung_error *err);
#endif
