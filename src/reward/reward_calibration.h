/* The calibration of a model: its maps, its threshold, as JSON in the key rung.reward.calibration.
 * Internal to reward/. */
#ifndef RUNG_SRC_REWARD_CALIBRATION_H
#define RUNG_SRC_REWARD_CALIBRATION_H
#include "rung/calibrate.h"
#include "rung/stat.h"

enum { REWARD_POSITIONS = 64 }; /* later steps take the common map */
typedef struct reward_map {
    bool fitted;
    int64_t n;   /* labels it was fitted on */
    double a, b; /* sigmoid(a x + b); temperature: a = 1/T, b = 0 */
    rung_knot *knot;
    int64_t n_knots;
} reward_map;
typedef struct reward_calibration {
    rung_calibration_id method;
    bool logit; /* scores are logits, not probabilities */
    reward_map all, at[REWARD_POSITIONS];
    double threshold; /* NaN none */
    char raw_hash[33];
    char *json; /* as in the file; NULL: there is none */
} reward_calibration;
/* E_FORMAT for what reward_calibration_print would not write. */
rung_status reward_calibration_parse(reward_calibration *out, const char *json, const char *path,
                                     rung_error *err);
void reward_calibration_clear(reward_calibration *c);
double reward_calibration_at(const reward_calibration *c, double score, int32_t step);
/* Fits c->all (method and logit are set). False: one class, or nothing to fit. */
bool reward_map_fit(reward_map *m, const reward_calibration *c, const double *score,
                    const double *y, int64_t n);
void reward_map_clear(reward_map *m);
double reward_map_at(const reward_map *m, const reward_calibration *c, double score);
/* The members of the JSON object that parse reads: "method", "input", "map", "maps", "threshold",
 * "raw_hash"; without braces. */
void reward_calibration_print(rung_buf *b, const reward_calibration *c);
#endif
