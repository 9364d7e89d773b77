/* Penalties, biases and grammars in the words of each kind of server. */
#ifndef RUNG_SRC_REMOTE_SAMPLING_H
#define RUNG_SRC_REMOTE_SAMPLING_H
#include "rung/model.h"

#include <yyjson.h>

/* server: "llama-server", "vllm", "sglang", "openai", ...; NULL or any other name: one of which
 * only OpenAI's own fields are known. What it has no words for is refused (E_INVAL), not left out.
 */
rung_status rung_wire_more_check(const rung_sampling *s, const char *server, rung_error *err);
bool rung_wire_more_add(yyjson_mut_doc *d, yyjson_mut_val *root, const rung_sampling *s,
                        const char *server);
#endif
