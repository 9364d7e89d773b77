/* rung/calibrate.h: what a reward model's scores mean. A map from scores to probabilities, fitted
 * on problems that the model was not trained on, and the threshold below which a step counts as
 * wrong. Both are part of the model's file (key rung.reward.calibration, docs/formats-reward.md):
 * whoever scores with it gets calibrated scores. */
#ifndef RUNG_CALIBRATE_H
#define RUNG_CALIBRATE_H
#include "rung/reward.h"
#ifdef __cplusplus
extern "C" {
#endif

/* X(ID, name, help). x = logit of the score (a log-ratio that goes through no sigmoid: itself). */
#define RUNG_CALIBRATIONS(X)                                                                       \
    X(NONE, "none", "scores as they are: only a threshold is chosen")                              \
    X(TEMPERATURE, "temperature", "sigmoid(x / T), T by maximum likelihood")                       \
    X(PLATT, "platt", "sigmoid(a x + b) against Platt's smoothed targets")                         \
    X(ISOTONIC, "isotonic", "a rising function of the score, by pooling adjacent violators")
typedef enum rung_calibration_id {
#define X(id, name, help) RUNG_CALIBRATION_##id,
    RUNG_CALIBRATIONS(X)
#undef X
        RUNG_CALIBRATION_COUNT
} rung_calibration_id;
const char *rung_calibration_name(rung_calibration_id id);
bool rung_calibration_find(rung_calibration_id *out, const char *name);

typedef struct rung_calibrate_opts {
    size_t struct_size;
    rung_calibration_id method;
    bool by_position; /* a map of its own for every step number with enough labels of both classes;
                         one map for the others */
    int32_t least;    /* labels of each class that such a map needs; 0 = 25 */
    const char *label_source; /* of an ORM: verdicts, this is not read */
    int64_t label_run;        /* 0 = the newest */
    rung_filter traces;
    bool all_problems;    /* else problems that the model was trained on are left out and counted; a
                             model whose file does not name them: all, and the report says so */
    const char *out_path; /* the model with its calibration; may be its own file */
} rung_calibrate_opts;
#define RUNG_CALIBRATE_OPTS_INIT                                                                   \
    { .struct_size = sizeof(rung_calibrate_opts), .method = RUNG_CALIBRATION_PLATT }
/* Of labelled steps up to the first wrong one. after: cross-fitted, each problem by a map that was
 * fitted without its fifth of the problems. */
typedef struct rung_calibrate_report {
    int64_t n_steps, n_traces, n_problems;
    int64_t n_left_out;              /* traces of problems that it was trained on */
    int64_t n_unscored;              /* traces without all their scores */
    int64_t n_unlabelled;            /* traces without a label */
    bool trained_known;              /* the file names its training problems */
    int32_t n_maps;                  /* by position: besides the common one */
    double temperature, a, b;        /* of the common map; NaN where the method has none */
    double nll[2], brier[2], ece[2]; /* [0] before, [1] after */
    double threshold, f1;            /* f1: of the first wrong step on these very traces, percent */
} rung_calibrate_report;
/* Scores are read from the store, where reward score has put them: those of the model without its
 * calibration. E_NOT_FOUND: nothing scored and labelled; E_FORMAT: one class only. The file is
 * written whole or not at all. */
rung_status rung_reward_calibrate(rung_calibrate_report *out, const rung_reward *r, rung_store *s,
                                  const rung_calibrate_opts *o, const rung_log *log,
                                  rung_error *err);

/* Below it a step counts as wrong; NaN: the model has none. */
double rung_reward_threshold(const rung_reward *r);
/* The calibration of an open model: JSON as in its file; NULL: none. */
const char *rung_reward_calibration(const rung_reward *r);
/* A score through the map of its step (0-based); as it is where there is none. Pure. */
double rung_reward_calibrated(const rung_reward *r, double score, int32_t step);
/* Was the model trained on this problem? 1, 0, or -1: its file does not say. */
int rung_reward_trained_on(const rung_reward *r, const rung_problem *p);

#ifdef __cplusplus
}
#endif
#endif
