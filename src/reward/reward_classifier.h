/* Classification heads of others: one or two layers on a hidden state, as llama.cpp names them
 * (cls.weight, cls.bias, cls.output.weight, cls.output.bias). Internal to reward/. */
#ifndef RUNG_SRC_REWARD_CLASSIFIER_H
#define RUNG_SRC_REWARD_CLASSIFIER_H
#include "model/gguf_file.h"

typedef struct reward_classifier {
    int32_t n_in, n_mid, n_out; /* n_mid 0: one layer */
    float *w, *b;               /* [n_mid][n_in], [n_mid]; b NULL = 0 */
    float *w_out, *b_out;       /* [n_out][n_mid or n_in], [n_out]; b_out NULL = 0 */
    char activation[8];         /* between the two: relu, tanh, none */
} reward_classifier;
bool reward_classifier_in(const rung_gguf *g); /* does the file hold one? */
/* E_FORMAT on shapes that do not fit n_in features or one another, or numbers that are not finite.
 * activation NULL: tanh, as llama.cpp's rank pooling. */
rung_status reward_classifier_read(reward_classifier *out, const rung_gguf *g, const char *path,
                                   int32_t n_in, const char *activation, rung_error *err);
void reward_classifier_clear(reward_classifier *c);
/* One output: its sigmoid. Several: softmax, the probability of `number`. x f32[n_in]. E_FORMAT
 * when there is no such class. */
rung_status reward_classifier_score(double *out, const reward_classifier *c, const float *x,
                                    int64_t number, rung_error *err);
#endif
