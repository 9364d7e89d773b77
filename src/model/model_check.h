/* What libllama and ggml would assert (and so end the process) instead of refusing. */
#ifndef RUNG_SRC_MODEL_CHECK_H
#define RUNG_SRC_MODEL_CHECK_H
#include "rung/model.h"

/* E_MODEL on a file that holds no model libllama may be given. Fills the sizes of *i. */
rung_status rung_check_model_file(rung_model_info *i, const char *path, rung_error *err);
/* E_MODEL on a file that holds no low-rank adapter for a model of this architecture. */
rung_status rung_check_adapter_file(const char *path, const char *arch, rung_error *err);
#endif
